package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A place on a listener is worth most to who uses it. So a full listener does
// not have new connections wait, which a few thousand slow ones could see to:
// it closes the one that has waited longest without a complete request, be it
// new, in the middle of its header or body, or idle. Clients that send their
// request at once are never that one, and whose request is complete is not
// closed at all until it is answered.

const (
	// sharePerAddress is the part of a listener that one address may take:
	// enough for a company behind one address, and it takes four hosts to fill a
	// listener.
	sharePerAddress = 4
	// prefixIPv6 is what counts as one address of IPv6, in bits: the least that
	// a provider gives to one customer (RFC 6177).
	prefixIPv6 = 64
	// takeTime is how long a client may take over an answer before it counts
	// among those that wait: a hundred round trips.
	takeTime = time.Second
	// makeRoom is how many connections are closed at once when there are no
	// more file descriptors: net/http tries again in 5 ms, and one for each try
	// would be two hundred new connections a second.
	makeRoom = 32
	// complainEvery keeps what goes on for long from filling the log.
	complainEvery = time.Minute
	// maxHeld is how much of all requests under way is kept, in bytes, and
	// modestHeld how much of those of one connection is kept in any case: a
	// request has 40 to 200, and a header of some hundred. Otherwise 4096 clients
	// who send a megabyte each, but for its last byte, would take four gigabytes;
	// and with HTTP/2, which abbreviates what is repeated, they need to send no
	// more than five kilobytes.
	maxHeld    = 64 << 20
	modestHeld = 16 << 10
	// maxHeads is how much may have arrived of all requests before their headers
	// are complete, in bytes, and modestHead how much of one in any case. In
	// memory a header of many short lines takes sixteen times as much.
	maxHeads   = 8 << 20
	modestHead = 8 << 10
)

// ListenerStats are what became of the connections of one listener.
type ListenerStats struct {
	URL   string // where it listens
	Admin bool   // it is the administrative one
	// Limit is how many may be open, 0 for no limit; Open is how many are, and
	// Waiting how many of those have no complete request.
	Limit, Open, Waiting int
	// Accepted is how many there have been, Evicted how many of them were
	// closed to make room for others, and Refused how many were closed at once
	// because their address had all it may have and used it. Unaccepted is how
	// often there were no file descriptors left for one.
	Accepted, Evicted, Refused, Unaccepted uint64
}

// A connections is a listener that knows what its connections are doing.
type connections struct {
	net.Listener
	url        string
	admin      bool
	limit      int                   // 0: none
	perAddress int                   // 0: no limit
	exempt     func(netip.Addr) bool // from perAddress; may be nil
	identity   *tlsIdentity          // nil: there is no TLS
	log        *slog.Logger
	closing    chan struct{} // closed with the listener
	closeOnce  sync.Once
	freed      chan struct{} // has a value when a place may have become free
	server     *http.Server  // that has the connections

	mu         sync.Mutex
	open       int
	underway   int   // requests that are not answered yet, of HTTP/2 several on one connection
	held       int64 // what is here of those, in bytes
	heads      int64 // what is here of others, in bytes
	hosts      map[netip.Addr]*host
	waiting    waitingQueue
	stats      ListenerStats // the counters only
	complained time.Time
}

// A host is an address with connections.
type host struct {
	address netip.Addr
	open    int
	waiting waitingQueue
}

// newConnections puts a listener into the care of a connections.
func newConnections(ln net.Listener, l Listener) *connections {
	c := &connections{
		Listener: ln, limit: max(l.Connections, 0), perAddress: max(l.PerAddress, 0),
		closing: make(chan struct{}), freed: make(chan struct{}, 1),
		hosts: make(map[netip.Addr]*host), log: slog.New(slog.DiscardHandler),
	}
	if l.PerAddress == 0 && c.limit > 0 {
		c.perAddress = max(c.limit/sharePerAddress, 1)
	}
	return c
}

// snapshot returns the counters as they are now.
func (l *connections) snapshot() ListenerStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.URL, s.Admin, s.Limit, s.Open, s.Waiting = l.url, l.admin, l.limit, l.open, l.waiting.len
	return s
}

// Accept returns the next connection, for which there is room.
func (l *connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
				l.outOfDescriptors(err)
			}
			return nil, err // net/http waits a little, and longer each time
		}
		c := &connection{Conn: conn, listener: l}
		if l.admit(c) {
			return c, nil
		}
		conn.Close()
	}
}

