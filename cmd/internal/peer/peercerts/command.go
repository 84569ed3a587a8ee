// Package peercerts is fetch-tsa-certs: it makes the certificate chain for a
// timestamping key, with the flags and the certificates of its namesake in
// sigstore/timestamp-authority.
//
// The key of the leaf is in a KMS or in a Tink keyset, that of its issuer, the
// parent, in a KMS. The parent is certified by Google CA Service, or by itself.
// What is made is held against the rules of [pki.Check] before it is written.
//
// Both spellings of a flag work where the documentation of the namesake has
// another than its program, flags may have one dash as with package flag, and
// any key URI of this module names a key. A Google client is made only when
// Google is to issue.
package peercerts

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/api/option"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/gcpca"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

const (
	// defaultValidity is that of the namesake, in days.
	defaultValidity = 20 * 365

	// maxValidity keeps dates in the years that everybody can write: GeneralizedTime
	// ends with 9999, and no root lives for a century.
	maxValidity = 100 * 365
)

// Config is what the command has besides its flags.
type Config struct {
	// Google are options for the client of Google CA Service. None means the
	// service itself.
	Google []option.ClientOption
}

type options struct {
	env *cli.Env
	cfg Config

	gcpRoot, gcpParent         string
	parentKey, intermediateKey string
	validity                   int
	leafKey                    string
	tinkKey, tinkKeyset        string
	tinkTokenFile              string
	orgName                    string
	output                     string
}

// answerJSON is the answer with --json.
type answerJSON struct {
	// Output is the file with the chain.
	Output       string                `json:"output"`
	Certificates []inspect.Certificate `json:"certificates"`
	Findings     []pki.Finding         `json:"findings"`
}

