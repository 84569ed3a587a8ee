package certcmd_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/certcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// run runs "fencepost cert ARGS" and returns what came of it.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdout: &out, Stderr: &errs, Getenv: os.Getenv}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(certcmd.New(env))
	code = cli.Run(t.Context(), env, root, append([]string{"cert"}, args...))
	return code, out.String(), errs.String()
}

func readChain(t *testing.T, file string) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func openKey(t *testing.T, text string) *signer.Key {
	t.Helper()
	u, err := signer.ParseURI(text)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signer.Open(t.Context(), u, signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCreate(t *testing.T) {
	for _, keyType := range signer.KeyTypes() {
		t.Run(string(keyType), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "new", "dir")
			code, stdout, stderr := run(t, "create", "--role", "tsa", "--key-type", string(keyType), "--out", dir,
				"--organization", "Example", "--country", "DE", "--common-name", "Example TSA")
			if code != 0 {
				t.Fatalf("exit status %d: %s", code, stderr)
			}
			if (stderr != "") != (keyType == signer.Ed25519) {
				t.Errorf("warnings: %s", stderr)
			}
			for _, want := range []string{dir, "not kept", "CN=Example TSA,O=Example,C=DE", "CN=Example TSA Root CA,O=Example,C=DE"} {
				if !strings.Contains(stdout, want) {
					t.Errorf("the answer does not say %q:\n%s", want, stdout)
				}
			}
			chain := readChain(t, filepath.Join(dir, "chain.pem"))
			if len(chain) != 3 {
				t.Fatalf("%d certificates in the chain, want 3", len(chain))
			}
			root := readChain(t, filepath.Join(dir, "root.pem"))
			if len(root) != 1 || !root[0].Equal(chain[2]) {
				t.Error("root.pem is not the root of chain.pem")
			}
			key := openKey(t, "file:"+filepath.Join(dir, "key.pem"))
			if !sameKey(chain[0].PublicKey, key.Public()) {
				t.Error("key.pem is not the key of chain.pem")
			}
			if got, want := chain[0].NotAfter, chain[0].NotBefore.AddDate(10, 0, 0).Add(-time.Second); !got.Equal(want) {
				t.Errorf("the leaf ends %v, want %v", got, want)
			}
			if runtime.GOOS != "windows" {
				if st, err := os.Stat(filepath.Join(dir, "key.pem")); err != nil || st.Mode().Perm() != 0o600 {
					t.Errorf("mode of key.pem: %v, %v", st.Mode(), err)
				}
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 3 {
				t.Errorf("files made: %v, want three", entries)
			}
			code, stdout, _ = run(t, "check", filepath.Join(dir, "chain.pem"), "--key", "file:"+filepath.Join(dir, "key.pem"), "--enforce-intermediate-eku")
			if code != 0 || !strings.Contains(stdout, "\nfit for tsa at ") || !strings.Contains(stdout, "with the key given") {
				t.Errorf("cert check says %d:\n%s", code, stdout)
			}
		})
	}
}

func TestCreateKeepsWhatIsThere(t *testing.T) {
	for _, name := range []string{"key.pem", "chain.pem", "root.pem", "ca/root-key.pem", "ca/intermediate-key.pem"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			taken := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(taken), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := run(t, "create", "--out", dir, "--keep-ca-keys", filepath.Join(dir, "ca"))
			if code != 2 || !strings.Contains(stderr, taken+" is there already") {
				t.Errorf("exit status %d: %s", code, stderr)
			}
			if got, err := os.ReadFile(taken); err != nil || string(got) != "precious" {
				t.Errorf("the file is now %q, %v", got, err)
			}
			var left []string
			filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					left = append(left, path)
				}
				return nil
			})
			if len(left) != 1 {
				t.Errorf("files beside it: %v", left)
			}
		})
	}
}

