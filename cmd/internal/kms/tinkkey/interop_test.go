//go:build interop

package tinkkey_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/signature"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/tinkkey"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// A realVault is a Vault or OpenBao that the environment names, with the right
// to do everything, and a transit engine of the test's own.
type realVault struct{ addr, token, mount string }

func startReal(t *testing.T) *realVault {
	t.Helper()
	v := &realVault{
		addr: os.Getenv("FENCEPOST_TEST_VAULT_ADDR"), token: os.Getenv("FENCEPOST_TEST_VAULT_TOKEN"),
		mount: fmt.Sprintf("fencepost-tink-%d", time.Now().UnixNano()),
	}
	if v.addr == "" || v.token == "" {
		t.Fatal("FENCEPOST_TEST_VAULT_ADDR and FENCEPOST_TEST_VAULT_TOKEN do not name a Vault")
	}
	v.do(t, "POST", "sys/mounts/"+v.mount, `{"type":"transit"}`)
	t.Cleanup(func() { v.do(t, "DELETE", "sys/mounts/"+v.mount, "") })
	for key, fields := range map[string]string{"tsa": "{}", "other": "{}", "signs": `{"type":"ecdsa-p256"}`, "derived": `{"derived":true}`} {
		v.do(t, "POST", v.mount+"/keys/"+key, fields)
	}
	return v
}

// do makes a call that has to succeed and returns the data, or the login, of
// the answer.
func (v *realVault) do(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequest(method, v.addr+"/v1/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Vault-Token", v.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	var answer struct{ Data, Auth map[string]any }
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatal(err)
		}
	}
	if answer.Auth != nil {
		return answer.Auth
	}
	return answer.Data
}

// newToken makes a token with a policy of these rules.
func (v *realVault) newToken(t *testing.T, rules string) string {
	t.Helper()
	name := fmt.Sprintf("fencepost-tink-%d", time.Now().UnixNano())
	policy, err := json.Marshal(map[string]string{"policy": rules})
	if err != nil {
		t.Fatal(err)
	}
	v.do(t, "PUT", "sys/policies/acl/"+name, string(policy))
	t.Cleanup(func() { v.do(t, "DELETE", "sys/policies/acl/"+name, "") })
	return v.do(t, "POST", "auth/token/create", `{"policies":["`+name+`"]}`)["client_token"].(string)
}

func (v *realVault) config(token string) tinkkey.Config {
	return tinkkey.Config{LookupEnv: environment(map[string]string{"VAULT_TOKEN": token, "VAULT_ADDR": v.addr})}
}

func (v *realVault) key(name string) string {
	_, host, _ := strings.Cut(v.addr, "://")
	return "hcvault://" + host + "/" + v.mount + "/keys/" + name
}

// service is the real Vault in the place of the fake one.
func (v *realVault) service(t *testing.T) service {
	return service{
		name: "Vault", key: v.key("tsa"), other: v.key("other"), missing: v.key("nobody"), cfg: v.config(v.token),
		encrypt: func(plaintext []byte) []byte {
			body := `{"plaintext":"` + base64.StdEncoding.EncodeToString(plaintext) + `"}`
			return []byte(v.do(t, "POST", v.mount+"/encrypt/tsa", body)["ciphertext"].(string))
		},
	}
}

func TestRealVault(t *testing.T) {
	v := startReal(t)
	dir := t.TempDir()
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			u := uri(filepath.Join(dir, string(kind)), v.key("tsa"))
			may := v.newToken(t, `path "`+v.mount+`/encrypt/tsa" { capabilities = ["update"] }`)
			if err := tinkkey.Create(t.Context(), u, kind, v.config(may)); err != nil {
				t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
			}
			_, err := tinkkey.Open(t.Context(), u, v.config(may))
			check(t, err, fault.Denied, "permission denied", "update on "+v.mount+"/decrypt/tsa")
			may = v.newToken(t, `path "`+v.mount+`/decrypt/tsa" { capabilities = ["update"] }`)
			signertest.Run(t, func(t *testing.T) signer.Signer {
				k, err := tinkkey.Open(t.Context(), u, v.config(may))
				if err != nil {
					t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
				}
				return k
			})
		})
	}
}

// What the fake says, the real one does.
func TestRealVaultFaults(t *testing.T) {
	v := startReal(t)
	s := v.service(t)
	file := write(t, sealKeyset(t, s, message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))))
	revoked := v.newToken(t, `path "elsewhere" { capabilities = ["read"] }`)
	v.do(t, "POST", "auth/token/revoke", `{"token":"`+revoked+`"}`)
	_, host, _ := strings.Cut(v.addr, "://")
	for _, tt := range []struct {
		name        string
		key, token  string
		kind        fault.Kind
		words, hint string
	}{
		{"another key", s.other, v.token, fault.Unfit, "did not encrypt it", "name the key"},
		{"no such key", s.missing, v.token, fault.NotFound, "has no key", "vault write -f"},
		{"no such engine", "hcvault://" + host + "/sonata/keys/tsa", v.token, fault.NotFound, "has no key", "mounted"},
		{"a key that signs", v.key("signs"), v.token, fault.Unfit, "not supported for key type", "aes256-gcm96"},
		{"a key that is derived", v.key("derived"), v.token, fault.Unfit, "context", "derived=true"},
		{"token that never was", s.key, "hvs.nobody", fault.Credentials, "not valid", "new token"},
		{"token that was revoked", s.key, revoked, fault.Credentials, "not valid", "new token"},
		{"token without a policy", s.key, v.newToken(t, `path "elsewhere" { capabilities = ["read"] }`), fault.Denied, "permission denied", "/decrypt/tsa"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := tinkkey.Open(t.Context(), uri(file, tt.key), v.config(tt.token))
			check(t, err, tt.kind, tt.words, tt.hint)
			if k != nil {
				t.Error("a key came with the error")
			}
		})
	}
	t.Run("no key is made for a name with a typing error", func(t *testing.T) {
		u := uri(filepath.Join(t.TempDir(), "k"), s.missing)
		check(t, tinkkey.Create(t.Context(), u, signer.P256, s.cfg), fault.NotFound, "has no key", "vault write -f")
		for _, name := range v.do(t, "LIST", v.mount+"/keys", "")["keys"].([]any) {
			if name == "nobody" {
				t.Error("a key was made in Vault")
			}
		}
	})
	for _, name := range []string{"signs", "derived"} {
		t.Run("create with a key that is "+name, func(t *testing.T) {
			u := uri(filepath.Join(t.TempDir(), "k"), v.key(name))
			err := tinkkey.Create(t.Context(), u, signer.P256, s.cfg)
			check(t, err, fault.Unfit, v.mount+"/keys/"+name, "a wrapping key is")
		})
	}
	t.Run("destroyed ciphertext", func(t *testing.T) {
		bad := write(t, seal(t, service{encrypt: func([]byte) []byte { return []byte("vault:v1:AAAA") }}, nil))
		_, err := tinkkey.Open(t.Context(), uri(bad, s.key), s.cfg)
		check(t, err, fault.Unfit, "did not encrypt it", "name the key")
	})
	t.Run("a version that must not decrypt any more", func(t *testing.T) {
		v.do(t, "POST", v.mount+"/keys/tsa/rotate", "")
		if _, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg); err != nil {
			t.Errorf("after the rotation of the wrapping key: %v", err)
		}
		v.do(t, "POST", v.mount+"/keys/tsa/config", `{"min_decryption_version":2}`)
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
		check(t, err, fault.Unfit, "disallowed", "min_decryption_version")
	})
}
