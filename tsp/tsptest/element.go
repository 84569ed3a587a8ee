package tsptest

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// OID returns the DER element of an object identifier in dotted form. It
// panics on text that is none.
func OID(dotted string) []byte {
	id, err := x509.ParseOID(dotted)
	if err != nil {
		panic("tsptest: not an object identifier: " + dotted)
	}
	return der.Make(der.TagOID, oid.Content(id))
}

// Attribute returns a CMS attribute (RFC 5652, 5.3) of the given type, in the
// content octets of its identifier, and values, each one DER element.
func Attribute(content string, values ...[]byte) []byte {
	return der.Make(der.TagSequence, der.Make(der.TagOID, []byte(content)), der.Make(der.TagSet, values...))
}

// Extension returns an Extension (RFC 5280, 4.1) whose value is the given
// element.
func Extension(dotted string, critical []byte, value []byte) []byte {
	return der.Make(der.TagSequence, OID(dotted), critical, der.Make(der.TagOctetString, value))
}

// Critical is the BOOLEAN TRUE that marks an extension as critical.
func Critical() []byte { return []byte{der.TagBoolean, 1, 0xff} }

// An ESSCertID names a certificate inside a signingCertificate attribute.
type ESSCertID struct {
	Certificate []byte // DER
	// Hash is that of version 2; zero means SHA-256, which is not encoded.
	Hash crypto.Hash
	// V1 makes the ESSCertID of RFC 2634, with SHA-1.
	V1 bool
	// IssuerSerial is the certificate that issuerSerial is taken from, in DER;
	// nil means Certificate. NoIssuerSerial leaves the field out.
	IssuerSerial   []byte
	NoIssuerSerial bool
	// Digest replaces the hash of the certificate.
	Digest []byte
}

// SigningCertificate returns the value of a signingCertificate (RFC 2634, 5.4)
// or signingCertificateV2 attribute (RFC 5035, 3). It panics on a certificate
// that is not one.
func SigningCertificate(ids ...ESSCertID) []byte {
	var list [][]byte
	for _, id := range ids {
		list = append(list, id.marshal())
	}
	return der.Make(der.TagSequence, der.Make(der.TagSequence, list...))
}

func (id ESSCertID) marshal() []byte {
	hash := id.Hash
	var hashAlgorithm []byte
	switch {
	case id.V1:
		hash = crypto.SHA1
	case hash == 0:
		hash = crypto.SHA256
	default:
		hashAlgorithm = algorithm(oid.OfHash(hash))
	}
	digest := id.Digest
	if digest == nil {
		// What must be refused has to be made first, in every mode of FIPS 140-3.
		fips140.WithoutEnforcement(func() {
			h := hash.New()
			h.Write(id.Certificate)
			digest = h.Sum(nil)
		})
	}
	var issuerSerial []byte
	if !id.NoIssuerSerial {
		from := id.IssuerSerial
		if from == nil {
			from = id.Certificate
		}
		name := mustName(from)
		names := der.Make(der.TagSequence, der.Make(der.Context(4), name.issuer))
		issuerSerial = der.Make(der.TagSequence, names, name.serial)
	}
	return der.Make(der.TagSequence, hashAlgorithm, der.Make(der.TagOctetString, digest), issuerSerial)
}

// certName is what a certificate is named by, each one DER element but for
// the key identifier, which is octets.
type certName struct{ issuer, serial, subject, keyID []byte }

// nameOf reads the names out of a certificate. It is done by hand because
// crypto/x509 refuses some certificates that a hostile token may carry.
//
//	TBSCertificate ::= SEQUENCE {
//	  version [0] EXPLICIT Version DEFAULT v1,
//	  serialNumber CertificateSerialNumber,
//	  signature AlgorithmIdentifier,
//	  issuer Name,
//	  validity Validity,
//	  subject Name, … }
func nameOf(certificate []byte) (*certName, error) {
	in := cryptobyte.String(certificate)
	var cert, tbs, serial, issuer, subject cryptobyte.String
	if !in.ReadASN1(&cert, asn1.SEQUENCE) || !cert.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) ||
		!tbs.ReadASN1Element(&serial, asn1.INTEGER) || !tbs.SkipASN1(asn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) ||
		!tbs.ReadASN1Element(&subject, asn1.SEQUENCE) {
		return nil, errors.New("tsptest: not a certificate")
	}
	name := &certName{issuer: issuer, serial: serial, subject: subject}
	if parsed, err := x509.ParseCertificate(certificate); err == nil {
		name.keyID = parsed.SubjectKeyId
	}
	return name, nil
}

// mustName is nameOf for certificates that are known to be ones.
func mustName(certificate []byte) *certName {
	name, err := nameOf(certificate)
	if err != nil {
		panic(err.Error())
	}
	return name
}

// algorithm returns an AlgorithmIdentifier.
func algorithm(content string, parameters ...[]byte) []byte {
	return der.Make(der.TagSequence, append([][]byte{der.Make(der.TagOID, []byte(content))}, parameters...)...)
}

func null() []byte { return []byte{der.TagNull, 0} }

// pssAlgorithm returns the identifier of RSASSA-PSS with its parameters (RFC
// 4055, 3.1), the salt as long as the hash.
func pssAlgorithm(h crypto.Hash) []byte {
	hash := algorithm(oid.OfHash(h), null())
	return algorithm(oid.RSAPSS, der.Make(der.TagSequence,
		der.Make(der.Context(0), hash),
		der.Make(der.Context(1), algorithm(oid.MGF1, hash)),
		der.Make(der.Context(2), der.AppendInt(nil, int64(h.Size())))))
}

// sortSet puts the elements of a SET OF in the order of DER (X.690, 11.6).
func sortSet(elements [][]byte) { slices.SortFunc(elements, bytes.Compare) }

// imprintOf returns the MessageImprint of a request as it was encoded.
func imprintOf(r *tsp.Request) ([]byte, error) {
	if len(r.Imprint.Digest) == 0 {
		return nil, fmt.Errorf("tsptest: the request has no imprint")
	}
	return der.Make(der.TagSequence, r.Imprint.RawAlgorithm(), der.Make(der.TagOctetString, r.Imprint.Digest)), nil
}

// element returns a constructed element, with an indefinite length if the
// Forge is set so.
func (f *Forge) element(tag byte, parts ...[]byte) []byte {
	if !f.Indefinite {
		return der.Make(tag, parts...)
	}
	out := []byte{tag, 0x80}
	for _, p := range parts {
		out = append(out, p...)
	}
	return append(out, 0, 0)
}

// octets returns an OCTET STRING, in pieces of 16 octets if the Forge is set so.
func (f *Forge) octets(content []byte) []byte {
	if !f.Indefinite {
		return der.Make(der.TagOctetString, content)
	}
	out := []byte{der.TagOctetString | 0x20, 0x80}
	for piece := range slices.Chunk(content, 16) {
		out = der.Append(out, der.TagOctetString, piece)
	}
	return append(out, 0, 0)
}
