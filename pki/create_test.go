package pki_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

var subject = pkix.Name{Country: []string{"XX"}, Organization: []string{"Example"}, CommonName: "Example TSA 1"}

func chainConfig(t *testing.T, kind pkitest.KeyType) pki.ChainConfig {
	return pki.ChainConfig{
		Role: pki.RoleTSA, Subject: subject,
		RootKey: pkitest.Key(t, kind, "root"), IntermediateKey: pkitest.Key(t, kind, "intermediate"), LeafKey: pkitest.Key(t, kind, "leaf").Public(),
	}
}

func TestCreateChain(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		t.Run(kind.String(), func(t *testing.T) {
			cfg := chainConfig(t, kind)
			before := time.Now()
			cfg.PrivateKeyNotAfter = before.AddDate(0, 14, 0)
			chain, err := pki.CreateChain(cfg)
			if err != nil {
				t.Fatalf("CreateChain: %v", err)
			}
			report := pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, PublicKey: cfg.LeafKey, EnforceIntermediateEKU: true})
			if err := report.Err(); err != nil {
				t.Errorf("Check: %v", err)
			}
			if got := rules(report, pki.Warning); len(got) > 0 && kind != pkitest.Ed25519 {
				t.Errorf("Check warns of %v", report.Findings)
			}
			for i, want := range []string{"Example TSA 1", "Example TSA 1 Issuing CA", "Example TSA 1 Root CA"} {
				c := chain[i]
				if c.Subject.CommonName != want || !slices.Equal(c.Subject.Country, subject.Country) || !slices.Equal(c.Subject.Organization, subject.Organization) {
					t.Errorf("certificate %d: subject %v, want common name %s", i, c.Subject, want)
				}
				if n := c.SerialNumber.BitLen(); n != 159 {
					t.Errorf("certificate %d: serial number of %d bits, want 159", i, n)
				}
				if back := before.Sub(c.NotBefore); back < pki.Backdate-time.Minute || back > pki.Backdate+time.Minute {
					t.Errorf("certificate %d: begins %v before now, want %v", i, back, pki.Backdate)
				}
				years := []int{10, 15, 20}[i]
				if want := c.NotBefore.AddDate(years, 0, 0).Add(-time.Second); !c.NotAfter.Equal(want) {
					t.Errorf("certificate %d: ends %v, want %v", i, c.NotAfter, want)
				}
			}
			_, end, ok, err := pki.PrivateKeyUsagePeriod(chain[0])
			if err != nil || !ok || !end.Equal(cfg.PrivateKeyNotAfter.UTC().Truncate(time.Second)) {
				t.Errorf("PrivateKeyUsagePeriod ends %v, %t, %v, want %v", end, ok, err, cfg.PrivateKeyNotAfter)
			}
		})
	}
}

// TestCreateProfile holds the extensions byte for byte: they are what other
// verifiers were tried with.
func TestCreateProfile(t *testing.T) {
	chain, err := pki.CreateChain(chainConfig(t, pkitest.P256))
	if err != nil {
		t.Fatal(err)
	}
	const (
		keyUsage, basicConstraints, eku = "2.5.29.15", "2.5.29.19", "2.5.29.37"
		keyID, authorityKeyID           = "2.5.29.14", "2.5.29.35"
		timeStamping                    = "300a06082b06010505070308"
	)
	want := []map[string]string{
		{keyUsage: "critical 03020780", basicConstraints: "critical 3000", eku: "critical " + timeStamping},
		{keyUsage: "critical 03020106", basicConstraints: "critical 30060101ff020100", eku: timeStamping},
		{keyUsage: "critical 03020106", basicConstraints: "critical 30030101ff"},
	}
	for i, c := range chain {
		issuer := chain[min(i+1, 2)]
		want[i][keyID] = "0414" + hex.EncodeToString(c.SubjectKeyId)
		want[i][authorityKeyID] = "30168014" + hex.EncodeToString(issuer.SubjectKeyId)
		got := map[string]string{}
		for _, e := range c.Extensions {
			text := hex.EncodeToString(e.Value)
			if e.Critical {
				text = "critical " + text
			}
			got[e.Id.String()] = text
		}
		for id, text := range want[i] {
			if got[id] != text {
				t.Errorf("certificate %d: extension %s is %q, want %q", i, id, got[id], text)
			}
			delete(got, id)
		}
		if len(got) > 0 {
			t.Errorf("certificate %d: extensions %v too many", i, got)
		}
	}
}

