package vault_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
)

func TestBadConfiguration(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	for _, tt := range []struct {
		name, uri string
		env       env
		want      wantFault
	}{
		{"another scheme", "awskms:///alias/tsa", nil, wantFault{fault.Malformed, "awskms", ""}},
		{"no slashes", "hashivault:tsa", nil, wantFault{fault.Malformed, "hashivault://KEY", "TRANSIT_SECRET_ENGINE_PATH"}},
		{"a mount in the URI", "openbao://transit/tsa", nil, wantFault{fault.Malformed, "openbao://KEY", "TRANSIT_SECRET_ENGINE_PATH"}},
		{"a query", "hashivault://tsa?version=1", nil, wantFault{fault.Malformed, "hashivault://KEY", ""}},
		{"ends in a dot", "hashivault://tsa.", nil, wantFault{fault.Malformed, "hashivault://KEY", ""}},
		{"no address", "hashivault://tsa", env{"VAULT_TOKEN": "t"}, wantFault{fault.Malformed, "VAULT_ADDR or BAO_ADDR is not set", "set VAULT_ADDR"}},
		{"address without scheme", "hashivault://tsa", env{"VAULT_ADDR": "127.0.0.1:8200"}, wantFault{fault.Malformed, "VAULT_ADDR: not a URL", "https://vault.example:8200"}},
		{"address of another scheme", "hashivault://tsa", env{"BAO_ADDR": "vault.example:8200"}, wantFault{fault.Malformed, "BAO_ADDR: neither https://", "https://vault.example:8200"}},
		{"address without host", "hashivault://tsa", env{"VAULT_ADDR": "https:///x"}, wantFault{fault.Malformed, "no host", "https://"}},
		{"address with a query", "hashivault://tsa", env{"VAULT_ADDR": "https://vault.example/?x=1"}, wantFault{fault.Malformed, "a query", "https://"}},
		{"mount of dots", "hashivault://tsa", env{"VAULT_ADDR": v.URL, "TRANSIT_SECRET_ENGINE_PATH": "transit/../sys"},
			wantFault{fault.Malformed, "TRANSIT_SECRET_ENGINE_PATH", "vault secrets list"}},
		{"nobody listens", "hashivault://tsa", env{"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": "t"},
			wantFault{fault.Unreachable, "connection refused", "VAULT_ADDR"}},
		{"TLS where there is none", "hashivault://tsa", env{"VAULT_ADDR": strings.Replace(v.URL, "http", "https", 1), "VAULT_TOKEN": "t"},
			wantFault{fault.Unreachable, "HTTP", "with http://"}},
		{"token with a line end inside", "hashivault://tsa", env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": "hvs.a\nb"},
			wantFault{fault.Credentials, "VAULT_TOKEN: white space", "nothing else"}},
		{"token too long", "hashivault://tsa", env{"VAULT_ADDR": v.URL, "BAO_TOKEN": strings.Repeat("t", 20_000)},
			wantFault{fault.Credentials, "BAO_TOKEN: more than 16384 bytes", "nothing else"}},
		{"no token file", "hashivault://tsa", env{"VAULT_ADDR": v.URL, "BAO_TOKEN_FILE": "/nonexistent/token"},
			wantFault{fault.Credentials, "BAO_TOKEN_FILE: open /nonexistent/token", "agent"}},
		{"no token at all", "hashivault://tsa", env{"VAULT_ADDR": v.URL}, wantFault{fault.Credentials, "~/.vault-token", "VAULT_TOKEN_FILE"}},
		{"unknown token", "hashivault://tsa", env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": "hvs.unknown"},
			wantFault{fault.Credentials, "the token from VAULT_TOKEN is not accepted", "VAULT_TOKEN_FILE"}},
		{"no such key", "hashivault://none", env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root},
			wantFault{fault.NotFound, `transit key "none" at ` + v.URL + `, mount "transit"`, "vault write -f transit/keys/none"}},
		{"no such key in OpenBao", "openbao://none", env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root},
			wantFault{fault.NotFound, `"none"`, "bao write -f transit/keys/none"}},
		{"no such mount", "hashivault://tsa", env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root, "TRANSIT_SECRET_ENGINE_PATH": "keys"},
			wantFault{fault.NotFound, `mount "keys"`, "secrets enable -path=keys transit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := vault.Config{LookupEnv: tt.env.lookup}
			key, err := vault.Open(t.Context(), uri(t, tt.uri), cfg)
			if err == nil {
				key.Close()
			}
			check(t, err, tt.want)
		})
	}
	if _, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), vault.Config{}); fault.KindOf(err) != fault.Malformed {
		t.Errorf("without an environment: got error %v; want one of kind %s", err, fault.Malformed)
	}
}

