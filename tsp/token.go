package tsp

import (
	"crypto/x509"
	"fmt"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// A Token is a parsed TimeStampToken: a CMS SignedData over a TSTInfo with one
// signer (RFC 3161, 2.4.2). Nothing in it is trusted; see package verify.
//
//	TimeStampToken ::= ContentInfo
//	  -- contentType is id-signedData, content is SignedData
type Token struct {
	// Raw is the ContentInfo in DER.
	Raw []byte
	// UnverifiedInfo is what the signer, whoever it is, says.
	UnverifiedInfo *Info
	// Version is that of the SignedData. 3 is right; old tokens have 1.
	Version int
	// Certificates are the X.509 certificates that came along, each in DER, in
	// the order of the encoding, which means nothing.
	Certificates [][]byte
	// OtherCertificates counts attribute certificates and other kinds, which
	// are not read.
	OtherCertificates int
	// CRLs are the revocation lists that came along, each in DER.
	CRLs   [][]byte
	Signer SignerInfo
}

// A SignerInfo is a signature and what it covers (RFC 5652, 5.3). Either
// Issuer and Serial or SubjectKeyID name the signer's certificate.
//
//	SignerInfo ::= SEQUENCE {
//	  version CMSVersion,
//	  sid SignerIdentifier,
//	  digestAlgorithm DigestAlgorithmIdentifier,
//	  signedAttrs [0] IMPLICIT SignedAttributes OPTIONAL,
//	  signatureAlgorithm SignatureAlgorithmIdentifier,
//	  signature SignatureValue,
//	  unsignedAttrs [1] IMPLICIT UnsignedAttributes OPTIONAL }
type SignerInfo struct {
	Version      int
	Issuer       []byte // DER Name
	Serial       Integer
	SubjectKeyID []byte
	Digest       Algorithm
	// RawSignedAttributes is what the signature covers: the attributes as they
	// came, with the tag of SET. Nil when there are none.
	RawSignedAttributes []byte
	SignedAttributes    []Attribute
	Algorithm           Algorithm
	Signature           []byte
	UnsignedAttributes  []Attribute
}

// An Algorithm is an AlgorithmIdentifier (RFC 5280, 4.1.1.2).
//
//	AlgorithmIdentifier ::= SEQUENCE {
//	  algorithm   OBJECT IDENTIFIER,
//	  parameters  ANY DEFINED BY algorithm OPTIONAL }
type Algorithm struct {
	OID        x509.OID
	Parameters []byte // one DER element, nil when absent
}

// An Attribute is a type and its values, each one DER element (RFC 5652, 5.3).
//
//	Attribute ::= SEQUENCE {
//	  attrType OBJECT IDENTIFIER,
//	  attrValues SET OF AttributeValue }
type Attribute struct {
	Type   x509.OID
	Values [][]byte
}

// ParseToken parses a token in DER or BER. The parts that are signed are kept
// as they came. It refuses a content other than TSTInfo, and no or more than
// one signer, with an error that wraps [ErrMalformed].
func ParseToken(in []byte) (*Token, error) {
	raw, err := open(in)
	if err == nil {
		var t *Token
		if t, err = parseToken(raw); err == nil {
			return t, nil
		}
	}
	return nil, fmt.Errorf("tsp: %w token: %w", ErrMalformed, err)
}

// parseToken parses DER that nobody else writes to.
func parseToken(raw []byte) (*Token, error) {
	d, err := cms.ParseSignedData(raw)
	if err != nil {
		return nil, err
	}
	if string(d.ContentType) != oid.TSTInfo {
		return nil, fmt.Errorf("content type %s is not id-ct-TSTInfo", oid.Dotted(d.ContentType))
	}
	if d.Content == nil {
		return nil, fmt.Errorf("the TSTInfo is not in the token")
	}
	t := &Token{
		Raw:               raw,
		Version:           int(d.Version),
		Certificates:      d.Certificates,
		OtherCertificates: d.OtherCertificates,
		CRLs:              d.CRLs,
	}
	if t.UnverifiedInfo, err = parseInfo(d.Content); err != nil {
		return nil, fmt.Errorf("TSTInfo: %w", err)
	}
	s := &d.Signer
	t.Signer = SignerInfo{
		Version:             int(s.Version),
		Issuer:              s.Issuer,
		Serial:              s.Serial,
		SubjectKeyID:        s.SubjectKeyID,
		Digest:              publicAlgorithm(&s.Digest),
		RawSignedAttributes: s.RawSignedAttributes,
		SignedAttributes:    publicAttributes(s.SignedAttributes),
		Algorithm:           publicAlgorithm(&s.SignatureAlgorithm),
		Signature:           s.Signature,
		UnsignedAttributes:  publicAttributes(s.UnsignedAttributes),
	}
	return t, nil
}

// Content returns the octets of the TSTInfo, which the messageDigest attribute
// is the digest of.
func (t *Token) Content() []byte { return t.UnverifiedInfo.Raw }

func publicAlgorithm(a *cms.Algorithm) Algorithm {
	id, _ := oid.Public(a.OID)
	return Algorithm{OID: id, Parameters: a.Parameters}
}

func publicAttributes(list []cms.Attribute) []Attribute {
	if len(list) == 0 {
		return nil
	}
	out := make([]Attribute, len(list))
	for i, a := range list {
		id, _ := oid.Public(a.Type)
		out[i] = Attribute{Type: id, Values: a.Values}
	}
	return out
}
