package certcmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
)

// listVersion is the form of the file that is read and written here.
const listVersion = 1

// maxListSize is the longest list read, in bytes: some 50,000 entries, and a CA
// of one service issues a few hundred certificates in its life.
const maxListSize = 16 << 20

// A list is the file that remembers what an issuer has revoked, and the number
// of its last CRL.
type list struct {
	Version int `json:"version"`
	// Issuer is the name of the CA, for people.
	Issuer string `json:"issuer"`
	// IssuerKey is the SHA-256 of its subjectPublicKeyInfo, in hexadecimal: a
	// list is that of a key.
	IssuerKey string `json:"issuerKeySHA256"`
	// Number is that of the last CRL that was, or was about to be, released, in
	// decimal; "0" before the first.
	Number  string  `json:"crlNumber"`
	Revoked []entry `json:"revoked"`
}

// An entry is a certificate that was revoked. It is never removed: timestamps
// are verified long after the certificate has ended.
type entry struct {
	// Serial is in hexadecimal.
	Serial  string `json:"serial"`
	Subject string `json:"subject"`
	// Time is when it was revoked.
	Time   time.Time  `json:"time"`
	Reason pki.Reason `json:"reason"`
	// Released is when a hold was lifted. The entry then is history, and in no
	// CRL.
	Released *time.Time `json:"released,omitempty"`
}

// newList returns a list of an issuer that has revoked nothing yet.
func newList(issuer *x509.Certificate) *list {
	return &list{Version: listVersion, Issuer: issuer.Subject.String(), IssuerKey: keyHash(issuer), Number: "0", Revoked: []entry{}}
}

func keyHash(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// encode writes the list in the only form in which it is read.
func (l *list) encode() ([]byte, error) { return cli.MarshalJSON(l) }

// parseList reads a list. Whatever cannot be written again as it was read is an
// error, since something would be lost: a field twice, a name in other letters.
// Only white space is free.
func parseList(data []byte) (*list, error) {
	var l list
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the list")
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	ours, err := l.encode()
	if err != nil {
		return nil, err
	}
	var a, b bytes.Buffer
	if err := errors.Join(json.Compact(&a, data), json.Compact(&b, ours)); err != nil {
		return nil, err
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		return nil, errors.New("a field is there twice, is missing, or is not written as this program writes it")
	}
	return &l, nil
}

func (l *list) check() error {
	if l.Version != listVersion {
		return fmt.Errorf("version: %d, want %d", l.Version, listVersion)
	}
	if sum, err := hex.DecodeString(l.IssuerKey); err != nil || len(sum) != sha256.Size {
		return errors.New("issuerKeySHA256: not a SHA-256 in hexadecimal")
	}
	if _, err := l.number(); err != nil {
		return err
	}
	if l.Revoked == nil {
		return errors.New("revoked: missing")
	}
	active := map[string]bool{}
	for i, e := range l.Revoked {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("revoked[%d]: "+format, append([]any{i}, args...)...)
		}
		n, ok := new(big.Int).SetString(e.Serial, 16)
		switch {
		case !ok || n.Sign() < 0 || serialText(n) != e.Serial:
			return fail("serial: %.50q is not a number in hexadecimal", e.Serial)
		case e.Time.IsZero() || !e.Time.Equal(e.Time.UTC().Truncate(time.Second)):
			return fail("time: missing, or not in whole seconds")
		case e.Released != nil && (e.Reason != pki.ReasonCertificateHold || e.Released.Before(e.Time)):
			return fail("released: only a hold can be lifted, and not before it began")
		case e.Released == nil && active[e.Serial]:
			return fail("serial: %s is there twice", e.Serial)
		}
		if _, err := pki.ParseReason(string(e.Reason)); err != nil {
			return fail("reason: %w", err)
		}
		active[e.Serial] = active[e.Serial] || e.Released == nil
	}
	return nil
}

// number returns the number of the last CRL.
func (l *list) number() (*big.Int, error) {
	n, ok := new(big.Int).SetString(l.Number, 10)
	if !ok || n.Sign() < 0 || n.String() != l.Number {
		return nil, fmt.Errorf("crlNumber: %.50q is not a number", l.Number)
	}
	return n, nil
}

