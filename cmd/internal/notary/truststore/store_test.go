package truststore_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// chain makes leaf, intermediate and root of a signer.
func chain(t testing.TB, name string, bend func(i int, c *x509.Certificate)) []*x509.Certificate {
	t.Helper()
	_, certs := notarytest.Chain(t, notarytest.Options{Name: name, Bend: bend})
	return certs
}

// selfSigned makes a signer's certificate under its own key.
func selfSigned(t testing.TB, bend func(i int, c *x509.Certificate)) *x509.Certificate {
	t.Helper()
	_, certs := notarytest.Chain(t, notarytest.Options{Depth: 1, Bend: bend})
	return certs[0]
}

// bent makes a root with a change.
func bent(t testing.TB, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	return chain(t, t.Name(), func(i int, c *x509.Certificate) {
		if i == 2 {
			change(c)
		}
	})[2]
}

func encode(certs ...*x509.Certificate) []byte { return pki.EncodeChain(certs) }

// write makes a file and the folders above it.
func write(t testing.TB, data []byte, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// reason is that of an error; empty if it is none of the package's.
func reason(err error) truststore.Reason {
	var e *truststore.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// TestRead: what Notation reads, and what it refuses.
func TestRead(t *testing.T) {
	signer, stamper := chain(t, "Signer", nil), pkitest.TSA(t, pkitest.Options{})
	other := chain(t, "Other", nil)
	self := selfSigned(t, nil)
	noUsage := bent(t, func(c *x509.Certificate) { c.KeyUsage = 0 })
	der := append(append([]byte{}, signer[2].Raw...), other[2].Raw...)
	for _, test := range []struct {
		name  string
		typ   truststore.Type
		files map[string][]byte
		want  []*x509.Certificate
		why   truststore.Reason
		says  string
	}{
		{"root", truststore.CA, map[string][]byte{"a.crt": encode(signer[2])}, signer[2:], "", ""},
		{"intermediate", truststore.CA, map[string][]byte{"a.crt": encode(signer[1])}, signer[1:2], "", ""},
		{"self-signed signer", truststore.CA, map[string][]byte{"a.crt": encode(self)}, []*x509.Certificate{self}, "", ""},
		{"DER", truststore.CA, map[string][]byte{"a.der": signer[2].Raw}, signer[2:], "", ""},
		{"DER of two", truststore.CA, map[string][]byte{"a": der}, []*x509.Certificate{signer[2], other[2]}, "", ""},
		{"PEM of two, with comments", truststore.SigningAuthority, map[string][]byte{"a.pem": append([]byte("roots\n"), encode(signer[2], other[2])...)}, []*x509.Certificate{signer[2], other[2]}, "", ""},
		{"two files, in the order of their names", truststore.CA, map[string][]byte{"b": encode(signer[2]), "a": encode(other[2])}, []*x509.Certificate{other[2], signer[2]}, "", ""},
		{"root of a timestamp authority", truststore.TSA, map[string][]byte{"tsa.pem": encode(stamper.Root)}, []*x509.Certificate{stamper.Root}, "", ""},
		// Notation reads it; no chain that ends in it is accepted.
		{"root without key usage", truststore.TSA, map[string][]byte{"a": encode(noUsage)}, []*x509.Certificate{noUsage}, "", ""},

		{"no files", truststore.CA, map[string][]byte{}, nil, truststore.ReasonEmpty, "has no certificates"},
		{"empty file", truststore.CA, map[string][]byte{"a.crt": encode(signer[2]), "b.crt": nil}, nil, truststore.ReasonUnreadable, "b.crt: the file is empty"},
		{"text", truststore.CA, map[string][]byte{"README": []byte("our roots\n")}, nil, truststore.ReasonUnreadable, "README: no certificate found"},
		{"private key", truststore.CA, map[string][]byte{"a.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}})}, nil, truststore.ReasonUnreadable, "private key"},
		{"byte order mark", truststore.CA, map[string][]byte{"a.crt": append([]byte("\xef\xbb\xbf"), encode(signer[2], other[2])...)}, nil, truststore.ReasonUnreadable, "byte order mark"},
		{"damaged PEM", truststore.CA, map[string][]byte{"a.crt": encode(signer[2])[:200]}, nil, truststore.ReasonUnreadable, "does not end"},
		{"garbage behind DER", truststore.CA, map[string][]byte{"a.crt": append(append([]byte{}, signer[2].Raw...), 0)}, nil, truststore.ReasonUnreadable, "a.crt"},
		{"leaf", truststore.CA, map[string][]byte{"a.crt": encode(signer[0])}, nil, truststore.ReasonUnsuitable, "neither a certificate authority nor signed by its own key"},
		{"leaf among roots", truststore.CA, map[string][]byte{"a.crt": encode(signer[2], signer[0])}, nil, truststore.ReasonUnsuitable, "certificate 2 of 2"},
		{"leaf of a timestamp authority", truststore.TSA, map[string][]byte{"tsa.pem": encode(stamper.Leaf)}, nil, truststore.ReasonUnsuitable, "is no root: it is not a certificate authority"},
		{"intermediate of a timestamp authority", truststore.TSA, map[string][]byte{"tsa.pem": encode(stamper.Intermediate)}, nil, truststore.ReasonUnsuitable, "is no root: its issuer is"},
		{"root with another signature", truststore.TSA, map[string][]byte{"tsa.pem": encode(forged(t, stamper.Root))}, nil, truststore.ReasonUnsuitable, "is no root"},
		{"self-signed signer with another signature", truststore.CA, map[string][]byte{"a.crt": encode(forged(t, self))}, nil, truststore.ReasonUnsuitable, "neither a certificate authority nor signed by its own key"},
		{"self-signed, no authority", truststore.TSA, map[string][]byte{"tsa.pem": encode(self)}, nil, truststore.ReasonUnsuitable, "is no root: it is not a certificate authority"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			store := filepath.Join(dir, "truststore", "x509", string(test.typ), "test")
			if err := os.MkdirAll(store, 0o700); err != nil {
				t.Fatal(err)
			}
			for name, data := range test.files {
				write(t, data, store, name)
			}
			got, err := truststore.Open(dir, nil).Certificates(test.typ, "test")
			if reason(err) != test.why || (err == nil) != (test.why == "") {
				t.Fatalf("got %v, want %q", err, test.why)
			}
			if err != nil {
				if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), string(test.typ)+":test") || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %q, want %q", err, test.says)
				}
				return
			}
			same(t, got, test.want)
		})
	}
}

