package timesrc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/ntptest"
)

// A machine is a Local whose clocks the test can set.
type machine struct {
	clock.Local
	wall, elapsed atomic.Int64 // added to the true ones
}

func newMachine() *machine { return &machine{Local: timesrc.SystemLocal()} }

func (m *machine) Wall() time.Time { return m.Local.Wall().Add(time.Duration(m.wall.Load())) }
func (m *machine) Elapsed() time.Duration {
	return m.Local.Elapsed() + time.Duration(m.elapsed.Load())
}

// short is the timeout where nothing is to come.
const short = 300 * time.Millisecond

// busy is by how much readings of two clocks may be apart in a machine that
// has other things to do.
const busy = 100 * time.Millisecond

// within checks that a measurement is right about a machine whose wall clock is
// ahead of the server's by so much.
func within(t *testing.T, m clock.Measurement, ahead time.Duration) {
	t.Helper()
	if m.Error < 0 || m.Delay < 0 || (m.Offset+ahead).Abs() > m.Error {
		t.Errorf("offset %v, error %v: the server's clock is at %v", m.Offset, m.Error, -ahead)
	}
	if m.End.Elapsed < m.Start.Elapsed {
		t.Errorf("it ended at %v and began at %v", m.End.Elapsed, m.Start.Elapsed)
	}
}

