package pkitest

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
)

// Hostile is a chain that breaks a rule of its role.
type Hostile struct {
	Name    string
	Options Options

	// Rule is the one that the chain breaks, in the eyes of pki.Check, and
	// Certificate the index of the certificate that breaks it.
	Rule        pki.Rule
	Certificate int
}

// HostileTSA returns chains that break RFC 3161, 2.3 or RFC 5280, 6.1, each in
// one way. Windows that are over ended in 2021, those still to come begin in
// 2040: check them at a time between.
//
// The leaf of "EKU twice" is nil in Chain: crypto/x509 does not parse it.
func HostileTSA() []Hostile {
	const codeSigning, timeStamping, any = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8", "2.5.29.37.0"
	const microsoft = "1.3.6.1.4.1.311.10.3.13"
	past, future := past(), future()

	ends := func(c *x509.Certificate) { c.NotAfter = past }
	begins := func(c *x509.Certificate) { c.NotBefore = future }
	return []Hostile{
		{"no EKU", Options{Leaf: EKU(false)}, pki.RuleLeafEKU, 0},
		{"EKU not critical", Options{Leaf: EKU(false, timeStamping)}, pki.RuleLeafEKUCritical, 0},
		{"EKU with codeSigning", Options{Leaf: EKU(true, timeStamping, codeSigning)}, pki.RuleLeafEKUOnly, 0},
		{"EKU with an unknown purpose", Options{Leaf: EKU(true, timeStamping, microsoft)}, pki.RuleLeafEKUOnly, 0},
		{"EKU with any", Options{Leaf: EKU(true, timeStamping, any)}, pki.RuleLeafEKUOnly, 0},
		{"EKU any alone", Options{Leaf: EKU(true, any)}, pki.RuleLeafEKUOnly, 0},
		{"EKU codeSigning alone", Options{Leaf: EKU(true, codeSigning)}, pki.RuleLeafEKUOnly, 0},
		{"EKU twice", Options{Leaf: func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, c.ExtraExtensions[0])
		}}, pki.RuleLeafEKU, 0},
		{"leaf is a CA", Options{Leaf: func(c *x509.Certificate) { c.IsCA = true }}, pki.RuleLeafCA, 0},
		{"leaf is a CA that may sign", Options{Leaf: func(c *x509.Certificate) {
			c.IsCA = true
			c.KeyUsage |= x509.KeyUsageCertSign
		}}, pki.RuleLeafCA, 0},
		{"leaf for encryption", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }}, pki.RuleLeafKeyUsage, 0},
		{"leaf with an unknown critical extension", Options{Leaf: unknownCritical}, pki.RuleCriticalExtension, 0},
		{"leaf expired", Options{NotAfter: past}, pki.RuleValidity, 0},
		{"leaf not yet valid", Options{NotBefore: future}, pki.RuleValidity, 0},
		{"leaf signed with SHA-1", Options{Leaf: sha1}, pki.RuleSignatureAlgorithm, 0},
		{"private key expired", Options{PrivateKeyNotAfter: past}, pki.RuleKeyPeriod, 0},
		{"private key not yet in use", Options{Leaf: usagePeriod("\x30\x11\x80\x0f20400101000000Z")}, pki.RuleKeyPeriod, 0},
		{"private key period malformed", Options{Leaf: usagePeriod("\x30\x11\x81\x0f20410001000000Z")}, pki.RuleKeyPeriod, 0},

		{"intermediate is no CA", Options{Intermediate: notCA}, pki.RuleIssuerCA, 1},
		{"intermediate without basicConstraints", Options{Intermediate: func(c *x509.Certificate) { c.BasicConstraintsValid = false }}, pki.RuleIssuerCA, 1},
		{"intermediate without keyCertSign", Options{Intermediate: noCertSign}, pki.RuleIssuerKeyUsage, 1},
		{"intermediate for code signing", Options{Intermediate: func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}}, pki.RuleIssuerEKU, 1},
		{"intermediate with an unknown critical extension", Options{Intermediate: unknownCritical}, pki.RuleCriticalExtension, 1},
		{"intermediate expired", Options{Intermediate: ends}, pki.RuleValidity, 1},
		{"intermediate not yet valid", Options{Intermediate: begins}, pki.RuleValidity, 1},
		{"intermediate signed with SHA-1", Options{Intermediate: sha1}, pki.RuleSignatureAlgorithm, 1},
		{"name constraints", Options{
			Intermediate: func(c *x509.Certificate) {
				c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
			},
			Leaf: func(c *x509.Certificate) { c.DNSNames = []string{"tsa.example.org"} },
		}, pki.RulePath, 0},

		{"root is no CA", Options{Root: notCA}, pki.RuleIssuerCA, 2},
		{"root without keyCertSign", Options{Root: noCertSign}, pki.RuleIssuerKeyUsage, 2},
		{"root allows no intermediate", Options{Root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }}, pki.RuleIssuerPathLength, 2},
		{"root for code signing", Options{Root: func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}}, pki.RuleIssuerEKU, 2},
		{"root expired", Options{Root: ends}, pki.RuleValidity, 2},
		{"root not yet valid", Options{Root: begins}, pki.RuleValidity, 2},
	}
}

