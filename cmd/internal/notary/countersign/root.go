package countersign

import (
	"crypto/x509"

	"github.com/fencepost-tsa/fencepost/pki"
)

// CheckRoot reports why a certificate is not a root that timestamps can be
// verified against, as in a trust store of the type tsa: it has to be that of a
// CA, signed with its own key under its own name, with the key usage
// keyCertSign. Whether it is valid now does not matter. Its error is an
// [*Error].
func CheckRoot(cert *x509.Certificate) error {
	if cert == nil {
		return fail(ReasonRoot, "", "there is no certificate")
	}
	const give = "give the root certificate at the end of the authority's chain"
	subject := name(cert.Subject)
	switch err := selfSigned(cert); {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return fail(ReasonRoot, give, "certificate %s is not one of a CA", subject)
	case err != nil:
		return fail(ReasonRoot, give, "certificate %s is no root: %v", subject, err)
	case checkCA(cert) != nil:
		return fail(ReasonRoot, "the CA has to issue itself another root", "root certificate %s has no key usage keyCertSign, without which no chain to it is accepted", subject)
	}
	return nil
}

// ReadRoot reads exactly one root certificate, in PEM or DER, and checks it by
// [CheckRoot]. Its error is an [*Error].
func ReadRoot(data []byte) (*x509.Certificate, error) {
	certs, err := pki.ParseCertificates(data)
	switch {
	case err != nil:
		return nil, &Error{Reason: ReasonRoot, Detail: err.Error(), Err: err}
	case len(certs) != 1:
		return nil, fail(ReasonRoot, "put the root certificate alone into a file", "there are %d certificates, one root is needed", len(certs))
	}
	if err := CheckRoot(certs[0]); err != nil {
		return nil, err
	}
	return certs[0], nil
}
