package peercli_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// run runs "timestamp-cli ARGS" with an environment.
func run(t *testing.T, vars map[string]string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{Program: "timestamp-cli", Stdin: strings.NewReader("myblob\n"), Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string { return vars[name] }}
	status = cli.Run(t.Context(), env, peercli.New(env), args)
	return status, out.String(), errs.String()
}

func data(name string) string { return filepath.Join("testdata", name) }

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestJSON holds the JSON of inspect and verify against what the namesake
// wrote about the same files.
func TestJSON(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		golden string
	}{
		{"inspect", []string{"inspect", "--timestamp", data("full.tsr")}, "full.inspect.json"},
		{"inspect, no nonce, no certificate", []string{"inspect", "--timestamp", data("bare.tsr")}, "bare.inspect.json"},
		{"verify", []string{"verify", "--timestamp", data("full.tsr"), "--artifact", data("blob"), "--certificate-chain", data("chain.pem")}, "full.verify.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := run(t, nil, append(test.args, "--format", "json")...)
			if status != 0 || stderr != "" {
				t.Fatalf("exit status %d: %s", status, stderr)
			}
			got, want := decode(t, []byte(stdout)), decode(t, read(t, data(test.golden)))
			if p, ok := want["TimestampPath"].(string); ok {
				want["TimestampPath"] = data(p) // it was recorded beside the file
			}
			contains(t, "", got, want)
		})
	}
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // serial numbers have 160 bits
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// contains reports what is not in got as it is in want. A later Go may write
// more fields of a certificate; none may go.
func contains(t *testing.T, path string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		m, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %v, want an object", path, got)
			return
		}
		for key, value := range want {
			if _, ok := m[key]; !ok {
				t.Errorf("%s.%s is missing", path, key)
				continue
			}
			contains(t, path+"."+key, m[key], value)
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			t.Errorf("%s is %v, want %v", path, got, want)
			return
		}
		for i := range want {
			contains(t, fmt.Sprintf("%s[%d]", path, i), list[i], want[i])
		}
	default:
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

// TestFlags: each flag of the namesake, as its own help shows it, is a flag
// here, of the same type and with the same default.
func TestFlags(t *testing.T) {
	root := peercli.New(new(cli.Env))
	n := 0
	for line := range strings.Lines(string(read(t, data("timestamp-cli.flags")))) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		field := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		command, name, kind, value := field[0], field[1], field[2], field[3]
		n++
		flags := root.PersistentFlags()
		if command != "-" {
			flags = find(t, root, command).Flags()
		}
		f := flags.Lookup(name)
		if f == nil {
			t.Errorf("%s: there is no --%s", command, name)
			continue
		}
		if got := f.Value.Type(); got != kind {
			t.Errorf("%s --%s is a %s, want %s", command, name, got, kind)
		}
		if got := defaultOf(f); got != value {
			t.Errorf("%s --%s is %s by default, want %s", command, name, got, value)
		}
		if f.Usage == "" {
			t.Errorf("%s --%s has no help", command, name)
		}
	}
	if n < 20 {
		t.Errorf("only %d flags are listed", n)
	}
}

func find(t *testing.T, root *cobra.Command, name string) *cobra.Command {
	t.Helper()
	cmd, _, err := root.Find([]string{name})
	if err != nil {
		t.Fatal(err)
	}
	return cmd
}

