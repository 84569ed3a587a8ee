package audit

import (
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// liveFolder is one that a server writes to, or of which somebody holds the
// lock.
type liveFolder struct{ folder }

func (liveFolder) Live() bool { return true }

// newWorn makes a log of several files, the first of which and another were
// given up because the disk failed. The last one has its header alone, or is
// given some more.
func newWorn(t testing.TB, rng *rand.Rand) *library {
	w := newWorld(t, rng.Uint64())
	l := w.open()
	fails := false
	w.disk.fault = func(op string, _ int) error {
		if fails && op == "sync" {
			fails = false
			return syscall.EIO
		}
		return nil
	}
	fill := func(n int, failed bool) {
		for range n {
			if err := w.append(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if fails = failed; failed && w.append(t.Context(), l) == nil {
			t.Fatal("the disk did not fail")
		}
		if err := l.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fill(5, true)
	fill(20, false)
	fill(3, true)
	fill(rng.IntN(3), true)
	fill(rng.IntN(20), rng.IntN(2) == 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, w.disk)
}

// serials are the tokens that a reader is shown.
func serials(t testing.TB, d folder) (list []string) {
	t.Helper()
	err := walk(t.Context(), d, nil, func(e *Entry) error {
		if tok, ok := e.Record.(*Token); ok && e.Chained {
			list = append(list, string(tok.Serial))
		}
		return nil
	})
	if err != nil && len(list) > 0 {
		t.Fatal(err)
	}
	return list
}

// TestVerifyCutUp cuts lines off the ends of files, empties and removes them, as
// somebody does who cannot compute hashes. If that hides tokens, other than the
// last, Verify must say so, and whoever holds the lock.
func TestVerifyCutUp(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		lib := newWorn(t, rng)
		all := serials(t, lib.folder())
		var did []string
		for range 1 + rng.IntN(2) {
			i := rng.IntN(len(lib.names))
			name := lib.names[i]
			switch rng.IntN(4) {
			case 0:
				if len(lib.names) > 1 {
					lib.names = slices.Delete(lib.names, i, i+1)
					did = append(did, "remove "+name)
				}
			case 1:
				lib.lines[name] = nil
				did = append(did, "empty "+name)
			default:
				if n := len(lib.lines[name]); n > 0 {
					lib.lines[name] = lib.lines[name][:rng.IntN(n)]
					did = append(did, "cut "+name)
				}
			}
		}
		d := lib.folder()
		left := serials(t, d)
		if len(left) <= len(all) && slices.Equal(left, all[:len(left)]) {
			continue // what nobody can notice who does not know the head
		}
		for _, f := range []folder{d, liveFolder{d}} {
			r, err := verify(t.Context(), f, VerifyOptions{})
			if err == nil && r.OK() {
				t.Errorf("seed %d, live %v: %s: %d of %d tokens left, and nothing is wrong", seed, f.Live(), strings.Join(did, ", "), len(left), len(all))
			}
		}
	}
}
