package pki_test

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

var (
	makers  = map[pki.Role]func(testing.TB, pkitest.Options) *pkitest.Chain{pki.RoleTSA: pkitest.TSA, pki.RoleTSACA: pkitest.TSACA, pki.RoleCA: pkitest.CA, pki.RoleCodeSigning: pkitest.CodeSigning, pki.RoleLog: pkitest.Log}
	hostile = map[pki.Role]func() []pkitest.Hostile{pki.RoleTSA: pkitest.HostileTSA, pki.RoleTSACA: pkitest.HostileTSACA, pki.RoleCA: pkitest.HostileCA, pki.RoleCodeSigning: pkitest.HostileCodeSigning, pki.RoleLog: pkitest.HostileLog}
)

func TestParseRole(t *testing.T) {
	for _, r := range pki.Roles() {
		if got, err := pki.ParseRole(string(r)); got != r || err != nil {
			t.Errorf("ParseRole(%q) = %q, %v", r, got, err)
		}
	}
	for _, name := range []string{"", "TSA", "cook"} {
		if got, err := pki.ParseRole(name); got != "" || err == nil || !strings.Contains(err.Error(), "want one of tsa, tsa-ca, ca, code-signing, log") {
			t.Errorf("ParseRole(%q) = %q, %v", name, got, err)
		}
	}
}

// TestCheckGoodRoles: chains as they should be draw no warning, whatever the
// keys, but for the keys that sigstore-js does not take for logs.
func TestCheckGoodRoles(t *testing.T) {
	for _, role := range []pki.Role{pki.RoleTSACA, pki.RoleCA, pki.RoleCodeSigning, pki.RoleLog} {
		for _, kind := range pkitest.KeyTypes() {
			leaf := kind
			if role == pki.RoleCodeSigning && kind == pkitest.Ed25519 {
				leaf = pkitest.P256 // of the CAs anything goes
			}
			c := makers[role](t, pkitest.Options{Key: leaf, IssuerKey: kind})
			key := c.LeafKey
			if key == nil {
				key = c.IntermediateKey
			}
			report := pki.Check(c.Certificates(), pki.CheckOptions{Role: role, Time: at, PublicKey: key.Public(), EnforceIntermediateEKU: true})
			if err := report.Err(); err != nil {
				t.Errorf("Check of a %v chain for %s: %v", kind, role, err)
			}
			var want []pki.Rule
			if role == pki.RoleLog && kind != pkitest.P256 && kind != pkitest.Ed25519 {
				want = []pki.Rule{pki.RuleKey}
			}
			if got := rules(report, pki.Warning); !slices.Equal(got, want) {
				t.Errorf("Check of a %v chain for %s warns of %v, want %v", kind, role, got, want)
			}
		}
	}
}

// TestCheckHostileRoles: each hostile chain breaks its rule before any other,
// and whoever reads so is told what to do.
func TestCheckHostileRoles(t *testing.T) {
	for _, role := range []pki.Role{pki.RoleTSACA, pki.RoleCA, pki.RoleCodeSigning, pki.RoleLog} {
		for _, h := range hostile[role]() {
			t.Run(string(role)+" "+h.Name, func(t *testing.T) {
				c := makers[role](t, h.Options)
				err := pki.Check(c.Certificates(), pki.CheckOptions{Role: role, Time: at}).Err()
				var broken *pki.ChainError
				if !errors.As(err, &broken) {
					t.Fatalf("Check: %v, want a *ChainError", err)
				}
				if f := broken.Finding; f.Rule != h.Rule || f.Certificate != h.Certificate {
					t.Errorf("Check: rule %s, certificate %d, want %s, %d (%v)", f.Rule, f.Certificate, h.Rule, h.Certificate, err)
				}
			})
		}
	}
}

// TestCheckRoleConfused: the chain of one role is fit for no other, but for that
// of a log, which has no purpose and hence any: Notation would take it.
func TestCheckRoleConfused(t *testing.T) {
	for _, is := range pki.Roles() {
		for _, asked := range pki.Roles() {
			err := pki.Check(makers[is](t, pkitest.Options{}).Certificates(), pki.CheckOptions{Role: asked, Time: at}).Err()
			if (err == nil) != (is == asked || is == pki.RoleLog && asked == pki.RoleCodeSigning) {
				t.Errorf("Check of a chain for %s as one for %s: %v", is, asked, err)
			}
		}
	}
}