// HostileCA returns chains that no CA for Sigstore may have: they break RFC
// 5280, 6.1 or the certificate specification of Fulcio, each in one way. The
// windows are those of [HostileTSA].
func HostileCA() []Hostile {
	const serverAuth, codeSigning, timeStamping, any = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8", "2.5.29.37.0"
	return []Hostile{
		{"issuing CA is an end entity", Options{Intermediate: notCA}, pki.RuleIssuerCA, 0},
		{"issuing CA without basicConstraints", Options{Intermediate: func(c *x509.Certificate) { c.BasicConstraintsValid = false }}, pki.RuleIssuerCA, 0},
		{"issuing CA for signatures only", Options{Intermediate: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }}, pki.RuleIssuerKeyUsage, 0},
		{"issuing CA without EKU", Options{Intermediate: EKU(false)}, pki.RuleIssuerEKU, 0},
		{"issuing CA for timestamps", Options{Intermediate: EKU(false, timeStamping)}, pki.RuleIssuerEKU, 0},
		{"issuing CA for servers too", Options{Intermediate: EKU(false, codeSigning, serverAuth)}, pki.RuleIssuerEKU, 0},
		{"issuing CA for anything", Options{Intermediate: EKU(false, any)}, pki.RuleIssuerEKU, 0},
		{"issuing CA with an unknown critical extension", Options{Intermediate: unknownCritical}, pki.RuleCriticalExtension, 0},
		{"issuing CA without a name", Options{Intermediate: func(c *x509.Certificate) { c.Subject = pkix.Name{} }}, pki.RuleSubject, 0},
		{"issuing CA expired", Options{Intermediate: func(c *x509.Certificate) { c.NotAfter = past() }}, pki.RuleValidity, 0},
		{"issuing CA not yet valid", Options{Intermediate: func(c *x509.Certificate) { c.NotBefore = future() }}, pki.RuleValidity, 0},
		{"issuing CA signed with SHA-1", Options{Intermediate: sha1}, pki.RuleSignatureAlgorithm, 0},
		{"issuing CA with a weak key", Options{IssuerKey: P224}, pki.RuleKey, 0},
		{"private key expired", Options{Intermediate: usagePeriod("\x30\x11\x81\x0f20210101000000Z")}, pki.RuleKeyPeriod, 0},
		{"root allows no CA", Options{Root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }}, pki.RuleIssuerPathLength, 1},
		{"root is no CA", Options{Root: notCA}, pki.RuleIssuerCA, 1},
		{"root without keyCertSign", Options{Root: noCertSign}, pki.RuleIssuerKeyUsage, 1},
		{"root for timestamps", Options{Root: EKU(false, timeStamping)}, pki.RuleIssuerEKU, 1},
		{"root expired", Options{Root: func(c *x509.Certificate) { c.NotAfter = past() }}, pki.RuleValidity, 1},
	}
}

// HostileTSACA returns chains that no CA for time-stamping units may have: they
// break RFC 5280, 6.1, each in one way. The windows are those of [HostileTSA].
func HostileTSACA() []Hostile {
	const codeSigning = "1.3.6.1.5.5.7.3.3"
	return []Hostile{
		{"issuing CA is an end entity", Options{Intermediate: notCA}, pki.RuleIssuerCA, 0},
		{"issuing CA for signatures only", Options{Intermediate: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }}, pki.RuleIssuerKeyUsage, 0},
		{"issuing CA for code signing", Options{Intermediate: EKU(false, codeSigning)}, pki.RuleIssuerEKU, 0},
		{"issuing CA with a weak key", Options{IssuerKey: RSA1024}, pki.RuleKey, 0},
		{"issuing CA expired", Options{Intermediate: func(c *x509.Certificate) { c.NotAfter = past() }}, pki.RuleValidity, 0},
		{"issuing CA signed with SHA-1", Options{Intermediate: sha1}, pki.RuleSignatureAlgorithm, 0},
		{"root allows no CA", Options{Root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }}, pki.RuleIssuerPathLength, 1},
		{"root for code signing", Options{Root: EKU(false, codeSigning)}, pki.RuleIssuerEKU, 1},
		{"root expired", Options{Root: func(c *x509.Certificate) { c.NotAfter = past() }}, pki.RuleValidity, 1},
	}
}

