package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// checkReport fails if a log is not in order.
func checkReport(t testing.TB, r *Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	for _, p := range r.Problems {
		t.Errorf("Verify: %v", p)
	}
}

func TestVerifyInOrder(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	for i := range 10 {
		if err := l.Append(t.Context(), tokenNumber(i)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Verify(t.Context(), dir, VerifyOptions{})
	checkReport(t, r, err)
	if !r.Live || r.Tokens != 10 || r.Records != 11 || r.Head != l.State().Head {
		t.Errorf("report of a live log: %+v", r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err = Verify(t.Context(), dir, VerifyOptions{Contains: []Hash{r.Head}})
	checkReport(t, r, err)
	if r.Live {
		t.Error("a closed log is said to be live")
	}
	if _, err := Verify(t.Context(), t.TempDir(), VerifyOptions{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Verify of an empty folder: %v, want fs.ErrNotExist", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, dir, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v, want context.Canceled", err)
	}
}

// A library is a log of some files in memory, to be tampered with.
type library struct {
	names []string
	lines map[string][]string // without newlines
	tails map[string]string   // after the last newline
	heads []Hash              // of all records
}

// newLibrary makes a log of 40 tokens in several files, with a timestamp after
// each tenth.
func newLibrary(t testing.TB) *library {
	w := newWorld(t, 1)
	l := w.open()
	for i := range 40 {
		if err := w.append(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if i%10 != 9 {
			continue
		}
		s := l.State()
		if err := l.append(t.Context(), &Stamp{Seq: s.Seq, Head: s.Head, Token: testStamp(s.Head)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, w.disk)
}

// read returns the log on a disk.
func read(t testing.TB, d *simDisk) *library {
	lib := &library{lines: map[string][]string{}, tails: map[string]string{}}
	for _, s := range segments(slices.Collect(maps.Keys(d.names))) {
		lib.names = append(lib.names, s.name)
		text := strings.TrimSuffix(string(d.file(s.name)), "\n")
		lib.lines[s.name] = strings.Split(text, "\n")
		for _, raw := range lib.lines[s.name] {
			lib.heads = append(lib.heads, lib.parse(t, raw).Hash)
		}
	}
	return lib
}

// testStamp stands for a token; checkTestStamp takes it.
func testStamp(head Hash) []byte { return append([]byte("stamp over "), head[:]...) }

func checkTestStamp(_ context.Context, digest, token []byte) (time.Time, error) {
	if !bytes.Equal(token, testStamp(Hash(digest))) {
		return time.Time{}, errors.New("not a timestamp over that")
	}
	return time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC), nil
}

func (lib *library) parse(t testing.TB, raw string) *Entry {
	t.Helper()
	var e Entry
	if err := e.parse([]byte(raw)); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return &e
}

// folder returns the library as a folder.
func (lib *library) folder() *simDisk {
	d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
	for _, name := range lib.names {
		text := strings.Join(lib.lines[name], "\n")
		if text != "" {
			text += "\n"
		}
		d.names[name] = &simInode{mem: []byte(text + lib.tails[name]), dirty: map[int]bool{}}
	}
	return d
}

// find returns the file and the index of the n-th line of a kind.
func (lib *library) find(kind Kind, n int) (string, int) {
	for _, name := range lib.names {
		for i, raw := range lib.lines[name] {
			if strings.Contains(raw, `"kind":"`+string(kind)+`"`) {
				if n--; n < 0 {
					return name, i
				}
			}
		}
	}
	return "", 0
}

// rechain computes the hashes anew from a line on, to the end of its file or of
// all, as an intruder would.
func (lib *library) rechain(t testing.TB, from string, line int, all bool) {
	g := newGroup()
	var at link
	started := false
	for _, name := range lib.names {
		for i, raw := range lib.lines[name] {
			if name == from && i == line {
				started = true
			}
			if !started || name != from && !all {
				at = link{lib.parse(t, raw).Seq, lib.parse(t, raw).Hash}
				continue
			}
			body := raw[:len(raw)-tailLen]
			if i == 0 { // the header says what it follows
				h := lib.parse(t, raw).Record.(*Segment)
				was := h.PrevHash.String()
				body = strings.Replace(body, was, at.head.String(), 1)
			}
			g.digest.Reset()
			g.digest.Write(at.head[:])
			g.digest.Write([]byte(body))
			at.head = Hash(g.digest.Sum(nil))
			lib.lines[name][i] = body + `,"hash":"` + at.head.String() + `"}`
		}
	}
}

func TestVerifyTampered(t *testing.T) {
	alter := func(lib *library) (string, int) {
		name, i := lib.find(KindToken, 5)
		lib.lines[name][i] = strings.Replace(lib.lines[name][i], `"tsu-1"`, `"tsu-2"`, 1)
		return name, i
	}
	for _, row := range []struct {
		name   string
		tamper func(t *testing.T, lib *library)
		opts   VerifyOptions
		want   []ProblemKind // in their order, each once
	}{
		{"nothing", func(*testing.T, *library) {}, VerifyOptions{}, nil},
		{"a record altered", func(_ *testing.T, lib *library) { alter(lib) }, VerifyOptions{}, []ProblemKind{BadHash}},
		{"and its hash computed anew", func(t *testing.T, lib *library) {
			name, i := alter(lib)
			keep := slices.Clone(lib.lines[name])
			lib.rechain(t, name, i, false)
			copy(lib.lines[name][i+1:], keep[i+1:])
		}, VerifyOptions{}, []ProblemKind{BadHash}},
		{"and all hashes in the file", func(t *testing.T, lib *library) {
			name, i := alter(lib)
			lib.rechain(t, name, i, false)
		}, VerifyOptions{}, []ProblemKind{BadJoin}},
		{"and all hashes to the end", func(t *testing.T, lib *library) {
			name, i := alter(lib)
			lib.rechain(t, name, i, true)
		}, VerifyOptions{}, []ProblemKind{BadStamp}},
		{"and the timestamps too, without the authority", func(t *testing.T, lib *library) {
			name, i := alter(lib)
			lib.rechain(t, name, i, true)
			forgeStamps(t, lib)
		}, VerifyOptions{CheckStamp: checkTestStamp}, []ProblemKind{BadStamp}},
		{"a record removed", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			lib.lines[name] = slices.Delete(lib.lines[name], i, i+1)
		}, VerifyOptions{}, []ProblemKind{BadNumber, BadEnd}},
		{"two records swapped", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			l := lib.lines[name]
			l[i], l[i+1] = l[i+1], l[i]
		}, VerifyOptions{}, []ProblemKind{BadNumber}},
		{"a record twice", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			lib.lines[name] = slices.Insert(lib.lines[name], i, lib.lines[name][i])
		}, VerifyOptions{}, []ProblemKind{BadNumber, SerialTwice, BadEnd}},
		{"something put in", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			lib.lines[name] = slices.Insert(lib.lines[name], i, "# nothing")
		}, VerifyOptions{}, []ProblemKind{BadLine}},
		{"white space put in", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			lib.lines[name][i] = strings.Replace(lib.lines[name][i], `,`, `, `, 1)
		}, VerifyOptions{}, []ProblemKind{BadLine, BadEnd}},
		{"a very long line", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			lib.lines[name] = slices.Insert(lib.lines[name], i, strings.Repeat("x", 5*MaxLine))
		}, VerifyOptions{}, []ProblemKind{BadLine}},
		{"zeros in the middle", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindToken, 5)
			lib.lines[name][i] = strings.Repeat("\x00", len(lib.lines[name][i]))
		}, VerifyOptions{}, []ProblemKind{BadLine, BadEnd}},
		{"zeros in the last file", func(_ *testing.T, lib *library) {
			name := lib.names[len(lib.names)-1]
			lib.lines[name][1] = strings.Repeat("\x00", len(lib.lines[name][1]))
		}, VerifyOptions{}, []ProblemKind{BadLine}},
		{"the first file removed", func(_ *testing.T, lib *library) { lib.names = lib.names[1:] }, VerifyOptions{}, []ProblemKind{MissingFile}},
		{"a file in the middle removed", func(_ *testing.T, lib *library) { lib.names = slices.Delete(lib.names, 1, 3) }, VerifyOptions{}, []ProblemKind{MissingFile}},
		{"the last file removed", func(_ *testing.T, lib *library) { lib.names = lib.names[:len(lib.names)-1] }, VerifyOptions{}, nil},
		{"a file given another number", func(_ *testing.T, lib *library) {
			old := lib.names[2]
			lib.names[2] = strings.Replace(old, "3", "9", 1)
			lib.lines[lib.names[2]] = lib.lines[old]
		}, VerifyOptions{}, []ProblemKind{BadEnd, BadHeader, TornEnd, MissingFile}},
		{"a file twice", func(_ *testing.T, lib *library) {
			again := strings.Replace(lib.names[1], "2026", "2027", 1)
			lib.names = append(lib.names, again)
			lib.lines[again] = lib.lines[lib.names[1]]
		}, VerifyOptions{}, []ProblemKind{BadHeader, BadJoin, SerialTwice}},
		{"a seal removed", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindSeal, 0)
			lib.lines[name] = lib.lines[name][:i]
		}, VerifyOptions{}, []ProblemKind{BadEnd, BadJoin}},
		{"a record after the seal", func(_ *testing.T, lib *library) {
			name, i := lib.find(KindSeal, 0)
			lib.lines[name] = append(lib.lines[name], lib.lines[name][i-1])
		}, VerifyOptions{}, []ProblemKind{BadEnd, SerialTwice, BadJoin}},
		{"a header removed", func(_ *testing.T, lib *library) { lib.lines[lib.names[1]] = lib.lines[lib.names[1]][1:] }, VerifyOptions{}, []ProblemKind{BadHeader, BadEnd}},
		{"the end torn", func(_ *testing.T, lib *library) { lib.tails[lib.names[len(lib.names)-1]] = `{"n":9` }, VerifyOptions{}, []ProblemKind{TornEnd}},
		{"the end of another file torn", func(_ *testing.T, lib *library) { lib.tails[lib.names[1]] = `{"n":9` }, VerifyOptions{}, []ProblemKind{BadLine}},
		{"records cut off", func(_ *testing.T, lib *library) {
			name := lib.names[len(lib.names)-1]
			lib.lines[name] = lib.lines[name][:1]
		}, VerifyOptions{}, nil},
		{"a timestamp that is none", func(t *testing.T, lib *library) {
			name, i := lib.find(KindStamp, 1)
			raw := lib.lines[name][i]
			at := strings.Index(raw, `"token":"`) + len(`"token":"`)
			lib.lines[name][i] = raw[:at] + "AAAA" + raw[at+4:]
			lib.rechain(t, name, i, true)
		}, VerifyOptions{CheckStamp: checkTestStamp}, []ProblemKind{BadStamp}},
	} {
		t.Run(row.name, func(t *testing.T) {
			lib := newLibrary(t)
			row.tamper(t, lib)
			r, err := verify(t.Context(), lib.folder(), row.opts)
			if err != nil {
				t.Fatal(err)
			}
			var got []ProblemKind
			for _, p := range r.Problems {
				if !slices.Contains(got, p.Kind) {
					got = append(got, p.Kind)
				}
			}
			slices.Sort(got)
			slices.Sort(row.want)
			if !slices.Equal(got, row.want) {
				t.Errorf("problems %v, want %v:\n%v", got, row.want, r.Problems)
			}
		})
	}
}

