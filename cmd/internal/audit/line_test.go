package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// samples are a full and an empty record of every kind.
func samples() []Record {
	at := time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)
	d := [32]byte{1, 2, 3}
	return []Record{
		tokenNumber(1), &Token{},
		&Start{Program: "fencepost v1.2.3", PID: 17, Detail: "again"}, &Start{},
		&Stop{Reason: "terminated"}, &Stop{},
		&Loaded{Event: ConfigReloaded, Digest: d, Files: "/etc/fencepost.yaml", Changed: "tsa.keys"}, &Loaded{},
		&Key{Event: KeyAdopted, Key: "b", URI: "pkcs11:token=x", Certificate: d, NotAfter: at, Detail: "a is gone"}, &Key{},
		&Clock{Event: ClockStepped, State: "unknown", Offset: -1500 * time.Millisecond, Bound: time.Second, Detail: "by hand"}, &Clock{},
		&Segment{Segment: 2, Format: 1, Instance: "a", Host: "h", Program: "p", PrevSeq: 9, PrevHash: d, Stamped: 7, Unsealed: RecoveredFailed}, &Segment{},
		&Seal{Count: 3, Reason: SealedAge, Earliest: at, Latest: at}, &Seal{},
		&Stamp{Seq: 4, Head: d, Token: []byte("token")}, &Stamp{Token: []byte{}},
		&Recovered{Reason: RecoveredTorn, Name: "n", Seq: 1, Offset: 2, Bytes: 3, SHA256: d, Aside: "a", Detail: "d"}, &Recovered{},
		&Removed{Segment: 1, Name: "n", First: 1, Last: 2, Head: d}, &Removed{},
	}
}

// encoded returns the line of a record.
func encoded(t testing.TB, rec Record) []byte {
	t.Helper()
	var c coder
	if err := encode(&c, rec); err != nil {
		t.Fatal(err)
	}
	g := newGroup()
	if err := g.begin(4, time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.FixedZone("", 3600))); err != nil {
		t.Fatal(err)
	}
	at := link{n: 4}
	return g.appendLine(nil, c.buf, &at)
}

func TestLines(t *testing.T) {
	for _, rec := range samples() {
		raw := encoded(t, rec)
		var e Entry
		if err := e.parse(bytes.TrimSuffix(raw, []byte("\n"))); err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if !e.follows(link{n: 4}) || e.Seq != 5 || e.Synced != 4 || !e.Time.Equal(time.Date(2026, 3, 1, 11, 0, 0, 123456789, time.UTC)) {
			t.Errorf("%s: %+v", raw, e)
		}
		if got, want := encoded(t, e.Record), raw; !bytes.Equal(got, want) {
			t.Errorf("written again: %s\nwant %s", got, want)
		}
		if !json.Valid(raw) {
			t.Errorf("no JSON: %s", raw)
		}
	}
}

// TestFormat holds the format byte for byte, which will be read in ten years. The
// hashes were computed by another program, from the package's documentation.
func TestFormat(t *testing.T) {
	for _, row := range []struct {
		rec  Record
		want string
	}{
		{tokenNumber(1), `{"n":5,"synced":4,"time":"2026-03-01T11:00:00.123456789Z","kind":"token","serial":"40000001",` +
			`"gen_time":"2026-03-01T12:00:00.000000001Z","policy":"1.3.6.1.4.1.57264.2","algorithm":"SHA-256",` +
			`"digest":"` + strings.Repeat("0", 64) + `","accuracy_ns":1000000000,"clock_state":"synchronised","clock_bound_ns":12345678,` +
			`"cert":"` + strings.Repeat("0", 64) + `","key":"tsu-1","token_sha256":"` + strings.Repeat("0", 64) + `",` +
			`"client":"192.0.2.7","request":"4f1c","hash":"DRPcJvY7BuBIz14CCXEKg6tthZmzsjaB5dOpz_SiYCc"}` + "\n"},
		{&Clock{Event: ClockLost, State: "unknown", Offset: -5}, `{"n":5,"synced":4,"time":"2026-03-01T11:00:00.123456789Z","kind":"clock",` +
			`"event":"lost","state":"unknown","offset_ns":-5,"bound_ns":0,"hash":"mRamR0_EOK__iFL-52uVq-UJHGCLhus-6m1-DOCITYI"}` + "\n"},
		{&Stop{Reason: "a \"b\\\n\u202e\u00e4\xff"}, `{"n":5,"synced":4,"time":"2026-03-01T11:00:00.123456789Z","kind":"stop",` +
			`"reason":"a \"b\\\u000a\u202eä` + "\ufffd" + `","hash":"cP2Gy21FwJ-Si-VkfQ_OA9rSF3tRUkTgnWrPMyuxabI"}` + "\n"},
	} {
		if got := string(encoded(t, row.rec)); got != row.want {
			t.Errorf("line\n%s\nwant\n%s", got, row.want)
		}
	}
}