// HostileCodeSigning returns chains that Notation refuses, or that break RFC
// 5280, each in one way. The windows are those of [HostileTSA].
func HostileCodeSigning() []Hostile {
	const serverAuth, clientAuth, codeSigning, emailProtection = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.4"
	const timeStamping, ocspSigning = "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.9"
	return []Hostile{
		{"leaf with an Ed25519 key", Options{Key: Ed25519}, pki.RuleKey, 0},
		{"leaf with a weak key", Options{Key: P224}, pki.RuleKey, 0},
		{"leaf with an RSA key of an odd size", Options{Leaf: func(c *x509.Certificate) { c.PublicKey = oddRSA() }}, pki.RuleKey, 0},
		{"leaf is a CA", Options{Leaf: func(c *x509.Certificate) { c.IsCA = true }}, pki.RuleLeafCA, 0},
		{"leaf without keyUsage", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = 0 }}, pki.RuleLeafKeyUsage, 0},
		{"leaf with keyUsage not critical", Options{Leaf: keyUsage("\x03\x02\x07\x80")}, pki.RuleLeafKeyUsage, 0},
		{"leaf for contentCommitment", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }}, pki.RuleLeafKeyUsage, 0},
		{"leaf for encryption too", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }}, pki.RuleLeafKeyUsage, 0},
		{"leaf for certificates", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }}, pki.RuleLeafKeyUsage, 0},
		{"leaf for servers too", Options{Leaf: EKU(false, codeSigning, serverAuth)}, pki.RuleLeafEKUOnly, 0},
		{"leaf for clients too", Options{Leaf: EKU(false, codeSigning, clientAuth)}, pki.RuleLeafEKUOnly, 0},
		{"leaf for mail too", Options{Leaf: EKU(false, codeSigning, emailProtection)}, pki.RuleLeafEKUOnly, 0},
		{"leaf for timestamps too", Options{Leaf: EKU(false, codeSigning, timeStamping)}, pki.RuleLeafEKUOnly, 0},
		{"leaf for OCSP too", Options{Leaf: EKU(false, codeSigning, ocspSigning)}, pki.RuleLeafEKUOnly, 0},
		{"leaf with an unknown critical extension", Options{Leaf: unknownCritical}, pki.RuleCriticalExtension, 0},
		{"leaf expired", Options{NotAfter: past()}, pki.RuleValidity, 0},
		{"leaf not yet valid", Options{NotBefore: future()}, pki.RuleValidity, 0},
		{"leaf signed with SHA-1", Options{Leaf: sha1}, pki.RuleSignatureAlgorithm, 0},
		{"intermediate is no CA", Options{Intermediate: notCA}, pki.RuleIssuerCA, 1},
		{"intermediate without keyUsage", Options{Intermediate: func(c *x509.Certificate) { c.KeyUsage = 0 }}, pki.RuleIssuerKeyUsage, 1},
		{"intermediate with keyUsage not critical", Options{Intermediate: keyUsage("\x03\x02\x01\x06")}, pki.RuleIssuerKeyUsage, 1},
		{"intermediate without keyCertSign", Options{Intermediate: noCertSign}, pki.RuleIssuerKeyUsage, 1},
		{"intermediate for timestamps", Options{Intermediate: EKU(false, timeStamping)}, pki.RuleIssuerEKU, 1},
		{"root allows no intermediate", Options{Root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }}, pki.RuleIssuerPathLength, 2},
		{"root without keyUsage", Options{Root: func(c *x509.Certificate) { c.KeyUsage = 0 }}, pki.RuleIssuerKeyUsage, 2},
		{"root with keyUsage not critical", Options{Root: keyUsage("\x03\x02\x01\x06")}, pki.RuleIssuerKeyUsage, 2},
		{"root signed with SHA-1", Options{Root: sha1}, pki.RuleSignatureAlgorithm, 2},
		{"root expired", Options{Root: func(c *x509.Certificate) { c.NotAfter = past() }}, pki.RuleValidity, 2},
	}
}

