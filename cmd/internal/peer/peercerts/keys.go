package peercerts

import (
	"context"
	"errors"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/signer"
)

type fileKey struct{ *signer.Key }

func (fileKey) Close() error { return nil }

func openKey(ctx context.Context, env *cli.Env, u signer.URI) (*fileKey, error) {
	k, err := signer.Open(ctx, u, signer.Config{LookupEnv: func(name string) (string, bool) {
		value := env.Getenv(name)
		return value, value != ""
	}})
	if errors.Is(err, signer.ErrNoPassphrase) {
		return nil, cli.Hint(err, "name the file with its passphrase: %s?passphrase-file=FILE", u)
	}
	if err != nil {
		return nil, err
	}
	return &fileKey{k}, nil
}
