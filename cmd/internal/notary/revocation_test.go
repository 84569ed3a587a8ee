package notary_test

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/verify"
)

// asking is a fetcher as the commands have it, without a cache.
func asking(change func(*revocation.Config)) *revocation.Fetcher {
	cfg := revocation.Config{Mode: revocation.Named, AcceptListsAfterExpiry: true, Timeout: 20 * time.Second}
	if change != nil {
		change(&cfg)
	}
	return revocation.New(cfg)
}

// online is a scene that trusts a responder's chain and a server's authority.
func online(r *responder, s *revocationtest.Server, fetcher *revocation.Fetcher) scene {
	stores := map[string][]*x509.Certificate{"ca/app": {r.chain[len(r.chain)-1]}}
	if s != nil {
		stores["tsa/stamps"] = []*x509.Certificate{s.Chain.Root}
	}
	return scene{now: time.Now(), stores: stores, fetcher: fetcher}
}

// dead is the address of a server that is gone.
const dead = "http://127.0.0.1:1/"

// TestSignerRevoked: what is found out about the signing chain, and what comes
// of it under each level and override.
func TestSignerRevoked(t *testing.T) {
	fails := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", status) }
	}
	says := func(raw []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(raw) }
	}
	for _, row := range []struct {
		name      string
		ocsp, crl bool
		change    func(*responder)
		asking    func(*revocation.Config)
		want      string
	}{
		{"no source", false, false, nil, nil, "P"},
		{"no source, offline", false, false, nil, func(c *revocation.Config) { c.Offline = true }, "P"},
		{"good by OCSP", true, false, nil, nil, "P"},
		{"good by list", false, true, nil, nil, "P"},
		{"leaf revoked by OCSP", true, true, func(r *responder) { r.revoked[0] = true }, nil, "F:revoked"},
		{"leaf revoked by list", false, true, func(r *responder) { r.revoked[0] = true }, nil, "F:revoked"},
		{"intermediate revoked by OCSP", true, false, func(r *responder) { r.revoked[1] = true }, nil, "F:revoked"},
		{"intermediate revoked by list", false, true, func(r *responder) { r.revoked[1] = true }, nil, "F:revoked"},
		{"responder out of order", true, false, func(r *responder) { r.ocsp = fails(500) }, nil, "U:revocation-unknown"},
		{"responder out of order, good by list", true, true, func(r *responder) { r.ocsp = fails(500) }, nil, "P"},
		{"responder out of order, revoked by list", true, true, func(r *responder) { r.ocsp, r.revoked[0] = fails(500), true }, nil, "F:revoked"},
		{"responder does not know", true, false, func(r *responder) { r.ocsp = says(ocsp.UnauthorizedErrorResponse) }, nil, "U:revocation-unknown"},
		{"responder talks garbage", true, false, func(r *responder) { r.ocsp = says([]byte("garbage")) }, nil, "U:revocation-unknown"},
		{"responder is empty", true, false, func(r *responder) { r.ocsp = says(nil) }, nil, "U:revocation-unknown"},
		{"list not found", false, true, func(r *responder) { r.crl = fails(404) }, nil, "U:revocation-unknown"},
		{"both out of order", true, true, func(r *responder) { r.ocsp, r.crl = fails(503), fails(503) }, nil, "U:revocation-unknown"},
		{"list of somebody else", false, true, func(r *responder) {
			r.crl = says(revocationtest.Serve(r.t, revocationtest.Config{Name: "Else"}).Chain.CRL(r.t))
		}, nil, "U:revocation-unknown"},
		{"offline", true, true, nil, func(c *revocation.Config) { c.Offline = true }, "U:revocation-unknown"},
		{"too slow", true, false, func(r *responder) {
			r.ocsp = func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
		}, func(c *revocation.Config) { c.Timeout = 50 * time.Millisecond }, "U:revocation-unknown"},
		// That one is revoked is a verdict, whatever is unknown of another.
		{"leaf unknown, intermediate revoked", false, true, func(r *responder) {
			list := r.list
			r.revoked[1] = true
			r.crl = func(w http.ResponseWriter, req *http.Request) {
				if strings.HasPrefix(req.URL.Path, "/0") {
					fails(500)(w, req)
					return
				}
				w.Write(list(1))
			}
		}, nil, "F:revoked"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := serveResponder(t, "Revoked", row.ocsp, row.crl)
			if row.change != nil {
				r.with(row.change)
			}
			v := online(r, nil, asking(row.asking)).verifier(t)
			e := draft{by: r.by}.parse(t, envelope.COSE)
			for _, p := range []struct {
				level    trustpolicy.Level
				override string
				before   string // what comes before
				action   string
			}{
				{trustpolicy.LevelStrict, "", "eP eP eP eP eP ", "e"},
				{trustpolicy.LevelStrict, "log", "eP eP eP eP eP ", "l"},
				{trustpolicy.LevelStrict, "skip", "eP eP eP eP eP ", "s"},
				{trustpolicy.LevelPermissive, "", "eP eP eP lP lP ", "l"},
				{trustpolicy.LevelPermissive, "enforce", "eP eP eP lP lP ", "e"},
				{trustpolicy.LevelAudit, "", "eP lP lP lP lP ", "l"},
				{trustpolicy.LevelAudit, "enforce", "eP lP lP lP lP ", "e"},
				{trustpolicy.LevelAudit, "skip", "eP lP lP lP lP ", "s"},
			} {
				asked := policy{level: p.level, stores: []string{"ca:app"}}
				if p.override != "" {
					asked.override = map[string]string{"revocation": p.override}
				}
				o := judge(t, v, e, asked.statement(t), wanting())
				want := p.before + p.action + row.want + " eP eP eP verified"
				switch {
				case p.action == "s":
					want = p.before + "sS eP eP eP verified"
				case p.action == "e" && row.want == "F:revoked":
					want = p.before + "eF:revoked e- e- e- refused"
				case p.action == "e" && row.want != "P":
					want = p.before + "e" + row.want + " e- e- e- undecided"
				}
				if got := summary(o); got != want {
					t.Errorf("%s, override %q:\n got %s\nwant %s%s", p.level, p.override, got, want, explain(o))
				}
				if p.action != "s" && len(o.Findings) != 2 {
					t.Errorf("%s: %d findings, want 2", p.level, len(o.Findings))
				}
			}
		})
	}
}

