// Package der reads and writes DER strictly, and turns BER into DER.
//
// Reading builds on [golang.org/x/crypto/cryptobyte], which refuses
// non-minimal lengths and indefinite ones; the functions here add what it
// leaves open (minimal INTEGERs of any sign, object identifiers as octets,
// GeneralizedTime with a fraction). Writing is by appending to a slice whose
// size is computed beforehand.
//
// [ToDER] is the one door for BER: CMS lets signers use it outside the signed
// parts (RFC 5652, 2), and some do.
package der

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// Integer reads an INTEGER and returns its content octets, which are minimal
// two's complement as DER demands (X.690, 8.3.2).
func Integer(s *cryptobyte.String, out *[]byte) bool {
	var content cryptobyte.String
	if !s.ReadASN1(&content, asn1.INTEGER) || !MinimalInteger(content) {
		return false
	}
	*out = content
	return true
}

// MinimalInteger reports whether content is a valid content of an INTEGER:
// not empty, and the first nine bits neither all zero nor all one.
func MinimalInteger(content []byte) bool {
	switch {
	case len(content) == 0:
		return false
	case len(content) == 1:
		return true
	case content[0] == 0x00:
		return content[1]&0x80 != 0
	case content[0] == 0xff:
		return content[1]&0x80 == 0
	}
	return true
}

// SmallInteger reads an INTEGER that fits in an int64.
func SmallInteger(s *cryptobyte.String, out *int64) bool {
	var content []byte
	if !Integer(s, &content) || len(content) > 8 {
		return false
	}
	*out = Int64(content)
	return true
}

// Int64 returns the value of the content octets of an INTEGER of at most
// eight octets.
func Int64(content []byte) int64 {
	v := int64(int8(content[0]))
	for _, b := range content[1:] {
		v = v<<8 | int64(b)
	}
	return v
}

// OID reads an OBJECT IDENTIFIER and returns its content octets, checked to
// be minimal and no longer than [oid.MaxLen].
func OID(s *cryptobyte.String, out *[]byte) bool {
	var content cryptobyte.String
	if !s.ReadASN1(&content, asn1.OBJECT_IDENTIFIER) || !validOID(content) {
		return false
	}
	*out = content
	return true
}

func validOID(content []byte) bool {
	if len(content) == 0 || len(content) > oid.MaxLen || content[len(content)-1]&0x80 != 0 {
		return false
	}
	start := true
	for _, b := range content {
		if start && b == 0x80 {
			return false // leading zero in an arc
		}
		start = b&0x80 == 0
	}
	return true
}

// Boolean reads a BOOLEAN, which in DER is 00 or FF.
func Boolean(s *cryptobyte.String, out *bool) bool {
	return s.ReadASN1Boolean(out)
}

// Element reads any one element, header included.
func Element(s *cryptobyte.String, out *[]byte) bool {
	var el cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1Element(&el, &tag) {
		return false
	}
	*out = el
	return true
}

// Tag returns the identifier octet of the element that s begins with, 0 when
// s is empty. No element that Fencepost reads has the tag 0.
func Tag(s cryptobyte.String) asn1.Tag {
	if len(s) == 0 {
		return 0
	}
	return asn1.Tag(s[0])
}
