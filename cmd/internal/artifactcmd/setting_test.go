package artifactcmd_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestSigningKeys: keys by name, as Notation keeps them.
func TestSigningKeys(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.write("config/signingkeys.json", []byte(`{"default":"release","keys":[
		{"name":"release","keyPath":"key.pem","certPath":"chain.pem"},
		{"name":"broken","keyPath":"none.pem","certPath":"chain.pem"},
		{"name":"kms","id":"https://example.vault.azure.net/keys/k/1","pluginName":"azure-kv"}]}`))
	r.must("image sign IMAGE")
	r.must("image sign -k release IMAGE")
	r.environ["FENCEPOST_KEY"] = "release"
	r.must("image sign IMAGE")
	r.environ["FENCEPOST_KEY"] = "broken"
	if got := r.run("image sign IMAGE"); got.code != 2 || !strings.Contains(got.stderr, "none.pem") {
		t.Errorf("the variable did not count: %+v", got)
	}
	r.must("image sign -k release IMAGE") // the flag wins
	if got := r.run("image sign -k kms IMAGE"); got.code != 2 || !strings.Contains(got.stderr, "azurekms://example.vault.azure.net/k/1") {
		t.Errorf("a key of a plugin: %+v", got)
	}
	if got := r.run("image sign -k release --certificate-chain chain.pem IMAGE"); got.code != 2 || !strings.Contains(got.stderr, "file:release") {
		t.Errorf("a name with a chain: %+v", got)
	}
}

// TestConfigDirectory: which directory counts, and that Notation's works.
func TestConfigDirectory(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.must("image sign SIGN STAMP IMAGE")
	for _, name := range []string{"flag", "notation", "home/.config/fencepost"} {
		if err := os.CopyFS(name, os.DirFS("config")); err != nil {
			t.Fatal(err)
		}
	}
	// Notation 1.x has the policy under another name.
	if err := os.Rename("notation/trustpolicy.oci.json", "notation/trustpolicy.json"); err != nil {
		t.Fatal(err)
	}
	bad := func(name string) { r.write(name+"/trustpolicy.oci.json", []byte("{")) }
	for _, row := range []struct {
		environ map[string]string
		line    string
		bad     []string // directories that must not be looked at
	}{
		{map[string]string{"FENCEPOST_CONFIG_DIR": "config", "NOTATION_CONFIG": "notation"}, "image verify --config-dir flag IMAGE", []string{"config"}},
		{map[string]string{"NOTATION_CONFIG": "notation", "HOME": "home"}, "image verify IMAGE", []string{"home/.config/fencepost"}},
		{map[string]string{"XDG_CONFIG_HOME": "", "HOME": "home"}, "image verify IMAGE", nil},
	} {
		var kept [][]byte
		for _, name := range row.bad {
			kept = append(kept, r.read(name+"/trustpolicy.oci.json"))
			bad(name)
		}
		r.environ = row.environ
		r.environ["XDG_CACHE_HOME"] = t.TempDir()
		r.must(row.line)
		for i, name := range row.bad {
			r.write(name+"/trustpolicy.oci.json", kept[i])
		}
	}
	r.environ = map[string]string{}
	if got := r.run("image verify IMAGE"); got.code != 2 || !strings.Contains(got.stderr, "--config-dir") {
		t.Errorf("without a home: %+v", got)
	}
}

// TestConfigFile: what config.json settles.
func TestConfigFile(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.write("config/config.json", []byte(`{"signatureFormat":"cose"}`))
	if out := r.must("image sign SIGN --json IMAGE"); !strings.Contains(out, `"application/cose"`) {
		t.Errorf("the format of config.json did not count: %s", out)
	}
	if out := r.must("image sign SIGN --json --signature-format jws IMAGE"); !strings.Contains(out, `"application/jose+json"`) {
		t.Errorf("the flag did not count: %s", out)
	}
	// localhost is spoken to by plain HTTP, other names are not.
	other := strings.Replace(r.host, "localhost", "127.0.0.1", 1)
	list := "image list " + other + "/app:v1"
	if got := r.run(list); got.code != 2 || !strings.Contains(got.stderr, "does not speak TLS") || !strings.Contains(got.stderr, "--insecure-registry") {
		t.Errorf("without TLS: %+v", got)
	}
	r.must(list + " --insecure-registry")
	r.write("config/config.json", fmt.Appendf(nil, `{"insecureRegistries":[%q]}`, other))
	r.must(list)
	r.write("config/config.json", []byte(`{"insecureRegistries":["elsewhere.example"]}`))
	if got := r.run(list); got.code != 2 {
		t.Errorf("the exception of another host counted: %+v", got)
	}
	r.write("config/config.json", []byte(`{"insecureRegistries":"all"}`))
	if got := r.run("image list IMAGE"); got.code != 2 || !strings.Contains(got.stderr, "config.json") {
		t.Errorf("an invalid config.json: %+v", got)
	}
}

