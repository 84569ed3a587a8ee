package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// MonitorConfig configures a [Monitor].
type MonitorConfig struct {
	// References are the clocks to compare with. Required, with different
	// names. With three, one may be wrong; with five, two.
	References []Reference

	// Local reads this machine's clocks. Nil: [PortableLocal].
	Local Local

	// Pick is how many references are asked in each round, chosen at random,
	// while the time is known. The answers of earlier rounds count too. Zero:
	// all of them.
	Pick int

	// Agree is how many references must agree. A majority of all of them is
	// always needed, also if Agree is less, or Pick. Zero: a majority.
	Agree int

	// Interval is the time between rounds, at least a second; a tenth is added
	// or taken at random, and while the time is not known they follow faster.
	// Zero: 64 s.
	Interval time.Duration

	// Timeout is how long one answer is waited for. Zero: 5 s.
	Timeout time.Duration

	// Attempts is how often a reference that does not answer is asked in a
	// round. Zero: 3.
	Attempts int

	// MaxAge is how long an answer counts, at most a day. While no reference
	// answers, the bound grows with Drift, and at this age the time becomes
	// unknown. Zero: 1 h.
	MaxAge time.Duration

	// Drift is the largest rate at which the elapsed clock of this machine may
	// run wrong, in each second of it; at most a millisecond. Every bound rests
	// on it. Zero: what Local's own method Drift says, or 100 µs (100 ppm). If
	// it is found to run wrong by more, that counts until many rounds have shown
	// that it does not.
	Drift time.Duration

	// Observe is told what happens, one event at a time, from the goroutine of
	// [Monitor.Run] or [Monitor.Poll]; it must not call Poll. Nil: nobody is.
	Observe func(MonitorEvent)
}

// Defaults and limits of the configuration.
const (
	defaultInterval = 64 * time.Second // RFC 5905, 7.2, MINPOLL of most clients
	defaultTimeout  = 5 * time.Second
	defaultAttempts = 3
	defaultMaxAge   = time.Hour

	// minInterval is what public servers bear (RFC 8633, 3.2 is far above it).
	minInterval = time.Second

	// maxMaxAge: a TSA synchronises at least every 24 hours (CA/B Forum, Code
	// Signing Baseline Requirements, 6.8).
	maxMaxAge = 24 * time.Hour

	maxAttempts   = 10
	maxReferences = 1000 // far more than anyone asks; bounds goroutines
)

// A Monitor is a [Source] that compares this machine's clock with several
// others and states how wrong it can be. It never sets the clock and never
// corrects what it shows.
//
// It reckons in the elapsed time of its [Local], which nobody sets. Each answer
// of a [Reference] says where true time was at a moment of that. A minority of
// references may say anything: the monitor takes the smallest interval that
// contains true time whichever of them is wrong, and intersects those of
// successive rounds. What Now returns is the wall clock as it is, with the
// largest distance to either end of the interval as it has moved on and widened
// by drift since. So a wall clock that is stepped or slewed shows in the bound
// of the next reading, without any reference being asked.
//
// The bound holds as long as most of the references are honest, the oscillator
// runs within the configured drift, and leap seconds are announced. What
// cannot be noticed before the next round is a machine that stood still
// without its elapsed clock counting it, such as a virtual machine that was
// paused; after it, the time is unknown until three rounds confirm it.
//
// All methods may be called from several goroutines at once.
type Monitor struct {
	cfg   MonitorConfig
	local Local
	pause interface{ Suspended() time.Duration } // nil if Local has none

	view atomic.Pointer[view]
	wake chan struct{} // that something needs a round now
	turn chan struct{} // held by the one round that is under way

	// The rest belongs to who holds turn.
	rand      *rand.Rand
	peers     []*peer
	history   history
	pending   history // rounds after a jump, until they are believed
	rate      float64 // largest drift
	leap      leapPlan
	announced leapPlan // leap, as last reported
	rounds    int
	doubt     MonitorReason // why the time is not known though something is; empty: it is
	jump      time.Duration // for MonitorJump
	known     bool          // as last reported, with offset and bound
	offset    time.Duration
	bound     time.Duration
	last      lastLook
	hurry     time.Duration // time to the next round while something is wrong
}

// lastLook is what the clocks showed in the last round.
type lastLook struct {
	look
	taken     bool
	suspended time.Duration
}

