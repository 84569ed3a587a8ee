// Package cms reads the part of the Cryptographic Message Syntax (RFC 5652)
// that a timestamp token uses: a SignedData with its signers, their
// attributes, and the signing certificate references of RFC 2634 and RFC 5035.
//
// It parses and bounds; it trusts nothing. Sets are read in the order of their
// encoding, because public authorities do not sort them, and bytes that were
// signed are returned as they came.
package cms

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// Limits on what one SignedData may hold. Real tokens have up to five
// certificates, two CRLs, one signer and eight attributes; each limit leaves
// room for the odd one and ends the work that a hostile one can cause.
const (
	maxCertificates     = 64
	maxCRLs             = 64
	maxDigestAlgorithms = 16
	maxAttributes       = 64
	maxValues           = 16

	// maxVersion bounds a CMSVersion. RFC 5652 has reached 5; an int of 32 bits
	// must not make one of these out of a greater number.
	maxVersion = 127

	// maxSerial bounds the serial number of a certificate, in octets. RFC 5280,
	// 4.1.2.2 allows 20; writing one of megabytes in decimal takes minutes.
	maxSerial = 64
)

func readSerial(s *cryptobyte.String, out *[]byte) bool {
	return der.Integer(s, out) && len(*out) <= maxSerial
}

func readVersion(s *cryptobyte.String, out *int64) bool {
	return der.SmallInteger(s, out) && *out >= -maxVersion && *out <= maxVersion
}

// An Algorithm is an AlgorithmIdentifier.
//
//	AlgorithmIdentifier ::= SEQUENCE {
//	  algorithm   OBJECT IDENTIFIER,
//	  parameters  ANY DEFINED BY algorithm OPTIONAL }
type Algorithm struct {
	Raw        []byte // the whole element
	OID        []byte // content octets
	Parameters []byte // the whole element, nil when absent
}

// ReadAlgorithm reads an AlgorithmIdentifier.
func ReadAlgorithm(s *cryptobyte.String, out *Algorithm) bool {
	var raw, body cryptobyte.String
	if !s.ReadASN1Element(&raw, asn1.SEQUENCE) {
		return false
	}
	out.Raw = raw
	if !raw.ReadASN1(&body, asn1.SEQUENCE) || !der.OID(&body, &out.OID) {
		return false
	}
	out.Parameters = nil
	if !body.Empty() && !der.Element(&body, &out.Parameters) {
		return false
	}
	return body.Empty()
}

// AbsentOrNull reports whether the parameters are absent or NULL, the two
// forms that RFC 5754, 2 makes a receiver accept for a hash algorithm.
func (a *Algorithm) AbsentOrNull() bool {
	return len(a.Parameters) == 0 || string(a.Parameters) == "\x05\x00"
}

// A SignedData is the content of a ContentInfo of type id-signedData.
//
//	SignedData ::= SEQUENCE {
//	  version CMSVersion,
//	  digestAlgorithms DigestAlgorithmIdentifiers,
//	  encapContentInfo EncapsulatedContentInfo,
//	  certificates [0] IMPLICIT CertificateSet OPTIONAL,
//	  crls [1] IMPLICIT RevocationInfoChoices OPTIONAL,
//	  signerInfos SignerInfos }
type SignedData struct {
	Version           int64
	DigestAlgorithms  []Algorithm
	ContentType       []byte   // content octets of the identifier
	Content           []byte   // the octets of the eContent, nil when absent
	Certificates      [][]byte // the X.509 ones, in the order of the encoding
	OtherCertificates int      // attribute certificates and other kinds
	CRLs              [][]byte // the CertificateList ones
	Signer            SignerInfo
}

