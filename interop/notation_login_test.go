package interop

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// The account at the registry that wants a password.
const (
	account  = "someone"
	password = "correct horse: battery"
)

// startLocked starts the CNCF's registry with TLS and a password, and with an image that was pushed before. Root is
// the file of its root certificate.
func startLocked(t *testing.T) (img *image, root string) {
	t.Helper()
	w := scratch(t)
	storage := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\n", w.path("data"))
	host := "127.0.0.1:" + freePort(t)
	open := w.start(t, "http://"+host+"/v2/", theirs(t, peers.Registry), "serve",
		w.write(t, "open.yml", fmt.Appendf(nil, "%shttp: {addr: %s}\n", storage, host)))
	img = (&place{kind: placeDistribution, registry: &registry{host: host}}).push(t)
	open.stop()

	s := bentIdentity(t, "p256", func(leaf *x509.Certificate) {
		leaf.IPAddresses, leaf.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	passwords := w.write(t, "htpasswd", fmt.Appendf(nil, "%s:%s\n", account, hash))
	health := "127.0.0.1:" + freePort(t)
	w.serve(t, "http://"+health+"/debug/health", theirs(t, peers.Registry), "serve", w.write(t, "locked.yml", fmt.Appendf(nil,
		"%sauth: {htpasswd: {realm: registry, path: %s}}\nhttp:\n  addr: %s\n  debug: {addr: %s}\n  tls: {certificate: %s, key: %s}\n",
		storage, passwords, host, health, s.chain, s.key)))
	return img, w.write(t, "root.pem", s.root)
}

// TestNotationLogin: ours signs and verifies in a registry with TLS and a password, which it has from Docker's
// configuration, a helper, the environment or standard input, and does not tell.
func TestNotationLogin(t *testing.T) {
	a, s := startDev(t), newIdentity(t, "p256", day)
	img, root := startLocked(t)
	config := trust{ca: s.root, tsa: a.rootPEM()}.config(t)
	sign := append(append([]string{ours("fencepost"), "image", "sign"}, own{}.signFlags(s, signing{format: "jws", stamp: a})...), "--registry-ca", root)
	verify := []string{ours("fencepost"), "image", "verify", "--config-dir", config, "--registry-ca", root}
	docker := func(password string) func(*testing.T, *tool) {
		auth := base64.StdEncoding.EncodeToString([]byte(account + ":" + password))
		return func(t *testing.T, w *tool) {
			data, err := json.Marshal(map[string]any{"auths": map[string]any{img.place.registry.host: map[string]string{"auth": auth}}})
			if err != nil {
				t.Fatal(err)
			}
			w.write(t, "config.json", data)
			w.env = append(w.env, "DOCKER_CONFIG="+w.dir)
		}
	}
	helper := func(t *testing.T, w *tool) {
		w.write(t, "config.json", []byte(`{"credsStore": "test"}`))
		program := w.write(t, "docker-credential-test", fmt.Appendf(nil, "#!/bin/sh\ncat >/dev/null\necho '{\"ServerURL\":\"%s\",\"Username\":\"%s\",\"Secret\":\"%s\"}'\n",
			img.place.registry.host, account, password))
		if err := os.Chmod(program, 0o700); err != nil {
			t.Fatal(err)
		}
		w.env = append(w.env, "DOCKER_CONFIG="+w.dir, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
	}
	environment := func(password string) func(*testing.T, *tool) {
		return func(_ *testing.T, w *tool) { w.env = append(w.env, "FENCEPOST_PASSWORD="+password) }
	}
	none := func(*testing.T, *tool) {}
	for _, test := range []struct {
		name   string
		given  func(*testing.T, *tool)
		flags  []string
		stdin  string
		refuse string // what is said, or "" for success
	}{
		{"Docker", docker(password), nil, "", ""},
		{"a helper", helper, nil, "", ""},
		{"the environment", environment(password), []string{"--username", account}, "", ""},
		{"standard input", none, []string{"--username", account, "--password-stdin"}, password, ""},
		{"nothing", none, nil, "", "docker login"},
		{"Docker, wrong", docker("wrong battery"), nil, "", "docker login"},
		{"the environment, wrong", environment("wrong battery"), []string{"--username", account}, "", "401"},
		{"no TLS", environment(password), []string{"--username", account, "--insecure-registry"}, "", "--insecure-registry"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, argv := range [][]string{sign, verify} {
				w := scratch(t)
				test.given(t, w)
				argv = append(append(argv[:len(argv):len(argv)], test.flags...), img.reference())
				w.write(t, "stdin", []byte(test.stdin))
				r := w.run(t, append([]string{"sh", "-c", `exec "$@" <stdin`, "sh"}, argv...)...)
				if test.refuse == "" && r.code != 0 || test.refuse != "" && r.code != 2 {
					t.Errorf("got: %v", r)
				}
				expect(t, r, []string{test.refuse})
				if strings.Contains(r.stdout+r.stderr, "battery") {
					t.Errorf("it tells the password: %v", r)
				}
			}
		})
	}
	t.Run("a CA that is not known", func(t *testing.T) {
		w := scratch(t)
		r := w.run(t, ours("fencepost"), "image", "verify", "--config-dir", config, img.reference())
		if expect(t, r, []string{"unknown authority"}); r.code != 2 {
			t.Errorf("got: %v", r)
		}
	})
}