func TestExchange(t *testing.T) {
	edit := ntptest.Edit
	garbage := ntptest.Edit(func(r *ntptest.Reply) { r.Origin++; r.Receive += 9 << 32; r.Transmit += 9 << 32 })
	tests := []struct {
		name      string
		behaviour ntptest.Behaviour
		want      timesrc.Reason // "": a measurement
		text      string         // in the error
	}{
		{"good", ntptest.Good, "", ""},
		{"version 3", edit(func(r *ntptest.Reply) { r.Version = 3 }), "", ""},
		{"stratum 1", edit(func(r *ntptest.Reply) { r.Stratum = 1 }), "", ""},
		{"stratum 15", edit(func(r *ntptest.Reply) { r.Stratum = 15 }), "", ""},
		{"with extension fields", edit(func(r *ntptest.Reply) { r.Extensions = make([]byte, 64) }), "", ""},
		{"slow", ntptest.Delayed(ntptest.Good, 20*time.Millisecond), "", ""},
		{"twice", ntptest.Each(ntptest.Good, ntptest.Good), "", ""},
		{"a forged answer before", ntptest.Each(garbage, ntptest.Good), "", ""},
		{"a short datagram before", ntptest.Each(ntptest.Raw([]byte("hello")), ntptest.Good), "", ""},
		{"a huge datagram before", ntptest.Each(ntptest.Raw(make([]byte, 9000)), ntptest.Good), "", ""},
		{"another's answer before", ntptest.Each(ntptest.Elsewhere(edit(func(r *ntptest.Reply) { r.Transmit += 9 << 32 })), ntptest.Good), "", ""},

		{"silent", ntptest.Silent, timesrc.ReasonNoAnswer, "firewall"},
		{"only from elsewhere", ntptest.Elsewhere(ntptest.Good), timesrc.ReasonNoAnswer, "firewall"},
		{"wrong origin", garbage, timesrc.ReasonNoAnswer, "another question"},
		{"zero origin", edit(func(r *ntptest.Reply) { r.Origin = 0 }), timesrc.ReasonNoAnswer, "another question"},
		{"truncated", func(_ []byte, good ntptest.Reply) []ntptest.Datagram {
			return []ntptest.Datagram{{Data: good.Marshal()[:47]}}
		}, timesrc.ReasonNoAnswer, "47 octets"},
		{"empty", ntptest.Raw(nil), timesrc.ReasonNoAnswer, "0 octets"},
		{"huge", edit(func(r *ntptest.Reply) { r.Extensions = make([]byte, 4000) }), timesrc.ReasonNoAnswer, "too long"},
		{"longer than any buffer", edit(func(r *ntptest.Reply) { r.Extensions = make([]byte, 60000) }), timesrc.ReasonNoAnswer, "too long"},
		{"client mode", edit(func(r *ntptest.Reply) { r.Mode = 3 }), timesrc.ReasonNoAnswer, "mode 3"},
		{"broadcast mode", edit(func(r *ntptest.Reply) { r.Mode = 5 }), timesrc.ReasonNoAnswer, "mode 5"},
		{"the question itself", func(q []byte, _ ntptest.Reply) []ntptest.Datagram { return []ntptest.Datagram{{Data: q}} },
			timesrc.ReasonNoAnswer, "mode 3"},

		{"version 5", edit(func(r *ntptest.Reply) { r.Version = 5 }), timesrc.ReasonInvalid, "version 5"},
		{"version 1", edit(func(r *ntptest.Reply) { r.Version = 1 }), timesrc.ReasonInvalid, "version 1"},
		{"no transmit time", edit(func(r *ntptest.Reply) { r.Transmit = 0 }), timesrc.ReasonInvalid, ""},
		{"transmitted before received", edit(func(r *ntptest.Reply) { r.Transmit = r.Receive - 1 }), timesrc.ReasonInvalid, ""},
		{"precision of two seconds", edit(func(r *ntptest.Reply) { r.Precision = 1 }), timesrc.ReasonInvalid, "2^1 s"},
		{"precision of ages", edit(func(r *ntptest.Reply) { r.Precision = 127 }), timesrc.ReasonInvalid, "2^127 s"},

		{"precision of -128", edit(func(r *ntptest.Reply) { r.Precision = -128 }), timesrc.ReasonInvalid, "2^-128"},
		{"poll of -128", edit(func(r *ntptest.Reply) { r.Poll = -128 }), timesrc.ReasonInvalid, "2^-128"},

		{"stratum 16", edit(func(r *ntptest.Reply) { r.Stratum = 16 }), timesrc.ReasonUnsynchronised, "stratum 16"},
		{"stratum 255", edit(func(r *ntptest.Reply) { r.Stratum = 255 }), timesrc.ReasonUnsynchronised, "stratum 255"},
		{"leap alarm", edit(func(r *ntptest.Reply) { r.Leap = 3 }), timesrc.ReasonUnsynchronised, "leap indicator 3"},
		{"stale reference", edit(func(r *ntptest.Reply) { r.Reference -= 48 * 3600 << 32 }), timesrc.ReasonUnsynchronised, "48h"},
		{"no reference", edit(func(r *ntptest.Reply) { r.Reference = 0 }), timesrc.ReasonUnsynchronised, "never"},
		{"reference in the future", edit(func(r *ntptest.Reply) { r.Reference += 3600 << 32 }), timesrc.ReasonUnsynchronised, ""},

		{"root dispersion", edit(func(r *ntptest.Reply) { r.RootDispersion = 2 << 16 }), timesrc.ReasonDistance, "of 1.5s allowed"},
		{"root delay", edit(func(r *ntptest.Reply) { r.RootDelay = 3 << 16 }), timesrc.ReasonDistance, "3s to its own source"},
		{"root dispersion of the whole range", edit(func(r *ntptest.Reply) { r.RootDispersion = 1<<32 - 1 }), timesrc.ReasonDistance, ""},
		{"root delay of the whole range", edit(func(r *ntptest.Reply) { r.RootDelay = 1<<32 - 1 }), timesrc.ReasonDistance, ""},

		{"held longer than it took", edit(func(r *ntptest.Reply) { r.Transmit += 10 << 32 }), timesrc.ReasonImpossible, "had the question for 10"},
		{"in the year 1970", edit(func(r *ntptest.Reply) {
			r.Reference, r.Receive, r.Transmit = 0x83aa7e80<<32, 0x83aa7e80<<32, 0x83aa7e80<<32
		}), "", ""}, // wrong by decades, as the others will show
		{"in the year 2105", edit(func(r *ntptest.Reply) {
			r.Reference, r.Receive, r.Transmit = 0x83000000<<32, 0x83000000<<32, 0x83000000<<32
		}), timesrc.ReasonImpossible, "era"},

		{"RATE", ntptest.Kiss("RATE", 10), timesrc.ReasonKiss, "RATE"},
		{"DENY", ntptest.Kiss("DENY", 6), timesrc.ReasonKiss, "DENY"},
		{"a kiss with no times", ntptest.Edit(func(r *ntptest.Reply) {
			r.Stratum, r.Receive, r.Transmit, r.ReferenceID = 0, 0, 0, [4]byte{'R', 'S', 'T', 'R'}
		}), timesrc.ReasonKiss, "RSTR"},
		{"a kiss that is not for us", ntptest.Each(func(q []byte, r ntptest.Reply) []ntptest.Datagram {
			r.Origin++
			return ntptest.Kiss("DENY", 6)(q, r)
		}, ntptest.Good), "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := ntptest.Start(t, ntptest.Config{Behaviour: test.behaviour})
			cfg := timesrc.ExchangeConfig{Server: "ntp.example", Addr: server.Addr(), Local: newMachine(), Timeout: 5 * time.Second}
			if test.want == timesrc.ReasonNoAnswer {
				cfg.Timeout = short
			}
			m, r, err := timesrc.Exchange(t.Context(), cfg)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if r == nil || m.Stratum != int(r.Stratum) || m.Authenticated {
					t.Errorf("measurement %+v of %+v", m, r)
				}
				if m.Offset.Abs() < time.Hour {
					within(t, m, 0)
				}
				return
			}
			var e *timesrc.Error
			if !errors.As(err, &e) || e.Reason != test.want || r != nil || m != (clock.Measurement{}) {
				t.Fatalf("Exchange = %+v, %v, %v; want the reason %q", m, r, err, test.want)
			}
			if text := err.Error(); !strings.Contains(text, "ntp.example") || !strings.Contains(text, test.text) {
				t.Errorf("%q does not say %q, or not of whom", text, test.text)
			}
		})
	}
}

