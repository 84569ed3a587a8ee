package authority

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// An Authority issues timestamps with one key. It never changes, and may be
// used from several goroutines at once.
type Authority struct {
	signer  Signer
	chain   []*x509.Certificate
	window  window
	scheme  scheme
	rand    io.Reader
	record  func(context.Context, tsp.Outcome) error
	observe func(tsp.Outcome)

	clock     *clock.Guard
	accuracy  time.Duration
	precision time.Duration

	policies  []policy // the first is the default
	hashes    []crypto.Hash
	hashNames string

	template *template
	checker  *checker
}

// Chain returns the certificates, leaf first.
func (a *Authority) Chain() []*x509.Certificate { return slices.Clone(a.chain) }

// Policy returns the policy of tokens whose requester names none.
func (a *Authority) Policy() x509.OID { return a.policies[0].id }

// Accuracy returns what each token promises.
func (a *Authority) Accuracy() time.Duration { return a.accuracy }

// Window returns the span in which tokens are issued, both ends included, in
// UTC: every certificate of the chain is valid in it, and the private key may
// be used.
func (a *Authority) Window() (notBefore, notAfter time.Time) {
	return a.window.notBefore, a.window.notAfter
}

// Prove has the signer sign a message that is not a token, and checks the
// signature with the key of the certificate, as [New] does. Its error says what
// is wrong with the signer, or that ctx ended first.
func (a *Authority) Prove(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	if err := a.scheme.prove(ctx, a.signer); err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	return nil
}

// Ready reports whether a good request would be granted now, as far as that
// can be told without signing: the clock is good enough and its time within
// [Authority.Window]. Its error is the [*tsp.Rejection] that a request would
// get.
func (a *Authority) Ready(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	var out tsp.Outcome
	if _, err := a.genTime(ctx, &out); err != nil {
		return tsp.AsRejection(err)
	}
	return nil
}

// genTime asks the clock for the time that a token may say now.
func (a *Authority) genTime(ctx context.Context, out *tsp.Outcome) (time.Time, error) {
	r, err := a.clock.Now(ctx)
	if err != nil {
		return time.Time{}, a.noTime(ctx, err, out)
	}
	out.ClockState, out.ClockBound = r.State.String(), r.Bound
	t := cut(r.Time, max(a.precision, known(r)))
	if loss := r.Time.Sub(t); r.State == clock.StateSynchronised && r.Bound+loss > a.accuracy {
		return time.Time{}, &tsp.Rejection{
			Info: tsp.TimeNotAvailable,
			Text: inaccurateText,
			Err:  fmt.Errorf("authority: error bound %v and %v cut from genTime are above the accuracy %v", r.Bound, loss, a.accuracy),
		}
	}
	if err := a.window.check(t); err != nil {
		return time.Time{}, systemFailure(fmt.Errorf("%w: %w", ErrWindow, err))
	}
	return t, nil
}

// What the world is told about a clock that is not good enough.
const (
	inaccurateText = "the clock is not as accurate as a timestamp promises"
	noTimeText     = "the time is not known reliably"
)

// noTime turns the error of the guard into a refusal.
func (a *Authority) noTime(ctx context.Context, err error, out *tsp.Outcome) error {
	if ctx.Err() != nil {
		return systemFailure(fmt.Errorf("authority: waiting for the clock: %w", err))
	}
	r := &tsp.Rejection{Info: tsp.TimeNotAvailable, Text: noTimeText, Err: err}
	out.ClockState = clock.StateUnknown.String()
	var refused *clock.GuardError
	if errors.As(err, &refused) {
		out.ClockState, out.ClockBound = refused.Reading.State.String(), refused.Reading.Bound
		if refused.Reason == clock.GuardBound {
			r.Text = inaccurateText
		}
	}
	return r
}

// known is the finest precision that a reading has: a digit that is worth less
// than the error of the clock says what nobody knows. Where the error is only
// declared, it is not meant to the second.
func known(r clock.Reading) time.Duration {
	switch {
	case r.Bound < time.Millisecond:
		return time.Microsecond
	case r.Bound < time.Second || r.State == clock.StateUnmonitored:
		return time.Millisecond
	}
	return time.Second
}

// cut cuts t to a multiple of precision. With milliseconds, the fraction of
// the result has three digits or none; see [Config.Precision].
func cut(t time.Time, precision time.Duration) time.Time {
	rest := t.Nanosecond() % int(precision)
	t = t.Add(-time.Duration(rest))
	if precision == time.Millisecond {
		if ms := t.Nanosecond() / int(time.Millisecond); ms != 0 && ms%10 == 0 {
			t = t.Add(-time.Millisecond)
		}
	}
	return t
}

// systemFailure is a refusal that tells the world nothing and the log err.
// Whatever a callback returned stays inside it, a Rejection too.
func systemFailure(err error) *tsp.Rejection {
	r := tsp.AsRejection(errInternal)
	r.Err = err
	return r
}

// panicked makes a refusal of a recovered panic. It must be called by the
// deferred function, while the stack is that of the panic.
func panicked(p any) *tsp.Rejection {
	return systemFailure(fmt.Errorf("authority: panic: %v\n%s", p, debug.Stack()))
}

var errInternal = errors.New("internal failure")
