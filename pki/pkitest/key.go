package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"crypto/x509"
	"embed"
	"encoding/pem"
	"fmt"
	"io"
	"testing"
)

// KeyType is a kind and size of key.
type KeyType int

// The zero KeyType is P-256.
const (
	P256 KeyType = iota
	P384
	P521
	RSA2048
	RSA3072
	RSA4096
	Ed25519
	P224    // too weak: for tests of refusal
	RSA1024 // too weak: for tests of refusal
)

// KeyTypes returns the key types that a TSA may have, each of which gives a
// working chain.
func KeyTypes() []KeyType {
	return []KeyType{P256, P384, P521, RSA2048, RSA3072, RSA4096, Ed25519}
}

// String returns the key type in lower case: "p256", "rsa2048".
func (k KeyType) String() string {
	names := [...]string{"p256", "p384", "p521", "rsa2048", "rsa3072", "rsa4096", "ed25519", "p224", "rsa1024"}
	if k < 0 || int(k) >= len(names) {
		return fmt.Sprintf("pkitest.KeyType(%d)", int(k))
	}
	return names[k]
}

// Key returns the private key of the given type and name, always the same. For
// RSA the name must be "root", "intermediate", "leaf" or end in one of these
// after a space: there is one key for each and size, shared by all names.
//
// The result is an *ecdsa.PrivateKey, *rsa.PrivateKey or ed25519.PrivateKey.
func Key(t testing.TB, kind KeyType, name string) crypto.Signer {
	t.Helper()
	key, err := newKey(kind, name)
	if err != nil {
		t.Fatalf("pkitest: %v key %q: %v", kind, name, err)
	}
	return key
}

func newKey(kind KeyType, name string) (crypto.Signer, error) {
	label := kind.String() + " " + name
	switch kind {
	case P224:
		return ecKey(elliptic.P224(), label)
	case P256:
		return ecKey(elliptic.P256(), label)
	case P384:
		return ecKey(elliptic.P384(), label)
	case P521:
		return ecKey(elliptic.P521(), label)
	case Ed25519:
		return ed25519.NewKeyFromSeed(stream(label, ed25519.SeedSize)), nil
	case RSA1024, RSA2048, RSA3072, RSA4096:
		return rsaKey(kind, name)
	}
	return nil, fmt.Errorf("unknown key type")
}

// stream derives n bytes from a label, at most one SHA-512 block for each of
// the 256 counter values.
func stream(label string, n int) []byte {
	var out []byte
	for i := 0; len(out) < n; i++ {
		sum := sha512.Sum512(append([]byte{byte(i)}, "fencepost pkitest "+label...))
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func ecKey(curve elliptic.Curve, label string) (*ecdsa.PrivateKey, error) {
	bits := curve.Params().BitSize
	// A scalar outside the order of the curve is refused; the next label gives
	// another. The orders are so close to a power of two that it hardly happens.
	for try := 0; ; try++ {
		raw := stream(fmt.Sprintf("%s %d", label, try), (bits+7)/8)
		if excess := len(raw)*8 - bits; excess > 0 {
			raw[0] &= 0xff >> excess
		}
		key, err := ecdsa.ParseRawPrivateKey(curve, raw)
		if err == nil || try == 100 {
			return key, err
		}
	}
}

//go:embed testdata/rsa*.pem
var rsaKeys embed.FS

func rsaKey(kind KeyType, name string) (crypto.Signer, error) {
	index := -1
	for i, n := range []string{"leaf", "intermediate", "root"} {
		if name == n || len(name) > len(n) && name[len(name)-len(n)-1:] == " "+n {
			index = i
		}
	}
	if index < 0 {
		return nil, fmt.Errorf("there are RSA keys for leaf, intermediate and root only")
	}
	rest, err := rsaKeys.ReadFile("testdata/" + kind.String() + ".pem")
	if err != nil {
		return nil, err
	}
	var block *pem.Block
	for range index + 1 {
		if block, rest = pem.Decode(rest); block == nil {
			return nil, io.ErrUnexpectedEOF
		}
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

// fixed makes every signature of a key reproducible by withholding randomness
// from it: ECDSA then signs after RFC 6979; Ed25519 and PKCS #1 v1.5 need none.
type fixed struct{ crypto.Signer }

func (f fixed) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return f.Signer.Sign(nil, digest, opts)
}

// Deterministic returns a signer with the given key whose ECDSA signatures are
// always the same for the same digest.
func Deterministic(key crypto.Signer) crypto.Signer { return fixed{key} }
