package verify

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Remark is something unusual about a token that does not keep it from being
// accepted, here at least: other software may be stricter.
type Remark struct {
	// ID is a stable word for the remark, in the manner of a [Reason].
	ID string
	// Clause is where the standards speak of it.
	Clause string
	// Text says for people what it is and whom it may disturb.
	Text string
}

// Limits beyond which Lint finds something unusual.
const (
	maxSerialBits  = 160         // RFC 3161, 2.4.2: what clients must be able to read
	maxAccuracy    = time.Second // EN 319 422, 5.2.2 and EN 319 421, 7.7.2
	commonRSABits  = 3072        // CSBR 6.1.5.2
	maxPolicyBytes = 64          // of content; real ones have 5 to 30
)

// Lint tells what is unusual about a token. It verifies nothing, and a token
// without remarks may be a forgery.
func Lint(t *tsp.Token) []Remark {
	l := &linter{token: t, info: t.UnverifiedInfo}
	l.envelope()
	l.tstInfo()
	l.signer()
	l.certificate()
	return l.remarks
}

type linter struct {
	token   *tsp.Token
	info    *tsp.Info
	remarks []Remark
}

func (l *linter) add(id, clause, format string, args ...any) {
	l.remarks = append(l.remarks, Remark{ID: id, Clause: clause, Text: fmt.Sprintf(format, args...)})
}

// envelope is about the SignedData.
func (l *linter) envelope() {
	t := l.token
	if t.Version != 3 {
		l.add("signed-data-version", "RFC 5652, 5.1", "the version of the SignedData is %d, not 3", t.Version)
	}
	if d, err := cms.ParseSignedData(t.Raw); err == nil {
		named := slices.ContainsFunc(d.DigestAlgorithms, func(a cms.Algorithm) bool { return oid.Is(t.Signer.Digest.OID, string(a.OID)) })
		if !named {
			l.add("digest-algorithms", "RFC 5652, 5.1", "the signer's digest algorithm is not among the digestAlgorithms of the SignedData")
		}
	}
	if len(t.Certificates) == 0 {
		l.add("certificates-missing", "RFC 3161, 2.4.1", "no certificates came along: verifying needs the signer's from elsewhere")
	}
	if !slices.IsSortedFunc(t.Certificates, bytes.Compare) {
		l.add("certificates-unsorted", "X.690, 11.6", "the certificates are not sorted: strict DER parsers refuse the token")
	}
	if t.OtherCertificates > 0 {
		l.add("other-certificates", "RFC 5652, 10.2.2", "%d attribute certificates or certificates of other kinds came along", t.OtherCertificates)
	}
	if len(t.CRLs) > 0 {
		l.add("crls-embedded", "RFC 5652, 5.1", "%d revocation lists came along: Notation refuses the token", len(t.CRLs))
	}
}

