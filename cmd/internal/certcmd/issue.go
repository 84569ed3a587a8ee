package certcmd

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A subject is a key that is certified.
type subject struct {
	public crypto.PublicKey
	signer signer.Signer // nil if only the public half is known
	made   *signer.Key   // nil if the key was there before
	name   []byte        // that of a request, in DER; nil for the name of the options
}

// made is what was made and is not written yet. The CAs' keys are empty where
// the CAs are others'.
type made struct {
	service, root, intermediate subject
	chain                       []*x509.Certificate
	request                     *x509.CertificateRequest // with --csr, instead of the chain

	opened []io.Closer
}

func (m *made) close() {
	for _, k := range m.opened {
		k.Close() // nothing was signed that was not checked
	}
}

// rooted says that the chain ends in a root.
func (m *made) rooted() bool {
	top := m.chain[len(m.chain)-1]
	return top.Subject.String() == top.Issuer.String()
}

// A namedKey is the URI of a key, and the option that names it. Proof says what
// it has to sign before it is relied on; nil: what a CA signs.
type namedKey struct {
	option, uri string
	proof       func(signer.Signer) (crypto.SignerOpts, error)
}

// open opens the key that an option names. A certificate for a key that does
// not sign as it should, or by one, would be found out when it is too late, or
// with words that nobody understands.
//
// Of is the certificate that there is for the key, nil for none.
func (m *made) open(ctx context.Context, env *cli.Env, named namedKey, of *x509.Certificate) (subject, error) {
	key, err := openKey(ctx, env, named.uri, of)
	if err != nil {
		return subject{}, err
	}
	m.opened = append(m.opened, key)
	// Certificates are signed with the usual hash, and by PKCS #1 v1.5.
	var opts crypto.SignerOpts = crypto.Hash(0)
	if named.proof != nil {
		if opts, err = named.proof(key); err != nil {
			return subject{}, err
		}
	}
	if err := signer.Prove(ctx, key, opts); err != nil {
		return subject{}, fmt.Errorf("%s %s: %w", named.option, named.uri, err)
	}
	return subject{public: key.Public(), signer: key}, nil
}

// proof is what the key of the service has to sign: what it will sign in its
// role.
func (o *createOptions) proof(key signer.Signer) (crypto.SignerOpts, error) {
	if pub, ok := key.Public().(*rsa.PublicKey); ok && o.profile == pki.RoleCodeSigning {
		// 0, the usual one, for a size that has none, which is not certified.
		hash, _ := envelope.HashFor(pub)
		return signer.PSS.Options(hash), nil
	}
	usual, err := signer.UsualOptions(key)
	if err != nil {
		return nil, err
	}
	return usual.HashFunc(), nil // a hash alone is PKCS #1 v1.5
}

// provide opens the key that it is given by name, or makes one if it has none.
func (o *createOptions) provide(ctx context.Context, env *cli.Env, m *made, named namedKey) (subject, error) {
	if named.uri == "" {
		t, err := signer.ParseKeyType(o.keyType)
		if err != nil {
			return subject{}, cli.Usagef("--key-type: %w", err)
		}
		key, err := signer.Generate(t)
		if err != nil {
			return subject{}, err
		}
		return subject{public: key.Public(), signer: key, made: key}, nil
	}
	return m.open(ctx, env, named, nil)
}

// An issueFunc is a CA: it takes a request and returns the certificate for it
// with those above, the root last. Whoever it is, the chain is checked before it
// is used.
type issueFunc func(ctx context.Context, req *x509.CertificateRequest) ([]*x509.Certificate, error)