// TestCheckRoleFindings covers what a role is told beside errors.
func TestCheckRoleFindings(t *testing.T) {
	ca := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.CA(t, pkitest.Options{Intermediate: f}).Certificates()
	}
	caRoot := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.CA(t, pkitest.Options{Root: f}).Certificates()
	}
	log := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.Log(t, pkitest.Options{Leaf: f}).Certificates()
	}
	logIssuer := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.Log(t, pkitest.Options{Intermediate: f}).Certificates()
	}
	good := pkitest.CA(t, pkitest.Options{})
	// A CA below a CA: the chain of another CA, whose root has the key and the
	// name of the first one's intermediate.
	below := func(change func(*x509.Certificate)) []*x509.Certificate {
		middle := pkitest.CA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) {
			c.MaxPathLen, c.MaxPathLenZero = 1, false
			if change != nil {
				change(c)
			}
		}})
		sound := *middle.Intermediate
		sound.MaxPathLen, sound.MaxPathLenZero = 1, false
		cert, err := pki.CreateIntermediate(pki.Config{
			Role: pki.RoleCA, Subject: subject, PublicKey: pkitest.Key(t, pkitest.P256, "below").Public(),
			Issuer: &sound, IssuerKey: middle.IntermediateKey, NotBefore: pkitest.NotBefore(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return append([]*x509.Certificate{cert}, middle.Certificates()...)
	}
	mixed, err := pki.CreateIntermediate(pki.Config{
		Role: pki.RoleCA, Subject: subject, PublicKey: pkitest.Key(t, pkitest.RSA3072, "leaf").Public(),
		Issuer: good.Root, IssuerKey: good.RootKey, NotBefore: pkitest.NotBefore(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ekuTwice := *pkitest.Log(t, pkitest.Options{Leaf: pkitest.EKU(false, "1.3.6.1.5.5.7.3.8")}).Leaf
	for _, e := range ekuTwice.Extensions {
		if e.Id.String() == "2.5.29.37" {
			ekuTwice.Extensions = append(slices.Clone(ekuTwice.Extensions), e)
		}
	}
	goodLog := pkitest.Log(t, pkitest.Options{})
	signerChain := func(f func(*x509.Certificate)) []*x509.Certificate {
		return pkitest.CodeSigning(t, pkitest.Options{Leaf: f}).Certificates()
	}
	// What "notation cert generate-test" makes.
	selfSigned := selfSignedSigner(t)

	for _, tt := range []struct {
		name        string
		role        pki.Role
		chain       []*x509.Certificate
		rule        pki.Rule
		certificate int
		severity    pki.Severity
		says        string
	}{
		{"root alone", pki.RoleCA, []*x509.Certificate{good.Root}, pki.RuleLength, 0, pki.Note, "issues by itself"},
		{"issuing CA alone", pki.RoleCA, []*x509.Certificate{good.Intermediate}, pki.RuleLength, 0, pki.Error, "is missing"},
		{"no path length", pki.RoleCA, ca(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = -1, false }), pki.RuleIssuerPathLength, 0, pki.Note, "no path length"},
		{"path length 1", pki.RoleCA, ca(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }), pki.RuleIssuerPathLength, 0, pki.Note, "path length 1"},
		{"CA below a CA", pki.RoleCA, below(nil), pki.RuleRevocation, 0, pki.Note, ""},
		{"CA below a CA without EKU", pki.RoleCA, below(pkitest.EKU(false)), pki.RuleIssuerEKU, 1, pki.Warning, "demands"},
		{"no cRLSign", pki.RoleCA, ca(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }), pki.RuleIssuerKeyUsage, 0, pki.Warning, "lacks cRLSign"},
		{"digitalSignature too", pki.RoleCA, ca(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature }), pki.RuleIssuerKeyUsage, 0, pki.Warning, "also has digitalSignature"},
		{"no keyUsage", pki.RoleCA, ca(func(c *x509.Certificate) { c.KeyUsage = 0 }), pki.RuleIssuerKeyUsage, 0, pki.Warning, "without keyUsage"},
		{"no organization", pki.RoleCA, caRoot(func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "Root"} }), pki.RuleSubject, 1, pki.Warning, "no organization"},
		{"root with EKU", pki.RoleCA, caRoot(pkitest.EKU(false, "1.3.6.1.5.5.7.3.3")), pki.RuleIssuerEKU, 1, pki.Warning, "rules out"},
		{"root missing", pki.RoleCA, below(nil)[:2], pki.RuleRootSelfSigned, 1, pki.Warning, "Sigstore"},
		{"RSA below ECDSA", pki.RoleCA, []*x509.Certificate{mixed, good.Root}, pki.RuleKey, 0, pki.Note, "two kinds"},
		{"path length too short", pki.RoleCA, below(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }), pki.RuleIssuerPathLength, 1, pki.Error, "path length 0"},

		{"root alone", pki.RoleTSACA, []*x509.Certificate{good.Root}, pki.RuleLength, 0, pki.Note, "issues by itself"},
		{"without EKU", pki.RoleTSACA, pkitest.TSACA(t, pkitest.Options{Intermediate: pkitest.EKU(false)}).Certificates(), pki.RuleIssuerEKU, 0, pki.Warning, "does not start"},
		{"path length 1", pki.RoleTSACA, pkitest.TSACA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }}).Certificates(),
			pki.RuleIssuerPathLength, 0, pki.Note, "further CAs"},
		{"RSA 2048", pki.RoleTSACA, pkitest.TSACA(t, pkitest.Options{IssuerKey: pkitest.RSA2048}).Certificates(), pki.RuleKey, 0, pki.Note, "3072"},
		{"no organization", pki.RoleTSACA, pkitest.TSACA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: "Stamping CA", Country: []string{"XX"}}
		}}).Certificates(), pki.RuleSubject, 0, pki.Note, "no organization"},

		{"self-signed leaf alone", pki.RoleCodeSigning, []*x509.Certificate{selfSigned}, pki.RuleLength, 0, pki.Note, "vouches for itself"},
		{"CA alone", pki.RoleCodeSigning, []*x509.Certificate{good.Root}, pki.RuleLeafCA, 0, pki.Error, "is a CA certificate"},
		{"leaf alone", pki.RoleCodeSigning, signerChain(nil)[:1], pki.RuleLength, 0, pki.Error, "is missing"},
		{"root missing", pki.RoleCodeSigning, signerChain(nil)[:2], pki.RuleRootSelfSigned, 1, pki.Error, "Notation wants"},
		{"no EKU", pki.RoleCodeSigning, signerChain(pkitest.EKU(false)), pki.RuleLeafEKU, 0, pki.Warning, "Notation takes that"},
		{"any EKU", pki.RoleCodeSigning, signerChain(pkitest.EKU(false, "2.5.29.37.0")), pki.RuleLeafEKUOnly, 0, pki.Warning, "includes any"},
		{"unknown EKU", pki.RoleCodeSigning, signerChain(pkitest.EKU(false, "1.3.6.1.4.1.311.10.3.13")), pki.RuleLeafEKUOnly, 0, pki.Error, "want codeSigning"},
		{"EKU beside codeSigning", pki.RoleCodeSigning, signerChain(pkitest.EKU(true, "1.3.6.1.5.5.7.3.3", "1.3.6.1.4.1.311.10.3.13")), pki.RuleLeafEKUOnly, 0, pki.Note, "beside codeSigning"},
		{"long validity", pki.RoleCodeSigning, signerChain(nil), pki.RuleLeafLifetime, 0, pki.Note, "460 days"},
		{"no state", pki.RoleCodeSigning, signerChain(func(c *x509.Certificate) { c.Subject.Province = nil }), pki.RuleSubject, 0, pki.Note, "no state: a trust policy"},
		{"mail address in the name", pki.RoleCodeSigning, signerChain(func(c *x509.Certificate) {
			c.Subject.ExtraNames = append(c.Subject.Names, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "a@example.com"})
		}), pki.RuleSubject, 0, pki.Note, "an attribute of the type 1.2.840.113549.1.9.1: a trust policy"},
		{"two units", pki.RoleCodeSigning, signerChain(func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"A", "B"} }), pki.RuleSubject, 0, pki.Note, "two attributes of the type 2.5.4.11: a trust policy"},
		{"=# in the name", pki.RoleCodeSigning, signerChain(func(c *x509.Certificate) { c.Subject.Locality = []string{"a=#b"} }), pki.RuleSubject, 0, pki.Note, `"=#" in it: a trust policy`},
		{"no CRL", pki.RoleCodeSigning, signerChain(nil), pki.RuleRevocation, 0, pki.Note, "no CRL distribution point"},

		{"self-signed alone", pki.RoleLog, []*x509.Certificate{good.Root}, pki.RuleLength, 0, pki.Error, "public key alone"},
		{"EKU twice", pki.RoleLog, []*x509.Certificate{&ekuTwice, goodLog.Intermediate, goodLog.Root}, pki.RuleLeafEKU, 0, pki.Error, "2 extended"},
		{"any EKU", pki.RoleLog, log(pkitest.EKU(false, "2.5.29.37.0")), pki.RuleLeafEKU, 0, pki.Note, "says nothing"},
		{"no keyUsage", pki.RoleLog, log(func(c *x509.Certificate) { c.KeyUsage = 0 }), pki.RuleLeafKeyUsage, 0, pki.Note, "no keyUsage"},
		{"contentCommitment too", pki.RoleLog, log(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageContentCommitment }), pki.RuleLeafKeyUsage, 0, pki.Note, "also has contentCommitment"},
		{"keyUsage not critical", pki.RoleLog, log(func(c *x509.Certificate) {
			c.KeyUsage = 0
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{2, 5, 29, 15}, Value: []byte("\x03\x02\x07\x80")})
		}), pki.RuleLeafKeyUsage, 0, pki.Note, "not critical"},
		{"empty subject", pki.RoleLog, log(func(c *x509.Certificate) { c.Subject = pkix.Name{} }), pki.RuleSubject, 0, pki.Note, "empty"},
		{"CA limited to timestamps", pki.RoleLog, logIssuer(pkitest.EKU(false, "1.3.6.1.5.5.7.3.8")), pki.RuleIssuerEKU, 1, pki.Note, "limited to timeStamping"},
		{"CA without keyUsage", pki.RoleLog, logIssuer(func(c *x509.Certificate) { c.KeyUsage = 0 }), pki.RuleIssuerKeyUsage, 1, pki.Note, "without keyUsage"},
		{"root missing", pki.RoleLog, goodLog.Certificates()[:2], pki.RuleRootSelfSigned, 1, pki.Note, "who verifies"},

		{"policy of its own", pki.RoleTSA, pkitest.TSA(t, pkitest.Options{Leaf: policies("2.23.140.1.4.2")}).Certificates(), pki.RulePolicies, 0, pki.Note, "2.23.140.1.4.2"},
		{"policy of its issuer", pki.RoleTSA, pkitest.TSA(t, pkitest.Options{Leaf: policies("1.2.3"), Intermediate: policies("1.2.4")}).Certificates(), pki.RulePolicies, 0, pki.Note, "1.2.3"},
		{"issuer's certificate", pki.RoleTSA, pkitest.TSA(t, pkitest.Options{Leaf: func(c *x509.Certificate) {
			c.IssuingCertificateURL = []string{"http://ca.example/ca.cer"}
		}}).Certificates(), pki.RuleRevocation, 0, pki.Note, "ca.cer"},
	} {
		t.Run(string(tt.role)+" "+tt.name, func(t *testing.T) {
			report := pki.Check(tt.chain, pki.CheckOptions{Role: tt.role, Time: at})
			if !slices.ContainsFunc(report.Findings, func(f pki.Finding) bool {
				return f.Rule == tt.rule && f.Certificate == tt.certificate && f.Severity == tt.severity && strings.Contains(f.Detail, tt.says)
			}) {
				t.Errorf("Check: no %v by rule %s about certificate %d with %q in %v", tt.severity, tt.rule, tt.certificate, tt.says, report.Findings)
			}
			if got := report.Err() != nil; got != (tt.severity == pki.Error) {
				t.Errorf("Check: %v, want an error: %t", report.Err(), tt.severity == pki.Error)
			}
		})
	}
	for name, chain := range map[string][]*x509.Certificate{
		"the same policy": pkitest.TSA(t, pkitest.Options{Leaf: policies("1.2.3"), Intermediate: policies("1.2.3")}).Certificates(),
		"any policy":      pkitest.TSA(t, pkitest.Options{Leaf: policies("1.2.3"), Intermediate: policies("2.5.29.32.0")}).Certificates(),
	} {
		if report := pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, Time: at}); slices.Contains(rules(report, pki.Note), pki.RulePolicies) {
			t.Errorf("%s: Check finds %v", name, report.Findings)
		}
	}
}

