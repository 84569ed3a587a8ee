package tracing_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// quick is a server whose requests take no time and have one span each.
func quick(tracer *tracing.Tracer) *server {
	return &server{tracer: tracer, clock: noClock{}, outcome: "granted", exchange: tsphttp.Exchange{Status: 200},
		record: func(context.Context, tsp.Outcome) error { return nil }}
}

type noClock struct{}

func (noClock) Now(context.Context) (clock.Reading, error) { return clock.Reading{}, nil }

// TestRun holds that spans go out while the server runs, together.
func TestRun(t *testing.T) {
	r := newReceiver(t, false, nil)
	tracer := newTracer(t, r, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := tracer.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	s := quick(tracer)
	const n = 700 // of three spans, and a batch has 512
	for range n {
		s.ask("POST")
	}
	for deadline := time.Now().Add(20 * time.Second); r.count() < 3*n; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d spans came", r.count())
		}
	}
	if r.messages < 5 || r.messages > 7 {
		t.Errorf("they came in %d messages", r.messages)
	}
	cancel()
	running.Wait()
	s.ask("POST") // that ends after the server was told to stop
	finish(t, tracer)
	if got := tracer.Stats(); got != (tracing.Stats{Exported: 3*n + 3}) || r.count() != 3*n+3 {
		t.Errorf("the counts are %+v, %d spans came", got, r.count())
	}
	s.ask("POST") // too late
	if got := tracer.Stats(); got.Dropped != 3 {
		t.Errorf("the counts are %+v", got)
	}
}

// TestCollectorHangs holds that a collector which does not answer costs spans
// and no time.
func TestCollectorHangs(t *testing.T) {
	release := make(chan struct{})
	r := newReceiver(t, false, func(_ http.ResponseWriter, req *http.Request) {
		select {
		case <-release:
		case <-req.Context().Done():
		}
	})
	defer close(release)
	tracer := newTracer(t, r, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tracer.Run(ctx) })
	s := quick(tracer)
	const n = 5000
	start := time.Now()
	for range n {
		s.ask("POST")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%d requests took %v", n, took)
	}
	dropped := tracer.Stats().Dropped
	if want := int64(3*n - 4096 - 2*512); dropped < want {
		t.Errorf("%d spans were dropped, want at least %d", dropped, want)
	}
	cancel()
	running.Wait()
	bounded, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	start = time.Now()
	err := tracer.Shutdown(bounded)
	if took := time.Since(start); err == nil || took > 5*time.Second {
		t.Errorf("Shutdown = %v after %v, want an error at once", err, took)
	}
	if got := tracer.Stats(); got != (tracing.Stats{Dropped: 3 * n}) {
		t.Errorf("the counts are %+v", got)
	}
}

// TestCollectorFails holds what is said of a collector that refuses: once, and
// when it is over; and that its headers go to nobody else.
func TestCollectorFails(t *testing.T) {
	elsewhere := newReceiver(t, false, func(_ http.ResponseWriter, req *http.Request) {
		t.Errorf("%s was asked, with %v", req.URL, req.Header)
	})
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"unauthorised", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "who are you?\x1b[2J", http.StatusUnauthorized)
		}, "401"},
		{"redirect", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "307"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("x", 1<<20), 404) }, "404"},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"not protobuf", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			w.Write([]byte("\xff\xff"))
		}, "proto"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReceiver(t, false, tt.answer)
			var mu sync.Mutex
			var reports []error
			tracer := newTracer(t, r, func(c *tracing.Config) {
				c.Headers = map[string]string{"X-Api-Key": "sesame"}
				c.Report = func(err error) {
					mu.Lock()
					defer mu.Unlock()
					reports = append(reports, err)
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { tracer.Run(ctx) })
			s := quick(tracer)
			for range 512 { // three batches
				s.ask("POST")
			}
			for deadline := time.Now().Add(30 * time.Second); tracer.Stats().Dropped < 3*512; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("the counts are %+v", tracer.Stats())
				}
			}
			cancel()
			running.Wait()
			if err := tracer.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown with nothing left: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(reports) != 1 || reports[0] == nil {
				t.Fatalf("reported %v", reports)
			}
			text := reports[0].Error()
			if !strings.Contains(text, tt.says) || len(text) > 500 || strings.ContainsAny(text, "\x1b\n") || strings.Contains(text, `\"`) || strings.Contains(text, "sesame") || errors.Unwrap(reports[0]) == nil {
				t.Errorf("reported %q, want %q in it", text, tt.says)
			}
		})
	}
}

func TestCollectorRecovers(t *testing.T) {
	var mu sync.Mutex
	well := false
	r := newReceiver(t, false, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if !well {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	reports := make(chan error, 10)
	tracer := newTracer(t, r, func(c *tracing.Config) { c.Report = func(err error) { reports <- err } })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go tracer.Run(ctx)
	s := quick(tracer)
	for range 200 {
		s.ask("POST")
	}
	if err := <-reports; err == nil {
		t.Error("the first report says that all is well")
	}
	mu.Lock()
	well = true
	mu.Unlock()
	for range 200 {
		s.ask("POST")
	}
	if err := <-reports; err != nil {
		t.Errorf("the second report is %v", err)
	}
}
