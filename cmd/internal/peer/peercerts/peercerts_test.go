package peercerts_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/gcpcafake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercerts"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// run runs the command as main does.
func run(t *testing.T, cfg peercerts.Config, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{Program: "fetch-tsa-certs", Stdout: &out, Stderr: &errs, Getenv: os.Getenv}
	status = cli.Run(t.Context(), env, peercerts.New(env, cfg), peercerts.Args(args))
	return status, out.String(), errs.String()
}

// keyFile makes a key and returns its URI.
func keyFile(t *testing.T, kind signer.KeyType) (uri string, key *signer.Key) {
	t.Helper()
	key, err := signer.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.MarshalPEM(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return "file:" + name, key
}

// readChain reads what was written, and holds it to the rules by which the
// namesake's server starts.
func readChain(t *testing.T, name string, key signer.Signer) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		t.Fatal(err)
	}
	report := pki.Check(chain, pki.CheckOptions{
		Role: pki.RoleTSA, PublicKey: key.Public(), EnforceIntermediateEKU: true, Time: time.Now().Add(2 * time.Second),
	})
	for _, f := range report.Findings {
		if f.Severity >= pki.Warning {
			t.Errorf("finding: %v", f)
		}
	}
	if got := string(pki.EncodeChain(chain)); got != string(data) {
		t.Errorf("the file is not in order, leaf first, or has something else in it:\n%s", data)
	}
	return chain
}

// extension returns whether a certificate has an extension, and whether it is
// critical.
func extension(c *x509.Certificate, id string) (has, critical bool) {
	for _, e := range c.Extensions {
		if e.Id.String() == id {
			return true, e.Critical
		}
	}
	return false, false
}

const (
	keyUsage         = "2.5.29.15"
	basicConstraints = "2.5.29.19"
	extKeyUsage      = "2.5.29.37"
)

// checkProfile holds the two certificates that are made here, or for us, to
// those of the namesake.
func checkProfile(t *testing.T, leaf, parent *x509.Certificate, eku bool) {
	t.Helper()
	if !parent.IsCA || !parent.MaxPathLenZero || parent.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("parent: CA %v, path length 0 %v, key usage %b", parent.IsCA, parent.MaxPathLenZero, parent.KeyUsage)
	}
	if has, critical := extension(parent, extKeyUsage); has != eku || critical != eku {
		t.Errorf("parent: extended key usage %v, critical %v; want %v", has, critical, eku)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) {
		t.Errorf("leaf: CA %v, key usage %b, extended key usage %v", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	for _, id := range []string{keyUsage, extKeyUsage} {
		if _, critical := extension(leaf, id); !critical {
			t.Errorf("leaf: extension %s is not critical", id)
		}
	}
	if _, critical := extension(parent, basicConstraints); !critical {
		t.Error("parent: basicConstraints is not critical")
	}
	if !leaf.NotBefore.Equal(parent.NotBefore) || !leaf.NotAfter.Equal(parent.NotAfter) {
		t.Errorf("the leaf is valid %v to %v, its parent %v to %v", leaf.NotBefore, leaf.NotAfter, parent.NotBefore, parent.NotAfter)
	}
	if len(leaf.SubjectKeyId) == 0 || !bytes.Equal(leaf.AuthorityKeyId, parent.SubjectKeyId) {
		t.Errorf("leaf: key identifiers %x, %x; parent %x", leaf.SubjectKeyId, leaf.AuthorityKeyId, parent.SubjectKeyId)
	}
}

// noGoogle makes every attempt to make a client for Google fail, at once.
func noGoogle(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(t.TempDir(), "none.json"))
}

