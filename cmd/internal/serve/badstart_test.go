package serve

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// TestBadStart starts with each thing that operators get wrong, and wants to be
// told which thing it is and what to do. The key is one of Vault, which is a
// fake, wherever that makes no difference.
func TestBadStart(t *testing.T) {
	past, future := pkitest.NotBefore().AddDate(1, 0, 0), pkitest.NotAfter().AddDate(-1, 0, 0)
	const vaultTSA = `tsa: {key: "hashivault://tsa", chain: chain.pem, policy: 1.2.3, enforce-intermediate-eku: true, clock: {source: system, bound: 100ms}}` + "\n"
	noEKU := func(c *x509.Certificate) { c.ExtKeyUsage = nil }
	for _, test := range []struct {
		name    string
		opts    pkitest.Options
		text    string // "": vaultTSA
		prepare func(t *testing.T, dir string, v *vaultfake.Server, env map[string]string)
		want    []string // in the error
		hint    string
	}{
		{name: "expired certificate", opts: pkitest.Options{NotAfter: past}, want: []string{"tsa.chain", "chain.pem", "validity"}, hint: "fencepost cert check"},
		{name: "future certificate", opts: pkitest.Options{NotBefore: future}, want: []string{"tsa.chain", "chain.pem", "validity"}, hint: "fencepost cert check"},
		{name: "private key expired", opts: pkitest.Options{PrivateKeyNotAfter: past}, want: []string{"tsa.chain", "leaf-key-period"}, hint: "fencepost cert check"},
		{name: "EKU not critical", opts: pkitest.Options{Leaf: pkitest.EKU(false, "1.3.6.1.5.5.7.3.8")}, want: []string{"leaf-eku-critical"}, hint: "fencepost cert check"},
		{name: "another EKU besides", opts: pkitest.Options{Leaf: pkitest.EKU(true, "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.3")}, want: []string{"leaf-eku-only"}, hint: "fencepost cert check"},
		{name: "leaf is a CA", opts: pkitest.Options{Leaf: func(c *x509.Certificate) { c.IsCA = true }}, want: []string{"leaf-ca"}, hint: "fencepost cert check"},
		{name: "intermediate without EKU", opts: pkitest.Options{Intermediate: noEKU}, want: []string{"issuer-eku", "CN="}, hint: "fencepost cert check"},
		{
			name: "key of another certificate",
			prepare: func(t *testing.T, dir string, v *vaultfake.Server, _ map[string]string) {
				v.ImportKey("tsa", "ecdsa-p256", pkitest.TSA(t, pkitest.Options{Name: "Other"}).LeafKey)
			},
			want: []string{"tsa.key", "tsa"}, hint: "another key",
		},
		{
			name: "missing key", prepare: func(_ *testing.T, _ string, v *vaultfake.Server, _ map[string]string) { v.DeleteKey("tsa") },
			want: []string{"tsa.key", "tsa"}, hint: "make the key",
		},
		{
			name: "expired token", prepare: func(_ *testing.T, _ string, v *vaultfake.Server, env map[string]string) { v.Revoke(env["VAULT_TOKEN"]) },
			want: []string{"tsa.key", "token"}, hint: "token",
		},
		{
			name: "permission denied",
			prepare: func(_ *testing.T, _ string, v *vaultfake.Server, _ map[string]string) {
				v.Inject(vaultfake.Fault{On: "sign", Status: 403, Body: `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`})
			},
			want: []string{"tsa.key", "tsa"}, hint: "transit/sign/tsa",
		},
		{
			name: "RSA-PSS only", opts: pkitest.Options{Key: pkitest.RSA2048},
			prepare: func(t *testing.T, _ string, v *vaultfake.Server, _ map[string]string) {
				v.Inject(vaultfake.Fault{On: "sign", PSS: true})
			},
			want: []string{"tsa.key", "RSA-PSS", "PKCS #1 v1.5"},
		},
		{
			name: "signs with another key", prepare: func(_ *testing.T, _ string, v *vaultfake.Server, _ map[string]string) {
				v.Inject(vaultfake.Fault{On: "sign", OtherKey: true})
			},
			want: []string{"tsa.key"},
		},
		{
			name: "unreachable", prepare: func(_ *testing.T, _ string, _ *vaultfake.Server, env map[string]string) {
				env["VAULT_ADDR"] = "http://127.0.0.1:1" // where nobody listens
			},
			want: []string{"tsa.key", "127.0.0.1:1"}, hint: "VAULT_ADDR",
		},
		{name: "no address", prepare: func(_ *testing.T, _ string, _ *vaultfake.Server, env map[string]string) { delete(env, "VAULT_ADDR") }, want: []string{"VAULT_ADDR"}},
		{name: "sealed", prepare: func(_ *testing.T, _ string, v *vaultfake.Server, _ map[string]string) { v.Seal() }, want: []string{"tsa.key", "sealed"}, hint: "unseal"},
		{
			name: "standby that does not sign", text: strings.Replace(vaultTSA, "policy:", "standby: [{key: 'hashivault://none', chain: chain.pem}], policy:", 1),
			want: []string{"tsa.standby, number 1.key", "none"}, hint: "make the key",
		},
		{
			name: "stamping keys without a CA", text: strings.Replace(vaultTSA, "policy:", "history: history, delegate: {rotate: 24h, validity: 240h}, policy:", 1),
			want: []string{"tsa.chain", "is not that of a CA"}, hint: "--role tsa-ca",
		},
		{
			name: "history that cannot be written", text: strings.Replace(vaultTSA, "policy:", "history: chain.pem, policy:", 1),
			want: []string{"tsa.history", "chain.pem"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, v := t.TempDir(), vaultfake.Start(t)
			writeIdentity(t, dir, test.opts, nil)
			kind := "ecdsa-p256"
			if test.opts.Key == pkitest.RSA2048 {
				kind = "rsa-2048"
			}
			v.ImportKey("tsa", kind, pkitest.TSA(t, test.opts).LeafKey)
			env := map[string]string{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.AddToken(vaultfake.Token{})}
			if test.prepare != nil {
				test.prepare(t, dir, v, env)
			}
			text := test.text
			if text == "" {
				text = vaultTSA
			}
			conf, err := config.Parse(filepath.Join(dir, "fencepost.yaml"), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(t.Context(), conf, Options{LookupEnv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
			if err == nil {
				t.Fatal("it starts")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			hint := cli.HintOf(err)
			if !strings.Contains(hint, test.hint) || hint == "" && test.hint != "" {
				t.Errorf("the hint for %q is %q, want %q in it", err, hint, test.hint)
			}
			if strings.Contains(err.Error()+hint, env["VAULT_TOKEN"]) {
				t.Error("the token is in the message")
			}
		})
	}
}

// What is wrong but does no harm is a warning that says what to do.
func TestChainOutOfOrder(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	chain := pkitest.TSA(t, pkitest.Options{}).Certificates()
	slices.Reverse(chain)
	if err := os.WriteFile(filepath.Join(dir, "chain.pem"), pki.EncodeChain(chain), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Parse(filepath.Join(dir, "fencepost.yaml"), []byte(fileTSA))
	if err != nil {
		t.Fatal(err)
	}
	var warnings []string
	cfg, err := Load(t.Context(), conf, Options{Warn: func(text string) { warnings = append(warnings, text) }})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.TSA.Authority().Chain()[0].IsCA {
		t.Error("the chain begins with a CA")
	}
	if !strings.Contains(strings.Join(warnings, "\n"), "chain.pem is not in order") {
		t.Errorf("warnings: %q", warnings)
	}
}
