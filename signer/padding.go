package signer

import (
	"crypto"
	"crypto/rsa"
	"slices"
)

// A Padding is one of the two ways in which RSA signs (RFC 8017, 8).
type Padding string

// The paddings. A key may be asked for either, unless it is [Tied].
const (
	// PKCS1v15 is RSASSA-PKCS1-v1_5, which timestamps and nearly all
	// certificates are signed with.
	PKCS1v15 Padding = "pkcs1v15"
	// PSS is RSASSA-PSS, the only one that the Notary Project has.
	PSS Padding = "pss"
)

// Options returns what [Signer].Sign of an RSA key is given for a signature
// with this padding. The salt of PSS is as long as the hash, which is what
// every format asks for and every service makes.
func (p Padding) Options(hash crypto.Hash) crypto.SignerOpts {
	if p == PSS {
		return &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	return hash
}

// Tied is an optional interface of a [Signer] whose service ties a key to less
// than what fits its kind. Both methods may return nil, which stands for all;
// a signer without the interface is tied to nothing.
type Tied interface {
	// Hashes returns the hashes of the key, the usual one first.
	Hashes() []crypto.Hash
	// Paddings returns the paddings of an RSA key.
	Paddings() []Padding
}

// Offers reports whether an RSA key makes signatures with a padding, as far as
// its signer knows.
func Offers(s Signer, p Padding) bool {
	if _, ok := s.Public().(*rsa.PublicKey); !ok {
		return false
	}
	t, ok := s.(Tied)
	return !ok || len(t.Paddings()) == 0 || slices.Contains(t.Paddings(), p)
}

// UsualOptions returns what Sign of s is given by a caller with no wish of its
// own: the hash of [HashFor] and PKCS #1 v1.5, or what the signer names first
// where it is [Tied] to others.
func UsualOptions(s Signer) (crypto.SignerOpts, error) {
	hash, err := HashFor(s.Public())
	if err != nil {
		return nil, err
	}
	t, ok := s.(Tied)
	if !ok {
		return hash, nil
	}
	if tied := t.Hashes(); len(tied) > 0 && !slices.Contains(tied, hash) {
		hash = tied[0]
	}
	if _, isRSA := s.Public().(*rsa.PublicKey); isRSA && !Offers(s, PKCS1v15) {
		return PSS.Options(hash), nil
	}
	return hash, nil
}
