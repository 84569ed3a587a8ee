package authority_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// inProcess makes any Signer one that says that it is in this process.
type inProcess struct{ *remote }

func (inProcess) InProcess() bool { return true }

type signFunc = func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)

// TestFaultySigner holds that what a signer outside the process does wrong
// never reaches a requester.
func TestFaultySigner(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	good := memory{chain.LeafKey}
	other := memory{pkitest.TSA(t, pkitest.Options{Name: "Other"}).LeafKey}
	errSlot := errors.New("slot 3 is gone")
	for _, test := range []struct {
		name  string
		sign  signFunc
		cause string
	}{
		{"error", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errSlot }, "slot 3 is gone"},
		{"Rejection", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return nil, tsp.Reject(tsp.BadAlg, "slot 3 is gone")
		}, "slot 3 is gone"},
		{"nothing", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return nil, nil }, "0 octets"},
		{"too much", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return make([]byte, 1<<20), nil }, "1048576 octets"},
		{"garbage", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			return []byte("not a signature, but as long as one may well be, some seventy octets...."), nil
		}, "kept back"},
		{"raw r and s", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return make([]byte, 64), nil }, "kept back"},
		{"signature of something else", func(ctx context.Context, _ []byte, opts crypto.SignerOpts) ([]byte, error) {
			sum := sha256.Sum256(nil)
			return good.Sign(ctx, sum[:], opts)
		}, "kept back"},
		{"signature of another key", other.Sign, "kept back"},
		{"one bit wrong", func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			b, err := good.Sign(ctx, digest, opts)
			b[len(b)-1] ^= 1
			return b, err
		}, "kept back"},
		{"panic", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { panic("slot 3 is gone") }, "panic: slot 3 is gone"},
		{"nil dereference", func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			var key *rsa.PrivateKey
			return key.Sign(nil, nil, nil)
		}, "panic: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			signer := &remote{key: chain.LeafKey}
			cfg := config(t, chain)
			cfg.Signer = signer
			cfg.Record = func(context.Context, tsp.Outcome) error {
				t.Error("a bad token was recorded")
				return nil
			}
			a := newAuthority(t, cfg)
			signer.sign = test.sign
			_, in := request(t, nil)
			for range 3 { // not only the first
				reply, out := a.Respond(t.Context(), in)
				checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
				if !strings.Contains(out.Rejection.Err.Error(), test.cause) {
					t.Errorf("cause %q does not contain %q", out.Rejection.Err, test.cause)
				}
				if kept := strings.Contains(test.cause, "kept back"); errors.Is(out.Rejection, authority.ErrSelfCheck) != kept {
					t.Errorf("cause %q is ErrSelfCheck: %v, want %v", out.Rejection.Err, !kept, kept)
				}
			}
		})
	}
}

