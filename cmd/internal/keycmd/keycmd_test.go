package keycmd_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/keycmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/awsfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/signer"
)

// run runs "fencepost key ARGS" and returns what came of it.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdout: &out, Stderr: &errs, Getenv: os.Getenv}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(keycmd.New(env))
	code = cli.Run(t.Context(), env, root, append([]string{"key"}, args...))
	return code, out.String(), errs.String()
}

// good runs what has to succeed, without a word on standard error.
func good(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, args...)
	if code != 0 || stderr != "" {
		t.Fatalf("key %q: exit status %d: %s", args, code, stderr)
	}
	return stdout
}

// startVault has all commands of this test find a Vault, a fake one.
func startVault(t *testing.T) *vaultfake.Server {
	t.Helper()
	s := vaultfake.Start(t)
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_TOKEN", s.Root)
	t.Setenv("HOME", t.TempDir()) // no token of whoever runs the tests
	return s
}

// document is the answer as a script reads it.
type document struct {
	URI, Place, Note, Type, PublicKey string
	InProcess, Proved                 bool
	Hashes, Paddings                  []string
	Fingerprint                       string `json:"sha256Fingerprint"`
}

func decode(t *testing.T, text string) document {
	t.Helper()
	var doc document
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// spki is the content of a public key in PEM.
func spki(t *testing.T, text string) []byte {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) != 0 {
		t.Fatalf("not one public key in PEM: %s", text)
	}
	if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return block.Bytes
}

