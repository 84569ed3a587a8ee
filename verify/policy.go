package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// DefaultMaxFuture is how far a token's time may be ahead of the local clock
// where [Policy.MaxFuture] is zero: more than clocks of honest machines differ.
const DefaultMaxFuture = 5 * time.Minute

// A Policy says what is trusted and what is expected. The zero value checks
// everything and trusts nothing. A Policy is a value: copy it and change the
// copy for one token.
type Policy struct {
	// Roots are the trust anchors. They need not be self-signed. Without any,
	// nothing verifies.
	Roots []*x509.Certificate
	// Intermediates help to build chains, besides those in the token. They are
	// not trusted.
	Intermediates []*x509.Certificate
	// Certificate, if not nil, is the only certificate that may have signed. It
	// also serves where the token has no certificates. It must chain to Roots
	// like any other.
	Certificate *x509.Certificate
	// CommonName, if not empty, is the commonName that the subject of the
	// signer's certificate must have.
	CommonName string
	// Policies are the TSA policies accepted. Empty accepts any.
	Policies []x509.OID
	// Nonce, if not nil, is the nonce that the token must have.
	Nonce tsp.Integer
	// Now tells the local time, which only bounds how far ahead a token may be
	// and tells stale revocation data. Nil means [time.Now].
	Now func() time.Time
	// MaxFuture is how far the token's time may be ahead of Now. Zero means
	// [DefaultMaxFuture], a negative value not at all.
	MaxFuture time.Duration
	// Revocation is asked about each certificate of the chain but the trust
	// anchor. Nil asks nobody.
	Revocation RevocationChecker
	// Cache remembers verified chains. It never changes a verdict. Nil
	// remembers nothing.
	Cache *ChainCache

	// AllowLegacyESSCertIDv1 accepts tokens that name the signer's certificate
	// by its SHA-1 hash only, as authorities did before RFC 5816. Who can make
	// two certificates with one SHA-1 hash can then exchange one for the other.
	AllowLegacyESSCertIDv1 bool
}

// Token decides whether t is a timestamp on the data with the given imprint. t
// must be as package tsp parsed it, from whatever source: its fields are not
// compared with its bytes again, so one that was put together otherwise, or
// changed, proves nothing. Its error is an [*Error].
func (p Policy) Token(t *tsp.Token, imprint tsp.Imprint) (*Timestamp, error) {
	return p.token(t, imprint, &work{})
}

// Response decides whether r answers req with a timestamp that can be trusted.
// The imprint, the nonce and the policy that were asked for must be those of
// the token, besides what p asks for. Its error is an [*Error].
func (p Policy) Response(r *tsp.Response, req *tsp.Request) (*Timestamp, error) {
	if err := Answers(r, req); err != nil {
		return nil, err
	}
	return p.Token(r.Token, req.Imprint)
}

// Signer decides whether tokens of the time at, signed with the key of a
// certificate, could verify: whether it is one of a timestamp authority, and
// leads to one of the roots. It is what an authority asks before it issues.
// Names, nonces and policies of tokens are not asked about. The chain begins
// with the certificate. Its error is an [*Error].
func (p Policy) Signer(cert *x509.Certificate, at time.Time) ([]*x509.Certificate, error) {
	switch {
	case len(p.Roots) == 0:
		return nil, fail(ReasonNoRoots, "the policy has no trust anchor")
	case cert == nil:
		return nil, fail(ReasonCertificateMissing, "there is no certificate")
	case at.IsZero(): // for crypto/x509 that is now
		return nil, fail(ReasonValidity, "there is no time")
	}
	leaf := &signer{cert: cert, sum: sha256.Sum256(cert.Raw)}
	if err := p.checkPinned(leaf); err != nil {
		return nil, err
	}
	if err := checkProfile(cert); err != nil {
		return nil, err
	}
	if err := checkValidity(cert, at); err != nil {
		return nil, err
	}
	p.Cache = nil // what is asked once is not worth remembering
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	c := chooser{policy: &p, token: &tsp.Token{}, attrs: &signedAttributes{}, leaf: leaf, genTime: at, now: now(), work: &work{}}
	chain, err := c.choose()
	if err != nil {
		return nil, err
	}
	for _, c := range chain[:len(chain)-1] {
		if len(c.Raw) > maxCertificate {
			return nil, fail(ReasonCertificate, "certificate %s has %d octets, out of tokens at most %d are read", subject(c), len(c.Raw), maxCertificate)
		}
	}
	return slices.Clone(chain), nil
}

