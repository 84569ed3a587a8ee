package revocation_test

import (
	"context"
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestChain: what each mode makes of what is found out about a chain that no
// time belongs to.
func TestChain(t *testing.T) {
	const unknown, revoked = verify.ReasonRevocationUnknown, verify.ReasonRevoked
	none := []string{}
	down := func(s *revocationtest.Server, paths ...string) {
		for _, path := range paths {
			s.Handle(path, status(http.StatusServiceUnavailable))
		}
	}
	future := time.Now().Add(time.Hour)
	for _, test := range []struct {
		name                 string
		cfg                  revocationtest.Config
		prepare              func(s *revocationtest.Server)
		soft, require, named verify.Reason
		noSource             bool // of the leaf
		why                  string
	}{
		{name: "responder knows it"},
		{name: "list knows it", cfg: revocationtest.Config{OCSP: none}},
		{name: "names nobody", cfg: revocationtest.Config{OCSP: none, CRL: none}, require: unknown, noSource: true, why: "names neither"},
		{name: "nobody answers", prepare: func(s *revocationtest.Server) {
			down(s, revocationtest.OCSP, revocationtest.LeafCRL, revocationtest.IntermediateCRL)
		}, require: unknown, named: unknown, why: "HTTP status 503"},
		{name: "compromised", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, time.Now(), pki.ReasonKeyCompromise)
		}, soft: revoked, require: revoked, named: revoked, why: "keyCompromise"},
		{name: "superseded in the future", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, future, pki.ReasonSuperseded)
		}, soft: revoked, require: revoked, named: revoked, why: "superseded"},
		{name: "on hold", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, time.Now(), pki.ReasonCertificateHold)
		}, soft: revoked, require: revoked, named: revoked, why: "certificateHold"},
		{name: "issuer revoked, nothing known of the leaf", cfg: revocationtest.Config{OCSP: none}, prepare: func(s *revocationtest.Server) {
			down(s, revocationtest.LeafCRL)
			s.Revoke(s.Chain.Intermediate, time.Now(), pki.ReasonCACompromise)
		}, soft: revoked, require: revoked, named: revoked, why: "Issuing CA"},
		{name: "nothing known of the issuer", cfg: revocationtest.Config{OCSP: none}, prepare: func(s *revocationtest.Server) {
			down(s, revocationtest.IntermediateCRL)
		}, require: unknown, named: unknown, why: "Issuing CA"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			if test.prepare != nil {
				test.prepare(s)
			}
			for mode, want := range map[revocation.Mode]verify.Reason{
				revocation.Soft: test.soft, revocation.Require: test.require, revocation.Named: test.named,
			} {
				findings, err := newFetcher(mode).Chain(t.Context(), s.Chain.Certificates(), time.Now())
				if got := reasonOf(err); got != want || (err == nil) != (want == "") {
					t.Errorf("%s: Chain: %v, want reason %q", mode, err, want)
				}
				if err != nil && (!strings.Contains(err.Error(), test.why) || strings.Contains(err.Error(), "\n")) {
					t.Errorf("%s: %v, want one line about %q", mode, err, test.why)
				}
				if len(findings) != 2 || !findings[0].Certificate.Equal(s.Chain.Leaf) || !findings[1].Certificate.Equal(s.Chain.Intermediate) {
					t.Fatalf("%s: findings %+v, want those of leaf and intermediate", mode, findings)
				}
				if findings[0].NoSource != test.noSource {
					t.Errorf("%s: NoSource is %v, want %v", mode, findings[0].NoSource, test.noSource)
				}
			}
		})
	}
}

// TestNamedTimestamp: the mode means the same for the chain of a token.
func TestNamedTimestamp(t *testing.T) {
	none := []string{}
	s := revocationtest.Serve(t, revocationtest.Config{OCSP: none, CRL: none})
	if _, _, err := run(t, s, newFetcher(revocation.Named)); err != nil {
		t.Errorf("certificates that name nobody: %v", err)
	}
	s = revocationtest.Serve(t, revocationtest.Config{OCSP: none})
	s.Handle(revocationtest.LeafCRL, status(http.StatusNotFound))
	if _, _, err := run(t, s, newFetcher(revocation.Named)); reasonOf(err) != verify.ReasonRevocationUnknown {
		t.Errorf("a certificate that names a list that is gone: %v, want unknown", err)
	}
}

// TestChainBounds: a chain of one has nobody to ask about; none at all and
// endless ones are refused.
func TestChainBounds(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	f := newFetcher(revocation.Require)
	if findings, err := f.Chain(t.Context(), []*x509.Certificate{s.Chain.Root}, time.Now()); err != nil || len(findings) != 0 {
		t.Errorf("the root alone: %v, %v", findings, err)
	}
	for _, n := range []int{0, 17} {
		chain := make([]*x509.Certificate, n)
		for i := range chain {
			chain[i] = s.Chain.Root
		}
		if _, err := f.Chain(t.Context(), chain, time.Now()); err == nil {
			t.Errorf("a chain of %d certificates: no error", n)
		}
	}
}

