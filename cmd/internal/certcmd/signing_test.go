package certcmd_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/opencontainers/go-digest"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/awsfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/gcpcafake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// inOrder reads a chain as it stands in its file.
func inOrder(t *testing.T, file string) []*x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

// signs has a key sign an artifact in both formats of the Notary Project, under
// the chain in a file.
func signs(t *testing.T, uri, file string) {
	t.Helper()
	u, err := signer.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	key, err := kms.Open(t.Context(), u, kms.Config{LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close()
	payload, err := envelope.MarshalPayload(envelope.Target{
		MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest.FromString("an artifact").String(), Size: 11,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range envelope.Formats() {
		// What it returns has been verified.
		if _, err := envelope.Sign(t.Context(), f, envelope.Request{Payload: payload, Key: key, Chain: inOrder(t, file), SigningTime: time.Now()}); err != nil {
			t.Errorf("%s with %s: %v", f, uri, err)
		}
	}
}

// identifies has a trust policy name a signer.
func identifies(t *testing.T, identity string, leaf *x509.Certificate) {
	t.Helper()
	document, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{map[string]any{
		"name": "signer", "globalPolicy": true, "signatureVerification": map[string]any{"level": "strict"},
		"trustStores": []string{"ca:signer"}, "trustedIdentities": []string{identity},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := trustpolicy.ParseFiles(document)
	if err != nil {
		t.Fatal(err)
	}
	statement, err := policy.ForFile("")
	if err != nil {
		t.Fatal(err)
	}
	if err := statement.Identities.Match(leaf); err != nil {
		t.Errorf("%s: %v", identity, err)
	}
}

// One command makes a signer whose chain Notation takes at once, with every kind
// of key that it has.
func TestCreateSigner(t *testing.T) {
	root, intermediate := writeKeyOf(t, signer.P384), writeKeyOf(t, signer.P256)
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.RSA3072, signer.RSA4096} {
		t.Run(string(kind), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "signer")
			now := time.Now()
			args := []string{"create", "--role", "code-signing", "--out", dir, "--key-type", string(kind),
				"--common-name", "Release pipeline", "--organization", "Example, Inc.", "--state", "Berlin", "--country", "DE"}
			if kind != signer.P256 { // the primes of RSA take their time
				args = append(args, "--root-key", root, "--intermediate-key", intermediate)
			}
			out := good(t, args...)
			if want := `x509.subject: CN=Release pipeline,O=Example\, Inc.,ST=Berlin,C=DE (for a trust policy)`; !strings.Contains(out, want) {
				t.Errorf("the answer does not say %q:\n%s", want, out)
			}
			chain := inOrder(t, filepath.Join(dir, "chain.pem"))
			// A timestamp made at once lies within, with an accuracy of minutes.
			for _, at := range []time.Time{now, now.Add(-4 * time.Minute)} {
				if err := corex509.ValidateCodeSigningCertChain(chain, &at); err != nil {
					t.Errorf("notation-core-go at %v: %v", at, err)
				}
			}
			leaf := chain[0]
			if len(chain) != 3 || leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}) {
				t.Errorf("%d certificates; leaf: CA %t, key usage %b, extended %v", len(chain), leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
			}
			_, text, _ := strings.Cut(out, "x509.subject: ")
			text, _, _ = strings.Cut(text, " (for a trust policy)")
			identifies(t, "x509.subject: "+text, leaf)
			signs(t, "file:"+filepath.Join(dir, "key.pem"), filepath.Join(dir, "chain.pem"))
			if d := leaf.NotAfter.Sub(leaf.NotBefore); d > 367*24*time.Hour || d < 364*24*time.Hour {
				t.Errorf("valid for %v, want a year", d)
			}
			out = good(t, "check", "--role", "code-signing", "--key", "file:"+filepath.Join(dir, "key.pem"), filepath.Join(dir, "chain.pem"))
			if !strings.Contains(out, "fit for code-signing") || strings.Contains(out, "warning:") {
				t.Errorf("cert check:\n%s", out)
			}
		})
	}
}

// A CA that there is issues for signers, for one after the other.
func TestSignerBelowCA(t *testing.T) {
	dir := t.TempDir()
	good(t, "create", "--role", "ca", "--out", filepath.Join(dir, "ca"), "--organization", "Example")
	for _, name := range []string{"Alice", "Bob"} {
		out := filepath.Join(dir, name)
		if text := good(t, "create", "--role", "code-signing", "--out", out+" in words"); !strings.Contains(text, "no C, which is mandatory to compare it; give --organization, --state and --country") {
			t.Errorf("nothing says how to have an identity:\n%s", text)
		}
		answer := good(t, "create", "--role", "code-signing", "--out", out, "--common-name", name, "--validity", "90d", "--json",
			"--issuer", filepath.Join(dir, "ca", "chain.pem"), "--issuer-key", "file:"+filepath.Join(dir, "ca", "key.pem"))
		chain := inOrder(t, filepath.Join(out, "chain.pem"))
		now := time.Now()
		if err := corex509.ValidateCodeSigningCertChain(chain, &now); err != nil {
			t.Errorf("notation-core-go: %v", err)
		}
		if d := chain[0].NotAfter.Sub(chain[0].NotBefore); d.Round(time.Hour) != 90*24*time.Hour {
			t.Errorf("valid for %v", d)
		}
		var doc struct{ Role, Identity string }
		if err := json.Unmarshal([]byte(answer), &doc); err != nil || doc.Role != "code-signing" || doc.Identity != "" {
			t.Errorf("answer %+v, %v; want no identity without a country and a state", doc, err)
		}
	}
}

// What Check says of a chain for code signing, Notation does, but for what is
// wrong with the chain for others: what RFC 5280 has, and Notation looks at
// elsewhere or not at all.
func TestAgreesWithNotation(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := corex509.ValidateCodeSigningCertChain(pkitest.CodeSigning(t, pkitest.Options{}).Certificates(), &at); err != nil {
		t.Errorf("a sound chain: %v", err)
	}
	ours := []pki.Rule{pki.RuleCriticalExtension, pki.RuleIssuerEKU}
	for _, h := range pkitest.HostileCodeSigning() {
		chain := pkitest.CodeSigning(t, h.Options).Certificates()
		err := corex509.ValidateCodeSigningCertChain(chain, &at)
		if (err == nil) != slices.Contains(ours, h.Rule) {
			t.Errorf("%s: Notation says %v", h.Name, err)
		}
		if pki.Check(chain, pki.CheckOptions{Role: pki.RoleCodeSigning, Time: at}).Err() == nil {
			t.Errorf("%s: Check says that it is fit", h.Name)
		}
	}
}

func TestSignerRefused(t *testing.T) {
	ed := writeKeyOf(t, signer.Ed25519)
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string // in the message and its hint
	}{
		{"Ed25519 to be made", []string{"--key-type", "ed25519"}, 2, []string{"--key-type ed25519 does not go with --role code-signing", "hint: take p256"}},
		{"Ed25519 that there is", []string{"--key", ed}, 2, []string{"Ed25519", "make a key on P-256"}},
		{"Ed25519 for another CA", []string{"--key", ed, "--csr"}, 2, []string{"--role code-signing", "Ed25519", "make a key on P-256"}},
		{"state beside a request", []string{"--request", "r.pem", "--state", "Berlin"}, 2, []string{"--state"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "out")
			code, stdout, stderr := run(t, append([]string{"create", "--role", "code-signing", "--out", dir}, tt.args...)...)
			if code != tt.code || stdout != "" {
				t.Errorf("exit status %d: %s", code, stdout)
			}
			for _, words := range tt.want {
				if !strings.Contains(stderr, words) {
					t.Errorf("%q is not in %s", words, stderr)
				}
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("something was written")
			}
		})
	}
}

