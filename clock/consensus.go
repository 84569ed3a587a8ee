package clock

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// An interval of nanoseconds, both ends included. Most are of true time minus
// elapsed time: these stand still as time passes, except that drift widens
// them.
type interval struct{ lo, hi int64 }

func (i interval) shift(by int64) interval       { return interval{i.lo + by, i.hi + by} }
func (i interval) widen(by int64) interval       { return interval{i.lo - by, i.hi + by} }
func (i interval) mid() int64                    { return i.lo + (i.hi-i.lo)/2 }
func (i interval) radius() time.Duration         { return time.Duration(i.hi - i.mid()) }
func (i interval) meets(j interval) bool         { return i.lo <= j.hi && j.lo <= i.hi }
func (i interval) intersect(j interval) interval { return interval{max(i.lo, j.lo), min(i.hi, j.hi)} }

// widening is what drift makes of a span of elapsed time, in nanoseconds
// rounded up. The rate is in seconds per second.
func widening(span time.Duration, rate float64) int64 {
	return int64(math.Ceil(math.Abs(float64(span)) * rate))
}

// majority is the smallest number of n that is more than half of them.
func majority(n int) int { return n/2 + 1 }

// liars is how many of n can be wrong with the others still a majority.
func liars(n int) int { return (n - 1) / 2 }

// A vote is what came of comparing intervals.
type vote struct {
	x     interval // where the true value is; valid if agree >= need
	agree int      // most intervals that have a point in common
}

// count finds where the true value is, by what the intervals of some of n
// clocks say of which at most wrong are false. It is Marzullo's algorithm as
// in RFC 5905, 11.2.1, with a different end: NTP takes the points that are in
// the most intervals, and those may miss the true value where a false interval
// overlaps true ones.
//
// At least len(in)-wrong of the intervals are true and contain the true value.
// So that value is one of the points that lie in as many intervals, and the
// smallest interval around all these points contains it, whatever the others
// say and whichever clocks did not answer. If all n answered, a majority of
// them is true, and a point in so many intervals is in a true one: then the
// result is no wider than the true intervals together.
func count(in []interval, wrong int) vote {
	type edge struct {
		at   int64
		step int // +1 begins an interval, -1 ends one
	}
	edges := make([]edge, 0, 2*len(in))
	for _, i := range in {
		edges = append(edges, edge{i.lo, +1}, edge{i.hi, -1})
	}
	// Intervals include their ends: at the same point, begin before you end.
	slices.SortFunc(edges, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.step, a.step))
	})
	var v vote
	enough := max(len(in)-wrong, 1)
	depth, found := 0, false
	for _, e := range edges {
		if e.step > 0 {
			depth++
			v.agree = max(v.agree, depth)
			if depth >= enough && !found {
				v.x.lo, found = e.at, true
			}
			continue
		}
		if depth >= enough {
			v.x.hi = e.at
		}
		depth--
	}
	return v
}

// A consensus is what one round came to.
type consensus struct {
	at time.Duration
	x  interval // at that moment
	// heard is when as many references as must agree had last been heard.
	heard time.Duration
}

// project is where c.x lies at another moment.
func (c consensus) project(at time.Duration, rate float64) interval {
	return c.x.widen(widening(at-c.at, rate))
}

// A history is the consensus of rounds that agree with one another, oldest
// first. Each holds the true value, and so does what they have in common.
type history []consensus

// maxHistory bounds what a round costs: at the default interval, it is more
// than an hour's rounds. Forgetting older ones only makes the result wider.
const maxHistory = 64

// project is what the rounds have in common at a moment.
func (h history) project(at time.Duration, rate float64) interval {
	x := h[0].project(at, rate)
	for _, c := range h[1:] {
		x = x.intersect(c.project(at, rate))
	}
	return x
}

// add appends c and drops what is too old to count.
func (h history) add(c consensus) history {
	if len(h) >= maxHistory {
		h = slices.Delete(h, 0, len(h)-maxHistory+1)
	}
	return append(h, c)
}

// newest is when the references were last heard.
func (h history) newest() time.Duration {
	var heard time.Duration
	for _, c := range h {
		heard = max(heard, c.heard)
	}
	return heard
}
