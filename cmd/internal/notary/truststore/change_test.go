package truststore_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// tree lists all files and folders under a directory.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAdd(t *testing.T) {
	dir, from := t.TempDir(), t.TempDir()
	signer, other := chain(t, "Signer", nil), chain(t, "Other", nil)
	s := truststore.Open(dir, nil)
	if _, err := s.Certificates(truststore.CA, "test"); reason(err) != truststore.ReasonAbsent {
		t.Fatal(err)
	}
	a := write(t, encode(signer[2]), from, "a.crt")
	b := write(t, append([]byte("\xef\xbb\xbf"), encode(other[2], other[1])...), from, "b.pem")
	added, err := s.Add(truststore.CA, "test", a, b)
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "truststore", "x509", "ca", "test")
	for i, want := range []truststore.Added{{Source: a, Path: filepath.Join(store, "a.crt")}, {Source: b, Path: filepath.Join(store, "b.pem")}} {
		if got := added[i]; got.Source != want.Source || got.Path != want.Path || got.Present || len(got.Certificates) != i+1 || len(got.Warnings) > 0 {
			t.Errorf("added %+v, want %+v", got, want)
		}
	}
	got, err := s.Certificates(truststore.CA, "test")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []*x509.Certificate{signer[2], other[2], other[1]})
	if want := []string{"truststore", "truststore/x509", "truststore/x509/ca", "truststore/x509/ca/test", "truststore/x509/ca/test/a.crt", "truststore/x509/ca/test/b.pem"}; !slices.Equal(tree(t, dir), want) {
		t.Errorf("files %v, want %v", tree(t, dir), want)
	}
	data, err := os.ReadFile(added[1].Path)
	if err != nil || !bytes.Equal(data, encode(other[2], other[1])) {
		t.Errorf("the byte order mark is still there, or more is gone: %v", err)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{store: 0o700, added[0].Path: 0o600} {
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: %v, %v, want %v", path, st.Mode(), err, want)
			}
		}
	}

	// The same again changes nothing, under whatever name and in whatever form.
	before := tree(t, dir)
	for _, again := range []string{a, write(t, signer[2].Raw, from, "c.der"), write(t, encode(other[1]), from, "d.crt")} {
		added, err := s.Add(truststore.CA, "test", again)
		if err != nil || !added[0].Present || added[0].Path == "" {
			t.Errorf("%s: %+v, %v, want present", again, added, err)
		}
	}
	// Another certificate does not replace the one that has its name.
	another := write(t, encode(chain(t, "Another", nil)[2]), t.TempDir(), "a.crt")
	if _, err := s.Add(truststore.CA, "test", another); reason(err) != truststore.ReasonExists || !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "Signer CA 1") {
		t.Errorf("another: %v", err)
	}
	if !slices.Equal(tree(t, dir), before) {
		t.Errorf("files %v, want %v", tree(t, dir), before)
	}
	got, err = s.Certificates(truststore.CA, "test")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []*x509.Certificate{signer[2], other[2], other[1]})
}

