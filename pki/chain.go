package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Limits on what is read.
const (
	// MaxChainLength is the greatest number of certificates in a chain. Chains
	// in use have two to four, with cross-certificates five; putting them in
	// order takes up to the square of the number in signature checks.
	MaxChainLength = 10

	// MaxCertificates is the greatest number of certificates in a file that is
	// not a chain. The root programs of browsers have some 150.
	MaxCertificates = 1000

	// MaxFileSize is the longest input, in octets: room for MaxCertificates of
	// the usual two kilobytes, in base64, with some text before each.
	MaxFileSize = 4 << 20

	// MaxCertificateSize is the longest single certificate, in octets. One with
	// an SLH-DSA signature, the largest in sight, has about 50,000.
	MaxCertificateSize = 1 << 16
)

// ErrPrivateKey is returned, wrapped, for input that holds a private key. Such
// a file was about to be used as if it were public.
var ErrPrivateKey = errors.New("a private key is in the file: keep keys and certificates apart")

// ParseChain reads one certificate chain, in PEM or as concatenated DER
// certificates, and returns it leaf first.
//
// Text between PEM blocks is a comment (RFC 7468, 2). A chain that is not leaf
// first is put in order where there is only one way to do so: each certificate
// must be issued, by name and signature, by one other, and none may be left
// over. What is in order already only has to match by name; whether it is any
// good is for Check to say. A single certificate is a chain. The input may hold
// MaxChainLength certificates and nothing else: private keys (ErrPrivateKey),
// requests, CRLs and PKCS #7 and #12 containers are refused by name.
func ParseChain(data []byte) ([]*x509.Certificate, error) {
	certs, err := parseCertificates(data, MaxChainLength)
	if err == nil {
		certs, err = order(certs)
	}
	if err != nil {
		return nil, fmt.Errorf("pki: reading certificate chain: %w", err)
	}
	return certs, nil
}

// ParseCertificates reads certificates that need not form a chain, such as a
// set of roots, in the order of the file. It accepts what ParseChain does, up
// to MaxCertificates of them, and leaves out exact copies.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	certs, err := parseCertificates(data, MaxCertificates)
	if err != nil {
		return nil, fmt.Errorf("pki: reading certificates: %w", err)
	}
	seen := make(map[string]bool, len(certs))
	kept := certs[:0]
	for _, c := range certs {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// EncodeChain writes certificates in PEM, in the given order, without comments.
func EncodeChain(chain []*x509.Certificate) []byte {
	var out []byte
	for _, c := range chain {
		out = append(out, formCertificate.encode(c.Raw)...)
	}
	return out
}

func parseCertificates(data []byte, limit int) ([]*x509.Certificate, error) {
	blocks, err := formCertificate.split(data, limit)
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, 0, len(blocks))
	for i, der := range blocks {
		if len(der) > MaxCertificateSize {
			return nil, fmt.Errorf("certificate %d: %d octets, want at most %d", i+1, len(der), MaxCertificateSize)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %s", i+1, strings.TrimPrefix(err.Error(), "x509: "))
		}
		certs = append(certs, c)
	}
	return certs, nil
}
