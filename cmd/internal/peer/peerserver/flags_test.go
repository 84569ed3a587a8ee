package peerserver_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peerserver"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// weakRequest asks for a timestamp of a SHA-1 digest: version 1, the hash with
// its parameters, twenty zeros.
func weakRequest(t *testing.T) []byte {
	der, err := hex.DecodeString("30260201013021300906052b0e03021a05000414" + strings.Repeat("00", sha1.Size))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// refused runs "timestamp-server serve ARGS", which must not begin to serve.
func refused(t *testing.T, vars map[string]string, args ...string) (status int, out string) {
	t.Helper()
	var b bytes.Buffer
	env := environment(vars, &b)
	ctx, cancel := contextThatEnds(t)
	defer cancel()
	status = cli.Run(ctx, env, peerserver.New(env), append([]string{"serve"}, args...))
	return status, b.String()
}

// TestFlags: each flag of the namesake, as its own help shows it, is a flag
// here, of the same type and with the same default.
func TestFlags(t *testing.T) {
	list, err := os.ReadFile(filepath.Join("testdata", "timestamp-server.flags"))
	if err != nil {
		t.Fatal(err)
	}
	root := peerserver.New(environment(nil, nil))
	n := 0
	for line := range strings.Lines(string(list)) {
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
		if got := typeOf(f); got != kind {
			t.Errorf("--%s is a %s, want %s", name, got, kind)
		}
		if got := defaultOf(f); got != value {
			t.Errorf("--%s is %s by default, want %s", name, got, value)
		}
		if f.Usage == "" {
			t.Errorf("--%s has no help", name)
		}
	}
	if n < 40 {
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

// typeOf is the type of a flag as help texts name it.
func typeOf(f *pflag.Flag) string {
	switch kind := f.Value.Type(); kind {
	case "stringSlice":
		return "strings"
	case "uint64":
		return "uint"
	default:
		return kind
	}
}

// defaultOf is the default of a flag as help texts show it, - for none.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "false", "[]":
		return "-"
	}
	return f.DefValue
}

// TestRefuses: what would be ignored, or would weaken the server, is refused by
// name.
func TestRefuses(t *testing.T) {
	key, chain, _ := identity(t, pkitest.Options{}, nil)
	otherKey, _, _ := identity(t, pkitest.Options{Name: "Other"}, nil)
	_, hostile, _ := identity(t, pkitest.Options{Leaf: pkitest.EKU(true, "1.3.6.1.5.5.7.3.3")}, nil)
	dir := t.TempDir()
	config := func(name, text string) string { return write(t, dir, name, []byte(text)) }
	file := func(args ...string) []string {
		return append([]string{"--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", chain}, args...)
	}
	for _, test := range []struct {
		name string
		vars map[string]string
		args []string
		want string
	}{
		{"kms without a signer", nil, []string{"--kms-key-resource", "awskms:///alias/x"}, "--kms-key-resource goes with --timestamp-signer kms, and a key in memory would sign"},
		{"tink without a signer", nil, []string{"--tink-keyset-path", "x"}, "--tink-keyset-path goes with --timestamp-signer tink"},
		{"kms and file", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "awskms:///alias/x", "--file-signer-key-path", key}, "--file-signer-key-path goes with --timestamp-signer file, and another key would sign"},
		{"kms without a key", nil, []string{"--timestamp-signer", "kms"}, "needs --kms-key-resource"},
		{"kms without a chain", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "awskms:///alias/x"}, "needs --certificate-chain-path"},
		{"unknown scheme", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "plugin://x", "--certificate-chain-path", chain}, "unknown scheme \"plugin\""},
		{"kms in memory", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "memory:p256", "--certificate-chain-path", chain}, "--timestamp-signer memory"},
		{"a program on the command line", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "exec:/bin/true", "--certificate-chain-path", chain}, "from the configuration file only"},
		{"pin on the command line", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "pkcs11:token=a?pin-value=1234", "--certificate-chain-path", chain}, "pin-source"},
		{"kms address missing", nil, []string{"--timestamp-signer", "kms", "--kms-key-resource", "hashivault://tsa", "--certificate-chain-path", chain}, "VAULT_ADDR"},
		{"tink without a wrapping key", nil, []string{"--timestamp-signer", "tink", "--tink-keyset-path", "x"}, "needs --tink-key-resource"},
		{"tink without a keyset", nil, []string{"--timestamp-signer", "tink", "--tink-key-resource", "hcvault://h/k"}, "needs --tink-keyset-path"},
		{"tink with a bad wrapping key", nil, []string{"--timestamp-signer", "tink", "--tink-key-resource", "file:x", "--tink-keyset-path", "x", "--certificate-chain-path", chain}, "--tink-key-resource"},
		{"allow-custom-extensions", nil, []string{"--allow-custom-extensions"}, "--allow-custom-extensions is not built in yet"},
		{"unbuilt in the environment", map[string]string{"ALLOW-CUSTOM-EXTENSIONS": "true"}, nil, "--allow-custom-extensions is not built in yet"},

		{"unknown signer", nil, []string{"--timestamp-signer", "fil"}, `"fil" is not one of memory, file`},
		{"unknown hash", nil, []string{"--timestamp-signer-hash", "sha1"}, `"sha1" is not one of sha256`},
		{"unknown flag", nil, []string{"--timestamp-sginer", "file"}, "unknown flag: --timestamp-sginer"},
		{"argument", nil, []string{"now"}, "unknown command"},
		{"no key", nil, []string{"--timestamp-signer", "file"}, "needs --file-signer-key-path"},
		{"no chain", nil, []string{"--timestamp-signer", "file", "--file-signer-key-path", key}, "needs --certificate-chain-path"},
		{"no such key", nil, []string{"--timestamp-signer", "file", "--file-signer-key-path", key + ".not", "--certificate-chain-path", chain}, "--file-signer-key-path: "},
		{"chain is a key", nil, []string{"--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", key}, "a private key is in the file"},
		{"key of another chain", nil, []string{"--timestamp-signer", "file", "--file-signer-key-path", otherKey, "--certificate-chain-path", chain}, "leaf-key"},
		{"chain that cannot stamp", nil, []string{"--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", hostile}, "leaf-eku"},
		{"chain without a signer", nil, []string{"--certificate-chain-path", chain}, "--certificate-chain-path goes with --timestamp-signer file"},
		{"key without a signer", nil, []string{"--file-signer-key-path", key}, "--file-signer-key-path goes with --timestamp-signer file"},
		{"policy that is none", nil, file("--default-policy-oid", "5.99999"), "--default-policy-oid: "},
		{"accepted policy", nil, []string{"--accepted-policy-oids", "1.2,x"}, "--accepted-policy-oids: "},

		{"signer in the environment", map[string]string{"TIMESTAMP_SIGNER": "file"}, nil, "the environment variable TIMESTAMP_SIGNER looks like --timestamp-signer"},
		{"key in the environment", map[string]string{"FILE_SIGNER_KEY_PATH": key}, nil, "FILE_SIGNER_KEY_PATH looks like --file-signer-key-path"},
		{"bad port in the environment", map[string]string{"PORT": "http"}, nil, "environment variable PORT"},

		{"no such file", nil, []string{"--config", filepath.Join(dir, "none.yaml")}, "none.yaml: no such file"},
		{"unknown key", nil, []string{"--config", config("typo.yaml", "timestamp-sginer: file\n")}, `typo.yaml:1: unknown key "timestamp-sginer"`},
		{"bad value", nil, []string{"--config", config("port.yaml", "host: localhost\nport: http\n")}, "port.yaml:2: port"},
		{"signer in the file without a key", nil, []string{"--config", config("file.yaml", "timestamp-signer: file\n")}, "needs --file-signer-key-path"},

		{"host of all interfaces by accident", nil, []string{"--host", ""}, "all interfaces are 0.0.0.0"},
		{"port", nil, []string{"--port", "65536"}, "65536 is not a port"},
		{"scheme", nil, []string{"--scheme", "ftp"}, `"ftp" is none of http, https, unix`},
		{"https without a certificate", nil, []string{"--scheme", "https"}, "needs --tls-certificate and --tls-key"},
		{"certificate without https", nil, []string{"--tls-certificate", chain, "--tls-key", key}, "give --scheme https"},
		{"no limit for bodies", nil, []string{"--max-request-body-size", "0"}, "would let each request take all memory"},
		{"hardly a limit", nil, []string{"--max-request-body-size", "18446744073709551615"}, "is more than"},
		{"log type", nil, []string{"--log-type", "json"}, "neither dev nor prod"},
		{"request id in a secret", nil, []string{"--http-request-id-header-name", "authorization"}, "Authorization has another meaning"},
		{"request id", nil, []string{"--http-request-id-header-name", "X Y"}, "not the name of a header"},
		{"metrics address", nil, []string{"--metrics-address", ":2112"}, "--metrics-address: "},
		{"refusal format", nil, []string{"--refusal-format", "text"}, `"text" is not one of rfc3161, json`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, out := refused(t, test.vars, quiet(test.args...)...)
			if status == 0 || !strings.Contains(out, test.want) {
				t.Errorf("serve %q with %v: exit status %d, want %q in\n%s", test.args, test.vars, status, test.want, out)
			}
		})
	}
}

