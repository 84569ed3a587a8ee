package trustcmd

import (
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

type importOptions struct {
	policyOptions
	check bool
}

// importJSON is the answer of "policy import --json" and "policy init --json".
type importJSON struct {
	// File is the one that was read, or written with --out.
	File string `json:"file,omitempty"`
	Kind string `json:"kind"` // "image" or "blob"
	verdict
	// Imported says that the document is in force now, as Path; Replaced, that
	// it took the place of another. Removed is the file that had the old name of
	// a policy for images.
	Imported bool   `json:"imported"`
	Replaced bool   `json:"replaced,omitempty"`
	Path     string `json:"path,omitempty"`
	Removed  string `json:"removed,omitempty"`
}

func newImport(env *cli.Env) *cobra.Command {
	o := importOptions{policyOptions: policyOptions{place: place{env: env}}}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Put a trust policy into force",
		Long: `Put a trust policy into force, that for images or with --blob that for files.
Every fault of the document is named, with its line and what to do, and nothing
is changed then. "-" is standard input.

A policy that is in force already is replaced with --force only. Members that
nobody reads are faults, since they are mistyped more often than meant, unless
--force is given.

Exit status: 0 it is in force (or, with --check, would be taken), 1 it has
faults, 2 it could not be read or written, or another is in force.`,
		Example: `  fencepost policy import --check trustpolicy.json
  fencepost policy import trustpolicy.json
  fencepost policy import --blob --force blobpolicy.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return o.run(args[0]) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.force, "force", false, "replace the policy that is in force, and let members pass that nobody reads")
	f.BoolVar(&o.check, "check", false, "only say what is wrong with the document, and change nothing")
	return cmd
}

func (o *importOptions) run(file string) error {
	env := o.env
	d, err := o.dir()
	if err != nil {
		return err
	}
	data, err := env.ReadFile(file, maxPolicy)
	if err != nil {
		return err
	}
	s := strict
	if o.force {
		s = lenient
	}
	v, err := o.judge(data, d, s)
	if err != nil {
		return err
	}
	answer := importJSON{File: file, Kind: o.kind(), verdict: v}
	if !v.Valid {
		if !env.JSON {
			return v.refusal(named(file))
		}
		if err := env.WriteJSON(answer); err != nil {
			return err
		}
		return cli.Silently(cli.No)
	}
	if !o.check {
		if err := o.enforce(d, data, &answer); err != nil {
			return err
		}
	}
	return o.answer(answer)
}

// answer says what was done with a valid document.
func (o *policyOptions) answer(a importJSON) error {
	switch env := o.env; {
	case env.JSON:
		return env.WriteJSON(a)
	case a.Imported:
		a.warn(env, a.Path)
		if a.Removed != "" {
			env.Errorf("removed %s, which %s replaces", a.Removed, a.Path)
		}
		return env.Answer("%s: in force for %s", a.Path, o.noun())
	default:
		a.warn(env, named(a.File))
		return env.Answer("%s: a valid trust policy for %s of %s", named(a.File), o.noun(), cli.Plural(len(a.document.Statements), "statement"))
	}
}