func policies(ids ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, id := range ids {
			c.Policies = append(c.Policies, oid(id))
		}
	}
}

func oid(text string) x509.OID {
	id, err := x509.ParseOID(text)
	if err != nil {
		panic(err)
	}
	return id
}

// TestRules: each finding is by a rule that Rules explains for the role and
// that counts as applied, and each error and warning has a cure.
func TestRules(t *testing.T) {
	for _, role := range pki.Roles() {
		infos := pki.Rules(role)
		seen := map[pki.Rule]bool{}
		for _, info := range infos {
			if seen[info.Rule] || info.Summary == "" || info.Clause == "" {
				t.Errorf("%s: rule %s is there twice or not explained", role, info.Rule)
			}
			seen[info.Rule] = true
		}
		broken := map[pki.Rule]bool{}
		for _, h := range append(hostile[role](), pkitest.Hostile{Name: "none"}) {
			chain := makers[role](t, h.Options).Certificates()
			if chain[0] == nil {
				continue
			}
			key := pkitest.Key(t, pkitest.P256, "somebody else's").Public()
			report := pki.Check(chain, pki.CheckOptions{Role: role, Time: at, PublicKey: key})
			for _, f := range report.Findings {
				if !seen[f.Rule] || !report.Applied(f.Rule) || f.Clause == "" {
					t.Errorf("%s, %s: %v: explained %t, applied %t", role, h.Name, f, seen[f.Rule], report.Applied(f.Rule))
				}
				if f.Severity > pki.Note && f.Cure == "" {
					t.Errorf("%s, %s: no cure: %v", role, h.Name, f)
				}
				broken[f.Rule] = broken[f.Rule] || f.Severity == pki.Error
			}
		}
		// A sound chain has every rule applied.
		c := makers[role](t, pkitest.Options{})
		key := c.LeafKey
		if key == nil {
			key = c.IntermediateKey
		}
		report := pki.Check(c.Certificates(), pki.CheckOptions{Role: role, Time: at, PublicKey: key.Public()})
		for _, info := range infos {
			if !report.Applied(info.Rule) {
				t.Errorf("%s: rule %s is never applied", role, info.Rule)
			}
		}
		for _, rule := range []pki.Rule{pki.RuleLeafKey, pki.RuleValidity, pki.RuleIssuerCA, pki.RuleIssuerPathLength} {
			if !broken[rule] {
				t.Errorf("%s: nothing breaks rule %s", role, rule)
			}
		}
	}
	if got := pki.Rules("cook"); got != nil {
		t.Errorf("Rules of an unknown role: %v", got)
	}
	report := pki.Check(nil, pki.CheckOptions{Role: pki.RoleTSA})
	if report.Applied(pki.RuleSignature) || !report.Applied(pki.RuleLength) {
		t.Error("an empty chain has its signatures looked at, or not its length")
	}
}

