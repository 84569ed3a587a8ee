package verify

import (
	"bytes"
	"crypto/x509"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// hasName reports whether a GeneralName is one of the subject names of cert:
// its subject, or one of its subjectAltNames (RFC 3161, 2.4.2).
//
//	GeneralName ::= CHOICE { ... directoryName [4] Name, ... }
//	SubjectAltName ::= SEQUENCE SIZE (1..MAX) OF GeneralName
func hasName(cert *x509.Certificate, general []byte) bool {
	name := directoryName(general)
	if name != nil && sameName(name, cert.RawSubject) {
		return true
	}
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal([]int{2, 5, 29, 17}) {
			continue
		}
		s := cryptobyte.String(ext.Value)
		var names cryptobyte.String
		if !s.ReadASN1(&names, asn1.SEQUENCE) {
			return false
		}
		for !names.Empty() {
			var el []byte
			if !der.Element(&names, &el) {
				return false
			}
			other := directoryName(el)
			if bytes.Equal(el, general) || name != nil && other != nil && sameName(name, other) {
				return true
			}
		}
	}
	return false
}

// directoryName returns the Name in a GeneralName, nil for one of another
// kind. The tag is explicit because Name is a CHOICE.
func directoryName(general []byte) []byte {
	s := cryptobyte.String(general)
	var wrapper, name cryptobyte.String
	if !s.ReadASN1(&wrapper, asn1.Tag(4).ContextSpecific().Constructed()) ||
		!wrapper.ReadASN1Element(&name, asn1.SEQUENCE) || !wrapper.Empty() {
		return nil
	}
	return name
}

// maxName is the longest Name that is compared otherwise than byte for byte, in
// octets. Real ones have some 100 to 400.
const maxName = 8 << 10

// sameName compares two DER Names. Most are equal byte for byte; some
// authorities write the same text with another string type than their
// certificate, which RFC 5280, 7.1 has compared without regard to case and
// repeated spaces. What is trusted never hangs on this: the certificate is
// found by its hash.
//
//	Name ::= SEQUENCE OF RelativeDistinguishedName
//	RelativeDistinguishedName ::= SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }
func sameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) > maxName || len(b) > maxName {
		return false
	}
	rest, ok := cut(a, b)
	return ok && rest.Empty()
}

// beginsWith reports whether the first parts of name are those of base, which
// is how a directoryName is in a subtree (RFC 5280, 7.1).
func beginsWith(name, base []byte) bool {
	if len(name) > maxName || len(base) > maxName {
		return bytes.Equal(name, base)
	}
	_, ok := cut(name, base)
	return ok
}

// cut returns what follows base in name, if name begins with it.
func cut(name, base []byte) (rest cryptobyte.String, ok bool) {
	x, y := cryptobyte.String(name), cryptobyte.String(base)
	var xs, ys cryptobyte.String
	if !x.ReadASN1(&xs, asn1.SEQUENCE) || !y.ReadASN1(&ys, asn1.SEQUENCE) {
		return nil, false
	}
	for !ys.Empty() {
		var xr, yr cryptobyte.String
		if !xs.ReadASN1(&xr, asn1.SET) || !ys.ReadASN1(&yr, asn1.SET) {
			return nil, false
		}
		// The order in a set of several is that of the encoding: sorted.
		for !xr.Empty() && !yr.Empty() {
			if !sameAttribute(&xr, &yr) {
				return nil, false
			}
		}
		if !xr.Empty() || !yr.Empty() {
			return nil, false
		}
	}
	return xs, true
}

func sameAttribute(a, b *cryptobyte.String) bool {
	var x, y cryptobyte.String
	var xt, yt, xv, yv []byte
	if !a.ReadASN1(&x, asn1.SEQUENCE) || !b.ReadASN1(&y, asn1.SEQUENCE) ||
		!der.OID(&x, &xt) || !der.OID(&y, &yt) || !der.Element(&x, &xv) || !der.Element(&y, &yv) ||
		!x.Empty() || !y.Empty() || !bytes.Equal(xt, yt) {
		return false
	}
	if bytes.Equal(xv, yv) {
		return true
	}
	xs, ok := text(xv)
	ys, also := text(yv)
	return ok && also && strings.EqualFold(xs, ys)
}

// text returns the characters of a DirectoryString or IA5String, with runs of
// spaces as one and none at the ends.
func text(el []byte) (string, bool) {
	s := cryptobyte.String(el)
	var content cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&content, &tag) {
		return "", false
	}
	const bmpString = asn1.Tag(30)
	switch tag {
	case asn1.UTF8String, asn1.PrintableString, asn1.IA5String:
		if !utf8.Valid(content) {
			return "", false
		}
		return strings.Join(strings.Fields(string(content)), " "), true
	case bmpString:
		if len(content)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(content)/2)
		for i := range units {
			units[i] = uint16(content[2*i])<<8 | uint16(content[2*i+1])
		}
		return strings.Join(strings.Fields(string(utf16.Decode(units))), " "), true
	}
	return "", false
}
