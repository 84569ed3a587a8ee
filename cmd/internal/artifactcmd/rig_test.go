package artifactcmd_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/artifactcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A rig is a machine of somebody who signs and verifies, with a registry and an
// authority. The working directory is its own, and everything is found there:
//
//	key.pem, chain.pem    the signer's
//	tsa.pem               the root of the authority
//	config/               the configuration directory, which trusts both
type rig struct {
	t        *testing.T
	registry *ocitest.Registry
	host     string
	subject  oci.Descriptor
	tsa      *tsptest.TSA
	tsaURL   string
	chain    []*x509.Certificate

	stdin   string
	environ map[string]string
}

// newRig makes one whose signer is bent by opts.
func newRig(t *testing.T, opts notarytest.Options) *rig {
	t.Helper()
	t.Chdir(t.TempDir())
	r := &rig{t: t, registry: ocitest.New(ocitest.Config{}), environ: map[string]string{"FENCEPOST_CONFIG_DIR": "config", "XDG_CACHE_HOME": t.TempDir()}}
	r.host = ocitest.Start(t, r.registry)
	r.subject = r.registry.PutImage("app", "v1")
	tsa, server := tsptest.Serve(t, tsptest.TSAConfig{})
	r.tsa, r.tsaURL = tsa, server.URL+"/"
	r.write("tsa.pem", tsa.RootPEM())

	_, r.chain = notarytest.Chain(t, opts)
	r.write("chain.pem", certificates(r.chain...))
	der, err := x509.MarshalPKCS8PrivateKey(notarytest.Key(t, opts, 0))
	if err != nil {
		t.Fatal(err)
	}
	r.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))

	r.write("config/truststore/x509/ca/app/root.pem", certificates(r.chain[len(r.chain)-1]))
	r.write("config/truststore/x509/tsa/stamps/root.pem", tsa.RootPEM())
	r.policy("strict", nil)
	return r
}

func certificates(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func (r *rig) write(name string, data []byte) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) read(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// policy writes both trust policies, of one statement each that change bends.
func (r *rig) policy(level string, change func(statement map[string]any)) {
	r.t.Helper()
	for name, field := range map[string]string{"trustpolicy.oci.json": "registryScopes", "trustpolicy.blob.json": "globalPolicy"} {
		st := map[string]any{"name": "test", "signatureVerification": map[string]any{"level": level},
			"trustStores": []string{"ca:app", "tsa:stamps"}, "trustedIdentities": []string{"*"}}
		if field == "registryScopes" {
			st[field] = []string{"*"}
		} else {
			st[field] = level != "skip" // which cannot be global
		}
		if level == "skip" {
			delete(st, "trustStores")
			delete(st, "trustedIdentities")
		}
		if change != nil {
			change(st)
		}
		data, err := json.Marshal(map[string]any{"version": "1.0", "trustPolicies": []any{st}})
		if err != nil {
			r.t.Fatal(err)
		}
		r.write(filepath.Join("config", name), data)
	}
}

// image is the reference of the image by its digest.
func (r *rig) image() string { return r.host + "/app@" + r.subject.Digest.String() }

// A result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// run runs "fencepost" with a command line of which IMAGE, TAGGED, HOST, TSA
// and SIGN stand for what differs from run to run, or is long.
func (r *rig) run(line string, more ...string) result {
	r.t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdin: strings.NewReader(r.stdin), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(name string) string { return r.environ[name] }}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(artifactcmd.NewImage(env), artifactcmd.NewBlob(env))
	code := cli.Run(r.t.Context(), env, root, append(r.words(line), more...))
	return result{code, stdout.String(), stderr.String()}
}

func (r *rig) words(line string) []string {
	var out []string
	for _, word := range strings.Fields(line) {
		switch word {
		case "SIGN":
			out = append(out, "--key", "file:key.pem", "--certificate-chain", "chain.pem")
			continue
		case "STAMP":
			out = append(out, "--timestamp-url", r.tsaURL, "--timestamp-root-cert", "tsa.pem", "--timestamp-retries", "0")
			continue
		case "EMPTY":
			out = append(out, "")
			continue
		}
		for _, place := range [][2]string{{"IMAGE", r.image()}, {"TAGGED", r.host + "/app:v1"}, {"HOST", r.host}, {"TSA", r.tsaURL}} {
			word = strings.ReplaceAll(word, place[0], place[1])
		}
		out = append(out, word)
	}
	return out
}

// must runs a command that has to succeed, and returns its standard output.
func (r *rig) must(line string, more ...string) string {
	r.t.Helper()
	got := r.run(line, more...)
	if got.code != 0 {
		r.t.Fatalf("%s %q: exit status %d\n%s%s", line, more, got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

// writes is how often something was stored in the registry.
func (r *rig) writes() int { return r.registry.Count("^(PUT|POST|PATCH|DELETE) ") }

// What differs from run to run, in the order in which it is looked for.
var volatile = []struct {
	expr *regexp.Regexp
	name string
}{
	{regexp.MustCompile(`localhost:[0-9]+`), "HOST"},
	{regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`), "TSA"},
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "FINGERPRINT"},
	{regexp.MustCompile(`0x[0-9a-f]{38,40}\b`), "SERIAL"},
	{regexp.MustCompile(`20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-9]{2} [0-9:]{8} 20[0-9]{2}`), "TIME"},
	{regexp.MustCompile(`fencepost/[^"\s]+`), "fencepost/VERSION"},
	{regexp.MustCompile(`"size": [0-9]+|size: [0-9]+`), "SIZE"},
}

// steady replaces what differs from run to run.
func (r *rig) steady(text string) string {
	text = strings.ReplaceAll(text, r.subject.Digest.String(), "IMAGE-DIGEST")
	for _, v := range volatile {
		text = v.expr.ReplaceAllString(text, v.name)
	}
	return text
}

// golden compares a result with testdata/NAME.txt.
func (r *rig) golden(home, name string, line string, got result) {
	r.t.Helper()
	text := "$ fencepost " + line + "\n" + r.steady(got.stdout)
	if got.stderr != "" {
		text += "--- standard error\n" + r.steady(got.stderr)
	}
	text += "--- exit status " + string(rune('0'+got.code)) + "\n"
	file := filepath.Join(home, "testdata", name+".txt")
	if *update {
		r.write(file, []byte(text))
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	if text != string(want) {
		r.t.Errorf("%s: %s\n got:\n%s\nwant:\n%s", name, line, text, want)
	}
}
