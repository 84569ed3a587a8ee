package show

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Timestamp is the RFC 3161 token of a signature.
type Timestamp struct {
	// Timestamp is "[earliest, latest]": the time of the token, widened by its
	// accuracy. It is absent when there is an Error.
	Timestamp string `json:"timestamp,omitempty"`
	// Certificates are those that came with the token, in its order.
	Certificates []Certificate `json:"certificates,omitempty"`
	// Error says why the token cannot be read, or that it is not of this
	// signature.
	Error string `json:"error,omitempty"`

	// Info is absent when the token cannot be read.
	*Info

	lower, upper time.Time
	accuracy     time.Duration // stated, or promised by the policy
}

// An Info is what Notation leaves out.
type Info struct {
	// GenTime is the time of the token. With an Error it is not that of the
	// signature.
	GenTime time.Time `json:"genTime"`
	// AccuracySeconds is null when the token states none.
	AccuracySeconds *float64           `json:"accuracySeconds"`
	Policy          inspect.Identifier `json:"policy"`
	SerialNumber    string             `json:"serialNumber"` // hexadecimal, with 0x
	// Hash is the algorithm of the imprint, such as "SHA-256".
	Hash string `json:"hash"`
}

// unreadableTimestamp begins the error that Notation shows.
const unreadableTimestamp = "failed to parse timestamp countersignature: "

func describeTimestamp(der, signature []byte) *Timestamp {
	token, err := tsp.ParseToken(der)
	if err != nil {
		return &Timestamp{Error: unreadableTimestamp + err.Error()}
	}
	info := inspect.Describe("", &tsp.Message{Token: token}).Token.UnverifiedInfo
	t := &Timestamp{Info: &Info{
		GenTime: info.GenTime.UTC(), AccuracySeconds: info.Accuracy, Policy: info.Policy,
		SerialNumber: info.Serial, Hash: info.Imprint.Hash,
	}, accuracy: countersign.Accuracy(token.UnverifiedInfo)}
	for _, raw := range token.Certificates {
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Certificates = append(t.Certificates, Certificate{SHA256Fingerprint: fingerprint(raw), Error: err.Error()})
			continue
		}
		t.Certificates = append(t.Certificates, certificates([]*x509.Certificate{c})...)
	}
	if err := covers(token.UnverifiedInfo.Imprint, signature); err != nil {
		t.Error = unreadableTimestamp + err.Error()
		return t
	}
	t.lower, t.upper = t.GenTime.Add(-t.accuracy), t.GenTime.Add(t.accuracy)
	t.Timestamp = interval(t.lower, t.upper, time.RFC3339Nano)
	return t
}

// covers says whether an imprint is that of a signature.
func covers(m tsp.Imprint, signature []byte) error {
	if !m.Hash.Available() {
		return fmt.Errorf("the hash %s of its imprint is not known here", m.AlgorithmName())
	}
	h := m.Hash.New()
	h.Write(signature)
	if !bytes.Equal(h.Sum(nil), m.Digest) {
		return errors.New("it stamps something else than this signature")
	}
	return nil
}

// interval is two times in the form in which Notation writes them.
func interval(lower, upper time.Time, layout string) string {
	return fmt.Sprintf("[%s, %s]", lower.Format(layout), upper.Format(layout))
}
