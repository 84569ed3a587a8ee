package authority_test

import (
	"context"
	"crypto"
	"errors"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// A bentSigner returns what sign does, once it is set.
type bentSigner struct {
	authority.Signer
	sign func() ([]byte, error)
}

func (s *bentSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.sign != nil {
		return s.sign()
	}
	return s.Signer.Sign(ctx, digest, opts)
}

// A systemFailure tells who can mend it: the key, the certificate, or neither.
func TestFailureCauses(t *testing.T) {
	away := errors.New("the key service is away")
	for _, test := range []struct {
		name   string
		sign   func() ([]byte, error)
		now    time.Time
		want   error
		proves bool
	}{
		{"key away", func() ([]byte, error) { return nil, away }, tsptest.Time(), authority.ErrSigner, false},
		{"no signature", func() ([]byte, error) { return nil, nil }, tsptest.Time(), authority.ErrSigner, false},
		{"endless signature", func() ([]byte, error) { return make([]byte, 1<<20), nil }, tsptest.Time(), authority.ErrSigner, false},
		{"wrong signature", func() ([]byte, error) { return []byte("wrong"), nil }, tsptest.Time(), authority.ErrSelfCheck, false},
		{"expired", nil, pkitest.NotAfter().Add(time.Hour), authority.ErrWindow, true},
		{"not yet valid", nil, pkitest.NotBefore().Add(-time.Hour), authority.ErrWindow, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
			key := &bentSigner{Signer: cfg.Signer}
			cfg.Signer, cfg.Clock = key, clock.Fixed(test.now, time.Millisecond)
			a, err := authority.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			key.sign = test.sign
			_, out := a.Respond(t.Context(), tsptest.RequestDER())
			if out.Rejection == nil {
				t.Fatal("a token")
			}
			for _, cause := range []error{authority.ErrSigner, authority.ErrSelfCheck, authority.ErrWindow} {
				if got := errors.Is(out.Rejection.Err, cause); got != (cause == test.want) {
					t.Errorf("the cause %q is %q: %v", out.Rejection.Err, cause, got)
				}
			}
			if err := a.Prove(t.Context()); (err == nil) != test.proves {
				t.Errorf("Prove: %v", err)
			} else if test.want == authority.ErrSelfCheck && !errors.Is(err, authority.ErrSelfCheck) {
				t.Errorf("Prove: %v is not %q", err, authority.ErrSelfCheck)
			}
		})
	}
}

func TestProve(t *testing.T) {
	a, err := authority.New(config(t, pkitest.TSA(t, pkitest.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Prove(t.Context()); err != nil {
		t.Errorf("Prove: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Prove(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}