// TestSelfSigned is the way of those who are not with Google: it needs nothing
// of Google's.
func TestSelfSigned(t *testing.T) {
	noGoogle(t)
	for _, test := range []struct {
		name         string
		parent, leaf signer.KeyType
		args         []string
		subjects     []string
		days         int
	}{
		{"as the namesake's documentation", signer.P256, signer.P256, []string{"--parent-validity=365", "--org-name=example.com"},
			[]string{"CN=sigstore-tsa,O=example.com", "CN=sigstore-tsa-selfsigned,O=example.com"}, 365},
		{"nothing but what is needed", signer.P384, signer.RSA3072, nil,
			[]string{"CN=sigstore-tsa", "CN=sigstore-tsa-selfsigned"}, 7300},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent, _ := keyFile(t, test.parent)
			leaf, key := keyFile(t, test.leaf)
			out := filepath.Join(t.TempDir(), "chain.crt.pem")
			status, stdout, stderr := run(t, peercerts.Config{}, append(test.args,
				"--leaf-kms-resource="+leaf, "--parent-kms-resource", parent, "--output="+out)...)
			if status != 0 || stdout != "" || stderr != "" {
				t.Fatalf("status %d, stdout %q, stderr %q; want 0 and nothing", status, stdout, stderr)
			}
			chain := readChain(t, out, key)
			if len(chain) != 2 {
				t.Fatalf("%d certificates, want 2", len(chain))
			}
			checkProfile(t, chain[0], chain[1], false)
			for i, want := range test.subjects {
				if got := chain[i].Subject.String(); got != want {
					t.Errorf("certificate %d is for %s, want %s", i+1, got, want)
				}
			}
			want := time.Now().AddDate(0, 0, test.days)
			if off := chain[0].NotAfter.Sub(want).Abs(); off > time.Hour {
				t.Errorf("valid until %v, want %v", chain[0].NotAfter, want)
			}
			if off := time.Since(chain[1].NotBefore) - pki.Backdate; off.Abs() > time.Minute {
				t.Errorf("valid from %v, want five minutes ago", chain[1].NotBefore)
			}
			if st, err := os.Stat(out); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v; want that of the namesake, 0600", st.Mode(), err)
			}
		})
	}
}

// TestGoogle is the way of the namesake, by both names of the flag.
func TestGoogle(t *testing.T) {
	ca := gcpcafake.New(t)
	cfg := peercerts.Config{Google: ca.Options()}
	for _, test := range []struct {
		name   string
		args   []string
		length int
	}{
		{"by pool", []string{"--gcp-ca-root=" + gcpcafake.Pool}, 3},
		{"by the documented name", []string{"--gcp-ca-parent=" + gcpcafake.Pool}, 3},
		{"by both names", []string{"--gcp-ca-parent", gcpcafake.Pool, "--gcp-ca-root", gcpcafake.Pool}, 3},
		{"by CA", []string{"--gcp-ca-root=" + gcpcafake.Pool + "/certificateAuthorities/" + gcpcafake.RootCA}, 3},
		{"one dash", []string{"-gcp-ca-root", gcpcafake.Pool, "-parent-validity=30"}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent, _ := keyFile(t, signer.P384)
			leaf, key := keyFile(t, signer.P256)
			out := filepath.Join(t.TempDir(), "chain.crt.pem")
			status, stdout, stderr := run(t, cfg, append(test.args,
				"--leaf-kms-resource="+leaf, "--intermediate-kms-resource="+parent, "--org-name=example.com", "--output="+out)...)
			if status != 0 || stdout != "" || stderr != "" {
				t.Fatalf("status %d, stdout %q, stderr %q; want 0 and nothing", status, stdout, stderr)
			}
			chain := readChain(t, out, key)
			if len(chain) != test.length || !chain[len(chain)-1].Equal(ca.Root()) {
				t.Fatalf("%d certificates, the last for %s", len(chain), chain[len(chain)-1].Subject)
			}
			checkProfile(t, chain[0], chain[1], true)
			if got, want := chain[1].Subject.String(), "CN=sigstore-tsa-intermediate,O=example.com"; got != want {
				t.Errorf("the intermediate is for %s, want %s", got, want)
			}
		})
	}
	last := ca.Requests()[len(ca.Requests())-1]
	if got := last.Certificate.Lifetime.AsDuration(); got != 30*24*time.Hour {
		t.Errorf("asked for %v, want 30 days", got)
	}
}

