package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"
)

// File is something to be written where the user wants it.
type File struct {
	// Path is the name of the file; "-" or "" means standard output.
	Path string
	// Data is the whole content.
	Data []byte
	// Mode is the permission of a new file; 0 means 0644.
	Mode fs.FileMode
	// Inputs are the files that were read to make this one. Path must not be
	// one of them, under whatever name.
	Inputs []string
	// Existing refuses to replace a file that is there, as keys do.
	Existing Existing
}

// Existing says what happens to a file that already has the name.
type Existing int

// What happens to a file that already has the name.
const (
	Replace Existing = iota // it is replaced, in one step
	Keep                    // it is kept, and writing is an error wrapping fs.ErrExist
)

// Write writes f: to standard output, or to a temporary file beside the final
// one that takes its name only when all of it is on the disk. A reader never
// sees half a file, and a failure leaves what was there.
func (e *Env) Write(f File) error {
	if f.Path == "" || f.Path == "-" {
		if e.StdoutTerminal && Binary(f.Data) {
			return Hint(errors.New("refusing to write binary data to a terminal"),
				"redirect the output, or name a file")
		}
		_, err := e.Stdout.Write(f.Data)
		return err
	}
	if err := e.Vacant(f); err != nil {
		return err
	}
	if f.Mode == 0 {
		f.Mode = 0o644
	}
	return f.replace()
}

// Vacant says whether f may take its name, for a command that wants to know
// before it does what cannot be undone. Write asks again.
func (e *Env) Vacant(f File) error {
	if f.Path == "" || f.Path == "-" {
		return nil
	}
	for _, in := range f.Inputs {
		if same(in, f.Path) {
			return Hint(fmt.Errorf("%s is an input, it is not overwritten", f.Path), "choose another name for the output")
		}
	}
	if f.Existing == Keep {
		if _, err := os.Lstat(f.Path); err == nil && !f.stream() {
			return &fs.PathError{Op: "create", Path: f.Path, Err: fs.ErrExist}
		}
	}
	return nil
}

// stream says that the name is that of a device or a pipe, such as
// /dev/stdout, which holds nothing that could be lost and cannot be renamed
// over.
func (f File) stream() bool {
	st, err := os.Stat(f.Path)
	return err == nil && st.Mode()&(fs.ModeDevice|fs.ModeNamedPipe) != 0
}

func (f File) replace() (err error) {
	if f.stream() {
		w, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = w.Write(f.Data)
		return errors.Join(err, w.Close())
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.Path), "."+filepath.Base(f.Path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	// CreateTemp makes the file 0600, so that a secret is never readable on the way.
	_, err = tmp.Write(f.Data)
	err = errors.Join(err, tmp.Chmod(f.Mode), tmp.Sync())
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", f.Path, err)
	}
	if f.Existing == Keep {
		// A link, unlike a rename, does not replace what came in between.
		if err = os.Link(tmp.Name(), f.Path); err == nil {
			return os.Remove(tmp.Name())
		} else if errors.Is(err, fs.ErrExist) {
			return err
		}
		// Some file systems have no links; the check above has to do there.
	}
	return os.Rename(tmp.Name(), f.Path)
}

// same says whether two names are one file.
func same(a, b string) bool {
	if a == "" || a == "-" {
		return false
	}
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	sa, erra := os.Stat(a)
	sb, errb := os.Stat(b)
	return erra == nil && errb == nil && sa.Mode().IsRegular() && os.SameFile(sa, sb)
}

// binarySample is how much of the data decides whether it is binary. A DER
// header shows within a few bytes.
const binarySample = 1024

// Binary says whether data would disturb a terminal: it is not UTF-8 or has
// control characters other than white space.
func Binary(data []byte) bool {
	head := data
	if len(head) > binarySample {
		head = head[:binarySample]
		for i := 0; i < utf8.UTFMax && !utf8.Valid(head); i++ {
			head = head[:len(head)-1] // a rune cut by the sample
		}
	}
	return !utf8.Valid(head) || bytes.ContainsFunc(head, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f
	})
}

// Open opens a file for reading; "-" is standard input.
func (e *Env) Open(path string) (io.ReadCloser, error) {
	if path == "-" && e.Stdin == nil {
		return io.NopCloser(bytes.NewReader(nil)), nil
	} else if path == "-" {
		return io.NopCloser(e.Stdin), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, fmt.Errorf("open %s: it is a directory", path)
	}
	return f, nil
}

// ReadFile reads at most limit bytes of a file, "-" being standard input. A
// longer one is an error.
func (e *Env) ReadFile(path string, limit int64) ([]byte, error) {
	r, err := e.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: more than %d bytes", path, limit)
	}
	return data, nil
}

// maxSecret is the longest passphrase, in bytes: more than anybody types, and
// less than a file that was named by mistake.
const maxSecret = 4096

// ReadSecret reads a passphrase from a file of one line, without the end of the
// line. An empty one is an error.
func (e *Env) ReadSecret(path string) ([]byte, error) {
	data, err := e.ReadFile(path, maxSecret)
	if err != nil {
		return nil, err
	}
	if line, ok := bytes.CutSuffix(data, []byte("\n")); ok {
		data = bytes.TrimSuffix(line, []byte("\r"))
	}
	switch {
	case bytes.ContainsRune(data, '\n'):
		return nil, fmt.Errorf("%s: a passphrase of several lines", path)
	case len(data) == 0:
		return nil, fmt.Errorf("%s: the passphrase is empty", path)
	}
	return data, nil
}

// Kind says what sort of file a mode is of, with its article, for messages about
// files that are not regular.
func Kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}
