package clock_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// A leap second with three servers: which of them know, and what is given when.
func TestMonitorLeap(t *testing.T) {
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		leap    clock.Leap
		kinds   [3]serverKind
		follows bool
		refused time.Duration // for about so long
		bound   time.Duration // afterwards, at least
	}{
		{"none", clock.LeapNone, [3]serverKind{}, true, 0, 0},
		{"inserted", clock.LeapInsert, [3]serverKind{}, true, 6 * time.Second, 0},
		{"deleted", clock.LeapDelete, [3]serverKind{}, true, 6 * time.Second, 0},
		{"inserted, and the kernel was not told", clock.LeapInsert, [3]serverKind{}, false, 6 * time.Second, time.Second},
		{"deleted, and the kernel was not told", clock.LeapDelete, [3]serverKind{}, false, 6 * time.Second, time.Second},
		{"inserted, one smears", clock.LeapInsert, [3]serverKind{honest, smearing, honest}, true, 6 * time.Second, 0},
		{"inserted, one says anything", clock.LeapInsert, [3]serverKind{leaping, honest, honest}, true, 6 * time.Second, 0},
		{"none, one says anything", clock.LeapNone, [3]serverKind{leaping, honest, honest}, true, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(midnight.Add(-3 * time.Hour))
			w.leap, w.at, w.follows = tt.leap, midnight.UnixNano(), tt.follows
			cfg := clock.MonitorConfig{Local: w}
			for i, k := range tt.kinds {
				s := w.server(string(rune('a' + i)))
				s.kind, s.lead = k, 2*time.Hour
				cfg.References = append(cfg.References, s)
			}
			var events []clock.MonitorEvent
			cfg.Observe = func(e clock.MonitorEvent) { events = append(events, e) }
			synctest.Test(t, func(t *testing.T) {
				m := newMonitor(t, cfg)
				g := newGuard(t, clock.GuardConfig{Source: m, Limit: time.Hour})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- m.Run(ctx) }()
				time.Sleep(time.Minute)
				refused := 0
				var last clock.Reading
				for time.Since(bubble) < 4*time.Hour {
					pause := time.Second
					if time.Until(bubble.Add(3*time.Hour)).Abs() < time.Minute {
						pause /= 10 // around midnight
					}
					time.Sleep(pause)
					r, err := g.Now(ctx)
					if err != nil {
						if got := reason(t, m); got != clock.MonitorLeap {
							t.Fatalf("%v", err)
						}
						refused++
						continue
					}
					last = r
					if miss, at := w.outside(m); miss > 0 {
						t.Fatalf("%v is %v outside the interval", at, miss)
					}
				}
				if got := time.Duration(refused) * time.Second / 10; (got - tt.refused).Abs() > time.Second {
					t.Errorf("refused for %v; want about %v", got, tt.refused)
				}
				if last.Bound < tt.bound || last.Bound > tt.bound+200*time.Millisecond {
					t.Errorf("the bound is %v in the end; want %v and little more", last.Bound, tt.bound)
				}
				if got := m.Status().Leap; got != clock.LeapNone {
					t.Errorf("in the end, the leap second is %v", got)
				}
				cancel()
				<-done
			})
			var announced, passed int
			for _, e := range events {
				switch e.Kind {
				case clock.EventLeapAnnounced:
					announced++
				case clock.EventLeapPassed:
					passed++
					if !e.LeapAt.Equal(midnight) || e.Leap != tt.leap {
						t.Errorf("%v passed at %v", e.Leap, e.LeapAt)
					}
					if tt.follows == (e.Offset.Abs() > time.Second/2) {
						t.Errorf("the kernel follows: %v; and the offset is %v", tt.follows, e.Offset)
					}
				case clock.EventJumped, clock.EventLeapWithdrawn:
					t.Errorf("event %q", e.Kind)
				}
			}
			want := 1
			if tt.leap == clock.LeapNone {
				want = 0
			}
			if announced != want || passed != want {
				t.Errorf("announced %d times and passed %d times; want %d", announced, passed, want)
			}
		})
	}
}

