package nts_test

import (
	"context"
	"crypto/fips140"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts/ntstest"
)

// local is this machine's clocks, with an elapsed time that can be advanced.
type local struct {
	start time.Time
	ahead atomic.Int64
}

func newLocal() *local { return &local{start: time.Now()} }

func (l *local) Wall() time.Time         { return time.Now().Round(0) }
func (l *local) Elapsed() time.Duration  { return time.Since(l.start) + time.Duration(l.ahead.Load()) }
func (l *local) advance(d time.Duration) { l.ahead.Add(int64(d)) }

func newClient(t testing.TB, s *ntstest.Server, change func(*nts.Config)) *nts.Client {
	t.Helper()
	cfg := nts.Config{Address: s.Address(), Roots: s.Roots(), Local: newLocal(), Timeout: 2 * time.Second}
	if change != nil {
		change(&cfg)
	}
	c, err := nts.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// near holds that the measurement says that the clock is off by offset.
func near(t testing.TB, m clock.Measurement, offset time.Duration) {
	t.Helper()
	if !m.Authenticated {
		t.Error("not authenticated")
	}
	if d := (m.Offset - offset).Abs(); d > m.Error || m.Error > time.Second {
		t.Errorf("offset %v with an error of %v, want %v", m.Offset, m.Error, offset)
	}
}

func TestMeasure(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	c := newClient(t, s, nil)
	if c.Name() != s.Address() {
		t.Errorf("Name = %q, want %q", c.Name(), s.Address())
	}
	for i := range 30 {
		m, err := c.Measure(t.Context())
		if err != nil {
			t.Fatalf("measurement %d: %v", i, err)
		}
		near(t, m, 0)
	}
	// The first question has a pool of 8, and each answer makes it full again.
	want := ntstest.Counts{Exchanges: 1, Questions: 30, Cookies: 30}
	if got := s.Counts(); got != want {
		t.Errorf("the server counted %+v, want %+v", got, want)
	}
	s.Change(func(cfg *ntstest.Config) {
		cfg.Now = func() time.Time { return time.Now().Add(7500 * time.Millisecond) }
	})
	m, err := c.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	near(t, m, 7500*time.Millisecond)
}

func TestMeasureByName(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
		return append([]ntstest.Record{{Critical: true, Type: ntstest.ServerName, Body: []byte("localhost")}}, r...)
	}})
	_, port, err := net.SplitHostPort(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s, func(cfg *nts.Config) { cfg.Address = "localhost:" + port })
	m, err := c.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	near(t, m, 0)
}

// Lost questions cost a cookie each, and the next answer brings them all back.
func TestPool(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	c := newClient(t, s, func(cfg *nts.Config) { cfg.Timeout = 100 * time.Millisecond })
	if _, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Change(func(cfg *ntstest.Config) { cfg.Packets = func(_, _ []byte) [][]byte { return nil } })
	for range 5 {
		var e *timesrc.Error
		if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != timesrc.ReasonNoAnswer {
			t.Fatalf("Measure = %v, want no answer", err)
		}
	}
	before := s.Counts()
	s.Change(func(cfg *ntstest.Config) { cfg.Packets = nil })
	if _, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := s.Counts()
	if got := after.Cookies - before.Cookies; got != 6 { // five lost and the one just used
		t.Errorf("%d cookies came back, want 6", got)
	}
	if after.Exchanges != 1 || after.Reused != 0 || after.Unauthentic != 0 {
		t.Errorf("the server counted %+v", after)
	}
}

// Without cookies there is a key exchange, and after it a wait.
func TestPoolRunsOut(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{Packets: func(_, _ []byte) [][]byte { return nil }})
	clocks := newLocal()
	c := newClient(t, s, func(cfg *nts.Config) { cfg.Timeout = 50 * time.Millisecond; cfg.Local = clocks })
	for i := range 8 {
		var e *timesrc.Error
		if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != timesrc.ReasonNoAnswer {
			t.Fatalf("Measure %d = %v, want no answer", i, err)
		}
	}
	var e *nts.Error
	if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonWaiting || e.RetryAfter() <= 0 || e.RetryAfter() > 12*time.Second {
		t.Fatalf("Measure = %v, want waiting", err)
	}
	clocks.advance(12 * time.Second)
	s.Change(func(cfg *ntstest.Config) { cfg.Packets = nil })
	if _, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Counts(); got.Exchanges != 2 || got.Reused != 0 {
		t.Errorf("the server counted %+v", got)
	}
}