// TestNobodyIsAsked: an address in a chain that is not trusted, or of a
// signature that is worth nothing anyway, is not visited.
func TestNobodyIsAsked(t *testing.T) {
	for _, row := range []struct {
		name   string
		stores []string
		bend   func(*parts)
		level  trustpolicy.Level
	}{
		{"another root", []string{"ca:other"}, nil, trustpolicy.LevelStrict},
		{"another root, audit", []string{"ca:other"}, nil, trustpolicy.LevelAudit},
		{"altered", []string{"ca:app"}, func(p *parts) { p.signature = flip(p.signature) }, trustpolicy.LevelAudit},
	} {
		r := serveResponder(t, "Unasked", true, true)
		s := online(r, nil, asking(nil))
		s.stores["ca/other"] = []*x509.Certificate{root(t, notarytest.Options{})}
		d := draft{by: r.by}
		if row.bend != nil {
			d.bend = bend(row.bend)
		}
		judge(t, s.verifier(t), d.parse(t, envelope.JWS), policy{level: row.level, stores: row.stores}.statement(t), wanting())
		if n := r.requests(ocspPath) + r.requests("/0"+crlPath); n != 0 {
			t.Errorf("%s: %d requests, want none", row.name, n)
		}
	}
}

// TestAuthorityRevoked: the chain of the timestamp authority belongs to the
// check of the timestamp, and override.revocation does not touch it.
func TestAuthorityRevoked(t *testing.T) {
	for _, row := range []struct {
		name   string
		cfg    revocationtest.Config
		change func(*revocationtest.Server)
		want   string
	}{
		{"no source", revocationtest.Config{OCSP: []string{}, CRL: []string{}}, nil, "P"},
		{"good", revocationtest.Config{}, nil, "P"},
		{"leaf revoked", revocationtest.Config{}, func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Leaf, time.Now().Add(-time.Minute), pki.ReasonSuperseded)
		}, "F:revoked"},
		{"intermediate revoked", revocationtest.Config{OCSP: []string{}}, func(s *revocationtest.Server) {
			s.Revoke(s.Chain.Intermediate, time.Now().Add(-time.Minute), pki.ReasonKeyCompromise)
		}, "F:revoked"},
		{"dead responder, good by list", revocationtest.Config{OCSP: []string{dead}}, nil, "P"},
		{"dead responder and no list", revocationtest.Config{OCSP: []string{dead}, CRL: []string{}}, nil, "U:revocation-unknown"},
		{"both dead", revocationtest.Config{OCSP: []string{dead}, CRL: []string{dead}}, nil, "U:revocation-unknown"},
		{"responder out of order and no list", revocationtest.Config{CRL: []string{}}, func(s *revocationtest.Server) {
			s.Handle(revocationtest.OCSP, func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "out of order", http.StatusServiceUnavailable)
			})
		}, "U:revocation-unknown"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := revocationtest.Serve(t, row.cfg)
			if row.change != nil {
				row.change(s)
			}
			r := serveResponder(t, "Authority", false, false)
			v := online(r, s, asking(nil)).verifier(t)
			e := draft{by: r.by, stamped: time.Now().Add(-time.Hour), tsa: s.Forge()}.parse(t, envelope.JWS)
			for _, override := range []map[string]string{nil, {"revocation": "skip"}, {"revocation": "log"}, {"authenticTimestamp": "log"}, {"authenticTimestamp": "log", "revocation": "enforce"}} {
				o := judge(t, v, e, policy{override: override}.statement(t), wanting())
				result := "eP"
				switch override["revocation"] {
				case "skip":
					result = "sS"
				case "log":
					result = "lP"
				}
				want := "eP eP eP eP e" + row.want + " " + result + " eP eP eP verified"
				switch {
				case override["authenticTimestamp"] == "log":
					want = "eP eP eP eP l" + row.want + " eP eP eP eP verified"
				case row.want == "F:revoked":
					want = "eP eP eP eP eF:revoked " + result[:1] + "- e- e- e- refused"
				case row.want != "P":
					want = "eP eP eP eP e" + row.want + " " + result[:1] + "- e- e- e- undecided"
				}
				if got := summary(o); got != want {
					t.Errorf("override %v:\n got %s\nwant %s%s", override, got, want, explain(o))
				}
			}
		})
	}
}

