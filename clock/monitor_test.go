package clock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// A reference is a clock.Reference that does what its function says.
type reference struct {
	name    string
	measure func(context.Context) (clock.Measurement, error)
}

func (r reference) Name() string { return r.name }
func (r reference) Measure(ctx context.Context) (clock.Measurement, error) {
	return r.measure(ctx)
}

// steady is a Local whose wall clock is off from the time of the test's bubble,
// and whose elapsed clock is right.
type steady struct{ off atomic.Int64 }

func (l *steady) Wall() time.Time        { return time.Now().Add(time.Duration(l.off.Load())) }
func (l *steady) Elapsed() time.Duration { return time.Since(bubble) + time.Hour }

// bubble is when time begins in a bubble of package synctest.
var bubble = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// says is a reference that is off by so much, and knows itself to 5 ms.
func says(name string, local clock.Local, off *time.Duration) clock.Reference {
	return reference{name, func(context.Context) (clock.Measurement, error) {
		now := clock.Instant{Wall: local.Wall(), Elapsed: local.Elapsed()}
		time.Sleep(20 * time.Millisecond)
		end := clock.Instant{Wall: local.Wall(), Elapsed: local.Elapsed()}
		return clock.Measurement{
			Start: now, End: end,
			Offset: time.Now().Add(*off).Sub(end.Wall), Error: 5 * time.Millisecond, Stratum: 2,
			Delay: 20 * time.Millisecond,
		}, nil
	}}
}

func newMonitor(t testing.TB, cfg clock.MonitorConfig) *clock.Monitor {
	t.Helper()
	m, err := clock.NewMonitor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// reason is why the monitor does not know the time; empty if it does.
func reason(t testing.TB, m *clock.Monitor) clock.MonitorReason {
	t.Helper()
	r, err := m.Now(t.Context())
	if err == nil {
		if r.State != clock.StateSynchronised {
			t.Errorf("the state is %v", r.State)
		}
		return ""
	}
	var e *clock.MonitorError
	if !errors.As(err, &e) || !errors.Is(err, clock.ErrUnknown) || r != (clock.Reading{}) {
		t.Fatalf("Now() = %v, %#v; want a MonitorError", r, err)
	}
	return e.Reason
}

func TestMonitorMajority(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name  string
		offs  []time.Duration // of the references
		agree int
		want  clock.MonitorReason
	}{
		{"one", []time.Duration{0}, 0, ""},
		{"two", []time.Duration{0, 0}, 0, ""},
		{"two that differ", []time.Duration{0, s}, 0, clock.MonitorDisagree},
		{"three", []time.Duration{0, 0, 0}, 0, ""},
		{"one of three lies", []time.Duration{0, s, 0}, 0, ""},
		{"two of three lie", []time.Duration{0, s, -s}, 0, clock.MonitorDisagree},
		{"one of three lies, three must agree", []time.Duration{0, s, 0}, 3, clock.MonitorDisagree},
		{"two of four lie", []time.Duration{0, s, 0, s}, 0, clock.MonitorDisagree},
		{"two of five lie together", []time.Duration{0, s, 0, s, 0}, 0, ""},
		{"one must agree, and two do not", []time.Duration{0, s}, 1, clock.MonitorDisagree},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				local := new(steady)
				local.off.Store(int64(30 * time.Millisecond))
				cfg := clock.MonitorConfig{Local: local, Agree: tt.agree}
				for i := range tt.offs {
					cfg.References = append(cfg.References, says(fmt.Sprint("time", i), local, &tt.offs[i]))
				}
				m := newMonitor(t, cfg)
				time.Sleep(time.Hour * 24 * 3)
				if got := reason(t, m); got != clock.MonitorStarting {
					t.Errorf("before the first round, the reason is %q", got)
				}
				err := m.Poll(t.Context())
				if got := reason(t, m); got != tt.want || (err == nil) != (tt.want == "") {
					t.Errorf("got %q, Poll = %v; want %q", got, err, tt.want)
				}
				if tt.want != "" {
					return
				}
				r, _ := m.Now(t.Context())
				off := time.Until(r.Time)
				if off != 30*time.Millisecond || r.Bound < off || r.Bound > off+20*time.Millisecond {
					t.Errorf("off by %v, bound %v", off, r.Bound)
				}
			})
		})
	}
}

func TestMonitorStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := new(steady)
		var honest time.Duration
		var kinds []clock.MonitorEventKind
		m := newMonitor(t, clock.MonitorConfig{
			Local:      local,
			References: []clock.Reference{says("a", local, &honest), says("b", local, &honest), says("c", local, &honest)},
			Observe:    func(e clock.MonitorEvent) { kinds = append(kinds, e.Kind) },
		})
		time.Sleep(time.Hour * 24 * 3)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		if r, err := m.Now(ctx); err != nil || r.Bound > 30*time.Millisecond {
			t.Fatalf("got %v, %v", r, err)
		}
		synctest.Wait()
		if slices.Contains(kinds, clock.EventStepped) {
			t.Error("a step was reported before it took place")
		}
		local.off.Store(int64(-2 * time.Second)) // no round has seen it
		if r, err := m.Now(ctx); err != nil || r.Bound < 2*time.Second || r.Bound > 2100*time.Millisecond {
			t.Errorf("after a step: %v, %v; want a bound of 2 s", r, err)
		}
		time.Sleep(2 * time.Second) // Now has woken Run
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		if !slices.Contains(kinds, clock.EventStepped) {
			t.Errorf("the step was not reported, only %v", kinds)
		}
	})
}

func TestMonitorErrorMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := new(steady)
		var honest time.Duration
		lie := 2003 * time.Millisecond
		refused := errors.New("connection refused")
		m := newMonitor(t, clock.MonitorConfig{
			Local: local, Attempts: 1,
			References: []clock.Reference{
				says("a.example", local, &lie), says("b.example", local, &honest),
				reference{"c.example", func(context.Context) (clock.Measurement, error) { return clock.Measurement{}, refused }},
			},
		})
		time.Sleep(time.Hour * 24 * 3)
		err := m.Poll(t.Context())
		want := "clock: 2 of 3 time servers must agree and no two do: a.example +2.003 s, b.example +0.000 s, c.example: connection refused"
		if err == nil || err.Error() != want {
			t.Errorf("got %v; want %s", err, want)
		}
		if !errors.Is(err, refused) || !errors.Is(err, clock.ErrUnknown) {
			t.Error("the error does not wrap those of the references")
		}
		if !strings.HasPrefix(err.Error(), "clock: ") {
			t.Error("no prefix")
		}
	})
}
