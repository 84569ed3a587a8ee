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
	"strings"
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
		// With 1 a signature is its own message, and an even exponent has no
		// private half. crypto/x509 reads both (RFC 8017, 3.1).
		if k.E < 3 || k.E%2 == 0 {
			return fmt.Sprintf("RSA with the public exponent %d, not an odd one from 3 on", k.E)
		}
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fmt.Sprintf("ECDSA on %s, not P-256, P-384 or P-521", k.Curve.Params().Name)
		}
	case ed25519.PublicKey:
		if smallOrder(k) {
			return "Ed25519 of small order, with which anybody can sign"
		}
	case nil:
		return "of a kind unknown here, not RSA, ECDSA or Ed25519"
	default:
		return fmt.Sprintf("of the kind %T, not RSA, ECDSA or Ed25519", pub)
	}
	return ""
}

// smallOrder reports whether k encodes one of the eight points of Ed25519 whose
// order divides 8, in any encoding that is decoded. One signature then fits
// every eighth message or more, whoever made it.
func smallOrder(k ed25519.PublicKey) bool {
	if len(k) != ed25519.PublicKeySize {
		return false
	}
	// The y coordinates, little-endian; the highest bit is the sign of x.
	y := string(k[:31]) + string(k[31]&0x7f)
	ones := strings.Repeat("\xff", 30)
	switch y {
	case strings.Repeat("\x00", 32), // order 4
		"\x01" + strings.Repeat("\x00", 31), // order 1
		"\xec" + ones + "\x7f",              // -1: order 2
		"\xed" + ones + "\x7f",              // 0 again
		"\xee" + ones + "\x7f",              // 1 again
		// order 8
		"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
		"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a":
		return true
	}
	return false
}
