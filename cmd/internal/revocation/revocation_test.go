package revocation_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// direct keeps the tests off whatever proxy the environment names.
func direct(*http.Request) (*url.URL, error) { return nil, nil }

// run verifies the canned token of the server's authority.
func run(t *testing.T, s *revocationtest.Server, f *revocation.Fetcher) (*verify.Timestamp, []revocation.Finding, error) {
	t.Helper()
	token, p := s.Forge().ParsedToken(t), verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}}
	return f.Verify(t.Context(), p, func(p verify.Policy) (*verify.Timestamp, error) {
		return p.Token(token, tsptest.Request().Imprint)
	})
}

func newFetcher(mode revocation.Mode) *revocation.Fetcher {
	return revocation.New(revocation.Config{Mode: mode, Timeout: 5 * time.Second, Proxy: direct})
}

func reasonOf(err error) verify.Reason {
	var refusal *verify.Error
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func send(data []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }
}

// TestVerify: what is asked, and what comes of it in both modes.
func TestVerify(t *testing.T) {
	const unknown, voided = verify.ReasonRevocationUnknown, verify.ReasonRevoked
	none := []string{}
	hour := tsptest.Time().Add(time.Hour)
	for _, test := range []struct {
		name    string
		cfg     revocationtest.Config
		prepare func(s *revocationtest.Server)
		soft    verify.Reason
		require verify.Reason
		source  verify.RevocationSource // of what is known about the leaf
		why     string                  // in the error of require
	}{
		{name: "responder", source: verify.SourceOCSP},
		{name: "responder without a nonce", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, r *http.Request) { w.Write(s.Answer(body(r), nil)) })
		}, source: verify.SourceOCSP},
		{name: "lists", cfg: revocationtest.Config{OCSP: none}, source: verify.SourceCRL},
		{name: "neither", cfg: revocationtest.Config{OCSP: none, CRL: none}, require: unknown, why: "names neither"},
		{name: "revoked, says the responder", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, hour, pki.ReasonKeyCompromise)
		}, soft: voided, require: voided, source: verify.SourceOCSP, why: "keyCompromise"},
		{name: "revoked, says the list", cfg: revocationtest.Config{OCSP: none}, prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, hour, pki.ReasonKeyCompromise)
		}, soft: voided, require: voided, source: verify.SourceCRL, why: "keyCompromise"},
		{name: "superseded later", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, hour, pki.ReasonSuperseded)
		}, source: verify.SourceOCSP},
		{name: "superseded before", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, tsptest.Time().Add(-time.Hour), pki.ReasonSuperseded)
		}, soft: voided, require: voided, source: verify.SourceOCSP, why: "superseded"},
		{name: "intermediate revoked", prepare: func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Intermediate, hour, pki.ReasonKeyCompromise)
		}, soft: voided, require: voided, source: verify.SourceOCSP, why: "Issuing CA"},
		{name: "responder is down", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, status(http.StatusServiceUnavailable))
		}, source: verify.SourceCRL},
		{name: "responder does not know", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, send(ocsp.UnauthorizedErrorResponse))
		}, source: verify.SourceCRL},
		{name: "responder down, list revokes", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, status(http.StatusBadGateway))
			s.Revoke(s.Chain.Leaf, hour, pki.ReasonKeyCompromise)
		}, soft: voided, require: voided, source: verify.SourceCRL, why: "keyCompromise"},
		{name: "another request's answer", cfg: revocationtest.Config{CRL: none}, prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, r *http.Request) { w.Write(s.Answer(body(r), []byte{4, 1, 7})) })
		}, require: unknown, why: "nonce of another request"},
		{name: "another certificate's answer", cfg: revocationtest.Config{CRL: none}, prepare: func(s *revocationtest.Server) {
			q := verify.RevocationQuery{Certificate: s.Chain.Intermediate, Issuer: s.Chain.Root}
			s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, r *http.Request) {
				request, _ := verify.OCSPRequest(q, nil)
				w.Write(s.Answer(request, nil))
			})
		}, require: unknown, why: "no OCSP response about it"},
		{name: "both down", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, status(http.StatusServiceUnavailable))
			s.Handle(revocationtest.LeafCRL, status(http.StatusNotFound))
		}, require: unknown, why: "/leaf.crl: HTTP status 404"},
		{name: "endless response", cfg: revocationtest.Config{CRL: none}, prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, send(make([]byte, revocation.MaxOCSP+1)))
		}, require: unknown, why: "more than 65536 bytes"},
		{name: "endless list", cfg: revocationtest.Config{OCSP: none}, prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.LeafCRL, send(make([]byte, revocation.MaxCRL+1)))
		}, require: unknown, why: "more than 20971520 bytes"},
		{name: "a page instead", prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, send([]byte("<html>")))
			s.Handle(revocationtest.LeafCRL, send([]byte("<html>")))
		}, require: unknown, why: "not an OCSPResponse"},
		{name: "another issuer's list", cfg: revocationtest.Config{OCSP: none}, prepare: func(s *revocationtest.Server) {
			s.Handle(revocationtest.LeafCRL, send(s.CRL(s.Chain.Root, s.Chain.RootKey)))
		}, require: unknown, why: "no revocation list of its issuer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, test.cfg)
			if test.prepare != nil {
				test.prepare(s)
			}
			for mode, want := range map[revocation.Mode]verify.Reason{revocation.Soft: test.soft, revocation.Require: test.require} {
				ts, findings, err := run(t, s, newFetcher(mode))
				if got := reasonOf(err); got != want || (ts == nil) != (want != "") || (err == nil) != (want == "") {
					t.Errorf("%s: Verify = %v, %v, want reason %q", mode, ts, err, want)
				}
				if mode == revocation.Require && test.why != "" && !strings.Contains(fmt.Sprint(err), test.why) {
					t.Errorf("%s: %v, want something about %q", mode, err, test.why)
				}
				if err != nil && strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: the error has several lines: %v", mode, err)
				}
				if len(findings) == 0 || !findings[0].Certificate.Equal(s.Chain.Leaf) {
					t.Fatalf("%s: findings %+v", mode, findings)
				}
				leaf := findings[0]
				if (leaf.Status == nil) != (test.source == "") || (leaf.Err == nil) != (test.source != "") {
					t.Errorf("%s: finding %+v, want source %q", mode, leaf, test.source)
				} else if leaf.Status != nil && (leaf.Status.Source != test.source || !strings.HasPrefix(leaf.URL, s.URL) || leaf.Cached) {
					t.Errorf("%s: status %+v from %q, want source %q", mode, leaf.Status, leaf.URL, test.source)
				}
				if ts != nil && len(findings) != 2 {
					t.Errorf("%s: %d findings, want those of leaf and intermediate", mode, len(findings))
				}
			}
		})
	}
}

