package kms

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A honoursContext is what a backend offers whose Sign always returns soon
// after its context has ended. It is then called without a goroutine between,
// and never abandoned.
type honoursContext interface{ HonoursContext() bool }

// A Key is an open key. Its methods may be called from several goroutines at
// once. It comes from [Open] or [Create].
type Key struct {
	uri     signer.URI
	backend signer.Signer
	public  crypto.PublicKey
	local   bool // the private key is in this process
	bounded bool // the backend honours contexts
	limits  Limits
	observe func(Event)

	slots     chan struct{} // one for each signature under way
	abandoned atomic.Int64
	close     func() error // of the backend, once

	mu      sync.Mutex
	closed  bool
	calls   int           // of Sign in the backend, abandoned ones included
	drained chan struct{} // closed when closed is set and calls is 0
}

func newKey(u signer.URI, backend signer.Signer, cfg Config) *Key {
	k := &Key{
		uri: u, backend: backend, public: backend.Public(),
		limits: cfg.Limits.complete(), observe: cfg.Observe,
		drained: make(chan struct{}),
	}
	if b, ok := backend.(signer.InProcess); ok {
		k.local = b.InProcess()
	}
	if b, ok := backend.(honoursContext); ok {
		k.bounded = b.HonoursContext()
	}
	k.slots = make(chan struct{}, k.limits.Concurrency)
	k.close = sync.OnceValue(k.shut)
	return k
}

// URI returns what the key was opened with.
func (k *Key) URI() signer.URI { return k.uri }

// Public returns the public key, always the same one.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Hashes returns the hashes that the key signs with, the usual one first, where
// its service ties it to some; nil means all that fit its kind.
func (k *Key) Hashes() []crypto.Hash {
	if b, ok := k.backend.(interface{ Hashes() []crypto.Hash }); ok {
		return b.Hashes()
	}
	return nil
}

// Paddings returns the paddings that an RSA key signs with, where its service
// ties it to some; nil means both.
func (k *Key) Paddings() []signer.Padding {
	if b, ok := k.backend.(interface{ Paddings() []signer.Padding }); ok {
		return b.Paddings()
	}
	return nil
}

// Note says what the URI turned out to name, where that is more than the URI
// says: the version that is signed with, a resource behind an alias. It is ""
// otherwise.
func (k *Key) Note() string {
	switch b := k.backend.(type) {
	case interface{ Note() string }:
		return b.Note()
	case interface{ Resource() string }:
		return b.Resource()
	case interface{ Version() int }:
		return fmt.Sprintf("version %d", b.Version())
	}
	return ""
}

// InProcess reports whether the private key is in the memory of this process.
func (k *Key) InProcess() bool { return k.local }

// Abandoned returns how many calls were given up and have not returned yet.
// Each takes one of Limits.Concurrency.
func (k *Key) Abandoned() int64 { return k.abandoned.Load() }

// errClosed is a use of a key after Close.
var errClosed = errors.New("the key is closed")

// Sign implements [signer.Signer]. Outside the process it keeps to the
// [Limits]; a service that does not answer in time is a *fault.Error of the
// kind Unreachable that wraps context.DeadlineExceeded.
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if k.local {
		return k.backend.Sign(ctx, digest, opts)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", OpSign, err)
	}
	if err := signer.CheckDigest(k.public, digest, opts); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(k.limits.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	for attempt := 1; ; attempt++ {
		signature, err := k.attempt(ctx, digest, opts, attempt)
		if err == nil || attempt >= k.limits.Attempts || ctx.Err() != nil || !fault.KindOf(err).Temporary() {
			return signature, err
		}
		// What cannot be tried again before the deadline has failed now.
		wait := pause(attempt)
		if time.Until(deadline) <= wait {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, k.ended(ctx, err)
		}
	}
}

const (
	// firstPause is longer than a connection takes to be made anew, and each
	// further pause is pauseFactor times as long.
	firstPause  = 50 * time.Millisecond
	pauseFactor = 4
)

// pause is how long to wait after an attempt: 50 ms, 200 ms, 800 ms and so on,
// and up to half as much again, so that many callers do not come back at once.
func pause(attempt int) time.Duration {
	wait := firstPause
	for range min(attempt-1, 4) {
		wait *= pauseFactor
	}
	return wait + rand.N(wait/2)
}

// attempt signs once and tells the observer.
func (k *Key) attempt(ctx context.Context, digest []byte, opts crypto.SignerOpts, n int) ([]byte, error) {
	if k.observe == nil {
		signature, _, err := k.place(ctx, digest, opts)
		return signature, err
	}
	start := time.Now()
	signature, abandoned, err := k.place(ctx, digest, opts)
	k.observe(Event{Op: OpSign, Duration: time.Since(start), Err: err, Attempt: n, Abandoned: abandoned})
	return signature, err
}

