package signer_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// foreign is a crypto.Signer of another library.
type foreign struct{ key *signer.Key }

func (f foreign) Public() crypto.PublicKey { return f.key.Public() }

func (f foreign) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return f.key.Sign(context.Background(), digest, opts)
}

func TestConformance(t *testing.T) {
	for _, kind := range signer.KeyTypes() {
		t.Run(string(kind), func(t *testing.T) {
			k, err := signer.Generate(kind)
			if err != nil {
				t.Fatal(err)
			}
			if !k.InProcess() {
				t.Error("InProcess() = false")
			}
			signertest.Run(t, func(*testing.T) signer.Signer { return k })
			if strings.HasPrefix(string(kind), "rsa") {
				signertest.RunPSS(t, func(*testing.T) signer.Signer { return k })
			}
		})
	}
	t.Run("foreign", func(t *testing.T) {
		k, err := signer.Generate(signer.P256)
		if err != nil {
			t.Fatal(err)
		}
		f, err := signer.New(foreign{k})
		if err != nil {
			t.Fatal(err)
		}
		if f.InProcess() {
			t.Error("InProcess() = true for a signer of another library")
		}
		signertest.Run(t, func(*testing.T) signer.Signer { return f })
	})
	t.Run("file", func(t *testing.T) {
		signertest.Run(t, func(t *testing.T) signer.Signer {
			k, err := signer.ParsePEM(readKeyFile(t, "p384"), signer.Config{})
			if err != nil {
				t.Fatal(err)
			}
			return k
		})
	})
}

func TestKeyTypes(t *testing.T) {
	for _, tt := range []struct {
		kind signer.KeyType
		want func(pub crypto.PublicKey) bool
		hash crypto.Hash
	}{
		{signer.P256, onCurve(elliptic.P256()), crypto.SHA256},
		{signer.P384, onCurve(elliptic.P384()), crypto.SHA384},
		{signer.P521, onCurve(elliptic.P521()), crypto.SHA512},
		{signer.RSA2048, ofBits(2048), crypto.SHA256},
		{signer.RSA3072, ofBits(3072), crypto.SHA256},
		{signer.Ed25519, func(pub crypto.PublicKey) bool { _, ok := pub.(ed25519.PublicKey); return ok }, 0},
	} {
		k, err := signer.Generate(tt.kind)
		if err != nil {
			t.Fatal(err)
		}
		if !tt.want(k.Public()) {
			t.Errorf("%s: got %T", tt.kind, k.Public())
		}
		if hash, err := signer.HashFor(k.Public()); err != nil || hash != tt.hash {
			t.Errorf("HashFor(%s) = %v, %v; want %v", tt.kind, hash, err, tt.hash)
		}
		if kind, err := signer.ParseKeyType(string(tt.kind)); err != nil || kind != tt.kind {
			t.Errorf("ParseKeyType(%q) = %q, %v", tt.kind, kind, err)
		}
	}
	for _, name := range []string{"", "P256", "rsa", "rsa1024", "p224"} {
		if kind, err := signer.ParseKeyType(name); err == nil {
			t.Errorf("ParseKeyType(%q) = %q; want an error", name, kind)
		}
		if k, err := signer.Generate(signer.KeyType(name)); err == nil || k != nil {
			t.Errorf("Generate(%q) = %v, %v; want an error", name, k, err)
		}
	}
}

func onCurve(c elliptic.Curve) func(crypto.PublicKey) bool {
	return func(pub crypto.PublicKey) bool {
		k, ok := pub.(*ecdsa.PublicKey)
		return ok && k.Curve == c
	}
}

func ofBits(n int) func(crypto.PublicKey) bool {
	return func(pub crypto.PublicKey) bool {
		k, ok := pub.(*rsa.PublicKey)
		return ok && k.N.BitLen() == n
	}
}

type unsupported struct{ pub crypto.PublicKey }

func (u unsupported) Public() crypto.PublicKey { return u.pub }

func (u unsupported) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return []byte{1}, nil
}

