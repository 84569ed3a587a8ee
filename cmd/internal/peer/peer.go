// Package peer holds what the drop-in commands timestamp-server and
// timestamp-cli have in common: they take the flags, the environment and the
// configuration files of their namesakes in sigstore/timestamp-authority and
// print what those print, over the code of this module. The commands
// themselves are in the packages peerserver and peercli, so that each links
// only what it offers.
//
// # Where a setting comes from
//
// A flag on the command line goes before an environment variable, that before
// the configuration file, and that before the default. A configuration file
// has the names of the flags as its keys. Unlike their namesakes, the commands
// read it strictly: what is not a flag is an error that names the line.
//
// # Exit status
//
// The namesakes end with status 1 whatever went wrong, so these do, too; see
// [Exit].
package peer

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// Exit turns an exit status of [cli.Run] into the one of the namesakes: 1 for
// every failure.
func Exit(status int) int {
	if status != cli.ExitOK {
		return 1
	}
	return cli.ExitOK
}

// versionJSON has the keys that the namesakes print.
type versionJSON struct {
	GitVersion   string `json:"gitVersion"`
	GitCommit    string `json:"gitCommit"`
	GitTreeState string `json:"gitTreeState"` // clean, dirty or unknown
	BuildDate    string `json:"buildDate"`    // of the commit
	GoVersion    string `json:"goVersion"`
	Compiler     string `json:"compiler"`
	Platform     string `json:"platform"`
}

// VersionCommand is "version", in the form of the namesakes.
func VersionCommand(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := cli.ReadBuild()
			v := versionJSON{
				GitVersion: b.Version, GitCommit: orUnknown(b.Revision), GitTreeState: "clean", BuildDate: orUnknown(b.Time),
				GoVersion: b.Go, Compiler: runtime.Compiler, Platform: b.Platform,
			}
			switch {
			case b.Revision == "":
				v.GitTreeState = "unknown"
			case b.Modified:
				v.GitTreeState = "dirty"
			}
			if env.JSON {
				return env.WriteJSON(v)
			}
			_, err := fmt.Fprintf(env.Stdout, `%s: %s

GitVersion:    %s
GitCommit:     %s
GitTreeState:  %s
BuildDate:     %s
GoVersion:     %s
Compiler:      %s
Platform:      %s

`, cmd.Root().Name(), cmd.Root().Short, v.GitVersion, v.GitCommit, v.GitTreeState, v.BuildDate, v.GoVersion, v.Compiler, v.Platform)
			return err
		},
	}
	cmd.Flags().BoolVar(&env.JSON, "json", false, "print JSON instead of text")
	return cmd
}

func orUnknown(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}

// Root makes cmd the root command of a drop-in: alone it prints its help, and
// --json, which the namesakes have for "version" only, is taken everywhere
// without being advertised.
func Root(env *cli.Env, cmd *cobra.Command) {
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	cmd.PersistentFlags().BoolVar(&env.JSON, "json", false, "write the answer, or the error, as one JSON document")
	// The flag was defined in the line above.
	_ = cmd.PersistentFlags().MarkHidden("json")
	cmd.AddCommand(VersionCommand(env))
}
