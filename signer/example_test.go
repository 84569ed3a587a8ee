package signer_test

import (
	"context"
	"crypto/ecdsa"
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
