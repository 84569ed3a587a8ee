package clock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

func TestNewMonitor(t *testing.T) {
	a := reference{name: "a"}
	refs := []clock.Reference{a, reference{name: "b"}}
	for _, tt := range []struct {
		name string
		cfg  clock.MonitorConfig
		ok   bool
	}{
		{"defaults", clock.MonitorConfig{References: refs}, true},
		{"nothing", clock.MonitorConfig{}, false},
		{"nil reference", clock.MonitorConfig{References: []clock.Reference{a, nil}}, false},
		{"same name", clock.MonitorConfig{References: []clock.Reference{a, a}}, false},
		{"no name", clock.MonitorConfig{References: []clock.Reference{reference{}}}, false},
		{"too many", clock.MonitorConfig{References: many(1001)}, false},
		{"pick too many", clock.MonitorConfig{References: refs, Pick: 3}, false},
		{"pick negative", clock.MonitorConfig{References: refs, Pick: -1}, false},
		{"agree too many", clock.MonitorConfig{References: refs, Pick: 1, Agree: 3}, false},
		{"agree negative", clock.MonitorConfig{References: refs, Agree: -1}, false},
		{"interval", clock.MonitorConfig{References: refs, Interval: time.Second - 1}, false},
		{"timeout", clock.MonitorConfig{References: refs, Timeout: -1}, false},
		{"attempts", clock.MonitorConfig{References: refs, Attempts: 11}, false},
		{"attempts negative", clock.MonitorConfig{References: refs, Attempts: -1}, false},
		{"age below the interval", clock.MonitorConfig{References: refs, MaxAge: time.Minute}, false},
		{"age above a day", clock.MonitorConfig{References: refs, MaxAge: 25 * time.Hour}, false},
		{"drift", clock.MonitorConfig{References: refs, Drift: time.Millisecond + 1}, false},
		{"drift negative", clock.MonitorConfig{References: refs, Drift: -1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := clock.NewMonitor(tt.cfg)
			if (err == nil) != tt.ok || (m == nil) == tt.ok {
				t.Fatalf("got %v, %v", m, err)
			}
			if !tt.ok {
				return
			}
			if got := reason(t, m); got != clock.MonitorStarting {
				t.Errorf("a new one answers with %q", got)
			}
			s := m.Status()
			if s.State != clock.StateUnknown || s.Need != 2 || s.Asked != 2 || len(s.References) != 2 || !errors.Is(s.Err, clock.ErrUnknown) {
				t.Errorf("status of a new one: %+v", s)
			}
			if s.DriftLimit != 600*time.Microsecond {
				t.Errorf("Go's clock drifts by %v; want 600 µs", s.DriftLimit)
			}
		})
	}
}

func many(n int) (refs []clock.Reference) {
	for i := range n {
		refs = append(refs, reference{name: fmt.Sprint(i)})
	}
	return refs
}

// Whatever a reference does, the others are heard.
func TestMonitorBadReferences(t *testing.T) {
	release := make(chan struct{})
	unreachable := errors.New("no route to host")
	good := clock.Measurement{}
	for _, tt := range []struct {
		name    string
		measure func(context.Context) (clock.Measurement, error)
		says    string // its error
	}{
		{"error", func(context.Context) (clock.Measurement, error) { return good, unreachable }, "no route to host"},
		{"panic", func(context.Context) (clock.Measurement, error) { panic("boom") }, "panic: boom"},
		{"slow", func(ctx context.Context) (clock.Measurement, error) { <-ctx.Done(); return good, ctx.Err() }, "deadline exceeded"},
		{"hangs", func(context.Context) (clock.Measurement, error) { <-release; return good, unreachable }, "does not give up"},
		{"zero", func(context.Context) (clock.Measurement, error) { return good, nil }, "no measurement"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			release = make(chan struct{})
			w := newWorld(bubble.AddDate(26, 3, 4))
			_, refs := three(w)
			refs[1] = reference{"bad", tt.measure}
			synctest.Test(t, func(t *testing.T) {
				m := newMonitor(t, clock.MonitorConfig{Local: w, References: refs})
				release = make(chan struct{})
				began := time.Now()
				done := make(chan error)
				go func() { done <- m.Poll(t.Context()) }()
				time.Sleep(100 * time.Millisecond)
				if got := reason(t, m); got != "" {
					t.Errorf("once two have answered, the time is not known: %q", got)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("a round took %v", d)
				}
				bad := m.Status().References[1]
				if bad.Reachable || bad.Measured || bad.Err == nil || !strings.Contains(bad.Err.Error(), tt.says) {
					t.Errorf("status %+v; want the error %q", bad, tt.says)
				}
				began = time.Now()
				if err := m.Poll(t.Context()); err != nil {
					t.Error(err)
				}
				if d := time.Since(began); tt.name == "hangs" && d > time.Second {
					t.Errorf("who hangs was asked again, for %v", d)
				}
				close(release)
			})
		})
	}
}

