package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/pkup"
)

// leaf checks the end entity against its role.
func (c *checker) leaf() {
	c.apply(RuleLeafCA)
	switch leaf := c.chain[0]; {
	case leaf.IsCA && c.role.role == RoleTSA:
		// RFC 3161, 2.1 (10): a key reserved for timestamps signs no certificates.
		c.add(RuleLeafCA, 0, Error, "RFC 3161, 2.1 (10)", "the leaf is a CA certificate, want an end entity (basicConstraints cA FALSE)")
	case leaf.IsCA:
		c.add(RuleLeafCA, 0, Error, "RFC 5280, 4.2.1.9", "the leaf is a CA certificate, want an end entity (basicConstraints cA FALSE)")
	}
	c.certifiedKey()
	switch c.role.role {
	case RoleLog:
		c.logKeyUsage()
		c.logEKU()
		c.keyPeriod()
		return
	case RoleCodeSigning:
		c.codeSigningKeyUsage()
		c.codeSigningEKU()
		c.codeSigningLifetime()
		c.keyPeriod()
		return
	}
	c.leafKeyUsage()
	c.leafEKU()
	c.leafLifetime()
	c.keyPeriod()
}

// certifiedKey compares the first certificate with the key in use.
func (c *checker) certifiedKey() {
	if c.opts.PublicKey == nil {
		return
	}
	c.apply(RuleLeafKey)
	clause := "EN 319 421, TIS-7.6.4"
	if c.role.role != RoleTSA {
		clause = "RFC 5280, 6.1.4"
	}
	if !sameKey(c.chain[0].PublicKey, c.opts.PublicKey) {
		c.add(RuleLeafKey, 0, Error, clause, "it certifies another public key than that of the signer")
	}
}

// keyUsageNames is in the order of the bits of RFC 5280, 4.2.1.3.
var keyUsageNames = [...]string{
	"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement",
	"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
}

