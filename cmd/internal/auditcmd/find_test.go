package auditcmd

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/audit"
)

func TestFind(t *testing.T) {
	scene(t)
	release := imprint(crypto.SHA512, "release")
	odd := hex.EncodeToString(serial(0x10))
	standby := sha256.Sum256([]byte("standby-1"))
	for _, test := range []struct {
		name  string
		args  []string
		code  int
		found int    // lines
		part  string // of the answer
		err   string // of stderr
	}{
		{"all tokens", nil, 0, 8, "192.0.2.7", ""},
		{"while the clock was worse than 200 ms", []string{"--clock-bound", "200ms"}, 0, 1, "1s unmonitored", ""},
		{"as bad as that is not worse", []string{"--clock-bound", "199ms"}, 0, 4, "", ""},
		{"in a state of the clock", []string{"--clock-state", "unmonitored"}, 0, 1, odd, ""},
		{"and what changed it", []string{"--clock-state", "unmonitored", "--kind", "token,clock"}, 0, 2, "event=drift state=unmonitored offset=0s bound=1s", ""},
		{"with a key, in a time", []string{"--key", "primary", "--from", "2026-03-01T12:01:00Z", "--to", "2026-03-01T12:02:00Z"}, 0, 2, "primary", ""},
		{"on a day", []string{"--from", "2026-03-01", "--to", "2026-03-01"}, 0, 8, "", ""},
		{"the day before", []string{"--to", "2026-02-28"}, 1, 0, "", "nothing was found"},
		{"with a certificate", []string{"--key", hex.EncodeToString(standby[:])}, 0, 1, "standby-1", ""},
		{"with a certificate, as openssl has it", []string{"--key", colons(standby[:])}, 0, 1, "standby-1", ""},
		{"events of a key", []string{"--key", "primary", "--kind", "key"}, 0, 1, "event=opened key=primary", ""},
		{"a serial number", []string{"--serial", odd}, 0, 1, "builder", ""},
		{"a serial number with 0x", []string{"--serial", "0x" + strings.ToUpper(odd)}, 0, 1, odd, ""},
		{"a serial number with colons", []string{"--serial", colons(serial(0x10))}, 0, 1, odd, ""},
		{"a serial number in decimal", []string{"--serial", new(big.Int).SetBytes(serial(0x10)).String()}, 0, 1, odd, ""},
		{"a serial number that was not given", []string{"--serial", odd + "00"}, 1, 0, "", "nothing was found"},
		{"a digest", []string{"--digest", hex.EncodeToString(release.Digest)}, 0, 1, odd, ""},
		{"a digest in base64", []string{"--digest", base64.StdEncoding.EncodeToString(release.Digest)}, 0, 1, odd, ""},
		{"a digest in base64 for URLs", []string{"--digest", "sha512:" + base64.RawURLEncoding.EncodeToString(release.Digest)}, 0, 1, odd, ""},
		{"a file", []string{"--file", "release"}, 0, 1, "SHA-512", ""},
		{"a file that was not stamped", []string{"--file", "elsewhere"}, 1, 0, "", "nothing was found"},
		{"a timestamp", []string{"--timestamp", "release.tst"}, 0, 1, odd, ""},
		{"for a client", []string{"--client", "builder"}, 0, 1, odd, ""},
		{"the first", []string{"--limit", "2"}, 0, 2, "", "there is more than the first 2"},
		{"as many as there are", []string{"--limit", "8"}, 0, 8, "", ""},
		{"events", []string{"--kind", "start,stop"}, 0, 2, `reason="told to stop"`, ""},
		{"everything", []string{"--kind", "all"}, 0, 19, "seal       count=", ""},
		{"everything about a key", []string{"--kind", "all", "--key", "primary"}, 0, 8, "", ""},
		{"no verification", []string{"--client", "builder", "--unverified"}, 0, 1, "builder  UNVERIFIED\n", ""},

		{"no such kind", []string{"--kind", "tokens"}, 2, 0, "", `"tokens" is not one of token, clock`},
		{"no kind", []string{"--kind", ""}, 2, 0, "", "--kind"},
		{"all and another", []string{"--kind", "all,token"}, 2, 0, "", "stands alone"},
		{"what the kind does not have", []string{"--kind", "clock", "--serial", odd}, 2, 0, "", "--serial looks for records of kind token"},
		{"no time", []string{"--from", "yesterday"}, 2, 0, "", `--from "yesterday" is neither a day such as`},
		{"a time without a zone", []string{"--from", "2026-03-01T12:00:00"}, 2, 0, "", "is neither a day"},
		{"no time at all", []string{"--to", "2026-03-01", "--from", "2026-03-02"}, 2, 0, "", "--to 2026-03-01 is before --from"},
		{"no number", []string{"--serial", "-5"}, 2, 0, "", "is not a number"},
		{"no digest", []string{"--digest", "abcd"}, 2, 0, "", "is not a digest"},
		{"an empty digest", []string{"--digest", ""}, 2, 0, "", "--digest is given, and empty"},
		{"no bound", []string{"--clock-bound", "0s"}, 2, 0, "", "is not a span of time"},
		{"a bound without a unit", []string{"--clock-bound", "200"}, 2, 0, "", "is not a span of time"},
		{"no limit", []string{"--limit", "0"}, 2, 0, "", "at least 1"},
		{"no such file", []string{"--file", "nowhere"}, 2, 0, "", "nowhere"},
		{"no timestamp", []string{"--timestamp", "release"}, 2, 0, "", "release: "},
	} {
		got := run(t, append([]string{"find", "audit"}, test.args...)...)
		lines := max(strings.Count(got.stdout, "\n")-1, 0) // but for the head
		if got.code != test.code || lines != test.found || !strings.Contains(got.stdout, test.part) ||
			!strings.Contains(got.stderr, test.err) || (test.err == "") != (got.stderr == "") {
			t.Errorf("%s: %q = exit %d, %d lines, want %d and %d with %q, %q\nstdout: %s\nstderr: %s",
				test.name, test.args, got.code, lines, test.code, test.found, test.part, test.err, got.stdout, got.stderr)
		}
		asJSON := run(t, append([]string{"find", "audit", "--json"}, test.args...)...)
		if test.code == 2 {
			continue
		}
		if asJSON.code != test.code || strings.Count(asJSON.stdout, "\n") != test.found {
			t.Errorf("%s: --json: exit %d\n%s", test.name, asJSON.code, asJSON.stdout)
		}
		for line := range strings.Lines(asJSON.stdout) {
			if !inRecord(t, "audit", line) {
				t.Errorf("%s: --json: not as it was written: %s", test.name, line)
			}
		}
	}
	for _, test := range []struct {
		name string
		dirs []string
		err  string
	}{
		{"no folder", nil, "name the folder of a record"},
		{"no such folder", []string{"nowhere"}, "hint: name the folder that audit.dir names"},
		{"one of two", []string{"audit", "nowhere"}, "nowhere"},
	} {
		if got := run(t, append([]string{"find"}, test.dirs...)...); got.code != 2 || !strings.Contains(got.stderr, test.err) || got.stdout != "" {
			t.Errorf("%s: exit %d\n%s%s", test.name, got.code, got.stdout, got.stderr)
		}
	}
}

