package envelope_test

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"math/big"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// BenchmarkVerify is the next envelope of a signer, beside the raw cost of one
// verification with its key, and beside notation-core-go.
func BenchmarkVerify(b *testing.B) {
	for _, kind := range []signer.KeyType{signer.P256, signer.RSA2048} {
		r := request(b, notarytest.Options{Key: kind})
		b.Run(string(kind)+"/bare", func(b *testing.B) {
			e := parse(b, envelope.COSE, sign(b, envelope.COSE, r))
			sum := sha256.Sum256(nil)
			for b.Loop() {
				switch k := r.Key.Public().(type) {
				case *ecdsa.PublicKey:
					s := e.Unverified.Signature
					ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(s[:32]), new(big.Int).SetBytes(s[32:]))
				case *rsa.PublicKey:
					_ = rsa.VerifyPSS(k, 5, sum[:], e.Unverified.Signature, nil)
				}
			}
		})
		for _, f := range envelope.Formats() {
			data := sign(b, f, r)
			cache := new(envelope.Cache)
			e, err := cache.Parse(f, data)
			if err != nil {
				b.Fatal(err)
			}
			stamped, err := e.WithTimestamp(token(b, &e.Unverified))
			if err != nil {
				b.Fatal(err)
			}
			b.Run(string(kind)+"/"+string(f)+"/parse", func(b *testing.B) {
				for b.Loop() {
					if _, err := cache.Parse(f, stamped); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(string(kind)+"/"+string(f)+"/verify", func(b *testing.B) {
				e, err := cache.Parse(f, stamped)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					if _, err := e.Verify(); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(string(kind)+"/"+string(f)+"/notation-core-go", func(b *testing.B) {
				for b.Loop() {
					if err := theirVerdict(f, stamped); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
