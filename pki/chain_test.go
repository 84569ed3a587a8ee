package pki_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

func encode(certs ...*x509.Certificate) string { return string(pki.EncodeChain(certs)) }

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestParseChain(t *testing.T) {
	c, other := pkitest.TSA(t, pkitest.Options{}), pkitest.TSA(t, pkitest.Options{Name: "Other"})
	leaf, inter, root := c.Leaf, c.Intermediate, c.Root
	// A second root of the same name and key, as when a root is renewed.
	renewed := pkitest.TSA(t, pkitest.Options{Root: func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }}).Root
	// An issuer of the same name with another key.
	stranger := pkitest.TSA(t, pkitest.Options{IssuerKey: pkitest.P384}).Intermediate
	// SHA-1 signatures, which crypto/x509 does not verify.
	old := pkitest.TSA(t, pkitest.Options{
		Leaf:         func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 },
		Intermediate: func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 },
		Root:         func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 },
	})
	whole := encode(leaf, inter, root)
	// Three CAs that issued one another, and a leaf of the first.
	x, y, z, below := ca(t, "X", "Y"), ca(t, "Y", "Z"), ca(t, "Z", "X"), ca(t, "below", "X")
	for _, tt := range []struct {
		name string
		in   string
		want []*x509.Certificate
	}{
		{"leaf first", whole, []*x509.Certificate{leaf, inter, root}},
		{"root first", encode(root, inter, leaf), []*x509.Certificate{leaf, inter, root}},
		{"mixed up", encode(inter, root, leaf), []*x509.Certificate{leaf, inter, root}},
		{"leaf in the middle", encode(root, leaf, inter), []*x509.Certificate{leaf, inter, root}},
		{"root missing", encode(inter, leaf), []*x509.Certificate{leaf, inter}},
		{"alone", encode(leaf), []*x509.Certificate{leaf}},
		{"root alone", encode(root), []*x509.Certificate{root}},
		{"root before issuer", encode(root, inter), []*x509.Certificate{inter, root}},
		{"SHA-1, mixed up", encode(old.Root, old.Leaf, old.Intermediate), []*x509.Certificate{old.Leaf, old.Intermediate, old.Root}},
		{"DER", string(leaf.Raw) + string(inter.Raw) + string(root.Raw), []*x509.Certificate{leaf, inter, root}},
		{"DER, root first", string(root.Raw) + string(inter.Raw) + string(leaf.Raw), []*x509.Certificate{leaf, inter, root}},
		{"comments", "subject=CN = leaf\n" + encode(leaf) + "\nissuer - of the above\n\n" + encode(inter) + "the end", []*x509.Certificate{leaf, inter}},
		{"line ends of Windows", strings.ReplaceAll(whole, "\n", "\r\n"), []*x509.Certificate{leaf, inter, root}},
		{"byte order mark", "\xef\xbb\xbf" + whole, []*x509.Certificate{leaf, inter, root}},
		{"no final line end", strings.TrimSuffix(whole, "\n"), []*x509.Certificate{leaf, inter, root}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pki.ParseChain([]byte(tt.in))
			if err != nil {
				t.Fatalf("ParseChain: %v", err)
			}
			if !slices.EqualFunc(got, tt.want, (*x509.Certificate).Equal) {
				t.Errorf("ParseChain = %s, want %s", names(got), names(tt.want))
			}
		})
	}

	corrupt := strings.Replace(encode(inter), "MII", "!II", 1)
	many := strings.Repeat(encode(leaf), pki.MaxChainLength+1)
	for _, tt := range []struct {
		name, in string
		is       error    // nil for any
		says     []string // what the message must name
	}{
		{name: "empty", says: []string{"no certificate"}},
		{name: "text", in: "hello\n", says: []string{"no certificate"}},
		{name: "UTF-16", in: "-\x00-\x00-\x00-\x00-\x00B\x00", says: []string{"UTF-16"}},
		{name: "too large", in: strings.Repeat("#", pki.MaxFileSize+1), says: []string{"octets"}},
		{name: "too many", in: many, says: []string{"more than 10"}},
		{name: "too many in DER", in: strings.Repeat(string(leaf.Raw), pki.MaxChainLength+1), says: []string{"more than 10"}},
		{name: "large certificate", in: block("CERTIFICATE", make([]byte, pki.MaxCertificateSize+1)), says: []string{"certificate 1", "65536"}},
		{name: "same twice", in: encode(leaf, inter, leaf), says: []string{"1 and 3", "Test TSA"}},
		{name: "two leaves", in: encode(leaf, other.Leaf, inter, root), says: []string{"Test TSA", "Other TSA"}},
		{name: "stranger", in: encode(leaf, inter, root, other.Root), says: []string{"Other Root CA"}},
		{name: "gap", in: encode(leaf, root), says: []string{"Test TSA", "Test Root CA"}},
		{name: "gap, root first", in: encode(root, leaf), says: []string{"Test TSA", "Test Root CA"}},
		{name: "two roots, mixed up", in: encode(inter, root, renewed, leaf), says: []string{"not clear", "Test Root CA", "Test Issuing CA"}},
		{name: "namesake, mixed up", in: encode(root, stranger, inter, leaf), says: []string{"Test Issuing CA"}},
		{name: "circle", in: encode(x, z, y), says: []string{"circle"}},
		{name: "leaf below a circle", in: encode(z, y, x, below), says: []string{"own issuer"}},
		{name: "damaged block", in: encode(leaf) + corrupt, says: []string{"damaged"}},
		{name: "no content", in: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", says: []string{"certificate 1"}},
		{name: "headers", in: strings.Replace(encode(leaf), "-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1), says: []string{"headers"}},
		{name: "no end", in: encode(inter) + strings.Split(encode(leaf), "-----END")[0], says: []string{"does not end"}},
		{name: "no beginning", in: encode(inter) + strings.TrimPrefix(encode(leaf), "-----BEGIN CERTIFICATE-----\n"), says: []string{"not begun"}},
		{name: "end missing between", in: strings.Replace(whole, "-----END CERTIFICATE-----\n", "", 1), says: []string{"inside"}},
		{name: "other end", in: strings.Replace(whole, "-----END CERTIFICATE-----", "-----END X-----", 1), says: []string{"line 1", "damaged"}},
		{name: "line end missing between", in: strings.Replace(whole, "-----\n-----BEGIN", "----------BEGIN", 1), says: []string{"line break"}},
		{name: "indented", in: strings.ReplaceAll(whole, "-----BEGIN", "  -----BEGIN"), says: []string{"line 1", "beginning of the line"}},
		{name: "trailing bytes in a block", in: block("CERTIFICATE", append(slices.Clone(leaf.Raw), 0)), says: []string{"certificate 1"}},
		{name: "trailing bytes in DER", in: string(leaf.Raw) + "\x00", says: []string{"certificate 2"}},
		{name: "truncated DER", in: string(leaf.Raw[:100]), says: []string{"certificate 1"}},
		{name: "private key", in: whole + block("PRIVATE KEY", []byte("x")), is: pki.ErrPrivateKey},
		{name: "EC private key", in: block("EC PRIVATE KEY", []byte("x")) + whole, is: pki.ErrPrivateKey},
		{name: "encrypted private key", in: block("ENCRYPTED SIGSTORE PRIVATE KEY", []byte("x")) + whole, is: pki.ErrPrivateKey},
		{name: "damaged private key", in: "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", is: pki.ErrPrivateKey},
		{name: "PKCS #1 in DER", in: "\x30\x06\x02\x01\x00\x02\x01\x05", is: pki.ErrPrivateKey},
		{name: "SEC 1 in DER", in: "\x30\x06\x02\x01\x01\x04\x01\x05", is: pki.ErrPrivateKey},
		{name: "PKCS #8 in DER", in: "\x30\x0b\x02\x01\x00\x30\x03\x06\x01\x2a\x04\x01\x05", is: pki.ErrPrivateKey},
		{name: "PKCS #7", in: block("PKCS7", []byte("x")), says: []string{"PKCS #7"}},
		{name: "PKCS #7 in DER", in: "\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", says: []string{"PKCS #7"}},
		{name: "PKCS #12 in DER", in: "\x30\x05\x02\x01\x03\x30\x00", says: []string{"PKCS #12"}},
		{name: "timestamp query in DER", in: "\x30\x07\x02\x01\x01\x30\x02\x30\x00", says: []string{"certificate 1"}},
		{name: "request", in: block("CERTIFICATE REQUEST", []byte("x")), says: []string{"CERTIFICATE REQUEST"}},
		{name: "trusted certificate", in: block("TRUSTED CERTIFICATE", leaf.Raw), says: []string{"TRUSTED CERTIFICATE"}},
		{name: "long label", in: "-----BEGIN " + strings.Repeat("X", 1000) + "-----\n-----END X-----\n", says: []string{"want a CERTIFICATE"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pki.ParseChain([]byte(tt.in))
			if err == nil || got != nil {
				t.Fatalf("ParseChain = %s, %v, want an error", names(got), err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("ParseChain: %v, want %v", err, tt.is)
			}
			if tt.is == nil && errors.Is(err, pki.ErrPrivateKey) {
				t.Errorf("ParseChain: %v, but there is no private key", err)
			}
			for _, s := range append(tt.says, "pki: reading certificate chain: ") {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("ParseChain: %v, want it to name %q", err, s)
				}
			}
		})
	}
}

// ca makes a CA certificate whose name and issuer name stand for their keys.
func ca(t *testing.T, name, issuer string) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: at, NotAfter: at, BasicConstraintsValid: true, IsCA: true}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: issuer}}
	key := pkitest.Deterministic(pkitest.Key(t, pkitest.P256, issuer))
	der, err := x509.CreateCertificate(nil, tmpl, parent, pkitest.Key(t, pkitest.P256, name).Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// TestParseChainRenewedRoot: two roots with one key are a chain of sorts when
// the file says in which order, and Check has a word on it.
func TestParseChainRenewedRoot(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	renewed := pkitest.TSA(t, pkitest.Options{Root: func(c *x509.Certificate) { c.NotAfter = c.NotAfter.AddDate(1, 0, 0) }}).Root
	chain, err := pki.ParseChain([]byte(encode(c.Leaf, c.Intermediate, c.Root, renewed)))
	if err != nil || len(chain) != 4 {
		t.Fatalf("ParseChain = %s, %v", names(chain), err)
	}
	report := pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, Time: at})
	if got := rules(report, pki.Warning); !slices.Contains(got, pki.RuleRootSelfSigned) || report.Err() != nil {
		t.Errorf("Check: %v, want a warning by %s", report.Findings, pki.RuleRootSelfSigned)
	}
}

