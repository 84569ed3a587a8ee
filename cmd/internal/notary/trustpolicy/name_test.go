package trustpolicy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

func TestParseName(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"plain", "C=US,ST=WA,O=a", "C=US, ST=WA, O=a"},
		{"spaces", "  C = US , ST= WA ,O =a  ", "C=US, ST=WA, O=a"},
		{"S for ST", "C=US, S=WA, O=a", "C=US, ST=WA, O=a"},
		{"order", "O=a, ST=WA, C=US", "O=a, ST=WA, C=US"},
		{"semicolons", "C=US; ST=WA; O=a", "C=US, ST=WA, O=a"},
		{"all types", "C=US, ST=WA, L=l, STREET=s, POSTALCODE=p, O=a, OU=b, SERIALNUMBER=1, CN=c", "C=US, ST=WA, L=l, STREET=s, POSTALCODE=p, O=a, OU=b, SERIALNUMBER=1, CN=c"},
		{"equals sign in a value", "C=US, ST=WA, O=a=b==", "C=US, ST=WA, O=a=b=="},
		{"escaped separators", `C=US, ST=WA, O=a\, b\+c\;d`, `C=US, ST=WA, O=a\, b\+c\;d`},
		{"angle brackets", `C=US, ST=WA, O=Acme <release>`, `C=US, ST=WA, O=Acme \<release\>`},
		{"escaped others", `C=US, ST=WA, O=\"a\"\<\>\\\=`, `C=US, ST=WA, O=\"a\"\<\>\\=`},
		{"escaped number sign", `C=US, ST=WA, O=\#a#b`, `C=US, ST=WA, O=\#a#b`},
		{"escaped number sign behind an equals sign", `C=US, ST=WA, O=a=\#b`, `C=US, ST=WA, O=a=\#b`},
		{"escaped spaces", `C=US, ST=WA, O=\  a b \ `, `C=US, ST=WA, O=\  a b \ `},
		{"only an escaped space", `C=US, ST=WA, O=\ `, `C=US, ST=WA, O=\ `},
		{"bare space behind an escaped one", `C=US, ST=WA, O=a\   `, `C=US, ST=WA, O=a\ `},
		{"hexadecimal", `C=US, ST=WA, O=\41\c3\A4\0a`, "C=US, ST=WA, O=Aä\\0a"},
		{"UTF-8", "C=DE, ST=Köln, O=会社", "C=DE, ST=Köln, O=会社"},
		{"number sign within", "C=US, ST=WA, O=a#b", "C=US, ST=WA, O=a#b"},
		{"escaped backslash at the end", `C=US, ST=WA, O=a\\, L=\5c , OU=\\\ `, `C=US, ST=WA, O=a\\, L=\\, OU=\\\ `},
		{"not comparable", "C=US, ST=WA, O=a, emailAddress=b, 1.2.3=c", "C=US, ST=WA, O=a, emailAddress=b, 1.2.3=c"},
	} {
		n, err := trustpolicy.ParseName(test.text)
		if err != nil || n.String() != test.want {
			t.Errorf("%s: %s: %q, %v, want %q", test.name, test.text, n, err, test.want)
		}
	}
	for _, text := range []string{"", " ", ",", "C", "=", "C=US", "C=US,ST=WA,O=", `C=US,ST=WA,O=\`, `C=US,ST=WA,O=\4`, `C=US,ST=WA,O=\4g`, `C=US,ST=WA,O=\é`,
		"C=US,ST=WA,O=#61", "C=US,ST=WA,O= #61", "C=US,ST=WA,O=a\x00", "C=US,ST=WA,O=a,-x=b", "C=US,ST=WA,O=a,é=b", "C=US,ST=WA,O=a,1.=b", "C=US,ST=WA,O=a,=b",
		`C=US,ST=WA,O=a\\ `, `O=a\\ ,C=US,ST=WA`, "C=US,ST=WA,O=a\ufffd", `C=US,ST=WA,O=a\ef\bf\bd`,
		"C=US,ST=WA,O=a+OU=b", `\43=US,ST=WA,O=a`} {
		if n, err := trustpolicy.ParseName(text); err == nil || n.String() != "" {
			t.Errorf("%q: %q, %v, want an error", text, n, err)
		}
	}
}

// FuzzName holds the malleability property: a name that is read is written in
// one way only, and that is read back as the same.
func FuzzName(f *testing.F) {
	for _, s := range []string{"C=US,ST=WA,O=a", `C=US; S=WA, O=\#a\, b\ `, `C=US, ST=WA, O=a=\#b`, "C=US, ST=WA, O=a, emailAddress=b, 1.2.3=c", `C=US, ST=WA, O=\c3\a4`, "C=US+ST=WA,O=a", "O=#0c0161"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := trustpolicy.ParseName(s)
		if err != nil {
			if n.String() != "" {
				t.Fatalf("%q: a name and %v", s, err)
			}
			return
		}
		again, err := trustpolicy.ParseName(n.String())
		if err != nil || again.String() != n.String() {
			t.Fatalf("%q is %q, which is %q, %v", s, n, again, err)
		}
	})
}

