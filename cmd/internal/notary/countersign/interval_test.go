package countersign_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/notaryproject/tspclient-go"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestInterval: the bounds of the true time, against those of tspclient-go.
func TestInterval(t *testing.T) {
	const best = "0.4.0.2023.1.1"
	micros := func(millis, micros byte) []byte {
		return der.Make(der.TagSequence, der.Make(0x80, []byte{millis}), der.Make(0x81, []byte{micros}))
	}
	for _, test := range []struct {
		name     string
		policy   string
		accuracy []byte
		want     time.Duration
	}{
		{"one second", tsptest.PolicyOID, der.Make(der.TagSequence, der.AppendInt(nil, 1)), time.Second},
		{"none", tsptest.PolicyOID, nil, 0},
		{"empty", tsptest.PolicyOID, der.Make(der.TagSequence), 0},
		{"microseconds", tsptest.PolicyOID, micros(7, 9), 7*time.Millisecond + 9*time.Microsecond},
		{"a day", tsptest.PolicyOID, der.Make(der.TagSequence, der.AppendInt(nil, 86400)), 24 * time.Hour},
		{"best practices, none", best, nil, time.Second},
		{"best practices, empty", best, der.Make(der.TagSequence), time.Second},
		{"best practices, zero", best, der.Make(der.TagSequence, der.AppendInt(nil, 0)), time.Second},
		{"best practices, a microsecond", best, der.Make(der.TagSequence, der.Make(0x81, []byte{1})), time.Microsecond},
		{"a policy beside it", "0.4.0.2023.1.2", nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, pkitest.Options{})
			f.Info = func(i *tsptest.InfoFields) { i.Policy, i.Accuracy = tsptest.OID(test.policy), test.accuracy }
			token, stamp := verified(t, f)
			if lower, upper := tsptest.Time().Add(-test.want), tsptest.Time().Add(test.want); !stamp.Lower.Equal(lower) || !stamp.Upper.Equal(upper) {
				t.Errorf("the interval is [%v, %v], want [%v, %v]", stamp.Lower, stamp.Upper, lower, upper)
			}
			signed, err := tspclient.ParseSignedToken(token)
			if err != nil {
				t.Fatal(err)
			}
			info, err := signed.Info()
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := info.Validate([]byte(tsptest.Artifact))
			if err != nil || theirs.Accuracy != test.want || !theirs.Value.Equal(stamp.Time) {
				t.Errorf("tspclient-go has %v ± %v (%v), want %v ± %v", theirs.Value, theirs.Accuracy, err, stamp.Time, test.want)
			}
		})
	}
}

// verified makes the token of f and verifies it.
func verified(t testing.TB, f *tsptest.Forge) ([]byte, *countersign.Timestamp) {
	t.Helper()
	token, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	c := countersign.Checker{Config: countersign.Config{Roots: []*x509.Certificate{root}, Now: now}}
	stamp, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return token, stamp
}

// TestCovers: both bounds are inclusive, to the nanosecond, for every
// certificate of the chain, as tspclient-go has it.
func TestCovers(t *testing.T) {
	_, stamp := verified(t, tsptest.NewForge(t, pkitest.Options{}))
	whole := [2]time.Time{pkitest.NotBefore(), pkitest.NotAfter()}
	from := func(at time.Time) [2]time.Time { return [2]time.Time{at, pkitest.NotAfter()} }
	until := func(at time.Time) [2]time.Time { return [2]time.Time{pkitest.NotBefore(), at} }
	for _, test := range []struct {
		name       string
		leaf, root [2]time.Time
		want       string // in the error, "" for none
	}{
		{"both", whole, whole, ""},
		{"exactly", [2]time.Time{stamp.Lower, stamp.Upper}, [2]time.Time{stamp.Lower, stamp.Upper}, ""},
		{"leaf begins a nanosecond late", from(stamp.Lower.Add(1)), whole, `1ns before certificate "CN=leaf" becomes valid`},
		{"leaf ends a nanosecond early", until(stamp.Upper.Add(-1)), whole, `1ns after certificate "CN=leaf" expired`},
		{"root begins a second late", whole, from(stamp.Lower.Add(time.Second)), `1s before certificate "CN=root" becomes valid`},
		{"root ended a day ago", whole, until(stamp.Upper.Add(-24 * time.Hour)), `24h0m0s after certificate "CN=root" expired`},
		{"both wrong, the first counts", from(stamp.Lower.Add(1)), until(stamp.Upper.Add(-1)), `certificate "CN=leaf"`},
		{"begins at the time itself", from(stamp.Time), whole, `1s before certificate "CN=leaf" becomes valid`},
	} {
		t.Run(test.name, func(t *testing.T) {
			chain := []*x509.Certificate{
				{NotBefore: test.leaf[0], NotAfter: test.leaf[1]}, {NotBefore: test.root[0], NotAfter: test.root[1]},
			}
			chain[0].Subject.CommonName, chain[1].Subject.CommonName = "leaf", "root"
			err := stamp.Covers(chain)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("Covers: %v, want something about %q", err, test.want)
			}
			if err != nil && reasonOf(err) != countersign.ReasonInterval {
				t.Errorf("the reason is %q, want %q", reasonOf(err), countersign.ReasonInterval)
			}
			theirs := &tspclient.Timestamp{Value: stamp.Time, Accuracy: time.Second}
			covered := true
			for _, cert := range chain {
				covered = covered && theirs.BoundedAfter(cert.NotBefore) && theirs.BoundedBefore(cert.NotAfter)
			}
			if covered != (err == nil) {
				t.Errorf("Covers: %v, tspclient-go: %v", err, covered)
			}
		})
	}
	if err := stamp.Covers(nil); err == nil {
		t.Error("a chain of none is covered")
	}
	var advised interface{ Advice() string }
	if err := stamp.Covers([]*x509.Certificate{{}}); !errors.As(err, &advised) || advised.Advice() == "" {
		t.Errorf("no advice with %v", err)
	}
}
