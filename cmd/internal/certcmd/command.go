// Package certcmd is "fencepost cert": it makes the certificate chains that
// signing services stand on, says what is wrong with those that others made,
// and keeps and signs the lists of what was revoked.
package certcmd

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/api/option"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command { return group(env, nil) }

// group is New with options for the client of Google CA Service.
func group(env *cli.Env, google []option.ClientOption) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make, check and revoke certificates",
		Long: `Make and check the certificate chains of signing services, and revoke what was
issued.

A chain is a PEM file: the certificate of the service's key first, then that of
its issuer, the root last.`,
	}
	cmd.AddCommand(newCreate(env, google), newCheck(env), newRevoke(env), newCRL(env))
	return cmd
}

// roleHelp is what --role says.
const roleHelp = "what the chain is for: tsa, a timestamp authority; tsa-ca, a CA for its stamping keys; ca, a certificate authority for code signing; code-signing, somebody who signs artifacts; log, a transparency log"

// parseRole takes a role that there is.
func parseRole(text string) (pki.Role, error) {
	role, err := pki.ParseRole(text)
	if err != nil {
		var words []string
		for _, known := range pki.Roles() {
			words = append(words, string(known))
		}
		return "", cli.Usagef("--role %q is not a role: %s", text, strings.Join(words, ", "))
	}
	return role, nil
}

// openKey opens the key of a URI that outlives this process. Of a key with
// versions it is the one that the certificate is for, if there is a certificate
// and such a version, and otherwise the latest. The caller closes it.
func openKey(ctx context.Context, env *cli.Env, text string, of *x509.Certificate) (*kms.Key, error) {
	u, err := signer.ParseURI(text)
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	switch u.Scheme {
	case signer.SchemeMemory:
		return nil, cli.Usagef("a key in memory is gone when this command ends, and its certificate is worth nothing")
	case signer.SchemeExec:
		// Only the configuration of a server may name a program.
		return nil, cli.Hint(cli.Usagef("no program is started from here for the key"),
			"have the program print its public key into a file, and certify that with cert create --public-key FILE")
	case signer.SchemeFile:
		if err := signer.CheckMode(u.Path); errors.Is(err, signer.ErrMode) {
			env.Warn("%v", err)
		}
	}
	cfg := kms.Config{LookupEnv: env.LookupEnv}
	if of != nil {
		cfg.Want = of.PublicKey
	}
	key, err := kms.Open(ctx, u, cfg)
	if of != nil && fault.KindOf(err) == fault.Unfit {
		cfg.Want = nil // that it is another key is for the caller to say
		key, err = kms.Open(ctx, u, cfg)
	}
	switch {
	case errors.Is(err, signer.ErrNoPassphrase):
		return nil, cli.Hint(err, "name the file with its passphrase: %s?passphrase-file=FILE", text)
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Hint(err, "a URI names a key that there is; cert create makes one where none is given")
	}
	return key, err
}
