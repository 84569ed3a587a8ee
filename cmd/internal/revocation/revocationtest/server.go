// Package revocationtest is the other side of package revocation, for tests: a
// CA that publishes revocation lists and answers OCSP requests on loopback, and
// that fails in the ways that servers do. The requests are read and the answers
// made by golang.org/x/crypto/ocsp and crypto/x509, so that what is tested does
// not agree with itself alone.
package revocationtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// The paths on the server. Both certificates of the chain name OCSP; each has a
// list of its own.
const (
	OCSP            = "/ocsp"
	LeafCRL         = "/leaf.crl"
	IntermediateCRL = "/intermediate.crl"
)

// maxRequest is the longest OCSP request, in bytes.
const maxRequest = 4096

// Object identifiers of OCSP: the nonce as an element, the basic response as
// content octets.
const (
	nonceID = "\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x02"
	basicID = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01"
)

// Config says what the certificates name.
type Config struct {
	// Name is that of the authority, see pkitest.Options.
	Name string
	// OCSP and CRL are the addresses in both certificates. Nil means those of
	// the server, empty none.
	OCSP, CRL []string
	// NotAfter is the end of the leaf. Zero means that of pkitest.
	NotAfter time.Time
	// Momentary leaves nextUpdate out of OCSP responses.
	Momentary bool
}

// A Server is the CA.
type Server struct {
	// URL has no slash at the end.
	URL   string
	Chain *pkitest.Chain

	t         testing.TB
	momentary bool

	mu       sync.Mutex
	revoked  map[string]pki.Revocation // by serial number
	handlers map[string]http.HandlerFunc
	count    map[string]int
}

// Serve starts a server that ends with the test.
func Serve(t testing.TB, cfg Config) *Server {
	t.Helper()
	s := &Server{t: t, momentary: cfg.Momentary, revoked: map[string]pki.Revocation{}, handlers: map[string]http.HandlerFunc{}, count: map[string]int{}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	names := func(path string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.OCSPServer, c.CRLDistributionPoints = []string{s.URL + OCSP}, []string{s.URL + path}
			if cfg.OCSP != nil {
				c.OCSPServer = cfg.OCSP
			}
			if cfg.CRL != nil {
				c.CRLDistributionPoints = cfg.CRL
			}
		}
	}
	s.Chain = pkitest.TSA(t, pkitest.Options{Name: cfg.Name, NotAfter: cfg.NotAfter, Leaf: names(LeafCRL), Intermediate: names(IntermediateCRL)})
	return s
}

// Forge makes tokens of the authority.
func (s *Server) Forge() *tsptest.Forge {
	return &tsptest.Forge{Identity: tsptest.Identity{Chain: s.Chain.DER, Key: s.Chain.LeafKey}}
}

// RootPEM returns the root.
func (s *Server) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Chain.Root.Raw})
}

// Revoke revokes a certificate.
func (s *Server) Revoke(cert *x509.Certificate, at time.Time, reason pki.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked[cert.SerialNumber.String()] = pki.Revocation{Serial: cert.SerialNumber, Time: at, Reason: reason}
}

// Release takes a revocation back, as that of a certificate on hold.
func (s *Server) Release(cert *x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.revoked, cert.SerialNumber.String())
}

// Handle has h answer at a path, nil the server again.
func (s *Server) Handle(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[path] = h
}

// Requests returns how often a path was asked for.
func (s *Server) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[path]
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.count[r.URL.Path]++
	h := s.handlers[r.URL.Path]
	s.mu.Unlock()
	switch {
	case h != nil:
		h(w, r)
	case r.URL.Path == OCSP:
		s.respond(w, r)
	case r.URL.Path == LeafCRL:
		w.Write(s.CRL(s.Chain.Intermediate, s.Chain.IntermediateKey))
	case r.URL.Path == IntermediateCRL:
		w.Write(s.CRL(s.Chain.Root, s.Chain.RootKey))
	default:
		http.NotFound(w, r)
	}
}