// TestCreateRoles holds the extensions of what is made, byte for byte.
func TestCreateRoles(t *testing.T) {
	const keyUsage, basicConstraints, eku = "2.5.29.15", "2.5.29.19", "2.5.29.37"
	root := map[string]string{keyUsage: "critical 03020106", basicConstraints: "critical 30030101ff"}
	for _, tt := range []struct {
		role pki.Role
		want []map[string]string
	}{
		{pki.RoleCA, []map[string]string{
			{keyUsage: "critical 03020106", basicConstraints: "critical 30060101ff020100", eku: "300a06082b06010505070303"}, root,
		}},
		{pki.RoleTSACA, []map[string]string{
			{keyUsage: "critical 03020106", basicConstraints: "critical 30060101ff020100", eku: "300a06082b06010505070308"}, root,
		}},
		{pki.RoleCodeSigning, []map[string]string{
			{keyUsage: "critical 03020780", basicConstraints: "critical 3000", eku: "300a06082b06010505070303"},
			{keyUsage: "critical 03020106", basicConstraints: "critical 30060101ff020100", eku: "300a06082b06010505070303"}, root,
		}},
		{pki.RoleLog, []map[string]string{
			{keyUsage: "critical 03020780", basicConstraints: "critical 3000"},
			{keyUsage: "critical 03020106", basicConstraints: "critical 30060101ff020100"}, root,
		}},
	} {
		cfg := chainConfig(t, pkitest.P256)
		cfg.Role = tt.role
		if tt.role.Kind() == pki.KindIntermediate {
			cfg.IntermediateKey = nil
		}
		chain, err := pki.CreateChain(cfg)
		if err != nil {
			t.Fatalf("%s: CreateChain: %v", tt.role, err)
		}
		if len(chain) != len(tt.want) {
			t.Fatalf("%s: %d certificates, want %d", tt.role, len(chain), len(tt.want))
		}
		if err := pki.Check(chain, pki.CheckOptions{Role: tt.role, PublicKey: cfg.LeafKey}).Err(); err != nil {
			t.Errorf("%s: Check: %v", tt.role, err)
		}
		for i, want := range tt.want {
			for _, e := range chain[i].Extensions {
				id, text := e.Id.String(), hex.EncodeToString(e.Value)
				if e.Critical {
					text = "critical " + text
				}
				if id == "2.5.29.14" || id == "2.5.29.35" {
					continue // key identifiers
				}
				if text != want[id] {
					t.Errorf("%s: certificate %d: extension %s is %q, want %q", tt.role, i, id, text, want[id])
				}
			}
			if len(chain[i].Extensions) != len(want)+2 {
				t.Errorf("%s: certificate %d has %d extensions, want %d", tt.role, i, len(chain[i].Extensions), len(want)+2)
			}
		}
	}
}