func TestExchangeOffset(t *testing.T) {
	for _, ahead := range []time.Duration{0, 2 * time.Second, -2 * time.Second, 7500 * time.Millisecond, time.Hour, -20 * 365 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			server := ntptest.Start(t, ntptest.Config{})
			local := newMachine()
			local.wall.Store(int64(ahead))
			m, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: local})
			if err != nil {
				t.Fatal(err)
			}
			within(t, m, ahead)
			if m.Error > m.Delay+busy {
				t.Errorf("error %v, and the whole took %v", m.Error, m.Delay)
			}
		})
	}
}

// Whatever the way is like, the error covers what it does to the offset.
func TestExchangeWay(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{})
	for _, way := range []ntptest.Way{
		{},
		{There: 50 * time.Millisecond, Back: 50 * time.Millisecond},
		{There: 100 * time.Millisecond},
		{Back: 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%v there, %v back", way.There, way.Back), func(t *testing.T) {
			relay := ntptest.StartRelay(t, server.Addr())
			relay.Set(way)
			m, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: relay.Addr(), Local: newMachine()})
			if err != nil {
				t.Fatal(err)
			}
			within(t, m, 0)
			if least := way.There + way.Back; m.Delay < least || m.Error < least/2 {
				t.Errorf("delay %v, error %v; want at least %v and half of it", m.Delay, m.Error, least)
			}
			// A busy machine adds to the way, on either side.
			bias, more := (way.There-way.Back)/2, m.Error-(way.There+way.Back)/2
			if (m.Offset - bias).Abs() > more {
				t.Errorf("offset %v, error %v; the way makes it %v", m.Offset, m.Error, bias)
			}
		})
	}
}

