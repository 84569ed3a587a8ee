package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// run runs a monitor of a world for a while, and returns what it reported.
func run(t *testing.T, cfg clock.MonitorConfig, script func(context.Context, *clock.Monitor)) []clock.MonitorEvent {
	t.Helper()
	var events []clock.MonitorEvent
	cfg.Observe = func(e clock.MonitorEvent) { events = append(events, e) }
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		script(ctx, m)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	return events
}

// of returns the events of one kind.
func of(events []clock.MonitorEvent, kind clock.MonitorEventKind) (some []clock.MonitorEvent) {
	for _, e := range events {
		if e.Kind == kind {
			some = append(some, e)
		}
	}
	return some
}

func three(w *world) ([]*server, []clock.Reference) {
	a, b, c := w.server("a"), w.server("b"), w.server("c")
	return []*server{a, b, c}, []clock.Reference{a, b, c}
}

// A virtual machine that was paused without its oscillator counting it: from
// the next round on, no time is given until three have confirmed the new one,
// and then it is right.
func TestMonitorPaused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		paused time.Duration
	}{
		{"a second", time.Second},
		{"an hour", time.Hour},
		{"a week", 7 * 24 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(bubble.AddDate(26, 3, 4))
			_, refs := three(w)
			var noticed, back time.Duration
			events := run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
				time.Sleep(10 * time.Minute)
				w.mu.Lock()
				w.skipped += tt.paused
				w.miscounted -= tt.paused
				w.off -= tt.paused // the wall clock stood still too
				w.mu.Unlock()
				resumed := time.Now()
				for range 200 {
					time.Sleep(time.Second)
					r, err := m.Now(ctx)
					if err != nil {
						if noticed == 0 {
							noticed = time.Since(resumed)
						}
						if got := reason(t, m); got != clock.MonitorJump {
							t.Fatal(err)
						}
						continue
					}
					if noticed != 0 {
						if back == 0 {
							back = time.Since(resumed)
						}
						if off := r.Time.Sub(time.Unix(0, w.trueTime())); off.Abs() > r.Bound {
							t.Fatalf("off by %v, bound %v", off, r.Bound)
						}
					}
				}
			})
			if noticed == 0 || noticed > 72*time.Second {
				t.Errorf("noticed after %v; want at the next round", noticed)
			}
			if d := back - noticed; d < 4*time.Second || d > 20*time.Second {
				t.Errorf("believed %v after it was noticed; want three quick rounds", d)
			}
			jumps := of(events, clock.EventJumped)
			if len(jumps) != 1 || (jumps[0].Size-tt.paused).Abs() > 100*time.Millisecond {
				t.Errorf("jumps reported: %+v; want one of %v", jumps, tt.paused)
			}
			if lost := of(events, clock.EventLost); len(lost) != 1 || len(of(events, clock.EventSynchronised)) != 2 {
				t.Errorf("lost %d times; want once, and synchronised twice", len(lost))
			}
		})
	}
}

// A majority that lies for a round or two is not believed.
func TestMonitorMajorityLiesForAMoment(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	wrong := int64(0)
	w.lie = func(int64) (int64, time.Duration) { return wrong, time.Millisecond }
	servers[0].kind, servers[1].kind = colluding, colluding
	events := run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		wrong = int64(2 * time.Second)
		w.mu.Unlock()
		for range 75 {
			time.Sleep(time.Second)
			if reason(t, m) == clock.MonitorJump {
				break
			}
		}
		if got := reason(t, m); got != clock.MonitorJump {
			t.Errorf("while two of three are 2 s off: %q; want %q", got, clock.MonitorJump)
		}
		w.mu.Lock()
		wrong = 0
		w.mu.Unlock()
		time.Sleep(5 * time.Second)
		if r, err := m.Now(ctx); err != nil || r.Bound > 50*time.Millisecond {
			t.Errorf("afterwards: %v, %v", r, err)
		}
	})
	if n := len(of(events, clock.EventLost)); n != 1 {
		t.Errorf("lost %d times; want once", n)
	}
}

