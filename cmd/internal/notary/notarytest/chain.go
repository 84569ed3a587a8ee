// Package notarytest makes the certificates that sign artifacts in tests: a
// chain of the Notary Project's profile for each type of key, of any length
// and any window.
//
//	key, chain := notarytest.Chain(t, notarytest.Options{Key: signer.P384})
//
// The same options give the same keys and certificates. What must be refused
// is made by bending one of them before it is signed.
package notarytest

import (
	"crypto"
	"crypto/fips140"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Options bends a chain. The zero value gives root, intermediate and leaf of
// P-256, valid from 2020 to 2050, that name no revocation source.
type Options struct {
	// Name keeps two signers apart: the names of the CAs, the EC keys and the
	// serial numbers follow from it. Empty means "Notary Test". RSA keys are
	// shared by all names.
	Name string

	Key signer.KeyType // of the leaf; empty means P-256. The issuers have P-256

	// Depth is the number of certificates: 1 is a self-signed leaf, 2 a leaf
	// under a root. Zero means 3.
	Depth int

	// NotBefore and NotAfter are the leaf's window; zero means that of the
	// CAs, [pkitest.NotBefore] and [pkitest.NotAfter].
	NotBefore, NotAfter time.Time

	// Subject is the leaf's; zero means C=US, ST=WA, O=Fencepost Tests and
	// the Name as CN.
	Subject pkix.Name

	// OCSP and CRL are the addresses that every certificate but the root
	// names; nil means none.
	OCSP, CRL []string

	// Bend changes certificate i (0 is the leaf, Depth-1 the root) before it
	// is signed; nil changes nothing.
	Bend func(i int, cert *x509.Certificate)
}

func (o Options) normal() Options {
	if o.Name == "" {
		o.Name = "Notary Test"
	}
	if o.Depth == 0 {
		o.Depth = 3
	}
	if o.Key == "" {
		o.Key = signer.P256
	}
	if o.NotBefore.IsZero() {
		o.NotBefore = pkitest.NotBefore()
	}
	if o.NotAfter.IsZero() {
		o.NotAfter = pkitest.NotAfter()
	}
	if o.Subject.String() == "" {
		o.Subject = pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Fencepost Tests"}, CommonName: o.Name}
	}
	return o
}

// Chain makes a chain, leaf first and root last, and returns it with the
// leaf's key.
func Chain(tb testing.TB, opts Options) (*signer.Key, []*x509.Certificate) {
	tb.Helper()
	opts = opts.normal()
	chain := make([]*x509.Certificate, opts.Depth)
	for i := opts.Depth - 1; i >= 0; i-- {
		template := opts.template(tb, i)
		parent, key := template, Key(tb, opts, min(i+1, opts.Depth-1))
		if i < opts.Depth-1 {
			// A bent issuer must not stop the next certificate from being made.
			sound := *chain[i+1]
			sound.IsCA, sound.BasicConstraintsValid, sound.KeyUsage = true, true, x509.KeyUsageCertSign
			parent = &sound
		}
		var der []byte
		var err error
		// What must be refused has to be made first, in every mode of FIPS 140-3.
		fips140.WithoutEnforcement(func() {
			der, err = x509.CreateCertificate(nil, template, parent, Key(tb, opts, i).Public(), pkitest.Deterministic(key))
		})
		if err != nil {
			tb.Fatalf("notarytest: certificate %d: %v", i, err)
		}
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			tb.Fatalf("notarytest: certificate %d: %v", i, err)
		}
	}
	key, err := signer.New(Key(tb, opts, 0))
	if err != nil {
		tb.Fatalf("notarytest: %v", err)
	}
	return key, chain
}

// Key returns the private key of certificate i of the chain with those
// options: 0 is the leaf's, 1 that of its issuer, which signs what tells
// whether the leaf is revoked.
func Key(tb testing.TB, opts Options, i int) crypto.Signer {
	tb.Helper()
	opts = opts.normal()
	if i == 0 {
		return pkitest.Key(tb, kind(tb, opts.Key), opts.Name+" leaf")
	}
	return pkitest.Key(tb, pkitest.P256, fmt.Sprintf("%s issuer %d", opts.Name, opts.Depth-i))
}

func kind(tb testing.TB, t signer.KeyType) pkitest.KeyType {
	for _, k := range append(pkitest.KeyTypes(), pkitest.P224, pkitest.RSA1024) {
		if k.String() == string(t) {
			return k
		}
	}
	tb.Fatalf("notarytest: no key of type %q", t)
	return 0
}

func (o Options) template(tb testing.TB, i int) *x509.Certificate {
	cert := &x509.Certificate{
		SerialNumber: serial(fmt.Sprintf("%s %d of %d", o.Name, i, o.Depth)),
		Subject:      o.Subject,
		NotBefore:    o.NotBefore, NotAfter: o.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		BasicConstraintsValid: true,
	}
	if i > 0 {
		name := fmt.Sprintf("%s CA %d", o.Name, o.Depth-i)
		cert.Subject = pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Fencepost Tests"}, CommonName: name}
		cert.NotBefore, cert.NotAfter = pkitest.NotBefore(), pkitest.NotAfter()
		cert.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		cert.ExtKeyUsage = nil
		cert.IsCA, cert.MaxPathLen, cert.MaxPathLenZero = true, i-1, i == 1
		// Made by hand, so that issuers of one name in two chains are one key.
		sum := sha256.Sum256([]byte(name))
		cert.SubjectKeyId = sum[:20]
	}
	if i < o.Depth-1 {
		cert.OCSPServer, cert.CRLDistributionPoints = o.OCSP, o.CRL
	}
	if o.Bend != nil {
		o.Bend(i, cert)
	}
	return cert
}

// serial derives a positive serial number of 16 octets.
func serial(label string) *big.Int {
	sum := sha256.Sum256([]byte("fencepost notarytest " + label))
	sum[0] = sum[0]&0x3f | 0x40
	return new(big.Int).SetBytes(sum[:16])
}
