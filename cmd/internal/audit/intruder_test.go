package audit

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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

// forge appends records to the log, as anybody can who can write to the folder.
func (lib *library) forge(t testing.TB, recs ...Record) {
	t.Helper()
	name := lib.names[len(lib.names)-1]
	lines := lib.lines[name]
	last := lib.parse(t, lines[len(lines)-1])
	at, g := link{last.Seq, last.Hash}, newGroup()
	if err := g.begin(at.n, last.Time); err != nil {
		t.Fatal(err)
	}
	for _, rec := range recs {
		var c coder
		if err := encode(&c, rec); err != nil {
			t.Fatal(err)
		}
		lib.lines[name] = append(lib.lines[name], strings.TrimSuffix(string(g.appendLine(nil, c.buf, &at)), "\n"))
	}
}

// removedRecord is what the log would write of a file that retention removes.
func (lib *library) removedRecord(t testing.TB, name string) *Removed {
	number, _ := parseName(name)
	first, last := lib.parse(t, lib.lines[name][0]), lib.parse(t, lib.lines[name][len(lib.lines[name])-1])
	return &Removed{Segment: number, Name: name, First: first.Seq, Last: last.Seq, Head: last.Hash}
}

// TestVerifyForgedRemoval holds that a record which says that a file was removed
// explains no more than what the log itself removes: the oldest files.
func TestVerifyForgedRemoval(t *testing.T) {
	for _, row := range []struct {
		name  string
		forge func(t *testing.T, lib *library) (noted []Hash)
		want  ProblemKind // "": nothing is wrong
	}{
		{"the oldest files", func(t *testing.T, lib *library) []Hash {
			lib.forge(t, lib.removedRecord(t, lib.names[0]), lib.removedRecord(t, lib.names[1]))
			lib.names = lib.names[2:]
			return nil
		}, ""},
		{"a file in the middle", func(t *testing.T, lib *library) []Hash {
			lib.forge(t, lib.removedRecord(t, lib.names[1]))
			lib.names = slices.Delete(lib.names, 1, 2)
			return nil
		}, MissingFile},
		{"the oldest, with another end", func(t *testing.T, lib *library) []Hash {
			r := lib.removedRecord(t, lib.names[0])
			r.Head[0] ^= 1
			lib.forge(t, r)
			lib.names = lib.names[1:]
			return nil
		}, MissingFile},
		{"none, the end cut off, and what the auditor noted told of one", func(t *testing.T, lib *library) []Hash {
			noted := lib.heads[len(lib.heads)-1]
			name := lib.names[len(lib.names)-1]
			lib.lines[name] = lib.lines[name][:len(lib.lines[name])-1]
			lib.forge(t, &Removed{Segment: 1000, Name: "x", First: 1, Last: 2, Head: noted})
			return []Hash{noted}
		}, MissingHash},
		{"all, and what the auditor noted told of the last", func(t *testing.T, lib *library) []Hash {
			noted := lib.heads[len(lib.heads)-1]
			*lib = *lib.anew(t, lib.names[len(lib.names)-1])
			return []Hash{noted}
		}, MissingHash},
	} {
		t.Run(row.name, func(t *testing.T) {
			lib := newLibrary(t)
			noted := row.forge(t, lib)
			r, err := verify(t.Context(), lib.folder(), VerifyOptions{Contains: noted})
			if err != nil {
				t.Fatal(err)
			}
			if row.want == "" {
				checkReport(t, r, err)
			} else if r.ProblemCount != 1 || r.Problems[0].Kind != row.want {
				t.Errorf("problems %v, want %s", r.Problems, row.want)
			}
		})
	}
}

