package interop

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

// Object identifiers of attributes of names (X.520).
var (
	oidCommonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCountry      = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidLocality     = asn1.ObjectIdentifier{2, 5, 4, 7}
	oidState        = asn1.ObjectIdentifier{2, 5, 4, 8}
	oidStreet       = asn1.ObjectIdentifier{2, 5, 4, 9}
	oidOrganization = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidUnit         = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidDomain       = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
)

// TestNotationSubjects: whose certificate a trusted identity is, is the same to everybody.
func TestNotationSubjects(t *testing.T) {
	acme := func(more ...any) []any {
		return append([]any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme"}, more...)
	}
	subjects := []struct {
		name  string
		pairs []any // object identifier and value, in turn
	}{
		{"plain", acme()},
		{"with a name", acme(oidCommonName, "Signer")},
		{"in another order", []any{oidOrganization, "Acme", oidCommonName, "Signer", oidState, "WA", oidCountry, "US"}},
		{"in other capitals", []any{oidCountry, "us", oidState, "wa", oidOrganization, "ACME"}},
		{"with everything", acme(oidLocality, "Seattle", oidUnit, "Release", oidStreet, "1 Main St", oidCommonName, "Signer")},
		{"two units", acme(oidUnit, "Release", oidUnit, "Build")},
		{"two organizations", acme(oidOrganization, "Else")},
		{"a comma", []any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme, Inc."}},
		{"more organization in the organization", []any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme,CN=Signer"}},
		{"a plus", []any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme+CN=Signer"}},
		{"a space in front", []any{oidCountry, "US", oidState, "WA", oidOrganization, " Acme"}},
		{"a space behind", []any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme "}},
		{"two spaces", []any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme  Inc."}},
		{"a backslash", []any{oidCountry, "US", oidState, "WA", oidOrganization, `Acme\`}},
		{"a hash", []any{oidCountry, "US", oidState, "WA", oidOrganization, "#Acme"}},
		{"a quotation mark", []any{oidCountry, "US", oidState, "WA", oidOrganization, `"Acme"`}},
		{"a semicolon", []any{oidCountry, "US", oidState, "WA", oidOrganization, "Acme; Inc."}},
		{"more than ASCII", []any{oidCountry, "DE", oidState, "Bayern", oidOrganization, "Müller & Söhne"}},
		{"decomposed", []any{oidCountry, "DE", oidState, "Bayern", oidOrganization, "Mu\u0308ller & So\u0308hne"}},
		{"no country", []any{oidState, "WA", oidOrganization, "Acme"}},
		{"no organization", []any{oidCountry, "US", oidState, "WA", oidCommonName, "Acme"}},
		{"an empty state", []any{oidCountry, "US", oidState, "", oidOrganization, "Acme"}},
		{"a serial number", acme(oidSerialNumber, "17")},
		{"a domain", acme(oidDomain, "example")},
		{"an attribute of no name", acme(asn1.ObjectIdentifier{1, 2, 3, 4}, "17")},
		{"nothing", nil},
	}
	identities := []string{
		"C=US, ST=WA, O=Acme", "O=Acme,ST=WA,C=US", "C=US, S=WA, O=Acme", "C=US, ST=WA, O=Acme, CN=Signer", "C=us, ST=wa, O=ACME",
		"C=US, ST=WA, O=Acme, OU=Release", "C=US, ST=WA, O=Acme, OU=Build", "C=US, ST=WA, O=Else", `C=US, ST=WA, O=Acme\, Inc.`,
		`C=US, ST=WA, O=Acme\2c Inc.`, `C=US, ST=WA, O=Acme\,CN\=Signer`, `C=US, ST=WA, O=Acme\+CN=Signer`, `C=US, ST=WA, O=\ Acme`,
		`C=US, ST=WA, O=Acme\ `, "C=US, ST=WA, O=Acme  Inc.", `C=US, ST=WA, O=Acme\\`, `C=US, ST=WA, O=\#Acme`, `C=US, ST=WA, O=\"Acme\"`,
		`C=US, ST=WA, O=Acme\; Inc.`, "C=DE, ST=Bayern, O=Müller & Söhne", "C=US, ST=WA, O=Acme, STREET=1 Main St",
		"C=US, ST=WA, O=Acme, L=Seattle, OU=Release, CN=Signer", "C=US, ST=WA, O=Acme, SERIALNUMBER=17", "C=US, ST=WA, O=Acme, DC=example",
		"C=US; ST=WA; O=Acme", "C = US , ST = WA , O = Acme",
	}
	p, w := startPlace(t, placeLayout), scratch(t)
	matches := 0
	for _, subject := range subjects {
		s := bentIdentity(t, "p256", func(leaf *x509.Certificate) {
			leaf.Subject = pkix.Name{}
			for i := 0; i < len(subject.pairs); i += 2 {
				leaf.Subject.ExtraNames = append(leaf.Subject.ExtraNames,
					pkix.AttributeTypeAndValue{Type: subject.pairs[i].(asn1.ObjectIdentifier), Value: subject.pairs[i+1]})
			}
		})
		t.Run(subject.name, func(t *testing.T) {
			img := p.push(t)
			w.sign(t, notaries()[0], img, s, signing{format: "jws"})
			for _, identity := range identities {
				config := trust{ca: s.root, identities: []string{"x509.subject: " + identity}}.config(t)
				var verdicts []string
				for _, n := range notaries() {
					v := n.judge(t, w.run(t, n.verifyArgs(img, verifying{config: config})...))
					verdicts = append(verdicts, v.failed)
				}
				for i, v := range verdicts {
					if v != verdicts[0] {
						t.Errorf("is %q %s? %v: %q, %v: %q", subject.pairs, identity, notaries()[0], verdicts[0], notaries()[i], v)
					}
				}
				if verdicts[0] == "" {
					matches++
				}
			}
		})
	}
	if matches < len(subjects) {
		t.Errorf("only %d matches of any identity with any of %d subjects", matches, len(subjects))
	}
}
