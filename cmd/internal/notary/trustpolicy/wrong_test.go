package trustpolicy_test

import (
	"fmt"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

// A statement that is valid for images; rows change a part of it.
const (
	name       = `"name": "prod"`
	scopes     = `"registryScopes": ["registry.example.com/app"]`
	strict     = `"signatureVerification": {"level": "strict"}`
	stores     = `"trustStores": ["ca:example"]`
	identities = `"trustedIdentities": ["*"]`
)

// images is a document of statements, each with the given members.
func images(statements ...string) string {
	return "{\"version\": \"1.0\", \"trustPolicies\": [\n{" + strings.Join(statements, "},\n{") + "}]}"
}

// st is a statement with the given members.
func st(members ...string) string { return strings.Join(members, ", ") }

// identity is a statement that trusts the given identities.
func identity(texts ...string) string {
	var quoted []string
	for _, t := range texts {
		quoted = append(quoted, fmt.Sprintf("%q", t))
	}
	return images(st(name, scopes, strict, stores, `"trustedIdentities": [`+strings.Join(quoted, ", ")+`]`))
}

// scope is a statement with the given scopes.
func scope(list string) string {
	return images(st(name, `"registryScopes": `+list, strict, stores, identities))
}

func store(list string) string {
	return images(st(name, scopes, strict, `"trustStores": `+list, identities))
}

func verification(sv string) string {
	return images(st(name, scopes, `"signatureVerification": `+sv, stores, identities))
}

// many is that many attributes.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", x%d=a", i)
	}
	return b.String()
}

type wrong struct {
	name, doc string
	want      []string // each fault: its rule, its text, its cure
}

