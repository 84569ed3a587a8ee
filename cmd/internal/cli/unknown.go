package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// elsewhere is what the keys of annotations begin with that [Elsewhere] makes.
const elsewhere = "elsewhere "

// Elsewhere has cmd say what takes the place of commands and flags that it does
// not have and people who know another program type: a hint for each name of a
// command, of which cmd may be the parent, and of a flag, with its dashes, for
// cmd and all commands below.
func Elsewhere(cmd *cobra.Command, hints map[string]string) {
	if cmd.Annotations == nil {
		cmd.Annotations = make(map[string]string)
	}
	for name, hint := range hints {
		cmd.Annotations[elsewhere+name] = hint
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	err := fmt.Errorf("unknown command %q for %q", name, c.CommandPath())
	if hint := c.Annotations[elsewhere+name]; hint != "" {
		return &Error{Hint: hint, Err: err}
	}
	c.SuggestionsMinimumDistance = max(c.SuggestionsMinimumDistance, 2)
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return &Error{Hint: "did you mean " + strings.Join(near, ", ") + "?", Err: err}
	}
	return &Error{Usage: true, Err: err}
}

// wrongFlag is the error of a flag that c cannot read. Where the command before
// it is not known, no flag of that is: the command is what is wrong.
func wrongFlag(c *cobra.Command, err error) error {
	if before := c.Flags().Args(); c.HasSubCommands() && len(before) > 0 {
		return unknownCommand(c, before[0])
	}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := "--" + unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			name = name[1:]
		}
		for p := c; p != nil; p = p.Parent() {
			if hint := p.Annotations[elsewhere+name]; hint != "" {
				return &Error{Hint: hint, Err: err}
			}
		}
	}
	var value *pflag.InvalidValueError
	if errors.As(err, &value) && value.GetFlag().Value.Type() == "duration" {
		return &Error{Hint: "a duration is in h, m and s: 30 days are 720h", Err: err}
	}
	return &Error{Usage: true, Err: err}
}
