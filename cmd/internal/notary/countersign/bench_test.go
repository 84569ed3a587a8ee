package countersign_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/tspclient-go"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// forge makes a token as public authorities do, with a signingTime.
func forge(t testing.TB) *tsptest.Forge {
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Signed = func(a [][]byte) [][]byte {
		return append(a, tsptest.Attribute(oid.SigningTime, der.Make(0x17, []byte("260102030405Z"))))
	}
	return f
}

// BenchmarkSignature is one bare verification of the token's signature, which
// nobody can do without.
func BenchmarkSignature(b *testing.B) {
	f := forge(b)
	token := f.ParsedToken(b)
	leaf, err := x509.ParseCertificate(f.Chain[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		digest := sha256.Sum256(token.Signer.RawSignedAttributes)
		if !ecdsa.VerifyASN1(leaf.PublicKey.(*ecdsa.PublicKey), digest[:], token.Signer.Signature) {
			b.Fatal("the signature does not verify")
		}
	}
}

// BenchmarkVerify is the verification of the 1,000th token of one authority,
// parsing included. What is allowed is 1.3 times a bare signature verification.
func BenchmarkVerify(b *testing.B) { benchmarkVerify(b, new(countersign.Cache)) }

// BenchmarkVerifyFirst is that of the first.
func BenchmarkVerifyFirst(b *testing.B) { benchmarkVerify(b, nil) }

func benchmarkVerify(b *testing.B, cache *countersign.Cache) {
	token, _ := verified(b, forge(b))
	root, err := forge(b).Root()
	if err != nil {
		b.Fatal(err)
	}
	c := countersign.Checker{Config: countersign.Config{Roots: []*x509.Certificate{root}, Now: now, Cache: cache}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Verify(context.Background(), token, []byte(tsptest.Artifact), crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNotation is what Notation's libraries need for the same token.
func BenchmarkNotation(b *testing.B) {
	f := forge(b)
	token, _ := verified(b, f)
	root, err := f.Root()
	if err != nil {
		b.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(root)
	b.ReportAllocs()
	for b.Loop() {
		signed, err := tspclient.ParseSignedToken(token)
		if err != nil {
			b.Fatal(err)
		}
		chain, err := signed.Verify(context.Background(), x509.VerifyOptions{CurrentTime: tsptest.Time(), Roots: pool})
		if err != nil {
			b.Fatal(err)
		}
		if err := corex509.ValidateTimestampingCertChain(chain); err != nil {
			b.Fatal(err)
		}
	}
}
