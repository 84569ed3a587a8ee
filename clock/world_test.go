package clock_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

// A world is a machine with its clocks, the time servers it asks, and what
// happens to them. It lives in a bubble of package synctest, whose time passes
// as true time does, except that the machine may be suspended meanwhile.
//
// True time is counted in nanoseconds since 1970 as if there were no leap
// second in this world; stamp turns it into what honest clocks show.
type world struct {
	mu   sync.Mutex
	rand *rand.Rand

	start   int64         // true time when the bubble began
	skipped time.Duration // true time that the bubble slept through

	// The oscillator: a rate, and temperature that goes up and down.
	rate, swing float64
	period      time.Duration
	miscounted  time.Duration // of suspensions, by the elapsed clock
	suspended   time.Duration

	// The wall clock is the true time at since, plus off, plus what it is
	// slewed by since then.
	off   time.Duration
	slew  float64
	since int64
	// follows: it was told of the leap second.
	follows bool

	leap clock.Leap
	at   int64 // the end of the month at which it comes

	interrupts    float64                            // how often a goroutine is held up at a clock
	seen, earlier map[time.Time]int64                // when the wall clock was read
	lie           func(int64) (int64, time.Duration) // what liars agreed on
}

// newWorld is one in which nothing happens, with a clock that is right.
func newWorld(start time.Time) *world {
	return &world{
		rand: rand.New(rand.NewPCG(1, 2)), seen: map[time.Time]int64{},
		start: start.UnixNano(), since: start.UnixNano(),
		rate: 30e-6, period: time.Hour,
	}
}

// server is one in w that is honest and near.
func (w *world) server(name string) *server {
	return &server{world: w, name: name, up: true, root: time.Millisecond, far: 10 * time.Millisecond, skew: 0.5}
}

func (w *world) now() int64 {
	return w.start + int64(time.Since(bubble)+w.skipped)
}

// true time is now.
func (w *world) trueTime() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now()
}

// when is the true time at which the wall clock last showed that.
func (w *world) when(shown time.Time) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, ok := w.seen[shown]
	if !ok {
		now, ok = w.earlier[shown]
	}
	if !ok {
		panic("the clock never showed " + shown.String())
	}
	return now
}

// outside says by how much a monitor's interval misses true time, and when that
// was; 0 if it does not, or if the monitor knows no time.
func (w *world) outside(m *clock.Monitor) (time.Duration, time.Time) {
	wall, lo, hi, ok := m.Interval()
	if !ok {
		return 0, time.Time{}
	}
	now := w.when(wall)
	t := time.Unix(0, w.stamp(now))
	if w.inLeap(now) {
		return time.Second, t
	}
	return max(lo.Sub(t), t.Sub(hi), 0), t
}

// stamp is what honest clocks show at t. In the leap second itself there is no
// right answer; they repeat the second before, as Linux does.
func (w *world) stamp(t int64) int64 {
	switch {
	case w.leap == clock.LeapInsert && t >= w.at:
		return t - int64(time.Second)
	case w.leap == clock.LeapDelete && t >= w.at-int64(time.Second):
		return t + int64(time.Second)
	}
	return t
}

// inLeap reports whether no clock can show t.
func (w *world) inLeap(t int64) bool {
	return w.leap == clock.LeapInsert && t >= w.at && t < w.at+int64(time.Second)
}

func (w *world) Elapsed() time.Duration {
	w.mu.Lock()
	t := time.Since(bubble)
	omega := 2 * math.Pi / w.period.Seconds()
	swung := w.swing / omega * (1 - math.Cos(omega*t.Seconds())) // seconds
	e := t + time.Duration(float64(t)*w.rate+swung*1e9) + w.skipped + w.miscounted + time.Hour
	w.mu.Unlock()
	w.interrupt()
	return e
}

func (w *world) Suspended() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.suspended
}

func (w *world) Wall() time.Time {
	w.mu.Lock()
	now := w.now()
	shown := now
	if w.follows {
		shown = w.stamp(now)
	}
	shown += int64(w.off) + int64(float64(now-w.since)*w.slew)
	wall := time.Unix(0, shown).UTC()
	if len(w.seen) > 1000 {
		w.seen, w.earlier = map[time.Time]int64{}, w.seen
	}
	w.seen[wall] = now
	w.mu.Unlock()
	w.interrupt()
	return wall
}

// interrupt holds up a goroutine now and then.
func (w *world) interrupt() {
	w.mu.Lock()
	var d time.Duration
	if w.rand.Float64() < w.interrupts {
		d = time.Duration(w.rand.ExpFloat64() * float64(20*time.Millisecond))
	}
	w.mu.Unlock()
	if d > 0 {
		time.Sleep(d)
	}
}

// setWall sets the wall clock so that it is off by so much, and slews.
func (w *world) setWall(off time.Duration, slew float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off, w.slew, w.since = off, slew, w.now()
}

// nudge slews the wall clock from where it is.
func (w *world) nudge(slew float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	w.off += time.Duration(float64(now-w.since) * w.slew)
	w.slew, w.since = slew, now
}

