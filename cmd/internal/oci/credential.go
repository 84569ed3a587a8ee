package oci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// A Credential is what a registry wants to see. The zero value is nothing.
type Credential struct {
	Username, Password string
	// IdentityToken is exchanged for an access token at the registry's token
	// service. "docker login" stores one for some registries.
	IdentityToken string
	// RegistryToken is shown to the registry as it is.
	RegistryToken string
}

// String names the user and no secret.
func (c Credential) String() string {
	if c == (Credential{}) {
		return "no credential"
	}
	return fmt.Sprintf("credential of %q", c.Username)
}

// GoString is String.
func (c Credential) GoString() string { return c.String() }

// A CredentialFunc returns the credential for a host, with its port if it has
// one. The zero Credential is no error: anonymous access.
type CredentialFunc func(ctx context.Context, host string) (Credential, error)

// Static returns a credential for one host only.
func Static(host string, c Credential) CredentialFunc {
	return func(_ context.Context, h string) (Credential, error) {
		if h == host {
			return c, nil
		}
		return Credential{}, nil
	}
}

// CredsConfig says where [DockerCredentials] looks.
type CredsConfig struct {
	// Helpers and Store are credHelpers and credsStore of Notation's
	// config.json: for a host, and for the rest. They come before Docker's.
	Helpers map[string]string
	Store   string
	// LookupEnv is where DOCKER_CONFIG and HOME (on Windows USERPROFILE) come
	// from. Nil: neither is set, and Docker's config.json is not read.
	LookupEnv func(string) (string, bool)

	patience time.Duration // with a helper; 0: helperWait
}

// helperWait is how long a helper may take. One that asks a person for the key
// of a store needs a while; where there is no person, it waits for ever.
const helperWait = 2 * time.Minute

// DockerCredentials returns the credentials that "docker login" and "notation
// login" have stored: by Notation's helper for the host, Notation's store,
// Docker's helper for the host, Docker's store, Docker's config.json, the first
// that has one. Where none of these is configured, the store of the operating
// system is asked that both programs then use. A helper that does not work is an
// error of kind [Unauthorized] that names it.
func DockerCredentials(cfg CredsConfig) CredentialFunc {
	d := &dockerCredentials{cfg: cfg}
	return d.get
}

// maxDockerConfig bounds Docker's config.json, in bytes.
const maxDockerConfig = 1 << 20

type dockerCredentials struct {
	cfg  CredsConfig
	once sync.Once

	// From Docker's config.json.
	path    string // "": there is no place for it, or it is not there
	helpers map[string]string
	store   string
	file    *credentials.FileStore
	entries int // of the file itself
	err     error
}

func (d *dockerCredentials) get(ctx context.Context, host string) (Credential, error) {
	// Keys are the names that "docker login" was given, but for Docker Hub's.
	key := credentials.ServerAddressFromRegistry(host)
	for _, helper := range []string{d.cfg.Helpers[key], d.cfg.Store} {
		if helper == "" {
			continue
		}
		if c, err := d.ask(ctx, helper, key); err != nil || c != (Credential{}) {
			return c, err
		}
	}
	d.once.Do(d.load)
	if d.err != nil {
		return Credential{}, d.err
	}
	if helper := cmp.Or(d.helpers[key], d.store); helper != "" {
		return d.ask(ctx, helper, key)
	}
	if len(d.cfg.Helpers)+len(d.helpers)+d.entries == 0 && d.cfg.Store == "" {
		store, ok := credentials.NewDefaultNativeStore()
		if !ok {
			return Credential{}, nil
		}
		c, err := d.wait(ctx, store, key)
		if err != nil {
			// Nobody has configured it: it is there, but perhaps never set up.
			return Credential{}, ctx.Err()
		}
		return c, nil
	}
	if d.file == nil {
		return Credential{}, nil
	}
	c, err := d.file.Get(ctx, key)
	if err != nil {
		// Its text may repeat the entry.
		return Credential{}, unauthorized(fmt.Errorf("credentials: the entry for %s in %s cannot be read", host, d.path),
			fmt.Sprintf("run \"docker login %s\" again, or give --username", host))
	}
	return credentialOf(c), nil
}