// TestNetworkReturns: after a night without a network, time is had within
// minutes of its return, not only when the key exchange has backed off for an
// hour.
func TestNetworkReturns(t *testing.T) {
	server := ntstest.Start(t, ntstest.Config{})
	l := newLocal()
	down := true
	c := newClient(t, server, func(cfg *nts.Config) {
		cfg.Local = l
		cfg.Dial = func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			if down {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ENETUNREACH}
			}
			return new(net.Dialer).DialContext(ctx, network, addr.String())
		}
	})
	asked := 0
	for range 8 * 60 {
		_, err := c.Measure(t.Context())
		var e *nts.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		if e.Reason == nts.ReasonUnreachable {
			asked++
		}
		l.advance(time.Minute)
	}
	if asked > 8*15+10 {
		t.Errorf("%d key exchanges in eight hours", asked)
	}
	down = false
	l.advance(5 * time.Minute)
	if _, err := c.Measure(t.Context()); err != nil {
		t.Errorf("five minutes after the network is back: %v", err)
	}
}

func TestRefusesAnswers(t *testing.T) {
	other, err := nts.NewSIV(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		server ntstest.Config
		reason nts.Reason // or
		ntp    timesrc.Reason
	}{
		{"wrong key", ntstest.Config{Reply: func(r *ntstest.Reply) { r.Key = other }}, nts.ReasonUnauthentic, ""},
		{"stripped", ntstest.Config{Reply: func(r *ntstest.Reply) { r.Key = nil }}, nts.ReasonUnauthentic, ""},
		{"stripped and renamed", ntstest.Config{Reply: func(r *ntstest.Reply) { r.Key, r.UniqueID = nil, nil }}, "", timesrc.ReasonNoAnswer},
		{"plain NTP", ntstest.Config{Packets: func(_, p []byte) [][]byte { return [][]byte{p[:48]} }}, "", timesrc.ReasonNoAnswer},
		{"other unique identifier", ntstest.Config{Reply: func(r *ntstest.Reply) { r.UniqueID = make([]byte, 32) }}, "", timesrc.ReasonNoAnswer},
		{"time changed on the way", ntstest.Config{Packets: func(_, p []byte) [][]byte { p[35] ^= 1; return [][]byte{p} }}, nts.ReasonUnauthentic, ""},
		{"NTSN without the unique identifier", ntstest.Config{Reply: func(r *ntstest.Reply) {
			r.Key, r.UniqueID, r.Header[1] = nil, nil, 0
			copy(r.Header[12:], "NTSN")
		}}, "", timesrc.ReasonNoAnswer},
		{"RATE by somebody else", ntstest.Config{Reply: func(r *ntstest.Reply) {
			r.Key, r.Header[1] = nil, 0
			copy(r.Header[12:], "RATE")
		}}, nts.ReasonUnauthentic, ""},
		{"RATE", ntstest.Config{Reply: func(r *ntstest.Reply) { r.Header[1] = 0; copy(r.Header[12:], "RATE") }}, "", timesrc.ReasonKiss},
		{"not synchronised", ntstest.Config{Reply: func(r *ntstest.Reply) { r.Header[0] |= 0xc0 }}, "", timesrc.ReasonUnsynchronised},
		{"far from its source", ntstest.Config{Reply: func(r *ntstest.Reply) { r.Header[9] = 9 }}, "", timesrc.ReasonDistance},
		{"silence", ntstest.Config{Packets: func(_, _ []byte) [][]byte { return nil }}, "", timesrc.ReasonNoAnswer},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := ntstest.Start(t, test.server)
			c := newClient(t, s, func(c *nts.Config) { c.Timeout = 500 * time.Millisecond })
			m, err := c.Measure(t.Context())
			var e *nts.Error
			var ntp *timesrc.Error
			isNTS, isNTP := errors.As(err, &e), errors.As(err, &ntp)
			if err == nil || m != (clock.Measurement{}) || test.reason != "" && (!isNTS || e.Reason != test.reason) || test.ntp != "" && (isNTS || !isNTP || ntp.Reason != test.ntp) {
				t.Fatalf("Measure = %+v, %v; want %s%s", m, err, test.reason, test.ntp)
			}
			t.Log(err)
			// It was not the client's fault, and not the end of the keys.
			s.Change(func(cfg *ntstest.Config) { *cfg = ntstest.Config{} })
			if m, err := c.Measure(t.Context()); err != nil {
				t.Errorf("the next one: %v", err)
			} else {
				near(t, m, 0)
			}
			if got := s.Counts(); got.Exchanges != 1 || got.Reused != 0 || got.Unknown != 0 {
				t.Errorf("the server counted %+v", got)
			}
		})
	}
}