// certificate makes one with a subject.
func certificate(t *testing.T, subject pkix.RDNSequence) *x509.Certificate {
	t.Helper()
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: raw, NotAfter: time.Unix(1<<31, 0)}, &x509.Certificate{RawSubject: raw}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// subject makes a name of pairs "C", "US", each an RDN of its own; a type that
// begins with "+" joins the RDN before it.
func subject(pairs ...string) pkix.RDNSequence {
	oids := map[string]asn1.ObjectIdentifier{"C": {2, 5, 4, 6}, "ST": {2, 5, 4, 8}, "L": {2, 5, 4, 7}, "O": {2, 5, 4, 10}, "OU": {2, 5, 4, 11}, "CN": {2, 5, 4, 3},
		"SERIALNUMBER": {2, 5, 4, 5}, "STREET": {2, 5, 4, 9}, "POSTALCODE": {2, 5, 4, 17}, "DC": {0, 9, 2342, 19200300, 100, 1, 25}, "email": {1, 2, 840, 113549, 1, 9, 1}, "title": {2, 5, 4, 12}}
	var out pkix.RDNSequence
	for i := 0; i < len(pairs); i += 2 {
		typ, joined := strings.CutPrefix(pairs[i], "+")
		a := pkix.AttributeTypeAndValue{Type: oids[typ], Value: pairs[i+1]}
		if joined {
			out[len(out)-1] = append(out[len(out)-1], a)
		} else {
			out = append(out, pkix.RelativeDistinguishedNameSET{a})
		}
	}
	return out
}

// trusts makes a statement that trusts the given names, and returns its
// identities.
func trusts(t *testing.T, names ...string) trustpolicy.Identities {
	t.Helper()
	for i := range names {
		if names[i] != "*" && !strings.HasPrefix(names[i], "did:") {
			names[i] = trustpolicy.IdentityPrefix + names[i]
		}
	}
	doc, err := trustpolicy.ParseImages([]byte(identity(names...)))
	if err != nil {
		t.Fatal(err)
	}
	return doc.Statements[0].Identities
}