// TestPassword: where credentials come from.
func TestPassword(t *testing.T) {
	for _, tokens := range []bool{false, true} {
		r := newRig(t, notarytest.Options{})
		r.registry.Configure(func(c *ocitest.Config) { c.Username, c.Password, c.Tokens = "joe", "secret", tokens })
		if got := r.run("image list IMAGE"); got.code != 2 || !strings.Contains(got.stderr, "docker login") {
			t.Errorf("anonymous: %+v", got)
		}
		r.stdin = "secret\n"
		r.must("image sign SIGN STAMP --username joe --password-stdin IMAGE")
		r.stdin = "secret"
		r.must("image verify -u joe --password-stdin IMAGE")
		r.stdin = "wrong\n"
		got := r.run("image list -u joe --password-stdin IMAGE")
		if got.code != 2 || !strings.Contains(got.stderr, "not accepted") || strings.Contains(got.stderr, "wrong") {
			t.Errorf("a wrong password: %+v", got)
		}
		r.stdin = ""
		r.environ["FENCEPOST_PASSWORD"] = "secret"
		r.must("image list --username joe IMAGE")
		delete(r.environ, "FENCEPOST_PASSWORD")

		r.environ["DOCKER_CONFIG"] = "docker"
		auth := base64.StdEncoding.EncodeToString([]byte("joe:secret"))
		r.write("docker/config.json", fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, r.host, auth))
		r.must("image inspect IMAGE")
	}
}

// TestLayout: the same in a directory as in a registry.
func TestLayout(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	subject := ocitest.WriteLayout(t, "layout", "v1")
	r.policy("strict", func(st map[string]any) {
		if _, ok := st["registryScopes"]; ok {
			st["registryScopes"] = []string{"registry.example/app"}
		}
	})
	if got := r.run("image verify --oci-layout --scope registry.example/app layout:v1"); got.code != 1 {
		t.Errorf("not signed: %+v", got)
	}
	out := r.must("image sign SIGN STAMP --oci-layout layout:v1")
	if !strings.Contains(out, "Successfully signed layout@"+subject.Digest.String()) {
		t.Errorf("%s", out)
	}
	at := "layout@" + subject.Digest.String()
	r.must("image restamp STAMP --oci-layout " + at)
	out = r.must("image verify --oci-layout --scope registry.example/app " + at)
	if !strings.Contains(out, "Successfully verified signature for "+at) || !strings.Contains(out, "It was stamped") {
		t.Errorf("%s", out)
	}
	if got := r.run("image verify --oci-layout --scope registry.example/other " + at); got.code != 2 || !strings.Contains(got.stderr, "registry.example/other") {
		t.Errorf("another scope: %+v", got)
	}
	if out = r.must("image list --json --oci-layout " + at); strings.Count(out, `"digest"`) != 2 {
		t.Errorf("%s", out)
	}
	if out = r.must("image inspect --oci-layout " + at); strings.Count(out, "timestamp signature") != 2 {
		t.Errorf("%s", out)
	}
	if n := len(r.registry.Requests()); n != 0 {
		t.Errorf("%d requests to a registry", n)
	}
}

