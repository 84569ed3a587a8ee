package envelope

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Limits on an envelope.
const (
	// MaxSize is that of a whole envelope, in bytes, as Notation has it for
	// what it fetches.
	MaxSize = 32 << 20
	// maxPayload is the size of what is signed, in bytes: a descriptor with its
	// annotations, which has to fit in a manifest of at most 4 MiB.
	maxPayload = 4 << 20
	// maxProtected is the size of the signed attributes, in bytes. Those in use
	// have some hundred.
	maxProtected = 64 << 10
	// maxUnprotected is the size of what is not signed, in bytes, as encoded:
	// the chain, a token, and what others may add.
	maxUnprotected = 4 << 20
	// maxUnknown is the size of what is not signed and unknown here, in bytes.
	// It is decoded for nothing, at up to forty times its size.
	maxUnknown = 64 << 10
	// maxMembers of one object or map: known ones are ten.
	maxMembers = 256
	// maxDepth of arrays and objects in one another. What is known has three.
	maxDepth = 16
	// maxToken is the size of a timestamp token, in bytes: that of the longest
	// answer of an authority that Notation takes.
	maxToken = 1 << 20
	// maxSignature is the size of a signature, in bytes. RSA with 4096 bits
	// has 512.
	maxSignature = 1 << 10
	// maxAgent is the size of the signing agent's name, in bytes.
	maxAgent = 4 << 10
)

// A Scheme is what vouches for the time of a signature (Notary Project signing
// scheme specification).
type Scheme string

const (
	// SchemeX509: a timestamp authority, if anybody. The SigningTime is what
	// the signer says.
	SchemeX509 Scheme = "notary.x509"
	// SchemeSigningAuthority: the signer, who is trusted to say the
	// AuthenticSigningTime.
	SchemeSigningAuthority Scheme = "notary.x509.signingAuthority"
)

// Content is what an envelope says. Its byte slices are shared with the
// envelope, and not to be changed.
type Content struct {
	PayloadType string
	Payload     []byte

	Scheme Scheme
	// SigningTime is in whole seconds and UTC, as the other times are; zero
	// under SchemeSigningAuthority.
	SigningTime time.Time
	// Expiry is zero if there is none.
	Expiry time.Time
	// AuthenticSigningTime is zero under SchemeX509.
	AuthenticSigningTime time.Time
	// Extended are the signed attributes that are not of the list above, in the
	// order of the envelope.
	Extended []Attribute

	Algorithm Algorithm
	// Signature is its bytes, raw; they are what a timestamp is over.
	Signature []byte

	// Chain is the signer's, leaf first. It is not signed, but for the leaf's
	// key. The certificates are shared, and not to be changed.
	Chain []*x509.Certificate
	// Timestamp is the RFC 3161 token, not signed, nil if there is none.
	Timestamp []byte
	// Agent is the program that signed, not signed, empty if it does not say.
	Agent string
}

// An Attribute is a signed one that the Notary Project does not define, or
// defines for plugins.
type Attribute struct {
	// Key is the member's name, or the label. One that is a number in COSE is
	// in decimal here.
	Key string
	// Critical: whoever does not process it must refuse the signature.
	Critical bool
	// Value is as encoding/json decodes it into an any. From COSE it is a
	// string, int64, []byte, bool or nil, and anything else as a string in
	// diagnostic notation (RFC 8949, 8).
	Value any
}

// The attributes for the plugins of Notation (signature specification,
// "Extended attributes for Notation Plugins").
const (
	attributePlugin        = "io.cncf.notary.verificationPlugin"
	attributePluginVersion = "io.cncf.notary.verificationPluginMinVersion"
)

// Unprocessed returns an error if the signer wants more than what this package
// does: that a verification plugin is asked, or an attribute processed that
// is critical. It is an *Error with [ReasonPlugin] or [ReasonCritical].
// [Envelope.Verify] does not ask, because whoever has such a plugin might.
func (c *Content) Unprocessed() error {
	for _, a := range c.Extended {
		switch {
		case a.Key == attributePlugin, a.Key == attributePluginVersion:
			return fail(ReasonPlugin, "protected header: %s is %.100q: the signature is to be verified by a plugin, and none is run here", a.Key, fmt.Sprint(a.Value))
		case a.Critical:
			return fail(ReasonCritical, "protected header: crit names %q, which is not processed here", a.Key)
		}
	}
	return nil
}

// An Envelope is a parsed one. It is safe for concurrent use.
type Envelope struct {
	Format Format
	// Raw is the whole envelope. It is not to be changed.
	Raw []byte
	// Unverified is what the envelope says, whoever made it.
	Unverified Content

	content Content
	cache   *Cache
	chain   *chain
	// signed is what the signature is over, in pieces.
	signed [][]byte
	// open is where in Raw that is which is not signed and may be rewritten.
	open span
}

