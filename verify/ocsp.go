package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Limits on OCSP responses. A response has one or two KiB, with a certificate
// that an SLH-DSA key signed some 50.
const (
	maxOCSP  = 256 << 10
	maxOCSPs = 64
	// maxResponders bounds the certificates in a response that may be its
	// signer's, each of which costs two signatures. There should be one.
	maxResponders = 8
)

// ocspMoment is how long a response counts that does not say until when
// (RFC 6960, 4.2.2.1: "newer revocation information is available all the
// time"): longer than clocks of honest machines differ, and than a fetch and a
// verification take.
const ocspMoment = 10 * time.Minute

// Object identifiers of OCSP (RFC 6960, 4), content octets.
const (
	oidOCSPBasic         = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01"
	oidOCSPNonce         = "\x2b\x06\x01\x05\x05\x07\x30\x01\x02"
	oidOCSPArchiveCutoff = "\x2b\x06\x01\x05\x05\x07\x30\x01\x06"
)

// OCSPResponses is a [RevocationChecker] that knows the OCSP responses it was
// given and asks nobody. It is safe for concurrent use.
//
// A response speaks of a certificate if it has a status for its serial number
// under the name and key of its issuer, and is signed with that issuer's key
// in the chain or by a responder to whom the same issuer gave a certificate for
// that purpose (RFC 6960, 4.2.2.2). That a certificate is not revoked is
// believed of a response that is current, as with [CRLs], or, where it does not
// say until when, no older than ten minutes; and of a responder only if its
// certificate is valid then and need not be asked about itself, which is what
// id-pkix-ocsp-nocheck says (RFC 6960, 4.2.2.2.1). That it is revoked is
// believed of an old response, too. The status "unknown" is none.
type OCSPResponses struct {
	responses []*ocspResponse // newest first
}

// NewOCSPResponses reads OCSP responses (RFC 6960, 4.2.1) in DER, of up to
// 256 KiB and 64 together. The bytes are kept and must not be modified.
// Responses that carry an error instead of a status, are not of the basic type,
// or have unknown critical extensions are refused. The signatures are verified
// later, against the issuer in the chain.
func NewOCSPResponses(data ...[]byte) (*OCSPResponses, error) {
	if len(data) > maxOCSPs {
		return nil, fmt.Errorf("verify: %d OCSP responses, at most %d are read", len(data), maxOCSPs)
	}
	o := &OCSPResponses{}
	for i, in := range data {
		r := &ocspResponse{}
		if err := r.parse(in); err != nil {
			return nil, fmt.Errorf("verify: OCSP response %d: %w", i+1, err)
		}
		o.responses = append(o.responses, r)
	}
	slices.SortStableFunc(o.responses, func(a, b *ocspResponse) int { return b.producedAt.Compare(a.producedAt) })
	return o, nil
}

// CheckRevocation implements [RevocationChecker].
func (o *OCSPResponses) CheckRevocation(q RevocationQuery) (*Revocation, error) {
	s, err := o.RevocationStatus(q)
	return s.Revocation, err
}

// RevocationStatus implements [RevocationEvidence].
func (o *OCSPResponses) RevocationStatus(q RevocationQuery) (RevocationStatus, error) {
	names, ok := skim(q.Certificate.Raw)
	key, keyOK := publicKeyBits(q.Issuer.RawSubjectPublicKeyInfo)
	if !ok || !keyOK {
		return RevocationStatus{}, errors.New("the certificate is malformed")
	}
	why := errors.New("no OCSP response about it is at hand")
	var statuses []ocspStatement
	for _, r := range o.responses {
		for i := range r.singles {
			s := &r.singles[i]
			if !s.isAbout(names, key) {
				continue
			}
			by, err := r.vouch(q.Issuer)
			if err != nil {
				why = err
				break
			}
			if err := s.status(q, by); err != nil {
				why = err
				continue
			}
			statuses = append(statuses, ocspStatement{s})
		}
	}
	if len(statuses) == 0 {
		return RevocationStatus{}, why
	}
	all := make(Evidence, len(statuses))
	for i := range statuses {
		all[i] = statuses[i]
	}
	return all.RevocationStatus(q)
}

// An ocspStatement is a status that was found to be good evidence.
type ocspStatement struct{ *ocspSingle }

func (s ocspStatement) RevocationStatus(RevocationQuery) (RevocationStatus, error) {
	out := RevocationStatus{Revocation: s.revocation, Source: SourceOCSP, ThisUpdate: s.thisUpdate}
	if s.hasNext {
		out.NextUpdate = s.nextUpdate
	}
	return out, nil
}

