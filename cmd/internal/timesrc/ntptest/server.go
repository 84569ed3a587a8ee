// Package ntptest is an NTP server for tests that does what it should not. Each
// field of an answer can be set, and the answer can be late, lost, repeated,
// cut short or somebody else's. A [Relay] stands before a server, this one or
// a real one, and makes the way to it long, lossy or longer in one direction.
//
// It listens on the loopback, with a clock of the test's choice, and ends with
// the test.
package ntptest

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// HeaderSize is the size of an NTP packet without extensions (RFC 5905, 7.3).
const HeaderSize = 48

// A Reply is an answer, field by field (RFC 5905, 7.3). The times are in the
// format of NTP, so that any of their values can be sent.
type Reply struct {
	Leap, Version, Mode       uint8
	Stratum                   uint8
	Poll, Precision           int8
	RootDelay, RootDispersion uint32 // in 1/65536 s
	ReferenceID               [4]byte
	Reference, Origin         uint64 // in 2^-32 s since 1900
	Receive, Transmit         uint64
	Extensions                []byte // follow the header
}

// Marshal returns the packet.
func (r Reply) Marshal() []byte {
	b := make([]byte, 0, HeaderSize+len(r.Extensions))
	b = append(b, r.Leap<<6|r.Version&7<<3|r.Mode&7, r.Stratum, uint8(r.Poll), uint8(r.Precision))
	b = binary.BigEndian.AppendUint32(b, r.RootDelay)
	b = binary.BigEndian.AppendUint32(b, r.RootDispersion)
	b = append(b, r.ReferenceID[:]...)
	for _, t := range []uint64{r.Reference, r.Origin, r.Receive, r.Transmit} {
		b = binary.BigEndian.AppendUint64(b, t)
	}
	return append(b, r.Extensions...)
}

// Parse reads the header of a packet, and takes what follows for extensions.
// Marshal gives the same octets again. It reports false for one that is too
// short to be a packet.
func Parse(packet []byte) (r Reply, ok bool) {
	if len(packet) < HeaderSize {
		return Reply{}, false
	}
	at := func(i int) uint64 { return binary.BigEndian.Uint64(packet[i:]) }
	return Reply{
		Leap: packet[0] >> 6, Version: packet[0] >> 3 & 7, Mode: packet[0] & 7,
		Stratum: packet[1], Poll: int8(packet[2]), Precision: int8(packet[3]),
		RootDelay: binary.BigEndian.Uint32(packet[4:]), RootDispersion: binary.BigEndian.Uint32(packet[8:]),
		ReferenceID: [4]byte(packet[12:16]),
		Reference:   at(16), Origin: at(24), Receive: at(32), Transmit: at(40),
		Extensions: append([]byte(nil), packet[HeaderSize:]...),
	}, true
}

// Timestamp is a time in the format of NTP, of whichever era it is in.
func Timestamp(t time.Time) uint64 {
	const since1900 = 2208988800 // seconds, at 1970
	fraction := (uint64(t.Nanosecond())<<32 + 500_000_000) / 1_000_000_000
	return uint64(t.Unix()+since1900)<<32 + fraction
}

// Short is a span in the short format of NTP, rounded down.
func Short(d time.Duration) uint32 { return uint32(d << 16 / time.Second) }

// A Datagram is sent in answer to a question.
type Datagram struct {
	Data  []byte
	After time.Duration
	// Elsewhere sends it from another port than the question went to.
	Elsewhere bool
}

// A Behaviour makes the answers to a question. It is given the question, and
// the answer that a good server would give. It is called by one goroutine.
type Behaviour func(question []byte, good Reply) []Datagram

// Good answers as one should.
func Good(_ []byte, good Reply) []Datagram { return []Datagram{{Data: good.Marshal()}} }

// Silent answers nothing.
func Silent([]byte, Reply) []Datagram { return nil }

// Edit answers with a changed reply.
func Edit(change func(*Reply)) Behaviour {
	return func(_ []byte, good Reply) []Datagram {
		change(&good)
		return []Datagram{{Data: good.Marshal()}}
	}
}