// A flood of packets costs no more time than it takes to read so many.
func TestFlood(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	var floods []*flood
	c := newClient(t, s, func(cfg *nts.Config) {
		cfg.Timeout = time.Minute
		cfg.Dial = func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, network, addr.String())
			if err == nil && network == "udp" {
				floods = append(floods, &flood{Conn: conn})
				return floods[0], nil
			}
			return conn, err
		}
	})
	_, err := c.Measure(t.Context())
	var e *timesrc.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "1001 packets and no authentic answer") {
		t.Errorf("Measure = %v", err)
	}
	if len(floods) != 1 || floods[0].reads != 1001 {
		t.Errorf("%d connections, read %d times", len(floods), floods[0].reads)
	}
}

// A flood is a connection on which what comes is always the same, and nothing.
type flood struct {
	net.Conn
	reads int
}

func (f *flood) Read(p []byte) (int, error) {
	f.reads++
	return copy(p, make([]byte, 200)), nil
}

// Forged packets that come first do not keep the answer away.
func TestForgedFirst(t *testing.T) {
	var replay []byte
	for _, test := range []struct {
		name    string
		packets func(question, reply []byte) [][]byte
	}{
		{"NTSN by somebody who saw the question", func(q, reply []byte) [][]byte {
			nak := slices.Clone(reply[:48+36])
			nak[1] = 0
			copy(nak[12:], "NTSN")
			return [][]byte{nak, reply}
		}},
		{"changed", func(_, reply []byte) [][]byte {
			forged := slices.Clone(reply)
			forged[33] ^= 0x80
			return [][]byte{forged, reply}
		}},
		{"replayed", func(_, reply []byte) [][]byte {
			old := replay
			replay = slices.Clone(reply)
			if old == nil {
				return [][]byte{reply}
			}
			return [][]byte{old, reply}
		}},
		{"question sent back", func(q, reply []byte) [][]byte { return [][]byte{q, reply} }},
		{"plain NTP", func(_, reply []byte) [][]byte { return [][]byte{reply[:48], reply} }},
		{"short", func(_, reply []byte) [][]byte { return [][]byte{{}, reply[:20], reply} }},
		{"twice", func(_, reply []byte) [][]byte { return [][]byte{reply, reply} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ntstest.Start(t, ntstest.Config{Packets: test.packets})
			c := newClient(t, s, nil)
			for range 3 {
				m, err := c.Measure(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				near(t, m, 0)
			}
			if got := s.Counts(); got.Exchanges != 1 || got.Questions != 3 {
				t.Errorf("the server counted %+v", got)
			}
		})
	}
}

// A replayed answer alone is none.
func TestReplay(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	var replay []byte
	c := newClient(t, s, func(c *nts.Config) { c.Timeout = 200 * time.Millisecond })
	s.Change(func(cfg *ntstest.Config) {
		cfg.Packets = func(_, reply []byte) [][]byte { replay = reply; return [][]byte{reply} }
	})
	if _, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Change(func(cfg *ntstest.Config) {
		cfg.Packets = func(question, _ []byte) [][]byte {
			again := slices.Clone(replay)
			copy(again[24:32], question[40:48]) // even with the right number
			return [][]byte{replay, again}
		}
	})
	if m, err := c.Measure(t.Context()); err == nil {
		t.Errorf("Measure = %+v by a replay", m)
	}
}

// A server that has lost its keys: the cookies are not taken, there are new
// keys, and a server which does that again and again is not asked each time.
func TestForgotten(t *testing.T) {
	t.Parallel()
	s := ntstest.Start(t, ntstest.Config{})
	clocks := newLocal()
	c := newClient(t, s, func(cfg *nts.Config) { cfg.Local = clocks })
	if _, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	clocks.advance(time.Minute)
	s.Forget()
	var e *nts.Error
	if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonCookies {
		t.Fatalf("Measure = %v, want cookies", err)
	}
	if m, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	} else {
		near(t, m, 0)
	}
	if got := s.Counts(); got.Exchanges != 2 || got.Unknown != 1 {
		t.Errorf("the server counted %+v", got)
	}

	// It forgets after each exchange, for an hour.
	s.Change(func(cfg *ntstest.Config) {
		cfg.Records = func(r []ntstest.Record) []ntstest.Record { go s.Forget(); return r }
		cfg.Reply = func(r *ntstest.Reply) { r.Key = nil; r.Header[1] = 0; copy(r.Header[12:], "NTSN") }
	})
	before := s.Counts().Exchanges
	for range 15 {
		clocks.advance(4 * time.Minute)
		if m, err := c.Measure(t.Context()); err == nil {
			t.Fatalf("Measure = %+v", m)
		}
	}
	// 10 s * 1.5^n: within an hour it is worth 12 exchanges at most.
	if got := s.Counts().Exchanges - before; got < 5 || got > 13 {
		t.Errorf("%d key exchanges in an hour", got)
	}
	s.Change(func(cfg *ntstest.Config) { *cfg = ntstest.Config{} })
	clocks.advance(2 * time.Hour)
	if _, err := c.Measure(t.Context()); err != nil {
		t.Errorf("after the server is well again: %v", err)
	}
}