// forgeStamps puts the altered hashes into the timestamps, whose tokens an
// intruder cannot make.
func forgeStamps(t *testing.T, lib *library) {
	for n := 0; ; n++ {
		name, i := lib.find(KindStamp, n)
		if name == "" {
			return
		}
		s := lib.parse(t, lib.lines[name][i]).Record.(*Stamp)
		var now Hash
		for _, raw := range slices.Concat(slices.Collect(func(yield func([]string) bool) {
			for _, name := range lib.names {
				if !yield(lib.lines[name]) {
					return
				}
			}
		})...) {
			if e := lib.parse(t, raw); e.Seq == s.Seq {
				now = e.Hash
			}
		}
		lib.lines[name][i] = strings.Replace(lib.lines[name][i], s.Head.String(), now.String(), 1)
		lib.rechain(t, name, i, true)
	}
}

// TestVerifyContains holds that an auditor who knows a hash misses what is cut
// off, wherever that is.
func TestVerifyContains(t *testing.T) {
	lib := newLibrary(t)
	for n := 1; n < len(lib.heads); n++ {
		cut := newLibrary(t)
		left := n
		for i, name := range cut.names {
			if left < len(cut.lines[name]) {
				cut.lines[name] = cut.lines[name][:left]
				cut.names = cut.names[:i+1]
				break
			}
			left -= len(cut.lines[name])
		}
		if len(cut.lines[cut.names[len(cut.names)-1]]) == 0 {
			cut.names = cut.names[:len(cut.names)-1]
		}
		r, err := verify(t.Context(), cut.folder(), VerifyOptions{Contains: lib.heads[:n]})
		checkReport(t, r, err)
		r, err = verify(t.Context(), cut.folder(), VerifyOptions{Contains: []Hash{lib.heads[n]}})
		if err != nil || r.ProblemCount != 1 || r.Problems[0].Kind != MissingHash {
			t.Fatalf("cut after record %d: %v, %v, want MissingHash", n, r.Problems, err)
		}
	}
}

