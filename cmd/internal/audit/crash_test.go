package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	crashSeeds = flag.Int("crash-seeds", 300, "how many worlds with power cuts to simulate")
	crashFirst = flag.Int("crash-first", 0, "the first of them")
)

// A world is a log on a simulated disk, and what it has confirmed.
type world struct {
	t    testing.TB
	disk *simDisk
	cfg  Config
	seed uint64

	mu    sync.Mutex
	now   time.Time
	next  uint64
	acked map[uint64]*Token
	tried map[uint64]bool
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{
		t: t, seed: seed, disk: newSimDisk(rand.New(rand.NewPCG(seed, 1))),
		now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), acked: map[uint64]*Token{}, tried: map[uint64]bool{},
	}
	w.cfg = Config{Dir: "simulated", SegmentSize: 6000, SegmentAge: time.Hour, Now: w.clock, repairEvery: 1}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(10 * time.Second)
	return w.now
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	text := fmt.Sprintf("seed %d: ", w.seed) + fmt.Sprintf(format, args...)
	if testing.Verbose() {
		text += "\n" + w.disk.String()
	}
	w.t.Fatal(text)
}

// append records another token, and remembers it if the log confirmed it.
func (w *world) append(ctx context.Context, l *Log) error {
	w.mu.Lock()
	w.next++
	n := w.next
	w.tried[n] = true
	w.mu.Unlock()
	tok := tokenNumber(int(n))
	tok.Serial = binary.BigEndian.AppendUint64([]byte{0x40}, n)
	tok.GenTime = tok.GenTime.Add(time.Duration(n) * time.Second)
	tok.Client = strings.Repeat("x", int(n%200))
	err := l.Append(ctx, tok)
	if err == nil {
		w.mu.Lock()
		w.acked[n] = tok
		w.mu.Unlock()
	}
	return err
}

// check holds what the log promises: all that was confirmed is there, unaltered
// and chained, nothing is there twice, and Verify has nothing to say against it.
func (w *world) check() *Report {
	w.t.Helper()
	r, err := verify(w.t.Context(), w.disk, VerifyOptions{})
	if err != nil {
		w.fatalf("verify: %v", err)
	}
	if !r.OK() {
		w.fatalf("verify: %v", r.Problems)
	}
	found := map[uint64]bool{}
	err = walk(w.t.Context(), w.disk, nil, func(e *Entry) error {
		tok, ok := e.Record.(*Token)
		if !ok {
			return nil
		}
		n := binary.BigEndian.Uint64(tok.Serial[1:])
		if !e.Chained || found[n] || !w.tried[n] {
			w.fatalf("token %d: chained %v, there before %v, ever appended %v", n, e.Chained, found[n], w.tried[n])
		}
		found[n] = true
		if want := w.acked[n]; want != nil && !reflect.DeepEqual(tok, want) {
			w.fatalf("token %d: %+v, want %+v", n, tok, want)
		}
		return nil
	})
	if err != nil {
		w.fatalf("walk: %v", err)
	}
	for n := range w.acked {
		if !found[n] {
			w.fatalf("token %d was confirmed and is not there", n)
		}
	}
	return r
}

// open opens the log as a start of the server does, again and again while the
// disk is given to fail.
func (w *world) open() *Log {
	for try := 0; ; try++ {
		if try == 20 {
			w.disk.fault = nil
		}
		l, err := open(w.cfg, w.disk)
		switch {
		case err == nil:
			return l
		case errors.Is(err, errPower):
			w.disk = w.disk.powerOn()
		case w.disk.fault == nil:
			w.fatalf("open: %v", err)
		}
	}
}

