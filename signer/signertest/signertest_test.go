package signertest

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

func generate(t *testing.T, kind signer.KeyType) *signer.Key {
	t.Helper()
	k, err := signer.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A faulty signer differs from a good one in one way.
type faulty struct {
	*signer.Key
	public func() crypto.PublicKey
	sign   func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (f faulty) Public() crypto.PublicKey {
	if f.public != nil {
		return f.public()
	}
	return f.Key.Public()
}

func (f faulty) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if f.sign != nil {
		return f.sign(ctx, digest, opts)
	}
	return f.Key.Sign(ctx, digest, opts)
}

// Each fault is seen by the check that is there for it.
func TestFaultsAreSeen(t *testing.T) {
	good, other := generate(t, signer.P256), generate(t, signer.P256)
	rsaKey, ed := generate(t, signer.RSA2048), generate(t, signer.Ed25519)
	var calls atomic.Int64
	var last []byte
	type signFunc = func(context.Context, []byte, crypto.SignerOpts) ([]byte, error)
	signs := func(f signFunc) signer.Signer { return faulty{Key: good, sign: f} }

	for _, tt := range []struct {
		name   string
		check  func(context.Context, signer.Signer) error
		signer signer.Signer
	}{
		{"public key changes", checkPublic, faulty{Key: good, public: func() crypto.PublicKey {
			if calls.Add(1)%2 == 0 {
				return other.Public()
			}
			return good.Public()
		}}},
		{"public key of no known kind", checkPublic, faulty{Key: good, public: func() crypto.PublicKey { return "key" }}},
		{"public key by value", checkPublic, faulty{Key: good, public: func() crypto.PublicKey { return []byte{4} }}},
		{"public key of another key", checkSignatures, faulty{Key: good, public: other.Public}},
		{"own hash refused", checkSignatures, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			if o.HashFunc() == crypto.SHA256 {
				return nil, errors.New("no")
			}
			return good.Sign(ctx, d, o)
		})},
		{"wrong signature for another hash", checkSignatures, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			if o.HashFunc() == crypto.SHA512 {
				return []byte{0x30, 0}, nil
			}
			return good.Sign(ctx, d, o)
		})},
		{"PSS options ignored", checkSignatures, faulty{Key: rsaKey, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return rsaKey.Sign(ctx, d, o.HashFunc())
		}}},
		{"Ed25519 over the digest", checkSignatures, faulty{Key: ed, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			sum := sha256.Sum256(d)
			return ed.Sign(ctx, sum[:], o)
		}}},
		{"Ed25519 signs digests", checkRefusals, faulty{Key: ed, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			if o == nil {
				return nil, errors.New("no options")
			}
			return ed.Sign(ctx, d, crypto.Hash(0))
		}}},
		{"any length", checkRefusals, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			sum := sha256.Sum256(d)
			return good.Sign(ctx, sum[:], crypto.SHA256)
		})},
		{"signature beside an error", checkRefusals, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			sig, err := good.Sign(ctx, d, o)
			if err != nil {
				sig = []byte{}
			}
			return sig, err
		})},
		{"digest changed", checkDigestUnchanged, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			sig, err := good.Sign(ctx, d, o)
			d[0]++
			return sig, err
		})},
		{"written behind the digest", checkDigestUnchanged, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			_ = append(d, 0)
			return good.Sign(ctx, d, o)
		})},
		{"buffer shared between signatures", checkDigestUnchanged, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			sig, err := good.Sign(ctx, d, o)
			if last == nil {
				last = make([]byte, 80)
			}
			return last[:copy(last, sig)], err
		})},
		{"context ignored", checkContext, signs(func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return good.Sign(context.Background(), d, o)
		})},
		{"context's error hidden", checkContext, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			sig, err := good.Sign(ctx, d, o)
			if err != nil {
				err = errors.New(err.Error())
			}
			return sig, err
		})},
		{"cancelled for ever", checkContext, func() signer.Signer {
			var dead atomic.Bool
			return signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
				if ctx.Err() != nil {
					dead.Store(true)
				}
				if dead.Load() {
					return nil, errors.Join(context.Canceled, context.DeadlineExceeded)
				}
				return good.Sign(ctx, d, o)
			})
		}()},
		{"one caller at a time", checkConcurrency, func() signer.Signer {
			var busy atomic.Bool
			return signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
				if !busy.CompareAndSwap(false, true) {
					return nil, errors.New("busy")
				}
				return good.Sign(ctx, d, o) // and busy for ever
			})
		}()},
		{"another key under load", checkConcurrency, func() signer.Signer {
			var n atomic.Int64
			return signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
				if n.Add(1)%8 == 0 {
					return other.Sign(ctx, d, o)
				}
				return good.Sign(ctx, d, o)
			})
		}()},
		{"certificate by another key", checkCertificate, signs(other.Sign)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.check(t.Context(), tt.signer)
			if err == nil {
				t.Fatal("the fault was not seen")
			}
			t.Log(err)
		})
	}
}

// What Run runs does not depend on the key being one of ours.
func TestRun(t *testing.T) {
	Run(t, func(t *testing.T) signer.Signer { return faulty{Key: generate(t, signer.P256)} })
}
