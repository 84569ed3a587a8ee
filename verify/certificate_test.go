package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestHostileChains is attack A3 and the rest of RFC 3161, 2.3 and RFC 5280, 6:
// every chain that pkitest calls hostile.
func TestHostileChains(t *testing.T) {
	const (
		certificate = verify.ReasonCertificate
		untrusted   = verify.ReasonUntrusted
		validity    = verify.ReasonValidity
		period      = verify.ReasonKeyUsagePeriod
	)
	want := map[string]verify.Reason{
		"no EKU":                       certificate,
		"EKU not critical":             certificate,
		"EKU with codeSigning":         certificate,
		"EKU with an unknown purpose":  certificate,
		"EKU with any":                 certificate,
		"EKU any alone":                certificate,
		"EKU codeSigning alone":        certificate,
		"EKU twice":                    certificate,
		"leaf is a CA":                 certificate,
		"leaf is a CA that may sign":   certificate,
		"leaf for encryption":          certificate,
		"leaf expired":                 validity,
		"leaf not yet valid":           validity,
		"private key expired":          period,
		"private key not yet in use":   period,
		"private key period malformed": certificate,
		"intermediate expired":         validity,
		"intermediate not yet valid":   validity,
		"root expired":                 validity,
		"root not yet valid":           validity,

		"leaf with an unknown critical extension":         untrusted,
		"leaf signed with SHA-1":                          untrusted,
		"intermediate is no CA":                           untrusted,
		"intermediate without basicConstraints":           untrusted,
		"intermediate without keyCertSign":                untrusted,
		"intermediate for code signing":                   untrusted,
		"intermediate with an unknown critical extension": untrusted,
		"intermediate signed with SHA-1":                  untrusted,
		"name constraints":                                untrusted,
		"root is no CA":                                   untrusted,
		"root without keyCertSign":                        untrusted,
		"root allows no intermediate":                     untrusted,
		"root for code signing":                           untrusted,
	}
	for _, h := range pkitest.HostileTSA() {
		t.Run(h.Name, func(t *testing.T) {
			reason, ok := want[h.Name]
			if !ok {
				t.Fatal("no reason in the table")
			}
			f := tsptest.NewForge(t, h.Options)
			p := policyFor(t, f)
			p.Cache = new(verify.ChainCache)
			check(t, p, f, reason)
			check(t, p, f, reason)
		})
	}
}

// TestKeyUsageWithoutBits: to crypto/x509, a CA that may be used for nothing is
// one without a key usage.
func TestKeyUsageWithoutBits(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	absent := func(c *x509.Certificate) { c.KeyUsage = 0 }
	with := func(value string) func(c *x509.Certificate) {
		return func(c *x509.Certificate) {
			c.KeyUsage = 0
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 15}, Critical: true, Value: []byte(value)})
		}
	}
	for _, tt := range []struct {
		name    string
		options pkitest.Options
		want    verify.Reason
	}{
		{"issuer without a key usage", pkitest.Options{Intermediate: absent}, ""},
		{"issuer with an empty one", pkitest.Options{Intermediate: with("\x03\x01\x00")}, verify.ReasonUntrusted},
		{"issuer with zeros", pkitest.Options{Intermediate: with("\x03\x02\x07\x00")}, verify.ReasonUntrusted},
		{"root without a key usage", pkitest.Options{Root: absent}, ""},
		{"root with an empty one", pkitest.Options{Root: with("\x03\x01\x00")}, verify.ReasonUntrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			chain := pkitest.TSA(t, tt.options)
			g := *f
			g.Identity = tsptest.Identity{Chain: chain.DER, Key: chain.LeafKey}
			p := policyFor(t, &g)
			p.Cache = new(verify.ChainCache)
			check(t, p, &g, tt.want)
			check(t, p, &g, tt.want)
		})
	}
}

