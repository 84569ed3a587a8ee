package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// writeIdentity writes key and chain of a test authority.
func writeIdentity(t *testing.T, dir string, opts pkitest.Options, passphrase []byte) {
	t.Helper()
	chain := pkitest.TSA(t, opts)
	key, err := signer.New(chain.LeafKey)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := signer.MarshalPEM(key, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"key.pem": pem, "chain.pem": chain.PEM()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const fileTSA = `tsa: {key: "file:key.pem", chain: chain.pem, policy: 1.2.3, clock: {source: system, bound: 100ms}}` + "\n"

func TestLoad(t *testing.T) {
	for _, test := range []struct {
		name, text string
		opts       pkitest.Options
		passphrase string
		prepare    func(t *testing.T, dir string)
		want, hint string // "": it loads
	}{
		{name: "files", text: fileTSA},
		{name: "memory", text: "tsa: {key: 'memory:p384', policy: 1.2.3}\n"},
		{name: "all settings", text: strings.Replace(fileTSA, "policy: 1.2.3", "policy: 1.2.3, accepted-policies: [1.2.4], hashes: [sha512], accuracy: 2s, precision: 1s, include: full, digest: sha384, tsa-name: true", 1)},
		{name: "passphrase from the environment", text: strings.Replace(fileTSA, "key.pem", "key.pem?passphrase-env=PASS", 1), passphrase: "secret"},
		{name: "no passphrase", text: fileTSA, passphrase: "secret", want: "tsa.key: ", hint: "passphrase-file=FILE"},
		{name: "wrong passphrase", text: strings.Replace(fileTSA, "key.pem", "key.pem?passphrase-env=WRONG", 1), passphrase: "secret", want: "wrong passphrase"},
		{name: "no key", text: fileTSA, prepare: remove("key.pem"), want: "tsa.key: ", hint: "is the volume with the key mounted?"},
		{name: "no chain", text: fileTSA, prepare: remove("chain.pem"), want: "tsa.chain: open "},
		{name: "garbage chain", text: fileTSA, prepare: write("chain.pem", "x"), want: "tsa.chain: "},
		{name: "chain of another key", text: fileTSA, prepare: func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "chain.pem"), pkitest.TSA(t, pkitest.Options{Name: "Other"}).PEM(), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "tsa.chain: ", hint: "fencepost cert check"},
		{name: "expired", text: fileTSA, opts: pkitest.Options{NotAfter: pkitest.NotBefore().AddDate(1, 0, 0)}, want: "tsa.chain: ", hint: "fencepost cert check"},
		{name: "full without a root", text: strings.Replace(fileTSA, "policy: 1.2.3", "policy: 1.2.3, include: full", 1), prepare: func(t *testing.T, dir string) {
			chain := string(pkitest.TSA(t, pkitest.Options{}).PEM())
			if err := os.WriteFile(filepath.Join(dir, "chain.pem"), []byte(chain[:strings.LastIndex(chain, "-----BEGIN")]), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "tsa: authority: "},
		{name: "no TLS key", text: fileTSA + "tls: {certificate: a, key: b}\n", want: "tls: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			var pass []byte
			if test.passphrase != "" {
				pass = []byte(test.passphrase)
			}
			writeIdentity(t, dir, test.opts, pass)
			if test.prepare != nil {
				test.prepare(t, dir)
			}
			conf, err := config.Parse(filepath.Join(dir, "fencepost.yaml"), []byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"PASS": "secret", "WRONG": "x"}
			cfg, err := Load(t.Context(), conf, Options{LookupEnv: func(n string) (string, bool) { v, ok := env[n]; return v, ok }})
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := cfg.TSA.Authority().Ready(t.Context()); err != nil {
					t.Errorf("not ready: %v", err)
				}
				return
			}
			hint := cli.HintOf(err)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || !strings.Contains(hint, test.hint) || strings.Contains(err.Error()+hint, "secret") {
				t.Errorf("Load = %v, hint %q; want %q, hint %q", err, hint, test.want, test.hint)
			}
		})
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func write(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadWarns(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	if err := os.Chmod(filepath.Join(dir, "key.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Parse(filepath.Join(dir, "c"), []byte(fileTSA))
	if err != nil {
		t.Fatal(err)
	}
	conf.TSA.History = config.Path(filepath.Join(dir, "chains"))
	if err := os.Mkdir(string(conf.TSA.History), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(string(conf.TSA.History), 0o777); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	if _, err := Load(t.Context(), conf, Options{Warn: func(text string) { warnings = append(warnings, text) }}); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(warnings, "\n")
	for _, want := range []string{"open to others", "tsa.history: every user of this machine can write to ", "the clock is not monitored: its error is taken to be at most 100ms"} {
		if strings.Count(all, want) != 1 {
			t.Errorf("warnings %q, want %q once", warnings, want)
		}
	}
}

// TestLoadWarnsOfFewServers: one time server, or two, are believed whatever they
// say.
func TestLoadWarnsOfFewServers(t *testing.T) {
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	for n := 1; n <= 4; n++ {
		var servers []string
		for i := range n {
			servers = append(servers, fmt.Sprintf("'ntp://127.0.0.1:%d'", 1+i))
		}
		text := strings.Replace(fileTSA, "{source: system, bound: 100ms}", "{source: ntp, timeout: 50ms, attempts: 1, servers: ["+strings.Join(servers, ", ")+"]}", 1)
		conf, err := config.Parse(filepath.Join(dir, "c"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		warned := 0
		warn := func(text string) { warned += strings.Count(text, "nobody outvotes one that is wrong") }
		if _, err := Load(t.Context(), conf, Options{Warn: warn}); err != nil {
			t.Fatal(err)
		}
		if want := min(max(outvoting-n, 0), 1); warned != want {
			t.Errorf("%d servers: %d warnings, want %d", n, warned, want)
		}
	}
}

func TestLoadLimits(t *testing.T) {
	conf, err := config.Parse("c", []byte(`
tsa: {key: 'memory:p256', policy: 1.2.3}
listen: ["127.0.0.1:1", "unix:/s"]
admin: off
limits: {max-request: 2KiB, max-header: 8KiB, concurrency: 3, queue: 4, connections: 5, read-timeout: 6s, shutdown-timeout: 7s}
`))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(t.Context(), conf, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.Listeners
	if len(l) != 2 || l[0].Address != "127.0.0.1:1" || l[1].Network != "unix" || l[0].MaxHeader != 8<<10 || l[0].Connections != 5 || l[0].Timeouts.Read.Seconds() != 6 {
		t.Errorf("listeners: %+v", l)
	}
	if cfg.Admin != nil || cfg.MaxRequest != 2<<10 || cfg.MaxConcurrent != 3 || cfg.MaxQueue != 4 || cfg.ShutdownTimeout.Seconds() != 7 {
		t.Errorf("%+v", cfg)
	}
}
