package peercli

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// parsed is a token with the names and encodings of the struct that the
// namesake prints: byte strings are base64, the accuracy is in nanoseconds, a
// hash is its number in package crypto, certificates are as encoding/json
// writes an x509.Certificate.
type parsed struct {
	RawToken      []byte // DER of the token
	HashAlgorithm crypto.Hash
	HashedMessage []byte
	Time          time.Time
	Accuracy      time.Duration
	SerialNumber  *big.Int
	Policy        []json.Number // the arcs
	Ordering      bool
	Nonce         *big.Int
	Qualified     bool // there is a qcStatements extension
	Certificates  []*x509.Certificate

	AddTSACertificate bool // there are certificates
	Extensions        []pkix.Extension
	ExtraExtensions   []pkix.Extension // always null
}

// qcStatements is id-pe-qcStatements (RFC 3739, 3.2.6).
const qcStatements = "1.3.6.1.5.5.7.1.3"

func parse(t *tsp.Token) (*parsed, error) {
	i := t.UnverifiedInfo
	p := &parsed{
		RawToken:          t.Raw,
		HashAlgorithm:     i.Imprint.Hash,
		HashedMessage:     i.Imprint.Digest,
		Time:              i.GenTime,
		Accuracy:          i.Accuracy,
		SerialNumber:      i.Serial.Big(),
		Ordering:          i.Ordering,
		AddTSACertificate: len(t.Certificates) > 0,
		Extensions:        i.Extensions,
	}
	if i.Nonce != nil {
		p.Nonce = i.Nonce.Big()
	}
	for arc := range strings.SplitSeq(i.Policy.String(), ".") {
		p.Policy = append(p.Policy, json.Number(arc)) // arcs may be longer than any integer type
	}
	for _, e := range i.Extensions {
		p.Qualified = p.Qualified || e.Id.String() == qcStatements
	}
	for n, der := range t.Certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the token: %w", n+1, err)
		}
		p.Certificates = append(p.Certificates, c)
	}
	return p, nil
}
