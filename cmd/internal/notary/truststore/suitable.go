package truststore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	corex509 "github.com/notaryproject/notation-core-go/x509"
)

// acceptable says whether Notation reads a certificate from a store of a type:
// it is one of an authority or signed by its own key; in a tsa store it is a
// self-issued, self-signed authority.
func acceptable(t Type, c *x509.Certificate) error {
	if t == TSA {
		return isRoot(c)
	}
	if c.IsCA {
		return nil
	}
	if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return fmt.Errorf("%s is neither a certificate authority nor signed by its own key: its issuer is %s", c.Subject, c.Issuer)
	}
	return nil
}

// isRoot says whether c is a self-issued, self-signed certificate authority.
func isRoot(c *x509.Certificate) error {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return fmt.Errorf("%s is no root: it is not a certificate authority, and its issuer is %s", c.Subject, c.Issuer)
	case !bytes.Equal(c.RawSubject, c.RawIssuer):
		return fmt.Errorf("%s is no root: its issuer is %s", c.Subject, c.Issuer)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		var weak x509.InsecureAlgorithmError
		if errors.As(err, &weak) {
			return fmt.Errorf("%s is no root that can be used: it is signed with %s", c.Subject, c.SignatureAlgorithm)
		}
		return fmt.Errorf("%s is no root: %w", c.Subject, err)
	}
	return nil
}

func unsuitableAdvice(t Type) string {
	if t == TSA {
		return "a tsa store holds only the self-signed roots of timestamp authorities; the intermediate certificates are in the timestamps"
	}
	return "take the root of the signer's chain, or an intermediate certificate; the signer's own only if it is self-signed"
}

// suitable says, beyond acceptable, whether a signature could ever be verified
// with the certificate: the chain profiles of the Notary Project refuse what it
// refuses.
func suitable(t Type, c *x509.Certificate) error {
	if err := acceptable(t, c); err != nil {
		return err
	}
	if t != TSA && !c.IsCA {
		if err := corex509.ValidateCodeSigningCertChain([]*x509.Certificate{c}, nil); err != nil {
			return fmt.Errorf("no signature would verify with %s: %w", c.Subject, err)
		}
		return nil
	}
	present, critical := keyUsage(c)
	switch {
	case !c.BasicConstraintsValid:
		return fmt.Errorf("no signature would verify with %s: its basic constraints are not valid", c.Subject)
	case !present:
		return fmt.Errorf("no signature would verify with %s: a certificate authority needs the extension keyUsage, and it has none", c.Subject)
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("no signature would verify with %s: its keyUsage lacks keyCertSign", c.Subject)
	case t != TSA && !critical:
		return fmt.Errorf("no signature would verify with %s: its keyUsage is not critical", c.Subject)
	case t == TSA && len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !stamps(c):
		return fmt.Errorf("no timestamp would verify with %s: its extended key usage leaves out timestamping", c.Subject)
	}
	return nil
}

func stamps(c *x509.Certificate) bool {
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageTimeStamping || u == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

func keyUsage(c *x509.Certificate) (present, critical bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal([]int{2, 5, 29, 15}) {
			return true, e.Critical
		}
	}
	return false, false
}

// warnings are what is worth knowing about a certificate that is suitable.
func warnings(t Type, c *x509.Certificate, now time.Time) []string {
	var out []string
	switch {
	case now.After(c.NotAfter) && t == TSA:
		out = append(out, fmt.Sprintf("%s expired on %s: only timestamps made before verify with it", c.Subject, c.NotAfter.UTC().Format(time.DateOnly)))
	case now.After(c.NotAfter):
		out = append(out, fmt.Sprintf("%s expired on %s: only signatures stamped before verify with it", c.Subject, c.NotAfter.UTC().Format(time.DateOnly)))
	case now.Before(c.NotBefore):
		out = append(out, fmt.Sprintf("%s is not valid before %s", c.Subject, c.NotBefore.UTC().Format(time.RFC3339)))
	}
	return out
}
