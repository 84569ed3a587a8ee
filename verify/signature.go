package verify

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/internal/pubkey"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Limits on the salt of RSASSA-PSS, in octets. The shortest in use is the
// default of RFC 4055, 3.1; usual is the length of the hash. No accepted key
// has room for more than the longest.
const (
	minSalt = 20
	maxSalt = pubkey.MaxRSABits / 8
)

// A scheme is a way to verify a signature: an algorithm identifier, read.
type scheme struct {
	kind oid.Scheme
	hash crypto.Hash // 0 for Ed25519
	salt int         // PSS: length in octets
}

// parseScheme reads a signature algorithm. digest is what the SignerInfo says
// that it digests with, 0 where only the algorithm itself can tell.
func parseScheme(a tsp.Algorithm, digest crypto.Hash) (scheme, error) {
	s, ok := oid.SignatureAlgorithm(oid.Content(a.OID))
	if !ok {
		return scheme{}, fail(ReasonSignatureAlgorithm, "%s is not accepted as a signature algorithm", algorithmName(a.OID))
	}
	out := scheme{kind: s.Scheme, hash: s.Hash}
	switch s.Scheme {
	case oid.PSS:
		var err error
		if out.hash, out.salt, err = parsePSS(a.Parameters); err != nil {
			return scheme{}, failed(ReasonSignatureAlgorithm, err, "RSASSA-PSS parameters")
		}
	case oid.PKCS1v15:
		// RFC 4055, 5: NULL, and absent must be accepted as well.
		if !absentOrNull(a.Parameters) {
			return scheme{}, fail(ReasonSignatureAlgorithm, "%s has parameters that are neither absent nor NULL", algorithmName(a.OID))
		}
		if out.hash == 0 {
			out.hash = digest // rsaEncryption: RFC 3370, 3.2
		}
	case oid.Ed25519:
		// RFC 8419, 2.2 and 3.1: no parameters; with signed attributes the
		// digest algorithm is SHA-512.
		if a.Parameters != nil {
			return scheme{}, fail(ReasonSignatureAlgorithm, "Ed25519 has parameters")
		}
		if digest != 0 && digest != crypto.SHA512 {
			return scheme{}, fail(ReasonSignatureAlgorithm, "Ed25519 goes with SHA-512, not with %v", digest)
		}
		return out, nil
	case oid.ECDSA:
		// RFC 5758, 3.2: "the encoding MUST omit the parameters field".
		if a.Parameters != nil {
			return scheme{}, fail(ReasonSignatureAlgorithm, "%s has parameters", algorithmName(a.OID))
		}
	}
	if !oid.Strong(out.hash) {
		return scheme{}, fail(ReasonSignatureAlgorithm, "%s does not say which strong hash is signed", algorithmName(a.OID))
	}
	// RFC 8933, 3: one digest algorithm for the attributes and the signature.
	if digest != 0 && out.hash != digest {
		return scheme{}, fail(ReasonSignatureAlgorithm, "the signature is over %v, the digest algorithm is %v", out.hash, digest)
	}
	return out, nil
}

