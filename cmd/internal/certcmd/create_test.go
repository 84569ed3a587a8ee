package certcmd_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// good runs a command that has to succeed, and returns its answer.
func good(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := run(t, args...)
	if code != 0 {
		t.Fatalf("cert %q: exit status %d: %s%s", args, code, stdout, stderr)
	}
	return stdout
}

func writeKeyOf(t *testing.T, keyType signer.KeyType) string {
	t.Helper()
	key, err := signer.Generate(keyType)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.MarshalPEM(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return "file:" + write(t, "key.pem", string(text))
}

// Each role has its chain, of new keys and of keys that there are.
func TestCreateRoles(t *testing.T) {
	for _, test := range []struct {
		role         string
		certificates int
		names        []string
	}{
		{"tsa", 3, []string{"CN=Timestamp Authority,O=local", "CN=Timestamp Authority Issuing CA,O=local", "CN=Timestamp Authority Root CA,O=local"}},
		{"ca", 2, []string{"CN=Signing CA,O=local", "CN=Signing Root CA,O=local"}},
		{"tsa-ca", 2, []string{"CN=Timestamp CA,O=local", "CN=Timestamp Root CA,O=local"}},
		{"code-signing", 3, []string{"CN=Signer,O=local", "CN=Signer Issuing CA,O=local", "CN=Signer Root CA,O=local"}},
		{"log", 3, []string{"CN=Transparency Log,O=local", "CN=Transparency Log Issuing CA,O=local", "CN=Transparency Log Root CA,O=local"}},
	} {
		t.Run(test.role, func(t *testing.T) {
			dir := t.TempDir()
			fresh, given, ca := filepath.Join(dir, "new"), filepath.Join(dir, "given"), filepath.Join(dir, "ca")
			good(t, "create", "--role", test.role, "--out", fresh, "--keep-ca-keys", ca, "--root-crl-url", "http://crl.example/r.crl",
				"--policy-oid", "2.23.140.1.4.2", "--root-ca-issuer-url", "http://ca.example/r.cer")
			chain := readChain(t, filepath.Join(fresh, "chain.pem"))
			if len(chain) != test.certificates {
				t.Fatalf("%d certificates, want %d", len(chain), test.certificates)
			}
			for i, name := range test.names {
				if got := chain[i].Subject.String(); got != name {
					t.Errorf("certificate %d is that of %s, want %s", i, got, name)
				}
			}
			below := chain[len(chain)-2]
			if len(below.CRLDistributionPoints) != 1 || len(below.IssuingCertificateURL) != 1 {
				t.Errorf("below the root: CRL %v, issuer at %v", below.CRLDistributionPoints, below.IssuingCertificateURL)
			}
			for i, c := range chain[:len(chain)-1] {
				if len(c.Policies) != 1 {
					t.Errorf("certificate %d has the policies %v", i, c.Policies)
				}
			}
			if entries, err := os.ReadDir(ca); err != nil || len(entries) != test.certificates-1 {
				t.Errorf("keys of CAs: %v, %v", entries, err)
			}
			out := good(t, "check", "--role", test.role, "--key", "file:"+filepath.Join(fresh, "key.pem"), filepath.Join(fresh, "chain.pem"))
			if !strings.Contains(out, "fit for "+test.role) || strings.Contains(out, "warning:") || strings.Contains(out, "NOT FIT") {
				t.Errorf("cert check:\n%s", out)
			}

			// The same with every key from elsewhere: none is written.
			args := []string{"create", "--role", test.role, "--out", given, "--key", writeKeyOf(t, signer.P384),
				"--root-key", "file:" + filepath.Join(ca, "root-key.pem")}
			if test.certificates == 3 {
				args = append(args, "--intermediate-key", "file:"+filepath.Join(ca, "intermediate-key.pem"))
			}
			out = good(t, args...)
			if strings.Contains(out, "not kept") || strings.Contains(out, "made now") {
				t.Errorf("cert create says that keys were made:\n%s", out)
			}
			again := readChain(t, filepath.Join(given, "chain.pem"))
			for i := 1; i < len(chain); i++ {
				if !sameKey(again[i].PublicKey, chain[i].PublicKey) {
					t.Errorf("certificate %d is not for the key that was given", i)
				}
			}
			if entries, _ := os.ReadDir(given); len(entries) != 2 {
				t.Errorf("files made: %v, want two", entries)
			}
		})
	}
}

// A further issuing CA, below the root that there is.
func TestCreateCABelowIssuer(t *testing.T) {
	dir := t.TempDir()
	good(t, "create", "--role", "ca", "--out", filepath.Join(dir, "1"), "--keep-ca-keys", filepath.Join(dir, "ca"))
	good(t, "create", "--role", "ca", "--out", filepath.Join(dir, "2"), "--issuer", filepath.Join(dir, "1", "root.pem"),
		"--issuer-key", "file:"+filepath.Join(dir, "ca", "root-key.pem"), "--common-name", "Second CA", "--crl-url", "http://crl.example/r.crl")
	first, second := readChain(t, filepath.Join(dir, "1", "chain.pem")), readChain(t, filepath.Join(dir, "2", "chain.pem"))
	if len(second) != 2 || !second[1].Equal(first[1]) || len(second[0].CRLDistributionPoints) != 1 {
		t.Errorf("the second chain has %d certificates, and its first names %v", len(second), second[0].CRLDistributionPoints)
	}
	// The issuing CA itself has a path length of 0.
	code, _, stderr := run(t, "create", "--role", "ca", "--out", filepath.Join(dir, "3"), "--issuer", filepath.Join(dir, "1", "chain.pem"),
		"--issuer-key", "file:"+filepath.Join(dir, "1", "key.pem"))
	if code != 2 || !strings.Contains(stderr, "allows no further CA") {
		t.Errorf("a CA below the issuing CA: %d, %s", code, stderr)
	}
}

// A certificate for a key of which only the public half is here.
func TestCreateForPublicKey(t *testing.T) {
	key := pkitest.Key(t, pkitest.RSA3072, "leaf")
	text, err := pki.EncodePublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "out")
	out := good(t, "create", "--out", dir, "--public-key", write(t, "pub.pem", string(text)), "--key-type", "rsa2048", "--keep-ca-keys", filepath.Join(dir, "ca"))
	if !strings.Contains(out, "nobody has shown that they hold the other") {
		t.Errorf("answer:\n%s", out)
	}
	chain := readChain(t, filepath.Join(dir, "chain.pem"))
	if !sameKey(chain[0].PublicKey, key.Public()) {
		t.Error("the certificate is for another key")
	}
	if _, err := os.Stat(filepath.Join(dir, "key.pem")); err == nil {
		t.Error("a private key was made")
	}
	for name, content := range map[string]string{"a private key is in the file": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no public key found": ""} {
		code, _, stderr := run(t, "create", "--out", filepath.Join(t.TempDir(), "o"), "--public-key", write(t, "pub.pem", content))
		if code != 2 || !strings.Contains(stderr, name) {
			t.Errorf("exit status %d: %s, want %q", code, stderr, name)
		}
	}
}

