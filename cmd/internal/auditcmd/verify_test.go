package auditcmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
)

// headOf returns the head that verify shows.
func headOf(t *testing.T, dir string) string {
	t.Helper()
	r := run(t, "verify", dir)
	m := regexp.MustCompile(`head ([A-Za-z0-9_-]{43})\n`).FindStringSubmatch(r.stdout)
	if r.code != 0 || m == nil {
		t.Fatalf("verify %s: exit %d\n%s%s", dir, r.code, r.stdout, r.stderr)
	}
	return m[1]
}

func TestVerify(t *testing.T) {
	scene(t)
	head := headOf(t, "audit")
	unstamped := keep(t, "unstamped", began, false)
	unstamped.append(&audit.Start{Program: "p", PID: 1})
	if err := unstamped.Close(); err != nil {
		t.Fatal(err)
	}
	live := keep(t, "live", began, false)
	live.append(&audit.Start{Program: "p", PID: 1})
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		stdout []string
		stderr string
	}{
		{"without roots", []string{"audit"}, 0, []string{
			"of them 8 tokens", "from record 1, 2026-03-01T12:00:00.000000Z", "2 timestamps, not verified: no roots given",
			"is said to have existed at ", "audit: whole\n"}, ""},
		{"with roots", []string{"audit", "--roots", "root.pem"}, 0, []string{
			"2 timestamps, verified\n", "2 by CN=", " existed at 2026-03-01T12:08:00.000000Z", "at the end not under a timestamp yet", "audit: whole\n"}, ""},
		{"somebody else's roots", []string{"audit", "--roots", "other.pem"}, 1, []string{
			"bad-stamp: over record ", "untrusted", "not-stamped: none of its timestamps is good; whoever can write", "NOT WHOLE: 3 findings"}, ""},
		{"a head that is in it", []string{"audit", "--head", head}, 0, []string{"whole"}, ""},
		{"one that is not", []string{"audit", "--head", head, "--head", strings.Repeat("A", 42) + "E"}, 1, []string{
			"missing-hash: AAAA", "the end of the record was cut off, or it was made anew", "NOT WHOLE: 1 finding\n"}, ""},
		{"what is no head", []string{"audit", "--head", "abc"}, 2, nil, `--head "abc" is not the head of a record`},
		{"an empty head", []string{"audit", "--head", ""}, 2, nil, "--head is given, and empty"},
		{"no timestamps", []string{"unstamped"}, 0, []string{"no timestamps over it"}, ""},
		{"no timestamps, with roots", []string{"unstamped", "--roots", "root.pem"}, 1, []string{"not-stamped: there is no timestamp over it"}, ""},
		{"a server is writing", []string{"live"}, 0, []string{"a server is writing to it", "live: whole"}, ""},
		{"no such folder", []string{"nowhere"}, 2, nil, "hint: name the folder that audit.dir names"},
		{"a folder without a record", []string{"."}, 2, nil, "no record of issue in the folder"},
		{"no roots in it", []string{"audit", "--roots", "release"}, 2, nil, "release"},
		{"intermediates without roots", []string{"audit", "--intermediates", "root.pem"}, 2, nil, "needs --roots"},
		{"no folder", nil, 2, nil, "0 given"},
		{"two", []string{"audit", "audit"}, 2, nil, "2 given"},
	} {
		got := run(t, append([]string{"verify"}, test.args...)...)
		for _, want := range test.stdout {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%s: no %q in\n%s", test.name, want, got.stdout)
			}
		}
		if got.code != test.code || !strings.Contains(got.stderr, test.stderr) || (test.stderr == "") != (got.stderr == "") {
			t.Errorf("%s: exit %d, want %d\nstdout: %s\nstderr: %s", test.name, got.code, test.code, got.stdout, got.stderr)
		}
	}
}

