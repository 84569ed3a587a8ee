package clock_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// A fate is what a world has in store, all of it chosen by a seed.
type fate struct {
	seed     uint64
	servers  int
	lying    int
	lasts    time.Duration
	leap     clock.Leap
	cfg      clock.MonitorConfig
	stable   bool // honest servers do not vanish
	readings int  // given
	refused  map[clock.MonitorReason]int
}

// live runs a world and checks each reading that is given against true time.
func live(t *testing.T, seed uint64) *fate {
	r := rand.New(rand.NewPCG(seed, 2026))
	f := &fate{seed: seed, refused: map[clock.MonitorReason]int{}}
	f.servers = 1 + r.IntN(9)
	f.lasts = time.Hour + time.Duration(r.Int64N(int64(3*time.Hour)))
	f.stable = r.IntN(3) == 0
	f.cfg = clock.MonitorConfig{
		Interval: time.Duration(16+r.IntN(100)) * time.Second,
		MaxAge:   20*time.Minute + time.Duration(r.Int64N(int64(time.Hour))),
		Drift:    100 * time.Microsecond,
		Attempts: 1 + r.IntN(3),
		Timeout:  time.Duration(1+r.IntN(5)) * time.Second,
	}
	if r.IntN(4) == 0 {
		f.cfg.Pick = 1 + r.IntN(f.servers)
	}
	electorate := f.servers
	if f.cfg.Pick > 0 {
		electorate = f.cfg.Pick
	}
	f.lying = r.IntN((electorate-1)/2 + 1)
	if honest := electorate - f.lying; r.IntN(4) == 0 {
		f.cfg.Agree = 1 + r.IntN(honest)
	}

	start := time.Date(2026, 12, 3, 4, 5, 6, 7, time.UTC)
	w := &world{
		rand: r, seen: map[time.Time]int64{},
		rate: (r.Float64() - 0.5) * 120e-6, swing: r.Float64() * 35e-6,
		period: time.Minute * time.Duration(5+r.IntN(120)),
		off:    time.Duration((r.Float64() - 0.5) * float64(400*time.Millisecond)),
	}
	if r.IntN(2) == 0 {
		w.interrupts = 0.02
	}
	if r.IntN(2) == 0 {
		w.leap = clock.Leap(1 + r.IntN(2))
		w.follows = r.IntN(2) == 0
		w.at = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
		f.leap = w.leap
		start = time.Unix(0, w.at).Add(-time.Duration(r.Int64N(int64(f.lasts))))
	} else if r.IntN(3) == 0 { // a month's end without one
		start = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Duration(r.Int64N(int64(f.lasts))))
	}
	w.start = start.UnixNano()
	w.since = w.start
	wrong := int64((r.Float64() - 0.5) * float64(200*time.Millisecond))
	w.lie = func(int64) (int64, time.Duration) { return wrong, time.Millisecond }
	f.cfg.Local = w

	var servers []*server
	for i := range f.servers {
		s := &server{world: w, name: fmt.Sprintf("time%d.example", i), up: true,
			root: time.Duration(r.ExpFloat64() * float64(5*time.Millisecond)),
			far:  time.Millisecond + time.Duration(r.ExpFloat64()*float64(40*time.Millisecond)),
			skew: r.Float64(),
			lead: f.cfg.MaxAge + time.Hour + time.Duration(r.Int64N(int64(4*time.Hour))),
		}
		s.err = time.Duration((r.Float64()*2 - 1) * float64(s.root))
		if i < f.lying {
			s.kind = serverKind(1 + r.IntN(int(serverKinds)-1))
		}
		servers = append(servers, s)
		f.cfg.References = append(f.cfg.References, s)
	}
	synctest.Test(t, func(t *testing.T) { f.unfold(t, w, servers) })
	return f
}

