package certcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// files are the files that may be made.
func (o *createOptions) files() []string {
	var names []string
	if o.csr {
		names = append(names, filepath.Join(o.out, requestFile))
	} else {
		names = append(names, filepath.Join(o.out, chainFile), filepath.Join(o.out, rootFile))
	}
	if o.makesKey() {
		names = append(names, filepath.Join(o.out, keyFile))
	}
	return append(names, o.caKeyFiles()...)
}

// caKeyFiles are the files for the keys of CAs.
func (o *createOptions) caKeyFiles() []string {
	var names []string
	if o.caKeys != "" && o.makesRootKey() {
		names = append(names, filepath.Join(o.caKeys, rootKeyFile))
	}
	if o.caKeys != "" && o.makesIntermediateKey() {
		names = append(names, filepath.Join(o.caKeys, intermediateKeyFile))
	}
	return names
}

// free refuses names that are taken, before any work is done. That nothing is
// replaced is seen to again when the files are written.
func free(names []string) error {
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			return cli.Hint(fmt.Errorf("%s is there already, nothing is replaced and nothing was made", name), "name another directory with --out")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// write writes the files. If one cannot be written those before it are
// removed, so that the command can be repeated.
func (o *createOptions) write(env *cli.Env, m *made, passphrase []byte) (err error) {
	var written []string
	defer func() {
		if err != nil {
			for _, name := range written {
				os.Remove(name)
			}
		}
	}()
	put := func(f cli.File) error {
		f.Existing = cli.Keep
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
			return err
		}
		if err := env.Write(f); err != nil {
			return err
		}
		written = append(written, f.Path)
		return nil
	}
	putKey := func(name string, key *signer.Key) error {
		text, err := signer.MarshalPEM(key, passphrase)
		if err != nil {
			return err
		}
		return put(cli.File{Path: name, Data: text, Mode: 0o600})
	}
	for _, f := range []struct {
		dir, name string
		key       subject
	}{{o.out, keyFile, m.service}, {o.caKeys, rootKeyFile, m.root}, {o.caKeys, intermediateKeyFile, m.intermediate}} {
		if f.dir == "" || f.key.made == nil {
			continue
		}
		if err := putKey(filepath.Join(f.dir, f.name), f.key.made); err != nil {
			return err
		}
	}
	if o.csr {
		return put(cli.File{Path: filepath.Join(o.out, requestFile), Data: pki.EncodeRequest(m.request)})
	}
	if m.rooted() {
		if err := put(cli.File{Path: filepath.Join(o.out, rootFile), Data: pki.EncodeChain(m.chain[len(m.chain)-1:])}); err != nil {
			return err
		}
	}
	return put(cli.File{Path: filepath.Join(o.out, chainFile), Data: pki.EncodeChain(m.chain)})
}
