package certcmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
)

// startVault has all commands of this test find a Vault, a fake one, with a key
// for each place in a chain.
func startVault(t *testing.T) *vaultfake.Server {
	t.Helper()
	s := vaultfake.Start(t)
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_TOKEN", s.Root)
	t.Setenv("HOME", t.TempDir()) // no token of whoever runs the tests
	for name, kind := range map[string]string{"tsa": "ecdsa-p256", "issuing": "ecdsa-p384", "root": "ecdsa-p384"} {
		if err := s.CreateKey(name, kind); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Every signature of a chain, of a request and of a list is made by a service.
func TestKeysInVault(t *testing.T) {
	startVault(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	out := good(t, "create", "--out", at("tsa"), "--key", "hashivault://tsa", "--root-key", "hashivault://root", "--intermediate-key", "hashivault://issuing",
		"--crl-url", "http://crl.example/i.crl", "--root-crl-url", "http://crl.example/r.crl", "--private-key-usage-period", "15mo")
	if !strings.Contains(out, "hashivault://tsa (ECDSA P-256, as it was)") || strings.Contains(out, "CA keys") {
		t.Errorf("answer:\n%s", out)
	}
	if out := good(t, "check", "--key", "hashivault://tsa", at("tsa/chain.pem")); !strings.Contains(out, "with the key given") {
		t.Errorf("cert check:\n%s", out)
	}
	if code, out, _ := run(t, "check", "--key", "hashivault://root", at("tsa/chain.pem")); code != 1 || !strings.Contains(out, "leaf-key") {
		t.Errorf("cert check with another key: %d\n%s", code, out)
	}
	good(t, "create", "--csr", "--out", at("csr"), "--key", "hashivault://tsa")
	good(t, "create", "--out", at("second"), "--request", at("csr/request.pem"), "--issuer", at("tsa/chain.pem"), "--issuer-key", "hashivault://issuing")
	good(t, "revoke", "--list", at("l.json"), "--new", "--issuer", at("tsa/chain.pem"), "--reason", "superseded", at("tsa/chain.pem"))
	good(t, "crl", "--list", at("l.json"), "--issuer", at("tsa/chain.pem"), "--issuer-key", "hashivault://issuing", "--out", at("i.crl"))
	entries, err := os.ReadDir(at("tsa"))
	if err != nil || len(entries) != 2 {
		t.Errorf("files made: %v, %v; want chain and root", entries, err)
	}
}

// What goes wrong in a service is named, and nothing is written.
func TestKeysInVaultRefuse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault vaultfake.Fault
		args  []string
		want  string // of the message and its hint
	}{
		{"no such key", vaultfake.Fault{On: "none"}, []string{"--key", "hashivault://other"}, "hint: "},
		{"not allowed", vaultfake.Fault{On: "sign", Status: 403, Body: `{"errors":["permission denied"]}`}, []string{"--key", "hashivault://tsa"}, "hint: "},
		{"signs with another key", vaultfake.Fault{On: "sign", OtherKey: true}, []string{"--key", "hashivault://tsa"}, "--key hashivault://tsa: signer: the key did not pass its proof"},
		{"the root's key is another", vaultfake.Fault{On: "sign", OtherKey: true}, []string{"--root-key", "hashivault://root"}, "--root-key hashivault://root: signer: the key did not pass"},
		{"the intermediate's key is another", vaultfake.Fault{On: "sign", OtherKey: true}, []string{"--intermediate-key", "hashivault://issuing"}, "--intermediate-key hashivault://issuing: "},
		{"signatures that are not DER", vaultfake.Fault{On: "sign", P1363: true}, []string{"--root-key", "hashivault://root"}, "r||s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startVault(t)
			s.Inject(tt.fault)
			dir := filepath.Join(t.TempDir(), "out")
			code, stdout, stderr := run(t, append([]string{"create", "--out", dir}, tt.args...)...)
			if code != 2 || stdout != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("exit status %d; %s%s, want %q", code, stdout, stderr, tt.want)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// A list whose signature is somebody else's is not released, and the number
// that was taken for it is not used again.
func TestCRLWithAnotherKey(t *testing.T) {
	s := startVault(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	good(t, "create", "--out", at("tsa"), "--intermediate-key", "hashivault://issuing", "--crl-url", "http://crl.example/i.crl")
	sign := []string{"crl", "--list", at("l.json"), "--issuer", filepath.Join(at("tsa"), "chain.pem"), "--issuer-key", "hashivault://issuing", "--out", at("i.crl")}
	refused := func(want string, args ...string) {
		t.Helper()
		code, _, stderr := run(t, append(sign, args...)...)
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("exit status %d: %s, want %q", code, stderr, want)
		}
		if _, err := os.Stat(at("i.crl")); err == nil {
			t.Error("the list was released")
		}
	}
	s.Inject(vaultfake.Fault{On: "sign", OtherKey: true})
	refused("did not pass its proof", "--new")
	s.Clear()
	// It proves itself, and goes wrong with the next signature.
	proved := 0
	s.Inject(vaultfake.Fault{On: "sign", Mangle: func(signature []byte) []byte {
		if proved++; proved > 1 {
			signature[len(signature)-1] ^= 1
		}
		return signature
	}})
	refused("signature", "--new")
	s.Clear()
	if out := good(t, sign...); !strings.Contains(out, "number 2 of") {
		t.Errorf("answer: %s", out)
	}
}

// A key that was rotated inside its service is still the one of the chains that
// were made before.
func TestRotatedKey(t *testing.T) {
	v := startVault(t)
	for _, name := range []string{"ca", "tsa"} {
		if err := v.CreateKey(name, "ecdsa-p256"); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	if code, _, stderr := run(t, "create", "--out", first, "--key", "hashivault://tsa", "--intermediate-key", "hashivault://ca"); code != 0 {
		t.Fatal(stderr)
	}
	chain := filepath.Join(first, "chain.pem")
	for _, name := range []string{"ca", "tsa"} {
		if err := v.Rotate(name); err != nil {
			t.Fatal(err)
		}
	}
	if code, stdout, stderr := run(t, "check", chain, "--key", "hashivault://tsa"); code != 0 {
		t.Errorf("check: %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := run(t, "create", "--out", second, "--key", "hashivault://tsa", "--issuer", chain, "--issuer-key", "hashivault://ca"); code != 0 {
		t.Errorf("create: %d\n%s", code, stderr)
	}
	if code, _, stderr := run(t, "crl", "--list", filepath.Join(dir, "list"), "--new", "--issuer", chain, "--issuer-key", "hashivault://ca", "--out", filepath.Join(dir, "crl")); code != 0 {
		t.Errorf("crl: %d\n%s", code, stderr)
	}
	// Another key is still another key.
	if code, stdout, _ := run(t, "check", chain, "--key", "hashivault://ca"); code != 1 || !strings.Contains(stdout, "leaf-key") {
		t.Errorf("check with another key: %d\n%s", code, stdout)
	}
}
