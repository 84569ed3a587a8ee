package tsptest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rsa"
	_ "crypto/sha1" // for tokens that must be refused
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Time returns the time of every canned token: 2026-01-02 03:04:05.678 UTC. It
// lies inside the default window of pkitest's certificates.
func Time() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC) }

// PolicyOID is the policy of every canned token.
const PolicyOID = "1.3.6.1.4.1.57264.2"

// An Identity is what a token is signed with.
type Identity struct {
	// Chain is in DER, the signer's certificate first, the root last.
	Chain [][]byte
	Key   crypto.Signer
}

// A Forge makes one token, layer by layer. As it comes from [NewForge] the
// token is good. The hooks, all optional, each see one layer as its encoded
// elements and may change anything; what is inside the layer is already done,
// what is around it comes after, so that digests and the signature fit the
// change.
//
// A Forge is a value: copy it to keep it.
type Forge struct {
	Identity

	// Other is an unrelated authority, for variants that need one.
	Other Identity
	// Reissued is a second certificate for the signer's key, with another
	// serial number, by the same issuer.
	Reissued []byte
	// CRL is a revocation list of the issuer, which revokes nothing.
	CRL []byte

	// Request is what the token answers; nil means [Request].
	Request *tsp.Request
	// Time is the genTime; zero means [Time].
	Time time.Time
	// Digest is the hash of the signature and of messageDigest; zero means the
	// one that fits the key.
	Digest crypto.Hash
	// PSS signs with RSASSA-PSS where the key is RSA.
	PSS bool
	// KeyID names the signer by subjectKeyIdentifier (RFC 5652, 5.3).
	KeyID bool
	// Unsorted keeps the signed attributes in the order that Signed returns.
	Unsorted bool
	// Indefinite encodes everything outside the signed parts in BER with
	// indefinite lengths, and the eContent in pieces.
	Indefinite bool

	// Info sees the fields of the TSTInfo.
	Info func(*InfoFields)
	// Content sees the whole TSTInfo, and returns what becomes the eContent.
	Content func(tstInfo []byte) []byte
	// Signed sees the signed attributes, each a whole Attribute: contentType,
	// messageDigest, signingCertificateV2. With nil as its result the token
	// has none and the signature is over the content itself.
	Signed func(attributes [][]byte) [][]byte
	// Signer sees the SignerInfo after it was signed.
	Signer func(*SignerFields)
	// Data sees the fields of the SignedData.
	Data func(*DataFields)
	// Token sees the whole ContentInfo, and returns what becomes the token.
	Token func(contentInfo []byte) []byte
	// Response sees the fields of the response.
	Response func(*ResponseFields)
}

// InfoFields are the fields of a TSTInfo (RFC 3161, 2.4.2), each one DER
// element; nil is absent. Trailing comes after them, inside the SEQUENCE.
type InfoFields struct {
	Version, Policy, Imprint, Serial, GenTime            []byte
	Accuracy, Ordering, Nonce, TSA, Extensions, Trailing []byte
}

// SignerFields are the fields of a SignerInfo (RFC 5652, 5.3), each one DER
// element; nil is absent.
type SignerFields struct {
	Version, SID, Digest, SignedAttributes   []byte
	Algorithm, Signature, UnsignedAttributes []byte
	Trailing                                 []byte
}

// DataFields are the fields of a SignedData (RFC 5652, 5.1), each one DER
// element; nil is absent. The elements of the three sets keep their order.
type DataFields struct {
	Version          []byte
	DigestAlgorithms [][]byte
	ContentType      []byte // eContentType
	Content          []byte // the octets of eContent; nil is absent
	Certificates     [][]byte
	CRLs             [][]byte
	Signers          [][]byte
	Trailing         []byte
}

// ResponseFields are the fields of a TimeStampResp (RFC 3161, 2.4.2), each one
// DER element; nil is absent. Trailing comes inside the response, After behind
// it.
type ResponseFields struct {
	Status, Text, FailInfo []byte
	Token, Trailing, After []byte
}

// NewForge returns a Forge on a test chain that opts bends.
func NewForge(t testing.TB, opts pkitest.Options) *Forge {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "Test"
	}
	chain := pkitest.TSA(t, opts)
	other := pkitest.TSA(t, pkitest.Options{Name: opts.Name + " other"})
	change := opts.Leaf
	opts.Leaf = func(c *x509.Certificate) {
		if change != nil {
			change(c)
		}
		c.SerialNumber.Add(c.SerialNumber, c.SerialNumber)
		c.SerialNumber.SetBit(c.SerialNumber, 159, 0)
	}
	return &Forge{
		Identity: Identity{chain.DER, chain.LeafKey},
		Other:    Identity{other.DER, other.LeafKey},
		Reissued: pkitest.TSA(t, opts).DER[0],
		CRL:      chain.CRL(t),
	}
}

// Root returns the last certificate of the chain.
func (id Identity) Root() (*x509.Certificate, error) {
	if len(id.Chain) == 0 {
		return nil, errors.New("tsptest: the chain is empty")
	}
	return x509.ParseCertificate(id.Chain[len(id.Chain)-1])
}

