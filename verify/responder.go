package verify

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// An ocspResponder names the key that signed a response.
//
//	ResponderID ::= CHOICE {
//	  byName [1] Name,
//	  byKey  [2] KeyHash }
//	KeyHash ::= OCTET STRING -- SHA-1 hash of responder's public key
type ocspResponder struct {
	name []byte // DER Name, nil with byKey
	key  []byte
}

func (r *ocspResponder) parse(s *cryptobyte.String) error {
	var content, value cryptobyte.String
	var tag asn1.Tag
	ok := s.ReadAnyASN1(&content, &tag)
	switch {
	case ok && tag == asn1.Tag(1).ContextSpecific().Constructed():
		ok = content.ReadASN1Element(&value, asn1.SEQUENCE)
		r.name = value
	case ok && tag == asn1.Tag(2).ContextSpecific().Constructed():
		ok = content.ReadASN1(&value, asn1.OCTET_STRING)
		r.key = value
	default:
		ok = false
	}
	if !ok || !content.Empty() {
		return errors.New("responderID is malformed")
	}
	return nil
}

// is reports whether cert is the one that is named.
func (r *ocspResponder) is(cert *x509.Certificate) bool {
	if r.name != nil {
		return sameName(r.name, cert.RawSubject)
	}
	key, ok := publicKeyBits(cert.RawSubjectPublicKeyInfo)
	return ok && bytes.Equal(r.key, hashSum(crypto.SHA1, key))
}

// vouched is an issuer for whom a response speaks, and its delegate, nil where
// the issuer signed itself.
type vouched struct{ issuer, by *x509.Certificate }

// vouch finds who signed the response for certificates of issuer: the issuer,
// for which it returns nil, or a responder of its. An error says why it is
// neither.
func (r *ocspResponse) vouch(issuer *x509.Certificate) (by *x509.Certificate, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.vouched, func(v vouched) bool { return v.issuer.Equal(issuer) }); i >= 0 {
		return r.vouched[i].by, nil
	}
	if by, err = r.findSigner(issuer); err != nil {
		return nil, err
	}
	r.vouched = append(r.vouched, vouched{issuer, by})
	return by, nil
}

func (r *ocspResponse) findSigner(issuer *x509.Certificate) (*x509.Certificate, error) {
	why := errors.New("the OCSP response is signed neither by the issuer nor by a responder whose certificate it has")
	if r.responder.is(issuer) {
		err := r.scheme.verify(issuer.PublicKey, r.tbs, r.signature)
		switch {
		case err != nil:
			why = fmt.Errorf("the OCSP response of %s: %w", stamp(r.producedAt), err)
		case !mayVouch(issuer, x509.KeyUsageDigitalSignature|x509.KeyUsageCRLSign):
			return nil, fmt.Errorf("issuer %s may sign neither OCSP responses nor revocation lists", subject(issuer))
		default:
			return nil, nil
		}
	}
	for _, raw := range r.certs {
		if len(raw) > maxCertificate {
			continue
		}
		cert, err := parseCopy(raw)
		if err != nil || !r.responder.is(cert) || cert.Equal(issuer) {
			continue
		}
		if err := r.delegated(cert, issuer); err != nil {
			why = fmt.Errorf("the OCSP response is signed by %s: %w", subject(cert), err)
			continue
		}
		if err := r.scheme.verify(cert.PublicKey, r.tbs, r.signature); err != nil {
			why = fmt.Errorf("the OCSP response of %s: %w", stamp(r.producedAt), err)
			continue
		}
		return cert, nil
	}
	return nil, why
}

// delegated reports why cert is not that of a responder that issuer appointed:
// the CA itself issues it, with id-kp-OCSPSigning (RFC 6960, 4.2.2.2). A CA is
// none, whatever its purposes: those of issuing CAs are a list of what they may
// issue.
func (r *ocspResponse) delegated(cert, issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return errors.New("the issuer of the certificate in question did not issue that of the responder")
	case cert.Version != 3 || cert.BasicConstraintsValid && cert.IsCA:
		return errors.New("a CA, or a certificate without extensions, is no responder of its issuer")
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("its certificate does not have the purpose OCSPSigning")
	case !mayVouch(cert, x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment):
		return errors.New("the key usage of its certificate does not allow to sign")
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("its certificate has the unknown critical extension %v", cert.UnhandledCriticalExtensions[0])
	case !inWindow(cert, r.producedAt):
		return fmt.Errorf("its certificate is valid from %s to %s, not when the response was produced, %s",
			stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(r.producedAt))
	}
	if fault := pubkey.Fault(cert.PublicKey); fault != "" {
		return fmt.Errorf("its key is %s", fault)
	}
	if err := cert.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("its certificate is not signed by the issuer of the certificate in question: %w", err)
	}
	return nil
}
