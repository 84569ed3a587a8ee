package signer_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/fencepost-tsa/fencepost/signer"
)

// encrypted makes a key and writes it to a file in dir.
func encrypted(dir, passphrase string) (string, error) {
	key, err := signer.Generate(signer.P256)
	if err != nil {
		return "", err
	}
	pem, err := signer.MarshalPEM(key, []byte(passphrase))
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "tsa.key")
	return file, os.WriteFile(file, pem, 0o600)
}

// What signer.NewCryptoSigner of sigstore/timestamp-authority chooses by its
// nine arguments is one URI here.
func ExampleOpen_newCryptoSigner() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, err := encrypted(dir, "secret")
	if err != nil {
		log.Fatal(err)
	}

	for _, uri := range []string{
		"memory:p256", // "memory"
		signer.URI{Scheme: signer.SchemeFile, Path: file, PassphraseEnv: "TSA_PASSPHRASE"}.String(), // "file", its path and password
		"awskms:///alias/tsa", // "kms": opened by programs that link that service
	} {
		u, err := signer.ParseURI(uri)
		if err != nil {
			log.Fatal(err)
		}
		key, err := signer.Open(context.Background(), u, signer.Config{
			LookupEnv: func(name string) (string, bool) { return "secret", name == "TSA_PASSPHRASE" },
		})
		if err != nil {
			fmt.Println(u.Scheme, "cannot be opened here")
			continue
		}
		var c crypto.Signer = signer.Crypto(context.Background(), key) // for one call
		fmt.Printf("%s %T\n", u.Scheme, c.Public())
	}
	// Output:
	// memory *ecdsa.PublicKey
	// file *ecdsa.PublicKey
	// awskms cannot be opened here
}

// What signer.NewFileSigner(path, password, hash) of
// sigstore/timestamp-authority does. The hash is not chosen beforehand.
func ExampleReadFile_newFileSigner() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, err := encrypted(dir, "secret")
	if err != nil {
		log.Fatal(err)
	}
	password := func(text string) signer.Config {
		return signer.Config{Passphrase: func() ([]byte, error) { return []byte(text), nil }}
	}
	key, err := signer.ReadFile(file, password("secret"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", key.Public())
	_, err = signer.ReadFile(file, password("wrong"))
	fmt.Println(errors.Is(err, signer.ErrPassphrase))
	_, err = signer.ReadFile(file, signer.Config{})
	fmt.Println(errors.Is(err, signer.ErrNoPassphrase))
	// Output:
	// *ecdsa.PublicKey
	// true
	// true
}

// Where signer.HashToAlg of sigstore/timestamp-authority turns a setting into a
// hash that must fit the key, the hash follows from the key here.
func ExampleHashFor() {
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521} {
		key, err := signer.Generate(kind)
		if err != nil {
			log.Fatal(err)
		}
		hash, err := signer.HashFor(key.Public())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(kind, hash)
	}
	// Output:
	// p256 SHA-256
	// p384 SHA-384
	// p521 SHA-512
}
