package countersign_test

import (
	"crypto"
	"crypto/x509"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// FuzzVerify: nothing is accepted that Notation refuses, and the cache, which
// by then has the chain, changes no verdict.
func FuzzVerify(f *testing.F) {
	for _, v := range tsptest.Variants() {
		if v.Options.Key == pkitest.P256 {
			f.Add(v.Token(f))
		}
	}
	forge := tsptest.NewForge(f, pkitest.Options{})
	root, err := forge.Root()
	if err != nil {
		f.Fatal(err)
	}
	roots, cache := []*x509.Certificate{root}, new(countersign.Cache)
	f.Fuzz(func(t *testing.T, token []byte) {
		var first countersign.Reason
		for i, cache := range []*countersign.Cache{nil, cache} {
			c := countersign.Checker{Config: countersign.Config{Roots: roots, Now: now, Cache: cache}}
			stamp, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256)
			if (stamp == nil) != (err != nil) {
				t.Fatalf("Verify = %v, %v", stamp, err)
			}
			if err == nil {
				if theirs := notation(token, roots); theirs != nil {
					t.Fatalf("accepted, Notation refuses: %v", theirs)
				}
				if theirs := notation(stamp.Token.Raw, roots); theirs != nil {
					t.Fatalf("accepted, Notation refuses its DER: %v", theirs)
				}
			}
			if i == 0 {
				first = reasonOf(err)
			} else if got := reasonOf(err); got != first {
				t.Fatalf("with a cache %v, without %q", err, first)
			}
		}
	})
}
