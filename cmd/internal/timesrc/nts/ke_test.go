package nts_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/nts/ntstest"
)

func TestRefusesKeyExchange(t *testing.T) {
	set := func(kind uint16, body []byte) func([]ntstest.Record) []ntstest.Record {
		return func(records []ntstest.Record) []ntstest.Record {
			for i := range records {
				if records[i].Type == kind {
					records[i].Body = body
				}
			}
			return records
		}
	}
	for _, test := range []struct {
		name   string
		server ntstest.Config
		client func(*nts.Config)
		reason nts.Reason
		text   string // all of them, separated by |
	}{
		{"wrong root", ntstest.Config{}, func(c *nts.Config) { c.Roots = x509.NewCertPool() }, nts.ReasonCertificate, "unknown authority|tsa.clock.ca"},
		{"system's roots", ntstest.Config{}, func(c *nts.Config) { c.Roots = nil }, nts.ReasonCertificate, "tsa.clock.ca"},
		{"expired", ntstest.Config{Certificate: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }}, nil, nts.ReasonCertificate, "expired|set by hand"},
		{"not valid yet", ntstest.Config{Certificate: func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }}, nil, nts.ReasonCertificate, "not yet valid|set by hand"},
		{"clock of this machine years behind", ntstest.Config{}, func(c *nts.Config) { c.Now = func() time.Time { return time.Unix(0, 0) } }, nts.ReasonCertificate, "set by hand"},
		{"other name", ntstest.Config{Certificate: func(c *x509.Certificate) { c.IPAddresses = nil }}, nil, nts.ReasonCertificate, "name the server as its certificate does"},
		{"certificate for clients", ntstest.Config{Certificate: func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }}, nil, nts.ReasonCertificate, "key usage"},
		{"TLS 1.2", ntstest.Config{TLS: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }}, nil, nts.ReasonNotNTS, "TLS 1.3"},
		{"wrong ALPN", ntstest.Config{TLS: func(c *tls.Config) { c.NextProtos = []string{"h2"} }}, nil, nts.ReasonNotNTS, "ntske/1|4460"},
		{"no ALPN", ntstest.Config{TLS: func(c *tls.Config) { c.NextProtos = nil }}, nil, nts.ReasonNotNTS, "ntske/1"},
		{"demands a certificate", ntstest.Config{TLS: func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }}, nil, nts.ReasonRefused, "certificate"},
		{"no cookies", ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
			return slices.DeleteFunc(r, func(r ntstest.Record) bool { return r.Type == ntstest.Cookie })
		}}, nil, nts.ReasonMalformed, "no cookie"},
		{"1000 cookies", ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
			return append(slices.Repeat(r[3:4], 1000), r...)
		}}, nil, nts.ReasonMalformed, "more than 64 records"},
		{"cookie of 60 kB", ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
			return append([]ntstest.Record{{Type: ntstest.Cookie, Body: make([]byte, 60000)}}, r...)
		}}, nil, nts.ReasonMalformed, "cookie of 60000"},
		{"wrong AEAD", ntstest.Config{Records: set(ntstest.AEAD, []byte{0, 16})}, nil, nts.ReasonUnsupported, "chose 16"},
		{"no AEAD in common", ntstest.Config{Records: set(ntstest.AEAD, nil)}, nil, nts.ReasonUnsupported, "does not do AEAD_AES_SIV_CMAC_256"},
		{"no NTPv4", ntstest.Config{Records: set(ntstest.NextProtocol, nil)}, nil, nts.ReasonUnsupported, "does not do NTPv4"},
		{"critical unknown", ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
			return append([]ntstest.Record{{Critical: true, Type: 1000}}, r...)
		}}, nil, nts.ReasonMalformed, "unknown critical record 1000"},
		{"error", ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
			return append([]ntstest.Record{{Critical: true, Type: ntstest.Error, Body: []byte{0, 2}}}, r...)
		}}, nil, nts.ReasonRefused, "error 2, internal server error"},
		{"warning", ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
			return append([]ntstest.Record{{Critical: true, Type: ntstest.Warning, Body: []byte{1, 0}}}, r...)
		}}, nil, nts.ReasonRefused, "warning 256"},
		{"trailing octets", ntstest.Config{Octets: func(b []byte) []byte { return append(b, 0) }}, nil, nts.ReasonMalformed, "after End of Message"},
		{"cut short", ntstest.Config{Octets: func(b []byte) []byte { return b[:len(b)-1] }}, nil, nts.ReasonMalformed, "without End of Message"},
		{"nothing", ntstest.Config{Octets: func([]byte) []byte { return nil }}, nil, nts.ReasonMalformed, "without End of Message"},
		{"never ends", ntstest.Config{NoClose: true, Octets: func(b []byte) []byte { return b[:len(b)-4] }}, nil, nts.ReasonUnreachable, "deadline"},
		{"megabytes", ntstest.Config{Octets: func([]byte) []byte {
			return slices.Repeat(append(binary.BigEndian.AppendUint16([]byte{0, 99}, 60000), make([]byte, 60000)...), 30)
		}}, nil, nts.ReasonMalformed, "longer than 65536"},
		{"nobody there", ntstest.Config{}, func(c *nts.Config) { c.Address = "127.0.0.1:1" }, nts.ReasonUnreachable, "nothing listens there|4460"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := ntstest.Start(t, test.server)
			c := newClient(t, s, test.client)
			m, err := c.Measure(t.Context())
			var e *nts.Error
			if m != (clock.Measurement{}) || !errors.As(err, &e) || e.Reason != test.reason {
				t.Fatalf("Measure = %+v, %v; want %s", m, err, test.reason)
			}
			for text := range strings.SplitSeq(test.text, "|") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v: want %q", err, text)
				}
			}
			if !strings.HasPrefix(err.Error(), "time server nts://127.0.0.1:") || e.RetryAfter() <= 5*time.Second || e.RetryAfter() > 12*time.Second {
				t.Errorf("%v, to be asked again after %v", err, e.RetryAfter())
			}
			if got := s.Counts(); got.Questions != 0 {
				t.Errorf("the server was asked for the time: %+v", got)
			}
			t.Log(err)
			// Another try at once does not go to the server.
			if _, err := c.Measure(t.Context()); !errors.As(err, &e) || e.Reason != nts.ReasonWaiting || !strings.Contains(err.Error(), "tsa.clock.ca") && strings.Contains(test.text, "tsa.clock.ca") {
				t.Errorf("a second Measure = %v; want waiting", err)
			}
		})
	}
}