// A password in the address is not shown.
func TestAddressPassword(t *testing.T) {
	e := env{"VAULT_ADDR": "http://user:hunter2@127.0.0.1:1/vault", "VAULT_TOKEN": "t"}
	_, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), vault.Config{LookupEnv: e.lookup})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got error %v; want one without the password", err)
	}
}

// Each answer of a server that is not a signature, as Vault 1.13 gives it.
func TestSignErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault vaultfake.Fault
		want  wantFault
	}{
		{"sealed", vaultfake.Fault{Status: 503, Body: `{"errors":["Vault is sealed"]}`}, wantFault{fault.Locked, "Vault is sealed", "unseal"}},
		{"load balancer without a server", vaultfake.Fault{Status: 503, Body: "<html>\x1b[31m503</html>"}, wantFault{fault.Unreachable, "503 Service Unavailable", "log"}},
		{"internal error", vaultfake.Fault{Status: 500, Body: `{"errors":["internal error"]}`}, wantFault{fault.Unreachable, "500 Internal Server Error: internal error", "log"}},
		{"bad gateway", vaultfake.Fault{Status: 502}, wantFault{fault.Unreachable, "502", "log"}},
		{"quota", vaultfake.Fault{Status: 429, Body: `{"errors":["request path: rate limit quota exceeded"]}`}, wantFault{fault.Unreachable, "429", "quota"}},
		{"standby behind", vaultfake.Fault{Status: 412, Body: `{"errors":["required index state not present"]}`}, wantFault{fault.Unreachable, "412", "VAULT_ADDR"}},
		{"performance standby", vaultfake.Fault{Status: 473, Body: `{"errors":[]}`}, wantFault{fault.Unreachable, "473", "standby"}},
		{"a proxy's 401", vaultfake.Fault{Status: 401, Body: "who are you"}, wantFault{fault.Credentials, "401", "in between"}},
		{"a proxy's 403", vaultfake.Fault{Status: 403, Body: "<html>no</html>"}, wantFault{fault.Denied, "403", "not an answer of Vault"}},
		{"a 403 that passes", vaultfake.Fault{Status: 403, Body: `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`},
			wantFault{fault.Denied, "may not do this: 403 Forbidden: permission denied", `path "transit/sign/tsa/*" { capabilities = ["update"] }`}},
		{"token invalid since 1.17", vaultfake.Fault{Status: 403, Body: `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`},
			wantFault{fault.Credentials, "not accepted", "VAULT_TOKEN"}},
		{"version too old", vaultfake.Fault{Status: 500, Body: `{"errors":["1 error occurred:\n\t* requested version for signing is less than the minimum encryption key version\n\n"]}`},
			wantFault{fault.Unfit, "minimum", "vault write transit/keys/tsa/config min_encryption_version=0"}},
		{"version archived", vaultfake.Fault{Status: 500, Body: `{"errors":["1 error occurred:\n\t* no such key version\n\n"]}`},
			wantFault{fault.NotFound, "no such key version", "min_decryption_version=1"}},
		{"version not yet made", vaultfake.Fault{Status: 500, Body: `{"errors":["1 error occurred:\n\t* requested version for signing is higher than the latest key version\n\n"]}`},
			wantFault{fault.NotFound, "higher than the latest", "restart"}},
		{"key deleted", vaultfake.Fault{Status: 400, Body: `{"errors":["encryption key not found"]}`}, wantFault{fault.NotFound, `transit key "tsa"`, "vault write -f"}},
		{"key deleted, newer words", vaultfake.Fault{Status: 400, Body: `{"errors":["signing key not found"]}`}, wantFault{fault.NotFound, `transit key "tsa"`, "vault write -f"}},
		{"another type", vaultfake.Fault{Status: 400, Body: `{"errors":["key type aes256-gcm96 does not support signing"]}`}, wantFault{fault.Unfit, "does not support signing", "ecdsa-p256"}},
		{"another request", vaultfake.Fault{Status: 400, Body: `{"errors":["something else"]}`}, wantFault{fault.Unfit, "400 Bad Request: something else", ""}},
		{"not transit", vaultfake.Fault{Status: 405, Body: `{"errors":["1 error occurred:\n\t* unsupported operation\n\n"]}`}, wantFault{fault.Unfit, "405", "not transit"}},
		{"not Vault", vaultfake.Fault{Status: 404, Body: "404 page not found\n"}, wantFault{fault.Malformed, "404 page not found", "VAULT_ADDR"}},
		{"missing token", vaultfake.Fault{Status: 400, Body: `{"errors":["missing client token"]}`}, wantFault{fault.Credentials, "missing client token", "X-Vault-Token"}},
		{"not initialised", vaultfake.Fault{Status: 503, Body: `{"errors":["Vault is not initialized"]}`}, wantFault{fault.Locked, "initialized", "initialise"}},
		{"not JSON", vaultfake.Fault{Body: "OK"}, wantFault{fault.Malformed, "signature: invalid character", "VAULT_ADDR"}},
		{"no signature", vaultfake.Fault{Body: "{}"}, wantFault{fault.Malformed, "want the form vault:vN:BASE64", "VAULT_ADDR"}},
		{"null", vaultfake.Fault{Body: "null"}, wantFault{fault.Malformed, "want the form vault:vN:BASE64", "VAULT_ADDR"}},
		{"another version", vaultfake.Fault{Version: 2}, wantFault{fault.Malformed, `made with version "2"; want version 1`, ""}},
		{"no base64", vaultfake.Fault{Body: `{"data":{"signature":"vault:v1:*"}}`}, wantFault{fault.Malformed, "illegal base64", ""}},
		{"a line end in base64", vaultfake.Fault{Body: `{"data":{"signature":"vault:v1:QUJD\n"}}`}, wantFault{fault.Malformed, "line end", ""}},
		{"an empty signature", vaultfake.Fault{Mangle: func([]byte) []byte { return nil }}, wantFault{fault.Malformed, "signature: empty", ""}},
		{"an endless answer", vaultfake.Fault{Body: strings.Repeat(" ", 70_000)}, wantFault{fault.Malformed, "more than 65536 bytes", ""}},
		{"an endless error", vaultfake.Fault{Status: 500, Body: strings.Repeat("x", 70_000)}, wantFault{fault.Malformed, "more than 65536 bytes", ""}},
		{"an error with escapes", vaultfake.Fault{Status: 500, Body: `{"errors":["\u001b[31mred\u202e"]}`}, wantFault{fault.Unreachable, `\x1b[31mred\u202e`, ""}},
		{"redirection to nowhere", vaultfake.Fault{Status: 307, Location: "http://127.0.0.1:1/v1/transit/sign/tsa/sha2-256"}, wantFault{fault.Unreachable, "connection refused", ""}},
		{"redirection without a location", vaultfake.Fault{Status: 307}, wantFault{fault.Malformed, "307", "VAULT_ADDR"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := vaultfake.Start(t)
			createKey(t, v, "tsa", "ecdsa-p256")
			key := open(t, v, "tsa")
			tt.fault.On, tt.fault.Times = vaultfake.OnSign, 1
			v.Inject(tt.fault)
			digest := sha256.Sum256(nil)
			signature, err := key.Sign(t.Context(), digest[:], crypto.SHA256)
			if signature != nil {
				t.Error("a signature came with the error")
			}
			check(t, err, tt.want)
			if err := signer.Prove(t.Context(), key, nil); err != nil {
				t.Errorf("it does not recover: %v", err)
			}
		})
	}
}