// admit finds room for a connection, or says that there is none for its address.
func (l *connections) admit(c *connection) bool {
	address, counted := l.addressOf(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	for counted {
		h := l.hosts[address]
		if h == nil {
			h = &host{address: address}
			l.hosts[address] = h
		}
		if h.open < l.perAddress {
			c.host = h
			break
		}
		if !l.evict(&h.waiting) {
			l.stats.Refused++
			l.complain("an address has all the connections it may have", slog.String("address", address.String()))
			return false
		}
	}
	if c.host != nil {
		c.host.open++ // so that it is not forgotten while this waits
	}
	for l.limit > 0 && l.open >= l.limit {
		l.complain("all connections are taken, the longest waiting ones are closed")
		if !l.evictFor(c) && !l.wait() {
			l.leaveHost(c)
			return false
		}
	}
	l.open++
	l.stats.Accepted++
	l.enqueue(c)
	return true
}

// wait lets others in until a place may be free: all connections are being
// answered. It says whether the listener is still open.
func (l *connections) wait() bool {
	l.mu.Unlock()
	defer l.mu.Lock()
	// An answer that is not taken becomes one that waits by the clock alone.
	timer := time.NewTimer(takeTime / 4)
	defer timer.Stop()
	select {
	case <-l.closing:
		return false
	case <-l.freed:
	case <-timer.C:
	}
	return true
}

// addressOf returns what counts as the address of a connection, and whether
// there is a limit for it.
func (l *connections) addressOf(c *connection) (netip.Addr, bool) {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	if l.perAddress == 0 || !ok {
		return netip.Addr{}, false
	}
	address := remote.AddrPort().Addr().Unmap().WithZone("")
	if l.exempt != nil && l.exempt(address) {
		return netip.Addr{}, false
	}
	if address.Is6() {
		prefix, err := address.Prefix(prefixIPv6)
		if err != nil {
			return netip.Addr{}, false
		}
		address = prefix.Addr()
	}
	return address, true
}

// evictFor closes a connection to make room for c. Whose address has more than
// its share takes the place of one of its own: a few hosts that open one
// connection after the other would otherwise be the ruin of all who take longer
// to send a request than those take to fill the listener.
func (l *connections) evictFor(c *connection) bool {
	if h := c.host; h != nil && h.open > l.limit/len(l.hosts) && l.evict(&h.waiting) {
		return true
	}
	return l.evict(&l.waiting)
}

// evict closes the connection of q that has waited longest, if there is one.
func (l *connections) evict(q *waitingQueue) bool {
	now := time.Now()
	for c := q.first; c != nil; c = c.links[q.of].next {
		if c.taking && now.Sub(c.since) < takeTime {
			continue
		}
		l.stats.Evicted++
		l.remove(c)
		l.mu.Unlock()
		c.Conn.Close() // an error is no news to anybody
		l.mu.Lock()
		return true
	}
	return false
}

// remove forgets a connection that is about to be closed.
func (l *connections) remove(c *connection) {
	if c.gone {
		return
	}
	c.gone = true
	l.noHead(c)
	l.dequeue(c)
	l.open--
	l.leaveHost(c)
	l.free()
}

func (l *connections) leaveHost(c *connection) {
	if h := c.host; h != nil {
		if h.open--; h.open == 0 {
			delete(l.hosts, h.address)
		}
	}
}

// free wakes who waits for a place.
func (l *connections) free() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

// enqueue has a connection wait from now on, as the last.
func (l *connections) enqueue(c *connection) {
	if c.gone {
		return
	}
	l.dequeue(c)
	c.since, c.waits = time.Now(), true
	l.waiting.push(c, byListener)
	if c.host != nil {
		c.host.waiting.push(c, byHost)
	}
	l.free()
}

func (l *connections) dequeue(c *connection) {
	if !c.waits {
		return
	}
	c.waits = false
	l.waiting.remove(c, byListener)
	if c.host != nil {
		c.host.waiting.remove(c, byHost)
	}
}

// outOfDescriptors makes room for a connection that could not be accepted.
func (l *connections) outOfDescriptors(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Unaccepted++
	l.complain("connections cannot be accepted, the longest waiting ones are closed", slog.String("detail", err.Error()), slog.String("hint", descriptorHint))
	for range makeRoom {
		if !l.evict(&l.waiting) {
			return
		}
	}
}

// descriptorHint is what helps when there are not enough file descriptors.
const descriptorHint = "raise the limit of open files (LimitNOFILE= of a systemd unit, ulimit -n of a shell), or allow fewer connections"

// complain warns, once in a while.
func (l *connections) complain(msg string, attrs ...slog.Attr) {
	now := time.Now()
	if !l.complained.IsZero() && now.Sub(l.complained) < complainEvery {
		return
	}
	l.complained = now
	attrs = append(attrs, slog.String("listener", l.url), slog.Int("open", l.open), slog.Uint64("evicted", l.stats.Evicted))
	// Whoever reads the log may be slow, and is not to hold up the others.
	l.mu.Unlock()
	defer l.mu.Lock()
	l.log.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...)
}

