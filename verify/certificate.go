package verify

import (
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/pkup"
	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// checkProfile holds a certificate against what RFC 3161, 2.3 wants of that of
// a timestamp authority, as far as this does not depend on the time.
func checkProfile(cert *x509.Certificate) error {
	// Extensions are a matter of version 3 (RFC 5280, 4.1.2.1).
	if cert.Version != 3 {
		return fail(ReasonCertificate, "the signer's certificate has version %d, it must be 3", cert.Version)
	}
	if fault := pubkey.Fault(cert.PublicKey); fault != "" {
		return fail(ReasonCertificate, "the signer's key is %s", fault)
	}
	// RFC 3161, 2.3: a key "exclusively for" timestamps is no CA's.
	if cert.BasicConstraintsValid && cert.IsCA {
		return fail(ReasonCertificate, "the signer's certificate is one of a CA")
	}
	if err := checkExtKeyUsage(cert); err != nil {
		return err
	}
	// RFC 5280, 4.2.1.3: a key usage, where there is one, must allow to sign.
	// Any other use would not be exclusive; OpenSSL demands the same.
	const allowed = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if extension(cert, 2, 5, 29, 15) >= 0 && (cert.KeyUsage&allowed == 0 || cert.KeyUsage&^allowed != 0) {
		return fail(ReasonCertificate, "the key usage must be digitalSignature, nonRepudiation or both, and nothing else")
	}
	return nil
}

// checkExtKeyUsage: the certificate "MUST contain only one instance of the
// extended key usage field extension [...] with KeyPurposeID having value
// id-kp-timeStamping. This extension MUST be critical." (RFC 3161, 2.3)
func checkExtKeyUsage(cert *x509.Certificate) error {
	i := extension(cert, 2, 5, 29, 37)
	if i < 0 {
		return fail(ReasonCertificate, "the signer's certificate has no extended key usage, it must have timeStamping")
	}
	// Purposes that crypto/x509 has no number for are in a list of their own.
	if len(cert.UnknownExtKeyUsage) > 0 || len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping {
		return fail(ReasonCertificate, "the extended key usage of the signer's certificate must be timeStamping and nothing else")
	}
	if !cert.Extensions[i].Critical {
		return fail(ReasonCertificate, "the extended key usage of the signer's certificate is not critical")
	}
	return nil
}

// extension returns the index of an extension, -1 when it is absent. None is
// there twice: crypto/x509 refuses such certificates.
func extension(cert *x509.Certificate, id ...int) int {
	for i := range cert.Extensions {
		if cert.Extensions[i].Id.Equal(asn1.ObjectIdentifier(id)) {
			return i
		}
	}
	return -1
}

// checkValidity holds the token's time against the signer's certificate: its
// validity (RFC 3161, appendix B) and the time in which its private key was
// allowed to sign (RFC 3280, 4.2.1.4; EN 319 421, 7.6.7). Both bounds of both
// are inclusive.
func checkValidity(cert *x509.Certificate, genTime time.Time) error {
	if err := checkWindow(cert, genTime); err != nil {
		return err
	}
	from, until, ok, err := pkup.Parse(cert)
	if err != nil {
		return failed(ReasonCertificate, err, "the signer's certificate")
	}
	if !ok {
		return nil
	}
	if genTime.Before(from) {
		return fail(ReasonKeyUsagePeriod, "the token's time %s is before the signer's key may be used, from %s", stamp(genTime), stamp(from))
	}
	if !until.IsZero() && genTime.After(until) {
		return fail(ReasonKeyUsagePeriod, "the token's time %s is after the signer's key may be used, until %s", stamp(genTime), stamp(until))
	}
	return nil
}

func checkWindow(cert *x509.Certificate, genTime time.Time) error {
	if inWindow(cert, genTime) {
		return nil
	}
	return fail(ReasonValidity, "certificate %s is valid from %s to %s, not at the token's time %s",
		subject(cert), stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(genTime))
}

// inWindow reports whether cert is valid at t, as RFC 5280, 4.1.2.5 has it:
// both bounds included.
func inWindow(cert *x509.Certificate, t time.Time) bool {
	return !t.Before(cert.NotBefore) && !t.After(cert.NotAfter)
}
