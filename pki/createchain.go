package pki

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"time"
)

// ChainConfig describes a new chain.
type ChainConfig struct {
	Role Role // required

	// Subject is the service's name; CommonName is required. The CAs above have
	// the same country and organisation.
	Subject pkix.Name

	// RootName and IntermediateName are the common names of the CAs. Empty
	// means the service's common name with " Root CA" or " Issuing CA" appended.
	RootName, IntermediateName string

	RootKey crypto.Signer // signs the root and the certificate below it; required

	// IntermediateKey signs the leaf. Required, but for a CA, where the
	// service's own certificate is the intermediate: nil.
	IntermediateKey crypto.Signer

	LeafKey crypto.PublicKey // the service's, is certified; required

	NotBefore          time.Time // of all certificates; zero means Backdate before now
	PrivateKeyNotAfter time.Time // of the leaf, as in Config; zero means none
}

// CreateChain makes a chain with the default validities and returns it with the
// service's certificate first: leaf, intermediate, root; for a CA the issuing
// CA and the root.
func CreateChain(cfg ChainConfig) ([]*x509.Certificate, error) {
	fail := func(text string) ([]*x509.Certificate, error) { return nil, errors.New("pki: creating chain: " + text) }
	ca := cfg.Role.Kind() == KindIntermediate
	switch {
	case cfg.Subject.CommonName == "":
		return fail("the subject has no common name")
	case cfg.IntermediateKey == nil && !ca:
		return fail("no intermediate key")
	case ca && (cfg.IntermediateKey != nil || cfg.IntermediateName != ""):
		return fail("the certificate of a CA is the intermediate itself, but another is described")
	}
	if cfg.RootName == "" {
		cfg.RootName = cfg.Subject.CommonName + " Root CA"
	}
	if cfg.IntermediateName == "" {
		cfg.IntermediateName = cfg.Subject.CommonName + " Issuing CA"
	}
	if cfg.NotBefore.IsZero() {
		cfg.NotBefore = time.Now().Add(-Backdate)
	}
	root, err := CreateRoot(Config{
		Role: cfg.Role, Subject: caName(cfg.Subject, cfg.RootName), IssuerKey: cfg.RootKey, NotBefore: cfg.NotBefore,
	})
	if err != nil {
		return nil, err
	}
	service := Config{
		Role: cfg.Role, Subject: cfg.Subject, PublicKey: cfg.LeafKey,
		Issuer: root, IssuerKey: cfg.RootKey, NotBefore: cfg.NotBefore, PrivateKeyNotAfter: cfg.PrivateKeyNotAfter,
	}
	if ca {
		issuing, err := CreateIntermediate(service)
		if err != nil {
			return nil, err
		}
		return []*x509.Certificate{issuing, root}, nil
	}
	intermediate, err := CreateIntermediate(Config{
		Role: cfg.Role, Subject: caName(cfg.Subject, cfg.IntermediateName), PublicKey: cfg.IntermediateKey.Public(),
		Issuer: root, IssuerKey: cfg.RootKey, NotBefore: cfg.NotBefore,
	})
	if err != nil {
		return nil, err
	}
	service.Issuer, service.IssuerKey = intermediate, cfg.IntermediateKey
	leaf, err := CreateLeaf(service)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{leaf, intermediate, root}, nil
}

func caName(leaf pkix.Name, cn string) pkix.Name {
	return pkix.Name{Country: leaf.Country, Organization: leaf.Organization, CommonName: cn}
}
