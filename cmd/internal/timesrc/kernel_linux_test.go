package timesrc

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/clock"
)

// timeval is a time as adjtimex has it.
func timeval(t time.Time, nano bool) (tv unix.Timeval) {
	tv = unix.NsecToTimeval(t.Unix() * 1e9)
	ts := unix.NsecToTimespec(t.UnixNano())
	tv.Usec = ts.Nsec
	if !nano {
		tv.Usec /= 1000
	}
	return tv
}

// fakeKernel answers with tx at the time.
func fakeKernel(t *testing.T, now time.Time, state int, tx unix.Timex) kernel {
	tx.Time = timeval(now, tx.Status&staNano != 0)
	return kernel{floor: 10 * time.Millisecond, adjtimex: func(out *unix.Timex) (int, error) {
		if out.Modes != 0 {
			t.Error("the clock was to be changed")
		}
		*out = tx
		return state, nil
	}}
}

func TestKernel(t *testing.T) {
	const floor, us = 10 * time.Millisecond, time.Microsecond
	noon := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	for _, test := range []struct {
		name  string
		state int
		tx    unix.Timex
		bound time.Duration // -1: no reading
		text  string
	}{
		{"synchronised", timeOK, unix.Timex{Maxerror: 1500}, floor + 1501*us, ""},
		{"in nanoseconds", timeOK, unix.Timex{Maxerror: 1500, Status: staNano}, floor + 1500*us + 1, ""},
		{"just set by systemd-timesyncd", timeOK, unix.Timex{Status: staNano}, floor + 1, ""},
		{"slewing", timeOK, unix.Timex{Maxerror: 1, Offset: 400000}, floor + 400002*us, ""},
		{"slewing back", timeOK, unix.Timex{Maxerror: 1, Offset: -400000}, floor + 400002*us, ""},
		{"slewing, in nanoseconds", timeOK, unix.Timex{Offset: -400000, Status: staNano}, floor + 400*us + 1, ""},
		{"leap second announced", timeIns, unix.Timex{Status: staIns}, floor + us, ""},
		{"leap second", timeOOP, unix.Timex{}, -1, "leap"},
		{"not synchronised by state", timeError, unix.Timex{}, -1, "chronyd"},
		{"not synchronised by status", timeOK, unix.Timex{Status: staUnsync}, -1, "chronyd"},
		{"hardware", timeError, unix.Timex{Status: staClkErr}, -1, "hardware"},
		{"nonsense", timeOK, unix.Timex{Maxerror: -1}, -1, "maximum error"},
		{"much", timeOK, unix.Timex{Maxerror: 1 << 30}, -1, "maximum error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := fakeKernel(t, noon, test.state, test.tx).Now(t.Context())
			if test.bound < 0 {
				if !errors.Is(err, clock.ErrUnknown) || r != (clock.Reading{}) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("Now() = %v, %v; want ErrUnknown and %q", r, err, test.text)
				}
				return
			}
			want := noon
			if test.tx.Status&staNano == 0 {
				want = noon.Truncate(time.Microsecond)
			}
			if err != nil || r != (clock.Reading{Time: want, Bound: test.bound, State: clock.StateSynchronised}) {
				t.Errorf("Now() = %+v, %v; want %v, bound %v", r, err, want, test.bound)
			}
		})
	}
}

// Around a leap second, from a second and the bound before it to a second and
// the bound after it, there is no time.
func TestKernelLeap(t *testing.T) {
	midnight := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	const bound = 10*time.Millisecond + 1
	for _, test := range []struct {
		name   string
		state  int
		status int32
		at     time.Duration // from midnight
		known  bool
	}{
		{"nothing announced", timeOK, 0, -1, true},
		{"nothing announced, after", timeOK, 0, 0, true},
		{"insert, the noon before", timeIns, staIns, -12 * time.Hour, true},
		{"insert, just before the margin", timeIns, staIns, -time.Second - bound - 1, true},
		{"insert, in the margin", timeIns, staIns, -time.Second - bound, false},
		{"insert, at the end", timeIns, staIns, -1, false},
		{"insert, told in the last second", timeOK, staIns, -time.Second, false},
		{"insert, going on", timeOOP, staIns, -time.Second, false},
		{"insert, just after", timeWait, staIns, 0, false},
		{"insert, in the margin after", timeWait, staIns, time.Second + bound - 1, false},
		{"insert, after the margin", timeWait, staIns, time.Second + bound, true},
		{"insert, bits never cleared, next evening", timeWait, staIns, 24*time.Hour - time.Second, true},
		{"delete, just before the margin", timeDel, staDel, -2*time.Second - bound - 1, true},
		{"delete, in the margin", timeDel, staDel, -2*time.Second - bound, false},
		{"delete, told late", timeOK, staDel, -2 * time.Second, false},
		{"delete, just after", timeWait, staDel, 0, false},
		{"delete, after the margin", timeWait, staDel, time.Second + bound, true},
		{"cleared, after", timeWait, 0, time.Minute, true},
	} {
		r, err := fakeKernel(t, midnight.Add(test.at), test.state, unix.Timex{Status: test.status | staNano}).Now(t.Context())
		if known := err == nil; known != test.known || !known && !errors.Is(err, clock.ErrUnknown) {
			t.Errorf("%s: Now() = %v, %v; want known: %v", test.name, r, err, test.known)
		}
	}
}

func TestKernelRefused(t *testing.T) {
	k := kernel{adjtimex: func(*unix.Timex) (int, error) { return -1, unix.EPERM }}
	if r, err := k.Now(t.Context()); !errors.Is(err, clock.ErrUnknown) || !errors.Is(err, unix.EPERM) || r != (clock.Reading{}) {
		t.Errorf("Now() = %v, %v; want ErrUnknown and EPERM", r, err)
	}
	if k, err := Kernel(KernelConfig{Floor: -1}); err == nil {
		t.Errorf("Kernel with a negative floor = %v", k)
	}
}

func TestKernelEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	k, err := Kernel(KernelConfig{})
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
	k, err := Kernel(KernelConfig{Floor: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := k.Now(t.Context())
	t.Logf("%+v %v", r, err)
	if err != nil {
		if !errors.Is(err, clock.ErrUnknown) {
			t.Errorf("Now() = %+v, %v", r, err)
		}
		return
	}
	if d := time.Since(r.Time); r.State != clock.StateSynchronised || r.Bound < time.Second || d < 0 || d > time.Minute || r.Time.Location() != time.UTC {
		t.Errorf("Now() = %+v, %v ago", r, d)
	}
}
