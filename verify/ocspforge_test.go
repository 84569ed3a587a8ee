package verify_test

import (
	"crypto"
	"crypto/fips140"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// An ocspForge writes OCSP responses field by field.
type ocspForge struct {
	signer  *x509.Certificate // names the responder
	key     crypto.Signer     // P-256
	certs   [][]byte
	singles []ocspStatus

	produced time.Time
	byKey    bool // the responder is named by its key
	version  []byte
	// extensions of the response
	extensions [][]byte
	algorithm  []byte
	// tbs sees the fields of the tbsResponseData, basic those of the
	// BasicOCSPResponse, bytes those of the responseBytes.
	tbs, basic, bytes func(fields [][]byte) [][]byte
	status            byte
}

// An ocspStatus is one status in a response.
type ocspStatus struct {
	cert, issuer *x509.Certificate
	hash         func([]byte) []byte // nil: SHA-1
	hashOID      string
	// status is the CertStatus, nil for good.
	status     []byte
	this, next time.Time // next zero: none
	extensions [][]byte
	// change sees the fields.
	change func(fields [][]byte) [][]byte
}

var ocspGood, ocspUnknown = []byte{0x80, 0}, []byte{0x82, 0}

// ocspRevoked returns the status "revoked"; reason -1 leaves the reason out.
func ocspRevoked(at time.Time, reason int) []byte {
	fields := [][]byte{generalizedTime(at)}
	if reason >= 0 {
		fields = append(fields, der.Make(der.Context(0), []byte{10, 1, byte(reason)}))
	}
	return der.Make(der.Context(1), fields...)
}

func generalizedTime(t time.Time) []byte {
	return der.Make(der.TagGeneralizedTime, []byte(t.UTC().Format("20060102150405Z")))
}

func sha1Sum(b []byte) (sum []byte) {
	fips140.WithoutEnforcement(func() { s := sha1.Sum(b); sum = s[:] })
	return sum
}

func sha256Sum(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// keyBits returns the public key of cert as OCSP hashes it.
func keyBits(t testing.TB, cert *x509.Certificate) []byte {
	t.Helper()
	key, err := cert.PublicKey.(interface{ Bytes() ([]byte, error) }).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s ocspStatus) make(t testing.TB) []byte {
	t.Helper()
	hash, hashOID := s.hash, s.hashOID
	if hash == nil {
		hash, hashOID = sha1Sum, oid.SHA1
	}
	id := der.Make(der.TagSequence,
		der.Make(der.TagSequence, der.Make(der.TagOID, []byte(hashOID)), der.Make(der.TagNull)),
		der.Make(der.TagOctetString, hash(s.issuer.RawSubject)),
		der.Make(der.TagOctetString, hash(keyBits(t, s.issuer))),
		der.Make(der.TagInteger, s.cert.SerialNumber.Bytes()))
	status := s.status
	if status == nil {
		status = ocspGood
	}
	fields := [][]byte{id, status, generalizedTime(s.this)}
	if !s.next.IsZero() {
		fields = append(fields, der.Make(der.Context(0), generalizedTime(s.next)))
	}
	if s.extensions != nil {
		fields = append(fields, der.Make(der.Context(1), der.Make(der.TagSequence, s.extensions...)))
	}
	if s.change != nil {
		fields = s.change(fields)
	}
	return der.Make(der.TagSequence, fields...)
}

func (f *ocspForge) make(t testing.TB) []byte {
	t.Helper()
	if f.status != 0 {
		return der.Make(der.TagSequence, []byte{10, 1, f.status})
	}
	algorithm := f.algorithm
	if algorithm == nil {
		algorithm = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.ECDSAWithSHA256)))
	}
	responder := der.Make(der.Context(1), f.signer.RawSubject)
	if f.byKey {
		responder = der.Make(der.Context(2), der.Make(der.TagOctetString, sha1Sum(keyBits(t, f.signer))))
	}
	var singles [][]byte
	for _, s := range f.singles {
		singles = append(singles, s.make(t))
	}
	fields := [][]byte{responder, generalizedTime(f.produced), der.Make(der.TagSequence, singles...)}
	if f.version != nil {
		fields = slices.Insert(fields, 0, der.Make(der.Context(0), f.version))
	}
	if f.extensions != nil {
		fields = append(fields, der.Make(der.Context(1), der.Make(der.TagSequence, f.extensions...)))
	}
	if f.tbs != nil {
		fields = f.tbs(fields)
	}
	tbs := der.Make(der.TagSequence, fields...)
	digest := sha256.Sum256(tbs)
	signature, err := pkitest.Deterministic(f.key).Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	basic := [][]byte{tbs, algorithm, der.Make(der.TagBitString, []byte{0}, signature)}
	if f.certs != nil {
		basic = append(basic, der.Make(der.Context(0), der.Make(der.TagSequence, f.certs...)))
	}
	if f.basic != nil {
		basic = f.basic(basic)
	}
	bytes := [][]byte{
		der.Make(der.TagOID, []byte("\x2b\x06\x01\x05\x05\x07\x30\x01\x01")),
		der.Make(der.TagOctetString, der.Make(der.TagSequence, basic...)),
	}
	if f.bytes != nil {
		bytes = f.bytes(bytes)
	}
	return der.Make(der.TagSequence, []byte{10, 1, 0}, der.Make(der.Context(0), der.Make(der.TagSequence, bytes...)))
}