// place waits for a place among the signatures under way and has the backend
// sign.
func (k *Key) place(ctx context.Context, digest []byte, opts crypto.SignerOpts) (signature []byte, abandoned bool, err error) {
	select {
	case k.slots <- struct{}{}:
	default:
		select {
		case k.slots <- struct{}{}:
		case <-ctx.Done():
			return nil, false, k.ended(ctx, fmt.Errorf("all %d places for signatures under way are taken, %d by calls that were given up and have not returned",
				cap(k.slots), k.Abandoned()))
		}
	}
	if !k.enter() {
		<-k.slots
		return nil, false, fmt.Errorf("%s: %s: %w", OpSign, k.uri, errClosed)
	}
	if k.bounded {
		defer k.leave()
		signature, err = k.call(ctx, digest, opts)
	} else if signature, err = k.detached(ctx, digest, opts); errors.Is(err, errAbandoned) {
		abandoned = true
	}
	// A backend may say the context's error as it is, or call it a fault of the
	// service that the caller went away.
	if err != nil && ctx.Err() != nil && (fault.KindOf(err) == "" || !errors.Is(err, context.DeadlineExceeded)) {
		err = k.ended(ctx, err)
	}
	return signature, abandoned, err
}

// ended is the error of a signature whose context ended; why is what kept it.
func (k *Key) ended(ctx context.Context, why error) error {
	err := ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %s: %w", OpSign, k.uri, err)
	}
	return fault.New(fault.Unreachable, OpSign, "%s: no signature in time: %w (%w)", k.uri, why, err).
		WithHint("see whether the service is up and how busy it is; the time limit is %v", k.limits.Timeout)
}

// enter counts a call into the backend, unless the key is closed.
func (k *Key) enter() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.calls++
	return true
}

// leave ends what enter began, and gives the place back.
func (k *Key) leave() {
	k.mu.Lock()
	k.calls--
	if k.closed && k.calls == 0 {
		close(k.drained)
	}
	k.mu.Unlock()
	<-k.slots
}

// errAbandoned marks a call that was given up while the backend had it.
var errAbandoned = errors.New("the service has not answered")

// A flight is a call that may be given up. It runs until the first of two
// sides ends it.
type flight struct {
	state     atomic.Int32
	done      chan struct{}
	signature []byte
	err       error
}

// The states of a flight.
const (
	running int32 = iota
	returned
	abandoned
)

// detached has the backend sign in a goroutine of its own, and gives it up when
// ctx ends. The goroutine keeps the place until the backend returns; Close
// leaves the backend open for it.
func (k *Key) detached(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	// The caller may use its buffer again as soon as this returns.
	input := bytes.Clone(digest)
	f := &flight{done: make(chan struct{})}
	go func() {
		defer k.leave()
		signature, err := k.call(ctx, input, opts)
		if !f.state.CompareAndSwap(running, returned) {
			k.abandoned.Add(-1)
			return
		}
		f.signature, f.err = signature, err
		close(f.done)
	}()
	select {
	case <-f.done:
		return f.signature, f.err
	case <-ctx.Done():
	}
	// Counted before the goroutine can see it, which never counts below zero.
	k.abandoned.Add(1)
	if f.state.CompareAndSwap(running, abandoned) {
		return nil, errAbandoned
	}
	k.abandoned.Add(-1)
	<-f.done
	return f.signature, f.err
}

// call is the only place that enters the backend. A client library that
// panics over a hostile answer must not end the process.
func (k *Key) call(ctx context.Context, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			signature, err = nil, fault.New(fault.Malformed, OpSign, "%s: the client library fell over the answer: panic: %v", k.uri, v)
		}
	}()
	signature, err = k.backend.Sign(ctx, digest, opts)
	switch {
	case err != nil:
		return nil, err
	case len(signature) == 0:
		return nil, fault.New(fault.Malformed, OpSign, "%s: the service returned an empty signature", k.uri)
	}
	return signature, nil
}

// closePatience is how long Close waits for signatures under way, which end
// soon, and for the backend. It is not for calls that hang.
const closePatience = 2 * time.Second

// Close gives back what the key holds: sessions, connections, goroutines. What
// signs with it afterwards gets an error, so it comes after the last use; of a
// key in this process there is nothing to close, and it goes on signing.
//
// Signatures under way are waited for, but nothing that hangs: if there are
// abandoned calls, or after 2 s, Close returns an error of the kind
// Unreachable, and the backend is closed when the last call has returned.
// Closing again returns what the first time did.
func (k *Key) Close() error { return k.close() }

func (k *Key) shut() error {
	k.mu.Lock()
	k.closed = true
	if k.calls == 0 {
		close(k.drained)
	}
	k.mu.Unlock()

	done := make(chan error, 1)
	go func() {
		<-k.drained
		done <- closeBackend(k.backend)
	}()
	if k.Abandoned() == 0 {
		timer := time.NewTimer(closePatience)
		defer timer.Stop()
		select {
		case err := <-done:
			return err
		case <-timer.C:
		}
	}
	return fault.New(fault.Unreachable, "close", "%s: %d calls have not returned; the key is closed when they do", k.uri, k.underWay())
}

func closeBackend(s signer.Signer) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (k *Key) underWay() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}

var (
	_ signer.Signer    = (*Key)(nil)
	_ signer.InProcess = (*Key)(nil)
	_ signer.Tied      = (*Key)(nil)
)
