package oci_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// helper puts a credential helper into the path.
func helper(t *testing.T, name, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte("#!/bin/sh\nread host\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func TestDockerCredentials(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("the helpers are shell scripts: what needs none is tested")
	} else {
		helper(t, "good", `echo "{\"ServerURL\":\"$host\",\"Username\":\"helped\",\"Secret\":\"s3cret\"}"`)
		helper(t, "token", `echo '{"Username":"<token>","Secret":"identity"}'`)
		helper(t, "empty", `echo "credentials not found in native keychain"; exit 1`)
		helper(t, "locked", `echo "the keychain is locked"; exit 1`)
		helper(t, "garbled", `echo "s3cret"`)
		helper(t, "leaking", `echo '{"Username":"u","Secret":"s3cret"}'; exit 3`)
		helper(t, "long", `head -c 100000 /dev/zero | tr '\0' x; exit 1`)
	}
	encoded := base64.StdEncoding.EncodeToString([]byte("user:pa:ss"))
	const host = "registry.example"
	for _, test := range []struct {
		name    string
		config  string // Docker's config.json
		notary  oci.CredsConfig
		host    string
		want    oci.Credential
		wantErr string
		helper  bool
	}{
		{"nothing", ``, oci.CredsConfig{}, host, oci.Credential{}, "", false},
		{"an entry", `{"auths":{"registry.example":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{}, host, oci.Credential{Username: "user", Password: "pa:ss"}, "", false},
		{"an entry for another", `{"auths":{"other.example":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{}, host, oci.Credential{}, "", false},
		{"an entry with a port", `{"auths":{"registry.example:5000":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{}, host, oci.Credential{}, "", false},
		{"Docker Hub", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{}, "docker.io", oci.Credential{Username: "user", Password: "pa:ss"}, "", false},
		{"an identity token", `{"auths":{"registry.example":{"identitytoken":"id"}}}`, oci.CredsConfig{}, host, oci.Credential{IdentityToken: "id"}, "", false},
		{"as az acr login writes it", `{"auths":{"registry.example":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("00000000:")) + `","identitytoken":"id"}}}`, oci.CredsConfig{}, host, oci.Credential{Username: "00000000", IdentityToken: "id"}, "", false},
		{"a registry token", `{"auths":{"registry.example":{"registrytoken":"rt"}}}`, oci.CredsConfig{}, host, oci.Credential{RegistryToken: "rt"}, "", false},
		{"a malformed file", `{"auths":{"registry.example":"s3cret`, oci.CredsConfig{}, host, oci.Credential{}, "is not a configuration", false},
		{"a malformed entry", `{"auths":{"registry.example":{"auth":"` + base64.StdEncoding.EncodeToString([]byte("s3cret")) + `"}}}`, oci.CredsConfig{}, host, oci.Credential{}, "the entry for registry.example", false},
		{"helper for the host", `{"credHelpers":{"registry.example":"good"},"auths":{"registry.example":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{}, host, oci.Credential{Username: "helped", Password: "s3cret"}, "", true},
		{"helper for another", `{"credHelpers":{"other.example":"good"},"auths":{"registry.example":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{}, host, oci.Credential{Username: "user", Password: "pa:ss"}, "", true},
		{"store", `{"credsStore":"token"}`, oci.CredsConfig{}, host, oci.Credential{IdentityToken: "identity"}, "", true},
		{"store that has none", `{"credsStore":"empty"}`, oci.CredsConfig{}, host, oci.Credential{}, "", true},
		{"store that is locked", `{"credsStore":"locked"}`, oci.CredsConfig{}, host, oci.Credential{}, "docker-credential-locked: the keychain is locked", true},
		{"store that is missing", `{"credsStore":"missing"}`, oci.CredsConfig{}, host, oci.Credential{}, "docker-credential-missing: executable file not found", false},
		{"store that talks", `{"credsStore":"garbled"}`, oci.CredsConfig{}, host, oci.Credential{}, "docker-credential-garbled: its answer is not one", true},
		{"store that fails with a secret", `{"credsStore":"leaking"}`, oci.CredsConfig{}, host, oci.Credential{}, "docker-credential-leaking: it failed", true},
		{"store that says much", `{"credsStore":"long"}`, oci.CredsConfig{}, host, oci.Credential{}, "xxx...", true},
		{"Notation's helper", `{"credsStore":"missing"}`, oci.CredsConfig{Helpers: map[string]string{host: "good"}}, host, oci.Credential{Username: "helped", Password: "s3cret"}, "", true},
		{"Notation's store", ``, oci.CredsConfig{Store: "token", Helpers: map[string]string{"other.example": "missing"}}, host, oci.Credential{IdentityToken: "identity"}, "", true},
		{"Notation's store has none", `{"auths":{"registry.example":{"auth":"` + encoded + `"}}}`, oci.CredsConfig{Store: "empty"}, host, oci.Credential{Username: "user", Password: "pa:ss"}, "", true},
		{"Notation's store is missing", ``, oci.CredsConfig{Store: "missing"}, host, oci.Credential{}, "docker-credential-missing", false},
	} {
		if test.helper && runtime.GOOS == "windows" {
			continue
		}
		for _, place := range []string{"DOCKER_CONFIG", "HOME"} {
			t.Run(test.name+" "+place, func(t *testing.T) {
				dir := t.TempDir()
				file := filepath.Join(dir, "config.json")
				if place == "HOME" {
					file = filepath.Join(dir, ".docker", "config.json")
					if runtime.GOOS == "windows" {
						place = "USERPROFILE"
					}
				}
				if test.config != "" {
					if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
						t.Fatal(err)
					}
					write(t, test.config, file)
				}
				cfg := test.notary
				cfg.LookupEnv = func(name string) (string, bool) {
					if name == place {
						return dir, true
					}
					return "", false
				}
				get := oci.DockerCredentials(cfg)
				got, err := get(t.Context(), test.host)
				if test.wantErr != "" {
					wantKind(t, err, oci.Unauthorized, test.wantErr, "--username")
					if strings.Contains(err.Error(), "s3cret") {
						t.Errorf("the secret is in the error: %v", err)
					}
					return
				}
				if err != nil || got != test.want {
					t.Errorf("got %#v, %v; want %#v", got, err, test.want)
				}
			})
		}
	}
	if c, err := oci.DockerCredentials(oci.CredsConfig{})(t.Context(), host); err != nil || c != (oci.Credential{}) {
		t.Errorf("without an environment: %v, %v", c, err)
	}
}

// TestCredentialShown prints a credential in each way.
func TestCredentialShown(t *testing.T) {
	c := oci.Credential{Username: "user", Password: "s3cret", IdentityToken: "s3cret", RegistryToken: "s3cret"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, c); strings.Contains(got, "s3cret") || !strings.Contains(got, "user") {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

// TestRefusedCredentials has a registry refuse what it is shown.
func TestRefusedCredentials(t *testing.T) {
	const secret = "s3cret"
	for _, test := range []struct {
		name   string
		reg    ocitest.Config
		cred   oci.Credential
		err    error
		text   string
		advice string
	}{
		{"basic, none", ocitest.Config{Username: "u", Password: "p"}, oci.Credential{}, nil, "there are none", "run \"docker login"},
		{"basic, wrong", ocitest.Config{Username: "u", Password: "p"}, oci.Credential{Username: "u", Password: secret}, nil, "credentials are not accepted", "the credentials were refused"},
		{"basic, no password", ocitest.Config{Username: "u", Password: "p"}, oci.Credential{Username: "u"}, nil, "lacks the user name or the password", "--username"},
		{"token, none", ocitest.Config{Username: "u", Password: "p", Tokens: true}, oci.Credential{}, nil, "of token service localhost:", "run \"docker login"},
		{"token, wrong", ocitest.Config{Username: "u", Password: "p", Tokens: true}, oci.Credential{Username: "u", Password: secret}, nil, "of token service localhost:", "the credentials were refused"},
		{"identity token, wrong", ocitest.Config{IdentityToken: "id", Tokens: true}, oci.Credential{IdentityToken: secret}, nil, "of token service localhost:", "the credentials were refused"},
		{"basic, but a token", ocitest.Config{Username: "u", Password: "p"}, oci.Credential{Username: "u", IdentityToken: secret}, nil, "there is but a token", "--username"},
		{"registry token, wrong", ocitest.Config{IdentityToken: "id", Tokens: true}, oci.Credential{RegistryToken: secret}, nil, "credentials are not accepted", "the credentials were refused"},
		{"a helper fails", ocitest.Config{Username: "u", Password: "p"}, oci.Credential{}, &oci.Error{Kind: oci.Unauthorized, Err: fmt.Errorf("docker-credential-x: locked")}, "docker-credential-x: locked", ""},
		{"a helper fails, otherwise", ocitest.Config{Username: "u", Password: "p", Tokens: true}, oci.Credential{}, fmt.Errorf("no helper"), "no helper", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := ocitest.New(test.reg)
			image := reg.PutImage("app", "v1")
			asked := ""
			repo := open(t, reg, oci.Config{Credential: func(_ context.Context, host string) (oci.Credential, error) {
				asked = host
				return test.cred, test.err
			}})
			_, err := repo.Resolve(t.Context(), "v1")
			wantKind(t, err, oci.Unauthorized, test.text, test.advice)
			if !strings.HasPrefix(asked, "localhost:") {
				t.Errorf("the credential of %q was asked for", asked)
			}
			_, perr := repo.Attach(t.Context(), attachment(image, "x"))
			wantKind(t, perr, oci.Unauthorized, "", "")
			for _, err := range []error{err, perr} {
				for _, s := range []string{secret, base64.StdEncoding.EncodeToString([]byte("u:" + secret))} {
					if strings.Contains(err.Error(), s) {
						t.Errorf("the secret is in the error: %v", err)
					}
				}
			}
		})
	}
}

// TestForeignRealm has a registry send us elsewhere for a token.
func TestForeignRealm(t *testing.T) {
	for realm, advice := range map[string]string{
		"http://127.0.0.1:1/token":                                         "the registry's host name, on any port",
		"http://169.254.169.254/latest":                                    "the registry's host name, on any port",
		"http://169.254.169.254/" + strings.Repeat("x", 10<<10):            "",
		"ftp://registry.example/token":                                     "by https",
		"http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials": "the registry's host name",
	} {
		reg := ocitest.New(ocitest.Config{})
		reg.PutImage("app", "v1")
		reg.Fault("GET ", ocitest.Fault{Status: 401, Header: header("Www-Authenticate", `Bearer realm="`+realm+`",service="x"`)})
		host := ocitest.Start(t, reg)
		repo := openAt(t, host, oci.Config{Credential: oci.Static(host, oci.Credential{Username: "u", Password: "s3cret"})})
		_, err := repo.Resolve(t.Context(), "v1")
		wantKind(t, err, oci.Unauthorized, "bearer realm", advice)
		if n := len(err.Error()); n > 500 {
			t.Errorf("the error has %d bytes", n)
		}
	}
}

// TestRealmOfSameName has the token service at another port of the registry's
// host, as a GitLab may.
func TestRealmOfSameName(t *testing.T) {
	reg := ocitest.New(ocitest.Config{Username: "u", Password: "p", Tokens: true})
	image := reg.PutImage("app", "v1")
	tokens := ocitest.Start(t, reg)
	host := ocitest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") == "" {
			req.Host = tokens // is named as the realm
		}
		reg.ServeHTTP(w, req)
	}))
	repo := openAt(t, host, oci.Config{Credential: oci.Static(host, oci.Credential{Username: "u", Password: "p"})})
	if d, err := repo.Resolve(t.Context(), "v1"); err != nil || d.Digest != image.Digest {
		t.Errorf("Resolve = %v, %v", d, err)
	}
}

// TestIdentityToken has a credential have a user name and no password beside its
// token.
func TestIdentityToken(t *testing.T) {
	reg := ocitest.New(ocitest.Config{IdentityToken: "id", Tokens: true})
	image := reg.PutImage("app", "v1")
	host := ocitest.Start(t, reg)
	repo := openAt(t, host, oci.Config{Credential: oci.Static(host, oci.Credential{Username: "00000000-0000-0000-0000-000000000000", IdentityToken: "id"})})
	if d, err := repo.Resolve(t.Context(), "v1"); err != nil || d.Digest != image.Digest {
		t.Errorf("Resolve = %v, %v", d, err)
	}
}

// TestHelperHangs has a credential helper never answer, and leave a child behind
// that holds its output.
func TestHelperHangs(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("the helpers are shell scripts")
		return
	}
	helper(t, "hanging", "exec 2>/dev/null; sleep 8 & sleep 8")
	get := oci.DockerCredentials(oci.CredsConfig{Store: "hanging"}.Impatient())
	begun := time.Now()
	_, err := get(t.Context(), "registry.example")
	wantKind(t, err, oci.Unauthorized, "docker-credential-hanging: no answer for 300ms", "--username")

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = oci.DockerCredentials(oci.CredsConfig{Store: "hanging"})(ctx, "registry.example")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the end of the context: %v", err)
	}
	if waited := time.Since(begun); waited > 5*time.Second {
		t.Errorf("waited for %v", waited)
	}
}

// TestConfigPlaces has Docker's config.json be where no file is.
func TestConfigPlaces(t *testing.T) {
	env := func(value string) oci.CredsConfig {
		return oci.CredsConfig{LookupEnv: func(name string) (string, bool) { return value, name == "DOCKER_CONFIG" }}
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, "", file)
	if c, err := oci.DockerCredentials(env(file))(t.Context(), "registry.example"); err != nil || c != (oci.Credential{}) {
		t.Errorf("below a file: %v, %v", c, err)
	}
	dir := t.TempDir()
	if pipe(t, filepath.Join(dir, "config.json")) {
		_, err := oci.DockerCredentials(env(dir))(t.Context(), "registry.example")
		wantKind(t, err, oci.Unauthorized, "config.json: is a pipe", "--username")
	}
}
