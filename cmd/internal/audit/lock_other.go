//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package audit

import (
	"errors"
	"os"
)

// errBusy is a lock that somebody else has.
var errBusy = errors.New("locked")

// Two processes in one folder would spoil the chain, so that there is no log
// where there are no locks.
func lockFile(*os.File) error { return errors.ErrUnsupported }

func lockFileShared(*os.File) error { return errors.ErrUnsupported }