// A reference that asks to be left alone is.
func TestMonitorKiss(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	_, refs := three(w)
	var asked []time.Duration
	var mu sync.Mutex
	refs[2] = reference{"busy", func(context.Context) (clock.Measurement, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, time.Since(bubble))
		return clock.Measurement{}, fmt.Errorf("busy: %w", kiss(20*time.Minute))
	}}
	run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(time.Hour)
		if got := reason(t, m); got != "" {
			t.Error(got)
		}
	})
	if len(asked) != 3 {
		t.Errorf("asked at %v; want three times in an hour, once each", asked)
	}
}

// With Pick, no more are asked in a round once the time is known, all have
// their turn, and answers of earlier rounds count.
func TestMonitorPick(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	var refs []clock.Reference
	for i := range 12 {
		s := w.server(fmt.Sprint("time", i))
		if i < 5 {
			s.kind = constant // 1 s off; three of any four may be
		}
		refs = append(refs, s)
	}
	events := run(t, clock.MonitorConfig{Local: w, References: refs, Pick: 4, Agree: 3}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(time.Hour)
		s := m.Status()
		if s.State != clock.StateSynchronised || s.Answered != 12 || s.Need != 7 || s.Agree != 7 {
			t.Errorf("status %+v", s)
		}
		for i, r := range s.References {
			if r.Agrees != (i >= 5) {
				t.Errorf("%s agrees: %v", r.Name, r.Agrees)
			}
		}
	})
	measured, most := 0, 12
	for _, e := range events {
		switch e.Kind {
		case clock.EventMeasured:
			measured++
		case clock.EventRound:
			if measured > most {
				t.Errorf("%d were asked in a round; want %d at most", measured, most)
			}
			measured, most = 0, 4
		}
	}
}

// While it is not known what time it is, rounds follow faster, but not for
// long; and Now does not make them faster still.
func TestMonitorPace(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	servers[0].setUp(false)
	servers[1].setUp(false)
	var at []time.Duration
	cfg := clock.MonitorConfig{Local: w, References: refs, Attempts: 1, Observe: func(e clock.MonitorEvent) {
		if e.Kind == clock.EventRound {
			at = append(at, time.Since(bubble))
		}
	}}
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		for range 3600 {
			time.Sleep(time.Second)
			if got := reason(t, m); got != clock.MonitorFew {
				t.Fatal(got)
			}
		}
		cancel()
		<-done
	})
	if len(at) < 55 || len(at) > 70 || at[3] > 20*time.Second {
		t.Errorf("%d rounds in an hour, the first at %v", len(at), at[:min(5, len(at))])
	}
	for i := 10; i < len(at); i++ {
		if d := at[i] - at[i-1]; d < 57*time.Second || d > 72*time.Second {
			t.Errorf("a round %v after the other; want 64 s, a tenth more or less", d)
		}
	}
}

func TestMonitorPollEnds(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	_, refs := three(w)
	slow := reference{"slow", func(ctx context.Context) (clock.Measurement, error) {
		<-ctx.Done()
		return clock.Measurement{}, ctx.Err()
	}}
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, clock.MonitorConfig{Local: w, References: append(refs, slow)})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want DeadlineExceeded", err)
		}
		if d := time.Since(bubble); d > 2*time.Second {
			t.Errorf("ended after %v", d)
		}
		if err := m.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want DeadlineExceeded", err)
		}
	})
}