// An intermediate without an extended key usage is refused by default, as the
// namesake does.
func TestEnforceIntermediateEKU(t *testing.T) {
	key, chain, _ := identity(t, pkitest.Options{Intermediate: pkitest.EKU(false)}, nil)
	args := quiet("--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", chain)
	if status, out := refused(t, nil, args...); status == 0 || !strings.Contains(out, "issuer-eku") {
		t.Errorf("exit status %d, %s", status, out)
	}
	start(t, nil, append(args, "--enforce-intermediate-eku=false")...)
}

// TestSources: HOST and PORT, a configuration file that is found, one that is
// named.
func TestSources(t *testing.T) {
	home := t.TempDir()
	named := write(t, home, "named.yaml", []byte("Host: 127.0.0.3\nuse-http-201: true\nscheme: [http]\n"))
	write(t, home, "timestamp-server.yaml", []byte("host: 127.0.0.4\nhttp-ping-only: true\n"))
	for _, test := range []struct {
		name string
		vars map[string]string
		args []string
		host string
		ping bool // only
		log  string
	}{
		{"default", nil, nil, "127.0.0.1", false, ""},
		{"environment", map[string]string{"HOST": "127.0.0.2"}, nil, "127.0.0.2", false, ""},
		{"environment and flag", map[string]string{"HOST": "127.0.0.2"}, []string{"--host", "127.0.0.5"}, "127.0.0.5", false, ""},
		{"file", nil, []string{"--config", named}, "127.0.0.3", false, ""},
		{"file and environment", map[string]string{"HOST": "127.0.0.2"}, []string{"--config", named}, "127.0.0.2", false, ""},
		{"file in the home directory", map[string]string{"HOME": home}, nil, "127.0.0.4", true, "using the configuration file"},
		{"a name of something else", map[string]string{"READ_TIMEOUT": "1s"}, nil, "127.0.0.1", false, "READ_TIMEOUT is not read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, test.vars, quiet(test.args...)...)
			if !strings.HasPrefix(r.urls[0], "http://"+test.host+":") {
				t.Errorf("it listens on %s, want %s", r.urls[0], test.host)
			}
			if !strings.Contains(r.log.String(), test.log) {
				t.Errorf("log lacks %q:\n%s", test.log, r.log)
			}
			status, _, _ := post(t, r.urls[0], "application/timestamp-query", []byte{0x30, 0})
			if got := status == 404; got != test.ping {
				t.Errorf("status %d", status)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"version", "GitVersion:    "}, {"version --json", `"gitVersion": "`}, {"--json version", `"gitVersion": "`}, {"", "Available Commands:"}, {"completion bash", "bash completion"},
	} {
		var b bytes.Buffer
		env := environment(nil, &b)
		if status := cli.Run(t.Context(), env, peerserver.New(env), strings.Fields(test.args)); status != 0 || !strings.Contains(b.String(), test.want) {
			t.Errorf("%q: exit status %d, %s", test.args, status, b.String())
		}
	}
}

// contextThatEnds keeps a server that was not refused from running for ever.
func contextThatEnds(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 5*time.Second)
}
