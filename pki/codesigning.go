package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
)

// clauseNotary is the specification that lays down the certificates behind the
// signatures of the Notary Project.
const clauseNotary = "Notary Project, signature specification"

// clauseTrustPolicy is where the Notary Project says how signers are named: by
// country, state or province, and organization at least.
const clauseTrustPolicy = "Notary Project, trust store and trust policy specification"

// clauseCSBR is that of publicly trusted code signing certificates.
const clauseCSBR = "CSBR, 7.1.2.3"

// codeSigningCure is the cure for a key that the Notary Project does not have.
const codeSigningCure = "make a key on P-256, P-384 or P-521, or of RSA with 2048, 3072 or 4096 bits, and have a certificate issued for it"

// codeSigningFault says what is wrong with a key for signatures of the Notary
// Project, where the key alone decides over the algorithm; "" for nothing.
// Curves and sizes that nobody has are looked at elsewhere.
func codeSigningFault(pub crypto.PublicKey) string {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return ""
	case *rsa.PublicKey:
		if bits := pub.N.BitLen(); bits != 2048 && bits != 3072 && bits != 4096 {
			return fmt.Sprintf("RSA with %d bits: Notation takes 2048, 3072 and 4096 only", bits)
		}
		return ""
	}
	return family(pub) + ": the Notary Project has ECDSA and RSA only"
}

func (c *checker) codeSigningKey() {
	if fault := codeSigningFault(c.chain[0].PublicKey); fault != "" {
		c.add(RuleKey, 0, Error, clauseNotary, "%s", fault)
		c.cure(codeSigningCure)
	}
}

// codeSigningKeyUsage: Notation demands a critical keyUsage with
// digitalSignature, and allows contentCommitment beside it.
func (c *checker) codeSigningKeyUsage() {
	c.apply(RuleLeafKeyUsage)
	const sign, commit = x509.KeyUsageDigitalSignature, x509.KeyUsageContentCommitment
	leaf := c.chain[0]
	ext := extensions(leaf, oidKeyUsage)
	if len(ext) == 0 {
		c.add(RuleLeafKeyUsage, 0, Error, clauseNotary, "no keyUsage, want digitalSignature")
		return
	}
	switch ku := leaf.KeyUsage; {
	case ku&sign == 0:
		c.add(RuleLeafKeyUsage, 0, Error, clauseNotary, "keyUsage lacks digitalSignature, it has %s", keyUsageText(ku))
	case ku&^(sign|commit) != 0:
		c.add(RuleLeafKeyUsage, 0, Error, clauseNotary, "keyUsage also has %s, want digitalSignature alone", keyUsageText(ku&^(sign|commit)))
	}
	if !ext[0].Critical {
		c.add(RuleLeafKeyUsage, 0, Error, clauseNotary, "keyUsage is not critical")
	}
}

// comparedTypes are the types of attributes by which a trust policy names a signer,
// those that crypto/x509 writes by name: CN, SERIALNUMBER, C, L, ST, STREET, O,
// OU and POSTALCODE. Notation reads what it writes.
var comparedTypes = []string{"2.5.4.3", "2.5.4.5", "2.5.4.6", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.10", "2.5.4.11", "2.5.4.17"}

// incomparable says what a subject has that keeps verifiers from comparing any of
// it with a trust policy, "" for nothing.
func incomparable(subject pkix.Name) string {
	seen := map[string]bool{}
	for _, a := range subject.Names {
		id := a.Type.String()
		value, isText := a.Value.(string)
		switch {
		case !slices.Contains(comparedTypes, id):
			return "an attribute of the type " + shorten(id)
		case seen[id]:
			return "two attributes of the type " + id
		case !isText || value == "":
			return "an attribute of the type " + id + " without text"
		case strings.Contains(value, "=#"):
			return `"=#" in it`
		}
		seen[id] = true
	}
	return ""
}

// notCodeSigning are the purposes that Notation refuses in a leaf, whatever is
// beside them.
var notCodeSigning = []x509.ExtKeyUsage{
	x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection,
	x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageOCSPSigning,
}

// codeSigningEKU: the purpose need not be there for Notation, need not be alone
// and need not be critical.
func (c *checker) codeSigningEKU() {
	c.apply(RuleLeafEKU)
	leaf := c.chain[0]
	switch ext := extensions(leaf, oidExtKeyUsage); {
	case len(ext) == 0:
		c.add(RuleLeafEKU, 0, Warning, clauseCSBR, "no extended key usage: Notation takes that, other verifiers of code want %s", c.role.ekuName)
		return
	case len(ext) > 1:
		c.add(RuleLeafEKU, 0, Error, c.role.clause, "%d extended key usage extensions, want one", len(ext))
		return
	}
	c.apply(RuleLeafEKUOnly)
	var foreign []string
	for _, id := range ekuOIDs(leaf) {
		if !id.Equal(c.role.ekuOID) && !isAnyEKU(id) {
			foreign = append(foreign, purposeName(id))
		}
	}
	hasAny := slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny)
	switch {
	case slices.ContainsFunc(leaf.ExtKeyUsage, func(u x509.ExtKeyUsage) bool { return slices.Contains(notCodeSigning, u) }):
		c.add(RuleLeafEKUOnly, 0, Error, clauseNotary, "the extended key usage has %s, which Notation refuses", shorten(strings.Join(foreign, ", ")))
	case !hasAny && !slices.Contains(leaf.ExtKeyUsage, c.role.eku):
		c.add(RuleLeafEKUOnly, 0, Error, c.role.clause, "the extended key usage is %s, want %s", purposes(leaf), c.role.ekuName)
	case hasAny:
		c.add(RuleLeafEKUOnly, 0, Warning, clauseCSBR, "the extended key usage includes any, which verifiers of code other than Notation refuse")
	case len(foreign) > 0:
		c.add(RuleLeafEKUOnly, 0, Note, c.role.clause, "the extended key usage has %s beside %s", shorten(strings.Join(foreign, ", ")), c.role.ekuName)
	}
}

func isAnyEKU(id asn1.ObjectIdentifier) bool { return id.String() == "2.5.29.37.0" }

// maxSigningDays is the longest that a publicly trusted code signing
// certificate is valid (CSBR, 6.3.2). Signatures outlive it by their timestamps.
const maxSigningDays = 460

func (c *checker) codeSigningLifetime() {
	c.apply(RuleLeafLifetime)
	leaf := c.chain[0]
	if leaf.NotAfter.After(leaf.NotBefore.AddDate(0, 0, maxSigningDays)) {
		c.add(RuleLeafLifetime, 0, Note, "CSBR, 6.3.2", "valid for more than %d days, the most for publicly trusted code signing", maxSigningDays)
	}
}

// codeSigningIssuer: Notation demands a critical keyUsage of every CA, the root
// included. That it has keyCertSign is a rule for all roles.
func (c *checker) codeSigningIssuer(i int) {
	switch ext := extensions(c.chain[i], oidKeyUsage); {
	case len(ext) == 0:
		c.add(RuleIssuerKeyUsage, i, Error, clauseNotary, "a CA without keyUsage: Notation refuses it, root included")
	case !ext[0].Critical:
		c.add(RuleIssuerKeyUsage, i, Error, clauseNotary, "keyUsage is not critical")
	}
}