// make makes the chain, or the request.
func (o *createOptions) make(ctx context.Context, env *cli.Env, m *made) error {
	err := o.provideService(ctx, env, m)
	if err != nil {
		return err
	}
	// Before a CA issues anything above it.
	if err := o.profile.CheckKey(m.service.public); err != nil {
		return fmt.Errorf("the key does not go with --role %s: %w", o.role, err)
	}
	if o.csr {
		m.request, err = o.serviceRequest(ctx, m)
		return err
	}
	if o.googleCA != "" && o.profile.Kind() == pki.KindIntermediate {
		return o.issueService(ctx, m)
	}
	issuer, issuerKey, err := o.provideIssuer(ctx, env, m)
	if err != nil {
		return err
	}
	cfg := pki.Config{
		Role: o.profile, Subject: o.name(), RawSubject: m.service.name, PublicKey: m.service.public,
		Issuer: issuer[0], IssuerKey: signer.Crypto(ctx, issuerKey),
		NotBefore: begin(issuer[0]), CRLDistributionPoints: o.crls, IssuingCertificateURL: o.caURLs, Policies: o.policies,
	}
	if o.makesRoot() || o.validityGiven {
		cfg.NotAfter = o.validity.end(cfg.NotBefore)
	} // else the default, cut short where the issuer ends
	cfg.PrivateKeyNotAfter = o.keyPeriod.end(cfg.NotBefore)
	create := pki.CreateLeaf
	if o.profile.Kind() == pki.KindIntermediate {
		create = pki.CreateIntermediate
		if o.issuer == "" { // the root issues it
			cfg.CRLDistributionPoints, cfg.IssuingCertificateURL = o.rootCRLs, o.rootURLs
		}
	}
	cert, err := create(cfg)
	if err != nil {
		return err
	}
	m.chain = append([]*x509.Certificate{cert}, issuer...)
	return nil
}

// serviceRequest makes a request for the service's certificate. A key of a role
// that is tied to RSA-PSS signs its request so.
func (o *createOptions) serviceRequest(ctx context.Context, m *made) (*x509.CertificateRequest, error) {
	cfg := pki.RequestConfig{Role: o.profile, Subject: o.name(), Key: signer.Crypto(ctx, m.service.signer)}
	usual, err := signer.UsualOptions(m.service.signer)
	if err != nil {
		return nil, err
	}
	if _, ok := usual.(*rsa.PSSOptions); ok {
		cfg.SignatureAlgorithm = map[crypto.Hash]x509.SignatureAlgorithm{
			crypto.SHA256: x509.SHA256WithRSAPSS, crypto.SHA384: x509.SHA384WithRSAPSS, crypto.SHA512: x509.SHA512WithRSAPSS,
		}[usual.HashFunc()]
	}
	return pki.CreateRequest(cfg)
}

// provideService finds or makes the key of the service.
func (o *createOptions) provideService(ctx context.Context, env *cli.Env, m *made) error {
	switch {
	case o.publicKey != "":
		data, err := env.ReadFile(o.publicKey, pki.MaxFileSize)
		if err != nil {
			return err
		}
		if m.service.public, err = pki.ParsePublicKey(data); err != nil {
			return fmt.Errorf("%s: %w", o.publicKey, err)
		}
		return nil
	case o.request != "":
		return o.readRequest(env, m)
	}
	var err error
	m.service, err = o.provide(ctx, env, m, namedKey{"--key", o.key, o.proof})
	return err
}

// readRequest takes the key and the name out of a request, and says what else
// it asks for in vain.
func (o *createOptions) readRequest(env *cli.Env, m *made) error {
	data, err := env.ReadFile(o.request, pki.MaxFileSize)
	if err != nil {
		return err
	}
	req, err := pki.ParseRequest(data)
	if err != nil {
		return fmt.Errorf("%s: %w", o.request, err)
	}
	name := req.Subject
	if name.CommonName == "" {
		return fmt.Errorf("%s: the request names nobody: its subject has no common name", o.request)
	}
	if vain := pki.UnmetWishes(req, o.profile); len(vain) > 0 {
		env.Warn("%s: asks for extensions that the certificate does not have so: %s", o.request, strings.Join(vain, ", "))
	}
	m.service.public, m.service.name = req.PublicKey, req.RawSubject
	// The CAs above are named after it.
	o.commonName, o.organization, o.state, o.country = name.CommonName, "", "", ""
	if len(name.Organization) > 0 {
		o.organization = name.Organization[0]
	}
	if len(name.Province) > 0 {
		o.state = name.Province[0]
	}
	if len(name.Country) > 0 {
		o.country = name.Country[0]
	}
	return nil
}

