package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
)

func TestFault(t *testing.T) {
	modulus := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	}
	tests := []struct {
		name string
		key  crypto.PublicKey
		want string // in the answer; "" for none
	}{
		{"RSA 2047", modulus(2047), "2047 bits"},
		{"RSA 2048", modulus(2048), ""},
		{"RSA 8192", modulus(8192), ""},
		{"RSA 8193", modulus(8193), "8193 bits"},
		{"P-224", &ecdsa.PublicKey{Curve: elliptic.P224()}, "P-224"},
		{"P-256", &ecdsa.PublicKey{Curve: elliptic.P256()}, ""},
		{"P-384", &ecdsa.PublicKey{Curve: elliptic.P384()}, ""},
		{"P-521", &ecdsa.PublicKey{Curve: elliptic.P521()}, ""},
		{"Ed25519", ed25519.PublicKey(nil), ""},
		{"none", nil, "unknown"},
		{"a private key", &rsa.PrivateKey{}, "*rsa.PrivateKey"},
	}
	for _, tt := range tests {
		if got := Fault(tt.key); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: Fault = %q, want %q in it", tt.name, got, tt.want)
		}
	}
}