// Kiss answers with a kiss-o'-death of the code (RFC 5905, 7.4).
func Kiss(code string, poll int8) Behaviour {
	return Edit(func(r *Reply) {
		r.Stratum, r.Leap, r.Poll = 0, 3, poll
		r.ReferenceID = [4]byte{}
		copy(r.ReferenceID[:], code)
	})
}

// Delayed is another behaviour, later.
func Delayed(b Behaviour, by time.Duration) Behaviour {
	return func(question []byte, good Reply) []Datagram {
		out := b(question, good)
		for i := range out {
			out[i].After += by
		}
		return out
	}
}

// Raw answers with these octets.
func Raw(data []byte) Behaviour {
	return func([]byte, Reply) []Datagram { return []Datagram{{Data: data}} }
}

// Each answers with what all of the behaviours answer, in their order.
func Each(all ...Behaviour) Behaviour {
	return func(question []byte, good Reply) []Datagram {
		var out []Datagram
		for _, b := range all {
			out = append(out, b(question, good)...)
		}
		return out
	}
}

// Elsewhere answers from another port.
func Elsewhere(b Behaviour) Behaviour {
	return func(question []byte, good Reply) []Datagram {
		out := b(question, good)
		for i := range out {
			out[i].Elsewhere = true
		}
		return out
	}
}

// Config configures a [Server].
type Config struct {
	// Listen is the address to listen on. Empty: a free port of 127.0.0.1.
	Listen string
	// Clock is the server's clock. Nil: this machine's.
	Clock func() time.Time
	// Behaviour is how it answers at first. Nil: Good.
	Behaviour Behaviour
}

// A Server answers on a UDP socket.
type Server struct {
	clock func() time.Time
	conn  *net.UDPConn
	other *net.UDPConn

	mu        sync.Mutex
	behaviour Behaviour
	questions [][]byte
	late      map[*time.Timer]bool
}

// Start starts a server that ends with the test.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s := &Server{clock: cfg.Clock, behaviour: cfg.Behaviour, late: map[*time.Timer]bool{}}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.behaviour == nil {
		s.behaviour = Good
	}
	s.conn = listen(t, cfg.Listen)
	s.other = listen(t, net.JoinHostPort(s.Addr().Addr().String(), "0"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve(t)
	}()
	t.Cleanup(func() {
		s.conn.Close()
		<-done
		s.mu.Lock()
		defer s.mu.Unlock()
		for timer := range s.late {
			timer.Stop()
		}
		s.other.Close()
	})
	return s
}

func listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Set changes how it answers from now on.
func (s *Server) Set(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
}

// Questions returns what it has been sent.
func (s *Server) Questions() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.questions...)
}

func (s *Server) serve(t testing.TB) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("ntptest: %v", err)
			}
			return
		}
		received := s.clock()
		question := append([]byte(nil), buf[:n]...)
		good := Reply{
			Version: 4, Mode: 4, Stratum: 2, Poll: 6, Precision: -24,
			RootDelay: Short(time.Millisecond), RootDispersion: Short(time.Millisecond),
			ReferenceID: [4]byte{192, 0, 2, 1},
			Reference:   Timestamp(received.Add(-10 * time.Second)),
			Receive:     Timestamp(received),
		}
		if q, ok := Parse(question); ok {
			good.Origin = q.Transmit
		}
		good.Transmit = Timestamp(s.clock())
		s.mu.Lock()
		s.questions = append(s.questions, question)
		behaviour := s.behaviour
		s.mu.Unlock()
		for _, d := range behaviour(question, good) {
			s.send(d, from)
		}
	}
}

// send sends a datagram at its time. That the client has gone meanwhile is its
// affair.
func (s *Server) send(d Datagram, to netip.AddrPort) {
	conn := s.conn
	if d.Elsewhere {
		conn = s.other
	}
	if d.After <= 0 {
		conn.WriteToUDPAddrPort(d.Data, to)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var timer *time.Timer
	timer = time.AfterFunc(d.After, func() {
		conn.WriteToUDPAddrPort(d.Data, to)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.late, timer)
	})
	s.late[timer] = true
}
