//go:build interop

package vaultfake_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
)

// TestAgreesWithVault sends the same requests to the fake and to a real Vault
// 1.13, and compares statuses, error texts, and the fields of answers that the
// fake knows.
func TestAgreesWithVault(t *testing.T) {
	addr, root := os.Getenv("FENCEPOST_TEST_VAULT_ADDR"), os.Getenv("FENCEPOST_TEST_VAULT_TOKEN")
	if addr == "" || root == "" {
		t.Fatal("FENCEPOST_TEST_VAULT_ADDR and FENCEPOST_TEST_VAULT_TOKEN do not name a Vault")
	}
	v := vaultfake.Start(t)
	mount := fmt.Sprintf("fencepost-fake-%d", time.Now().UnixNano())
	v.SetMount(mount)
	if a := call(t, addr, root, request{"POST", "sys/mounts/" + mount, `{"type":"transit"}`}); a.status != 204 {
		t.Fatalf("mount: %+v", a)
	}
	t.Cleanup(func() { _, _ = send(t.Context(), addr, root, request{"DELETE", "sys/mounts/" + mount, ""}) })

	input := base64.StdEncoding.EncodeToString(make([]byte, 32))
	sign := func(key, rest, more string) request {
		return request{"POST", mount + "/sign/" + key + rest, `{"input":"` + input + `","prehashed":true` + more + `}`}
	}
	configure := func(settings string, fake vaultfake.KeySettings) func(t *testing.T) {
		return func(t *testing.T) {
			if a := call(t, addr, root, request{"POST", mount + "/keys/p256/config", settings}); a.status != 204 {
				t.Fatalf("%s: %+v", settings, a)
			}
			if err := v.Configure("p256", fake); err != nil {
				t.Fatal(err)
			}
		}
	}
	create := func(name, kind string) request {
		return request{"POST", mount + "/keys/" + name, `{"type":"` + kind + `"}`}
	}
	readKey := func(name string) request { return request{"GET", mount + "/keys/" + name, ""} }
	for _, tt := range []struct {
		name    string
		before  func(t *testing.T)
		request request
	}{
		{"read nothing", nil, readKey("none")},
		{"sign with nothing", nil, sign("none", "/sha2-256", "")},
		{"no mount", nil, request{"GET", "nowhere/keys/p256", ""}},
		{"no such path", nil, request{"GET", mount + "/nothing/p256", ""}},
		{"read a signature", nil, request{"GET", mount + "/sign/p256", ""}},
		{"create", nil, create("p256", "ecdsa-p256")},
		{"create again", nil, create("p256", "ecdsa-p256")},
		{"create again with another type", nil, create("p256", "rsa-2048")},
		{"create an unknown type", nil, create("x", "rsa-1234")},
		{"create P-384", nil, create("p384", "ecdsa-p384")},
		{"create P-521", nil, create("p521", "ecdsa-p521")},
		{"create Ed25519", nil, create("ed", "ed25519")},
		{"create RSA", nil, create("rsa", "rsa-2048")},
		{"create AES", nil, create("aes", "aes256-gcm96")},
		{"create ChaCha20", nil, create("chacha", "chacha20-poly1305")},
		{"read P-256", nil, readKey("p256")},
		{"read P-384", nil, readKey("p384")},
		{"read P-521", nil, readKey("p521")},
		{"read Ed25519", nil, readKey("ed")},
		{"read RSA", nil, readKey("rsa")},
		{"read AES", nil, readKey("aes")},
		{"read ChaCha20", nil, readKey("chacha")},
		{"sign P-256", nil, sign("p256", "/sha2-256", `,"marshaling_algorithm":"asn1"`)},
		{"sign P-256 without a hash", nil, sign("p256", "", "")},
		{"sign P-256 for JWS", nil, sign("p256", "/sha2-256", `,"marshaling_algorithm":"jws"`)},
		{"sign Ed25519", nil, sign("ed", "/sha2-512", "")},
		{"sign RSA", nil, sign("rsa", "/sha2-256", `,"signature_algorithm":"pkcs1v15"`)},
		{"sign RSA with PSS", nil, sign("rsa", "/sha2-256", `,"signature_algorithm":"pss","salt_length":"hash"`)},
		{"sign RSA with a number", nil, sign("rsa", "/sha2-256", `,"signature_algorithm":"pss","salt_length":"20"`)},
		{"sign RSA with the wrong length", nil, sign("rsa", "/sha2-512", `,"signature_algorithm":"pkcs1v15"`)},
		{"sign RSA somehow", nil, sign("rsa", "/sha2-256", `,"signature_algorithm":"rot13"`)},
		{"sign with an unknown hash", nil, sign("p256", "/md5", "")},
		{"sign AES", nil, sign("aes", "/sha2-256", "")},
		{"sign ChaCha20", nil, sign("chacha", "/sha2-256", "")},
		{"sign what is not base64", nil, request{"POST", mount + "/sign/p256/sha2-256", `{"input":"*"}`}},
		{"sign with version 7", nil, sign("p256", "/sha2-256", `,"key_version":7`)},
		{"rotate nothing", nil, request{"POST", mount + "/keys/none/rotate", ""}},
		{"rotate", nil, request{"POST", mount + "/keys/p256/rotate", ""}},
		{"read two versions", nil, readKey("p256")},
		{"sign with the latest", nil, sign("p256", "/sha2-256", "")},
		{"sign with the first", nil, sign("p256", "/sha2-256", `,"key_version":1`)},
		{"below the minimum", configure(`{"min_encryption_version":2}`, vaultfake.KeySettings{MinEncryption: 2}), sign("p256", "/sha2-256", `,"key_version":1`)},
		{"archived", configure(`{"min_encryption_version":0,"min_decryption_version":2}`, vaultfake.KeySettings{MinDecryption: 2}), sign("p256", "/sha2-256", `,"key_version":1`)},
		{"read what is archived", nil, readKey("p256")},
		{"look up root", nil, request{"GET", "auth/token/lookup-self", ""}},
		{"renew root", nil, request{"POST", "auth/token/renew-self", "{}"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before(t)
			}
			compare(t, call(t, v.URL, v.Root, tt.request), call(t, addr, root, tt.request))
		})
	}
	for _, tt := range []struct {
		name, real string
		fake       vaultfake.Token
	}{
		{"renewable", `{"policies":["default"],"ttl":"60s"}`, vaultfake.Token{TTL: time.Minute, Renewable: true, Paths: []string{"auth/token/"}}},
		{"not renewable", `{"policies":["default"],"ttl":"60s","renewable":false}`, vaultfake.Token{TTL: time.Minute, Paths: []string{"auth/token/"}}},
		{"may nothing", `{"policies":["none"],"ttl":"60s","no_default_policy":true}`, vaultfake.Token{TTL: time.Minute, Paths: []string{}}},
	} {
		_, rest, _ := strings.Cut(call(t, addr, root, request{"POST", "auth/token/create", tt.real}).body, `"client_token":"`)
		real, _, _ := strings.Cut(rest, `"`)
		fake := v.AddToken(tt.fake)
		for _, r := range []request{{"GET", "auth/token/lookup-self", ""}, {"POST", "auth/token/renew-self", "{}"}, readKey("p256")} {
			t.Run(tt.name+" "+r.path, func(t *testing.T) { compare(t, call(t, v.URL, fake, r), call(t, addr, real, r)) })
		}
	}
	t.Run("unknown token", func(t *testing.T) { compare(t, call(t, v.URL, "x", read), call(t, addr, "x", read)) })
}

