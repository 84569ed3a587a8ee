package cms

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// A SignerInfo is one signature and what it covers.
//
//	SignerInfo ::= SEQUENCE {
//	  version CMSVersion,
//	  sid SignerIdentifier,
//	  digestAlgorithm DigestAlgorithmIdentifier,
//	  signedAttrs [0] IMPLICIT SignedAttributes OPTIONAL,
//	  signatureAlgorithm SignatureAlgorithmIdentifier,
//	  signature SignatureValue,
//	  unsignedAttrs [1] IMPLICIT UnsignedAttributes OPTIONAL }
//
//	SignerIdentifier ::= CHOICE {
//	  issuerAndSerialNumber IssuerAndSerialNumber,
//	  subjectKeyIdentifier [0] SubjectKeyIdentifier }
type SignerInfo struct {
	Version      int64
	Issuer       []byte // DER Name, nil when the key identifier is used
	Serial       []byte // content octets
	SubjectKeyID []byte // nil when issuer and serial are used
	Digest       Algorithm

	// RawSignedAttributes is the signedAttrs field as it came, but for its
	// tag, which is that of SET: these are the bytes to digest (RFC 5652,
	// 5.4). They are not sorted again: an authority that signed unsorted
	// attributes signed these bytes. Nil when the field is absent.
	RawSignedAttributes []byte
	SignedAttributes    []Attribute
	SignatureAlgorithm  Algorithm
	Signature           []byte
	UnsignedAttributes  []Attribute
}

// An Attribute is a type and a set of values, each a whole element.
//
//	Attribute ::= SEQUENCE {
//	  attrType OBJECT IDENTIFIER,
//	  attrValues SET OF AttributeValue }
type Attribute struct {
	Type   []byte // content octets
	Values [][]byte
}

func (si *SignerInfo) parse(signers *cryptobyte.String) error {
	var s cryptobyte.String
	if !signers.ReadASN1(&s, asn1.SEQUENCE) {
		return errors.New("not a SEQUENCE")
	}
	if !readVersion(&s, &si.Version) {
		return errors.New("malformed version")
	}
	if keyID := asn1.Tag(0).ContextSpecific(); s.PeekASN1Tag(keyID) {
		var id cryptobyte.String
		if !s.ReadASN1(&id, keyID) || len(id) == 0 {
			return errors.New("malformed subjectKeyIdentifier")
		}
		si.SubjectKeyID = id
	} else {
		var sid, name cryptobyte.String
		if !s.ReadASN1(&sid, asn1.SEQUENCE) || !sid.ReadASN1Element(&name, asn1.SEQUENCE) ||
			!readSerial(&sid, &si.Serial) || !sid.Empty() {
			return errors.New("malformed issuerAndSerialNumber")
		}
		si.Issuer = name
	}
	if !ReadAlgorithm(&s, &si.Digest) {
		return errors.New("malformed digestAlgorithm")
	}
	if tag := asn1.Tag(0).ContextSpecific().Constructed(); s.PeekASN1Tag(tag) {
		var raw cryptobyte.String
		if !s.ReadASN1Element(&raw, tag) {
			return errors.New("malformed signedAttrs")
		}
		si.RawSignedAttributes = append([]byte{der.TagSet}, raw[1:]...)
		var err error
		if si.SignedAttributes, err = ParseAttributes(raw, tag); err != nil {
			return fmt.Errorf("signedAttrs: %w", err)
		}
		if len(si.SignedAttributes) == 0 {
			return errors.New("signedAttrs: empty, it must hold at least one attribute")
		}
	}
	if !ReadAlgorithm(&s, &si.SignatureAlgorithm) {
		return errors.New("malformed signatureAlgorithm")
	}
	var signature cryptobyte.String
	if !s.ReadASN1(&signature, asn1.OCTET_STRING) {
		return errors.New("malformed signature")
	}
	si.Signature = signature
	if tag := asn1.Tag(1).ContextSpecific().Constructed(); s.PeekASN1Tag(tag) {
		var raw cryptobyte.String
		if !s.ReadASN1Element(&raw, tag) {
			return errors.New("malformed unsignedAttrs")
		}
		var err error
		if si.UnsignedAttributes, err = ParseAttributes(raw, tag); err != nil {
			return fmt.Errorf("unsignedAttrs: %w", err)
		}
	}
	if !s.Empty() {
		return errors.New("bytes after the last field")
	}
	return nil
}

// ParseAttributes parses a set of attributes that has the given tag, in the
// order of its encoding.
func ParseAttributes(raw []byte, tag asn1.Tag) ([]Attribute, error) {
	s := cryptobyte.String(raw)
	var set cryptobyte.String
	if !s.ReadASN1(&set, tag) || !s.Empty() {
		return nil, errors.New("malformed set of attributes")
	}
	var out []Attribute
	for !set.Empty() {
		if len(out) == maxAttributes {
			return nil, fmt.Errorf("more than %d attributes", maxAttributes)
		}
		var attr, values cryptobyte.String
		var a Attribute
		if !set.ReadASN1(&attr, asn1.SEQUENCE) || !der.OID(&attr, &a.Type) ||
			!attr.ReadASN1(&values, asn1.SET) || !attr.Empty() {
			return nil, fmt.Errorf("malformed attribute %d", len(out)+1)
		}
		for !values.Empty() {
			var v []byte
			if len(a.Values) == maxValues {
				return nil, fmt.Errorf("more than %d values of attribute %d", maxValues, len(out)+1)
			}
			if !der.Element(&values, &v) {
				return nil, fmt.Errorf("malformed value of attribute %d", len(out)+1)
			}
			a.Values = append(a.Values, v)
		}
		out = append(out, a)
	}
	return out, nil
}