// tstInfo is about what was signed.
func (l *linter) tstInfo() {
	i := l.info
	if !oid.Strong(i.Imprint.Hash) {
		l.add("imprint-weak", "CSBR 6.8", "the data is hashed with %s, which is not strong enough", i.Imprint.AlgorithmName())
	}
	if _, ok := oid.ASN1(i.Policy); !ok || len(oid.Content(i.Policy)) > maxPolicyBytes {
		l.add("policy-odd", "RFC 3161, 2.4.2", "the policy identifier is very long or has a giant arc: some software cannot read it")
	}
	switch bits := i.Serial.Big().BitLen(); {
	case i.Serial.Negative():
		l.add("serial-negative", "RFC 3161, 2.4.2", "the serial number is negative")
	case bits == 0:
		l.add("serial-zero", "RFC 3161, 2.4.2", "the serial number is 0, so it can hardly be unique")
	case bits > maxSerialBits:
		l.add("serial-long", "RFC 3161, 2.4.2", "the serial number has %d bits; clients need only read 160", bits)
	}
	switch {
	case !i.HasAccuracy:
		l.add("accuracy-missing", "EN 319 422, 5.2.2", "no accuracy is given: only the authority's policy can tell")
	case i.Accuracy == 0:
		l.add("accuracy-zero", "RFC 3161, 2.4.2", "the accuracy is given as zero, which no clock has")
	case i.Accuracy > maxAccuracy:
		l.add("accuracy-coarse", "EN 319 421, 7.7.2", "the accuracy is %v, more than a second", i.Accuracy)
	}
	if i.Ordering && (!i.HasAccuracy || i.Accuracy >= time.Second || i.GenTime.Nanosecond() == 0) {
		l.add("ordering-coarse", "RFC 3161, 2.4.2", "ordering is promised, which whole seconds or an accuracy of a second cannot keep")
	} else if i.Ordering {
		l.add("ordering", "EN 319 422, 5.2.2", "ordering is promised")
	}
	ordering, seconds := explicitDefaults(i.Raw)
	if ordering {
		l.add("ordering-encoded", "X.690, 11.5", "ordering FALSE is written out, which DER forbids")
	}
	if seconds {
		l.add("accuracy-seconds-encoded", "RFC 3161, 2.4.2", "the accuracy has zero seconds written out")
	}
	for _, ext := range i.Extensions {
		switch {
		case ext.Id.String() == "1.3.6.1.5.5.7.1.3":
			l.add("qualified", "EN 319 422, 9.1", "the token claims to be qualified: a trusted list decides, not the claim")
		case ext.Critical:
			l.add("extension-critical", "EN 319 422, 5.2.2", "extension %v is critical", ext.Id)
		default:
			l.add("extension", "RFC 3161, 2.4.2", "extension %v is unknown", ext.Id)
		}
	}
}

// explicitDefaults reports whether a TSTInfo has ordering FALSE, and an
// accuracy of zero seconds, written out.
func explicitDefaults(raw []byte) (ordering, seconds bool) {
	s := cryptobyte.String(raw)
	var body, accuracy cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) {
		return false, false
	}
	for _, tag := range []asn1.Tag{asn1.INTEGER, asn1.OBJECT_IDENTIFIER, asn1.SEQUENCE, asn1.INTEGER, asn1.GeneralizedTime} {
		if !body.SkipASN1(tag) {
			return false, false
		}
	}
	if body.PeekASN1Tag(asn1.SEQUENCE) && body.ReadASN1(&accuracy, asn1.SEQUENCE) {
		seconds = bytes.HasPrefix(accuracy, []byte{der.TagInteger, 1, 0})
	}
	return bytes.HasPrefix(body, []byte{der.TagBoolean, 1, 0}), seconds
}

// signer is about the SignerInfo.
func (l *linter) signer() {
	s := &l.token.Signer
	if s.SubjectKeyID != nil {
		l.add("key-identifier", "RFC 5652, 5.3", "the signer is named by key identifier: OpenSSL and Notation refuse the token")
	}
	attributes := make([][]byte, 0, len(s.SignedAttributes))
	in := cryptobyte.String(s.RawSignedAttributes)
	var set cryptobyte.String
	if in.ReadASN1(&set, asn1.SET) {
		var el []byte
		for !set.Empty() && der.Element(&set, &el) {
			attributes = append(attributes, el)
		}
	}
	if !slices.IsSortedFunc(attributes, bytes.Compare) {
		l.add("attributes-unsorted", "RFC 5652, 5.3", "the signed attributes are not sorted: software that sorts them finds no valid signature")
	}
	var v1, v2 bool
	for _, a := range s.SignedAttributes {
		switch string(oid.Content(a.Type)) {
		case oid.SigningCertificate:
			v1 = true
		case oid.SigningCertificateV2:
			v2 = true
			l.signingCertificate(a)
		case oid.SigningTime:
			l.signingTime(a)
		}
	}
	if v1 && !v2 {
		l.add("ess-v1", "RFC 5816, 2.2.1", "the signer's certificate is named by its SHA-1 hash only: Notation refuses the token, and so does the default policy here")
	}
	if len(s.UnsignedAttributes) > 0 {
		l.add("unsigned-attributes", "RFC 5652, 5.3", "there are %d unsigned attributes, which anyone can have added", len(s.UnsignedAttributes))
	}
	switch alg, _ := oid.SignatureAlgorithm(oid.Content(s.Algorithm.OID)); alg.Scheme {
	case oid.PSS:
		l.add("pss", "RFC 4055", "the signature is RSASSA-PSS: OpenSSL's ts refuses the token")
	case oid.Ed25519:
		l.add("ed25519", "RFC 8419", "the signature is Ed25519: OpenSSL 3.0 and Notation refuse the token")
	}
}