// TestDirectoryNameConstraints: crypto/x509 does not look at them where they are
// not critical.
func TestDirectoryNameConstraints(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	tree := func(n pkix.Name, more ...[]byte) []byte {
		rdns, err := asn1.Marshal(n.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		return der.Make(der.TagSequence, append([][]byte{der.Make(der.Context(4), rdns)}, more...)...)
	}
	permitted := func(trees ...[]byte) []byte { return der.Make(der.Context(0), trees...) }
	excluded := func(trees ...[]byte) []byte { return der.Make(der.Context(1), trees...) }
	country := tree(pkix.Name{Country: []string{"XX"}})
	capitals := tree(pkix.Name{Country: []string{"XX"}, Organization: []string{"FENCEPOST  Tests"}})
	other := tree(pkix.Name{Country: []string{"YY"}})
	longer := tree(pkix.Name{Country: []string{"XX"}, Organization: []string{"Fencepost Tests"}, CommonName: "Other TSA"})
	dns := der.Make(der.TagSequence, der.Make(0x82, []byte("example.com")))
	const untrusted = verify.ReasonUntrusted
	t.Run("subjectAltName", func(t *testing.T) {
		rdns, err := asn1.Marshal(pkix.Name{Country: []string{"YY"}}.ToRDNSequence())
		if err != nil {
			t.Fatal(err)
		}
		add := func(id int, value ...[]byte) func(c *x509.Certificate) {
			return func(c *x509.Certificate) {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, id}, Value: der.Make(der.TagSequence, value...)})
			}
		}
		chain := pkitest.TSA(t, pkitest.Options{Intermediate: add(30, permitted(country)), Leaf: add(17, der.Make(der.Context(4), rdns))})
		g := *f
		g.Identity = tsptest.Identity{Chain: chain.DER, Key: chain.LeafKey}
		check(t, policyFor(t, &g), &g, untrusted)
	})
	for _, tt := range []struct {
		name   string
		fields [][]byte
		want   verify.Reason
	}{
		{"of its country", [][]byte{permitted(country)}, ""},
		{"of its organisation, in other letters", [][]byte{permitted(capitals)}, ""},
		{"of anybody", [][]byte{permitted(tree(pkix.Name{}))}, ""},
		{"of another country", [][]byte{permitted(other)}, untrusted},
		{"of either", [][]byte{permitted(other, country)}, ""},
		{"another name to the end", [][]byte{permitted(longer)}, untrusted},
		{"its country excluded", [][]byte{excluded(country)}, untrusted},
		{"permitted and excluded", [][]byte{permitted(country), excluded(capitals)}, untrusted},
		{"another excluded", [][]byte{excluded(other, longer)}, ""},
		{"DNS names only", [][]byte{permitted(dns)}, ""},
		{"DNS names and another country", [][]byte{permitted(dns, other)}, untrusted},
		{"a minimum", [][]byte{permitted(tree(pkix.Name{Country: []string{"XX"}}, []byte{0x80, 1, 1}))}, untrusted},
		{"16", [][]byte{permitted(slices.Repeat([][]byte{country}, 16)...)}, ""},
		{"17", [][]byte{permitted(slices.Repeat([][]byte{country}, 17)...)}, untrusted},
	} {
		for _, who := range []string{"issuer", "root"} {
			t.Run(tt.name+", "+who, func(t *testing.T) {
				limit := func(c *x509.Certificate) {
					c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 30}, Value: der.Make(der.TagSequence, tt.fields...)})
				}
				options := pkitest.Options{Intermediate: limit}
				if who == "root" {
					options = pkitest.Options{Root: limit}
				}
				chain := pkitest.TSA(t, options)
				g := *f
				g.Identity = tsptest.Identity{Chain: chain.DER, Key: chain.LeafKey}
				p := policyFor(t, &g)
				p.Cache = new(verify.ChainCache)
				check(t, p, &g, tt.want)
				check(t, p, &g, tt.want)
			})
		}
	}
}

