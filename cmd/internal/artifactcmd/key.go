package artifactcmd

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/namedkey"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
	"github.com/fencepost-tsa/fencepost/signer"
)

// identity is a key and its chain.
type identity struct {
	key   *kms.Key
	chain []*x509.Certificate
}

// identity opens the key that --key names: a URI, whose chain is in a file of its
// own, or a name in signingkeys.json, where both files are. An empty name is that
// of the default key.
func (o *signing) identity(ctx context.Context, env *cli.Env, dir directory.Dir) (*identity, error) {
	key, chain := o.key, o.chain
	if strings.Contains(key, ":") {
		if chain == "" {
			return nil, cli.Hint(cli.Usagef("--key %s without its certificate chain", key), "name the file with --certificate-chain: the signer's certificate first, the root last")
		}
		u, err := signer.ParseURI(key)
		if err != nil {
			return nil, cli.Usagef("--key: %w", err)
		}
		return openPair(ctx, env, u, chain)
	}
	if chain != "" && key == "" {
		return nil, cli.Hint(cli.Usagef("--certificate-chain without --key"), "name the key with --key file:FILE, or another URI")
	}
	if chain != "" {
		return nil, cli.Hint(cli.Usagef("--certificate-chain goes with a key URI: a key of signingkeys.json names its own"), "write file:%s if --key is a file", key)
	}
	keys, err := dir.SigningKeys()
	if err != nil {
		return nil, err
	}
	for _, w := range keys.Warnings {
		env.Warn("%s: %v", directory.SigningKeysName, w)
	}
	named, err := keys.Get(key)
	if err != nil {
		if st, missing := os.Stat(key); missing == nil && st.Mode().IsRegular() {
			return nil, cli.Hint(err, "there is a file of that name: write --key file:%s, and its chain with --certificate-chain", key)
		}
		return nil, err
	}
	return openPair(ctx, env, signer.URI{Scheme: signer.SchemeFile, Path: named.KeyPath}, named.CertPath)
}

// openPair opens a key, and reads the chain that is its own.
func openPair(ctx context.Context, env *cli.Env, u signer.URI, chain string) (*identity, error) {
	certs, err := env.ReadCertificates(chain)
	if err != nil {
		return nil, err
	}
	key, err := namedkey.Open(ctx, env, u, certs[0].PublicKey)
	if errors.Is(err, fs.ErrNotExist) {
		err = cli.Hint(err, "fencepost cert create --role code-signing makes a key and its chain")
	}
	if err != nil {
		return nil, err
	}
	return &identity{key: key, chain: certs}, nil
}
