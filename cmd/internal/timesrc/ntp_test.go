package timesrc_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/ntptest"
)

// names is a resolver of the test's.
type names struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	asked []string
}

func (n *names) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, network+" "+host)
	return n.addrs, n.err
}

func (n *names) lookups() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.asked)
}

func TestHost(t *testing.T) {
	for _, test := range []struct {
		address string
		want    string // "": refused
		name    string
	}{
		{"192.0.2.1", "192.0.2.1:123", "192.0.2.1"},
		{"192.0.2.1:1123", "192.0.2.1:1123", "192.0.2.1"},
		{"2001:db8::1", "[2001:db8::1]:123", "2001:db8::1"},
		{"[2001:db8::1]", "[2001:db8::1]:123", "2001:db8::1"},
		{"[2001:db8::1]:1123", "[2001:db8::1]:1123", "2001:db8::1"},
		{"fe80::1%eth0", "[fe80::1%eth0]:123", "fe80::1%eth0"},
		{"ntp.example", "198.51.100.7:123", "ntp.example"},
		{"ntp.example.", "198.51.100.7:123", "ntp.example."},
		{"ntp.example:65535", "198.51.100.7:65535", "ntp.example"},
		{"a_b-c.example", "198.51.100.7:123", "a_b-c.example"},
		{"", "", ""},
		{":123", "", ""},
		{"ntp.example:", "", ""},
		{"ntp.example:0", "", ""},
		{"ntp.example:65536", "", ""},
		{"ntp.example:ntp", "", ""},
		{"ntp://ntp.example", "", ""},
		{"ntp.example/", "", ""},
		{"ntp..example", "", ""},
		{"-ntp.example", "", ""},
		{"192.0.2", "", ""},
		{"192.0.2.300", "", ""},
		{"[2001:db8::1", "", ""},
		{"[ntp.example", "", ""},
		{"two names", "", ""},
		{strings.Repeat("a.", 200) + "example", "", ""},
		{strings.Repeat("a", 64) + ".example", "", ""},
	} {
		h, err := timesrc.NewHost(test.address, timesrc.NTPPort, &names{addrs: []netip.Addr{netip.MustParseAddr("198.51.100.7")}})
		if test.want == "" {
			if err == nil || h != nil {
				t.Errorf("NewHost(%q) = %v; want an error", test.address, h)
			}
			continue
		}
		if err != nil {
			t.Errorf("NewHost(%q): %v", test.address, err)
			continue
		}
		addr, err := h.Addr(t.Context())
		if err != nil || addr.String() != test.want || h.Name() != test.name || h.String() != test.address {
			t.Errorf("NewHost(%q) = %v, %q, %v; want %s", test.address, addr, h.Name(), err, test.want)
		}
	}
}

