package signertest

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

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

	fall := func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { panic("index out of range") }

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
		{"PSS options ignored", checkPSS, faulty{Key: rsaKey, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return rsaKey.Sign(ctx, d, o.HashFunc())
		}}},
		{"PSS with the longest salt", checkPSS, faulty{Key: rsaKey, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			if _, ok := o.(*rsa.PSSOptions); ok {
				o = &rsa.PSSOptions{Hash: o.HashFunc(), SaltLength: rsa.PSSSaltLengthAuto}
			}
			return rsaKey.Sign(ctx, d, o)
		}}},
		{"PSS demanded and refused", checkMakesPSS, refusesPSS(rsaKey, advised{errors.ErrUnsupported})},
		{"PSS demanded of an EC key", checkMakesPSS, good},
		{"PSS refused without advice", checkPSS, refusesPSS(rsaKey, errors.ErrUnsupported)},
		{"PSS refused by another error", checkPSS, refusesPSS(rsaKey, advised{errors.New("no")})},
		{"neither padding", checkSignatures, faulty{Key: rsaKey, sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return nil, advised{errors.ErrUnsupported}
		}}},
		{"PSS offered and refused", checkPSS, tied{refusesPSS(rsaKey, advised{errors.ErrUnsupported}), []signer.Padding{signer.PKCS1v15, signer.PSS}}},
		{"PSS not offered and signed", checkPSS, tied{rsaKey, []signer.Padding{signer.PKCS1v15}}},
		{"PKCS #1 v1.5 not offered and signed", checkPSS, tied{rsaKey, []signer.Padding{signer.PSS}}},
		{"PSS with an EC key", checkPSS, signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			return good.Sign(ctx, d, o.HashFunc())
		})},
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
		{"proof by another key", checkProof, signs(other.Sign)},

		{"dead and signs", checkDead, good},
		{"dead and ends the process", checkDead, signs(fall)},
		{"dead and returns both", checkDead, signs(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return []byte{}, errors.New("dead")
		})},
		{"dead, then passes its proof", checkDead, func() signer.Signer {
			var calls atomic.Int64
			return signs(func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
				if calls.Add(1) <= failures {
					return nil, errors.New("dead")
				}
				return good.Sign(ctx, d, o)
			})
		}()},
		{"untrue and passes its proof", checkUntrue, good},
		{"untrue and ends the process", checkUntrue, signs(fall)},
		{"hangs and signs", checkHangs, good},
		{"hangs and ends the process", checkHangs, signs(fall)},
		{"hangs, context's error hidden", checkHangs, signs(func(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
			<-ctx.Done()
			return nil, errors.New(ctx.Err().Error())
		})},
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

// refusesPSS is a key that refuses PSS with an error.
func refusesPSS(k *signer.Key, refusal error) faulty {
	return faulty{Key: k, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
		if _, ok := o.(*rsa.PSSOptions); ok {
			return nil, refusal
		}
		return k.Sign(ctx, d, o)
	}}
}

// advised is an error that says what to do.
type advised struct{ error }

func (a advised) Unwrap() error { return a.error }
func (advised) Advice() string  { return "take another key" }

// tied is a signer that says which paddings it has.
type tied struct {
	signer.Signer
	paddings []signer.Padding
}

func (tied) Hashes() []crypto.Hash        { return nil }
func (t tied) Paddings() []signer.Padding { return t.paddings }

// A signer that makes PSS signatures only, and one that makes none, pass if
// they say so.
func TestPaddings(t *testing.T) {
	k := generate(t, signer.RSA2048)
	t.Run("no PSS", func(t *testing.T) {
		Run(t, func(*testing.T) signer.Signer { return refusesPSS(k, advised{errors.ErrUnsupported}) })
	})
	t.Run("PSS only", func(t *testing.T) {
		Run(t, func(*testing.T) signer.Signer {
			return tied{faulty{Key: k, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
				if h, ok := o.(crypto.Hash); ok && h == crypto.SHA256 {
					return nil, advised{errors.ErrUnsupported}
				} else if ok {
					return nil, errors.New("no")
				}
				return k.Sign(ctx, d, o)
			}}, []signer.Padding{signer.PSS}}
		})
	})
}

// A signer that never returns does not keep the suite for ever.
func TestHangingIsSeen(t *testing.T) {
	good := generate(t, signer.P256)
	for _, tt := range []struct {
		name  string
		check func(context.Context, signer.Signer) error
	}{
		{"dead", checkDead},
		{"untrue", checkUntrue},
		{"hangs", checkHangs},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				defer close(over)
				err := tt.check(t.Context(), faulty{Key: good, sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
					<-over
					return nil, errors.New("over")
				}})
				if !errors.Is(err, errSlow) {
					t.Errorf("got error %v; want %v", err, errSlow)
				}
			})
		})
	}
}

// What Run runs does not depend on the key being one of ours.
func TestRun(t *testing.T) {
	Run(t, func(t *testing.T) signer.Signer { return faulty{Key: generate(t, signer.P256)} })
}

// Signers that misbehave as they are asked to pass.
func TestRunFaults(t *testing.T) {
	good, other := generate(t, signer.P256), generate(t, signer.P256)
	is := func(sign func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)) func(*testing.T) signer.Signer {
		return func(*testing.T) signer.Signer { return faulty{Key: good, sign: sign} }
	}
	faults := Faults{
		Dead: is(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return nil, errors.New("connection refused")
		}),
		WrongKey: is(other.Sign),
		Garbage: is(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return []byte("garbage"), nil
		}),
		Hangs: is(func(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	}
	RunFaults(t, faults)

	faults.Garbage = nil
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "Garbage") {
			t.Errorf("with a field that is nil: got panic %v; want one that names it", v)
		}
	}()
	RunFaults(t, faults)
}
