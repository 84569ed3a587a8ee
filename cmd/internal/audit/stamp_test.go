package audit

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// running opens a log on a simulated disk and runs it until the test ends.
func running(t *testing.T, cfg Config, d *simDisk) *Log {
	t.Helper()
	cfg.Dir, cfg.repairEvery = "simulated", 1
	l, err := open(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

func mustAppend(t testing.TB, l *Log, recs ...Record) {
	t.Helper()
	for _, rec := range recs {
		if err := l.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStampByOwnAuthority has the log timestamped by the authority whose tokens
// it records. It must neither block nor go on for ever when nothing happens.
func TestStampByOwnAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
		var l *Log
		stamps := 0
		l = running(t, Config{Stamp: func(ctx context.Context, digest []byte) ([]byte, error) {
			stamps++
			if got := l.State().Head; string(digest) != string(got[:]) {
				t.Errorf("stamp over %x, want %v", digest, got)
			}
			own := tokenNumber(1000 + stamps)
			own.TokenSHA256 = sha256.Sum256(testStamp(Hash(digest)))
			return testStamp(Hash(digest)), l.Append(ctx, own)
		}}, d)
		mustAppend(t, l, tokenNumber(1))
		time.Sleep(10*time.Hour + time.Minute)
		synctest.Wait()
		if stamps != 1 {
			t.Errorf("%d timestamps, want 1: nothing happened but for that", stamps)
		}
		mustAppend(t, l, tokenNumber(2))
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := l.State(); stamps != 2 || s.StampErr != nil || s.Stamped != 5 {
			t.Errorf("%d timestamps, the last over record %d, %v; want 2, over record 5", stamps, s.Stamped, s.StampErr)
		}
		r, err := verify(t.Context(), d, VerifyOptions{CheckStamp: checkTestStamp})
		checkReport(t, r, err)
		if r.Stamps != 2 || r.StampedSeq != 5 {
			t.Errorf("%d timestamps, the last over record %d; want 2, over record 5", r.Stamps, r.StampedSeq)
		}
	})
}

func TestStampAgain(t *testing.T) {
	d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
	broken := errors.New("no answer")
	fail := true
	asked := 0
	cfg := Config{SegmentSize: 4000, Stamp: func(_ context.Context, digest []byte) ([]byte, error) {
		asked++
		if fail {
			return nil, broken
		}
		return testStamp(Hash(digest)), nil
	}}
	synctest.Test(t, func(t *testing.T) {
		l := running(t, cfg, d)
		for i := range 20 {
			mustAppend(t, l, tokenNumber(i))
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		s := l.State()
		if !errors.Is(s.StampErr, broken) || s.Unstamped != s.Segments-1 || s.Unstamped < 3 {
			t.Errorf("%d of %d files without a timestamp, %v", s.Unstamped, s.Segments, s.StampErr)
		}
		if asked < 10 || asked > 30 {
			t.Errorf("asked %d times in two hours", asked)
		}
	})
	fail, asked = false, 0
	synctest.Test(t, func(t *testing.T) { // after a restart
		l := running(t, cfg, d)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := l.State(); asked != 1 || s.Unstamped != 0 || s.StampErr != nil {
			t.Errorf("asked %d times, %d files without a timestamp, %v; want one for all", asked, s.Unstamped, s.StampErr)
		}
		// A file that is sealed does not wait for the hour.
		before := l.State().Segments
		for l.State().Segments == before {
			mustAppend(t, l, tokenNumber(asked))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s := l.State(); s.Unstamped != 0 {
			t.Errorf("%d files without a timestamp a second later", s.Unstamped)
		}
	})
}

// Where nobody is to stamp it, nothing waits: who watches the number would be called for ever.
func TestStampOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := running(t, Config{SegmentSize: 4000}, newSimDisk(rand.New(rand.NewPCG(1, 1))))
		for i := range 20 {
			mustAppend(t, l, tokenNumber(i))
		}
		if s := l.State(); s.Segments < 3 || s.Unstamped != 0 {
			t.Errorf("%d of %d files wait for a timestamp, want none of several", s.Unstamped, s.Segments)
		}
	})
}

