package timesrc

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/clock"
)

func TestKernel(t *testing.T) {
	for _, test := range []struct {
		name  string
		state int
		tx    unix.Timex
		err   error
		bound time.Duration // -1: no reading
	}{
		{"synchronised", 0, unix.Timex{Maxerror: 1500}, nil, 1500 * time.Microsecond},
		{"leap second announced", 1, unix.Timex{Maxerror: 1}, nil, time.Microsecond},
		{"leap second", timeOOP, unix.Timex{}, nil, -1},
		{"not synchronised by state", timeError, unix.Timex{}, nil, -1},
		{"not synchronised by status", 0, unix.Timex{Status: staUnsync}, nil, -1},
		{"hardware", 0, unix.Timex{Status: staClkErr}, nil, -1},
		{"nonsense", 0, unix.Timex{Maxerror: -1}, nil, -1},
		{"refused", -1, unix.Timex{}, unix.EPERM, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := kernel{adjtimex: func(tx *unix.Timex) (int, error) {
				if tx.Modes != 0 {
					t.Error("the clock was to be changed")
				}
				*tx = test.tx
				return test.state, test.err
			}}
			r, err := k.Now(t.Context())
			if test.bound < 0 {
				if !errors.Is(err, clock.ErrUnknown) || r != (clock.Reading{}) {
					t.Errorf("Now() = %v, %v; want ErrUnknown", r, err)
				}
				if test.err != nil && !errors.Is(err, test.err) {
					t.Errorf("%v does not wrap %v", err, test.err)
				}
				return
			}
			if err != nil || r.Bound != test.bound || r.State != clock.StateSynchronised {
				t.Errorf("Now() = %+v, %v; want bound %v", r, err, test.bound)
			}
			if d := time.Since(r.Time); d < 0 || d > time.Minute || r.Time.Location() != time.UTC {
				t.Errorf("Time = %v", r.Time)
			}
		})
	}
}

func TestKernelEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k, err := Kernel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Now(ctx); !errors.Is(err, clock.ErrUnknown) || !errors.Is(err, context.Canceled) {
		t.Errorf("Now() after the end = %v", err)
	}
}

// TestKernelReal reads the clock of this machine: whatever its state is, the
// answer is one of the two that there are.
func TestKernelReal(t *testing.T) {
	k, err := Kernel()
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.Now(t.Context())
	t.Logf("%+v %v", r, err)
	if err == nil && r.State != clock.StateSynchronised || err != nil && !errors.Is(err, clock.ErrUnknown) {
		t.Errorf("Now() = %+v, %v", r, err)
	}
}