func TestCreatePolicies(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	cfg := pki.Config{Role: pki.RoleTSA, Subject: subject, PublicKey: c.LeafKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey,
		Policies: []x509.OID{oid("2.23.140.1.4.2"), oid("1.2.3")}}
	leaf, err := pki.CreateLeaf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.Policies) != 2 || leaf.Policies[0].String() != "2.23.140.1.4.2" || leaf.Policies[1].String() != "1.2.3" {
		t.Errorf("policies %v", leaf.Policies)
	}
	cfg.Policies = append(cfg.Policies, oid("1.2.3"))
	if leaf, err := pki.CreateLeaf(cfg); err == nil || leaf != nil {
		t.Errorf("CreateLeaf with a policy twice = %v, %v", leaf, err)
	}
	if root, err := pki.CreateRoot(pki.Config{Role: pki.RoleTSA, Subject: subject, IssuerKey: c.RootKey, Policies: cfg.Policies[:1]}); err == nil || root != nil {
		t.Errorf("CreateRoot with a policy = %v, %v", root, err)
	}
}

// TestCreateRawSubject: a name is certified octet by octet.
func TestCreateRawSubject(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	// CN=Example as a PrintableString, emailAddress=a@b as an IA5String.
	const raw = "\x30\x26\x31\x10\x30\x0e\x06\x03\x55\x04\x03\x13\x07Example\x31\x12\x30\x10\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01\x16\x03a@b"
	cfg := pki.Config{Role: pki.RoleTSA, Subject: subject, RawSubject: []byte(raw), PublicKey: c.LeafKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey}
	leaf, err := pki.CreateLeaf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if string(leaf.RawSubject) != raw || leaf.Subject.CommonName != "Example" {
		t.Errorf("subject %x", leaf.RawSubject)
	}
	for name, in := range map[string]string{"trailing data": raw + "\x05\x00", "not a name": "\x05\x00", "no common name": "\x30\x00", "empty": ""} {
		cfg.RawSubject = []byte(in)
		if leaf, err := pki.CreateLeaf(cfg); err == nil || leaf != nil {
			t.Errorf("CreateLeaf with %s = %v, %v", name, leaf, err)
		}
	}
}

