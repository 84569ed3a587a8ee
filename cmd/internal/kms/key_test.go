package kms

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

type signFunc = func(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)

// A service is a backend outside the process.
type service struct {
	key     *signer.Key
	sign    signFunc
	honours bool
	closed  atomic.Int32
	closing func() error
}

func (s *service) Public() crypto.PublicKey { return s.key.Public() }

func (s *service) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.sign(ctx, digest, opts)
}

func (s *service) HonoursContext() bool { return s.honours }

func (s *service) Close() error {
	s.closed.Add(1)
	if s.closing != nil {
		return s.closing()
	}
	return nil
}

var testURI = signer.URI{Scheme: signer.SchemeHashiVault, Rest: "//tsa"}

func generate(tb testing.TB) *signer.Key {
	tb.Helper()
	k, err := signer.Generate(signer.P256)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// both runs a test with a backend that honours contexts and with one that may
// not.
func both(t *testing.T, f func(t *testing.T, honours bool)) {
	for _, honours := range []bool{true, false} {
		t.Run(fmt.Sprintf("honours=%v", honours), func(t *testing.T) { f(t, honours) })
	}
}

// inBubble is both, in fake time.
func inBubble(t *testing.T, f func(t *testing.T, honours bool)) {
	both(t, func(t *testing.T, honours bool) {
		synctest.Test(t, func(t *testing.T) { f(t, honours) })
	})
}

var digest = make([]byte, 32)

func TestConformance(t *testing.T) {
	both(t, func(t *testing.T, honours bool) {
		k := generate(t)
		signertest.Run(t, func(*testing.T) signer.Signer {
			return newKey(testURI, &service{key: k, sign: k.Sign, honours: honours}, Config{Limits: Limits{Concurrency: 3}})
		})
	})
}

// Backends that take no context, or that fall over, are made to fail well.
func TestFaults(t *testing.T) {
	k, other := generate(t), generate(t)
	with := func(sign signFunc) func(t *testing.T) signer.Signer {
		return func(t *testing.T) signer.Signer {
			return newKey(testURI, &service{key: k, sign: sign}, Config{})
		}
	}
	signertest.RunFaults(t, signertest.Faults{
		Dead:     with(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { panic("index out of range") }),
		WrongKey: with(other.Sign),
		Garbage:  with(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return []byte{}, nil }),
		Hangs: func(t *testing.T) signer.Signer {
			over := make(chan struct{})
			t.Cleanup(func() { close(over) })
			return with(func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
				<-over
				return nil, errors.New("over")
			})(t)
		},
	})
}

// An observer keeps what it was told.
type observer struct {
	mu     sync.Mutex
	events []Event
}

func (o *observer) add(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func (o *observer) all() []Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.events)
}

func TestDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, honours bool) {
		k := generate(t)
		var seen observer
		key := newKey(testURI, &service{key: k, honours: honours, sign: func(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
			if !honours {
				ctx = context.Background()
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
			}
			return nil, errors.New("connection closed")
		}}, Config{Limits: Limits{Timeout: 7 * time.Second}, Observe: seen.add})

		start := time.Now()
		_, err := key.Sign(t.Context(), digest, crypto.SHA256)
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("the call took %v; want 7s", d)
		}
		if !errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) != fault.Unreachable ||
			!strings.Contains(err.Error(), "hashivault://tsa") || !strings.Contains(fault.HintOf(err), "7s") {
			t.Errorf("got error %q, kind %q, hint %q", err, fault.KindOf(err), fault.HintOf(err))
		}
		events := seen.all()
		if len(events) != 1 || events[0].Duration != 7*time.Second || events[0].Attempt != 1 || events[0].Op != OpSign ||
			events[0].Err != err || events[0].Abandoned == honours {
			t.Errorf("the observer was told %+v", events)
		}

		// The caller's own deadline is the nearer one.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err = key.Sign(ctx, digest, crypto.SHA256); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v; want %v after 1s", time.Since(start), err, context.DeadlineExceeded)
		}
		// A caller that goes away is not a fault of the service.
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err = key.Sign(ctx, digest, crypto.SHA256); !errors.Is(err, context.Canceled) || fault.KindOf(err) != "" {
			t.Errorf("got %v of the kind %q; want %v", err, fault.KindOf(err), context.Canceled)
		}
		time.Sleep(time.Hour)
		if n := key.Abandoned(); n != 0 {
			t.Errorf("%d calls are abandoned; want 0, all have returned", n)
		}
	})
}

