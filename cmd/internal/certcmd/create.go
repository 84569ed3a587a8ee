package certcmd

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/api/option"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/gcpca"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// The names of the files that "cert create" makes.
const (
	keyFile             = "key.pem"
	chainFile           = "chain.pem"
	rootFile            = "root.pem"
	requestFile         = "request.pem"
	rootKeyFile         = "root-key.pem"
	intermediateKeyFile = "intermediate-key.pem"
)

type createOptions struct {
	role           string
	keyType        string
	out            string
	passphraseFile string

	// The key of the service: one of these, or a new one.
	key, publicKey, request string

	// csr asks for a request instead of a chain.
	csr bool

	// The CAs: new ones, with the keys that are given or with new ones, or one
	// that there is.
	rootKey, intermediateKey, caKeys string
	issuer, issuerKey                string

	// A CA at Google that issues the intermediate, and options for its client.
	googleCA     string
	googleParent gcpca.Parent
	google       []option.ClientOption

	commonName, organization, state, country string

	validity, intermediateValidity, rootValidity, keyPeriod span
	crls, rootCRLs, caURLs, rootURLs, policyOIDs            []string

	// What the above come to; see check.
	profile       pki.Role
	policies      []x509.OID
	validityGiven bool // --validity is not its default
}

// createJSON is the answer of "cert create --json".
type createJSON struct {
	Role string `json:"role"`
	// Key is the URI of the key that was made or given, absent when only its
	// public half is known.
	Key string `json:"key,omitempty"`
	// Chain and Root are the files with the certificates.
	Chain string `json:"chain"`
	Root  string `json:"root,omitempty"`
	// CAKeys are the files with the keys of the root and the intermediate that
	// were made, absent when they were not kept.
	CAKeys []string `json:"caKeys,omitempty"`
	// PrivateKeyNotAfter is when the use of the key ends, absent when nothing
	// ends it before the certificate.
	PrivateKeyNotAfter *time.Time `json:"privateKeyNotAfter,omitempty"`
	// Identity is how a trust policy of the Notary Project names the signer,
	// absent for other roles, and where the name is not enough for it.
	Identity     string                `json:"identity,omitempty"`
	nameless     error                 // why there is no Identity
	Certificates []inspect.Certificate `json:"certificates"`
	Findings     []pki.Finding         `json:"findings"`
}

