package countersign_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/verify"
)

func chain(t testing.TB, opts pkitest.Options) *pkitest.Chain {
	t.Helper()
	return pkitest.TSA(t, opts)
}

// selfSigned makes a root that does not have to be one.
func selfSigned(t testing.TB, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	return chain(t, pkitest.Options{NoIntermediate: true, Root: change}).Root
}

// TestCheckRoot: what a trust store of the type tsa takes.
func TestCheckRoot(t *testing.T) {
	good := chain(t, pkitest.Options{})
	crossed := *good.Root
	crossed.RawIssuer = good.Intermediate.RawSubject
	for _, test := range []struct {
		name string
		cert *x509.Certificate
		want string // in the error, "" for none
	}{
		{"root", good.Root, ""},
		{"root with RSA-4096", chain(t, pkitest.Options{IssuerKey: pkitest.RSA4096}).Root, ""},
		{"root that has expired", selfSigned(t, func(c *x509.Certificate) { c.NotAfter = pkitest.NotBefore().AddDate(1, 0, 0) }), ""},
		{"intermediate", good.Intermediate, "it was issued by"},
		{"authority", good.Leaf, "is not one of a CA"},
		{"none", nil, "no certificate"},
		{"no CA", selfSigned(t, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false }), "is not one of a CA"},
		{"without basicConstraints", selfSigned(t, func(c *x509.Certificate) { c.BasicConstraintsValid = false }), "is not one of a CA"},
		{"without key usage", selfSigned(t, func(c *x509.Certificate) { c.KeyUsage = 0 }), "keyCertSign"},
		{"for lists alone", selfSigned(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), "is no root"},
		{"signed with SHA-1", selfSigned(t, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), "SHA1"},
		{"under another name", &crossed, "it was issued by"},
	} {
		err := countersign.CheckRoot(test.cert)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want something about %q", test.name, err, test.want)
		}
		if err != nil && (reasonOf(err) != countersign.ReasonRoot || test.cert != nil && advice(err) == "") {
			t.Errorf("%s: reason %q, advice %q", test.name, reasonOf(err), advice(err))
		}
	}
}

// TestReadRoot: a file has one root, and nothing else.
func TestReadRoot(t *testing.T) {
	c, other := chain(t, pkitest.Options{}), chain(t, pkitest.Options{Name: "Other"})
	file := func(certs ...*x509.Certificate) []byte { return pki.EncodeChain(certs) }
	for _, test := range []struct {
		name string
		data []byte
		want string
	}{
		{"PEM", file(c.Root), ""},
		{"DER", c.Root.Raw, ""},
		{"twice the same", file(c.Root, c.Root), ""},
		{"two", file(c.Root, other.Root), "there are 2 certificates"},
		{"a chain", file(c.Leaf, c.Intermediate, c.Root), "there are 3 certificates"},
		{"two in DER", append(bytes.Clone(c.Root.Raw), other.Root.Raw...), "there are 2 certificates"},
		{"the authority's", file(c.Leaf), "is not one of a CA"},
		{"the intermediate's", file(c.Intermediate), "is no root"},
		{"nothing", nil, ""},
		{"text", []byte("root"), ""},
		{"half of it", c.Root.Raw[:len(c.Root.Raw)/2], ""},
		{"a key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "private key"},
	} {
		root, err := countersign.ReadRoot(test.data)
		good := test.name == "PEM" || test.name == "DER" || test.name == "twice the same"
		if good != (err == nil) || good != (root != nil) || good && !root.Equal(c.Root) {
			t.Errorf("%s: %v, %v", test.name, root, err)
		}
		if err != nil && (reasonOf(err) != countersign.ReasonRoot || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want something about %q", test.name, err, test.want)
		}
	}
}

// TestSystemRoots: what of a store is a root for timestamps, and where it is.
func TestSystemRoots(t *testing.T) {
	a, b := chain(t, pkitest.Options{}), chain(t, pkitest.Options{Name: "Other"})
	unfit := selfSigned(t, func(c *x509.Certificate) { c.KeyUsage = 0 })
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	bundle := write("bundle.pem", slices.Concat([]byte("# Roots\n"), pki.EncodeChain([]*x509.Certificate{a.Root, unfit, a.Intermediate, a.Leaf, a.Root}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("junk")}), pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: b.Root.Raw})))
	many := filepath.Join(dir, "certs")
	if err := os.MkdirAll(filepath.Join(many, "a directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("certs/a.pem", pki.EncodeChain([]*x509.Certificate{a.Root}))
	write("certs/b.pem", pki.EncodeChain([]*x509.Certificate{b.Root}))
	write("certs/text", []byte("nothing"))
	if err := os.Symlink("b.pem", filepath.Join(many, "01234567.0")); err != nil && runtime.GOOS != "windows" {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	unfitOnly := write("unfit.pem", pki.EncodeChain([]*x509.Certificate{unfit}))
	for _, test := range []struct {
		name      string
		file, dir string
		roots     []*x509.Certificate
		want      string
	}{
		{"bundle", bundle, empty, []*x509.Certificate{a.Root}, ""},
		{"directory", filepath.Join(dir, "none"), many, []*x509.Certificate{a.Root, b.Root}, ""},
		{"both", bundle, many, []*x509.Certificate{a.Root, b.Root}, ""},
		{"two directories", filepath.Join(dir, "none"), empty + ":" + many, []*x509.Certificate{a.Root, b.Root}, ""},
		{"neither is there", filepath.Join(dir, "none"), filepath.Join(dir, "nothing"), nil, "has no roots (looked for in " + filepath.Join(dir, "none")},
		{"no root that is fit", unfitOnly, empty, nil, "has no roots"},
		{"file is a directory", many, empty, nil, "not a regular file"},
	} {
		roots, err := countersign.SystemRoots(func(name string) string {
			return map[string]string{"SSL_CERT_FILE": test.file, "SSL_CERT_DIR": test.dir}[name]
		})
		if !slices.EqualFunc(roots, test.roots, (*x509.Certificate).Equal) || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d roots, %v; want %d, something about %q", test.name, len(roots), err, len(test.roots), test.want)
		}
	}
	if _, err := countersign.SystemRootsOf("windows"); reasonOf(err) != countersign.ReasonRoot || !strings.Contains(err.Error(), "(windows) cannot be listed") {
		t.Errorf("Windows: %v", err)
	}
	for _, goos := range []string{"linux", "freebsd", "openbsd", "netbsd", "dragonfly", "solaris", "illumos", "aix"} {
		if _, err := countersign.SystemRootsOf(goos); err != nil && strings.Contains(err.Error(), "cannot be listed") {
			t.Errorf("%s: %v", goos, err)
		}
	}
}

// TestReasons: the set is closed, and has every reason of package verify.
func TestReasons(t *testing.T) {
	all := countersign.Reasons()
	for i, r := range all {
		if slices.Contains(all[:i], r) || r == "" {
			t.Errorf("%q is there twice", r)
		}
	}
	for _, r := range verify.Reasons() {
		if !slices.Contains(all, countersign.Reason(r)) {
			t.Errorf("%q of package verify is missing", r)
		}
	}
}
