// Command fencepost gives software signatures a time that others can trust: a
// timestamp authority (RFC 3161), everything that asks one, checks its answers
// and reads them, and artifacts that are signed and verified with timestamps.
//
// See "fencepost --help", and the manual pages in doc.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/artifactcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/auditcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/certcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/keycmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/servecmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timestampcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/trustcmd"
)

// groups are the words that may follow "fencepost", in the order of the help.
var groups = []func(*cli.Env) *cobra.Command{
	servecmd.New,
	timestampcmd.New,
	artifactcmd.NewImage,
	artifactcmd.NewBlob,
	trustcmd.New,
	trustcmd.NewPolicy,
	keycmd.New,
	certcmd.New,
	auditcmd.New,
	cli.VersionCommand,
}

func newRoot(env *cli.Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "fencepost",
		Short: "Timestamps for software signatures",
		Long: `Fencepost gives software signatures a time that others can trust.

Exit status: 0 yes, 1 no (refused, does not verify), 2 could not tell (usage,
input and output, network).`,
	}
	for _, group := range groups {
		root.AddCommand(group(env))
	}
	fromNotation(root)
	return root
}

func main() {
	ctx, stop := cli.Interruptible(context.Background())
	env := cli.System("fencepost")
	code := cli.Run(ctx, env, newRoot(env), os.Args[1:])
	stop()
	os.Exit(code)
}