// An ocspResponse is a BasicOCSPResponse that was read.
//
//	OCSPResponse ::= SEQUENCE {
//	  responseStatus OCSPResponseStatus,
//	  responseBytes  [0] EXPLICIT ResponseBytes OPTIONAL }
//	ResponseBytes ::= SEQUENCE {
//	  responseType OBJECT IDENTIFIER,
//	  response     OCTET STRING }
//	BasicOCSPResponse ::= SEQUENCE {
//	  tbsResponseData    ResponseData,
//	  signatureAlgorithm AlgorithmIdentifier,
//	  signature          BIT STRING,
//	  certs              [0] EXPLICIT SEQUENCE OF Certificate OPTIONAL }
type ocspResponse struct {
	tbs       []byte
	scheme    scheme
	signature []byte
	certs     [][]byte

	responder  ocspResponder
	producedAt time.Time
	singles    []ocspSingle
	nonce      []byte // the extension's value, nil when absent

	mu sync.Mutex
	// vouched are the issuers for whom the response was found to speak.
	vouched []vouched
}

// ocspStatusName returns the name of an OCSPResponseStatus (RFC 6960, 4.2.1).
func ocspStatusName(status byte) string {
	switch status {
	case 1:
		return "malformedRequest"
	case 2:
		return "internalError"
	case 3:
		return "tryLater"
	case 5:
		return "sigRequired"
	case 6:
		return "unauthorized"
	}
	return fmt.Sprintf("status %d", status)
}

func (r *ocspResponse) parse(in []byte) error {
	if len(in) > maxOCSP {
		return fmt.Errorf("%d bytes long, at most %d are read", len(in), maxOCSP)
	}
	s := cryptobyte.String(in)
	var body, status, wrapper, typed, response cryptobyte.String
	var kind []byte
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() || !body.ReadASN1(&status, asn1.ENUM) || len(status) != 1 {
		return errors.New("not an OCSPResponse")
	}
	if status[0] != 0 {
		return fmt.Errorf("the responder gives no status: %s", ocspStatusName(status[0]))
	}
	if !body.ReadASN1(&wrapper, asn1.Tag(0).ContextSpecific().Constructed()) || !body.Empty() ||
		!wrapper.ReadASN1(&typed, asn1.SEQUENCE) || !wrapper.Empty() ||
		!der.OID(&typed, &kind) || !typed.ReadASN1(&response, asn1.OCTET_STRING) || !typed.Empty() {
		return errors.New("responseBytes is malformed")
	}
	if string(kind) != oidOCSPBasic {
		return fmt.Errorf("it is of the type %s, not a basic response", oid.Dotted(kind))
	}
	return r.parseBasic(response)
}

func (r *ocspResponse) parseBasic(s cryptobyte.String) error {
	var body, element, signature, certs cryptobyte.String
	var algorithm cms.Algorithm
	var hasCerts bool
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() || !body.ReadASN1Element(&element, asn1.SEQUENCE) ||
		!cms.ReadAlgorithm(&body, &algorithm) || !body.ReadASN1(&signature, asn1.BIT_STRING) ||
		len(signature) == 0 || signature[0] != 0 ||
		!body.ReadOptionalASN1(&certs, &hasCerts, asn1.Tag(0).ContextSpecific().Constructed()) || !body.Empty() {
		return errors.New("not a BasicOCSPResponse")
	}
	r.tbs, r.signature = element, signature[1:]
	id, _ := oid.Public(algorithm.OID)
	var err error
	if r.scheme, err = parseScheme(tsp.Algorithm{OID: id, Parameters: algorithm.Parameters}, 0); err != nil {
		return err
	}
	if hasCerts {
		var list cryptobyte.String
		if !certs.ReadASN1(&list, asn1.SEQUENCE) || !certs.Empty() {
			return errors.New("certs is malformed")
		}
		for !list.Empty() {
			var cert cryptobyte.String
			if !list.ReadASN1Element(&cert, asn1.SEQUENCE) {
				return errors.New("certs is malformed")
			}
			if len(r.certs) == maxResponders {
				return fmt.Errorf("more than %d certificates", maxResponders)
			}
			r.certs = append(r.certs, cert)
		}
	}
	return r.parseData(element)
}

