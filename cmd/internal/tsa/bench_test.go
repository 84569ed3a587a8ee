package tsa

import (
	"context"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// BenchmarkRespond is a timestamp of an authority with a key in memory, and
// through a TSA: alone, with a standby, and with a stamping key. The three have
// to cost what the first does.
func BenchmarkRespond(b *testing.B) {
	chain := pkitest.TSA(b, pkitest.Options{})
	key, err := signer.New(chain.LeafKey)
	if err != nil {
		b.Fatal(err)
	}
	a := testAuthority(b, key, chain.Certificates())
	d, _ := testDelegate(b, "ca")
	type responder interface {
		Respond(context.Context, []byte) ([]byte, tsp.Outcome)
	}
	for _, bench := range []struct {
		name      string
		responder responder
	}{
		{"authority", a},
		{"one unit", benchmarked(b, Config{Units: []Unit{{Authority: a}}})},
		{"with a standby", benchmarked(b, Config{Units: []Unit{{Authority: a}, {Authority: a}}})},
		{"stamping key", benchmarked(b, Config{Delegate: d, Announce: time.Hour})},
	} {
		b.Run(bench.name, func(b *testing.B) {
			request := tsptest.RequestDER()
			b.ReportAllocs()
			for b.Loop() {
				if _, out := bench.responder.Respond(b.Context(), request); out.Rejection != nil {
					b.Fatal(out.Rejection)
				}
			}
		})
	}
}

func benchmarked(b *testing.B, cfg Config) *TSA {
	b.Helper()
	cfg.Clock = testClock()
	t, err := New(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	return t
}