// However a backend words that the context ended, the error says whose fault
// that is: the service's at the deadline, nobody's when the caller went away.
func TestEnded(t *testing.T) {
	for _, tt := range []struct {
		name string
		word func(error) error
	}{
		{"as it is", func(err error) error { return err }},
		{"wrapped", func(err error) error { return fmt.Errorf("sign: killed: %w", err) }},
		{"as a fault", func(err error) error { return fault.New(fault.Unreachable, OpSign, "no answer: %w", err) }},
		{"as another fault", func(error) error { return fault.New(fault.Malformed, OpSign, "EOF") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, honours bool) {
				key := newKey(testURI, &service{key: generate(t), honours: honours, sign: func(ctx context.Context, _ []byte, _ crypto.SignerOpts) ([]byte, error) {
					<-ctx.Done()
					return nil, tt.word(ctx.Err())
				}}, Config{})
				if _, err := key.Sign(t.Context(), digest, crypto.SHA256); !errors.Is(err, context.DeadlineExceeded) || fault.KindOf(err) != fault.Unreachable {
					t.Errorf("at the deadline: %v of the kind %q; want %q", err, fault.KindOf(err), fault.Unreachable)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				if _, err := key.Sign(ctx, digest, crypto.SHA256); !errors.Is(err, context.Canceled) || fault.KindOf(err) != "" {
					t.Errorf("cancelled: %v of the kind %q; want none", err, fault.KindOf(err))
				}
			})
		})
	}
}

func TestRetry(t *testing.T) {
	temporary := fault.New(fault.Unreachable, "sign", "503")
	final := fault.New(fault.Denied, "sign", "403")
	for _, tt := range []struct {
		name     string
		answers  []error // nil: a signature
		timeout  time.Duration
		attempts int
		want     error
		calls    int
		least    time.Duration
		most     time.Duration
	}{
		{"at once", []error{nil}, 0, 0, nil, 1, 0, 0},
		{"second time", []error{temporary, nil}, 0, 0, nil, 2, 50 * time.Millisecond, 75 * time.Millisecond},
		{"third time", []error{temporary, temporary, nil}, 0, 0, nil, 3, 250 * time.Millisecond, 375 * time.Millisecond},
		{"never", []error{temporary, temporary, temporary, nil}, 0, 0, temporary, 3, 250 * time.Millisecond, 375 * time.Millisecond},
		{"once only", []error{temporary, nil}, 0, 1, temporary, 1, 0, 0},
		{"final", []error{final, nil}, 0, 0, final, 1, 0, 0},
		{"final after temporary", []error{temporary, final, nil}, 0, 0, final, 2, 50 * time.Millisecond, 75 * time.Millisecond},
		{"no time left", []error{temporary, nil}, 20 * time.Millisecond, 0, temporary, 1, 0, 0},
		{"no time for the third", []error{temporary, temporary, nil}, 200 * time.Millisecond, 0, temporary, 2, 50 * time.Millisecond, 75 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, honours bool) {
				k := generate(t)
				var calls atomic.Int32
				var seen observer
				key := newKey(testURI, &service{key: k, honours: honours, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
					if err := tt.answers[calls.Add(1)-1]; err != nil {
						return nil, err
					}
					return k.Sign(ctx, d, o)
				}}, Config{Limits: Limits{Timeout: tt.timeout, Attempts: tt.attempts}, Observe: seen.add})
				start := time.Now()
				signature, err := key.Sign(t.Context(), digest, crypto.SHA256)
				if !errors.Is(err, tt.want) || (signature != nil) != (tt.want == nil) {
					t.Errorf("got %x, %v; want error %v", signature, err, tt.want)
				}
				if d := time.Since(start); d < tt.least || d > tt.most {
					t.Errorf("it took %v; want %v to %v", d, tt.least, tt.most)
				}
				events := seen.all()
				if int(calls.Load()) != tt.calls || len(events) != tt.calls || events[len(events)-1].Attempt != tt.calls {
					t.Errorf("%d calls, told as %+v; want %d", calls.Load(), events, tt.calls)
				}
			})
		})
	}
}

// A caller that goes away between two attempts ends them.
func TestRetryCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T, honours bool) {
		var calls atomic.Int32
		key := newKey(testURI, &service{key: generate(t), honours: honours, sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
			calls.Add(1)
			return nil, fault.New(fault.Unreachable, "sign", "503")
		}}, Config{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(25*time.Millisecond, cancel)
		start := time.Now()
		_, err := key.Sign(ctx, digest, crypto.SHA256)
		if !errors.Is(err, context.Canceled) || time.Since(start) != 25*time.Millisecond || calls.Load() != 1 {
			t.Errorf("after %v and %d calls: %v; want %v after 25ms and 1 call", time.Since(start), calls.Load(), err, context.Canceled)
		}
	})
}

