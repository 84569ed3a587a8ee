package certcmd_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/certcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/gcpcafake"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// runGoogle is run with a fake of Google CA Service.
func runGoogle(t *testing.T, ca *gcpcafake.Server, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdout: &out, Stderr: &errs, Getenv: os.Getenv}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(certcmd.Group(env, ca.Options()))
	code = cli.Run(t.Context(), env, root, append([]string{"cert"}, args...))
	return code, out.String(), errs.String()
}

// TestCreateBelowGoogle: a CA at Google issues the intermediate, and for the
// roles of CAs the service's own certificate.
func TestCreateBelowGoogle(t *testing.T) {
	ca := gcpcafake.New(t)
	for _, test := range []struct {
		role   string
		args   []string
		length int
		names  []string // of what is not Google's own
		years  int      // about how long the first is valid
	}{
		{"tsa", []string{"--intermediate-key", writeKeyOf(t, signer.P384)}, 3,
			[]string{"CN=Timestamp Authority,O=local", "CN=Timestamp Authority Issuing CA,O=local"}, 10},
		{"tsa", []string{"--validity", "1y", "--intermediate-validity", "5y", "--keep-ca-keys", filepath.Join(t.TempDir(), "ca"), "--country", "DE"}, 3,
			[]string{"CN=Timestamp Authority,O=local,C=DE", "CN=Timestamp Authority Issuing CA,O=local,C=DE"}, 1},
		{"log", nil, 3, []string{"CN=Transparency Log,O=local", "CN=Transparency Log Issuing CA,O=local"}, 10},
		{"ca", []string{"--validity", "3y", "--key", writeKeyOf(t, signer.P256)}, 2, []string{"CN=Signing CA,O=local"}, 3},
		{"tsa-ca", nil, 2, []string{"CN=Timestamp CA,O=local"}, 10},
	} {
		t.Run(test.role+" "+strings.Join(test.args, " "), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			code, stdout, stderr := runGoogle(t, ca, append([]string{"create", "--role", test.role, "--out", dir, "--gcp-ca", gcpcafake.Pool}, test.args...)...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit status %d: %s%s", code, stdout, stderr)
			}
			chain := readChain(t, filepath.Join(dir, "chain.pem"))
			if len(chain) != test.length || !chain[len(chain)-1].Equal(ca.Root()) {
				t.Fatalf("%d certificates up to %s, want %d", len(chain), chain[len(chain)-1].Subject, test.length)
			}
			for i, want := range test.names {
				if got := chain[i].Subject.String(); got != want {
					t.Errorf("certificate %d is that of %s, want %s", i+1, got, want)
				}
			}
			if off := chain[0].NotAfter.Sub(time.Now().AddDate(test.years, 0, 0)).Abs(); off > time.Hour {
				t.Errorf("valid until %v, want %d years", chain[0].NotAfter, test.years)
			}
			report := pki.Check(chain, pki.CheckOptions{Role: pki.Role(test.role), Time: time.Now().Add(time.Second), EnforceIntermediateEKU: true})
			for _, f := range report.Findings {
				if f.Severity >= pki.Warning {
					t.Errorf("finding: %v", f)
				}
			}
			if root := readChain(t, filepath.Join(dir, "root.pem")); len(root) != 1 || !root[0].Equal(ca.Root()) {
				t.Error("root.pem is not Google's root")
			}
		})
	}
}

// TestCreateBelowGoogleRefused: Google's refusal has its hint, and what cannot
// go together is refused before anything is asked.
func TestCreateBelowGoogleRefused(t *testing.T) {
	pool := "--gcp-ca=" + gcpcafake.Pool
	for _, test := range []struct {
		name  string
		fault gcpcafake.Fault
		args  []string
		asked bool
		want  []string
	}{
		{"permission denied", gcpcafake.PermissionDenied, []string{pool}, true, []string{"privateca.certificates.create", "hint: ", "certificateRequester"}},
		{"purpose dropped", gcpcafake.NoPurpose, []string{pool}, true, []string{"extended key usage", "issuance policy"}},
		{"no pool", gcpcafake.None, []string{"--gcp-ca=tsa"}, false, []string{"--gcp-ca", "caPools"}},
		{"other issuer", gcpcafake.None, []string{pool, "--issuer=chain.pem", "--issuer-key=file:key.pem"}, false, []string{"--issuer does not go with --gcp-ca"}},
		{"own root", gcpcafake.None, []string{pool, "--root-key=file:key.pem"}, false, []string{"--root-key does not go with --gcp-ca"}},
		{"list of the root", gcpcafake.None, []string{pool, "--root-crl-url=http://crl.example/"}, false, []string{"--root-crl-url does not go with --gcp-ca"}},
		{"request for another CA", gcpcafake.None, []string{pool, "--csr"}, false, []string{"--gcp-ca does not go with --csr"}},
		{"CA with a public key", gcpcafake.None, []string{pool, "--role=ca", "--public-key=key.pem"}, false, []string{"--public-key does not go with --gcp-ca and --role ca"}},
		{"CA with a list", gcpcafake.None, []string{pool, "--role=ca", "--crl-url=http://crl.example/"}, false, []string{"--crl-url does not go with --gcp-ca and --role ca"}},
		{"list without the key", gcpcafake.None, []string{pool, "--crl-url=http://crl.example/"}, false, []string{"revocation list", "--keep-ca-keys"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			ca := gcpcafake.New(t)
			ca.SetFault(test.fault)
			dir := filepath.Join(t.TempDir(), "out")
			code, stdout, stderr := runGoogle(t, ca, append([]string{"create", "--out", dir}, test.args...)...)
			if code != cli.ExitUnknown || stdout != "" {
				t.Errorf("exit status %d, %q", code, stdout)
			}
			for _, want := range test.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("got %q, want %q in it", stderr, want)
				}
			}
			if asked := len(ca.Requests()) > 0; asked != test.asked {
				t.Errorf("Google was asked: %v", asked)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("something was written")
			}
		})
	}
}
