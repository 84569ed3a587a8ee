package access

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"two IPv4 neighbours", "192.0.2.1", "192.0.2.2", false},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"two /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"IPv4 and the lowest IPv6", "0.0.0.1", "::1", false},
		{"IPv4 and IPv6 of the same bits", "192.0.2.1", "::c000:201:0:0:0:0", false},
		{"behind NAT64", "192.0.2.1", "64:ff9b::192.0.2.1", true},
		{"two behind NAT64", "64:ff9b::192.0.2.2", "64:ff9b::192.0.2.1", false},
		{"beside NAT64", "64:ff9b:0:0:1::192.0.2.2", "64:ff9b:0:0:1::192.0.2.1", true},
	} {
		a, b := keyOf(netip.MustParseAddr(tt.a)), keyOf(netip.MustParseAddr(tt.b))
		if (a == b) != tt.same {
			t.Errorf("%s: keys of %s and %s are %x and %x", tt.name, tt.a, tt.b, a, b)
		}
		if none := keyOf(netip.Addr{}); a == none || b == none {
			t.Errorf("%s: key of no address", tt.name)
		}
	}
}

// touch asks for a key and counts how often it was asked for since it was last
// forgotten.
func (t *table) touch(key uint64) int64 {
	s, e := t.lock(key)
	defer s.mu.Unlock()
	e.bucket.used++
	return e.bucket.used
}

// TestTableAgainstModel compares a table of one shard with a slow one.
func TestTableAgainstModel(t *testing.T) {
	const size = 37
	tab := newTable(size)
	if len(tab.shards) != 1 {
		t.Fatalf("%d shards, want 1", len(tab.shards))
	}
	var order []uint64 // oldest first
	used := map[uint64]int64{}
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 200_000 {
		key := rng.Uint64N(60)
		if at := slices.Index(order, key); at >= 0 {
			order = slices.Delete(order, at, at+1)
		} else if len(order) == size {
			delete(used, order[0])
			order = order[1:]
		}
		order = append(order, key)
		used[key]++
		if got := tab.touch(key); got != used[key] {
			t.Fatalf("step %d: key %d was asked for %d times, want %d", i, key, got, used[key])
		}
	}
	var got []uint64
	for _, e := range tab.shards[0].byAge() {
		got = append(got, e.key)
	}
	if !slices.Equal(got, order) {
		t.Errorf("order is %v, want %v", got, order)
	}
}

// TestMemoryBound asks from ten million addresses, each from a network of its
// own.
func TestMemoryBound(t *testing.T) {
	const addresses, most = manyAddresses, 5 << 20
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	tab := newTable(DefaultMaxAddresses)
	for i := range uint64(addresses) {
		s, _ := tab.lock(keyOf(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})))
		s.mu.Unlock()
	}
	if after := heap(); after > before+most {
		t.Errorf("%d bytes after %d addresses, want at most %d", after-before, addresses, most)
	}
	n, evicted := tab.count()
	if n != DefaultMaxAddresses || evicted != addresses-DefaultMaxAddresses {
		t.Errorf("remembers %d and forgot %d, want %d and %d", n, evicted, DefaultMaxAddresses, addresses-DefaultMaxAddresses)
	}
}

// TestTableSizes holds that no size is exceeded, and none is fallen short of by
// more than what does not divide by the shards.
func TestTableSizes(t *testing.T) {
	for _, size := range []int{1, 2, 3, 255, 256, 511, 512, 513, 1000, 5000, 65_535, 100_000} {
		tab := newTable(size)
		for i := range uint64(5 * size) {
			tab.touch(i)
		}
		if n, _ := tab.count(); n > size || n <= size-len(tab.shards) {
			t.Errorf("size %d: %d remembered in %d shards", size, n, len(tab.shards))
		}
	}
}

// TestResetIsDear holds that somebody who wants to be forgotten has to ask from
// about as many addresses as the table holds, and gets more out of those: even
// of many who try, hardly one succeeds with half as many.
func TestResetIsDear(t *testing.T) {
	tab := newTable(DefaultMaxAddresses)
	const spenders = 1000
	for i := range uint64(spenders) {
		tab.touch(i)
	}
	for i := range uint64(DefaultMaxAddresses / 2) {
		tab.touch(1<<32 | i)
	}
	forgotten := 0
	for i := range uint64(spenders) {
		if tab.touch(i) == 1 {
			forgotten++
		}
	}
	if forgotten > 0 {
		t.Errorf("%d of %d are forgotten after %d others, want none", forgotten, spenders, DefaultMaxAddresses/2)
	}
}

// TestFairness floods a small full table, and holds that the flood is limited,
// that those who keep asking are served as before, and that strangers are
// served at all.
func TestFairness(t *testing.T) {
	m := mustMeter(t, Limit{Rate: 1, Burst: 5})
	tab := newTable(512)
	ask := func(key uint64, now time.Duration) bool {
		s, e := tab.lock(key)
		defer s.mu.Unlock()
		wait, _ := m.take(&e.bucket, at(now))
		return wait == 0
	}
	const attacker, regular, network, stranger = 1 << 40, 2 << 40, 3 << 40, 4 << 40
	var flood, served, strangers int
	var now time.Duration
	for second := range 60 {
		for i := range 100 {
			now = time.Duration(second)*time.Second + time.Duration(i)*10*time.Millisecond
			if ask(attacker, now) {
				flood++
			}
			ask(network+uint64(second*100+i), now) // a new address each time
		}
		if ask(regular, now) {
			served++
		}
		if ask(stranger+uint64(second), now) {
			strangers++
		}
	}
	if flood > 65 || served != 60 || strangers != 60 {
		t.Errorf("admitted %d of a flood, %d of 60 of a regular, %d of 60 strangers; want at most 65, all, all", flood, served, strangers)
	}
}

func TestCopyFrom(t *testing.T) {
	old := newTable(4096)
	for i := range uint64(4000) {
		for range i%3 + 1 {
			old.touch(i)
		}
	}
	larger, smaller := newTable(8192), newTable(1024)
	larger.copyFrom(old)
	smaller.copyFrom(old)
	n, _ := old.count()
	if got, _ := larger.count(); got != n {
		t.Errorf("larger table has %d addresses, want %d", got, n)
	}
	kept := 0
	for i := range uint64(4000) {
		if got := larger.touch(i); got != int64(i%3+2) && old.touch(i) > 1 {
			t.Fatalf("key %d was asked for %d times, want %d", i, got, i%3+2)
		}
		if i >= 3500 && smaller.touch(i) > 1 {
			kept++
		}
	}
	if kept < 450 {
		t.Errorf("of the 500 most recent, a table of 1024 kept %d", kept)
	}
}

func TestTableConcurrently(t *testing.T) {
	tab := newTable(2048)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range uint64(20_000) {
				tab.touch(i % 1500)
			}
		})
	}
	wg.Wait()
	if n, evicted := tab.count(); n > 1500 || n < 1400 || int(evicted) > 8*20_000 {
		t.Errorf("%d addresses, %d forgotten", n, evicted)
	}
}