func TestNewRefuses(t *testing.T) {
	newEC := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	newRSA := func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	mixedEC := newEC(elliptic.P256())
	mixedEC.PublicKey = newEC(elliptic.P256()).PublicKey
	mixedRSA := newRSA()
	mixedRSA.PublicKey = newRSA().PublicKey
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	_, edA, _ := ed25519.GenerateKey(rand.Reader)
	_, edB, _ := ed25519.GenerateKey(rand.Reader)
	mixedEd := append(bytes.Clone(edA[:32]), edB[32:]...)
	huge := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192), E: 65537} // 8193 bits

	for _, tt := range []struct {
		name string
		key  crypto.Signer
		want string
	}{
		{"nil", nil, "no key"},
		{"nil ECDSA", (*ecdsa.PrivateKey)(nil), "no key"},
		{"nil RSA", (*rsa.PrivateKey)(nil), "no key"},
		{"zero ECDSA", new(ecdsa.PrivateKey), "without a curve"},
		{"zero RSA", new(rsa.PrivateKey), "without a modulus"},
		{"short Ed25519", ed25519.PrivateKey(make([]byte, 63)), "63 bytes"},
		{"P-224", newEC(elliptic.P224()), "P-224"},
		{"RSA 1024", small, "1024 bits"},
		{"halves of two EC keys", mixedEC, "public half"},
		{"halves of two RSA keys", mixedRSA, "RSA key"},
		{"halves of two Ed25519 keys", ed25519.PrivateKey(mixedEd), "public half"},
		{"foreign, of no known kind", unsupported{"key"}, "type string"},
		{"foreign, no public key", unsupported{nil}, "type <nil>"},
		{"foreign, RSA 8193", unsupported{huge}, "8193 bits"},
		{"foreign, nil EC", unsupported{(*ecdsa.PublicKey)(nil)}, "without a curve"},
		{"foreign, short Ed25519", unsupported{ed25519.PublicKey{1}}, "1 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := signer.New(tt.key)
			if err == nil || k != nil {
				t.Fatalf("got %v, %v; want an error", k, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q; want %q in it", err, tt.want)
			}
		})
	}
	for _, pub := range []crypto.PublicKey{nil, "key", huge, &newEC(elliptic.P224()).PublicKey} {
		if hash, err := signer.HashFor(pub); err == nil || hash != 0 {
			t.Errorf("HashFor(%T) = %v, %v; want an error", pub, hash, err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	ec, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := signer.Generate(signer.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	for _, tt := range []struct {
		name   string
		key    *signer.Key
		digest []byte
		opts   crypto.SignerOpts
	}{
		{"zero key", new(signer.Key), digest[:], crypto.SHA256},
		{"PSS with ECDSA", ec, digest[:], &rsa.PSSOptions{Hash: crypto.SHA256}},
		{"SHA-224", ec, digest[:28], crypto.SHA224},
		{"MD5", ec, digest[:16], crypto.MD5},
		{"unknown hash", ec, digest[:], crypto.Hash(99)},
		{"Ed25519ph", ed, make([]byte, 64), crypto.SHA512},
		{"Ed25519ctx", ed, digest[:], &ed25519.Options{Context: "x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if sig, err := tt.key.Sign(t.Context(), tt.digest, tt.opts); err == nil || sig != nil {
				t.Errorf("got %x, %v; want an error", sig, err)
			}
		})
	}
}

func TestCryptoContext(t *testing.T) {
	k, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := signer.Crypto(ctx, k)
	digest := sha256.Sum256([]byte("x"))
	if _, err := c.Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Errorf("with a nil random source: %v", err)
	}
	cancel()
	if _, err := c.Sign(rand.Reader, digest[:], crypto.SHA256); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v; want context.Canceled", err)
	}
}

func BenchmarkSign(b *testing.B) {
	raw, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	k, err := signer.New(raw)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("x"))
	b.Run("ecdsa.SignASN1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ecdsa.SignASN1(rand.Reader, raw, digest[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Key.Sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Sign(b.Context(), digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestCheckDigest(t *testing.T) {
	ec, rsaKey, ed := readPublic(t, "p256"), readPublic(t, "rsa2048"), readPublic(t, "ed25519")
	sum := make([]byte, 64)
	for _, tt := range []struct {
		name   string
		pub    crypto.PublicKey
		digest []byte
		opts   crypto.SignerOpts
		ok     bool
	}{
		{"ECDSA", ec, sum[:32], crypto.SHA256, true},
		{"ECDSA with a longer hash", ec, sum, crypto.SHA512, true},
		{"RSA", rsaKey, sum[:48], crypto.SHA384, true},
		{"RSA-PSS", rsaKey, sum[:32], &rsa.PSSOptions{Hash: crypto.SHA256}, true},
		{"Ed25519", ed, []byte("message"), crypto.Hash(0), true},
		{"no options", ec, sum[:32], nil, false},
		{"no hash", rsaKey, sum[:32], crypto.Hash(0), false},
		{"SHA-1", rsaKey, sum[:20], crypto.SHA1, false},
		{"wrong length", ec, sum[:31], crypto.SHA256, false},
		{"PSS with ECDSA", ec, sum[:32], &rsa.PSSOptions{Hash: crypto.SHA256}, false},
		{"Ed25519 with a hash", ed, sum, crypto.SHA512, false},
		{"Ed25519ctx", ed, nil, &ed25519.Options{Context: "x"}, false},
		{"no key", nil, sum[:32], crypto.SHA256, false},
		{"key of no known kind", "key", sum[:32], crypto.SHA256, false},
	} {
		if err := signer.CheckDigest(tt.pub, tt.digest, tt.opts); (err == nil) != tt.ok {
			t.Errorf("%s: got error %v; want success: %v", tt.name, err, tt.ok)
		}
	}
}