// wrongImages has the ways in which a policy for images is wrong.
var wrongImages = []wrong{
	{"empty", ``, []string{
		"syntax: the document is empty -> is this the right file?",
	}},
	{"white space", "  \n ", []string{
		"syntax: the document is empty -> is this the right file?",
	}},
	{"not JSON", `version: 1.0`, []string{
		"syntax: line 1: invalid character 'v' looking for beginning of value -> JSON has no comments, no single quotes and no comma after the last element",
	}},
	{"cut short", `{"version": "1.0", "trustPolicies": [`, []string{
		"syntax: line 1: the document ends before it is complete -> JSON has no comments, no single quotes and no comma after the last element",
	}},
	{"comment", "{\n// trusted\n\"version\": \"1.0\"}", []string{
		"syntax: line 2: invalid character '/' looking for beginning of object key string -> JSON has no comments, no single quotes and no comma after the last element",
	}},
	{"trailing comma", "{\"version\": \"1.0\",\n}", []string{
		"syntax: line 2: invalid character '}' looking for beginning of object key string -> JSON has no comments, no single quotes and no comma after the last element",
	}},
	{"two documents", images(st(name, scopes, strict, stores, identities)) + "\n{}", []string{
		"syntax: line 3: there is something after the end of the document: invalid character '{' after top-level value -> keep one document in the file",
	}},
	{"text behind", images(st(name, scopes, strict, stores, identities)) + "\nend", []string{
		"syntax: line 3: there is something after the end of the document: invalid character 'e' after top-level value -> keep one document in the file",
	}},
	{"byte order mark", "\xef\xbb\xbf" + images(st(name, scopes, strict, stores, identities)), []string{
		"encoding: the document begins with a byte order mark, which JSON does not have (RFC 8259, 8.1) -> save it as UTF-8 without a byte order mark",
	}},
	{"UTF-16", "\xff\xfe{\x00}\x00", []string{
		"encoding: the document is UTF-16; JSON is UTF-8 (RFC 8259, 8.1) -> save it as UTF-8",
	}},
	{"not UTF-8", "{\n\"version\": \"1.0\xff\"}", []string{
		"encoding: line 2: the octet 0xff is not UTF-8 -> save the document as UTF-8",
	}},
	{"too long", strings.Repeat(" ", trustpolicy.MaxSize) + "{}", []string{
		"size: the document has 1048578 octets, more than 1048576 -> is this the right file?",
	}},
	{"too deep", strings.Repeat("[", 17) + strings.Repeat("]", 17), []string{
		"depth: line 1: lists and objects are nested more than 16 deep -> is this the right file?",
	}},
	{"far too deep", strings.Repeat("[", 100000), []string{
		"depth: line 1: lists and objects are nested more than 16 deep -> is this the right file?",
	}},
	{"a list", `[]`, []string{
		"type: line 1: it is a list, want an object -> write an object, {...}",
	}},
	{"a string", `"policy"`, []string{
		"type: line 1: it is a string, want an object -> write an object, {...}",
	}},
	{"null", `null`, []string{
		"type: it is null, want an object -> write an object, {...}",
	}},
	{"key twice", `{"version": "1.0", "version": "1.0", "trustPolicies": []}`, []string{
		"duplicate-key: line 1: version: it comes twice, first on line 1 -> remove one of the two",
		"missing: line 1: trustPolicies: there is no statement -> write one statement at least; fencepost policy init makes one",
	}},
	{"key twice in a statement", images(st(name, scopes, strict, stores, identities, `"trustStores": ["ca:other"]`)), []string{
		"duplicate-key: line 2: trustPolicies[0].trustStores: it comes twice, first on line 2 -> remove one of the two",
	}},
	{"key in other capitals", images(st(name, scopes, strict, stores, identities, `"TrustStores": ["ca:other"]`)), []string{
		`capitals: line 2: statement 1 "prod", TrustStores: some programs read it as trustStores and some ignore it -> write trustStores`,
	}},
	{"override in other capitals", verification(`{"level": "permissive", "Override": {"expiry": "enforce"}}`), []string{
		`capitals: line 2: statement 1 "prod", signatureVerification.Override: some programs read it as override and some ignore it -> write override`,
	}},
	{"empty object", `{}`, []string{
		`missing: line 1: version: there is no version -> write "version": "1.0"`,
		"missing: line 1: trustPolicies: there is no statement -> write one statement at least; fencepost policy init makes one",
	}},
	{"no version", `{"trustPolicies": [{` + st(name, scopes, strict, stores, identities) + `}]}`, []string{
		`missing: line 1: version: there is no version -> write "version": "1.0"`,
	}},
	{"version is a number", `{"version": 1.0, "trustPolicies": [{` + st(name, scopes, strict, stores, identities) + `}]}`, []string{
		`type: line 1: version: it is a number, want a string -> write it in quotes: "1.0"`,
	}},
	{"version 1.1", `{"version": "1.1", "trustPolicies": [{` + st(name, scopes, strict, stores, identities) + `}]}`, []string{
		`version: line 1: version: the version "1.1" is not known -> write "version": "1.0"`,
	}},
	{"version is empty", `{"version": "", "trustPolicies": [{` + st(name, scopes, strict, stores, identities) + `}]}`, []string{
		`missing: line 1: version: there is no version -> write "version": "1.0"`,
	}},
	{"version 1", `{"version": "1", "trustPolicies": [{` + st(name, scopes, strict, stores, identities) + `}]}`, []string{
		`version: line 1: version: the version "1" is not known -> write "version": "1.0"`,
	}},
	{"no statements", `{"version": "1.0"}`, []string{
		"missing: line 1: trustPolicies: there is no statement -> write one statement at least; fencepost policy init makes one",
	}},
	{"empty list of statements", `{"version": "1.0", "trustPolicies": []}`, []string{
		"missing: line 1: trustPolicies: there is no statement -> write one statement at least; fencepost policy init makes one",
	}},
	{"statements are an object", `{"version": "1.0", "trustPolicies": {}}`, []string{
		"type: line 1: trustPolicies: it is an object, want a list -> write a list, [...]",
	}},
	{"statement is null", `{"version": "1.0", "trustPolicies": [null]}`, []string{
		"missing: line 1: trustPolicies[0]: there is no name -> give the statement a name that no other has",
	}},
	{"statement is a string", `{"version": "1.0", "trustPolicies": ["prod"]}`, []string{
		"type: line 1: trustPolicies[0]: it is a string, want an object -> write an object, {...}",
	}},
	{"empty statement", images(``), []string{
		"missing: line 2: statement 1, name: there is no name -> give the statement a name that no other has",
		`missing: line 2: statement 1, signatureVerification: there is no signatureVerification -> write "signatureVerification": {"level": "strict"}`,
		`missing: line 2: statement 1, registryScopes: there is no scope -> write "registryScopes": ["host/repository"], or ["*"] for whatever no other statement has`,
	}},
	{"no name", images(st(scopes, strict, stores, identities)), []string{
		"missing: line 2: statement 1, name: there is no name -> give the statement a name that no other has",
	}},
	{"blank name", images(st(`"name": " "`, scopes, strict, stores, identities)), []string{
		`missing: line 2: statement 1 " ", name: the name is only spaces -> give the statement a name that no other has`,
	}},
	{"name is a number", images(st(`"name": 7`, scopes, strict, stores, identities)), []string{
		`type: line 2: statement 1, name: it is a number, want a string -> write it in quotes: "7"`,
	}},
	{"name twice", images(st(name, scopes, strict, stores, identities), st(name, `"registryScopes": ["*"]`, strict, stores, identities)), []string{
		`name: line 3: statement 2 "prod", name: statement 1 has the same name -> give each statement a name of its own`,
	}},
	{"no signatureVerification", images(st(name, scopes, stores, identities)), []string{
		`missing: line 2: statement 1 "prod", signatureVerification: there is no signatureVerification -> write "signatureVerification": {"level": "strict"}`,
	}},
	{"signatureVerification is a string", verification(`"strict"`), []string{
		`type: line 2: statement 1 "prod", signatureVerification: it is a string, want an object -> write an object, {...}`,
	}},
	{"no level", verification(`{}`), []string{
		`missing: line 2: statement 1 "prod", signatureVerification.level: there is no level -> write strict, permissive, audit or skip`,
	}},
	{"empty level", verification(`{"level": ""}`), []string{
		`missing: line 2: statement 1 "prod", signatureVerification.level: there is no level -> write strict, permissive, audit or skip`,
	}},
	{"no such level", verification(`{"level": "lenient"}`), []string{
		`level: line 2: statement 1 "prod", signatureVerification.level: there is no level "lenient" -> write strict, permissive, audit or skip`,
	}},
	{"level in capitals", verification(`{"level": "Strict"}`), []string{
		`level: line 2: statement 1 "prod", signatureVerification.level: there is no level "Strict" -> write strict`,
	}},
	{"level is a list", verification(`{"level": ["strict"]}`), []string{
		`type: line 2: statement 1 "prod", signatureVerification.level: it is a list, want a string -> write a string, "..."`,
	}},
	{"integrity overridden", verification(`{"level": "strict", "override": {"integrity": "log"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.integrity: integrity cannot be overridden: it is always enforced -> remove it`,
	}},
	{"no such check", verification(`{"level": "strict", "override": {"timestamp": "log"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.timestamp: there is no such check -> write authenticity, expiry, authenticTimestamp or revocation`,
	}},
	{"check in other capitals", verification(`{"level": "strict", "override": {"Expiry": "log"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.Expiry: there is no such check -> write expiry`,
	}},
	{"authenticity skipped", verification(`{"level": "audit", "override": {"authenticity": "skip"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.authenticity: only revocation can be skipped -> write enforce or log`,
	}},
	{"timestamp skipped", verification(`{"level": "strict", "override": {"authenticTimestamp": "skip"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.authenticTimestamp: only revocation can be skipped -> write enforce or log`,
	}},
	{"expiry skipped", verification(`{"level": "strict", "override": {"expiry": "skip"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.expiry: only revocation can be skipped -> write enforce or log`,
	}},
	{"no such action", verification(`{"level": "strict", "override": {"revocation": "warn"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.revocation: there is no action "warn" -> write enforce, log or skip`,
	}},
	{"action is false", verification(`{"level": "strict", "override": {"revocation": false}}`), []string{
		`type: line 2: statement 1 "prod", signatureVerification.override.revocation: it is true or false, want a string -> write a string, "..."`,
	}},
	{"action is null", verification(`{"level": "strict", "override": {"expiry": null}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.expiry: there is no action "" -> write enforce or log`,
	}},
	{"override is a list", verification(`{"level": "strict", "override": ["expiry"]}`), []string{
		`type: line 2: statement 1 "prod", signatureVerification.override: it is a list, want an object -> write an object, {...}`,
	}},
	{"all overrides wrong", verification(`{"level": "strict", "override": {"integrity": "skip", "expiry": "no", "x": "log"}}`), []string{
		`override: line 2: statement 1 "prod", signatureVerification.override.integrity: integrity cannot be overridden: it is always enforced -> remove it`,
		`override: line 2: statement 1 "prod", signatureVerification.override.expiry: there is no action "no" -> write enforce or log`,
		`override: line 2: statement 1 "prod", signatureVerification.override.x: there is no such check -> write authenticity, expiry, authenticTimestamp or revocation`,
	}},
	{"no such verifyTimestamp", verification(`{"level": "strict", "verifyTimestamp": "never"}`), []string{
		`verify-timestamp: line 2: statement 1 "prod", signatureVerification.verifyTimestamp: there is no "never" -> write always or afterCertExpiry`,
	}},
	{"verifyTimestamp in capitals", verification(`{"level": "strict", "verifyTimestamp": "AfterCertExpiry"}`), []string{
		`verify-timestamp: line 2: statement 1 "prod", signatureVerification.verifyTimestamp: there is no "AfterCertExpiry" -> write afterCertExpiry`,
	}},
	{"verifyTimestamp is true", verification(`{"level": "strict", "verifyTimestamp": true}`), []string{
		`type: line 2: statement 1 "prod", signatureVerification.verifyTimestamp: it is true or false, want a string -> write a string, "..."`,
	}},
	{"skip with stores", images(st(name, scopes, `"signatureVerification": {"level": "skip"}`, stores)), []string{
		`skip: line 2: statement 1 "prod", trustStores: the level is skip, which verifies nothing and needs none -> remove it, or choose another level`,
	}},
	{"skip with identities", images(st(name, scopes, `"signatureVerification": {"level": "skip"}`, identities)), []string{
		`skip: line 2: statement 1 "prod", trustedIdentities: the level is skip, which verifies nothing and needs none -> remove it, or choose another level`,
	}},
	{"skip with override", images(st(name, scopes, `"signatureVerification": {"level": "skip", "override": {"expiry": "log"}}`)), []string{
		`skip: line 2: statement 1 "prod", signatureVerification.override: the level skip has nothing to override -> remove it, or choose another level`,
	}},
	{"no stores", images(st(name, scopes, strict, identities)), []string{
		`missing: line 2: statement 1 "prod", trustStores: there is no trust store -> write "trustStores": ["ca:NAME"], and "tsa:NAME" beside it for timestamps`,
	}},
	{"empty list of stores", store(`[]`), []string{
		`missing: line 2: statement 1 "prod", trustStores: there is no trust store -> write "trustStores": ["ca:NAME"], and "tsa:NAME" beside it for timestamps`,
	}},
	{"stores are a string", store(`"ca:example"`), []string{
		`type: line 2: statement 1 "prod", trustStores: it is a string, want a list -> write ["ca:example"]`,
	}},
	{"store without type", store(`["example"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "example" is not of the form type:name -> write ca:NAME, signingAuthority:NAME or tsa:NAME`,
	}},
	{"store of no such type", store(`["root:example"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: there is no type of trust store "root" -> write ca:NAME, signingAuthority:NAME or tsa:NAME`,
	}},
	{"type in capitals", store(`["CA:example"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: there is no type of trust store "CA" -> write ca:NAME, signingAuthority:NAME or tsa:NAME`,
	}},
	{"store without name", store(`["ca:"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "" is no name of a trust store -> use letters, digits, and the characters _ . -`,
	}},
	{"empty store", store(`[""]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "" is not of the form type:name -> write ca:NAME, signingAuthority:NAME or tsa:NAME`,
	}},
	{"store is null", store(`[null]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "" is not of the form type:name -> write ca:NAME, signingAuthority:NAME or tsa:NAME`,
	}},
	{"store with a path", store(`["ca:../../tmp"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "../../tmp" is no name of a trust store -> use letters, digits, and the characters _ . -`,
	}},
	{"store is dots", store(`["ca:.."]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: ".." is no name of a trust store -> use letters, digits, and the characters _ . -`,
	}},
	{"store is a dot", store(`["tsa:.", "ca:example"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "." is no name of a trust store -> use letters, digits, and the characters _ . -`,
	}},
	{"store with a space", store(`["ca: example"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: " example" is no name of a trust store -> use letters, digits, and the characters _ . -`,
	}},
	{"store with a letter of Greek", store(`["ca:α"]`), []string{
		`trust-store: line 2: statement 1 "prod", trustStores[0]: "α" is no name of a trust store -> use letters, digits, and the characters _ . -`,
	}},
	{"store is a number", store(`[1]`), []string{
		`type: line 2: statement 1 "prod", trustStores[0]: it is a number, want a string -> write it in quotes: "1"`,
	}},
	{"no identities", images(st(name, scopes, strict, stores)), []string{
		`missing: line 2: statement 1 "prod", trustedIdentities: there is no trusted identity -> write "trustedIdentities": ["x509.subject: C=US, ST=WA, O=Example"], or ["*"] for everybody with a certificate under the trust stores`,
	}},
	{"empty list of identities", identity(), []string{
		`missing: line 2: statement 1 "prod", trustedIdentities: there is no trusted identity -> write "trustedIdentities": ["x509.subject: C=US, ST=WA, O=Example"], or ["*"] for everybody with a certificate under the trust stores`,
	}},
	{"empty identity", identity(""), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the identity is empty -> write x509.subject: C=US, ST=WA, O=Example`,
	}},
	{"star and others", identity("*", "x509.subject: C=US, ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: "*" stands alone, and there are other identities beside it -> remove it, or the others`,
	}},
	{"two stars", identity("*", "*"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: "*" stands alone, and there are other identities beside it -> remove it, or the others`,
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[1]: "*" stands alone, and there are other identities beside it -> remove it, or the others`,
	}},
	{"identity without kind", identity("C=US, ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: "C=US, ST=WA, O=a" has no kind before a colon -> write x509.subject: C=US, ST=WA, O=Example`,
	}},
	{"identity without name", identity("x509.subject:"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name is empty -> write it like C=US, ST=WA, O=Example`,
	}},
	{"identity is a number", images(st(name, scopes, strict, stores, `"trustedIdentities": [7]`)), []string{
		`type: line 2: statement 1 "prod", trustedIdentities[0]: it is a number, want a string -> write it in quotes: "7"`,
	}},
	{"too many identities", identity(strings.Split(strings.Repeat("*,", trustpolicy.MaxIdentities)+"*", ",")...), []string{
		`size: line 2: statement 1 "prod", trustedIdentities: there are 501 identities, more than 500 -> spread them over several statements, or trust a certificate authority that issues only to them`,
	}},
	{"name: no country", identity("x509.subject: ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has no C; C, ST and O are mandatory -> add it from the subject of the signing certificate`,
	}},
	{"name: no state", identity("x509.subject: C=US, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has no ST; C, ST and O are mandatory -> add it from the subject of the signing certificate`,
	}},
	{"name: no organisation", identity("x509.subject: C=US, ST=WA"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has no O; C, ST and O are mandatory -> add it from the subject of the signing certificate`,
	}},
	{"name: nothing mandatory", identity("x509.subject: CN=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has no C and no ST and no O; C, ST and O are mandatory -> add it from the subject of the signing certificate`,
	}},
	{"name: country is empty", identity("x509.subject: C=, ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: C is empty -> give it a value, or leave it out`,
	}},
	{"name: locality is empty", identity("x509.subject: C=US, ST=WA, L=, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: L is empty -> give it a value, or leave it out`,
	}},
	{"name: organisation twice", identity("x509.subject: C=US, ST=WA, O=a, O=b"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: O comes twice -> keep one of them`,
	}},
	{"name: state twice", identity("x509.subject: C=US, ST=WA, S=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: ST comes twice -> keep one of them`,
	}},
	{"name: set of attributes", identity("x509.subject: C=US+ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has a set of several attributes, joined by "+", which is not compared -> write a comma instead`,
	}},
	{"name: hexadecimal", identity("x509.subject: C=US, ST=WA, O=#0c0161"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the value of O is in hexadecimal, which Notation refuses -> write the text itself; write \# for a "#" at its beginning`,
	}},
	{"name: hexadecimal behind an equals sign", identity("x509.subject: C=US, ST=WA, O=a=#b"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has "=#" in it, which Notation refuses -> choose another attribute`,
	}},
	{"name: trailing comma", identity("x509.subject: C=US, ST=WA, O=a,"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name ends with a separator -> remove it`,
	}},
	{"name: two commas", identity("x509.subject: C=US,, ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: there is no attribute before a separator -> remove the separator, or write a backslash before it`,
	}},
	{"name: comma in a value", identity("x509.subject: C=US, ST=WA, O=Acme, Inc."), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: "Inc." is not of the form TYPE=value -> write a backslash before each of " + , ; < > \ in a value`,
	}},
	{"name: quotes", identity("x509.subject: C=US, ST=WA, O=\"Acme\""), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the value of O has '"' in it, which needs a backslash (RFC 4514, 2.4) -> write a backslash before each of " + , ; < > \ in a value`,
	}},
	{"name: backslash at the end", identity("x509.subject: C=US, ST=WA, O=a\\"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the value of O has a backslash before what it does not escape -> write a backslash before each of " + , ; < > \ in a value`,
	}},
	{"name: backslash before a letter", identity("x509.subject: C=US, ST=WA, O=a\\z"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the value of O has a backslash before what it does not escape -> write a backslash before each of " + , ; < > \ in a value`,
	}},
	{"name: not UTF-8 when unescaped", identity("x509.subject: C=US, ST=WA, O=\\ff"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the value of O is not UTF-8 -> escape each octet of the UTF-8 form, or none`,
	}},
	{"name: type with a space", identity("x509.subject: C C=US, ST=WA, O=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: "C C" is no type of an attribute -> use C, ST, L, STREET, POSTALCODE, O, OU, SERIALNUMBER, CN`,
	}},
	{"name: type is no identifier", identity("x509.subject: C=US, ST=WA, O=a, 1..2=b"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: "1..2" is no type of an attribute -> use C, ST, L, STREET, POSTALCODE, O, OU, SERIALNUMBER, CN`,
	}},
	{"name: names in small letters", identity("x509.subject: c=US, st=WA, o=a"), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has no C and no ST and no O; C, ST and O are mandatory -> write the names of attributes in capitals`,
	}},
	{"name: too many attributes", identity("x509.subject: C=US, ST=WA, O=a" + many(40)), []string{
		`trusted-identity: line 2: statement 1 "prod", trustedIdentities[0]: the name has more than 32 attributes -> leave some out`,
	}},
	{"identities overlap", identity("x509.subject: C=US, ST=WA, O=a, CN=b", "x509.subject: O=a, S=WA, C=US"), []string{
		`overlap: line 2: statement 1 "prod", trustedIdentities[1]: whoever is "x509.subject: C=US, ST=WA, O=a, CN=b" is "x509.subject: O=a, S=WA, C=US" as well -> remove "x509.subject: C=US, ST=WA, O=a, CN=b"`,
	}},
	{"identity twice", identity("x509.subject: C=US, ST=WA, O=a", "x509.subject:C=US,ST=WA,O=a"), []string{
		`overlap: line 2: statement 1 "prod", trustedIdentities[1]: whoever is "x509.subject: C=US, ST=WA, O=a" is "x509.subject:C=US,ST=WA,O=a" as well -> remove "x509.subject: C=US, ST=WA, O=a"`,
	}},
	{"no scopes", images(st(name, strict, stores, identities)), []string{
		`missing: line 2: statement 1 "prod", registryScopes: there is no scope -> write "registryScopes": ["host/repository"], or ["*"] for whatever no other statement has`,
	}},
	{"empty list of scopes", scope(`[]`), []string{
		`missing: line 2: statement 1 "prod", registryScopes: there is no scope -> write "registryScopes": ["host/repository"], or ["*"] for whatever no other statement has`,
	}},
	{"scopes are a string", scope(`"*"`), []string{
		`type: line 2: statement 1 "prod", registryScopes: it is a string, want a list -> write ["*"]`,
	}},
	{"empty scope", scope(`[""]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "" is no scope: it is empty -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"star and other scopes", scope(`["*", "registry.example.com/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "*" stands alone, and there are other scopes beside it -> remove the others, or give them a statement of their own`,
	}},
	{"star twice", scope(`["*", "*"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "*" stands alone, and there are other scopes beside it -> remove the others, or give them a statement of their own`,
		`scope: line 2: statement 1 "prod", registryScopes[1]: "*" stands alone, and there are other scopes beside it -> remove the others, or give them a statement of their own`,
	}},
	{"part of a scope", scope(`["registry.example.com/*"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/*" is no scope: "*" stands alone and not for a part of a scope -> name each repository, or write "*" alone`,
	}},
	{"scope with a tag", scope(`["registry.example.com/app:v1"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/app:v1" is no scope: it has a tag -> leave out :v1`,
	}},
	{"scope with a digest", scope(`["registry.example.com/app@sha256:00"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/app@sha256:00" is no scope: it has a digest -> leave out the digest`,
	}},
	{"scope with a scheme", scope(`["https://registry.example.com/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "https://registry.example.com/app" is no scope: it has a scheme -> leave out https://`,
	}},
	{"only a host", scope(`["registry.example.com"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"only a host and a slash", scope(`["registry.example.com/"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"only a repository", scope(`["/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "/app" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"host with an underscore", scope(`["my_registry/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "my_registry/app" is no scope: "my_registry" is no host -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"host with two dots", scope(`["registry..com/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry..com/app" is no scope: "registry..com" is no host -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"IPv6", scope(`["[::1]:5000/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "[::1]:5000/app" is no scope: "[::1]:5000" is no host -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"port is no number", scope(`["localhost:http/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "localhost:http/app" is no scope: "localhost:http" is no host -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"capitals in the repository", scope(`["registry.example.com/App"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/App" is no scope: there are capitals in the repository -> write it in small letters`,
	}},
	{"slash at the end", scope(`["registry.example.com/app/"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/app/" is no scope: it ends in a slash -> remove it`,
	}},
	{"two slashes", scope(`["registry.example.com//app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com//app" is no scope: "/app" is no repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"three underscores", scope(`["registry.example.com/a___b"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "registry.example.com/a___b" is no scope: "a___b" is no repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"spaces around", scope(`[" registry.example.com/app"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: " registry.example.com/app" is no scope: there are spaces around it -> remove them`,
	}},
	{"scope twice in a statement", scope(`["a/b", "a/b"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[1]: "a/b" is in the list already -> remove it`,
	}},
	{"scope is null", scope(`[null]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "" is no scope: it is empty -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
	}},
	{"scope is a number", scope(`[5000]`), []string{
		`type: line 2: statement 1 "prod", registryScopes[0]: it is a number, want a string -> write it in quotes: "5000"`,
	}},
	{"scope in two statements", images(st(name, scopes, strict, stores, identities), st(`"name": "dev"`, scopes, strict, stores, identities)), []string{
		`scope: line 3: statement 2 "dev", registryScopes[0]: the statement "prod" has the scope "registry.example.com/app" already -> keep it in one statement`,
	}},
	{"star in two statements", images(st(name, `"registryScopes": ["*"]`, strict, stores, identities), st(`"name": "dev"`, `"registryScopes": ["*"]`, strict, stores, identities)), []string{
		`scope: line 3: statement 2 "dev", registryScopes[0]: the statement "prod" has the scope "*" already -> keep it in one statement`,
	}},
	{"a fault in each statement", images(st(name, scopes, strict, stores, `"trustedIdentities": []`), st(`"name": "dev"`, `"registryScopes": ["*"]`, `"signatureVerification": {"level": "none"}`, stores, identities)), []string{
		`missing: line 2: statement 1 "prod", trustedIdentities: there is no trusted identity -> write "trustedIdentities": ["x509.subject: C=US, ST=WA, O=Example"], or ["*"] for everybody with a certificate under the trust stores`,
		`level: line 3: statement 2 "dev", signatureVerification.level: there is no level "none" -> write strict, permissive, audit or skip`,
	}},
	{"more faults than anybody reads", scope(`[` + strings.Repeat(`"x", `, 149) + `"x"]`), []string{
		`scope: line 2: statement 1 "prod", registryScopes[0]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[1]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[2]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[3]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[4]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[5]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[6]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[7]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[8]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[9]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[10]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[11]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[12]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[13]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[14]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[15]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[16]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[17]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[18]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[19]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[20]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[21]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[22]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[23]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[24]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[25]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[26]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[27]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[28]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[29]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[30]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[31]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[32]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[33]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[34]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[35]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[36]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[37]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[38]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[39]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[40]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[41]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[42]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[43]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[44]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[45]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[46]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[47]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[48]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[49]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[50]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[51]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[52]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[53]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[54]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[55]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[56]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[57]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[58]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[59]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[60]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[61]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[62]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[63]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[64]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[65]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[66]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[67]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[68]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[69]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[70]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[71]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[72]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[73]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[74]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[75]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[76]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[77]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[78]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[79]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[80]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[81]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[82]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[83]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[84]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[85]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[86]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[87]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[88]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[89]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[90]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[91]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[92]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[93]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[94]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[95]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[96]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[97]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		`scope: line 2: statement 1 "prod", registryScopes[98]: "x" is no scope: it is not host/repository -> write host/repository, such as registry.example.com/app or localhost:5000/app`,
		"further-faults: there are 51 further faults -> mend those above first",
	}},
}
