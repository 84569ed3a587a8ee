package clock

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// firstHurry is the time to the next round once something is wrong. It
	// doubles up to the interval: what does not pass within a minute or two
	// is no reason to keep asking so often.
	firstHurry = 2 * time.Second

	// retryDelay is the time before a reference is asked again that did not
	// answer; it doubles with each attempt.
	retryDelay = time.Second

	// patience is how long a reference is waited for whose context has ended.
	patience = time.Second

	// maxRest is the longest that a reference is left alone at its own wish, and
	// needRest where too few others are left to know the time. Whoever is on the
	// way for a moment can forge such wishes of all of them, and would stop the
	// clock for a day; a question in a quarter of an hour is no burden.
	maxRest  = 24 * time.Hour
	needRest = 15 * time.Minute

	// stepSize is how far the wall clock must move against the elapsed one
	// within a round to be called stepped: where NTP clients step instead of
	// slewing (RFC 5905, A.5.5.6, STEPT). slewRate is added to it, the rate of
	// adjtime. Neither decides about a reading: its bound does.
	stepSize = 128 * time.Millisecond
	slewRate = 500e-6

	// minSuspension is what two readings of how long the machine was suspended
	// may differ by without its having been.
	minSuspension = time.Millisecond

	// suspendSlack is how wrongly a suspension may be counted: by a clock that
	// has whole seconds, at both its ends.
	suspendSlack = 2 * time.Second
)

// stepAfter is the change of wall minus elapsed time that is called a step.
func stepAfter(span time.Duration) int64 {
	return int64(stepSize) + widening(span, slewRate)
}

// A peer is a reference and what is known of it.
type peer struct {
	ref  Reference
	name string
	busy atomic.Bool // it is being asked

	// The rest belongs to the round.
	sample *sample
	err    error
	asked  bool
	agrees bool
	// compared: agrees means something.
	compared bool
	fresh    bool          // the sample is of this round
	rest     time.Duration // the elapsed time until which it is left alone
	asleep   time.Duration // and that at which it asked for it
}

// An answer is what a reference said.
type answer struct {
	peer      *peer
	m         Measurement
	err       error
	suspended time.Duration // before it was asked
	from      time.Duration
}

// Errors of references that did not answer.
var (
	errPanicked = errors.New("panic")
	errHangs    = errors.New("does not answer and does not give up")
)

// round asks once, decides what time it is, and returns when to ask again. Its
// error is that of ctx.
func (m *Monitor) round(ctx context.Context) (next time.Duration, err error) {
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case <-m.wake: // this is the round that was wanted
	default:
	}
	m.notice()
	m.expire(m.local.Elapsed())
	answered := m.ask(ctx)
	if ctx.Err() != nil {
		return 0, ctx.Err() // silence means nothing then
	}
	m.rounds++
	return m.settle(answered), nil
}

// ask asks all references or some of them and takes their answers.
func (m *Monitor) ask(ctx context.Context) (answered int) {
	peers := m.choose()
	budget := time.Duration(m.cfg.Attempts) * m.cfg.Timeout
	for i := range m.cfg.Attempts - 1 {
		budget += retryDelay << i
	}
	// The answers of this round count from its end on, and should until the end
	// of the next one, with room for its jitter: who does not answer must not
	// make those of the others too old.
	budget = min(budget, max(m.cfg.Timeout, (m.cfg.MaxAge-m.cfg.Interval*3/2)/2))
	asking, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	answers := make(chan answer, len(peers)) // who comes too late is not heard, and does not wait
	for _, p := range peers {
		p.busy.Store(true)
		go func() {
			defer p.busy.Store(false)
			answers <- m.measure(asking, p)
		}()
	}
	waiting := make(map[*peer]bool, len(peers))
	for _, p := range peers {
		p.asked, p.fresh = true, false
		waiting[p] = true
	}
	timer := time.NewTimer(budget + patience)
	defer timer.Stop()
	done := ctx.Done()
	for len(waiting) > 0 {
		select {
		case a := <-answers:
			delete(waiting, a.peer)
			if a.err != nil && errors.Is(ctx.Err(), context.Canceled) {
				continue // it was given up, which says nothing about it
			}
			if m.take(a); a.peer.fresh {
				answered++
				// Whoever waits for a first answer need not wait for the
				// slowest reference.
				if len(m.history) == 0 && ctx.Err() == nil {
					m.settleEarly(answered)
				}
			}
		case <-done:
			done = nil
			timer.Reset(patience)
		case <-timer.C:
			for p := range waiting {
				m.take(answer{peer: p, err: errHangs})
			}
			return answered
		}
	}
	return answered
}

// choose returns the references to ask in this round. While the time is not
// known, or not for much longer, these are all: of a few chosen at random most
// may be wrong, though of all only a minority is.
func (m *Monitor) choose() []*peer {
	var can, resting []*peer
	now := m.local.Elapsed()
	for _, i := range m.rand.Perm(len(m.peers)) {
		switch p := m.peers[i]; {
		case p.busy.Load():
		case now >= p.rest:
			can = append(can, p)
		case now-p.asleep >= needRest:
			resting = append(resting, p)
		}
	}
	if len(can) < m.need() {
		can = append(can, resting...)
	}
	if len(m.history) > 0 && m.doubt == "" && now-m.history.newest() <= m.cfg.MaxAge/2 {
		can = can[:min(len(can), m.cfg.Pick)]
	}
	return can
}

