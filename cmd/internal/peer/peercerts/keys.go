package peercerts

import (
	"context"
	"errors"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/signer"
)

// keyURI reads the URI of a key that outlives this process.
func keyURI(flag, text string) (signer.URI, error) {
	u, err := signer.ParseURI(text)
	switch {
	case err != nil:
		return signer.URI{}, cli.Usagef("--%s: %w", flag, err)
	case u.Scheme == signer.SchemeMemory:
		return signer.URI{}, cli.Usagef("--%s: a key in memory is gone when this command ends, and its certificate is worth nothing", flag)
	case u.Scheme == signer.SchemeExec:
		// Only the configuration of a server may name a program.
		return signer.URI{}, cli.Usagef("--%s: no program is started from here for a key", flag)
	}
	return u, nil
}

// openKey opens a key. The caller closes it.
func openKey(ctx context.Context, env *cli.Env, u signer.URI) (*kms.Key, error) {
	if u.Scheme == signer.SchemeFile {
		if err := signer.CheckMode(u.Path); errors.Is(err, signer.ErrMode) {
			env.Warn("%v", err)
		}
	}
	return kms.Open(ctx, u, kms.Config{LookupEnv: env.LookupEnv})
}
