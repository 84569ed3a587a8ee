package timesrc

import (
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/clock"
)

// SystemLocal returns the clocks of this machine.
//
// Elapsed is CLOCK_MONOTONIC_RAW, the oscillator as it is: no time service
// steers it, so that a wall clock which is slewed runs away from it and is
// seen to. It stops while the machine is suspended, and what was missed then,
// CLOCK_BOOTTIME less CLOCK_MONOTONIC, is added. The kernel learns that from
// the clock that runs on, to the second where it has nothing better. A virtual
// machine that its host pauses or restores from a snapshot may not know that
// it stood still: nothing inside it counts that.
//
// A call makes two system calls and allocates nothing. All values count from
// the start of the machine, to a microsecond. They also have a method
// Suspended() time.Duration: how much of Elapsed the machine has slept.
func SystemLocal() clock.Local { return newSystemLocal(gettime) }

func newSystemLocal(gettime func(clock int32) (time.Duration, error)) *systemLocal {
	l := &systemLocal{gettime: gettime, start: time.Now()}
	l.ahead.Store(math.MinInt64)
	// CLOCK_MONOTONIC when start was taken: the least of what is seen is the
	// nearest, as with boottime below, but from the other side.
	l.first = math.MaxInt64
	for range settling {
		before := time.Since(l.start)
		l.first = min(l.first, l.read(unix.CLOCK_MONOTONIC)-before)
		l.boottime()
	}
	return l
}

// settling is how often a difference of two clocks is taken to have it to a
// fraction of a microsecond: the thread is hardly interrupted each time.
const settling = 8

// never is what a clock shows that cannot be read: whatever was measured
// before has become too old, and no time is known.
const never = 1 << 62

type systemLocal struct {
	gettime func(clock int32) (time.Duration, error)
	start   time.Time     // time.Since(start) is CLOCK_MONOTONIC but for first, and no system call
	first   time.Duration // CLOCK_MONOTONIC at start
	ahead   atomic.Int64  // CLOCK_BOOTTIME less time.Since(start), never too large
}

func (l *systemLocal) Wall() time.Time { return time.Now().UTC().Round(0) }

func (l *systemLocal) Elapsed() time.Duration {
	slept := l.Suspended()
	raw := l.read(unix.CLOCK_MONOTONIC_RAW)
	if raw == never || slept >= never/2 {
		return never
	}
	return raw + slept
}

// Suspended returns how long the machine has slept since it was started.
func (l *systemLocal) Suspended() time.Duration { return l.boottime() - l.first }

// boottime returns CLOCK_BOOTTIME less time.Since(start), which changes only
// when the machine is suspended, and then grows. The two are not read at once:
// the difference comes out too small by the time between, and the largest seen
// is the nearest. So it does not tremble, and never goes back.
func (l *systemLocal) boottime() time.Duration {
	known := l.ahead.Load()
	seen := l.boottimeOnce()
	if seen <= known {
		return time.Duration(known)
	}
	for range settling {
		seen = max(seen, l.boottimeOnce())
	}
	for seen > known && !l.ahead.CompareAndSwap(known, seen) {
		known = l.ahead.Load()
	}
	return time.Duration(max(seen, known))
}

func (l *systemLocal) boottimeOnce() int64 {
	boot := l.read(unix.CLOCK_BOOTTIME)
	return int64(boot - time.Since(l.start))
}

func (l *systemLocal) read(clock int32) time.Duration {
	d, err := l.gettime(clock)
	if err != nil {
		return never
	}
	return d
}

func gettime(clock int32) (time.Duration, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(clock, &ts)
	return time.Duration(ts.Nano()), err
}