// TestChainOnce: however many ask at the same time, each server is asked once.
func TestChainOnce(t *testing.T) {
	for _, test := range []struct {
		name  string
		cfg   revocationtest.Config
		asked map[string]int
	}{
		{"responder", revocationtest.Config{}, map[string]int{revocationtest.OCSP: 2}},
		{"lists", revocationtest.Config{OCSP: []string{}}, map[string]int{revocationtest.LeafCRL: 1, revocationtest.IntermediateCRL: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			f := newFetcher(revocation.Named)
			var group sync.WaitGroup
			for range 200 {
				group.Go(func() {
					if _, err := f.Chain(t.Context(), s.Chain.Certificates(), time.Now()); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			for path, want := range test.asked {
				if got := s.Requests(path); got != want {
					t.Errorf("%s was asked %d times for 200 chains, want %d", path, got, want)
				}
			}
		})
	}
}

// TestChainLeaderLeaves: who waits for another's question gets an answer
// although the other gives up, and may give up alone.
func TestChainLeaderLeaves(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{OCSP: []string{}})
	f := newFetcher(revocation.Require)
	ctx, leave := context.WithCancel(t.Context())
	asked, hang := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(hang) })
	var once sync.Once
	s.Handle(revocationtest.LeafCRL, func(w http.ResponseWriter, r *http.Request) {
		first := false
		once.Do(func() { first = true })
		if first {
			close(asked)
			<-hang
			return
		}
		w.Write(s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey))
	})
	leader, follower := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := f.Chain(ctx, s.Chain.Certificates(), time.Now())
		leader <- err
	}()
	<-asked
	impatient, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := f.Chain(impatient, s.Chain.Certificates(), time.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a follower without time: %v, want context.DeadlineExceeded", err)
	}
	go func() {
		_, err := f.Chain(t.Context(), s.Chain.Certificates(), time.Now())
		follower <- err
	}()
	leave()
	if err := <-leader; !errors.Is(err, context.Canceled) {
		t.Errorf("who left: %v, want context.Canceled", err)
	}
	if err := <-follower; err != nil {
		t.Errorf("who stayed: %v", err)
	}
}

// TestAcceptListsAfterExpiry: today's statement on a certificate that has
// expired proves nothing, unless one says that it shall.
func TestAcceptListsAfterExpiry(t *testing.T) {
	ended := time.Now().Add(-30 * 24 * time.Hour)
	for _, test := range []struct {
		name string
		cfg  revocationtest.Config
	}{
		{"responder", revocationtest.Config{NotAfter: ended}},
		{"list", revocationtest.Config{NotAfter: ended, OCSP: []string{}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			cfg := revocation.Config{Mode: revocation.Named, Proxy: direct, Cache: t.TempDir()}
			if _, err := revocation.New(cfg).Chain(t.Context(), s.Chain.Certificates(), time.Now()); reasonOf(err) != verify.ReasonRevocationUnknown {
				t.Errorf("strictly: %v, want unknown", err)
			}
			cfg.AcceptListsAfterExpiry = true
			for _, cached := range []bool{false, true} {
				findings, err := revocation.New(cfg).Chain(t.Context(), s.Chain.Certificates(), time.Now())
				if err != nil || findings[0].Cached != cached {
					t.Errorf("accepting them: %+v, %v; want cached %v", findings, err, cached)
				}
			}
			s.Revoke(s.Chain.Leaf, ended.Add(-time.Hour), pki.ReasonKeyCompromise)
			cfg.Cache = ""
			if _, err := revocation.New(cfg).Chain(t.Context(), s.Chain.Certificates(), time.Now()); reasonOf(err) != verify.ReasonRevoked {
				t.Errorf("revoked: %v", err)
			}
			crls, err := verify.NewCRLs(s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey))
			if err != nil {
				t.Fatal(err)
			}
			cfg.Given = verify.Evidence{crls}
			s.Release(s.Chain.Leaf)
			if _, err := revocation.New(cfg).Chain(t.Context(), s.Chain.Certificates(), time.Now()); reasonOf(err) != verify.ReasonRevoked {
				t.Errorf("revoked by the list given: %v", err)
			}
		})
	}
}

// BenchmarkChain is what a chain costs that was asked about before, with a list
// of 100,000 entries.
func BenchmarkChain(b *testing.B) {
	s := revocationtest.Serve(b, revocationtest.Config{OCSP: []string{}})
	for i := range int64(100_000) {
		other := &x509.Certificate{SerialNumber: big.NewInt(1<<40 + i)}
		s.Revoke(other, time.Now(), pki.ReasonSuperseded)
	}
	f, chain := newFetcher(revocation.Require), s.Chain.Certificates()
	ask := func() {
		if _, err := f.Chain(b.Context(), chain, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	ask()
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}
