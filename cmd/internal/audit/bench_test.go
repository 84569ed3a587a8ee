package audit

import (
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

var benchDir = flag.String("audit-dir", "", "where the benchmarks write; empty: the folder for temporary files")

func benchFolder(b *testing.B) string {
	b.Helper()
	dir, err := os.MkdirTemp(*benchDir, "audit-bench")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.Error(err)
		}
	})
	return dir
}

// BenchmarkAppend measures records a second, and how many share a sync, with so
// many requests in flight.
func BenchmarkAppend(b *testing.B) {
	for _, clients := range []int{1, 8, 128} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			l := mustOpen(b, Config{Dir: benchFolder(b)})
			defer l.Close()
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for c := range clients {
				wg.Go(func() {
					tok := tokenNumber(c)
					for i := c; i < b.N; i += clients {
						if err := l.Append(b.Context(), tok); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := l.State()
			b.ReportMetric(float64(s.Records)/float64(max(s.Syncs, 1)), "records/sync")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkBareSync is what the disk itself costs: the same bytes, written and
// synced, one line at a time.
func BenchmarkBareSync(b *testing.B) {
	d, err := newDisk(benchFolder(b))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	f, err := d.Create("bare")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	raw := encoded(b, tokenNumber(1))
	var off int64
	for b.Loop() {
		if _, err := f.WriteAt(raw, off); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		off += int64(len(raw))
	}
}

// BenchmarkEncode is the work for a record without the disk.
func BenchmarkEncode(b *testing.B) {
	g, tok, now := newGroup(), tokenNumber(1), time.Now()
	var c coder
	var out []byte
	var at link
	b.ReportAllocs()
	for b.Loop() {
		c.buf = c.buf[:0]
		if err := encode(&c, tok); err != nil {
			b.Fatal(err)
		}
		if err := g.begin(at.n, now); err != nil {
			b.Fatal(err)
		}
		out = g.appendLine(out[:0], c.buf, &at)
	}
	b.SetBytes(int64(len(out)))
}

// BenchmarkVerify measures how fast a log is read.
func BenchmarkVerify(b *testing.B) {
	const records = 20000
	dir := benchFolder(b)
	l := mustOpen(b, Config{Dir: dir})
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for i := c; i < records; i += 64 {
				if err := l.Append(b.Context(), tokenNumber(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	size := l.State().Bytes
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			r, err := Verify(b.Context(), dir, VerifyOptions{})
			checkReport(b, r, err)
		}
	})
	b.Run("find", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			err := Find(b.Context(), dir, Query{Serial: "01"}, func(*Entry) error { return io.EOF })
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