// While nobody answers the bound grows with the drift, and at the age that is
// allowed the time is unknown; when they are back it is known again.
func TestMonitorSilence(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	w.rate = 0
	servers, refs := three(w)
	cfg := clock.MonitorConfig{Local: w, References: refs, MaxAge: time.Hour, Drift: 200 * time.Microsecond, Attempts: 1}
	events := run(t, cfg, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(10 * time.Minute)
		before, err := m.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range servers {
			s.setUp(false)
		}
		time.Sleep(57 * time.Minute)
		after, err := m.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if grown, want := after.Bound-before.Bound, 57*60*200*time.Microsecond; (grown - want).Abs() > 20*time.Millisecond {
			t.Errorf("the bound has grown by %v; want %v", grown, want)
		}
		if s := m.Status(); s.Age < 56*time.Minute || s.Age > 59*time.Minute || s.State != clock.StateSynchronised {
			t.Errorf("status is %v, age %v", s.State, s.Age)
		}
		time.Sleep(4 * time.Minute)
		if got := reason(t, m); got != clock.MonitorStale && got != clock.MonitorFew {
			t.Errorf("after an hour and more: %q", got)
		}
		for _, s := range servers[:2] {
			s.setUp(true)
		}
		time.Sleep(75 * time.Second)
		if got := reason(t, m); got != "" {
			t.Errorf("two are back: %q", got)
		}
	})
	if n := len(of(events, clock.EventLost)); n != 1 {
		t.Errorf("lost %d times; want once", n)
	}
	if n := len(of(events, clock.EventSynchronised)); n != 2 {
		t.Errorf("synchronised %d times; want twice", n)
	}
}

// As many as must agree must have been heard within MaxAge: one that goes on
// answering does not keep the others' word alive.
func TestMonitorOneRemains(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	cfg := clock.MonitorConfig{Local: w, References: refs, MaxAge: time.Hour, Attempts: 1}
	run(t, cfg, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(10 * time.Minute)
		servers[1].setUp(false)
		servers[2].setUp(false)
		time.Sleep(57 * time.Minute)
		if got := reason(t, m); got != "" {
			t.Errorf("within the hour: %q", got)
		}
		time.Sleep(3*time.Minute + time.Second)
		if got := reason(t, m); got != clock.MonitorFew && got != clock.MonitorStale {
			t.Errorf("after an hour: %q", got)
		}
	})
}

