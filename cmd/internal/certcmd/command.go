// Package certcmd is "fencepost cert": it makes the certificate chains that
// signing services stand on, says what is wrong with those that others made,
// and keeps and signs the lists of what was revoked.
package certcmd

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/api/option"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/namedkey"
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
	if err := namedkey.Check(u); u.Scheme == signer.SchemeExec {
		return nil, cli.Hint(err, "have the program print its public key into a file, and certify that with cert create --public-key FILE")
	} else if err != nil {
		return nil, err
	}
	var want crypto.PublicKey
	if of != nil {
		want = of.PublicKey
	}
	key, err := namedkey.Open(ctx, env, u, want)
	if want != nil && fault.KindOf(err) == fault.Unfit {
		key, err = namedkey.Open(ctx, env, u, nil) // that it is another key is for the caller to say
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = cli.Hint(err, "a URI names a key that there is; cert create makes one where none is given")
	}
	return key, err
}