func same(t *testing.T, got, want []*x509.Certificate) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d certificates, want %d", len(got), len(want))
	}
	for i := range got {
		if !got[i].Equal(want[i]) {
			t.Errorf("certificate %d is %s, want %s", i, got[i].Subject, want[i].Subject)
		}
	}
}

// TestIrregular: links and folders make a store unusable, whatever is behind
// them.
func TestIrregular(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("symbolic links need a privilege on Windows")
		return
	}
	root := encode(chain(t, "Signer", nil)[2])
	for _, test := range []struct {
		name string
		make func(t *testing.T, dir string) // dir is that of the type
		says string
	}{
		{"store is a link", func(t *testing.T, dir string) {
			write(t, root, dir, "real", "a.crt")
			link(t, "real", dir, "test")
		}, "is a symbolic link"},
		{"store is a file", func(t *testing.T, dir string) { write(t, root, dir, "test") }, "is a file"},
		{"link to a file", func(t *testing.T, dir string) {
			write(t, root, dir, "test", "a.crt")
			link(t, "a.crt", dir, "test", "b.crt")
		}, "b.crt: it is a symbolic link"},
		{"link to nothing", func(t *testing.T, dir string) {
			write(t, root, dir, "test", "a.crt")
			link(t, "/nowhere", dir, "test", "b.crt")
		}, "b.crt: it is a symbolic link"},
		{"folder", func(t *testing.T, dir string) {
			write(t, root, dir, "test", "a.crt")
			write(t, root, dir, "test", "old", "b.crt")
		}, "old: it is a directory"},
		{"empty folder", func(t *testing.T, dir string) {
			write(t, root, dir, "test", "a.crt")
			if err := os.Mkdir(filepath.Join(dir, "test", "z"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "z: it is a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			ca := filepath.Join(dir, "truststore", "x509", "ca")
			if err := os.MkdirAll(ca, 0o700); err != nil {
				t.Fatal(err)
			}
			test.make(t, ca)
			s := truststore.Open(dir, nil)
			if _, err := s.Certificates(truststore.CA, "test"); reason(err) != truststore.ReasonIrregular || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
			// What could not be used afterwards is not added to.
			file := write(t, encode(chain(t, "Other", nil)[2]), t.TempDir(), "new.crt")
			if _, err := s.Add(truststore.CA, "test", file); reason(err) != truststore.ReasonIrregular {
				t.Errorf("added: %v", err)
			}
			entries, err := s.List(truststore.Filter{Type: truststore.CA, Store: "test"})
			if test.name == "store is a file" {
				if reason(err) != truststore.ReasonAbsent {
					t.Errorf("list: %v, %v", entries, err)
				}
				return
			}
			broken := 0
			for _, e := range entries {
				if reason(e.Err) == truststore.ReasonIrregular {
					broken++
				}
			}
			if err != nil || broken != 1 {
				t.Errorf("list: %v, %v", entries, err)
			}
		})
	}
}

func link(t *testing.T, target string, path ...string) {
	t.Helper()
	if err := os.Symlink(target, filepath.Join(path...)); err != nil {
		t.Fatal(err)
	}
}

func TestAbsent(t *testing.T) {
	s := truststore.Open(filepath.Join(t.TempDir(), "none"), nil)
	_, err := s.Certificates(truststore.CA, "test")
	var advice interface{ Advice() string }
	if reason(err) != truststore.ReasonAbsent || !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &advice) || advice.Advice() != "add one with fencepost trust add --type ca --store test FILE" {
		t.Errorf("got %v", err)
	}
	if entries, err := s.List(truststore.Filter{}); len(entries) != 0 || err != nil {
		t.Errorf("list: %v, %v", entries, err)
	}
	if _, err := s.List(truststore.Filter{Store: "test"}); reason(err) != truststore.ReasonAbsent {
		t.Errorf("list of a store: %v", err)
	}
}