// HostileLog returns chains that are not those of a log: they break RFC 5280,
// each in one way. The windows are those of [HostileTSA].
func HostileLog() []Hostile {
	const timeStamping = "1.3.6.1.5.5.7.3.8"
	return []Hostile{
		{"leaf for timestamps", Options{Leaf: EKU(true, timeStamping)}, pki.RuleLeafEKU, 0},
		{"leaf for an unknown purpose", Options{Leaf: EKU(false, "1.3.6.1.4.1.99999.2")}, pki.RuleLeafEKU, 0},
		{"leaf is a CA", Options{Leaf: func(c *x509.Certificate) { c.IsCA = true }}, pki.RuleLeafCA, 0},
		{"leaf for contentCommitment", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }}, pki.RuleLeafKeyUsage, 0},
		{"leaf for certificates", Options{Leaf: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }}, pki.RuleLeafKeyUsage, 0},
		{"leaf with an unknown critical extension", Options{Leaf: unknownCritical}, pki.RuleCriticalExtension, 0},
		{"leaf with a weak key", Options{Key: P224}, pki.RuleKey, 0},
		{"leaf expired", Options{NotAfter: past()}, pki.RuleValidity, 0},
		{"leaf not yet valid", Options{NotBefore: future()}, pki.RuleValidity, 0},
		{"leaf signed with SHA-1", Options{Leaf: sha1}, pki.RuleSignatureAlgorithm, 0},
		{"private key expired", Options{PrivateKeyNotAfter: past()}, pki.RuleKeyPeriod, 0},
		{"intermediate is no CA", Options{Intermediate: notCA}, pki.RuleIssuerCA, 1},
		{"intermediate without keyCertSign", Options{Intermediate: noCertSign}, pki.RuleIssuerKeyUsage, 1},
		{"root allows no intermediate", Options{Root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }}, pki.RuleIssuerPathLength, 2},
		{"root expired", Options{Root: func(c *x509.Certificate) { c.NotAfter = past() }}, pki.RuleValidity, 2},
	}
}

// Windows that are over end at past, and those still to come begin at future.
func past() time.Time   { return time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC) }
func future() time.Time { return time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC) }

func unknownCritical(c *x509.Certificate) {
	c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}})
}

// oddRSA is a public key of 2560 bits, of which nobody has the private half.
func oddRSA() *rsa.PublicKey {
	n := stream("rsa2560", 2560/8)
	n[0] |= 0x80
	n[len(n)-1] |= 1
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
}

// keyUsage replaces the keyUsage by one that is not critical.
func keyUsage(der string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.KeyUsage = 0
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte(der)})
	}
}

func sha1(c *x509.Certificate)       { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }
func notCA(c *x509.Certificate)      { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, 0, false }
func noCertSign(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }

var oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}

// EKU returns a change that replaces the extended key usage by one with the
// given purposes, as dotted identifiers; without any the extension is left out.
func EKU(critical bool, purposes ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, nil
		c.ExtraExtensions = slices.DeleteFunc(c.ExtraExtensions, func(e pkix.Extension) bool { return e.Id.Equal(oidExtKeyUsage) })
		if len(purposes) == 0 {
			return
		}
		var ids []asn1.ObjectIdentifier
		for _, p := range purposes {
			ids = append(ids, parseOID(p))
		}
		der, err := asn1.Marshal(ids)
		if err != nil {
			panic("pkitest: EKU: " + err.Error())
		}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidExtKeyUsage, Critical: critical, Value: der})
	}
}

// parseOID panics on what is no identifier: it comes from a test's own source.
func parseOID(s string) asn1.ObjectIdentifier {
	var id asn1.ObjectIdentifier
	parsed, err := x509.ParseOID(s)
	if err == nil {
		var der []byte
		if der, err = parsed.MarshalBinary(); err == nil {
			_, err = asn1.Unmarshal(append([]byte{6, byte(len(der))}, der...), &id)
		}
	}
	if err != nil {
		panic("pkitest: " + s + ": " + err.Error())
	}
	return id
}

// usagePeriod adds a privateKeyUsagePeriod with the given value.
func usagePeriod(der string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 16}, Value: []byte(der)})
	}
}
