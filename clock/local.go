package clock

import "time"

// A Local reads the two clocks of this machine. Both methods may be called
// from several goroutines at once, and neither blocks. They are not read
// together: who needs a pair of readings reads the elapsed time before the
// wall clock and after it.
//
// A Local may have two more methods, which a [Monitor] looks for:
//
//	Suspended() time.Duration // how much of Elapsed the machine was suspended
//	Drift() time.Duration     // see MonitorConfig.Drift, whose default it is
type Local interface {
	// Wall is the clock that tokens are stamped with. It can be set and
	// slewed, by anyone who may.
	Wall() time.Time

	// Elapsed is the time since some moment in the past, by an oscillator that
	// nobody sets or slews, and that goes on counting while the machine is
	// suspended. It never decreases and is never negative.
	Elapsed() time.Duration
}

// An Instant is one look at both clocks of a [Local].
type Instant struct {
	Wall    time.Time
	Elapsed time.Duration
}

// portableDrift is how wrongly Go's monotonic clock may run: on most systems
// the service that disciplines the wall clock slews it too, by up to 500 ppm
// (adjtimex(2), adjtime(2)), and the crystal has its own error.
const portableDrift = 600 * time.Microsecond

// PortableLocal reads the clocks that Go has on each system. Its elapsed time
// is slewed together with the wall clock, so that its Drift is 600 µs in each
// second, and on most systems it stands still while the machine is suspended;
// after that a [Monitor] finds that the wall clock has gone away from it, and
// states a bound that covers the difference until it has asked again. Where
// the system offers something better, use that.
func PortableLocal() Local { return portableLocal{time.Now()} }

type portableLocal struct{ start time.Time }

func (portableLocal) Wall() time.Time          { return wall(time.Now()) }
func (l portableLocal) Elapsed() time.Duration { return time.Since(l.start) }
func (portableLocal) Drift() time.Duration     { return portableDrift }