// ParseSignedData parses a DER ContentInfo of type id-signedData with one
// SignerInfo.
//
//	ContentInfo ::= SEQUENCE {
//	  contentType ContentType,
//	  content [0] EXPLICIT ANY DEFINED BY contentType }
func ParseSignedData(in []byte) (*SignedData, error) {
	s := cryptobyte.String(in)
	var info, content cryptobyte.String
	var contentType []byte
	if !s.ReadASN1(&info, asn1.SEQUENCE) || !s.Empty() {
		return nil, errors.New("contentInfo: not one SEQUENCE")
	}
	if !der.OID(&info, &contentType) {
		return nil, errors.New("contentInfo: malformed contentType")
	}
	if string(contentType) != oid.SignedData {
		return nil, fmt.Errorf("contentInfo: type %s is not id-signedData", oid.Dotted(contentType))
	}
	var body cryptobyte.String
	if !info.ReadASN1(&content, asn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() ||
		!content.ReadASN1(&body, asn1.SEQUENCE) || !content.Empty() {
		return nil, errors.New("contentInfo: malformed content")
	}
	return parseBody(body)
}

func parseBody(s cryptobyte.String) (*SignedData, error) {
	d := &SignedData{}
	if !readVersion(&s, &d.Version) {
		return nil, errors.New("signedData: malformed version")
	}
	var algorithms cryptobyte.String
	if !s.ReadASN1(&algorithms, asn1.SET) {
		return nil, errors.New("signedData: malformed digestAlgorithms")
	}
	for !algorithms.Empty() {
		if len(d.DigestAlgorithms) == maxDigestAlgorithms {
			return nil, fmt.Errorf("signedData: more than %d digestAlgorithms", maxDigestAlgorithms)
		}
		var a Algorithm
		if !ReadAlgorithm(&algorithms, &a) {
			return nil, errors.New("signedData: malformed digestAlgorithms")
		}
		d.DigestAlgorithms = append(d.DigestAlgorithms, a)
	}
	if err := d.parseContent(&s); err != nil {
		return nil, err
	}
	if err := d.parseCertificates(&s); err != nil {
		return nil, err
	}
	var signers cryptobyte.String
	if !s.ReadASN1(&signers, asn1.SET) {
		return nil, errors.New("signedData: malformed signerInfos")
	}
	if !s.Empty() {
		return nil, errors.New("signedData: bytes after signerInfos")
	}
	// RFC 3161, 2.4.2: no signature other than that of the TSA.
	if signers.Empty() {
		return nil, errors.New("signedData: no signerInfo, one is needed")
	}
	if err := d.Signer.parse(&signers); err != nil {
		return nil, fmt.Errorf("signerInfo: %w", err)
	}
	if !signers.Empty() {
		return nil, errors.New("signedData: more than one signerInfo")
	}
	return d, nil
}

// parseContent reads the encapContentInfo.
//
//	EncapsulatedContentInfo ::= SEQUENCE {
//	  eContentType ContentType,
//	  eContent [0] EXPLICIT OCTET STRING OPTIONAL }
func (d *SignedData) parseContent(s *cryptobyte.String) error {
	var encap, wrapper, octets cryptobyte.String
	if !s.ReadASN1(&encap, asn1.SEQUENCE) || !der.OID(&encap, &d.ContentType) {
		return errors.New("signedData: malformed encapContentInfo")
	}
	if encap.Empty() {
		return nil
	}
	if !encap.ReadASN1(&wrapper, asn1.Tag(0).ContextSpecific().Constructed()) || !encap.Empty() ||
		!wrapper.ReadASN1(&octets, asn1.OCTET_STRING) || !wrapper.Empty() {
		return errors.New("signedData: malformed eContent")
	}
	d.Content = octets
	if d.Content == nil {
		d.Content = []byte{}
	}
	return nil
}

// parseCertificates reads certificates and crls. A CertificateChoices that
// begins with SEQUENCE is an X.509 certificate, the tagged ones are PKCS#6,
// attribute and other certificates (RFC 5652, 10.2.2), which occur in the wild
// and say nothing about the signer. Likewise for RevocationInfoChoice (10.2.1).
func (d *SignedData) parseCertificates(s *cryptobyte.String) error {
	for _, set := range []struct {
		tag   asn1.Tag
		name  string
		max   int
		into  *[][]byte
		other *int
	}{
		{asn1.Tag(0).ContextSpecific().Constructed(), "certificates", maxCertificates, &d.Certificates, &d.OtherCertificates},
		{asn1.Tag(1).ContextSpecific().Constructed(), "crls", maxCRLs, &d.CRLs, new(int)},
	} {
		if !s.PeekASN1Tag(set.tag) {
			continue
		}
		var choices cryptobyte.String
		if !s.ReadASN1(&choices, set.tag) {
			return fmt.Errorf("signedData: malformed %s", set.name)
		}
		for !choices.Empty() {
			if len(*set.into)+*set.other == set.max {
				return fmt.Errorf("signedData: more than %d %s", set.max, set.name)
			}
			isX509 := choices.PeekASN1Tag(asn1.SEQUENCE)
			var el []byte
			if !der.Element(&choices, &el) {
				return fmt.Errorf("signedData: malformed %s", set.name)
			}
			if isX509 {
				*set.into = append(*set.into, el)
			} else {
				*set.other++
			}
		}
	}
	return nil
}