// TestOldRegistry: no referrers API, or one that gets types wrong.
func TestOldRegistry(t *testing.T) {
	for _, row := range []struct {
		cfg   ocitest.Config
		flags string
		tag   bool
	}{
		{ocitest.Config{NoReferrers: true}, "", true},
		{ocitest.Config{ConfigTypes: true}, "", false},
		{ocitest.Config{}, " --force-referrers-tag", true},
	} {
		r := newRig(t, notarytest.Options{})
		r.registry.Configure(func(c *ocitest.Config) { *c = row.cfg })
		r.must("image sign SIGN STAMP IMAGE" + row.flags)
		r.must("image restamp STAMP IMAGE" + row.flags)
		r.must("image verify IMAGE")
		if out := r.must("image list --json IMAGE"); strings.Count(out, `"digest"`) != 2 {
			t.Errorf("%+v: %s", row.cfg, out)
		}
		tag := strings.Replace(r.subject.Digest.String(), ":", "-", 1)
		if there := r.registry.Manifest("app", tag) != nil; there != row.tag {
			t.Errorf("%+v: an index under a tag: %t, want %t", row.cfg, there, row.tag)
		}
	}
}

// TestFallback: a second authority stamps where the first does not, which is
// told.
func TestFallback(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.write("other.pem", r.tsa.RootPEM())
	r.tsa.Script(tsptest.Unavailable)
	got := r.run("image sign SIGN STAMP --timestamp-url TSA --json IMAGE")
	var answer struct {
		Timestamp *struct{ Authority string }
		Warnings  []string
	}
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil || got.code != 0 {
		t.Fatal(err, got)
	}
	if answer.Timestamp == nil || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], "503") || !strings.Contains(got.stderr, "warning: timestamp: no-answer: ") {
		t.Errorf("%+v\n%s", answer, got.stderr)
	}
	r.must("image verify IMAGE")
}

// TestUncovered: a certificate so fresh that its signature will not verify.
func TestUncovered(t *testing.T) {
	for {
		begin := time.Now().Truncate(time.Second)
		r := newRig(t, notarytest.Options{NotBefore: begin})
		got := r.run("image sign SIGN STAMP IMAGE")
		if got.code != 0 {
			t.Fatal(got)
		}
		if time.Since(begin) >= time.Second {
			continue // the interval may have begun later
		}
		if !strings.Contains(got.stderr, "warning: this signature will not verify where timestamps are asked for: the signature may have been stamped at") {
			t.Errorf("no warning:\n%s", got.stderr)
		}
		if got := r.run("image verify IMAGE"); got.code != 1 || !strings.Contains(got.stderr, "before certificate") {
			t.Errorf("verified: %+v", got)
		}
		return
	}
}

// TestAtTimes: another time than now.
func TestAtTimes(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.must("image sign SIGN STAMP IMAGE")
	for _, row := range []struct {
		at     string
		stores []string
		code   int
	}{
		{"2049-12-31T23:59:59Z", []string{"ca:app"}, 0},
		{"2050-01-01T00:00:01Z", []string{"ca:app"}, 1},
		{"2050-01-01T00:00:01Z", []string{"ca:app", "tsa:stamps"}, 0},
		{"2019-12-31T23:59:59Z", []string{"ca:app"}, 1},
		{"2020-01-01T01:00:00+01:00", []string{"ca:app"}, 0},
		{"2020-01-01T01:00:00+02:00", []string{"ca:app"}, 1},
	} {
		r.policy("strict", func(st map[string]any) { st["trustStores"] = row.stores })
		if got := r.run("image verify IMAGE --at " + row.at); got.code != row.code {
			t.Errorf("%s, %v: exit status %d, want %d\n%s", row.at, row.stores, got.code, row.code, got.stderr)
		}
	}
}

