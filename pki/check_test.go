package pki_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/pkup"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// at is a time in the window of the test chains.
var at = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// rules returns the rules of the findings of at least the given severity.
func rules(r pki.Report, least pki.Severity) []pki.Rule {
	var out []pki.Rule
	for _, f := range r.Findings {
		if f.Severity >= least {
			out = append(out, f.Rule)
		}
	}
	return out
}

func TestCheckGoodChains(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		for _, noIntermediate := range []bool{false, true} {
			c := pkitest.TSA(t, pkitest.Options{Key: kind, IssuerKey: kind, NoIntermediate: noIntermediate, PrivateKeyNotAfter: at.AddDate(0, 1, 0)})
			report := pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA, Time: at, PublicKey: c.LeafKey.Public(), EnforceIntermediateEKU: true})
			if err := report.Err(); err != nil {
				t.Errorf("Check of a %v chain: %v", kind, err)
			}
			var want []pki.Rule
			if kind == pkitest.Ed25519 { // Notation refuses it
				want = []pki.Rule{pki.RuleKey}
			}
			if got := rules(report, pki.Warning); !slices.Equal(got, want) {
				t.Errorf("Check of a %v chain warns of %v, want %v", kind, got, want)
			}
		}
	}
}

func TestCheckHostile(t *testing.T) {
	for _, tt := range pkitest.HostileTSA() {
		t.Run(tt.Name, func(t *testing.T) {
			c := pkitest.TSA(t, tt.Options)
			if c.Leaf == nil {
				// What crypto/x509 does not parse cannot reach Check by way of
				// ParseChain.
				if chain, err := pki.ParseChain(c.PEM()); err == nil || chain != nil {
					t.Fatalf("ParseChain = %v, %v, want an error", chain, err)
				}
				return
			}
			err := pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA, Time: at}).Err()
			var broken *pki.ChainError
			if !errors.As(err, &broken) {
				t.Fatalf("Check: %v, want a *ChainError", err)
			}
			if f := broken.Finding; f.Rule != tt.Rule || f.Certificate != tt.Certificate || f.Clause == "" || f.Detail == "" {
				t.Errorf("Check: rule %s, certificate %d, want %s, %d (%v)", f.Rule, f.Certificate, tt.Rule, tt.Certificate, err)
			}
		})
	}
}

// TestCheckAgreesWithX509 holds that Check accepts nothing that the path
// builder of the standard library refuses.
func TestCheckAgreesWithX509(t *testing.T) {
	for _, tt := range pkitest.HostileTSA() {
		c := pkitest.TSA(t, tt.Options)
		if c.Leaf == nil {
			continue
		}
		roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
		roots.AddCert(c.Root)
		intermediates.AddCert(c.Intermediate)
		_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}})
		if err != nil && pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA, Time: at}).Err() == nil {
			t.Errorf("%s: Verify says %v, Check nothing", tt.Name, err)
		}
	}
}