// NewMonitor checks the configuration and returns a Monitor that knows
// nothing yet: call Run, and Poll before it where a first answer is waited for.
func NewMonitor(cfg MonitorConfig) (*Monitor, error) {
	cfg.References = append([]Reference(nil), cfg.References...)
	names := map[string]bool{}
	m := &Monitor{
		wake: make(chan struct{}, 1),
		turn: make(chan struct{}, 1),
		rand: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	for i, r := range cfg.References {
		if r == nil {
			return nil, fmt.Errorf("clock: MonitorConfig.References[%d] is nil", i)
		}
		name := r.Name()
		if name == "" || names[name] {
			return nil, fmt.Errorf("clock: MonitorConfig.References[%d] is called %q, which is empty or taken", i, name)
		}
		names[name] = true
		m.peers = append(m.peers, &peer{ref: r, name: name})
	}
	m.local = cfg.Local
	if m.local == nil {
		m.local = PortableLocal()
	}
	m.pause, _ = m.local.(interface{ Suspended() time.Duration })
	if l, ok := m.local.(interface{ Drift() time.Duration }); ok && cfg.Drift == 0 {
		cfg.Drift = l.Drift()
	}
	cfg.Interval = cmp.Or(cfg.Interval, defaultInterval)
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.Attempts = cmp.Or(cfg.Attempts, defaultAttempts)
	cfg.MaxAge = cmp.Or(cfg.MaxAge, defaultMaxAge)
	cfg.Drift = cmp.Or(cfg.Drift, defaultDrift)
	cfg.Pick = cmp.Or(cfg.Pick, len(cfg.References))
	n := len(cfg.References)
	switch {
	case n == 0:
		return nil, errors.New("clock: MonitorConfig.References is required")
	case n > maxReferences:
		return nil, fmt.Errorf("clock: %d MonitorConfig.References are more than %d", n, maxReferences)
	case cfg.Pick < 0 || cfg.Pick > n:
		return nil, fmt.Errorf("clock: MonitorConfig.Pick %d is not between 0 and the %d references", cfg.Pick, n)
	case cfg.Agree < 0 || cfg.Agree > n:
		return nil, fmt.Errorf("clock: MonitorConfig.Agree %d is not between 0 and the %d references", cfg.Agree, n)
	case cfg.Interval < minInterval:
		return nil, fmt.Errorf("clock: MonitorConfig.Interval %v is below %v", cfg.Interval, minInterval)
	case cfg.Timeout < 0:
		return nil, fmt.Errorf("clock: MonitorConfig.Timeout %v is negative", cfg.Timeout)
	case cfg.Attempts < 0 || cfg.Attempts > maxAttempts:
		return nil, fmt.Errorf("clock: MonitorConfig.Attempts %d is not between 0 and %d", cfg.Attempts, maxAttempts)
	case cfg.MaxAge < cfg.Interval || cfg.MaxAge > maxMaxAge:
		return nil, fmt.Errorf("clock: MonitorConfig.MaxAge %v is not between the interval %v and %v", cfg.MaxAge, cfg.Interval, maxMaxAge)
	case cfg.Drift < 0 || cfg.Drift > maxDrift:
		return nil, fmt.Errorf("clock: MonitorConfig.Drift %v per second is not between 0 and %v", cfg.Drift, maxDrift)
	}
	m.cfg, m.rate = cfg, rateOf(cfg.Drift)
	first := m.draft(m.look())
	first.reason = MonitorStarting
	m.view.Store(first)
	return m, nil
}

// Now returns the wall clock of this machine, uncorrected, and how far it can
// be from true time, in [StateSynchronised]; or a [*MonitorError]. It asks
// nobody and never blocks, and allocates nothing if the time is known.
func (m *Monitor) Now(context.Context) (Reading, error) {
	v := m.view.Load()
	now := m.look()
	suspended := m.suspended()
	x, reason := v.judge(now, suspended)
	if v.strange(now, suspended) {
		select {
		case m.wake <- struct{}{}:
		default: // somebody has already
		}
	}
	if reason != "" {
		return Reading{}, m.explain(v, now, reason)
	}
	return Reading{Time: now.wall, Bound: bound(x, now), State: StateSynchronised}, nil
}

// Poll asks the references once, now, and returns nil if the time is known
// then, else a [*MonitorError], or the error of ctx. If a round is under way, it
// waits for that and makes another one.
func (m *Monitor) Poll(ctx context.Context) error {
	if _, err := m.round(ctx); err != nil {
		return err
	}
	_, err := m.Now(ctx)
	return err
}

// Run asks the references round after round until ctx ends. It returns nil.
func (m *Monitor) Run(ctx context.Context) error {
	var haste time.Duration // from one round to the next that someone wants
	for {
		began := time.Now()
		next, err := m.round(ctx)
		if err != nil {
			return nil // ctx has ended
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-timer.C:
			haste = 0
		case <-m.wake:
			// Someone noticed trouble. It may be there for long, such as a wall
			// clock that is slewed for an hour, and is no reason to ask more
			// often than servers bear.
			haste = min(max(2*haste, minInterval), m.cfg.Interval)
			timer.Reset(haste - time.Since(began))
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
		timer.Stop()
	}
}

// A look is one reading of the wall clock, between two of the elapsed one: a
// goroutine may be held up between any two of them.
type look struct {
	elapsed time.Duration // before
	wall    time.Time     // UTC, without a monotonic reading
	after   time.Duration
}

// difference is wall minus elapsed time, in nanoseconds.
func (l look) difference() int64 { return l.wall.UnixNano() - int64(l.elapsed) }

const (
	// tightLook is how far apart the readings of a look may be, and maxLooks
	// how often it is tried: what is left of it is added to the bound.
	tightLook = 100 * time.Microsecond
	maxLooks  = 3
)

func (m *Monitor) look() look {
	var best look
	for i := range maxLooks {
		l := look{elapsed: m.local.Elapsed(), wall: m.local.Wall()}
		l.after = m.local.Elapsed()
		if i == 0 || l.after-l.elapsed < best.after-best.elapsed {
			best = l
		}
		if best.after-best.elapsed <= tightLook {
			break
		}
	}
	best.wall = wall(best.wall)
	return best
}

// suspended is how long this machine has been suspended, as far as known. It is
// asked after the elapsed time of a reading and before that of what the reading
// will be compared with, so that no suspension falls between.
func (m *Monitor) suspended() time.Duration {
	if m.pause == nil {
		return 0
	}
	return m.pause.Suspended()
}

// offset is true time minus the wall clock, and bound the largest magnitude it
// can have.
func offset(x interval, now look) time.Duration {
	return time.Duration(x.mid() - now.wall.UnixNano())
}

func bound(x interval, now look) time.Duration {
	w := now.wall.UnixNano()
	return time.Duration(max(w-x.lo, x.hi-w))
}

// A view is what a round came to, for those who ask for the time. It never
// changes.
type view struct {
	reason MonitorReason // not empty: the time is not known
	jump   time.Duration

	at        time.Duration
	x         interval // of true time minus elapsed time, at that moment
	rate      float64
	heard     time.Duration
	maxAge    time.Duration
	suspended time.Duration
	leap      leapPlan

	wall int64 // wall minus elapsed time

	rounds, need, asked, answered, agree int

	drift     slope
	drifts    bool
	standings []standing
}

// judge returns the interval of true time during a look, or why it is unknown.
func (v *view) judge(now look, suspended time.Duration) (interval, MonitorReason) {
	switch {
	case v.reason != "":
		return interval{}, v.reason
	case !representable(now.wall):
		return interval{}, MonitorWall
	case now.after-v.heard > v.maxAge:
		return interval{}, MonitorStale
	}
	x := interval{
		v.x.lo + int64(now.elapsed) - widening(now.elapsed-v.at, v.rate),
		v.x.hi + int64(now.after) + widening(now.after-v.at, v.rate),
	}
	if suspended-v.suspended > minSuspension {
		x = x.widen(int64(suspendSlack))
	}
	switch v.leap.phase(x) {
	case duringLeap:
		return interval{}, MonitorLeap
	case afterLeap:
		if v.leap.contested {
			return interval{}, MonitorLeap
		}
		x = x.shift(v.leap.correction())
	}
	return x, ""
}

// strange reports whether a look shows something that no round has seen yet and
// one should look into. Other trouble was found by a round, and more follow.
func (v *view) strange(now look, suspended time.Duration) bool {
	if suspended-v.suspended > minSuspension {
		return true
	}
	if !representable(now.wall) {
		return false
	}
	d := now.difference() - v.wall
	return max(d, -d) > stepAfter(now.elapsed-v.at)
}

// explain makes an error of a reason.
func (m *Monitor) explain(v *view, now look, reason MonitorReason) *MonitorError {
	e := &MonitorError{
		Reason: reason, Need: v.need, Asked: v.asked, Answered: v.answered, Agree: v.agree,
		References: statuses(v.standings, now, v.rate),
	}
	switch reason {
	case MonitorJump:
		e.Jump = v.jump
	case MonitorStale:
		e.Age, e.MaxAge = now.after-v.heard, v.maxAge
	case MonitorLeap:
		e.Leap, e.LeapAt = v.leap.leap, time.Unix(0, v.leap.at).UTC()
	case MonitorWall:
		e.Wall = now.wall
	}
	return e
}

var _ Source = (*Monitor)(nil)