// The variables that Vault's library reads by itself are refused by it, too.
func TestBadLibraryEnvironment(t *testing.T) {
	v := vaultfake.Start(t)
	for _, tt := range []struct{ name, variable, value string }{
		{"number", "VAULT_MAX_RETRIES", "many"},
		{"headers", "VAULT_HEADERS", "{"},
		{"proxy with a password", "VAULT_PROXY_ADDR", "http://user:passw%rd@proxy.example"},
		{"proxy with a password that ends the host", "VAULT_PROXY_ADDR", "http://user:passw#rd@proxy.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tt.variable, tt.value)
			_, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), config(v))
			check(t, err, wantFault{fault.Malformed, "Vault's environment variables", "unset the VAULT_ variable"})
			if strings.Contains(err.Error(), "passw") {
				t.Errorf("%q shows a password", err)
			}
		})
	}
}

// After a 403 the server is asked what it means, and may be ill by then.
func TestRefusedThenIll(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	key := open(t, v, "tsa")
	v.Inject(vaultfake.Fault{On: vaultfake.OnSign, Times: 1, Status: 403, Body: `{"errors":["permission denied"]}`})
	v.Inject(vaultfake.Fault{On: vaultfake.OnLookup, Times: 1, Status: 500, Body: `{"errors":["internal error"]}`})
	digest := sha256.Sum256(nil)
	_, err := key.Sign(t.Context(), digest[:], crypto.SHA256)
	check(t, err, wantFault{fault.Denied, "403 Forbidden: permission denied (and asking about the token: look up the token", ""})
}

