//go:build interop

package vault_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// A realVault is a Vault or OpenBao that the environment names, with the right
// to do everything.
type realVault struct {
	addr, token, mount string
}

// startReal mounts a transit engine of the test's own.
func startReal(t testing.TB) *realVault {
	t.Helper()
	v := &realVault{addr: os.Getenv("FENCEPOST_TEST_VAULT_ADDR"), token: os.Getenv("FENCEPOST_TEST_VAULT_TOKEN")}
	if v.addr == "" || v.token == "" {
		t.Fatal("FENCEPOST_TEST_VAULT_ADDR and FENCEPOST_TEST_VAULT_TOKEN do not name a Vault")
	}
	v.mount = fmt.Sprintf("fencepost-test-%d", time.Now().UnixNano())
	v.do(t, "POST", "sys/mounts/"+v.mount, `{"type":"transit"}`)
	t.Cleanup(func() { v.do(t, "DELETE", "sys/mounts/"+v.mount, "") })
	return v
}

func (v *realVault) do(t testing.TB, method, path, body string) string {
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
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return string(answer)
}

// newToken makes a token; its fields are those of auth/token/create.
func (v *realVault) newToken(t *testing.T, fields string) string {
	t.Helper()
	_, rest, ok := strings.Cut(v.do(t, "POST", "auth/token/create", fields), `"client_token":"`)
	token, _, found := strings.Cut(rest, `"`)
	if !ok || !found {
		t.Fatal("no client_token in the answer")
	}
	return token
}

func (v *realVault) config(token string) vault.Config {
	return vault.Config{LookupEnv: env{
		"VAULT_ADDR": v.addr, "VAULT_TOKEN": token, "TRANSIT_SECRET_ENGINE_PATH": v.mount,
	}.lookup}
}

func (v *realVault) create(t testing.TB, name string, kind signer.KeyType) {
	t.Helper()
	if err := vault.Create(t.Context(), uri(t, "hashivault://"+name), kind, v.config(v.token)); err != nil {
		t.Fatal(err)
	}
}

func TestRealConformance(t *testing.T) {
	v := startReal(t)
	for _, kind := range signer.KeyTypes() {
		t.Run(string(kind), func(t *testing.T) {
			v.create(t, string(kind), kind)
			open := func(t *testing.T) signer.Signer { return openWith(t, string(kind), v.config(v.token)) }
			signertest.Run(t, open)
			if strings.HasPrefix(string(kind), "rsa") {
				signertest.RunPSS(t, open)
			}
		})
	}
}

func TestRealVersions(t *testing.T) {
	v := startReal(t)
	v.create(t, "tsa", signer.P256)
	first := openWith(t, "tsa", v.config(v.token))
	v.do(t, "POST", v.mount+"/keys/tsa/rotate", "")
	second := openWith(t, "tsa", v.config(v.token))
	for i, key := range []*vault.Key{first, second} {
		if key.Version() != i+1 {
			t.Errorf("version %d; want %d", key.Version(), i+1)
		}
		if err := signer.Prove(t.Context(), key, nil); err != nil {
			t.Errorf("version %d: %v", key.Version(), err)
		}
	}
	old := v.config(v.token)
	old.Want = first.Public()
	if again := openWith(t, "tsa", old); again.Version() != 1 {
		t.Errorf("version %d; want 1, whose public key is wanted", again.Version())
	}

	v.do(t, "POST", v.mount+"/keys/tsa/config", `{"min_encryption_version":2}`)
	check(t, signer.Prove(t.Context(), first, nil), wantFault{fault.Unfit, "minimum encryption key version", "min_encryption_version=0"})
	_, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), old)
	check(t, err, wantFault{fault.Unfit, "below min_encryption_version 2", "min_encryption_version=0"})

	v.do(t, "POST", v.mount+"/keys/tsa/config", `{"min_encryption_version":0,"min_decryption_version":2}`)
	check(t, signer.Prove(t.Context(), first, nil), wantFault{fault.NotFound, "no such key version", "min_decryption_version=1"})
	_, err = vault.Open(t.Context(), uri(t, "hashivault://tsa"), old)
	check(t, err, wantFault{fault.Unfit, "none of its versions (2)", "min_decryption_version=1"})

	v.do(t, "POST", v.mount+"/keys/tsa/config", `{"deletion_allowed":true}`)
	v.do(t, "DELETE", v.mount+"/keys/tsa", "")
	check(t, signer.Prove(t.Context(), first, nil), wantFault{fault.NotFound, "not found", "vault write -f"})
	v.create(t, "tsa", signer.P256)
	check(t, signer.Prove(t.Context(), second, nil), wantFault{fault.NotFound, "higher than the latest", "restart"})
}