// TestStampOfRestarts holds that a server which never runs for as long as it may
// take to a timestamp is timestamped all the same.
func TestStampOfRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
		for i := range 10 {
			l, err := open(Config{Dir: "simulated", Stamp: func(_ context.Context, digest []byte) ([]byte, error) {
				return testStamp(Hash(digest)), nil
			}}, d)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- l.Run(ctx) }()
			mustAppend(t, l, tokenNumber(i))
			time.Sleep(DefaultStampEvery - time.Minute)
			cancel()
			if err := errors.Join(<-done, l.Close()); err != nil {
				t.Fatal(err)
			}
		}
		r, err := verify(t.Context(), d, VerifyOptions{})
		checkReport(t, r, err)
		if r.Stamps != 10 || r.StampWait > DefaultStampEvery {
			t.Errorf("%d timestamps, a record waited for %v; want 10, and at most %v", r.Stamps, r.StampWait, DefaultStampEvery)
		}
	})
}

func TestStampTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{0, MaxStamp, MaxStamp + 1} {
			l := running(t, Config{Stamp: func(context.Context, []byte) ([]byte, error) { return make([]byte, size), nil }},
				newSimDisk(rand.New(rand.NewPCG(1, 1))))
			mustAppend(t, l, tokenNumber(1))
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if got, want := l.State().StampErr == nil, size == MaxStamp; got != want {
				t.Errorf("a token of %d bytes: %v", size, l.State().StampErr)
			}
		}
	})
}

func TestRetention(t *testing.T) {
	for _, row := range []struct {
		name    string
		cfg     Config
		removed bool
	}{
		{"everything is kept", Config{}, false},
		{"a day", Config{Retention: 24 * time.Hour}, true},
		{"a day, under timestamps", Config{Retention: 24 * time.Hour, Stamp: func(_ context.Context, digest []byte) ([]byte, error) {
			return testStamp(Hash(digest)), nil
		}}, true},
		{"a day, but no timestamps are had", Config{Retention: 24 * time.Hour, Stamp: func(context.Context, []byte) ([]byte, error) {
			return nil, errors.New("no answer")
		}}, false},
		{"a day, but nobody knows the time", Config{Retention: 24 * time.Hour, RetentionClock: func(context.Context) (time.Time, error) {
			return time.Time{}, errors.New("time unknown")
		}}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
				row.cfg.SegmentAge = 6 * time.Hour
				l := running(t, row.cfg, d)
				for i := range 100 {
					mustAppend(t, l, tokenNumber(i))
					time.Sleep(time.Hour)
					synctest.Wait()
				}
				names, err := d.List()
				if err != nil {
					t.Fatal(err)
				}
				segs := segments(names)
				if got := segs[0].number > 1; got != row.removed {
					t.Errorf("the first file is %s, removed: want %v", segs[0].name, row.removed)
				}
				if got := l.State().Segments; got != len(segs) {
					t.Errorf("%d files in the state, %d in the folder", got, len(segs))
				}
				// What is younger is all there.
				young := 0
				err = find(t.Context(), d, Query{Kind: KindToken}, func(e *Entry) error {
					if time.Since(e.Time) < 24*time.Hour {
						young++
					}
					return nil
				})
				if err != nil || young != 23 {
					t.Errorf("%d tokens of the last day, %v; want 23", young, err)
				}
				if row.removed && len(segs) > 8 {
					t.Errorf("%d files of six hours for a day", len(segs))
				}
				r, err := verify(t.Context(), d, VerifyOptions{})
				checkReport(t, r, err)
				if row.cfg.RetentionClock != nil && l.State().RetainErr == nil {
					t.Error("the state does not say that the time is unknown")
				}
				// Removed by hand, it is missed.
				d.mu.Lock()
				delete(d.names, segs[0].name)
				if row.removed {
					delete(d.names, segs[1].name)
				}
				d.mu.Unlock()
				r, err = verify(t.Context(), d, VerifyOptions{})
				if err != nil || !slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Kind == MissingFile }) {
					t.Errorf("a file removed by hand: %v, %v", r.Problems, err)
				}
			})
		})
	}
}

// TestRetentionStops holds that a file whose age nobody can tell is not passed
// over, and that this is said.
func TestRetentionStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lib := newLibrary(t)
		lib.lines[lib.names[0]][0] = "x"
		d := lib.folder()
		l := running(t, Config{Retention: time.Hour, Now: func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }}, d)
		synctest.Wait()
		if s := l.State(); s.RetainErr == nil || s.Segments != len(lib.names) {
			t.Errorf("%d of %d files, %v; want all, and why", s.Segments, len(lib.names), s.RetainErr)
		}
	})
}