// TestGoogleRefuses: the hint says what to do, and what was there stays.
func TestGoogleRefuses(t *testing.T) {
	noGoogle(t)
	for _, test := range []struct {
		name  string
		fault gcpcafake.Fault // with "", Google itself, without credentials
		text  string
		hint  string
	}{
		{"no credentials", gcpcafake.None, "none.json", "gcloud auth"},
		{"permission denied", gcpcafake.PermissionDenied, "privateca.certificates.create", "certificateRequester"},
		{"policy drops the purpose", gcpcafake.NoPurpose, "extended key usage", "passthrough"},
		{"other key", gcpcafake.OtherKey, "another key", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var cfg peercerts.Config
			if test.fault != gcpcafake.None {
				ca := gcpcafake.New(t)
				ca.SetFault(test.fault)
				cfg.Google = ca.Options()
			}
			parent, _ := keyFile(t, signer.P256)
			leaf, _ := keyFile(t, signer.P256)
			out := filepath.Join(t.TempDir(), "chain.crt.pem")
			if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			status, stdout, stderr := run(t, cfg, "--gcp-ca-root="+gcpcafake.Pool,
				"--leaf-kms-resource="+leaf, "--parent-kms-resource="+parent, "--output="+out)
			if status == 0 || stdout != "" || !strings.Contains(stderr, test.text) || !strings.Contains(stderr, test.hint) {
				t.Errorf("status %d, stdout %q, stderr %q; want %q and %q", status, stdout, stderr, test.text, test.hint)
			}
			if got, err := os.ReadFile(out); err != nil || string(got) != "old" {
				t.Errorf("the output is %q, %v", got, err)
			}
		})
	}
}

// TestReplaces: an output that is there is replaced, as the namesake does.
func TestReplaces(t *testing.T) {
	parent, _ := keyFile(t, signer.P256)
	leaf, key := keyFile(t, signer.P256)
	out := filepath.Join(t.TempDir(), "chain.crt.pem")
	var before []byte
	for range 2 {
		if status, _, stderr := run(t, peercerts.Config{}, "--leaf-kms-resource="+leaf, "--parent-kms-resource="+parent, "--output="+out); status != 0 {
			t.Fatal(stderr)
		}
		readChain(t, out, key)
		after, err := os.ReadFile(out)
		if err != nil || bytes.Equal(before, after) {
			t.Errorf("the output is what it was (%v)", err)
		}
		before = after
	}
}

func TestJSON(t *testing.T) {
	parent, _ := keyFile(t, signer.P256)
	leaf, _ := keyFile(t, signer.P256)
	out := filepath.Join(t.TempDir(), "chain.crt.pem")
	_, stdout, _ := run(t, peercerts.Config{}, "--json", "--leaf-kms-resource="+leaf, "--parent-kms-resource="+parent, "--output="+out)
	var answer struct {
		Output       string
		Certificates []struct{ Subject string }
	}
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || answer.Output != out || len(answer.Certificates) != 2 {
		t.Errorf("%v: %s", err, stdout)
	}
	_, stdout, _ = run(t, peercerts.Config{}, "--json")
	var failure struct{ Error struct{ Message string } }
	if err := json.Unmarshal([]byte(stdout), &failure); err != nil || !strings.Contains(failure.Error.Message, "--parent-kms-resource") {
		t.Errorf("%v: %s", err, stdout)
	}
}

// TestStandardOutput: the chain and nothing else.
func TestStandardOutput(t *testing.T) {
	parent, _ := keyFile(t, signer.P256)
	leaf, _ := keyFile(t, signer.P256)
	_, stdout, stderr := run(t, peercerts.Config{}, "--leaf-kms-resource="+leaf, "--parent-kms-resource="+parent, "--output=-")
	if chain, err := pki.ParseChain([]byte(stdout)); err != nil || len(chain) != 2 || stderr != "" {
		t.Errorf("%d certificates, %v, stderr %q", len(chain), err, stderr)
	}
}

