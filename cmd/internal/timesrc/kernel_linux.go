package timesrc

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/clock"
)

// Kernel returns the system clock with the kernel's error bound: the maximum
// error that a time service last stated, what has grown since, what is still
// being slewed, and a floor. A Source that is not synchronised at this moment
// is no error: it may be in the next.
func Kernel(cfg KernelConfig) (clock.Source, error) {
	if cfg.Floor < 0 {
		return nil, fmt.Errorf("the floor of the kernel's error bound, %v, is negative", cfg.Floor)
	}
	return kernel{adjtimex: unix.Adjtimex, floor: cmp.Or(cfg.Floor, DefaultKernelFloor)}, nil
}

type kernel struct {
	adjtimex func(*unix.Timex) (state int, err error)
	floor    time.Duration
}

// Clock states and status bits of adjtimex(2), which x/sys does not name.
const (
	timeOK    = 0
	timeIns   = 1 // a leap second is inserted at the end of this day
	timeDel   = 2 // a second is left out at the end of this day
	timeOOP   = 3 // a leap second is going on
	timeWait  = 4 // one was; until somebody clears the status bits
	timeError = 5 // not synchronised

	staIns    = 0x0010 // insert one at the end of the day
	staDel    = 0x0020 // leave one out
	staUnsync = 0x0040 // not synchronised
	staClkErr = 0x1000 // hardware fault
	staNano   = 0x2000 // offset and time are in nanoseconds, not microseconds
)

// leapMargin is how far from a leap second, besides the error bound, the time
// is not known. The clock shows one second twice or not at all; who reads it
// next to that may do so on the wrong side.
const leapMargin = time.Second

// Now reads the clock and its bound in one call. Reading is free to any user:
// modes is zero.
func (k kernel) Now(ctx context.Context) (clock.Reading, error) {
	if err := ctx.Err(); err != nil {
		return clock.Reading{}, fmt.Errorf("%w: %w", clock.ErrUnknown, err)
	}
	var tx unix.Timex
	state, err := k.adjtimex(&tx)
	switch {
	case err != nil:
		return clock.Reading{}, fmt.Errorf("%w: adjtimex: %w", clock.ErrUnknown, err)
	case tx.Status&staClkErr != 0:
		return clock.Reading{}, fmt.Errorf("%w: the kernel says that its clock's hardware is at fault", clock.ErrUnknown)
	case state == timeError || tx.Status&staUnsync != 0:
		return clock.Reading{}, fmt.Errorf("%w: the kernel's clock is not synchronised; "+
			"see that chronyd, ntpd or systemd-timesyncd runs and reaches its servers", clock.ErrUnknown)
	case tx.Maxerror < 0 || tx.Maxerror > maxKernelError:
		return clock.Reading{}, fmt.Errorf("%w: adjtimex: maximum error %d", clock.ErrUnknown, tx.Maxerror)
	}
	unit := time.Microsecond
	if tx.Status&staNano != 0 {
		unit = time.Nanosecond
	}
	// The offset is what the kernel is still slewing away (ADJ_OFFSET): the
	// service's maximum error is about the time when it will have.
	slewing := (time.Duration(tx.Offset) * unit).Abs()
	// What is below the unit of the time is cut off.
	bound := time.Duration(tx.Maxerror)*time.Microsecond + slewing + k.floor + unit
	now := time.Unix(int64(tx.Time.Sec), int64(tx.Time.Usec)*int64(unit)).UTC()
	if nearLeap(state, tx.Status, now, leapMargin+bound) {
		return clock.Reading{}, fmt.Errorf("%w: within %v of a leap second", clock.ErrUnknown, leapMargin+bound)
	}
	return clock.Reading{Time: now, Bound: bound, State: clock.StateSynchronised}, nil
}

// maxKernelError, in microseconds, is where the kernel stops counting and
// takes its clock for unsynchronised (16 s, NTP_PHASE_LIMIT), and more.
const maxKernelError = 100e6

// nearLeap reports whether a leap second begins within the margin, is going
// on, or ended within it. The kernel has leap seconds at the end of a day in
// UTC: one that is inserted shows the second before midnight again, and if one
// is left out, midnight follows the second before it.
func nearLeap(state int, status int32, now time.Time, margin time.Duration) bool {
	const day = 24 * time.Hour
	since := now.Sub(now.Truncate(day))
	switch {
	case state == timeOOP:
		return true
	case state == timeWait:
		return since < margin
	case state == timeDel, status&staDel != 0:
		return day-time.Second-since <= margin
	case state == timeIns, status&staIns != 0:
		return day-since <= margin
	}
	return false
}