// New keys each day; the old ones serve while there are none, for a week.
func TestRefresh(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	clocks := newLocal()
	c := newClient(t, s, func(cfg *nts.Config) { cfg.Local = clocks })
	measure := func(exchanges int) error {
		t.Helper()
		_, err := c.Measure(t.Context())
		if got := s.Counts().Exchanges; got != exchanges {
			t.Errorf("%d key exchanges, want %d (%v)", got, exchanges, err)
		}
		return err
	}
	if err := measure(1); err != nil {
		t.Fatal(err)
	}
	clocks.advance(25 * time.Hour)
	if err := measure(2); err != nil {
		t.Fatal(err)
	}
	s.Change(func(cfg *ntstest.Config) { cfg.TLS = func(c *tls.Config) { c.NextProtos = nil } })
	clocks.advance(25 * time.Hour)
	if err := measure(2); err != nil {
		t.Fatalf("the old keys do not serve any more: %v", err)
	}
	clocks.advance(6 * 24 * time.Hour)
	var e *nts.Error
	if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonNotNTS {
		t.Errorf("Measure with keys of more than a week = %v", err)
	}
}

// Time that the server's own certificate was not valid at, or is not any more,
// is not taken.
func TestTimeOutsideCertificate(t *testing.T) {
	for _, offset := range []time.Duration{-2 * time.Hour, 2 * time.Hour} {
		s := ntstest.Start(t, ntstest.Config{Now: func() time.Time { return time.Now().Add(offset) }})
		c := newClient(t, s, nil)
		var e *nts.Error
		m, err := c.Measure(t.Context())
		if !errors.As(err, &e) || e.Reason != nts.ReasonCertificate || m != (clock.Measurement{}) {
			t.Errorf("server %v off: Measure = %+v, %v", offset, m, err)
		}
	}
}

// Keys end with the certificate they were agreed on under.
func TestCertificateEnds(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	clocks := newLocal()
	var ahead atomic.Int64
	c := newClient(t, s, func(cfg *nts.Config) {
		cfg.Local = clocks
		cfg.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	if _, err := c.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(2 * time.Hour))
	clocks.advance(time.Minute)
	var e *nts.Error
	if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonCertificate || !strings.Contains(err.Error(), "expired") {
		t.Errorf("Measure after the certificate's end = %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{})
	c := newClient(t, s, nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 4 {
				if m, err := c.Measure(t.Context()); err != nil {
					t.Error(err)
				} else {
					near(t, m, 0)
				}
			}
		})
	}
	wg.Wait()
	if got := s.Counts(); got.Exchanges != 1 || got.Reused != 0 || got.Questions != 64 {
		t.Errorf("the server counted %+v", got)
	}
}

func TestContext(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{NoClose: true, Octets: func(b []byte) []byte { return b[:10] }})
	c := newClient(t, s, func(c *nts.Config) { c.Timeout = time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Measure(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Measure = %v", err)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("it took %v", d)
	}
}

// AES-SIV is no algorithm of FIPS 140-3. The mode is chosen where a process
// starts.
func TestFIPS(t *testing.T) {
	if fips140.Enforced() {
		c, err := nts.New(nts.Config{Address: "time.example"})
		if c != nil || err == nil || !strings.Contains(err.Error(), "FIPS 140-3") {
			t.Errorf("New = %v, %v; want it to refuse", c, err)
		}
		return
	}
	for mode, test := range map[string]string{"only": "^TestFIPS$", "on": "^TestMeasure$"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", test, "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+strings.Trim(test, "^$")) {
			t.Errorf("GODEBUG=fips140=%s: %v\n%s", mode, err, out)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, cfg := range []nts.Config{
		{},
		{Address: "https://time.example"},
		{Address: "time.example:0"},
		{Address: "time.example", Timeout: -1},
		{Address: "time.example", MaxRootDistance: -1},
	} {
		if c, err := nts.New(cfg); err == nil || c != nil {
			t.Errorf("New(%+v) = %v, %v", cfg, c, err)
		}
	}
}
