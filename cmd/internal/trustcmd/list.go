package trustcmd

import (
	"bytes"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

// listJSON is the answer of "trust list --json".
type listJSON struct {
	Files []fileJSON `json:"files"`
}

func newList(env *cli.Env) *cobra.Command {
	o := storeOptions{place: place{env: env}}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List what is in the trust stores",
		Long: `List the certificates of the trust stores, a line each, or those of the stores
that --type and --store choose. A store with which nothing verifies says why.

Exit status: 0 all can be used, 1 one cannot, 2 they could not be read, or there
is none of that name.`,
		Example: `  fencepost trust list
  fencepost trust list --type tsa`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.list() },
	}
	o.flags(cmd)
	return cmd
}

func (o *storeOptions) list() error {
	env := o.env
	store, kind, err := o.open()
	if err != nil {
		return err
	}
	entries, err := store.List(truststore.Filter{Type: kind, Store: o.name})
	if err != nil {
		return refused(err)
	}
	answer := listJSON{Files: []fileJSON{}}
	code := cli.OK
	for _, e := range entries {
		answer.Files = append(answer.Files, describe(e))
		if e.Err != nil {
			code = cli.No
		}
	}
	switch {
	case env.JSON:
		err = env.WriteJSON(answer)
	case len(answer.Files) == 0:
		err = env.Answer("no trust store has a certificate")
	default:
		err = answer.write(env)
	}
	if err != nil {
		return err
	}
	return cli.Silently(code)
}

// write draws the table.
func (a *listJSON) write(env *cli.Env) error {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "STORE TYPE\tSTORE NAME\tCERTIFICATE\tEXPIRES\tSUBJECT")
	for _, f := range a.Files {
		row := func(expires, subject string) {
			// A tab would be a column.
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", f.Type, cli.Printable(f.Store), cli.Printable(orDash(f.File)), expires, cli.Printable(subject))
		}
		for _, c := range f.Certificates {
			row(c.NotAfter.Format(time.DateOnly), c.Subject)
		}
		if f.Error != "" {
			row("-", "CANNOT BE USED: "+f.Error)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := env.Stdout.Write(b.Bytes())
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newShow(env *cli.Env) *cobra.Command {
	o := storeOptions{place: place{env: env}}
	cmd := &cobra.Command{
		Use:   "show --type TYPE --store NAME FILE",
		Short: "Show the certificates of a file in a trust store",
		Long: `Show the certificates of a file in a trust store, which is named as trust list
shows it.

Exit status: 0 it can be used, 1 it cannot, 2 it could not be read.`,
		Example: `  fencepost trust show --type tsa --store acme-tsa tsa-root.pem`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return o.show(args[0]) },
	}
	o.flags(cmd)
	return cmd
}

func (o *storeOptions) show(file string) error {
	if err := o.need(); err != nil {
		return err
	}
	env := o.env
	store, kind, err := o.open()
	if err != nil {
		return err
	}
	e, err := store.Show(kind, o.name, file)
	if err != nil {
		return refused(err)
	}
	answer := describe(e)
	if env.JSON {
		err = env.WriteJSON(answer)
	} else {
		root := &inspect.Node{Text: answer.Path}
		for _, c := range answer.Certificates {
			grow(root, c)
		}
		if answer.Error != "" {
			root.Add("CANNOT BE USED: " + answer.Error)
		}
		err = root.Write(env.Stdout)
	}
	if err == nil && e.Err != nil {
		err = cli.Silently(cli.No)
	}
	return err
}
