// Package auditcmd is "fencepost audit": it verifies the record of issue that a
// server keeps, and finds in it which tokens were issued, when, for whom, with
// which key and by which clock.
package auditcmd

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Verify the record of issue, and find tokens in it",
		Long: `Verify the record of issue that a server keeps, and find tokens in it.

DIR is the folder that audit.dir names in the server's configuration, or a copy
of it. It is only read, and a server may be writing to it meanwhile.`,
	}
	cmd.AddCommand(newVerify(env), newFind(env))
	return cmd
}

// folders completes the names of folders.
func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// refuseEmpty refuses flags and folders without a text.
func refuseEmpty(cmd *cobra.Command, dirs []string) error {
	if err := cli.RefuseEmpty(cmd); err != nil {
		return err
	}
	if slices.Contains(dirs, "") {
		return cli.Usagef("the name of a folder is empty")
	}
	return nil
}

// located adds to the error of a reader where the record should be.
func located(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Hint(err, "name the folder that audit.dir names in the server's configuration, or a copy of it")
	}
	return err
}

// shown writes a time of the record for people.
func shown(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
