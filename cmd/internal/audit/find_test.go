package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	d := newSimDisk(rand.New(rand.NewPCG(1, 1)))
	now := base
	l, err := open(Config{Dir: "simulated", SegmentSize: 4000, Now: func() time.Time { return now }}, d)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		tok := tokenNumber(i)
		tok.GenTime = base.Add(time.Duration(i) * time.Minute)
		now = tok.GenTime.Add(time.Second)
		tok.ClockBound = time.Duration(i) * 10 * time.Millisecond
		tok.Digest = []byte{0xd1, byte(i)}
		tok.Key = []string{"a", "b"}[i%2]
		tok.Client = []string{"alice", "bob", ""}[i%3]
		tok.Certificate[0], tok.TokenSHA256[31] = byte(i%2), byte(i)
		tok.Serial = []byte{0, 0x40, byte(i)}
		mustAppend(t, l, tok)
	}
	mustAppend(t, l, &Key{Event: KeyAdopted, Key: "a"}, &Clock{Event: ClockLost})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("00", 31)
	for _, row := range []struct {
		name string
		q    Query
		want int
	}{
		{"tokens", Query{Kind: KindToken}, 30},
		{"serial", Query{Serial: "0x4007"}, 1},
		{"serial as openssl prints it", Query{Serial: "00:40:0A"}, 1},
		{"serial of nobody", Query{Serial: "41"}, 0},
		{"digest", Query{Digest: "D109"}, 1},
		{"digest begins so", Query{Digest: "d1"}, 0},
		{"key", Query{Key: "a"}, 16},
		{"key, tokens", Query{Key: "a", Kind: KindToken}, 15},
		{"key of nobody", Query{Key: "c"}, 0},
		{"clock worse than 200 ms", Query{ClockBoundAbove: 200 * time.Millisecond}, 9},
		{"client", Query{Client: "bob"}, 10},
		{"certificate", Query{Certificate: "01" + zeros}, 15},
		{"token", Query{Token: zeros + "11"}, 1},
		{"from", Query{Kind: KindToken, From: base.Add(20 * time.Minute)}, 10},
		{"to", Query{Kind: KindToken, To: base.Add(20 * time.Minute)}, 21},
		{"between", Query{Kind: KindToken, From: base.Add(20 * time.Minute), To: base.Add(22 * time.Minute)}, 3},
		{"between, key", Query{Key: "a", From: base.Add(20 * time.Minute), To: base.Add(22 * time.Minute)}, 2},
		{"before", Query{To: base.Add(-time.Hour)}, 0},
		{"clock", Query{Kind: KindClock}, 1},
		{"clock of a client", Query{Kind: KindClock, Client: "bob"}, 0},
	} {
		got := 0
		err := find(t.Context(), d, row.q, func(e *Entry) error {
			got++
			if !e.Chained {
				t.Errorf("%s: %s: not chained", row.name, e.Raw)
			}
			return nil
		})
		if err != nil || got != row.want {
			t.Errorf("%s: %d records, %v; want %d", row.name, got, err, row.want)
		}
	}
	for _, row := range []struct {
		name string
		q    Query
	}{
		{"serial", Query{Serial: "4x"}},
		{"no digits", Query{Digest: "0x"}},
		{"certificate", Query{Certificate: "0102"}},
		{"bound", Query{ClockBoundAbove: -1}},
		{"times", Query{From: base, To: base.Add(-1)}},
	} {
		if err := find(t.Context(), d, row.q, func(*Entry) error { return nil }); err == nil {
			t.Errorf("%s: no error", row.name)
		}
	}
	enough := errors.New("enough")
	if err := find(t.Context(), d, Query{}, func(*Entry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("Find: %v, want what the function returned", err)
	}
}

// TestFindSkips holds that files out of the time are not read whole.
func TestFindSkips(t *testing.T) {
	lib := newLibrary(t)
	d := lib.folder()
	bytesRead := 0
	f := countingFolder{d, &bytesRead}
	err := find(t.Context(), f, Query{From: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, func(*Entry) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	// The last file has no seal, and is read. For the others a look at their end
	// has to do.
	last := len(d.names[lib.names[len(lib.names)-1]].mem)
	if want := last + len(lib.names)<<10; bytesRead > want {
		t.Errorf("%d bytes read, want at most %d", bytesRead, want)
	}
}

type countingFolder struct {
	*simDisk
	n *int
}

func (f countingFolder) Read(name string) (reader, error) {
	r, err := f.simDisk.Read(name)
	return countingReader{r, f.n}, err
}

type countingReader struct {
	reader
	n *int
}

func (r countingReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.reader.ReadAt(b, off)
	*r.n += n
	return n, err
}

func Example() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	log, err := Open(Config{Dir: dir, Instance: "tsa-1"})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	err = log.Append(context.Background(), &Token{
		Serial:  []byte{0x4a, 0x11},
		GenTime: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		// ...
		ClockBound: 250 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	query := Query{ClockBoundAbove: 200 * time.Millisecond}
	err = Find(context.Background(), dir, query, func(e *Entry) error {
		token := e.Record.(*Token)
		fmt.Printf("record %d: token %x, the clock wrong by up to %v\n", e.Seq, token.Serial, token.ClockBound)
		return nil
	})
	if err != nil {
		panic(err)
	}
	report, err := Verify(context.Background(), dir, VerifyOptions{})
	fmt.Println(report.OK(), err)
	// Output:
	// record 2: token 4a11, the clock wrong by up to 250ms
	// true <nil>
}