// load reads Docker's config.json, once.
func (d *dockerCredentials) load() {
	if d.cfg.LookupEnv == nil {
		return
	}
	dir, _ := d.cfg.LookupEnv("DOCKER_CONFIG")
	if dir == "" {
		name := "HOME"
		if runtime.GOOS == "windows" {
			name = "USERPROFILE"
		}
		home, _ := d.cfg.LookupEnv(name)
		if home == "" {
			return
		}
		dir = filepath.Join(home, ".docker")
	}
	path := filepath.Join(dir, "config.json")
	// No text of what reads the file goes into an error: it may repeat the file.
	bad := func(why string) {
		d.err = unauthorized(fmt.Errorf("credentials: %s: %s", path, why), "mend the file, or give --username")
	}
	// A HOME of /dev/null is no directory.
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return
	}
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 { // opening it would wait for its writer
		bad("is a pipe")
		return
	}
	f, err := os.Open(path)
	if err != nil {
		bad("cannot be read")
		return
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDockerConfig+1))
	if err != nil || len(data) > maxDockerConfig {
		bad(fmt.Sprintf("cannot be read, or has more than %d bytes", maxDockerConfig))
		return
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return
	}
	var doc struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredsStore  string                     `json:"credsStore"`
		CredHelpers map[string]string          `json:"credHelpers"`
	}
	if json.Unmarshal(data, &doc) != nil {
		bad("is not a configuration of Docker's")
		return
	}
	if d.file, err = credentials.NewFileStore(path); err != nil {
		bad("is not a configuration of Docker's")
		return
	}
	d.path, d.helpers, d.store, d.entries = path, doc.CredHelpers, doc.CredsStore, len(doc.Auths)
}

// ask asks one credential helper.
func (d *dockerCredentials) ask(ctx context.Context, helper, key string) (Credential, error) {
	c, err := d.wait(ctx, credentials.NewNativeStore(helper), key)
	if ctx.Err() != nil {
		return Credential{}, ctx.Err()
	}
	if err != nil {
		return Credential{}, helperError("docker-credential-"+helper, err)
	}
	return c, nil
}

var errHelperWaits = errors.New("no answer")

// wait asks a helper, for a bounded time. One that is killed may leave a child
// behind that holds its output open, which package exec waits for: we do not.
func (d *dockerCredentials) wait(ctx context.Context, store credentials.Store, key string) (Credential, error) {
	patience := cmp.Or(d.cfg.patience, helperWait)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%w for %v", errHelperWaits, patience))
	defer cancel()
	type answer struct {
		c   auth.Credential
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		c, err := store.Get(ctx, key)
		answered <- answer{c, err}
	}()
	select {
	case a := <-answered:
		if ctx.Err() == nil {
			return credentialOf(a.c), a.err
		}
	case <-ctx.Done():
	}
	return Credential{}, context.Cause(ctx)
}

// helperError names the helper. What a helper prints when it fails is its
// message, but it has secrets, and not each prints what it should.
func helperError(name string, err error) error {
	var missing *exec.Error
	var failed *exec.ExitError
	text, _, _ := strings.Cut(err.Error(), "\n")
	switch {
	case errors.As(err, &missing):
		text = missing.Err.Error()
	case errors.As(err, &failed), errors.Is(err, errHelperWaits):
	case strings.ContainsAny(err.Error(), "{}"):
		text = "it failed, with an answer that is not shown because it may have a secret in it"
	case isJSONError(err):
		text = "its answer is not one of a credential helper"
	}
	return unauthorized(fmt.Errorf("credentials: %s: %s", name, cut(text)), "install or mend the helper, take it out of the configuration, or give --username")
}

func isJSONError(err error) bool {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &mismatch)
}

func unauthorized(err error, hint string) *Error {
	return &Error{Kind: Unauthorized, Err: err, hint: hint}
}

func credentialOf(c auth.Credential) Credential {
	return Credential{Username: c.Username, Password: c.Password, IdentityToken: c.RefreshToken, RegistryToken: c.AccessToken}
}
