package verify

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// maxOCSPNonce is the longest nonce that responders have to take, in octets
// (RFC 9654, 2.1).
const maxOCSPNonce = 128

// OCSPRequest returns a request in DER for the status of the certificate of q
// (RFC 6960, 4.1.1), which has some 80 octets. The certificate is named by
// SHA-1, the one hash that every responder understands. nonce is put in unless
// it is nil; it has 1 to 128 octets, and 32 are what RFC 9654 recommends.
//
//	OCSPRequest ::= SEQUENCE {
//	  tbsRequest TBSRequest,
//	  optionalSignature [0] EXPLICIT Signature OPTIONAL }
//	TBSRequest ::= SEQUENCE {
//	  version           [0] EXPLICIT Version DEFAULT v1,
//	  requestorName     [1] EXPLICIT GeneralName OPTIONAL,
//	  requestList       SEQUENCE OF SEQUENCE { reqCert CertID, ... },
//	  requestExtensions [2] EXPLICIT Extensions OPTIONAL }
func OCSPRequest(q RevocationQuery, nonce []byte) ([]byte, error) {
	names, ok := skim(q.Certificate.Raw)
	key, keyOK := publicKeyBits(q.Issuer.RawSubjectPublicKeyInfo)
	if !ok || !keyOK {
		return nil, errors.New("verify: the certificate is malformed")
	}
	if nonce != nil && (len(nonce) == 0 || len(nonce) > maxOCSPNonce) {
		return nil, fmt.Errorf("verify: an OCSP nonce of %d octets, not 1 to %d", len(nonce), maxOCSPNonce)
	}
	id := der.Make(der.TagSequence,
		der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.SHA1)), der.Make(der.TagNull)),
		der.Make(der.TagOctetString, hashSum(crypto.SHA1, names.issuer)),
		der.Make(der.TagOctetString, hashSum(crypto.SHA1, key)),
		der.Make(der.TagInteger, names.serial))
	fields := [][]byte{der.Make(der.TagSequence, der.Make(der.TagSequence, id))}
	if nonce != nil {
		fields = append(fields, der.Make(der.Context(2), der.Make(der.TagSequence, der.Make(der.TagSequence,
			der.Make(der.TagOID, []byte(oidOCSPNonce)), der.Make(der.TagOctetString, nonceValue(nonce))))))
	}
	return der.Make(der.TagSequence, der.Make(der.TagSequence, fields...)), nil
}

// OCSPAnswers reports whether data is a response with statuses, and not to
// another request than one with the given nonce: it has the same or, as those
// that are made in advance, none (RFC 6960, 4.4.1). It does not tell who gave
// the answer; that, the certificate and the time are for [OCSPResponses].
func OCSPAnswers(data, nonce []byte) error {
	r := &ocspResponse{}
	if err := r.parse(data); err != nil {
		return fmt.Errorf("verify: OCSP response: %w", err)
	}
	if r.nonce != nil && !bytes.Equal(r.nonce, nonceValue(nonce)) {
		return errors.New("verify: OCSP response: it has the nonce of another request")
	}
	return nil
}

// nonceValue is the value of the extension: a Nonce in DER.
func nonceValue(nonce []byte) []byte { return der.Make(der.TagOctetString, nonce) }
