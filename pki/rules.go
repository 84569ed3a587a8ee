package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// length reports whether there are enough certificates to look at.
func (c *checker) length() bool {
	c.apply(RuleLength)
	for _, cert := range c.chain {
		if cert == nil || len(cert.Raw) == 0 {
			c.add(RuleLength, -1, Error, "Fencepost", "a certificate is missing or was never parsed")
			return false
		}
	}
	switch n := len(c.chain); {
	case n == 0:
		c.add(RuleLength, -1, Error, "RFC 5280, 6.1", "the chain is empty")
	case n == 1 && selfSigned(c.chain[0]) && c.role.issues():
		c.add(RuleLength, 0, Note, "RFC 5280, 6.1", "the root issues by itself: its key has to be in use every day, and to replace it is to have every client trust another root")
		return true
	case n == 1 && selfSigned(c.chain[0]) && c.role.role == RoleCodeSigning:
		c.add(RuleLength, 0, Note, clauseNotary, "the certificate vouches for itself: to replace its key is to have every verifier trust another certificate")
		return true
	case n == 1 && selfSigned(c.chain[0]) && c.role.role == RoleLog:
		c.add(RuleLength, 0, Error, "RFC 5280, 6.1",
			"a self-signed certificate cannot be both an end entity and the CA that is trusted: have a CA issue it, or do without, since clients of logs look at the public key alone")
	case n == 1 && selfSigned(c.chain[0]):
		// Notation and Sigstore trust CA certificates only, so a timestamp by a
		// key that vouches for itself is verified by neither.
		c.add(RuleLength, 0, Error, "RFC 3161, 2.3",
			"a self-signed certificate cannot be both the end entity that stamps and the CA that is trusted: have a CA issue it, the chain then is leaf, issuer")
	case n == 1:
		c.add(RuleLength, 0, Error, "RFC 5280, 6.1", "the chain ends with its first certificate; the certificate of its issuer, %q, is missing", shorten(c.chain[0].Issuer.String()))
	case n > MaxChainLength:
		c.add(RuleLength, -1, Error, "Fencepost", "%d certificates, want at most %d", n, MaxChainLength)
	default:
		return true
	}
	return false
}

// order reports whether each certificate names the next one as its issuer.
func (c *checker) order() bool {
	c.apply(RuleOrder, RuleKeyID)
	ok := true
	for i := range len(c.chain) - 1 {
		child, parent := c.chain[i], c.chain[i+1]
		if !bytes.Equal(child.RawIssuer, parent.RawSubject) {
			ok = false
			c.add(RuleOrder, i, Error, "RFC 5280, 6.1.3 (a)(4)", "its issuer is %q, but the next certificate is that of %s; want the leaf first and the root last",
				shorten(child.Issuer.String()), name(parent))
			continue
		}
		if len(child.AuthorityKeyId) > 0 && len(parent.SubjectKeyId) > 0 && !bytes.Equal(child.AuthorityKeyId, parent.SubjectKeyId) {
			c.add(RuleKeyID, i, Warning, "RFC 5280, 4.2.1.1", "authorityKeyIdentifier %x is not the subjectKeyIdentifier %x of its issuer: OpenSSL does not find the path",
				child.AuthorityKeyId, parent.SubjectKeyId)
		}
	}
	return ok
}

