// Package certcmd is "fencepost cert": it makes the certificate chains that
// signing services stand on, and says what is wrong with those that others
// made.
package certcmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make and check certificate chains",
		Long: `Make and check the certificate chains of signing services.

A chain is a PEM file: the certificate of the service's key first, then that of
its issuer, the root last.`,
	}
	cmd.AddCommand(newCreate(env), newCheck(env))
	return cmd
}

// parseRole takes a role that there is.
func parseRole(text string) (pki.Role, error) {
	if role := pki.Role(text); role == pki.RoleTSA {
		return role, nil
	}
	return "", cli.Usagef("--role %q is not a role: %s", text, pki.RoleTSA)
}

// openKey opens the key of a URI that outlives this process.
func openKey(ctx context.Context, env *cli.Env, text string) (*signer.Key, error) {
	u, err := signer.ParseURI(text)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	switch u.Scheme {
	case signer.SchemeFile:
	case signer.SchemeMemory:
		return nil, cli.Usagef("a key in memory is gone when this command ends, and its certificate is worth nothing")
	default:
		return nil, cli.Usagef("keys of the scheme %s are not built in yet; there is file", u.Scheme)
	}
	if err := signer.CheckMode(u.Path); errors.Is(err, signer.ErrMode) {
		env.Warn("%v", err)
	}
	key, err := signer.Open(ctx, u, signer.Config{LookupEnv: func(name string) (string, bool) {
		value := env.Getenv(name)
		return value, value != ""
	}})
	if errors.Is(err, signer.ErrNoPassphrase) {
		return nil, cli.Hint(err, "name the file with its passphrase: %s?passphrase-file=FILE", text)
	}
	return key, err
}
