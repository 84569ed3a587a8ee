package certcmd

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// The names of the files that "cert create" makes.
const (
	keyFile             = "key.pem"
	chainFile           = "chain.pem"
	rootFile            = "root.pem"
	rootKeyFile         = "root-key.pem"
	intermediateKeyFile = "intermediate-key.pem"
)

type createOptions struct {
	role           string
	keyType        string
	key            string
	out            string
	passphraseFile string
	caKeys         string
	issuer         string
	issuerKey      string

	commonName, organization, country string

	validity, intermediateValidity, rootValidity, keyPeriod span
	crls, rootCRLs                                          []string

	validityGiven bool // --validity is not its default
}

// createJSON is the answer of "cert create --json".
type createJSON struct {
	Role string `json:"role"`
	// Key is the URI of the key that was made or given.
	Key string `json:"key"`
	// Chain and Root are the files with the certificates.
	Chain string `json:"chain"`
	Root  string `json:"root,omitempty"`
	// CAKeys are the files with the keys of the root and the intermediate,
	// absent when they were not kept.
	CAKeys []string `json:"caKeys,omitempty"`
	// PrivateKeyNotAfter is when the use of the key ends, absent when nothing
	// ends it before the certificate.
	PrivateKeyNotAfter *time.Time            `json:"privateKeyNotAfter,omitempty"`
	Certificates       []inspect.Certificate `json:"certificates"`
	Findings           []pki.Finding         `json:"findings"`
}

func newCreate(env *cli.Env) *cobra.Command {
	o := createOptions{
		validity: span{years: 10}, intermediateValidity: span{years: 15}, rootValidity: span{years: 20},
	}
	cmd := &cobra.Command{
		Use:   "create --out DIR",
		Short: "Make a certificate chain, and the key for it",
		Long: `Make a certificate chain for a signing service: a root, an intermediate and the
service's own certificate, and the key for it. Three files are made in DIR, none
of which may be there before:

  key.pem    the private key, readable by its owner only
  chain.pem  the service's certificate, the intermediate, the root
  root.pem   the root alone, for those who verify

With --key the key is one that there is, and no key.pem is made.

The private keys of the root and the intermediate exist only while the command
runs, unless --keep-ca-keys says where they go. Without them no other
certificate and no revocation list can ever be issued below this root. With them,
--issuer and --issuer-key make a further certificate below the same root.`,
		Example: `  fencepost cert create --out /etc/fencepost --organization Example --country DE
  fencepost cert create --out next --key-type rsa3072 --private-key-usage-period 15mo
  fencepost cert create --out 2027 --issuer 2026/chain.pem --issuer-key file:ca/intermediate-key.pem`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, env) },
	}
	var types []string
	for _, t := range signer.KeyTypes() {
		types = append(types, string(t))
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "the `directory` for what is made; it is made too if it is not there (required)")
	f.StringVar(&o.role, "role", string(pki.RoleTSA), "what the chain is for: tsa, a timestamp authority")
	f.StringVar(&o.keyType, "key-type", string(signer.P256), "the `type` of the key, and of the keys of its CAs: "+strings.Join(types, ", "))
	f.StringVar(&o.key, "key", "", "certify the key of this `URI`, such as file:key.pem, instead of making one")
	f.StringVar(&o.passphraseFile, "passphrase-file", "", "encrypt the keys that are written with the passphrase in this `file`")
	f.StringVar(&o.caKeys, "keep-ca-keys", "", "keep the keys of the root and the intermediate in this `directory`")
	f.StringVar(&o.issuer, "issuer", "", "issue the certificate below the lowest CA of the chain in this PEM `file`, such as an earlier chain.pem, instead of making a root")
	f.StringVar(&o.issuerKey, "issuer-key", "", "the `URI` of the key of that CA")
	f.StringVar(&o.commonName, "common-name", "Timestamp Authority", "the `name` of the service")
	f.StringVar(&o.organization, "organization", "local", "the `name` of who runs it; \"\" for none")
	f.StringVar(&o.country, "country", "", "the two `letters` of its country, as ISO 3166 has them; none if not given")
	f.Var(&o.validity, "validity", "how long the certificate of the service is valid")
	f.Var(&o.intermediateValidity, "intermediate-validity", "how long that of the intermediate is")
	f.Var(&o.rootValidity, "root-validity", "how long that of the root is")
	f.Var(&o.keyPeriod, "private-key-usage-period", "end the use of the key after this time, before its certificate ends (15mo at most for public authorities)")
	f.StringArrayVar(&o.crls, "crl-url", nil, "the http `URL` where the intermediate's revocation list will be; may be repeated")
	f.StringArrayVar(&o.rootCRLs, "root-crl-url", nil, "the http `URL` where the root's revocation list will be; may be repeated")
	return cmd
}

