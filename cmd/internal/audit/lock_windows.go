package audit

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// errBusy is a lock that somebody else has.
var errBusy = errors.New("locked")

// lockFile locks a file until it is closed or the process ends, however it
// ends.
func lockFile(f *os.File) error { return lockFileEx(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

func lockFileShared(f *os.File) error { return lockFileEx(f, 0) }

func lockFileEx(f *os.File, how uint32) error {
	// Far behind the end, so that the number of the process can be read.
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), how|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errBusy
	}
	if err != nil {
		return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}