// The salts of PSS: as long as the hash, as long as possible, and a number.
func TestPSS(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "rsa-2048")
	key := open(t, v, "tsa")
	digest := sha256.Sum256(nil)
	for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, rsa.PSSSaltLengthAuto, 20} {
		opts := &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: salt}
		signature, err := key.Sign(t.Context(), digest[:], opts)
		if err != nil {
			t.Errorf("salt %d: %v", salt, err)
			continue
		}
		if err := rsa.VerifyPSS(key.Public().(*rsa.PublicKey), crypto.SHA256, digest[:], signature, opts); err != nil {
			t.Errorf("salt %d: %v", salt, err)
		}
	}
	_, err := key.Sign(t.Context(), digest[:], &rsa.PSSOptions{Hash: crypto.SHA256, SaltLength: -2})
	check(t, err, wantFault{fault.Unsupported, "a PSS salt of -2 bytes", ""})
}

// What the server says when a key is opened.
func TestOpenErrors(t *testing.T) {
	body := func(s string) string { return `{"data":` + s + `}` }
	for _, tt := range []struct {
		name  string
		fault vaultfake.Fault
		want  wantFault
	}{
		{"sealed", vaultfake.Fault{On: vaultfake.OnLookup, Status: 503, Body: `{"errors":["Vault is sealed"]}`}, wantFault{fault.Locked, "sealed", "unseal"}},
		{"lookup answers garbage", vaultfake.Fault{On: vaultfake.OnLookup, Body: "["}, wantFault{fault.Malformed, "look up the token", ""}},
		{"lookup without data", vaultfake.Fault{On: vaultfake.OnLookup, Body: "{}"}, wantFault{fault.Malformed, "no data", ""}},
		{"not JSON", vaultfake.Fault{On: vaultfake.OnRead, Body: "<html>"}, wantFault{fault.Malformed, "the description of the key", "VAULT_ADDR"}},
		{"no data", vaultfake.Fault{On: vaultfake.OnRead, Body: "{}"}, wantFault{fault.Malformed, "no type", ""}},
		{"no such version", vaultfake.Fault{On: vaultfake.OnRead, Body: body(`{"type":"x","supports_signing":true,"latest_version":3}`)}, wantFault{fault.Malformed, "latest version 3", ""}},
		{"no public key", vaultfake.Fault{On: vaultfake.OnRead, Body: body(`{"type":"x","supports_signing":true,"latest_version":1,"keys":{"1":{}}}`)}, wantFault{fault.Malformed, "not one PEM block", ""}},
		{"public key is a number", vaultfake.Fault{On: vaultfake.OnRead, Body: body(`{"type":"x","supports_signing":true,"latest_version":1,"keys":{"1":1}}`)}, wantFault{fault.Malformed, "version 1", ""}},
		{"short Ed25519 key", vaultfake.Fault{On: vaultfake.OnRead, Body: body(`{"type":"x","supports_signing":true,"latest_version":1,"keys":{"1":{"name":"ed25519","public_key":"AAAA"}}}`)}, wantFault{fault.Malformed, "32 bytes", ""}},
		{"P-224", vaultfake.Fault{On: vaultfake.OnRead, Body: body(`{"type":"x","supports_signing":true,"latest_version":1,"keys":{"1":{"public_key":"-----BEGIN PUBLIC KEY-----\nME4wEAYHKoZIzj0CAQYFK4EEACEDOgAEEVaWqxozsyR0k3AhBIo/6g00OetbThq3\nnCImsylI4vVKLEQA+JuOAMrnFK5LI6OKP/7AeYXksTI=\n-----END PUBLIC KEY-----\n"}}}`)}, wantFault{fault.Unfit, `curve "P-224"`, "ecdsa-p256"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := vaultfake.Start(t)
			createKey(t, v, "tsa", "ecdsa-p256")
			v.Inject(tt.fault)
			key, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), config(v))
			if err == nil {
				key.Close()
			}
			check(t, err, tt.want)
		})
	}
}