func newCreate(env *cli.Env, google []option.ClientOption) *cobra.Command {
	o := createOptions{
		google: google,

		validity: span{years: 10}, intermediateValidity: span{years: 15}, rootValidity: span{years: 20},
	}
	cmd := &cobra.Command{
		Use:   "create --out DIR",
		Short: "Make a certificate chain, and the key for it",
		Long: `Make a certificate chain for a signing service: a root, an intermediate and the
service's own certificate, and the key for it. For the roles of CAs the service's
own certificate is that of the issuing CA, directly below the root. Three files are
made in DIR, none of which may be there before:

  key.pem    the private key, readable by its owner only
  chain.pem  the service's certificate, the intermediate, the root
  root.pem   the root alone, for those who verify

Each key may be one that there is, named by a URI: with --key, --root-key and
--intermediate-key none is made. Of a key that cannot be reached from here the
public half will do (--public-key), or a request that it has signed (--request).

The private keys of the root and the intermediate, where they are made, exist
only while the command runs, unless --keep-ca-keys says where they go. Without
them no other certificate and no revocation list can ever be issued below this
root. With them, --issuer and --issuer-key make a further certificate below the
same root.

With --gcp-ca the root is one at Google CA Service, which issues the intermediate.

With --role code-signing the service is whoever signs artifacts, a person or a
pipeline: "image sign" and "blob sign" take key.pem and chain.pem, those who verify
put root.pem into a trust store. The issuing CA of --role ca can be its issuer.

With --csr no chain is made but a request for somebody else's CA, request.pem.

A chain that is not fit for its role is not written.`,
		Example: `  fencepost cert create --out /etc/fencepost --organization Example --country DE
  fencepost cert create --out next --key-type rsa3072 --private-key-usage-period 15mo
  fencepost cert create --out 2027 --issuer 2026/chain.pem --issuer-key file:ca/intermediate-key.pem
  fencepost cert create --out tsa --key hashivault://tsa --root-key hashivault://root --intermediate-key hashivault://issuing
  fencepost cert create --out tsa --key awskms:///alias/tsa --csr --organization Example --country DE
  fencepost cert create --out signer --role code-signing --organization Example --state Berlin --country DE`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, env) },
	}
	var types []string
	for _, t := range signer.KeyTypes() {
		types = append(types, string(t))
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "the `directory` for what is made; it is made too if it is not there (required)")
	f.StringVar(&o.role, "role", string(pki.RoleTSA), roleHelp)
	f.StringVar(&o.keyType, "key-type", string(signer.P256), "the `type` of the keys that are made: "+strings.Join(types, ", "))
	f.StringVar(&o.key, "key", "", "certify the key of this `URI`, such as file:key.pem, instead of making one")
	f.StringVar(&o.publicKey, "public-key", "", "certify the public key in this `file`, in PEM, whoever holds its private half")
	f.StringVar(&o.request, "request", "", "certify the key and the name in this certificate request, a PKCS #10 `file`; nothing else is taken from it")
	f.BoolVar(&o.csr, "csr", false, "make a certificate request for somebody else's CA instead of a chain")
	f.StringVar(&o.rootKey, "root-key", "", "the `URI` of the key of the new root, instead of making one")
	f.StringVar(&o.intermediateKey, "intermediate-key", "", "the `URI` of the key of the new intermediate, instead of making one")
	f.StringVar(&o.passphraseFile, "passphrase-file", "", "encrypt the keys that are written with the passphrase in this `file`")
	f.StringVar(&o.caKeys, "keep-ca-keys", "", "keep the keys that are made for the root and the intermediate in this `directory`")
	f.StringVar(&o.issuer, "issuer", "", "issue the certificate below the lowest CA of the chain in this PEM `file`, such as an earlier chain.pem, instead of making a root")
	f.StringVar(&o.issuerKey, "issuer-key", "", "the `URI` of the key of that CA")
	f.StringVar(&o.googleCA, "gcp-ca", "", "have Google CA Service issue the intermediate, instead of making a root: the `name` of a pool, projects/P/locations/L/caPools/POOL, or of a CA in it")
	f.StringVar(&o.commonName, "common-name", "", "the `name` of the service (default \"Timestamp Authority\", \"Timestamp CA\", \"Signing CA\", \"Signer\" or \"Transparency Log\")")
	f.StringVar(&o.organization, "organization", "local", "the `name` of who runs it; \"\" for none")
	f.StringVar(&o.state, "state", "", "the `name` of its state or province, by which trust policies of the Notary Project name signers; none if not given")
	f.StringVar(&o.country, "country", "", "the two `letters` of its country, as ISO 3166 has them; none if not given")
	f.Var(&o.validity, "validity", "how long the certificate of the service is valid; with --role code-signing the default is 1y")
	f.Var(&o.intermediateValidity, "intermediate-validity", "how long that of the intermediate is")
	f.Var(&o.rootValidity, "root-validity", "how long that of the root is")
	f.Var(&o.keyPeriod, "private-key-usage-period", "end the use of the key after this time, before its certificate ends (15mo at most for public authorities)")
	f.StringArrayVar(&o.crls, "crl-url", nil, "the http `URL` where the revocation list of the intermediate, or of --issuer, will be; may be repeated")
	f.StringArrayVar(&o.rootCRLs, "root-crl-url", nil, "the http `URL` where the root's revocation list will be; may be repeated")
	f.StringArrayVar(&o.caURLs, "ca-issuer-url", nil, "the http `URL` where the certificate of the intermediate, or of --issuer, will be, in DER; may be repeated")
	f.StringArrayVar(&o.rootURLs, "root-ca-issuer-url", nil, "the http `URL` where that of the root will be; may be repeated")
	f.StringArrayVar(&o.policyOIDs, "policy-oid", nil, "a certificate policy, as an object `identifier` such as 2.23.140.1.4.2; may be repeated")
	return cmd
}

