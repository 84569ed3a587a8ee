package peercerts_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercerts"
	"github.com/fencepost-tsa/fencepost/signer"
)

// transit is a fake of the part of Vault's transit engine that wraps keysets:
// one key, which really encrypts, and one token.
func transit(t *testing.T, token string) *httptest.Server {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "vault:v1:"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Plaintext, Ciphertext string }
		if r.Body != nil && r.ContentLength > 0 {
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
				t.Error(err)
			}
		}
		fail := func(status int, text string) {
			w.WriteHeader(status)
			json.NewEncoder(w).Encode(map[string][]string{"errors": {text}})
		}
		data := map[string]any{}
		switch {
		case r.Header.Get("X-Vault-Token") != token:
			fail(http.StatusForbidden, "permission denied")
			return
		case r.URL.Path == "/v1/transit/keys/kek":
			data["name"], data["type"] = "kek", "aes256-gcm96"
		case r.URL.Path == "/v1/transit/encrypt/kek":
			plaintext, err := base64.StdEncoding.DecodeString(body.Plaintext)
			if err != nil {
				t.Error(err)
			}
			data["ciphertext"] = prefix + base64.StdEncoding.EncodeToString(aead.Seal(nil, nil, plaintext, nil))
		case r.URL.Path == "/v1/transit/decrypt/kek":
			sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(body.Ciphertext, prefix))
			if err != nil {
				t.Error(err)
			}
			plaintext, err := aead.Open(nil, nil, sealed, nil)
			if err != nil {
				fail(http.StatusBadRequest, err.Error())
				return
			}
			data["plaintext"] = base64.StdEncoding.EncodeToString(plaintext)
		default:
			fail(http.StatusNotFound, "no handler for route "+r.URL.Path)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(s.Close)
	return s
}

// TestTink has the timestamping key in a keyset that Vault wraps, which the
// namesake cannot open: it has no way to be told the token.
func TestTink(t *testing.T) {
	const token = "hvs.test" + "-token"
	s := transit(t, token)
	t.Setenv("VAULT_ADDR", s.URL)
	t.Setenv("VAULT_TOKEN", "")
	dir := t.TempDir()
	tokenFile, keyset := filepath.Join(dir, "token"), filepath.Join(dir, "enc keyset.cfg")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrapping := "hcvault://" + strings.TrimPrefix(s.URL, "http://") + "/transit/keys/kek"
	u := signer.URI{Scheme: signer.SchemeTink, Path: keyset, WrappingKey: wrapping, TokenFile: tokenFile}
	key, err := kms.Create(t.Context(), u, signer.P384, kms.Config{LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	parent, _ := keyFile(t, signer.P256)
	out := filepath.Join(dir, "chain.pem")
	args := []string{"--tink-kms-resource=" + wrapping, "--tink-keyset-path=enc keyset.cfg", "--parent-kms-resource=" + parent, "--output=" + out}
	t.Chdir(dir) // the path of the keyset is relative, as in the documentation

	status, _, stderr := run(t, peercerts.Config{}, args...)
	if status == 0 || !strings.Contains(stderr, "the key of the leaf") || !strings.Contains(stderr, "VAULT_TOKEN") {
		t.Errorf("without a token: status %d, %q", status, stderr)
	}
	if status, _, stderr := run(t, peercerts.Config{}, append(args, "--tink-hcvault-token-file=token")...); status != 0 || stderr != "" {
		t.Fatalf("status %d, %q", status, stderr)
	}
	readChain(t, out, key)
	if err := os.WriteFile(tokenFile, []byte("hvs.other"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = run(t, peercerts.Config{}, append(args, "--tink-hcvault-token-file=token")...)
	if status == 0 || !strings.Contains(stderr, "permission denied") || strings.Contains(stderr, "hvs.") {
		t.Errorf("with a wrong token: status %d, %q", status, stderr)
	}
}