// TestAddRefuses: what would fail at each verification is refused at once, and
// nothing is written.
func TestAddRefuses(t *testing.T) {
	signer, stamper := chain(t, "Signer", nil), pkitest.TSA(t, pkitest.Options{})
	root := func(change func(*x509.Certificate)) []byte { return encode(bent(t, change)) }
	for _, test := range []struct {
		name string
		typ  truststore.Type
		data []byte
		why  truststore.Reason
		says string
	}{
		{"empty", truststore.CA, nil, truststore.ReasonUnreadable, "the file is empty"},
		{"text", truststore.CA, []byte("hello\n"), truststore.ReasonUnreadable, "no certificate found"},
		{"private key", truststore.TSA, []byte("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n"), truststore.ReasonUnreadable, "private key"},
		{"one certificate in the other", truststore.CA, bent(t, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Value: append([]byte("\n"), encode(signer[2])...)}}
		}).Raw, truststore.ReasonUnreadable, "DER with PEM inside"},
		{"leaf", truststore.CA, encode(signer[0]), truststore.ReasonUnsuitable, "neither a certificate authority nor signed by its own key"},
		{"leaf of a signing authority", truststore.SigningAuthority, encode(signer[0]), truststore.ReasonUnsuitable, "neither a certificate authority"},
		{"root and leaf", truststore.CA, encode(signer[2], signer[0]), truststore.ReasonUnsuitable, "certificate 2 of 2"},
		{"leaf of a timestamp authority", truststore.TSA, encode(stamper.Leaf), truststore.ReasonUnsuitable, "is no root"},
		{"intermediate of a timestamp authority", truststore.TSA, encode(stamper.Intermediate), truststore.ReasonUnsuitable, "is no root: its issuer is"},
		{"chain of a timestamp authority", truststore.TSA, encode(stamper.Root, stamper.Intermediate), truststore.ReasonUnsuitable, "certificate 2 of 2"},
		{"self-signed signer as a timestamp authority", truststore.TSA, encode(selfSigned(t, nil)), truststore.ReasonUnsuitable, "is no root"},
		{"self-signed server", truststore.CA, encode(selfSigned(t, func(_ int, c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })), truststore.ReasonUnsuitable, "ServerAuth"},
		{"self-signed without key usage", truststore.CA, encode(selfSigned(t, func(_ int, c *x509.Certificate) { c.KeyUsage = 0 })), truststore.ReasonUnsuitable, "key usage extension must be present"},
		{"authority without key usage", truststore.CA, root(func(c *x509.Certificate) { c.KeyUsage = 0 }), truststore.ReasonUnsuitable, "needs the extension keyUsage"},
		{"authority that signs lists only", truststore.CA, root(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), truststore.ReasonUnsuitable, "lacks keyCertSign"},
		{"key usage not critical", truststore.CA, root(func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{usage(false, 6)} }), truststore.ReasonUnsuitable, "keyUsage is not critical"},
		{"timestamp root without key usage", truststore.TSA, root(func(c *x509.Certificate) { c.KeyUsage = 0 }), truststore.ReasonUnsuitable, "needs the extension keyUsage"},
		{"timestamp root that signs lists only", truststore.TSA, root(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), truststore.ReasonUnsuitable, "is no root"},
		{"timestamp root for code", truststore.TSA, root(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), truststore.ReasonUnsuitable, "leaves out timestamping"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, from := t.TempDir(), t.TempDir()
			good := write(t, encode(chain(t, "Good", nil)[2]), from, "good.crt")
			bad := write(t, test.data, from, "bad.crt")
			_, err := truststore.Open(dir, nil).Add(test.typ, "test", good, bad)
			var e *truststore.Error
			if !errors.As(err, &e) || e.Reason != test.why || e.Advice() == "" || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), bad) {
				t.Errorf("got %v, want %s: %q", err, test.why, test.says)
			}
			if got := tree(t, dir); len(got) > 0 {
				t.Errorf("something was written: %v", got)
			}
		})
	}
	t.Run("key usage of a timestamp root need not be critical", func(t *testing.T) {
		file := write(t, root(func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{usage(false, 6)} }), t.TempDir(), "a.crt")
		if _, err := truststore.Open(t.TempDir(), nil).Add(truststore.TSA, "test", file); err != nil {
			t.Error(err)
		}
	})
	t.Run("all that is wrong is said", func(t *testing.T) {
		from := t.TempDir()
		_, err := truststore.Open(t.TempDir(), nil).Add(truststore.CA, "test", write(t, nil, from, "one.crt"), filepath.Join(from, "two.crt"), from)
		if err == nil || !strings.Contains(err.Error(), "one.crt") || !strings.Contains(err.Error(), "two.crt") || !strings.Contains(err.Error(), "it is a directory") || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("two sources of one name", func(t *testing.T) {
		a, b := write(t, encode(signer[2]), t.TempDir(), "a.crt"), write(t, encode(signer[1]), t.TempDir(), "a.crt")
		dir := t.TempDir()
		if _, err := truststore.Open(dir, nil).Add(truststore.CA, "test", a, b); reason(err) != truststore.ReasonExists || len(tree(t, dir)) > 0 {
			t.Errorf("got %v, %v", err, tree(t, dir))
		}
		added, err := truststore.Open(dir, nil).Add(truststore.CA, "test", a, a)
		if err != nil || added[0].Present || !added[1].Present {
			t.Errorf("the same twice: %+v, %v", added, err)
		}
	})
}

// TestAddUndone: when the second of two files cannot be written, the first is
// taken back.
func TestAddUndone(t *testing.T) {
	dir, from := t.TempDir(), t.TempDir()
	signer := chain(t, "Signer", nil)
	s := truststore.Open(dir, nil)
	if _, err := s.Add(truststore.CA, "test", write(t, encode(signer[2]), from, "b.crt")); err != nil {
		t.Fatal(err)
	}
	before := tree(t, dir)
	a, b := write(t, encode(signer[1]), from, "a.crt"), write(t, encode(chain(t, "Other", nil)[2]), from, "b.crt")
	if _, err := s.Add(truststore.CA, "test", a, b); reason(err) != truststore.ReasonExists {
		t.Errorf("got %v", err)
	}
	if got := tree(t, dir); !slices.Equal(got, before) {
		t.Errorf("files %v, want %v", got, before)
	}
}

func TestAddWarns(t *testing.T) {
	old := bent(t, func(c *x509.Certificate) { c.NotAfter = time.Date(2021, 2, 3, 0, 0, 0, 0, time.UTC) })
	for typ, want := range map[truststore.Type]string{truststore.CA: "expired on 2021-02-03: only signatures stamped before", truststore.TSA: "expired on 2021-02-03: only timestamps made before"} {
		added, err := truststore.Open(t.TempDir(), nil).Add(typ, "test", write(t, encode(old), t.TempDir(), "a.crt"))
		if err != nil || len(added[0].Warnings) != 1 || !strings.Contains(added[0].Warnings[0], want) {
			t.Errorf("%s: %+v, %v", typ, added, err)
		}
	}
}

func TestListShowDelete(t *testing.T) {
	dir, from := t.TempDir(), t.TempDir()
	signer, stamper := chain(t, "Signer", nil), pkitest.TSA(t, pkitest.Options{})
	s := truststore.Open(dir, nil)
	for _, add := range []struct {
		typ         truststore.Type
		store, file string
		cert        *x509.Certificate
	}{
		{truststore.TSA, "stamps", "tsa.crt", stamper.Root}, {truststore.CA, "two", "root.crt", signer[2]}, {truststore.CA, "two", "middle.crt", signer[1]}, {truststore.CA, "one", "root.crt", signer[2]},
	} {
		if _, err := s.Add(add.typ, add.store, write(t, encode(add.cert), from, add.file)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, nil, dir, "truststore", "x509", "ca", ".DS_Store")
	list := func(f truststore.Filter) string {
		t.Helper()
		entries, err := s.List(f)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range entries {
			if e.Err != nil || len(e.Certificates) != 1 {
				t.Errorf("%+v", e)
			}
			out = append(out, fmt.Sprintf("%s:%s/%s", e.Type, e.Store, e.File))
		}
		return strings.Join(out, " ")
	}
	for _, test := range []struct {
		filter truststore.Filter
		want   string
	}{
		{truststore.Filter{}, "ca:one/root.crt ca:two/middle.crt ca:two/root.crt tsa:stamps/tsa.crt"},
		{truststore.Filter{Type: truststore.TSA}, "tsa:stamps/tsa.crt"},
		{truststore.Filter{Type: truststore.SigningAuthority}, ""},
		{truststore.Filter{Store: "two"}, "ca:two/middle.crt ca:two/root.crt"},
		{truststore.Filter{Type: truststore.CA, Store: "one"}, "ca:one/root.crt"},
	} {
		if got := list(test.filter); got != test.want {
			t.Errorf("%+v: %s, want %s", test.filter, got, test.want)
		}
	}
	e, err := s.Show(truststore.CA, "two", "middle.crt")
	if err != nil || e.Err != nil {
		t.Fatal(err, e.Err)
	}
	same(t, e.Certificates, signer[1:2])
	_, err = s.Show(truststore.CA, "two", "leaf.crt")
	var advice interface{ Advice() string }
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &advice) || advice.Advice() != "there are middle.crt, root.crt" {
		t.Errorf("show: %v", err)
	}

	if path, err := s.Delete(truststore.CA, "two", "root.crt"); err != nil || path != filepath.Join(dir, "truststore", "x509", "ca", "two", "root.crt") {
		t.Errorf("delete: %s, %v", path, err)
	}
	if _, err := s.Delete(truststore.CA, "two", "root.crt"); reason(err) != truststore.ReasonAbsent || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("delete again: %v", err)
	}
	got, err := s.Certificates(truststore.CA, "two")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, signer[1:2])
	names, err := s.DeleteAll(truststore.CA, "two")
	if err != nil || !slices.Equal(names, []string{"middle.crt"}) {
		t.Errorf("delete all: %v, %v", names, err)
	}
	if _, err := s.DeleteAll(truststore.CA, "two"); reason(err) != truststore.ReasonAbsent {
		t.Errorf("delete all again: %v", err)
	}
	if got, want := list(truststore.Filter{}), "ca:one/root.crt tsa:stamps/tsa.crt"; got != want {
		t.Errorf("left is %s, want %s", got, want)
	}
	for _, name := range tree(t, dir) {
		if strings.Contains(name, ".new-") || strings.Contains(name, ".deleted-") {
			t.Errorf("%s is left", name)
		}
	}
}

