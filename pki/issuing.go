package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"slices"
	"strings"
)

// issuing checks the first certificate of a CA's chain for what is not asked of
// every issuer.
func (c *checker) issuing() {
	c.certifiedKey()
	c.keyPeriod()
	cert := c.chain[0]
	if len(c.chain) == 1 {
		return // a root that issues by itself: see length
	}
	clause, advice := clauseFulcio, ", which Sigstore's specification advises against"
	if c.role.role != RoleCA {
		clause, advice = "RFC 5280, 4.2.1.9", ""
	}
	switch {
	case !cert.IsCA: // see issuer
	case !hasPathLen(cert):
		c.add(RuleIssuerPathLength, 0, Note, clause, "no path length: it may make further CAs%s", advice)
	case cert.MaxPathLen > 0:
		c.add(RuleIssuerPathLength, 0, Note, clause, "path length %d: it may make further CAs%s", cert.MaxPathLen, advice)
	}
}

// issuingEKU: "An intermediate certificate MUST specify an Extended Key Usage
// for Code Signing [and] MUST NOT specify other Extended Key Usages besides Code
// Signing" (Fulcio, certificate specification). Fulcio does not start without
// the first.
func (c *checker) issuingEKU() {
	cert := c.chain[0]
	switch has := slices.Contains(cert.ExtKeyUsage, c.role.eku); {
	case len(extensions(cert, oidExtKeyUsage)) == 0:
		c.add(RuleIssuerEKU, 0, Error, clauseFulcio, "no extended key usage, want %s: Fulcio does not start with it", c.role.ekuName)
	case !has:
		c.add(RuleIssuerEKU, 0, Error, clauseFulcio, "the extended key usage is %s, want %s", purposes(cert), c.role.ekuName)
	case len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 1:
		c.add(RuleIssuerEKU, 0, Error, clauseFulcio, "the extended key usage has more than %s: %s", c.role.ekuName, purposes(cert))
		c.cure("have it issued again with the extended key usage " + c.role.ekuName + " alone")
	}
}

// purposes lists the extended key usages of a certificate for a message.
func purposes(cert *x509.Certificate) string {
	var names []string
	for _, id := range ekuOIDs(cert) {
		names = append(names, purposeName(id))
	}
	return shorten(strings.Join(names, ", "))
}

// logKey: sigstore-js verifies checkpoints with Ed25519 and P-256 only.
func (c *checker) logKey() {
	switch pub := c.chain[0].PublicKey.(type) {
	case ed25519.PublicKey:
		return
	case *ecdsa.PublicKey:
		if pub.Curve == elliptic.P256() {
			return
		}
	}
	c.add(RuleKey, 0, Warning, "Sigstore, trusted root", "sigstore-js verifies logs with keys on P-256 and of Ed25519 only")
	c.cure("make a key on P-256 or of Ed25519; a log that has begun keeps its key, since its clients know it by that")
}

// logKeyUsage: a checkpoint is a signature on something other than a
// certificate or a revocation list, which is digitalSignature (RFC 5280,
// 4.2.1.3).
func (c *checker) logKeyUsage() {
	c.apply(RuleLeafKeyUsage)
	const sign = x509.KeyUsageDigitalSignature
	leaf := c.chain[0]
	ext := extensions(leaf, oidKeyUsage)
	switch ku := leaf.KeyUsage; {
	case len(ext) == 0:
		c.add(RuleLeafKeyUsage, 0, Note, "RFC 5280, 4.2.1.3", "no keyUsage: nothing says that the key is for signatures")
		return
	case ku&sign == 0:
		c.add(RuleLeafKeyUsage, 0, Error, "RFC 5280, 4.2.1.3", "keyUsage lacks digitalSignature, it has %s", keyUsageText(ku))
	case ku&x509.KeyUsageCertSign != 0 && !leaf.IsCA:
		c.add(RuleLeafKeyUsage, 0, Error, "RFC 5280, 4.2.1.9", "keyUsage has keyCertSign, which is for CAs")
	case ku&^sign != 0:
		c.add(RuleLeafKeyUsage, 0, Note, "RFC 5280, 4.2.1.3", "keyUsage also has %s, which a log does not need", keyUsageText(ku&^sign))
	}
	if !ext[0].Critical {
		c.add(RuleLeafKeyUsage, 0, Note, "RFC 5280, 4.2.1.3", "keyUsage is not critical")
	}
}

// logEKU: "If the extension is present, then the certificate MUST only be used
// for one of the purposes indicated" (RFC 5280, 4.2.1.12), and none of them is
// to sign a log.
func (c *checker) logEKU() {
	c.apply(RuleLeafEKU)
	leaf := c.chain[0]
	switch ext := extensions(leaf, oidExtKeyUsage); {
	case len(ext) == 0:
	case len(ext) > 1:
		c.add(RuleLeafEKU, 0, Error, c.role.clause, "%d extended key usage extensions, want none", len(ext))
	case slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		c.add(RuleLeafEKU, 0, Note, c.role.clause, "an extended key usage that includes any, which says nothing")
	default:
		c.add(RuleLeafEKU, 0, Error, c.role.clause, "its extended key usage limits it to %s, which a log does not do", purposes(leaf))
	}
}
