package clock

import "time"

// A MonitorStatus is how a [Monitor] sees the clock at one moment.
type MonitorStatus struct {
	// State is StateSynchronised, or StateUnknown; then Err says why, a
	// [*MonitorError].
	State State
	Err   error

	// Offset is true time minus this machine's clock, as well as it is known,
	// and Bound the largest possible error of this machine's clock. Zero while
	// the state is unknown.
	Offset, Bound time.Duration

	// Age is the time since as many references as must agree were last heard.
	// Zero if they never were.
	Age time.Duration

	// Rounds is how many rounds have ended.
	Rounds int

	// Need is how many references must agree, of Asked; Answered have given an
	// answer that still counts, and Agree of these agree.
	Need, Asked, Answered, Agree int

	// Drift is by how much this machine's elapsed clock gains on true time in
	// a second, DriftError the largest error of that; both zero while unknown.
	// DriftLimit is what the bound reckons with: [MonitorConfig.Drift], or more
	// if more was measured.
	Drift, DriftError, DriftLimit time.Duration

	// Leap is what enough references announce, at LeapAt, or may have announced.
	Leap   Leap
	LeapAt time.Time

	// References are in the order of the configuration.
	References []ReferenceStatus
}

// A ReferenceStatus is how a [Monitor] sees one reference.
type ReferenceStatus struct {
	Name string

	// Reachable: it answered when it was last asked. Err says why not.
	Reachable bool
	Err       error

	// Measured: it has an answer that still counts. Without it, what follows
	// means nothing.
	Measured bool

	// Agrees: it is one of those by which the clock goes.
	Agrees bool

	// Offset is its time minus this machine's clock now, Error the largest
	// error of that now, Delay the round trip, Age how old the answer is.
	Offset, Error, Delay, Age time.Duration

	Stratum       int
	Authenticated bool
	Leap          Leap
}

// standing is what is kept of a reference for the status.
type standing struct {
	name   string
	err    error
	sample *sample // nil: none that counts
	agrees bool
	asked  bool
}

// status is how the reference compares with a look at this machine's clocks.
func (s standing) status(now look, rate float64) ReferenceStatus {
	r := ReferenceStatus{Name: s.name, Reachable: s.asked && s.err == nil, Err: s.err}
	if s.sample == nil {
		return r
	}
	age := now.elapsed - s.sample.at
	x := s.sample.x.widen(widening(age, rate))
	r.Measured, r.Agrees = true, s.agrees
	r.Offset, r.Error = time.Duration(x.mid()-now.difference()), x.radius()
	r.Delay, r.Age = s.sample.m.Delay, age
	r.Stratum, r.Authenticated, r.Leap = s.sample.m.Stratum, s.sample.m.Authenticated, s.sample.m.Leap
	return r
}

func statuses(all []standing, now look, rate float64) []ReferenceStatus {
	list := make([]ReferenceStatus, len(all))
	for i, s := range all {
		list[i] = s.status(now, rate)
	}
	return list
}

// Status returns how the clock is now. It asks nobody, and may be called from
// several goroutines at once, also while a round is under way.
func (m *Monitor) Status() MonitorStatus {
	v := m.view.Load()
	now := m.look()
	s := MonitorStatus{
		Rounds: v.rounds, Need: v.need, Asked: v.asked, Answered: v.answered, Agree: v.agree,
		DriftLimit: perSecond(v.rate),
		Leap:       v.leap.leap,
		References: statuses(v.standings, now, v.rate),
	}
	if v.leap.leap != LeapNone {
		s.LeapAt = time.Unix(0, v.leap.at).UTC()
	}
	if v.heard > 0 {
		s.Age = now.elapsed - v.heard
	}
	if v.drifts {
		s.Drift = -perSecond((v.drift.lo + v.drift.hi) / 2)
		s.DriftError = perSecond((v.drift.hi - v.drift.lo) / 2)
	}
	x, reason := v.judge(now, m.suspended())
	if reason != "" {
		s.Err = m.explain(v, now, reason)
		return s
	}
	s.State = StateSynchronised
	s.Offset, s.Bound = offset(x, now), bound(x, now)
	return s
}