// The error of a measurement grows with what the server says of itself.
func TestExchangeRoot(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{})
	local := newMachine()
	measure := func(change func(*ntptest.Reply)) clock.Measurement {
		server.Set(ntptest.Edit(change))
		m, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: local})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	none := func(r *ntptest.Reply) { r.RootDelay, r.RootDispersion, r.Precision = 0, 0, -30 }
	for _, test := range []struct {
		name   string
		change func(*ntptest.Reply)
		more   time.Duration
	}{
		{"dispersion", func(r *ntptest.Reply) { none(r); r.RootDispersion = 1 << 16 }, time.Second},
		{"half the root delay", func(r *ntptest.Reply) { none(r); r.RootDelay = 2 << 16 }, time.Second},
		{"precision", func(r *ntptest.Reply) { none(r); r.Precision = -2 }, 250 * time.Millisecond},
	} {
		m := measure(test.change)
		if more := m.Error - m.Delay/2; more < test.more || more > test.more+busy {
			t.Errorf("%s: error %v beside half of the delay; want %v and a little", test.name, more, test.more)
		}
	}
}

func TestExchangeLeap(t *testing.T) {
	for bits, want := range map[uint8]clock.Leap{0: clock.LeapNone, 1: clock.LeapInsert, 2: clock.LeapDelete} {
		server := ntptest.Start(t, ntptest.Config{Behaviour: ntptest.Edit(func(r *ntptest.Reply) { r.Leap = bits })})
		m, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: newMachine()})
		if err != nil || m.Leap != want {
			t.Errorf("leap indicator %d: %v, %v; want %v", bits, m.Leap, err, want)
		}
	}
}

// A clock that is set while the answer is on its way is noticed, and one that
// is merely slewed is in the error.
func TestExchangeStep(t *testing.T) {
	for _, test := range []struct {
		name          string
		wall, elapsed time.Duration
		want          timesrc.Reason
	}{
		{"a little forwards", 5 * time.Millisecond, 0, ""},
		{"a little back", -5 * time.Millisecond, 0, ""},
		{"forwards", 2 * time.Second, 0, timesrc.ReasonStepped},
		{"back", -2 * time.Second, 0, timesrc.ReasonStepped},
		{"the elapsed one back", 0, -2 * time.Second, timesrc.ReasonStepped},
		{"suspended for an hour", time.Hour, time.Hour, timesrc.ReasonStepped},
		{"suspended, for 10 s", 10 * time.Second, 10 * time.Second, timesrc.ReasonDistance},
	} {
		t.Run(test.name, func(t *testing.T) {
			local := newMachine()
			server := ntptest.Start(t, ntptest.Config{Behaviour: func(q []byte, good ntptest.Reply) []ntptest.Datagram {
				local.wall.Add(int64(test.wall))
				local.elapsed.Add(int64(test.elapsed))
				return ntptest.Good(q, good)
			}})
			m, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: local})
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				within(t, m, 0)         // at Start
				within(t, m, test.wall) // at End
				return
			}
			var e *timesrc.Error
			if !errors.As(err, &e) || e.Reason != test.want {
				t.Errorf("%+v, %v; want the reason %q", m, err, test.want)
			}
		})
	}
}

func TestExchangeQuestion(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{})
	local := newMachine()
	seen := map[uint64]bool{}
	for range 20 {
		if _, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: local}); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range server.Questions() {
		r, ok := ntptest.Parse(q)
		if !ok || r.Version != 4 || r.Mode != 3 || len(r.Extensions) != 0 {
			t.Fatalf("question %x", q)
		}
		// Nothing about this machine is told (RFC 9109 and data minimisation).
		if r.Origin != 0 || r.Receive != 0 || r.Reference != 0 || r.Stratum != 0 || r.RootDelay != 0 {
			t.Errorf("question %+v tells of this machine", r)
		}
		if now := ntptest.Timestamp(time.Now()) >> 32; r.Transmit>>32 == now {
			t.Errorf("the transmit time is the time")
		}
		seen[r.Transmit] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d numbers in 20 questions", len(seen))
	}
}

// extension adds four octets to the question and wants them in the answer.
type extension struct {
	ask, answer error
	response    []byte
}

func (e *extension) ProcessQuery(buf *bytes.Buffer) error {
	buf.Write([]byte{1, 2, 0, 4})
	return e.ask
}