func colons(b []byte) string {
	var list []string
	for _, x := range b {
		list = append(list, strings.ToUpper(hex.EncodeToString([]byte{x})))
	}
	return strings.Join(list, ":")
}

func inRecord(t *testing.T, dir, line string) bool {
	t.Helper()
	for _, name := range files(t, dir) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains("\n"+string(data), "\n"+line) {
			return true
		}
	}
	return false
}

// TestFindMerges: several records are one, by the time of recording.
func TestFindMerges(t *testing.T) {
	t.Chdir(t.TempDir())
	one := issued{digest: imprint(crypto.SHA256, "data"), key: "primary", clockState: "synchronised", bound: time.Millisecond}
	for i, dir := range []string{"a", "b", "c"} {
		k := keep(t, dir, began.Add(time.Duration(i)*20*time.Second), false)
		for n := range byte(3) {
			one.serial = byte(i)<<4 | n
			k.issue(one)
		}
	}
	got := run(t, "find", "c", "a", "b", "--json")
	var serials []string
	for line := range strings.Lines(got.stdout) {
		var r struct{ Serial string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		serials = append(serials, r.Serial[38:])
	}
	if want := "00 10 20 01 11 21 02 12 22"; got.code != 0 || strings.Join(serials, " ") != want {
		t.Errorf("exit %d: %q, want %s\n%s", got.code, serials, want, got.stderr)
	}
	got = run(t, "find", "a", "b", "c", "--limit", "2")
	if got.code != 0 || !strings.Contains(got.stdout, "  a\n") || !strings.Contains(got.stdout, "  b\n") || strings.Contains(got.stdout, "  c\n") {
		t.Errorf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
}

// TestFindNotWhole: what is in a record that is not whole is shown, and nobody
// takes it for evidence: neither who reads, nor a program that looks at the exit
// status or at every line.
func TestFindNotWhole(t *testing.T) {
	scene(t)
	names := files(t, "audit")
	middle := filepath.Base(names[len(names)/2])
	edit(t, "audit", middle, func(data []byte) []byte {
		return bytes.Replace(data, []byte(`"client":"builder"`), []byte(`"client":"mallory"`), 1)
	})
	for _, test := range []struct {
		name string
		args []string
		code int
		out  string
		err  string
	}{
		{"what was altered", []string{"--client", "mallory"}, 2, "mallory  UNVERIFIED\n", "error: the record is not whole"},
		{"what was not", []string{"--serial", hex.EncodeToString(serial(1))}, 2, "192.0.2.7  UNVERIFIED\n", "audit is not whole: "},
		{"nothing", []string{"--client", "builder"}, 2, "", "nor that more was not"},
		{"for a program", []string{"--client", "mallory", "--json"}, 2, `"reason": "not-whole"`, "audit is not whole: "},
		{"without asking", []string{"--client", "mallory", "--unverified"}, 0, "mallory  UNVERIFIED\n", ""},
	} {
		got := run(t, append([]string{"find", "audit"}, test.args...)...)
		if got.code != test.code || !strings.Contains(got.stdout, test.out) || !strings.Contains(got.stderr, test.err) || (test.err == "") != (got.stderr == "") {
			t.Errorf("%s: exit %d, want %d\nstdout: %s\nstderr: %s", test.name, got.code, test.code, got.stdout, got.stderr)
		}
	}
}

// TestFindLive: a record is read while a server writes it.
func TestFindLive(t *testing.T) {
	t.Chdir(t.TempDir())
	k := keep(t, "audit", began, false)
	one := issued{digest: imprint(crypto.SHA256, "data"), key: "primary", clockState: "synchronised", bound: time.Millisecond}
	for n := range byte(20) {
		one.serial = n
		k.issue(one)
		if got := run(t, "find", "audit", "--serial", hex.EncodeToString(serial(n))); got.code != 0 {
			t.Fatalf("token %d: exit %d\n%s%s", n, got.code, got.stdout, got.stderr)
		}
	}
}

// TestTableIsSafe: what a client or a later version put into a record does not
// reach the terminal as it is.
func TestTableIsSafe(t *testing.T) {
	t.Chdir(t.TempDir())
	k := keep(t, "audit", began, false)
	k.append(&audit.Stop{Reason: "a\x1b[31m\u202eb\nc " + strings.Repeat("é", 300)})
	k.issue(issued{digest: imprint(crypto.SHA256, "data"), client: "x\x1b]0;y\a"})
	got := run(t, "find", "audit", "--kind", "all")
	if got.code != 0 || strings.ContainsAny(got.stdout, "\x1b\a\u202e") || strings.Count(got.stdout, "\n") != 4 || !strings.Contains(got.stdout, "…") {
		t.Errorf("exit %d\n%q\n%s", got.code, got.stdout, got.stderr)
	}
	if got = run(t, "find", "audit"); got.code != 0 || strings.ContainsAny(got.stdout, "\x1b\a") {
		t.Errorf("exit %d\n%q\n%s", got.code, got.stdout, got.stderr)
	}
}

func FuzzParseSerial(f *testing.F) {
	for _, text := range []string{"0", "0x10", "10", "ff", "5c:5c", "-1", "+1", "0x", "1_0", "", "0x1 2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		numbers, err := parseSerial(text)
		if (err == nil) != (len(numbers) > 0) || len(numbers) > 2 {
			t.Fatalf("parseSerial(%q) = %x, %v", text, numbers, err)
		}
		// What a program prints of a number, finds it again.
		for _, n := range numbers {
			for _, again := range []string{new(big.Int).SetBytes(n).String(), "0x" + new(big.Int).SetBytes(n).Text(16)} {
				list, err := parseSerial(again)
				if err != nil || !containsBytes(list, n) {
					t.Fatalf("parseSerial(%q) = %x, %v, want %x among them", again, list, err, n)
				}
			}
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	for _, text := range []string{strings.Repeat("ab", 32), "sha256:" + strings.Repeat("AB", 32), strings.Repeat("+/", 22), strings.Repeat("-_", 22) + "==", "ab", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		digests, err := parseDigest(text)
		if (err == nil) != (len(digests) > 0) {
			t.Fatalf("parseDigest(%q) = %x, %v", text, digests, err)
		}
		for _, d := range digests {
			for _, again := range []string{hex.EncodeToString(d), base64.StdEncoding.EncodeToString(d)} {
				list, err := parseDigest(again)
				if err != nil || !containsBytes(list, d) {
					t.Fatalf("parseDigest(%q) = %x, %v, want %x among them", again, list, err, d)
				}
			}
		}
	})
}

func containsBytes(list [][]byte, want []byte) bool {
	for _, b := range list {
		if bytes.Equal(b, want) {
			return true
		}
	}
	return false
}
