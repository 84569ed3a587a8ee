package verify

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	_ "crypto/sha1" // ESSCertID of the first version
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"
	"crypto/x509"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// signedAttributes is what the signer's part of a token says, read and checked
// as far as that goes without the signer's certificate.
type signedAttributes struct {
	scheme scheme
	// v1 and v2 are the certificates that signingCertificate and
	// signingCertificateV2 name, nil when the attribute is absent. The first
	// of each is the signer's.
	v1, v2 []cms.ESSCertID
}

// checkSignerInfo checks the versions, the algorithms and the signed
// attributes of a token.
func checkSignerInfo(t *tsp.Token) (*signedAttributes, error) {
	// RFC 5652, 5.1: the version is 3 for a content that is not id-data, 4 and
	// 5 when there are newer kinds of certificates or revocation data. Some
	// old authorities (Rekor's of 2021, Certum) sent 1.
	switch t.Version {
	case 1, 3, 4, 5:
	default:
		return nil, fail(ReasonSignedData, "the version of the SignedData is %d, it must be 3", t.Version)
	}
	s := &t.Signer
	// RFC 5652, 5.3: version 1 goes with issuerAndSerialNumber, 3 with
	// subjectKeyIdentifier.
	if want := sidVersion(s); s.Version != want {
		return nil, fail(ReasonSignedData, "the version of the SignerInfo is %d, its signer identifier calls for %d", s.Version, want)
	}
	digest := oid.Hash(oid.Content(s.Digest.OID))
	if !oid.Strong(digest) {
		return nil, fail(ReasonDigestAlgorithm, "the signer digests with %s, which is unknown or not strong enough", algorithmName(s.Digest.OID))
	}
	if !absentOrNull(s.Digest.Parameters) { // RFC 5754, 2
		return nil, fail(ReasonDigestAlgorithm, "the digest algorithm has parameters that are neither absent nor NULL")
	}
	scheme, err := parseScheme(s.Algorithm, digest)
	if err != nil {
		return nil, err
	}
	// RFC 5652, 5.3: they "MUST be present if the content type is not id-data".
	if s.RawSignedAttributes == nil {
		return nil, fail(ReasonSignedAttributes, "there are none")
	}
	a := &signedAttributes{scheme: scheme}
	if err := a.read(t, digest); err != nil {
		return nil, err
	}
	return a, nil
}

func sidVersion(s *tsp.SignerInfo) int {
	if s.SubjectKeyID != nil {
		return 3
	}
	return 1
}

// read goes through the signed attributes. Those that are known must occur
// once with one value (RFC 5652, 11; RFC 5035, 5.4; RFC 6211, 2): otherwise two
// readers could each believe another one. Unknown ones say nothing about trust.
func (a *signedAttributes) read(t *tsp.Token, digest crypto.Hash) error {
	known := [...]string{oid.ContentType, oid.MessageDigest, oid.SigningCertificate, oid.SigningCertificateV2,
		oid.SigningTime, oid.AlgorithmProtection}
	var values [len(known)][]byte
	for _, attr := range t.Signer.SignedAttributes {
		content := oid.Content(attr.Type)
		for i, k := range known {
			switch {
			case string(content) != k:
				continue
			case values[i] != nil:
				return fail(attributeReason(k), "attribute %s occurs twice", algorithmName(attr.Type))
			case len(attr.Values) != 1:
				return fail(attributeReason(k), "attribute %s has %d values, it must have one", algorithmName(attr.Type), len(attr.Values))
			}
			values[i] = attr.Values[0]
		}
	}
	contentType, messageDigest, v1, v2, protection := values[0], values[1], values[2], values[3], values[5]

	// RFC 5652, 11.1: the contentType attribute must match the eContentType,
	// which for a timestamp is id-ct-TSTInfo. Without this check the bytes
	// that were signed here could have been meant as something else.
	if contentType == nil {
		return fail(ReasonSignedAttributes, "contentType is missing")
	}
	s := cryptobyte.String(contentType)
	var id []byte
	if !der.OID(&s, &id) || !s.Empty() {
		return fail(ReasonSignedAttributes, "contentType is malformed")
	}
	if string(id) != oid.TSTInfo {
		return fail(ReasonSignedAttributes, "contentType is %s, it must be id-ct-TSTInfo", oid.Dotted(id))
	}

	if messageDigest == nil {
		return fail(ReasonSignedAttributes, "messageDigest is missing")
	}
	s = messageDigest
	var octets cryptobyte.String
	if !s.ReadASN1(&octets, asn1.OCTET_STRING) || !s.Empty() {
		return fail(ReasonSignedAttributes, "messageDigest is malformed")
	}
	// RFC 8933, 3: messageDigest and the signature use the one digestAlgorithm.
	if !bytes.Equal(octets, hashSum(digest, t.Content())) {
		return fail(ReasonMessageDigest, "the messageDigest attribute is not the %v digest of the TSTInfo", digest)
	}
	if err := checkProtection(protection, &t.Signer); err != nil {
		return err
	}
	// signingTime is not looked at: the authority's own clock reading is in
	// the TSTInfo.
	var err error
	if v1 != nil {
		if a.v1, err = cms.ParseSigningCertificate(v1); err != nil {
			return failed(ReasonSigningCertificate, err, "the signingCertificate attribute is malformed")
		}
	}
	if v2 != nil {
		if a.v2, err = cms.ParseSigningCertificateV2(v2); err != nil {
			return failed(ReasonSigningCertificate, err, "the signingCertificateV2 attribute is malformed")
		}
	}
	return nil
}

