package signer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/secretbox"
)

// A sealedKey is the JSON inside a PEM block of type "ENCRYPTED SIGSTORE
// PRIVATE KEY" or, in older files, "ENCRYPTED COSIGN PRIVATE KEY". It is the
// form of github.com/secure-systems-lab/go-securesystemslib/encrypted, which
// comes from The Update Framework: the key of a NaCl secret box is derived by
// scrypt, and the plain text is PKCS #8.
type sealedKey struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N int64 `json:"N"`
			R int64 `json:"r"`
			P int64 `json:"p"`
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

const (
	sealedKDF    = "scrypt"
	sealedCipher = "nacl/secretbox"
)

// decryptSigstore returns the PKCS #8 key inside a sealed one.
func decryptSigstore(data []byte, cfg Config) ([]byte, error) {
	var s sealedKey
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("sigstore key: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("sigstore key: trailing data")
	}
	var key [32]byte
	var nonce [24]byte
	switch {
	case s.KDF.Name != sealedKDF:
		return nil, fmt.Errorf("sigstore key: key derivation %.40q; want %q", s.KDF.Name, sealedKDF)
	case s.Cipher.Name != sealedCipher:
		return nil, fmt.Errorf("sigstore key: cipher %.40q; want %q", s.Cipher.Name, sealedCipher)
	case len(s.KDF.Salt) > maxSalt:
		return nil, fmt.Errorf("sigstore key: salt of %d bytes; want at most %d", len(s.KDF.Salt), maxSalt)
	case len(s.Cipher.Nonce) != len(nonce):
		return nil, fmt.Errorf("sigstore key: nonce of %d bytes; want %d", len(s.Cipher.Nonce), len(nonce))
	case len(s.Ciphertext) <= secretbox.Overhead:
		return nil, errors.New("sigstore key: ciphertext is too short")
	}
	cost := scryptCost{s.KDF.Params.N, s.KDF.Params.R, s.KDF.Params.P}
	if err := cost.check(); err != nil {
		return nil, fmt.Errorf("sigstore key: %w", err)
	}
	if err := approved("a NaCl secret box under scrypt"); err != nil {
		return nil, fmt.Errorf("sigstore key: %w", err)
	}
	passphrase, err := cfg.passphrase()
	if err != nil {
		return nil, err
	}
	derived, err := cost.key(passphrase, s.KDF.Salt, len(key))
	if err != nil {
		return nil, fmt.Errorf("sigstore key: %w", err)
	}
	copy(key[:], derived)
	copy(nonce[:], s.Cipher.Nonce)
	der, ok := secretbox.Open(nil, s.Ciphertext, &nonce, &key)
	if !ok {
		return nil, ErrPassphrase
	}
	return der, nil
}
