package pkitest

import (
	"crypto"
	"crypto/fips140"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
)

// NotBefore and NotAfter return the default window of every certificate: from
// 2020-01-01 up to and with 2050-01-01, UTC.
func NotBefore() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }

// NotAfter is described with [NotBefore].
func NotAfter() time.Time { return time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC) }

// Options bends a chain. The zero value gives one that every verifier accepts:
// P-256 throughout, root, intermediate, leaf, valid from 2020 to 2050.
type Options struct {
	// Name keeps two services apart: names, EC and Ed25519 keys and serial
	// numbers all follow from it. Empty means "Test", "Test TSA CA", "Test
	// CA", "Test Signer" or "Test Log".
	Name string

	Key       KeyType // of the leaf
	IssuerKey KeyType // of root and intermediate

	// NoIntermediate has the root issue the leaf. Not for CA and TSACA.
	NoIntermediate bool

	// NotBefore and NotAfter are the leaf's window; zero means the default one.
	// The CAs always have the default window; see Root and Intermediate.
	NotBefore, NotAfter time.Time

	// PrivateKeyNotAfter adds a privateKeyUsagePeriod to the leaf; zero means none.
	PrivateKeyNotAfter time.Time

	// Leaf, Intermediate and Root (there is no leaf for CA and TSACA) change a certificate before it is signed; nil
	// changes nothing. They see what pki.Template made.
	Leaf, Intermediate, Root func(*x509.Certificate)
}

// Chain is a chain with its keys. All of it is the test's own copy.
type Chain struct {
	Root         *x509.Certificate
	Intermediate *x509.Certificate // nil with Options.NoIntermediate
	Leaf         *x509.Certificate // nil for CA and TSACA, and if crypto/x509 cannot parse it; see DER

	RootKey, IntermediateKey, LeafKey crypto.Signer

	// DER is the chain as encoded, leaf first.
	DER [][]byte
}

// TSA makes the chain of a time-stamping unit. The same options give the same
// bytes.
func TSA(t testing.TB, opts Options) *Chain {
	t.Helper()
	return chain(t, pki.RoleTSA, opts)
}

// CA makes the chain of a certificate authority for code signing: the issuing
// CA, which is Chain.Intermediate with its key, and the root.
func CA(t testing.TB, opts Options) *Chain {
	t.Helper()
	return chain(t, pki.RoleCA, opts)
}

// TSACA makes the chain of a CA for time-stamping units, in the form of CA.
func TSACA(t testing.TB, opts Options) *Chain {
	t.Helper()
	return chain(t, pki.RoleTSACA, opts)
}

// CodeSigning makes the chain of somebody who signs artifacts.
func CodeSigning(t testing.TB, opts Options) *Chain {
	t.Helper()
	return chain(t, pki.RoleCodeSigning, opts)
}

// Log makes the chain of a transparency log.
func Log(t testing.TB, opts Options) *Chain {
	t.Helper()
	return chain(t, pki.RoleLog, opts)
}

func chain(t testing.TB, role pki.Role, opts Options) *Chain {
	t.Helper()
	suffix := map[pki.Role]string{pki.RoleTSA: "TSA", pki.RoleTSACA: "TSA CA", pki.RoleCA: "CA", pki.RoleCodeSigning: "Signer", pki.RoleLog: "Log"}[role]
	if opts.Name == "" {
		opts.Name = "Test"
		if role != pki.RoleTSA {
			opts.Name += " " + suffix
		}
	}
	if opts.NotBefore.IsZero() {
		opts.NotBefore = NotBefore()
	}
	if opts.NotAfter.IsZero() {
		opts.NotAfter = NotAfter()
	}
	c := &Chain{RootKey: Key(t, opts.IssuerKey, opts.Name+" root")}
	c.Root = c.add(t, pki.KindRoot, opts.Root, pki.Config{
		Role: role, Subject: subject(opts.Name + " Root CA"), IssuerKey: c.RootKey,
		NotBefore: NotBefore(), NotAfter: NotAfter(), SerialNumber: serial(opts.Name + " root"),
	})
	issuer, issuerKey := c.Root, c.RootKey
	if !opts.NoIntermediate {
		c.IntermediateKey = Key(t, opts.IssuerKey, opts.Name+" intermediate")
		c.Intermediate = c.add(t, pki.KindIntermediate, opts.Intermediate, pki.Config{
			Role: role, Subject: subject(opts.Name + " Issuing CA"), PublicKey: c.IntermediateKey.Public(), Issuer: c.Root, IssuerKey: c.RootKey,
			NotBefore: NotBefore(), NotAfter: NotAfter(), SerialNumber: serial(opts.Name + " intermediate"),
		})
		issuer, issuerKey = c.Intermediate, c.IntermediateKey
	}
	if role.Kind() == pki.KindIntermediate {
		return c
	}
	name := subject(opts.Name + " " + suffix)
	if role == pki.RoleCodeSigning { // by which trust policies name signers
		name.Province = []string{"Test State"}
	}
	c.LeafKey = Key(t, opts.Key, opts.Name+" leaf")
	c.Leaf = c.add(t, pki.KindLeaf, opts.Leaf, pki.Config{
		Role: role, Subject: name, PublicKey: c.LeafKey.Public(), Issuer: issuer, IssuerKey: issuerKey,
		NotBefore: opts.NotBefore, NotAfter: opts.NotAfter, SerialNumber: serial(opts.Name + " leaf"),
		PrivateKeyNotAfter: opts.PrivateKeyNotAfter,
	})
	return c
}