func attributeReason(attribute string) Reason {
	if attribute == oid.SigningCertificate || attribute == oid.SigningCertificateV2 {
		return ReasonSigningCertificate
	}
	return ReasonSignedAttributes
}

// checkProtection compares the cmsAlgorithmProtection attribute, where there
// is one, with the algorithms of the SignerInfo, which are not signed.
//
//	CMSAlgorithmProtection ::= SEQUENCE {
//	  digestAlgorithm         DigestAlgorithmIdentifier,
//	  signatureAlgorithm  [1] SignatureAlgorithmIdentifier OPTIONAL,
//	  macAlgorithm        [2] MessageAuthenticationCodeAlgorithm OPTIONAL }
func checkProtection(value []byte, s *tsp.SignerInfo) error {
	if value == nil {
		return nil
	}
	in := cryptobyte.String(value)
	var body, raw cryptobyte.String
	var digest, signature cms.Algorithm
	tag := asn1.Tag(1).ContextSpecific().Constructed()
	if !in.ReadASN1(&body, asn1.SEQUENCE) || !in.Empty() || !cms.ReadAlgorithm(&body, &digest) ||
		!body.ReadASN1Element(&raw, tag) || !body.Empty() {
		return fail(ReasonSignedAttributes, "cmsAlgorithmProtection is malformed")
	}
	implicit := cryptobyte.String(append([]byte{der.TagSequence}, raw[1:]...))
	if !cms.ReadAlgorithm(&implicit, &signature) {
		return fail(ReasonSignedAttributes, "cmsAlgorithmProtection is malformed")
	}
	// RFC 6211, 3: both must be the same as in the SignerInfo.
	if !sameAlgorithm(s.Digest, digest) || !sameAlgorithm(s.Algorithm, signature) {
		return fail(ReasonSignedAttributes, "the algorithms are not those of the cmsAlgorithmProtection attribute")
	}
	return nil
}

func sameAlgorithm(a tsp.Algorithm, b cms.Algorithm) bool {
	return oid.Is(a.OID, string(b.OID)) &&
		(bytes.Equal(a.Parameters, b.Parameters) || absentOrNull(a.Parameters) && b.AbsentOrNull())
}

func absentOrNull(parameters []byte) bool {
	return len(parameters) == 0 || string(parameters) == "\x05\x00"
}

// hashSum returns the digest of b. The hash must be one that is linked in.
func hashSum(h crypto.Hash, b []byte) (sum []byte) {
	if h == crypto.SHA1 && fips140.Enforced() {
		// SHA-1 names here and does not prove: a certificate or a key, in
		// formats that know no other hash (RFC 6960, 4.1.1 and 4.2.1). See
		// findSigner for the one place where it would.
		fips140.WithoutEnforcement(func() { sum = digestOf(h, b) })
		return sum
	}
	return digestOf(h, b)
}

func digestOf(h crypto.Hash, b []byte) []byte {
	w := h.New()
	w.Write(b)
	return w.Sum(nil)
}

// algorithmName returns the name of an identifier, dotted if it has none.
func algorithmName(id x509.OID) string {
	if name := oid.Name(id); name != "" {
		return name
	}
	return oid.Dotted(oid.Content(id))
}