// signature checks the algorithm of certificate i's signature and, if the
// chain is in order, the signature.
func (c *checker) signature(i int, ordered bool) {
	c.apply(RuleSignatureAlgorithm)
	cert, parent := c.chain[i], c.chain[i]
	top := i == len(c.chain)-1
	if !top {
		parent = c.chain[i+1]
	}
	switch cert.SignatureAlgorithm {
	case x509.UnknownSignatureAlgorithm:
		c.add(RuleSignatureAlgorithm, i, Error, "RFC 5280, 4.1.1.2", "the signature algorithm is unknown")
		return
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		switch {
		case top && selfSigned(cert) && c.role.timestamps():
			c.add(RuleSignatureAlgorithm, i, Warning, "Notary Project, signature specification",
				"the root's own signature is %v, which proves nothing: Notation verifies it and refuses the chain, others trust the root as it is", cert.SignatureAlgorithm)
		case top && selfSigned(cert) && c.role.role == RoleCodeSigning:
			c.add(RuleSignatureAlgorithm, i, Error, clauseNotary, "its own signature is %v: Notation verifies it, and refuses the chain", cert.SignatureAlgorithm)
		case top && selfSigned(cert):
			// A root is trusted as it is; nobody relies on its signature.
			c.add(RuleSignatureAlgorithm, i, Note, "NIST SP 800-131A", "the root's own signature is %v; verifiers do not look at it", cert.SignatureAlgorithm)
		default:
			c.add(RuleSignatureAlgorithm, i, Error, "NIST SP 800-131A", "signed with %v, which no longer proves anything", cert.SignatureAlgorithm)
		}
		return
	}
	if top && !selfSigned(cert) || !top && !ordered {
		return
	}
	c.apply(RuleSignature)
	// CheckSignature and not CheckSignatureFrom: whether the parent may sign is
	// a rule of its own.
	if err := parent.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		c.add(RuleSignature, i, Error, "RFC 5280, 6.1.3 (a)(1)", "its signature does not verify with the key of %s: %s",
			name(parent), strings.TrimPrefix(err.Error(), "x509: "))
	}
}

func (c *checker) key(i int) {
	c.apply(RuleKey)
	cert := c.chain[i]
	if fault := pubkey.Fault(cert.PublicKey); fault != "" {
		c.add(RuleKey, i, Error, "NIST SP 800-131A; CSBR, 6.1.5.2", "the public key is %s", fault)
		return
	}
	c.sharedKey(i)
	switch {
	case i > 0:
	case c.role.role == RoleLog:
		c.logKey()
	case c.role.role == RoleCodeSigning:
		c.codeSigningKey()
	}
	if c.role.role == RoleCA && i < len(c.chain)-1 && family(cert.PublicKey) != family(c.chain[i+1].PublicKey) {
		c.add(RuleKey, i, Note, clauseFulcio, "the key is %s and that of its issuer %s: some clients do not verify chains of two kinds",
			family(cert.PublicKey), family(c.chain[i+1].PublicKey))
	}
	if !c.role.timestamps() {
		return
	}
	leaf := i == 0 && !c.role.issues()
	switch pub := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		bits := pub.N.BitLen()
		if leaf && bits != 2048 && bits != 3072 && bits != 4096 {
			c.add(RuleKey, i, Warning, "Notary Project, signature specification", "RSA with %d bits: Notation takes 2048, 3072 and 4096 only", bits)
		}
		if bits < 3072 {
			c.add(RuleKey, i, Note, "CSBR, 6.1.5.2; ETSI TS 119 312", "RSA with %d bits: publicly trusted and qualified TSAs need 3072", bits)
		}
	case *ecdsa.PublicKey:
		// pubkey.Fault leaves the three curves that everyone takes.
	case ed25519.PublicKey:
		if leaf {
			c.add(RuleKey, i, Warning, "RFC 8419", "Ed25519: Notation and OpenSSL 3.0 refuse its timestamps, and publicly trusted TSAs may not use it (CSBR, 6.1.5.2)")
		}
	}
}

// sharedKey looks for the key of certificate i higher up, in a certificate for
// another name: a CA may have several for itself. For a TSA, "a key generated
// exclusively for this purpose" (RFC 3161, 2.1 (10)) is no CA's.
func (c *checker) sharedKey(i int) {
	cert := c.chain[i]
	for j, above := range c.chain[i+1:] {
		if !sameKey(cert.PublicKey, above.PublicKey) || bytes.Equal(cert.RawSubject, above.RawSubject) {
			continue
		}
		number := i + j + 2
		if i == 0 && c.role.role == RoleTSA {
			c.add(RuleKey, i, Error, "RFC 3161, 2.1 (10)", "the key is that of certificate %d, a CA, too: a timestamping key is for nothing else", number)
			c.cure("make a key for the leaf alone, and have a certificate issued for it")
		} else {
			c.add(RuleKey, i, Note, "Fencepost", "the key is that of certificate %d too: who gets it is both", number)
		}
		return
	}
}