// An RSA key that there is shows that it signs as the role does: by PSS for
// artifacts, by PKCS #1 v1.5 for timestamps.
func TestSignerProof(t *testing.T) {
	s := awsfake.Start(t)
	s.Setenv(t)
	s.AddKey("alias/both", awsfake.RSA3072)
	s.AddKey("alias/pss", awsfake.PSSOnly)
	dir := t.TempDir()
	for _, name := range []string{"both", "pss"} {
		good(t, "create", "--role", "code-signing", "--out", filepath.Join(dir, name), "--key", s.URI("alias/"+name))
		signs(t, s.URI("alias/"+name), filepath.Join(dir, name, "chain.pem"))
	}
	good(t, "create", "--role", "code-signing", "--csr", "--out", filepath.Join(dir, "csr"), "--key", s.URI("alias/pss"))
	data, err := os.ReadFile(filepath.Join(dir, "csr", "request.pem"))
	if err != nil {
		t.Fatal(err)
	}
	req, err := pki.ParseRequest(data)
	if err != nil || req.SignatureAlgorithm != x509.SHA256WithRSAPSS {
		t.Errorf("request %+v, %v; want one signed by PSS", req, err)
	}
	for _, args := range [][]string{{"--key", s.URI("alias/pss")}, {"--role", "code-signing", "--root-key", s.URI("alias/pss")}} {
		out := filepath.Join(dir, "no")
		code, _, stderr := run(t, append([]string{"create", "--out", out}, args...)...)
		if code != 2 || !strings.Contains(stderr, "RSA-PSS signatures only") || !strings.Contains(stderr, "hint: RSA signatures in timestamps and certificates") {
			t.Errorf("%q: %d, %s", args, code, stderr)
		}
		if _, err := os.Stat(out); err == nil {
			t.Error("something was written")
		}
	}

	v := startVault(t)
	if err := v.CreateKey("signer", "rsa-2048"); err != nil {
		t.Fatal(err)
	}
	good(t, "create", "--role", "code-signing", "--out", filepath.Join(dir, "good"), "--key", "hashivault://signer")
	signs(t, "hashivault://signer", filepath.Join(dir, "good", "chain.pem"))
	v.Inject(vaultfake.Fault{On: vaultfake.OnSign, OtherKey: true})
	code, _, stderr := run(t, "create", "--role", "code-signing", "--out", filepath.Join(dir, "vault"), "--key", "hashivault://signer")
	if code != 2 || !strings.Contains(stderr, "did not pass its proof") {
		t.Errorf("a key that signs wrongly: %d, %s", code, stderr)
	}
}

