package clock

import (
	"cmp"
	"slices"
	"time"
)

// confirm is how many rounds in a row must agree with one another before a
// time is believed that this machine's oscillator cannot have come to.
const confirm = 3

// calmRounds is how many rounds must show that the drift is as configured, for
// one that was found to be greater to be forgotten: half an hour's, by default.
const calmRounds = 32

// A ballot is the answers that count, and what they say together.
type ballot struct {
	at    time.Duration
	peers []*peer
	in    []interval // of the peers' samples, at that moment
	of    int        // how many there are
	need  int        // how many must agree
	vote
}

// ballot counts the answers.
func (m *Monitor) ballot(at time.Duration) ballot {
	b := ballot{at: at}
	for _, p := range m.peers {
		if p.sample == nil || len(m.history) == 0 && at-p.sample.at > startAge {
			continue
		}
		b.peers = append(b.peers, p)
		b.in = append(b.in, p.sample.x.widen(widening(at-p.sample.at, m.rate)))
	}
	b.of, b.need = len(m.peers), m.need()
	b.vote = count(b.in, liars(b.of))
	return b
}

// consensus is what the ballot came to, if enough agree.
func (b ballot) consensus() consensus {
	var heard []time.Duration
	for i, p := range b.peers {
		if b.in[i].meets(b.x) {
			heard = append(heard, p.sample.at)
		}
	}
	slices.SortFunc(heard, func(x, y time.Duration) int { return cmp.Compare(y, x) })
	return consensus{b.at, b.x, heard[b.need-1]}
}

// expire forgets what is too old to count.
func (m *Monitor) expire(now time.Duration) {
	old := func(c consensus) bool { return now-c.heard > m.cfg.MaxAge }
	had := len(m.history) > 0
	m.history = slices.DeleteFunc(m.history, old)
	m.pending = slices.DeleteFunc(m.pending, old)
	forget := had && len(m.history) == 0
	if forget {
		// Without a time, it is not known on which side of a leap second an
		// answer was given.
		m.leap, m.doubt, m.pending = leapPlan{}, "", nil
	}
	for _, p := range m.peers {
		if p.sample != nil && (forget || now-p.sample.at > m.cfg.MaxAge) {
			p.sample, p.fresh = nil, false
		}
	}
}

// settle decides what the time is by all that was heard, tells everyone, and
// returns when to ask again. answered is how many answered in this round.
func (m *Monitor) settle(answered int) (next time.Duration) {
	v, events := m.weigh(answered)
	m.view.Store(v)
	for _, p := range m.peers {
		p.fresh = false
	}
	return m.report(v, answered, append(events, m.announceLeap()...))
}

// settleEarly does so before all have answered, if that is enough.
func (m *Monitor) settleEarly(answered int) {
	if v, events := m.weigh(answered); v.reason == "" {
		m.view.Store(v)
		m.tell(v, events)
	}
}

// weigh makes up the monitor's mind.
func (m *Monitor) weigh(answered int) (*view, []MonitorEvent) {
	m.notice()
	now := m.look()
	at := now.elapsed
	m.expire(at)
	events := m.passLeap(at)
	b := m.ballot(at)
	switch {
	case len(b.in) < b.need:
		// What was known before holds on, unless it was in doubt.
		if len(m.history) == 0 {
			m.doubt = MonitorFew
		}
	case b.agree < b.need:
		m.doubt, m.pending = MonitorDisagree, nil
	default:
		if answered > 0 || len(m.history) == 0 {
			events = append(events, m.believe(&b)...)
		}
		events = append(events, m.compare(b)...)
		if m.doubt == "" {
			m.planLeap(b)
		}
	}
	v := m.draft(now)
	v.reason, v.jump = m.doubt, m.jump
	v.need, v.asked, v.answered, v.agree = b.need, b.of, len(b.in), b.agree
	if len(m.history) > 0 {
		v.x = m.history.project(at, m.rate)
		v.heard = m.history.newest()
	}
	return v, events
}