func body(r *http.Request) []byte {
	var b bytes.Buffer
	b.ReadFrom(r.Body)
	return b.Bytes()
}

// TestOnce: a certificate is asked about once, however many timestamps it made,
// and the lists of one address are fetched once.
func TestOnce(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	f := newFetcher(revocation.Require)
	for range 3 {
		if _, _, err := run(t, s, f); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Requests(revocationtest.OCSP); got != 2 {
		t.Errorf("%d OCSP requests for three tokens, want 2", got)
	}
	if got := s.Requests(revocationtest.LeafCRL); got != 0 {
		t.Errorf("%d lists fetched although the responder knows", got)
	}
}

// TestForgedTokens: nobody is asked for a token that is not the authority's, or
// not of the data.
func TestForgedTokens(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	stranger := revocationtest.Serve(t, revocationtest.Config{Name: "Stranger"})
	f := newFetcher(revocation.Require)
	for _, test := range []struct {
		name  string
		token *tsptest.Forge
		want  verify.Reason
	}{
		{"of a stranger", stranger.Forge(), verify.ReasonUntrusted},
		{"signed by another key", func() *tsptest.Forge { g := s.Forge(); g.Key = stranger.Chain.LeafKey; return g }(), verify.ReasonSignature},
	} {
		_, findings, err := f.Verify(t.Context(), verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}}, func(p verify.Policy) (*verify.Timestamp, error) {
			return p.Token(test.token.ParsedToken(t), tsptest.Request().Imprint)
		})
		if got := reasonOf(err); got != test.want || findings != nil {
			t.Errorf("%s: %v, %v, want reason %q", test.name, findings, err, test.want)
		}
	}
	for _, srv := range []*revocationtest.Server{s, stranger} {
		if n := srv.Requests(revocationtest.OCSP) + srv.Requests(revocationtest.LeafCRL); n != 0 {
			t.Errorf("%d requests for forged tokens", n)
		}
	}
}

