package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/fips140"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// ErrProof means that what a signer returned is not a signature of what it was
// given under its own public key.
var ErrProof = errors.New("the key did not pass its proof")

// proof is what [Prove] has signed: text that no format of ours or anybody
// else's begins with, so that the signature is worth nothing to a thief.
const proof = "fencepost proof of key possession, version 1\x00This text states nothing and dates nothing."

// Prove has s make one signature and checks it under s.Public(), as a program
// does before it relies on a key. The options are those that the key will be
// used with: a hash, for an RSA key one with PKCS #1 v1.5, or [rsa.PSSOptions].
// A hash of 0 is that of [HashFor], and nil options are [UsualOptions].
//
// A signature that does not verify is an error that wraps [ErrProof] and says,
// as far as that can be told, what it is instead: RSA-PSS, an ECDSA signature
// that is not DER, one with another hash, or one by another key. A signer that
// does not sign at all is an error of its own.
func Prove(ctx context.Context, s Signer, opts crypto.SignerOpts) error {
	pub := s.Public()
	opts, err := proofOptions(s, opts)
	if err != nil {
		return err
	}
	hash := opts.HashFunc()
	var input []byte
	fips140.WithoutEnforcement(func() { input = hashed(hash, []byte(proof)) }) // CheckDigest refuses what is not approved
	if err := CheckDigest(pub, input, opts); err != nil {
		return err
	}
	signature, err := s.Sign(ctx, bytes.Clone(input), opts)
	if err != nil {
		return fmt.Errorf("signer: prove the key: %w", err)
	}
	pss, isPSS := opts.(*rsa.PSSOptions)
	if isPSS && verifiesPSS(pub, input, signature, pss) || !isPSS && verifies(pub, hash, input, signature) {
		return nil
	}
	var why string
	// To say what the signature is takes hashes that it should not have been
	// made with.
	fips140.WithoutEnforcement(func() { why = diagnose(pub, opts, signature) })
	return fmt.Errorf("signer: %w: %s", ErrProof, why)
}

// proofOptions completes what [Prove] was given.
func proofOptions(s Signer, opts crypto.SignerOpts) (crypto.SignerOpts, error) {
	if opts == nil {
		return UsualOptions(s)
	}
	own, err := HashFor(s.Public())
	if err != nil || opts.HashFunc() != 0 {
		return opts, err
	}
	if pss, ok := opts.(*rsa.PSSOptions); ok {
		return &rsa.PSSOptions{Hash: own, SaltLength: pss.SaltLength}, nil
	}
	return own, nil
}

// hashed returns the digest of msg, with hash 0 msg itself.
func hashed(hash crypto.Hash, msg []byte) []byte {
	if !hash.Available() {
		return msg
	}
	h := hash.New()
	h.Write(msg)
	return h.Sum(nil)
}

// verifies checks a signature as made by [Signer].Sign; RSA is PKCS #1 v1.5.
func verifies(pub crypto.PublicKey, hash crypto.Hash, input, signature []byte) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, input, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, hash, input, signature) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(pub, input, signature)
	}
	return false
}

// diagnose says what a signature is that should have been one of the proof
// with these options. It tries what services are known to do.
func diagnose(pub crypto.PublicKey, opts crypto.SignerOpts, signature []byte) string {
	hash := opts.HashFunc()
	if wrong := misshapen(pub, hash, signature); wrong != "" {
		return wrong
	}
	digest := hashed(hash, []byte(proof))
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		other := hashed(h, []byte(proof))
		again := hashed(h, digest)
		switch {
		case h != hash && verifiesAnyhow(pub, h, other, signature):
			return fmt.Sprintf("the service signed with %v, not with %s: make a key for that hash", h, hashName(hash))
		case verifiesAnyhow(pub, h, again, signature):
			return fmt.Sprintf("the service signed the %v of the digest, instead of the digest that it was given", h)
		}
	}
	switch pub := pub.(type) {
	case *rsa.PublicKey:
		_, wantPSS := opts.(*rsa.PSSOptions)
		switch {
		case wantPSS && verifies(pub, hash, digest, signature):
			return "the key makes RSA PKCS #1 v1.5 signatures only: make a key for RSA-PSS"
		case wantPSS && verifiesAnyhow(pub, hash, digest, signature):
			return "the service made an RSA-PSS signature with another salt: it has to be as long as the hash"
		case verifiesAnyhow(pub, hash, digest, signature):
			return "the key makes RSA-PSS signatures only: make a key for PKCS #1 v1.5"
		}
		if rsa.VerifyPKCS1v15(pub, 0, digest, signature) == nil {
			return "the service signed the digest without saying which hash made it: it has to sign a DigestInfo (RFC 8017, 9.2)"
		}
	case ed25519.PublicKey:
		sum := hashed(crypto.SHA512, []byte(proof))
		if ed25519.VerifyWithOptions(pub, sum, signature, &ed25519.Options{Hash: crypto.SHA512}) == nil {
			return "the service makes Ed25519ph signatures: it has to sign the message itself"
		}
	}
	return "the signature does not verify: the service signs with another key"
}

// misshapen says what is wrong with the form of a signature, "" for nothing.
func misshapen(pub crypto.PublicKey, hash crypto.Hash, signature []byte) string {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		if isECDSA(signature) {
			return ""
		}
		half := (pub.Curve.Params().N.BitLen() + 7) / 8
		if len(signature) == 2*half && ecdsa.VerifyASN1(pub, hashed(hash, []byte(proof)), fromHalves(signature)) {
			return "the service writes ECDSA signatures as r||s (IEEE P1363): they have to be DER (RFC 3279, 2.2.3)"
		}
		return fmt.Sprintf("what the service returned, %d bytes, is no ECDSA signature in DER (RFC 3279, 2.2.3)", len(signature))
	case *rsa.PublicKey:
		if len(signature) != pub.Size() {
			return fmt.Sprintf("what the service returned is %d bytes, and a signature of this RSA key is %d", len(signature), pub.Size())
		}
	case ed25519.PublicKey:
		if len(signature) != ed25519.SignatureSize {
			return fmt.Sprintf("what the service returned is %d bytes, and an Ed25519 signature is %d", len(signature), ed25519.SignatureSize)
		}
	}
	return ""
}

func verifiesPSS(pub crypto.PublicKey, digest, signature []byte, opts *rsa.PSSOptions) bool {
	k, ok := pub.(*rsa.PublicKey)
	return ok && opts.Hash != 0 && rsa.VerifyPSS(k, opts.Hash, digest, signature, opts) == nil
}

// verifiesAnyhow checks a signature with either padding, whatever the salt.
func verifiesAnyhow(pub crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	return verifies(pub, hash, digest, signature) ||
		verifiesPSS(pub, digest, signature, &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthAuto})
}

// isECDSA reports whether a signature has the form of ECDSA-Sig-Value.
func isECDSA(der []byte) bool {
	input, inner := cryptobyte.String(der), cryptobyte.String(nil)
	r, s := new(big.Int), new(big.Int)
	return input.ReadASN1(&inner, asn1.SEQUENCE) && input.Empty() &&
		inner.ReadASN1Integer(r) && inner.ReadASN1Integer(s) && inner.Empty()
}

// fromHalves returns the ECDSA-Sig-Value of r||s.
func fromHalves(signature []byte) []byte {
	half := len(signature) / 2
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(signature[:half]))
		b.AddASN1BigInt(new(big.Int).SetBytes(signature[half:]))
	})
	return b.BytesOrPanic() // integers always encode
}

func hashName(hash crypto.Hash) string {
	if hash == 0 {
		return "the message itself"
	}
	return hash.String()
}
