package pki

// Rule identifies a check. The words do not change from one version to the
// next; they are the same in Go, in JSON and on the command line.
type Rule string

// The rules, in the order in which they are explained. [Rules] says in a
// sentence what each demands.
const (
	RuleRole               Rule = "role"
	RuleLength             Rule = "chain-length"
	RuleOrder              Rule = "chain-order"
	RuleKeyID              Rule = "chain-key-id"
	RuleSignature          Rule = "signature"
	RuleSignatureAlgorithm Rule = "signature-algorithm"
	RuleKey                Rule = "key"
	RuleValidity           Rule = "validity"
	RuleNesting            Rule = "validity-nesting"
	RuleCriticalExtension  Rule = "critical-extension"
	RuleSerial             Rule = "serial"
	RuleSubject            Rule = "subject"
	RulePolicies           Rule = "policies"
	RuleLeafCA             Rule = "leaf-ca"
	RuleLeafKey            Rule = "leaf-key"
	RuleLeafKeyUsage       Rule = "leaf-key-usage"
	RuleLeafEKU            Rule = "leaf-eku"
	RuleLeafEKUCritical    Rule = "leaf-eku-critical"
	RuleLeafEKUOnly        Rule = "leaf-eku-only"
	RuleLeafLifetime       Rule = "leaf-lifetime"
	RuleKeyPeriod          Rule = "leaf-key-period"
	RuleIssuerCA           Rule = "issuer-ca"
	RuleIssuerKeyUsage     Rule = "issuer-key-usage"
	RuleIssuerPathLength   Rule = "issuer-path-length"
	RuleIssuerEKU          Rule = "issuer-eku"
	RuleRootSelfSigned     Rule = "root-self-signed"
	RuleRevocation         Rule = "revocation"
	RulePath               Rule = "path"
)

// RuleInfo explains a rule.
type RuleInfo struct {
	Rule    Rule   `json:"rule"`
	Summary string `json:"summary"` // what it demands
	Clause  string `json:"clause"`  // the chief source; a finding names its own
}

// Rules returns the rules that [Check] applies to chains for a role, in order;
// none for an unknown role.
func Rules(role Role) []RuleInfo {
	p, err := role.profile()
	if err != nil {
		return nil
	}
	rules := []RuleInfo{
		{RuleRole, "the role is known", "Fencepost"},
		{RuleLength, "a certificate and at least one issuer, all of them there", "RFC 5280, 6.1"},
		{RuleOrder, "each certificate names the next as its issuer", "RFC 5280, 6.1.3 (a)(4)"},
		{RuleKeyID, "authorityKeyIdentifier matches the issuer's subjectKeyIdentifier", "RFC 5280, 4.2.1.1"},
		{RuleSignature, "each signature verifies with the issuer's key", "RFC 5280, 6.1.3 (a)(1)"},
		{RuleSignatureAlgorithm, "no signature with MD5 or SHA-1, none of an unknown kind", "NIST SP 800-131A"},
		{RuleKey, "RSA from 2048 bits, ECDSA on P-256, P-384 or P-521, Ed25519; a timestamping key is no CA's", "NIST SP 800-131A; CSBR, 6.1.5.2"},
		{RuleValidity, "every certificate is valid at the time of the check", "RFC 5280, 6.1.3 (a)(2)"},
		{RuleNesting, "none is valid for longer than its issuer", "RFC 5280, 6.1.3 (a)(2)"},
		{RuleCriticalExtension, "no critical extension that nobody understands", "RFC 5280, 4.2"},
		{RuleSerial, "serial numbers are positive, at most 20 octets", "RFC 5280, 4.1.2.2"},
		{RuleSubject, "names are there", "RFC 5280, 4.1.2.6"},
		{RulePolicies, "each policy is one of the issuer's too", "RFC 5280, 6.1.3 (d)"},
	}
	rules[1].Summary += ", not more than ten"
	switch role {
	case RoleTSA:
		rules = append(rules,
			RuleInfo{RuleLeafCA, "the leaf is an end entity", "RFC 3161, 2.1 (10)"},
			RuleInfo{RuleLeafKey, "the leaf certifies the key in use", "EN 319 421, TIS-7.6.4"},
			RuleInfo{RuleLeafKeyUsage, "keyUsage is digitalSignature, and at most contentCommitment beside it", "RFC 5280, 4.2.1.12"},
			RuleInfo{RuleLeafEKU, "the extended key usage is there, once", p.clause},
			RuleInfo{RuleLeafEKUCritical, "it is critical", p.clause},
			RuleInfo{RuleLeafEKUOnly, "it holds timeStamping and nothing else", p.clause},
			RuleInfo{RuleLeafLifetime, "the leaf is valid for no longer than public authorities may be", "CSBR, 6.3.2"},
			RuleInfo{RuleKeyPeriod, "the private key is in its usage period, which ends before the certificate", "EN 319 421, TIS-7.7.1-09"},
		)
	case RoleCA, RoleTSACA:
		rules = append(rules,
			RuleInfo{RuleLeafKey, "the first certificate certifies the key in use", "RFC 5280, 6.1.4"},
			RuleInfo{RuleKeyPeriod, "the private key is in its usage period, if it has one", "RFC 3280, 4.2.1.4"},
		)
	case RoleCodeSigning:
		rules[6].Summary = "ECDSA on P-256, P-384 or P-521, RSA of 2048, 3072 or 4096 bits; a CA's from 2048 bits, or Ed25519"
		rules[6].Clause = clauseNotary
		rules = append(rules,
			RuleInfo{RuleLeafCA, "the leaf is an end entity", "RFC 5280, 4.2.1.9"},
			RuleInfo{RuleLeafKey, "the leaf certifies the key in use", "RFC 5280, 6.1.4"},
			RuleInfo{RuleLeafKeyUsage, "keyUsage is critical and digitalSignature, with at most contentCommitment beside it", clauseNotary},
			RuleInfo{RuleLeafEKU, "the extended key usage is there, once", clauseCSBR},
			RuleInfo{RuleLeafEKUOnly, "it has codeSigning, and nothing that Notation refuses", clauseNotary},
			RuleInfo{RuleLeafLifetime, "the leaf is valid for no longer than public ones may be", "CSBR, 6.3.2"},
			RuleInfo{RuleKeyPeriod, "the private key is in its usage period, if it has one", "RFC 3280, 4.2.1.4"},
		)
	case RoleLog:
		rules = append(rules,
			RuleInfo{RuleLeafCA, "the leaf is an end entity", "RFC 5280, 4.2.1.9"},
			RuleInfo{RuleLeafKey, "the leaf certifies the key in use", "RFC 5280, 6.1.4"},
			RuleInfo{RuleLeafKeyUsage, "keyUsage is digitalSignature alone", "RFC 5280, 4.2.1.3"},
			RuleInfo{RuleLeafEKU, "no extended key usage limits the key to something else", p.clause},
			RuleInfo{RuleKeyPeriod, "the private key is in its usage period, if it has one", "RFC 3280, 4.2.1.4"},
		)
	}
	eku := "their extended key usages allow " + p.ekuName
	switch role {
	case RoleTSACA:
		eku = "the issuing CA is limited to timeStamping, which those above it allow"
	case RoleCA:
		eku = "the issuing CA is limited to codeSigning, which those above it allow"
	case RoleLog:
		eku = "they are not limited to purposes that a log does not have"
	}
	return append(rules,
		RuleInfo{RuleIssuerCA, "every issuer is a CA", "RFC 5280, 4.2.1.9"},
		RuleInfo{RuleIssuerKeyUsage, "and may sign certificates", "RFC 5280, 4.2.1.3"},
		RuleInfo{RuleIssuerPathLength, "over as many CAs as there are below it", "RFC 5280, 4.2.1.9"},
		RuleInfo{RuleIssuerEKU, eku, "RFC 5280, 4.2.1.12"},
		RuleInfo{RuleRootSelfSigned, "the chain ends in a self-signed certificate, and only there is one", "Fencepost"},
		RuleInfo{RuleRevocation, "verifiers can ask about revocation, over http", "RFC 5280, 4.2.1.13"},
		RuleInfo{RulePath, "crypto/x509 builds a path, name constraints included", "RFC 5280, 6.1"},
	)
}

