//go:build unix

package audit

import (
	"errors"
	"os"
	"syscall"
)

func syncOpenFolder(f *os.File) error { return f.Sync() }

// named fails if the file has no name any more: what is written to it would
// vanish with the process.
func named(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Nlink == 0 {
		return errNameless
	}
	return nil
}

// cure says what can be done about an error of a disk, "" for nothing that is
// known.
func cure(err error, dir string) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return "free space on the disk that holds " + dir + "; records are kept as long as the retention says"
	case errors.Is(err, syscall.EDQUOT):
		return "raise the disk quota of the user that the server runs as"
	case errors.Is(err, syscall.EROFS):
		return "the file system that holds " + dir + " is read-only: the kernel's log says why; mount it writable"
	case errors.Is(err, syscall.EIO):
		return "the disk that holds " + dir + " is failing: look into the kernel's log, and save the records"
	case errors.Is(err, errNameless), errors.Is(err, os.ErrNotExist):
		return "somebody removed " + dir + " or a file in it: put it back, and start the server anew"
	case errors.Is(err, os.ErrPermission):
		return "let the user that the server runs as write to " + dir
	case errors.Is(err, syscall.EFBIG):
		return "raise the limit on the size of a file (ulimit -f)"
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL):
		return "the file system that holds " + dir + " cannot lock files or sync folders: use a local one"
	case errors.Is(err, errNoFile):
		return "find out who put it into " + dir + ", and move it elsewhere"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise the limit on open files (ulimit -n)"
	}
	return ""
}
