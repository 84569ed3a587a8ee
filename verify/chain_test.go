package verify_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestYearOne: the zero time.Time means "now" to crypto/x509. A token of that
// moment must not have its chain verified at another one, nor an error about
// the wrong moment be taken for none.
func TestYearOne(t *testing.T) {
	first := func(c *x509.Certificate) { c.NotBefore = time.Time{} }
	only := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Time{}, time.Time{}.AddDate(1, 0, 0) }
	trusted := policyFor(t, tsptest.NewForge(t, pkitest.Options{}))
	tests := []struct {
		name    string
		options pkitest.Options
	}{
		{"the leaf alone begins then", pkitest.Options{Leaf: first}},
		{"all begin then", pkitest.Options{Leaf: first, Intermediate: first, Root: first}},
		{"a leaf of that year, issued by nobody that is trusted", pkitest.Options{Name: "Stranger", Leaf: only}},
		{"a leaf of that year", pkitest.Options{Leaf: only}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := tsptest.NewForge(t, tt.options)
			f.Info = func(i *tsptest.InfoFields) { i.GenTime = der.Make(der.TagGeneralizedTime, []byte("00010101000000Z")) }
			p := trusted
			if tt.options.Root != nil {
				p = policyFor(t, f)
			}
			check(t, p, f, verify.ReasonValidity)
			p.Cache = new(verify.ChainCache)
			check(t, p, f, verify.ReasonValidity)
			if tt.options.Root != nil {
				g := *f
				g.Info = nil
				check(t, p, &g, "") // now the chain is remembered
				check(t, p, f, verify.ReasonValidity)
			}
		})
	}
}

// TestChainKeepsNoToken: certificates outlive the token that they came in, in
// a cache above all, and do not keep its bytes alive.
func TestChainKeepsNoToken(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	f.Signer = func(s *tsptest.SignerFields) {
		s.UnsignedAttributes = der.Make(der.Context(1), tsptest.Attribute("\x2a\x03", der.Make(der.TagOctetString, make([]byte, 1<<20))))
	}
	stamp := check(t, policyFor(t, f), f, "")
	for i, cert := range stamp.Chain {
		if got, most := cap(cert.Raw), 2*len(cert.Raw); got > most {
			t.Errorf("certificate %d of %d bytes keeps %d", i, len(cert.Raw), got)
		}
	}
}

// TestPEMHeaders: a revocation list in PEM has none, but may have text before
// all but the first.
func TestPEMHeaders(t *testing.T) {
	list := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: pkitest.TSA(t, pkitest.Options{}).CRL(t)})
	if _, err := verify.NewCRLs(slices.Concat(list, []byte("Issuer: CN=Test\n"), list)); err != nil {
		t.Errorf("two lists with text between them: %v", err)
	}
	headed := bytes.Replace(list, []byte("\n"), []byte("\na: b\n\n"), 1)
	for name, data := range map[string][]byte{"a header": headed, "a header in the second": slices.Concat(list, headed)} {
		if _, err := verify.NewCRLs(data); err == nil || !strings.Contains(err.Error(), "headers") {
			t.Errorf("%s: NewCRLs = %v, want an error about headers", name, err)
		}
	}
}

// TestLongNames: a certificate whose subject has thousands of parts costs no
// more to speak of than to verify.
func TestLongNames(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{Leaf: func(c *x509.Certificate) {
		for i := range 4500 {
			c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: []int{1, 2, 3}, Value: strconv.Itoa(i)})
		}
	}})
	check(t, policyFor(t, f), f, "")
	token := f.ParsedToken(t)
	stranger := policyFor(t, tsptest.NewForge(t, pkitest.Options{Name: "Stranger"}))
	var err error
	cost := allocated(func() { _, err = stranger.Token(token, tsptest.Request().Imprint) })
	if reasonOf(err) != verify.ReasonUntrusted || cost > 10<<20 || len(err.Error()) > 2000 {
		t.Errorf("refusing it cost %d KiB: %.200v", cost>>10, err)
	}
}

// TestLintFollowsOneAttribute: following each of many signingCertificateV2
// attributes through a bag of certificates would take seconds.
func TestLintFollowsOneAttribute(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{Leaf: func(c *x509.Certificate) { c.KeyUsage = 0 }})
	remarked := func() bool {
		return slices.ContainsFunc(verify.Lint(f.ParsedToken(t)), func(r verify.Remark) bool { return r.ID == "key-usage-missing" })
	}
	if !remarked() {
		t.Error("the signer's certificate was not found")
	}
	f.Unsorted = true
	f.Signed = func(attributes [][]byte) [][]byte {
		nobody := tsptest.SigningCertificate(tsptest.ESSCertID{Certificate: f.Chain[0], Digest: make([]byte, 32)})
		return append([][]byte{tsptest.Attribute(oid.SigningCertificateV2, nobody)}, attributes...)
	}
	if remarked() {
		t.Error("a second attribute was followed")
	}
}
