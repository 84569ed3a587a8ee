package notary_test

import (
	"crypto"
	"crypto/x509"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/pki"
)

// A responder is the CA of a signing chain: it tells by OCSP and by lists which
// certificates are revoked. revocationtest is that of a timestamp authority.
type responder struct {
	by    notarytest.Options // names the responder
	chain []*x509.Certificate

	t  testing.TB
	mu sync.Mutex
	// revoked are the certificates of the chain that are, by their number.
	revoked map[int]bool
	// ocsp and crl answer instead, if they are not nil.
	ocsp, crl http.HandlerFunc
	count     map[string]int
}

// The paths of a responder. The number of the certificate is part of the list's.
const (
	ocspPath = "/ocsp"
	crlPath  = "/list.crl"
)

// serveResponder starts one for a chain whose certificates name its OCSP
// responder, its list, or both.
func serveResponder(t testing.TB, name string, ocspToo, crlToo bool) *responder {
	t.Helper()
	r := &responder{t: t, revoked: map[int]bool{}, count: map[string]int{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.by = notarytest.Options{Name: name}
	if ocspToo {
		r.by.OCSP = []string{server.URL + ocspPath}
	}
	if crlToo {
		// A list for each issuer.
		r.by.Bend = func(i int, c *x509.Certificate) {
			if i < 2 {
				c.CRLDistributionPoints = []string{server.URL + "/" + string('0'+rune(i)) + crlPath}
			}
		}
	}
	_, r.chain = notarytest.Chain(t, r.by)
	return r
}

// with changes it.
func (r *responder) with(change func(*responder)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r)
}

// requests is how often a path was asked for.
func (r *responder) requests(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[path]
}

func (r *responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.count[req.URL.Path]++
	instead := r.crl
	if req.URL.Path == ocspPath {
		instead = r.ocsp
	}
	r.mu.Unlock()
	switch {
	case instead != nil:
		instead(w, req)
	case req.URL.Path == ocspPath:
		w.Write(r.answer(raw))
	default:
		w.Write(r.list(int(req.URL.Path[1] - '0')))
	}
}

func (r *responder) isRevoked(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revoked[i]
}

// issuer returns who issued certificate i, and its key.
func (r *responder) issuer(i int) (*x509.Certificate, crypto.Signer) {
	return r.chain[i+1], notarytest.Key(r.t, r.by, i+1)
}

func (r *responder) answer(request []byte) []byte {
	req, err := ocsp.ParseRequest(request)
	if err != nil {
		return ocsp.MalformedRequestErrorResponse
	}
	for i, cert := range r.chain[:len(r.chain)-1] {
		if cert.SerialNumber.Cmp(req.SerialNumber) != 0 {
			continue
		}
		template := ocsp.Response{Status: ocsp.Good, SerialNumber: req.SerialNumber,
			ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(12 * time.Hour)}
		if r.isRevoked(i) {
			template.Status, template.RevokedAt, template.RevocationReason = ocsp.Revoked, time.Now().Add(-time.Hour), ocsp.KeyCompromise
		}
		issuer, key := r.issuer(i)
		raw, err := ocsp.CreateResponse(issuer, issuer, template, key)
		if err != nil {
			r.t.Error(err)
		}
		return raw
	}
	return ocsp.UnauthorizedErrorResponse
}

// list returns the revocation list of the issuer of certificate i.
func (r *responder) list(i int) []byte {
	issuer, key := r.issuer(i)
	cfg := pki.CRLConfig{Issuer: issuer, IssuerKey: key, Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(day)}
	if r.isRevoked(i) {
		cfg.Revoked = []pki.Revocation{{Serial: r.chain[i].SerialNumber, Time: time.Now().Add(-time.Hour), Reason: pki.ReasonKeyCompromise}}
	}
	raw, err := pki.CreateCRL(cfg)
	if err != nil {
		r.t.Error(err)
	}
	return raw
}
