// Package keycmd is "fencepost key": it makes the keys that services sign with,
// wherever a URI can name them, and says what is at a URI.
package keycmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/namedkey"
	"github.com/fencepost-tsa/fencepost/signer"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Make keys and show what they are",
		Long: `Make the keys that services sign with, in files, key management services and
tokens, and show the public half of a key that there is.

A key is named by a URI, as in the configuration of a server.`,
	}
	cmd.AddCommand(newCreate(env), newShow(env))
	return cmd
}

func newCreate(env *cli.Env) *cobra.Command {
	o := options{env: env}
	cmd := &cobra.Command{
		Use:   "create URI",
		Short: "Make a key where there is none",
		Long: `Make a key where a URI says, and show it. A key that is there is never replaced.

Files, AWS KMS, Google Cloud KMS, Azure Key Vault, Vault, OpenBao, PKCS #11 tokens
and Tink keysets can be told to make a key.`,
		Example: `  fencepost key create 'file:/etc/fencepost/key.pem?passphrase-file=/run/secrets/tsa'
  fencepost key create hashivault://tsa --type p384 -o tsa.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.create(cmd.Context(), args[0]) },
	}
	var types []string
	for _, t := range signer.KeyTypes() {
		types = append(types, string(t))
	}
	cmd.Flags().StringVar(&o.keyType, "type", string(signer.P256), "the `type` of the key: "+strings.Join(types, ", "))
	o.flags(cmd)
	return cmd
}

func newShow(env *cli.Env) *cobra.Command {
	o := options{env: env}
	cmd := &cobra.Command{
		Use:   "show URI",
		Short: "Show the public half of a key, and prove the private one",
		Long: `Show where a key is, its kind, the hash that it signs with, and its public half.
Nothing is signed unless --prove asks for it.`,
		Example: `  fencepost key show file:key.pem --pem > tsa.pub
  fencepost key show hashivault://tsa --prove`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.show(cmd.Context(), args[0]) },
	}
	o.flags(cmd)
	return cmd
}

// options are those of one command.
type options struct {
	env     *cli.Env
	keyType string // of a key to be made
	pem     bool
	out     string
	prove   bool
}

func (o *options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.pem, "pem", false, "write the public key in PEM, and nothing else")
	f.StringVarP(&o.out, "out", "o", "", "write the public key in PEM to this `file` as well")
	f.BoolVar(&o.prove, "prove", false, "have the key sign once, and check the signature")
}

func (o *options) create(ctx context.Context, text string) error {
	kind, err := signer.ParseKeyType(o.keyType)
	if err != nil {
		return cli.Usagef("--type: %w", err)
	}
	u, err := o.parse(text)
	if err != nil {
		return err
	}
	if u.Scheme == signer.SchemeMemory {
		return cli.Usagef("a key in memory is made by the process that signs with it, and ends with it")
	}
	// What can be known to fail is found before a key is made for good.
	if err := o.env.Vacant(o.file(u, nil)); err != nil {
		return err
	}
	key, err := kms.Create(ctx, u, kind, o.config())
	if err != nil {
		return err
	}
	defer key.Close()
	if err := o.tell(ctx, key); err != nil {
		return fmt.Errorf("the key was made, but: %w", err)
	}
	return nil
}

func (o *options) show(ctx context.Context, text string) error {
	u, err := o.parse(text)
	if err != nil {
		return err
	}
	key, err := namedkey.Open(ctx, o.env, u, nil)
	if u.Scheme == signer.SchemeFile && fault.KindOf(err) == fault.NotFound {
		return cli.Hint(err, "fencepost key create makes a key")
	} else if err != nil {
		return err
	}
	defer key.Close()
	return o.tell(ctx, key)
}

func (o *options) parse(text string) (signer.URI, error) {
	if o.env.JSON && o.pem {
		return signer.URI{}, cli.Usagef("--json has the public key in PEM already; give one of --json and --pem")
	}
	u, err := signer.ParseURI(text)
	if err != nil {
		return signer.URI{}, cli.Usagef("%w", err)
	}
	if u.Scheme == signer.SchemeExec {
		// Whoever may choose the arguments of this command must not thereby choose
		// a program: scripts pass on what they were given.
		return signer.URI{}, cli.Hint(cli.Usagef("no program is started for a key that a command line names"),
			"name it in the configuration of a server, tsa.key; PROGRAM public writes the public key")
	}
	return u, nil
}

func (o *options) config() kms.Config {
	return kms.Config{LookupEnv: o.env.LookupEnv}
}

// file is the one that -o names. It is none of the files of the key.
func (o *options) file(u signer.URI, data []byte) cli.File {
	f := cli.File{Path: o.out, Data: data}
	for _, name := range []string{u.LocalPath(), u.PassphraseFile, u.TokenFile} {
		if name != "" {
			f.Inputs = append(f.Inputs, name)
		}
	}
	return f
}
