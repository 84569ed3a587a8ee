package certcmd

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A subject is a key that is certified. Its signer is nil if only the public
// half is known, made is nil if the key was there before.
type subject struct {
	public crypto.PublicKey
	signer signer.Signer
	made   *signer.Key
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

// provide opens the key of a URI, or makes one if there is none.
func (o *createOptions) provide(ctx context.Context, env *cli.Env, m *made, uri string) (subject, error) {
	if uri == "" {
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
	key, err := openKey(ctx, env, uri)
	if err != nil {
		return subject{}, err
	}
	m.opened = append(m.opened, key)
	return subject{public: key.Public(), signer: key}, nil
}

// An issueFunc is a CA: it takes a request and returns the certificate for it
// with those above, the root last. Whoever it is, the chain is checked before it
// is used.
type issueFunc func(ctx context.Context, req *x509.CertificateRequest) ([]*x509.Certificate, error)

// make makes the chain, or the request.
func (o *createOptions) make(ctx context.Context, env *cli.Env, m *made) error {
	name, err := o.provideService(ctx, env, m)
	if err != nil {
		return err
	}
	if o.csr {
		m.request, err = pki.CreateRequest(pki.RequestConfig{Role: o.profile, Subject: name, Key: signer.Crypto(ctx, m.service.signer)})
		return err
	}
	issuer, issuerKey, err := o.provideIssuer(ctx, env, m)
	if err != nil {
		return err
	}
	cfg := pki.Config{
		Role: o.profile, Subject: name, PublicKey: m.service.public,
		Issuer: issuer[0], IssuerKey: signer.Crypto(ctx, issuerKey),
		NotBefore: begin(issuer[0]), CRLDistributionPoints: o.crls, IssuingCertificateURL: o.caURLs, Policies: o.policies,
	}
	if o.issuer == "" || o.validityGiven {
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

// provideService finds or makes the key of the service, and returns its name.
func (o *createOptions) provideService(ctx context.Context, env *cli.Env, m *made) (pkix.Name, error) {
	name := o.name()
	switch {
	case o.publicKey != "":
		data, err := env.ReadFile(o.publicKey, pki.MaxFileSize)
		if err != nil {
			return name, err
		}
		if m.service.public, err = pki.ParsePublicKey(data); err != nil {
			return name, fmt.Errorf("%s: %w", o.publicKey, err)
		}
		return name, nil
	case o.request != "":
		return o.readRequest(env, m)
	}
	var err error
	if m.service, err = o.provide(ctx, env, m, o.key); err != nil || m.service.made != nil {
		return name, err
	}
	// A certificate for a key that does not sign as it should would be found
	// out when the service starts, and by then the CA's key may be far away.
	if err := signer.Prove(ctx, m.service.signer, 0); err != nil {
		return name, fmt.Errorf("--key %s: %w", o.key, err)
	}
	return name, nil
}

// readRequest takes the key and the name out of a request, and says what else
// it asks for in vain.
func (o *createOptions) readRequest(env *cli.Env, m *made) (pkix.Name, error) {
	data, err := env.ReadFile(o.request, pki.MaxFileSize)
	if err != nil {
		return pkix.Name{}, err
	}
	req, err := pki.ParseRequest(data)
	if err != nil {
		return pkix.Name{}, fmt.Errorf("%s: %w", o.request, err)
	}
	if req.Subject.CommonName == "" {
		return pkix.Name{}, fmt.Errorf("%s: the request names nobody: its subject has no common name", o.request)
	}
	if vain := pki.UnmetWishes(req, o.profile); len(vain) > 0 {
		env.Warn("%s: asks for extensions that the certificate does not have so: %s", o.request, strings.Join(vain, ", "))
	}
	m.service.public = req.PublicKey
	o.commonName, o.organization, o.country = req.Subject.CommonName, "", "" // for the names of CAs
	if len(req.Subject.Organization) > 0 {
		o.organization = req.Subject.Organization[0]
	}
	if len(req.Subject.Country) > 0 {
		o.country = req.Subject.Country[0]
	}
	// As extra names, so that attributes which pkix.Name has no field for are
	// certified too.
	return pkix.Name{CommonName: req.Subject.CommonName, ExtraNames: req.Subject.Names}, nil
}

// provideIssuer returns the chain of the CA that issues the service's
// certificate, lowest first, and its key.
func (o *createOptions) provideIssuer(ctx context.Context, env *cli.Env, m *made) ([]*x509.Certificate, signer.Signer, error) {
	if o.issuer != "" {
		chain, err := readIssuer(env, o.issuer)
		if err != nil {
			return nil, nil, err
		}
		key, err := openKey(ctx, env, o.issuerKey)
		if err != nil {
			return nil, nil, err
		}
		m.opened = append(m.opened, key)
		return chain, key, nil
	}
	if o.profile == pki.RoleCA {
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
	if m.intermediate, err = o.provide(ctx, env, m, o.intermediateKey); err != nil {
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

// intermediateCA returns the CA that issues the intermediate: a new root of our
// own.
func (o *createOptions) intermediateCA(ctx context.Context, env *cli.Env, m *made) (issueFunc, error) {
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
	if m.root, err = o.provide(ctx, env, m, o.rootKey); err != nil {
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
	if o.country != "" {
		name.Country = []string{o.country}
	}
	return name
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