// A key that cannot be certified is refused before Google issues a CA above it.
func TestSignerRefusedBelowGoogle(t *testing.T) {
	ca := gcpcafake.New(t)
	for _, key := range []string{writeKeyOf(t, signer.Ed25519), writeKeyOf(t, signer.P256)} {
		dir := filepath.Join(t.TempDir(), "out")
		code, _, stderr := runGoogle(t, ca, "create", "--role", "code-signing", "--key", key, "--out", dir, "--gcp-ca", gcpcafake.Pool)
		if asked := len(ca.Requests()) > 0; asked != (code == 0) {
			t.Errorf("exit status %d, and Google was asked: %t: %s", code, asked, stderr)
		}
		if code == 0 {
			now := time.Now().Add(time.Second)
			if err := corex509.ValidateCodeSigningCertChain(inOrder(t, filepath.Join(dir, "chain.pem")), &now); err != nil {
				t.Errorf("notation-core-go: %v", err)
			}
		}
	}
	if len(ca.Requests()) != 1 {
		t.Errorf("Google was asked %d times", len(ca.Requests()))
	}
}

// The identity that is shown is one by which a verifier finds the signer: none,
// where the name in a request has what is not compared.
func TestSignerIdentity(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mail := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@example.com"}
	name := func(f func(*pkix.Name)) pkix.Name {
		n := pkix.Name{CommonName: "Signer", Organization: []string{"Example"}, Province: []string{"Berlin"}, Country: []string{"DE"}}
		f(&n)
		return n
	}
	for _, tt := range []struct {
		name    string
		subject pkix.Name
		want    string
	}{
		{"plain", name(func(*pkix.Name) {}), "x509.subject: CN=Signer,O=Example,ST=Berlin,C=DE (for a trust policy)"},
		{"a unit", name(func(n *pkix.Name) { n.OrganizationalUnit = []string{"A"} }), "x509.subject: CN=Signer,O=Example,ST=Berlin,C=DE (for a trust policy)"},
		{"two units", name(func(n *pkix.Name) { n.OrganizationalUnit = []string{"A", "B"} }), "none for a trust policy: the subject has OU twice"},
		{"mail address", name(func(n *pkix.Name) { n.ExtraNames = []pkix.AttributeTypeAndValue{mail} }), "none for a trust policy: the subject has an attribute of the type 1.2.840.113549.1.9.1"},
		{"U+FFFD", name(func(n *pkix.Name) { n.Organization = []string{"a\uFFFDb"} }), "none for a trust policy: "},
		{"no state", name(func(n *pkix.Name) { n.Province = nil }), "none for a trust policy: the subject has no ST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: tt.subject}, key)
			if err != nil {
				t.Fatal(err)
			}
			request, dir := filepath.Join(t.TempDir(), "request.pem"), filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(request, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			out := good(t, "create", "--role", "code-signing", "--request", request, "--out", dir)
			if !strings.Contains(out, tt.want) {
				t.Errorf("the answer does not say %q:\n%s", tt.want, out)
			}
			_, err = trustpolicy.NameOf(inOrder(t, filepath.Join(dir, "chain.pem"))[0])
			if shown := strings.Contains(out, "x509.subject"); shown && err != nil {
				t.Errorf("an identity is shown, and verifiers say %v", err)
			}
		})
	}
}