// check refuses options that do not go together.
func (o *createOptions) check(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	switch {
	case o.out == "":
		return cli.Usagef("--out is needed: the directory for what is made")
	case o.key != "" && changed("key-type"):
		return cli.Usagef("--key names a key that there is, --key-type one to be made; give one of them")
	case (o.issuer == "") != (o.issuerKey == ""):
		return cli.Usagef("--issuer and --issuer-key go together")
	case o.issuer != "" && (o.caKeys != "" || changed("intermediate-validity") || changed("root-validity") || len(o.rootCRLs) > 0):
		return cli.Usagef("--keep-ca-keys, --intermediate-validity, --root-validity and --root-crl-url are about a new root, and --issuer names one that there is")
	case o.issuer == "" && o.caKeys == "" && len(o.crls)+len(o.rootCRLs) > 0:
		return cli.Hint(cli.Usagef("a certificate that names a revocation list is worth nothing without the list, and without the CA's key there is none"),
			"keep the keys of the CAs with --keep-ca-keys")
	case o.passphraseFile != "" && o.key != "" && o.caKeys == "":
		return cli.Usagef("--passphrase-file is for keys that are written, and none is")
	case len(o.country) != 0 && (len(o.country) != 2 || strings.Trim(o.country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""):
		return cli.Usagef("--country %q is not two capital letters", o.country)
	}
	return nil
}

func (o *createOptions) run(cmd *cobra.Command, env *cli.Env) error {
	role, err := parseRole(o.role)
	if err != nil {
		return err
	}
	if err := o.check(cmd); err != nil {
		return err
	}
	o.validityGiven = cmd.Flags().Changed("validity")
	var passphrase []byte
	if o.passphraseFile != "" {
		if passphrase, err = env.ReadSecret(o.passphraseFile); err != nil {
			return err
		}
	}
	if err := free(o.files()); err != nil {
		return err
	}
	made, err := o.make(cmd.Context(), env, role)
	if err != nil {
		return err
	}
	report := pki.Check(made.chain, pki.CheckOptions{Role: role, PublicKey: made.key.Public()})
	if err := report.Err(); err != nil {
		return fmt.Errorf("the chain that would be made is not fit: %w", err)
	}
	if err := o.write(env, made, passphrase); err != nil {
		return err
	}
	answer := createJSON{
		Role: string(role), Key: o.keyURI(),
		Chain: filepath.Join(o.out, chainFile), Root: o.path(made, rootFile),
		Certificates: inspect.DescribeChain(made.chain), Findings: report.Findings,
	}
	if end := o.keyPeriod.end(made.chain[0].NotBefore); !end.IsZero() {
		end = end.UTC()
		answer.PrivateKeyNotAfter = &end
	}
	if o.caKeys != "" {
		answer.CAKeys = []string{filepath.Join(o.caKeys, rootKeyFile), filepath.Join(o.caKeys, intermediateKeyFile)}
	}
	if env.JSON {
		return env.WriteJSON(answer)
	}
	return o.tell(env, answer)
}

// files are the files that may be made.
func (o *createOptions) files() []string {
	names := []string{filepath.Join(o.out, chainFile), filepath.Join(o.out, rootFile)}
	if o.key == "" {
		names = append(names, filepath.Join(o.out, keyFile))
	}
	if o.caKeys != "" {
		names = append(names, filepath.Join(o.caKeys, rootKeyFile), filepath.Join(o.caKeys, intermediateKeyFile))
	}
	return names
}

// free refuses names that are taken, before any work is done. That nothing is
// replaced is seen to again when the files are written.
func free(names []string) error {
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			return cli.Hint(fmt.Errorf("%s is there already, nothing is replaced and nothing was made", name), "name another directory with --out")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// made is what was made and is not written yet. The CAs' keys are nil where
// the CAs are others'.
type made struct {
	key                      *signer.Key
	rootKey, intermediateKey *signer.Key
	chain                    []*x509.Certificate
}

// rooted says that the chain ends in a root.
func (m *made) rooted() bool {
	top := m.chain[len(m.chain)-1]
	return top.Subject.String() == top.Issuer.String()
}

func (o *createOptions) make(ctx context.Context, env *cli.Env, role pki.Role) (*made, error) {
	m := new(made)
	keyType, err := signer.ParseKeyType(o.keyType)
	if err != nil {
		return nil, cli.Usagef("--key-type: %w", err)
	}
	if o.key != "" {
		if m.key, err = openKey(ctx, env, o.key); err != nil {
			return nil, err
		}
	} else if m.key, err = signer.Generate(keyType); err != nil {
		return nil, err
	}
	var issuer []*x509.Certificate
	var issuerKey *signer.Key
	if o.issuer != "" {
		data, err := env.ReadFile(o.issuer, pki.MaxFileSize)
		if err != nil {
			return nil, err
		}
		if issuer, err = pki.ParseChain(data); err != nil {
			return nil, fmt.Errorf("%s: %w", o.issuer, err)
		}
		if len(issuer) > 1 && !issuer[0].IsCA {
			issuer = issuer[1:]
		}
		if issuerKey, err = openKey(ctx, env, o.issuerKey); err != nil {
			return nil, err
		}
	} else if issuer, err = o.makeCAs(ctx, m, role, keyType); err != nil {
		return nil, err
	} else {
		issuerKey = m.intermediateKey
	}
	cfg := pki.Config{
		Role: role, Subject: o.subject(""), PublicKey: m.key.Public(),
		Issuer: issuer[0], IssuerKey: signer.Crypto(ctx, issuerKey),
		NotBefore: begin(issuer[0]), CRLDistributionPoints: o.crls,
	}
	if o.issuer == "" || o.validityGiven {
		cfg.NotAfter = o.validity.end(cfg.NotBefore)
	} // else the default, cut short where the issuer ends
	cfg.PrivateKeyNotAfter = o.keyPeriod.end(cfg.NotBefore)
	leaf, err := pki.CreateLeaf(cfg)
	if err != nil {
		return nil, err
	}
	m.chain = append([]*x509.Certificate{leaf}, issuer...)
	return m, nil
}

// makeCAs makes a root and an intermediate, and leaves their keys in m.
func (o *createOptions) makeCAs(ctx context.Context, m *made, role pki.Role, keyType signer.KeyType) ([]*x509.Certificate, error) {
	var err error
	if m.rootKey, err = signer.Generate(keyType); err != nil {
		return nil, err
	}
	if m.intermediateKey, err = signer.Generate(keyType); err != nil {
		return nil, err
	}
	cfg := pki.Config{
		Role: role, Subject: o.subject(" Root CA"),
		IssuerKey: signer.Crypto(ctx, m.rootKey), NotBefore: begin(nil),
	}
	cfg.NotAfter = o.rootValidity.end(cfg.NotBefore)
	root, err := pki.CreateRoot(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Subject, cfg.PublicKey, cfg.Issuer = o.subject(" Issuing CA"), m.intermediateKey.Public(), root
	cfg.NotAfter = o.intermediateValidity.end(cfg.NotBefore)
	cfg.CRLDistributionPoints = o.rootCRLs
	intermediate, err := pki.CreateIntermediate(cfg)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{intermediate, root}, nil
}

// begin is when a new certificate begins to be valid: a little before now, but
// not before that of its issuer.
func begin(issuer *x509.Certificate) time.Time {
	t := time.Now().Add(-pki.Backdate).UTC().Truncate(time.Second)
	if issuer != nil && t.Before(issuer.NotBefore) {
		return issuer.NotBefore
	}
	return t
}

func (o *createOptions) subject(suffix string) pkix.Name {
	name := pkix.Name{CommonName: o.commonName + suffix}
	if o.organization != "" {
		name.Organization = []string{o.organization}
	}
	if o.country != "" {
		name.Country = []string{o.country}
	}
	return name
}

// write writes the files. If one cannot be written those before it are
// removed, so that the command can be repeated.
func (o *createOptions) write(env *cli.Env, m *made, passphrase []byte) (err error) {
	var written []string
	defer func() {
		if err != nil {
			for _, name := range written {
				os.Remove(name)
			}
		}
	}()
	put := func(f cli.File) error {
		f.Existing = cli.Keep
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
			return err
		}
		if err := env.Write(f); err != nil {
			return err
		}
		written = append(written, f.Path)
		return nil
	}
	putKey := func(name string, key *signer.Key) error {
		text, err := signer.MarshalPEM(key, passphrase)
		if err != nil {
			return err
		}
		return put(cli.File{Path: name, Data: text, Mode: 0o600})
	}
	if o.key == "" {
		if err := putKey(filepath.Join(o.out, keyFile), m.key); err != nil {
			return err
		}
	}
	if o.caKeys != "" {
		if err := putKey(filepath.Join(o.caKeys, rootKeyFile), m.rootKey); err != nil {
			return err
		}
		if err := putKey(filepath.Join(o.caKeys, intermediateKeyFile), m.intermediateKey); err != nil {
			return err
		}
	}
	if m.rooted() {
		if err := put(cli.File{Path: filepath.Join(o.out, rootFile), Data: pki.EncodeChain(m.chain[len(m.chain)-1:])}); err != nil {
			return err
		}
	}
	return put(cli.File{Path: filepath.Join(o.out, chainFile), Data: pki.EncodeChain(m.chain)})
}

// path is the file for the root, "" if there is none.
func (o *createOptions) path(m *made, name string) string {
	if !m.rooted() {
		return ""
	}
	return filepath.Join(o.out, name)
}

// keyURI is how the key is named to other commands.
func (o *createOptions) keyURI() string {
	if o.key != "" {
		return o.key
	}
	return signer.URI{Scheme: signer.SchemeFile, Path: filepath.Join(o.out, keyFile), PassphraseFile: o.passphraseFile}.String()
}

// tell says what was made and where.
func (o *createOptions) tell(env *cli.Env, a createJSON) error {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "%-14s%s\n", name+":", cli.Printable(text)) }
	leaf := a.Certificates[0]
	what := leaf.Key + ", made now"
	switch {
	case o.key != "":
		what = leaf.Key + ", as it was"
	case o.passphraseFile != "":
		what += ", encrypted"
	}
	line("key", a.Key+" ("+what+")")
	line("chain", fmt.Sprintf("%s (%s)", a.Chain, cli.Plural(len(a.Certificates), "certificate")))
	if a.Root != "" {
		line("root", a.Root+" (for those who verify)")
	}
	for i, c := range a.Certificates {
		line(place(i, c), c.Subject+", "+c.Validity())
	}
	if a.PrivateKeyNotAfter != nil {
		line("key ends", a.PrivateKeyNotAfter.Format(time.RFC3339))
	}
	switch {
	case len(a.CAKeys) > 0:
		line("CA keys", strings.Join(a.CAKeys, ", ")+" (take them off this machine)")
	case o.issuer == "":
		line("CA keys", "not kept: nothing else can be issued below this root")
	}
	for _, f := range a.Findings {
		if f.Severity == pki.Warning {
			env.Warn("%s: %s", place(f.Certificate, a.Certificates[max(f.Certificate, 0)]), f.Detail)
		}
	}
	_, err := env.Stdout.Write([]byte(b.String()))
	return err
}
