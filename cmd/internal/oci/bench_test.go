package oci_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	orasoci "oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

const many = 1000

// signatureSize is that of an envelope with a chain of three and a timestamp.
const signatureSize = 9000

// fetchAll lists what refers to an image, and fetches each manifest and layer,
// eight at a time.
func fetchAll(ctx context.Context, repo *oci.Repository, image oci.Descriptor) (int, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	n := 0
	slots := make(chan bool, 8)
	err := repo.Referrers(ctx, image, []string{signatureType}, func(r oci.Referrer) error {
		slots <- true
		wg.Go(func() {
			defer func() { <-slots }()
			m, err := r.Manifest, r.Err
			if m == nil && err == nil {
				m, err = repo.Manifest(ctx, r.Descriptor)
			}
			if err == nil {
				_, err = repo.Blob(ctx, m.Layers[0])
			}
			mu.Lock()
			defer mu.Unlock()
			n++
			if err != nil {
				failed = err
			}
		})
		return nil
	})
	wg.Wait()
	if err == nil {
		err = failed
	}
	return n, err
}

// scenes are where a thousand signatures are.
func scenes(tb testing.TB) map[string]func() (*oci.Repository, oci.Descriptor) {
	signature := func(i int) string { return fmt.Sprintf("%*d", signatureSize, i) }
	return map[string]func() (*oci.Repository, oci.Descriptor){
		"layout": func() (*oci.Repository, oci.Descriptor) {
			dir, repo, image := openLayout(tb, oci.Config{})
			for i := range many {
				attach(tb, repo, image, signature(i))
			}
			repo, err := oci.OpenLayout(dir, oci.Config{})
			if err != nil {
				tb.Fatal(err)
			}
			return repo, image
		},
		"referrers API": func() (*oci.Repository, oci.Descriptor) {
			reg := ocitest.New(ocitest.Config{PageSize: 100})
			image := reg.PutImage("app", "v1")
			repo := open(tb, reg, oci.Config{})
			for i := range many {
				attach(tb, repo, image, signature(i))
			}
			return repo, image
		},
		"wrong types": func() (*oci.Repository, oci.Descriptor) {
			reg := ocitest.New(ocitest.Config{ConfigTypes: true})
			image := reg.PutImage("app", "v1")
			repo := open(tb, reg, oci.Config{})
			for i := range many {
				attach(tb, repo, image, signature(i))
			}
			return repo, image
		},
	}
}

func BenchmarkReferrers(b *testing.B) {
	for name, scene := range scenes(b) {
		b.Run(name, func(b *testing.B) {
			repo, image := scene()
			b.ReportAllocs()
			for b.Loop() {
				if n, err := fetchAll(b.Context(), repo, image); n != many || err != nil {
					b.Fatalf("%d, %v", n, err)
				}
			}
		})
	}
}

// BenchmarkOpenLayout is what opening costs, and resolving a tag, beside oras-go.
func BenchmarkOpenLayout(b *testing.B) {
	dir, repo, image := openLayout(b, oci.Config{})
	for i := range many {
		attach(b, repo, image, number(i))
	}
	b.Run("ours", func(b *testing.B) {
		for b.Loop() {
			repo, err := oci.OpenLayout(dir, oci.Config{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := repo.Resolve(b.Context(), "v1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("ours, listed", func(b *testing.B) {
		for b.Loop() {
			repo, err := oci.OpenLayout(dir, oci.Config{})
			if err != nil {
				b.Fatal(err)
			}
			if all, err := referrers(b.Context(), repo, image, signatureType); len(all) != many || err != nil {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("oras-go, listed", func(b *testing.B) {
		for b.Loop() {
			store, err := orasoci.New(dir)
			if err != nil {
				b.Fatal(err)
			}
			if all, err := registry.Referrers(b.Context(), store, image, signatureType); len(all) != many || err != nil {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("ours, one attached", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			attach(b, repo, image, fmt.Sprintf("more %d", i))
		}
	})
}

// TestBoundedMemory lists a thousand signatures with little more than one page
// and a few manifests in memory.
func TestBoundedMemory(t *testing.T) {
	reg := ocitest.New(ocitest.Config{PageSize: 50, ConfigTypes: true})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	for i := range many {
		attach(t, repo, image, number(i))
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most, n := heap(), uint64(0), 0
	begun := time.Now()
	err := repo.Referrers(t.Context(), image, []string{signatureType}, func(r oci.Referrer) error {
		if n++; n%100 == 0 {
			most = max(most, heap())
		}
		return r.Err
	})
	if err != nil || n != many {
		t.Fatalf("%d listed, %v", n, err)
	}
	t.Logf("%d in %v", n, time.Since(begun))
	const allowed = 4 << 20
	if most > before+allowed {
		t.Errorf("the heap grew from %d to %d bytes", before, most)
	}
}