// Nobody asks any more: Now notices by itself.
func TestMonitorStale(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	_, refs := three(w)
	synctest.Test(t, func(t *testing.T) {
		m := newMonitor(t, clock.MonitorConfig{Local: w, References: refs})
		if err := m.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - time.Minute)
		if got := reason(t, m); got != "" {
			t.Errorf("within the hour: %q", got)
		}
		time.Sleep(2 * time.Minute)
		if got := reason(t, m); got != clock.MonitorStale {
			t.Errorf("after an hour: %q", got)
		}
		if s := m.Status(); s.State != clock.StateUnknown || s.Err == nil {
			t.Errorf("status: %v, %v", s.State, s.Err)
		}
		if err := m.Poll(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A liar who overlaps an honest reference makes it no more precise while the
// third one is silent.
func TestMonitorSubtleLiar(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	servers[0].root = 50 * time.Millisecond
	servers[1].kind = colluding
	w.lie = func(int64) (int64, time.Duration) { return int64(60 * time.Millisecond), 10 * time.Millisecond }
	servers[2].setUp(false)
	run(t, clock.MonitorConfig{Local: w, References: refs, Attempts: 1}, func(ctx context.Context, m *clock.Monitor) {
		for range 1000 {
			time.Sleep(time.Second)
			if got := reason(t, m); got != "" {
				t.Fatal(got)
			}
			if miss, at := w.outside(m); miss > 0 {
				t.Fatalf("%v is %v outside the interval", at, miss)
			}
		}
	})
}

// An oscillator that is worse than was said is noticed, and reckoned with.
func TestMonitorDrift(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	w.rate = 400e-6
	_, refs := three(w)
	events := run(t, clock.MonitorConfig{Local: w, References: refs, Drift: 50 * time.Microsecond}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(20 * time.Minute)
		for range 1000 {
			time.Sleep(time.Second)
			if got := reason(t, m); got != "" {
				t.Fatal(got)
			}
			if miss, at := w.outside(m); miss > 0 {
				t.Fatalf("%v is %v outside the interval", at, miss)
			}
		}
		s := m.Status()
		if s.DriftLimit < 400*time.Microsecond || s.DriftLimit > time.Millisecond {
			t.Errorf("drift up to %v is reckoned with; want 400 µs or more", s.DriftLimit)
		}
		if (s.Drift-400*time.Microsecond).Abs() > s.DriftError || s.DriftError > 100*time.Microsecond {
			t.Errorf("drift is estimated as %v ±%v; want 400 µs", s.Drift, s.DriftError)
		}
	})
	drifts := of(events, clock.EventDrift)
	if len(drifts) == 0 || len(drifts) > 3 {
		t.Errorf("%d events of drift", len(drifts))
	}
	if n := len(of(events, clock.EventJumped)); n != 0 {
		t.Errorf("%d jumps; want none", n)
	}
}

// A virtual machine that stood still for a moment looks like an oscillator that
// is worse than was said. That is not held against it for ever.
func TestMonitorDriftPasses(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	servers, refs := three(w)
	for _, s := range servers {
		s.far, s.root, s.err = time.Millisecond, time.Millisecond, 0
	}
	events := run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		w.skipped += 40 * time.Millisecond
		w.miscounted -= 40 * time.Millisecond
		w.mu.Unlock()
		time.Sleep(5 * time.Minute)
		if d := m.Status().DriftLimit; d <= 100*time.Microsecond {
			t.Fatalf("drift up to %v is reckoned with; want more, or this is no test", d)
		}
		for range 3600 {
			time.Sleep(time.Second)
			if got := reason(t, m); got != "" {
				t.Fatal(got)
			}
			if miss, at := w.outside(m); miss > 0 {
				t.Fatalf("%v is %v outside the interval", at, miss)
			}
		}
		if d := m.Status().DriftLimit; d != 100*time.Microsecond {
			t.Errorf("drift up to %v is reckoned with an hour later; want 100 µs", d)
		}
	})
	if n, m := len(of(events, clock.EventDrift)), len(of(events, clock.EventDriftPassed)); n != 1 || m != 1 {
		t.Errorf("%d events of drift and %d of its end; want one each", n, m)
	}
}

// A suspension that is badly counted widens the bound at once, and a round
// mends it.
func TestMonitorSuspended(t *testing.T) {
	w := newWorld(bubble.AddDate(26, 3, 4))
	_, refs := three(w)
	events := run(t, clock.MonitorConfig{Local: w, References: refs}, func(ctx context.Context, m *clock.Monitor) {
		time.Sleep(10 * time.Minute)
		w.suspend(30*time.Minute, -900*time.Millisecond)
		r, err := m.Now(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if off := r.Time.Sub(time.Unix(0, w.when(r.Time))); off.Abs() > r.Bound || r.Bound < time.Second || r.Bound > 3200*time.Millisecond { // with the drift of 30 minutes
			t.Errorf("on resumption: off by %v, bound %v", off, r.Bound)
		}
		time.Sleep(2 * time.Second)
		if r, err := m.Now(ctx); err != nil || r.Bound > 50*time.Millisecond {
			t.Errorf("two seconds later: %v, %v", r, err)
		}
	})
	if e := of(events, clock.EventSuspended); len(e) != 1 || (e[0].Size-30*time.Minute).Abs() > time.Second {
		t.Errorf("suspensions: %+v", e)
	}
}