// TestSlowSigner holds that a signer which does not answer costs as long as
// the context allows.
func TestSlowSigner(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	signer := &remote{key: chain.LeafKey}
	cfg := config(t, chain)
	cfg.Signer = signer
	a := newAuthority(t, cfg)
	_, in := request(t, nil)

	signer.sign = func(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	reply, out := a.Respond(ctx, in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	if !errors.Is(out.Rejection, context.DeadlineExceeded) || out.Signing <= 0 {
		t.Errorf("cause %v after %v", out.Rejection.Err, out.Signing)
	}

	// It answers, but too late.
	ctx, stop := context.WithCancel(t.Context())
	signer.sign = func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		b, err := memory{chain.LeafKey}.Sign(ctx, digest, opts)
		stop()
		return b, err
	}
	reply, out = a.Respond(ctx, in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	if !errors.Is(out.Rejection, context.Canceled) {
		t.Errorf("cause %v", out.Rejection.Err)
	}

	// So does a clock.
	cfg.Signer, cfg.Clock = memory{chain.LeafKey}, clock.NewScript(clock.Step{Delay: time.Hour})
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	reply, out = newAuthority(t, cfg).Respond(ctx, in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	if !errors.Is(out.Rejection, context.DeadlineExceeded) {
		t.Errorf("cause %v", out.Rejection.Err)
	}
}

// TestPanickingCallbacks holds that a panic anywhere has an answer.
func TestPanickingCallbacks(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	_, in := request(t, nil)
	boom := func() { panic("boom") }
	cfg := config(t, chain)
	cfg.Clock = clock.SourceFunc(func(context.Context) (clock.Reading, error) { boom(); return clock.Reading{}, nil })
	a := newAuthority(t, cfg)
	reply, out := a.Respond(t.Context(), in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	if err := a.Ready(t.Context()); !errors.Is(err, tsp.SystemFailure) {
		t.Errorf("Ready: %v, want systemFailure", err)
	}

	cfg = config(t, chain)
	cfg.Record = func(context.Context, tsp.Outcome) error { boom(); return nil }
	reply, out = newAuthority(t, cfg).Respond(t.Context(), in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)

	cfg = config(t, chain)
	cfg.Observe = func(tsp.Outcome) { boom() }
	reply, out = newAuthority(t, cfg).Respond(t.Context(), in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	if text := out.Rejection.Err.Error(); !strings.Contains(text, "boom") || !strings.Contains(text, "fault_test.go") {
		t.Errorf("cause %q does not say what panicked and where", text)
	}
}

// TestNoRandomness holds that there is no token without a serial number.
func TestNoRandomness(t *testing.T) {
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	for _, r := range []io.Reader{iotest.ErrReader(io.ErrUnexpectedEOF), io.LimitReader(rand.Reader, 19)} {
		cfg.Rand = r
		_, in := request(t, nil)
		reply, out := newAuthority(t, cfg).Respond(t.Context(), in)
		checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
		if !errors.Is(out.Rejection, io.ErrUnexpectedEOF) {
			t.Errorf("cause %v", out.Rejection.Err)
		}
	}
}

// TestRSAFault holds that a signature with a fault in one of the two halves of
// the Chinese remainder never leaves, even when the signer is in the process:
// it would give the key away (Boneh, DeMillo, Lipton).
func TestRSAFault(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{Key: pkitest.RSA2048})
	key := chain.LeafKey.(*rsa.PrivateKey)
	signer := &remote{key: key}
	cfg := config(t, chain)
	cfg.Signer, cfg.CheckEvery = inProcess{signer}, 1000
	a := newAuthority(t, cfg)
	_, in := request(t, nil)
	respond(t, a, in) // the first is checked in any case
	var difference big.Int
	signer.sign = func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		b, err := memory{key}.Sign(ctx, digest, opts)
		if err != nil {
			return nil, err
		}
		// Right modulo p, wrong modulo q.
		right := new(big.Int).SetBytes(b)
		faulty := new(big.Int).Add(right, key.Primes[0])
		faulty.Mod(faulty, key.N)
		difference.Sub(faulty, right)
		return faulty.FillBytes(make([]byte, len(b))), nil
	}
	reply, out := a.Respond(t.Context(), in)
	checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
	// It was such a fault: the two signatures give a factor of the modulus.
	if p := new(big.Int).GCD(nil, nil, difference.Abs(&difference), key.N); p.Cmp(key.Primes[0]) != 0 {
		t.Errorf("the fault does not give the key away: the test shows nothing")
	}
}

// TestSample holds how many signatures of a key in memory are checked: the
// first, one in so many, and every one after a failure.
func TestSample(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	signer := &remote{key: chain.LeafKey}
	cfg := config(t, chain)
	cfg.Signer, cfg.CheckEvery = inProcess{signer}, 4
	a := newAuthority(t, cfg)
	_, in := request(t, nil)
	good := memory{chain.LeafKey}
	signer.sign = func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		b, err := good.Sign(ctx, digest, opts)
		b[len(b)-1] ^= 1
		return b, err
	}
	// Not in the sample until the fifth, were it not for the first.
	if _, out := a.Respond(t.Context(), in); out.Granted() {
		t.Error("the first token was not checked")
	}
	for i := range 6 {
		if _, out := a.Respond(t.Context(), in); out.Granted() {
			t.Errorf("token %d after a failed check was not checked", i+1)
		}
	}

	signer.sign = nil
	a = newAuthority(t, cfg)
	respond(t, a, in)
	signer.sign = func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
		b, err := good.Sign(ctx, digest, opts)
		b[len(b)-1] ^= 1
		return b, err
	}
	refused := 0
	for refused = range 10 {
		if _, out := a.Respond(t.Context(), in); !out.Granted() {
			break
		}
	}
	if refused != 3 {
		t.Errorf("the fault was found after %d tokens, want 3", refused)
	}
}

// TestConcurrency has every path run at once, for the race detector.
func TestConcurrency(t *testing.T) {
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	cfg.Clock, cfg.CheckEvery = clock.System(time.Millisecond), 3
	var granted, refused atomic.Int32
	cfg.Observe = func(out tsp.Outcome) {
		if out.Granted() {
			granted.Add(1)
		} else {
			refused.Add(1)
		}
	}
	cfg.Record = func(context.Context, tsp.Outcome) error { return nil }
	a := newAuthority(t, cfg)
	_, good := request(t, nil)
	_, bad := request(t, func(r *tsp.Request) { r.Policy = parseOID(t, "1.2.3") })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				a.Respond(t.Context(), good)
				a.Respond(t.Context(), bad)
				a.Chain()
				if err := a.Ready(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if granted.Load() != 400 || refused.Load() != 400 {
		t.Errorf("granted %d, refused %d, want 400 of each", granted.Load(), refused.Load())
	}
}
