package verify_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// The benchmarks stand beside the signature verifications that no verifier of
// the same token can do without: three for a chain of three with P-256, one
// where the chain was verified before. What is allowed is 1.3 times as much.

func BenchmarkRawOneVerification(b *testing.B)    { benchmarkRaw(b, 1) }
func BenchmarkTokenCached(b *testing.B)           { benchmarkToken(b, new(verify.ChainCache)) }
func BenchmarkRawThreeVerifications(b *testing.B) { benchmarkRaw(b, 3) }
func BenchmarkToken(b *testing.B)                 { benchmarkToken(b, nil) }

// BenchmarkBytesCached parses the response as well.
func BenchmarkBytesCached(b *testing.B) {
	f := tsptest.NewForge(b, pkitest.Options{})
	p := policyFor(b, f)
	p.Cache = new(verify.ChainCache)
	der, err := f.MakeResponse()
	if err != nil {
		b.Fatal(err)
	}
	imprint := tsptest.Request().Imprint
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Bytes(der, imprint); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseResponse(b *testing.B) {
	der, err := tsptest.NewForge(b, pkitest.Options{}).MakeResponse()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tsp.ParseResponse(der); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkToken(b *testing.B, cache *verify.ChainCache) {
	f := tsptest.NewForge(b, pkitest.Options{})
	p := policyFor(b, f)
	p.Cache = cache
	token, imprint := f.ParsedToken(b), tsptest.Request().Imprint
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Token(token, imprint); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkRaw verifies the signatures of the token, of the signer's
// certificate and of its issuer's.
func benchmarkRaw(b *testing.B, n int) {
	f := tsptest.NewForge(b, pkitest.Options{})
	token := f.ParsedToken(b)
	var chain []*x509.Certificate
	for _, der := range f.Chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			b.Fatal(err)
		}
		chain = append(chain, cert)
	}
	key := func(i int) *ecdsa.PublicKey { return chain[i].PublicKey.(*ecdsa.PublicKey) }
	b.ReportAllocs()
	for b.Loop() {
		digest := sha256.Sum256(token.Signer.RawSignedAttributes)
		ok := ecdsa.VerifyASN1(key(0), digest[:], token.Signer.Signature)
		for i := 1; i < n; i++ {
			digest := sha256.Sum256(chain[i-1].RawTBSCertificate)
			ok = ok && ecdsa.VerifyASN1(key(i), digest[:], chain[i-1].Signature)
		}
		if !ok {
			b.Fatal("a signature does not verify")
		}
	}
}
