package clock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// A Reference is a clock elsewhere, which can be compared with this machine's.
type Reference interface {
	// Name is how the reference is called in the configuration, such as
	// host:port. It is used in messages and as a label of metrics.
	Name() string

	// Measure compares the clocks once. It may be called again while an
	// earlier call is still under way only after that call's context has
	// ended. Its error means that nothing was learned; one that has a method
	//
	//	RetryAfter() time.Duration
	//
	// asks to be left alone for so long (RFC 5905, 7.4, kiss-o'-death).
	Measure(ctx context.Context) (Measurement, error)
}

// A Measurement is one comparison of a [Reference] with a [Local]. True time
// was between Wall+Offset-Error and Wall+Offset+Error, at the elapsed time of
// both Start and End, as far as the reference is honest.
type Measurement struct {
	// Start is before the question left, End after the answer came.
	Start, End Instant

	// Offset is true time minus the wall clock of this machine.
	Offset time.Duration

	// Error is the largest error of Offset: half of the round trip, half of
	// the root delay, the root dispersion, the precision of both clocks, and
	// how far apart the two readings of an Instant may be. Never negative.
	Error time.Duration

	// Delay is the round trip.
	Delay time.Duration

	// Leap is what the reference announces for the end of the month.
	Leap Leap

	// Stratum is the distance from a clock that is not set by another one; 1
	// is next to it.
	Stratum int

	// Authenticated says that the answer was protected (RFC 8915).
	Authenticated bool

	// Server is who answered, such as its address: several names may lead to
	// it, and what a name leads to may change. References that the same server
	// answers for have one vote together. Empty: it is not known.
	Server string
}

// Limits of a measurement.
const (
	// maxError is the largest error of an answer that says anything. It is far
	// above what any accuracy in use allows.
	maxError = time.Hour

	// maxWallChange is how much the wall clock may have been set while the
	// question was under way. What is below is added to the error: slewing at
	// the 500 ppm of adjtime makes 2.5 ms of the five seconds that an answer
	// may take, and some systems slew faster.
	maxWallChange = 10 * time.Millisecond
)

// Errors of answers that cannot be used.
var (
	errInvalidMeasurement = errors.New("an answer that is no measurement")
	errWallSet            = errors.New("this machine's clock was set while the question was under way")
	errSuspended          = errors.New("this machine was suspended while the question was under way")
	errDuringLeap         = errors.New("answered too close to a leap second")
	errSameServer         = errors.New("the server that answers is another one's too, and has one vote: name a different one")
	errMonthEnd           = errors.New("answered within a minute of a month's end, when it is not yet known whether a leap second falls there")
)

// A sample is a measurement as an interval of true time minus elapsed time,
// which stands still but for drift.
type sample struct {
	at        time.Duration // by Local.Elapsed
	x         interval
	suspended time.Duration // Suspended before it was taken
	m         Measurement
}

// newSample checks a measurement and turns it into a sample. The measurement
// was taken between the elapsed times from and to.
func newSample(m Measurement, from, to time.Duration, rate float64) (*sample, error) {
	took := m.End.Elapsed - m.Start.Elapsed
	switch {
	case m.Start.Elapsed < from || m.End.Elapsed > to || took < 0:
		return nil, fmt.Errorf("%w: it was made at %v to %v, of %v to %v", errInvalidMeasurement, m.Start.Elapsed, m.End.Elapsed, from, to)
	case m.Error < 0 || m.Error > maxError:
		return nil, fmt.Errorf("%w: its error is %v, not between 0 and %v", errInvalidMeasurement, m.Error, maxError)
	case m.Leap < LeapNone || m.Leap > LeapDelete:
		return nil, fmt.Errorf("%w: it announces %v", errInvalidMeasurement, m.Leap)
	case !representable(m.Start.Wall) || !representable(m.End.Wall):
		return nil, fmt.Errorf("%w: this machine's clock shows %v", errInvalidMeasurement, m.End.Wall)
	}
	change := (wall(m.End.Wall).Sub(wall(m.Start.Wall)) - took).Abs()
	if change > maxWallChange {
		return nil, fmt.Errorf("%w, by %v", errWallSet, change)
	}
	now := m.End.Wall.UnixNano()
	if (m.Offset > 0 && now > math.MaxInt64-int64(m.Offset)) || !representable(time.Unix(0, now+int64(m.Offset))) {
		return nil, fmt.Errorf("%w: the offset is %v", errInvalidMeasurement, m.Offset)
	}
	// The question may have been answered at any moment since Start, and the
	// offset holds at End but for what the two clocks ran differently.
	x := now + int64(m.Offset) - int64(m.End.Elapsed)
	e := int64(m.Error+change) + widening(took, rate)
	return &sample{at: m.End.Elapsed, x: interval{x - e, x + e}, m: m}, nil
}

// time is what true time was at the sample's moment, in nanoseconds since 1970.
func (s *sample) time() interval { return s.x.shift(int64(s.at)) }