// TestPowerCut cuts the power, or kills the process, at any moment, again and
// again, while many append, on disks that may fail as well.
func TestPowerCut(t *testing.T) {
	for seed := uint64(*crashFirst); seed < uint64(*crashFirst+*crashSeeds); seed++ {
		w := newWorld(t, seed)
		rng := rand.New(rand.NewPCG(seed, 2))
		for range 1 + rng.IntN(4) {
			w.disk.fault = nil
			if rng.IntN(3) == 0 {
				w.disk.fault = someFaults(rng)
			}
			w.disk.cutAt = w.disk.ops + 1 + rng.IntN(150)
			l := w.open()
			w.load(l, 1+rng.IntN(8), 1+rng.IntN(20))
			kill := rng.IntN(4) == 0
			w.stop(l, kill)
			w.disk.fault, w.disk.cutAt = nil, 0
			torn := w.torn()
			for range rng.IntN(3) { // nor does every recovery get far
				w.disk.cutAt = w.disk.ops + 1 + rng.IntN(30)
				if l, err := open(w.cfg, w.disk); err == nil {
					w.stop(l, false)
				} else {
					w.disk = w.disk.powerOn()
				}
				if kill { // what the machine had in memory alone is gone
					torn = nil
				}
			}
			w.disk.cutAt = 0
			l = w.open()
			w.reported(torn)
			if err := w.append(t.Context(), l); err != nil {
				w.fatalf("append after the crash: %v", err)
			}
			if err := l.Close(); err != nil {
				w.fatalf("close: %v", err)
			}
			w.check()
		}
	}
}

// load appends from several goroutines until the power goes.
func (w *world) load(l *Log, clients, each int) {
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				err := w.append(w.t.Context(), l)
				if errors.Is(err, errPower) {
					return
				}
				if err != nil && !errors.Is(err, ErrUnavailable) {
					w.t.Errorf("seed %d: append: %v", w.seed, err)
				}
			}
		})
	}
	wg.Wait()
}

// stop ends the process: with the power, or alone, when the machine still has
// in memory what it has not written.
func (w *world) stop(l *Log, kill bool) {
	l.mu.Lock()
	for l.writing {
		l.idle.Wait()
	}
	l.mu.Unlock()
	if kill {
		w.disk.mu.Lock()
		w.disk.off, w.disk.cutAt = false, 0
		w.disk.mu.Unlock()
		return
	}
	w.disk = w.disk.powerOn()
}

// torn returns what is no good at the end of the last file, found in a simpler
// way than the log does: nil where that is nothing.
func (w *world) torn() []byte {
	names, err := w.disk.List()
	if err != nil {
		w.fatalf("list: %v", err)
	}
	segs := segments(names)
	if len(segs) == 0 {
		return nil
	}
	text := w.disk.file(segs[len(segs)-1].name)
	var at link
	good := 0
	for i, l := range bytes.SplitAfter(text, []byte("\n")) {
		var e Entry
		if !bytes.HasSuffix(l, []byte("\n")) || e.parse(bytes.TrimSuffix(l, []byte("\n"))) != nil {
			break
		}
		if h, ok := e.Record.(*Segment); ok && i == 0 {
			at = link{h.PrevSeq, h.PrevHash}
		}
		if !e.follows(at) {
			break
		}
		at = link{e.Seq, e.Hash}
		good += len(l)
	}
	return text[good:]
}

// reported holds that what was torn is on record and was put aside.
func (w *world) reported(torn []byte) {
	w.t.Helper()
	if len(torn) == 0 {
		return
	}
	found := false
	err := walk(w.t.Context(), w.disk, nil, func(e *Entry) error {
		if r, ok := e.Record.(*Recovered); ok && r.Aside != "" && bytes.HasSuffix(w.disk.file(r.Aside), torn) {
			found = true // or more, where stale bytes looked like records
		}
		return nil
	})
	if err != nil || !found {
		w.fatalf("%d torn bytes are not on record (%v): %q", len(torn), err, torn)
	}
}

// someFaults has operations fail now and then, one alone or several in a row.
func someFaults(rng *rand.Rand) func(string, int) error {
	errs := []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT}
	var left int
	var err error
	return func(op string, _ int) error {
		if left > 0 {
			left--
			return err
		}
		if rng.IntN(15) == 0 && op != "list" && op != "read" && op != "size" {
			left, err = rng.IntN(6), errs[rng.IntN(len(errs))]
			return err
		}
		return nil
	}
}