// TestSignerCertificates: what RFC 3161, 2.3 leaves open, and keys.
func TestSignerCertificates(t *testing.T) {
	usage := func(u x509.KeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.KeyUsage = u }
	}
	for _, test := range []struct {
		name string
		opts pkitest.Options
		want verify.Reason
	}{
		{"digitalSignature", pkitest.Options{Leaf: usage(x509.KeyUsageDigitalSignature)}, ""},
		{"nonRepudiation", pkitest.Options{Leaf: usage(x509.KeyUsageContentCommitment)}, ""},
		{"both", pkitest.Options{Leaf: usage(x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment)}, ""},
		{"no key usage", pkitest.Options{Leaf: usage(0)}, ""},
		{"and keyEncipherment", pkitest.Options{Leaf: usage(x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment)}, verify.ReasonCertificate},
		{"and certSign", pkitest.Options{Leaf: usage(x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign)}, verify.ReasonCertificate},
		{"cRLSign alone", pkitest.Options{Leaf: usage(x509.KeyUsageCRLSign)}, verify.ReasonCertificate},
		{"RSA 1024", pkitest.Options{Key: pkitest.RSA1024}, verify.ReasonCertificate},
		{"P-224", pkitest.Options{Key: pkitest.P224}, verify.ReasonCertificate},
		{"CAs with RSA 1024", pkitest.Options{IssuerKey: pkitest.RSA1024}, verify.ReasonUntrusted},
		{"CAs with P-224", pkitest.Options{IssuerKey: pkitest.P224}, verify.ReasonUntrusted},
		{"CAs with Ed25519", pkitest.Options{IssuerKey: pkitest.Ed25519}, ""},
		{"CAs with RSA 4096", pkitest.Options{IssuerKey: pkitest.RSA4096}, ""},
		{"without intermediate", pkitest.Options{NoIntermediate: true}, ""},
		{"no basicConstraints", pkitest.Options{Leaf: func(c *x509.Certificate) { c.BasicConstraintsValid = false }}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, test.opts)
			check(t, policyFor(t, f), f, test.want)
		})
	}
}

// TestVersion1Certificate: one of version 1 has no extensions, so nothing says
// that it is for timestamps (A3).
func TestVersion1Certificate(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	f := tsptest.NewForge(t, pkitest.Options{})
	algorithm := der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.ECDSAWithSHA256)))
	when := func(year string) []byte { return der.Make(der.TagGeneralizedTime, []byte(year+"0101000000Z")) }
	tbs := der.Make(der.TagSequence, der.AppendInt(nil, 7), algorithm, chain.Intermediate.RawSubject,
		der.Make(der.TagSequence, when("2020"), when("2050")), chain.Leaf.RawSubject, chain.Leaf.RawSubjectPublicKeyInfo)
	digest := sha256.Sum256(tbs)
	signature, err := pkitest.Deterministic(chain.IntermediateKey).Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	f.Chain = slices.Clone(f.Chain)
	f.Chain[0] = der.Make(der.TagSequence, tbs, algorithm, der.Make(der.TagBitString, []byte{0}, signature))
	if v := parse(t, f.Chain[0]).Version; v != 1 {
		t.Fatalf("the certificate has version %d", v)
	}
	check(t, policyFor(t, f), f, verify.ReasonCertificate)
}

// TestTimes is attack A10: the chain and the key's period are held against the
// token's time, both bounds included, and against nothing else.
func TestTimes(t *testing.T) {
	from, until := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	keyUntil := time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	window := pkitest.Options{NotBefore: from, NotAfter: until}
	short := pkitest.Options{NotBefore: from, NotAfter: until, PrivateKeyNotAfter: keyUntil}
	lie := func(at time.Time) func([][]byte) [][]byte {
		value := der.Make(0x17, []byte(at.UTC().Format("060102150405Z")))
		return func(a [][]byte) [][]byte {
			return append(a, tsptest.Attribute("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05", value))
		}
	}
	for _, test := range []struct {
		name   string
		opts   pkitest.Options
		at     time.Time
		signed func([][]byte) [][]byte
		want   verify.Reason
	}{
		{"first moment", window, from, nil, ""},
		{"a second before", window, from.Add(-time.Second), nil, verify.ReasonValidity},
		{"last moment", window, until, nil, ""},
		{"a second after", window, until.Add(time.Second), nil, verify.ReasonValidity},
		{"a millisecond after", window, until.Add(time.Millisecond), nil, verify.ReasonValidity},
		{"expired now, valid then", window, from.Add(time.Hour), nil, ""},
		{"last moment of the key", short, keyUntil, nil, ""},
		{"a second after the key", short, keyUntil.Add(time.Second), nil, verify.ReasonKeyUsagePeriod},
		{"signingTime outside, token inside", window, from.Add(time.Hour), lie(until.AddDate(1, 0, 0)), ""},
		{"signingTime inside, token outside", window, until.AddDate(1, 0, 0), lie(from.Add(time.Hour)), verify.ReasonValidity},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := tsptest.NewForge(t, test.opts)
			f.Time, f.Signed = test.at, test.signed
			p := policyFor(t, f)
			p.Cache = new(verify.ChainCache)
			check(t, p, f, test.want)
			check(t, p, f, test.want)
			// A warm cache from a good moment must not carry a bad one.
			g := *f
			g.Time, g.Signed = from.Add(time.Hour), nil
			check(t, p, &g, "")
			check(t, p, f, test.want)
		})
	}
}

