package trustcmd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

type deleteOptions struct {
	storeOptions
	all bool
	yes bool
}

// deleteJSON is the answer of "trust delete --json".
type deleteJSON struct {
	Type  truststore.Type `json:"type"`
	Store string          `json:"store"`
	// Deleted are the names of the files that are gone.
	Deleted  []string `json:"deleted"`
	Warnings []string `json:"warnings,omitempty"`
}

func newDelete(env *cli.Env) *cobra.Command {
	o := deleteOptions{storeOptions: storeOptions{place: place{env: env}}}
	cmd := &cobra.Command{
		Use:   "delete --type TYPE --store NAME (--all | FILE)",
		Short: "Delete certificates of a trust store",
		Long: `Delete a file of a trust store, or with --all the store. At a terminal you are
asked first; elsewhere --yes is needed.

Exit status: 0 it is deleted, 1 you said no, 2 it could not be deleted.`,
		Example: `  fencepost trust delete --type ca --store acme-rockets root.pem
  fencepost trust delete --type ca --store acme-rockets --all --yes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case o.all && len(args) > 0:
				return cli.Usagef("--all takes the place of a file, and %s is given", args[0])
			case !o.all && len(args) == 0:
				return cli.Usagef("nothing to delete: name a file, as trust list shows it, or give --all")
			case o.all:
				return o.run("")
			}
			return o.run(args[0])
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "delete the store with everything in it")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	return cmd
}

// run deletes a file, or the store if file is "".
func (o *deleteOptions) run(file string) error {
	if err := o.need(); err != nil {
		return err
	}
	store, kind, err := o.open()
	if err != nil {
		return err
	}
	if !o.yes {
		question, err := o.question(store, kind, file)
		if err != nil {
			return refused(err)
		}
		if err := confirm(o.env, question); err != nil {
			return err
		}
	}
	answer := deleteJSON{Type: kind, Store: o.name, Deleted: []string{}}
	if o.all {
		answer.Deleted, err = store.DeleteAll(kind, o.name)
	} else {
		var path string
		if path, err = store.Delete(kind, o.name, file); err == nil {
			answer.Deleted = append(answer.Deleted, filepath.Base(path))
		}
	}
	if err != nil {
		return refused(err)
	}
	if w := systemAgain(store, kind, o.name); w != "" {
		answer.Warnings = []string{w}
	}
	if o.env.JSON {
		return o.env.WriteJSON(answer)
	}
	for _, w := range answer.Warnings {
		o.env.Warn("%s", w)
	}
	for _, name := range answer.Deleted {
		if err := o.env.Answer("%s:%s: deleted: %s", kind, o.name, name); err != nil {
			return err
		}
	}
	return nil
}

// systemAgain is the warning when the last certificate of tsa:system is gone:
// the statements that name it trust more than before, and not nobody.
func systemAgain(store *truststore.Store, kind truststore.Type, name string) string {
	if kind != truststore.TSA || name != truststore.System {
		return ""
	}
	if _, err := store.List(truststore.Filter{Type: kind, Store: name}); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return "the store tsa:system is again the certificate store of this system, and every root in it"
}

// question says what is about to be deleted. Nobody is asked about what is not
// there.
func (o *deleteOptions) question(store *truststore.Store, kind truststore.Type, file string) (string, error) {
	if o.all {
		entries, err := store.List(truststore.Filter{Type: kind, Store: o.name})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("Delete the trust store %s:%s with %s?", kind, o.name, cli.Plural(len(entries), "file")), nil
	}
	e, err := store.Show(kind, o.name, file)
	if err != nil {
		return "", err
	}
	what := ""
	if len(e.Certificates) > 0 {
		what = ", " + subjects(describe(e).Certificates) + ","
	}
	return fmt.Sprintf("Delete %s%s from the trust store %s:%s?", file, what, kind, o.name), nil
}
