package signer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A KeyType names a kind of key that [Generate] makes.
type KeyType string

// The key types. P256 is what every verifier accepts and the fastest to sign.
const (
	P256    KeyType = "p256"
	P384    KeyType = "p384"
	P521    KeyType = "p521"
	RSA2048 KeyType = "rsa2048"
	RSA3072 KeyType = "rsa3072"
	RSA4096 KeyType = "rsa4096"
	Ed25519 KeyType = "ed25519"
)

// KeyTypes returns all key types.
func KeyTypes() []KeyType {
	return []KeyType{P256, P384, P521, RSA2048, RSA3072, RSA4096, Ed25519}
}

// ParseKeyType returns the key type of that name, in lower case.
func ParseKeyType(name string) (KeyType, error) {
	t, err := parseKeyType(name)
	if err != nil {
		return "", fmt.Errorf("signer: %w", err)
	}
	return t, nil
}

func parseKeyType(name string) (KeyType, error) {
	all := KeyTypes()
	if t := KeyType(name); slices.Contains(all, t) {
		return t, nil
	}
	words := make([]string, len(all))
	for i, t := range all {
		words[i] = string(t)
	}
	return "", fmt.Errorf("unknown key type %.40q; want one of %s", name, strings.Join(words, ", "))
}

// A Key is a [Signer] over a private key of crypto/ecdsa, crypto/rsa or
// crypto/ed25519, or over another crypto.Signer. It comes from [New],
// [Generate], [ParsePEM], [ReadFile] or [Open]; the zero Key signs nothing.
type Key struct {
	signer crypto.Signer
	public crypto.PublicKey
	local  bool // the private key is one of the standard library's
}

// New returns a Key that signs with k. A private key of the standard library
// is checked: its two halves must belong together. Of any other crypto.Signer
// only the public key is looked at, and it does not count as [InProcess]. An
// unsupported key is an error.
func New(k crypto.Signer) (*Key, error) {
	key, err := newKey(k)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	return key, nil
}

func newKey(k crypto.Signer) (*Key, error) {
	local := true
	var err error
	switch k := k.(type) {
	case nil:
		err = errors.New("no key")
	case *ecdsa.PrivateKey:
		err = checkECDSA(k)
	case *rsa.PrivateKey:
		err = checkRSA(k)
	case ed25519.PrivateKey:
		if len(k) != ed25519.PrivateKeySize {
			err = fmt.Errorf("Ed25519 private key of %d bytes; want %d", len(k), ed25519.PrivateKeySize)
		} else if !ed25519.NewKeyFromSeed(k.Seed()).Equal(k) {
			err = errMismatch
		}
	default:
		local = false
		err = checkPublic(k.Public())
	}
	if err != nil {
		return nil, err
	}
	return &Key{signer: k, public: k.Public(), local: local}, nil
}

var errMismatch = errors.New("the public half of the key does not belong to its private half")

func checkECDSA(k *ecdsa.PrivateKey) error {
	if k == nil {
		return errors.New("no key")
	}
	if err := checkPublic(&k.PublicKey); err != nil {
		return err
	}
	raw, err := k.Bytes()
	if err != nil {
		return fmt.Errorf("EC key: %w", err)
	}
	derived, err := ecdsa.ParseRawPrivateKey(k.Curve, raw)
	if err != nil {
		return fmt.Errorf("EC key: %w", err)
	}
	if !derived.PublicKey.Equal(&k.PublicKey) {
		return errMismatch
	}
	return nil
}

func checkRSA(k *rsa.PrivateKey) error {
	if k == nil {
		return errors.New("no key")
	}
	if err := checkPublic(&k.PublicKey); err != nil {
		return err
	}
	if len(k.Primes) != 2 {
		return fmt.Errorf("RSA key with %d primes; want 2", len(k.Primes))
	}
	if err := k.Validate(); err != nil {
		return fmt.Errorf("RSA key: %w", err)
	}
	k.Precompute()
	return nil
}

// Generate makes a key in memory. RSA takes up to some seconds.
func Generate(t KeyType) (*Key, error) {
	if _, err := parseKeyType(string(t)); err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	k, err := generate(t)
	if err != nil {
		return nil, fmt.Errorf("signer: generate %s key: %w", t, err)
	}
	return New(k)
}

func generate(t KeyType) (crypto.Signer, error) {
	switch t {
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case Ed25519:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// Public returns the public key.
func (k *Key) Public() crypto.PublicKey { return k.public }

// InProcess reports whether the private key is one of the standard library's,
// in this process.
func (k *Key) InProcess() bool { return k.local }

// Sign implements [Signer]. The hash is one of SHA-256, SHA-384 and SHA-512
// with ECDSA and RSA, and none with Ed25519: Ed25519ph and Ed25519ctx, which
// no format here uses, are refused.
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	if err := k.check(digest, opts); err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	signature, err := k.signer.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, fmt.Errorf("signer: sign: %w", err)
	}
	return signature, nil
}

func (k *Key) check(digest []byte, opts crypto.SignerOpts) error {
	if k.signer == nil {
		return errors.New("no key")
	}
	return checkDigest(k.public, digest, opts)
}

// CheckDigest returns an error if a signer with that public key must not be
// asked to sign digest with opts: the hash and the length are not those that
// [Key.Sign] documents, or there are no options. Every implementation of
// [Signer] asks it before it calls a service, because some services, and
// ecdsa.PrivateKey, sign a digest of any length.
func CheckDigest(pub crypto.PublicKey, digest []byte, opts crypto.SignerOpts) error {
	if err := checkDigest(pub, digest, opts); err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	return nil
}

var errNotRSA = errors.New("PSS options with a key that is not RSA")

func checkDigest(pub crypto.PublicKey, digest []byte, opts crypto.SignerOpts) error {
	if opts == nil {
		return errors.New("no hash function given")
	}
	hash := opts.HashFunc()
	switch pub.(type) {
	case ed25519.PublicKey:
		if o, ok := opts.(*ed25519.Options); hash != 0 || ok && o.Context != "" {
			return errors.New("Ed25519 signs the message itself, without a hash function or a context")
		}
		if _, ok := opts.(*rsa.PSSOptions); ok {
			return errNotRSA
		}
		return nil
	case *rsa.PublicKey:
	case *ecdsa.PublicKey:
		if _, ok := opts.(*rsa.PSSOptions); ok {
			return errNotRSA
		}
	default:
		return checkPublic(pub)
	}
	switch hash {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
	default:
		return fmt.Errorf("hash function %v; want SHA-256, SHA-384 or SHA-512", hash)
	}
	if len(digest) != hash.Size() {
		return fmt.Errorf("digest of %d bytes; want %d for %v", len(digest), hash.Size(), hash)
	}
	return nil
}

var (
	_ Signer    = (*Key)(nil)
	_ InProcess = (*Key)(nil)
)
