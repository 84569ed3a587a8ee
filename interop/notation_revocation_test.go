package interop

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// A status is what is to be had about a certificate.
type status struct {
	ocsp    string // good, revoked, unknown; "": the responder does not answer
	crl     string // good, revoked; "": there is no list
	reason  int    // of the revocation
	stale   bool   // the next update was due yesterday
	endless bool   // there is no next update
	fresh   bool   // it is of this minute, not of an hour ago
	foreign bool   // somebody else has signed it
}

// A revoker tells of the status of the leaf of an identity, by OCSP and by a list.
type revoker struct {
	s *identity

	mu     sync.Mutex
	status status
	asked  int
}

// newRevoker makes one, and the identity that names it. Bend changes the leaf further.
func newRevoker(t *testing.T, bend func(leaf *x509.Certificate)) *revoker {
	t.Helper()
	r := new(revoker)
	stranger := newKey(t, "p256")
	answer := func(what string, make func(signer crypto.Signer, s status) ([]byte, error)) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			r.mu.Lock()
			r.asked++
			s := r.status
			r.mu.Unlock()
			if what == "ocsp" && s.ocsp == "" || what == "crl" && s.crl == "" {
				http.Error(rw, "nothing is known", http.StatusServiceUnavailable)
				return
			}
			signer := r.s.caKey
			if s.foreign {
				signer = stranger
			}
			data, err := make(signer, s)
			if err != nil {
				t.Error(err)
			}
			rw.Header().Set("Content-Type", map[string]string{"ocsp": "application/ocsp-response", "crl": "application/pkix-crl"}[what])
			if _, err := rw.Write(data); err != nil {
				t.Error(err)
			}
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ocsp/", answer("ocsp", r.respond))
	mux.HandleFunc("/crl", answer("crl", r.list))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.s = bentIdentity(t, "p256", func(leaf *x509.Certificate) {
		leaf.OCSPServer, leaf.CRLDistributionPoints = []string{server.URL + "/ocsp"}, []string{server.URL + "/crl"}
		if bend != nil {
			bend(leaf)
		}
	})
	return r
}

// set says what is known from now on.
func (r *revoker) set(s status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.asked = s, 0
}

func (s status) times() (this, next time.Time) {
	this, next = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if s.stale {
		this, next = this.Add(-48*time.Hour), next.Add(-48*time.Hour)
	}
	if s.fresh {
		this = time.Now()
	}
	if s.endless {
		next = time.Time{}
	}
	return this, next
}

func (r *revoker) respond(signer crypto.Signer, s status) ([]byte, error) {
	this, next := s.times()
	return ocsp.CreateResponse(r.s.ca, r.s.ca, ocsp.Response{
		Status:       map[string]int{"good": ocsp.Good, "revoked": ocsp.Revoked, "unknown": ocsp.Unknown}[s.ocsp],
		SerialNumber: r.s.leaf.SerialNumber, IssuerHash: crypto.SHA1, ThisUpdate: this, NextUpdate: next,
		RevokedAt: this, RevocationReason: s.reason,
	}, signer)
}

func (r *revoker) list(signer crypto.Signer, s status) ([]byte, error) {
	this, next := s.times()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: this, NextUpdate: next}
	if s.crl == "revoked" {
		list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: r.s.leaf.SerialNumber, RevocationTime: this, ReasonCode: s.reason}}
	}
	return x509.CreateRevocationList(rand.Reader, list, r.s.ca, signer)
}

// startStamping starts our server with the key and chain of an identity.
func startStamping(t *testing.T, s *identity) *tsa {
	t.Helper()
	w := scratch(t)
	host := "127.0.0.1:" + freePort(t)
	config := w.write(t, "fencepost.yaml", fmt.Appendf(nil, `listen: [%s]
admin: "off"
tsa:
  key: file:%s
  chain: %s
  policy: %s
  clock: {source: system, bound: 500ms}
`, host, s.key, s.chain, ourPolicy))
	w.serve(t, "http://"+host+"/readyz", ours("fencepost"), "serve", "--config", config)
	return newTSA(t, "http://"+host, chainAt(t, "http://"+host))
}

// stamping makes of a leaf that of a timestamp authority (RFC 3161, 2.3).
func stamping(t *testing.T) func(leaf *x509.Certificate) {
	t.Helper()
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	return func(leaf *x509.Certificate) {
		leaf.ExtKeyUsage = nil
		leaf.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}}
	}
}

// A statusTest is what is known, and whether the certificate is good then.
type statusTest struct {
	name string
	status
	ok           bool
	strict, open bool // we say no where the Notary Project says yes, or the other way round
}

// good reports whether the certificate is good to n.
func (s statusTest) good(n notary) bool {
	if _, ok := n.(own); ok {
		return (s.ok || s.open) && !s.strict
	}
	return s.ok
}

