package tinkkey_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/signature"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/tinkkey"
)

// Vault that is not well, not Vault, or not there.
func TestBadVault(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	file := write(t, sealKeyset(t, s, message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))))
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s with the token %q, of another server", r.Method, r.URL, r.Header.Get("X-Vault-Token"))
	}))
	defer portal.Close()
	says := func(code int, words string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool { vaultError(w, code, words); return true }
	}
	body := func(code int, text string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(code)
			w.Write([]byte(text))
			return true
		}
	}
	for _, tt := range []struct {
		name        string
		fail        func(http.ResponseWriter, *http.Request) bool
		kind        fault.Kind
		words, hint string
	}{
		{"sealed", says(503, "Vault is sealed"), fault.Locked, "Vault is sealed", "unseal"},
		{"unwell", says(500, "internal error"), fault.Unreachable, "answers 500: internal error", ""},
		{"too many requests", says(429, "quota"), fault.Unreachable, "answers 429", ""},
		{"a key that does not encrypt", says(400, "message decryption not supported for key type ecdsa-p256"), fault.Unfit, "not supported for key type", "aes256-gcm96"},
		{"a key that is derived", says(400, "missing 'context' for key derivation; the key was created using a derived key"), fault.Unfit, "missing 'context'", "derived=true"},
		{"a version that is retired", says(400, "ciphertext or signature version is disallowed by policy (too old)"), fault.Unfit, "too old", "min_decryption_version"},
		{"retry in an hour", func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "3600")
			vaultError(w, 503, "maintenance")
			return true
		}, fault.Unreachable, "answers 503: maintenance", ""},
		{"login portal", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, portal.URL, http.StatusFound)
			return true
		}, fault.Malformed, "a redirection, and not that of a standby node: Found", "stands between"},
		{"TLS expected", body(400, "Client sent an HTTP request to an HTTPS server."), fault.Malformed, "HTTPS server", "VAULT_ADDR says http://"},
		{"another server", body(400, "<html>\nwhat?\n</html>"), fault.Malformed, "<html> what? </html>", ""},
		{"not JSON", body(200, "<html>"), fault.Malformed, "does not answer as Vault does", ""},
		{"no plaintext", body(200, `{"data":{}}`), fault.Malformed, "answered with nothing", ""},
		{"plaintext of another type", body(200, `{"data":{"plaintext":[1]}}`), fault.Malformed, "does not answer as Vault does", ""},
		{"plaintext not base64", body(200, `{"data":{"plaintext":"*"}}`), fault.Malformed, "does not answer as Vault does", ""},
		{"endless answer", func(w http.ResponseWriter, r *http.Request) bool {
			w.Write([]byte(`{"data":{"plaintext":"`))
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("A"), 1<<16)); err != nil {
					break
				}
			}
			return true
		}, fault.Malformed, "does not answer as Vault does", ""},
		{"connection cut", func(w http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) }, fault.Unreachable, "EOF", "check that Vault runs there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v.mu.Lock()
			v.fail = tt.fail
			v.mu.Unlock()
			k, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
			check(t, err, tt.kind, tt.words, tt.hint)
			if k != nil {
				t.Error("a key came with the error")
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		over := make(chan struct{})
		defer close(over) // a server that missed the client's going ends nevertheless
		v.mu.Lock()
		v.fail = func(w http.ResponseWriter, r *http.Request) bool {
			io.Copy(io.Discard, r.Body) // or the server would not see the client go
			select {
			case <-r.Context().Done():
			case <-over:
			}
			return true
		}
		v.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := tinkkey.Open(ctx, uri(file, s.key), s.cfg)
		check(t, err, fault.Unreachable, "no answer in time", "")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want one that wraps the context's", err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
	t.Run("cancelled before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := tinkkey.Open(ctx, uri(file, s.key), s.cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
	})
	t.Run("plain HTTP without being told", func(t *testing.T) {
		cfg := tinkkey.Config{LookupEnv: environment(map[string]string{"VAULT_TOKEN": vaultToken, "VAULT_ADDR": "http://127.0.0.1:1"})}
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), cfg)
		check(t, err, fault.Malformed, "speaks plain HTTP", "set VAULT_ADDR="+v.URL)
	})
	t.Run("unknown CA", func(t *testing.T) {
		secure := newVault(t, (*httptest.Server).StartTLS)
		_, err := tinkkey.Open(t.Context(), uri(file, secure.uri("tsa")), s.cfg)
		check(t, err, fault.Malformed, "certificate", "VAULT_CACERT")
	})
	t.Run("not there", func(t *testing.T) {
		_, err := tinkkey.Open(t.Context(), uri(file, "hcvault://"+deadAddress(t)+"/transit/keys/tsa"), s.cfg)
		check(t, err, fault.Unreachable, "refused", "check that Vault runs there")
	})
	t.Run("proxy that is no URL", func(t *testing.T) {
		t.Setenv("VAULT_PROXY_ADDR", "http://user:passw%rd@proxy.example")
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
		check(t, err, fault.Malformed, "VAULT_PROXY_ADDR", "VAULT_")
		if strings.Contains(err.Error(), "passw") {
			t.Errorf("%q shows a password", err)
		}
	})
	t.Run("settings that cannot be read", func(t *testing.T) {
		t.Setenv("VAULT_CACERT", filepath.Join(t.TempDir(), "none.pem"))
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
		check(t, err, fault.Malformed, "none.pem", "VAULT_")
	})
}

