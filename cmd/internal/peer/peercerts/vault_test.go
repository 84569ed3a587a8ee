package peercerts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/awsfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/gcpcafake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercerts"
	"github.com/fencepost-tsa/fencepost/signer"
)

// openURI opens a key with the environment of the test.
func openURI(t *testing.T, text string) *kms.Key {
	t.Helper()
	u, err := signer.ParseURI(text)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kms.Open(t.Context(), u, kms.Config{LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// startVault starts a fake of Vault with the keys of the documentation.
func startVault(t *testing.T) *vaultfake.Server {
	t.Helper()
	v := vaultfake.Start(t)
	for name, kind := range map[string]string{"parent": "ecdsa-p384", "tsa": "ecdsa-p256"} {
		if err := v.CreateKey(name, kind); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("VAULT_ADDR", v.URL)
	t.Setenv("VAULT_TOKEN", v.Root)
	return v
}

// TestVault has both keys in (a fake of) Vault, without Google and with it.
func TestVault(t *testing.T) {
	noGoogle(t)
	startVault(t)
	ca := gcpcafake.New(t)
	for _, test := range []struct {
		name   string
		cfg    peercerts.Config
		args   []string
		length int
	}{
		{"self-signed", peercerts.Config{}, nil, 2},
		{"certified by Google", peercerts.Config{Google: ca.Options()}, []string{"--gcp-ca-root=" + gcpcafake.Pool}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "chain.pem")
			status, _, stderr := run(t, test.cfg, append(test.args, "--parent-kms-resource=hashivault://parent",
				"--leaf-kms-resource=hashivault://tsa", "--org-name=Example", "--output="+out)...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d, %q", status, stderr)
			}
			if chain := readChain(t, out, openURI(t, "hashivault://tsa")); len(chain) != test.length {
				t.Errorf("%d certificates, want %d", len(chain), test.length)
			}
		})
	}
}

// TestVaultFaults: nothing is certified for or by a key that is not as it
// should be, and the message says which.
func TestVaultFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*vaultfake.Server)
		want  []string
	}{
		{"no parent", func(v *vaultfake.Server) { v.DeleteKey("parent") }, []string{"the key of the parent", "hint: "}},
		{"no leaf", func(v *vaultfake.Server) { v.DeleteKey("tsa") }, []string{"the key of the leaf", "hint: "}},
		{"sealed", func(v *vaultfake.Server) { v.Seal() }, []string{"the key of the parent", "sealed"}},
		{"token expired", func(v *vaultfake.Server) { v.Revoke(v.Root) }, []string{"the key of the parent", "hint: "}},
		{"another key signs", func(v *vaultfake.Server) { v.Inject(vaultfake.Fault{OtherKey: true}) }, []string{"the key of the parent", "hashivault://parent", "another key"}},
		{"r and s, not DER", func(v *vaultfake.Server) { v.Inject(vaultfake.Fault{P1363: true}) }, []string{"the key of the parent"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := startVault(t)
			test.spoil(v)
			ca := gcpcafake.New(t)
			out := filepath.Join(t.TempDir(), "chain.pem")
			status, _, stderr := run(t, peercerts.Config{Google: ca.Options()}, "--gcp-ca-root="+gcpcafake.Pool,
				"--parent-kms-resource=hashivault://parent", "--leaf-kms-resource=hashivault://tsa", "--output="+out)
			if status == 0 {
				t.Error("it was done")
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("got %q, want %q in it", stderr, want)
				}
			}
			if _, err := os.Stat(out); err == nil || ca.Issued() != 0 {
				t.Errorf("something was written (%v), or %d certificates issued", err, ca.Issued())
			}
		})
	}
}

// A parent that makes other signatures than those of certificates, by RSA-PSS,
// is found out before Google is asked for its certificate.
func TestParentSignsByPSS(t *testing.T) {
	s := awsfake.Start(t)
	s.Setenv(t)
	s.AddKey("alias/pss", awsfake.PSSOnly)
	s.AddKey("alias/tsa", awsfake.ECCP256)
	ca := gcpcafake.New(t)
	out := filepath.Join(t.TempDir(), "chain.pem")
	status, _, stderr := run(t, peercerts.Config{Google: ca.Options()}, "--gcp-ca-root="+gcpcafake.Pool,
		"--parent-kms-resource="+s.URI("alias/pss"), "--leaf-kms-resource="+s.URI("alias/tsa"), "--output="+out)
	if status == 0 || !strings.Contains(stderr, "RSA-PSS signatures only") || !strings.Contains(stderr, "the key of the parent") {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if _, err := os.Stat(out); err == nil || ca.Issued() != 0 {
		t.Errorf("something was written (%v), or %d certificates issued", err, ca.Issued())
	}
}
