//go:build unix

package systemd

import "golang.org/x/sys/unix"

// monotonicMicroseconds is the clock by which the manager orders messages
// (MONOTONIC_USEC of sd_notify(3)).
func monotonicMicroseconds() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, err
	}
	return ts.Nano() / 1000, nil
}