// No more than the limit is under way, and the others wait their turn.
func TestConcurrency(t *testing.T) {
	inBubble(t, func(t *testing.T, honours bool) {
		k := generate(t)
		var under, most atomic.Int32
		key := newKey(testURI, &service{key: k, honours: honours, sign: func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			n := under.Add(1)
			defer under.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(time.Second)
			return k.Sign(ctx, d, o)
		}}, Config{Limits: Limits{Concurrency: 4}})
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := key.Sign(t.Context(), digest, crypto.SHA256); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 4 || time.Since(start) != 5*time.Second {
			t.Errorf("at most %d at once, all after %v; want 4 and 5s", most.Load(), time.Since(start))
		}
	})
}

// A call that was given up keeps its place until it returns.
func TestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := generate(t)
		over := make(chan struct{})
		var calls atomic.Int32
		key := newKey(testURI, &service{key: k, sign: func(_ context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			if calls.Add(1) <= 2 {
				<-over
				if !slices.Equal(d, digest) {
					t.Error("a call that was given up saw the buffer of its caller change")
				}
			}
			return k.Sign(context.Background(), d, o)
		}}, Config{Limits: Limits{Concurrency: 2, Timeout: time.Second}})
		buffer := slices.Clone(digest)
		for i := range 4 {
			_, err := key.Sign(t.Context(), buffer, crypto.SHA256)
			if fault.KindOf(err) != fault.Unreachable || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d: got %v", i, err)
			}
			if i >= 2 && !strings.Contains(err.Error(), "all 2 places for signatures under way are taken, 2 by calls that were given up") {
				t.Errorf("the error does not say what is wrong: %v", err)
			}
		}
		if calls.Load() != 2 || key.Abandoned() != 2 {
			t.Errorf("the service has %d calls, %d are abandoned; want 2 and 2", calls.Load(), key.Abandoned())
		}
		clear(buffer)
		buffer[0] = 1
		close(over)
		synctest.Wait()
		if key.Abandoned() != 0 {
			t.Errorf("%d calls are abandoned after all have returned", key.Abandoned())
		}
		for range 4 {
			if _, err := key.Sign(t.Context(), digest, crypto.SHA256); err != nil {
				t.Errorf("after the service came back: %v", err)
			}
		}
	})
}

func TestUnfitIsNotSent(t *testing.T) {
	key := newKey(testURI, &service{key: generate(t), sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
		t.Error("the service was called")
		return nil, nil
	}}, Config{Observe: func(Event) { t.Error("the observer was told") }})
	if _, err := key.Sign(t.Context(), digest[:31], crypto.SHA256); err == nil {
		t.Error("a short digest was signed")
	}
}

func TestClose(t *testing.T) {
	refusal := errors.New("no")
	s := &service{key: generate(t), closing: func() error { return refusal }}
	s.sign = s.key.Sign
	key := newKey(testURI, s, Config{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := key.Close(); err != refusal {
				t.Errorf("got %v; want %v", err, refusal)
			}
		})
	}
	wg.Wait()
	if n := s.closed.Load(); n != 1 {
		t.Errorf("the backend was closed %d times", n)
	}
	if _, err := key.Sign(t.Context(), digest, crypto.SHA256); !errors.Is(err, errClosed) {
		t.Errorf("sign with a closed key: %v; want %v", err, errClosed)
	}
}

// Close waits for signatures under way.
func TestCloseWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, honours bool) {
		k := generate(t)
		s := &service{key: k, honours: honours}
		s.sign = func(ctx context.Context, d []byte, o crypto.SignerOpts) ([]byte, error) {
			time.Sleep(time.Second)
			if s.closed.Load() != 0 {
				t.Error("the backend was closed under a signature")
			}
			return k.Sign(ctx, d, o)
		}
		key := newKey(testURI, s, Config{})
		done := make(chan error, 1)
		go func() {
			_, err := key.Sign(t.Context(), digest, crypto.SHA256)
			done <- err
		}()
		synctest.Wait()
		if err := key.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Errorf("a signature under way: %v", err)
		}
		if s.closed.Load() != 1 {
			t.Error("the backend is not closed")
		}
	})
}

