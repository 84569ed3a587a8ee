package audit

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// hungDisk is a disk whose syncs do not return until it is told.
type hungDisk struct {
	*simDisk
	mu   sync.Mutex
	wait chan struct{} // nil: it works
}

func (d *hungDisk) Create(name string) (file, error) {
	f, err := d.simDisk.Create(name)
	return hungFile{f, d}, err
}

type hungFile struct {
	file
	d *hungDisk
}

func (f hungFile) Sync() error {
	f.d.mu.Lock()
	wait := f.d.wait
	f.d.mu.Unlock()
	if wait != nil {
		<-wait
	}
	return f.file.Sync()
}

// TestHungDisk holds that nobody waits for a disk longer than his context
// lasts, that what waits is bounded, and that it is written in groups once the
// disk answers.
func TestHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &hungDisk{simDisk: newSimDisk(rand.New(rand.NewPCG(1, 1)))}
		var groups []Written
		l, err := open(Config{Dir: "simulated", Observe: func(w Written) { groups = append(groups, w) }}, d)
		if err != nil {
			t.Fatal(err)
		}
		d.wait = make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const clients = 1000 // with 2.5 kB each: more than two groups
		var wg sync.WaitGroup
		var patient, impatient atomic.Int64
		for i := range clients {
			wg.Go(func() {
				big := tokenNumber(i)
				big.Client, big.Request = strings.Repeat("x", MaxText), strings.Repeat("y", MaxText)
				c := t.Context()
				if i%2 == 0 {
					c = ctx
				}
				switch err := l.Append(c, big); {
				case err == nil:
					patient.Add(1)
				case errors.Is(err, context.DeadlineExceeded):
					impatient.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		l.mu.Lock()
		waiting, bytes := l.state.Waiting+l.batch.len(), len(l.batch.bodies)
		l.mu.Unlock()
		if waiting >= clients || bytes > maxGroup {
			t.Errorf("%d records wait, %d bytes in the next group; at most %d should", waiting, bytes, maxGroup)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := impatient.Load(); got != clients/2 {
			t.Errorf("%d gave up, want %d", got, clients/2)
		}
		d.mu.Lock()
		close(d.wait)
		d.wait = nil
		d.mu.Unlock()
		wg.Wait()
		if got := patient.Load(); got != clients/2 {
			t.Errorf("%d were confirmed, want %d", got, clients/2)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		records, bytes := 0, 0
		for _, g := range groups {
			records += g.Records
			bytes += g.Bytes
			if g.Err != nil || g.Bytes == 0 {
				t.Errorf("group %+v", g)
			}
		}
		s := l.State()
		if len(groups) > 6 || uint64(records) != s.Records || uint64(bytes) != s.Written || s.Syncs != uint64(len(groups)) {
			t.Errorf("%d groups of %d records and %d bytes; the state says %+v", len(groups), records, bytes, s)
		}
		r, err := verify(t.Context(), d.simDisk, VerifyOptions{})
		checkReport(t, r, err)
	})
}

// TestHungDiskIsSaid holds that a disk which neither answers nor fails is told
// of, that nobody begins to wait for it, and that a process can end.
func TestHungDiskIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &hungDisk{simDisk: newSimDisk(rand.New(rand.NewPCG(1, 1)))}
		l, err := open(Config{Dir: "simulated"}, d)
		if err != nil {
			t.Fatal(err)
		}
		hang := make(chan struct{})
		d.wait = hang
		first := make(chan error, 1)
		go func() { first <- l.Append(t.Context(), tokenNumber(1)) }()
		time.Sleep(hungAfter - time.Millisecond)
		if err := errors.Join(l.Ready(t.Context()), l.State().Err); err != nil {
			t.Errorf("before %v: %v", hungAfter, err)
		}
		time.Sleep(time.Millisecond)
		before := time.Now()
		for name, err := range map[string]error{
			"Ready": l.Ready(t.Context()), "State": l.State().Err, "Append": l.Append(t.Context(), tokenNumber(2)),
		} {
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errHung) {
				t.Errorf("%s: %v, want ErrUnavailable", name, err)
			}
		}
		if took := time.Since(before); took > 0 {
			t.Errorf("asking took %v", took)
		}
		close(hang)
		d.mu.Lock()
		d.wait = nil
		d.mu.Unlock()
		if err := <-first; err != nil {
			t.Errorf("who waited: %v", err)
		}
		synctest.Wait()
		if err := errors.Join(l.Ready(t.Context()), l.State().Err); err != nil {
			t.Errorf("when it answers again: %v", err)
		}

		hang = make(chan struct{})
		d.mu.Lock()
		d.wait = hang
		d.mu.Unlock()
		go func() { first <- l.Append(t.Context(), tokenNumber(3)) }()
		synctest.Wait()
		before = time.Now()
		if err := l.Close(); !errors.Is(err, errHung) || time.Since(before) != hungAfter {
			t.Errorf("Close: %v after %v, want that the disk hangs", err, time.Since(before))
		}
		close(hang)
		if err := <-first; err != nil {
			t.Errorf("who waited: %v", err)
		}
	})
}

// TestAppendAllocations holds that a record costs little beside the disk.
func TestAppendAllocations(t *testing.T) {
	l := mustOpen(t, Config{Dir: t.TempDir()})
	defer l.Close()
	tok := tokenNumber(1)
	got := testing.AllocsPerRun(100, func() {
		if err := l.Append(t.Context(), tok); err != nil {
			t.Fatal(err)
		}
	})
	if got > 10 { // the batch of one, its channels and its goroutine
		t.Errorf("%v allocations, want at most 10", got)
	}
}