func TestCreateRolesRefuse(t *testing.T) {
	c := pkitest.CA(t, pkitest.Options{})
	leaf := pki.Config{Role: pki.RoleCA, Subject: subject, PublicKey: c.RootKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey}
	if got, err := pki.CreateLeaf(leaf); err == nil || got != nil || !strings.Contains(err.Error(), "has no leaf") {
		t.Errorf("CreateLeaf for a CA = %v, %v", got, err)
	}
	for name, change := range map[string]func(*pki.ChainConfig){
		"an intermediate key":  func(c *pki.ChainConfig) {},
		"an intermediate name": func(c *pki.ChainConfig) { c.IntermediateKey, c.IntermediateName = nil, "CA" },
		"a usage period":       func(c *pki.ChainConfig) { c.IntermediateKey, c.PrivateKeyNotAfter = nil, at.AddDate(50, 0, 0) },
	} {
		cfg := chainConfig(t, pkitest.P256)
		cfg.Role = pki.RoleCA
		change(&cfg)
		if chain, err := pki.CreateChain(cfg); err == nil || chain != nil {
			t.Errorf("CreateChain for a CA with %s = %v, %v", name, chain, err)
		}
	}
}

// selfSignedSigner is an end entity that vouches for itself.
func selfSignedSigner(t *testing.T) *x509.Certificate {
	t.Helper()
	key := pkitest.Key(t, pkitest.P256, "self-signed")
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: pkitest.NotBefore(), NotAfter: pkitest.NotAfter(),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}, &x509.Certificate{Subject: subject}, key.Public(), pkitest.Deterministic(key))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Check([]*x509.Certificate{cert}, pki.CheckOptions{Role: pki.RoleCodeSigning, Time: at, PublicKey: key.Public()}).Err(); err != nil {
		t.Errorf("a certificate that vouches for itself: %v", err)
	}
	return cert
}

