package servecmd

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/template"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A dataDir is a folder with an identity: a key, its chain, and the
// configuration that names them. It is made once.
type dataDir string

// The files of a data directory. The configuration is written last, so that
// its presence says that all is there.
const (
	keyName    = "tsa.key"
	chainName  = "tsa-chain.pem"
	rootName   = "tsa-root.pem" // for those who verify; it is not read again
	configName = "fencepost.yaml"
)

func (d dataDir) file(name string) string { return filepath.Join(string(d), name) }

// check says whether the identity is complete.
func (d dataDir) check() error {
	var missing []string
	for _, name := range []string{configName, keyName, chainName} {
		if _, err := os.Stat(d.file(name)); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
		} else if err != nil {
			return err
		}
	}
	switch len(missing) {
	case 0:
		return nil
	case 3:
		return cli.Hint(fmt.Errorf("data directory %s has no keys", d),
			"is the volume mounted? To make a new identity there, add --init")
	}
	return cli.Hint(fmt.Errorf("data directory %s is incomplete: it has no %s", d, strings.Join(missing, " and no ")),
		"restore it from a copy; --init makes a new identity in an empty directory only")
}

// create makes a new identity in an empty directory.
func (d dataDir) create(ctx context.Context) error {
	entries, err := os.ReadDir(string(d))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(string(d), 0o700); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		// A fresh file system has a folder of its own.
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" })
		if len(entries) > 0 {
			return cli.Hint(fmt.Errorf("--init: data directory %s is not empty: it has %s", d, entries[0].Name()),
				"without --init the identity that is there is used; --init never replaces one")
		}
		if err := os.Chmod(string(d), 0o700); err != nil {
			return fmt.Errorf("--init: %w", err)
		}
	}
	key, err := signer.Generate(signer.P256)
	if err != nil {
		return err
	}
	chain, err := serve.NewChain(ctx, key, pkix.Name{Organization: []string{"Fencepost"}, CommonName: "Fencepost TSA"})
	if err != nil {
		return err
	}
	keyPEM, err := signer.MarshalPEM(key, nil)
	if err != nil {
		return err
	}
	conf, err := initialConfig()
	if err != nil {
		return err
	}
	return writeAll([]cli.File{
		{Path: d.file(keyName), Data: keyPEM, Mode: 0o600, Existing: cli.Keep},
		{Path: d.file(chainName), Data: pki.EncodeChain(chain), Mode: 0o644, Existing: cli.Keep},
		{Path: d.file(rootName), Data: pki.EncodeChain(chain[len(chain)-1:]), Mode: 0o644, Existing: cli.Keep},
		{Path: d.file(configName), Data: conf, Mode: 0o644, Existing: cli.Keep},
	})
}

// writeAll writes all files or, on a full disk, none, so that --init can be
// given again.
func writeAll(files []cli.File) error {
	env := new(cli.Env)
	for i, f := range files {
		err := env.Write(f)
		if err == nil {
			continue
		}
		for _, written := range files[:i] {
			err = errors.Join(err, os.Remove(written.Path))
		}
		return fmt.Errorf("--init: %w", err)
	}
	return nil
}

// configTemplate is the configuration that --init writes.
const configTemplate = `# The configuration of this server. Relative paths start here.
tsa:
  key: file:{{.Key}}
  chain: {{.Chain}}

  # The policy under which tokens are issued: the promise made to those who
  # trust them. This one says nothing; name your own.
  policy: {{.Policy}}

  # What each token promises. While the clock's error is greater, or not known,
  # none is issued.
  accuracy: 1s
{{if .Kernel}}
  # The system clock, with the error that the kernel has from the time service
  # (chronyd, ntpd, systemd-timesyncd). Where there is none, compare it with time
  # servers, three or more: {source: ntp, servers: ["nts://time.example", ...]},
  # or declare the error yourself, and watch it: {source: system, bound: 500ms}
  clock: {source: kernel}
{{else}}
  # The system clock. Nobody watches that its error stays below the bound.
  clock: {source: system, bound: 500ms}
{{end}}
# The record of each token and of each change of key, clock and configuration. A
# token that cannot be recorded is not issued. "fencepost audit" reads it.
audit: {dir: audit}
`

func initialConfig() ([]byte, error) {
	t, err := template.New("").Parse(configTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Key": keyName, "Chain": chainName, "Policy": DevelopmentPolicy, "Kernel": runtime.GOOS == "linux"})
	return b.Bytes(), err
}
