package ntptest

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// A Way is what a [Relay] does to the datagrams.
type Way struct {
	// There and Back are how long the question and the answer take. What
	// differs between them, nobody at the ends can measure.
	There, Back time.Duration
	// Lost drops everything.
	Lost bool
	// LoseEach drops each n-th question; 0 none.
	LoseEach int
}

// A Relay passes datagrams on to a server, and its answers back.
type Relay struct {
	conn   *net.UDPConn
	target netip.AddrPort
	tasks  sync.WaitGroup
	done   chan struct{}

	mu     sync.Mutex
	way    Way
	count  int
	closed bool
	ways   map[netip.AddrPort]*net.UDPConn // by client
}

// StartRelay starts a relay to the target that ends with the test.
func StartRelay(t testing.TB, target netip.AddrPort) *Relay {
	t.Helper()
	r := &Relay{conn: listen(t, ""), target: target, done: make(chan struct{}), ways: map[netip.AddrPort]*net.UDPConn{}}
	r.tasks.Go(func() { r.questions(t) })
	t.Cleanup(func() {
		close(r.done)
		r.conn.Close()
		r.mu.Lock()
		r.closed = true
		for _, way := range r.ways {
			way.Close()
		}
		r.mu.Unlock()
		r.tasks.Wait()
	})
	return r
}

// Addr is where the relay listens.
func (r *Relay) Addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Set changes the way for datagrams that arrive from now on.
func (r *Relay) Set(way Way) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.way = way
}

func (r *Relay) questions(t testing.TB) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("ntptest: relay: %v", err)
			}
			return
		}
		r.mu.Lock()
		r.count++
		way := r.way
		lost := way.Lost || way.LoseEach > 0 && r.count%way.LoseEach == 0
		r.mu.Unlock()
		if lost {
			continue
		}
		server, err := r.server(from)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("ntptest: relay: %v", err)
			}
			return
		}
		data := append([]byte(nil), buf[:n]...)
		r.later(way.There, func() { server.Write(data) }) // refused: nobody listens, as the client will see
	}
}

// server returns the socket through which a client's questions go, and passes
// the answers that come to it on. Each client has its own, as behind a NAT.
func (r *Relay) server(client netip.AddrPort) (*net.UDPConn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if conn := r.ways[client]; conn != nil {
		return conn, nil
	}
	if r.closed {
		return nil, net.ErrClosed
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.target))
	if err != nil {
		return nil, err
	}
	r.ways[client] = conn
	r.tasks.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := conn.Read(buf)
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil: // nobody listens at the moment
				continue
			}
			r.mu.Lock()
			way := r.way
			r.mu.Unlock()
			if way.Lost {
				continue
			}
			data := append([]byte(nil), buf[:n]...)
			r.later(way.Back, func() { r.conn.WriteToUDPAddrPort(data, client) })
		}
	})
	return conn, nil
}

// later does something after a while, unless the relay ends first.
func (r *Relay) later(after time.Duration, do func()) {
	if after <= 0 {
		do()
		return
	}
	r.tasks.Go(func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			do()
		case <-r.done:
		}
	})
}
