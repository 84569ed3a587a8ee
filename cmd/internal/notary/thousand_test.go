package notary_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation/revocationtest"
)

const thousand = 1000

// TestThousand: a thousand signatures of one signer, stamped by one authority,
// of which only the last is of this image: each certificate is asked about once.
func TestThousand(t *testing.T) {
	r, tsa := serveResponder(t, "Thousand", true, false), revocationtest.Serve(t, revocationtest.Config{CRL: []string{}})
	s := newShelf(t, ocitest.Config{PageSize: 100})
	d := draft{by: r.by, of: target(), stamped: time.Now().Add(-time.Hour), tsa: tsa.Forge()}
	var others [][]byte
	for i := range 20 {
		d.of.Size = int64(i)
		others = append(others, d.make(t, envelope.JWS))
	}
	for i := range thousand - 1 {
		s.put("application/jose+json", others[i%len(others)])
	}
	d.of = notary.TargetOf(s.subject)
	last := s.put("application/jose+json", d.make(t, envelope.JWS))

	v := online(r, tsa, asking(nil)).verifier(t)
	img := notary.Image{Repository: s.repository, Subject: s.subject, Statement: policy{}.statement(t), Max: thousand}
	report, err := v.Image(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(report.Signatures); !report.Verified || n != thousand || report.Signatures[n-1].Descriptor.Digest != last.Digest {
		t.Errorf("verified %t after %d signatures: %v", report.Verified, n, report.Err)
	}
	for i, one := range report.Signatures[:thousand-1] {
		if reason, verdict := notary.ReasonOf(one.Outcome.Err); reason != notary.ReasonArtifact || !verdict {
			t.Fatalf("signature %d: %v", i, one.Outcome.Err)
		}
	}
	if signer, stamps := r.requests(ocspPath), tsa.Requests(revocationtest.OCSP); signer != 2 || stamps != 2 {
		t.Errorf("%d and %d questions about revocation, want 2 each", signer, stamps)
	}
	if n := s.registry.Count("GET /v2/app/blobs/"); n != thousand {
		t.Errorf("%d blobs were fetched, want %d", n, thousand)
	}
	// The same verifier does not ask again.
	img.Max = thousand - 1
	if report, err = v.Image(t.Context(), img); err != nil || report.Verified || !report.Undecided {
		t.Errorf("%+v, %v, want that there are too many", report, err)
	}
	if signer := r.requests(ocspPath); signer != 2 {
		t.Errorf("%d questions, want 2 still", signer)
	}
}

// TestThousandParallel: signatures are fetched several at a time, and not all
// at once.
func TestThousandParallel(t *testing.T) {
	s := newShelf(t, ocitest.Config{})
	data := s.of(foreign()).make(t, envelope.COSE)
	for range 100 {
		s.put("application/cose", data)
	}
	var now, most atomic.Int32
	s.repository = s.behind(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/blobs/") {
			n := now.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(5 * time.Millisecond)
			now.Add(-1)
		}
		s.registry.ServeHTTP(w, req)
	})
	r, err := s.verify(t.Context(), nil)
	if err != nil || len(r.Signatures) != 100 {
		t.Fatal(r, err)
	}
	if m := most.Load(); m < 4 || m > 20 {
		t.Errorf("%d blobs were fetched at a time, want some and not many", m)
	}
}

// behind opens the shelf's registry behind another handler.
func (s *shelf) behind(h http.HandlerFunc) *oci.Repository {
	s.t.Helper()
	host := s.host
	defer func() { s.host = host }()
	s.host = ocitest.Start(s.t, h)
	return s.open(oci.Config{})
}