// TestGivenLists: lists at hand do without a network.
func TestGivenLists(t *testing.T) {
	r := serveResponder(t, "Given", true, true)
	dir := t.TempDir()
	var files []string
	for i, form := range []string{"DER", "PEM"} {
		raw := r.list(i)
		if form == "PEM" {
			raw = pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: raw})
		}
		files = append(files, filepath.Join(dir, form))
		if err := os.WriteFile(files[i], raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := draft{by: r.by}.parse(t, envelope.JWS)
	st := policy{stores: []string{"ca:app"}}.statement(t)
	var env cli.Env
	for n, want := range []string{"undecided", "undecided", "verified"} {
		given, err := revocation.ReadCRLs(files[:n], env.ReadFile)
		if err != nil {
			t.Fatal(err)
		}
		v := online(r, nil, asking(func(c *revocation.Config) { c.Offline, c.Given = true, verify.Evidence{given} })).verifier(t)
		if o := judge(t, v, e, st, wanting()); verdict(o) != want {
			t.Errorf("%d of 2 lists: %s, want %s%s", n, verdict(o), want, explain(o))
		}
	}
	if n := r.requests(ocspPath); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

// TestAskedOnce: any number of signatures of one signer and one authority costs
// one question for each certificate.
func TestAskedOnce(t *testing.T) {
	r, s := serveResponder(t, "Once", true, false), revocationtest.Serve(t, revocationtest.Config{CRL: []string{}})
	v := online(r, s, asking(nil)).verifier(t)
	st := policy{}.statement(t)
	for range 20 {
		o := judge(t, v, draft{by: r.by, stamped: time.Now().Add(-time.Hour), tsa: s.Forge()}.parse(t, envelope.JWS), st, wanting())
		if !o.Verified {
			t.Fatal(explain(o))
		}
	}
	if signer, stamps := r.requests(ocspPath), s.Requests(revocationtest.OCSP); signer != 2 || stamps != 2 {
		t.Errorf("%d and %d requests, want 2 each: one for each certificate below the root", signer, stamps)
	}
}

// TestReasonOf: a reason for every error that can end a check.
func TestReasonOf(t *testing.T) {
	for _, row := range []struct {
		err     error
		reason  notary.Reason
		verdict bool
	}{
		{&verify.Error{Reason: verify.ReasonRevoked}, notary.ReasonRevoked, true},
		{&verify.Error{Reason: verify.ReasonRevocationUnknown}, notary.ReasonRevocationUnknown, false},
		{&envelope.Error{Reason: envelope.ReasonSignature}, "envelope-signature", true},
		{http.ErrServerClosed, "", false},
	} {
		if reason, verdict := notary.ReasonOf(row.err); reason != row.reason || verdict != row.verdict {
			t.Errorf("ReasonOf(%v) = %q, %t, want %q, %t", row.err, reason, verdict, row.reason, row.verdict)
		}
	}
}