// Close closes the listener; its connections stay.
func (l *connections) Close() error {
	l.closeOnce.Do(func() { close(l.closing) })
	return l.Listener.Close()
}

// A connection is one that was accepted. All but the first four fields belong
// to the listener's mutex.
type connection struct {
	net.Conn
	listener *connections
	host     *host        // nil: its address is not counted
	clients  atomic.Int64 // of the identity, as they were at the handshake; 0: there was none

	links     [2]link
	since     time.Time // waiting since, while waits
	waits     bool      // it is in the queues: nothing is being made for it
	taking    bool      // an answer is on its way to it
	gone      bool
	answering int   // complete requests without an answer
	underway  int   // requests that are not answered yet
	held      int64 // what is here of those, in bytes
	head      int64 // what is here of the next, in bytes
}

// Read reads from the client.
func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && !c.listener.keepHead(c, int64(n)) {
		c.Conn.Close()
		return 0, errCrowded
	}
	return n, err
}

// keepHead counts n bytes that are not yet part of a request, and says whether
// there is room for them.
func (l *connections) keepHead(c *connection, n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.underway > 0 || c.gone {
		return true
	}
	c.head += n
	l.heads += n
	if l.heads <= maxHeads || c.head <= max(modestHead, maxHeads/int64(max(l.open, 1))) {
		return true
	}
	l.stats.Evicted++
	l.remove(c)
	return false
}

// noHead forgets what has arrived of a header: there is a request, or none.
func (l *connections) noHead(c *connection) {
	l.heads -= c.head
	c.head = 0
}

// Close gives the place back.
func (c *connection) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is for net/http, which ends its side first so that the client can
// read a last answer.
func (c *connection) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// rested notes that the last answer has been taken.
func (c *connection) rested() {
	l := c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	c.taking = false
	l.noHead(c)
	if c.waits {
		l.enqueue(c) // idle from now on
	}
}

// connectionKey is that of a request's connection in its context.
type connectionKey struct{}

// connectionOf finds our connection below that of TLS.
func connectionOf(conn net.Conn) *connection {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, _ := conn.(*connection)
	return c
}

// watch has a server tell what its connections are doing.
func (l *connections) watch(server *http.Server) {
	l.server = server
	server.Handler = l.track(server.Handler)
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connectionKey{}, connectionOf(conn))
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		if c := connectionOf(conn); c != nil && state == http.StateIdle {
			c.rested()
		}
	}
}

// outdated says that others are let in now than when c was.
func (c *connection) outdated() bool {
	met, identity := c.clients.Load(), c.listener.identity
	return met != 0 && identity != nil && met != identity.clients.Load()
}

// endOutdated closes the idle connections of clients who came when others were
// let in. Whose request is under way is closed with the answer.
func (l *connections) endOutdated() {
	l.mu.Lock()
	var idle []*connection
	for c := l.waiting.first; c != nil; c = c.links[byListener].next {
		if c.underway == 0 && c.outdated() {
			idle = append(idle, c)
		}
	}
	for _, c := range idle {
		l.remove(c)
	}
	l.mu.Unlock()
	for _, c := range idle {
		c.Conn.Close()
	}
}

// A waitingQueue is a list of connections, the longest waiting first.
type waitingQueue struct {
	of          int // which links of a connection it uses
	first, last *connection
	len         int
}

// The queues in which a connection can be.
const (
	byListener = iota
	byHost
)

type link struct{ prev, next *connection }

func (q *waitingQueue) push(c *connection, of int) {
	q.of = of
	c.links[of] = link{prev: q.last}
	if q.last != nil {
		q.last.links[of].next = c
	} else {
		q.first = c
	}
	q.last = c
	q.len++
}

func (q *waitingQueue) remove(c *connection, of int) {
	at := c.links[of]
	if at.prev != nil {
		at.prev.links[of].next = at.next
	} else {
		q.first = at.next
	}
	if at.next != nil {
		at.next.links[of].prev = at.prev
	} else {
		q.last = at.prev
	}
	c.links[of] = link{}
	q.len--
}
