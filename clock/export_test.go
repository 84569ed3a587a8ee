package clock

import "time"

// Interval is a look at the wall clock and the times between which the true one
// was at that moment. A wall clock that is right hides an interval that is not.
func (m *Monitor) Interval() (wall, lo, hi time.Time, ok bool) {
	v, now := m.view.Load(), m.look()
	x, reason := v.judge(now, m.suspended())
	return now.wall, time.Unix(0, x.lo), time.Unix(0, x.hi), reason == ""
}
