// Package pubkey says which public keys are good enough to sign timestamps and
// the certificates above them. Who issues, who verifies and who checks chains
// ask the same function, so that none makes what another refuses.
package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
)

// Limits on the modulus of RSA, in bits.
const (
	// MinRSABits is 112 bits of security (NIST SP 800-131A), and the least that
	// any timestamp verifier in use still takes.
	MinRSABits = 2048
	// MaxRSABits is where crypto/tls draws the line too. The cost of a
	// verification grows with the square of the length, and a hostile
	// certificate has room for 500,000 bits.
	MaxRSABits = 8192
)

// Fault says why a public key is not accepted, in words that go on after "the
// key is"; "" when it is accepted. It does not calculate with the key.
func Fault(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < MinRSABits || n > MaxRSABits {
			return fmt.Sprintf("RSA with %d bits, not %d to %d", n, MinRSABits, MaxRSABits)
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Sprintf("ECDSA on %s, not P-256, P-384 or P-521", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case nil:
		return "of a kind unknown here, not RSA, ECDSA or Ed25519"
	default:
		return fmt.Sprintf("of the kind %T, not RSA, ECDSA or Ed25519", pub)
	}
	return ""
}
