package serve

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A place is a small server behind a connections, without an authority.
type place struct {
	*connections
	t    *testing.T
	at   string
	busy chan struct{} // /busy answers for each value, or when it is closed
	log  *lockedBuffer
}

// newPlace serves until the test ends: /ping answers, /busy does when it is told
// to, /large answers more than a connection holds, /early does not wait for the
// body, and all others read it.
func newPlace(t *testing.T, l Listener, change ...func(*connections)) *place {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &place{connections: newConnections(ln, l), t: t, at: ln.Addr().String(), busy: make(chan struct{}), log: new(lockedBuffer)}
	p.connections.log = slog.New(slog.NewJSONHandler(p.log, nil))
	for _, f := range change {
		f(p.connections)
	}
	server := &http.Server{Handler: http.HandlerFunc(p.answer)}
	p.watch(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(p.connections) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
	})
	return p
}

func (p *place) answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/early" {
		io.WriteString(w, "early")
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	switch r.URL.Path {
	case "/busy":
		<-p.busy
	case "/large":
		block := make([]byte, 1<<20)
		for range 64 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	io.WriteString(w, "done")
}

// connect opens a connection from an address, sends a text, and waits until the
// server knows of it.
func (p *place) connect(from, send string) net.Conn {
	p.t.Helper()
	before := p.snapshot()
	d := net.Dialer{}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := d.Dial("tcp", p.at)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, send); err != nil {
		p.t.Fatal(err)
	}
	if l := p.limit; l == 0 || before.Waiting > 0 || before.Open < l {
		p.until("accepted", func(s ListenerStats) bool { return s.Accepted+s.Refused > before.Accepted+before.Refused })
	}
	return conn
}

// until waits for a state.
func (p *place) until(what string, is func(ListenerStats) bool) {
	p.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !is(p.snapshot()) {
		if time.Now().After(deadline) {
			p.t.Fatalf("not %s: %+v", what, p.snapshot())
		}
		time.Sleep(time.Millisecond)
	}
}

// makeBusy opens a connection whose request is complete and being answered.
func (p *place) makeBusy(from string) net.Conn {
	p.t.Helper()
	waiting := p.snapshot().Waiting
	conn := p.connect(from, get("/busy"))
	p.until("being answered", func(s ListenerStats) bool { return s.Waiting <= waiting })
	return conn
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

func postHeader(path string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", path, length)
}

// served reads an answer.
func served(conn net.Conn) error {
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || !strings.HasSuffix(string(body), "done")) {
		err = fmt.Errorf("%s, %d bytes", resp.Status, len(body))
	}
	return err
}

// ended says that the server has closed a connection without an answer.
func ended(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Read(make([]byte, 1))
	var ne net.Error
	if err == nil {
		t.Error("there is an answer")
	} else if e, ok := err.(net.Error); ok {
		ne = e
	}
	return err != nil && (ne == nil || !ne.Timeout())
}

// TestConnectionLimit fills a listener with one connection that waits in each possible
// way and one whose request is being answered. A third gets the place of the
// former.
func TestConnectionLimit(t *testing.T) {
	for _, test := range []struct{ name, send string }{
		{"new", ""},
		{"half a header", "GET /ping HTTP/1.1\r\nHost: x\r\n"},
		{"half a body", postHeader("/", 100) + "abc"},
		{"half a body in chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"},
		{"idle", get("/ping")},
		{"half of the second header", get("/ping") + "GET /"},
		{"answered before the body is here", postHeader("/early", 100) + "abc"},
		{"waits for 100 Continue", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, Listener{Connections: 2, PerAddress: -1})
			slow := p.connect("", test.send)
			r := bufio.NewReader(slow)
			if strings.Contains(test.name, "second") || test.name == "idle" {
				if _, err := http.ReadResponse(r, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Millisecond) // until net/http knows that the answer is out
			}
			busy := p.makeBusy("")
			if err := served(p.connect("", get("/ping"))); err != nil {
				t.Errorf("a third connection: %v", err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the slow one is still there: %v", err)
			}
			close(p.busy)
			if err := served(busy); err != nil {
				t.Errorf("the one that was being answered: %v", err)
			}
			if s := p.snapshot(); s.Evicted != 1 || s.Accepted != 3 || s.Refused != 0 {
				t.Errorf("counted %+v", s)
			}
			if n := strings.Count(p.log.String(), "all connections are taken"); n != 1 {
				t.Errorf("logged %d times", n)
			}
		})
	}
}

