package truststore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
)

// An Added says what became of a file that was to be added.
type Added struct {
	// Source is the file as it was named.
	Source string
	// Path is where its certificates are in the store.
	Path string
	// Certificates are those of the file.
	Certificates []*x509.Certificate
	// Present says that they were all in the store before, so that nothing was
	// written.
	Present bool
	// Warnings are what is worth knowing about them, for people.
	Warnings []string
}

// Add copies files with certificates into a store, which is made if need be.
// All of them are added or, on an error, none. It refuses what the store could
// not be read with, certificates that no signature could be verified with, and
// a file whose name another certificate has; nothing is ever overwritten. The
// error is an *[Error], or several of them joined.
func (s *Store) Add(t Type, name string, files ...string) ([]Added, error) {
	if err := check(t, name); err != nil {
		return nil, err
	}
	var sources []source
	var faults []error
	for _, path := range files {
		src, err := read(t, name, path)
		if err == nil {
			err = src.collide(sources)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		sources = append(sources, src)
	}
	if len(faults) == 1 {
		return nil, faults[0]
	} else if len(faults) > 1 {
		return nil, errors.Join(faults...)
	}
	known, err := s.known(t, name)
	if err != nil {
		return nil, err
	}
	defer s.forget(t, name)
	var out []Added
	var made []string
	for _, src := range sources {
		added := Added{Source: src.path, Certificates: src.certs}
		for _, c := range src.certs {
			added.Warnings = append(added.Warnings, warnings(t, c, time.Now())...)
		}
		if t == TSA && name == System && len(known) == 0 && len(made) == 0 {
			added.Warnings = append(added.Warnings, "the store tsa:system is now these certificates, and no longer the certificate store of this system")
		}
		added.Path, added.Present, err = s.add(t, name, src, known)
		if err != nil {
			for _, path := range made {
				os.Remove(path)
			}
			os.Remove(s.path(t, name)) // if nothing is in it
			return nil, err
		}
		if !added.Present {
			made = append(made, added.Path)
			for _, c := range src.certs {
				known[string(c.Raw)] = filepath.Base(added.Path)
			}
		}
		out = append(out, added)
	}
	return out, nil
}

// A source is a file that is to be added.
type source struct {
	path  string // as it was named
	base  string // its name in the store
	data  []byte
	certs []*x509.Certificate
}

// read reads a file that is to be added, and judges what is in it.
func read(t Type, name, path string) (source, error) {
	src := source{path: path, base: filepath.Base(path)}
	fail := func(reason Reason, advice string, err error) (source, error) {
		return source{}, &Error{Reason: reason, Type: t, Store: name, Path: path, Err: fmt.Errorf("%s: %w", path, err), advice: advice}
	}
	if src.base == "." || src.base == ".." || strings.ContainsAny(src.base, `/\`) {
		return fail(ReasonUnreadable, "", errors.New("that is no file"))
	}
	f, err := os.Open(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err // the path is said already
		}
		return fail(ReasonIO, "", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.IsDir() {
		return fail(ReasonUnreadable, "name the files in it", errors.New("it is a directory"))
	}
	src.data, err = io.ReadAll(io.LimitReader(f, pki.MaxFileSize+1))
	if err != nil {
		return fail(ReasonIO, "", err)
	}
	src.data = bytes.TrimPrefix(src.data, []byte(byteOrderMark))
	certs, reason, err := parse(bytes.NewReader(src.data))
	if err != nil {
		return fail(reason, "a store takes certificates in PEM or DER", err)
	}
	for i, c := range certs {
		if err := suitable(t, c); err != nil {
			return fail(ReasonUnsuitable, unsuitableAdvice(t), nth(i, len(certs), err))
		}
	}
	src.certs = certs
	return src, nil
}

// collide says whether src would have the name of one of others, with something
// else in it.
func (src source) collide(others []source) error {
	for _, o := range others {
		if strings.EqualFold(o.base, src.base) && !bytes.Equal(o.data, src.data) {
			return &Error{Reason: ReasonExists, Path: src.path, Err: fmt.Errorf("%s and %s would have the same name in the store: %w", o.path, src.path, fs.ErrExist),
				advice: "rename one of them"}
		}
	}
	return nil
}

// known returns the certificates of a store, which may be absent, and the file
// that each is in. A store that cannot be read is not added to: what is added
// would be of no use.
func (s *Store) known(t Type, name string) (known map[string]string, err error) {
	for range attempts {
		if known, err = s.look(t, name); !errors.Is(err, errVanished) {
			break
		}
	}
	return known, err
}

func (s *Store) look(t Type, name string) (map[string]string, error) {
	known := map[string]string{}
	files, err := s.files(t, name)
	var e *Error
	if errors.As(err, &e) && e.Reason == ReasonAbsent {
		return known, nil
	} else if err != nil {
		return nil, err
	}
	for _, file := range files {
		certs, err := s.file(t, name, file)
		if err != nil {
			return nil, err
		}
		for _, c := range certs {
			known[string(c.Raw)] = file
		}
	}
	return known, nil
}

// add writes one source, unless its certificates are known.
func (s *Store) add(t Type, name string, src source, known map[string]string) (path string, present bool, err error) {
	path = filepath.Join(s.path(t, name), src.base)
	if !slices.ContainsFunc(src.certs, func(c *x509.Certificate) bool { _, ok := known[string(c.Raw)]; return !ok }) {
		return filepath.Join(s.path(t, name), known[string(src.certs[0].Raw)]), true, nil
	}
	var there []*x509.Certificate
	for range attempts {
		switch err := s.place(t, name, src); {
		case err == nil:
			return path, false, nil
		case !errors.Is(err, fs.ErrExist):
			return "", false, &Error{Reason: ReasonIO, Type: t, Store: name, Path: path, Err: fmt.Errorf("trust store %s:%s: %w", t, name, err)}
		}
		// Somebody else may have added the same since it was looked for, or
		// deleted what was in the way.
		if there, err = s.file(t, name, src.base); !errors.Is(err, errVanished) {
			break
		}
	}
	if err == nil && slices.EqualFunc(there, src.certs, (*x509.Certificate).Equal) {
		return path, true, nil
	}
	e := &Error{Reason: ReasonExists, Type: t, Store: name, Path: path, advice: fmt.Sprintf("rename %s, or delete the other: fencepost trust delete --type %s --store %s %s", src.path, t, name, src.base)}
	if len(there) > 0 {
		e.Err = fmt.Errorf("trust store %s:%s: %s is there already, with the certificate of %s: %w", t, name, src.base, there[0].Subject, fs.ErrExist)
	} else {
		e.Err = fmt.Errorf("trust store %s:%s: %s is there already: %w", t, name, src.base, fs.ErrExist)
	}
	return "", false, e
}

// place writes a file into a store in one step. The error wraps fs.ErrExist if
// the name is taken.
func (s *Store) place(t Type, name string, src source) error {
	// Others need not read it, as with Notation.
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(src.data)
	err = errors.Join(err, tmp.Sync())
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	path := filepath.Join(s.path(t, name), src.base)
	for range attempts {
		if err = os.MkdirAll(s.path(t, name), 0o700); err != nil {
			return err
		}
		// A link, unlike a rename, does not replace what came in between.
		if err = os.Link(tmp.Name(), path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return create(path, src.data) // some file systems have no links
}

// create writes a file that must not exist. Unlike a link it is not done in one
// step.
func create(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync())
	return errors.Join(err, f.Close())
}

// Delete removes one file of a store, and the store with its last file. A
// symbolic link is removed, not what it names. The error is an *[Error]; it
// wraps [fs.ErrNotExist] if there is no such file. It returns the path.
func (s *Store) Delete(t Type, name, file string) (string, error) {
	path, err := s.within(t, name, file)
	if err != nil {
		return "", err
	}
	defer s.forget(t, name)
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", s.absent(t, name, file)
	case err == nil && st.IsDir():
		return "", &Error{Reason: ReasonIrregular, Type: t, Store: name, Path: path, Err: fmt.Errorf("trust store %s:%s: %s is a folder", t, name, file),
			advice: "a store should not have one; move it away by hand"}
	case err == nil:
		err = os.Remove(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.absent(t, name, file)
	} else if err != nil {
		return "", &Error{Reason: ReasonIO, Type: t, Store: name, Path: path, Err: fmt.Errorf("trust store %s:%s: %w", t, name, err)}
	}
	os.Remove(s.path(t, name)) // if nothing is in it
	return path, nil
}

// DeleteAll removes a store with everything in it; for readers it is gone at
// once. It returns the names of what was in it.
func (s *Store) DeleteAll(t Type, name string) ([]string, error) {
	if err := check(t, name); err != nil {
		return nil, err
	}
	defer s.forget(t, name)
	dir := s.path(t, name)
	fail := func(err error) ([]string, error) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &Error{Reason: ReasonAbsent, Type: t, Store: name, Path: dir, Err: fmt.Errorf("there is no trust store %s:%s: %w", t, name, fs.ErrNotExist)}
		}
		return nil, &Error{Reason: ReasonIO, Type: t, Store: name, Path: dir, Err: fmt.Errorf("trust store %s:%s: %w", t, name, err)}
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fail(err)
	}
	if !st.IsDir() {
		if err := os.Remove(dir); err != nil {
			return fail(err)
		}
		return nil, nil
	}
	trash, err := os.MkdirTemp(s.dir, ".deleted-*")
	if err != nil {
		return fail(err)
	}
	moved := filepath.Join(trash, name)
	if err := os.Rename(dir, moved); err != nil {
		os.Remove(trash)
		return fail(err)
	}
	var names []string
	if entries, err := os.ReadDir(moved); err == nil {
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	if err := os.RemoveAll(trash); err != nil {
		return names, &Error{Reason: ReasonIO, Type: t, Store: name, Path: trash, Err: fmt.Errorf("the trust store %s:%s is gone, but not all of its files: %w", t, name, err),
			advice: "remove " + trash}
	}
	return names, nil
}

// within is the path of a file of a store, which must be a mere name.
func (s *Store) within(t Type, name, file string) (string, error) {
	if err := check(t, name); err != nil {
		return "", err
	}
	if file == "" || file == "." || file == ".." || strings.ContainsAny(file, `/\`) || filepath.Base(file) != file {
		return "", &Error{Reason: ReasonName, Type: t, Store: name, Err: fmt.Errorf("%q is no name of a file in a trust store", short(file)),
			advice: "name it without its folder, as fencepost trust list shows it"}
	}
	return filepath.Join(s.path(t, name), file), nil
}

// maxNames is how many files a hint lists.
const maxNames = 10

// absent says that there is no such file, and what there is.
func (s *Store) absent(t Type, name, file string) error {
	e := &Error{Reason: ReasonAbsent, Type: t, Store: name, Path: filepath.Join(s.path(t, name), file)}
	names, err := s.files(t, name)
	if err != nil {
		e.Err, e.advice = fmt.Errorf("there is no trust store %s:%s: %w", t, name, fs.ErrNotExist), "fencepost trust list shows what there is"
		return e
	}
	e.Err = fmt.Errorf("there is no file %q in the trust store %s:%s: %w", short(file), t, name, fs.ErrNotExist)
	if len(names) > maxNames {
		names = append(names[:maxNames], "others")
	}
	if len(names) > 0 {
		e.advice = "there are " + strings.Join(names, ", ")
	}
	return e
}
