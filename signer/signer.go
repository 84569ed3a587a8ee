// Package signer holds the private keys that sign: in memory, in files, and,
// behind one interface, wherever else a key may live.
//
// A [Signer] is crypto.Signer with a context, because a key in a key
// management service or a hardware module answers over a wire and may not
// answer at all. [Crypto] adapts one down for a call of crypto/x509.
//
//	u, err := signer.ParseURI("file:/etc/tsa/key.pem?passphrase-file=/run/secrets/tsa")
//	...
//	key, err := signer.Open(ctx, u, signer.Config{})
//	...
//	hash, err := signer.HashFor(key.Public())
//	signature, err := key.Sign(ctx, digest, hash)
//
// An RSA key signs with PKCS #1 v1.5 so, and with PSS where it is given
// PSS.Options(hash). Some services tie a key to one of the two, which [Tied]
// tells.
//
// # Keys
//
// ECDSA on P-256, P-384 and P-521, RSA of 2048 to 8192 bits, and Ed25519.
// Everything else is refused by name, and so is a key whose public half does
// not belong to its private half.
//
// [Generate] makes a key, [New] takes one, [ParsePEM] and [ReadFile] read one:
// PKCS #1 (RFC 8017), PKCS #8 (RFC 5958), SEC 1 (RFC 5915), PKCS #8 encrypted
// with PBES2 (RFC 8018; PBKDF2 or scrypt), PEM encrypted as in RFC 1423, and
// the encrypted form of Sigstore and Cosign. A file holds one key and nothing
// else. [MarshalPEM] writes PKCS #8.
//
// # Trust
//
// A key file may be hostile: its size and the cost of its key derivation are
// bounded before any work is done. It is not a secret from the process that
// reads it, nor is the memory wiped after use; Go makes no promise there.
// Passphrases are named by a [URI] or asked for by a function, and are never
// part of a URI or an error.
package signer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
)

// A Signer signs with one private key, for as long as it lives. Its methods
// may be called from several goroutines at once.
type Signer interface {
	// Public returns the public key, always the same one: *ecdsa.PublicKey,
	// *rsa.PublicKey or ed25519.PublicKey.
	Public() crypto.PublicKey

	// Sign signs digest, which was made with opts.HashFunc() and is as long
	// as that hash. With [rsa.PSSOptions] an RSA key makes a PSS signature,
	// else one of PKCS #1 v1.5. An ECDSA signature is the DER of
	// ECDSA-Sig-Value (RFC 3279, 2.2.3).
	//
	// Ed25519 hashes by itself: digest is then the whole message, and
	// opts.HashFunc() is 0.
	//
	// Sign does not change or keep digest. It ends with an error that wraps
	// the context's error when ctx is done, before it signs or while it waits.
	Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

// InProcess is an optional interface of a [Signer]. A signer whose InProcess
// returns true signs with a key in the memory of this process, by code of this
// process; whoever checks signatures may then be content with a sample. A
// signer without the method is taken to be elsewhere.
type InProcess interface {
	InProcess() bool
}

// Crypto returns s as a crypto.Signer, for one call of a function such as
// [crypto/x509.CreateCertificate]; ctx bounds that call, and the result is not
// kept for longer. The random source that is handed to its Sign is not used.
func Crypto(ctx context.Context, s Signer) crypto.Signer {
	return cryptoSigner{ctx, s}
}

// A cryptoSigner stores a context, against the rule, because crypto.Signer
// has no place for one; it lives for one call.
type cryptoSigner struct {
	ctx    context.Context
	signer Signer
}

func (c cryptoSigner) Public() crypto.PublicKey { return c.signer.Public() }

func (c cryptoSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return c.signer.Sign(c.ctx, digest, opts)
}

// HashFor returns the hash that goes with a public key and is the third
// argument of [Signer].Sign: SHA-256 for P-256 and RSA, SHA-384 for P-384 and
// SHA-512 for P-521, which is as strong as the key or stronger than what
// everyone accepts for it. For Ed25519 it is 0: the message itself is signed.
// A format that wants a digest algorithm beside an Ed25519 signature names
// SHA-512 (RFC 8419, 3.1). A key that this package does not support is an
// error.
func HashFor(pub crypto.PublicKey) (crypto.Hash, error) {
	if err := checkPublic(pub); err != nil {
		return 0, fmt.Errorf("signer: %w", err)
	}
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P384():
			return crypto.SHA384, nil
		case elliptic.P521():
			return crypto.SHA512, nil
		}
	case ed25519.PublicKey:
		return 0, nil
	}
	return crypto.SHA256, nil
}

const (
	// minRSABits is what NIST SP 800-57 and every verifier's policy ask for
	// today.
	minRSABits = 2048

	// maxRSABits keeps a signature at about a tenth of a second; no one uses
	// longer keys, and RFC 8017 sets no limit.
	maxRSABits = 8192
)

// checkPublic returns an error if pub is not a key that this package signs
// with.
func checkPublic(pub crypto.PublicKey) error {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if pub == nil || pub.Curve == nil {
			return errors.New("EC key without a curve")
		}
		switch pub.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return fmt.Errorf("EC key on the curve %.40q; want P-256, P-384 or P-521", pub.Curve.Params().Name)
	case *rsa.PublicKey:
		if pub == nil || pub.N == nil {
			return errors.New("RSA key without a modulus")
		}
		return checkRSABits(pub.N.BitLen())
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 public key of %d bytes; want %d", len(pub), ed25519.PublicKeySize)
		}
		return nil
	}
	return fmt.Errorf("key of type %T; want ECDSA, RSA or Ed25519", pub)
}

func checkRSABits(bits int) error {
	if bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA key of %d bits; want %d to %d", bits, minRSABits, maxRSABits)
	}
	return nil
}