// TestThousandMemory: large signatures are not kept. Each has user metadata of
// 1 MiB.
func TestThousandMemory(t *testing.T) {
	s := newShelf(t, ocitest.Config{})
	large := foreign()
	large.of = notary.TargetOf(s.subject)
	large.of.Annotations = map[string]string{"large": strings.Repeat("x", 1<<20)}
	// Of the image, but by somebody else; and by us, but of another image.
	ours := goodOne()
	ours.of = target()
	ours.of.Annotations = large.of.Annotations
	data := [][]byte{large.make(t, envelope.COSE), ours.make(t, envelope.COSE)}
	const n = 64
	for i := range n {
		s.put("application/cose", data[i%2])
	}
	s.add(goodOne(), envelope.JWS)
	var before, stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := s.verify(t.Context(), func(img *notary.Image) { img.Max = thousand })
	if err != nil || !r.Verified || len(r.Signatures) != n+1 {
		t.Fatal(r, err)
	}
	runtime.GC()
	runtime.ReadMemStats(&stats)
	if kept := (int64(stats.HeapAlloc) - int64(before.HeapAlloc)) >> 20; kept > 16 {
		t.Errorf("the report keeps %d MiB", kept)
	}
	runtime.KeepAlive(r)
}

// TestNoLeak: nothing goes on behind an answer, whatever it is.
func TestNoLeak(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, row := range []struct {
		name  string
		fault ocitest.Fault
		stop  time.Duration
	}{
		{"verified", ocitest.Fault{Times: 1}, 0},
		{"out of order", ocitest.Fault{Status: 500}, 0},
		{"cancelled", ocitest.Fault{Stall: 10}, 50 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newShelf(t, ocitest.Config{})
			s.add(goodOne(), envelope.JWS)
			for range 50 {
				s.add(foreign(), envelope.COSE)
			}
			s.registry.Fault("GET /v2/app/blobs/", row.fault)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.stop > 0 {
				time.AfterFunc(row.stop, cancel)
			}
			s.verify(ctx, nil)
		})
	}
	// Connections close when their server has.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		n := runtime.NumGoroutine()
		if n <= before {
			return
		}
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// BenchmarkVerify verifies one signature with a timestamp, with chains and
// answers about revocation known.
func BenchmarkVerify(b *testing.B) {
	r, tsa := serveResponder(b, "Bench", true, false), revocationtest.Serve(b, revocationtest.Config{CRL: []string{}})
	v := online(r, tsa, asking(nil)).verifier(b)
	st := policy{}.statement(b)
	for _, format := range envelope.Formats() {
		data := draft{by: r.by, stamped: time.Now().Add(-time.Hour), tsa: tsa.Forge()}.make(b, format)
		b.Run(string(format), func(b *testing.B) {
			b.ReportAllocs()
			var chains envelope.Cache
			for b.Loop() {
				e, err := chains.Parse(format, data)
				if err != nil {
					b.Fatal(err)
				}
				o, err := v.Verify(b.Context(), e, st, wanting())
				if err != nil || !o.Verified {
					b.Fatal(err, explain(o))
				}
			}
		})
	}
}

// BenchmarkImage1000 verifies an image in a layout, with a thousand signatures
// of which the last is its own, each time with nothing known.
func BenchmarkImage1000(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "layout")
	subject := ocitest.WriteLayout(b, dir, "v1")
	if _, err := os.Stat(dir); err != nil {
		b.Fatal(err)
	}
	layout, err := oci.OpenLayout(dir, oci.Config{})
	if err != nil {
		b.Fatal(err)
	}
	other := draft{stamped: stampedAt(), of: target()}
	var others [][]byte
	for i := range 20 {
		other.of.Size = int64(i)
		others = append(others, other.make(b, envelope.JWS))
	}
	own := draft{stamped: stampedAt(), of: notary.TargetOf(subject)}.make(b, envelope.JWS)
	for i := range thousand {
		layer := others[i%len(others)]
		if i == thousand-1 {
			layer = own
		}
		_, err := layout.Attach(b.Context(), oci.Attachment{Subject: subject, ArtifactType: envelope.ArtifactType, Layer: layer,
			LayerType: "application/jose+json", Annotations: map[string]string{"number": fmt.Sprint(i)}})
		if err != nil {
			b.Fatal(err)
		}
	}
	st := policy{}.statement(b)
	b.ReportAllocs()
	for b.Loop() {
		r, err := scene{}.verifier(b).Image(b.Context(), notary.Image{Repository: layout, Subject: subject, Statement: st, Max: thousand})
		if err != nil || !r.Verified || len(r.Signatures) != thousand {
			b.Fatal(r, err)
		}
	}
}