// TestGiven: evidence at hand counts besides what is fetched.
func TestGiven(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{CRL: []string{}})
	list := func(revoked ...pki.Revocation) *verify.CRLs {
		crls, err := verify.NewCRLs(s.Chain.CRL(t, revoked...), s.CRL(s.Chain.Root, s.Chain.RootKey))
		if err != nil {
			t.Fatal(err)
		}
		return crls
	}
	cfg := revocation.Config{Mode: revocation.Require, Proxy: direct, Given: verify.Evidence{list()}}
	s.Handle(revocationtest.OCSP, status(http.StatusServiceUnavailable))
	_, findings, err := run(t, s, revocation.New(cfg))
	if err != nil || findings[0].URL != "" || len(findings[0].Failed) != 1 {
		t.Errorf("the responder down, a list given: %+v, %v", findings, err)
	}
	s.Handle(revocationtest.OCSP, nil)
	cfg.Given = verify.Evidence{list(pki.Revocation{Serial: s.Chain.Leaf.SerialNumber, Time: tsptest.Time(), Reason: pki.ReasonKeyCompromise})}
	if _, _, err = run(t, s, revocation.New(cfg)); reasonOf(err) != verify.ReasonRevoked {
		t.Errorf("good by the responder, revoked by the list given: %v", err)
	}
}

// TestCancelled: who no longer waits gets no verdict.
func TestCancelled(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, path := range []string{revocationtest.OCSP, revocationtest.LeafCRL} {
		s.Handle(path, func(http.ResponseWriter, *http.Request) { cancel(); <-hang })
	}
	token := s.Forge().ParsedToken(t)
	ts, _, err := newFetcher(revocation.Soft).Verify(ctx, verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}}, func(p verify.Policy) (*verify.Timestamp, error) {
		return p.Token(token, tsptest.Request().Imprint)
	})
	if ts != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Verify = %v, %v, want context.Canceled", ts, err)
	}
}

// TestTimeout: a server that does not answer costs so much time and no more.
func TestTimeout(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, path := range []string{revocationtest.OCSP, revocationtest.LeafCRL, revocationtest.IntermediateCRL} {
		s.Handle(path, func(http.ResponseWriter, *http.Request) { <-hang })
	}
	f := revocation.New(revocation.Config{Mode: revocation.Require, Timeout: 50 * time.Millisecond, Proxy: direct})
	if _, _, err := run(t, s, f); reasonOf(err) != verify.ReasonRevocationUnknown || !strings.Contains(err.Error(), "Timeout") {
		t.Errorf("Verify: %v, want unknown for a timeout", err)
	}
}

// TestCrossCertified: of two chains, the one that is not revoked counts,
// whichever is tried first.
func TestCrossCertified(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second bool
		want          verify.Reason
	}{
		{name: "neither"},
		{name: "first", first: true},
		{name: "second", second: true},
		{name: "both", first: true, second: true, want: verify.ReasonRevoked},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := revocationtest.Serve(t, revocationtest.Config{OCSP: []string{}})
			cross := *s.Chain.Intermediate
			cross.SerialNumber = big.NewInt(4711)
			cross.Extensions = nil
			raw, err := x509.CreateCertificate(nil, &cross, s.Chain.Root, s.Chain.IntermediateKey.Public(), s.Chain.RootKey)
			if err != nil {
				t.Fatal(err)
			}
			second, err := x509.ParseCertificate(raw)
			if err != nil {
				t.Fatal(err)
			}
			good := []*x509.Certificate{s.Chain.Intermediate, second}
			if test.second {
				s.Revoke(second, tsptest.Time(), pki.ReasonKeyCompromise)
				good = good[:1]
			}
			if test.first {
				s.Revoke(s.Chain.Intermediate, tsptest.Time(), pki.ReasonKeyCompromise)
				good = good[1:]
			}
			p := verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}, Intermediates: []*x509.Certificate{second}}
			token := s.Forge().ParsedToken(t)
			ts, findings, err := newFetcher(revocation.Require).Verify(t.Context(), p, func(p verify.Policy) (*verify.Timestamp, error) {
				return p.Token(token, tsptest.Request().Imprint)
			})
			if got := reasonOf(err); got != test.want || (ts == nil) != (test.want != "") {
				t.Fatalf("Verify = %v, %v, want reason %q", ts, err, test.want)
			}
			if ts == nil {
				return
			}
			if !slices.ContainsFunc(good, ts.Chain[1].Equal) || len(findings) != 2 || !findings[1].Certificate.Equal(ts.Chain[1]) {
				t.Errorf("the chain by %v, with findings %+v", ts.Chain[1].SerialNumber, findings)
			}
		})
	}
}