// A chain for a key that there is, then a second below the same CA.
func TestCreateForExistingKey(t *testing.T) {
	dir := t.TempDir()
	pass := write(t, "pass", "open sesame\n")
	first, second, ca := filepath.Join(dir, "1"), filepath.Join(dir, "2"), filepath.Join(dir, "ca")
	code, stdout, stderr := run(t, "create", "--out", first, "--keep-ca-keys", ca, "--passphrase-file", pass, "--json",
		"--crl-url", "http://crl.example/i.crl", "--root-crl-url", "http://crl.example/r.crl")
	if code != 0 {
		t.Fatalf("exit status %d: %s%s", code, stdout, stderr)
	}
	var made struct {
		Key, Chain, Root string
		CAKeys           []string
		Certificates     []struct{ Key string }
	}
	if err := json.Unmarshal([]byte(stdout), &made); err != nil {
		t.Fatal(err)
	}
	if len(made.CAKeys) != 2 || len(made.Certificates) != 3 || made.Certificates[0].Key != "ECDSA P-256" {
		t.Errorf("JSON: %s", stdout)
	}
	openKey(t, made.Key) // the URI names the passphrase as well
	for _, f := range append([]string{filepath.Join(first, "key.pem")}, made.CAKeys...) {
		if text, err := os.ReadFile(f); err != nil || !bytes.Contains(text, []byte("ENCRYPTED PRIVATE KEY")) {
			t.Errorf("%s is not encrypted: %v", f, err)
		}
	}
	chain := readChain(t, made.Chain)
	if got := chain[0].CRLDistributionPoints; len(got) != 1 || got[0] != "http://crl.example/i.crl" {
		t.Errorf("CRL of the leaf: %v", got)
	}
	if got := chain[1].CRLDistributionPoints; len(got) != 1 || got[0] != "http://crl.example/r.crl" {
		t.Errorf("CRL of the intermediate: %v", got)
	}

	keyURI := "file:" + writeKey(t)
	intermediate := "file:" + filepath.Join(ca, "intermediate-key.pem")
	code, _, stderr = run(t, "create", "--out", second, "--key", keyURI, "--issuer", made.Chain, "--issuer-key", intermediate)
	if code != 2 || !strings.Contains(stderr, "passphrase-file=FILE") {
		t.Errorf("an encrypted key without its passphrase: %d, %s", code, stderr)
	}
	code, stdout, stderr = run(t, "create", "--out", second, "--key", keyURI, "--issuer", made.Chain, "--issuer-key", intermediate+"?passphrase-file="+pass,
		"--private-key-usage-period", "15mo", "--validity", "3y")
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	if !strings.Contains(stdout, "key ends:") || strings.Contains(stdout, "not kept") {
		t.Errorf("answer:\n%s", stdout)
	}
	next := readChain(t, filepath.Join(second, "chain.pem"))
	if len(next) != 3 || !next[1].Equal(chain[1]) || !sameKey(next[0].PublicKey, openKey(t, keyURI).Public()) {
		t.Error("the second certificate is not below the first intermediate, or not for the key given")
	}
	if _, err := os.Stat(filepath.Join(second, "key.pem")); err == nil {
		t.Error("a key.pem was made beside the key given")
	}
	if code, stdout, _ := run(t, "check", filepath.Join(second, "chain.pem"), "--key", keyURI, "--at", time.Now().AddDate(2, 0, 0).Format(time.DateOnly)); code != 1 || !strings.Contains(stdout, "[leaf-key-period;") {
		t.Errorf("after the end of the key's use: %d\n%s", code, stdout)
	}
}