// TestEachOperationFails has one operation after the other fail, once and for a
// while, and cuts the power afterwards.
func TestEachOperationFails(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		len  int
	}{
		{"disk full once", syscall.ENOSPC, 1},
		{"disk full for a while", syscall.ENOSPC, 9},
		{"bad disk once", syscall.EIO, 1},
		{"bad disk for a while", syscall.EIO, 9},
		{"read-only for a while", syscall.EROFS, 5},
	} {
		t.Run(row.name, func(t *testing.T) {
			failed := true
			for at := 1; failed; at++ {
				failed = false
				w := newWorld(t, uint64(at))
				w.disk.fault = func(op string, n int) error {
					if n >= at && n < at+row.len {
						failed = true
						return row.err
					}
					return nil
				}
				l := w.open()
				for range 12 {
					if err := w.append(t.Context(), l); err != nil {
						if !errors.Is(err, ErrUnavailable) || !errors.Is(err, row.err) {
							w.fatalf("operation %d fails: append: %v, want ErrUnavailable and %v", at, err, row.err)
						}
						if got := l.State().Err; got == nil {
							w.fatalf("operation %d fails: the state knows nothing of it", at)
						}
					}
				}
				w.disk.fault = nil
				for range 20 {
					if l.Ready(t.Context()) == nil {
						break
					}
				}
				if err := w.append(t.Context(), l); err != nil {
					w.fatalf("operation %d fails: append after it: %v", at, err)
				}
				w.stop(l, false)
				l = w.open()
				if err := w.append(t.Context(), l); err != nil {
					w.fatalf("operation %d fails: append after the crash: %v", at, err)
				}
				if err := l.Close(); err != nil {
					w.fatalf("close: %v", err)
				}
				w.check()
			}
		})
	}
}

// TestFailedSyncIsNotBelieved holds that a sync that succeeds after one that
// failed confirms nothing: what the first was to write is lost.
func TestFailedSyncIsNotBelieved(t *testing.T) {
	w := newWorld(t, 1)
	l := w.open()
	if err := w.append(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	fails := 1
	w.disk.fault = func(op string, _ int) error {
		if op == "sync" && fails > 0 {
			fails--
			return syscall.EIO
		}
		return nil
	}
	if err := w.append(t.Context(), l); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("append: %v, want ErrUnavailable and EIO", err)
	}
	if err := w.append(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	w.stop(l, false)
	l = w.open()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := w.check()
	if !slices.ContainsFunc(r.Notes, func(p Problem) bool { return p.Kind == WasRecovered && strings.Contains(p.Detail, "failed") }) {
		t.Errorf("notes %v, want one of the failure", r.Notes)
	}
}

// TestRestartWithoutReboot has the process die at each operation in turn, alone
// or because a sync failed, goes on with what the machine has in memory, and
// only then cuts the power: what the first process did not sync must not be
// taken for synced by the second.
func TestRestartWithoutReboot(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
	}{{"dies", nil}, {"dies after an error", syscall.EIO}} {
		t.Run(row.name, func(t *testing.T) {
			died := true
			for at := 1; died; at++ {
				for seed := range uint64(12) {
					w := newWorld(t, uint64(at)<<8|seed)
					w.cfg.SegmentSize = 3000
					w.disk.cutAt = at
					if row.err != nil {
						w.disk.cutAt = at + 1
						w.disk.fault = func(_ string, n int) error {
							if n == at {
								return row.err
							}
							return nil
						}
					}
					if l, err := open(w.cfg, w.disk); err == nil {
						w.load(l, 1, 12)
						w.stop(l, true)
					}
					died = w.disk.ops >= at
					w.disk.fault, w.disk.cutAt, w.disk.off = nil, 0, false
					l := w.open()
					for range 3 {
						if err := w.append(t.Context(), l); err != nil {
							w.fatalf("operation %d: append: %v", at, err)
						}
					}
					w.stop(l, false)
					if err := w.open().Close(); err != nil {
						w.fatalf("operation %d: close: %v", at, err)
					}
					w.check()
				}
			}
		})
	}
}
