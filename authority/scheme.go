package authority

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// A scheme is how tokens are digested and signed.
type scheme struct {
	public crypto.PublicKey
	digest crypto.Hash // of the TSTInfo and, but for Ed25519, of the attributes
	pure   bool        // the attributes are signed undigested: Ed25519

	digestAlgorithm    []byte // AlgorithmIdentifier
	signatureAlgorithm []byte
}

// newScheme returns the scheme for a key, with the given digest or, if that is
// zero, the one that goes with the key.
func newScheme(public crypto.PublicKey, digest crypto.Hash) (scheme, error) {
	s := scheme{public: public, digest: digest}
	if fault := pubkey.Fault(public); fault != "" {
		return s, fmt.Errorf("the key is %s", fault)
	}
	fitting := crypto.SHA256
	var signature string
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P384():
			fitting = crypto.SHA384
		case elliptic.P521():
			fitting = crypto.SHA512
		}
	case *rsa.PublicKey:
		signature = oid.RSAEncryption
	case ed25519.PublicKey:
		fitting, signature, s.pure = crypto.SHA512, oid.PureEd25519, true
	}
	if s.digest == 0 {
		s.digest = fitting
	}
	if s.pure && s.digest != crypto.SHA512 { // RFC 8419, 3.1
		return s, errors.New("with an Ed25519 key the digest must be SHA-512")
	}
	switch s.digest {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return s, fmt.Errorf("digest %s is not SHA-256, SHA-384 or SHA-512", oid.HashName(s.digest))
	}
	if signature == "" {
		signature = map[crypto.Hash]string{
			crypto.SHA256: oid.ECDSAWithSHA256,
			crypto.SHA384: oid.ECDSAWithSHA384,
			crypto.SHA512: oid.ECDSAWithSHA512,
		}[s.digest]
	}
	// Absent parameters for SHA-2 (RFC 5754, 2), ECDSA (3.3) and Ed25519 (RFC
	// 8419, 2.2). For RSA rsaEncryption with NULL, the form that every verifier
	// has to know (RFC 5754, 3.2).
	s.digestAlgorithm = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.OfHash(s.digest))))
	var parameters []byte
	if signature == oid.RSAEncryption {
		parameters = der.Make(der.TagNull)
	}
	s.signatureAlgorithm = der.Make(der.TagSequence, der.Make(der.TagOID, []byte(signature)), parameters)
	return s, nil
}

// appendSum appends the digest of data.
func (s *scheme) appendSum(b, data []byte) []byte {
	switch s.digest {
	case crypto.SHA384:
		sum := sha512.Sum384(data)
		return append(b, sum[:]...)
	case crypto.SHA512:
		sum := sha512.Sum512(data)
		return append(b, sum[:]...)
	}
	sum := sha256.Sum256(data)
	return append(b, sum[:]...)
}

// opts returns what to tell the signer.
func (s *scheme) opts() crypto.SignerOpts {
	if s.pure {
		return crypto.Hash(0)
	}
	return s.digest
}

// prove has the signer sign a message that is not a token, and checks the
// signature with the key of the certificate.
func (s *scheme) prove(ctx context.Context, signer Signer) error {
	public, ok := s.public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(signer.Public()) {
		return errors.New("the signer's key is not that of the certificate")
	}
	message := []byte("fencepost: this proves that the key works, and is not a timestamp")
	digest := message
	if !s.pure {
		digest = s.appendSum(nil, message)
	}
	signature, err := signer.Sign(ctx, digest, s.opts())
	if err != nil {
		return fmt.Errorf("test signature: %w", err)
	}
	if !s.verify(digest, signature) {
		return fmt.Errorf("test signature: %w", new(wrongSignature))
	}
	return nil
}

// verify checks a signature of digest, or with Ed25519 of the message.
func (s *scheme) verify(digest, signature []byte) bool {
	switch key := s.public.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, digest, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, s.digest, digest, signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, digest, signature)
	}
	return false
}