// MakeInfo returns the eContent of the token.
func (f *Forge) MakeInfo() ([]byte, error) {
	req := f.request()
	imprint, err := imprintOf(req)
	if err != nil {
		return nil, err
	}
	genTime, ok := der.AppendGeneralizedTime(nil, f.time())
	if !ok {
		return nil, fmt.Errorf("tsptest: %v cannot be a genTime", f.time())
	}
	serial := sha256.Sum256(slices.Concat(imprint, req.Nonce, genTime))
	serial[0] = serial[0]&0x3f | 0x40
	fields := InfoFields{
		Version:  der.AppendInt(nil, 1),
		Policy:   OID(PolicyOID),
		Imprint:  imprint,
		Serial:   der.Make(der.TagInteger, serial[:20]),
		GenTime:  der.Make(der.TagGeneralizedTime, genTime),
		Accuracy: der.Make(der.TagSequence, der.AppendInt(nil, 1)),
	}
	if !oid.IsZero(req.Policy) {
		fields.Policy = der.Make(der.TagOID, oid.Content(req.Policy))
	}
	if req.Nonce != nil {
		fields.Nonce = der.Make(der.TagInteger, req.Nonce)
	}
	if f.Info != nil {
		f.Info(&fields)
	}
	content := der.Make(der.TagSequence, fields.Version, fields.Policy, fields.Imprint, fields.Serial, fields.GenTime,
		fields.Accuracy, fields.Ordering, fields.Nonce, fields.TSA, fields.Extensions, fields.Trailing)
	if f.Content != nil {
		content = f.Content(content)
	}
	return content, nil
}

// MakeToken returns the token, in every mode of FIPS 140-3: what must be refused
// has to be made first.
func (f *Forge) MakeToken() (token []byte, err error) {
	fips140.WithoutEnforcement(func() { token, err = f.makeToken() })
	return token, err
}

func (f *Forge) makeToken() ([]byte, error) {
	if len(f.Chain) == 0 || f.Key == nil {
		return nil, errors.New("tsptest: a Forge needs a chain and a key")
	}
	content, err := f.MakeInfo()
	if err != nil {
		return nil, err
	}
	signer, err := f.signer(content)
	if err != nil {
		return nil, err
	}
	data := DataFields{
		Version:          der.AppendInt(nil, 3), // RFC 5652, 5.1: the content is not id-data
		DigestAlgorithms: [][]byte{algorithm(oid.OfHash(f.digest()))},
		ContentType:      der.Make(der.TagOID, []byte(oid.TSTInfo)),
		Content:          content,
	}
	if f.request().CertReq {
		data.Certificates = slices.Clone(f.Chain[:max(1, len(f.Chain)-1)])
		sortSet(data.Certificates)
	}
	data.Signers = [][]byte{f.element(der.TagSequence, signer.Version, signer.SID, signer.Digest, signer.SignedAttributes,
		signer.Algorithm, signer.Signature, signer.UnsignedAttributes, signer.Trailing)}
	if f.Data != nil {
		f.Data(&data)
	}
	token := f.contentInfo(&data)
	if f.Token != nil {
		token = f.Token(token)
	}
	return token, nil
}

func (f *Forge) contentInfo(d *DataFields) []byte {
	set := func(tag byte, elements [][]byte) []byte {
		if elements == nil {
			return nil
		}
		return f.element(tag, elements...)
	}
	encap := slices.Clone(d.ContentType)
	if d.Content != nil {
		encap = append(encap, f.element(der.Context(0), f.octets(d.Content))...)
	}
	body := f.element(der.TagSequence, d.Version, f.element(der.TagSet, d.DigestAlgorithms...),
		f.element(der.TagSequence, encap), set(der.Context(0), d.Certificates), set(der.Context(1), d.CRLs),
		f.element(der.TagSet, d.Signers...), d.Trailing)
	return f.element(der.TagSequence, der.Make(der.TagOID, []byte(oid.SignedData)), f.element(der.Context(0), body))
}

// MakeResponse returns the response with the token in it.
func (f *Forge) MakeResponse() ([]byte, error) {
	token, err := f.MakeToken()
	if err != nil {
		return nil, err
	}
	r := ResponseFields{Status: der.AppendInt(nil, 0), Token: token}
	if f.Response != nil {
		f.Response(&r)
	}
	status := f.element(der.TagSequence, r.Status, r.Text, r.FailInfo)
	return append(f.element(der.TagSequence, status, r.Token, r.Trailing), r.After...), nil
}

// Respond answers a request with a forged response, or refuses one that cannot
// be parsed.
func (f *Forge) Respond(_ context.Context, request []byte) ([]byte, tsp.Outcome) {
	req, err := tsp.ParseRequest(request)
	if err != nil {
		r := tsp.AsRejection(err)
		return r.Marshal(), tsp.Outcome{Rejection: r}
	}
	g := *f
	g.Request = req
	out := tsp.Outcome{Imprint: req.Imprint, CertReq: req.CertReq, HasNonce: req.Nonce != nil}
	reply, err := g.MakeResponse()
	if err == nil {
		out.Token, err = g.MakeToken()
	}
	if err != nil {
		out.Rejection = tsp.AsRejection(err)
		return out.Rejection.Marshal(), out
	}
	out.GenTime, out.Accuracy, out.SigningCertificate = g.time(), time.Second, g.Chain[0]
	return reply, out
}

