package pki_test

import (
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/verify"
)

func TestCreateCRL(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		c := pkitest.TSA(t, pkitest.Options{Key: kind, IssuerKey: kind})
		list, err := x509.ParseRevocationList(c.CRL(t, pki.Revocation{Serial: c.Leaf.SerialNumber, Time: at, Reason: pki.ReasonSuperseded}))
		if err != nil {
			t.Fatalf("%v: %v", kind, err)
		}
		if err := list.CheckSignatureFrom(c.Intermediate); err != nil {
			t.Errorf("%v: CheckSignatureFrom: %v", kind, err)
		}
		if list.Number.Int64() != 1 || !list.ThisUpdate.Equal(pkitest.NotBefore()) || !list.NextUpdate.Equal(pkitest.NotAfter()) {
			t.Errorf("%v: number %v, from %v to %v", kind, list.Number, list.ThisUpdate, list.NextUpdate)
		}
		if e := list.RevokedCertificateEntries; len(e) != 1 || e[0].SerialNumber.Cmp(c.Leaf.SerialNumber) != 0 || !e[0].RevocationTime.Equal(at) || e[0].ReasonCode != 4 {
			t.Errorf("%v: entries %v", kind, e)
		}
	}
}

// TestCRLReasons holds that no reason and the reason unspecified are written
// differently: RFC 3161, 4.1 draws opposite conclusions from them.
func TestCRLReasons(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	for i, tt := range []struct {
		reason pki.Reason
		want   string // value of the reasonCode extension, empty for none
	}{
		{pki.ReasonNone, ""},
		{pki.ReasonUnspecified, "\x0a\x01\x00"},
		{pki.ReasonKeyCompromise, "\x0a\x01\x01"},
		{pki.ReasonCACompromise, "\x0a\x01\x02"},
		{pki.ReasonAffiliationChanged, "\x0a\x01\x03"},
		{pki.ReasonSuperseded, "\x0a\x01\x04"},
		{pki.ReasonCessationOfOperation, "\x0a\x01\x05"},
		{pki.ReasonCertificateHold, "\x0a\x01\x06"},
		{pki.ReasonPrivilegeWithdrawn, "\x0a\x01\x09"},
		{pki.ReasonAACompromise, "\x0a\x01\x0a"},
	} {
		list, err := x509.ParseRevocationList(c.CRL(t, pki.Revocation{Serial: big.NewInt(int64(i)), Time: at, Reason: tt.reason}))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range list.RevokedCertificateEntries[0].Extensions {
			if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 21}) {
				got = string(e.Value)
			}
		}
		if got != tt.want {
			t.Errorf("reason %q is written %x, want %x", tt.reason, got, tt.want)
		}
	}
}

