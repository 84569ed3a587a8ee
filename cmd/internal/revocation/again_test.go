package revocation_test

import (
	"context"
	"crypto/x509"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestAnswerEnds: what a Fetcher was told is worth no more than it says, also
// while the same Fetcher lives on.
func TestAnswerEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  revocationtest.Config
		end  time.Duration
	}{
		{"responder", revocationtest.Config{}, 13 * time.Hour},
		{"responder that does not say until when", revocationtest.Config{Momentary: true}, 11 * time.Minute},
		{"list", revocationtest.Config{OCSP: []string{}}, 8 * 24 * time.Hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			f := newFetcher(revocation.Require)
			if _, _, err := run(t, s, f); err != nil {
				t.Fatal(err)
			}
			token, p := s.Forge().ParsedToken(t), verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}}
			p.Now = func() time.Time { return time.Now().Add(test.end) }
			_, findings, err := f.Verify(t.Context(), p, func(p verify.Policy) (*verify.Timestamp, error) {
				return p.Token(token, tsptest.Request().Imprint)
			})
			if reasonOf(err) != verify.ReasonRevocationUnknown {
				t.Errorf("%v later: %v, want unknown", test.end, err)
			}
			for _, found := range findings {
				if found.Status == nil && found.Err == nil {
					t.Errorf("%v later: nothing is known of %s, and no error says why", test.end, found.Certificate.Subject)
				}
			}
		})
	}
}

// TestAfterCancelled: that one caller no longer waited is no answer to the next.
func TestAfterCancelled(t *testing.T) {
	for _, cfg := range []revocationtest.Config{{}, {OCSP: []string{}}} {
		s := revocationtest.Serve(t, cfg)
		f := newFetcher(revocation.Require)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		token := s.Forge().ParsedToken(t)
		decide := func(p verify.Policy) (*verify.Timestamp, error) { return p.Token(token, tsptest.Request().Imprint) }
		if _, _, err := f.Verify(ctx, verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}}, decide); err == nil {
			t.Fatal("Verify with a context that has ended: no error")
		}
		if _, _, err := run(t, s, f); err != nil {
			t.Errorf("%+v: after a cancelled Verify: %v", cfg, err)
		}
	}
}

// TestCacheReplay: an old answer that is sent again takes no revocation back
// that is in the cache.
func TestCacheReplay(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  revocationtest.Config
		path string
	}{
		{"responder", revocationtest.Config{CRL: []string{}}, revocationtest.OCSP},
		{"list", revocationtest.Config{OCSP: []string{}}, revocationtest.LeafCRL},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			old := s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey)
			if test.path == revocationtest.OCSP {
				request, err := verify.OCSPRequest(verify.RevocationQuery{Certificate: s.Chain.Leaf, Issuer: s.Chain.Intermediate}, nil)
				if err != nil {
					t.Fatal(err)
				}
				old = s.Answer(request, nil)
			}
			cfg := revocation.Config{Mode: revocation.Soft, Cache: t.TempDir(), Proxy: direct}
			age := func() {
				yesterday := time.Now().Add(-25 * time.Hour)
				names, _ := filepath.Glob(cfg.Cache + "/*")
				for _, name := range names {
					os.Chtimes(name, yesterday, yesterday)
				}
			}
			s.Revoke(s.Chain.Leaf, tsptest.Time(), pki.ReasonKeyCompromise)
			if _, _, err := run(t, s, revocation.New(cfg)); reasonOf(err) != verify.ReasonRevoked {
				t.Fatalf("at first: %v, want revoked", err)
			}
			s.Handle(test.path, func(w http.ResponseWriter, _ *http.Request) { w.Write(old) })
			for range 2 { // the second time with what the first has left in the cache
				age()
				if _, _, err := run(t, s, revocation.New(cfg)); reasonOf(err) != verify.ReasonRevoked {
					t.Errorf("with the old answer: %v, want revoked", err)
				}
			}
		})
	}
}

// TestCacheOfBoth: those who accept lists after expiry leave in the cache what
// those need who do not.
func TestCacheOfBoth(t *testing.T) {
	ended := time.Now().Add(-2 * time.Hour)
	s := revocationtest.Serve(t, revocationtest.Config{NotAfter: ended, OCSP: []string{}})
	before, err := pki.CreateCRL(pki.CRLConfig{Issuer: s.Chain.Intermediate, IssuerKey: s.Chain.IntermediateKey, Number: big.NewInt(1),
		ThisUpdate: ended.Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	s.Handle(revocationtest.LeafCRL, send(before))
	cfg := revocation.Config{Mode: revocation.Named, Proxy: direct, Cache: t.TempDir()}
	for _, accept := range []bool{false, true, false} {
		cfg.AcceptListsAfterExpiry = accept
		if _, err := revocation.New(cfg).Chain(t.Context(), s.Chain.Certificates(), time.Now()); err != nil {
			t.Errorf("accepting lists after expiry, %v: %v", accept, err)
		}
		s.Handle(revocationtest.LeafCRL, send(s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey)))
		yesterday := time.Now().Add(-25 * time.Hour)
		names, err := filepath.Glob(cfg.Cache + "/*")
		if err != nil || len(names) != 2 {
			t.Fatalf("%v are in the cache, %v", names, err)
		}
		for _, name := range names {
			if err := os.Chtimes(name, yesterday, yesterday); err != nil {
				t.Fatal(err)
			}
		}
	}
}