// An ocspScene is the chain of the canned tokens, and forges for its
// certificates.
type ocspScene struct {
	*pkitest.Chain
	t            testing.TB
	recent, soon time.Time
}

func newOCSPScene(t testing.TB, opts pkitest.Options) *ocspScene {
	t.Helper()
	return &ocspScene{Chain: pkitest.TSA(t, opts), t: t, recent: now().Add(-time.Hour), soon: now().Add(time.Hour)}
}

// leaf makes a response about the leaf that its issuer signs, changed.
func (s *ocspScene) leaf(changes ...func(f *ocspForge)) []byte {
	s.t.Helper()
	f := &ocspForge{signer: s.Intermediate, key: s.IntermediateKey, produced: s.recent,
		singles: []ocspStatus{{cert: s.Leaf, issuer: s.Intermediate, this: s.recent, next: s.soon}}}
	for _, change := range changes {
		change(f)
	}
	return f.make(s.t)
}

// intermediate makes a good response about the intermediate.
func (s *ocspScene) intermediate() []byte {
	s.t.Helper()
	f := &ocspForge{signer: s.Root, key: s.RootKey, produced: s.recent,
		singles: []ocspStatus{{cert: s.Intermediate, issuer: s.Root, this: pkitest.NotBefore(), next: pkitest.NotAfter()}}}
	return f.make(s.t)
}

// responderKey is the key of all delegated responders.
func (s *ocspScene) responderKey() crypto.Signer {
	return pkitest.Key(s.t, pkitest.P256, "responder")
}

// responder issues the certificate of a delegated responder, changed.
func (s *ocspScene) responder(changes ...func(c *x509.Certificate)) *x509.Certificate {
	s.t.Helper()
	return s.responderOf(s.Intermediate, s.IntermediateKey, changes...)
}

func (s *ocspScene) responderOf(issuer *x509.Certificate, key crypto.Signer, changes ...func(c *x509.Certificate)) *x509.Certificate {
	s.t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "Responder"},
		NotBefore: s.recent.Add(-24 * time.Hour), NotAfter: s.soon.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		BasicConstraintsValid: true,
		ExtraExtensions:       []pkix.Extension{{Id: []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{der.TagNull, 0}}},
	}
	for _, change := range changes {
		change(tmpl)
	}
	parent := *issuer
	parent.PublicKey = key.Public() // whose it is, is for the verifier to find out
	public := tmpl.PublicKey
	if public == nil {
		public = s.responderKey().Public()
	}
	raw, err := x509.CreateCertificate(nil, tmpl, &parent, public, pkitest.Deterministic(key))
	if err != nil {
		s.t.Fatal(err)
	}
	return parse(s.t, raw)
}

// delegated has a response signed by a responder.
func (s *ocspScene) delegated(responder *x509.Certificate) func(f *ocspForge) {
	return func(f *ocspForge) {
		f.signer, f.key, f.certs = responder, s.responderKey(), [][]byte{responder.Raw}
	}
}

// nonce is the extension of a response.
func nonceExtension(octets ...byte) []byte {
	return tsptest.Extension("1.3.6.1.5.5.7.48.1.2", nil, der.Make(der.TagOctetString, octets))
}