// provideIssuer returns the chain of the CA that issues the service's
// certificate, lowest first, and its key.
func (o *createOptions) provideIssuer(ctx context.Context, env *cli.Env, m *made) ([]*x509.Certificate, signer.Signer, error) {
	if o.issuer != "" {
		chain, err := readIssuer(env, o.issuer)
		if err != nil {
			return nil, nil, err
		}
		key, err := m.open(ctx, env, namedKey{option: "--issuer-key", uri: o.issuerKey}, chain[0])
		if err != nil {
			return nil, nil, err
		}
		return chain, key.signer, nil
	}
	if o.profile.Kind() == pki.KindIntermediate {
		root, err := o.makeRoot(ctx, env, m)
		if err != nil {
			return nil, nil, err
		}
		return []*x509.Certificate{root}, m.root.signer, nil
	}
	issue, err := o.intermediateCA(ctx, env, m)
	if err != nil {
		return nil, nil, err
	}
	if m.intermediate, err = o.provide(ctx, env, m, namedKey{option: "--intermediate-key", uri: o.intermediateKey}); err != nil {
		return nil, nil, err
	}
	req, err := pki.CreateRequest(pki.RequestConfig{
		Role: o.profile, Kind: pki.KindIntermediate, Subject: o.caName(" Issuing CA"), Key: signer.Crypto(ctx, m.intermediate.signer),
	})
	if err != nil {
		return nil, nil, err
	}
	chain, err := issue(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	if len(chain) == 0 {
		return nil, nil, errors.New("the CA issued nothing")
	}
	return chain, m.intermediate.signer, nil
}

// intermediateCA returns the CA that issues the intermediate: one at Google, or
// a new root of our own.
func (o *createOptions) intermediateCA(ctx context.Context, env *cli.Env, m *made) (issueFunc, error) {
	if o.googleCA != "" {
		return o.googleIssuer(o.intermediateValidity), nil
	}
	root, err := o.makeRoot(ctx, env, m)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, req *x509.CertificateRequest) ([]*x509.Certificate, error) {
		cfg := pki.Config{
			Role: o.profile, Subject: req.Subject, PublicKey: req.PublicKey,
			Issuer: root, IssuerKey: signer.Crypto(ctx, m.root.signer), NotBefore: root.NotBefore,
			CRLDistributionPoints: o.rootCRLs, IssuingCertificateURL: o.rootURLs, Policies: o.policies,
		}
		cfg.NotAfter = o.intermediateValidity.end(cfg.NotBefore)
		cert, err := pki.CreateIntermediate(cfg)
		if err != nil {
			return nil, err
		}
		return []*x509.Certificate{cert, root}, nil
	}, nil
}

// makeRoot makes a root, and leaves its key in m.
func (o *createOptions) makeRoot(ctx context.Context, env *cli.Env, m *made) (*x509.Certificate, error) {
	var err error
	if m.root, err = o.provide(ctx, env, m, namedKey{option: "--root-key", uri: o.rootKey}); err != nil {
		return nil, err
	}
	cfg := pki.Config{
		Role: o.profile, Subject: o.caName(" Root CA"),
		IssuerKey: signer.Crypto(ctx, m.root.signer), NotBefore: begin(nil),
	}
	cfg.NotAfter = o.rootValidity.end(cfg.NotBefore)
	return pki.CreateRoot(cfg)
}

// readIssuer reads the chain of a CA, or one that it issued the first
// certificate of, and returns it from the lowest CA on.
func readIssuer(env *cli.Env, file string) ([]*x509.Certificate, error) {
	data, err := env.ReadFile(file, pki.MaxFileSize)
	if err != nil {
		return nil, err
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(chain) > 1 && !chain[0].IsCA {
		chain = chain[1:]
	}
	return chain, nil
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

// name is the name of the service.
func (o *createOptions) name() pkix.Name {
	name := pkix.Name{CommonName: o.commonName}
	if o.organization != "" {
		name.Organization = []string{o.organization}
	}
	if o.state != "" {
		name.Province = []string{o.state}
	}
	if o.country != "" {
		name.Country = []string{o.country}
	}
	return name
}

// identity is how a trust policy of the Notary Project names a signer. The error
// says why none can: the policy wants country, state or province, and
// organization, and one attribute of a kind that is not compared spoils the name.
func identity(leaf *x509.Certificate) (string, error) {
	if _, err := trustpolicy.NameOf(leaf); err != nil {
		return "", err
	}
	// What else the name has need not be matched.
	name := leaf.Subject
	name = pkix.Name{Country: name.Country, Province: name.Province, Organization: name.Organization, CommonName: name.CommonName}
	text := name.String()
	if _, err := trustpolicy.ParseName(text); err != nil { // control characters and the like
		return "", err
	}
	return "x509.subject: " + text, nil
}

// caName is the name of a CA above the service: "Example TSA" is below "Example
// TSA Root CA", and "Example CA" below "Example Root CA".
func (o *createOptions) caName(suffix string) pkix.Name {
	name := o.name()
	if name.CommonName != "" {
		name.CommonName = strings.TrimSuffix(name.CommonName, " CA") + suffix
	}
	return name
}