// TestVerifyEveryByte holds that no byte of a log can be changed unseen, but for
// what the next line and the timestamps do not cover yet.
func TestVerifyEveryByte(t *testing.T) {
	lib := newLibrary(t)
	d := lib.folder()
	rng := rand.New(rand.NewPCG(3, 3))
	for _, name := range lib.names {
		b := d.names[name].mem
		for i := 0; i < len(b); i += 1 + rng.IntN(60) {
			was := b[i]
			b[i] ^= 1 << rng.IntN(8)
			r, err := verify(t.Context(), d, VerifyOptions{})
			if err == nil && r.OK() {
				t.Fatalf("%s: byte %d changed from %q to %q unseen", name, i, was, b[i])
			}
			b[i] = was
		}
	}
}

func TestVerifyBounded(t *testing.T) {
	lib := newLibrary(t)
	for _, name := range lib.names {
		for i := range lib.lines[name] {
			lib.lines[name][i] = "x"
		}
	}
	r, err := verify(t.Context(), lib.folder(), VerifyOptions{MaxProblems: 3})
	if err != nil || len(r.Problems) != 3 || r.ProblemCount <= 3 {
		t.Errorf("%d of %d problems, %v; want 3 of more", len(r.Problems), r.ProblemCount, err)
	}
}

