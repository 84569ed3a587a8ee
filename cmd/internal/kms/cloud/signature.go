package cloud

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// checkForm returns an error if signature cannot be one of the key, whatever
// was signed.
func checkForm(pub crypto.PublicKey, signature []byte) error {
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		// RFC 8017, 8.2.2: as long as the modulus.
		if len(signature) != pub.Size() {
			return fmt.Errorf("the service sent a signature of %d bytes; want %d", len(signature), pub.Size())
		}
		return nil
	case *ecdsa.PublicKey:
		return checkECDSA(pub, signature)
	}
	return fmt.Errorf("a signature by a key of type %T", pub)
}

// checkECDSA reads the DER of a signature.
//
//	ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }
//
// RFC 3279, 2.2.3. Both are from 1 to the order of the curve, less one.
func checkECDSA(pub *ecdsa.PublicKey, signature []byte) error {
	in := cryptobyte.String(signature)
	var seq cryptobyte.String
	r, s := new(big.Int), new(big.Int)
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !in.Empty() ||
		!seq.ReadASN1Integer(r) || !seq.ReadASN1Integer(s) || !seq.Empty() {
		return fmt.Errorf("the service sent %d bytes that are no ECDSA signature in DER", len(signature))
	}
	for _, v := range []*big.Int{r, s} {
		if v.Sign() <= 0 || v.Cmp(pub.Params().N) >= 0 {
			return errors.New("the service sent an ECDSA signature with a number outside the curve's order")
		}
	}
	return nil
}

// joinHalves makes the DER of an ECDSA signature from r and s, one after the
// other, each as long as the curve's order, as JSON Web Signatures have them
// (RFC 7518, 3.4).
func joinHalves(pub *ecdsa.PublicKey, halves []byte) ([]byte, error) {
	size := (pub.Params().N.BitLen() + 7) / 8
	if len(halves) != 2*size {
		return nil, fmt.Errorf("the service sent an ECDSA signature (r || s) of %d bytes; want %d", len(halves), 2*size)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(halves[:size]))
		b.AddASN1BigInt(new(big.Int).SetBytes(halves[size:]))
	})
	return b.Bytes()
}
