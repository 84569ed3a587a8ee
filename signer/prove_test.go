package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

func testKey(t *testing.T, name string) *signer.Key {
	t.Helper()
	k, err := signer.ParsePEM(readKeyFile(t, name), signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A service signs as sign does, under the public key of a key of ours.
type service struct {
	*signer.Key
	sign func(digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (s service) Sign(_ context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(digest, opts)
}

func TestProve(t *testing.T) {
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.Ed25519} {
		k, err := signer.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		hashes := []crypto.Hash{0, crypto.SHA256, crypto.SHA384, crypto.SHA512}
		if kind == signer.Ed25519 {
			hashes = hashes[:1]
		}
		for _, hash := range hashes {
			if err := signer.Prove(t.Context(), k, hash); err != nil {
				t.Errorf("%s, %v: %v", kind, hash, err)
			}
		}
		for _, hash := range hashes {
			_, isRSA := k.Public().(*rsa.PublicKey)
			if err := signer.Prove(t.Context(), k, signer.PSS.Options(hash)); (err == nil) != isRSA || errors.Is(err, signer.ErrProof) {
				t.Errorf("%s, PSS with %v: %v", kind, hash, err)
			}
		}
		bad := crypto.SHA1
		if kind == signer.Ed25519 {
			bad = crypto.SHA512
		}
		if err := signer.Prove(t.Context(), k, bad); err == nil || errors.Is(err, signer.ErrProof) {
			t.Errorf("%s, %v: got %v; want an error about the hash", kind, bad, err)
		}
	}
}

func TestProveRefuses(t *testing.T) {
	ec, other := testKey(t, "p256"), testKey(t, "p384")
	ecKey, err := ecdsa.GenerateKey(ec.Public().(*ecdsa.PublicKey).Curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// text is what the proof has signed, caught on its way.
	var text []byte
	if err := signer.Prove(t.Context(), service{newKey(t, edKey), func(msg []byte, _ crypto.SignerOpts) ([]byte, error) {
		text = msg
		return ed25519.Sign(edKey, msg), nil
	}}, nil); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "fencepost proof of key possession") {
		t.Errorf("the text of the proof is %q", text)
	}

	fixed := func(sig []byte) func([]byte, crypto.SignerOpts) ([]byte, error) {
		return func([]byte, crypto.SignerOpts) ([]byte, error) { return sig, nil }
	}
	sum384 := sha512.Sum384(text)
	sum512 := sha512.Sum512(text)
	for _, tt := range []struct {
		name string
		key  crypto.Signer
		sign func(digest []byte, opts crypto.SignerOpts) ([]byte, error)
		want string // in the error
	}{
		{"RSA-PSS", rsaKey, func(d []byte, o crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, rsaKey, o.HashFunc(), d, nil)
		}, "PKCS #1 v1.5"},
		{"RSA-PSS with the longest salt", rsaKey, func(d []byte, o crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, rsaKey, o.HashFunc(), d, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
		}, "PKCS #1 v1.5"},
		{"RSA without DigestInfo", rsaKey, func(d []byte, _ crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPKCS1v15(nil, rsaKey, 0, d)
		}, "DigestInfo"},
		{"RSA with another hash", rsaKey, func([]byte, crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA512, sum512[:])
		}, "SHA-512, not with SHA-256"},
		{"RSA over the hash of the digest", rsaKey, func(d []byte, _ crypto.SignerOpts) ([]byte, error) {
			again := sha256.Sum256(d)
			return rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, again[:])
		}, "of the digest"},
		{"RSA, garbage", rsaKey, fixed(make([]byte, 256)), "another key"},
		{"RSA, short", rsaKey, fixed(make([]byte, 255)), "255 bytes"},
		{"RSA, nothing", rsaKey, fixed(nil), "0 bytes"},
		{"ECDSA as r||s", ecKey, func(d []byte, _ crypto.SignerOpts) ([]byte, error) {
			r, s, err := ecdsa.Sign(rand.Reader, ecKey, d)
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), err
		}, "r||s"},
		{"ECDSA with another hash", ecKey, func([]byte, crypto.SignerOpts) ([]byte, error) {
			return ecdsa.SignASN1(rand.Reader, ecKey, sum384[:])
		}, "SHA-384, not with SHA-256"},
		{"ECDSA over the hash of the digest", ecKey, func(d []byte, _ crypto.SignerOpts) ([]byte, error) {
			again := sha256.Sum256(d)
			return ecdsa.SignASN1(rand.Reader, ecKey, again[:])
		}, "of the digest"},
		{"ECDSA by another key", ecKey, func(d []byte, o crypto.SignerOpts) ([]byte, error) {
			return ec.Sign(context.Background(), d, o)
		}, "another key"},
		{"ECDSA by a key on another curve", ecKey, func(d []byte, o crypto.SignerOpts) ([]byte, error) {
			return other.Sign(context.Background(), d, o)
		}, "another key"},
		{"ECDSA, garbage", ecKey, fixed([]byte("garbage")), "7 bytes"},
		{"ECDSA, as long as r||s", ecKey, fixed(make([]byte, 64)), "64 bytes"},
		{"ECDSA, trailing byte", ecKey, func(d []byte, _ crypto.SignerOpts) ([]byte, error) {
			sig, err := ecdsa.SignASN1(rand.Reader, ecKey, d)
			return append(sig, 0), err
		}, "DER"},
		{"ECDSA, nothing", ecKey, fixed(nil), "0 bytes"},
		{"Ed25519ph", edKey, func([]byte, crypto.SignerOpts) ([]byte, error) {
			return edKey.Sign(nil, sum512[:], &ed25519.Options{Hash: crypto.SHA512})
		}, "Ed25519ph"},
		{"Ed25519 over a digest", edKey, func([]byte, crypto.SignerOpts) ([]byte, error) {
			return ed25519.Sign(edKey, sum512[:]), nil
		}, "SHA-512"},
		{"Ed25519, garbage", edKey, fixed(make([]byte, 64)), "another key"},
		{"Ed25519, long", edKey, fixed(make([]byte, 65)), "65 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := signer.Prove(t.Context(), service{newKey(t, tt.key), tt.sign}, nil)
			if !errors.Is(err, signer.ErrProof) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want an ErrProof that says %q", err, tt.want)
			}
		})
	}

	for _, tt := range []struct {
		name string
		sign func(digest []byte, opts crypto.SignerOpts) ([]byte, error)
		want string // in the error
	}{
		{"PKCS #1 v1.5", func(d []byte, o crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPKCS1v15(nil, rsaKey, o.HashFunc(), d)
		}, "make a key for RSA-PSS"},
		{"the longest salt", func(d []byte, o crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, rsaKey, o.HashFunc(), d, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
		}, "another salt"},
		{"another hash", func([]byte, crypto.SignerOpts) ([]byte, error) {
			return rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA512, sum512[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}, "SHA-512, not with SHA-256"},
		{"the hash of the digest", func(d []byte, _ crypto.SignerOpts) ([]byte, error) {
			again := sha256.Sum256(d)
			return rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, again[:], nil)
		}, "of the digest"},
		{"garbage", fixed(make([]byte, 256)), "another key"},
		{"short", fixed(make([]byte, 255)), "255 bytes"},
	} {
		t.Run("want PSS, get "+tt.name, func(t *testing.T) {
			err := signer.Prove(t.Context(), service{newKey(t, rsaKey), tt.sign}, signer.PSS.Options(0))
			if !errors.Is(err, signer.ErrProof) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want an ErrProof that says %q", err, tt.want)
			}
		})
	}

	refusal := errors.New("no")
	err = signer.Prove(t.Context(), service{ec, func([]byte, crypto.SignerOpts) ([]byte, error) { return nil, refusal }}, nil)
	if !errors.Is(err, refusal) || errors.Is(err, signer.ErrProof) {
		t.Errorf("a signer that refuses: got %v; want its error", err)
	}
}

// What diagnoses a hostile answer does not fall over it.
func FuzzProve(f *testing.F) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	ecKey, err := signer.Generate(signer.P256)
	if err != nil {
		f.Fatal(err)
	}
	keys := []*signer.Key{newKey(f, rsaKey), newKey(f, edKey), ecKey}
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 1})
	f.Add([]byte{0x30, 6, 2, 1, 0xff, 2, 1, 0})
	f.Fuzz(func(t *testing.T, signature []byte) {
		for i, k := range keys {
			s := service{k, func([]byte, crypto.SignerOpts) ([]byte, error) { return signature, nil }}
			if err := signer.Prove(t.Context(), s, nil); !errors.Is(err, signer.ErrProof) {
				t.Errorf("%T, %x: got %v; want ErrProof", k.Public(), signature, err)
			}
			if i > 0 {
				continue
			}
			if err := signer.Prove(t.Context(), s, signer.PSS.Options(0)); !errors.Is(err, signer.ErrProof) {
				t.Errorf("PSS, %x: got %v; want ErrProof", signature, err)
			}
		}
	})
}

func newKey(tb testing.TB, k crypto.Signer) *signer.Key {
	tb.Helper()
	key, err := signer.New(k)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
