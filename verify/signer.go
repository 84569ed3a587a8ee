package verify

import (
	"bytes"
	"crypto"
	"crypto/fips140"
	"crypto/sha256"
	"crypto/x509"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// maxCertificate is the longest certificate read out of a token, in octets.
// Those of timestamp authorities have 1 to 8 KiB, one with an SLH-DSA
// signature some 50,000 octets.
const maxCertificate = 64 << 10

// A signer is the certificate of the key that is to have signed: the one
// object that every check is about.
type signer struct {
	cert *x509.Certificate
	sum  [sha256.Size]byte // of cert.Raw
	// known is set when the cache has found the profile in order before.
	known bool
}

// findSigner finds the certificate that the signed attributes name by its
// hash, in the token or in the policy, and holds the signer identifier against
// it. Others are hashed and not parsed, so a bag of junk costs nothing.
func (p *Policy) findSigner(t *tsp.Token, a *signedAttributes, w *work) (*signer, error) {
	// RFC 3161, 2.4.2 with RFC 5816, 2.2.1: ESSCertID or ESSCertIDv2 MUST be
	// a signed attribute.
	ids := a.v2
	switch {
	case a.v2 == nil && a.v1 == nil:
		return nil, fail(ReasonSigningCertificate, "neither signingCertificate nor signingCertificateV2 is among the signed attributes")
	case a.v2 == nil && !p.AllowLegacyESSCertIDv1:
		return nil, fail(ReasonSigningCertificate, "the signer's certificate is named by its SHA-1 hash only, which needs the legacy policy")
	case a.v2 == nil && fips140.Enforced():
		return nil, fail(ReasonSigningCertificate, "the signer's certificate is named by its SHA-1 hash only, which this program must not rely on with fips140=only")
	case a.v2 == nil:
		ids = a.v1
	case !oid.Strong(ids[0].Hash):
		// RFC 5035, 5.4.1: the second version is for better hashes than SHA-1.
		return nil, fail(ReasonSigningCertificate, "signingCertificateV2 uses hash %s, which is unknown or not strong enough", oid.Dotted(ids[0].HashOID))
	}
	id := &ids[0]
	found := p.findCertificate(t, id, w)
	if found == nil {
		return nil, p.missing(t)
	}
	// RFC 5035, 5.4.1: when both attributes are present, both are evaluated.
	if a.v2 != nil && a.v1 != nil && !bytes.Equal(hashSum(crypto.SHA1, found), a.v1[0].Digest) {
		return nil, fail(ReasonSigningCertificate, "signingCertificate and signingCertificateV2 name different certificates")
	}
	names, ok := skim(found)
	if !ok {
		return nil, fail(ReasonCertificate, "the signer's certificate is malformed")
	}
	// RFC 5035, 4: issuerSerial, where present, is that of the certificate.
	for _, first := range [][]cms.ESSCertID{a.v2, a.v1} {
		if first != nil && !names.matches(&first[0]) {
			return nil, fail(ReasonSigningCertificate, "the issuer and serial number in the attribute are not those of the certificate with that hash")
		}
	}
	out := &signer{sum: sha256.Sum256(found)}
	if cert := p.Cache.leaf(out.sum); cert != nil {
		out.cert, out.known = cert, true
	} else {
		w.parsed++
		cert, err := parseCopy(found)
		if err != nil {
			return nil, failed(ReasonCertificate, err, "the signer's certificate does not parse")
		}
		out.cert = cert
	}
	if !identifies(&t.Signer, names, out.cert) {
		return nil, fail(ReasonSigningCertificate, "the signer identifier names another certificate than the signed attribute")
	}
	return out, nil
}

// parseCopy parses a certificate out of a token. An x509.Certificate keeps the
// bytes it was parsed from, and a cache or a caller keeps the certificate; not
// with it the token around it, which may have megabytes.
func parseCopy(der []byte) (*x509.Certificate, error) {
	return x509.ParseCertificate(bytes.Clone(der))
}

// findCertificate returns the DER of the certificate with the given hash, nil
// when neither the token nor the policy has it.
func (p *Policy) findCertificate(t *tsp.Token, id *cms.ESSCertID, w *work) []byte {
	is := func(cert []byte) bool {
		if len(cert) > maxCertificate {
			return false
		}
		w.hashed++
		if id.Hash == crypto.SHA256 {
			sum := sha256.Sum256(cert)
			return bytes.Equal(sum[:], id.Digest)
		}
		return bytes.Equal(hashSum(id.Hash, cert), id.Digest)
	}
	for _, cert := range t.Certificates {
		if is(cert) {
			return cert
		}
	}
	if p.Certificate != nil && is(p.Certificate.Raw) {
		return p.Certificate.Raw
	}
	// An authority's own certificate may be given among those of its chain, or
	// be trusted itself.
	for _, list := range [][]*x509.Certificate{p.Intermediates, p.Roots} {
		for _, cert := range list {
			if is(cert.Raw) {
				return cert.Raw
			}
		}
	}
	return nil
}

// missing says why no certificate has the hash in the signed attribute: there
// is none for the signer at all, or there is one and the hash is of another.
func (p *Policy) missing(t *tsp.Token) error {
	s := &t.Signer
	for _, cert := range t.Certificates {
		if len(cert) > maxCertificate {
			continue
		}
		names, ok := skim(cert)
		if ok && s.SubjectKeyID == nil && sameName(names.issuer, s.Issuer) && bytes.Equal(names.serial, s.Serial) {
			return fail(ReasonSigningCertificate, "the signed attribute names another certificate than the signer's in the token")
		}
	}
	if len(t.Certificates) == 0 {
		return fail(ReasonCertificateMissing, "the token has no certificates, and the signer's is not among those given")
	}
	return fail(ReasonCertificateMissing, "the signer's certificate is neither in the token nor among those given")
}

// identifies reports whether the signer identifier names the certificate
// (RFC 5652, 5.3).
func identifies(s *tsp.SignerInfo, names certNames, cert *x509.Certificate) bool {
	if s.SubjectKeyID != nil {
		return bytes.Equal(s.SubjectKeyID, cert.SubjectKeyId)
	}
	return bytes.Equal(names.serial, s.Serial) && sameName(names.issuer, s.Issuer)
}

// certNames is what of a certificate can be read without parsing all of it.
type certNames struct {
	serial          []byte // content octets
	issuer, subject []byte // DER Name
}

// skim reads the names of a certificate.
//
//	TBSCertificate ::= SEQUENCE {
//	  version [0] EXPLICIT Version DEFAULT v1,
//	  serialNumber CertificateSerialNumber,
//	  signature AlgorithmIdentifier,
//	  issuer Name,
//	  validity Validity,
//	  subject Name, ... }
func skim(cert []byte) (certNames, bool) {
	s := cryptobyte.String(cert)
	var body, tbs, issuer, subject cryptobyte.String
	var names certNames
	ok := s.ReadASN1(&body, asn1.SEQUENCE) && body.ReadASN1(&tbs, asn1.SEQUENCE) &&
		tbs.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) &&
		der.Integer(&tbs, &names.serial) && tbs.SkipASN1(asn1.SEQUENCE) &&
		tbs.ReadASN1Element(&issuer, asn1.SEQUENCE) && tbs.SkipASN1(asn1.SEQUENCE) &&
		tbs.ReadASN1Element(&subject, asn1.SEQUENCE)
	names.issuer, names.subject = issuer, subject
	return names, ok
}

// matches reports whether the issuer and serial number of an ESSCertID, where
// it has them, are those of the certificate.
func (n certNames) matches(id *cms.ESSCertID) bool {
	return id.Serial == nil || bytes.Equal(id.Serial, n.serial) && sameName(id.Issuer, n.issuer)
}