// TestDeleteIrregular: a link is removed and not what it names; a folder stays.
func TestDeleteIrregular(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("symbolic links need a privilege on Windows")
		return
	}
	dir, outside := t.TempDir(), t.TempDir()
	ca := filepath.Join(dir, "truststore", "x509", "ca")
	keep := write(t, []byte("precious"), outside, "keep")
	write(t, []byte("precious"), ca, "test", "folder", "keep")
	link(t, keep, ca, "test", "link")
	link(t, outside, ca, "elsewhere")
	s := truststore.Open(dir, nil)
	if _, err := s.Delete(truststore.CA, "test", "link"); err != nil {
		t.Error(err)
	}
	if _, err := s.Delete(truststore.CA, "test", "folder"); reason(err) != truststore.ReasonIrregular {
		t.Error(err)
	}
	if names, err := s.DeleteAll(truststore.CA, "elsewhere"); err != nil || names != nil {
		t.Error(names, err)
	}
	if data, err := os.ReadFile(keep); err != nil || string(data) != "precious" {
		t.Errorf("what the links named is gone: %q, %v", data, err)
	}
	if want := []string{"truststore", "truststore/x509", "truststore/x509/ca", "truststore/x509/ca/test", "truststore/x509/ca/test/folder", "truststore/x509/ca/test/folder/keep"}; !slices.Equal(tree(t, dir), want) {
		t.Errorf("files %v", tree(t, dir))
	}
}