// TestManyAddresses: so many of a kind are tried, and no more.
func TestManyAddresses(t *testing.T) {
	var paths, urls []string
	list := func(s *revocationtest.Server) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Write(s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey))
		}
	}
	// The addresses are those of another server, which is there before the
	// certificates are.
	lists := revocationtest.Serve(t, revocationtest.Config{Name: "Lists"})
	for i := range 5 {
		paths = append(paths, fmt.Sprintf("/%d.crl", i))
		urls = append(urls, lists.URL+paths[i])
	}
	s := revocationtest.Serve(t, revocationtest.Config{OCSP: []string{}, CRL: urls})
	for _, path := range paths[3:] {
		lists.Handle(path, list(s))
	}
	_, findings, err := run(t, s, newFetcher(revocation.Require))
	if reasonOf(err) != verify.ReasonRevocationUnknown || !strings.Contains(err.Error(), "2 more addresses are not tried") || lists.Requests(paths[3]) != 0 {
		t.Errorf("the fourth address would have known: %v", err)
	}
	if len(findings) == 0 || len(findings[0].Failed) != 4 {
		t.Errorf("findings %+v, want three failures and what was left out", findings)
	}
	lists.Handle(paths[2], list(s))
	_, findings, err = run(t, s, newFetcher(revocation.Soft))
	if err != nil || findings[0].Status == nil || findings[0].URL != urls[2] {
		t.Errorf("the third address knows: %+v, %v", findings, err)
	}
	if got := lists.Requests(paths[0]); got != 2 { // one for each run, although both certificates name it
		t.Errorf("the first address was asked %d times, want 2", got)
	}
}

// TestCache: what is kept, for how long, and that it is believed no further
// than it proves.
func TestCache(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	dir := filepath.Join(t.TempDir(), "a", "b")
	again := func() (int, []revocation.Finding, error) {
		t.Helper()
		before := s.Requests(revocationtest.OCSP)
		f := revocation.New(revocation.Config{Mode: revocation.Require, Cache: dir, Proxy: direct, Warn: func(err error) { t.Error(err) }})
		_, findings, err := run(t, s, f)
		return s.Requests(revocationtest.OCSP) - before, findings, err
	}
	each := func(change func(name string)) {
		t.Helper()
		names, err := filepath.Glob(dir + "/*")
		if err != nil || len(names) != 2 {
			t.Fatalf("the cache has %v, %v, want two files", names, err)
		}
		for _, name := range names {
			change(name)
		}
	}
	expect := func(what string, requests int, cached bool) {
		t.Helper()
		n, findings, err := again()
		if err != nil || n != requests || len(findings) != 2 || findings[0].Cached != cached {
			t.Errorf("%s: %d requests, findings %+v, %v; want %d requests, cached %v", what, n, findings, err, requests, cached)
		}
	}
	expect("empty", 2, false)
	each(func(name string) {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st.Mode(), err)
		}
	})
	expect("full", 0, true)
	each(func(name string) { os.Truncate(name, 100) })
	expect("damaged", 2, false)
	expect("mended", 0, true)
	each(func(name string) { os.WriteFile(name, make([]byte, revocation.MaxOCSP+1), 0o600) })
	expect("grown", 2, false)
	yesterday := time.Now().Add(-25 * time.Hour)
	each(func(name string) { os.Chtimes(name, yesterday, yesterday) })
	expect("of yesterday", 2, false)
	tomorrow := time.Now().Add(25 * time.Hour)
	each(func(name string) { os.Chtimes(name, tomorrow, tomorrow) })
	expect("of tomorrow", 2, false)

	// One certificate's answer in the place of the other's proves nothing.
	names, _ := filepath.Glob(dir + "/*")
	os.Rename(names[0], names[0]+"x")
	os.Rename(names[1], names[0])
	os.Rename(names[0]+"x", names[1])
	expect("swapped", 2, false)

	// A revocation that came since is seen when the cache is not used.
	s.Revoke(s.Chain.Leaf, tsptest.Time(), pki.ReasonKeyCompromise)
	expect("for as long as the statement holds", 0, true)
	if _, _, err := run(t, s, newFetcher(revocation.Require)); reasonOf(err) != verify.ReasonRevoked {
		t.Errorf("without the cache: %v, want revoked", err)
	}
	each(func(name string) { os.Chtimes(name, yesterday, yesterday) })
	if _, _, err := again(); reasonOf(err) != verify.ReasonRevoked {
		t.Errorf("with an old cache: %v, want revoked", err)
	}
	s.Handle(revocationtest.OCSP, status(http.StatusNotFound))
	s.Handle(revocationtest.LeafCRL, status(http.StatusNotFound))
	each(func(name string) { os.Chtimes(name, yesterday, yesterday) })
	if _, _, err := again(); reasonOf(err) != verify.ReasonRevoked {
		t.Errorf("nothing but an old cache: %v, want revoked", err)
	}
}