// TestAnotherAuthoritysWindow is attack A11: one authority's validity says
// nothing about another's, though one policy trusts both.
func TestAnotherAuthoritysWindow(t *testing.T) {
	retired := tsptest.NewForge(t, pkitest.Options{Name: "Retired", NotAfter: time.Date(2022, 1, 1, 0, 0, 0, 0, time.UTC)})
	current := tsptest.NewForge(t, pkitest.Options{Name: "Current", NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)})
	p := policyFor(t, retired)
	p.Roots = append(p.Roots, policyFor(t, current).Roots...)
	p.Cache = new(verify.ChainCache)
	old := time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC)
	for range 2 {
		check(t, p, current, "")
		check(t, p, retired, verify.ReasonValidity)
		retired.Time, current.Time = old, old
		check(t, p, current, verify.ReasonValidity)
		check(t, p, retired, "")
		retired.Time, current.Time = time.Time{}, time.Time{}
	}
}

// TestReissued is attack A8: another certificate for the same key is not the
// signer's, in the token or out of it.
func TestReissued(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	if a, b := parse(t, f.Chain[0]), parse(t, f.Reissued); !a.PublicKey.(*ecdsa.PublicKey).Equal(b.PublicKey) {
		t.Fatal("the reissued certificate has another key")
	}
	f.Data = func(d *tsptest.DataFields) { d.Certificates = [][]byte{f.Reissued, f.Chain[1]} }
	check(t, policyFor(t, f), f, verify.ReasonCertificateMissing)
	p := policyFor(t, f)
	p.Certificate = parse(t, f.Reissued)
	check(t, p, f, verify.ReasonCertificateMissing)
	p.Certificate = parse(t, f.Chain[0])
	check(t, p, f, "")
}

// TestCrossCertificates: several chains lead up, and one that holds is enough.
func TestCrossCertificates(t *testing.T) {
	a := pkitest.TSA(t, pkitest.Options{Name: "A"})
	b := pkitest.TSA(t, pkitest.Options{Name: "B"})
	f := tsptest.NewForge(t, pkitest.Options{Name: "A"})
	// B's root certifies the key and name of A's intermediate; the second time
	// for code signing, the third time in the past.
	cross := func(change func(*x509.Certificate)) *x509.Certificate {
		tmpl := *a.Intermediate
		tmpl.SerialNumber = big.NewInt(77)
		tmpl.Extensions, tmpl.AuthorityKeyId = nil, nil
		change(&tmpl)
		raw, err := x509.CreateCertificate(nil, &tmpl, b.Root, a.IntermediateKey.Public(), pkitest.Deterministic(b.RootKey))
		if err != nil {
			t.Fatal(err)
		}
		return parse(t, raw)
	}
	good := cross(func(*x509.Certificate) {})
	codeSigning := cross(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
	over := cross(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(1, 0, 0) })
	list := func(c ...*x509.Certificate) []*x509.Certificate { return c }
	for _, test := range []struct {
		name                 string
		roots, intermediates []*x509.Certificate
		chain                int
		want                 verify.Reason
	}{
		{"own root", list(a.Root), list(good), 3, ""},
		{"cross root", list(b.Root), list(good), 3, ""},
		{"both roots", list(b.Root, a.Root), list(good, codeSigning, over), 3, ""},
		{"cross root, for code signing", list(b.Root), list(codeSigning), 0, verify.ReasonUntrusted},
		{"cross root, over", list(b.Root), list(over), 0, verify.ReasonValidity},
		{"cross root, no cross certificate", list(b.Root), nil, 0, verify.ReasonUntrusted},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := verify.Policy{Roots: test.roots, Intermediates: test.intermediates, Now: now, Cache: new(verify.ChainCache)}
			for range 2 {
				if stamp := check(t, p, f, test.want); stamp != nil && len(stamp.Chain) != test.chain {
					t.Errorf("the chain has %d certificates, want %d", len(stamp.Chain), test.chain)
				}
			}
		})
	}
}

