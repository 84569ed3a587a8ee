package tsp

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// A Request asks for a timestamp.
//
//	TimeStampReq ::= SEQUENCE {
//	  version         INTEGER { v1(1) },
//	  messageImprint  MessageImprint,
//	  reqPolicy       TSAPolicyId OPTIONAL,
//	  nonce           INTEGER OPTIONAL,
//	  certReq         BOOLEAN DEFAULT FALSE,
//	  extensions      [0] IMPLICIT Extensions OPTIONAL }
type Request struct {
	// Raw is the DER that was parsed. Nil in a request made by hand.
	Raw []byte
	// Version is 1. Zero is taken for 1 when marshalling.
	Version int
	Imprint Imprint
	// Policy is the policy asked for. The zero value asks for none.
	Policy x509.OID
	// Nonce is echoed by the authority. Nil asks for none; then only the local
	// clock tells a replayed answer from a new one.
	Nonce Integer
	// CertReq asks for the authority's certificate in the token.
	CertReq    bool
	Extensions []pkix.Extension

	// explicitFalse is set for a certReq FALSE that was written out, which DER
	// forbids and some clients do.
	explicitFalse bool
}

// NewRequest returns a request for a stamp on m with a fresh nonce, which
// asks for the authority's certificate.
func NewRequest(m Imprint) *Request {
	return &Request{Version: 1, Imprint: m, Nonce: NewNonce(), CertReq: true}
}

// ParseRequest parses a request of version 1. It accepts a hash algorithm or
// a policy that it does not know, and an explicit certReq FALSE, and nothing
// else that is not DER. Its error is a [*Rejection] with the failure
// information that the fault calls for: badDataFormat for what is not well
// formed, badRequest for a version that is not 1 and for a nonce of more than
// [MaxInteger] octets, badAlg for hash parameters other than NULL.
func ParseRequest(in []byte) (*Request, error) {
	if len(in) > MaxMessage {
		return nil, Reject(BadDataFormat, "request is %d bytes long, at most %d are read", len(in), MaxMessage)
	}
	r := &Request{Raw: bytes.Clone(in)}
	s := cryptobyte.String(r.Raw)
	var body cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) {
		return nil, Reject(BadDataFormat, "request is not a DER TimeStampReq")
	}
	if !s.Empty() {
		return nil, Reject(BadDataFormat, "%d bytes after the request", len(s))
	}
	var version []byte
	if !body.PeekASN1Tag(asn1.INTEGER) {
		return nil, Reject(BadDataFormat, "version: missing")
	}
	if !der.Integer(&body, &version) {
		return nil, Reject(BadDataFormat, "version: not a minimal DER INTEGER")
	}
	if len(version) > 8 {
		return nil, Reject(BadRequest, "version of %d octets is not supported, only 1 is", len(version))
	}
	if v := der.Int64(version); v != 1 { // RFC 3161, 2.4.1
		return nil, Reject(BadRequest, "version %d is not supported, only 1 is", v)
	}
	r.Version = 1
	if err := readImprint(&body, &r.Imprint); err != nil {
		info := BadDataFormat
		if errors.Is(err, errHashParameters) {
			info = BadAlg
		}
		return nil, Reject(info, "%v", err)
	}
	if err := r.readOptions(&body); err != nil {
		return nil, err
	}
	return r, nil
}

// readOptions reads what follows the imprint. Each field may be absent, but
// they come in this order and once; anything else is left over at the end.
func (r *Request) readOptions(body *cryptobyte.String) error {
	if body.PeekASN1Tag(asn1.OBJECT_IDENTIFIER) {
		var content []byte
		if !der.OID(body, &content) {
			return Reject(BadDataFormat, "reqPolicy: malformed object identifier")
		}
		var ok bool
		if r.Policy, ok = oid.Public(content); !ok {
			return Reject(BadDataFormat, "reqPolicy: malformed object identifier")
		}
	}
	if body.PeekASN1Tag(asn1.INTEGER) {
		var content []byte
		if !der.Integer(body, &content) {
			return Reject(BadDataFormat, "nonce: not a minimal DER INTEGER")
		}
		if len(content) > MaxInteger {
			return Reject(BadRequest, "nonce: %d octets, at most %d are accepted", len(content), MaxInteger)
		}
		r.Nonce = content
	}
	if body.PeekASN1Tag(asn1.BOOLEAN) {
		if !der.Boolean(body, &r.CertReq) {
			return Reject(BadDataFormat, "certReq: not a DER BOOLEAN")
		}
		r.explicitFalse = !r.CertReq
	}
	if tag := asn1.Tag(0).ContextSpecific().Constructed(); body.PeekASN1Tag(tag) {
		var err error
		if r.Extensions, err = readExtensions(body, tag); err != nil {
			return Reject(BadDataFormat, "extensions: %v", err)
		}
	}
	if !body.Empty() {
		return Reject(BadDataFormat, "unexpected element with tag %#02x after the fields of a request", (*body)[0])
	}
	return nil
}

// Marshal returns the DER of r. Parsing the result gives an equal request, and
// marshalling a parsed request gives the bytes that were parsed.
func (r *Request) Marshal() ([]byte, error) {
	if r.Version != 0 && r.Version != 1 {
		return nil, fmt.Errorf("tsp: version %d cannot be encoded, only 1 can", r.Version)
	}
	imprint, err := r.Imprint.marshal()
	if err != nil {
		return nil, fmt.Errorf("tsp: %w", err)
	}
	body := append(der.AppendInt(nil, 1), imprint...)
	if !oid.IsZero(r.Policy) {
		body = der.Append(body, der.TagOID, oid.Content(r.Policy))
	}
	if r.Nonce != nil {
		if err := r.Nonce.check(); err != nil {
			return nil, fmt.Errorf("tsp: nonce: %w", err)
		}
		body = der.Append(body, der.TagInteger, r.Nonce)
	}
	switch {
	case r.CertReq:
		body = append(body, der.TagBoolean, 1, 0xff)
	case r.explicitFalse:
		body = append(body, der.TagBoolean, 1, 0x00)
	}
	if len(r.Extensions) > 0 {
		if body, err = appendExtensions(body, der.Context(0), r.Extensions); err != nil {
			return nil, fmt.Errorf("tsp: %w", err)
		}
	}
	return der.Make(der.TagSequence, body), nil
}
