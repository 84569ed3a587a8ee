package access

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// DefaultMaxAddresses is how many addresses are remembered: as many as a /48,
// which is what one customer of a provider has, holds networks. It takes 5 MB.
const DefaultMaxAddresses = 65_536

// MaxAddressesLimit is the greatest Config.MaxAddresses: 1 GB of memory.
const MaxAddressesLimit = 1 << 24

// networkBits is how much of an IPv6 address is limited as one: a network of
// that size is the smallest that is given to anybody, and all addresses in it
// are free to whoever has it (RFC 4291, 2.5.4; RFC 6177).
const networkBits = 64

// wellKnownNAT64 holds IPv4 addresses in the last 32 bits (RFC 6052, 2.1): each
// counts as itself, since all of them would share one network.
var wellKnownNAT64 = netip.PrefixFrom(netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b}), 96)

// keyOf returns what is limited together with an address. The keys of IPv4
// stand where IPv6 has multicast, from where nothing comes.
func keyOf(a netip.Addr) uint64 {
	const v4 = 0xff << 56
	switch {
	case !a.IsValid():
		return ^uint64(0) // peers on unix sockets are one client
	case a.Is4():
		b := a.As4()
		return v4 | bits32(b[:])
	}
	b := a.As16()
	if wellKnownNAT64.Contains(a) {
		return v4 | bits32(b[12:])
	}
	return bits32(b[:])<<32 | bits32(b[4:networkBits/8])
}

func bits32(b []byte) uint64 {
	return uint64(b[0])<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3])
}

// A table remembers the addresses that asked most recently, in bounded memory.
// When it is full, the one that has been silent for longest is forgotten, so
// that nobody is ever refused for want of room.
//
// Who is forgotten starts anew with a full bucket. To bring that about for
// himself, somebody has to ask from about as many other addresses as the table
// holds, after his last request: with those he could have asked as much anyway,
// and more than once each. Whose requests share a shard with his he cannot
// know, for the seed is secret and new in each process.
type table struct {
	seed   maphash.Seed
	size   int
	shards []shard // a power of two
}

const (
	// maxShards lets a few dozen processors work at once.
	maxShards = 64
	// minShard is the smallest capacity worth a lock of its own: large enough
	// for chance to fill all shards about evenly.
	minShard = 256
)

type shard struct {
	mu      sync.Mutex
	heads   []int32 // of chains of entries with the same hash; a power of two
	entries []entry // [0] is the ring of recency: newer is the oldest entry, older the newest
	size    int
	evicted uint64
	_       [32]byte // keeps the locks of two shards in different cache lines
}

type entry struct {
	key          uint64
	next         int32 // in the chain; 0: none
	older, newer int32
	bucket       bucket
	attempts     int64 // state of the pace of failed attempts
}

func newTable(size int) *table {
	n := 1
	for n < maxShards && size/(2*n) >= minShard {
		n *= 2
	}
	t := &table{seed: maphash.MakeSeed(), size: size, shards: make([]shard, n)}
	heads := 1
	for heads < size/n {
		heads *= 2
	}
	for i := range t.shards {
		t.shards[i] = shard{heads: make([]int32, heads), entries: make([]entry, 1), size: size / n}
	}
	return t
}

// lock returns the entry of a key, which is now the newest, in a shard that the
// caller unlocks.
func (t *table) lock(key uint64) (*shard, *entry) {
	hash := maphash.Comparable(t.seed, key)
	s := &t.shards[hash>>32&uint64(len(t.shards)-1)]
	s.mu.Lock()
	head := &s.heads[hash&uint64(len(s.heads)-1)]
	for i := *head; i != 0; i = s.entries[i].next {
		if s.entries[i].key == key {
			s.unlink(i)
			s.link(i)
			return s, &s.entries[i]
		}
	}
	var i int32
	if len(s.entries) <= s.size {
		i = int32(len(s.entries))
		s.grow()
	} else {
		i = s.entries[0].newer
		s.forget(i, maphash.Comparable(t.seed, s.entries[i].key))
	}
	s.entries[i] = entry{key: key, next: *head, bucket: bucket{fullAt: full}, attempts: full}
	*head = i
	s.link(i)
	return s, &s.entries[i]
}

// grow adds an entry. It is append, but for never having room for more than size.
func (s *shard) grow() {
	if n := len(s.entries); n == cap(s.entries) {
		larger := make([]entry, n, min(2*n, s.size+1))
		copy(larger, s.entries)
		s.entries = larger
	}
	s.entries = s.entries[:len(s.entries)+1]
}

// forget takes an entry out of its chain and of the ring.
func (s *shard) forget(i int32, hash uint64) {
	at := &s.heads[hash&uint64(len(s.heads)-1)]
	for *at != i {
		at = &s.entries[*at].next
	}
	*at = s.entries[i].next
	s.unlink(i)
	s.evicted++
}

func (s *shard) unlink(i int32) {
	e := &s.entries[i]
	s.entries[e.older].newer = e.newer
	s.entries[e.newer].older = e.older
}

func (s *shard) link(i int32) {
	e, newest := &s.entries[i], s.entries[0].older
	e.older, e.newer = newest, 0
	s.entries[newest].newer = i
	s.entries[0].older = i
}

// copyFrom remembers what another table does; the most recent, if that one is
// larger.
func (t *table) copyFrom(old *table) {
	shards, longest := make([][]entry, len(old.shards)), 0
	for i := range old.shards {
		shards[i] = old.shards[i].byAge()
		longest = max(longest, len(shards[i]))
	}
	// There is no order among the entries of different shards, but what is the
	// third newest of one is about as new as the third newest of another.
	for rank := longest; rank > 0; rank-- {
		for _, entries := range shards {
			if len(entries) < rank {
				continue
			}
			from := &entries[len(entries)-rank]
			s, e := t.lock(from.key)
			e.bucket, e.attempts = from.bucket, from.attempts
			s.mu.Unlock()
		}
	}
}

// byAge returns copies of the entries, oldest first.
func (s *shard) byAge() []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]entry, 0, len(s.entries)-1)
	for i := s.entries[0].newer; i != 0; i = s.entries[i].newer {
		entries = append(entries, s.entries[i])
	}
	return entries
}

// count returns how many addresses are remembered, and how many were forgotten
// to make room.
func (t *table) count() (addresses int, evicted uint64) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		addresses += len(s.entries) - 1
		evicted += s.evicted
		s.mu.Unlock()
	}
	return addresses, evicted
}
