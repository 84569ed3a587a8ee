package tracing_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// TestOff holds that no tracer is nothing at all.
func TestOff(t *testing.T) {
	var off *tracing.Tracer
	source := clock.Fixed(clockTime, 0)
	handler := http.Handler(http.NotFoundHandler())
	record := func(context.Context, tsp.Outcome) error { return nil }
	same := func(a, b any) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }
	if off.Clock(source) != source || !same(off.Handler(handler), handler) || !same(off.Record(record), record) || off.Record(nil) != nil {
		t.Error("something is wrapped")
	}
	r, x := httptest.NewRequest("POST", route, nil), new(tsphttp.Exchange)
	if n := testing.AllocsPerRun(100, func() { off.Observe(r, x, "granted") }); n != 0 {
		t.Errorf("Observe allocates %v times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := off.Run(ctx); err != nil {
		t.Error(err)
	}
	if err := off.Shutdown(ctx); err != nil || off.Stats() != (tracing.Stats{}) {
		t.Errorf("Shutdown = %v, Stats = %+v", err, off.Stats())
	}
}

// TestAllocations holds that a request which is not traced allocates nothing
// for that.
func TestAllocations(t *testing.T) {
	r := newReceiver(t, false, nil)
	tracer := newTracer(t, r, func(c *tracing.Config) { c.Sample = 0 })
	request, serve := exchange(tracer)
	if n := testing.AllocsPerRun(1000, func() { serve(request) }); n != 0 {
		t.Errorf("a request that is not traced allocates %v times", n)
	}
}

var clockTime = clock.Reading{}.Time

// exchange returns a request, and what answers it with all that can be traced.
func exchange(tracer *tracing.Tracer) (*http.Request, func(*http.Request)) {
	source := tracer.Clock(clock.Fixed(clockTime, 0))
	record := tracer.Record(func(context.Context, tsp.Outcome) error { return nil })
	x := &tsphttp.Exchange{Status: 200, Outcome: tsp.Outcome{Signing: 1}}
	handler := tracer.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if _, err := source.Now(ctx); err != nil {
			panic(err)
		}
		if err := record(ctx, x.Outcome); err != nil {
			panic(err)
		}
		tracer.Observe(r, x, "granted")
	}))
	r := httptest.NewRequest("POST", route, nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	return r, func(r *http.Request) { handler.ServeHTTP(nil, r) }
}

// BenchmarkRequest is what tracing costs a request.
func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct {
		name   string
		sample float64
		on     bool
	}{{"off", 0, false}, {"sample=0", 0, true}, {"sample=0.01", 0.01, true}, {"sample=1", 1, true}} {
		b.Run(bench.name, func(b *testing.B) {
			var tracer *tracing.Tracer
			if bench.on {
				r := newReceiver(b, false, nil)
				tracer = newTracer(b, r, func(c *tracing.Config) { c.Sample = bench.sample })
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				go tracer.Run(ctx)
			}
			request, serve := exchange(tracer)
			b.ReportAllocs()
			for b.Loop() {
				serve(request)
			}
		})
	}
}
