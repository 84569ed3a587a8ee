package countersign

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"math"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// otherAuthority is what one can do about most tokens that are not fit.
const otherAuthority cure = "the authority has to be set up otherwise; until then use another one"

// checkEncoding refuses BER that tspclient-go does not read: indefinite lengths
// and strings in pieces (its package ber; X.690, 8.1.3.6 and 8.7.3). Lengths
// that are not minimal pass in both. The token has been parsed before.
func checkEncoding(token []byte) error {
	for len(token) >= 2 {
		tag, length, size := token[0], int(token[1]), 2
		switch {
		case length == 0x80:
			return fail(ReasonEncoding, "convert the token to DER, or ask the authority for DER",
				"the token is in BER with indefinite lengths")
		case tag == cbString:
			return fail(ReasonEncoding, "convert the token to DER, or ask the authority for DER",
				"the token has an OCTET STRING in pieces")
		case length > 0x80:
			n := length & 0x7f
			if n > 8 || len(token) < 2+n {
				return fail(ReasonEncoding, "", "the token has a malformed length")
			}
			length, size = 0, 2+n
			for _, b := range token[2:size] {
				length = length<<8 | int(b)
			}
		}
		skip := size
		if tag&0x20 == 0 { // primitive: its content is not looked into
			skip += length
		}
		if length < 0 || skip > len(token) {
			return fail(ReasonEncoding, "", "the token has a malformed length")
		}
		token = token[skip:]
	}
	return nil
}

// cbString is the tag of a constructed OCTET STRING.
const cbString = 0x24

// checkToken holds a token that package verify has accepted against what
// tspclient-go reads of it, field by field.
func checkToken(ts *Timestamp) error {
	t, s := ts.Token, &ts.Token.Signer
	if t.Version != 3 {
		return fail(Reason(verify.ReasonSignedData), otherAuthority, "the SignedData has version %d, Notation reads version 3 only", t.Version)
	}
	if s.SubjectKeyID != nil {
		return fail(ReasonSignerIdentifier, otherAuthority, "the signer is named by a subjectKeyIdentifier, Notation reads issuer and serial number only")
	}
	if err := checkFields(t); err != nil {
		return err
	}
	if err := checkAlgorithms(t); err != nil {
		return err
	}
	if err := checkOrder(s.RawSignedAttributes); err != nil {
		return err
	}
	if err := checkReference(ts); err != nil {
		return err
	}
	return checkCertificates(ts)
}

// checkFields looks at what the SignedData has besides the fields of a
// tsp.Token: whether there is a crls field with anything in it, which makes
// tspclient-go refuse the whole token, and object identifiers too large for
// encoding/asn1, which do the same.
func checkFields(t *tsp.Token) error {
	raw := cryptobyte.String(t.Raw)
	var info, content, data, algorithms, certificates, crls cryptobyte.String
	var has bool
	tag := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
	if !raw.ReadASN1(&info, cbasn1.SEQUENCE) || !info.SkipASN1(cbasn1.OBJECT_IDENTIFIER) || !info.ReadASN1(&content, tag(0)) ||
		!content.ReadASN1(&data, cbasn1.SEQUENCE) || !data.SkipASN1(cbasn1.INTEGER) || !data.ReadASN1(&algorithms, cbasn1.SET) ||
		!data.SkipASN1(cbasn1.SEQUENCE) || !data.ReadOptionalASN1(&certificates, &has, tag(0)) || !data.ReadOptionalASN1(&crls, &has, tag(1)) {
		return fail(Reason(verify.ReasonMalformed), "", "the SignedData is malformed")
	}
	if len(crls) > 0 {
		return fail(ReasonRevocationData, otherAuthority, "the token has revocation data in its crls field, with which Notation cannot read it")
	}
	for !algorithms.Empty() {
		var a cms.Algorithm
		if !cms.ReadAlgorithm(&algorithms, &a) {
			return fail(Reason(verify.ReasonMalformed), "", "digestAlgorithms is malformed")
		}
		if large(a.OID) {
			return tooLarge("digestAlgorithms", a.OID)
		}
	}
	if id := oid.Content(t.UnverifiedInfo.Policy); large(id) {
		return tooLarge("the policy", id)
	}
	for _, list := range [][]tsp.Attribute{t.Signer.SignedAttributes, t.Signer.UnsignedAttributes} {
		for _, a := range list {
			if id := oid.Content(a.Type); large(id) {
				return tooLarge("an attribute", id)
			}
		}
	}
	return nil
}