var statuses = []statusTest{
	{name: "OCSP good", status: status{ocsp: "good"}, ok: true},
	{name: "OCSP revoked", status: status{ocsp: "revoked"}, ok: false},
	{name: "OCSP revoked, list good", status: status{ocsp: "revoked", crl: "good"}, ok: false},
	{name: "OCSP on hold", status: status{ocsp: "revoked", reason: ocsp.CertificateHold}, ok: false},
	{name: "OCSP unknown", status: status{ocsp: "unknown"}, ok: false},
	{name: "OCSP unknown, list good", status: status{ocsp: "unknown", crl: "good"}, ok: true},
	{name: "OCSP unknown, list revoked", status: status{ocsp: "unknown", crl: "revoked"}, ok: false},
	{name: "OCSP stale", status: status{ocsp: "good", stale: true}, ok: false},
	{name: "OCSP without next update, an hour old", status: status{ocsp: "good", endless: true}, ok: false},
	// RFC 6960, 4.2.2.1: newer information is available all the time, so that this is good for a while. The Notary
	// Project takes it for stale.
	{name: "OCSP without next update, new", status: status{ocsp: "good", endless: true, fresh: true}, ok: false, open: true},
	{name: "OCSP of somebody else", status: status{ocsp: "good", foreign: true}, ok: false},
	{name: "nothing", status: status{}, ok: false},
	{name: "list good", status: status{crl: "good"}, ok: true},
	{name: "list revoked", status: status{crl: "revoked"}, ok: false},
	{name: "list revoked, key compromised", status: status{crl: "revoked", reason: ocsp.KeyCompromise}, ok: false},
	{name: "list revoked, superseded", status: status{crl: "revoked", reason: ocsp.Superseded}, ok: false},
	{name: "list on hold", status: status{crl: "revoked", reason: ocsp.CertificateHold}, ok: false},
	// RFC 5280, 5.3.1: that reason is for delta lists only, and this is none.
	{name: "list, hold removed", status: status{crl: "revoked", reason: ocsp.RemoveFromCRL}, ok: true, strict: true},
	{name: "list stale", status: status{crl: "good", stale: true}, ok: false},
	{name: "list of somebody else", status: status{crl: "good", foreign: true}, ok: false},
}

// TestNotationRevocation: whether the certificate of a signer is revoked is the same to everybody, and what a policy
// makes of it.
func TestNotationRevocation(t *testing.T) {
	a, p, r := startDev(t), startPlace(t, placeReferrers), newRevoker(t, nil)
	img := p.push(t)
	scratch(t).sign(t, notaries()[0], img, r.s, signing{format: "jws", stamp: a})
	config := func(level string, override map[string]string) string {
		return trust{ca: r.s.root, tsa: a.rootPEM(), level: level, override: override}.config(t)
	}
	strict := config("strict", nil)
	for _, test := range statuses {
		t.Run(test.name, func(t *testing.T) {
			r.set(test.status)
			scratch(t).rules(t, img, verifying{config: strict}, func(n notary) string {
				return map[bool]string{true: "", false: "revocation"}[test.good(n)]
			})
			if r.asked == 0 {
				t.Error("nobody asked")
			}
		})
	}
	t.Run("revoked, logged", func(t *testing.T) {
		r.set(status{ocsp: "revoked"})
		scratch(t).rules(t, img, verifying{config: config("permissive", nil)}, always(""))
		scratch(t).rules(t, img, verifying{config: config("strict", map[string]string{"revocation": "log"})}, always(""))
		if r.asked == 0 {
			t.Error("nobody asked")
		}
	})
	t.Run("revoked, skipped", func(t *testing.T) {
		r.set(status{ocsp: "revoked"})
		scratch(t).rules(t, img, verifying{config: config("strict", map[string]string{"revocation": "skip"})}, always(""))
		if r.asked != 0 {
			t.Errorf("%d questions about what is skipped", r.asked)
		}
	})
}

// TestNotationTSARevocation: whether the certificate of an authority is revoked is the same to everybody, when
// signing and when verifying, and is part of the timestamp's verification.
func TestNotationTSARevocation(t *testing.T) {
	p, s, r := startPlace(t, placeReferrers), newIdentity(t, "p256", day), newRevoker(t, stamping(t))
	a := startStamping(t, r.s)
	r.set(status{ocsp: "good"})
	img := p.push(t)
	scratch(t).sign(t, notaries()[0], img, s, signing{format: "jws", stamp: a})
	strict := trust{ca: s.root, tsa: a.rootPEM()}.config(t)
	skipping := trust{ca: s.root, tsa: a.rootPEM(), override: map[string]string{"revocation": "skip"}}.config(t)
	logging := trust{ca: s.root, tsa: a.rootPEM(), override: map[string]string{"authenticTimestamp": "log"}}.config(t)
	for _, test := range statuses {
		t.Run(test.name, func(t *testing.T) {
			r.set(test.status)
			failed := func(n notary) string { return map[bool]string{true: "", false: "authenticTimestamp"}[test.good(n)] }
			scratch(t).rules(t, img, verifying{config: strict}, failed)
			scratch(t).rules(t, img, verifying{config: skipping}, failed)
			scratch(t).rules(t, img, verifying{config: logging}, always(""))
			for _, signer := range notaries() {
				w := scratch(t)
				got := w.run(t, signer.signArgs(p.push(t), s, signing{format: "cose", stamp: a})...)
				if (got.code == 0) != test.good(signer) {
					t.Errorf("%v: want to sign: %v, got: %v", signer, test.good(signer), got)
				}
				if !test.good(signer) && !strings.Contains(got.stderr, "revo") {
					t.Errorf("%v: want the reason, got: %v", signer, got)
				}
			}
		})
	}
}