// A monitor that is told to end says nothing about the references that it was
// asking.
func TestMonitorGivesUp(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	_, refs := three(w)
	slow := reference{"slow", func(ctx context.Context) (clock.Measurement, error) {
		<-ctx.Done()
		return clock.Measurement{}, ctx.Err()
	}}
	var measured int
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, clock.MonitorConfig{Local: w, References: append(refs, slow), Observe: func(e clock.MonitorEvent) {
			if e.Kind != clock.EventMeasured {
				return
			}
			if measured++; e.Err != nil {
				t.Errorf("%s: %v", e.Reference, e.Err)
			}
		}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := m.Poll(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v; want Canceled", err)
		}
	})
	if measured != len(refs) {
		t.Errorf("%d measured, want %d", measured, len(refs))
	}
}

// What a reference says that does not agree, or does again, is told once.
func TestMonitorDisagrees(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	var wrong int64
	w.lie = func(int64) (int64, time.Duration) { return wrong, time.Millisecond }
	servers[1].kind = colluding
	events := run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
		for _, off := range []int64{0, 300e6, 0} {
			w.mu.Lock()
			wrong = off
			w.mu.Unlock()
			time.Sleep(5 * time.Minute)
			if got := reason(t, m); got != "" {
				t.Error(got)
			}
		}
		for _, r := range m.Status().References {
			if !r.Agrees || !r.Reachable || r.Age > 75*time.Second || r.Stratum != 2 {
				t.Errorf("in the end: %+v", r)
			}
		}
	})
	var got []string
	for _, e := range events {
		if e.Kind == clock.EventDisagrees || e.Kind == clock.EventAgrees {
			got = append(got, fmt.Sprint(e.Reference, " ", e.Kind, " by ", e.Size.Abs().Round(100*time.Millisecond)))
		}
	}
	if want := []string{"b disagrees by 300ms", "b agrees by 0s"}; !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// The answers that the time is first learned from are of one time.
func TestMonitorStartsWithFreshAnswers(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	servers[1].setUp(false)
	servers[2].setUp(false)
	run(t, clock.MonitorConfig{Local: w, References: refs, Attempts: 1}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(time.Second)
		servers[0].setUp(false)
		time.Sleep(200 * time.Second)
		servers[1].setUp(true)
		time.Sleep(75 * time.Second)
		if got := reason(t, m); got != clock.MonitorFew {
			t.Errorf("two answered minutes apart: %q", got)
		}
		servers[0].setUp(true)
		time.Sleep(75 * time.Second)
		if got := reason(t, m); got != "" {
			t.Errorf("two answered: %q", got)
		}
	})
}

// Status and Now may be called while rounds are made.
func TestMonitorConcurrent(t *testing.T) {
	local := clock.PortableLocal()
	var off time.Duration
	m := newMonitor(t, clock.MonitorConfig{References: []clock.Reference{says("a", local, &off)}, Local: local})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if r, err := m.Now(ctx); err == nil && time.Since(r.Time).Abs() > time.Minute {
					t.Error(r)
				}
				m.Status()
			}
		})
	}
	for range 5 {
		if err := m.Poll(ctx); err != nil && !slices.Contains([]clock.MonitorReason{"few"}, reason(t, m)) {
			t.Error(err)
		}
	}
	cancel()
	wg.Wait()
}

// still is a Local that costs nothing.
type still struct{}

func (still) Wall() time.Time        { return noon }
func (still) Elapsed() time.Duration { return time.Hour }

func pollStill(t testing.TB) *clock.Monitor {
	var refs []clock.Reference
	now := clock.Instant{Wall: noon, Elapsed: time.Hour}
	for _, name := range []string{"a", "b", "c"} {
		refs = append(refs, reference{name, func(context.Context) (clock.Measurement, error) {
			return clock.Measurement{Start: now, End: now, Offset: time.Millisecond, Error: time.Millisecond}, nil
		}})
	}
	m := newMonitor(t, clock.MonitorConfig{References: refs, Local: still{}})
	if err := m.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMonitorAllocations(t *testing.T) {
	m, ctx := pollStill(t), t.Context()
	if r, err := m.Now(ctx); err != nil || r.Bound != 2*time.Millisecond || !r.Time.Equal(noon) {
		t.Fatalf("got %v, %v; want 2ms", r, err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := m.Now(ctx); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("Now allocates %v times; want 0", n)
	}
}

func BenchmarkMonitor(b *testing.B) {
	m, ctx := pollStill(b), b.Context()
	b.Run("Now", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Now(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Now/parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := m.Now(ctx); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