func TestCreateLeafOptions(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	leaf, err := pki.CreateLeaf(pki.Config{
		Role: pki.RoleTSA, Subject: subject, PublicKey: c.LeafKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey,
		SerialNumber: big.NewInt(7), SignatureAlgorithm: x509.ECDSAWithSHA384,
		CRLDistributionPoints: []string{"http://crl.example/tsa.crl"}, IssuingCertificateURL: []string{"http://crl.example/ca.cer"},
	})
	if err != nil {
		t.Fatalf("CreateLeaf: %v", err)
	}
	if leaf.SerialNumber.Int64() != 7 || leaf.SignatureAlgorithm != x509.ECDSAWithSHA384 ||
		!slices.Equal(leaf.CRLDistributionPoints, []string{"http://crl.example/tsa.crl"}) || !slices.Equal(leaf.IssuingCertificateURL, []string{"http://crl.example/ca.cer"}) {
		t.Errorf("CreateLeaf: serial %v, %v, CRL %v, issuer at %v", leaf.SerialNumber, leaf.SignatureAlgorithm, leaf.CRLDistributionPoints, leaf.IssuingCertificateURL)
	}
	if _, _, ok, err := pki.PrivateKeyUsagePeriod(leaf); ok || err != nil {
		t.Errorf("PrivateKeyUsagePeriod = %t, %v without one", ok, err)
	}
	if err := pki.Check([]*x509.Certificate{leaf, c.Intermediate, c.Root}, pki.CheckOptions{Role: pki.RoleTSA}).Err(); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// TestCreateClipsDefaults: a default validity stays inside the issuer's.
func TestCreateClipsDefaults(t *testing.T) {
	now := time.Now()
	c := pkitest.TSA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = now.Add(-time.Minute), now.AddDate(1, 0, 0)
	}})
	leaf, err := pki.CreateLeaf(pki.Config{Role: pki.RoleTSA, Subject: subject, PublicKey: c.LeafKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey})
	if err != nil {
		t.Fatalf("CreateLeaf: %v", err)
	}
	if !leaf.NotBefore.Equal(c.Intermediate.NotBefore) || !leaf.NotAfter.Equal(c.Intermediate.NotAfter) {
		t.Errorf("CreateLeaf: valid from %v to %v, want the issuer's %v to %v", leaf.NotBefore, leaf.NotAfter, c.Intermediate.NotBefore, c.Intermediate.NotAfter)
	}
}