func TestRealErrors(t *testing.T) {
	v := startReal(t)
	v.create(t, "tsa", signer.P256)
	v.do(t, "POST", v.mount+"/keys/aes", `{"type":"aes256-gcm96"}`)
	v.do(t, "POST", v.mount+"/keys/derived", `{"type":"ed25519","derived":true}`)
	elsewhere := v.config(v.token)
	elsewhere.LookupEnv = env{"VAULT_ADDR": v.addr, "VAULT_TOKEN": v.token, "TRANSIT_SECRET_ENGINE_PATH": "nowhere"}.lookup
	system := v.config(v.token)
	system.LookupEnv = env{"VAULT_ADDR": v.addr, "VAULT_TOKEN": v.token, "TRANSIT_SECRET_ENGINE_PATH": "sys"}.lookup
	for _, tt := range []struct {
		name, key string
		cfg       vault.Config
		want      wantFault
	}{
		{"no such key", "none", v.config(v.token), wantFault{fault.NotFound, `"none"`, "vault write -f"}},
		{"no such mount", "tsa", elsewhere, wantFault{fault.NotFound, `mount "nowhere"`, "secrets enable"}},
		{"not transit", "tsa", system, wantFault{fault.Unfit, `mount "sys"`, "not transit"}},
		{"does not sign", "aes", v.config(v.token), wantFault{fault.Unfit, "does not sign", "ecdsa-p256"}},
		{"derived", "derived", v.config(v.token), wantFault{fault.Unfit, "derived", ""}},
		{"unknown token", "tsa", v.config("hvs.unknown"), wantFault{fault.Credentials, "not accepted", "VAULT_TOKEN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := vault.Open(t.Context(), uri(t, "hashivault://"+tt.key), tt.cfg)
			if err == nil {
				key.Close()
			}
			check(t, err, tt.want)
		})
	}
	check(t, vault.Create(t.Context(), uri(t, "hashivault://tsa"), signer.RSA2048, v.config(v.token)), wantFault{fault.Unfit, "exists already", "another name"})
}

// The lines that the hint names are all that a policy needs, and without them
// the key says so.
func TestRealPolicy(t *testing.T) {
	v := startReal(t)
	for _, kind := range []signer.KeyType{signer.P256, signer.Ed25519, signer.RSA2048} {
		v.create(t, string(kind), kind)
	}
	policy := func(name, rules string) {
		v.do(t, "POST", "sys/policies/acl/"+v.mount+name, fmt.Sprintf(`{"policy":%q}`, rules))
		t.Cleanup(func() { v.do(t, "DELETE", "sys/policies/acl/"+v.mount+name, "") })
	}
	var sign, read string
	for _, kind := range []signer.KeyType{signer.P256, signer.Ed25519, signer.RSA2048} {
		sign += fmt.Sprintf("path %q { capabilities = [\"update\"] }\n", v.mount+"/sign/"+string(kind)+"/*")
		read += fmt.Sprintf("path %q { capabilities = [\"read\"] }\n", v.mount+"/keys/"+string(kind))
	}
	policy("sign", sign)
	policy("read", read)
	policy("lookup", `path "auth/token/lookup-self" { capabilities = ["read"] }`)
	token := func(policies string) string {
		return v.newToken(t, fmt.Sprintf(`{"policies":[%s],"ttl":"1m","no_default_policy":true}`, policies))
	}
	both := fmt.Sprintf("%q,%q", v.mount+"sign", v.mount+"read")
	for _, kind := range []signer.KeyType{signer.P256, signer.Ed25519, signer.RSA2048} {
		key := openWith(t, string(kind), v.config(token(both)))
		if err := signer.Prove(t.Context(), key, nil); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct{ name, policies, hint string }{
		{"may look itself up", fmt.Sprintf("%q,%q", v.mount+"read", v.mount+"lookup"), "(it has "},
		{"may not look itself up", fmt.Sprintf("%q", v.mount+"read"), `/sign/p256/*" { capabilities = ["update"] }`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := openWith(t, "p256", v.config(token(tt.policies)))
			check(t, signer.Prove(t.Context(), key, nil), wantFault{fault.Denied, "may not do this", tt.hint})
		})
	}
	_, err := vault.Open(t.Context(), uri(t, "hashivault://p256"), v.config(v.newToken(t, `{"policies":["default"],"ttl":"1m"}`)))
	check(t, err, wantFault{fault.Denied, "may not do this", `{ capabilities = ["read"] }`})
}

// A token of three seconds that can be renewed lives for ten, and one that
// cannot does not.
func TestRealRenewal(t *testing.T) {
	v := startReal(t)
	v.create(t, "tsa", signer.P256)
	v.do(t, "POST", "sys/policies/acl/"+v.mount, fmt.Sprintf(`{"policy":"path \"%s/*\" { capabilities = [\"read\", \"update\"] }"}`, v.mount))
	t.Cleanup(func() { v.do(t, "DELETE", "sys/policies/acl/"+v.mount, "") })
	token := func(more string) string {
		return v.newToken(t, fmt.Sprintf(`{"policies":["default",%q],"ttl":"3s"%s}`, v.mount, more))
	}
	renewed := openWith(t, "tsa", v.config(token("")))
	ended := openWith(t, "tsa", v.config(token(`,"renewable":false`)))
	batch := openWith(t, "tsa", v.config(token(`,"type":"batch"`)))
	time.Sleep(10 * time.Second)
	if err := signer.Prove(t.Context(), renewed, nil); err != nil {
		t.Errorf("a token that can be renewed: %v", err)
	}
	for _, key := range []*vault.Key{ended, batch} {
		check(t, signer.Prove(t.Context(), key, nil), wantFault{fault.Credentials, "not accepted", "VAULT_TOKEN"})
	}
}

// BenchmarkReal is what a signature by a Vault of its own costs, beside the
// same request by bare net/http.
func BenchmarkReal(b *testing.B) {
	v := startReal(b)
	v.create(b, "tsa", signer.P256)
	key := openWith(b, "tsa", v.config(v.token))
	digest := sha256.Sum256([]byte("benchmark"))
	for _, way := range []struct {
		name string
		sign func(context.Context) error
	}{
		{"net-http", bareSign(v.addr+"/v1/"+v.mount, v.token, digest[:])},
		{"fencepost", func(ctx context.Context) error {
			_, err := key.Sign(ctx, digest[:], crypto.SHA256)
			return err
		}},
	} {
		for _, inFlight := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d", way.name, inFlight), func(b *testing.B) {
				b.ReportAllocs()
				run(b, inFlight, way.sign)
			})
		}
	}
}