func keyUsageText(ku x509.KeyUsage) string {
	var names []string
	for i, n := range keyUsageNames {
		if ku&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

// leafKeyUsage: RFC 3161 is silent; RFC 5280, 4.2.1.12 names digitalSignature
// and nonRepudiation (now contentCommitment) as the usages that are consistent
// with timeStamping. OpenSSL refuses others beside them; Notation does too, and
// demands the first.
func (c *checker) leafKeyUsage() {
	c.apply(RuleLeafKeyUsage)
	const sign, commit = x509.KeyUsageDigitalSignature, x509.KeyUsageContentCommitment
	leaf := c.chain[0]
	ext := extensions(leaf, oidKeyUsage)
	if len(ext) == 0 {
		c.add(RuleLeafKeyUsage, 0, Warning, "Notary Project, signature specification", "no keyUsage: Notation demands it, with digitalSignature; so does CSBR, 7.1.2.3")
		return
	}
	switch ku := leaf.KeyUsage; {
	case ku&(sign|commit) == 0:
		c.add(RuleLeafKeyUsage, 0, Error, "RFC 5280, 4.2.1.12", "keyUsage has neither digitalSignature nor contentCommitment, only %s", keyUsageText(ku))
	case ku&x509.KeyUsageCertSign != 0 && !leaf.IsCA:
		c.add(RuleLeafKeyUsage, 0, Error, "RFC 5280, 4.2.1.9", "keyUsage has keyCertSign, which is for CAs")
	case ku&^(sign|commit) != 0:
		c.add(RuleLeafKeyUsage, 0, Warning, "Notary Project, signature specification", "keyUsage also has %s: Notation and OpenSSL allow digitalSignature and contentCommitment only", keyUsageText(ku&^(sign|commit)))
	case ku&sign == 0:
		c.add(RuleLeafKeyUsage, 0, Warning, "Notary Project, signature specification", "keyUsage has contentCommitment alone: Notation demands digitalSignature")
	}
	if !ext[0].Critical {
		c.add(RuleLeafKeyUsage, 0, Note, "RFC 5280, 4.2.1.3", "keyUsage is not critical")
	}
}

// leafEKU: "The corresponding certificate MUST contain only one instance of the
// extended key usage field extension ... with KeyPurposeID having value:
// id-kp-timeStamping. This extension MUST be critical." (RFC 3161, 2.3)
func (c *checker) leafEKU() {
	c.apply(RuleLeafEKU)
	leaf := c.chain[0]
	ext := extensions(leaf, oidExtKeyUsage)
	switch {
	case len(ext) == 0:
		c.add(RuleLeafEKU, 0, Error, c.role.clause, "no extended key usage, want %s", c.role.ekuName)
		return
	case len(ext) > 1:
		c.add(RuleLeafEKU, 0, Error, c.role.clause, "%d extended key usage extensions, want one", len(ext))
		return
	}
	c.apply(RuleLeafEKUCritical, RuleLeafEKUOnly)
	if !ext[0].Critical {
		c.add(RuleLeafEKUCritical, 0, Error, c.role.clause, "the extended key usage is not critical")
	}
	// The raw value, because x509.Certificate keeps the purposes that it does
	// not know in a field of their own, where they are easily overlooked.
	var purposes []asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(ext[0].Value, &purposes); err != nil || len(rest) > 0 {
		c.add(RuleLeafEKUOnly, 0, Error, "RFC 5280, 4.2.1.12", "the extended key usage is malformed")
		return
	}
	var others []string
	found := 0
	for _, p := range purposes {
		if p.Equal(c.role.ekuOID) {
			found++
		} else {
			others = append(others, purposeName(p))
		}
	}
	switch {
	case found == 0:
		c.add(RuleLeafEKUOnly, 0, Error, c.role.clause, "the extended key usage is %s, want %s", shorten(strings.Join(others, ", ")), c.role.ekuName)
	case len(others) > 0:
		c.add(RuleLeafEKUOnly, 0, Error, c.role.clause, "the extended key usage has %s beside %s, want nothing else", shorten(strings.Join(others, ", ")), c.role.ekuName)
	case found > 1:
		c.add(RuleLeafEKUOnly, 0, Error, c.role.clause, "the extended key usage has %s %d times", c.role.ekuName, found)
	}
}

// purposeName names the purposes that one meets in practice.
func purposeName(id asn1.ObjectIdentifier) string {
	text := id.String()
	names := [...]string{
		"2.5.29.37.0", "anyExtendedKeyUsage", "1.3.6.1.5.5.7.3.1", "serverAuth", "1.3.6.1.5.5.7.3.2", "clientAuth",
		"1.3.6.1.5.5.7.3.3", "codeSigning", "1.3.6.1.5.5.7.3.4", "emailProtection", "1.3.6.1.5.5.7.3.8", "timeStamping",
		"1.3.6.1.5.5.7.3.9", "OCSPSigning",
	}
	for i := 0; i < len(names); i += 2 {
		if names[i] == text {
			return names[i+1]
		}
	}
	return text
}

// ekuOIDs returns the purposes in the first extended key usage extension, those
// included that crypto/x509 does not know; none if there is no such extension or
// it is malformed.
func ekuOIDs(cert *x509.Certificate) []asn1.ObjectIdentifier {
	ext := extensions(cert, oidExtKeyUsage)
	if len(ext) == 0 {
		return nil
	}
	var out []asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(ext[0].Value, &out); err != nil || len(rest) > 0 {
		return nil
	}
	return out
}

// CSBR 6.3.2: at most 135 months for the certificate, 15 for the use of its key.
const (
	maxLeafMonths = 135
	maxKeyMonths  = 15
)

func (c *checker) leafLifetime() {
	c.apply(RuleLeafLifetime)
	leaf := c.chain[0]
	if leaf.NotAfter.After(leaf.NotBefore.AddDate(0, maxLeafMonths, 0)) {
		c.add(RuleLeafLifetime, 0, Note, "CSBR, 6.3.2", "valid for more than %d months, the most for a publicly trusted TSA", maxLeafMonths)
	}
}

// keyPeriod looks at the privateKeyUsagePeriod, which the standards for TSAs
// know and those for others do not forbid.
func (c *checker) keyPeriod() {
	c.apply(RuleKeyPeriod)
	leaf, tsa := c.chain[0], c.role.role == RoleTSA
	begin, end, ok, err := pkup.Parse(leaf)
	switch {
	case err != nil:
		c.add(RuleKeyPeriod, 0, Error, "RFC 3280, 4.2.1.4", "%v", err)
		c.cure("have it issued again with a privateKeyUsagePeriod that is well-formed, or without one")
		return
	case !ok && tsa:
		c.add(RuleKeyPeriod, 0, Note, "EN 319 422, 6.4", "no privateKeyUsagePeriod: nothing ends the use of the key before the certificate does")
		return
	case !ok:
		return
	}
	clause := "RFC 3280, 4.2.1.4"
	if tsa {
		clause = "EN 319 421, TIS-7.7.1-09"
	}
	// The period is part of what a verifier is told; outside it the key must not
	// sign.
	if c.opts.Time.Before(begin) {
		c.add(RuleKeyPeriod, 0, Error, clause, "the private key may not be used yet at %s: its usage period begins %s", date(c.opts.Time), date(begin))
		c.cure("wait until then, or set the clock right")
	}
	if end.IsZero() {
		c.add(RuleKeyPeriod, 0, Note, "EN 319 421, TIS-7.6.7", "privateKeyUsagePeriod has no end")
		return
	}
	if c.opts.Time.After(end) {
		c.add(RuleKeyPeriod, 0, Error, clause, "the private key may no longer be used at %s: its usage period ended %s", date(c.opts.Time), date(end))
	}
	if !end.Before(leaf.NotAfter) {
		c.add(RuleKeyPeriod, 0, Note, "EN 319 421, TIS-7.6.7", "the private key's usage period ends %s, not before the certificate (%s)", date(end), date(leaf.NotAfter))
	}
	c.add(RuleKeyPeriod, 0, Note, "EN 319 422, 6.4", "the private key may be used until %s", date(end))
	if tsa && end.After(leaf.NotBefore.AddDate(0, maxKeyMonths, 0)) {
		c.add(RuleKeyPeriod, 0, Note, "CSBR, 6.3.2", "the private key is used for more than %d months, the most for a publicly trusted TSA", maxKeyMonths)
	}
}

// PrivateKeyUsagePeriod returns the bounds, both inclusive, in which the private
// key of cert may be used (extension 2.5.29.16; EN 319 422, 6.4). ok is false
// without the extension; a bound that it leaves out is the zero time. It is an
// error if the extension is malformed, empty or ends before it begins.
func PrivateKeyUsagePeriod(cert *x509.Certificate) (notBefore, notAfter time.Time, ok bool, err error) {
	return pkup.Parse(cert)
}

func extensions(c *x509.Certificate, id asn1.ObjectIdentifier) []pkix.Extension {
	var out []pkix.Extension
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			out = append(out, e)
		}
	}
	return out
}