// A redirection, as of a standby node, is followed once, with token and body.
func TestRedirect(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	active, standby := vaultfake.Start(t), vaultfake.Start(t)
	for _, v := range []*vaultfake.Server{active, standby} {
		v.ImportKey("tsa", "ecdsa-p256", private)
	}
	key := open(t, standby, "tsa")
	there := vaultfake.Fault{On: vaultfake.OnSign, Status: http.StatusTemporaryRedirect, Location: active.URL + "/v1/transit/sign/tsa/sha2-256"}
	standby.Inject(there)
	if err := signer.Prove(t.Context(), key, nil); err != nil {
		t.Errorf("one redirection: %v", err)
	}
	if n := active.Calls(vaultfake.OnSign); n != 1 {
		t.Errorf("%d signatures by the node that the redirection names; want 1", n)
	}
	active.Inject(there)
	digest := sha256.Sum256(nil)
	_, err = key.Sign(t.Context(), digest[:], crypto.SHA256)
	check(t, err, wantFault{fault.Unreachable, "more than one redirection", ""})
}

// A redirection does not lead out of TLS.
func TestRedirectToPlain(t *testing.T) {
	plain, v := vaultfake.Start(t), vaultfake.New()
	createKey(t, v, "tsa", "ecdsa-p256")
	h := httptest.NewTLSServer(v)
	defer h.Close()
	key := openWith(t, "tsa", vault.Config{LookupEnv: env{"VAULT_ADDR": h.URL, "VAULT_TOKEN": v.Root, "VAULT_SKIP_VERIFY": "1"}.lookup})
	v.Inject(vaultfake.Fault{On: vaultfake.OnSign, Status: http.StatusTemporaryRedirect, Location: plain.URL + "/v1/transit/sign/tsa/sha2-256"})
	check(t, signer.Prove(t.Context(), key, nil), wantFault{fault.Unreachable, "a redirection from https to http", ""})
	if n := plain.Calls(""); n != 0 {
		t.Errorf("%d calls without TLS", n)
	}
}

