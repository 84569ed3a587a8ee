package countersign

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"github.com/fencepost-tsa/fencepost/verify"
)

// maxChain bounds the chains whose profile is remembered. Those of authorities
// have three or four certificates.
const maxChain = 8

// checkChain holds a chain that package verify has accepted against what the
// Notary Project asks of the certificates of authorities besides ("Certificate
// requirements" in its specification of signatures; notation-core-go,
// ValidateTimestampingCertChain).
func checkChain(chain []*x509.Certificate) error {
	leaf, last := chain[0], len(chain)-1
	if last == 0 {
		return fail(ReasonChainProfile, "trust the root that issued the authority's certificate, not that certificate",
			"the authority's certificate %s is trusted itself; the Notary Project wants it to be issued by a CA", name(leaf.Subject))
	}
	// Package verify has checked the rest: not a CA, timeStamping alone and
	// critical, no other key usage.
	if !hasExtension(leaf, oidKeyUsage) || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fail(Reason(verify.ReasonCertificate), otherAuthority, "the authority's certificate %s has no key usage digitalSignature", name(leaf.Subject))
	}
	if fault := keyFault(leaf.PublicKey); fault != "" {
		return fail(Reason(verify.ReasonCertificate), otherAuthority, "the authority's key is %s, the Notary Project takes RSA with 2048, 3072 and 4096 bits, P-256, P-384 and P-521 only", fault)
	}
	// crypto/x509 has checked path lengths, and that no certificate in between is
	// self-signed: its issuer would have its name and key, and be it once more.
	for _, cert := range chain[1:] {
		if err := checkCA(cert); err != nil {
			return err
		}
	}
	if err := selfSigned(chain[last]); err != nil {
		return fail(ReasonChainProfile, "trust the self-signed root at the end of the chain",
			"the chain ends in %s, which is no self-signed root: %v", name(chain[last].Subject), err)
	}
	return nil
}

// keyFault says what key it is that the Notary Project does not take, "" for
// one that it takes.
func keyFault(pub any) string {
	switch key := pub.(type) {
	case *rsa.PublicKey:
		switch n := key.N.BitLen(); n {
		case 2048, 3072, 4096:
			return ""
		default:
			return fmt.Sprintf("RSA with %d bits", n)
		}
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return ""
		}
		return "on " + key.Curve.Params().Name
	}
	return fmt.Sprintf("of the kind %T", pub)
}

// checkCA holds a CA against its profile. To crypto/x509, which has checked
// basicConstraints, a CA without key usage is one, and so is a root of version
// 1, which has no extensions at all.
func checkCA(cert *x509.Certificate) error {
	if !hasExtension(cert, oidKeyUsage) || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fail(ReasonChainProfile, otherAuthority, "certificate %s has no key usage keyCertSign, which the Notary Project wants of every CA and root", name(cert.Subject))
	}
	return nil
}

// selfSigned reports why a certificate is not signed with its own key under its
// own name, by an algorithm that crypto/x509 still takes.
func selfSigned(cert *x509.Certificate) error {
	if !bytes.Equal(cert.RawSubject, cert.RawIssuer) {
		return fmt.Errorf("it was issued by %s", name(cert.Issuer))
	}
	return cert.CheckSignatureFrom(cert)
}

var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

func hasExtension(cert *x509.Certificate, id asn1.ObjectIdentifier) bool {
	for i := range cert.Extensions {
		if cert.Extensions[i].Id.Equal(id) {
			return true
		}
	}
	return false
}