func TestVerifyJSON(t *testing.T) {
	scene(t)
	for _, test := range []struct {
		name string
		args []string
		code int
		want verifyJSON
	}{
		{"verified", []string{"--roots", "root.pem"}, 0, verifyJSON{Whole: true, Stamps: stampsJSON{Verified: true, Count: 2, Authorities: []authorityJSON{{Stamps: 2}}}}},
		{"not verified", nil, 0, verifyJSON{Whole: true, Stamps: stampsJSON{Count: 2, Authorities: []authorityJSON{{Stamps: 2}}}}},
		{"untrusted", []string{"--roots", "other.pem"}, 1, verifyJSON{FindingCount: 3, Stamps: stampsJSON{Verified: true, Count: 2}}},
	} {
		r := run(t, append([]string{"verify", "audit", "--json"}, test.args...)...)
		var got verifyJSON
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatalf("%s: %v\n%s", test.name, err, r.stdout)
		}
		if r.code != test.code || got.Whole != test.want.Whole || got.FindingCount != test.want.FindingCount || len(got.Findings) != int(got.FindingCount) ||
			got.Stamps.Verified != test.want.Stamps.Verified || got.Stamps.Count != test.want.Stamps.Count ||
			len(got.Stamps.Authorities) != len(test.want.Stamps.Authorities) || got.Tokens != 8 || got.Dir != "audit" || got.Head == "" ||
			!got.First.Time.Equal(began) {
			t.Errorf("%s: exit %d\n%s", test.name, r.code, r.stdout)
		}
		for _, f := range got.Findings {
			if f.Meaning == "" || f.Detail == "" {
				t.Errorf("%s: a finding without a word: %+v", test.name, f)
			}
		}
	}
}