// TestOffline: lists at hand, and nobody else.
func TestOffline(t *testing.T) {
	opts := notarytest.Options{OCSP: []string{"http://127.0.0.1:1/ocsp"}}
	r := newRig(t, opts)
	r.must("image sign SIGN STAMP IMAGE")
	for i, revoked := range []bool{false, false, true} {
		issuer := min(i+1, 2)
		cfg := pki.CRLConfig{Issuer: r.chain[issuer], IssuerKey: notarytest.Key(t, opts, issuer), Number: big.NewInt(1),
			ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
		if revoked {
			cfg.Revoked = []pki.Revocation{{Serial: r.chain[1].SerialNumber, Time: time.Now().Add(-time.Minute), Reason: pki.ReasonKeyCompromise}}
		}
		list, err := pki.CreateCRL(cfg)
		if err != nil {
			t.Fatal(err)
		}
		r.write([]string{"leaf.crl", "issuer.crl", "revoked.crl"}[i], list)
	}
	for _, row := range []struct {
		flags string
		code  int
		error string
		hint  string
	}{
		{"", 2, "connection refused", "list of the certificate's issuer with --crl FILE"},
		{"--offline", 2, "revocation of a certificate is not known", "--crl FILE"},
		{"--offline --crl leaf.crl", 2, "revocation of a certificate is not known", "--crl FILE"},
		{"--offline --crl leaf.crl --crl issuer.crl", 0, "", ""},
		{"--no-cache --crl leaf.crl --crl issuer.crl", 0, "", ""},
		{"--offline --crl leaf.crl --crl revoked.crl", 1, "was revoked on", ""},
		{"--offline --crl none.crl", 2, "none.crl: no such file", ""},
		{"--offline --crl chain.pem", 2, "chain.pem: ", ""},
	} {
		got := r.run("image verify IMAGE " + row.flags)
		message, hint := said(got.stderr)
		if got.code != row.code || !strings.Contains(message, row.error) || !strings.Contains(hint, row.hint) {
			t.Errorf("%q: exit status %d, want %d\n%s", row.flags, got.code, row.code, got.stderr)
		}
	}
}

// TestRestamp: one of several, by its digest; the old one stays.
func TestRestamp(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	var first struct{ Signature string }
	if err := json.Unmarshal([]byte(r.must("image sign SIGN --json IMAGE")), &first); err != nil {
		t.Fatal(err)
	}
	r.must("image sign SIGN --signature-format cose IMAGE")
	if got := r.run("image verify IMAGE"); got.code != 1 || !strings.Contains(got.stderr, "none of the 2 signatures is verified: no timestamp countersignature") {
		t.Errorf("without a timestamp: %+v", got)
	}
	out := r.must("image restamp STAMP IMAGE --signature " + first.Signature)
	if !strings.Contains(out, "Successfully restamped the signature of "+r.image()) || !strings.Contains(out, "It is stamped between") {
		t.Errorf("%s", out)
	}
	var verified struct {
		Verified   bool
		Signatures []struct {
			Signature string
			Verified  bool
		}
	}
	if err := json.Unmarshal([]byte(r.must("image verify --json IMAGE")), &verified); err != nil {
		t.Fatal(err)
	}
	if !verified.Verified || len(verified.Signatures) != 3 || verified.Signatures[0].Verified || verified.Signatures[0].Signature != first.Signature || !verified.Signatures[2].Verified {
		t.Errorf("%+v", verified)
	}
}

// TestBlobFiles: where signatures of files are, and what is never written over.
func TestBlobFiles(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.write("file.txt", []byte("a file\n"))
	r.write("sigs/keep", nil)
	r.must("blob sign SIGN STAMP --signature-directory sigs --media-type text/plain -m build=7 file.txt")
	r.must("blob verify -s sigs/file.txt.jws.sig --media-type text/plain -m build=7 file.txt")
	r.must("blob sign SIGN --signature-directory sigs --force --signature-format cose file.txt")
	r.must("blob restamp STAMP --out sigs/new.cose.sig sigs/file.txt.cose.sig")
	r.must("blob verify --policy-name test -s sigs/new.cose.sig file.txt")
	before := r.read("sigs/file.txt.jws.sig")
	if got := r.run("blob sign SIGN --signature-directory sigs file.txt"); got.code != 2 || !slices.Equal(r.read("sigs/file.txt.jws.sig"), before) {
		t.Errorf("written over: %+v", got)
	}
	r.must("blob sign SIGN --signature-directory sigs --force file.txt")
	if slices.Equal(r.read("sigs/file.txt.jws.sig"), before) {
		t.Error("--force has replaced nothing")
	}
	r.write("file.txt", []byte("another file\n"))
	if got := r.run("blob verify -s sigs/new.cose.sig file.txt"); got.code != 1 {
		t.Errorf("an altered file: %+v", got)
	}
}

// TestLayoutsAreNotMade: a directory is not made a layout by signing into it.
func TestLayoutsAreNotMade(t *testing.T) {
	r := newRig(t, notarytest.Options{})
	r.write("folder/file", []byte("x"))
	got := r.run("image sign SIGN --oci-layout folder:v1")
	if got.code != 2 || !strings.Contains(got.stderr, "oci-layout") {
		t.Errorf("%+v", got)
	}
	if entries, err := os.ReadDir("folder"); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}