func TestParseCertificates(t *testing.T) {
	a, b := pkitest.TSA(t, pkitest.Options{}), pkitest.TSA(t, pkitest.Options{Name: "Other"})
	got, err := pki.ParseCertificates([]byte(encode(b.Root, a.Root, b.Root, a.Leaf)))
	if want := []*x509.Certificate{b.Root, a.Root, a.Leaf}; err != nil || !slices.EqualFunc(got, want, (*x509.Certificate).Equal) {
		t.Errorf("ParseCertificates = %s, %v, want %s", names(got), err, names(want))
	}
	if got, err := pki.ParseCertificates([]byte("x")); err == nil || got != nil {
		t.Errorf("ParseCertificates of text = %s, %v", names(got), err)
	}
	many := strings.Repeat(string(a.Root.Raw), pki.MaxCertificates+1)
	if got, err := pki.ParseCertificates([]byte(many)); err == nil || got != nil {
		t.Errorf("ParseCertificates of too many = %d certificates, %v", len(got), err)
	}
}

func names(certs []*x509.Certificate) string {
	var cns []string
	for _, c := range certs {
		cns = append(cns, c.Subject.CommonName)
	}
	return "[" + strings.Join(cns, ", ") + "]"
}

func FuzzParseChain(f *testing.F) {
	c := pkitest.TSA(f, pkitest.Options{})
	f.Add(c.PEM())
	f.Add([]byte(encode(c.Root, c.Leaf, c.Intermediate)))
	f.Add([]byte("text\n" + encode(c.Leaf, c.Root)))
	f.Add(bytes.Join(c.DER, nil))
	f.Add([]byte(block("EC PRIVATE KEY", []byte("x"))))
	f.Add([]byte("\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"))
	f.Fuzz(func(t *testing.T, data []byte) {
		chain, err := pki.ParseChain(data)
		if err != nil {
			if chain != nil {
				t.Fatalf("ParseChain = %s with error %v", names(chain), err)
			}
			return
		}
		// What was read is read again from what is written, in one form only.
		text := pki.EncodeChain(chain)
		again, err := pki.ParseChain(text)
		if err != nil || !slices.EqualFunc(again, chain, (*x509.Certificate).Equal) {
			t.Fatalf("ParseChain(EncodeChain(%s)) = %s, %v", names(chain), names(again), err)
		}
		if !bytes.Equal(pki.EncodeChain(again), text) {
			t.Fatal("EncodeChain gave two texts for one chain")
		}
		for _, cert := range chain {
			if !bytes.Contains(data, cert.Raw) && !bytes.Contains(data, []byte("-----BEGIN CERTIFICATE-----")) {
				t.Fatalf("certificate %x is not in the input", cert.Raw)
			}
		}
		pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, Time: at}) // must not panic
	})
}
