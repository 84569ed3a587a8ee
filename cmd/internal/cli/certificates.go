package cli

import (
	"crypto/x509"
	"fmt"

	"github.com/fencepost-tsa/fencepost/pki"
)

// maxCertificates is the longest file of certificates read, in bytes. A bundle
// of all roots of an operating system has some 250 KiB.
const maxCertificates = 4 << 20

// ReadCertificates reads the certificates of a PEM or DER file, at least one;
// "-" is standard input.
func (e *Env) ReadCertificates(path string) ([]*x509.Certificate, error) {
	data, err := e.ReadFile(path, maxCertificates)
	if err != nil {
		return nil, err
	}
	certs, err := pki.ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certs, nil
}

// ReadRoots reads the certificates of a PEM or DER file, for TLS to trust.
func (e *Env) ReadRoots(path string) (*x509.CertPool, error) {
	certs, err := e.ReadCertificates(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}