func defaultOf(f *pflag.Flag) string {
	if f.DefValue == "" || f.DefValue == "false" {
		return "-"
	}
	return f.DefValue
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	chain := read(t, data("chain.pem"))
	certs, err := pki.ParseChain(chain)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	leaf, intermediate, root := file("leaf", pki.EncodeChain(certs[:1])), file("intermediate", pki.EncodeChain(certs[1:2])), file("root", pki.EncodeChain(certs[2:]))
	issuers := file("issuers", pki.EncodeChain(certs[1:]))
	other := file("other", []byte("other"))
	broken := file("broken", read(t, data("full.tsr"))[:900])
	tokenOnly := file("token", tokenOf(t, data("full.tsr")))
	const nonce = "Nonce"
	recorded := decode(t, read(t, data("full.inspect.json")))["TimestampResponse"].(map[string]any)

	full := []string{"--timestamp", data("full.tsr")}
	blob := []string{"--artifact", data("blob")}
	byChain := []string{"--certificate-chain", data("chain.pem")}
	for _, test := range []struct {
		name   string
		args   [][]string
		ok     bool
		stderr string
	}{
		{"chain", [][]string{full, blob, byChain}, true, ""},
		{"chain without the leaf", [][]string{full, blob, {"--certificate-chain", issuers}}, true, ""},
		{"roots", [][]string{full, blob, {"--root-certificates", root}}, true, ""},
		{"token with one certificate", [][]string{full, blob, {"--root-certificates", root, "--intermediate-certificates", intermediate}}, true, ""},
		{"bare token", [][]string{{"--timestamp", tokenOnly}, blob, byChain}, true, ""},
		{"artifact on standard input", [][]string{full, {"--artifact", "-"}, byChain}, true, ""},
		{"all that can be asked", [][]string{full, blob, byChain, {"--nonce", recorded[nonce].(json.Number).String(), "--oid", "1.3.6.1.4.1.57264.2", "--common-name", "Test TSA Timestamping", "--certificate", leaf}}, true, ""},
		{"token without certificate", [][]string{{"--timestamp", data("bare.tsr")}, blob, byChain, {"--certificate", leaf}}, true, ""},

		{"token without certificate, none given", [][]string{{"--timestamp", data("bare.tsr")}, blob, {"--certificate-chain", issuers}}, false, "certificate-missing"},
		{"other artifact", [][]string{full, {"--artifact", other}, byChain}, false, "failed to verify timestamp: hashed messages don't match: verify: imprint"},
		{"other nonce", [][]string{full, blob, byChain, {"--nonce", "5"}}, false, "nonce"},
		{"no nonce", [][]string{{"--timestamp", data("bare.tsr")}, blob, byChain, {"--certificate", leaf, "--nonce", "5"}}, false, "nonce"},
		{"other policy", [][]string{full, blob, byChain, {"--oid", "1.2.3"}}, false, "policy"},
		{"other name", [][]string{full, blob, byChain, {"--common-name", "X"}}, false, "common name"},
		{"other leaf", [][]string{full, blob, byChain, {"--certificate", root}}, false, "pinned"},
		{"other root", [][]string{full, blob, {"--root-certificates", file("other root", pki.EncodeChain([]*x509.Certificate{pkitest.TSA(t, pkitest.Options{}).Root}))}}, false, "untrusted"},
		{"broken", [][]string{{"--timestamp", broken}, blob, byChain}, false, "tsp: "},
		{"nothing to trust", [][]string{full, blob}, false, "--certificate-chain alone or by --root-certificates"},
		{"both kinds of trust", [][]string{full, blob, byChain, {"--root-certificates", root}}, false, "--certificate-chain alone"},
		{"intermediates alone", [][]string{full, blob, {"--intermediate-certificates", intermediate}}, false, "--certificate-chain alone"},
		{"intermediates and chain", [][]string{full, blob, byChain, {"--intermediate-certificates", intermediate}}, false, "--certificate-chain alone"},
		{"no timestamp", [][]string{blob, byChain}, false, `"timestamp" not set`},
		{"no artifact", [][]string{full, byChain}, false, `"artifact" not set`},
		{"no such file", [][]string{{"--timestamp", other + ".not"}, blob, byChain}, false, "no such file"},
		{"nonce is no number", [][]string{full, blob, byChain, {"--nonce", "x"}}, false, "--nonce"},
		{"policy is no identifier", [][]string{full, blob, byChain, {"--oid", "x"}}, false, "not an object identifier"},
		{"format", [][]string{full, blob, byChain, {"--format", "yaml"}}, false, `"yaml" is not one of default, json`},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"verify"}
			for _, a := range test.args {
				args = append(args, a...)
			}
			status, stdout, stderr := run(t, nil, args...)
			if (status == 0) != test.ok || !strings.Contains(stderr, test.stderr) {
				t.Errorf("%q: exit status %d, %s, want %q", args, status, stderr, test.stderr)
			}
			if wrote := strings.HasPrefix(stdout, "Successfully verified timestamp "); wrote != test.ok || stdout != "" && !test.ok {
				t.Errorf("stdout: %q", stdout)
			}
		})
	}
}

// tokenOf takes the token out of a response.
func tokenOf(t *testing.T, file string) []byte {
	t.Helper()
	resp, err := tsp.ParseResponse(read(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return resp.Token.Raw
}
