package timesrc

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/clock"
)

// Kernel returns the system clock with the kernel's error bound. A Source that
// is not synchronised at this moment is no error: it may be in the next.
func Kernel() (clock.Source, error) { return kernel{adjtimex: unix.Adjtimex}, nil }

type kernel struct {
	adjtimex func(*unix.Timex) (state int, err error)
}

// Clock states and status bits of adjtimex(2), which x/sys does not name.
const (
	timeOOP   = 3      // a leap second is going on
	timeError = 5      // not synchronised
	staUnsync = 0x0040 // not synchronised
	staClkErr = 0x1000 // hardware fault
)

// Now reads the clock. Reading is free to any user: modes is zero.
func (k kernel) Now(ctx context.Context) (clock.Reading, error) {
	if err := ctx.Err(); err != nil {
		return clock.Reading{}, fmt.Errorf("%w: %w", clock.ErrUnknown, err)
	}
	var tx unix.Timex
	state, err := k.adjtimex(&tx)
	switch {
	case err != nil:
		return clock.Reading{}, fmt.Errorf("%w: adjtimex: %w", clock.ErrUnknown, err)
	case state == timeError || tx.Status&(staUnsync|staClkErr) != 0:
		return clock.Reading{}, fmt.Errorf("%w: the kernel's clock is not synchronised", clock.ErrUnknown)
	case state == timeOOP:
		return clock.Reading{}, fmt.Errorf("%w: a leap second is going on", clock.ErrUnknown)
	case tx.Maxerror < 0:
		return clock.Reading{}, fmt.Errorf("%w: adjtimex: maximum error %d", clock.ErrUnknown, tx.Maxerror)
	}
	return clock.Reading{
		Time:  time.Now().UTC().Round(0), // Round strips the monotonic reading
		Bound: time.Duration(tx.Maxerror) * time.Microsecond,
		State: clock.StateSynchronised,
	}, nil
}