// large reports whether an object identifier has an arc that encoding/asn1
// cannot hold, as those made from UUIDs have (X.667). The content is valid.
func large(content []byte) bool {
	arc := uint64(0)
	for _, b := range content {
		if arc = arc<<7 | uint64(b&0x7f); arc > math.MaxInt32 {
			return true
		}
		if b < 0x80 {
			arc = 0
		}
	}
	return false
}

func tooLarge(what string, id []byte) error {
	text := oid.Dotted(id)
	if len(text) > maxNameText {
		text = text[:maxNameText] + "..."
	}
	return fail(ReasonEncoding, otherAuthority, "%s has the object identifier %s, Notation reads numbers up to %d only", what, text, math.MaxInt32)
}

// checkAlgorithms: SHA-256, SHA-384 and SHA-512 with RSA or ECDSA, and a salt of
// RSASSA-PSS as long as the hash.
func checkAlgorithms(t *tsp.Token) error {
	s := &t.Signer
	digest := oid.Hash(oid.Content(s.Digest.OID))
	if !allowed(digest) {
		return fail(Reason(verify.ReasonDigestAlgorithm), otherAuthority, "the signer digests with %s, Notation takes SHA-256, SHA-384 and SHA-512 only", oid.HashName(digest))
	}
	algorithm, _ := oid.SignatureAlgorithm(oid.Content(s.Algorithm.OID))
	switch algorithm.Scheme {
	case oid.PKCS1v15, oid.ECDSA:
		return nil
	case oid.PSS:
		if salt := saltLength(s.Algorithm.Parameters); salt != digest.Size() {
			return fail(Reason(verify.ReasonSignatureAlgorithm), otherAuthority, "the RSASSA-PSS signature has a salt of %d octets, Notation takes %d only", salt, digest.Size())
		}
		return nil
	}
	return fail(Reason(verify.ReasonSignatureAlgorithm), otherAuthority, "the signature algorithm is %s, Notation takes RSA and ECDSA only", oid.Name(s.Algorithm.OID))
}

// saltLength reads the length of the salt out of parameters that package verify
// has accepted (RFC 4055, 3.1).
func saltLength(parameters []byte) int {
	s := cryptobyte.String(parameters)
	var body, field cryptobyte.String
	salt, has := 20, false
	s.ReadASN1(&body, cbasn1.SEQUENCE)
	for n := range uint8(3) {
		body.ReadOptionalASN1(&field, &has, cbasn1.Tag(n).ContextSpecific().Constructed())
	}
	if has && !field.ReadASN1Integer(&salt) {
		return -1
	}
	return salt
}

// checkOrder: tspclient-go encodes the signed attributes again as a SET OF, so
// that they verify only if they were signed in the order of DER (RFC 5652, 5.4;
// X.690, 11.6).
func checkOrder(attributes []byte) error {
	s := cryptobyte.String(attributes)
	var set, el cryptobyte.String
	if !s.ReadASN1(&set, cbasn1.SET) {
		return fail(Reason(verify.ReasonSignedAttributes), "", "the signed attributes are malformed")
	}
	var last []byte
	for !set.Empty() {
		if !set.ReadASN1Element(&el, cbasn1.SEQUENCE) {
			return fail(Reason(verify.ReasonSignedAttributes), "", "the signed attributes are malformed")
		}
		if bytes.Compare(last, el) > 0 {
			return fail(ReasonAttributeOrder, otherAuthority, "the signed attributes are not in the order of DER, in which Notation verifies them")
		}
		last = el
	}
	return nil
}

