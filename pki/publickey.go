package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/fencepost-tsa/fencepost/internal/pubkey"
)

// ParsePublicKey reads one public key, in PEM (PUBLIC KEY) or DER: a
// SubjectPublicKeyInfo, RFC 5280, 4.1. The key is an *rsa.PublicKey, an
// *ecdsa.PublicKey or an ed25519.PublicKey; one that Check would refuse is an
// error. A private key in the file is ErrPrivateKey.
//
// Unlike a request, a public key does not show that anybody holds its private
// half.
func ParsePublicKey(data []byte) (crypto.PublicKey, error) {
	pub, err := parsePublicKey(data)
	if err != nil {
		return nil, fmt.Errorf("pki: reading public key: %w", err)
	}
	return pub, nil
}

func parsePublicKey(data []byte) (crypto.PublicKey, error) {
	der, err := formPublicKey.one(data)
	if err != nil {
		return nil, err
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "x509: "))
	}
	if fault := pubkey.Fault(pub); fault != "" {
		return nil, errors.New("the key is " + fault)
	}
	// One key has one text: certificates are found by the hash of it.
	if again, err := x509.MarshalPKIXPublicKey(pub); err != nil || !bytes.Equal(again, der) {
		return nil, errors.New("the key is not in its distinguished encoding")
	}
	return pub, nil
}

// EncodePublicKey writes a public key in PEM.
func EncodePublicKey(pub crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("pki: writing public key: %w", err)
	}
	return formPublicKey.encode(der), nil
}