// add makes one certificate and puts its DER in front of the chain. A nil
// result is a leaf that crypto/x509 makes but does not parse.
func (c *Chain) add(t testing.TB, kind pki.Kind, change func(*x509.Certificate), cfg pki.Config) *x509.Certificate {
	t.Helper()
	// A hostile issuer must not stop the next certificate from being made, so
	// the template is drawn with a sound one of the same name and key.
	parent := cfg.Issuer
	if parent != nil {
		sound := *parent
		sound.IsCA, sound.BasicConstraintsValid, sound.KeyUsage = true, true, x509.KeyUsageCertSign
		sound.MaxPathLen, sound.MaxPathLenZero = -1, false
		sound.NotBefore, sound.NotAfter = time.Unix(0, 0), time.Unix(1<<37, 0)
		cfg.Issuer = &sound
	}
	tmpl, err := pki.Template(kind, cfg)
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	if change != nil {
		change(tmpl)
	}
	if parent == nil {
		parent = tmpl
	}
	var der []byte
	// What must be refused has to be made first, in every mode of FIPS 140-3.
	fips140.WithoutEnforcement(func() {
		der, err = x509.CreateCertificate(nil, tmpl, parent, tmpl.PublicKey, Deterministic(cfg.IssuerKey))
	})
	if err != nil {
		t.Fatalf("pkitest: %v certificate: %v", kind, err)
	}
	c.DER = append([][]byte{der}, c.DER...)
	cert, err := x509.ParseCertificate(der)
	if err != nil && kind != pki.KindLeaf {
		t.Fatalf("pkitest: %v certificate: %v", kind, err)
	}
	return cert
}

func subject(cn string) pkix.Name {
	return pkix.Name{Country: []string{"XX"}, Organization: []string{"Fencepost Tests"}, CommonName: cn}
}

// serial derives a positive serial number of 20 octets.
func serial(label string) *big.Int {
	b := stream("serial "+label, 20)
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b)
}

// Certificates returns the chain with the certificate of the service first, the
// root last.
func (c *Chain) Certificates() []*x509.Certificate {
	switch {
	case c.Intermediate == nil:
		return []*x509.Certificate{c.Leaf, c.Root}
	case c.LeafKey == nil:
		return []*x509.Certificate{c.Intermediate, c.Root}
	}
	return []*x509.Certificate{c.Leaf, c.Intermediate, c.Root}
}

// PEM returns the chain leaf first, the root last.
func (c *Chain) PEM() []byte {
	var out []byte
	for _, der := range c.DER {
		out = append(out, pki.EncodeChain([]*x509.Certificate{{Raw: der}})...)
	}
	return out
}

// CRL returns a CRL in DER, number 1, current throughout the default window,
// signed by the leaf's issuer, or by the issuing CA where there is no leaf.
func (c *Chain) CRL(t testing.TB, revoked ...pki.Revocation) []byte {
	t.Helper()
	issuer, key := c.Intermediate, c.IntermediateKey
	if issuer == nil {
		issuer, key = c.Root, c.RootKey
	}
	der, err := pki.CreateCRL(pki.CRLConfig{
		Issuer: issuer, IssuerKey: Deterministic(key), Number: big.NewInt(1),
		ThisUpdate: NotBefore(), NextUpdate: NotAfter(), Revoked: revoked,
	})
	if err != nil {
		t.Fatalf("pkitest: %v", err)
	}
	return der
}