func TestLaterVersion(t *testing.T) {
	lib := newLibrary(t)
	raw := lib.lines[lib.names[0]][1]
	// A member that a later version adds is passed over, and so is a kind.
	at := len(raw) - tailLen
	lib.lines[lib.names[0]][1] = raw[:at] + `,"mood":"fine","level":-3,"sunny":true` + raw[at:]
	raw = lib.lines[lib.names[0]][2]
	at = strings.Index(raw, `,"serial"`)
	lib.lines[lib.names[0]][2] = strings.Replace(raw[:at], "token", "weather", 1) + `,"wind":5` + raw[len(raw)-tailLen:]
	lib.rechain(t, lib.names[0], 1, true)
	r, err := verify(t.Context(), lib.folder(), VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		if p.Kind != BadStamp { // which were not made anew
			t.Error(p)
		}
	}
	// A format is not.
	lib = newLibrary(t)
	lib.lines[lib.names[0]][0] = strings.Replace(lib.lines[lib.names[0]][0], `"format":1`, `"format":2`, 1)
	if _, err := verify(t.Context(), lib.folder(), VerifyOptions{}); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("Verify of a later format: %v", err)
	}
}

func ExampleProblem() {
	fmt.Println(Problem{Kind: BadHash, File: "00000001-20260301T000000Z.jsonl", Line: 17, Detail: "altered"})
	// Output: 00000001-20260301T000000Z.jsonl:17: bad-hash: altered
}