// A request goes to a CA of ours, which takes the name and the key only.
func TestCreateRequest(t *testing.T) {
	for _, role := range []string{"tsa", "tsa-ca", "ca", "log"} {
		t.Run(role, func(t *testing.T) {
			dir := t.TempDir()
			asks, answers := filepath.Join(dir, "asks"), filepath.Join(dir, "answers")
			out := good(t, "create", "--csr", "--role", role, "--out", asks, "--common-name", "Example 1", "--organization", "Example", "--country", "DE", "--json")
			var asked struct{ Role, Key, Request, Subject string }
			if err := json.Unmarshal([]byte(out), &asked); err != nil {
				t.Fatal(err)
			}
			if asked.Role != role || asked.Subject != "CN=Example 1,O=Example,C=DE" {
				t.Errorf("answer: %s", out)
			}
			key := openKey(t, asked.Key)
			if entries, _ := os.ReadDir(asks); len(entries) != 2 {
				t.Errorf("files made: %v, want two", entries)
			}
			out = good(t, "create", "--role", role, "--out", answers, "--request", asked.Request)
			if !strings.Contains(out, "which signed the request") {
				t.Errorf("answer:\n%s", out)
			}
			chain := readChain(t, filepath.Join(answers, "chain.pem"))
			if got := chain[0].Subject.String(); got != asked.Subject || !sameKey(chain[0].PublicKey, key.Public()) {
				t.Errorf("certified: %s", got)
			}
			good(t, "check", "--role", role, "--key", asked.Key, filepath.Join(answers, "chain.pem"))
		})
	}
}