// compare holds an answer of the fake against the real one: what the fake says
// has to be there, of the same type, and the same where it is no key, time or
// name of one request.
func compare(t *testing.T, fake, real answer) {
	t.Helper()
	if fake.status != real.status {
		t.Errorf("status %d; Vault says %d (%s)", fake.status, real.status, real.body)
	}
	if (fake.body == "") != (real.body == "") {
		t.Fatalf("body %q; Vault says %q", fake.body, real.body)
	}
	if fake.body == "" {
		return
	}
	var a, b any
	if err := json.Unmarshal([]byte(fake.body), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(real.body), &b); err != nil {
		t.Fatal(err)
	}
	walk(t, "", a, b)
}

// anything are the fields whose values differ from request to request.
var anything = []string{"request_id", "public_key", "creation_time", "accessor", "id", "client_token", "policies"}

func walk(t *testing.T, path string, fake, real any) {
	t.Helper()
	switch f := fake.(type) {
	case map[string]any:
		r, ok := real.(map[string]any)
		if !ok {
			t.Errorf("%s: an object; Vault has %v", path, real)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(f)) {
			value, ok := r[name]
			// Vault leaves this out for root.
			if !ok && name != "renewable" {
				t.Errorf("%s/%s: Vault has no such field", path, name)
			} else if ok && !slices.Contains(anything, name) {
				walk(t, path+"/"+name, f[name], value)
			}
		}
	case string:
		r, ok := real.(string)
		const head = len("vault:v1:")
		if ok && strings.HasPrefix(f, "vault:v") {
			// The version is the same, and the signature as long, give or take
			// what DER leaves out.
			if len(r) < head || r[:head] != f[:head] || max(len(f), len(r))-min(len(f), len(r)) > 8 {
				t.Errorf("%s: %q; Vault has %q", path, f, r)
			}
		} else if !ok || f != r {
			t.Errorf("%s: %q; Vault has %v", path, f, real)
		}
	case []any:
		r, ok := real.([]any)
		if !ok || len(f) != len(r) {
			t.Errorf("%s: %v; Vault has %v", path, f, real)
			return
		}
		for i := range f {
			walk(t, fmt.Sprintf("%s[%d]", path, i), f[i], r[i])
		}
	case float64:
		// What is left of a life may have come down by a second in between. The
		// creation times of a key that does not sign are seconds since 1970.
		r, ok := real.(float64)
		slack := 0.0
		switch {
		case strings.HasSuffix(path, "/ttl"), strings.HasSuffix(path, "/lease_duration"):
			slack = 1
		case f > 1e9:
			slack = 60
		}
		if !ok || math.Abs(f-r) > slack {
			t.Errorf("%s: %v; Vault has %v", path, f, real)
		}
	default:
		if fake != real {
			t.Errorf("%s: %v; Vault has %v", path, fake, real)
		}
	}
}