// TestEvictsLongest has connections that wait since different times.
func TestEvictsLongest(t *testing.T) {
	p := newPlace(t, Listener{Connections: 3, PerAddress: -1})
	first := p.connect("", "")
	second := p.connect("", "GET /")
	third := p.connect("", "")
	if _, err := io.WriteString(first, get("/ping")); err != nil {
		t.Fatal(err)
	}
	if err := served(first); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	// The first waits for its next request since then, and so is now the last.
	for i, victim := range []net.Conn{second, third} {
		if err := served(p.connect("", get("/ping"))); err != nil {
			t.Errorf("newcomer %d: %v", i, err)
		}
		if !ended(t, victim) {
			t.Errorf("newcomer %d did not get the place of the longest waiting", i)
		}
	}
	if _, err := io.WriteString(first, get("/ping")); err != nil {
		t.Fatal(err)
	}
	if err := served(first); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// TestAllAnswered has a listener full of connections that are being answered:
// others wait to be accepted.
func TestAllAnswered(t *testing.T) {
	p := newPlace(t, Listener{Connections: 2, PerAddress: -1})
	busy := []net.Conn{p.makeBusy(""), p.makeBusy("")}
	newcomer := p.connect("", get("/ping"))
	if err := newcomer.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := served(newcomer); err == nil {
		t.Error("a third connection is served")
	}
	if s := p.snapshot(); s.Evicted != 0 || s.Open != 2 || s.Waiting != 0 {
		t.Errorf("counted %+v", s)
	}
	if err := newcomer.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	p.busy <- struct{}{}
	if err := served(newcomer); err != nil {
		t.Errorf("the third connection is not served when the first is answered: %v", err)
	}
	close(p.busy)
	answered := 0
	for _, conn := range busy {
		if served(conn) == nil {
			answered++
		}
	}
	if answered != 2 {
		t.Errorf("%d were answered", answered)
	}
}

// TestAnswerNotTaken has a client that does not read a large answer: it keeps
// its place for a moment, and then no longer.
func TestAnswerNotTaken(t *testing.T) {
	p := newPlace(t, Listener{Connections: 1, PerAddress: -1})
	start := time.Now()
	p.connect("", get("/large"))
	time.Sleep(20 * time.Millisecond)
	if err := served(p.connect("", get("/ping"))); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < takeTime {
		t.Errorf("an answer was cut short after %v", took)
	}
	if s := p.snapshot(); s.Evicted != 1 {
		t.Errorf("counted %+v", s)
	}

	// Who does read gets all of it, however long that is.
	taken := p.connect("", get("/large"))
	if err := served(taken); err != nil {
		t.Error(err)
	}
}

func TestPerAddress(t *testing.T) {
	p := newPlace(t, Listener{Connections: 8}, func(c *connections) { // two for each
		c.exempt = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.9") }
	})
	greedy := []net.Conn{p.connect("127.0.0.2", "GET /"), p.connect("127.0.0.2", "GET /")}
	other := p.connect("127.0.0.3", "GET /")
	third := p.connect("127.0.0.2", "")
	if !ended(t, greedy[0]) {
		t.Error("the third connection of an address did not take the place of its first")
	}
	third.Close()
	greedy[1].Close()
	p.until("closed", func(s ListenerStats) bool { return s.Open == 1 })

	p.makeBusy("127.0.0.2")
	p.makeBusy("127.0.0.2")
	if !ended(t, p.connect("127.0.0.2", get("/ping"))) {
		t.Error("a third connection of an address that uses the other two is served")
	}
	if s := p.snapshot(); s.Refused != 1 || s.Evicted != 1 {
		t.Errorf("counted %+v", s)
	}
	for range 4 { // a proxy
		if err := served(p.connect("127.0.0.9", get("/ping"))); err != nil {
			t.Errorf("a proxy: %v", err)
		}
	}
	if _, err := io.WriteString(other, "ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := served(other); err != nil {
		t.Errorf("another address: %v", err)
	}
	if !strings.Contains(p.log.String(), `"address":"127.0.0.2"`) {
		t.Errorf("the log does not name the address: %s", p.log)
	}
	close(p.busy)
}

// fakeConn has an address and nothing else.
type fakeConn struct {
	net.Conn
	remote net.Addr
}

func (f fakeConn) RemoteAddr() net.Addr { return f.remote }
func (fakeConn) Close() error           { return nil }

// TestManyNewConnections: a few hosts that open one connection after the other
// take places of each other, and not that of a slow client elsewhere.
func TestManyNewConnections(t *testing.T) {
	p := newPlace(t, Listener{Connections: 12, PerAddress: 6})
	slow := p.connect("127.0.0.9", "GET /ping HTTP/1.1\r\n")
	for i := range 60 {
		p.connect(fmt.Sprintf("127.0.0.%d", 2+i%3), "")
	}
	if _, err := io.WriteString(slow, "Host: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := served(slow); err != nil {
		t.Errorf("a slow client: %v", err)
	}
	if s := p.snapshot(); s.Open != 12 || s.Evicted != 49 {
		t.Errorf("counted %+v", s)
	}
}

func TestAddressOf(t *testing.T) {
	l := newConnections(nil, Listener{Connections: 100})
	l.exempt = func(a netip.Addr) bool { return a == netip.MustParseAddr("2001:db8::1") }
	if l.perAddress != 100/sharePerAddress {
		t.Errorf("an address may have %d of 100", l.perAddress)
	}
	for _, test := range []struct {
		remote net.Addr
		want   string // "": not counted
	}{
		{&net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 1}, "192.0.2.1"},
		{&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 1}, "192.0.2.1"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8:1:2:3:4:5:6"), Port: 1}, "2001:db8:1:2::"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, "fe80::"},
		{&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}, ""},
		{&net.UnixAddr{Name: "@", Net: "unix"}, ""},
	} {
		address, counted := l.addressOf(&connection{Conn: fakeConn{remote: test.remote}})
		if counted != (test.want != "") || counted && address.String() != test.want {
			t.Errorf("%v counts as %v, %t; want %q", test.remote, address, counted, test.want)
		}
	}
	for _, test := range []struct {
		connections, perAddress, want int
	}{{4096, 0, 1024}, {2, 0, 1}, {4096, 5, 5}, {4096, -1, 0}, {-1, 0, 0}, {-1, 7, 7}} {
		l := newConnections(nil, Listener{Connections: test.connections, PerAddress: test.perAddress})
		if l.perAddress != test.want {
			t.Errorf("of %d connections, %d: an address has %d, want %d", test.connections, test.perAddress, l.perAddress, test.want)
		}
	}
}