// TestTogether: readers beside writers see a store that is there and valid, or
// none.
func TestTogether(t *testing.T) {
	dir, from := t.TempDir(), t.TempDir()
	const writers, rounds = 4, 25
	var files []string
	for i := range writers {
		files = append(files, write(t, encode(chain(t, fmt.Sprint("Signer ", i), nil)[2]), from, fmt.Sprintf("%d.crt", i)))
	}
	shared := write(t, encode(chain(t, "Shared", nil)[2]), from, "shared.crt")
	done := make(chan struct{})
	var readers, all sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, err := truststore.Open(dir, nil).Certificates(truststore.CA, "test")
				if err != nil && reason(err) != truststore.ReasonAbsent && reason(err) != truststore.ReasonEmpty {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	for i := range writers {
		all.Go(func() {
			s := truststore.Open(dir, nil)
			for round := range rounds {
				if _, err := s.Add(truststore.CA, "test", files[i], shared); err != nil {
					t.Errorf("add: %v", err)
				}
				if _, err := s.Delete(truststore.CA, "test", fmt.Sprintf("%d.crt", i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("delete: %v", err)
				}
				if round%10 == 9 {
					if _, err := s.DeleteAll(truststore.CA, "test"); err != nil && !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("delete all: %v", err)
					}
				}
			}
		})
	}
	all.Wait()
	close(done)
	readers.Wait()
	for _, name := range tree(t, filepath.Join(dir, "truststore")) {
		if strings.Contains(name, ".new-") || strings.Contains(name, ".deleted-") {
			t.Errorf("%s is left", name)
		}
	}
}
