package notarytest_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"testing"
	"time"

	nx509 "github.com/notaryproject/notation-core-go/x509"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/signer"
)

func TestChain(t *testing.T) {
	early, late := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, kind := range []signer.KeyType{"", signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.RSA3072, signer.RSA4096} {
		for depth := range 5 {
			opts := notarytest.Options{Key: kind, Depth: depth, NotBefore: early, NotAfter: late, OCSP: []string{"http://ocsp.test"}, CRL: []string{"http://crl.test/a.crl"}}
			key, chain := notarytest.Chain(t, opts)
			want := depth
			if want == 0 {
				want = 3
			}
			if len(chain) != want {
				t.Fatalf("%q, depth %d: %d certificates, want %d", kind, depth, len(chain), want)
			}
			for _, at := range []time.Time{early, late} {
				if err := nx509.ValidateCodeSigningCertChain(chain, &at); err != nil {
					t.Errorf("%q, depth %d, at %v: %v", kind, depth, at, err)
				}
			}
			after := late.Add(time.Second)
			if err := nx509.ValidateCodeSigningCertChain(chain, &after); err == nil {
				t.Errorf("%q, depth %d: the leaf is valid after %v", kind, depth, late)
			}
			if pub := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !pub.Equal(key.Public()) {
				t.Errorf("%q, depth %d: the key is not the leaf's", kind, depth)
			}
			for i, cert := range chain {
				named := 1
				if i == len(chain)-1 {
					named = 0
				}
				if len(cert.OCSPServer) != named || len(cert.CRLDistributionPoints) != named {
					t.Errorf("%q, depth %d: certificate %d names %v and %v", kind, depth, i, cert.OCSPServer, cert.CRLDistributionPoints)
				}
				if pub := cert.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !pub.Equal(notarytest.Key(t, opts, i).Public()) {
					t.Errorf("%q, depth %d: Key(%d) is not that of certificate %d", kind, depth, i, i)
				}
			}
			if _, again := notarytest.Chain(t, opts); !bytes.Equal(again[0].Raw, chain[0].Raw) {
				t.Errorf("%q, depth %d: the second chain is another", kind, depth)
			}
		}
	}
}

func TestBend(t *testing.T) {
	_, chain := notarytest.Chain(t, notarytest.Options{Bend: func(i int, cert *x509.Certificate) {
		if i == 1 {
			cert.IsCA, cert.MaxPathLen, cert.MaxPathLenZero = false, -1, false
		}
	}})
	if chain[1].IsCA {
		t.Error("the intermediate is still a CA")
	}
	if err := nx509.ValidateCodeSigningCertChain(chain, nil); err == nil {
		t.Error("a chain whose intermediate is no CA is accepted")
	}
}
