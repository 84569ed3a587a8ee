package truststore

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
)

// A Type is the purpose of a store.
type Type string

// The types.
const (
	CA               Type = "ca"
	SigningAuthority Type = "signingAuthority"
	TSA              Type = "tsa"
)

// Types returns all of them.
func Types() []Type { return []Type{CA, SigningAuthority, TSA} }

// ParseType returns the type with a name.
func ParseType(name string) (Type, error) {
	if t := Type(name); slices.Contains(Types(), t) {
		return t, nil
	}
	return "", &Error{Reason: ReasonName, Err: fmt.Errorf("there is no type of trust store %q", short(name)), advice: "the types are ca, signingAuthority and tsa"}
}

// CheckName says what is wrong with the name of a store: it has letters,
// digits, and the characters _ . - and is neither "." nor "..".
func CheckName(name string) error {
	if name != "" && name != "." && name != ".." && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-'
	}) {
		return nil
	}
	return &Error{Reason: ReasonName, Err: fmt.Errorf("%q is no name of a trust store", short(name)), advice: "use letters, digits, and the characters _ . -"}
}

// System is the store of the type tsa that is the system's own certificate
// store, unless a folder of that name exists.
const System = "system"

// maxFiles is the greatest number of files in a store: more than the root
// programs of browsers have certificates, one a file.
const maxFiles = 1000

// A Store is all trust stores of a configuration directory.
type Store struct {
	dir    string // .../truststore/x509
	system func() ([]*x509.Certificate, error)

	mu   sync.Mutex
	read map[key]*result
}

type key struct {
	Type Type
	name string
}

type result struct {
	once  sync.Once
	certs []*x509.Certificate
	err   error
}

// Open returns the stores of a configuration directory, which need not exist.
// SystemRoots gives the certificates of the system's store; nil means that
// there is none. Nothing is read yet.
func Open(dir string, systemRoots func() ([]*x509.Certificate, error)) *Store {
	return &Store{dir: filepath.Join(dir, "truststore", "x509"), system: systemRoots, read: map[key]*result{}}
}

// Certificates returns those of a store, in the order of the names of its
// files, and never none. What the first call says is what all say, until Add or
// Delete changes the store. The error is an *[Error].
func (s *Store) Certificates(t Type, name string) ([]*x509.Certificate, error) {
	if err := check(t, name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	r := s.read[key{t, name}]
	if r == nil {
		r = &result{}
		s.read[key{t, name}] = r
	}
	s.mu.Unlock()
	r.once.Do(func() { r.certs, r.err = s.certificates(t, name) })
	return slices.Clone(r.certs), r.err
}

// forget has the next call of Certificates look again.
func (s *Store) forget(t Type, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.read, key{t, name})
}

func check(t Type, name string) error {
	if _, err := ParseType(string(t)); err != nil {
		return err
	}
	return CheckName(name)
}

// path is the folder of a store.
func (s *Store) path(t Type, name string) string { return filepath.Join(s.dir, string(t), name) }

// attempts is how often something is tried again because somebody else changes
// the store at the same time.
const attempts = 100

func (s *Store) certificates(t Type, name string) (certs []*x509.Certificate, err error) {
	for range attempts {
		if certs, err = s.once(t, name); !errors.Is(err, errVanished) {
			break
		}
	}
	return certs, err
}

// errVanished says that a file was there, and no longer is.
var errVanished = errors.New("the store changed while it was read")

func (s *Store) once(t Type, name string) ([]*x509.Certificate, error) {
	entries, err := s.files(t, name)
	var e *Error
	if t == TSA && name == System && errors.As(err, &e) && e.Reason == ReasonAbsent {
		return s.systemRoots()
	}
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, file := range entries {
		certs, err := s.file(t, name, file)
		if err != nil {
			return nil, err
		}
		all = append(all, certs...)
	}
	if len(all) == 0 {
		return nil, &Error{Reason: ReasonEmpty, Type: t, Store: name, Err: fmt.Errorf("the trust store %s:%s has no certificates", t, name), advice: addAdvice(t, name)}
	}
	return all, nil
}

func addAdvice(t Type, name string) string {
	return fmt.Sprintf("add one with fencepost trust add --type %s --store %s FILE", t, name)
}

// systemRoots returns those of the system's certificates that could root the
// chain of a timestamp authority. The system vouches for the signatures they
// have of their own, many of them SHA-1.
func (s *Store) systemRoots() ([]*x509.Certificate, error) {
	fail := func(err error) error {
		return &Error{Reason: ReasonSystem, Type: TSA, Store: System, Err: fmt.Errorf("the trust store tsa:system is the certificate store of this system, and %w", err),
			advice: "put the roots of your timestamp authorities into a store of their own"}
	}
	if s.system == nil {
		return nil, fail(errors.New("there is none"))
	}
	certs, err := s.system()
	if err != nil {
		return nil, fail(err)
	}
	certs = slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool {
		return c == nil || !c.IsCA || !c.BasicConstraintsValid || string(c.RawIssuer) != string(c.RawSubject)
	})
	if len(certs) == 0 {
		return nil, fail(errors.New("it is empty"))
	}
	return certs, nil
}

