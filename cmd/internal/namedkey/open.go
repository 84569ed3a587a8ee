// Package namedkey opens the keys that people name on a command line, by URI,
// as those of a server's configuration are opened elsewhere.
//
// A command line cannot name everything that a configuration can. A key in
// memory is gone with the process, and a program is not started: scripts pass on
// what they were given, and whoever may choose the arguments of a command must
// not thereby choose a program.
package namedkey

import (
	"context"
	"crypto"
	"errors"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Check returns a usage error for the URIs of schemes that a command line cannot
// name.
func Check(u signer.URI) error {
	switch u.Scheme {
	case signer.SchemeMemory:
		return cli.Usagef("a key in memory is a new one each time, and gone when this command ends")
	case signer.SchemeExec:
		return cli.Usagef("no program is started for a key that a command line names")
	}
	return nil
}

// Open opens the key of a URI that passes Check, and warns of a file that others
// can read. Of a key with versions it is the one that has the public key want;
// nil: the latest. The caller closes it.
func Open(ctx context.Context, env *cli.Env, u signer.URI, want crypto.PublicKey) (*kms.Key, error) {
	if err := Check(u); err != nil {
		return nil, err
	}
	if u.Scheme == signer.SchemeFile {
		if err := signer.CheckMode(u.LocalPath()); errors.Is(err, signer.ErrMode) {
			env.Warn("%v", err)
		}
	}
	return kms.Open(ctx, u, kms.Config{LookupEnv: env.LookupEnv, Want: want})
}
