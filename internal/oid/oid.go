// Package oid is the one table of object identifiers, hash algorithms and
// signature algorithms that Fencepost knows.
//
// Identifiers are kept as the content octets of their DER encoding, in
// constant strings: a parser compares string(content) with them without
// decoding or allocating. At exported borders of other packages an identifier
// is an [x509.OID].
package oid

import (
	"crypto/x509"
	"encoding/asn1"
)

// MaxLen is the longest object identifier accepted, in content octets. Real
// policy identifiers have up to some fifty; decoding to text costs time and
// memory that grow with the length, so a hostile one must end somewhere.
const MaxLen = 1024

// Content octets of the identifiers that RFC 3161, RFC 5652, RFC 5035 and
// RFC 5280 give meaning to here.
const (
	Data       = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"         // 1.2.840.113549.1.7.1
	SignedData = "\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02"         // 1.2.840.113549.1.7.2
	TSTInfo    = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x04" // 1.2.840.113549.1.9.16.1.4

	ContentType          = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03"         // 1.2.840.113549.1.9.3
	MessageDigest        = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04"         // 1.2.840.113549.1.9.4
	SigningTime          = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05"         // 1.2.840.113549.1.9.5
	SigningCertificate   = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x0c" // 1.2.840.113549.1.9.16.2.12
	SigningCertificateV2 = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f" // 1.2.840.113549.1.9.16.2.47
	AlgorithmProtection  = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x34"         // 1.2.840.113549.1.9.52

	ExtKeyUsage           = "\x55\x1d\x25"                     // 2.5.29.37
	PrivateKeyUsagePeriod = "\x55\x1d\x10"                     // 2.5.29.16
	EKUTimeStamping       = "\x2b\x06\x01\x05\x05\x07\x03\x08" // 1.3.6.1.5.5.7.3.8

	MGF1 = "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08" // 1.2.840.113549.1.1.8
)

// Public turns content octets into an [x509.OID]. It reports false when they
// are not the DER content of an object identifier or are longer than [MaxLen].
func Public(content []byte) (x509.OID, bool) {
	var id x509.OID
	if len(content) > MaxLen || id.UnmarshalBinary(content) != nil {
		return x509.OID{}, false
	}
	return id, true
}

// Content returns the content octets of id, nil for the zero value.
func Content(id x509.OID) []byte {
	b, err := id.MarshalBinary()
	if err != nil {
		return nil
	}
	return b
}

// IsZero reports whether id is the zero value, which names nothing.
func IsZero(id x509.OID) bool { return id.Equal(x509.OID{}) }

// Is reports whether id has the given content octets.
func Is(id x509.OID, content string) bool { return string(Content(id)) == content }

// Dotted returns the text form of content octets: "1.2.840.113549.1.7.2". For
// octets that are no identifier it returns "invalid object identifier".
func Dotted(content []byte) string {
	id, ok := Public(content)
	if !ok {
		return "invalid object identifier"
	}
	return id.String()
}

// ASN1 returns id in the form that the older parts of the standard library
// take. It reports false for an identifier with an arc beyond the range of int.
func ASN1(id x509.OID) (asn1.ObjectIdentifier, bool) {
	der := Content(id)
	var out asn1.ObjectIdentifier
	if len(der) == 0 || len(der) > 127 {
		return nil, false
	}
	rest, err := asn1.Unmarshal(append([]byte{asn1.TagOID, byte(len(der))}, der...), &out)
	return out, err == nil && len(rest) == 0
}