// Bytes decides the same as [Policy.Token] about a file that holds a token or
// a response, in DER, BER, PEM or base64. Its error is an [*Error].
func (p Policy) Bytes(data []byte, imprint tsp.Imprint) (*Timestamp, error) {
	m, err := tsp.ParseAny(data)
	if err != nil {
		return nil, failed(ReasonMalformed, err, "")
	}
	if m.Request != nil {
		return nil, fail(ReasonMalformed, "this is a request, not a timestamp")
	}
	t, err := m.TimeStampToken()
	if err != nil {
		return nil, failed(ReasonRefused, err, "")
	}
	return p.Token(t, imprint)
}

// Answers reports whether r is an answer to req: granted, with a token whose
// imprint, nonce and policy are those asked for, and with certificates where
// they were (RFC 3161, 2.4.2). It does not tell who gave the answer: any of it
// may be forged. Its error is an [*Error].
func Answers(r *tsp.Response, req *tsp.Request) error {
	if r == nil || req == nil {
		return fail(ReasonMalformed, "there is no response or no request")
	}
	if r.Rejection != nil {
		return failed(ReasonRefused, r.Rejection, "")
	}
	// Granted with modifications is granted: what was modified shows below.
	if r.Token == nil || r.Token.UnverifiedInfo == nil {
		return fail(ReasonMalformed, "the response has no token")
	}
	info := r.Token.UnverifiedInfo
	if err := checkImprint(info.Imprint, req.Imprint); err != nil {
		return err
	}
	if req.Nonce != nil {
		if err := checkNonce(info.Nonce, req.Nonce); err != nil {
			return err
		}
	}
	if !oid.IsZero(req.Policy) && !info.Policy.Equal(req.Policy) {
		return fail(ReasonPolicy, "the token was issued under %v, asked for was %v", info.Policy, req.Policy)
	}
	// RFC 3161, 2.4.1: the certificate MUST be provided if it was asked for.
	// Those that were not asked for do no harm.
	if req.CertReq && len(r.Token.Certificates) == 0 {
		return fail(ReasonCertificateMissing, "the token has no certificates, though the request asked for them")
	}
	return nil
}

// work counts what one verification costs. Tests hold it against hostile input.
type work struct {
	hashed     int // certificates hashed
	parsed     int // certificates parsed
	signatures int // signatures of tokens and revocation lists verified
}

func (p *Policy) token(t *tsp.Token, imprint tsp.Imprint, w *work) (*Timestamp, error) {
	if len(p.Roots) == 0 {
		return nil, fail(ReasonNoRoots, "the policy has no trust anchor")
	}
	if t == nil || t.UnverifiedInfo == nil {
		return nil, fail(ReasonMalformed, "there is no token")
	}
	info := t.UnverifiedInfo
	now := time.Now
	if p.Now != nil {
		now = p.Now
	}
	at := now()
	if err := p.checkInfo(info, imprint, at); err != nil {
		return nil, err
	}
	attrs, err := checkSignerInfo(t)
	if err != nil {
		return nil, err
	}
	leaf, err := p.findSigner(t, attrs, w)
	if err != nil {
		return nil, err
	}
	if err := p.checkPinned(leaf); err != nil {
		return nil, err
	}
	// From here on there is one certificate: what is checked is what signed.
	if !leaf.known {
		if err := checkProfile(leaf.cert); err != nil {
			return nil, err
		}
	}
	if info.TSA != nil && !hasName(leaf.cert, info.TSA) {
		// RFC 3161, 2.4.2: the tsa field "MUST correspond to one of the subject
		// names included in the certificate".
		return nil, fail(ReasonTSAName, "the tsa field of the token is not a name of its signer %s", subject(leaf.cert))
	}
	w.signatures++
	if err := attrs.scheme.verify(leaf.cert.PublicKey, t.Signer.RawSignedAttributes, t.Signer.Signature); err != nil {
		return nil, err
	}
	if err := checkValidity(leaf.cert, info.GenTime); err != nil {
		return nil, err
	}
	c := chooser{policy: p, token: t, attrs: attrs, leaf: leaf, genTime: info.GenTime, now: at, work: w}
	chain, err := c.choose()
	if err != nil {
		return nil, err
	}
	return newTimestamp(info, chain), nil
}

