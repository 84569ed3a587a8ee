// Package peercli is timestamp-cli: it takes the flags, the environment and
// the configuration file of its namesake in sigstore/timestamp-authority, and
// writes the same files and the same JSON.
//
// What differs is what one would not want to rely on: the path in
// --timestamp_server is kept, so that any authority can be asked; the answer is
// compared with the request before it is written; with --format json there is
// nothing but JSON on standard output; inspect draws a tree instead of printing
// bytes; artifacts are streamed, and "-" is standard input or output.
package peercli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
)

// DefaultServer is who is asked unless told otherwise.
const DefaultServer = "https://timestamp.sigstore.dev"

// formats of the answer.
const (
	formatDefault = "default"
	formatJSON    = "json"
)

// global are the flags of every command.
type global struct {
	env     *cli.Env
	config  string
	server  string
	format  *peer.Value
	timeout time.Duration
}

// json says that the answer is JSON.
func (g *global) json() bool { return g.env.JSON || g.format.String() == formatJSON }

// New returns the root command.
func New(env *cli.Env) *cobra.Command {
	g := &global{env: env, server: DefaultServer, format: peer.OneOf("format", formatDefault, formatJSON), timeout: 30 * time.Second}
	root := &cobra.Command{
		Use:   "timestamp-cli",
		Short: "Timestamp CLI",
		Long: `Ask RFC 3161 timestamp authorities for timestamps, verify and inspect them.

Each flag may also be given by an environment variable: --hash by TIMESTAMP_HASH,
--timestamp_server by TIMESTAMP_TIMESTAMP_SERVER; and in the configuration file,
by its name.

The exit status is 0, or 1 whatever went wrong; "fencepost timestamp" tells what
does not verify from what could not be checked.`,
	}
	f := root.PersistentFlags()
	f.StringVar(&g.config, "config", "", "read flags from this YAML `file` (default $HOME/.timestamp.yaml, if it is there)")
	f.Var((*serverValue)(&g.server), "timestamp_server", "the `url` of the authority; without a path it is that of Sigstore, /api/v1/timestamp")
	f.Var(g.format, "format", "how the answer is written: default or json")
	f.Var((*timeoutValue)(&g.timeout), "timeout", "how long the authority may take for an answer")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return g.settings(root, cmd) }
	root.AddCommand(newTimestamp(g), newVerify(g), newInspect(g))
	peer.Root(env, root)
	return root
}

// settings sets the flags that the command line does not.
func (g *global) settings(root, cmd *cobra.Command) error {
	if g.env.Getenv("TIMESTAMP_SERVER") != "" && g.env.Getenv("TIMESTAMP_TIMESTAMP_SERVER") == "" && !cmd.Flags().Changed("timestamp_server") {
		g.env.Warn("the environment variable TIMESTAMP_SERVER is not read; the authority is named by TIMESTAMP_TIMESTAMP_SERVER")
	}
	fromEnv := peer.Environment(g.env, cmd.Flags(), variables)
	if err := peer.Apply(cmd.Flags(), fromEnv); err != nil {
		return err
	}
	file := g.config
	if file == "" {
		if home := g.env.Getenv("HOME"); home != "" {
			file = peer.Find([]string{filepath.Join(home, ".timestamp.yaml"), filepath.Join(home, ".timestamp.yml"), filepath.Join(home, ".timestamp.json")})
		}
	}
	if file == "" {
		return nil
	}
	// One file serves all commands: a key may be a flag of another one.
	fromFile, err := peer.ReadFile(file, func(flag string) bool { return has(root, flag) })
	if err != nil {
		return err
	}
	return peer.Apply(cmd.Flags(), fromFile)
}

// variables are those that may hold a flag.
func variables(flag string) []string {
	if slices.Contains([]string{"help", "json"}, flag) {
		return nil
	}
	return []string{"TIMESTAMP_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))}
}

// has says whether a command below cmd has a flag.
func has(cmd *cobra.Command, flag string) bool {
	if cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil {
		return true
	}
	return slices.ContainsFunc(cmd.Commands(), func(c *cobra.Command) bool {
		return c.Name() != "completion" && c.Name() != "help" && has(c, flag)
	})
}

// serverValue is the URL of an authority.
type serverValue string

func (v *serverValue) String() string { return string(*v) }
func (*serverValue) Type() string     { return "url" }

func (v *serverValue) Set(text string) error {
	if !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return fmt.Errorf("%q does not begin with http:// or https://", text)
	}
	*v = serverValue(text)
	return nil
}

// timeoutValue is a positive duration.
type timeoutValue time.Duration

func (v *timeoutValue) String() string { return time.Duration(*v).String() }
func (*timeoutValue) Type() string     { return "timeout" }

func (v *timeoutValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 30s", text)
	}
	if d <= 0 {
		return fmt.Errorf("%s leaves no time to answer", text)
	}
	*v = timeoutValue(d)
	return nil
}

var (
	_ pflag.Value = (*serverValue)(nil)
	_ pflag.Value = (*timeoutValue)(nil)
)