func TestMatch(t *testing.T) {
	usual := subject("C", "US", "ST", "WA", "O", "Acme, Inc.", "OU", "Build", "CN", "signer")
	const whole = `C=US, ST=WA, O=Acme\, Inc., OU=Build, CN=signer`
	for _, test := range []struct {
		name    string
		subject pkix.RDNSequence
		trusted []string
		want    string // a part of the error; empty if it matches
	}{
		{"all", usual, []string{whole}, ""},
		{"a part", usual, []string{`C=US, ST=WA, O=Acme\, Inc.`}, ""},
		{"another order", usual, []string{`CN=signer, O=Acme\, Inc., S=WA, C=US`}, ""},
		{"escaped in another way", usual, []string{`C=US, ST=WA, O=\41cme\2c Inc.`}, ""},
		{"anybody", usual, []string{"*"}, ""},
		{"anybody, with no subject", nil, []string{"*"}, ""},
		{"the second", usual, []string{"C=US, ST=WA, O=Other", `C=US, ST=WA, O=Acme\, Inc.`}, ""},
		{"one RDN", subject("C", "US", "+ST", "WA", "+O", "a"), []string{"C=US, ST=WA, O=a"}, ""},
		{"all types", subject("C", "US", "ST", "WA", "L", "l", "STREET", "s", "POSTALCODE", "p", "O", "a", "SERIALNUMBER", "7"), []string{"C=US, ST=WA, L=l, STREET=s, POSTALCODE=p, O=a, SERIALNUMBER=7"}, ""},
		{"spaces in the value", subject("C", "US", "ST", "WA", "O", " a  "), []string{`C=US, ST=WA, O=\ a \ `}, ""},
		{"number sign in the value", subject("C", "US", "ST", "WA", "O", "#a"), []string{`C=US, ST=WA, O=\#a`}, ""},

		{"another value", usual, []string{"C=US, ST=WA, O=Acme"}, `O is "Acme, Inc.", not "Acme"`},
		{"other capitals", usual, []string{`C=US, ST=WA, O=acme\, inc.`}, `O is "Acme, Inc.", not "acme, inc."`},
		{"not that attribute", usual, []string{`C=US, ST=WA, L=Seattle, O=Acme\, Inc.`}, `it has no L, want "Seattle"`},
		{"the nearest", usual, []string{"C=DE, ST=BE, O=x", `C=US, ST=CA, O=Acme\, Inc.`}, `any of the 2 trusted identities, the nearest being "x509.subject:C=US, ST=CA, O=Acme\\, Inc.": ST is "WA", not "CA"`},
		{"a space more", subject("C", "US", "ST", "WA", "O", "a "), []string{"C=US, ST=WA, O=a "}, `O is "a ", not "a"`},
		{"only in another attribute", subject("C", "US", "ST", "WA", "O", "x", "OU", "a"), []string{"C=US, ST=WA, O=a"}, `O is "x"`},
		{"small letters", usual, []string{`C=US, ST=WA, O=Acme\, Inc., cn=signer`}, `it has no cn`},
		{"for plugins", usual, []string{"did:web:a"}, "no subject that may sign"},

		// Subjects that Notation refuses to compare.
		{"no state", subject("C", "US", "O", "a"), []string{"C=US, ST=WA, O=a"}, "the subject has no ST"},
		{"empty organisation", subject("C", "US", "ST", "WA", "O", ""), []string{"C=US, ST=WA, O=a"}, "the subject has no O"},
		{"no subject", nil, []string{"C=US, ST=WA, O=a"}, "the subject has no C"},
		{"organisation twice", subject("C", "US", "ST", "WA", "O", "a", "O", "b"), []string{"C=US, ST=WA, O=a"}, "the subject has O twice"},
		{"common name twice", subject("C", "US", "ST", "WA", "O", "a", "CN", "x", "CN", "y"), []string{"C=US, ST=WA, O=a, CN=y"}, "the subject has CN twice"},
		{"unit twice in an RDN", subject("C", "US", "ST", "WA", "O", "a", "OU", "x", "+OU", "y"), []string{"C=US, ST=WA, O=a"}, "the subject has OU twice"},
		{"domain component", subject("C", "US", "ST", "WA", "O", "a", "DC", "x"), []string{"C=US, ST=WA, O=a"}, "an attribute of the type 0.9.2342.19200300.100.1.25"},
		{"address", subject("C", "US", "ST", "WA", "O", "a", "email", "x@example.com"), []string{"C=US, ST=WA, O=a"}, "an attribute of the type 1.2.840.113549.1.9.1"},
		{"title", subject("C", "US", "ST", "WA", "O", "a", "title", "x"), []string{"C=US, ST=WA, O=a"}, "an attribute of the type 2.5.4.12"},
		{"equals and number sign", subject("C", "US", "ST", "WA", "O", "a=#b"), []string{`C=US, ST=WA, O=a=\#b`}, `"=#" in it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := trusts(t, test.trusted...).Match(certificate(t, test.subject))
			switch {
			case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := (trustpolicy.Identities{}).Match(certificate(t, usual)); err == nil {
		t.Error("no identities match somebody")
	}
	if err := trusts(t, whole).Match(nil); err == nil {
		t.Error("no certificate matches")
	}
}

// TestNameOf: the name that is suggested for a policy is one that matches.
func TestNameOf(t *testing.T) {
	cert := certificate(t, subject("C", "DE", "ST", "Köln", "O", ` Acme, "Inc." <#> \ + ; = `, "CN", "#1\n"))
	n, err := trustpolicy.NameOf(cert)
	if err != nil {
		t.Fatal(err)
	}
	if err := trusts(t, n.String()).Match(cert); err != nil {
		t.Errorf("%s: %v", n, err)
	}
}
