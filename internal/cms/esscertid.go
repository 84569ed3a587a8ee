package cms

import (
	"crypto"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// maxESSCertIDs bounds the certificates that one attribute names. The first
// is the signer's; public authorities name up to three.
const maxESSCertIDs = 16

// An ESSCertID names a certificate by its hash, and perhaps by its issuer and
// serial number. It stands for both versions.
//
//	ESSCertIDv2 ::= SEQUENCE {
//	  hashAlgorithm AlgorithmIdentifier DEFAULT {algorithm id-sha256},
//	  certHash Hash,
//	  issuerSerial IssuerSerial OPTIONAL }
//
//	ESSCertID ::= SEQUENCE {
//	  certHash Hash,
//	  issuerSerial IssuerSerial OPTIONAL }
//
//	IssuerSerial ::= SEQUENCE {
//	  issuer GeneralNames,
//	  serialNumber CertificateSerialNumber }
type ESSCertID struct {
	HashOID []byte      // content octets
	Hash    crypto.Hash // 0 when HashOID is unknown
	Digest  []byte
	Issuer  []byte // DER Name, nil when issuerSerial is absent
	Serial  []byte // content octets, nil when issuerSerial is absent
}

// ParseSigningCertificate parses the value of a signingCertificate attribute
// (RFC 2634, 5.4), whose hashes are SHA-1.
//
//	SigningCertificate ::= SEQUENCE {
//	  certs SEQUENCE OF ESSCertID,
//	  policies SEQUENCE OF PolicyInformation OPTIONAL }
func ParseSigningCertificate(value []byte) ([]ESSCertID, error) {
	return parseSigningCertificate(value, false)
}

// ParseSigningCertificateV2 parses the value of a signingCertificateV2
// attribute (RFC 5035, 3).
//
//	SigningCertificateV2 ::= SEQUENCE {
//	  certs SEQUENCE OF ESSCertIDv2,
//	  policies SEQUENCE OF PolicyInformation OPTIONAL }
func ParseSigningCertificateV2(value []byte) ([]ESSCertID, error) {
	return parseSigningCertificate(value, true)
}

func parseSigningCertificate(value []byte, v2 bool) ([]ESSCertID, error) {
	s := cryptobyte.String(value)
	var body, certs, policies cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() || !body.ReadASN1(&certs, asn1.SEQUENCE) {
		return nil, errors.New("not a SEQUENCE of certificate identifiers")
	}
	if !body.Empty() && (!body.ReadASN1(&policies, asn1.SEQUENCE) || !body.Empty()) {
		return nil, errors.New("malformed policies")
	}
	var ids []ESSCertID
	for !certs.Empty() {
		if len(ids) == maxESSCertIDs {
			return nil, fmt.Errorf("more than %d certificate identifiers", maxESSCertIDs)
		}
		id, err := readESSCertID(&certs, v2)
		if err != nil {
			return nil, fmt.Errorf("certificate identifier %d: %w", len(ids)+1, err)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("no certificate identifier")
	}
	return ids, nil
}

func readESSCertID(certs *cryptobyte.String, v2 bool) (ESSCertID, error) {
	var id ESSCertID
	var s, digest cryptobyte.String
	if !certs.ReadASN1(&s, asn1.SEQUENCE) {
		return id, errors.New("not a SEQUENCE")
	}
	id.HashOID = []byte(oid.SHA1)
	if v2 {
		id.HashOID = []byte(oid.SHA256)
		if s.PeekASN1Tag(asn1.SEQUENCE) {
			// An explicit SHA-256 is not DER, yet some encode the default.
			var a Algorithm
			if !ReadAlgorithm(&s, &a) || !a.AbsentOrNull() {
				return id, errors.New("malformed hashAlgorithm")
			}
			id.HashOID = a.OID
		}
	}
	id.Hash = oid.Hash(id.HashOID)
	if !s.ReadASN1(&digest, asn1.OCTET_STRING) {
		return id, errors.New("malformed certHash")
	}
	id.Digest = digest
	if id.Hash != 0 && len(digest) != id.Hash.Size() {
		return id, fmt.Errorf("certHash is %d bytes long, %v needs %d", len(digest), id.Hash, id.Hash.Size())
	}
	if s.Empty() {
		return id, nil
	}
	var issuerSerial, names, wrapper, name cryptobyte.String
	directoryName := asn1.Tag(4).ContextSpecific().Constructed()
	if !s.ReadASN1(&issuerSerial, asn1.SEQUENCE) || !s.Empty() ||
		!issuerSerial.ReadASN1(&names, asn1.SEQUENCE) ||
		!readSerial(&issuerSerial, &id.Serial) || !issuerSerial.Empty() {
		return id, errors.New("malformed issuerSerial")
	}
	// RFC 5035, 4: the issuer is one directoryName.
	if !names.ReadASN1(&wrapper, directoryName) || !names.Empty() ||
		!wrapper.ReadASN1Element(&name, asn1.SEQUENCE) || !wrapper.Empty() {
		return id, errors.New("issuerSerial: issuer is not one directoryName")
	}
	id.Issuer = name
	return id, nil
}