// New returns the command.
func New(env *cli.Env, cfg Config) *cobra.Command {
	o := &options{env: env, cfg: cfg}
	cmd := &cobra.Command{
		Use:   "fetch-tsa-certs --parent-kms-resource URI --leaf-kms-resource URI --output FILE",
		Short: "Make the certificate chain of a timestamp authority",
		Long: `Make the certificate chain for a timestamping key: its own certificate, issued by
a parent whose key is in a KMS. With --gcp-ca-root the parent is an intermediate
that Google CA Service certifies, without it a root that signs itself.

A key is named by any key URI, such as gcpkms://, awskms://, azurekms://,
hashivault://, pkcs11: or file:. The key of the leaf may also be a Tink keyset.

The exit status is 0, or 1 whatever went wrong.`,
		Example: `  fetch-tsa-certs --parent-kms-resource=hashivault://parent \
    --leaf-kms-resource=hashivault://tsa --org-name=Example --output=chain.pem
  fetch-tsa-certs --gcp-ca-root=projects/P/locations/L/caPools/POOL \
    --parent-kms-resource=gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/parent/versions/1 \
    --tink-kms-resource=gcp-kms://projects/P/locations/L/keyRings/R/cryptoKeys/kek \
    --tink-keyset-path=keyset.json --output=chain.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&o.gcpRoot, "gcp-ca-root", "", "have Google CA Service certify the parent: the `name` of a CA pool, projects/P/locations/L/caPools/POOL, or of a CA in it; without it the parent signs itself")
	f.StringVar(&o.gcpParent, "gcp-ca-parent", "", "another spelling of --gcp-ca-root, that of the namesake's documentation (`name`)")
	f.StringVar(&o.parentKey, "parent-kms-resource", "", "the `URI` of the key of the parent; required")
	f.StringVar(&o.intermediateKey, "intermediate-kms-resource", "", "another spelling of --parent-kms-resource (`URI`)")
	f.IntVar(&o.validity, "parent-validity", defaultValidity, "how many `days` the parent is valid, and the leaf as long; Google cuts it to what its CA has left")
	f.StringVar(&o.leafKey, "leaf-kms-resource", "", "the `URI` of the timestamping key")
	f.StringVar(&o.tinkKeyset, "tink-keyset-path", "", "the `file` with the Tink keyset that has the timestamping key")
	f.StringVar(&o.tinkKey, "tink-kms-resource", "", "the `URI` of the key that decrypts the keyset: gcp-kms://, aws-kms:// or hcvault://")
	f.StringVar(&o.tinkTokenFile, "tink-hcvault-token-file", "", "the `file` with the Vault token for a hcvault:// key")
	f.StringVar(&o.orgName, "org-name", "", "the `name` of the organization in the certificates that are made; none if not given")
	f.StringVar(&o.output, "output", "", "write the chain to this `file`, replacing what is there (\"-\": standard output); required")
	cmd.PersistentFlags().BoolVar(&env.JSON, "json", false, "write what was made, or the error, as one JSON document")
	// The flag, which the namesake does not have, was defined in the line above.
	_ = cmd.PersistentFlags().MarkHidden("json")
	return cmd
}

// Args spells the flags of a command line with two dashes. The namesake reads
// its flags with package flag, which takes one as well.
func Args(args []string) []string {
	flags := New(new(cli.Env), Config{}).Flags()
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, _, valued := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		flag := flags.Lookup(name)
		if !strings.HasPrefix(arg, "-") || flag == nil && name != "help" {
			out = append(out, arg)
			continue
		}
		out = append(out, "--"+strings.TrimLeft(arg, "-"))
		if flag != nil && !valued && flag.NoOptDefVal == "" && i+1 < len(args) {
			i++
			out = append(out, args[i]) // its value, which may look like a flag
		}
	}
	return out
}

// plan is what the flags come to.
type plan struct {
	google       bool
	googleParent gcpca.Parent
	parent, leaf signer.URI
	output       cli.File
}

// plan looks at the flags, and at nothing that they name.
func (o *options) plan() (*plan, error) {
	p := new(plan)
	parentName, parentKey, err := either("parent-kms-resource", o.parentKey, "intermediate-kms-resource", o.intermediateKey)
	if err != nil {
		return nil, err
	}
	googleName, google, err := either("gcp-ca-root", o.gcpRoot, "gcp-ca-parent", o.gcpParent)
	if err != nil {
		return nil, err
	}
	switch {
	case parentKey == "":
		return nil, cli.Usagef("--parent-kms-resource must be set")
	case o.leafKey == "" && o.tinkKeyset == "" && o.tinkKey == "":
		return nil, cli.Usagef("either --leaf-kms-resource or --tink-keyset-path must be set")
	case o.leafKey != "" && (o.tinkKeyset != "" || o.tinkKey != "" || o.tinkTokenFile != ""):
		return nil, cli.Usagef("--leaf-kms-resource names a key in a KMS, and the flags that begin with --tink one in a keyset; give one of them")
	case o.leafKey == "" && (o.tinkKeyset == "" || o.tinkKey == ""):
		return nil, cli.Usagef("--tink-keyset-path must be set with --tink-kms-resource, and that with it")
	case o.tinkTokenFile != "" && !strings.HasPrefix(o.tinkKey, "hcvault://"):
		return nil, cli.Usagef("--tink-hcvault-token-file is for a --tink-kms-resource that begins with hcvault://")
	case o.validity < 1 || o.validity > maxValidity:
		return nil, cli.Usagef("--parent-validity %d is not 1 to %d days", o.validity, maxValidity)
	case o.output == "":
		return nil, cli.Usagef("--output must be set")
	case o.output == "-" && o.env.JSON:
		return nil, cli.Usagef("--json and --output - would both write to standard output")
	}
	if p.google = google != ""; p.google {
		if p.googleParent, err = gcpca.ParseParent(google); err != nil {
			return nil, cli.Usagef("--%s: %w", googleName, err)
		}
	}
	if p.parent, err = keyURI(parentName, parentKey); err != nil {
		return nil, err
	}
	if o.leafKey != "" {
		p.leaf, err = keyURI("leaf-kms-resource", o.leafKey)
	} else {
		p.leaf, err = o.tinkURI()
	}
	if err != nil {
		return nil, err
	}
	// As the namesake has it: owner only, and what is there is replaced.
	p.output = cli.File{Path: o.output, Mode: 0o600}
	for _, u := range []signer.URI{p.parent, p.leaf} {
		for _, name := range []string{u.Path, u.PassphraseFile, u.TokenFile} {
			if name != "" {
				p.output.Inputs = append(p.output.Inputs, name)
			}
		}
	}
	return p, nil
}

// either returns the value that two spellings of a flag have, and the name of
// the one that was used.
func either(a, valueA, b, valueB string) (name, value string, err error) {
	switch {
	case valueB == "":
		return a, valueA, nil
	case valueA == "" || valueA == valueB:
		return b, valueB, nil
	}
	return "", "", cli.Usagef("--%s and --%s are one flag with two spellings, and have different values; give one of them", a, b)
}

// tinkURI makes one URI of what the namesake has in several flags.
func (o *options) tinkURI() (signer.URI, error) {
	for _, scheme := range []string{"gcp-kms://", "aws-kms://", "hcvault://"} {
		if !strings.HasPrefix(o.tinkKey, scheme) {
			continue
		}
		u := signer.URI{Scheme: signer.SchemeTink, WrappingKey: o.tinkKey}
		var err error
		if u.Path, err = filepath.Abs(o.tinkKeyset); err != nil {
			return signer.URI{}, err
		}
		if o.tinkTokenFile != "" {
			if u.TokenFile, err = filepath.Abs(o.tinkTokenFile); err != nil {
				return signer.URI{}, err
			}
		}
		// Through the parser, which knows what may be in it.
		if u, err = signer.ParseURI(u.String()); err != nil {
			return signer.URI{}, cli.Usagef("--tink-kms-resource, --tink-keyset-path: %w", err)
		}
		return u, nil
	}
	return signer.URI{}, cli.Usagef("--tink-kms-resource %.80q does not begin with gcp-kms://, aws-kms:// or hcvault://", o.tinkKey)
}

func (o *options) run(cmd *cobra.Command) error {
	p, err := o.plan()
	if err != nil {
		return err
	}
	// Before anything is certified that cannot be taken back.
	if err := o.writable(p.output); err != nil {
		return err
	}
	made, err := o.make(cmd.Context(), p)
	if err != nil {
		return err
	}
	for _, f := range made.report.Findings {
		if f.Severity == pki.Warning {
			o.env.Warn("%v", f)
		}
	}
	p.output.Data = pki.EncodeChain(made.chain)
	if err := o.env.Write(p.output); err != nil {
		return err
	}
	if o.env.JSON {
		return o.env.WriteJSON(answerJSON{o.output, inspect.DescribeChain(made.chain), made.report.Findings})
	}
	return nil // the namesake says nothing
}

// writable refuses an output that could not be written in the end.
func (o *options) writable(f cli.File) error {
	if err := o.env.Vacant(f); err != nil || f.Path == "-" {
		return err
	}
	if st, err := os.Stat(f.Path); err == nil && st.IsDir() {
		return cli.Usagef("--output %s is a directory", f.Path)
	}
	dir := filepath.Dir(f.Path)
	switch st, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return cli.Hint(fmt.Errorf("--output %s: there is no directory %s", f.Path, dir), "make it, or name another file")
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("--output %s: %s is not a directory", f.Path, dir)
	}
	return nil
}

// sameKey reports whether two public keys are one.
func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