// checkReference: tspclient-go finds the signer's certificate by issuer and
// serial number, those in the signed attribute where it has them, and compares
// the octets of the name.
func checkReference(ts *Timestamp) error {
	leaf := ts.Chain[0]
	issuer := ts.Token.Signer.Issuer
	for _, a := range ts.Token.Signer.SignedAttributes {
		if !oid.Is(a.Type, oid.SigningCertificateV2) {
			continue
		}
		ids, err := cms.ParseSigningCertificateV2(a.Values[0])
		if err != nil {
			return fail(Reason(verify.ReasonSigningCertificate), "", "%v", err)
		}
		if !allowed(ids[0].Hash) {
			return fail(Reason(verify.ReasonSigningCertificate), otherAuthority, "signingCertificateV2 uses %s, Notation takes SHA-256, SHA-384 and SHA-512 only", oid.HashName(ids[0].Hash))
		}
		if ids[0].Serial != nil {
			issuer = ids[0].Issuer
		}
	}
	if !bytes.Equal(issuer, leaf.RawIssuer) {
		return fail(ReasonSignerIdentifier, otherAuthority, "the issuer of the signer's certificate is encoded in another way where it is named, and Notation compares octets")
	}
	return nil
}

// checkCertificates: tspclient-go parses every certificate of a token, knows no
// kind but X.509, and takes the first that has the signer's issuer and serial
// number. It takes them from the token alone.
func checkCertificates(ts *Timestamp) error {
	if n := ts.Token.OtherCertificates; n > 0 {
		return fail(ReasonTokenCertificates, otherAuthority, "the token has attribute certificates or other kinds (%d), Notation reads X.509 only", n)
	}
	leaf, found := ts.Chain[0], false
	for i, der := range ts.Token.Certificates {
		if bytes.Equal(der, leaf.Raw) {
			found = true
			continue
		}
		if known(ts.Chain[1:], der) {
			continue
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return fail(ReasonTokenCertificates, otherAuthority, "certificate %d of the token cannot be parsed, and Notation parses all of them: %v", i+1, err)
		}
		if !found && bytes.Equal(cert.RawIssuer, leaf.RawIssuer) && cert.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
			return fail(ReasonTokenCertificates, otherAuthority, "certificate %d of the token has the issuer and serial number of the signer's, and is another one", i+1)
		}
	}
	if !found {
		return fail(Reason(verify.ReasonCertificateMissing), cures[verify.ReasonCertificateMissing], "the signer's certificate is not in the token")
	}
	return nil
}

// known reports whether der is a certificate of the chain, which was parsed.
func known(chain []*x509.Certificate, der []byte) bool {
	for _, cert := range chain {
		if bytes.Equal(cert.Raw, der) {
			return true
		}
	}
	return false
}

// checkSigningTime: the signingTime attribute (RFC 5652, 11.3) says nothing that
// the TSTInfo does not, but tspclient-go wants it within the validity of every
// certificate of the chain.
func checkSigningTime(ts *Timestamp) error {
	for _, a := range ts.Token.Signer.SignedAttributes {
		if !oid.Is(a.Type, oid.SigningTime) {
			continue
		}
		var at time.Time
		if _, err := asn1.Unmarshal(a.Values[0], &at); err != nil {
			return fail(ReasonSigningTime, otherAuthority, "the signingTime attribute is malformed: %v", err)
		}
		for _, cert := range ts.Chain {
			if at.Before(cert.NotBefore) || at.After(cert.NotAfter) {
				return fail(ReasonSigningTime, otherAuthority, "the signingTime attribute is %s, certificate %s is valid from %s to %s",
					clock(at), name(cert.Subject), clock(cert.NotBefore), clock(cert.NotAfter))
			}
		}
	}
	return nil
}
