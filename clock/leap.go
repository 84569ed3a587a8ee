package clock

import (
	"fmt"
	"time"
)

// A Leap is a leap second that is to come at the end of the month (ITU-R
// TF.460-6; RFC 5905, 7.3, leap indicator).
type Leap int

const (
	// LeapNone: the last minute of the month has 60 seconds.
	LeapNone Leap = iota

	// LeapInsert: it has 61, 23:59:60 is the last of them.
	LeapInsert

	// LeapDelete: it has 59, 23:59:58 is the last of them.
	LeapDelete
)

// String returns "none", "insert" or "delete".
func (l Leap) String() string {
	switch l {
	case LeapNone:
		return "none"
	case LeapInsert:
		return "insert"
	case LeapDelete:
		return "delete"
	}
	return fmt.Sprintf("Leap(%d)", int(l))
}

const (
	// leapNotice is how long before it a leap second is believed in. Servers
	// may announce it for the whole month (RFC 5905, 7.3), but what they say
	// on the last day is not out of date.
	leapNotice = 24 * time.Hour

	// leapMargin is how far from a leap second no time is given, on both sides
	// and beyond the error bound. Servers pass the second in different ways,
	// all of them within it: they repeat it, stop in it or step at its end.
	leapMargin = 2 * time.Second

	// leapDelay is how long after the edge of its window the monitor looks
	// again, so as to be past it.
	leapDelay = 10 * time.Millisecond

	// monthEndMargin is how far from the end of a month an answer must be, and
	// startAge how fresh, while nothing is known of the time yet: the answers
	// that it is first learned from are then all from one side of a leap
	// second, should there be one. A round takes less than the one and ends
	// well within the other.
	monthEndMargin = time.Minute
	startAge       = 100 * time.Second
)

// A leapPlan is a leap second that enough references announce. Times are in
// nanoseconds since 1970 by a count that takes no notice of this leap second:
// it is what true time minus elapsed time does until then.
type leapPlan struct {
	leap Leap // LeapNone: there is no plan
	at   int64

	// contested: it may come or not, by what they announce. Then nothing that
	// was learned before holds afterwards.
	contested bool
}

// correction is what true time gains by the leap second, in the count that
// computers use (POSIX, 4.19): an inserted second has the number of the one
// after it.
func (p leapPlan) correction() int64 {
	switch p.leap {
	case LeapInsert:
		return -int64(time.Second)
	case LeapDelete:
		return int64(time.Second)
	}
	return 0
}

// window is the time in which genTime would be ambiguous, or could be a second
// that does not exist. It is the same for both kinds.
func (p leapPlan) window() interval {
	return interval{p.at, p.at}.widen(int64(time.Second + leapMargin))
}

// A phase is where a time lies relative to a leap second.
type phase int

const (
	beforeLeap phase = iota
	duringLeap
	afterLeap
)

func (p leapPlan) phase(t interval) phase {
	if p.leap == LeapNone {
		return beforeLeap
	}
	w := p.window()
	switch {
	case t.hi < w.lo:
		return beforeLeap
	case t.lo > w.hi:
		return afterLeap
	}
	return duringLeap
}

// nextMonth is the first moment of the month after t, in UTC.
func nextMonth(t int64) int64 {
	u := time.Unix(0, t).UTC()
	return time.Date(u.Year(), u.Month()+1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
}

// nearMonthEnd reports whether t is so close to the end of a month that it may
// be on either side of a leap second.
func nearMonthEnd(t interval) bool {
	t = t.widen(int64(monthEndMargin))
	return t.hi-t.lo > int64(leapNotice) || nextMonth(t.lo) <= t.hi
}

// plan decides by what agreeing samples announce whether a leap second comes,
// if at least honest of them are right. now is true time.
func (p leapPlan) plan(agreeing []*sample, honest int, now interval) leapPlan {
	if p.phase(now) != beforeLeap {
		return p // too late to change one's mind
	}
	at := nextMonth(now.mid())
	if at-now.hi > int64(leapNotice) {
		return leapPlan{}
	}
	var says [LeapDelete + 1]int
	for _, s := range agreeing {
		if t := s.time(); at-t.hi <= int64(leapNotice) && t.lo < at {
			says[s.m.Leap]++
		} else {
			says[LeapNone]++ // too early to be heard
		}
	}
	// All that are right say the same, once word of it has come to them all.
	next := leapPlan{at: at}
	possible := 0
	for l, n := range says {
		if n >= honest {
			possible++
			next.leap = Leap(l)
		}
	}
	if possible != 1 && says[LeapNone] < len(agreeing) {
		next.contested, next.leap = true, LeapInsert
		if says[LeapDelete] > says[LeapInsert] {
			next.leap = LeapDelete
		}
	}
	if next.leap == LeapNone {
		return leapPlan{}
	}
	return next
}