// CRL returns the current list of an issuer.
func (s *Server) CRL(issuer *x509.Certificate, key crypto.Signer) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := pki.CRLConfig{Issuer: issuer, IssuerKey: key, Number: big.NewInt(1),
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(7 * 24 * time.Hour)}
	for _, r := range s.revoked {
		cfg.Revoked = append(cfg.Revoked, r)
	}
	raw, err := pki.CreateCRL(cfg)
	if err != nil {
		s.t.Error(err)
	}
	return raw
}

func (s *Server) respond(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ocsp-request" {
		http.Error(w, "not an OCSP request", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	w.Write(s.Answer(raw, Nonce(raw)))
}

// Answer returns the response to a request with the given nonce, nil for none.
func (s *Server) Answer(request, nonce []byte) []byte {
	req, err := ocsp.ParseRequest(request)
	if err != nil {
		return ocsp.MalformedRequestErrorResponse
	}
	issuer, key := s.Chain.Intermediate, s.Chain.IntermediateKey
	if req.SerialNumber.Cmp(s.Chain.Intermediate.SerialNumber) == 0 {
		issuer, key = s.Chain.Root, s.Chain.RootKey
	}
	template := ocsp.Response{Status: ocsp.Good, SerialNumber: req.SerialNumber,
		ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(12 * time.Hour)}
	if s.momentary {
		template.NextUpdate = time.Time{}
	}
	s.mu.Lock()
	revoked, ok := s.revoked[req.SerialNumber.String()]
	s.mu.Unlock()
	if ok {
		template.Status, template.RevokedAt, template.RevocationReason = ocsp.Revoked, revoked.Time, reasons[revoked.Reason]
	}
	raw, err := ocsp.CreateResponse(issuer, issuer, template, key)
	if err != nil {
		s.t.Error(err)
		return ocsp.InternalErrorErrorResponse
	}
	if nonce == nil {
		return raw
	}
	if raw, err = withNonce(raw, nonce, key); err != nil {
		s.t.Error(err)
	}
	return raw
}

var reasons = map[pki.Reason]int{
	pki.ReasonKeyCompromise: ocsp.KeyCompromise, pki.ReasonSuperseded: ocsp.Superseded,
	pki.ReasonCertificateHold: ocsp.CertificateHold,
}

// Nonce returns the value of the nonce extension of a request, nil if it has
// none.
func Nonce(request []byte) []byte {
	_, rest, ok := bytes.Cut(request, []byte(nonceID))
	s, value := cryptobyte.String(rest), cryptobyte.String{}
	if !ok || !s.ReadASN1(&value, asn1.OCTET_STRING) {
		return nil
	}
	return value
}

// withNonce puts a nonce into a response, which package ocsp cannot, and signs
// it again.
func withNonce(raw, nonce []byte, key crypto.Signer) ([]byte, error) {
	var response, bytes, typed, octets, basic, tbs, algorithm cryptobyte.String
	s := cryptobyte.String(raw)
	s.ReadASN1(&response, asn1.SEQUENCE)
	response.SkipASN1(asn1.ENUM)
	response.ReadASN1(&bytes, asn1.Tag(0).ContextSpecific().Constructed())
	bytes.ReadASN1(&typed, asn1.SEQUENCE)
	typed.SkipASN1(asn1.OBJECT_IDENTIFIER)
	typed.ReadASN1(&octets, asn1.OCTET_STRING)
	octets.ReadASN1(&basic, asn1.SEQUENCE)
	basic.ReadASN1(&tbs, asn1.SEQUENCE)
	basic.ReadASN1Element(&algorithm, asn1.SEQUENCE)
	extension := der.Make(der.TagSequence, []byte(nonceID), der.Make(der.TagOctetString, nonce))
	signed := der.Make(der.TagSequence, tbs, der.Make(der.Context(1), der.Make(der.TagSequence, extension)))
	digest := sha256.Sum256(signed)
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	basic = der.Make(der.TagSequence, signed, algorithm, der.Make(der.TagBitString, []byte{0}, signature))
	return der.Make(der.TagSequence, []byte{10, 1, 0}, der.Make(der.Context(0), der.Make(der.TagSequence,
		der.Make(der.TagOID, []byte(basicID)), der.Make(der.TagOctetString, basic)))), nil
}