// TestCheckFindings covers what is no error, what needs more than one chain,
// and what needs options of its own.
func TestCheckFindings(t *testing.T) {
	good := pkitest.TSA(t, pkitest.Options{})
	other := pkitest.TSA(t, pkitest.Options{Name: "Other"})
	change := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.TSA(t, pkitest.Options{Leaf: f}).Certificates()
	}
	changeIntermediate := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.TSA(t, pkitest.Options{Intermediate: f}).Certificates()
	}
	changeRoot := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.TSA(t, pkitest.Options{Root: f}).Certificates()
	}
	withKey := func(leaf, issuer pkitest.KeyType) []*x509.Certificate {
		return pkitest.TSA(t, pkitest.Options{Key: leaf, IssuerKey: issuer}).Certificates()
	}
	broken := slices.Clone(good.DER[0])
	broken[len(broken)-1] ^= 1
	badSignature, err := x509.ParseCertificate(broken)
	if err != nil {
		t.Fatal(err)
	}
	ekuTwice := *good.Leaf
	for _, e := range good.Leaf.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) {
			ekuTwice.Extensions = append(slices.Clone(good.Leaf.Extensions), e)
		}
	}
	odd := func(bits uint) []*x509.Certificate {
		leaf := *good.Leaf
		leaf.PublicKey = &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1), E: 65537}
		return []*x509.Certificate{&leaf, good.Intermediate, good.Root}
	}
	alter := func(f func(*x509.Certificate)) []*x509.Certificate {
		leaf := *good.Leaf
		f(&leaf)
		return []*x509.Certificate{&leaf, good.Intermediate, good.Root}
	}
	malformedEKU := slices.Clone(good.Leaf.Extensions)
	for i := range malformedEKU {
		if malformedEKU[i].Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 37}) {
			malformedEKU[i].Value = []byte{5, 0}
		}
	}
	// The intermediate is the root's certificate for another key of its own.
	rollover := pkitest.TSA(t, pkitest.Options{
		Root: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true },
		Intermediate: func(c *x509.Certificate) {
			c.Subject.CommonName, c.AuthorityKeyId = "Test Root CA", good.Root.SubjectKeyId
		},
	}).Certificates()
	period := func(notBefore, notAfter time.Time) []*x509.Certificate {
		ext, err := pkup.Extension(notBefore, notAfter)
		if err != nil {
			t.Fatal(err)
		}
		return change(func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, ext) })
	}
	keyOf := func(other *x509.Certificate) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.PublicKey = other.PublicKey }
	}
	ca := pkitest.CA(t, pkitest.Options{})
	long := make([]*x509.Certificate, pki.MaxChainLength+1)
	for i := range long {
		long[i] = good.Root
	}

	for _, tt := range []struct {
		name        string
		chain       []*x509.Certificate
		opts        pki.CheckOptions // Role and Time are filled in
		rule        pki.Rule
		certificate int
		severity    pki.Severity
		says        string // in its detail, where a rule has more to say than one thing
	}{
		{name: "no role", chain: good.Certificates(), opts: pki.CheckOptions{Role: "none"}, rule: pki.RuleRole, certificate: -1, severity: pki.Error},
		{name: "unknown role", chain: good.Certificates(), opts: pki.CheckOptions{Role: "cook"}, rule: pki.RuleRole, certificate: -1, severity: pki.Error},
		{name: "empty chain", rule: pki.RuleLength, certificate: -1, severity: pki.Error},
		{name: "nil certificate", chain: []*x509.Certificate{good.Leaf, nil}, rule: pki.RuleLength, certificate: -1, severity: pki.Error},
		{name: "too long", chain: long, rule: pki.RuleLength, certificate: -1, severity: pki.Error},
		{name: "leaf alone", chain: []*x509.Certificate{good.Leaf}, rule: pki.RuleLength, severity: pki.Error},
		{name: "self-signed alone", chain: []*x509.Certificate{good.Root}, rule: pki.RuleLength, severity: pki.Error},
		{name: "root first", chain: []*x509.Certificate{good.Root, good.Intermediate, good.Leaf}, rule: pki.RuleOrder, severity: pki.Error},
		{name: "another's intermediate", chain: []*x509.Certificate{good.Leaf, other.Intermediate, other.Root}, rule: pki.RuleOrder, severity: pki.Error},
		{name: "bad signature", chain: []*x509.Certificate{badSignature, good.Intermediate, good.Root}, rule: pki.RuleSignature, severity: pki.Error},
		{name: "key ids differ", chain: changeIntermediate(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 35}, Value: []byte("\x30\x03\x80\x01\x00")})
		}), rule: pki.RuleKeyID, certificate: 1, severity: pki.Warning},
		{name: "root signed with SHA-1", chain: changeRoot(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }), rule: pki.RuleSignatureAlgorithm, certificate: 2, severity: pki.Warning, says: "Notation"},
		{name: "leaf with the key of the root", chain: change(keyOf(good.Root)), rule: pki.RuleKey, severity: pki.Error, says: "certificate 3"},
		{name: "leaf with the key of its issuer", chain: change(keyOf(good.Intermediate)), rule: pki.RuleKey, severity: pki.Error, says: "certificate 2"},
		{name: "issuing CA with the key of the root", chain: pkitest.CA(t, pkitest.Options{Intermediate: keyOf(ca.Root)}).Certificates(), opts: pki.CheckOptions{Role: pki.RoleCA}, rule: pki.RuleKey, severity: pki.Note, says: "certificate 2"},
		{name: "RSA 1024 leaf", chain: withKey(pkitest.RSA1024, pkitest.P256), rule: pki.RuleKey, severity: pki.Error},
		{name: "RSA 1024 issuers", chain: withKey(pkitest.P256, pkitest.RSA1024), rule: pki.RuleKey, certificate: 1, severity: pki.Error},
		{name: "P-224 leaf", chain: withKey(pkitest.P224, pkitest.P256), rule: pki.RuleKey, severity: pki.Error},
		{name: "RSA 2048 leaf", chain: withKey(pkitest.RSA2048, pkitest.P256), rule: pki.RuleKey, severity: pki.Note},
		{name: "Ed25519 leaf", chain: withKey(pkitest.Ed25519, pkitest.P256), rule: pki.RuleKey, severity: pki.Warning},
		{name: "RSA 2560 leaf", chain: odd(2560), rule: pki.RuleKey, severity: pki.Warning},
		{name: "key of unknown kind", chain: alter(func(c *x509.Certificate) { c.PublicKey = nil }), rule: pki.RuleKey, severity: pki.Error},
		{name: "key of foreign type", chain: alter(func(c *x509.Certificate) { c.PublicKey = "key" }), rule: pki.RuleKey, severity: pki.Error},
		{name: "unknown signature algorithm", chain: alter(func(c *x509.Certificate) { c.SignatureAlgorithm = 0 }), rule: pki.RuleSignatureAlgorithm, severity: pki.Error},
		{name: "EKU malformed", chain: alter(func(c *x509.Certificate) { c.Extensions = malformedEKU }), rule: pki.RuleLeafEKUOnly, severity: pki.Error},
		{name: "self-issued CA below path length 0", chain: rollover, rule: pki.RuleIssuerPathLength, certificate: 2, severity: pki.Error},
		{name: "key period without end", chain: period(pkitest.NotBefore(), time.Time{}), rule: pki.RuleKeyPeriod, severity: pki.Note, says: "has no end"},
		{name: "key period as long as the certificate", chain: period(time.Time{}, pkitest.NotAfter()), rule: pki.RuleKeyPeriod, severity: pki.Note, says: "not before the certificate"},
		{name: "key period", chain: period(time.Time{}, at), rule: pki.RuleKeyPeriod, severity: pki.Note, says: "until 2026-06-01"},
		{name: "no key period", chain: good.Certificates(), rule: pki.RuleKeyPeriod, severity: pki.Note, says: "no privateKeyUsagePeriod"},
		{name: "key period over 15 months", chain: period(time.Time{}, at.AddDate(1, 0, 0)), rule: pki.RuleKeyPeriod, severity: pki.Note, says: "15 months"},
		{name: "leaf outlives issuers", chain: pkitest.TSA(t, pkitest.Options{NotAfter: pkitest.NotAfter().AddDate(1, 0, 0)}).Certificates(), rule: pki.RuleNesting, severity: pki.Note},
		{name: "long serial", chain: change(func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 159) }), rule: pki.RuleSerial, severity: pki.Error},
		{name: "serial zero", chain: change(func(c *x509.Certificate) { c.SerialNumber = new(big.Int) }), rule: pki.RuleSerial, severity: pki.Note},
		{name: "empty subject", chain: change(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), rule: pki.RuleSubject, severity: pki.Note},
		{name: "bare subject", chain: change(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "TSA"} }), rule: pki.RuleSubject, severity: pki.Note},
		{name: "no common name", chain: change(func(c *x509.Certificate) { c.Subject.CommonName = "" }), rule: pki.RuleSubject, severity: pki.Note},
		{name: "CA without subject", chain: changeRoot(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), rule: pki.RuleSubject, certificate: 2, severity: pki.Error},
		{name: "other key", chain: good.Certificates(), opts: pki.CheckOptions{PublicKey: other.LeafKey.Public()}, rule: pki.RuleLeafKey, severity: pki.Error},
		{name: "EKU twice", chain: []*x509.Certificate{&ekuTwice, good.Intermediate, good.Root}, rule: pki.RuleLeafEKU, severity: pki.Error},
		{name: "same purpose twice", chain: change(pkitest.EKU(true, "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.8")), rule: pki.RuleLeafEKUOnly, severity: pki.Error},
		{name: "no key usage", chain: change(func(c *x509.Certificate) { c.KeyUsage = 0 }), rule: pki.RuleLeafKeyUsage, severity: pki.Warning},
		{name: "contentCommitment alone", chain: change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }), rule: pki.RuleLeafKeyUsage, severity: pki.Warning},
		{name: "also keyEncipherment", chain: change(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }), rule: pki.RuleLeafKeyUsage, severity: pki.Warning},
		{name: "also keyCertSign", chain: change(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }), rule: pki.RuleLeafKeyUsage, severity: pki.Error},
		{name: "key usage not critical", chain: change(func(c *x509.Certificate) {
			c.KeyUsage = 0
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 15}, Value: []byte("\x03\x02\x07\x80")})
		}), rule: pki.RuleLeafKeyUsage, severity: pki.Note},
		{name: "30 years", chain: good.Certificates(), rule: pki.RuleLeafLifetime, severity: pki.Note},
		{name: "CA without key usage", chain: changeRoot(func(c *x509.Certificate) { c.KeyUsage = 0 }), rule: pki.RuleIssuerKeyUsage, certificate: 2, severity: pki.Warning},
		{name: "basicConstraints not critical", chain: changeRoot(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Value: []byte("\x30\x03\x01\x01\xff")})
		}), rule: pki.RuleIssuerCA, certificate: 2, severity: pki.Note},
		{name: "intermediate without EKU", chain: changeIntermediate(pkitest.EKU(false)), rule: pki.RuleIssuerEKU, certificate: 1, severity: pki.Warning},
		{name: "intermediate without EKU, enforced", chain: changeIntermediate(pkitest.EKU(false)), opts: pki.CheckOptions{EnforceIntermediateEKU: true}, rule: pki.RuleIssuerEKU, certificate: 1, severity: pki.Error},
		{name: "intermediate with any", chain: changeIntermediate(pkitest.EKU(false, "2.5.29.37.0")), rule: pki.RuleIssuerEKU, certificate: 1, severity: pki.Note},
		{name: "intermediate with any, enforced", chain: changeIntermediate(pkitest.EKU(false, "2.5.29.37.0")), opts: pki.CheckOptions{EnforceIntermediateEKU: true}, rule: pki.RuleIssuerEKU, certificate: 1, severity: pki.Error},
		{name: "root missing", chain: []*x509.Certificate{good.Leaf, good.Intermediate}, rule: pki.RuleRootSelfSigned, certificate: 1, severity: pki.Warning},
		{name: "root twice", chain: []*x509.Certificate{good.Leaf, good.Intermediate, good.Root, good.Root}, rule: pki.RuleRootSelfSigned, certificate: 2, severity: pki.Warning},
		{name: "no revocation", chain: good.Certificates(), rule: pki.RuleRevocation, severity: pki.Note, says: "cannot learn"},
		{name: "OCSP", chain: change(func(c *x509.Certificate) { c.OCSPServer = []string{"http://ocsp.example"} }), rule: pki.RuleRevocation, severity: pki.Note, says: "OCSP at"},
		{name: "CRL", chain: change(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://crl.example"} }), rule: pki.RuleRevocation, severity: pki.Note, says: "CRL at \"http://crl.example\""},
		{name: "CRL over ldap", chain: change(func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"ldap://crl.example"} }), rule: pki.RuleRevocation, severity: pki.Warning},
	} {
		t.Run(tt.name, func(t *testing.T) {
			switch tt.opts.Role {
			case "":
				tt.opts.Role = pki.RoleTSA
			case "none":
				tt.opts.Role = ""
			}
			tt.opts.Time = at
			report := pki.Check(tt.chain, tt.opts)
			found := slices.ContainsFunc(report.Findings, func(f pki.Finding) bool {
				return f.Rule == tt.rule && f.Certificate == tt.certificate && f.Severity == tt.severity && strings.Contains(f.Detail, tt.says)
			})
			if !found {
				t.Errorf("Check: no %v by rule %s about certificate %d with %q in %v", tt.severity, tt.rule, tt.certificate, tt.says, report.Findings)
			}
			if got := report.Err() != nil; got != (tt.severity == pki.Error) {
				t.Errorf("Check: %v, want an error: %t", report.Err(), tt.severity == pki.Error)
			}
		})
	}
}