// What is not a standby node does not get the token: a portal that wants a
// login first, say.
func TestRedirectOfAnother(t *testing.T) {
	portal, v := vaultfake.Start(t), vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	key := open(t, v, "tsa")
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther} {
		v.Inject(vaultfake.Fault{On: vaultfake.OnSign, Status: status, Location: portal.URL + "/login", Times: 1})
		check(t, signer.Prove(t.Context(), key, nil), wantFault{fault.Malformed, http.StatusText(status), "what stands in between"})
	}
	if n := portal.Calls(""); n != 0 {
		t.Errorf("%d calls of the portal, with the token", n)
	}
}

func TestSealAndUnseal(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	key := open(t, v, "tsa")
	v.Seal()
	check(t, signer.Prove(t.Context(), key, nil), wantFault{fault.Locked, "sealed", "unseal"})
	v.Unseal()
	if err := signer.Prove(t.Context(), key, nil); err != nil {
		t.Errorf("unsealed: %v", err)
	}
}

// A server that hangs is given up when the context ends, and says so.
func TestHang(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	key := open(t, v, "tsa")
	v.Inject(vaultfake.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	digest := sha256.Sum256(nil)
	_, err := key.Sign(ctx, digest[:], crypto.SHA256)
	check(t, err, wantFault{fault.Unreachable, "did not answer in time", "firewall"})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v; want one that wraps %v", err, context.DeadlineExceeded)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = vault.Open(ctx, uri(t, "hashivault://tsa"), config(v))
	check(t, err, wantFault{fault.Unreachable, "did not answer in time", ""})
	cancelled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := key.Sign(cancelled, digest[:], crypto.SHA256); !errors.Is(err, context.Canceled) || fault.KindOf(err) != "" {
		t.Errorf("cancelled: got error %v; want one that wraps %v and blames nobody", err, context.Canceled)
	}
}

// Whoever has the right to sign is told apart from whoever has a token at all,
// with and without the right to look at the token.
func TestDenied(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	digest := sha256.Sum256(nil)
	for _, tt := range []struct {
		name  string
		paths []string
		open  wantFault // what Open says; the zero value: it succeeds
		sign  wantFault
	}{
		{"may sign", []string{"transit/keys/tsa", "transit/sign/tsa/"}, wantFault{}, wantFault{}},
		{"may not sign", []string{"transit/keys/tsa", "auth/token/"}, wantFault{},
			wantFault{fault.Denied, "the token from VAULT_TOKEN may not do this", `path "transit/sign/tsa/*" { capabilities = ["update"] } and path "transit/keys/tsa" { capabilities = ["read"] } (it has default)`}},
		{"may not sign nor look itself up", []string{"transit/keys/tsa"}, wantFault{},
			wantFault{fault.Denied, "may not do this", `path "transit/sign/tsa/*"`}},
		{"may not read", []string{"transit/sign/tsa/", "auth/token/"},
			wantFault{fault.Denied, "read the key: transit key", `path "transit/keys/tsa" { capabilities = ["read"] }`}, wantFault{}},
		{"may nothing", []string{}, wantFault{fault.Credentials, "is not accepted", "VAULT_TOKEN"}, wantFault{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := v.AddToken(vaultfake.Token{Paths: tt.paths})
			cfg := vault.Config{LookupEnv: env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": token}.lookup}
			key, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), cfg)
			if tt.open != (wantFault{}) {
				if err == nil {
					key.Close()
				}
				check(t, err, tt.open)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer key.Close()
			_, err = key.Sign(t.Context(), digest[:], crypto.SHA256)
			if tt.sign != (wantFault{}) {
				check(t, err, tt.sign)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
