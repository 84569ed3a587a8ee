package envelope

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/signer"
)

// An Algorithm is a signature algorithm. An envelope may name one that the
// Notary Project does not have; it has a Name then and no Hash, and does not
// verify.
type Algorithm struct {
	// Name is the word of RFC 7518, 3.1 in both formats: "ES256", "PS384".
	Name string
	// Hash is the hash of the signature, and of a timestamp over it.
	Hash crypto.Hash
}

// An algorithm has a number in COSE, too (RFC 9053, 2.1; RFC 8230, 2).
type algorithm struct {
	Algorithm
	cose int64
}

// algorithms are all that there are: one for each kind and size of key
// (Notary Project signature specification, "Algorithm Selection").
func algorithms() [6]algorithm {
	return [...]algorithm{
		{Algorithm{"ES256", crypto.SHA256}, -7},
		{Algorithm{"ES384", crypto.SHA384}, -35},
		{Algorithm{"ES512", crypto.SHA512}, -36},
		{Algorithm{"PS256", crypto.SHA256}, -37},
		{Algorithm{"PS384", crypto.SHA384}, -38},
		{Algorithm{"PS512", crypto.SHA512}, -39},
	}
}

// named returns the algorithm of that name, without a hash if it is unknown.
func named(name string) Algorithm {
	for _, a := range algorithms() {
		if a.Name == name {
			return a.Algorithm
		}
	}
	return Algorithm{Name: name}
}

// algorithmFor returns the one algorithm that goes with a public key.
func algorithmFor(pub crypto.PublicKey) (Algorithm, error) {
	const want = "; want RSA with 2048, 3072 or 4096 bits, or ECDSA on P-256, P-384 or P-521"
	all := algorithms()
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return all[0].Algorithm, nil
		case elliptic.P384():
			return all[1].Algorithm, nil
		case elliptic.P521():
			return all[2].Algorithm, nil
		}
		return Algorithm{}, fail(ReasonAlgorithm, "the key is ECDSA on %s"+want, k.Curve.Params().Name)
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return all[3].Algorithm, nil
		case 3072:
			return all[4].Algorithm, nil
		case 4096:
			return all[5].Algorithm, nil
		}
		return Algorithm{}, fail(ReasonAlgorithm, "the key is RSA with %d bits"+want, k.N.BitLen())
	}
	return Algorithm{}, fail(ReasonAlgorithm, "the key is of the kind %T"+want, pub)
}

// HashFor returns the hash that goes with the key of a signer: that of its
// signatures, of the timestamps over them, and of files that it signs. An error
// is an *Error with [ReasonAlgorithm].
func HashFor(pub crypto.PublicKey) (crypto.Hash, error) {
	a, err := algorithmFor(pub)
	return a.Hash, err
}

// verifySignature verifies a signature over the digest, which was made with the
// hash of the key's algorithm.
func verifySignature(pub crypto.PublicKey, h crypto.Hash, digest, signature []byte) bool {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		// Of r and s, each as long as the order (RFC 7518, 3.4; RFC 9053, 2.1).
		n := (k.Curve.Params().N.BitLen() + 7) / 8
		if len(signature) != 2*n {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:n]), new(big.Int).SetBytes(signature[n:])
		return ecdsa.Verify(k, digest, r, s)
	case *rsa.PublicKey:
		// RFC 7518, 3.5 and RFC 8230, 2: the salt is as long as the hash.
		return rsa.VerifyPSS(k, h, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

// signatureOptions are those that a signer with that key is asked with.
func signatureOptions(pub crypto.PublicKey, h crypto.Hash) crypto.SignerOpts {
	if _, ok := pub.(*rsa.PublicKey); ok {
		return signer.PSS.Options(h)
	}
	return h
}

// rawSignature turns the signature of a signer into that of an envelope: for
// ECDSA the DER of ECDSA-Sig-Value (RFC 3279, 2.2.3) into r and s.
func rawSignature(pub crypto.PublicKey, signature []byte) ([]byte, error) {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return signature, nil
	}
	in, r, s := cryptobyte.String(signature), new(big.Int), new(big.Int)
	var inner cryptobyte.String
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !in.Empty() || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) || !inner.Empty() {
		return nil, errors.New("the ECDSA signature is not DER (RFC 3279, 2.2.3)")
	}
	order := k.Curve.Params().N
	if r.Sign() <= 0 || s.Sign() <= 0 || r.Cmp(order) >= 0 || s.Cmp(order) >= 0 {
		return nil, errors.New("the ECDSA signature has a number outside the order of the curve")
	}
	n := (order.BitLen() + 7) / 8
	out := make([]byte, 2*n)
	r.FillBytes(out[:n])
	s.FillBytes(out[n:])
	return out, nil
}