// makesKey says that the service's key is made here.
func (o *createOptions) makesKey() bool { return o.key == "" && o.publicKey == "" && o.request == "" }

// makesRoot says that a new root is made.
func (o *createOptions) makesRoot() bool { return o.issuer == "" && o.googleCA == "" && !o.csr }

// makesRootKey says that the root's key is made here.
func (o *createOptions) makesRootKey() bool { return o.makesRoot() && o.rootKey == "" }

// makesIntermediateKey says that the intermediate's key is made here.
func (o *createOptions) makesIntermediateKey() bool {
	return (o.makesRoot() || o.googleCA != "") && o.profile.Kind() == pki.KindLeaf && o.intermediateKey == ""
}

// check refuses options that do not go together.
func (o *createOptions) check(cmd *cobra.Command) error {
	changed := cmd.Flags().Changed
	var err error
	if o.profile, err = parseRole(o.role); err != nil {
		return err
	}
	if o.validityGiven = changed("validity"); !o.validityGiven && o.profile == pki.RoleCodeSigning {
		o.validity = span{years: 1}
	}
	for _, text := range o.policyOIDs {
		id, err := x509.ParseOID(text)
		if err != nil {
			return cli.Usagef("--policy-oid %q is not an object identifier such as 2.23.140.1.4.2", text)
		}
		o.policies = append(o.policies, id)
	}
	var sources []string
	for name, value := range map[string]string{"--key": o.key, "--public-key": o.publicKey, "--request": o.request} {
		if value != "" {
			sources = append(sources, name)
		}
	}
	slices.Sort(sources)
	named := changed("common-name") || changed("organization") || changed("state") || changed("country")
	switch {
	case o.out == "":
		return cli.Usagef("--out is needed: the directory for what is made")
	case len(sources) > 1:
		return cli.Usagef("%s each say which key is certified; give one of them", strings.Join(sources, " and "))
	case o.request != "" && named:
		return cli.Usagef("the request has the name that is certified; --common-name, --organization, --state and --country do not go with --request")
	case len(o.country) != 0 && (len(o.country) != 2 || strings.Trim(o.country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""):
		return cli.Usagef("--country %q is not two capital letters", o.country)
	case (o.issuer == "") != (o.issuerKey == ""):
		return cli.Usagef("--issuer and --issuer-key go together")
	}
	if err := o.checkCAs(changed); err != nil {
		return err
	}
	written := o.makesKey() || o.caKeys != ""
	switch {
	case o.makesKey() && o.profile == pki.RoleCodeSigning && o.keyType == string(signer.Ed25519):
		return cli.Hint(cli.Usagef("--key-type %s does not go with --role %s: the Notary Project has no such signatures", o.keyType, o.role),
			"take p256, p384, p521, rsa2048, rsa3072 or rsa4096")
	case changed("key-type") && !o.makesKey() && !o.makesRootKey() && !o.makesIntermediateKey():
		return cli.Usagef("--key-type is the type of keys that are made, and none is")
	case o.passphraseFile != "" && !written:
		return cli.Usagef("--passphrase-file is for keys that are written, and none is")
	}
	if !changed("common-name") {
		o.commonName = map[pki.Role]string{pki.RoleTSA: "Timestamp Authority", pki.RoleTSACA: "Timestamp CA", pki.RoleCA: "Signing CA", pki.RoleCodeSigning: "Signer", pki.RoleLog: "Transparency Log"}[o.profile]
	}
	return nil
}

// checkCAs refuses what does not go with the CAs that there are to be.
func (o *createOptions) checkCAs(changed func(string) bool) error {
	only := func(why string, names ...string) error {
		for _, name := range names {
			if changed(name) {
				return cli.Usagef("--%s %s", name, why)
			}
		}
		return nil
	}
	if o.csr {
		return only("does not go with --csr: what a certificate says is for the CA that issues it",
			"public-key", "request", "issuer", "issuer-key", "root-key", "intermediate-key", "keep-ca-keys", "validity", "intermediate-validity",
			"root-validity", "private-key-usage-period", "crl-url", "root-crl-url", "ca-issuer-url", "root-ca-issuer-url", "policy-oid", "gcp-ca")
	}
	if o.googleCA != "" {
		if err := o.checkGoogle(only); err != nil {
			return err
		}
	}
	if o.issuer != "" {
		if err := only("is about a new root, and --issuer names a CA that there is", "keep-ca-keys", "root-key", "intermediate-key",
			"intermediate-validity", "root-validity", "root-crl-url", "root-ca-issuer-url"); err != nil {
			return err
		}
	}
	if o.profile.Kind() == pki.KindIntermediate {
		if err := only("does not go with --role "+o.role+": the certificate of the service is itself the intermediate", "intermediate-key", "intermediate-validity"); err != nil {
			return err
		}
		if err := only("does not go with --role "+o.role+": the key of a CA is for certificates, and ends with its own", "private-key-usage-period"); err != nil {
			return err
		}
		if o.issuer == "" {
			if err := only("does not go with --role "+o.role+": its issuer is the root; see --root-crl-url and --root-ca-issuer-url", "crl-url", "ca-issuer-url"); err != nil {
				return err
			}
		}
	}
	noList := func(of string) error {
		return cli.Hint(cli.Usagef("a certificate that names a revocation list is worth nothing without the list, and without the CA's key there is none"),
			"keep the keys of the CAs with --keep-ca-keys, or name that of the %s", of)
	}
	switch {
	case o.caKeys != "" && !o.makesRootKey() && !o.makesIntermediateKey():
		return cli.Usagef("--keep-ca-keys keeps the keys that are made for CAs, and none is")
	case len(o.crls) > 0 && o.makesIntermediateKey() && o.caKeys == "":
		return noList("intermediate with --intermediate-key")
	case len(o.rootCRLs) > 0 && o.makesRootKey() && o.caKeys == "":
		return noList("root with --root-key")
	}
	return nil
}

func (o *createOptions) run(cmd *cobra.Command, env *cli.Env) error {
	if err := o.check(cmd); err != nil {
		return err
	}
	var passphrase []byte
	if o.passphraseFile != "" {
		var err error
		if passphrase, err = env.ReadSecret(o.passphraseFile); err != nil {
			return err
		}
	}
	if err := free(o.files()); err != nil {
		return err
	}
	m := new(made)
	defer m.close()
	if err := o.make(cmd.Context(), env, m); err != nil {
		return err
	}
	if o.csr {
		return o.answerRequest(env, m, passphrase)
	}
	report := pki.Check(m.chain, pki.CheckOptions{Role: o.profile, PublicKey: m.service.public, Time: o.checkTime(m.chain)})
	if err := report.Err(); err != nil {
		return unfit(err)
	}
	if err := o.write(env, m, passphrase); err != nil {
		return err
	}
	answer := createJSON{
		Role: string(o.profile), Key: o.keyURI(),
		Chain: filepath.Join(o.out, chainFile), Root: o.path(m, rootFile),
		Certificates: inspect.DescribeChain(m.chain), Findings: report.Findings,
	}
	if end := o.keyPeriod.end(m.chain[0].NotBefore); !end.IsZero() {
		end = end.UTC()
		answer.PrivateKeyNotAfter = &end
	}
	if o.caKeys != "" {
		answer.CAKeys = o.caKeyFiles()
	}
	if o.profile == pki.RoleCodeSigning {
		answer.Identity, answer.nameless = identity(m.chain[0])
	}
	if env.JSON {
		return env.WriteJSON(answer)
	}
	return o.tell(env, answer)
}

// unfit is what is said about a chain that is not written, with the cure.
func unfit(err error) error {
	out := fmt.Errorf("the chain that would be made is not fit, and nothing was written: %w", err)
	var broken *pki.ChainError
	if errors.As(err, &broken) && broken.Finding.Cure != "" {
		return cli.Hint(out, "%s", broken.Finding.Cure)
	}
	return out
}

// path is the file for the root, "" if there is none.
func (o *createOptions) path(m *made, name string) string {
	if !m.rooted() {
		return ""
	}
	return filepath.Join(o.out, name)
}

// keyURI is how the key is named to other commands, "" when only its public
// half is known.
func (o *createOptions) keyURI() string {
	if !o.makesKey() {
		return o.key
	}
	return signer.URI{Scheme: signer.SchemeFile, Path: filepath.Join(o.out, keyFile), PassphraseFile: o.passphraseFile}.String()
}

// keyText says which key was certified, and what became of it.
func (o *createOptions) keyText(kind string) string {
	switch {
	case o.publicKey != "":
		return o.publicKey + " (" + kind + ", the public half; nobody has shown that they hold the other)"
	case o.request != "":
		return o.request + " (" + kind + ", which signed the request)"
	case o.key != "":
		return o.key + " (" + kind + ", as it was)"
	case o.passphraseFile != "":
		return o.keyURI() + " (" + kind + ", made now, encrypted)"
	}
	return o.keyURI() + " (" + kind + ", made now)"
}

// requestJSON is the answer of "cert create --csr --json".
type requestJSON struct {
	Role string `json:"role"`
	// Key is the URI of the key that was made or given.
	Key string `json:"key"`
	// Request is the file with the request.
	Request string `json:"request"`
	// Subject is the name that is asked for, in the form of RFC 2253.
	Subject string `json:"subject"`
}

// answerRequest writes the request and says where it is.
func (o *createOptions) answerRequest(env *cli.Env, m *made, passphrase []byte) error {
	if err := o.write(env, m, passphrase); err != nil {
		return err
	}
	answer := requestJSON{Role: string(o.profile), Key: o.keyURI(), Request: filepath.Join(o.out, requestFile), Subject: m.request.Subject.String()}
	if env.JSON {
		return env.WriteJSON(answer)
	}
	age := "as it was"
	if m.service.made != nil {
		age = "made now"
	}
	var b strings.Builder
	for _, line := range [][2]string{
		{"key", answer.Key + " (" + age + ")"},
		{"request", answer.Request + " (for the CA)"},
		{"name", answer.Subject},
		{"next", "check what the CA sends with cert check --role " + answer.Role + " --key"},
	} {
		fmt.Fprintf(&b, "%-14s%s\n", line[0]+":", cli.Printable(line[1]))
	}
	_, err := env.Stdout.Write([]byte(b.String()))
	return err
}

// tell says what was made and where.
func (o *createOptions) tell(env *cli.Env, a createJSON) error {
	var b strings.Builder
	line := func(name, text string) { fmt.Fprintf(&b, "%-14s%s\n", name+":", cli.Printable(text)) }
	leaf := a.Certificates[0]
	line("key", o.keyText(leaf.Key))
	line("chain", fmt.Sprintf("%s (%s)", a.Chain, cli.Plural(len(a.Certificates), "certificate")))
	if a.Root != "" {
		line("root", a.Root+" (for those who verify)")
	}
	for i, c := range a.Certificates {
		line(place(o.profile, i, c), c.Subject+", "+c.Validity())
	}
	switch {
	case a.Identity != "":
		line("identity", a.Identity+" (for a trust policy)")
	case a.nameless != nil:
		why := "none for a trust policy: " + a.nameless.Error()
		if o.request == "" { // whose name is as it is
			why += "; give --organization, --state and --country"
		}
		line("identity", why)
	}
	if a.PrivateKeyNotAfter != nil {
		line("key ends", a.PrivateKeyNotAfter.Format(time.RFC3339))
	}
	switch {
	case len(a.CAKeys) > 0:
		line("CA keys", strings.Join(a.CAKeys, ", ")+" (take them off this machine)")
	case o.makesRootKey() && (o.makesIntermediateKey() || o.profile.Kind() == pki.KindIntermediate):
		line("CA keys", "not kept: nothing else can be issued below this root")
	case o.makesRootKey():
		line("CA keys", "that of the root is not kept: there can be no other intermediate below it")
	case o.makesIntermediateKey():
		line("CA keys", "that of the intermediate is not kept: nothing else can be issued below it")
	}
	for _, f := range a.Findings {
		if f.Severity == pki.Warning {
			env.Warn("%s: %s", place(o.profile, f.Certificate, a.Certificates[max(f.Certificate, 0)]), f.Detail)
		}
	}
	_, err := env.Stdout.Write([]byte(b.String()))
	return err
}