// files returns the names of the files of a store, in order. Anything but files
// is an error, as in Notation; its specification would ignore folders.
func (s *Store) files(t Type, name string) ([]string, error) {
	dir := s.path(t, name)
	fail := func(reason Reason, advice string, err error) ([]string, error) {
		return nil, &Error{Reason: reason, Type: t, Store: name, Path: dir, Err: err, advice: advice}
	}
	before, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(ReasonAbsent, addAdvice(t, name), fmt.Errorf("there is no trust store %s:%s: %w", t, name, err))
	case err != nil:
		return fail(ReasonIO, "", fmt.Errorf("trust store %s:%s: %w", t, name, err))
	case before.Mode()&fs.ModeSymlink != 0:
		return fail(ReasonIrregular, "make it a directory", fmt.Errorf("the trust store %s:%s is a symbolic link, %s, which is not followed", t, name, dir))
	case !before.IsDir():
		return fail(ReasonIrregular, "make it a directory with certificates in it", fmt.Errorf("the trust store %s:%s is %s, %s, want a directory", t, name, cli.Kind(before.Mode()), dir))
	}
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(ReasonAbsent, addAdvice(t, name), fmt.Errorf("there is no trust store %s:%s: %w", t, name, err))
	} else if err != nil {
		return fail(ReasonIO, "", fmt.Errorf("trust store %s:%s: %w", t, name, err))
	}
	defer d.Close()
	if after, err := d.Stat(); err != nil || !os.SameFile(before, after) {
		return fail(ReasonIrregular, "try again", errors.Join(fmt.Errorf("the trust store %s:%s was exchanged while it was opened: %w", t, name, errVanished), err))
	}
	names, err := d.Readdirnames(maxFiles + 1)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(ReasonIO, "try again", fmt.Errorf("trust store %s:%s: %w: %w", t, name, errVanished, err))
	} else if err != nil && !errors.Is(err, io.EOF) {
		return fail(ReasonIO, "", fmt.Errorf("trust store %s:%s: %w", t, name, err))
	}
	if len(names) > maxFiles {
		return fail(ReasonTooLarge, "is it the right folder?", fmt.Errorf("the trust store %s:%s has more than %d files", t, name, maxFiles))
	}
	slices.Sort(names)
	return names, nil
}

// file reads one file of a store and checks what is in it. Certificates that are
// not for such a store come with the error.
func (s *Store) file(t Type, name, file string) ([]*x509.Certificate, error) {
	path := filepath.Join(s.path(t, name), file)
	fail := func(reason Reason, advice string, err error) ([]*x509.Certificate, error) {
		return nil, &Error{Reason: reason, Type: t, Store: name, Path: path, Err: fmt.Errorf("trust store %s:%s: %s: %w", t, name, file, err), advice: advice}
	}
	before, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(ReasonIO, "try again", fmt.Errorf("%w: %w", errVanished, fs.ErrNotExist))
	case err != nil:
		return fail(ReasonIO, "", err)
	case !before.Mode().IsRegular():
		return fail(ReasonIrregular, "move it away; a store holds files with certificates and nothing else", fmt.Errorf("it is %s, want a file", cli.Kind(before.Mode())))
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fail(ReasonIO, "try again", fmt.Errorf("%w: %w", errVanished, fs.ErrNotExist))
	} else if err != nil {
		return fail(ReasonIO, "", err)
	}
	defer f.Close()
	// What was looked at is what is read, whatever happened to the name.
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		return fail(ReasonIrregular, "try again", errors.Join(fmt.Errorf("it was exchanged while it was opened: %w", errVanished), err))
	}
	certs, reason, err := parse(f)
	if err != nil {
		return fail(reason, "remove the file, or replace it; fencepost trust delete does the first", err)
	}
	for i, c := range certs {
		if err := acceptable(t, c); err != nil {
			_, err := fail(ReasonUnsuitable, unsuitableAdvice(t), nth(i, len(certs), err))
			return certs, err
		}
	}
	return certs, nil
}

// byteOrderMark is what some editors put in front of UTF-8.
const byteOrderMark = "\xef\xbb\xbf"

// derSequence is the first octet of a certificate in DER.
const derSequence = 0x30

// parse reads the certificates of a file.
func parse(r io.Reader) ([]*x509.Certificate, Reason, error) {
	data, err := io.ReadAll(io.LimitReader(r, pki.MaxFileSize+1))
	if err != nil {
		return nil, ReasonIO, err
	}
	if len(data) == 0 {
		return nil, ReasonUnreadable, errors.New("the file is empty")
	}
	// Notation does not see a certificate behind it.
	if bytes.HasPrefix(data, []byte(byteOrderMark)) {
		return nil, ReasonUnreadable, errors.New("it begins with a byte order mark, which fencepost trust add removes")
	}
	// Notation looks for PEM first, and within a certificate in DER there may be
	// another one: it would trust that, and we the one around it.
	if block, _ := pem.Decode(data); block != nil && data[0] == derSequence {
		return nil, ReasonUnreadable, errors.New("it is DER with PEM inside, which not everybody reads as the same certificate")
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without "pki: reading certificates"
		}
		return nil, ReasonUnreadable, err
	}
	return certs, "", nil
}

// nth says which certificate of a file an error is about.
func nth(i, n int, err error) error {
	if n == 1 {
		return err
	}
	return fmt.Errorf("certificate %d of %d: %w", i+1, n, err)
}