// parsePSS reads the parameters of RSASSA-PSS (RFC 4055, 3.1). Their defaults
// mean SHA-1, so hash and mask generation must be there.
//
//	RSASSA-PSS-params ::= SEQUENCE {
//	  hashAlgorithm     [0] HashAlgorithm DEFAULT sha1Identifier,
//	  maskGenAlgorithm  [1] MaskGenAlgorithm DEFAULT mgf1SHA1Identifier,
//	  saltLength        [2] INTEGER DEFAULT 20,
//	  trailerField      [3] INTEGER DEFAULT 1 }
func parsePSS(parameters []byte) (crypto.Hash, int, error) {
	s := cryptobyte.String(parameters)
	var body cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) || !s.Empty() {
		return 0, 0, errors.New("not a SEQUENCE")
	}
	var fields [4]cryptobyte.String
	var present [4]bool
	for n := range fields {
		tag := asn1.Tag(n).ContextSpecific().Constructed()
		if !body.ReadOptionalASN1(&fields[n], &present[n], tag) {
			return 0, 0, fmt.Errorf("field %d is malformed", n)
		}
	}
	if !body.Empty() {
		return 0, 0, errors.New("bytes after the last field")
	}
	var hash, mask, maskHash cms.Algorithm
	if !present[0] || !present[1] {
		return 0, 0, errors.New("hash or mask generation is left out, which means SHA-1")
	}
	if !cms.ReadAlgorithm(&fields[0], &hash) || !fields[0].Empty() || !hash.AbsentOrNull() {
		return 0, 0, errors.New("hashAlgorithm is malformed")
	}
	if !cms.ReadAlgorithm(&fields[1], &mask) || !fields[1].Empty() || string(mask.OID) != oid.MGF1 {
		return 0, 0, errors.New("maskGenAlgorithm is not MGF1")
	}
	in := cryptobyte.String(mask.Parameters)
	if !cms.ReadAlgorithm(&in, &maskHash) || !in.Empty() || !maskHash.AbsentOrNull() {
		return 0, 0, errors.New("the hash of MGF1 is malformed")
	}
	h := oid.Hash(hash.OID)
	if !oid.Strong(h) {
		return 0, 0, fmt.Errorf("hash %s is not strong enough", oid.Dotted(hash.OID))
	}
	// RFC 4055, 3.1 allows them to differ; crypto/rsa and prudence do not.
	if string(hash.OID) != string(maskHash.OID) {
		return 0, 0, errors.New("hash and mask generation use different hashes")
	}
	salt, trailer := int64(20), int64(1)
	if present[2] && (!der.SmallInteger(&fields[2], &salt) || !fields[2].Empty()) ||
		present[3] && (!der.SmallInteger(&fields[3], &trailer) || !fields[3].Empty()) {
		return 0, 0, errors.New("saltLength or trailerField is malformed")
	}
	if salt < minSalt || salt > maxSalt {
		return 0, 0, fmt.Errorf("salt of %d octets, not %d to %d", salt, minSalt, maxSalt)
	}
	if trailer != 1 {
		return 0, 0, fmt.Errorf("trailerField is %d, it must be 1", trailer)
	}
	return h, int(salt), nil
}

// verify checks signature, made over message, with pub.
func (s scheme) verify(pub crypto.PublicKey, message, signature []byte) error {
	wrongKey := func() error {
		return fail(ReasonSignatureAlgorithm, "the signature algorithm does not fit the signer's key, which is a %T", pub)
	}
	switch s.kind {
	case oid.ECDSA:
		key, ok := pub.(*ecdsa.PublicKey)
		if !ok {
			return wrongKey()
		}
		if !ecdsa.VerifyASN1(key, hashSum(s.hash, message), signature) {
			return fail(ReasonSignature, "the ECDSA signature does not verify")
		}
	case oid.PKCS1v15, oid.PSS:
		key, ok := pub.(*rsa.PublicKey)
		if !ok {
			return wrongKey()
		}
		var err error
		if s.kind == oid.PSS {
			err = rsa.VerifyPSS(key, s.hash, hashSum(s.hash, message), signature, &rsa.PSSOptions{SaltLength: s.salt, Hash: s.hash})
		} else {
			err = rsa.VerifyPKCS1v15(key, s.hash, hashSum(s.hash, message), signature)
		}
		if err != nil {
			return failed(ReasonSignature, err, "the RSA signature does not verify")
		}
	case oid.Ed25519:
		key, ok := pub.(ed25519.PublicKey)
		if !ok {
			return wrongKey()
		}
		if !ed25519.Verify(key, message, signature) {
			return fail(ReasonSignature, "the Ed25519 signature does not verify")
		}
	default:
		return fail(ReasonSignatureAlgorithm, "no signature algorithm")
	}
	return nil
}