// ResponseData ::= SEQUENCE {
//
//	version            [0] EXPLICIT Version DEFAULT v1,
//	responderID        ResponderID,
//	producedAt         GeneralizedTime,
//	responses          SEQUENCE OF SingleResponse,
//	responseExtensions [1] EXPLICIT Extensions OPTIONAL }
func (r *ocspResponse) parseData(element cryptobyte.String) error {
	var tbs, version, list, extensions cryptobyte.String
	var hasVersion, hasExtensions bool
	v := int64(0)
	if !element.ReadASN1(&tbs, asn1.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&version, &hasVersion, asn1.Tag(0).ContextSpecific().Constructed()) {
		return errors.New("tbsResponseData is malformed")
	}
	if hasVersion && (!der.SmallInteger(&version, &v) || !version.Empty() || v != 0) {
		return errors.New("version is not 1")
	}
	if err := r.responder.parse(&tbs); err != nil {
		return err
	}
	if !tbs.ReadASN1GeneralizedTime(&r.producedAt) {
		return errors.New("producedAt is malformed")
	}
	if !tbs.ReadASN1(&list, asn1.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&extensions, &hasExtensions, asn1.Tag(1).ContextSpecific().Constructed()) || !tbs.Empty() {
		return errors.New("responses is malformed, or bytes come after the last field")
	}
	for !list.Empty() {
		var single ocspSingle
		if err := single.parse(&list); err != nil {
			return fmt.Errorf("status %d: %w", len(r.singles)+1, err)
		}
		r.singles = append(r.singles, single)
	}
	if !hasExtensions {
		return nil
	}
	return eachExtension(extensions, func(id string, critical bool, value cryptobyte.String) error {
		if id == oidOCSPNonce {
			r.nonce = value
			return nil
		}
		return refuseCritical(id, critical)
	})
}

// refuseCritical refuses an extension that is critical, because it is unknown
// (RFC 6960, 4.4).
func refuseCritical(id string, critical bool) error {
	if critical {
		return fmt.Errorf("unknown critical extension %s", oid.Dotted([]byte(id)))
	}
	return nil
}

// An ocspSingle is the status of one certificate.
//
//	SingleResponse ::= SEQUENCE {
//	  certID           CertID,
//	  certStatus       CertStatus,
//	  thisUpdate       GeneralizedTime,
//	  nextUpdate       [0] EXPLICIT GeneralizedTime OPTIONAL,
//	  singleExtensions [1] EXPLICIT Extensions OPTIONAL }
//	CertID ::= SEQUENCE {
//	  hashAlgorithm  AlgorithmIdentifier,
//	  issuerNameHash OCTET STRING,
//	  issuerKeyHash  OCTET STRING,
//	  serialNumber   CertificateSerialNumber }
type ocspSingle struct {
	period
	hasNext           bool // else nextUpdate is ocspMoment after thisUpdate
	hash              crypto.Hash
	nameHash, keyHash []byte
	serial            []byte // content octets
	unknown           bool
	revocation        *Revocation // nil: good, or unknown
}

func (s *ocspSingle) parse(list *cryptobyte.String) error {
	var body, id, nameHash, keyHash, next, extensions cryptobyte.String
	var algorithm cms.Algorithm
	var hasExtensions bool
	if !list.ReadASN1(&body, asn1.SEQUENCE) || !body.ReadASN1(&id, asn1.SEQUENCE) {
		return errors.New("not a SingleResponse")
	}
	if !cms.ReadAlgorithm(&id, &algorithm) || !algorithm.AbsentOrNull() ||
		!id.ReadASN1(&nameHash, asn1.OCTET_STRING) || !id.ReadASN1(&keyHash, asn1.OCTET_STRING) ||
		!der.Integer(&id, &s.serial) || !id.Empty() {
		return errors.New("certID is malformed")
	}
	s.hash, s.nameHash, s.keyHash = oid.Hash(algorithm.OID), nameHash, keyHash
	if err := s.parseStatus(&body); err != nil {
		return err
	}
	if !body.ReadASN1GeneralizedTime(&s.thisUpdate) ||
		!body.ReadOptionalASN1(&next, &s.hasNext, asn1.Tag(0).ContextSpecific().Constructed()) ||
		s.hasNext && (!next.ReadASN1GeneralizedTime(&s.nextUpdate) || !next.Empty()) {
		return errors.New("thisUpdate or nextUpdate is malformed")
	}
	if !s.hasNext {
		s.nextUpdate = s.thisUpdate.Add(ocspMoment)
	}
	if !body.ReadOptionalASN1(&extensions, &hasExtensions, asn1.Tag(1).ContextSpecific().Constructed()) || !body.Empty() {
		return errors.New("bytes after the last field")
	}
	if !hasExtensions {
		return nil
	}
	return eachExtension(extensions, func(id string, critical bool, value cryptobyte.String) error {
		if id != oidOCSPArchiveCutoff {
			return refuseCritical(id, critical)
		}
		if !value.ReadASN1GeneralizedTime(&s.expiredSince) || !value.Empty() {
			return errors.New("archiveCutoff is malformed")
		}
		return nil
	})
}

