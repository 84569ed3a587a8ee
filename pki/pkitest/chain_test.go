package pkitest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"testing"
)

func TestTSAVerifies(t *testing.T) {
	for _, kind := range append(KeyTypes(), P224, RSA1024) {
		for _, issuer := range []KeyType{P256, kind} {
			t.Run(kind.String()+" by "+issuer.String(), func(t *testing.T) {
				c := TSA(t, Options{Key: kind, IssuerKey: issuer})
				roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
				roots.AddCert(c.Root)
				intermediates.AddCert(c.Intermediate)
				_, err := c.Leaf.Verify(x509.VerifyOptions{
					Roots: roots, Intermediates: intermediates, CurrentTime: NotBefore().AddDate(5, 0, 0),
					KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
				})
				if err != nil {
					t.Fatalf("leaf.Verify: %v", err)
				}
				if !c.Leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }).Equal(c.LeafKey.Public()) {
					t.Error("LeafKey is not the key of Leaf")
				}
				again := TSA(t, Options{Key: kind, IssuerKey: issuer})
				if !bytes.Equal(c.PEM(), again.PEM()) {
					t.Error("the same options gave other bytes")
				}
			})
		}
	}
}

// TestStableBytes holds the bytes of the default chain: tests elsewhere commit
// tokens that it signed.
func TestStableBytes(t *testing.T) {
	sum := sha256.Sum256(TSA(t, Options{}).PEM())
	const want = "3c3a55b9d7303030c1b24cd13142ac6a8bb7928d0d2bf33e26441b0c87fa1118"
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("SHA-256 of the default chain is %s, want %s", got, want)
	}
}

func TestNamesKeepApart(t *testing.T) {
	a, b := TSA(t, Options{}), TSA(t, Options{Name: "Other"})
	if bytes.Equal(a.Leaf.RawSubject, b.Leaf.RawSubject) || a.Leaf.SerialNumber.Cmp(b.Leaf.SerialNumber) == 0 || bytes.Equal(a.Leaf.RawSubjectPublicKeyInfo, b.Leaf.RawSubjectPublicKeyInfo) {
		t.Error("two names share a subject, a serial number or a key")
	}
}

func BenchmarkTSA(b *testing.B) {
	for _, kind := range KeyTypes() {
		b.Run(kind.String(), func(b *testing.B) {
			for b.Loop() {
				TSA(b, Options{Key: kind, IssuerKey: kind})
			}
		})
	}
}

func TestHostileNames(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range HostileTSA() {
		if seen[h.Name] {
			t.Errorf("two hostile chains are called %q", h.Name)
		}
		seen[h.Name] = true
		if c := TSA(t, h.Options); (c.Leaf == nil) != (h.Name == "EKU twice") {
			t.Errorf("%s: leaf is nil: %t", h.Name, c.Leaf == nil)
		}
	}
}
