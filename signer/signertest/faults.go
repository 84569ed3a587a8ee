package signertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/signer"
)

// Faults are signers whose service misbehaves, each made anew for every check.
// All are required: a backend that cannot fail in one of these ways has a fake
// service that can be told to.
type Faults struct {
	// Dead: the service, which answered when the key was opened, is gone or
	// refuses every call.
	Dead func(t *testing.T) signer.Signer
	// WrongKey: the service signs, well-formed, with another key than the one
	// that Public returns.
	WrongKey func(t *testing.T) signer.Signer
	// Garbage: what the service returns in place of a signature is none.
	Garbage func(t *testing.T) signer.Signer
	// Hangs: the service takes a request and never answers it.
	Hangs func(t *testing.T) signer.Signer
}

// RunFaults runs the part of the suite that is about services which misbehave,
// each check as a subtest. A field of f that is nil is an error of the
// programmer, and a panic.
//
// Of a hanging service it is demanded that Sign comes back when its context
// ends, even where the client library takes no context; whoever wraps such
// backends tests the wrapped one.
func RunFaults(t *testing.T, f Faults) {
	t.Helper()
	checks := faultChecks(f)
	for _, c := range checks {
		if c.open == nil {
			panic("signertest: RunFaults: Faults." + c.name + " is nil; every backend shows how it fails in this way")
		}
	}
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			s := c.open(t)
			if err := caught(func() error { return c.run(t.Context(), s) }); err != nil {
				t.Error(err)
			}
		})
	}
}

type faultCheck struct {
	name string
	open func(t *testing.T) signer.Signer
	run  func(ctx context.Context, s signer.Signer) error
}

func faultChecks(f Faults) []faultCheck {
	return []faultCheck{
		{"Dead", f.Dead, checkDead},
		{"WrongKey", f.WrongKey, checkUntrue},
		{"Garbage", f.Garbage, checkUntrue},
		{"Hangs", f.Hangs, checkHangs},
	}
}

var (
	errSlow  = errors.New("the call did not return in time")
	errPanic = errors.New("panic")
	errBoth  = errors.New("neither success nor failure")
)

// caught makes an error of a panic, so that the check that saw it is named.
func caught(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v", errPanic, v)
		}
	}()
	return f()
}

// within runs f in a goroutine of its own and gives it up after limit.
func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- caught(f) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("%w: it took more than %v", errSlow, limit)
	}
}

// broken reports whether an error is a defect of the signer's own, and not its
// way to say that the service misbehaves.
func broken(err error) bool {
	return errors.Is(err, errSlow) || errors.Is(err, errPanic) || errors.Is(err, errBoth)
}

// sign is one call of Sign, which may never return.
func sign(ctx context.Context, s signer.Signer, limit time.Duration) error {
	return within(limit, func() error {
		opts, hash, err := usual(s)
		if err != nil {
			return err
		}
		signature, err := s.Sign(ctx, input(hash, message(7)), opts)
		if err != nil && signature != nil {
			return fmt.Errorf("%w: a signature came with the error %w", errBoth, err)
		}
		return err
	})
}

// failures is what checkDead and checkHangs ask for at once: a service that is
// gone is gone for everybody.
const failures = 4

func checkDead(ctx context.Context, s signer.Signer) error {
	return each(failures, func() error {
		switch err := sign(ctx, s, patience); {
		case err == nil:
			return errors.New("signed, although its service is dead")
		case broken(err):
			return err
		}
		return checkUntrue(ctx, s)
	})
}

func checkUntrue(ctx context.Context, s signer.Signer) error {
	err := within(patience, func() error { return signer.Prove(ctx, s, nil) })
	switch {
	case err == nil:
		return errors.New("passed its proof, although its service does not sign with its key")
	case broken(err):
		return err
	}
	return nil
}

// deadline is how long callers of a hanging service wait, and slack how much
// longer they may take on a busy machine.
const (
	deadline = 100 * time.Millisecond
	slack    = 2 * time.Second
)

func checkHangs(ctx context.Context, s signer.Signer) error {
	return each(failures, func() error {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		err := sign(ctx, s, deadline+slack)
		switch {
		case err == nil:
			return errors.New("signed, although its service hangs")
		case broken(err):
			return err
		case !errors.Is(err, context.DeadlineExceeded):
			return fmt.Errorf("a call that hangs, after its deadline: got error %v; want one that wraps %v", err, context.DeadlineExceeded)
		}
		return nil
	})
}

// each runs f in n goroutines and joins what they say.
func each(n int, f func() error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