// signingCertificate: SHA-256 is the default hash of ESSCertIDv2, so DER
// leaves it out (RFC 5035, 4).
func (l *linter) signingCertificate(a tsp.Attribute) {
	if len(a.Values) != 1 {
		return
	}
	s := cryptobyte.String(a.Values[0])
	var body, ids, id cryptobyte.String
	var hash cms.Algorithm
	if s.ReadASN1(&body, asn1.SEQUENCE) && body.ReadASN1(&ids, asn1.SEQUENCE) && ids.ReadASN1(&id, asn1.SEQUENCE) &&
		cms.ReadAlgorithm(&id, &hash) && string(hash.OID) == oid.SHA256 {
		l.add("ess-default-encoded", "X.690, 11.5", "signingCertificateV2 has its default hash SHA-256 written out, which DER forbids")
	}
}

// signingTime compares the attribute with the token's time. It is a second
// reading of the clock that nobody needs.
func (l *linter) signingTime(a tsp.Attribute) {
	if len(a.Values) != 1 {
		return
	}
	s := cryptobyte.String(a.Values[0])
	var at time.Time
	if !readTime(&s, &at) || !s.Empty() {
		l.add("signing-time-malformed", "RFC 5652, 11.3", "the signingTime attribute is malformed")
		return
	}
	// The attribute has whole seconds.
	if apart := at.Sub(l.info.GenTime).Abs(); apart > time.Second+l.info.Accuracy {
		l.add("signing-time-differs", "RFC 5652, 11.3", "the signingTime attribute says %s, %v apart from the token's time", stamp(at), apart.Round(time.Second))
		return
	}
	l.add("signing-time", "RFC 5652, 11.3", "there is a signingTime attribute, which a timestamp does not need")
}

// certificate is about the signer's certificate, where it came along.
func (l *linter) certificate() {
	cert := l.findCertificate()
	if cert == nil {
		return
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < commonRSABits {
		l.add("rsa-short", "CSBR 6.1.5.2", "the signer's key is RSA with %d bits, fewer than 3072", key.N.BitLen())
	}
	if extension(cert, 2, 5, 29, 15) < 0 {
		l.add("key-usage-missing", "RFC 5280, 4.2.1.3", "the signer's certificate has no key usage: Notation refuses it")
	}
}

// findCertificate returns the certificate of the token that the signed
// attributes name, nil when there is none or it does not parse.
func (l *linter) findCertificate() *x509.Certificate {
	for _, kind := range []struct {
		id    string
		parse func([]byte) ([]cms.ESSCertID, error)
	}{{oid.SigningCertificateV2, cms.ParseSigningCertificateV2}, {oid.SigningCertificate, cms.ParseSigningCertificate}} {
		// The first of its kind only: going through the certificates for each of
		// many attributes would take seconds.
		i := slices.IndexFunc(l.token.Signer.SignedAttributes, func(a tsp.Attribute) bool { return oid.Is(a.Type, kind.id) })
		if i < 0 || len(l.token.Signer.SignedAttributes[i].Values) != 1 {
			continue
		}
		ids, err := kind.parse(l.token.Signer.SignedAttributes[i].Values[0])
		if err != nil || !oid.Strong(ids[0].Hash) && ids[0].Hash != crypto.SHA1 {
			continue
		}
		for _, raw := range l.token.Certificates {
			if len(raw) <= maxCertificate && bytes.Equal(hashSum(ids[0].Hash, raw), ids[0].Digest) {
				cert, err := x509.ParseCertificate(raw)
				if err != nil {
					return nil
				}
				return cert
			}
		}
	}
	return nil
}
