package countersign_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

func fetcher(mode revocation.Mode) *revocation.Fetcher {
	return revocation.New(revocation.Config{Mode: mode, Timeout: 5 * time.Second,
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
}

// TestRevoked: what becomes of a timestamp whose authority is revoked, or of
// whom nobody can tell, when it is made and when it is verified.
func TestRevoked(t *testing.T) {
	none := []string{}
	const revoked, unknown = verify.ReasonRevoked, verify.ReasonRevocationUnknown
	for _, test := range []struct {
		name    string
		cfg     revocationtest.Config
		prepare func(s *revocationtest.Server)
		want    verify.Reason
	}{
		{name: "good"},
		{name: "names nobody", cfg: revocationtest.Config{OCSP: none, CRL: none}},
		{name: "compromised", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, time.Now(), pki.ReasonKeyCompromise)
		}, want: revoked},
		{name: "superseded after the token", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, time.Now().Add(time.Hour), pki.ReasonSuperseded)
		}, want: revoked},
		{name: "issuer compromised", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Intermediate, time.Now(), pki.ReasonCACompromise)
		}, want: revoked},
		{name: "dead responder", cfg: revocationtest.Config{CRL: none}, prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}, want: unknown},
		{name: "dead responder, live list", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			if test.prepare != nil {
				test.prepare(s)
			}
			_, server := tsptest.Serve(t, tsptest.TSAConfig{Forge: s.Forge()})
			asks := stamper(t, s.Forge(), server.URL+"/")
			asks.Checker.Revocation = fetcher(revocation.Named)
			stamp, err := asks.Stamp(t.Context(), []byte(tsptest.Artifact), crypto.SHA256)
			if got := reasonOf(err); got != reason(test.want) {
				t.Fatalf("Stamp: %v, want reason %q", err, test.want)
			}
			var findings []revocation.Finding
			if err != nil {
				var e *countersign.Error
				errors.As(err, &e)
				findings = e.Revocation
			} else {
				findings = stamp.Revocation
			}
			if len(findings) != 2 || !findings[0].Certificate.Equal(s.Chain.Leaf) {
				t.Errorf("findings %+v, want those of leaf and issuer", findings)
			}
			token, err := s.Forge().MakeToken()
			if err != nil {
				t.Fatal(err)
			}
			c := countersign.Checker{Config: countersign.Config{Roots: []*x509.Certificate{s.Chain.Root}, Revocation: fetcher(revocation.Named)}}
			if _, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256); reasonOf(err) != reason(test.want) {
				t.Errorf("Verify: %v, want reason %q", err, test.want)
			}
		})
	}
}

// TestNobodyAsked: a token that is refused for anything else visits no address
// in its certificates.
func TestNobodyAsked(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	stranger := revocationtest.Serve(t, revocationtest.Config{Name: "Stranger"})
	for _, test := range []struct {
		name  string
		forge *tsptest.Forge
		want  countersign.Reason
	}{
		{"of a stranger", stranger.Forge(), reason(verify.ReasonUntrusted)},
		{"with a list in the token", func() *tsptest.Forge {
			f := s.Forge()
			f.Data = func(d *tsptest.DataFields) { d.CRLs = [][]byte{s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey)} }
			return f
		}(), countersign.ReasonRevocationData},
		{"of version 1", func() *tsptest.Forge {
			f := s.Forge()
			f.Data = func(d *tsptest.DataFields) { d.Version = der.AppendInt(nil, 1) }
			return f
		}(), reason(verify.ReasonSignedData)},
	} {
		token, err := test.forge.MakeToken()
		if err != nil {
			t.Fatal(err)
		}
		c := countersign.Checker{Config: countersign.Config{Roots: []*x509.Certificate{s.Chain.Root}, Revocation: fetcher(revocation.Require)}}
		if _, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256); reasonOf(err) != test.want {
			t.Errorf("%s: %v, want reason %q", test.name, err, test.want)
		}
	}
	for _, srv := range []*revocationtest.Server{s, stranger} {
		if n := srv.Requests(revocationtest.OCSP) + srv.Requests(revocationtest.LeafCRL); n != 0 {
			t.Errorf("%d requests for tokens that are refused anyway", n)
		}
	}
}

// TestRevocationCancelled: who no longer waits gets the context's error, not a
// verdict.
func TestRevocationCancelled(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	s.Handle(revocationtest.OCSP, func(http.ResponseWriter, *http.Request) { cancel() })
	token, err := s.Forge().MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	c := countersign.Checker{Config: countersign.Config{Roots: []*x509.Certificate{s.Chain.Root}, Revocation: fetcher(revocation.Named)}}
	stamp, err := c.Verify(ctx, token, []byte(tsptest.Artifact), crypto.SHA256)
	if stamp != nil || !errors.Is(err, context.Canceled) || errors.As(err, new(*countersign.Error)) {
		t.Errorf("Verify = %v, %v, want context.Canceled", stamp, err)
	}
}

// TestThousandSignatures: one authority's answers are fetched once, by however
// many goroutines.
func TestThousandSignatures(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	cfg := countersign.Config{Roots: []*x509.Certificate{s.Chain.Root}, Revocation: fetcher(revocation.Named), Cache: new(countersign.Cache)}
	token, err := s.Forge().MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for range 8 {
		go func() {
			for range 125 {
				// A checker for each signature, as statements with other stores need.
				c := countersign.Checker{Config: cfg}
				_, err := c.Verify(t.Context(), token, []byte(tsptest.Artifact), crypto.SHA256)
				errs <- err
			}
		}()
	}
	for range 1000 {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Requests(revocationtest.OCSP); n != 2 {
		t.Errorf("%d requests for 1,000 signatures, want 2", n)
	}
}
