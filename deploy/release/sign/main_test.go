package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

// keyFile writes a new key, and returns it and its file.
func keyFile(t *testing.T, kind signer.KeyType, passphrase []byte) (*signer.Key, string) {
	t.Helper()
	key, err := signer.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	data, err := signer.MarshalPEM(key, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return key, write(t, "key.pem", data, 0o600)
}

func write(t *testing.T, name string, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.WriteFile(path, data, mode), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSignatureVerifies(t *testing.T) {
	digest := sha256.Sum256([]byte("sums"))
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA3072} {
		t.Run(string(kind), func(t *testing.T) {
			key, path := keyFile(t, kind, []byte("correct horse"))
			file := write(t, "SHA256SUMS", []byte("sums"), 0o644)
			secret := write(t, "passphrase", []byte("correct horse\n"), 0o600)
			if err := run(t.Context(), []string{"file:" + path + "?passphrase-file=" + secret, file}); err != nil {
				t.Fatal(err)
			}
			signature, err := os.ReadFile(file + ".sig")
			if err != nil {
				t.Fatal(err)
			}
			var good bool
			switch pub := key.Public().(type) {
			case *ecdsa.PublicKey:
				good = ecdsa.VerifyASN1(pub, digest[:], signature)
			case *rsa.PublicKey:
				good = rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature) == nil
			}
			if !good {
				t.Error("the signature is not one of the key over the SHA-256 of the file")
			}
		})
	}
}

func TestRefused(t *testing.T) {
	_, ed := keyFile(t, signer.Ed25519, nil)
	_, open := keyFile(t, signer.P256, nil)
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	_, locked := keyFile(t, signer.P256, []byte("correct horse"))
	_, good := keyFile(t, signer.P256, nil)
	for _, row := range []struct{ name, uri, text string }{
		{"Ed25519", "file:" + ed, "ECDSA and RSA only"},
		{"a key that others can read", "file:" + open, "open to others"},
		{"a passphrase that nobody named", "file:" + locked, "passphrase"},
		{"a key that would be gone", "memory:p256", "only file:"},
		{"a key elsewhere", "awskms:///alias/release", "only file:"},
		{"no URI", good, "scheme"},
		{"no file", "file:" + good + ".none", "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := write(t, "SHA256SUMS", []byte("sums"), 0o644)
			if err := run(t.Context(), []string{row.uri, file}); err == nil || !strings.Contains(err.Error(), row.text) {
				t.Errorf("error %v, want one with %q", err, row.text)
			}
			if _, err := os.Stat(file + ".sig"); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a signature is there: %v", err)
			}
		})
	}
}

// liar signs with another key than the one that it shows.
type liar struct{ shown, used signer.Signer }

func (l liar) Public() crypto.PublicKey { return l.shown.Public() }

func (l liar) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return l.used.Sign(ctx, digest, opts)
}

func TestSignatureIsChecked(t *testing.T) {
	digest := sha256.Sum256([]byte("sums"))
	for _, kind := range []signer.KeyType{signer.P256, signer.RSA2048} {
		shown, _ := keyFile(t, kind, nil)
		used, _ := keyFile(t, kind, nil)
		if signature, err := sign(t.Context(), liar{shown, used}, digest[:]); err == nil || signature != nil {
			t.Errorf("%s: a signature of another key is passed on: %v", kind, err)
		}
	}
}
