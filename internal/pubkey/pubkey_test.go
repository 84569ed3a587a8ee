package pubkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
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
		{"RSA with the exponent 1", &rsa.PublicKey{N: modulus(2048).N, E: 1}, "public exponent 1"},
		{"RSA with the exponent 3", &rsa.PublicKey{N: modulus(2048).N, E: 3}, ""},
		{"RSA with an even exponent", &rsa.PublicKey{N: modulus(2048).N, E: 65536}, "public exponent 65536"},
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

// TestSmallOrder: of each point of small order, in each encoding, one constant
// signature fits several of a hundred messages. Of a good one it fits none.
func TestSmallOrder(t *testing.T) {
	signature := make([]byte, ed25519.SignatureSize) // R is the neutral element, S is 0
	signature[0] = 1
	fits := func(key ed25519.PublicKey) (n int) {
		for i := range 100 {
			if ed25519.Verify(key, []byte{byte(i)}, signature) {
				n++
			}
		}
		return n
	}
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, sign := range []byte{0, 0x80} {
			key[31] = key[31]&0x7f | sign
			if got := Fault(ed25519.PublicKey(key)); !strings.Contains(got, "small order") {
				t.Errorf("%x: Fault = %q", key, got)
			}
			if n := fits(key); n == 0 {
				t.Errorf("%x: one signature fits none of the messages: it is not of small order", key)
			}
		}
	}
	for i := range byte(20) {
		good := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{i}, ed25519.SeedSize)).Public().(ed25519.PublicKey)
		if fault, n := Fault(good), fits(good); fault != "" || n != 0 {
			t.Errorf("%x: Fault = %q, one signature fits %d messages", good, fault, n)
		}
	}
}