// family names the kind of a public key without its size.
func family(pub crypto.PublicKey) string {
	switch pub.(type) {
	case *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PublicKey:
		return "ECDSA"
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return "unknown"
}

func (c *checker) validity(i int) {
	c.apply(RuleValidity)
	switch cert := c.chain[i]; {
	case c.opts.Time.Before(cert.NotBefore):
		c.add(RuleValidity, i, Error, "RFC 5280, 6.1.3 (a)(2)", "not yet valid at %s: its validity begins %s", date(c.opts.Time), date(cert.NotBefore))
		c.cure("wait until then, or set the clock right")
	case c.opts.Time.After(cert.NotAfter):
		c.add(RuleValidity, i, Error, "RFC 5280, 6.1.3 (a)(2)", "expired at %s: its validity ended %s", date(c.opts.Time), date(cert.NotAfter))
	}
}

func (c *checker) nesting(i int) {
	c.apply(RuleNesting)
	if i == len(c.chain)-1 {
		return
	}
	if cert, parent := c.chain[i], c.chain[i+1]; cert.NotAfter.After(parent.NotAfter) {
		c.add(RuleNesting, i, Note, "RFC 5280, 6.1.3 (a)(2)", "valid until %s, but its issuer only until %s: the chain ends with the issuer", date(cert.NotAfter), date(parent.NotAfter))
	}
}

// form checks what RFC 5280 asks of every certificate.
func (c *checker) form(i int) {
	c.apply(RuleCriticalExtension, RuleSerial)
	cert := c.chain[i]
	for _, id := range cert.UnhandledCriticalExtensions {
		c.add(RuleCriticalExtension, i, Error, "RFC 5280, 4.2", "critical extension %v is unknown or cannot be processed: verifiers have to refuse the certificate", id)
	}
	switch n := cert.SerialNumber; {
	case n.BitLen() > maxSerialBits:
		c.add(RuleSerial, i, Error, "RFC 5280, 4.1.2.2", "the serial number is longer than 20 octets")
	case n.Sign() <= 0:
		c.add(RuleSerial, i, Note, "RFC 5280, 4.1.2.2", "the serial number is not positive")
	}
	c.subject(i)
}

// subject checks the name that certificate i certifies.
func (c *checker) subject(i int) {
	c.apply(RuleSubject)
	cert := c.chain[i]
	clause, wanted := "EN 319 422, 6.2", []string{"country", "organization", "common name"}
	switch {
	case c.role.role == RoleCodeSigning:
		clause, wanted = clauseTrustPolicy, []string{"country", "state", "organization"}
	case !c.role.timestamps():
		clause, wanted = clauseFulcio, wanted[1:]
	}
	empty := len(cert.Subject.Names) == 0
	switch {
	case empty && (i > 0 || c.role.issues()):
		c.add(RuleSubject, i, Error, "RFC 5280, 4.1.2.6", "a CA needs a subject, this one is empty")
		return
	case empty && c.role.role == RoleTSA:
		c.add(RuleSubject, i, Note, clause, "the subject is empty: timestamps cannot name their authority")
		return
	case empty:
		c.add(RuleSubject, i, Note, "RFC 5280, 4.1.2.6", "the subject is empty")
		return
	}
	has := map[string]bool{
		"country": len(cert.Subject.Country) > 0, "state": len(cert.Subject.Province) > 0, "organization": len(cert.Subject.Organization) > 0, "common name": cert.Subject.CommonName != "",
	}
	missing := slices.DeleteFunc(wanted, func(what string) bool { return has[what] })
	switch list := strings.Join(missing, ", no "); {
	case list == "":
	case c.role.role == RoleCA: // "MUST: specify a Subject with a common name and organization", root and intermediates alike
		c.add(RuleSubject, i, Warning, clause, "the subject has no %s: Sigstore's specification demands it", list)
		c.cure("have it issued again with an organization and a common name")
	case c.role.role == RoleTSACA && i == 0:
		c.add(RuleSubject, i, Note, clause, "the subject has no %s: the units below it have none from it either", list)
	case c.role.role == RoleTSA && i == 0:
		c.add(RuleSubject, i, Note, clause, "the subject has no %s", list)
	case c.role.role == RoleCodeSigning && i == 0:
		c.add(RuleSubject, i, Note, clause, "the subject has no %s: a trust policy cannot name this signer, only trust everybody below the root", list)
	}
	if c.role.role == RoleCodeSigning && i == 0 {
		if odd := incomparable(cert.Subject); odd != "" {
			c.add(RuleSubject, i, Note, clause, "the subject has %s: a trust policy cannot name this signer, only trust everybody below the root", odd)
		}
	}
}

// issuer checks what certificate i needs to sign the one below, or, when it is
// the first, what it is there to sign. Below it are that many CAs.
func (c *checker) issuer(i, below int) {
	c.apply(RuleIssuerCA, RuleIssuerKeyUsage, RuleIssuerPathLength, RuleIssuerEKU)
	cert, top := c.chain[i], i == len(c.chain)-1
	issued := "it is to issue certificates"
	if i > 0 {
		issued = "it issued " + name(c.chain[i-1])
	}
	if !cert.BasicConstraintsValid || !cert.IsCA {
		c.add(RuleIssuerCA, i, Error, "RFC 5280, 4.2.1.9 and 6.1.4 (k)", "%s without being a CA (basicConstraints cA)", issued)
	} else if ext := extensions(cert, oidBasicConstraints); len(ext) > 0 && !ext[0].Critical {
		c.add(RuleIssuerCA, i, Note, "RFC 5280, 4.2.1.9", "basicConstraints is not critical")
	}
	const both = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch absent := len(extensions(cert, oidKeyUsage)) == 0; {
	case absent && c.role.timestamps():
		c.add(RuleIssuerKeyUsage, i, Warning, "RFC 5280, 4.2.1.3", "a CA without keyUsage: Notation refuses it, root included")
	case c.role.role == RoleCodeSigning && (absent || cert.KeyUsage&x509.KeyUsageCertSign != 0):
		c.codeSigningIssuer(i)
	case absent && c.role.role == RoleLog:
		c.add(RuleIssuerKeyUsage, i, Note, "RFC 5280, 4.2.1.3", "a CA without keyUsage")
	case absent:
		c.add(RuleIssuerKeyUsage, i, Warning, clauseFulcio, "a CA without keyUsage: Sigstore's specification demands keyCertSign and cRLSign")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		c.add(RuleIssuerKeyUsage, i, Error, "RFC 5280, 4.2.1.3 and 6.1.4 (n)", "keyUsage lacks keyCertSign, yet %s", issued)
	case c.role.role == RoleCA && cert.KeyUsage&both != both:
		c.add(RuleIssuerKeyUsage, i, Warning, clauseFulcio, "keyUsage lacks cRLSign: it cannot revoke what it issues, and Sigstore's specification demands it")
	case c.role.role == RoleCA && cert.KeyUsage&^both != 0:
		c.add(RuleIssuerKeyUsage, i, Warning, clauseFulcio, "keyUsage also has %s: Sigstore's specification allows keyCertSign and cRLSign only", keyUsageText(cert.KeyUsage&^both))
	}
	// RFC 5280 does not count self-issued CAs; crypto/x509 does, so a chain that
	// lives from the difference is refused by every verifier written in Go.
	if hasPathLen(cert) && below > cert.MaxPathLen {
		c.add(RuleIssuerPathLength, i, Error, "RFC 5280, 4.2.1.9 and 6.1.4 (l)", "path length %d, but between it and the end entities there are CAs: %d", cert.MaxPathLen, below)
	}
	if i == 0 && !top && c.role.role == RoleCA {
		c.issuingEKU()
	} else {
		c.issuerEKU(i, top)
	}
}

// ekuInCA is the clause of issuerEKU.
const ekuInCA = "RFC 5280, 4.2.1.12, as crypto/x509 applies it"

// issuerEKU: an extended key usage in a CA certificate limits what it may
// issue. RFC 5280 does not say so; crypto/x509 acts so, and with it Sigstore and
// Notation.
func (c *checker) issuerEKU(i int, top bool) {
	cert := c.chain[i]
	present := len(extensions(cert, oidExtKeyUsage)) > 0
	hasAny := slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
	if c.role.ekuName == "" {
		if present && !hasAny {
			c.add(RuleIssuerEKU, i, Note, ekuInCA, "it is limited to %s, which a log does not do: verifiers that ask for a purpose will find none", purposes(cert))
		}
		return
	}
	if !present {
		switch {
		case top:
		case c.role.role == RoleCA:
			c.add(RuleIssuerEKU, i, Warning, clauseFulcio, "an intermediate without the extended key usage %s, which Sigstore's specification demands", c.role.ekuName)
		case c.opts.EnforceIntermediateEKU:
			c.add(RuleIssuerEKU, i, Error, "Sigstore timestamp-authority, enforce-intermediate-eku",
				"an intermediate without the extended key usage %s, which was asked to be enforced", c.role.ekuName)
		case c.role.role == RoleCodeSigning: // nobody asks for it
		default:
			c.add(RuleIssuerEKU, i, Warning, "Sigstore timestamp-authority, enforce-intermediate-eku",
				"an intermediate without the extended key usage %s: Sigstore's timestamp server does not start with it", c.role.ekuName)
		}
		return
	}
	has := slices.Contains(cert.ExtKeyUsage, c.role.eku)
	switch {
	case (has || hasAny) && top && c.role.role == RoleCA:
		c.add(RuleIssuerEKU, i, Warning, clauseFulcio, "a root with an extended key usage, which Sigstore's specification rules out")
		c.cure("have the root made again without an extended key usage")
	case has:
	case hasAny && !top && c.opts.EnforceIntermediateEKU && c.role.timestamps():
		c.add(RuleIssuerEKU, i, Error, "Sigstore timestamp-authority, enforce-intermediate-eku",
			"the extended key usages of an intermediate do not list %s, which was asked to be enforced", c.role.ekuName)
	case hasAny:
		c.add(RuleIssuerEKU, i, Note, ekuInCA, "its extended key usage is any, not limited to %s", c.role.ekuName)
	default:
		c.add(RuleIssuerEKU, i, Error, ekuInCA, "its extended key usages lack %s: verifiers refuse what it issues for that purpose", c.role.ekuName)
	}
}

// anyPolicy is what a CA asserts that is not limited to policies of its own.
const anyPolicy = "2.5.29.32.0"

// policies: a policy counts only if every CA below the trust anchor asserts it.
// Nobody asks for one who does not know it, so it is worth a note.
func (c *checker) policies() {
	c.apply(RulePolicies)
	for i := range max(len(c.chain)-2, 0) {
		cert, parent := c.chain[i], c.chain[i+1]
		var allowed []string
		for _, p := range parent.Policies {
			allowed = append(allowed, p.String())
		}
		if slices.Contains(allowed, anyPolicy) {
			continue
		}
		for _, p := range cert.Policies {
			if !slices.Contains(allowed, p.String()) {
				c.add(RulePolicies, i, Note, "RFC 5280, 6.1.3 (d)", "the policy %s is not one of its issuer's: verifiers that ask for it refuse the chain", shorten(p.String()))
			}
		}
	}
}

// root looks at where the chain ends.
func (c *checker) root() {
	c.apply(RuleRootSelfSigned)
	last := len(c.chain) - 1
	severity, clause, who := Warning, "Notary Project, signature specification", "Notation and Sigstore's trusted root want"
	switch c.role.role {
	case RoleCA:
		clause, who = "Sigstore, trusted root", "Sigstore's clients want"
	case RoleCodeSigning:
		severity, who = Error, "Notation wants"
	case RoleLog:
		severity, clause, who = Note, "RFC 5280, 6.1", "who verifies the certificate needs"
	}
	if top := c.chain[last]; !selfSigned(top) {
		c.add(RuleRootSelfSigned, last, severity, clause, "the chain ends below its root, %q: %s the root in it", shorten(top.Issuer.String()), who)
		if severity > Note {
			c.cure("append the certificate of the root")
		}
	}
	for i := 1; i < last; i++ {
		if !selfSigned(c.chain[i]) {
			continue
		}
		if c.role.timestamps() || c.role.role == RoleCodeSigning {
			c.add(RuleRootSelfSigned, i, severity, clause, "a self-signed certificate inside the chain: Notation allows one only at its end")
		} else {
			c.add(RuleRootSelfSigned, i, Note, "RFC 5280, 6.1", "a self-signed certificate inside the chain")
		}
	}
}

// revocation notes where verifiers will ask, since one that gets no answer
// refuses the timestamp.
func (c *checker) revocation() {
	c.apply(RuleRevocation)
	last := len(c.chain) - 1
	ask := "CSBR, 7.1.2.3"
	if !c.role.timestamps() {
		ask = "RFC 5280, 4.2.1.13"
	}
	for i, cert := range c.chain {
		if i == last && selfSigned(cert) {
			break
		}
		if i == 0 && len(cert.CRLDistributionPoints) == 0 && len(cert.OCSPServer) == 0 {
			c.add(RuleRevocation, i, Note, ask, "no CRL distribution point and no OCSP responder: verifiers cannot learn of a revocation")
		}
		if len(cert.OCSPServer) > 0 {
			c.add(RuleRevocation, i, Note, "RFC 6960", "OCSP at %s: it must answer; when it does not and no CRL helps, Notation refuses to sign and to verify", addresses(cert.OCSPServer))
		}
		if len(cert.CRLDistributionPoints) > 0 {
			c.add(RuleRevocation, i, Note, "RFC 5280, 4.2.1.13", "CRL at %s: it must be there, signed by the issuer and with nextUpdate", addresses(cert.CRLDistributionPoints))
		}
		if len(cert.IssuingCertificateURL) > 0 {
			c.add(RuleRevocation, i, Note, "RFC 5280, 4.2.2.1", "its issuer's certificate at %s: it must be there, in DER", addresses(cert.IssuingCertificateURL))
		}
		for _, u := range append(slices.Clone(cert.OCSPServer), cert.CRLDistributionPoints...) {
			if parsed, err := url.Parse(u); err != nil || !strings.EqualFold(parsed.Scheme, "http") {
				c.add(RuleRevocation, i, Warning, "RFC 5280, 8", "Notation fetches over http only, not from %q", shorten(u))
			}
		}
	}
}

// addresses writes URLs for a message, quoted.
func addresses(urls []string) string {
	quoted := make([]string, len(urls))
	for i, u := range urls {
		quoted[i] = strconv.Quote(shorten(u))
	}
	return strings.Join(quoted, ", ")
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
)

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// selfSigned tells a root from a CA's certificate for its own next key, which
// is self-issued too, by the key identifiers. The signature is looked at
// elsewhere.
func selfSigned(c *x509.Certificate) bool {
	return selfIssued(c) && (len(c.AuthorityKeyId) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}
