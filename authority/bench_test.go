package authority_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// BenchmarkRespond stands beside the bare cost of the one signature that each
// token needs.
func BenchmarkRespond(b *testing.B) {
	chain := pkitest.TSA(b, pkitest.Options{})
	key := chain.LeafKey.(*ecdsa.PrivateKey)
	digest := make([]byte, 32)
	b.Run("bare/P-256", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest); err != nil {
				b.Fatal(err)
			}
		}
	})
	cfg := config(b, chain)
	cfg.Clock = clock.System(500 * time.Millisecond)
	a := newAuthority(b, cfg)
	for _, bench := range []struct {
		name  string
		certs bool
	}{{"respond/P-256", false}, {"respond/P-256/chain", true}} {
		b.Run(bench.name, func(b *testing.B) {
			_, der := request(b, func(r *tsp.Request) { r.CertReq = bench.certs })
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, out := a.Respond(ctx, der); !out.Granted() {
					b.Fatal(out.Rejection)
				}
			}
		})
	}
}

var _ authority.Signer = memory{}