// TestWarning: what a verifier in wide use refuses is said, and written.
func TestWarning(t *testing.T) {
	parent, _ := keyFile(t, signer.P256)
	leaf, _ := keyFile(t, signer.Ed25519)
	status, stdout, stderr := run(t, peercerts.Config{}, "--leaf-kms-resource="+leaf, "--parent-kms-resource="+parent, "--output=-")
	if status != 0 || !strings.HasPrefix(stdout, "-----BEGIN") || !strings.Contains(stderr, "warning: ") || !strings.Contains(stderr, "Ed25519") {
		t.Errorf("status %d, stdout %.30q, stderr %q", status, stdout, stderr)
	}
}

// TestUsage: what is missing or does not go together is named.
func TestUsage(t *testing.T) {
	const parent, leaf = "--parent-kms-resource=hashivault://parent", "--leaf-kms-resource=hashivault://tsa"
	const tinkKey, keyset = "--tink-kms-resource=gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "--tink-keyset-path=keyset.json"
	const out = "--output=chain.pem"
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", nil, []string{"--parent-kms-resource must be set"}},
		{"no parent", []string{leaf, out}, []string{"--parent-kms-resource must be set"}},
		{"no leaf", []string{parent, out}, []string{"--leaf-kms-resource", "--tink-keyset-path must be set"}},
		{"no output", []string{parent, leaf}, []string{"--output must be set"}},
		{"keyset without key", []string{parent, keyset, out}, []string{"--tink-keyset-path", "--tink-kms-resource"}},
		{"key without keyset", []string{parent, tinkKey, out}, []string{"--tink-keyset-path", "--tink-kms-resource"}},
		{"two leaves", []string{parent, leaf, tinkKey, keyset, out}, []string{"--leaf-kms-resource", "--tink"}},
		{"two parents", []string{parent, "--intermediate-kms-resource=hashivault://other", leaf, out}, []string{"--parent-kms-resource and --intermediate-kms-resource"}},
		{"two pools", []string{parent, leaf, out, "--gcp-ca-root=projects/p/locations/l/caPools/a", "--gcp-ca-parent=projects/p/locations/l/caPools/b"}, []string{"--gcp-ca-root and --gcp-ca-parent"}},
		{"no pool", []string{parent, leaf, out, "--gcp-ca-parent=projects/p"}, []string{"--gcp-ca-parent", "caPools"}},
		{"unknown scheme of the parent", []string{"--parent-kms-resource=yubikms://a", leaf, out}, []string{"--parent-kms-resource", "yubikms"}},
		{"unknown scheme of the leaf", []string{parent, "--leaf-kms-resource=tsa", out}, []string{"--leaf-kms-resource", "scheme"}},
		{"key in memory", []string{parent, "--leaf-kms-resource=memory:p256", out}, []string{"--leaf-kms-resource", "memory"}},
		{"key in a program", []string{"--parent-kms-resource=exec:/usr/bin/sign", leaf, out}, []string{"--parent-kms-resource", "program"}},
		{"unknown scheme of the keyset's key", []string{parent, "--tink-kms-resource=azure-kms://a", keyset, out}, []string{"--tink-kms-resource", "hcvault://"}},
		{"Vault token for Google's key", []string{parent, tinkKey, keyset, "--tink-hcvault-token-file=token", out}, []string{"--tink-hcvault-token-file", "hcvault://"}},
		{"Vault token without a keyset", []string{parent, leaf, "--tink-hcvault-token-file=token", out}, []string{"--leaf-kms-resource", "--tink"}},
		{"no days", []string{parent, leaf, out, "--parent-validity=0"}, []string{"--parent-validity 0"}},
		{"too many days", []string{parent, leaf, out, "--parent-validity=36501"}, []string{"--parent-validity 36501"}},
		{"days of no number", []string{parent, leaf, out, "--parent-validity=1y"}, []string{"--parent-validity"}},
		{"an argument", []string{parent, leaf, out, "chain.pem"}, []string{"chain.pem"}},
		{"an unknown flag", []string{parent, leaf, out, "--gcp-ca"}, []string{"--gcp-ca"}},
		{"JSON and chain on standard output", []string{parent, leaf, "--output=-", "--json"}, []string{"--json and --output"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			status, stdout, stderr := run(t, peercerts.Config{}, test.args...)
			text := stdout + stderr
			if status == 0 || !strings.Contains(text, "fetch-tsa-certs --help") {
				t.Errorf("status %d, %q; want a usage error", status, text)
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("got %q, want %q in it", text, want)
				}
			}
		})
	}
}