// need is how many references must agree.
func (m *Monitor) need() int { return max(m.cfg.Agree, majority(len(m.peers))) }

// measure asks one reference as often as configured.
func (m *Monitor) measure(ctx context.Context, p *peer) (a answer) {
	delay := retryDelay
	for attempt := range m.cfg.Attempts {
		if attempt > 0 {
			timer := time.NewTimer(delay)
			delay *= 2
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return a
			}
		}
		a = answer{peer: p, suspended: m.suspended(), from: m.local.Elapsed()}
		if a.m, a.err = measureOnce(ctx, p.ref, m.cfg.Timeout); a.err == nil {
			return a
		}
		if _, rest := restOf(a.err); rest {
			return a
		}
	}
	return a
}

// measureOnce survives a reference that panics.
func measureOnce(ctx context.Context, r Reference, timeout time.Duration) (_ Measurement, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanicked, p, debug.Stack())
		}
	}()
	return r.Measure(ctx)
}

// restOf returns for how long a reference asks to be left alone.
func restOf(err error) (time.Duration, bool) {
	var kiss interface{ RetryAfter() time.Duration }
	if !errors.As(err, &kiss) {
		return 0, false
	}
	return min(max(kiss.RetryAfter(), 0), maxRest), true
}

// take keeps what a reference answered.
func (m *Monitor) take(a answer) {
	p, now := a.peer, m.local.Elapsed()
	var s *sample
	if p.err = a.err; p.err == nil {
		s, p.err = m.accept(a, now)
	}
	if s != nil {
		p.sample, p.fresh = s, true
	}
	if rest, ok := restOf(a.err); ok {
		p.rest, p.asleep = now+rest, now
	}
	m.observe(MonitorEvent{Kind: EventMeasured, Reference: p.name, Measurement: a.m, Err: p.err})
}

// accept makes a sample of an answer that can be used.
func (m *Monitor) accept(a answer, now time.Duration) (*sample, error) {
	if m.suspended()-a.suspended > minSuspension {
		return nil, errSuspended
	}
	s, err := newSample(a.m, a.from, now, m.rate)
	if err != nil {
		return nil, err
	}
	if err := m.claim(a.peer, a.m.Server); err != nil {
		return nil, err
	}
	s.suspended = a.suspended
	if len(m.history) == 0 {
		if nearMonthEnd(s.time()) {
			return nil, errMonthEnd
		}
		return s, nil
	}
	began := m.history.project(a.m.Start.Elapsed, m.rate).shift(int64(a.m.Start.Elapsed))
	ended := m.history.project(a.m.End.Elapsed, m.rate).shift(int64(a.m.End.Elapsed))
	took := interval{min(began.lo, ended.lo), max(began.hi, ended.hi)}
	if m.leap.phase(took) == duringLeap {
		return nil, errDuringLeap
	}
	return s, nil
}

// claim gives the vote of a server to one reference: of those that it answers
// for, the first in the configuration.
func (m *Monitor) claim(p *peer, server string) error {
	before := true
	for _, other := range m.peers {
		switch {
		case other == p:
			before = false
		case server == "" || other.sample == nil || other.sample.m.Server != server:
		case before:
			return fmt.Errorf("%w (%s, of %s)", errSameServer, server, other.name)
		default:
			other.sample, other.fresh = nil, false
			other.err = fmt.Errorf("%w (%s, of %s)", errSameServer, server, p.name)
		}
	}
	return nil
}

// notice compares the two clocks with what they were in the last round, and
// reports what happened to them.
func (m *Monitor) notice() {
	suspended := m.suspended()
	now := m.look()
	last := m.last
	m.last = lastLook{now, true, suspended}
	if !last.taken {
		return
	}
	if d := suspended - last.suspended; d > minSuspension {
		m.slacken(suspended)
		m.witness(MonitorEvent{Kind: EventSuspended, Size: d})
	} else {
		m.last.suspended = last.suspended
	}
	if !representable(now.wall) || !representable(last.wall) {
		return
	}
	d := now.difference() - last.difference()
	if max(d, -d) > stepAfter(now.elapsed-last.elapsed) {
		m.witness(MonitorEvent{Kind: EventStepped, Size: time.Duration(d)})
	}
}

// slacken widens what was learned before a suspension.
func (m *Monitor) slacken(suspended time.Duration) {
	for _, p := range m.peers {
		if p.sample != nil && suspended-p.sample.suspended > minSuspension {
			s := *p.sample // views have the old one
			s.x, s.suspended = s.x.widen(int64(suspendSlack)), suspended
			p.sample = &s
		}
	}
	for _, h := range []history{m.history, m.pending} {
		for i := range h {
			h[i].x = h[i].x.widen(int64(suspendSlack))
		}
	}
}

// witness tells an event with how the clock is after it, by what is known.
func (m *Monitor) witness(e MonitorEvent) {
	now := m.look()
	if x, reason := m.view.Load().judge(now, m.suspended()); reason == "" {
		e.Offset, e.Bound = offset(x, now), bound(x, now)
	}
	m.observe(e)
}

// observe tells an event to whom it concerns.
func (m *Monitor) observe(e MonitorEvent) {
	if m.cfg.Observe != nil {
		e.Time = wall(m.local.Wall())
		m.cfg.Observe(e)
	}
}