// TestCacheStale: what is stale by the clock of the verification is asked
// again.
func TestCacheStale(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	cfg := revocation.Config{Mode: revocation.Require, Cache: t.TempDir(), Proxy: direct}
	s.Revoke(s.Chain.Leaf, tsptest.Time(), pki.ReasonCertificateHold)
	for range 2 {
		if _, _, err := run(t, s, revocation.New(cfg)); reasonOf(err) != verify.ReasonRevoked {
			t.Fatal(err)
		}
	}
	s.Release(s.Chain.Leaf)
	token, p := s.Forge().ParsedToken(t), verify.Policy{Roots: []*x509.Certificate{s.Chain.Root}}
	p.Now = func() time.Time { return time.Now().Add(13 * time.Hour) } // responses are good for 12
	later := func() ([]revocation.Finding, error) {
		_, findings, err := revocation.New(cfg).Verify(t.Context(), p, func(p verify.Policy) (*verify.Timestamp, error) {
			return p.Token(token, tsptest.Request().Imprint)
		})
		return findings, err
	}
	// The list is older than the hold, which stays until something newer lifts it.
	if _, err := later(); reasonOf(err) != verify.ReasonRevoked {
		t.Errorf("13 hours later: %v, want revoked", err)
	}
	if got := s.Requests(revocationtest.OCSP); got != 4 {
		t.Errorf("13 hours later: %d requests in all, want 4", got)
	}
	cfg.Cache = ""
	findings, err := later()
	if err != nil || findings[0].Status.Source != verify.SourceCRL {
		t.Errorf("13 hours later, without the cache: %+v, %v, want a list to fall back on", findings, err)
	}
}

// TestCacheKeepsOut: what proves nothing is not kept, nor what holds for the
// moment only.
func TestCacheKeepsOut(t *testing.T) {
	dir := t.TempDir()
	momentary := revocationtest.Serve(t, revocationtest.Config{Momentary: true})
	if _, findings, err := run(t, momentary, revocation.New(revocation.Config{Mode: revocation.Require, Cache: dir, Proxy: direct})); err != nil || !findings[0].Status.NextUpdate.IsZero() {
		t.Errorf("a response without nextUpdate: %+v, %v", findings, err)
	}
	s := revocationtest.Serve(t, revocationtest.Config{OCSP: []string{}})
	s.Handle(revocationtest.LeafCRL, send(s.CRL(s.Chain.Root, s.Chain.RootKey)))
	s.Handle(revocationtest.IntermediateCRL, send([]byte("<html>")))
	f := revocation.New(revocation.Config{Cache: dir, Proxy: direct})
	if _, _, err := run(t, s, f); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(dir + "/*"); len(names) != 0 {
		t.Errorf("the cache keeps %v", names)
	}
}

// TestCacheCannotBeWritten: the answer is the same, with a warning.
func TestCacheCannotBeWritten(t *testing.T) {
	s := revocationtest.Serve(t, revocationtest.Config{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var warnings []error
	f := revocation.New(revocation.Config{Mode: revocation.Require, Cache: filepath.Join(file, "below"), Proxy: direct,
		Warn: func(err error) { warnings = append(warnings, err) }})
	if _, _, err := run(t, s, f); err != nil {
		t.Errorf("Verify: %v", err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Error(), file) {
		t.Errorf("warnings %v, want one that names %s", warnings, file)
	}
}
