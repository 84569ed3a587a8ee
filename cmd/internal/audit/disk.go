package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A folder is where a log is read from. An implementation on a simulated disk
// is in the tests.
type folder interface {
	// List returns the names in it.
	List() ([]string, error)
	// Read opens a file for reading.
	Read(name string) (reader, error)
	// Live says whether a server is writing there.
	Live() bool
	Close() error
}

// A reader is an open file.
type reader interface {
	io.ReaderAt
	io.Closer
	Size() (int64, error)
}

// A disk is a folder that is written to. What it promises is what POSIX does:
// bytes are safe after Sync of the file, and names after Sync of the folder.
type disk interface {
	folder
	// Lock takes the folder for this process, until Close. It returns an error
	// wrapping ErrLocked if another process has it.
	Lock() error
	// Create makes a file that is not there yet.
	Create(name string) (file, error)
	// Write opens a file for reading and writing.
	Write(name string) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	Sync() error
}

// A file is one that can be written. Sync returns when the bytes and the
// length are on the disk, and fails if the file has no name any more.
type file interface {
	reader
	io.WriterAt
	Truncate(size int64) error
	Sync() error
}

// Modes of what is made: the record names clients, which is nobody's business.
const (
	folderMode fs.FileMode = 0o700
	fileMode   fs.FileMode = 0o600
)

// An osDisk is a folder of the machine. It is held by a descriptor, so that
// another one mounted or moved over its path changes nothing.
type osDisk struct {
	dir   string
	root  *os.Root
	locks []*os.File // of the folder and of the file for it
}

var _ disk = (*osDisk)(nil)

// newDisk opens a folder for writing, and makes it if it is not there.
func newDisk(dir string) (*osDisk, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &osDisk{dir: dir, root: root}, nil
}

// newFolder opens a folder for reading.
func newFolder(dir string) (*osDisk, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &osDisk{dir: dir, root: root}, nil
}

func (d *osDisk) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d *osDisk) Read(name string) (reader, error) {
	if err := d.regular(name); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// errNoFile is something with the name of a file, such as a pipe: who opens one
// to read waits until somebody writes.
var errNoFile = errors.New("not a regular file")

func (d *osDisk) regular(name string) error {
	st, err := d.root.Lstat(name)
	if err == nil && !st.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errNoFile}
	}
	return err
}

func (d *osDisk) Create(name string) (file, error) {
	return d.write(name, os.O_CREATE|os.O_EXCL)
}

func (d *osDisk) Write(name string) (file, error) {
	if err := d.regular(name); err != nil {
		return nil, err
	}
	return d.write(name, 0)
}

func (d *osDisk) write(name string, flag int) (file, error) {
	f, err := d.root.OpenFile(name, os.O_RDWR|flag, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d *osDisk) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d *osDisk) Remove(name string) error { return d.root.Remove(name) }

func (d *osDisk) Sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(syncOpenFolder(f), f.Close())
}

// lockPatience is how long a start waits for the folder: the process before may
// be on its way out, and Live holds the lock for a moment.
const lockPatience = time.Second

// Lock locks a file in the folder, and the folder itself where the system can:
// who removes a lock that he takes for a left-over must not let two in.
func (d *osDisk) Lock() error {
	if err := d.regular(lockName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // a link would have another file emptied
	}
	f, err := d.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	d.locks = append(d.locks, f)
	if err = patiently(func() error { return lockFile(f) }); err == nil {
		err = d.lockFolder()
	}
	if errors.Is(err, errBusy) {
		who := make([]byte, 32) // a process number and a newline
		n, _ := f.ReadAt(who, 0)
		return fmt.Errorf("%w: process %s writes to it", ErrLocked, orUnknown(strings.TrimSpace(string(who[:n]))))
	}
	if err != nil {
		return err
	}
	// For people only: the lock is what counts.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	return nil
}

func (d *osDisk) lockFolder() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	d.locks = append(d.locks, f)
	if err := patiently(func() error { return lockFile(f) }); errors.Is(err, errBusy) {
		return err
	}
	return nil // NFS and Windows lock files only
}

// patiently asks for a lock until nobody has it or it has taken too long.
func patiently(lock func() error) error {
	err := lock()
	for deadline := time.Now().Add(lockPatience); errors.Is(err, errBusy) && time.Now().Before(deadline); {
		time.Sleep(lockPatience / 20)
		err = lock()
	}
	return err
}

func orUnknown(s string) string {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return "(number not known)"
	}
	return s
}

func (d *osDisk) Live() bool {
	// Closing them gives the lock back.
	if f, err := d.root.Open("."); err == nil {
		defer f.Close()
		if errors.Is(lockFileShared(f), errBusy) {
			return true
		}
	}
	if d.regular(lockName) != nil {
		return false
	}
	f, err := d.root.OpenFile(lockName, os.O_RDWR, 0)
	if err != nil {
		// Who must not write may still be able to ask.
		if f, err = d.root.Open(lockName); err != nil {
			return false
		}
	}
	defer f.Close()
	return errors.Is(lockFileShared(f), errBusy)
}

func (d *osDisk) Close() error {
	var errs []error
	for _, f := range d.locks {
		errs = append(errs, f.Close())
	}
	return errors.Join(append(errs, d.root.Close())...)
}

// makeFolder makes a folder and those above it, where they are missing, so that
// they last.
func makeFolder(dir string) error {
	_, err := os.Stat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

// syncFolder makes sure that the names in a folder last.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncOpenFolder(f), f.Close())
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Sync() error {
	if err := syncData(f.File); err != nil {
		return err
	}
	return named(f.File)
}

// errNameless is a file that was removed while it was written to.
var errNameless = fmt.Errorf("the file was removed by somebody else: %w", fs.ErrNotExist)