// ParsedToken returns the token as [tsp.ParseToken] reads it.
func (f *Forge) ParsedToken(t testing.TB) *tsp.Token {
	t.Helper()
	raw, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	token, err := tsp.ParseToken(raw)
	if err != nil {
		t.Fatalf("tsptest: the forged token does not parse: %v", err)
	}
	return token
}

// ParsedResponse returns the response as [tsp.ParseResponse] reads it.
func (f *Forge) ParsedResponse(t testing.TB) *tsp.Response {
	t.Helper()
	raw, err := f.MakeResponse()
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tsp.ParseResponse(raw)
	if err != nil {
		t.Fatalf("tsptest: the forged response does not parse: %v", err)
	}
	return resp
}

func (f *Forge) request() *tsp.Request {
	if f.Request != nil {
		return f.Request
	}
	return Request()
}

func (f *Forge) time() time.Time {
	if f.Time.IsZero() {
		return Time()
	}
	return f.Time
}

// digest returns the hash that is as strong as the key.
func (f *Forge) digest() crypto.Hash {
	if f.Digest != 0 {
		return f.Digest
	}
	switch pub := f.Key.Public().(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P384():
			return crypto.SHA384
		case elliptic.P521():
			return crypto.SHA512
		}
	case ed25519.PublicKey:
		return crypto.SHA512 // RFC 8419, 3.1
	}
	return crypto.SHA256
}

// signer makes the SignerInfo over content.
func (f *Forge) signer(content []byte) (*SignerFields, error) {
	leaf, err := nameOf(f.Chain[0])
	if err != nil {
		return nil, err
	}
	s := &SignerFields{
		Version: der.AppendInt(nil, 1),
		SID:     der.Make(der.TagSequence, leaf.issuer, leaf.serial),
		Digest:  algorithm(oid.OfHash(f.digest())),
	}
	if f.KeyID {
		s.Version, s.SID = der.AppendInt(nil, 3), der.Make(0x80, leaf.keyID)
	}
	h := f.digest().New()
	h.Write(content)
	attributes := [][]byte{
		Attribute(oid.ContentType, der.Make(der.TagOID, []byte(oid.TSTInfo))),
		Attribute(oid.MessageDigest, der.Make(der.TagOctetString, h.Sum(nil))),
		Attribute(oid.SigningCertificateV2, SigningCertificate(ESSCertID{Certificate: f.Chain[0]})),
	}
	if f.Signed != nil {
		attributes = f.Signed(attributes)
	}
	covered := content
	if attributes != nil {
		if !f.Unsorted {
			sortSet(attributes) // X.690, 11.6
		}
		covered = der.Make(der.TagSet, attributes...)
		s.SignedAttributes = bytes.Clone(covered)
		s.SignedAttributes[0] = der.Context(0)
	}
	signature, err := f.sign(s, covered)
	if err != nil {
		return nil, err
	}
	s.Signature = der.Make(der.TagOctetString, signature)
	if f.Signer != nil {
		f.Signer(s)
	}
	return s, nil
}

// sign returns the signature over covered and sets the algorithm. No random
// source is given to the key, so that ECDSA signs after RFC 6979.
func (f *Forge) sign(s *SignerFields, covered []byte) ([]byte, error) {
	hash := f.digest()
	h := hash.New()
	h.Write(covered)
	digest := h.Sum(nil)
	switch f.Key.Public().(type) {
	case *ecdsa.PublicKey:
		s.Algorithm = algorithm(map[crypto.Hash]string{
			crypto.SHA1: oid.ECDSAWithSHA1, crypto.SHA256: oid.ECDSAWithSHA256,
			crypto.SHA384: oid.ECDSAWithSHA384, crypto.SHA512: oid.ECDSAWithSHA512}[hash])
		return f.Key.Sign(nil, digest, hash)
	case *rsa.PublicKey:
		if f.PSS {
			s.Algorithm = pssAlgorithm(hash)
			// The salt is random by nature; here it is the digest.
			return f.Key.Sign(bytes.NewReader(digest), digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash})
		}
		s.Algorithm = algorithm(map[crypto.Hash]string{
			crypto.SHA1: oid.SHA1WithRSA, crypto.SHA256: oid.SHA256WithRSA,
			crypto.SHA384: oid.SHA384WithRSA, crypto.SHA512: oid.SHA512WithRSA}[hash], null())
		return f.Key.Sign(nil, digest, hash)
	case ed25519.PublicKey:
		s.Algorithm = algorithm(oid.PureEd25519)
		return f.Key.Sign(nil, covered, crypto.Hash(0))
	}
	return nil, fmt.Errorf("tsptest: cannot sign with a key of type %T", f.Key.Public())
}