func TestCreateCRLDefaults(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	der, err := pki.CreateCRL(pki.CRLConfig{Issuer: c.Intermediate, IssuerKey: c.IntermediateKey, Number: big.NewInt(9)})
	if err != nil {
		t.Fatalf("CreateCRL: %v", err)
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(list.ThisUpdate); age < 0 || age > time.Minute || list.NextUpdate.Sub(list.ThisUpdate) != 7*24*time.Hour || len(list.RevokedCertificateEntries) != 0 {
		t.Errorf("CreateCRL: from %v to %v with %d entries, want now, seven days, none", list.ThisUpdate, list.NextUpdate, len(list.RevokedCertificateEntries))
	}
}

// TestCreateCRLOfExpired: only a list that says so speaks of certificates that
// had ended before it was made.
func TestCreateCRLOfExpired(t *testing.T) {
	end := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	c := pkitest.TSA(t, pkitest.Options{NotAfter: end})
	for _, tt := range []struct {
		name  string
		since time.Time
		good  bool
	}{
		{"no word of them", time.Time{}, false},
		{"those from its beginning on", c.Intermediate.NotBefore, true},
		{"those from then on", end, true},
		{"later ones", end.Add(time.Second), false},
	} {
		der, err := pki.CreateCRL(pki.CRLConfig{Issuer: c.Intermediate, IssuerKey: c.IntermediateKey, Number: big.NewInt(9),
			ThisUpdate: end.AddDate(1, 0, 0), ExpiredSince: tt.since})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		list, err := verify.NewCRLs(der)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		_, err = list.CheckRevocation(verify.RevocationQuery{Certificate: c.Leaf, Issuer: c.Intermediate, Now: end.AddDate(1, 0, 1)})
		if (err == nil) != tt.good {
			t.Errorf("%s: %v, want known: %t", tt.name, err, tt.good)
		}
	}
}

func TestCreateCRLRefuses(t *testing.T) {
	c := pkitest.TSA(t, pkitest.Options{})
	one := pki.Revocation{Serial: big.NewInt(1), Time: at}
	for _, tt := range []struct {
		name   string
		change func(*pki.CRLConfig)
		says   string
	}{
		{"no issuer", func(cfg *pki.CRLConfig) { cfg.Issuer = nil }, "issuer"},
		{"no key", func(cfg *pki.CRLConfig) { cfg.IssuerKey = nil }, "no key"},
		{"other key", func(cfg *pki.CRLConfig) { cfg.IssuerKey = c.RootKey }, "signing key"},
		{"leaf as issuer", func(cfg *pki.CRLConfig) { cfg.Issuer, cfg.IssuerKey = c.Leaf, c.LeafKey }, "crlSign"},
		{"no number", func(cfg *pki.CRLConfig) { cfg.Number = nil }, "number"},
		{"negative number", func(cfg *pki.CRLConfig) { cfg.Number = big.NewInt(-1) }, "number"},
		{"long number", func(cfg *pki.CRLConfig) { cfg.Number = new(big.Int).Lsh(big.NewInt(1), 160) }, "20 octets"},
		{"ends as it begins", func(cfg *pki.CRLConfig) { cfg.ThisUpdate, cfg.NextUpdate = at, at }, "next update"},
		{"no serial", func(cfg *pki.CRLConfig) { cfg.Revoked = []pki.Revocation{{Time: at}} }, "serial"},
		{"no time", func(cfg *pki.CRLConfig) { cfg.Revoked = []pki.Revocation{{Serial: big.NewInt(1)}} }, "time"},
		{"unknown reason", func(cfg *pki.CRLConfig) {
			cfg.Revoked = []pki.Revocation{{Serial: big.NewInt(1), Time: at, Reason: "bored"}}
		}, "bored"},
		{"twice", func(cfg *pki.CRLConfig) { cfg.Revoked = []pki.Revocation{one, one} }, "revoked certificate 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := pki.CRLConfig{Issuer: c.Intermediate, IssuerKey: c.IntermediateKey, Number: big.NewInt(1)}
			tt.change(&cfg)
			der, err := pki.CreateCRL(cfg)
			if err == nil || der != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("CreateCRL = %x, %v, want an error with %q", der, err, tt.says)
			}
		})
	}
}

// TestReasonsAgree: who writes a list and who reads it have the same words and
// numbers, and draw the same line through the past.
func TestReasonsAgree(t *testing.T) {
	for _, r := range pki.Reasons() {
		c := pkitest.TSA(t, pkitest.Options{})
		list, err := x509.ParseRevocationList(c.CRL(t, pki.Revocation{Serial: big.NewInt(1), Time: at, Reason: r}))
		if err != nil {
			t.Fatal(err)
		}
		if got := verify.RevocationReason(list.RevokedCertificateEntries[0].ReasonCode).String(); got != string(r) {
			t.Errorf("reason %s is read as %s", r, got)
		}
		if got, err := pki.ParseReason(string(r)); got != r || err != nil {
			t.Errorf("ParseReason(%q) = %q, %v", r, got, err)
		}
		// RFC 3161, 4.1, 1.a
		if want := slices.Contains([]int{0, 3, 4, 5}, list.RevokedCertificateEntries[0].ReasonCode); r.KeepsEarlier() != want {
			t.Errorf("%s keeps earlier timestamps: %t, want %t", r, !want, want)
		}
	}
	if pki.ReasonNone.KeepsEarlier() {
		t.Error("no reason keeps earlier timestamps")
	}
	for _, name := range []string{"", "removeFromCRL", "KeyCompromise"} {
		if got, err := pki.ParseReason(name); got != "" || err == nil {
			t.Errorf("ParseReason(%q) = %q, %v", name, got, err)
		}
	}
}