func TestTypes(t *testing.T) {
	want := map[signer.KeyType]struct{ name, hash string }{
		signer.P256: {"ECDSA P-256", "SHA-256"}, signer.P384: {"ECDSA P-384", "SHA-384"}, signer.P521: {"ECDSA P-521", "SHA-512"},
		signer.RSA2048: {"RSA 2048", "SHA-256"}, signer.RSA3072: {"RSA 3072", "SHA-256"}, signer.RSA4096: {"RSA 4096", "SHA-256"},
		signer.Ed25519: {"Ed25519", ""},
	}
	for _, kind := range signer.KeyTypes() {
		t.Run(string(kind), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "key.pem")
			made := decode(t, good(t, "create", "file:"+file, "--type", string(kind), "--json"))
			if st, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
				t.Errorf("the file: %v, %v", st, err)
			}
			out := filepath.Join(t.TempDir(), "key.pub")
			text := good(t, "show", "file:"+file, "--prove", "-o", out)
			shown := decode(t, good(t, "show", "file:"+file, "--prove", "--json"))
			if made.Proved || !shown.Proved || !shown.InProcess || shown.Type != want[kind].name || strings.Join(shown.Hashes, " ") != want[kind].hash {
				t.Errorf("made %+v, shown %+v, want %v", made, shown, want[kind])
			}
			made.Proved = true
			if a, b := mustJSON(t, made), mustJSON(t, shown); a != b {
				t.Errorf("made %s, shown %s", a, b)
			}
			sum := sha256.Sum256(spki(t, shown.PublicKey))
			if shown.Fingerprint != hex.EncodeToString(sum[:]) {
				t.Errorf("fingerprint %s, want %x", shown.Fingerprint, sum)
			}
			for _, words := range []string{want[kind].name, shown.Fingerprint, file, "the signature is right", "written to " + out, "in memory where it signs"} {
				if !strings.Contains(text, words) {
					t.Errorf("the answer does not say %q:\n%s", words, text)
				}
			}
			if data, err := os.ReadFile(out); err != nil || string(data) != shown.PublicKey {
				t.Errorf("%s: %q, %v", out, data, err)
			}
			if got := good(t, "show", "file:"+file, "--pem"); got != shown.PublicKey {
				t.Errorf("--pem: %q, want %q", got, shown.PublicKey)
			}
			if got := good(t, "show", "file:"+file, "-o", "-"); got != shown.PublicKey {
				t.Errorf("-o -: %q, want %q", got, shown.PublicKey)
			}
		})
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEncrypted(t *testing.T) {
	dir := t.TempDir()
	pass := filepath.Join(dir, "pass")
	if err := os.WriteFile(pass, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	good(t, "create", "file:"+file+"?passphrase-file="+pass, "--prove")
	if data, err := os.ReadFile(file); err != nil || !strings.Contains(string(data), "ENCRYPTED PRIVATE KEY") {
		t.Errorf("the file: %s, %v", data, err)
	}
	good(t, "show", "file:"+file+"?passphrase-file="+pass)
	if code, _, stderr := run(t, "show", "file:"+file); code != 2 || !strings.Contains(stderr, "hint: name it: file:"+file+"?passphrase-file=FILE") {
		t.Errorf("without its passphrase: %d, %s", code, stderr)
	}
	if code, _, stderr := run(t, "show", "file:"+file+"?passphrase-file="+pass+"2"); code != 2 || !strings.Contains(stderr, "is that secret mounted") {
		t.Errorf("without the file of its passphrase: %d, %s", code, stderr)
	}
	// The public key goes to none of the files of the private one.
	for _, out := range []string{file, pass} {
		before, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		code, _, stderr := run(t, "show", "file:"+file+"?passphrase-file="+pass, "-o", out)
		if after, err := os.ReadFile(out); code != 2 || !strings.Contains(stderr, "is an input") || err != nil || !bytes.Equal(before, after) {
			t.Errorf("-o %s: %d, %s", out, code, stderr)
		}
	}
}

func TestVault(t *testing.T) {
	s := startVault(t)
	made := decode(t, good(t, "create", "hashivault://tsa", "--type", "p384", "--prove", "--json"))
	if made.InProcess || !made.Proved || made.Type != "ECDSA P-384" || made.URI != "hashivault://tsa" || made.Place != "HashiCorp Vault, transit engine" {
		t.Errorf("made %+v", made)
	}
	code, _, stderr := run(t, "create", "hashivault://tsa", "--type", "p256")
	if code != 2 || !strings.Contains(stderr, "exists already") {
		t.Errorf("create again: %d, %s", code, stderr)
	}
	text := good(t, "show", "hashivault://tsa")
	for _, words := range []string{"lives in: ", "ECDSA P-384", "SHA-384 digests", "version 1", made.Fingerprint} {
		if !strings.Contains(text, words) {
			t.Errorf("the answer does not say %q:\n%s", words, text)
		}
	}
	if strings.Contains(text, "proof") || s.Calls(vaultfake.OnSign) != 1 {
		t.Errorf("show signed without --prove: %d signatures\n%s", s.Calls(vaultfake.OnSign), text)
	}
}

// What a service ties an RSA key to is shown, and what is proved is that.
func TestPaddings(t *testing.T) {
	s := awsfake.Start(t)
	s.Setenv(t)
	for _, tt := range []struct {
		spec  awsfake.Spec
		want  []string
		words string
	}{
		{awsfake.RSA2048, []string{"pkcs1v15", "pss"}, "SHA-256 or SHA-384 or SHA-512 digests, with PKCS #1 v1.5 or RSA-PSS\n"},
		{awsfake.PSSOnly, []string{"pss"}, "digests, with RSA-PSS\n"},
		{awsfake.ECCP256, nil, "SHA-256 digests\n"},
	} {
		t.Run(string(tt.spec), func(t *testing.T) {
			s.AddKey("alias/x", tt.spec)
			shown := decode(t, good(t, "show", s.URI("alias/x"), "--prove", "--json"))
			if !shown.Proved || !slices.Equal(shown.Paddings, tt.want) {
				t.Errorf("shown %+v, want the paddings %q", shown, tt.want)
			}
			if text := good(t, "show", s.URI("alias/x")); !strings.Contains(text, tt.words) {
				t.Errorf("the answer does not say %q:\n%s", tt.words, text)
			}
		})
	}
}

// A key that signs wrongly is the answer no, one that does not answer is none.
func TestProofFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault vaultfake.Fault
		code  int
		want  []string
	}{
		{"RSA-PSS only", vaultfake.Fault{On: vaultfake.OnSign, PSS: true}, 1, []string{"RSA-PSS signatures only"}},
		{"another key", vaultfake.Fault{On: vaultfake.OnSign, OtherKey: true}, 1, []string{"signs with another key"}},
		{"denied", vaultfake.Fault{On: vaultfake.OnSign, Status: http.StatusForbidden, Body: `{"errors":["permission denied"]}`}, 2, []string{"permission denied", "hint: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startVault(t)
			if err := s.CreateKey("tsa", "rsa-2048"); err != nil {
				t.Fatal(err)
			}
			s.Inject(tt.fault)
			for _, args := range [][]string{{"show", "hashivault://tsa", "--prove"}, {"create", "hashivault://new", "--type", "rsa2048", "--prove"}} {
				code, stdout, stderr := run(t, args...)
				if code != tt.code || stdout != "" || args[0] == "create" && !strings.Contains(stderr, "the key was made, but: ") {
					t.Errorf("key %q: exit status %d, want %d; %s%s", args, code, tt.code, stdout, stderr)
				}
				for _, words := range tt.want {
					if !strings.Contains(stderr, words) {
						t.Errorf("key %q does not say %q: %s", args, words, stderr)
					}
				}
			}
			code, stdout, _ := run(t, "show", "hashivault://tsa", "--prove", "--json")
			if tt.code == 1 && !strings.Contains(stdout, `"reason": "proof"`) || code != tt.code {
				t.Errorf("--json: exit status %d, %s", code, stdout)
			}
		})
	}
}

