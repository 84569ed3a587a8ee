// Command sign makes the detached signature of a file that "openssl dgst -sha256 -verify" checks.
//
//	sign URI FILE
//
// URI names the key as everywhere in Fencepost, file:release.pem?passphrase-file=PATH for one; the signature
// goes to FILE.sig, in place of one that is there. It is over the SHA-256 of the file: ECDSA as the DER of
// ECDSA-Sig-Value (RFC 3279, 2.2.3), RSA as in PKCS #1 v1.5. Ed25519 is refused, as openssl dgst cannot
// check it. Before it is written the signature is checked with the public key.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/fencepost-tsa/fencepost/signer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "sign: error: %v\n", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("usage: sign URI FILE")
	}
	u, err := signer.ParseURI(args[0])
	if err != nil {
		return err
	}
	// A key in memory would be gone before anybody could check with it.
	if u.Scheme != signer.SchemeFile {
		return fmt.Errorf("a key of the scheme %s: only file: is signed with here; a service signs the same with its own tool", u.Scheme)
	}
	if err := signer.CheckMode(u.Path); err != nil {
		return err
	}
	key, err := signer.Open(ctx, u, signer.Config{LookupEnv: os.LookupEnv})
	if err != nil {
		return err
	}
	digest, err := hash(args[1])
	if err != nil {
		return err
	}
	signature, err := sign(ctx, key, digest)
	if err != nil {
		return fmt.Errorf("%s: %w", args[1], err)
	}
	return replace(args[1]+".sig", signature)
}

func hash(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// sign signs a SHA-256 and checks what comes of it.
func sign(ctx context.Context, key signer.Signer, digest []byte) ([]byte, error) {
	var check func(signature []byte) bool
	switch pub := key.Public().(type) {
	case *ecdsa.PublicKey:
		check = func(signature []byte) bool { return ecdsa.VerifyASN1(pub, digest, signature) }
	case *rsa.PublicKey:
		check = func(signature []byte) bool {
			return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, signature) == nil
		}
	default:
		return nil, fmt.Errorf("a key of type %s: openssl dgst checks ECDSA and RSA only",
			strings.TrimPrefix(fmt.Sprintf("%T", pub), "*"))
	}
	signature, err := key.Sign(ctx, digest, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if !check(signature) {
		return nil, errors.New("the signature that the key made is not one of its public half")
	}
	return signature, nil
}

// replace writes a file as a whole or not at all.
func replace(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".sign-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
