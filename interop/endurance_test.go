package interop

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a server may keep of clients that are gone. Measured: up to five goroutines and two files more, 1.05 to 1.35
// times the heap, and 0.9 to 1.35 times the memory.
const (
	wantMore  = 8   // goroutines, and open files
	wantHeap  = 1.5 // times what is in use of the heap, and heapSpare bytes
	heapSpare = 1 << 20
	wantTotal = 2.0 // times the memory in the first round
)

// A sample is what a server takes.
type sample struct {
	footprint
	goroutines int
	heap       int // bytes in use after a collection
}

// sample measures what it takes now.
func (s *abused) sample(t *testing.T) (x sample) {
	t.Helper()
	heap := string(get(t, s.admin+"/debug/pprof/heap?gc=1&debug=1"))
	_, text, _ := strings.Cut(heap, "\n# HeapAlloc = ")
	if _, err := fmt.Sscan(text, &x.heap); err != nil {
		t.Fatalf("the profile of the heap: %v", err)
	}
	if _, err := fmt.Sscanf(string(get(t, s.admin+"/debug/pprof/goroutine?debug=1")), "goroutine profile: total %d", &x.goroutines); err != nil {
		t.Fatalf("the profile of goroutines: %v", err)
	}
	x.footprint = footprintOf(t, s.process.pid)
	return x
}

// settles waits until the server takes no more than before, but for a little, and returns what it takes.
func (s *abused) settles(t *testing.T, before sample) (now sample) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(100 * time.Millisecond) {
		now = s.sample(t)
		if now.goroutines <= before.goroutines+wantMore && now.descriptors <= before.descriptors+wantMore &&
			float64(now.heap) <= wantHeap*float64(before.heap)+heapSpare {
			t.Logf("before %+v, after %+v", before, now)
			return now
		}
		if time.Now().After(deadline) {
			t.Errorf("before %+v, and after a while still %+v", before, now)
			return now
		}
	}
}

// TestEndurance has good clients, bad ones, slow ones and such as give up ask the same server for a while. When they
// are gone, so is all that it had of them.
func TestEndurance(t *testing.T) {
	const rounds = 4
	s := startAbused(t)
	l := newLoad(t, s.tsa, 0)
	l.rest = 5 * time.Millisecond
	serials := make(map[string]bool)
	long := loadTime(t, 20*time.Second) / rounds
	var first sample
	var memory []int // while there is load, in KiB
	for n := range rounds {
		ctx, cancel := context.WithTimeout(t.Context(), long)
		var bad sync.WaitGroup
		for range 16 {
			bad.Go(func() {
				for ctx.Err() == nil {
					abuses[rand.IntN(len(abuses))].run(s.host, s.query) // what comes of it is judged elsewhere
				}
			})
		}
		bad.Go(func() {
			for ctx.Err() == nil {
				s.giveUp(context.WithoutCancel(ctx), t, 200)
				time.Sleep(100 * time.Millisecond)
			}
		})
		good := l.closed(t.Context(), 8, long)
		memory = append(memory, footprintOf(t, s.process.pid).memory)
		good.complain(t, serials)
		cancel()
		bad.Wait()
		l.client.CloseIdleConnections()
		s.client.CloseIdleConnections()
		t.Logf("round %d: %v", n+1, good)
		if got := good.count(granted); got != len(good.shots) || got == 0 {
			t.Errorf("%d of %d requests were granted", got, len(good.shots))
		}
		if n == 0 {
			first = s.settles(t, s.sample(t))
			continue
		}
		s.settles(t, first)
	}
	t.Logf("KiB of memory: %v", memory)
	if got := float64(memory[rounds-1]) / float64(memory[0]); got > wantTotal {
		t.Errorf("the memory has become %.2f times what it was in the first round, want at most %.2f: %v KiB", got, wantTotal, memory)
	}
}