// Close does not wait for what hangs, and the backend is closed after it.
func TestCloseHanging(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after time.Duration // of Close
		want  time.Duration // that it takes
	}{
		{"abandoned", 2 * time.Minute, 0},
		{"not yet abandoned", time.Second, closePatience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				over := make(chan struct{})
				s := &service{key: generate(t), sign: func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
					<-over
					return nil, errors.New("over")
				}}
				key := newKey(testURI, s, Config{Limits: Limits{Timeout: time.Minute}})
				go key.Sign(t.Context(), digest, crypto.SHA256)
				time.Sleep(tt.after)
				start := time.Now()
				err := key.Close()
				if d := time.Since(start); d != tt.want || fault.KindOf(err) != fault.Unreachable || !strings.Contains(err.Error(), "1 calls") {
					t.Errorf("after %v: %v; want an error after %v", d, err, tt.want)
				}
				if s.closed.Load() != 0 {
					t.Error("the backend was closed under a call")
				}
				close(over)
				synctest.Wait()
				if s.closed.Load() != 1 {
					t.Error("the backend is not closed after its last call")
				}
				time.Sleep(time.Minute)
			})
		})
	}
	t.Run("backend hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			defer close(over)
			s := &service{key: generate(t), closing: func() error { <-over; return nil }}
			start := time.Now()
			err := newKey(testURI, s, Config{}).Close()
			if d := time.Since(start); d != closePatience || fault.KindOf(err) != fault.Unreachable {
				t.Errorf("after %v: %v; want an error after %v", d, err, closePatience)
			}
		})
	})
}

// What the backend knows about its key is passed on.
func TestDescription(t *testing.T) {
	k := generate(t)
	plain := &service{key: k}
	for _, tt := range []struct {
		name    string
		backend signer.Signer
		note    string
		hashes  []crypto.Hash
		padding []signer.Padding
	}{
		{"nothing", plain, "", nil, nil},
		{"note", struct {
			*service
			noted
		}{plain, noted{}}, "the primary of 2 keys", nil, nil},
		{"resource and hashes", struct {
			*service
			pinned
		}{plain, pinned{}}, "arn:aws:kms:k", []crypto.Hash{crypto.SHA512}, []signer.Padding{signer.PSS}},
		{"version", struct {
			*service
			versioned
		}{plain, versioned{}}, "version 3", nil, nil},
	} {
		key := newKey(testURI, tt.backend, Config{})
		if key.Note() != tt.note || !slices.Equal(key.Hashes(), tt.hashes) || !slices.Equal(key.Paddings(), tt.padding) {
			t.Errorf("%s: got %q, %v, %v; want %q, %v, %v", tt.name, key.Note(), key.Hashes(), key.Paddings(), tt.note, tt.hashes, tt.padding)
		}
	}
}

type noted struct{}

func (noted) Note() string { return "the primary of 2 keys" }

type pinned struct{}

func (pinned) Resource() string           { return "arn:aws:kms:k" }
func (pinned) Hashes() []crypto.Hash      { return []crypto.Hash{crypto.SHA512} }
func (pinned) Paddings() []signer.Padding { return []signer.Padding{signer.PSS} }

type versioned struct{}

func (versioned) Version() int { return 3 }

// BenchmarkSign is what this package adds to a signature: beside "bare", which
// costs nothing itself.
func BenchmarkSign(b *testing.B) {
	k := generate(b)
	signature := make([]byte, 70)
	instant := func(context.Context, []byte, crypto.SignerOpts) ([]byte, error) { return signature, nil }
	local, err := Open(b.Context(), signer.URI{Scheme: signer.SchemeMemory, KeyType: signer.P256}, Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	near, cancel := context.WithTimeout(b.Context(), 30*time.Minute)
	defer cancel()
	limits := Config{Limits: Limits{Timeout: 45 * time.Minute}}
	for _, bb := range []struct {
		name string
		s    signer.Signer
		ctx  context.Context
	}{
		{"service/bare", &service{key: k, sign: instant}, ctx},
		{"service/honours-context", newKey(testURI, &service{key: k, sign: instant, honours: true}, limits), ctx},
		{"service/honours-context-deadline-nearer", newKey(testURI, &service{key: k, sign: instant, honours: true}, limits), near},
		{"service/detached", newKey(testURI, &service{key: k, sign: instant}, limits), ctx},
		{"memory/bare", local.backend, ctx},
		{"memory/key", local, ctx},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bb.s.Sign(bb.ctx, digest, crypto.SHA256); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