// TestNames: nothing outside the folder of a type is ever reached by a name.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	root := chain(t, "Signer", nil)[2]
	s := truststore.Open(dir, nil)
	file := write(t, encode(root), t.TempDir(), "a.crt")
	write(t, encode(root), dir, "truststore", "x509", "ca", "good", "a.crt")
	for _, name := range []string{"", ".", "..", "../ca/good", "good/", "/etc", `..\ca`, "a b", "ä", "good\x00", "a:b"} {
		if err := truststore.CheckName(name); reason(err) != truststore.ReasonName {
			t.Errorf("%q: %v", name, err)
		}
		_, err1 := s.Certificates(truststore.CA, name)
		_, err2 := s.Add(truststore.CA, name, file)
		_, err3 := s.DeleteAll(truststore.CA, name)
		_, err4 := s.Show(truststore.CA, name, "a.crt")
		_, err5 := s.Delete(truststore.CA, name, "a.crt")
		for i, err := range []error{err1, err2, err3, err4, err5} {
			if reason(err) != truststore.ReasonName {
				t.Errorf("%q: call %d: %v", name, i+1, err)
			}
		}
	}
	for _, name := range []string{"good", "A-1_b.c", "...", ".hidden", "-"} {
		if err := truststore.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, typ := range []truststore.Type{"", "CA", "root", "ca/../tsa"} {
		if _, err := s.Certificates(typ, "good"); reason(err) != truststore.ReasonName {
			t.Errorf("type %q: %v", typ, err)
		}
		if _, err := s.List(truststore.Filter{Type: typ, Store: "good"}); typ != "" && reason(err) != truststore.ReasonName {
			t.Errorf("list of type %q: %v", typ, err)
		}
	}
	for _, file := range []string{"", ".", "..", "../good/a.crt", "x/../a.crt", `x\a.crt`, "/etc/passwd"} {
		_, err1 := s.Delete(truststore.CA, "good", file)
		_, err2 := s.Show(truststore.CA, "good", file)
		if reason(err1) != truststore.ReasonName || reason(err2) != truststore.ReasonName {
			t.Errorf("file %q: %v, %v", file, err1, err2)
		}
	}
	if got, err := s.Certificates(truststore.CA, "good"); err != nil || len(got) != 1 {
		t.Errorf("the store is gone: %v, %v", got, err)
	}
}