// deadAddress is one where nothing listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestBadGoogle(t *testing.T) {
	g, s := newGoogle(t)
	file := write(t, sealKeyset(t, s, message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))))
	for _, tt := range []struct {
		name        string
		key         string
		code        codes.Code
		kind        fault.Kind
		words, hint string
	}{
		{"no such key", s.missing, codes.OK, fault.NotFound, "there is no key " + s.missing, "gcloud kms keys create"},
		{"another key", s.other, codes.OK, fault.Unfit, s.other + " did not encrypt it", "name the key"},
		{"denied", s.key, codes.PermissionDenied, fault.Denied, "PermissionDenied", "cryptoKeyDecrypter"},
		{"not logged in", s.key, codes.Unauthenticated, fault.Credentials, "Unauthenticated", "GOOGLE_APPLICATION_CREDENTIALS"},
		{"disabled", s.key, codes.FailedPrecondition, fault.Unfit, "FailedPrecondition", "enable the version"},
		{"unwell", s.key, codes.Internal, fault.Unreachable, "Internal", ""},
		{"strange", s.key, codes.DataLoss, fault.Malformed, "DataLoss", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g.fail = func() error {
				if tt.code == codes.OK {
					return nil
				}
				return status.Error(tt.code, "as the test wants it")
			}
			_, err := tinkkey.Open(t.Context(), uri(file, tt.key), s.cfg)
			check(t, err, tt.kind, tt.words, tt.hint)
		})
	}
	t.Run("unavailable for long", func(t *testing.T) {
		g.fail = func() error { return status.Error(codes.Unavailable, "as the test wants it") }
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := tinkkey.Open(ctx, uri(file, s.key), s.cfg)
		check(t, err, fault.Unreachable, "no answer in time", "")
	})
	t.Run("no account", func(t *testing.T) {
		t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), tinkkey.Config{})
		check(t, err, fault.Credentials, "none.json", "GOOGLE_APPLICATION_CREDENTIALS")
	})
}

func TestBadAmazon(t *testing.T) {
	a, s := newAmazon(t)
	file := write(t, sealKeyset(t, s, message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))))
	for _, tt := range []struct {
		name        string
		key, code   string
		kind        fault.Kind
		words, hint string
	}{
		{"no such key", s.missing, "", fault.NotFound, "there is no key " + s.missing, "create-key"},
		{"another key", s.other, "", fault.Unfit, s.other + " did not encrypt it", "name the key"},
		{"denied", s.key, "AccessDeniedException", fault.Denied, "AccessDenied", "kms:Decrypt"},
		{"wrong account", s.key, "UnrecognizedClientException", fault.Credentials, "Unrecognized", "AWS_PROFILE"},
		{"expired", s.key, "ExpiredTokenException", fault.Credentials, "Expired", "AWS_PROFILE"},
		{"disabled", s.key, "DisabledException", fault.Unfit, "Disabled", "enable-key"},
		{"a signing key", s.key, "InvalidKeyUsageException", fault.Unfit, "KeyUsage", "ENCRYPT_DECRYPT"},
		{"unwell", s.key, "KMSInternalException", fault.Unreachable, "KMSInternal", ""},
		{"too many requests", s.key, "ThrottlingException", fault.Unreachable, "Throttling", ""},
		{"strange", s.key, "DryRunOperationException", fault.Malformed, "DryRun", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a.fail = tt.code
			_, err := tinkkey.Open(t.Context(), uri(file, tt.key), s.cfg)
			check(t, err, tt.kind, tt.words, tt.hint)
		})
	}
	t.Run("not there", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL", "http://"+deadAddress(t))
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
		check(t, err, fault.Unreachable, "refused", "network")
	})
	t.Run("no account", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
		check(t, err, fault.Credentials, "credentials", "AWS_PROFILE")
	})
}
