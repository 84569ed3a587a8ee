package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// lockName is the file that keeps our writers of a layout apart. A file that
// must not exist works on every system and on network disks; other programs do
// not know it.
const lockName = ".fencepost.lock"

// Waiting for the lock.
const (
	lockWait  = 15 * time.Second // a writer needs milliseconds
	lockPause = 20 * time.Millisecond
)

// lock waits until no other program of ours writes the layout.
func (l *layout) lock(ctx context.Context) (unlock func(), err error) {
	name := filepath.Join(l.dir, lockName)
	for waited := time.Duration(0); ; waited += lockPause {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			fmt.Fprintf(f, "%d\n", os.Getpid())
			f.Close()
			return func() { os.Remove(name) }, nil
		}
		// Windows refuses access to a file that is just being removed.
		if !errors.Is(err, fs.ErrExist) && !(runtime.GOOS == "windows" && errors.Is(err, fs.ErrPermission)) {
			return nil, l.fileError(lockName, err)
		}
		if waited >= l.patience {
			e := l.error(Conflict, "another program is writing it, for %v", l.patience)
			e.hint = fmt.Sprintf("if none is running any more, remove %s", name)
			return nil, e
		}
		if err := pause(ctx, lockPause); err != nil {
			return nil, err
		}
	}
}