// TestLongest holds that every record fits into a line, whatever is in it.
func TestLongest(t *testing.T) {
	worst := strings.Repeat("\u202e", MaxText) // each takes six bytes, of three
	for _, rec := range samples() {
		v := reflect.ValueOf(rec).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Kind() {
			case reflect.String:
				f.SetString(worst)
			case reflect.Uint64:
				f.SetUint(math.MaxUint64)
			case reflect.Int64:
				f.SetInt(math.MinInt64)
			case reflect.Slice:
				f.SetBytes(bytes.Repeat([]byte{0xff}, 128))
			}
		}
		if s, ok := rec.(*Stamp); ok {
			s.Token = make([]byte, MaxStamp)
		}
		raw := encoded(t, rec)
		if len(raw) > MaxLine {
			t.Errorf("%s: %d bytes, at most %d fit", rec.Kind(), len(raw), MaxLine)
		}
		var e Entry
		if err := e.parse(bytes.TrimSuffix(raw, []byte("\n"))); err != nil {
			t.Errorf("%s: %v", rec.Kind(), err)
		}
	}
}

func TestRecordRefused(t *testing.T) {
	l := mustOpen(t, Config{Dir: t.TempDir()})
	defer l.Close()
	for _, row := range []struct {
		name string
		rec  Record
	}{
		{"year 10000", &Token{GenTime: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"year -1", &Key{NotAfter: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"octets without end", &Token{Digest: make([]byte, MaxLine)}},
		{"one of the log's own", &Seal{}},
	} {
		if err := l.Append(t.Context(), row.rec); err == nil {
			t.Errorf("%s: no error", row.name)
		}
	}
	if got := l.State().Seq; got != 1 {
		t.Errorf("record %d was written, want 1 only", got)
	}
}

func TestClip(t *testing.T) {
	for _, s := range []string{
		strings.Repeat("x", MaxText), strings.Repeat("x", MaxText+1), strings.Repeat("x", MaxText-4) + "\u00e4\u00e4\u00e4",
		strings.Repeat("\U0001f600", MaxText), strings.Repeat("\xff", 2*MaxText), strings.Repeat("\xf0\x9f", MaxText),
	} {
		var got string
		raw := appendText(nil, s)
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%.40q: %v", s, err)
		}
		kept, cut := strings.CutSuffix(got, ellipsis)
		switch {
		case len(got) > MaxText:
			t.Errorf("%.40q of %d bytes became %d bytes", s, len(s), len(got))
		case utf8.ValidString(s) && len(s) <= MaxText && got != s, utf8.ValidString(s) && len(s) > MaxText && (!cut || !strings.HasPrefix(s, kept)):
			t.Errorf("%.40q of %d bytes became %.40q", s, len(s), got)
		}
		if _, _, err := readText(raw); err != nil {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := strings.TrimSuffix(string(encoded(t, &Key{Event: KeyOpened, Key: "a", Detail: "d"})), "\n")
	in := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for _, row := range []struct{ name, line string }{
		{"nothing", ""},
		{"another object", `{}`},
		{"no longer than a hash", `{"n":` + strings.Repeat("0", tailLen-5)},
		{"a number alone", `{"n":` + strings.Repeat("0", tailLen)},
		{"a hash alone", `{"n":` + good[len(good)-tailLen:]},
		{"white space", in(`,"kind"`, `, "kind"`)},
		{"white space at the end", good + " "},
		{"number with a zero before", in(`"n":5`, `"n":05`)},
		{"number zero", in(`"n":5`, `"n":0`)},
		{"negative number", in(`"n":5`, `"n":-5`)},
		{"number too large", in(`"n":5`, `"n":18446744073709551616`)},
		{"on the disk before itself", in(`"synced":4`, `"synced":5`)},
		{"time with a comma", in("00.123", "00,123")},
		{"time with six digits", in("123456789Z", "123456Z")},
		{"time of no day", in("2026-03-01", "2026-02-30")},
		{"time elsewhere", in("789Z", "789+00:00")},
		{"no kind", in(`"kind":"key",`, ``)},
		{"kind in upper case", in(`"kind"`, `"Kind"`)},
		{"members swapped", in(`"event":"opened","key":"a"`, `"key":"a","event":"opened"`)},
		{"member missing", in(`,"key":"a"`, ``)},
		{"member twice", in(`,"detail":"d"`, `,"detail":"d","detail":"d"`)},
		{"frame twice", in(`,"detail":"d"`, `,"n":7`)},
		{"option empty", in(`"detail":"d"`, `"detail":""`)},
		{"digest in upper case", in(strings.Repeat("0", 63), strings.Repeat("0", 62)+"A")},
		{"digest too short", in(strings.Repeat("0", 64), strings.Repeat("0", 62))},
		{"needless escape", in(`"key":"a"`, `"key":"\u0061"`)},
		{"slash escaped", in(`"key":"a"`, `"key":"\/"`)},
		{"escape in upper case", in(`"key":"a"`, `"key":"\u202E"`)},
		{"hidden character", in(`"key":"a"`, "\"key\":\"\u202e\"")},
		{"not UTF-8", in(`"key":"a"`, "\"key\":\"\xff\"")},
		{"half an escape", in(`"key":"a"`, `"key":"\u20"`)},
		{"object within", in(`,"detail":"d"`, `,"more":{}`)},
		{"array within", in(`,"detail":"d"`, `,"more":[1]`)},
		{"null within", in(`,"detail":"d"`, `,"more":null`)},
		{"fraction within", in(`,"detail":"d"`, `,"more":1.5`)},
		{"minus zero", in(`,"detail":"d"`, `,"more":-0`)},
		{"value missing", in(`,"detail":"d"`, `,"more":`)},
		{"hash not last", good[:len(good)-1] + `,"x":1}`},
		{"hash with padding", in(`"}`, `="}`)},
		{"hash with loose bits", good[:len(good)-3] + string(good[len(good)-3]+1) + `"}`},
	} {
		var e Entry
		if err := e.parse([]byte(row.line)); err == nil {
			t.Errorf("%s: %s: no error", row.name, row.line)
		}
	}
}

// FuzzText holds that others read strings as they were, and that we read only
// what we would write.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", `"\/`, "\x00\x1f\x7f\u0080\u2028\u202e\ufeff", "\xff\xc3", "\U0001f600", strings.Repeat("ä", MaxText)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw := appendText(nil, s)
		var theirs string
		if err := json.Unmarshal(raw, &theirs); err != nil {
			t.Fatalf("%q: %s: %v", s, raw, err)
		}
		ours, rest, err := readText(raw)
		if err != nil || len(rest) != 0 || ours != theirs {
			t.Fatalf("%q: read as %q, %v; encoding/json reads %q", s, ours, err, theirs)
		}
		if utf8.ValidString(s) && len(s) <= MaxText && ours != s {
			t.Fatalf("%q became %q", s, ours)
		}
	})
}

// FuzzLine holds that what is read and written again is the same.
func FuzzLine(f *testing.F) {
	for _, rec := range samples() {
		f.Add(bytes.TrimSuffix(encoded(f, rec), []byte("\n")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e Entry
		if e.parse(raw) != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("no JSON, and read all the same: %q", raw)
		}
		if e.Record == nil {
			return
		}
		var c coder
		if err := encode(&c, e.Record); err != nil {
			t.Fatal(err)
		}
		g := newGroup()
		if err := g.begin(e.Synced, e.Time); err != nil {
			t.Fatal(err)
		}
		at := link{n: e.Seq - 1}
		again := g.appendLine(nil, c.buf, &at)
		body := raw[:len(raw)-tailLen]
		if !bytes.HasPrefix(body, again[:len(again)-tailLen-1]) {
			t.Fatalf("read %s\nwrote %s", raw, again)
		}
		// What is left are members of later versions.
		if more := body[len(again)-tailLen-1:]; len(more) > 0 && more[0] != ',' {
			t.Fatalf("read %s\nwrote %s", raw, again)
		}
	})
}

func ExampleHash() {
	h, err := ParseHash("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	fmt.Println(h, err)
	// Output: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA <nil>
}