// TestVerifyStampsAgain holds that a timestamp proves no more than what is under
// it: not when it is put in a second time, nor when what it is over is gone.
func TestVerifyStampsAgain(t *testing.T) {
	early, late := time.Date(2026, 3, 1, 1, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	lib := newLibrary(t)
	name, i := lib.find(KindStamp, 0)
	first := lib.parse(t, lib.lines[name][i]).Record.(*Stamp)
	opts := VerifyOptions{CheckStamp: func(ctx context.Context, digest, token []byte) (time.Time, error) {
		if _, err := checkTestStamp(ctx, digest, token); err != nil {
			return time.Time{}, err
		}
		if Hash(digest) == first.Head {
			return early, nil
		}
		return late, nil
	}}
	whole, err := verify(t.Context(), lib.folder(), opts)
	checkReport(t, whole, err)
	if whole.StampedTime != late || whole.StampedSeq != whole.LastSeq-1 || !whole.UnstampedSince.IsZero() {
		t.Errorf("timestamp over record %d at %v, records wait since %v", whole.StampedSeq, whole.StampedTime, whole.UnstampedSince)
	}

	lib.forge(t, first)
	r, err := verify(t.Context(), lib.folder(), opts)
	checkReport(t, r, err)
	if r.StampedTime != late || r.StampedSeq != whole.StampedSeq {
		t.Errorf("with the first timestamp again: over record %d at %v, want %d at %v", r.StampedSeq, r.StampedTime, whole.StampedSeq, late)
	}

	// An intruder takes out all timestamps but the first, which does not hide that
	// what follows waits for one since then.
	lib = newLibrary(t)
	name, i = lib.find(KindStamp, 0)
	next := lib.parse(t, lib.lines[name][i+1])
	for _, name := range lib.names {
		if n, at := lib.find(KindStamp, 1); n == name {
			lib.lines[name] = lib.lines[name][:at]
			lib.names = lib.names[:slices.Index(lib.names, name)+1]
			break
		}
	}
	lib.forge(t, first, first)
	r, err = verify(t.Context(), lib.folder(), opts)
	checkReport(t, r, err)
	if r.StampedSeq != first.Seq || r.UnstampedSince != next.Time {
		t.Errorf("without later timestamps: over record %d, records wait since %v; want %d and %v", r.StampedSeq, r.UnstampedSince, first.Seq, next.Time)
	}

	// What it is over is not there any more.
	lib = newLibrary(t)
	lib = lib.anew(t, lib.names[len(lib.names)-1])
	lib.forge(t, first)
	r, err = verify(t.Context(), lib.folder(), opts)
	checkReport(t, r, err)
	if r.Stamps != 1 || r.StampedSeq != 0 || !r.StampedTime.IsZero() {
		t.Errorf("a timestamp over what was removed: over record %d at %v", r.StampedSeq, r.StampedTime)
	}
}

// anew returns a log that says that it follows the one that it is to replace,
// all of which was removed.
func (lib *library) anew(t testing.TB, last string) *library {
	t.Helper()
	r := lib.removedRecord(t, last)
	began := lib.parse(t, lib.lines[last][0]).Time
	at, g := link{r.Last, r.Head}, newGroup()
	if err := g.begin(at.n, began); err != nil {
		t.Fatal(err)
	}
	var c coder
	if err := encode(&c, &Segment{Segment: r.Segment + 1, Format: format, PrevSeq: at.n, PrevHash: at.head}); err != nil {
		t.Fatal(err)
	}
	name := segmentName(r.Segment+1, began)
	other := &library{names: []string{name}, lines: map[string][]string{
		name: {strings.TrimSuffix(string(g.appendLine(nil, c.buf, &at)), "\n")},
	}}
	other.forge(t, r)
	return other
}

// TestVerifySealSpan holds that a seal cannot keep Find from reading a file.
func TestVerifySealSpan(t *testing.T) {
	for _, row := range []struct {
		name  string
		alter func(s *Seal)
		want  []ProblemKind
	}{
		{"as it is", func(*Seal) {}, nil},
		{"later", func(s *Seal) { s.Earliest = s.Latest }, []ProblemKind{BadEnd}},
		{"earlier", func(s *Seal) { s.Latest = s.Earliest }, []ProblemKind{BadEnd}},
		{"longer, which hides nothing", func(s *Seal) { s.Latest = s.Latest.Add(time.Hour) }, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			lib := newLibrary(t)
			name, i := lib.find(KindSeal, 0)
			seal := lib.parse(t, lib.lines[name][i]).Record.(*Seal)
			row.alter(seal)
			lib.names = lib.names[:1]
			lib.lines[name] = lib.lines[name][:i]
			lib.forge(t, seal)
			r, err := verify(t.Context(), lib.folder(), VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []ProblemKind
			for _, p := range r.Problems {
				got = append(got, p.Kind)
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("problems %v, want %v", r.Problems, row.want)
			}
		})
	}
}

// TestVerifyAside holds that what was put aside is compared with the record of
// it: an end that somebody damaged, to have it taken for torn, is in there.
func TestVerifyAside(t *testing.T) {
	for _, row := range []struct {
		name   string
		tamper func(d *simDisk, aside string)
		want   ProblemKind // "": nothing is wrong
		note   string
	}{
		{"left as it is", func(*simDisk, string) {}, "", ""},
		{"altered", func(d *simDisk, aside string) { d.names[aside].mem[0] ^= 1 }, BadAside, ""},
		{"longer", func(d *simDisk, aside string) { d.names[aside].mem = append(d.names[aside].mem, 'x') }, BadAside, ""},
		{"empty", func(d *simDisk, aside string) { d.names[aside].mem = nil }, BadAside, ""},
		{"gone", func(d *simDisk, aside string) { delete(d.names, aside) }, "", "is gone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			lib := newLibrary(t)
			last := lib.names[len(lib.names)-1]
			lib.tails[last] = `{"n":9`
			d := lib.folder()
			cfg := Config{Dir: "simulated"}
			l, err := open(cfg, d)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			row.tamper(d, last+".1"+asideSuffix)
			r, err := verify(t.Context(), d, VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if notes := notes(r, WasRecovered); len(notes) != 1 || !strings.Contains(notes[0].Detail, row.note) {
				t.Errorf("notes %v, want one with %q", notes, row.note)
			}
			if row.want == "" {
				checkReport(t, r, err)
			} else if r.ProblemCount != 1 || r.Problems[0].Kind != row.want {
				t.Errorf("problems %v, want %s", r.Problems, row.want)
			}
		})
	}
}

// TestVerifyVoid holds that records which were confirmed cannot be declared void
// by a file that is added.
func TestVerifyVoid(t *testing.T) {
	for _, row := range []struct {
		name string
		back int // how many records are to be void
		want int // how many problems that is
	}{
		{"none", 0, 0},
		{"the last group, of which nobody can tell", 1, 0},
		{"two", 2, 1},
		{"five", 5, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			lib := newLibrary(t)
			last := lib.names[len(lib.names)-1]
			end := lib.parse(t, lib.lines[last][len(lib.lines[last])-1-row.back])
			at, g := link{end.Seq, end.Hash}, newGroup()
			if err := g.begin(at.n, end.Time); err != nil {
				t.Fatal(err)
			}
			number := uint64(len(lib.names) + 1)
			var c coder
			if err := encode(&c, &Segment{Segment: number, Format: format, PrevSeq: at.n, PrevHash: at.head, Unsealed: RecoveredFailed}); err != nil {
				t.Fatal(err)
			}
			name := segmentName(number, end.Time)
			lib.names = append(lib.names, name)
			lib.lines[name] = []string{strings.TrimSuffix(string(g.appendLine(nil, c.buf, &at)), "\n")}
			r, err := verify(t.Context(), lib.folder(), VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if int(r.ProblemCount) != row.want || row.want > 0 && r.Problems[0].Kind != BadEnd {
				t.Errorf("problems %v, want %d", r.Problems, row.want)
			}
		})
	}
}

// notes are those of a kind.
func notes(r *Report, kind ProblemKind) []Problem {
	return slices.DeleteFunc(slices.Clone(r.Notes), func(p Problem) bool { return p.Kind != kind })
}

// TestVerifyTokenTime holds that a token which was put on record long after it
// says it was issued is noticed.
func TestVerifyTokenTime(t *testing.T) {
	d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l, err := open(Config{Dir: "simulated", Now: func() time.Time { return now }}, d)
	if err != nil {
		t.Fatal(err)
	}
	for i, late := range []time.Duration{0, time.Second, maxLate, 24 * time.Hour, 25 * time.Hour, 0, -time.Hour} {
		tok := tokenNumber(i)
		tok.GenTime = now.Add(-late)
		mustAppend(t, l, tok)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := verify(t.Context(), d, VerifyOptions{})
	checkReport(t, r, err)
	var got []uint64
	for _, p := range notes(r, TokenTime) {
		got = append(got, p.Seq)
	}
	if want := []uint64{5, 8}; !slices.Equal(got, want) {
		t.Errorf("noted records %d, want %d", got, want)
	}
}