// cure says what to do about a broken rule, in words that suit most ways of
// breaking it; see finding.cure.
func (p profile) cure(rule Rule) string {
	const again = "have it issued again "
	switch rule {
	case RuleRole:
		return "name one of the roles"
	case RuleLength:
		return "put the certificates of its issuers behind that of the service, up to the root"
	case RuleOrder:
		return "put the certificate of the service first, then that of its issuer, and so on up to the root"
	case RuleKeyID:
		return again + "by the CA as it is now, or put the certificate of the right issuer into the chain"
	case RuleSignature:
		return "put the certificate of the CA that really issued it into the chain, or " + again + "by this one"
	case RuleSignatureAlgorithm:
		return again + "with SHA-256 or better"
	case RuleKey:
		return "make a key on P-256, and have a certificate issued for it"
	case RuleValidity:
		return again + "with a validity that includes that time"
	case RuleCriticalExtension:
		return again + "without that extension"
	case RuleSerial:
		return again + "with a positive serial number of at most 20 octets"
	case RuleSubject:
		return again + "with a country, an organization and a common name"
	case RuleLeafCA:
		return "have an end-entity certificate issued, by this CA for instance"
	case RuleLeafKey:
		return "give the chain of this key, or the key of this chain"
	case RuleLeafKeyUsage:
		return again + "with the critical keyUsage digitalSignature alone"
	case RuleLeafEKU, RuleLeafEKUCritical, RuleLeafEKUOnly:
		switch {
		case p.ekuName == "":
			return again + "without an extended key usage"
		case !p.strictEKU():
			return again + "with the extended key usage " + p.ekuName + " alone"
		}
		return again + "with the critical extended key usage " + p.ekuName + " alone"
	case RuleKeyPeriod:
		return "make a new key, and have a certificate issued for it"
	case RuleIssuerCA:
		return again + "as that of a CA, with the critical basicConstraints cA TRUE"
	case RuleIssuerKeyUsage:
		return again + "with the critical keyUsage keyCertSign and cRLSign"
	case RuleIssuerPathLength:
		return again + "with a greater path length or none, or use a chain with fewer CAs"
	case RuleIssuerEKU:
		if p.ekuName == "" {
			return again + "without an extended key usage"
		}
		return again + "with the extended key usage " + p.ekuName
	case RuleRootSelfSigned:
		return "let the chain end with its root, and with nothing else that is self-signed"
	case RuleRevocation:
		return again + "with addresses that begin with http://"
	case RulePath:
		return again + "by a CA whose constraints allow it"
	}
	return ""
}