func TestCreateRefuses(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	weak := pkitest.Key(t, pkitest.RSA1024, "leaf")
	expired := pkitest.TSA(t, pkitest.Options{Intermediate: func(c *x509.Certificate) { c.NotAfter = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC) }}).Intermediate
	noKeyID := *c.Intermediate
	noKeyID.SubjectKeyId = nil
	noCertSign := *c.Intermediate
	noCertSign.KeyUsage = x509.KeyUsageCRLSign

	// names writes several names as one.
	names := func(list ...pkix.Name) []byte {
		var all pkix.RDNSequence
		for _, n := range list {
			all = append(all, n.ToRDNSequence()...)
		}
		der, err := asn1.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	leaf := func(change func(*pki.Config)) (pki.Kind, pki.Config) {
		cfg := pki.Config{Role: pki.RoleTSA, Subject: subject, PublicKey: c.LeafKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey}
		change(&cfg)
		return pki.KindLeaf, cfg
	}
	root := func(change func(*pki.Config)) (pki.Kind, pki.Config) {
		cfg := pki.Config{Role: pki.RoleTSA, Subject: subject, IssuerKey: c.RootKey}
		change(&cfg)
		return pki.KindRoot, cfg
	}
	intermediate := func(change func(*pki.Config)) (pki.Kind, pki.Config) {
		cfg := pki.Config{Role: pki.RoleTSA, Subject: subject, PublicKey: c.LeafKey.Public(), Issuer: c.Root, IssuerKey: c.RootKey}
		change(&cfg)
		return pki.KindIntermediate, cfg
	}
	for _, tt := range []struct {
		name   string
		of     func(func(*pki.Config)) (pki.Kind, pki.Config)
		change func(*pki.Config)
		says   string
	}{
		{"no role", leaf, func(c *pki.Config) { c.Role = "" }, "no role"},
		{"unknown role", leaf, func(c *pki.Config) { c.Role = "cook" }, "cook"},
		{"no common name", leaf, func(c *pki.Config) { c.Subject.CommonName = "" }, "common name"},
		{"no signing key", leaf, func(c *pki.Config) { c.IssuerKey = nil }, "no key"},
		{"no public key", leaf, func(c *pki.Config) { c.PublicKey = nil }, "no public key"},
		{"no issuer", leaf, func(c *pki.Config) { c.Issuer = nil }, "no issuer"},
		{"issuer is a leaf", leaf, func(cfg *pki.Config) { cfg.Issuer, cfg.IssuerKey = c.Leaf, c.LeafKey }, "not a CA"},
		{"issuer may not sign", leaf, func(cfg *pki.Config) { cfg.Issuer = &noCertSign }, "keyCertSign"},
		{"issuer without key identifier", leaf, func(cfg *pki.Config) { cfg.Issuer = &noKeyID }, "subjectKeyIdentifier"},
		{"issuer's key is another", leaf, func(cfg *pki.Config) { cfg.IssuerKey = c.RootKey }, "signing key"},
		{"issuer allows no CA", intermediate, func(cfg *pki.Config) { cfg.Issuer, cfg.IssuerKey = c.Intermediate, c.IntermediateKey }, "path length"},
		{"issuer's name", leaf, func(cfg *pki.Config) { cfg.Subject = c.Intermediate.Subject }, "name of the issuer"},
		{"issuer's name in other letters", leaf, func(cfg *pki.Config) {
			cfg.Subject = c.Intermediate.Subject
			cfg.Subject.CommonName = strings.ToUpper(cfg.Subject.CommonName)
		}, "name of the issuer"},
		{"issuer's own key", leaf, func(cfg *pki.Config) { cfg.PublicKey = c.IntermediateKey.Public() }, "key of the issuer"},
		{"written name that is none", leaf, func(c *pki.Config) { c.RawSubject = []byte{5, 0} }, "not a name"},
		{"written name with two common names", leaf, func(c *pki.Config) { c.RawSubject = names(pkix.Name{CommonName: "A"}, pkix.Name{CommonName: "B"}) }, "2 common names"},
		{"written name with a line break", leaf, func(c *pki.Config) { c.RawSubject = names(pkix.Name{CommonName: "A\nroot: B"}) }, "control character"},
		{"written name with a NUL", leaf, func(c *pki.Config) {
			c.RawSubject = names(pkix.Name{CommonName: "A", Organization: []string{"B\x00C"}})
		}, "control character"},
		{"issuer expired", leaf, func(cfg *pki.Config) { cfg.Issuer = expired }, "validity"},
		{"begins before issuer", leaf, func(c *pki.Config) { c.NotBefore = pkitest.NotBefore().Add(-time.Second) }, "begins"},
		{"ends after issuer", leaf, func(c *pki.Config) { c.NotAfter = pkitest.NotAfter().Add(time.Second) }, "ends"},
		{"ends before it begins", leaf, func(c *pki.Config) { c.NotBefore, c.NotAfter = at, at }, "not after it begins"},
		{"serial zero", leaf, func(c *pki.Config) { c.SerialNumber = new(big.Int) }, "serial"},
		{"serial too long", leaf, func(c *pki.Config) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 159) }, "serial"},
		{"https CRL", leaf, func(c *pki.Config) { c.CRLDistributionPoints = []string{"https://crl.example"} }, "http://"},
		{"no host", leaf, func(c *pki.Config) { c.IssuingCertificateURL = []string{"http:ca.cer"} }, "http://"},
		{"bad URL", leaf, func(c *pki.Config) { c.IssuingCertificateURL = []string{"http://[::1"} }, "parse"},
		{"weak key", leaf, func(c *pki.Config) { c.PublicKey = weak.Public() }, "RSA with 1024 bits"},
		{"foreign key", leaf, func(c *pki.Config) { c.PublicKey = "key" }, "unsupported public key"},
		{"weak root", root, func(c *pki.Config) { c.IssuerKey = weak }, "RSA with 1024 bits"},
		{"root with an issuer", root, func(cfg *pki.Config) { cfg.Issuer = c.Root }, "own issuer"},
		{"root with another key", root, func(cfg *pki.Config) { cfg.PublicKey = c.LeafKey.Public() }, "another public key"},
		{"algorithm of another key", root, func(c *pki.Config) { c.SignatureAlgorithm = x509.SHA256WithRSA }, "SignatureAlgorithm"},
		{"period in a CA", intermediate, func(c *pki.Config) { c.PrivateKeyNotAfter = at }, "for leaves"},
		{"period as long as the certificate", leaf, func(c *pki.Config) { c.NotAfter, c.PrivateKeyNotAfter = at.AddDate(9, 0, 0), at.AddDate(9, 0, 0) }, "does not end before"},
		{"period before the certificate", leaf, func(c *pki.Config) { c.NotBefore, c.PrivateKeyNotAfter = at, at.Add(-time.Second) }, "ends before it begins"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kind, cfg := tt.of(tt.change)
			create := map[pki.Kind]func(pki.Config) (*x509.Certificate, error){
				pki.KindRoot: pki.CreateRoot, pki.KindIntermediate: pki.CreateIntermediate, pki.KindLeaf: pki.CreateLeaf,
			}[kind]
			got, err := create(cfg)
			if err == nil || got != nil || !strings.HasPrefix(err.Error(), "pki: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("create = %v, %v, want an error with %q", got, err, tt.says)
			}
		})
	}
	if tmpl, err := pki.Template(0, pki.Config{Role: pki.RoleTSA}); err == nil || tmpl != nil {
		t.Errorf("Template of no kind = %v, %v", tmpl, err)
	}
	for name, change := range map[string]func(*pki.ChainConfig){
		"no name":             func(c *pki.ChainConfig) { c.Subject.CommonName = "" },
		"no intermediate key": func(c *pki.ChainConfig) { c.IntermediateKey = nil },
		"no root key":         func(c *pki.ChainConfig) { c.RootKey = nil },
		"no leaf key":         func(c *pki.ChainConfig) { c.LeafKey = nil },
		"one name for two":    func(c *pki.ChainConfig) { c.RootName, c.IntermediateName = "CA", "CA" },
	} {
		cfg := chainConfig(t, pkitest.P256)
		change(&cfg)
		if chain, err := pki.CreateChain(cfg); err == nil || chain != nil {
			t.Errorf("CreateChain with %s = %v, %v", name, chain, err)
		}
	}
}

// TestTemplate: a certificate with an extension of the caller's own.
func TestTemplate(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	tmpl, err := pki.Template(pki.KindLeaf, pki.Config{Role: pki.RoleTSA, Subject: subject, PublicKey: c.LeafKey.Public(), Issuer: c.Intermediate, IssuerKey: c.IntermediateKey})
	if err != nil {
		t.Fatalf("Template: %v", err)
	}
	// subjectInfoAccess with id-ad-timeStamping: RFC 3161, appendix D.
	sia := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 11}
	tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: sia, Value: []byte("\x30\x1f\x30\x1d\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x03\x86\x11http://tsa.example")})
	der, err := x509.CreateCertificate(nil, tmpl, c.Intermediate, tmpl.PublicKey, pkitest.Deterministic(c.IntermediateKey))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Check([]*x509.Certificate{leaf, c.Intermediate, c.Root}, pki.CheckOptions{Role: pki.RoleTSA}).Err(); err != nil {
		t.Errorf("Check: %v", err)
	}
}
