package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"

	"github.com/fencepost-tsa/fencepost/signer"
)

func ExampleOpen() {
	ctx := context.Background()
	u, err := signer.ParseURI("memory:p256")
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := signer.Open(ctx, u, signer.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	hash, err := signer.HashFor(key.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	digest := sha256.Sum256([]byte("hello"))
	signature, err := key.Sign(ctx, digest[:], hash)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(hash, ecdsa.VerifyASN1(key.Public().(*ecdsa.PublicKey), digest[:], signature))
	// Output: SHA-256 true
}

// A service that makes another kind of signature than was asked for is found
// before anything relies on it.
func ExampleProve() {
	key, err := signer.Generate(signer.RSA2048)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(signer.Prove(context.Background(), key, nil))
	fmt.Println(signer.Prove(context.Background(), pssOnly{key}, nil))
	// Output:
	// <nil>
	// signer: the key did not pass its proof: the key makes RSA-PSS signatures only: make a key for PKCS #1 v1.5
}

// pssOnly is a key whose service knows RSA-PSS only.
type pssOnly struct{ *signer.Key }

func (k pssOnly) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.Key.Sign(ctx, digest, &rsa.PSSOptions{Hash: opts.HashFunc(), SaltLength: rsa.PSSSaltLengthEqualsHash})
}

func ExampleMarshalPEM() {
	key, err := signer.Generate(signer.Ed25519)
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := signer.MarshalPEM(key, []byte("correct horse battery staple"))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = signer.ParsePEM(file, signer.Config{
		Passphrase: func() ([]byte, error) { return []byte("incorrect horse"), nil },
	})
	fmt.Println(err)
	// Output: signer: wrong passphrase, or a damaged key file
}
