package gcpca

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/security/privateca/apiv1/privatecapb"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/pki"
)

// readChain takes the certificates out of an answer: what was issued, its
// issuer and so on, the root last.
func readChain(got *privatecapb.Certificate) ([]*x509.Certificate, error) {
	issued, err := readCertificate(got.GetPemCertificate())
	if err != nil {
		return nil, fmt.Errorf("the certificate in the answer: %w", err)
	}
	chain := []*x509.Certificate{issued}
	above := got.GetPemCertificateChain()
	switch {
	case len(above) == 0:
		return nil, errors.New("the answer has no chain beside the certificate")
	case len(above) >= pki.MaxChainLength:
		return nil, fmt.Errorf("a chain of %d certificates; want at most %d", len(above)+1, pki.MaxChainLength)
	}
	for i, text := range above {
		c, err := readCertificate(text)
		if err != nil {
			return nil, fmt.Errorf("certificate %d of the chain in the answer: %w", i+1, err)
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// readCertificate reads one certificate in PEM, with nothing behind it.
func readCertificate(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || block.Type != "CERTIFICATE":
		return nil, errors.New("not a certificate in PEM")
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("something follows the certificate")
	case len(block.Bytes) > pki.MaxCertificateSize:
		return nil, fmt.Errorf("%d octets, want at most %d", len(block.Bytes), pki.MaxCertificateSize)
	}
	return x509.ParseCertificate(block.Bytes)
}

// check compares what was issued with what was asked for. Policies of a pool
// drop and replace extensions without a word.
func check(chain []*x509.Certificate, req Request) error {
	issued := chain[0]
	usages := purposes(issued.Extensions)
	if key, ok := issued.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !key.Equal(req.PublicKey) {
		return fault.New(fault.Malformed, opIssue, "%s: the certificate is for another key than the one that was sent", req.Parent)
	}
	if err := verify(chain); err != nil {
		return fault.New(fault.Malformed, opIssue, "%s: the chain in the answer does not hold: %w", req.Parent, err)
	}
	var wrong string
	switch {
	case !issued.BasicConstraintsValid || !issued.IsCA:
		wrong = "is not a CA"
	case issued.KeyUsage&x509.KeyUsageCertSign == 0:
		wrong = "may not sign certificates: its key usage lacks keyCertSign"
	case !issued.MaxPathLenZero:
		wrong = "has no path length of 0: it would let its holder make further CAs"
	case req.Purpose != nil && !slices.ContainsFunc(usages, req.Purpose.Equal):
		wrong = fmt.Sprintf("lacks the extended key usage %v", req.Purpose)
	case req.Purpose != nil && len(usages) > 1:
		wrong = fmt.Sprintf("has other extended key usages beside %v", req.Purpose)
	default:
		return nil
	}
	return fault.New(fault.Unfit, opIssue, "%s: the certificate that it issued (serial number %x) %s", req.Parent, issued.SerialNumber, wrong).
		WithHint("let the issuance policy of the pool pass CA options, key usage and extended key usage as they are asked for (passthrough extensions, no baseline values), and revoke what was issued")
}

// purposes returns the extended key usages among extensions, those that
// crypto/x509 knows and those that it does not.
func purposes(extensions []pkix.Extension) []asn1.ObjectIdentifier {
	for _, e := range extensions {
		if e.Id.Equal(oidExtKeyUsage) {
			var ids []asn1.ObjectIdentifier
			if rest, err := asn1.Unmarshal(e.Value, &ids); err == nil && len(rest) == 0 {
				return ids
			}
		}
	}
	return nil
}

// verify has crypto/x509 go from the issued certificate to the last of the
// chain, at the instant at which the newest began to be valid: the clock of
// the service may be a little ahead of ours.
func verify(chain []*x509.Certificate) error {
	last := len(chain) - 1
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[last])
	at := chain[0].NotBefore
	for _, c := range chain[1:last] {
		intermediates.AddCert(c)
	}
	for i, c := range chain {
		if c.NotBefore.After(at) {
			at = c.NotBefore
		}
		// Verify would find its way through a chain in disorder, too.
		if i < last {
			if err := c.CheckSignatureFrom(chain[i+1]); err != nil {
				return fmt.Errorf("certificate %d is not issued by the next: %w", i+1, err)
			}
		}
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}