// draft is a view with what is known at all times.
func (m *Monitor) draft(now look) *view {
	v := &view{
		at: now.elapsed, rate: m.rate, maxAge: m.cfg.MaxAge,
		suspended: m.last.suspended, leap: m.leap, rounds: m.rounds,
		asked: len(m.peers), need: m.need(),
	}
	if representable(now.wall) {
		v.wall = now.difference()
	}
	v.drift, v.drifts = m.history.estimate()
	for _, p := range m.peers {
		v.standings = append(v.standings, standing{p.name, p.err, p.sample, p.agrees, p.asked})
	}
	return v
}

// believe adds what the ballot came to to what is known, if it fits. What does
// not is a faster drift than was reckoned with, or a jump.
func (m *Monitor) believe(b *ballot) []MonitorEvent {
	c := b.consensus()
	worst, compared := m.history.steepest(c)
	switch least := worst.least(); {
	case !compared || least <= m.rate:
		m.history = m.history.add(c)
	case least <= rateOf(maxDrift):
		m.rate = min(worst.most(), rateOf(maxDrift))
		*b = m.ballot(b.at)
		m.history = history{b.consensus()} // older ones rest on the old rate
		m.doubt, m.pending = "", nil
		return []MonitorEvent{{Kind: EventDrift, Size: perSecond(m.rate)}}
	default:
		m.jump = time.Duration(c.x.mid() - m.history.project(b.at, m.rate).mid())
		if !m.confirmed(c) {
			m.doubt = MonitorJump
			return nil
		}
		m.history, m.pending, m.doubt = m.pending, nil, ""
		return []MonitorEvent{{Kind: EventJumped, Size: m.jump}}
	}
	m.doubt, m.pending = "", nil
	return m.calm(b)
}

// calm goes back to the drift of the configuration once many rounds have shown
// that it is not exceeded. What looked like a fast oscillator was something
// else, such as a virtual machine that stood still for a moment.
func (m *Monitor) calm(b *ballot) []MonitorEvent {
	usual, found := rateOf(m.cfg.Drift), m.rate
	mean, ok := m.history.estimate()
	if found <= usual || len(m.history) < calmRounds || !ok || mean.most() > usual {
		return nil
	}
	m.rate = usual
	again := m.ballot(b.at)
	if again.agree < again.need { // at that drift, answers do not fit that did
		m.rate = found
		return nil
	}
	*b = again
	m.history = history{b.consensus()} // older ones were compared at the other rate
	return []MonitorEvent{{Kind: EventDriftPassed, Size: m.cfg.Drift}}
}

// confirmed counts the rounds since a jump.
func (m *Monitor) confirmed(c consensus) bool {
	if n := len(m.pending); n > 0 {
		if c.heard <= m.pending[n-1].heard {
			return false // too few answered to make it news
		}
		if worst, ok := m.pending.steepest(c); ok && worst.least() > m.rate {
			m.pending = nil
		}
	}
	m.pending = m.pending.add(c)
	return len(m.pending) >= confirm
}

// compare notes which references agree.
func (m *Monitor) compare(b ballot) (events []MonitorEvent) {
	for i, p := range b.peers {
		kind := EventDisagrees
		agrees, did := b.in[i].meets(b.x), p.agrees || !p.compared
		if p.agrees, p.compared = agrees, true; agrees == did {
			continue
		} else if agrees {
			kind = EventAgrees
		}
		events = append(events, MonitorEvent{Kind: kind, Reference: p.name, Measurement: p.sample.m,
			Size: time.Duration(b.in[i].mid() - b.x.mid())})
	}
	return events
}

// planLeap notes whether a leap second comes.
func (m *Monitor) planLeap(b ballot) {
	var agreeing []*sample
	for i, p := range b.peers {
		if b.in[i].meets(b.x) {
			agreeing = append(agreeing, p.sample)
		}
	}
	m.leap = m.leap.plan(agreeing, len(b.in)-liars(b.of), m.history.project(b.at, m.rate).shift(int64(b.at)))
}