// TestTampering: whatever is done to a record, it is found, at its place.
func TestTampering(t *testing.T) {
	scene(t)
	head := headOf(t, "audit")
	names := files(t, "audit")
	middle := filepath.Base(names[len(names)/2])
	for _, test := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
		args   []string
		want   string // in a finding
	}{
		{"a byte flipped", func(t *testing.T, dir string) {
			edit(t, dir, middle, func(data []byte) []byte { data[len(data)/2] ^= 1; return data })
		}, nil, middle + ":"},
		{"a time changed", func(t *testing.T, dir string) {
			edit(t, dir, middle, func(data []byte) []byte {
				return bytes.Replace(data, []byte(`"gen_time":"2026`), []byte(`"gen_time":"2025`), 1)
			})
		}, nil, "bad-hash: "},
		{"a line taken out", func(t *testing.T, dir string) {
			edit(t, dir, middle, func(data []byte) []byte {
				lines := bytes.SplitAfter(data, []byte("\n"))
				return bytes.Join(append(lines[:1:1], lines[2:]...), nil)
			})
		}, nil, "bad-number: record "},
		{"two lines swapped", func(t *testing.T, dir string) {
			edit(t, dir, middle, func(data []byte) []byte {
				lines := bytes.SplitAfter(data, []byte("\n"))
				lines[1], lines[2] = lines[2], lines[1]
				return bytes.Join(lines, nil)
			})
		}, nil, "bad-number: record "},
		{"a file taken out", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, middle)); err != nil {
				t.Fatal(err)
			}
		}, nil, "missing-file: number "},
		{"the end cut off", func(t *testing.T, dir string) {
			edit(t, dir, filepath.Base(names[len(names)-1]), func(data []byte) []byte {
				return data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1]
			})
		}, []string{"--head", head}, "missing-hash: " + head},
		{"a line made anew, and all hashes", func(t *testing.T, dir string) {
			forge(t, dir, func(line string) string { return strings.Replace(line, `"client":"builder"`, `"client":"mallory"`, 1) })
		}, nil, "bad-stamp: over record "},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("audit")); err != nil {
				t.Fatal(err)
			}
			test.tamper(t, dir)
			r := run(t, append([]string{"verify", dir}, test.args...)...)
			if r.code != 1 || !strings.Contains(r.stdout, test.want) || !strings.Contains(r.stdout, ": NOT WHOLE: ") {
				t.Errorf("exit %d, want 1 and %q\n%s%s", r.code, test.want, r.stdout, r.stderr)
			}
			if r := run(t, "find", dir, "--unverified"); r.code != 0 {
				t.Errorf("find, not verified: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			if test.args != nil {
				return // only who noted something can know
			}
			if r := run(t, "find", dir); r.code != 2 || !strings.Contains(r.stderr, "no evidence") {
				t.Errorf("find: exit %d\n%s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

func edit(t *testing.T, dir, name string, f func([]byte) []byte) {
	t.Helper()
	name = filepath.Join(dir, name)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, f(bytes.Clone(data)))
}

// link is a hash in a record that an earlier one has.
var link = regexp.MustCompile(`"(prev_hash|head|last_hash)":"([^"]{43})"`)

// forge alters lines and computes all hashes anew, as the format says.
func forge(t *testing.T, dir string, alter func(line string) string) {
	t.Helper()
	var prev [sha256.Size]byte
	anew := map[string]string{} // hashes
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		for line := range strings.Lines(string(data)) {
			body, tail, ok := strings.Cut(line, `,"hash":"`)
			if !ok {
				t.Fatalf("a line without a hash: %s", line)
			}
			body = link.ReplaceAllStringFunc(alter(body), func(s string) string {
				m := link.FindStringSubmatch(s)
				if h, ok := anew[m[2]]; ok {
					return `"` + m[1] + `":"` + h + `"`
				}
				return s
			})
			prev = sha256.Sum256(append(prev[:], body...))
			hash := base64.RawURLEncoding.EncodeToString(prev[:])
			anew[tail[:43]] = hash
			out.WriteString(body + `,"hash":"` + hash + `"}` + "\n")
		}
		write(t, name, out.Bytes())
	}
}

// TestForgeIsRight: what forge writes is in order, or the test above would find
// nothing but that it is not.
func TestForgeIsRight(t *testing.T) {
	scene(t)
	head := headOf(t, "audit")
	forge(t, "audit", func(line string) string { return line })
	if again := headOf(t, "audit"); again != head {
		t.Errorf("head %s, want %s", again, head)
	}
}

// TestVerifyRecovered: a torn end is a finding until the server puts it aside,
// and a note from then on.
func TestVerifyRecovered(t *testing.T) {
	scene(t)
	names := files(t, "audit")
	edit(t, "audit", filepath.Base(names[len(names)-1]), func(data []byte) []byte { return append(data, `{"n":99,"sync`...) })
	r := run(t, "verify", "audit")
	if r.code != 1 || !strings.Contains(r.stdout, "torn-end: 13 bytes") {
		t.Errorf("before: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	k := keep(t, "audit", began.Add(9*time.Minute), true)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	r = run(t, "verify", "audit")
	if r.code != 0 || !strings.Contains(r.stdout, "recovered: ") || !strings.Contains(r.stdout, "13 bytes") || !strings.Contains(r.stdout, "the server mended this") {
		t.Errorf("after: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// TestVerifyRemoved: what retention removed is a note.
func TestVerifyRemoved(t *testing.T) {
	scene(t)
	before := len(files(t, "audit"))
	now := began.Add(1000 * time.Hour)
	l, err := audit.Open(audit.Config{Dir: "audit", Now: func() time.Time { return now }, Retention: 100 * time.Hour, SegmentAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{Log: l, t: t}
	k.append(&audit.Start{Program: "p", PID: 2}) // which begins a file
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- l.Run(ctx) }()
	for deadline := now; len(files(t, "audit")) >= before && deadline.Sub(now) < 10*time.Second; deadline = deadline.Add(time.Millisecond) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r := run(t, "verify", "audit")
	if r.code != 0 || !strings.Contains(r.stdout, "note: ") || !strings.Contains(r.stdout, "it reached the age of audit.retention") {
		t.Errorf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	// That a token is not found says nothing then, but for later ones.
	for _, row := range []struct {
		from string
		want bool
	}{{"2026-01-01", true}, {"2026-12-01", false}} {
		r = run(t, "find", "audit", "--serial", "7b", "--from", row.from)
		if got := strings.Contains(r.stderr, "what was before that was removed"); r.code != 1 || got != row.want {
			t.Errorf("find from %s: exit %d\n%s%s", row.from, r.code, r.stdout, r.stderr)
		}
	}
}

// TestMeanings: every kind of finding has one.
func TestMeanings(t *testing.T) {
	for _, k := range []audit.ProblemKind{
		audit.BadLine, audit.BadHash, audit.BadNumber, audit.BadHeader, audit.BadJoin, audit.BadEnd, audit.BadStamp, audit.BadAside,
		audit.MissingFile, audit.MissingHash, audit.TornEnd, audit.SerialTwice,
		audit.WasRecovered, audit.WasRemoved, audit.TokenTime, audit.TimeBackward, audit.StampEarlier, KindNotStamped,
	} {
		if meanings[k] == "" {
			t.Errorf("nothing says what %s means", k)
		}
	}
}