// TestRefused: what is found before anything is certified.
func TestRefused(t *testing.T) {
	ca := gcpcafake.New(t)
	cfg := peercerts.Config{Google: ca.Options()}
	parent, _ := keyFile(t, signer.P256)
	leaf, _ := keyFile(t, signer.P256)
	dir := t.TempDir()
	for _, test := range []struct {
		name              string
		parent, leaf, out string
		want              string
	}{
		{"no key of the parent", "file:" + dir + "/none.pem", leaf, dir + "/chain.pem", "the key of the parent: "},
		{"no key of the leaf", parent, "file:" + dir + "/none.pem", dir + "/chain.pem", "the key of the leaf: "},
		{"one key", parent, parent, dir + "/chain.pem", "the parent and the leaf have one key"},
		{"no directory", parent, leaf, dir + "/none/chain.pem", "there is no directory"},
		{"output is a directory", parent, leaf, dir, "is a directory"},
		{"output below a file", parent, leaf, strings.TrimPrefix(leaf, "file:") + "/chain.pem", "not a directory"},
		{"output is a key", parent, leaf, strings.TrimPrefix(leaf, "file:"), "is an input"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, _, stderr := run(t, cfg, "--gcp-ca-root="+gcpcafake.Pool,
				"--leaf-kms-resource="+test.leaf, "--parent-kms-resource="+test.parent, "--output="+test.out)
			if status == 0 || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, %q; want %q", status, stderr, test.want)
			}
		})
	}
	if n := len(ca.Requests()); n != 0 {
		t.Errorf("Google was asked %d times", n)
	}
}

func TestArgs(t *testing.T) {
	for _, test := range []struct{ args, want []string }{
		{nil, []string{}},
		{[]string{"-output=a", "--org-name", "b"}, []string{"--output=a", "--org-name", "b"}},
		{[]string{"-output", "-org-name", "-org-name=b"}, []string{"--output", "-org-name", "--org-name=b"}},
		{[]string{"-h", "-help"}, []string{"-h", "--help"}},
		{[]string{"-nope", "-output"}, []string{"-nope", "--output"}},
		{[]string{"--", "-output=a"}, []string{"--", "-output=a"}},
	} {
		if got := peercerts.Args(test.args); !slices.Equal(got, test.want) {
			t.Errorf("Args(%q) = %q, want %q", test.args, got, test.want)
		}
	}
}

// TestFlags: each flag of the namesake, or of its documentation, is a flag
// here, of the same type and with the same default.
func TestFlags(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("testdata", "fetch-tsa-certs.flags"))
	if err != nil {
		t.Fatal(err)
	}
	flags := peercerts.New(new(cli.Env), peercerts.Config{}).Flags()
	n := 0
	for line := range strings.Lines(string(list)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		name, kind, value := field[1], field[2], strings.TrimPrefix(field[3], "-")
		n++
		if f := flags.Lookup(name); f == nil {
			t.Errorf("no flag --%s", name)
		} else if f.Value.Type() != kind || f.DefValue != value {
			t.Errorf("--%s is a %s with the default %q, want %s, %q", name, f.Value.Type(), f.DefValue, kind, value)
		}
	}
	if n != 10 {
		t.Errorf("%d flags in the list", n)
	}
}
