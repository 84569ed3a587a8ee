// Package trustcmd is "fencepost trust" and "fencepost policy": whom a person
// trusts to sign and to stamp, and what a signature of the Notary Project must
// hold to count. Both are files below one directory, laid out as Notation lays
// them out, and every command says at once what would make a verification fail
// later.
package trustcmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
)

// New returns "trust".
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Keep the certificates that signatures are trusted by",
		Long: `Keep the certificates that signatures of images and files are trusted by, in
stores that a trust policy names:

  ca                 roots and other CAs of those who sign
  signingAuthority   of services that sign for others, and vouch for the time
  tsa                roots of timestamp authorities

A store has no effect until a statement of the policy has it among its trust
stores; see fencepost policy. The store tsa:system is there without being made:
it is what the operating system trusts, unless a store is made with that name.`,
	}
	cmd.AddCommand(newAdd(env), newList(env), newShow(env), newDelete(env))
	return cmd
}

// NewPolicy returns "policy".
func NewPolicy(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Say which signatures count, and of whom",
		Long: `Say which signatures count, and of whom: trust policies in the form of the
Notary Project, version 1.0, one for images and one for files (--blob).`,
	}
	cmd.AddCommand(newInit(env), newImport(env), newPolicyShow(env))
	return cmd
}

// place is where trust is kept.
type place struct {
	env    *cli.Env
	config string
}

func (p *place) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.config, "config-dir", "", "the `directory` of trust stores and policies ($FENCEPOST_CONFIG_DIR, $NOTATION_CONFIG)")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		// "" is a name of --for: that of files that no policy is named for.
		return cli.RefuseEmpty(cmd, "for")
	}
}

// dir finds the directory. It need not be there.
func (p *place) dir() (directory.Dir, error) {
	return directory.Find(p.config, p.env.Getenv)
}

// confirm asks a person, at a terminal, whether to do what cannot be undone.
// Without a person there is nobody to say yes.
func confirm(env *cli.Env, question string) error {
	if !env.StdinTerminal || !env.StderrTerminal {
		return cli.Hint(cli.Usagef("%s Nobody can be asked here", question), "say yes with --yes")
	}
	if _, err := fmt.Fprintf(env.Stderr, "%s: %s [y/N] ", env.Program, cli.Printable(question)); err != nil {
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(env.Stdin, maxAnswer)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return cli.Refused(reasonDeclined, errors.New("nothing was changed"))
}

// maxAnswer is the longest answer to a question that is read, in bytes.
const maxAnswer = 1024

// The reasons, in JSON, of what these commands refuse.
const (
	reasonDeclined = "declined"       // a person said no
	reasonPolicy   = "invalid-policy" // a trust policy has faults
	reasonNone     = "no-statement"   // no statement is for what was named
)