// checkInfo checks what the TSTInfo says against what is expected. It is
// unverified as yet; a token that fails here need not be looked at further.
func (p *Policy) checkInfo(info *tsp.Info, imprint tsp.Imprint, now time.Time) error {
	if err := checkImprint(info.Imprint, imprint); err != nil {
		return err
	}
	if p.Nonce != nil {
		if err := checkNonce(info.Nonce, p.Nonce); err != nil {
			return err
		}
	}
	if len(p.Policies) > 0 && !slices.ContainsFunc(p.Policies, info.Policy.Equal) {
		return fail(ReasonPolicy, "the token was issued under %v, which is not among the policies accepted", info.Policy)
	}
	for _, ext := range info.Extensions {
		// No extension of a TSTInfo is understood here; those that are not
		// critical may be ignored (RFC 3161, 2.4.2; RFC 5280, 4.2).
		if ext.Critical {
			return fail(ReasonExtension, "the TSTInfo has the unknown critical extension %v", ext.Id)
		}
	}
	ahead := p.MaxFuture
	if ahead == 0 {
		ahead = DefaultMaxFuture
	}
	if limit := now.Add(max(ahead, 0)); info.GenTime.After(limit) {
		return fail(ReasonFuture, "the token's time %s is more than %v ahead of the local clock %s",
			stamp(info.GenTime), max(ahead, 0), stamp(now))
	}
	return nil
}

// checkImprint compares imprints (RFC 3161, 2.2) and refuses weak ones.
func checkImprint(got, want tsp.Imprint) error {
	if !oid.Strong(got.Hash) {
		return fail(ReasonWeakHash, "the token stamps a digest by %s, which is not strong enough", got.AlgorithmName())
	}
	if got.Equal(want) {
		return nil
	}
	if want.Hash == 0 {
		return fail(ReasonImprint, "no imprint of data was given to compare with")
	}
	return fail(ReasonImprint, "the token stamps other data: %s %s, expected %s %s",
		got.AlgorithmName(), hex.EncodeToString(got.Digest), want.AlgorithmName(), hex.EncodeToString(want.Digest))
}

func checkNonce(got, want tsp.Integer) error {
	switch {
	case got == nil:
		return fail(ReasonNonce, "the token has no nonce, expected %s", want.Hex())
	case !got.Equal(want):
		return fail(ReasonNonce, "the nonce is %s, expected %s", got.Hex(), want.Hex())
	}
	return nil
}

// checkPinned holds the signer against the certificate that was expected.
func (p *Policy) checkPinned(leaf *signer) error {
	if p.Certificate != nil && !leaf.cert.Equal(p.Certificate) {
		return fail(ReasonPinned, "the signer is %s with serial %x, expected was %s with serial %x",
			subject(leaf.cert), leaf.cert.SerialNumber, subject(p.Certificate), p.Certificate.SerialNumber)
	}
	if p.CommonName != "" && leaf.cert.Subject.CommonName != p.CommonName {
		return fail(ReasonPinned, "the signer's common name is %q, expected was %q", leaf.cert.Subject.CommonName, p.CommonName)
	}
	return nil
}

// maxNameText is the longest name printed in a message: a hostile certificate
// must not fill the screen.
const maxNameText = 200

// subject returns the subject of c as text for messages, quoted.
func subject(c *x509.Certificate) string {
	if n := len(c.RawSubject); n > maxName { // pkix writes a name in time that grows with its square
		return fmt.Sprintf("with a subject of %d bytes", n)
	}
	s := c.Subject.String()
	if len(s) > maxNameText {
		s = s[:maxNameText] + "..."
	}
	return fmt.Sprintf("%q", s)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
