package clock_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// begin runs a monitor until the test ends.
func begin(t *testing.T, m *clock.Monitor) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		time.Sleep(2 * time.Second) // for references that take no notice of their context
	})
	return ctx
}

// pool are honest references and liars, which say the same wrong time and
// answer first.
func pool(local clock.Local, honest, liars int, lie time.Duration) (refs []clock.Reference) {
	right := new(time.Duration)
	for i := range honest {
		r := says(fmt.Sprint("honest", i), local, right)
		refs = append(refs, reference{r.Name(), func(ctx context.Context) (clock.Measurement, error) {
			time.Sleep(time.Second)
			return r.Measure(ctx)
		}})
	}
	for i := range liars {
		refs = append(refs, says(fmt.Sprint("liar", i), local, &lie))
	}
	return refs
}

// Of a few that are chosen at random most may be liars, though of all only a
// minority is: that must not make a wrong time, not even for the first rounds.
func TestMonitorPickNeedsMajorityOfAll(t *testing.T) {
	for try := range 30 {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Hour)
			l := new(steady)
			l.off.Store(int64(5 * time.Second)) // as the liars would have it
			m := newMonitor(t, clock.MonitorConfig{Local: l, References: pool(l, 6, 5, 5*time.Second), Pick: 4, Agree: 3})
			ctx := begin(t, m)
			for range 3000 {
				time.Sleep(100 * time.Millisecond)
				r, err := m.Now(ctx)
				if err == nil && time.Until(r.Time).Abs() > r.Bound {
					t.Fatalf("try %d: %v wrong, bound %v", try, time.Until(r.Time), r.Bound)
				}
			}
			if got := reason(t, m); got != "" {
				t.Errorf("try %d: not known after five minutes: %s", try, got)
			}
		})
	}
}

// answeredBy makes a reference that a server answers for.
func answeredBy(r clock.Reference, server *atomic.Value) clock.Reference {
	return reference{r.Name(), func(ctx context.Context) (clock.Measurement, error) {
		m, err := r.Measure(ctx)
		m.Server = server.Load().(string)
		return m, err
	}}
}

// Two names of one server are one vote, so that one liar is not two.
func TestMonitorOneServerOneVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(steady)
		var right time.Duration
		lie := 5 * time.Second
		one, two, three := new(atomic.Value), new(atomic.Value), new(atomic.Value)
		one.Store("192.0.2.1")
		two.Store("192.0.2.66")
		three.Store("192.0.2.66")
		m := newMonitor(t, clock.MonitorConfig{Local: l, References: []clock.Reference{
			answeredBy(says("a", l, &right), one), answeredBy(says("b", l, &lie), two), answeredBy(says("c", l, &lie), three),
		}})
		l.off.Store(int64(5 * time.Second))
		for range 3 {
			if err := m.Poll(t.Context()); err == nil {
				r, err := m.Now(t.Context())
				t.Fatalf("one liar with two names made %v, %v", r, err)
			}
		}
		c := m.Status().References[2]
		if c.Measured || c.Err == nil {
			t.Errorf("status of the second name: %+v", c)
		}
		// The name comes to stand for another server.
		three.Store("192.0.2.3")
		lie = 0
		l.off.Store(0)
		for range 4 {
			_ = m.Poll(t.Context())
		}
		if got := reason(t, m); got != "" || !m.Status().References[2].Measured {
			t.Errorf("with three servers: %q, %+v", got, m.Status().References)
		}
	})
}

// An earlier name that comes to lead to the server of a later one takes its
// vote; nobody is left out for good.
func TestMonitorServersSwap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(steady)
		var right time.Duration
		one, two := new(atomic.Value), new(atomic.Value)
		one.Store("192.0.2.1")
		two.Store("192.0.2.2")
		m := newMonitor(t, clock.MonitorConfig{Local: l, References: []clock.Reference{
			answeredBy(says("a", l, &right), one), answeredBy(says("b", l, &right), two),
		}})
		for i := range 4 {
			_ = m.Poll(t.Context())
			if i == 0 {
				one.Store("192.0.2.2")
				two.Store("192.0.2.1")
			}
		}
		s := m.Status()
		if s.State != clock.StateSynchronised || s.Age > time.Second || s.References[0].Err != nil || s.References[1].Err != nil {
			t.Errorf("%+v", s)
		}
	})
}

