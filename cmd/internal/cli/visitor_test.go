package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

func TestCacheDir(t *testing.T) {
	abs := t.TempDir()
	for _, test := range []struct {
		name string
		vars map[string]string
		want string // "" for an error
	}{
		{"XDG_CACHE_HOME", map[string]string{"XDG_CACHE_HOME": abs, "HOME": "/home/me"}, filepath.Join(abs, "fencepost", "fetched")},
		{"none", nil, ""},
		{"relative", map[string]string{"XDG_CACHE_HOME": "cache"}, ""},
	} {
		env := &cli.Env{Getenv: func(name string) string { return test.vars[name] }}
		if got, err := env.CacheDir("fetched"); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: CacheDir = %q, %v, want %q", test.name, got, err, test.want)
		}
	}
}

func TestUserAgent(t *testing.T) {
	env, _, _ := testEnv()
	if got := env.UserAgent(); !strings.HasPrefix(got, "prog/") || strings.ContainsAny(got, "\r\n") {
		t.Errorf("UserAgent = %q", got)
	}
}

func TestReadCertificates(t *testing.T) {
	env, _, _ := testEnv()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	for name, data := range map[string][]byte{good: pkitest.TSA(t, pkitest.Options{}).PEM(), bad: []byte("no certificate\n")} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if certs, err := env.ReadCertificates(good); err != nil || len(certs) < 2 {
		t.Errorf("ReadCertificates of a chain = %d, %v", len(certs), err)
	}
	if _, err := env.ReadCertificates(bad); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("ReadCertificates of what is none = %v, want an error that names the file", err)
	}
}