func TestCreateRefuses(t *testing.T) {
	empty, long := write(t, "empty", "\n"), write(t, "long", "one\ntwo\n")
	chain := write(t, "chain.pem", string(pkitest.TSA(t, pkitest.Options{}).PEM()))
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no directory", nil, "--out is needed"},
		{"unknown role", []string{"--role", "king"}, `--role "king" is not a role`},
		{"unknown key type", []string{"--key-type", "rsa1024"}, `unknown key type "rsa1024"`},
		{"type of no key", []string{"--key", "file:k", "--key-type", "p256", "--root-key", "file:r", "--intermediate-key", "file:i"}, "and none is"},
		{"two keys", []string{"--key", "file:k", "--public-key", "p"}, "--key and --public-key each say which key is certified"},
		{"no such key", []string{"--key", "file:not-there.pem"}, "a URI names a key that there is"},
		{"program", []string{"--key", "exec:/bin/sign"}, "--public-key FILE"},
		{"key in memory", []string{"--key", "memory:p256"}, "gone when this command ends"},
		{"key of an unknown scheme", []string{"--key", "cloud://x"}, "unknown scheme"},
		{"key without a scheme", []string{"--key", "key.pem"}, "a key file is written as file:PATH"},
		{"issuer without its key", []string{"--issuer", "c"}, "go together"},
		{"issuer of another key", []string{"--issuer", chain, "--issuer-key", "file:" + writeKey(t)}, "is not that of issuer"},
		{"issuer and CA keys", []string{"--issuer", "c", "--issuer-key", "file:k", "--keep-ca-keys", "d"}, "is about a new root"},
		{"issuer and root key", []string{"--issuer", "c", "--issuer-key", "file:k", "--root-key", "d"}, "is about a new root"},
		{"CA keys that are there", []string{"--root-key", "file:r", "--intermediate-key", "file:i", "--keep-ca-keys", "d"}, "and none is"},
		{"revocation list without a key", []string{"--crl-url", "http://c"}, "--intermediate-key"},
		{"revocation list without the root's key", []string{"--root-crl-url", "http://c", "--intermediate-key", "file:i"}, "--root-key"},
		{"CA with an intermediate", []string{"--role", "ca", "--intermediate-key", "file:i"}, "is itself the intermediate"},
		{"CA with a usage period", []string{"--role", "ca", "--private-key-usage-period", "1y"}, "does not go with --role ca"},
		{"CA with the list of an intermediate", []string{"--role", "ca", "--crl-url", "http://c", "--keep-ca-keys", "d"}, "see --root-crl-url"},
		{"request for a validity", []string{"--csr", "--validity", "1y"}, "does not go with --csr"},
		{"request below a CA", []string{"--csr", "--issuer", "c", "--issuer-key", "file:k"}, "does not go with --csr"},
		{"name of a request", []string{"--request", "r", "--country", "DE"}, "the request has the name"},
		{"policy", []string{"--policy-oid", "high"}, "is not an object identifier"},
		{"policy twice", []string{"--policy-oid", "1.2.3", "--policy-oid", "1.2.3"}, "is given twice"},
		{"revocation list by https", []string{"--crl-url", "https://c", "--keep-ca-keys", t.TempDir()}, "is not an http:// address"},
		{"country", []string{"--country", "Germany"}, "not two capital letters"},
		{"no name", []string{"--common-name", ""}, "no common name"},
		{"validity without a unit", []string{"--validity", "10"}, "not a time such as 10y"},
		{"no validity", []string{"--validity", "0d"}, "not a time such as 10y"},
		{"century", []string{"--validity", "101y"}, "more than a century"},
		{"longer than its issuer", []string{"--validity", "16y"}, "after that of issuer"},
		{"key outlives its certificate", []string{"--private-key-usage-period", "10y"}, "does not end before the certificate"},
		{"empty passphrase", []string{"--passphrase-file", empty}, "the passphrase is empty"},
		{"passphrase of two lines", []string{"--passphrase-file", long}, "several lines"},
		{"passphrase for nothing", []string{"--passphrase-file", long, "--key", "file:k"}, "none is"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			args := append([]string{"create"}, test.args...)
			if test.args != nil {
				args = append(args, "--out", dir)
			}
			code, _, stderr := run(t, args...)
			if code != 2 || !strings.Contains(stderr, test.want) {
				t.Errorf("cert %q: exit status %d, want 2; %q, want %q", args, code, stderr, test.want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("it made the directory")
			}
		})
	}
}

func sameKey(a, b crypto.PublicKey) bool {
	return a.(interface{ Equal(crypto.PublicKey) bool }).Equal(b)
}

func writeKey(t *testing.T) string {
	t.Helper()
	key, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.MarshalPEM(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "key.pem", string(text))
}