// announceLeap tells what has become of a plan in this round.
func (m *Monitor) announceLeap() []MonitorEvent {
	old := m.announced
	m.announced = m.leap
	switch {
	case m.leap == old:
		return nil
	case m.leap.leap == LeapNone:
		return []MonitorEvent{{Kind: EventLeapWithdrawn, Leap: old.leap, LeapAt: time.Unix(0, old.at).UTC()}}
	}
	return []MonitorEvent{{Kind: EventLeapAnnounced, Leap: m.leap.leap, LeapAt: time.Unix(0, m.leap.at).UTC(), Contested: m.leap.contested}}
}

// passLeap carries what was learned before a leap second across it.
func (m *Monitor) passLeap(at time.Duration) []MonitorEvent {
	if m.leap.leap == LeapNone || len(m.history) == 0 {
		return nil
	}
	when := func(at time.Duration) phase {
		return m.leap.phase(m.history.project(at, m.rate).shift(int64(at)))
	}
	if when(at) != afterLeap {
		return nil
	}
	by := m.leap.correction()
	for _, p := range m.peers {
		if p.sample == nil {
			continue
		}
		switch ph := when(p.sample.at); {
		case ph == duringLeap, ph == beforeLeap && m.leap.contested:
			p.sample = nil
		case ph == beforeLeap:
			s := *p.sample // views have the old one
			s.x = s.x.shift(by)
			p.sample = &s
		}
	}
	for i := range m.history {
		m.history[i].x = m.history[i].x.shift(by)
	}
	passed := m.leap
	if passed.contested {
		m.history, m.doubt = nil, MonitorLeap
	}
	m.leap, m.announced, m.pending = leapPlan{}, leapPlan{}, nil
	return []MonitorEvent{{Kind: EventLeapPassed, Leap: passed.leap, LeapAt: time.Unix(0, passed.at).UTC(), Contested: passed.contested}}
}

// tell reports events, and whether the time has become known or unknown.
func (m *Monitor) tell(v *view, events []MonitorEvent) (interval, MonitorReason) {
	now := m.look()
	x, reason := v.judge(now, m.suspended())
	switch known := reason == ""; {
	case known:
		m.offset, m.bound = offset(x, now), bound(x, now)
		if !m.known {
			events = append(events, MonitorEvent{Kind: EventSynchronised})
		}
	case m.known:
		events = append(events, MonitorEvent{Kind: EventLost, Err: m.explain(v, now, reason), Size: v.jump})
	}
	m.known = reason == ""
	for _, e := range events {
		if m.known || e.Kind == EventLost {
			e.Offset, e.Bound = m.offset, m.bound
		}
		m.observe(e)
	}
	return x, reason
}

// report tells about the end of a round, and returns when the next should be.
func (m *Monitor) report(v *view, answered int, events []MonitorEvent) (next time.Duration) {
	x, reason := m.tell(v, events)
	now := m.look()
	round := MonitorEvent{Kind: EventRound, Need: v.need, Asked: v.asked, Answered: answered, Agree: v.agree}
	tenth := m.cfg.Interval / 10
	next = m.cfg.Interval - tenth + time.Duration(m.rand.Int64N(int64(2*tenth)))
	if reason == "" {
		round.Offset, round.Bound = m.offset, m.bound
		m.hurry = 0
		next = min(next, v.heard+v.maxAge-now.elapsed)
		// Whatever the interval is, somebody is asked on the last day of a month.
		if noon := nextMonth(x.hi) - int64(leapNotice/2); noon > x.hi {
			next = min(next, time.Duration(noon-x.hi)+leapDelay)
		}
	} else {
		round.Err = m.explain(v, now, reason)
		m.hurry = min(max(2*m.hurry, firstHurry), m.cfg.Interval)
		next = min(next, m.hurry)
	}
	if v.leap.leap != LeapNone && v.reason == "" {
		if reason == MonitorLeap {
			x = v.x.shift(int64(now.elapsed))
			next = m.cfg.Interval // no answer counts before it is over
		}
		window := v.leap.window()
		for _, edge := range []int64{window.lo - x.hi, window.hi - x.lo} {
			if edge > 0 {
				next = min(next, time.Duration(edge)+leapDelay)
			}
		}
	}
	m.observe(round)
	return max(next, minInterval)
}