// exhausted is a listener without file descriptors.
type exhausted struct {
	net.Listener
	times int
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.times--; e.times >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

// TestOutOfDescriptors: connections that wait make room, it is said once, and
// net/http is told, so that it does not try again at once.
func TestOutOfDescriptors(t *testing.T) {
	p := newPlace(t, Listener{PerAddress: -1})
	for range makeRoom + 2 {
		p.connect("", "GET /")
	}
	busy := p.makeBusy("")
	l := p.connections
	ln := &exhausted{Listener: l.Listener, times: 3}
	probe := *ln
	other := newConnections(&probe, Listener{})
	for range 3 {
		if conn, err := other.Accept(); conn != nil || !strings.Contains(err.Error(), "too many open files") {
			t.Fatalf("%v, %v", conn, err)
		}
	}
	l.outOfDescriptors(syscall.EMFILE)
	l.outOfDescriptors(syscall.ENFILE)
	p.until("less", func(s ListenerStats) bool { return s.Open == 1 })
	if s := p.snapshot(); s.Evicted != makeRoom+2 || s.Unaccepted != 2 {
		t.Errorf("counted %+v", s)
	}
	if n := strings.Count(p.log.String(), "cannot be accepted"); n != 1 || !strings.Contains(p.log.String(), "LimitNOFILE=") {
		t.Errorf("logged %d times: %s", n, p.log)
	}
	if other.snapshot().Unaccepted != 3 {
		t.Errorf("counted %+v", other.snapshot())
	}
	close(p.busy)
	if err := served(busy); err != nil {
		t.Error(err)
	}
}

// TestCountDescriptors warns at the start when there cannot be as many
// connections as there may be.
func TestCountDescriptors(t *testing.T) {
	if _, ok := descriptorLimit(); !ok {
		t.Log("this system has no such limit")
		return
	}
	for _, test := range []struct {
		limit, warnings int
	}{{0, 0}, {1, 0}, {1 << 40, 1}} {
		s, b := newServer(t, nil)
		s.countDescriptors(t.Context(), []opened{{listener: &connections{limit: 1}}, {listener: &connections{limit: test.limit}}})
		found := records(t, b.log, "fewer open files are allowed than connections")
		if len(found) != test.warnings || len(found) > 0 && !strings.Contains(found[0]["hint"].(string), "LimitNOFILE=") {
			t.Errorf("with %d connections: %v", test.limit, found)
		}
	}
}

// TestManyBodies has clients send much, but for the end of it. Those who send
// most lose their connections, and who sends as little as requests have does
// not.
func TestManyBodies(t *testing.T) {
	p := newPlace(t, Listener{PerAddress: -1})
	small := p.connect("", postHeader("/ping", 200)+strings.Repeat("s", 199))
	block := strings.Repeat("b", 4<<20)
	var open []net.Conn
	for range maxHeld/len(block) + 1 {
		conn := p.connect("", postHeader("/ping", len(block)+1))
		go io.WriteString(conn, block)
		open = append(open, conn)
	}
	p.until("too much", func(s ListenerStats) bool { return s.Evicted > 0 })
	if _, err := io.WriteString(small, "."); err != nil {
		t.Fatal(err)
	}
	if err := served(small); err != nil {
		t.Errorf("a small request: %v", err)
	}
	for _, conn := range open {
		conn.Close()
	}
	p.until("all gone", func(s ListenerStats) bool { return s.Open == 1 })
	time.Sleep(10 * time.Millisecond)
	l := p.connections
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != 0 || l.underway != 0 || l.heads != 0 {
		t.Errorf("%d bytes of %d requests are still counted, and %d of headers", l.held, l.underway, l.heads)
	}
}

// TestConnectionsAreCounted has many clients come and go in all ways; in the end
// nobody is there.
func TestConnectionsAreCounted(t *testing.T) {
	p := newPlace(t, Listener{Connections: 20})
	close(p.busy)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%7))}}
			for ctx.Err() == nil {
				conn, err := d.DialContext(ctx, "tcp", p.at)
				if err != nil {
					continue
				}
				for _, text := range []string{"", "GET /", get("/ping"), get("/busy"), postHeader("/", 10) + "12345", get("/ping") + get("/ping"), postHeader("/early", 10), "\x00"}[:1+rand.IntN(8)] {
					io.WriteString(conn, text)
				}
				if rand.IntN(2) == 0 {
					conn.SetReadDeadline(time.Now().Add(time.Duration(rand.IntN(5)) * time.Millisecond))
					io.Copy(io.Discard, conn)
				}
				conn.Close()
				if s := p.snapshot(); s.Open > s.Limit || s.Waiting > s.Open || s.Open < 0 || s.Waiting < 0 {
					t.Errorf("counted %+v", s)
					return
				}
			}
		})
	}
	clients.Wait()
	p.until("empty", func(s ListenerStats) bool { return s.Open == 0 })
	l := p.connections
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.hosts) != 0 || l.waiting.len != 0 || l.waiting.first != nil || l.waiting.last != nil || l.underway != 0 || l.held != 0 || l.heads != 0 || l.stats.Evicted == 0 {
		t.Errorf("left over: %d addresses, %d waiting, %d requests, %d bytes; %+v", len(l.hosts), l.waiting.len, l.underway, l.held+l.heads, l.stats)
	}
}