func TestCheck(t *testing.T) {
	good := pkitest.TSA(t, pkitest.Options{})
	file := write(t, "chain.pem", string(good.PEM()))
	at := []string{"--at", "2026-01-01"}
	key := writeKey(t)
	for _, test := range []struct {
		name string
		args []string
		code int
		want string // of stdout and stderr together
	}{
		{"good", append(at, file), 0, "fit for tsa at 2026-01-01T00:00:00Z"},
		{"a moment", []string{"--at", "2049-12-31T23:59:59+00:00", file}, 0, "fit for tsa"},
		{"expired", []string{"--at", "2050-02-01", file}, 1, "[validity; RFC 5280, 6.1.3 (a)(2)]"},
		{"another key", append(at, file, "--key", "file:"+key), 1, "[leaf-key; EN 319 421, TIS-7.6.4]"},
		{"not a time", []string{"--at", "yesterday", file}, 2, "neither a day"},
		{"not a role", []string{"--role", "king", file}, 2, "is not a role"},
		{"another role", append(at, "--role", "ca", file), 1, "[issuer-eku; Fulcio, certificate specification]"},
		{"cure", append(at, "--role", "log", file), 1, "cure: have it issued again without an extended key usage"},
		{"rules that hold", append(at, "--explain", file), 0, "holds       signature: each signature verifies with the issuer's key [RFC 5280, 6.1.3 (a)(1)]"},
		{"rules not applied", append(at, "--explain", file), 0, "not applied leaf-key: "},
		{"rules with notes", append(at, "--explain", file), 0, "note        leaf-lifetime: "},
		{"no such file", []string{file + ".not"}, 2, "no such file"},
		{"no such key", []string{file, "--key", "file:" + key + ".not"}, 2, "no such file"},
		{"a key", []string{key}, 1, "a private key is in the file"},
		{"empty", []string{write(t, "empty", "")}, 1, "no certificate found"},
		{"two files", []string{file, file}, 2, "one file with a chain is checked, 2 given"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code, stdout, stderr := run(t, append([]string{"check"}, test.args...)...)
			if code != test.code || !strings.Contains(stdout+stderr, test.want) {
				t.Errorf("check %q: exit status %d, want %d; want %q in\n%s%s", test.args, code, test.code, test.want, stdout, stderr)
			}
		})
	}
}

// Each hostile chain is refused, with its rule on the screen and in JSON.
func TestCheckHostile(t *testing.T) {
	for _, h := range pkitest.HostileTSA() {
		t.Run(h.Name, func(t *testing.T) {
			file := write(t, "chain.pem", string(pkitest.TSA(t, h.Options).PEM()))
			code, stdout, stderr := run(t, "check", file, "--at", "2026-01-01", "--json")
			var answer struct {
				Fit      bool
				Findings []struct {
					Rule, Severity, Clause, Detail string
					Certificate                    int
				}
				Error struct{ Reason string }
			}
			if err := json.Unmarshal([]byte(stdout), &answer); err != nil {
				t.Fatalf("%v: %s%s", err, stdout, stderr)
			}
			// What crypto/x509 does not even parse is no chain.
			refused := answer.Error.Reason == certcmd.ReasonChain
			for _, f := range answer.Findings {
				refused = refused || f.Severity == "error" && f.Rule == string(h.Rule) && f.Certificate == h.Certificate
			}
			if code != 1 || answer.Fit || !refused {
				t.Errorf("exit status %d, want 1: %s", code, stdout)
			}
			_, text, stderr := run(t, "check", file, "--at", "2026-01-01")
			for _, f := range answer.Findings {
				if line := f.Severity + ": " + f.Detail + " [" + f.Rule + "; " + f.Clause + "]"; !strings.Contains(text, line) {
					t.Errorf("the text lacks %q:\n%s%s", line, text, stderr)
				}
			}
		})
	}
}

// A file in another order is judged by the chain in it, with a word about the
// order.
func TestCheckOutOfOrder(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		warns bool
	}{
		{"leaf first", c.Certificates(), false},
		{"root first", []*x509.Certificate{c.Root, c.Intermediate, c.Leaf}, true},
	} {
		code, stdout, stderr := run(t, "check", write(t, "chain.pem", string(pki.EncodeChain(tt.chain))))
		if code != 0 || !strings.Contains(stdout, "fit for tsa") || strings.Contains(stderr, "not in order") != tt.warns {
			t.Errorf("%s: %d, %q, %q", tt.name, code, stdout, stderr)
		}
	}
}
