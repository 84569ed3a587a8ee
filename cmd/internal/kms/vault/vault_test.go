package vault_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/vault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// TestMain keeps the environment and the home directory of whoever runs the
// tests out of them: Vault's library reads both.
func TestMain(m *testing.M) {
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "VAULT_") || strings.HasPrefix(name, "BAO_") {
			os.Unsetenv(name)
		}
	}
	os.Exit(inHome(m.Run))
}

// inHome runs f with a home directory of its own, one for all tests: the
// library remembers the first it sees.
func inHome(f func() int) int {
	home, err := os.MkdirTemp("", "vault-home")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(home)
	os.Setenv("HOME", home)
	return f()
}

// env is an environment for Config.LookupEnv.
type env map[string]string

func (e env) lookup(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

// config is one that reaches a fake as root.
func config(v *vaultfake.Server) vault.Config {
	return vault.Config{LookupEnv: env{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}.lookup}
}

func uri(tb testing.TB, s string) signer.URI {
	tb.Helper()
	u, err := signer.ParseURI(s)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func createKey(tb testing.TB, v *vaultfake.Server, name, kind string) {
	tb.Helper()
	if err := v.CreateKey(name, kind); err != nil {
		tb.Fatal(err)
	}
}

func openWith(tb testing.TB, name string, cfg vault.Config) *vault.Key {
	tb.Helper()
	key, err := vault.Open(tb.Context(), uri(tb, "hashivault://"+name), cfg)
	if err != nil {
		tb.Fatalf("open %s: %v", name, err)
	}
	tb.Cleanup(func() { key.Close() })
	return key
}

func open(tb testing.TB, v *vaultfake.Server, name string) *vault.Key {
	tb.Helper()
	return openWith(tb, name, config(v))
}

// transitTypes are the engine's types that sign, the RSA ones with the size of
// key that they have.
var transitTypes = []string{"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048", "rsa-3072", "rsa-4096"}

func TestConformance(t *testing.T) {
	v := vaultfake.Start(t)
	for _, kind := range transitTypes {
		t.Run(kind, func(t *testing.T) {
			createKey(t, v, kind, kind)
			open := func(t *testing.T) signer.Signer { return open(t, v, kind) }
			signertest.Run(t, open)
			if strings.HasPrefix(kind, "rsa-") {
				signertest.RunPSS(t, open)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	faulty := func(f vaultfake.Fault) func(*testing.T) signer.Signer {
		return func(t *testing.T) signer.Signer {
			v := vaultfake.Start(t)
			createKey(t, v, "tsa", "ecdsa-p256")
			key := open(t, v, "tsa")
			f.On = vaultfake.OnSign
			v.Inject(f)
			return key
		}
	}
	signertest.RunFaults(t, signertest.Faults{
		Dead: func(t *testing.T) signer.Signer {
			v := vaultfake.New()
			createKey(t, v, "tsa", "ecdsa-p256")
			h := httptest.NewServer(v)
			v.URL = h.URL
			key := open(t, v, "tsa")
			h.CloseClientConnections()
			h.Close()
			return key
		},
		WrongKey: faulty(vaultfake.Fault{OtherKey: true}),
		Garbage:  faulty(vaultfake.Fault{Mangle: func([]byte) []byte { return []byte("garbage") }}),
		Hangs:    faulty(vaultfake.Fault{Hang: true}),
	})
}

// What a proxy in between may do to signatures is seen by the proof.
func TestProof(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		fault      vaultfake.Fault
		want       string
	}{
		{"PSS only", "rsa-2048", vaultfake.Fault{PSS: true}, "PSS"},
		{"r||s", "ecdsa-p256", vaultfake.Fault{P1363: true}, "DER"},
		{"another key", "ed25519", vaultfake.Fault{OtherKey: true}, "another key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := vaultfake.Start(t)
			createKey(t, v, "tsa", tt.kind)
			key := open(t, v, "tsa")
			if err := signer.Prove(t.Context(), key, nil); err != nil {
				t.Fatalf("a good key: %v", err)
			}
			tt.fault.On = vaultfake.OnSign
			v.Inject(tt.fault)
			err := signer.Prove(t.Context(), key, nil)
			if !errors.Is(err, signer.ErrProof) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v; want ErrProof, and a word of %q", err, tt.want)
			}
		})
	}
}

func TestOpenBao(t *testing.T) {
	v := vaultfake.Start(t)
	v.SetMount("team/transit")
	createKey(t, v, "tsa.2", "ed25519")
	cfg := vault.Config{LookupEnv: env{
		"BAO_ADDR": v.URL, "BAO_TOKEN": v.Root, "BAO_NAMESPACE": "tsa", "TRANSIT_SECRET_ENGINE_PATH": "/team/transit/",
	}.lookup}
	key, err := vault.Open(t.Context(), uri(t, "openbao://tsa.2"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	if err := signer.Prove(t.Context(), key, nil); err != nil {
		t.Error(err)
	}
	if got := v.LastHeader().Get("X-Vault-Namespace"); got != "tsa" {
		t.Errorf("namespace: got %q; want %q", got, "tsa")
	}
	if !key.HonoursContext() {
		t.Error("it does not say that it honours contexts")
	}
}

// The peer's order: VAULT_ before BAO_, and an empty variable counts as unset.
func TestTwinOrder(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	for _, tt := range []struct {
		name string
		env  env
	}{
		{"VAULT_ wins", env{"VAULT_ADDR": v.URL, "BAO_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": v.Root, "BAO_TOKEN": "other"}},
		{"empty is unset", env{"VAULT_ADDR": "", "BAO_ADDR": v.URL, "VAULT_TOKEN": "", "BAO_TOKEN": v.Root}},
		{"a token before its file", env{"VAULT_ADDR": v.URL, "BAO_TOKEN": v.Root, "VAULT_TOKEN_FILE": "/nonexistent"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			openWith(t, "tsa", vault.Config{LookupEnv: tt.env.lookup})
		})
	}
}

func TestVersions(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	first := open(t, v, "tsa")
	if err := v.Rotate("tsa"); err != nil {
		t.Fatal(err)
	}
	second := open(t, v, "tsa")
	if first.Version() != 1 || second.Version() != 2 {
		t.Fatalf("versions %d and %d; want 1 and 2", first.Version(), second.Version())
	}
	// The open key signs with the version that it was opened with.
	for _, key := range []*vault.Key{first, second} {
		if err := signer.Prove(t.Context(), key, nil); err != nil {
			t.Errorf("version %d: %v", key.Version(), err)
		}
	}
	cfg := config(v)
	cfg.Want = first.Public()
	if again := openWith(t, "tsa", cfg); again.Version() != 1 || !first.Public().(*ecdsa.PublicKey).Equal(again.Public()) {
		t.Errorf("got version %d; want 1, whose public key is wanted", again.Version())
	}
}

func TestUnfitVersions(t *testing.T) {
	v := vaultfake.Start(t)
	for _, kind := range []string{"aes256-gcm96", "chacha20-poly1305", "ecdsa-p256", "ed25519"} {
		createKey(t, v, kind, kind)
	}
	createKey(t, v, "archived", "ecdsa-p256")
	first := open(t, v, "archived").Public()
	for range 3 {
		if err := v.Rotate("archived"); err != nil {
			t.Fatal(err)
		}
	}
	configure := func(name string, s vaultfake.KeySettings) {
		t.Helper()
		if err := v.Configure(name, s); err != nil {
			t.Fatal(err)
		}
	}
	configure("archived", vaultfake.KeySettings{MinDecryption: 2})
	configure("ed25519", vaultfake.KeySettings{Derived: true})
	createKey(t, v, "minimum", "ecdsa-p256")
	old := open(t, v, "minimum").Public()
	if err := v.Rotate("minimum"); err != nil {
		t.Fatal(err)
	}
	configure("minimum", vaultfake.KeySettings{MinEncryption: 2})

	for _, tt := range []struct {
		name, key string
		want      crypto.PublicKey
		text      string
		hint      string
	}{
		{"does not sign", "aes256-gcm96", nil, `type "aes256-gcm96" does not sign`, "ecdsa-p256"},
		{"does not sign either", "chacha20-poly1305", nil, "does not sign", "ecdsa-p256"},
		{"derived", "ed25519", nil, "derived", "without derived=true"},
		{"another key", "ecdsa-p256", old, "none of its versions (1) has the public key", "certificate"},
		{"archived", "archived", first, "none of its versions (2-4)", "min_decryption_version=1"},
		{"below the minimum", "minimum", old, "version 1 is below min_encryption_version 2", "min_encryption_version=0"},
		{"not a key", "ecdsa-p256", "text", "type string", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(v)
			cfg.Want = tt.want
			key, err := vault.Open(t.Context(), uri(t, "hashivault://"+tt.key), cfg)
			if err == nil {
				key.Close()
			}
			check(t, err, wantFault{fault.Unfit, tt.text, tt.hint})
		})
	}
}

// wantFault is what an error has to be: its kind, and a part of its text and
// of its hint.
type wantFault struct {
	kind       fault.Kind
	text, hint string
}

func check(t *testing.T, err error, want wantFault) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	t.Logf("%v\n\thint: %s", err, fault.HintOf(err))
	if got := fault.KindOf(err); got != want.kind {
		t.Errorf("kind: got %q; want %q (%v)", got, want.kind, err)
	}
	if !strings.Contains(err.Error(), want.text) {
		t.Errorf("text: got %q; want a part %q", err, want.text)
	}
	if got := fault.HintOf(err); !strings.Contains(got, want.hint) || got == "" && want.hint != "" {
		t.Errorf("hint: got %q; want a part %q", got, want.hint)
	}
	if strings.Contains(err.Error(), "hvs.") || strings.ContainsAny(err.Error()+fault.HintOf(err), "\n\r\x1b") {
		t.Errorf("a token, or more than one line: %q", err)
	}
}

func TestTLS(t *testing.T) {
	v := vaultfake.New()
	createKey(t, v, "tsa", "ecdsa-p256")
	h := httptest.NewUnstartedServer(v)
	h.EnableHTTP2 = true
	h.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	h.StartTLS()
	defer h.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pemBytes, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	base := env{"VAULT_ADDR": h.URL, "VAULT_TOKEN": v.Root}
	with := func(name, value string) env {
		e := env{name: value}
		for k, v := range base {
			e[k] = v
		}
		return e
	}
	for _, e := range []env{with("VAULT_CACERT", ca), with("BAO_CACERT", ca), with("BAO_CACERT_BYTES", string(pemBytes)), with("BAO_SKIP_VERIFY", "true")} {
		key := openWith(t, "tsa", vault.Config{LookupEnv: e.lookup})
		if err := signer.Prove(t.Context(), key, nil); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		name string
		env  env
		want wantFault
	}{
		{"unknown CA", base, wantFault{fault.Unreachable, "certificate signed by unknown authority", "VAULT_CACERT"}},
		{"no such CA file", with("VAULT_CACERT", "/nonexistent"), wantFault{fault.Malformed, "/nonexistent", "VAULT_CACERT"}},
		{"half a client certificate", with("BAO_CLIENT_CERT", ca), wantFault{fault.Malformed, "client key", "VAULT_CLIENT_KEY"}},
		{"skip maybe", with("VAULT_SKIP_VERIFY", "maybe"), wantFault{fault.Malformed, "VAULT_SKIP_VERIFY", "unset"}},
		{"TLS asked in plain", env{"VAULT_ADDR": strings.Replace(h.URL, "https", "http", 1), "VAULT_TOKEN": v.Root},
			wantFault{fault.Malformed, "400", "with https://"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vault.Open(t.Context(), uri(t, "hashivault://tsa"), vault.Config{LookupEnv: tt.env.lookup})
			check(t, err, tt.want)
		})
	}
}

// The server asks for a client certificate.
func TestClientCertificate(t *testing.T) {
	v := vaultfake.New()
	createKey(t, v, "tsa", "ecdsa-p256")
	h := httptest.NewUnstartedServer(v)
	h.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	h.StartTLS()
	defer h.Close()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	der, err := x509.MarshalPKCS8PrivateKey(h.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: h.Certificate().Raw},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := env{"VAULT_ADDR": h.URL, "VAULT_TOKEN": v.Root, "VAULT_CACERT": certFile, "BAO_CLIENT_CERT": certFile, "BAO_CLIENT_KEY": keyFile}
	openWith(t, "tsa", vault.Config{LookupEnv: e.lookup})
}

func TestSignRefusesAndCloses(t *testing.T) {
	v := vaultfake.Start(t)
	createKey(t, v, "tsa", "ecdsa-p256")
	key := open(t, v, "tsa")
	digest := sha256.Sum256(nil)
	before := v.Calls(vaultfake.OnSign)
	if _, err := key.Sign(t.Context(), digest[:31], crypto.SHA256); err == nil {
		t.Error("a short digest was signed")
	}
	if n := v.Calls(vaultfake.OnSign) - before; n != 0 {
		t.Errorf("%d calls for a digest that is refused", n)
	}
	for range 2 {
		if err := key.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := key.Sign(t.Context(), digest[:], crypto.SHA256); fault.KindOf(err) != fault.Unfit {
		t.Errorf("after Close: got error %v; want one of kind %s", err, fault.Unfit)
	}
}