// However a host is written, and at whatever port, it is the same, but for the
// ports of this machine.
func TestHostSame(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"time.example", "time.example", true},
		{"time.example", "Time.Example.", true},
		{"time.example", "time.example:123", true},
		{"time.example", "time.example:1123", true},
		{"time.example", "time1.example", false},
		{"time.example", "192.0.2.1", false},
		{"192.0.2.1", "192.0.2.1:1123", true},
		{"192.0.2.1", "[::ffff:192.0.2.1]:123", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "[2001:DB8:0::1]:123", true},
		{"fe80::1%eth0", "fe80::1%eth1", false},
		{"127.0.0.1:1001", "127.0.0.1:1002", false},
		{"127.0.0.1", "127.0.0.1:123", true},
		{"[::1]:1001", "[::1]:1002", false},
		{"localhost:1001", "localhost:1002", false},
		{"localhost", "LOCALHOST:123", true},
	} {
		a, err := timesrc.NewHost(test.a, timesrc.NTPPort, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := timesrc.NewHost(test.b, timesrc.NTPPort, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Same(b); got != test.want || b.Same(a) != got {
			t.Errorf("%s and %s are the same: %v, the other way round %v; want %v", test.a, test.b, got, b.Same(a), test.want)
		}
	}
}

// A measurement says who answered, so that names which lead to one server can
// be told from several servers.
func TestMeasurementServer(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{})
	for _, test := range []struct{ addr, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"127.0.0.1", "127.0.0.1:123"},
	} {
		r, err := timesrc.NTP(timesrc.NTPConfig{
			Address:  "time.example",
			Resolver: &names{addrs: []netip.Addr{netip.MustParseAddr(test.addr)}},
			Dial: func(context.Context, netip.AddrPort) (net.Conn, error) {
				return net.Dial("udp", server.Addr().String())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Measure(t.Context())
		if err != nil || m.Server != test.want {
			t.Errorf("answered by %q, %v; want %q", m.Server, err, test.want)
		}
	}
}

func TestHostAddresses(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.3")
	resolver := &names{addrs: []netip.Addr{a, a, b, netip.MustParseAddr("::ffff:192.0.2.1")}}
	h, err := timesrc.NewHost("pool.example", 123, resolver)
	if err != nil {
		t.Fatal(err)
	}
	next := func(want netip.Addr, lookups int) netip.AddrPort {
		t.Helper()
		addr, err := h.Addr(t.Context())
		if err != nil || addr.Addr() != want || resolver.lookups() != lookups {
			t.Fatalf("Addr() = %v, %v after %d lookups; want %v after %d", addr, err, resolver.lookups(), want, lookups)
		}
		return addr
	}
	first := next(a, 1)
	next(a, 1) // sticky
	h.Failed(first)
	h.Failed(first) // by somebody who was slower
	second := next(b, 1)
	resolver.addrs = []netip.Addr{b, c}
	h.Failed(second)
	next(c, 2) // the one that failed comes last
	resolver.addrs, resolver.err = nil, errors.New("SERVFAIL")
	h.Failed(netip.AddrPortFrom(c, 123))
	next(b, 2)
	h.Failed(second)
	var e *timesrc.Error
	if _, err := h.Addr(t.Context()); !errors.As(err, &e) || e.Reason != timesrc.ReasonName || !errors.Is(err, resolver.err) {
		t.Errorf("Addr() = %v; want the resolver's error", err)
	}
	resolver.err = nil
	if _, err := h.Addr(t.Context()); !errors.As(err, &e) || e.Reason != timesrc.ReasonName {
		t.Errorf("Addr() of a name without an address = %v", err)
	}
	resolver.addrs = []netip.Addr{b}
	next(b, 5)
}

func TestNTP(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{})
	for _, test := range []struct {
		name string
		cfg  timesrc.NTPConfig
	}{
		{"no address", timesrc.NTPConfig{}},
		{"bad address", timesrc.NTPConfig{Address: "ntp://a"}},
		{"negative timeout", timesrc.NTPConfig{Address: "a.example", Timeout: -1}},
		{"negative distance", timesrc.NTPConfig{Address: "a.example", MaxRootDistance: -1}},
	} {
		if r, err := timesrc.NTP(test.cfg); err == nil || r != nil {
			t.Errorf("%s: NTP = %v, %v; want an error", test.name, r, err)
		}
	}
	r, err := timesrc.NTP(timesrc.NTPConfig{Address: server.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	if r.Name() != server.Addr().String() {
		t.Errorf("Name() = %q", r.Name())
	}
	m, err := r.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	within(t, m, 0)
}

// One address of a name is used as long as it answers, and the next when it
// does not.
func TestNTPFailover(t *testing.T) {
	bad := ntptest.Start(t, ntptest.Config{Behaviour: ntptest.Edit(func(r *ntptest.Reply) { r.Stratum = 16 })})
	good := ntptest.Start(t, ntptest.Config{})
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	var dialled []netip.Addr
	resolver := &names{addrs: []netip.Addr{one, two}}
	r, err := timesrc.NTP(timesrc.NTPConfig{
		Address: "pool.example", Resolver: resolver,
		Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			dialled = append(dialled, addr.Addr())
			target := map[netip.Addr]*ntptest.Server{one: bad, two: good}[addr.Addr()]
			return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target.Addr()))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Measure(t.Context()); err == nil {
		t.Error("a measurement of a server that is not synchronised")
	}
	for range 3 {
		m, err := r.Measure(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		within(t, m, 0)
	}
	if resolver.lookups() != 1 || len(dialled) != 4 || dialled[0] != one || dialled[1] != two || dialled[3] != two {
		t.Errorf("%d lookups, dialled %v", resolver.lookups(), dialled)
	}
	good.Set(ntptest.Silent)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if _, err := r.Measure(ctx); err == nil {
		t.Error("a measurement of a silent server")
	}
	bad.Set(ntptest.Good)
	if _, err := r.Measure(t.Context()); err != nil || resolver.lookups() != 2 {
		t.Errorf("%v after %d lookups; want the name to be looked up anew", err, resolver.lookups())
	}
}

func TestNTPOverIPv6(t *testing.T) {
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 on the loopback: %v", err)
		return
	}
	conn.Close()
	server := ntptest.Start(t, ntptest.Config{Listen: "[::1]:0"})
	r, err := timesrc.NTP(timesrc.NTPConfig{Address: server.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	within(t, m, 0)
}

func TestNTPAtOnce(t *testing.T) {
	server := ntptest.Start(t, ntptest.Config{})
	r, err := timesrc.NTP(timesrc.NTPConfig{Address: server.Addr().String(), Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := r.Measure(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