// suspend stops the machine and the network's view of it for d of true time.
func (w *world) suspend(d, miscounted time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.skipped += d
	w.miscounted += miscounted
	w.suspended += d + miscounted
}

// A server is a reference in a world.
type server struct {
	*world
	name string
	kind serverKind

	root  time.Duration // how wrong it can be, as it says
	err   time.Duration // how wrong it is
	far   time.Duration // typical way
	skew  float64       // share of the delay on the way there, 0 to 1
	lead  time.Duration // how long before a leap second it announces it
	mu    sync.Mutex
	up    bool
	count int
}

type serverKind int

const (
	honest    serverKind = iota
	constant             // always wrong by the same
	subtle               // overlaps honest ones, and is sure of itself
	wild                 // anything
	drifting             // ever more wrong
	vague                // truthful about knowing nothing
	colluding            // as all of its kind
	smearing             // spreads a leap second over a day
	leaping              // announces leap seconds that do not come, or none
	stubborn             // knows of no leap second, until it is there
	crying               // announces one
	broken               // errors, panics, nonsense
	hanging              // does not answer, not even to its context
	serverKinds
)

var errUnreachable = errors.New("no route to host")

// kiss asks to be left alone.
type kiss time.Duration

func (k kiss) Error() string             { return "kiss-o'-death RATE" }
func (k kiss) RetryAfter() time.Duration { return time.Duration(k) }

func (s *server) Name() string { return s.name }

func (s *server) setUp(up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = up
}

// random calls f with the world's random numbers.
func (s *server) random(f func(*rand.Rand)) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	f(s.rand)
}

func (s *server) Measure(ctx context.Context) (clock.Measurement, error) {
	var there, back, lie time.Duration
	var dice int
	s.random(func(r *rand.Rand) {
		way := time.Duration(float64(s.far) * (1 + r.ExpFloat64()/2))
		there = time.Duration(float64(way) * s.skew)
		back = way - there
		lie = time.Duration((r.Float64() - 0.5) * math.Pow(10, 6+4*r.Float64()))
		dice = r.IntN(6)
	})
	s.mu.Lock()
	up := s.up
	s.count++
	n := s.count
	s.mu.Unlock()
	if !up {
		select {
		case <-ctx.Done():
			return clock.Measurement{}, ctx.Err()
		case <-time.After(there): // a router knows
			return clock.Measurement{}, errUnreachable
		}
	}
	if s.kind == hanging && dice < 3 {
		time.Sleep(time.Minute)
		return clock.Measurement{}, errUnreachable
	}

	before := s.Elapsed()
	m := clock.Measurement{Start: clock.Instant{Wall: s.Wall(), Elapsed: before}, Stratum: 2}
	width := s.Elapsed() - before
	if !sleep(ctx, there) {
		return clock.Measurement{}, ctx.Err()
	}
	t := s.trueTime()
	says := s.stamp(t) + int64(s.err)
	if s.leap != clock.LeapNone && t < s.at && s.at-t < int64(s.lead) {
		m.Leap = s.leap
	}
	root := s.root
	switch s.kind {
	case constant:
		says += int64(s.far) * 100
	case subtle:
		says += int64(s.root) + int64(s.far)/2
		root = 0
	case wild:
		says += int64(lie)
		root = lie.Abs() / 7
	case drifting:
		says += int64(n) * int64(time.Millisecond)
	case vague:
		says += int64(lie) / 10
		root += lie.Abs() / 10
	case colluding:
		s.world.mu.Lock()
		off, e := s.lie(t)
		s.world.mu.Unlock()
		says += off
		root = e
	case smearing:
		if s.leap != clock.LeapNone {
			// Noon to noon.
			says = t + int64(float64(s.stamp(s.at+int64(time.Hour))-s.at-int64(time.Hour))*
				min(max(float64(t-s.at+12*int64(time.Hour))/float64(24*time.Hour), 0), 1))
			m.Leap = clock.LeapNone
		}
	case leaping:
		m.Leap = clock.Leap(dice % 3)
	case stubborn:
		m.Leap = clock.LeapNone
	case crying:
		m.Leap = clock.LeapInsert
	case broken:
		switch dice {
		case 0:
			panic("index out of range")
		case 1:
			return clock.Measurement{}, kiss(time.Duration(lie.Abs()) * 100)
		case 2:
			return clock.Measurement{}, errors.New("not a time server")
		}
	}
	if !sleep(ctx, back) {
		return clock.Measurement{}, ctx.Err()
	}

	before = s.Elapsed()
	m.End.Wall = s.Wall()
	m.End.Elapsed = s.Elapsed()
	width += m.End.Elapsed - before
	m.Delay = m.End.Wall.Sub(m.Start.Wall)
	server := time.Unix(0, says)
	m.Offset = (server.Sub(m.Start.Wall) + server.Sub(m.End.Wall)) / 2
	m.Error = (m.Delay+1)/2 + root + width + 1
	if s.kind == broken && dice > 2 {
		m.Error = []time.Duration{-1, math.MaxInt64, 0}[dice-3]
		m.Offset = []time.Duration{0, math.MinInt64, math.MaxInt64}[dice-3]
	}
	return m, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