// TestSystem: tsa:system is the system's store until there is a folder of that
// name.
func TestSystem(t *testing.T) {
	root, other := pkitest.TSA(t, pkitest.Options{}).Root, pkitest.TSA(t, pkitest.Options{Name: "Other"}).Root
	dir := t.TempDir()
	asked := 0
	open := func() *truststore.Store {
		return truststore.Open(dir, func() ([]*x509.Certificate, error) {
			asked++
			return []*x509.Certificate{root, chain(t, "Signer", nil)[1], nil}, nil
		})
	}
	s := open()
	for range 2 {
		got, err := s.Certificates(truststore.TSA, truststore.System)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, []*x509.Certificate{root})
	}
	if asked != 1 {
		t.Errorf("the system was asked %d times, want once", asked)
	}
	if _, err := s.Certificates(truststore.CA, truststore.System); reason(err) != truststore.ReasonAbsent {
		t.Errorf("ca:system: %v", err)
	}
	added, err := s.Add(truststore.TSA, truststore.System, write(t, encode(other), t.TempDir(), "a.crt"))
	if err != nil || len(added[0].Warnings) != 1 || !strings.Contains(added[0].Warnings[0], "no longer the certificate store of this system") {
		t.Fatalf("add: %v, %v", added, err)
	}
	for _, s := range []*truststore.Store{s, open()} {
		got, err := s.Certificates(truststore.TSA, truststore.System)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, []*x509.Certificate{other})
	}
	// The folder is gone with its last file, and so the system's store is back.
	if _, err := s.Delete(truststore.TSA, truststore.System, "a.crt"); err != nil {
		t.Fatal(err)
	}
	got, err := s.Certificates(truststore.TSA, truststore.System)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []*x509.Certificate{root})

	for _, system := range []func() ([]*x509.Certificate, error){
		nil,
		func() ([]*x509.Certificate, error) { return nil, nil },
		func() ([]*x509.Certificate, error) { return nil, fs.ErrPermission },
	} {
		if got, err := truststore.Open(dir, system).Certificates(truststore.TSA, truststore.System); reason(err) != truststore.ReasonSystem || got != nil {
			t.Errorf("no system store: %v, %v", got, err)
		}
	}
}

// TestCached: a store is read once, and its caller cannot change what the next
// one sees.
func TestCached(t *testing.T) {
	dir := t.TempDir()
	root := chain(t, "Signer", nil)[2]
	file := write(t, encode(root), dir, "truststore", "x509", "ca", "test", "a.crt")
	s := truststore.Open(dir, nil)
	got, err := s.Certificates(truststore.CA, "test")
	if err != nil {
		t.Fatal(err)
	}
	got[0] = nil
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	got, err = s.Certificates(truststore.CA, "test")
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []*x509.Certificate{root})
}

func TestParseType(t *testing.T) {
	for _, typ := range truststore.Types() {
		if got, err := truststore.ParseType(string(typ)); got != typ || err != nil {
			t.Errorf("%s: %v, %v", typ, got, err)
		}
	}
	if got, err := truststore.ParseType("CA"); got != "" || reason(err) != truststore.ReasonName {
		t.Errorf("CA: %v, %v", got, err)
	}
}

// forged returns c with a signature that is not its own.
func forged(t testing.TB, c *x509.Certificate) *x509.Certificate {
	t.Helper()
	der := append([]byte{}, c.Raw...)
	der[len(der)-1] ^= 1
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// usage adds the extension keyUsage as it would not be made by itself.
func usage(critical bool, bits byte) pkix.Extension {
	return pkix.Extension{Id: []int{2, 5, 29, 15}, Critical: critical, Value: []byte{3, 2, 0, bits}}
}
