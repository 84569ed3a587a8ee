package verify_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
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
		})
	}
}
