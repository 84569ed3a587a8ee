package verify_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestSigner asks about certificates before anything is signed with them.
func TestSigner(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	good := verify.Policy{Roots: []*x509.Certificate{chain.Root}, Intermediates: []*x509.Certificate{chain.Intermediate}}
	at := pkitest.NotBefore().AddDate(1, 0, 0)
	pinned := good
	pinned.CommonName = "another"
	for _, tt := range []struct {
		name   string
		policy verify.Policy
		cert   *x509.Certificate
		at     time.Time
		want   verify.Reason
	}{
		{"good", good, chain.Leaf, at, ""},
		{"last second", good, chain.Leaf, pkitest.NotAfter(), ""},
		{"a second later", good, chain.Leaf, pkitest.NotAfter().Add(time.Second), verify.ReasonValidity},
		{"no time", good, chain.Leaf, time.Time{}, verify.ReasonValidity},
		{"no certificate", good, nil, at, verify.ReasonCertificateMissing},
		{"no roots", verify.Policy{}, chain.Leaf, at, verify.ReasonNoRoots},
		{"no intermediate", verify.Policy{Roots: good.Roots}, chain.Leaf, at, verify.ReasonUntrusted},
		{"a CA", good, chain.Intermediate, at, verify.ReasonCertificate},
		{"another name", pinned, chain.Leaf, at, verify.ReasonPinned},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.policy.Signer(tt.cert, tt.at)
			var e *verify.Error
			if errors.As(err, &e); tt.want == "" && err != nil || tt.want != "" && (e == nil || e.Reason != tt.want || got != nil) {
				t.Fatalf("Signer(%v) = %d certificates, %v; want reason %q", tt.at, len(got), err, tt.want)
			}
			if tt.want == "" && (len(got) != 3 || !got[0].Equal(chain.Leaf) || !got[2].Equal(chain.Root)) {
				t.Errorf("Signer(%v) = %d certificates, want leaf to root", tt.at, len(got))
			}
		})
	}
}

// TestSignerHostile: a chain that makes tokens fail is refused beforehand.
func TestSignerHostile(t *testing.T) {
	for _, h := range pkitest.HostileTSA() {
		t.Run(h.Name, func(t *testing.T) {
			chain := pkitest.TSA(t, h.Options)
			if chain.Leaf == nil {
				return // does not parse, so nobody can ask
			}
			p := verify.Policy{Roots: []*x509.Certificate{chain.Root}}
			if chain.Intermediate != nil {
				p.Intermediates = []*x509.Certificate{chain.Intermediate}
			}
			at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
			if got, err := p.Signer(chain.Leaf, at); err == nil || got != nil {
				t.Errorf("Signer = %d certificates, %v; want an error", len(got), err)
			}
		})
	}
}
