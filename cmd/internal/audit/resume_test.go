package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDamage holds that records which were confirmed once and are wrong now are
// told from a torn end: the log goes on, in another file, and verification
// shows the damage for ever.
func TestDamage(t *testing.T) {
	for _, row := range []struct {
		name   string
		damage func(b []byte) []byte
		want   []ProblemKind
		found  RecoveredReason // "": nothing is wrong
		keeps  bool            // the file is left as it is
	}{
		{"none", func(b []byte) []byte { return b }, nil, "", true},
		{"a byte in the middle", func(b []byte) []byte { b[bytes.Index(b, []byte("tsu-1"))] ^= 1; return b }, []ProblemKind{BadHash}, RecoveredDamaged, true},
		{"a line in the middle", func(b []byte) []byte { clear(lineAt(b, 3)); return b }, []ProblemKind{BadLine}, RecoveredDamaged, true},
		{"two lines in the middle", func(b []byte) []byte { clear(lineAt(b, 2)); clear(lineAt(b, 3)); return b }, []ProblemKind{BadLine}, RecoveredDamaged, true},
		{"the header", func(b []byte) []byte { clear(lineAt(b, 0)); return b }, []ProblemKind{BadLine}, RecoveredDamaged, true},
		{"the last but one", func(b []byte) []byte { clear(lineAt(b, 4)); return b }, []ProblemKind{BadLine}, RecoveredDamaged, true},
		{"in the middle and at the end", func(b []byte) []byte { clear(lineAt(b, 2)); return b[:len(b)-3] }, []ProblemKind{BadLine}, RecoveredDamaged, true},
		{"a sector in the middle", func(b []byte) []byte { clear(b[1024:1536]); return b }, []ProblemKind{BadLine}, RecoveredDamaged, true},
		// Whether the last group was torn or damaged later nobody can tell.
		{"the last line", func(b []byte) []byte { clear(lineAt(b, 5)); return b }, nil, RecoveredTorn, false},
		{"the end", func(b []byte) []byte { return b[:len(b)-1] }, nil, RecoveredTorn, false},
		{"zeros after the end", func(b []byte) []byte { return append(b, make([]byte, 4096)...) }, nil, RecoveredTorn, false},
		{"the header of an empty file", func(b []byte) []byte { return b[:100] }, nil, RecoveredTorn, false},
		{"everything", func(b []byte) []byte { return nil }, nil, RecoveredTorn, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, 1)
			l := w.open()
			for l.State().Segments < 2 || l.State().Seq < 17 {
				if err := w.append(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			name := l.State().Segment
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			f := w.disk.names[name]
			before := slices.Clone(row.damage(slices.Clone(f.mem)))
			f.mem = slices.Clone(before)
			for range 2 { // the second start has nothing to mend
				l = w.open()
				if err := w.append(t.Context(), l); err != nil {
					t.Fatal(err)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if kept := w.disk.names[name] != nil && bytes.Equal(w.disk.file(name), before); kept != row.keeps && row.found != "" {
				t.Errorf("the file was kept as it was: %v, want %v", kept, row.keeps)
			}
			r, err := verify(t.Context(), w.disk, VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var got []ProblemKind
			for _, p := range r.Problems {
				got = append(got, p.Kind)
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, row.want) {
				t.Errorf("problems %v, want %v", r.Problems, row.want)
			}
			notes := 0
			err = walk(t.Context(), w.disk, nil, func(e *Entry) error {
				if rec, ok := e.Record.(*Recovered); ok {
					notes++
					if rec.Reason != row.found {
						t.Errorf("recovered: %+v, want %q", rec, row.found)
					}
				}
				return nil
			})
			want := 1
			if row.found == "" {
				want = 0
			}
			if err != nil || notes != want {
				t.Errorf("%d records of what was recovered, %v; want %d", notes, err, want)
			}
		})
	}
}

// lineAt returns the n-th line without its newline.
func lineAt(b []byte, n int) []byte { return bytes.Split(b, []byte("\n"))[n] }

func TestMustExist(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), MustExist: true}
	_, err := Open(cfg)
	var advice interface{ Advice() string }
	if !errors.Is(err, fs.ErrNotExist) || !errors.As(err, &advice) || advice.Advice() == "" {
		t.Errorf("Open: %v, want fs.ErrNotExist with advice", err)
	}
	cfg.MustExist = false
	if err := mustOpen(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	cfg.MustExist = true
	if err := mustOpen(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestConfigRefused(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  Config
	}{
		{"no folder", Config{}},
		{"tiny files", Config{Dir: "x", SegmentSize: 1000}},
		{"negative size", Config{Dir: "x", SegmentSize: -1}},
		{"negative age", Config{Dir: "x", SegmentAge: -1}},
		{"negative retention", Config{Dir: "x", Retention: -1}},
		{"negative time between timestamps", Config{Dir: "x", StampEvery: -1}},
	} {
		if _, err := Open(row.cfg); err == nil || !strings.HasPrefix(err.Error(), "audit: ") {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	for _, row := range []struct {
		name string
		want uint64
	}{
		{"00000001-20260301T000000Z.jsonl", 1},
		{"123456789-20260301T000000Z.jsonl", 123456789},
		{"00000000-20260301T000000Z.jsonl", 0},
		{"0000001-20260301T000000Z.jsonl", 0},
		{"000000001-20260301T000000Z.jsonl", 0},
		{"00000001-20260231T000000Z.jsonl", 0},
		{"00000001-20260301T000000Z.jsonl.1.torn", 0},
		{"00000001-20260301T000000.jsonl", 0},
		{"+0000001-20260301T000000Z.jsonl", 0},
		{"lock", 0},
	} {
		if got, ok := parseName(row.name); got != row.want || ok != (row.want > 0) {
			t.Errorf("%s: %d, %v; want %d", row.name, got, ok, row.want)
		}
	}
}

// TestStaleHeader holds that a header which the disk held before, and which does
// not follow what was confirmed since, does not make it void.
func TestStaleHeader(t *testing.T) {
	for _, row := range []struct {
		name  string
		back  uint64 // how many records before the end the header follows
		why   RecoveredReason
		stale bool
	}{
		{"of a file that was given up at its end", 0, RecoveredFailed, false},
		{"of an earlier attempt", 1, RecoveredFailed, true},
		{"of a much earlier attempt", 3, RecoveredFailed, true},
		{"without a reason", 1, "", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t, 1)
			l := w.open()
			for range 5 {
				if err := w.append(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			var at link
			var when time.Time
			err := walk(t.Context(), w.disk, nil, func(e *Entry) error {
				if e.Seq == l.State().Seq-row.back {
					at, when = link{e.Seq, e.Hash}, e.Time
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var c coder
			if err := encode(&c, &Segment{Segment: 2, Format: 1, PrevSeq: at.n, PrevHash: at.head, Unsealed: row.why}); err != nil {
				t.Fatal(err)
			}
			g := newGroup()
			if err := g.begin(at.n, when); err != nil {
				t.Fatal(err)
			}
			name := segmentName(2, w.clock())
			w.disk.names[name] = &simInode{mem: g.appendLine(nil, c.buf, &at), dirty: map[int]bool{}}
			l = w.open()
			if got := l.State().Segment != name; got != row.stale {
				t.Errorf("the log goes on in %s; the header in %s is stale: %v", l.State().Segment, name, row.stale)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			w.check()
		})
	}
}

// TestStaleFile holds that a file which has the contents of another is not gone
// on from, complete as they are.
func TestStaleFile(t *testing.T) {
	w := newWorld(t, 1)
	l := w.open()
	for range 5 {
		if err := w.append(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	first := l.State().Segment
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := segmentName(2, w.clock())
	w.disk.names[name] = &simInode{mem: w.disk.file(first), dirty: map[int]bool{}}
	l = w.open()
	if got := l.State().Segment; got != first {
		t.Errorf("the log goes on in %s, want %s", got, first)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.check()
}
