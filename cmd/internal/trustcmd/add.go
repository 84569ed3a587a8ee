package trustcmd

import (
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

// addJSON is the answer of "trust add --json".
type addJSON struct {
	Added []addedJSON `json:"added"`
}

type addedJSON struct {
	// Source is the file as it was named, Path where its certificates are now.
	Source string          `json:"source"`
	Type   truststore.Type `json:"type"`
	Store  string          `json:"store"`
	Path   string          `json:"path"`
	// Present says that they were all there before.
	Present      bool                  `json:"present"`
	Certificates []inspect.Certificate `json:"certificates"`
	Warnings     []string              `json:"warnings,omitempty"`
}

func newAdd(env *cli.Env) *cobra.Command {
	o := storeOptions{place: place{env: env}}
	cmd := &cobra.Command{
		Use:   "add --type TYPE --store NAME FILE...",
		Short: "Add certificates to a trust store",
		Long: `Add the certificates of files, in PEM or DER, to a trust store, which is made if
there is none. All files are added or none. What no signature could be verified
with is refused at once, and nothing that is there is replaced.

Exit status: 0 they are in the store, 1 a certificate does not go into it, 2 a
file could not be read or written, or its name is taken.`,
		Example: `  fencepost trust add --type ca --store acme-rockets root.pem
  fencepost trust add --type tsa --store acme-tsa tsa-root.pem`,
		Args: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				return cli.Usagef("nothing to add: name a file with certificates")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, files []string) error { return o.add(files) },
	}
	o.flags(cmd)
	return cmd
}

func (o *storeOptions) add(files []string) error {
	if err := o.need(); err != nil {
		return err
	}
	env := o.env
	store, kind, err := o.open()
	if err != nil {
		return err
	}
	added, err := store.Add(kind, o.name, files...)
	if err != nil {
		return refused(err)
	}
	answer := addJSON{Added: []addedJSON{}}
	for _, a := range added {
		answer.Added = append(answer.Added, addedJSON{
			Source: a.Source, Type: kind, Store: o.name, Path: a.Path, Present: a.Present,
			Certificates: inspect.DescribeChain(a.Certificates), Warnings: a.Warnings,
		})
	}
	if env.JSON {
		return env.WriteJSON(answer)
	}
	for _, a := range answer.Added {
		for _, w := range a.Warnings {
			env.Warn("%s: %s", a.Source, w)
		}
		what := "added"
		if a.Present {
			what = "there already"
		}
		if err := env.Answer("%s:%s: %s: %s", a.Type, a.Store, what, subjects(a.Certificates)); err != nil {
			return err
		}
	}
	return nil
}