func TestNotTLS(t *testing.T) {
	for _, test := range []struct{ name, says, text string }{
		{"SSH", "SSH-2.0-OpenSSH\r\n", "does not speak TLS"},
		{"hangs up", "", "hangs up"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					if _, err := conn.Read(make([]byte, 4096)); err == nil {
						conn.Write([]byte(test.says))
					}
					conn.Close()
				}
			}()
			c, err := nts.New(nts.Config{Address: l.Addr().String(), Local: newLocal(), Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Measure(t.Context())
			var e *nts.Error
			if !errors.As(err, &e) || e.Reason != nts.ReasonNotNTS || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Measure = %v", err)
			}
		})
	}
}

// A key exchange in which the server does not hang up is one all the same, and
// more cookies than eight are no fault.
func TestTolerates(t *testing.T) {
	s := ntstest.Start(t, ntstest.Config{NoClose: true, Records: func(r []ntstest.Record) []ntstest.Record {
		return append([]ntstest.Record{
			{Type: 0x4000, Body: []byte("of an experiment")},
			{Type: ntstest.Cookie, Body: make([]byte, 100)},
		}, r...)
	}})
	c := newClient(t, s, nil)
	if _, err := c.Measure(t.Context()); err == nil { // the cookie that nobody knows
		t.Error("an unknown cookie was answered")
	}
	if m, err := c.Measure(t.Context()); err != nil {
		t.Error(err)
	} else {
		near(t, m, 0)
	}
}

// A server may send us to another host, but not to the inside of this one.
func TestSentElsewhere(t *testing.T) {
	for _, test := range []struct {
		name, server string
		addrs        []netip.Addr
		ok           bool
	}{
		{"address", "192.0.2.7", nil, true},
		{"name", "ntp.example", []netip.Addr{netip.MustParseAddr("192.0.2.7")}, true},
		{"loopback", "127.0.0.1", nil, false},
		{"name of loopback", "ntp.example", []netip.Addr{netip.MustParseAddr("::1")}, false},
		{"name of mapped loopback", "ntp.example", []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, false},
		{"link-local", "169.254.169.254", nil, false},
		{"name of multicast", "ntp.example", []netip.Addr{netip.MustParseAddr("224.0.1.1")}, false},
		{"name of nothing", "ntp.example", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := ntstest.Start(t, ntstest.Config{Records: func(r []ntstest.Record) []ntstest.Record {
				return append([]ntstest.Record{{Type: ntstest.ServerName, Body: []byte(test.server)}}, r...)
			}})
			var asked []netip.AddrPort
			clocks := newLocal()
			c := newClient(t, s, func(cfg *nts.Config) {
				cfg.Local = clocks
				cfg.Address = "localhost" // which is said to be outside, and is reached by Dial
				cfg.Resolver = resolver{"localhost": {netip.MustParseAddr("192.0.2.1")}, "ntp.example": test.addrs}
				cfg.Dial = func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
					var d net.Dialer
					if network == "tcp" {
						return d.DialContext(ctx, "tcp", s.Address())
					}
					asked = append(asked, addr)
					return d.DialContext(ctx, "udp", s.NTP().String())
				}
			})
			_, err := c.Measure(t.Context())
			if test.ok != (err == nil) {
				t.Errorf("Measure = %v", err)
			}
			want := []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), s.NTP().Port())}
			if !test.ok {
				want = nil
			}
			if !slices.Equal(asked, want) {
				t.Errorf("asked %v, want %v", asked, want)
			}
			// The keys are not kept that lead nowhere.
			s.Change(func(cfg *ntstest.Config) { cfg.Records = nil })
			clocks.advance(time.Minute)
			if _, err := c.Measure(t.Context()); err != nil {
				t.Errorf("with a server that does better: %v", err)
			}
		})
	}
}

type resolver map[string][]netip.Addr

func (r resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return r[host], nil
}