// Where those that announce it and those that do not cannot both be right, no
// earlier answer counts after it.
func TestMonitorLeapContested(t *testing.T) {
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, leap := range []clock.Leap{clock.LeapNone, clock.LeapInsert, clock.LeapDelete} {
		t.Run(leap.String(), func(t *testing.T) {
			w := newWorld(midnight.Add(-time.Hour))
			w.leap, w.at, w.follows = leap, midnight.UnixNano(), true
			a, b := w.server("a"), w.server("b")
			a.lead, b.kind = 2*time.Hour, stubborn
			if leap == clock.LeapNone {
				b.kind = crying
			}
			synctest.Test(t, func(t *testing.T) {
				m := newMonitor(t, clock.MonitorConfig{Local: w, References: []clock.Reference{a, b}, Observe: func(e clock.MonitorEvent) {
					if (e.Kind == clock.EventLeapAnnounced || e.Kind == clock.EventLeapPassed) && !e.Contested {
						t.Errorf("%s: %v is said to be certain", e.Kind, e.Leap)
					}
				}})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- m.Run(ctx) }()
				given := 0
				for time.Since(bubble) < 2*time.Hour {
					pause := time.Second
					if left := time.Until(bubble.Add(time.Hour)); left.Abs() < 10*time.Second {
						pause = 2 * time.Millisecond
					}
					time.Sleep(pause)
					if _, err := m.Now(ctx); err == nil && pause == time.Second {
						given++
					}
					if miss, at := w.outside(m); miss > 0 {
						t.Fatalf("%v is %v outside the interval", at, miss)
					}
				}
				if given < 2*60*60-180 {
					t.Errorf("a time was given %d times in two hours of seconds", given)
				}
				cancel()
				<-done
			})
		})
	}
}

// While nothing is known yet, answers of the minutes around the end of a month
// say nothing: on which side of a leap second they are is not known either.
func TestMonitorStartsAtMonthEnd(t *testing.T) {
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, leap := range []clock.Leap{clock.LeapNone, clock.LeapInsert, clock.LeapDelete} {
		t.Run(leap.String(), func(t *testing.T) {
			w := newWorld(midnight.Add(-30 * time.Second))
			w.leap, w.at, w.follows = leap, midnight.UnixNano(), true
			_, refs := three(w)
			run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
				for range 80 {
					time.Sleep(time.Second)
					if got := reason(t, m); got != clock.MonitorFew && got != clock.MonitorStarting {
						t.Fatalf("%v after the start: %q", time.Since(bubble), got)
					}
				}
				time.Sleep(2 * time.Minute)
				if got := reason(t, m); got != "" {
					t.Errorf("later: %q", got)
				}
			})
		})
	}
}

// A leap second that nobody announced is a jump like any other: refused, then
// confirmed.
func TestMonitorLeapUnannounced(t *testing.T) {
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	w := newWorld(midnight.Add(-time.Hour))
	w.leap, w.at, w.follows = clock.LeapInsert, midnight.UnixNano(), true
	var kinds []clock.MonitorEventKind
	cfg := clock.MonitorConfig{Local: w, Observe: func(e clock.MonitorEvent) {
		if e.Kind != clock.EventMeasured && e.Kind != clock.EventRound {
			kinds = append(kinds, e.Kind)
		}
	}}
	for _, name := range []string{"a", "b", "c"} {
		cfg.References = append(cfg.References, w.server(name))
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		time.Sleep(2 * time.Hour)
		if got := reason(t, m); got != "" {
			t.Errorf("an hour later: %v", got)
		}
		cancel()
		<-done
	})
	want := []clock.MonitorEventKind{clock.EventSynchronised, clock.EventStepped, clock.EventLost, clock.EventJumped, clock.EventSynchronised}
	kinds = slices.DeleteFunc(kinds, func(k clock.MonitorEventKind) bool { return k == clock.EventAgrees || k == clock.EventDisagrees })
	if !slices.Equal(kinds, want) {
		t.Errorf("events %q; want %q", kinds, want)
	}
}
