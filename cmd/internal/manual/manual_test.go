package manual_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/manual"
)

// program has a command "make" with an option of each kind.
func program() *cobra.Command {
	root := &cobra.Command{Use: "prog"}
	root.PersistentFlags().Bool("json", false, "")
	run := func(*cobra.Command, []string) {}
	mk := &cobra.Command{Use: "make", Run: run}
	mk.Flags().String("out", "", "where ($PROG_OUT)")
	mk.Flags().Duration("wait", 5*time.Minute, "")
	mk.Flags().StringSlice("kind", []string{"a"}, "")
	mk.Flags().String("secret", "", "")
	if err := mk.Flags().MarkHidden("secret"); err != nil {
		panic(err)
	}
	root.AddCommand(mk)
	return root
}

const good = `.TH PROG 1
.SH NAME
prog \- make
.SH SYNOPSIS
.B prog make
.SH DESCRIPTION
\fBmake\fR makes.
.SH OPTIONS
.TP
.B \-\-json
JSON.
.TP
.BR \-h ", " \-\-help
Help.
.SS make
.TP
.BI \-\-out " FILE"
.TQ
.BI \-\-kind " KIND"
Where, and what. The default is a.
.TP
.BI \-\-wait " TIME"
How long. The
default is 5m.
.SH EXIT STATUS
0
.SH ENVIRONMENT
PROG_OUT
.SH FILES
None.
.SH EXAMPLES
prog make \-\-out x
.SH SEE ALSO
.BR other (1)
`

func TestProblems(t *testing.T) {
	for _, test := range []struct {
		name, old, new, want string
	}{
		{"good", "", "", ""},
		{"no section", ".SH FILES\n", "", "no section FILES"},
		{"sections in another order", ".SH NAME", ".SH SYNOPSIS\n.SH NAME", ""},
		{"section missing at the end", ".SH SEE ALSO", ".SH ALSO", "no section SEE ALSO"},
		{"option missing", ".TP\n.BI \\-\\-wait \" TIME\"\nHow long. The\ndefault is 5m.\n", "", "option --wait of prog make is not described"},
		{"option below another tag missing", ".TQ\n.BI \\-\\-kind \" KIND\"\n", "", "option --kind of prog make is not described"},
		{"common option missing", ".TP\n.B \\-\\-json\nJSON.\n", "", "option --json of prog make is not described"},
		{"option too many", ".SH EXIT", ".TP\n.B \\-\\-force\nx\n.SH EXIT", "prog make has no option --force"},
		{"option of nobody in the text", "None.", "None but \\-\\-this.", "--this is no option of prog"},
		{"hidden option", ".SH EXIT", ".TP\n.B \\-\\-secret\nx\n.SH EXIT", "prog make has no option --secret"},
		{"other default", "default is 5m", "default is 5s", "does not say that the default is 5m"},
		{"default of a list", "default is a", "default is b", "does not say that the default is a"},
		{"no variable", "PROG_OUT", "", "the variable PROG_OUT for --out is not mentioned"},
		{"hidden file at the beginning of a line", "None.", "None, not even\n.prog here.", ".prog at the beginning of a line is no macro"},
		{"unknown command", ".SS make", ".SS mike", `"mike" in OPTIONS is not a command`},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := program()
			got := manual.Problems([]byte(strings.Replace(good, test.old, test.new, 1)), root, root)
			if test.want == "" && len(got) > 0 || test.want != "" &&
				!slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, test.want) }) {
				t.Errorf("problems: %q, want %q", got, test.want)
			}
		})
	}
}