// A request by somebody who wants something else, or is somebody else.
func TestCreateForRequest(t *testing.T) {
	dir := t.TempDir()
	good(t, "create", "--csr", "--role", "ca", "--out", filepath.Join(dir, "ca"))
	request := filepath.Join(dir, "ca", "request.pem")
	code, _, stderr := run(t, "create", "--out", filepath.Join(dir, "tsa"), "--request", request)
	if code != 0 || !strings.Contains(stderr, "asks for extensions that the certificate does not have so: basicConstraints, keyUsage, extKeyUsage") {
		t.Errorf("a request for a CA, answered with a leaf: %d, %s", code, stderr)
	}
	text, err := os.ReadFile(request)
	if err != nil {
		t.Fatal(err)
	}
	req, err := pki.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(req.Raw)
	forged[len(forged)-1] ^= 1
	code, _, stderr = run(t, "create", "--out", filepath.Join(dir, "forged"), "--request", write(t, "forged.csr", string(forged)))
	if code != 2 || !strings.Contains(stderr, "not made with the key of the request") {
		t.Errorf("a forged request: %d, %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "forged")); err == nil {
		t.Error("something was made for a forged request")
	}
}

// A chain below a CA for something else is not written.
func TestCreateWritesNothingUnfit(t *testing.T) {
	dir := t.TempDir()
	good(t, "create", "--role", "ca", "--out", filepath.Join(dir, "ca"))
	out := filepath.Join(dir, "tsa")
	code, _, stderr := run(t, "create", "--role", "tsa", "--out", out, "--issuer", filepath.Join(dir, "ca", "chain.pem"), "--issuer-key", "file:"+filepath.Join(dir, "ca", "key.pem"))
	if code != 2 || !strings.Contains(stderr, "not fit, and nothing was written") || !strings.Contains(stderr, "hint: have it issued again with the extended key usage timeStamping") {
		t.Errorf("a timestamp authority below a CA for code signing: %d, %s", code, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the directory was made")
	}
}

// Every rule is explained in JSON, with what came of it.
func TestCheckExplains(t *testing.T) {
	for _, test := range []struct {
		role  pki.Role
		chain *pkitest.Chain
	}{{pki.RoleTSA, pkitest.TSA(t, pkitest.Options{})}, {pki.RoleTSACA, pkitest.TSACA(t, pkitest.Options{})}, {pki.RoleCA, pkitest.CA(t, pkitest.Options{})}, {pki.RoleCodeSigning, pkitest.CodeSigning(t, pkitest.Options{})}, {pki.RoleLog, pkitest.Log(t, pkitest.Options{})}} {
		out := good(t, "check", "--role", string(test.role), "--at", "2026-01-01", "--explain", "--json", write(t, "chain.pem", string(test.chain.PEM())))
		var answer struct {
			Rules []struct{ Rule, Summary, Clause, Outcome string }
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			t.Fatal(err)
		}
		if got, want := len(answer.Rules), len(pki.Rules(test.role)); got != want {
			t.Errorf("%s: %d rules, want %d", test.role, got, want)
		}
		for _, r := range answer.Rules {
			want := map[string]string{"leaf-key": "not applied", "revocation": "note", "leaf-lifetime": "note", "leaf-key-period": "note"}[r.Rule]
			if test.role != pki.RoleTSA && r.Rule == "leaf-key-period" || want == "" {
				want = "holds"
			}
			if r.Summary == "" || r.Clause == "" || r.Outcome != want {
				t.Errorf("%s: %+v, want the outcome %q", test.role, r, want)
			}
		}
	}
}
