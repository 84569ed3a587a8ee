package clock

import "time"

// Rates are in seconds of true time per second of elapsed time, less one.

const (
	// defaultDrift is twice what the crystal of a computer is specified for at
	// all temperatures, 50 ppm. RFC 5905 reckons with 15 ppm (PHI), of a clock
	// whose frequency has been corrected.
	defaultDrift = 100 * time.Microsecond

	// maxDrift is the largest rate that is put down to the oscillator. What
	// moves faster is a jump.
	maxDrift = time.Millisecond
)

func rateOf(perSecond time.Duration) float64 { return perSecond.Seconds() }
func perSecond(rate float64) time.Duration   { return time.Duration(rate * float64(time.Second)) }

// A slope is an interval of rates.
type slope struct{ lo, hi float64 }

// slopeBetween is the mean rate between two moments, older first.
func slopeBetween(a, b consensus) slope {
	span := float64(b.at - a.at)
	return slope{float64(b.x.lo-a.x.hi) / span, float64(b.x.hi-a.x.lo) / span}
}

// least is the smallest magnitude in s.
func (s slope) least() float64 { return max(s.lo, -s.hi, 0) }

// most is the largest one.
func (s slope) most() float64 { return max(s.hi, -s.lo) }

// steepest is the mean rate, of those from each older round to c, that is
// certainly the largest; false if there is none to compare with.
func (h history) steepest(c consensus) (slope, bool) {
	var worst slope
	found := false
	for _, old := range h {
		if old.at >= c.at {
			// No time has passed: either they meet, or it is no drift.
			if !old.x.meets(c.x) {
				return slope{2 * rateOf(maxDrift), 2 * rateOf(maxDrift)}, true
			}
			continue
		}
		if s := slopeBetween(old, c); !found || s.least() > worst.least() {
			worst, found = s, true
		}
	}
	return worst, found
}

// estimate is the mean rate over the history, as well as it is known.
func (h history) estimate() (slope, bool) {
	if len(h) < 2 {
		return slope{}, false
	}
	last := h[len(h)-1]
	var best slope
	found := false
	for _, old := range h[:len(h)-1] {
		if old.at >= last.at {
			continue
		}
		if s := slopeBetween(old, last); !found || s.hi-s.lo < best.hi-best.lo {
			best, found = s, true
		}
	}
	return best, found
}