// TestTSAName: the tsa field must be the subject or a subjectAltName of the
// signer's certificate (RFC 3161, 2.4.2).
func TestTSAName(t *testing.T) {
	uri, err := url.Parse("https://tsa.example/")
	if err != nil {
		t.Fatal(err)
	}
	f := tsptest.NewForge(t, pkitest.Options{Leaf: func(c *x509.Certificate) {
		c.DNSNames = []string{"tsa.example"}
		c.EmailAddresses = []string{"tsa@example.com"}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1).To4()}
		c.URIs = []*url.URL{uri}
	}})
	leaf := parse(t, f.Chain[0])
	general := func(tag byte, content string) []byte {
		return der.Make(der.Context(0), der.Make(tag, []byte(content)))
	}
	directory := func(name []byte) []byte { return general(der.Context(4), string(name)) }
	rdn := func(id asn1.ObjectIdentifier, tag byte, value string) []byte {
		raw, err := asn1.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		return der.Make(der.TagSet, der.Make(der.TagSequence, raw, der.Make(tag, []byte(value))))
	}
	country, organization, cn := asn1.ObjectIdentifier{2, 5, 4, 6}, asn1.ObjectIdentifier{2, 5, 4, 10}, asn1.ObjectIdentifier{2, 5, 4, 3}
	const printable, utf8, bmp, teletex = 0x13, 0x0c, 0x1e, 0x14
	name := func(tag byte, o, c string) []byte {
		return directory(der.Make(der.TagSequence, rdn(country, printable, "XX"), rdn(organization, tag, o), rdn(cn, tag, c)))
	}
	for _, test := range []struct {
		name string
		tsa  []byte
		want verify.Reason
	}{
		{"subject", directory(leaf.RawSubject), ""},
		{"subject in UTF8Strings", name(utf8, "Fencepost Tests", "Test TSA"), ""},
		{"subject in other case and spaces", name(utf8, " FENCEPOST  tests", "test tsa "), ""},
		{"subject in BMPStrings", name(bmp, "\x00F\x00e\x00n\x00c\x00e\x00p\x00o\x00s\x00t\x00 \x00T\x00e\x00s\x00t\x00s", "\x00T\x00e\x00s\x00t\x00 \x00T\x00S\x00A"), ""},
		{"subject in TeletexStrings", name(teletex, "Fencepost Tests", "Test TSA"), verify.ReasonTSAName},
		{"invalid UTF-8", name(utf8, "Fencepost Tests", "Test TSA\xff"), verify.ReasonTSAName},
		{"odd BMPString", name(bmp, "x", "y"), verify.ReasonTSAName},
		{"other common name", name(utf8, "Fencepost Tests", "Test TSB"), verify.ReasonTSAName},
		{"subject cut short", directory(der.Make(der.TagSequence, rdn(country, printable, "XX"))), verify.ReasonTSAName},
		{"empty name", directory(der.Make(der.TagSequence)), verify.ReasonTSAName},
		{"name of junk", directory([]byte{der.TagSequence, 2, 5, 0}), verify.ReasonTSAName},
		{"issuer", directory(leaf.RawIssuer), verify.ReasonTSAName},
		{"host", general(0x82, "tsa.example"), ""},
		{"other host", general(0x82, "tsa.example.org"), verify.ReasonTSAName},
		{"mail", general(0x81, "tsa@example.com"), ""},
		{"address", general(0x87, "\xc0\x00\x02\x01"), ""},
		{"other address", general(0x87, "\xc0\x00\x02\x02"), verify.ReasonTSAName},
		{"URI", general(0x86, "https://tsa.example/"), ""},
		{"host as URI", general(0x86, "tsa.example"), verify.ReasonTSAName},
		{"registered identifier", general(0x88, "\x2a\x03"), verify.ReasonTSAName},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.Info = func(i *tsptest.InfoFields) { i.TSA = test.tsa }
			check(t, policyFor(t, f), f, test.want)
		})
	}

	// A directoryName among the subjectAltNames counts as well.
	san := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: der.Make(der.TagSequence, name(utf8, "Another", "Name")[2:])}
	f = tsptest.NewForge(t, pkitest.Options{Leaf: func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, san) }})
	f.Info = func(i *tsptest.InfoFields) { i.TSA = name(printable, "another", "NAME") }
	check(t, policyFor(t, f), f, "")
}