// TestCodeSigningKeys: a leaf for code signing is refused where Notation would
// refuse its signatures, and lasts a year.
func TestCodeSigningKeys(t *testing.T) {
	c := pkitest.CodeSigning(t, pkitest.Options{})
	cfg := pki.Config{Role: pki.RoleCodeSigning, Subject: subject, Issuer: c.Intermediate, IssuerKey: c.IntermediateKey}
	for _, kind := range pkitest.KeyTypes() {
		key := pkitest.Key(t, kind, "leaf")
		cfg.PublicKey = key.Public()
		leaf, err := pki.CreateLeaf(cfg)
		// What cannot be certified is not requested.
		_, requestErr := pki.CreateRequest(pki.RequestConfig{Role: cfg.Role, Subject: subject, Key: key})
		if checkErr := cfg.Role.CheckKey(cfg.PublicKey); (checkErr == nil) != (err == nil) || (requestErr == nil) != (err == nil) {
			t.Errorf("%v: certificate %v, CheckKey %v, request %v", kind, err, checkErr, requestErr)
		}
		if kind == pkitest.Ed25519 {
			if err == nil || leaf != nil || !strings.Contains(err.Error(), "Ed25519") || !strings.Contains(err.Error(), "make a key on P-256") {
				t.Errorf("%v: %v, %v", kind, leaf, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", kind, err)
			continue
		}
		if want := leaf.NotBefore.AddDate(1, 0, 0).Add(-time.Second); !leaf.NotAfter.Equal(want) || time.Since(leaf.NotBefore) < pki.Backdate {
			t.Errorf("%v: valid from %v to %v", kind, leaf.NotBefore, leaf.NotAfter)
		}
		if err := pki.Check([]*x509.Certificate{leaf, c.Intermediate, c.Root}, pki.CheckOptions{Role: pki.RoleCodeSigning, PublicKey: cfg.PublicKey}).Err(); err != nil {
			t.Errorf("%v: %v", kind, err)
		}
	}
	odd := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2559, 1), E: 65537}
	if err := cfg.Role.CheckKey(odd); err == nil || !strings.Contains(err.Error(), "2560 bits") {
		t.Errorf("RSA of 2560 bits: %v", err)
	}
	if err := pki.RoleTSA.CheckKey(odd); err != nil {
		t.Errorf("RSA of 2560 bits for timestamps: %v", err)
	}
	if _, err := pki.CreateRequest(pki.RequestConfig{Role: cfg.Role, Kind: pki.KindIntermediate, Subject: subject, Key: pkitest.Key(t, pkitest.Ed25519, "ca")}); err != nil {
		t.Errorf("a CA on Ed25519: %v", err)
	}
	// The issuing CA of the role CA is one for this role.
	ca := pkitest.CA(t, pkitest.Options{})
	cfg.Issuer, cfg.IssuerKey = ca.Intermediate, ca.IntermediateKey
	cfg.PublicKey = pkitest.Key(t, pkitest.P256, "leaf").Public()
	leaf, err := pki.CreateLeaf(cfg)
	if err != nil {
		t.Fatal(err)
	}
	report := pki.Check(append([]*x509.Certificate{leaf}, ca.Certificates()...), pki.CheckOptions{Role: pki.RoleCodeSigning, EnforceIntermediateEKU: true})
	if err := report.Err(); err != nil || len(rules(report, pki.Warning)) != 0 {
		t.Errorf("below a CA: %v", report.Findings)
	}
}
