package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// tokenNumber returns a token that can be told from others.
func tokenNumber(n int) *Token {
	return &Token{
		Serial: []byte{0x40, byte(n >> 16), byte(n >> 8), byte(n)}, GenTime: time.Date(2026, 3, 1, 12, 0, 0, n, time.UTC),
		Policy: "1.3.6.1.4.1.57264.2", Algorithm: "SHA-256", Digest: make([]byte, 32),
		Accuracy: time.Second, ClockState: "synchronised", ClockBound: 12345678 * time.Nanosecond,
		Key: "tsu-1", Client: "192.0.2.7", Request: "4f1c",
	}
}

func mustOpen(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestAppendAndContinue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	for round := range 3 {
		l := mustOpen(t, Config{Dir: dir, Instance: "a"})
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := l.Append(t.Context(), tokenNumber(round*50+i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, want := l.State().Seq, uint64(1+50*(round+1)); got != want {
			t.Errorf("round %d: record %d, want %d", round, got, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Append(t.Context(), tokenNumber(0)); !errors.Is(err, ErrClosed) {
			t.Errorf("Append after Close: %v, want ErrClosed", err)
		}
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(names) != 1 {
		t.Fatalf("files %v, %v; want one", names, err)
	}
	for name, want := range map[string]os.FileMode{dir: folderMode | os.ModeDir, names[0]: fileMode} {
		st, err := os.Stat(name)
		if err != nil || st.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, st.Mode(), err, want)
		}
	}
}

func TestLocked(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	l := mustOpen(t, cfg)
	defer l.Close()
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
}

func TestAppendEndsWithContext(t *testing.T) {
	l := mustOpen(t, Config{Dir: t.TempDir()})
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Append(ctx, tokenNumber(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v, want context.Canceled", err)
	}
}