// Whoever makes a key may not be whoever uses it. The error says what is there
// now.
func TestMadeAndNotOpened(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/transit/encrypt/k":
			io.WriteString(w, `{"data":{"ciphertext":"vault:v1:AAAA"}}`)
		case "/v1/transit/decrypt/k":
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"errors":["permission denied"]}`)
		default:
			io.WriteString(w, `{"data":{"name":"k"}}`)
		}
	}))
	defer s.Close()
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_TOKEN", "hvs.encrypts-only")
	file := filepath.Join(t.TempDir(), "keyset.json")
	code, stdout, stderr := run(t, "create", "tink:"+file+"?key=hcvault://"+strings.TrimPrefix(s.URL, "http://")+"/transit/keys/k")
	if code != 2 || stdout != "" || !strings.Contains(stderr, "the key was made, but: ") || !strings.Contains(stderr, "hint: give the token a policy") {
		t.Errorf("exit status %d: %s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	startVault(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	good(t, "create", "file:"+file)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch \"$0.ran\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no URI", []string{"show"}, "accepts 1 arg"},
		{"two URIs", []string{"show", "file:a", "file:b"}, "accepts 1 arg"},
		{"no command", nil, "needs a command"},
		{"unknown type", []string{"create", "file:k", "--type", "rsa1024"}, `unknown key type "rsa1024"`},
		{"type of a key that there is", []string{"show", "file:" + file, "--type", "p256"}, "unknown flag: --type"},
		{"path", []string{"show", file}, "a key file is written as file:PATH"},
		{"unknown scheme", []string{"show", "vault:tsa"}, `unknown scheme "vault"`},
		{"program to show", []string{"show", "exec:" + program}, "no program is started for a key that a command line names"},
		{"program to create", []string{"create", "exec:" + program}, "hint: name it in the configuration of a server"},
		{"memory to show", []string{"show", "memory:p256"}, "a new one each time"},
		{"memory to create", []string{"create", "memory:p256"}, "ends with it"},
		{"no such file", []string{"show", "file:" + file + "2"}, "hint: fencepost key create makes a key"},
		{"no such key", []string{"show", "hashivault://nobody"}, "nobody"},
		{"file that is there", []string{"create", "file:" + file}, "hint: a key is never replaced"},
		{"no such folder", []string{"create", "file:" + filepath.Join(dir, "none", "key.pem")}, "hint: make the folder"},
		{"public key over a private one to be", []string{"create", "file:" + file + "3", "-o", file + "3"}, "is an input"},
		{"JSON and PEM", []string{"show", "file:" + file, "--json", "--pem"}, "give one of --json and --pem"},
		{"keyset without a token", []string{"create", "tink:" + file + "4?key=hcvault://127.0.0.1:1/transit/keys/k&token-env=NOBODY"}, "NOBODY has none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := run(t, tt.args...)
			if code != 2 || !strings.Contains(stdout+stderr, tt.want) {
				t.Errorf("key %q: exit status %d, want 2; want %q in\n%s%s", tt.args, code, tt.want, stdout, stderr)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 2 {
				t.Errorf("files that came: %v, %v", entries, err)
			}
		})
	}
	if after, err := os.ReadFile(file); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the key that was there was changed: %v", err)
	}
}

func TestLooseMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // where the mode says nothing
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	good(t, "create", "file:"+file)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := run(t, "show", "file:"+file); code != 0 || !strings.Contains(stderr, "warning: ") || !strings.Contains(stderr, "0644") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
}
