package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Mirror lets environment variables stand in for the named flags of cmd: the
// flag "data-dir" is PREFIX_DATA_DIR, where the prefix is the program's name in
// capitals. A flag on the command line wins. A variable whose value the flag
// does not take is an error, as it would be on the command line.
func Mirror(env *Env, cmd *cobra.Command, flags ...string) {
	for _, name := range flags {
		flag := cmd.Flags().Lookup(name)
		if flag == nil {
			panic("cli: internal error: no flag " + name)
		}
		flag.Usage += " ($" + EnvName(env.Program, name) + ")"
	}
	before := cmd.PreRunE
	cmd.PreRunE = func(c *cobra.Command, args []string) error {
		for _, name := range flags {
			variable := EnvName(env.Program, name)
			value := env.Getenv(variable)
			if value == "" || c.Flags().Changed(name) {
				continue
			}
			if err := c.Flags().Set(name, value); err != nil {
				return Usagef("environment variable %s: %w", variable, err)
			}
		}
		if before != nil {
			return before(c, args)
		}
		return nil
	}
}

// EnvName is the environment variable that mirrors a flag of a program.
func EnvName(program, flag string) string {
	return strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("%s_%s", program, flag), "-", "_"))
}