// find returns the entry that holds for a serial number now, nil if the
// certificate is not revoked.
func (l *list) find(serial *big.Int) *entry {
	for i := range l.Revoked {
		if e := &l.Revoked[i]; e.Released == nil && e.Serial == serialText(serial) {
			return e
		}
	}
	return nil
}

// revocations are the entries of the next CRL.
func (l *list) revocations() []pki.Revocation {
	var out []pki.Revocation
	for _, e := range l.Revoked {
		if n, ok := new(big.Int).SetString(e.Serial, 16); ok && e.Released == nil {
			out = append(out, pki.Revocation{Serial: n, Time: e.Time, Reason: e.Reason})
		}
	}
	return out
}

func serialText(n *big.Int) string { return fmt.Sprintf("%x", n) }

// A listFile is a list on disk that nobody else changes until it is released.
type listFile struct {
	*list
	path string // of the file itself, not of a link to it
	lock string
}

// lockPatience is how long a command waits for another one that has the list.
// Signing with a key elsewhere may take some seconds.
const lockPatience = 15 * time.Second

// openList takes and reads the list of an issuer, or begins it.
func openList(ctx context.Context, env *cli.Env, path string, l listOf) (*listFile, error) {
	f := &listFile{path: path}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		f.path = real // replacing the link would leave two lists
	}
	if err := f.take(ctx); err != nil {
		return nil, err
	}
	if err := f.read(env, l); err != nil {
		return nil, errors.Join(err, f.release())
	}
	return f, nil
}

// read reads the list, or begins it.
func (f *listFile) read(env *cli.Env, l listOf) error {
	data, err := env.ReadFile(f.path, maxListSize)
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case missing && l.begins:
		f.list = newList(l.issuer)
		return nil
	case missing:
		return cli.Hint(err, "if this issuer has never revoked anything, begin the list with --new")
	case err != nil:
		return err
	case l.begins:
		return cli.Hint(fmt.Errorf("%s is there already", f.path), "leave out --new to go on with it")
	}
	if f.list, err = parseList(data); err != nil {
		return fmt.Errorf("%s: not a list of revocations: %w", f.path, err)
	}
	if f.IssuerKey != keyHash(l.issuer) {
		return cli.Hint(fmt.Errorf("%s is the list of %q with another key than that of %q", f.path, f.Issuer, l.issuer.Subject.String()),
			"each issuer's key has a list of its own: give that of this one, or begin it with --new")
	}
	return nil
}

// A listOf says whose list it has to be, and whether it begins now.
type listOf struct {
	issuer *x509.Certificate
	begins bool
}

// take makes the lock, a file that whoever comes first makes. A command that
// was killed leaves it behind; it is not taken away by itself, since nobody can
// know that the command is gone.
func (f *listFile) take(ctx context.Context) error {
	f.lock = f.path + ".lock"
	wait, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		w, err := os.OpenFile(f.lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = fmt.Fprintf(w, "%d\n", os.Getpid())
			if err = errors.Join(err, w.Close()); err != nil {
				err = errors.Join(err, f.release())
			}
			return err
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		select {
		case <-tick.C:
		case <-wait.Done():
			if err := ctx.Err(); err != nil {
				return err
			}
			return cli.Hint(fmt.Errorf("%s is there: another command has the list", f.lock),
				"if there is none, since it was killed, remove that file and try again")
		}
	}
}

// release lets others have the list.
func (f *listFile) release() error { return os.Remove(f.lock) }

// write replaces the list on disk in one step, and returns when it is there to
// stay.
func (f *listFile) write(env *cli.Env) error {
	data, err := f.encode()
	if err != nil {
		return err
	}
	if len(data) > maxListSize {
		return fmt.Errorf("%s would have %d bytes, and no more than %d are read: nothing was recorded", f.path, len(data), maxListSize)
	}
	if _, err := parseList(data); err != nil {
		return fmt.Errorf("internal error: the list would not be read again: %w", err)
	}
	if err := env.Write(cli.File{Path: f.path, Data: data}); err != nil {
		return err
	}
	// The new name is on the disk when its directory is. Not every system can
	// do that, and none that can fails here.
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		dir.Sync()
		dir.Close()
	}
	return nil
}

// sameName says whether b's issuer is a, by name.
func sameName(a, b *x509.Certificate) bool { return bytes.Equal(a.RawSubject, b.RawIssuer) }

// trimX509 takes off what the standard library puts before its errors.
func trimX509(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }
