package authority

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A policy is a TSA policy with the beginning of the TSTInfo that names it.
type policy struct {
	id   x509.OID
	head []byte // version and policy
}

func newPolicy(id x509.OID) policy {
	return policy{id, der.Append(der.AppendInt(nil, 1), der.TagOID, oid.Content(id))}
}

// A template holds the parts of a response that are the same each time, in
// DER. The parts in between are written by appendInfo, attributes and response.
type template struct {
	accuracy []byte // of the TSTInfo
	tsa      []byte // of the TSTInfo, may be empty

	set      []byte // the signed attributes with the tag SET
	digestAt int    // where in set the message digest goes

	signedData   []byte // version and digestAlgorithms
	certificates []byte // field certificates
	signerInfo   []byte // version, sid, digestAlgorithm
	algorithm    []byte // signatureAlgorithm

	subject []byte // of the leaf
}

// Constant parts of every response.
var (
	statusGranted = string(der.Make(der.TagSequence, der.AppendInt(nil, int64(tsp.StatusGranted))))
	typeSigned    = string(der.Make(der.TagOID, []byte(oid.SignedData)))
	typeInfo      = string(der.Make(der.TagOID, []byte(oid.TSTInfo)))
)

// serialLen is the length of each serial number: 160 bits, the most that RFC
// 3161, 2.4.2 allows.
const serialLen = 20

func newTemplate(leaf *x509.Certificate, s scheme, certs []*x509.Certificate) *template {
	serial := der.Make(der.TagInteger, tsp.NewInteger(leaf.SerialNumber))
	t := &template{
		signedData: der.Append(der.AppendInt(nil, 3), der.TagSet, s.digestAlgorithm),
		signerInfo: slices.Concat(der.AppendInt(nil, 1), der.Make(der.TagSequence, leaf.RawIssuer, serial), s.digestAlgorithm),
		algorithm:  s.signatureAlgorithm,
		subject:    leaf.RawSubject,
	}
	var list [][]byte
	for _, c := range certs {
		list = append(list, c.Raw)
	}
	slices.SortFunc(list, bytes.Compare) // X.690, 11.6
	t.certificates = der.Make(der.Context(0), list...)

	// RFC 5035, 4: the hash is SHA-256, the default, and so not named; the
	// issuer is one directoryName.
	hash := sha256.Sum256(leaf.Raw)
	issuer := der.Make(der.TagSequence, der.Make(der.Context(4), leaf.RawIssuer))
	certID := der.Make(der.TagSequence,
		der.Make(der.TagOctetString, hash[:]), der.Make(der.TagSequence, issuer, serial))
	signingCertificate := der.Make(der.TagSequence, der.Make(der.TagSequence, certID))

	digest := attribute(oid.MessageDigest, der.Make(der.TagOctetString, make([]byte, s.digest.Size())))
	attributes := [][]byte{
		attribute(oid.ContentType, []byte(typeInfo)),
		digest,
		attribute(oid.SigningCertificateV2, signingCertificate),
	}
	// X.690, 11.6. The digest, zero here, does not bear upon the order: the
	// types and lengths before it already differ.
	slices.SortFunc(attributes, bytes.Compare)
	t.set = der.Make(der.TagSet, attributes...)
	t.digestAt = bytes.Index(t.set, digest) + len(digest) - s.digest.Size()
	return t
}

func attribute(id string, value []byte) []byte {
	return der.Make(der.TagSequence, der.Make(der.TagOID, []byte(id)), der.Make(der.TagSet, value))
}

// setOptions sets the optional fields of the TSTInfo that never change.
func (t *template) setOptions(accuracy time.Duration, name bool) {
	t.accuracy = der.AppendAccuracy(nil, accuracy)
	if name {
		// GeneralName is a CHOICE, so its tag is explicit; directoryName is
		// [4] and, holding a CHOICE, explicit as well.
		t.tsa = der.Make(der.Context(0), der.Make(der.Context(4), t.subject))
	}
}

// infoFields are the parts of a TSTInfo that differ from token to token.
type infoFields struct {
	policy  *policy
	imprint *tsp.Imprint
	serial  []byte // serialLen octets
	genTime []byte // content of a GeneralizedTime
	nonce   tsp.Integer
}

// infoLen returns the lengths of the content and of the MessageImprint.
func (t *template) infoLen(f *infoFields) (body, imprint int) {
	imprint = len(f.imprint.RawAlgorithm()) + der.Len(len(f.imprint.Digest))
	body = len(f.policy.head) + der.Len(imprint) + der.Len(len(f.serial)) + der.Len(len(f.genTime)) +
		len(t.accuracy) + len(t.tsa)
	if f.nonce != nil {
		body += der.Len(len(f.nonce))
	}
	return body, imprint
}

// appendInfo appends a TSTInfo. The algorithm of the imprint and the nonce are
// those of the request, octet for octet.
func (t *template) appendInfo(b []byte, f *infoFields) []byte {
	body, imprint := t.infoLen(f)
	b = der.AppendHeader(b, der.TagSequence, body)
	b = append(b, f.policy.head...)
	b = der.AppendHeader(b, der.TagSequence, imprint)
	b = append(b, f.imprint.RawAlgorithm()...)
	b = appendElement(b, der.TagOctetString, f.imprint.Digest)
	b = appendElement(b, der.TagInteger, f.serial)
	b = appendElement(b, der.TagGeneralizedTime, f.genTime)
	b = append(b, t.accuracy...)
	if f.nonce != nil {
		b = appendElement(b, der.TagInteger, f.nonce)
	}
	return append(b, t.tsa...)
}

// appendElement is der.Append without the variadic slice.
func appendElement(b []byte, tag byte, content []byte) []byte {
	return append(der.AppendHeader(b, tag, len(content)), content...)
}

// appendAttributes appends what is signed: the attributes as a SET (RFC 5652,
// 5.4), for a TSTInfo with the given digest.
func (t *template) appendAttributes(b, digest []byte) []byte {
	at := len(b) + t.digestAt
	b = append(b, t.set...)
	copy(b[at:], digest)
	return b
}

// response returns a TimeStampResp and the part of it that is the token, which
// has the given TSTInfo, attributes and signature.
func (t *template) response(info, attributes, signature []byte, certs bool) (response, token []byte) {
	var certificates []byte
	if certs {
		certificates = t.certificates
	}
	signer := len(t.signerInfo) + len(attributes) + len(t.algorithm) + der.Len(len(signature))
	octets := der.Len(len(info))
	encap := len(typeInfo) + der.Len(octets)
	data := len(t.signedData) + der.Len(encap) + len(certificates) + der.Len(der.Len(signer))
	content := len(typeSigned) + der.Len(der.Len(data))
	body := len(statusGranted) + der.Len(content)

	b := make([]byte, 0, der.Len(body))
	b = der.AppendHeader(b, der.TagSequence, body)
	b = append(b, statusGranted...)
	start := len(b)
	b = der.AppendHeader(b, der.TagSequence, content) // ContentInfo
	b = append(b, typeSigned...)
	b = der.AppendHeader(b, der.Context(0), der.Len(data))
	b = der.AppendHeader(b, der.TagSequence, data) // SignedData
	b = append(b, t.signedData...)
	b = der.AppendHeader(b, der.TagSequence, encap) // EncapsulatedContentInfo
	b = append(b, typeInfo...)
	b = der.AppendHeader(b, der.Context(0), octets)
	b = appendElement(b, der.TagOctetString, info)
	b = append(b, certificates...)
	b = der.AppendHeader(b, der.TagSet, der.Len(signer)) // SignerInfos
	b = der.AppendHeader(b, der.TagSequence, signer)
	b = append(b, t.signerInfo...)
	at := len(b)
	b = append(b, attributes...)
	b[at] = der.Context(0) // IMPLICIT
	b = append(b, t.algorithm...)
	b = appendElement(b, der.TagOctetString, signature)
	return b, b[start:len(b):len(b)]
}
