package verify

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Timestamp is what a token proved: that the data with this imprint existed
// at this time, says the authority with this chain. Only a Policy makes one.
type Timestamp struct {
	// Time is the genTime of the token, in UTC.
	Time time.Time
	// Accuracy is how far the true time may be from Time, either way, if
	// HasAccuracy is set. Otherwise it is 0 and only the authority's policy
	// can tell (RFC 3161, 2.4.2).
	Accuracy    time.Duration
	HasAccuracy bool
	Policy      x509.OID
	Serial      tsp.Integer
	Imprint     tsp.Imprint
	// Nonce is that of the token, nil when it has none.
	Nonce tsp.Integer
	// Ordering says that tokens of this authority are ordered by Time whatever
	// the accuracy.
	Ordering bool
	// Chain is the path that was verified: the authority's certificate first,
	// the trust anchor last. They are the same when the policy trusts the
	// authority's certificate itself.
	Chain []*x509.Certificate
	// Info is the whole TSTInfo.
	Info *tsp.Info
}

// Earliest returns the first moment at which the stamp can have been made, by
// the token's own accuracy.
func (t *Timestamp) Earliest() time.Time { return t.Time.Add(-t.Accuracy) }

// Latest returns the last moment at which the stamp can have been made, by the
// token's own accuracy.
func (t *Timestamp) Latest() time.Time { return t.Time.Add(t.Accuracy) }

func newTimestamp(info *tsp.Info, chain []*x509.Certificate) *Timestamp {
	return &Timestamp{
		Time:        info.GenTime,
		Accuracy:    info.Accuracy,
		HasAccuracy: info.HasAccuracy,
		Policy:      info.Policy,
		Serial:      info.Serial,
		Imprint:     info.Imprint,
		Nonce:       info.Nonce,
		Ordering:    info.Ordering,
		// The caller's own: a cache may have the same slice.
		Chain: slices.Clone(chain),
		Info:  info,
	}
}