// unfold lets it happen.
func (f *fate) unfold(t *testing.T, w *world, servers []*server) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.cfg.Observe = func(e clock.MonitorEvent) {
		switch e.Kind {
		case clock.EventJumped, clock.EventDrift:
			t.Errorf("seed %d: event %q of %v, though nothing of the kind happened", f.seed, e.Kind, e.Size)
		}
	}
	m := newMonitor(t, f.cfg)
	g := newGuard(t, clock.GuardConfig{Source: m, Limit: time.Second})
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	go f.strike(ctx, w, servers)

	r := rand.New(rand.NewPCG(f.seed, 1))
	for end := time.Now().Add(f.lasts); time.Now().Before(end) && !t.Failed(); {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(5*time.Second)))
		f.check(t, w, g)
		if miss, at := w.outside(m); miss > 0 {
			t.Errorf("seed %d, %v in: true time %v is %v outside the interval\n%d servers of which %d lie\n%+v",
				f.seed, time.Since(bubble), at, miss, f.servers, f.lying, f.cfg)
		}
	}

	// With a majority that is honest and there, the time is soon known.
	for _, s := range servers {
		s.setUp(true)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run ended with %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	go func() { done <- m.Run(ctx) }()
	time.Sleep(5 * time.Minute)
	f.check(t, w, g)
	if _, err := m.Now(ctx); err != nil && f.cfg.Pick == 0 {
		t.Errorf("seed %d: five minutes after all honest servers were back: %v", f.seed, err)
	}
	cancel()
	<-done
	time.Sleep(2 * time.Minute) // whoever hangs ends
}

// check asks for the time and compares.
func (f *fate) check(t *testing.T, w *world, g *clock.Guard) {
	r, err := g.Now(t.Context())
	if err != nil {
		var e *clock.MonitorError
		var refused *clock.GuardError
		switch {
		case errors.As(err, &e):
			f.refused[e.Reason]++
		case errors.As(err, &refused) && (refused.Reason == clock.GuardBound || refused.Reason == clock.GuardStep):
			f.refused[clock.MonitorReason(refused.Reason)]++
		default:
			t.Errorf("seed %d: %v", f.seed, err)
		}
		return
	}
	f.readings++
	now := w.when(r.Time)
	off := r.Time.Sub(time.Unix(0, w.stamp(now)))
	if off.Abs() > r.Bound || w.inLeap(now) {
		t.Errorf("seed %d, %v in: %v is off by %v, and its bound is %v\n%d servers of which %d lie\n%+v",
			f.seed, time.Since(bubble), r.Time, off, r.Bound, f.servers, f.lying, f.cfg)
	}
}

// strike makes things happen.
func (f *fate) strike(ctx context.Context, w *world, servers []*server) {
	r := rand.New(rand.NewPCG(f.seed, 3))
	for sleep(ctx, time.Duration(r.ExpFloat64()*float64(2*time.Minute))) {
		switch s := servers[r.IntN(len(servers))]; r.IntN(12) {
		case 0:
			w.setWall(time.Duration((r.Float64()-0.5)*float64(4*time.Second)), 0)
		case 1, 2:
			w.nudge((r.Float64() - 0.5) * 2e-3)
		case 3, 4:
			w.setWall(time.Duration((r.Float64()-0.5)*float64(50*time.Millisecond)), 0)
		case 5:
			d := time.Duration(r.ExpFloat64() * float64(20*time.Minute))
			// Counted in whole seconds, though not as none at all.
			w.suspend(d, max(time.Second/2-d, time.Duration((r.Float64()*2-1)*float64(time.Second))))
		case 6: // all vanish
			for _, s := range servers {
				s.setUp(f.stable && s.kind == honest)
			}
		case 7, 8:
			for _, s := range servers {
				s.setUp(true)
			}
		case 9:
			s.setUp(f.stable && s.kind == honest)
		default:
			s.setUp(true)
		}
	}
}

// No reading is outside its bound, whatever happens.
func TestWorlds(t *testing.T) {
	worlds := 150
	if testing.Short() {
		worlds = 20
	}
	total := map[clock.MonitorReason]int{}
	readings, leaps := 0, 0
	for seed := range uint64(worlds) {
		f := live(t, seed)
		if t.Failed() {
			return
		}
		readings += f.readings
		for r, n := range f.refused {
			total[r] += n
		}
		leaps += total[clock.MonitorLeap]
	}
	t.Logf("%d worlds: %d readings, refused %v", worlds, readings, total)
	refused := 0
	for _, n := range total {
		refused += n
	}
	if readings < refused || leaps == 0 {
		t.Errorf("%d readings, refused %v: too little was tried", readings, total)
	}
}

func FuzzWorld(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { live(t, seed) })
}