// TestCheckNow holds that a zero time means now and not "at no time".
func TestCheckNow(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{NotAfter: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)})
	var broken *pki.ChainError
	if err := pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA}).Err(); !errors.As(err, &broken) || broken.Finding.Rule != pki.RuleValidity {
		t.Errorf("Check of an expired chain without a time: %v", err)
	}
}

// TestCheckBounds holds that both ends of a window are inside it (RFC 5280,
// 4.1.2.5), for certificates and for private keys.
func TestCheckBounds(t *testing.T) {
	begin, end, keyEnd := at, at.AddDate(5, 0, 0), at.AddDate(1, 0, 0)
	chain := pkitest.TSA(t, pkitest.Options{NotBefore: begin, NotAfter: end, PrivateKeyNotAfter: keyEnd}).Certificates()
	without := pkitest.TSA(t, pkitest.Options{NotBefore: begin, NotAfter: end}).Certificates()
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		at    time.Time
		want  pki.Rule // empty for none
	}{
		{"before", chain, begin.Add(-time.Second), pki.RuleValidity},
		{"first second", chain, begin, ""},
		{"key's last second", chain, keyEnd, ""},
		{"after the key", chain, keyEnd.Add(time.Second), pki.RuleKeyPeriod},
		{"last second", without, end, ""},
		{"after", without, end.Add(time.Second), pki.RuleValidity},
	} {
		var got pki.Rule
		var broken *pki.ChainError
		if errors.As(pki.Check(tt.chain, pki.CheckOptions{Role: pki.RoleTSA, Time: tt.at}).Err(), &broken) {
			got = broken.Finding.Rule
		}
		if got != tt.want {
			t.Errorf("%s: Check breaks rule %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFindingText(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{Leaf: pkitest.EKU(false)})
	err := pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA, Time: at}).Err()
	const want = `pki: certificate 1 of the chain, "CN=Test TSA,O=Fencepost Tests,C=XX": no extended key usage, want timeStamping (leaf-eku; RFC 3161, 2.3)`
	if err == nil || err.Error() != want {
		t.Errorf("Err() = %v, want %s", err, want)
	}
	var broken *pki.ChainError
	if !errors.As(err, &broken) {
		t.Fatalf("Err() is a %T", err)
	}
	got, err := json.Marshal(broken.Finding)
	if err != nil {
		t.Fatal(err)
	}
	if wantJSON := `{"rule":"leaf-eku","severity":"error","certificate":0,`; !bytes.HasPrefix(got, []byte(wantJSON)) {
		t.Errorf("JSON is %s, want it to begin %s", got, wantJSON)
	}
	if line := broken.Finding.String(); !strings.HasPrefix(line, `error: certificate 1, "CN=Test TSA,`) {
		t.Errorf("String() = %s", line)
	}
}

func TestChainErrorText(t *testing.T) {
	const want = "pki: certificate chain: the chain is empty (chain-length; RFC 5280, 6.1)"
	if err := pki.Check(nil, pki.CheckOptions{Role: pki.RoleTSA}).Err(); err == nil || err.Error() != want {
		t.Errorf("Err() = %v, want %s", err, want)
	}
	// A hostile name does not fill the screen.
	c := pkitest.TSA(t, pkitest.Options{Leaf: func(c *x509.Certificate) { c.IsCA, c.Subject.CommonName = true, strings.Repeat("x", 5000) }})
	if err := pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA}).Err(); err == nil || len(err.Error()) > 500 {
		t.Errorf("Err() = %v, want a short message", err)
	}
}

// TestCheckForeignKey: a key type that cannot be compared is another key.
func TestCheckForeignKey(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	type foreign struct{ crypto.PublicKey }
	if err := pki.Check(c.Certificates(), pki.CheckOptions{Role: pki.RoleTSA, Time: at, PublicKey: foreign{}}).Err(); err == nil {
		t.Error("Check accepted a public key of a foreign type")
	}
}