func (e *extension) ProcessResponse(buf []byte) error {
	e.response = bytes.Clone(buf)
	return e.answer
}

func TestExchangeExtension(t *testing.T) {
	broken := errors.New("not authentic")
	echo := func(q []byte, good ntptest.Reply) []ntptest.Datagram {
		good.Extensions = q[ntptest.HeaderSize:]
		return []ntptest.Datagram{{Data: good.Marshal()}}
	}
	kiss := func(q []byte, good ntptest.Reply) []ntptest.Datagram { return ntptest.Kiss("RATE", 6)(q, good) }
	for _, test := range []struct {
		name      string
		e         extension
		behaviour ntptest.Behaviour
		want      timesrc.Reason
	}{
		{"good", extension{}, echo, ""},
		{"cannot ask", extension{ask: broken}, echo, timesrc.ReasonExtension},
		{"refuses", extension{answer: broken}, echo, timesrc.ReasonExtension},
		{"refuses a kiss", extension{answer: broken}, kiss, timesrc.ReasonExtension},
		{"accepts a kiss", extension{}, kiss, timesrc.ReasonKiss},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := ntptest.Start(t, ntptest.Config{Behaviour: test.behaviour})
			_, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{
				Addr: server.Addr(), Local: newMachine(), Extensions: []ntp.Extension{&test.e}})
			if test.want == "" {
				if err != nil || !bytes.Equal(test.e.response[ntptest.HeaderSize:], []byte{1, 2, 0, 4}) {
					t.Errorf("%v, response %x", err, test.e.response)
				}
				return
			}
			var e *timesrc.Error
			if !errors.As(err, &e) || e.Reason != test.want {
				t.Fatalf("%v; want the reason %q", err, test.want)
			}
			if got, want := errors.Is(err, broken), test.want == timesrc.ReasonExtension; got != want {
				t.Errorf("%v wraps the extension's error: %v; want %v", err, got, want)
			}
		})
	}
}

func TestKiss(t *testing.T) {
	for _, test := range []struct {
		code string
		poll int8
		want time.Duration
	}{
		{"RATE", 6, 2 * time.Minute},
		{"RATE", 10, 1024 * time.Second},
		{"RATE", -20, 2 * time.Minute},
		{"RATE", 127, 36 * time.Hour},
		{"DENY", 6, 24 * time.Hour},
		{"RSTR", 6, 24 * time.Hour},
		{"INIT", 6, 0},
		{"\x00\xff\n", 6, 0},
	} {
		server := ntptest.Start(t, ntptest.Config{Behaviour: ntptest.Kiss(test.code, test.poll)})
		_, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: newMachine()})
		var kiss *timesrc.KissError
		var retry interface{ RetryAfter() time.Duration }
		if !errors.As(err, &kiss) || !errors.As(err, &retry) || retry.RetryAfter() != test.want {
			t.Errorf("%q with poll %d: %v, left alone for %v; want %v", test.code, test.poll, err, retry, test.want)
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("the error has the server's octets: %q", err)
		}
	}
}