// Kiss-o'-death packets can be forged by whoever is on the way for a moment.
// They must not stop the clock for a day.
func TestMonitorKissOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(steady)
		var right time.Duration
		var attack atomic.Bool
		var asked atomic.Int64
		var refs []clock.Reference
		for _, name := range []string{"a", "b", "c"} {
			r := says(name, l, &right)
			refs = append(refs, reference{name, func(ctx context.Context) (clock.Measurement, error) {
				asked.Add(1)
				if attack.Load() {
					return clock.Measurement{}, kiss(24 * time.Hour)
				}
				return r.Measure(ctx)
			}})
		}
		m := newMonitor(t, clock.MonitorConfig{Local: l, References: refs})
		begin(t, m)
		time.Sleep(10 * time.Minute)
		attack.Store(true)
		time.Sleep(2 * time.Minute)
		attack.Store(false)
		before := asked.Load()
		for range 120 {
			time.Sleep(time.Minute)
			if got := reason(t, m); got != "" {
				t.Fatalf("stopped by forged packets: %s", got)
			}
		}
		if m.Status().Age > 20*time.Minute || asked.Load() == before {
			t.Errorf("status %+v", m.Status())
		}
		// Who means it is asked four times in an hour, no more.
		attack.Store(true)
		time.Sleep(20 * time.Minute)
		before = asked.Load()
		time.Sleep(5 * time.Hour)
		if n := asked.Load() - before; n < 3 || n > 3*20+3 {
			t.Errorf("servers that want to be left alone were asked %d times in five hours", n)
		}
	})
}

// slewed is a Local whose wall clock is slewed all the time, as chronyd does it
// at its fastest.
type slewed struct{ steady }

func (l *slewed) Wall() time.Time {
	now := time.Now()
	return now.Add(now.Sub(bubble) / 12)
}

// A clock that is slewed for hours is no reason to flood servers.
func TestMonitorSlewedPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(slewed)
		var right time.Duration
		var rounds atomic.Int64
		m := newMonitor(t, clock.MonitorConfig{Local: l, References: []clock.Reference{says("a", l, &right)},
			Observe: func(e clock.MonitorEvent) {
				if e.Kind == clock.EventRound {
					rounds.Add(1)
				}
			}})
		ctx := begin(t, m)
		for range 3600 {
			time.Sleep(time.Second)
			if r, err := m.Now(ctx); err == nil && time.Until(r.Time).Abs() > r.Bound {
				t.Fatalf("%v wrong, bound %v", time.Until(r.Time), r.Bound)
			}
		}
		if n := rounds.Load(); n > 80 {
			t.Errorf("%d rounds in an hour", n)
		}
	})
}

// One of three that does not answer must not make the answers of the others
// too old, however short they are believed.
func TestMonitorDeadAndShortAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(steady)
		var right time.Duration
		dead := reference{"dead", func(ctx context.Context) (clock.Measurement, error) {
			<-ctx.Done()
			return clock.Measurement{}, ctx.Err()
		}}
		m := newMonitor(t, clock.MonitorConfig{Local: l, References: []clock.Reference{dead, says("a", l, &right), says("b", l, &right)},
			Interval: time.Second, Timeout: time.Second, MaxAge: 5 * time.Second, Attempts: 3})
		begin(t, m)
		time.Sleep(time.Second)
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if got := reason(t, m); got != "" {
				t.Fatalf("at %v: %s", time.Since(bubble), got)
			}
		}
	})
}

// What is recorded of a step says how the clock is after it, or that it is not
// known.
func TestMonitorStepSaysHowItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(steady)
		var right time.Duration
		var up atomic.Bool
		up.Store(true)
		var stepped []clock.MonitorEvent
		r := says("a", l, &right)
		m := newMonitor(t, clock.MonitorConfig{Local: l, MaxAge: 2 * time.Minute, Attempts: 1,
			References: []clock.Reference{reference{"a", func(ctx context.Context) (clock.Measurement, error) {
				if !up.Load() {
					return clock.Measurement{}, errors.New("down")
				}
				return r.Measure(ctx)
			}}},
			Observe: func(e clock.MonitorEvent) {
				if e.Kind == clock.EventStepped {
					stepped = append(stepped, e)
				}
			}})
		_ = m.Poll(t.Context())
		l.off.Store(int64(3 * time.Second))
		_ = m.Poll(t.Context())
		up.Store(false)
		time.Sleep(3 * time.Minute)
		l.off.Store(0)
		_ = m.Poll(t.Context())
		if len(stepped) != 2 {
			t.Fatalf("%d steps; want 2", len(stepped))
		}
		if e := stepped[0]; (e.Offset+3*time.Second).Abs() > e.Bound || e.Bound > 4*time.Second || e.Bound < 3*time.Second {
			t.Errorf("after a step of 3 s: offset %v, bound %v", e.Offset, e.Bound)
		}
		if e := stepped[1]; e.Offset != 0 || e.Bound != 0 {
			t.Errorf("while nothing is known: offset %v, bound %v", e.Offset, e.Bound)
		}
	})
}

// However long the interval is, servers are asked on the last day of a month,
// when they announce leap seconds.
func TestMonitorAsksOnTheLastDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		l := new(steady)
		var right time.Duration
		var last atomic.Int64
		m := newMonitor(t, clock.MonitorConfig{Local: l, References: []clock.Reference{says("a", l, &right)},
			Interval: 24 * time.Hour, MaxAge: 24 * time.Hour,
			Observe: func(e clock.MonitorEvent) {
				if now := time.Now().UTC(); e.Kind == clock.EventRound && now.Day() == 31 && now.Hour() == 12 {
					last.Add(1)
				}
			}})
		begin(t, m)
		time.Sleep(32 * 24 * time.Hour)
		if last.Load() == 0 {
			t.Error("nobody was asked at noon of the last day")
		}
	})
}