// parseStatus reads a CertStatus.
//
//	CertStatus ::= CHOICE {
//	  good    [0] IMPLICIT NULL,
//	  revoked [1] IMPLICIT RevokedInfo,
//	  unknown [2] IMPLICIT UnknownInfo }
//	RevokedInfo ::= SEQUENCE {
//	  revocationTime   GeneralizedTime,
//	  revocationReason [0] EXPLICIT CRLReason OPTIONAL }
func (s *ocspSingle) parseStatus(body *cryptobyte.String) error {
	var content cryptobyte.String
	var tag asn1.Tag
	if !body.ReadAnyASN1(&content, &tag) {
		return errors.New("certStatus is missing")
	}
	switch tag {
	case asn1.Tag(0).ContextSpecific(), asn1.Tag(2).ContextSpecific():
		s.unknown = tag == asn1.Tag(2).ContextSpecific()
		if !content.Empty() {
			return errors.New("certStatus is malformed")
		}
		return nil
	case asn1.Tag(1).ContextSpecific().Constructed():
	default:
		return errors.New("certStatus is none of good, revoked and unknown")
	}
	s.revocation = &Revocation{Reason: RevokedWithoutReason}
	var wrapper, reason cryptobyte.String
	var hasReason bool
	if !content.ReadASN1GeneralizedTime(&s.revocation.Time) ||
		!content.ReadOptionalASN1(&wrapper, &hasReason, asn1.Tag(0).ContextSpecific().Constructed()) || !content.Empty() ||
		hasReason && (!wrapper.ReadASN1(&reason, asn1.ENUM) || !wrapper.Empty() || len(reason) != 1 || reason[0] > 127) {
		return errors.New("revokedInfo is malformed")
	}
	if hasReason {
		s.revocation.Reason = RevocationReason(reason[0])
	}
	return nil
}

// isAbout reports whether the status is that of a certificate, given its names
// and the key of its issuer. SHA-1 serves here to name and not to prove: a
// status only counts if the issuer itself, or its delegate, signed it.
func (s *ocspSingle) isAbout(names certNames, issuerKey []byte) bool {
	if !bytes.Equal(s.serial, names.serial) || s.hash != crypto.SHA1 && !oid.Strong(s.hash) {
		return false
	}
	return bytes.Equal(s.nameHash, hashSum(s.hash, names.issuer)) && bytes.Equal(s.keyHash, hashSum(s.hash, issuerKey))
}

// status reports why the status is no evidence, given who signed it: nil for
// the issuer.
func (s *ocspSingle) status(q RevocationQuery, by *x509.Certificate) error {
	if s.revocation != nil {
		return nil // once revoked, always revoked
	}
	if s.unknown {
		return errors.New("the OCSP responder does not know the certificate")
	}
	if err := s.current("OCSP response", q); err != nil {
		return err
	}
	switch at := s.reliance(q); {
	case by == nil:
	case !inWindow(by, at):
		return fmt.Errorf("the certificate of the OCSP responder %s is not valid at %s", subject(by), stamp(at))
	case extension(by, 1, 3, 6, 1, 5, 5, 7, 48, 1, 5) < 0:
		return fmt.Errorf("the certificate of the OCSP responder %s may be revoked itself: it has no id-pkix-ocsp-nocheck", subject(by))
	}
	return nil
}

// publicKeyBits returns the content of the BIT STRING of a
// subjectPublicKeyInfo, without the count of unused bits: what RFC 6960 hashes.
func publicKeyBits(spki []byte) ([]byte, bool) {
	s := cryptobyte.String(spki)
	var body, bits cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !body.SkipASN1(asn1.SEQUENCE) ||
		!body.ReadASN1(&bits, asn1.BIT_STRING) || len(bits) == 0 {
		return nil, false
	}
	return bits[1:], true
}
