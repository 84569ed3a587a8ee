package kms

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// slow is a backend for one test, which pays no attention to contexts.
func slow(t *testing.T, b backend) signer.URI {
	const scheme signer.Scheme = "slow"
	backends[scheme] = b
	t.Cleanup(func() { delete(backends, scheme) })
	return signer.URI{Scheme: scheme, Rest: "//tsa"}
}

func checkLate(t *testing.T, err error, op, hint string) {
	t.Helper()
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Unreachable || f.Op != op || !strings.Contains(f.Hint, hint) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, hint %q; want %s of %q, with %q, that wraps the context's", err, fault.HintOf(err), fault.Unreachable, op, hint)
	}
}

// What opens too late is given up, and closed when it comes.
func TestOpenLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{key: generate(t)}
		u := slow(t, backend{open: func(context.Context, signer.URI, Config) (signer.Signer, error) {
			time.Sleep(openPatience + time.Minute)
			return s, nil
		}})
		start := time.Now()
		k, err := Open(t.Context(), u, Config{})
		checkLate(t, err, opOpen, "see whether the service is up")
		if k != nil {
			t.Error("a key came with the error")
		}
		if d := time.Since(start); d != openPatience {
			t.Errorf("it took %v; want %v", d, openPatience)
		}
		time.Sleep(2 * time.Minute)
		if n := s.closed.Load(); n != 1 {
			t.Errorf("closed %d times; want once", n)
		}
	})
}

// A token may take minutes to make a key, and is not told to be unreachable.
func TestCreateSlowly(t *testing.T) {
	for _, tt := range []struct {
		name string
		took time.Duration
		late bool
	}{
		{"minutes", createPatience - time.Minute, false},
		{"for ever", createPatience + time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &service{key: generate(t)}
				u := slow(t, backend{
					open: func(context.Context, signer.URI, Config) (signer.Signer, error) { return s, nil },
					create: func(context.Context, signer.URI, signer.KeyType, Config) error {
						time.Sleep(tt.took)
						return nil
					},
				})
				k, err := Create(t.Context(), u, signer.P256, Config{})
				if tt.late {
					checkLate(t, err, opCreate, "the key may have been made")
				} else if err != nil || k.Close() != nil {
					t.Error(err)
				}
				time.Sleep(2 * time.Minute)
			})
		})
	}
}

// A client library that panics does not end the process.
func TestOpenPanics(t *testing.T) {
	u := slow(t, backend{open: func(context.Context, signer.URI, Config) (signer.Signer, error) { panic("nil map") }})
	if k, err := Open(t.Context(), u, Config{}); k != nil || fault.KindOf(err) != fault.Malformed {
		t.Errorf("got %v, %v; want %s", k, err, fault.Malformed)
	}
}