func TestExchangeEnds(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{Behaviour: ntptest.Silent})
	closed := ntptest.Start(t, ntptest.Config{}).Addr()
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(short, cancel)
		start := time.Now()
		_, _, err := timesrc.Exchange(ctx, timesrc.ExchangeConfig{Addr: server.Addr(), Local: newMachine()})
		if d := time.Since(start); !errors.Is(err, context.Canceled) || d > 3*time.Second {
			t.Errorf("%v after %v", err, d)
		}
	})
	t.Run("deadline of the caller", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		start := time.Now()
		_, _, err := timesrc.Exchange(ctx, timesrc.ExchangeConfig{Addr: server.Addr(), Local: newMachine()})
		var e *timesrc.Error
		if d := time.Since(start); !errors.As(err, &e) || e.Reason != timesrc.ReasonNoAnswer || d > 3*time.Second {
			t.Errorf("%v after %v", err, d)
		}
	})
	t.Run("flooded", func(t *testing.T) {
		flood := ntptest.Start(t, ntptest.Config{Behaviour: func(q []byte, good ntptest.Reply) []ntptest.Datagram {
			good.Origin++
			return make([]ntptest.Datagram, 3000)
		}})
		_, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: flood.Addr(), Local: newMachine(), Timeout: 2 * time.Second})
		var e *timesrc.Error
		if !errors.As(err, &e) || e.Reason != timesrc.ReasonNetwork && e.Reason != timesrc.ReasonNoAnswer {
			t.Errorf("%v", err)
		}
	})
	t.Run("no clock", func(t *testing.T) {
		var e *timesrc.Error
		if _, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: closed}); !errors.As(err, &e) || e.Reason != timesrc.ReasonConfig {
			t.Errorf("%v", err)
		}
		if _, _, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Local: newMachine()}); !errors.As(err, &e) || e.Reason != timesrc.ReasonConfig {
			t.Errorf("%v", err)
		}
	})
}

func TestExchangeNobodyThere(t *testing.T) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	conn.Close()
	_, _, err = timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: addr, Local: newMachine(), Timeout: short})
	var e *timesrc.Error
	// Some systems tell that nobody listens, some do not.
	if !errors.As(err, &e) || e.Reason != timesrc.ReasonNetwork && e.Reason != timesrc.ReasonNoAnswer {
		t.Errorf("%v", err)
	}
}

// FuzzReply answers with any octets, as the answer to the question that was
// asked or not. Whatever is taken for a measurement is one: the server's two
// times are within its error of the machine's, as it says they are.
func FuzzReply(f *testing.F) {
	good := ntptest.Reply{Version: 4, Mode: 4, Stratum: 2, Precision: -24, Reference: 1 << 63, Receive: 1<<63 + 1, Transmit: 1<<63 + 2}
	for _, seed := range [][]byte{nil, good.Marshal(), good.Marshal()[:47], make([]byte, 48), bytes.Repeat([]byte{0xff}, 100)} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	local := timesrc.SystemLocal()
	f.Fuzz(func(t *testing.T, data []byte, ours bool) {
		data = bytes.Clone(data)
		client, server := net.Pipe()
		defer client.Close()
		go func() {
			defer server.Close()
			q := make([]byte, ntptest.HeaderSize)
			if _, err := server.Read(q); err != nil {
				return
			}
			if ours && len(data) >= 32 {
				copy(data[24:32], q[40:48])
			}
			server.Write(data)
		}()
		m, r, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{
			Addr: netip.MustParseAddrPort("192.0.2.1:123"), Local: local, Timeout: time.Second,
			Dial: func(context.Context, netip.AddrPort) (net.Conn, error) { return client, nil },
		})
		if reply, ok := ntptest.Parse(data); ok && !bytes.Equal(reply.Marshal(), data) {
			t.Fatalf("%x: Marshal of Parse is another packet", data)
		}
		if err != nil {
			var e *timesrc.Error
			if !errors.As(err, &e) || r != nil || m != (clock.Measurement{}) {
				t.Fatalf("%v, with %v and %+v", err, r, m)
			}
			return
		}
		switch {
		case !ours && !bytes.Equal(data[24:32], make([]byte, 8)):
			t.Fatalf("%x: not the answer to the question", data)
		case m.Stratum < 1 || m.Stratum > 15, data[0]>>6 == 3, m.Error < 0, m.Error > 3*time.Second, m.Delay < 0:
			t.Fatalf("%x: %+v", data, m)
		case binary.BigEndian.Uint64(data[40:]) < binary.BigEndian.Uint64(data[32:]):
			t.Fatalf("%x: received after it was sent", data)
		}
		at := m.Start.Wall.Add(m.Offset)
		if d := r.Timestamps.ServerRecv.Sub(at); d < -m.Error || d > m.Error+m.Delay {
			t.Fatalf("%x: received at %v, which is not near %v, error %v", data, r.Timestamps.ServerRecv, at, m.Error)
		}
	})
}
