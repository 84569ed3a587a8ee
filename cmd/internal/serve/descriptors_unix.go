//go:build unix

package serve

import "golang.org/x/sys/unix"

// descriptorLimit returns how many files the process may have open. Go has
// raised that to all that the system allows it.
func descriptorLimit() (limit uint64, ok bool) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return uint64(r.Cur), true
}