// A span is a part of a byte slice, from a byte up to but without another.
type span struct{ from, to int }

// Parse reads an envelope of at most [MaxSize] bytes and verifies nothing. An
// error is an *Error.
func Parse(f Format, data []byte) (*Envelope, error) {
	return (*Cache)(nil).Parse(f, data)
}

// Parse is the function of that name for envelopes whose chains are remembered.
// A nil Cache remembers none.
func (c *Cache) Parse(f Format, data []byte) (*Envelope, error) {
	if len(data) > MaxSize {
		return nil, fail(ReasonMalformed, "%d bytes; at most %d are read", len(data), MaxSize)
	}
	e := &Envelope{Format: f, Raw: bytes.Clone(data), cache: c}
	var err error
	switch f {
	case JWS:
		err = e.parseJWS()
	case COSE:
		err = e.parseCOSE()
	default:
		err = fail(ReasonMalformed, "unknown format %q", f)
	}
	if err != nil {
		return nil, err
	}
	e.Unverified = e.content.clone()
	return e, nil
}

func (c Content) clone() Content {
	c.Chain, c.Extended = slices.Clone(c.Chain), slices.Clone(c.Extended)
	return c
}

// unsigned are the parts of an envelope that need no more than the raw bytes.
type unsigned struct {
	signature    []byte
	certificates [][]byte
	timestamp    []byte
	agent        string
}

// fill puts the signed and the unsigned parts together.
func (e *Envelope) fill(h *header, u unsigned, payload []byte) error {
	if err := h.check(e.Format); err != nil {
		return within("protected header", err)
	}
	switch n := len(u.signature); {
	case n == 0:
		return fail(ReasonMalformed, "signature: it is empty")
	case n > maxSignature:
		return fail(ReasonMalformed, "signature: %d bytes; at most %d are read", n, maxSignature)
	}
	if n := len(payload); n > maxPayload {
		return fail(ReasonMalformed, "payload: %d bytes; at most %d are read", n, maxPayload)
	}
	if n := len(u.timestamp); n > maxToken {
		return fail(ReasonMalformed, "%s: %d bytes; at most %d are read", nameTimestamp, n, maxToken)
	}
	if n := len(u.agent); n > maxAgent {
		return fail(ReasonMalformed, "%s: %d bytes; at most %d are read", nameAgent, n, maxAgent)
	}
	var err error
	if e.chain, err = e.cache.chain(u.certificates); err != nil {
		return err
	}
	e.content = h.content()
	e.content.Payload, e.content.Signature = payload, u.signature
	e.content.Chain, e.content.Timestamp, e.content.Agent = e.chain.certs, u.timestamp, u.agent
	return nil
}

// Verify verifies the signature under the key of the leaf, which decides on the
// algorithm, the profile of the chain ("Certificate requirements"), the content
// type and the payload. The content is what the owner of the leaf's key signed,
// whoever that is. An error is an *Error.
func (e *Envelope) Verify() (*Content, error) {
	if e.chain == nil {
		return nil, fail(ReasonMalformed, "the envelope was never parsed")
	}
	if err := e.checkAlgorithm(); err != nil {
		return nil, err
	}
	if err := e.verifySignature(); err != nil {
		return nil, err
	}
	if err := e.checkRest(); err != nil {
		return nil, err
	}
	c := e.content.clone()
	return &c, nil
}

func (e *Envelope) checkAlgorithm() error {
	want, err := algorithmFor(e.chain.certs[0].PublicKey)
	if err != nil {
		return within("the certificate of the signer", err)
	}
	if got := e.content.Algorithm; got != want {
		return fail(ReasonAlgorithm, "protected header: alg is %.40s; the key of the signer's certificate signs with %s", printable(got.Name), want.Name)
	}
	return nil
}

// verifySignature is for an envelope with the algorithm of its key.
func (e *Envelope) verifySignature() error {
	leaf, algorithm := e.chain.certs[0], e.content.Algorithm
	h := algorithm.Hash.New()
	for _, part := range e.signed {
		h.Write(part)
	}
	if !verifySignature(leaf.PublicKey, algorithm.Hash, h.Sum(nil), e.content.Signature) {
		return fail(ReasonSignature, "the %s signature is not one of this payload and these attributes by the certificate of %q", algorithm.Name, leaf.Subject)
	}
	return nil
}

// checkRest comes after the signature, because a chain that is seen for the
// first time costs some more.
func (e *Envelope) checkRest() error {
	if err := e.chain.profile(); err != nil {
		return err
	}
	if e.content.PayloadType != PayloadType {
		return fail(ReasonPayload, "protected header: the content type is %.100q, not %s", e.content.PayloadType, PayloadType)
	}
	_, err := ParsePayload(e.content.Payload)
	return err
}
