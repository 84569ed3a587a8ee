package peerserver

import (
	"fmt"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
)

// TestListenerFlags: each flag of the namesake that says something of listeners
// ends up where it belongs, and in no other.
func TestListenerFlags(t *testing.T) {
	listeners := func(args ...string) []serve.Listener {
		t.Helper()
		o := &options{env: &cli.Env{}}
		f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		o.flags(f)
		if err := f.Parse(append(args, "--scheme", "http,unix", "--socket-path", "/run/s")); err != nil {
			t.Fatal(err)
		}
		all, err := o.listeners()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	type seen struct {
		network, address                    string
		connections, perAddress, header     int
		readHeader, read, write, idle, keep time.Duration
		ping                                bool
	}
	look := func(l serve.Listener) seen {
		t := l.Timeouts
		return seen{l.Network, l.Address, l.Connections, l.PerAddress, l.MaxHeader, t.ReadHeader, t.Read, t.Write, t.Idle, t.KeepAlive, l.PingOnly}
	}
	// The defaults of the namesake, but for the number of connections, which 0
	// does not limit there.
	http := seen{address: "localhost:0", perAddress: -1, header: 1e6, read: 30 * time.Second, write: 30 * time.Second, idle: 10*time.Minute + 20*time.Second, keep: 3 * time.Minute}
	socket := http
	socket.network, socket.address = "unix", "/run/s"
	for _, test := range []struct {
		args []string
		bend func(http, socket *seen)
	}{
		{nil, func(*seen, *seen) {}},
		{[]string{"--host", "127.0.0.2", "--port", "3000"}, func(h, _ *seen) { h.address = "127.0.0.2:3000" }},
		{[]string{"--http-ping-only"}, func(h, _ *seen) { h.ping = true }},
		{[]string{"--listen-limit", "7"}, func(h, s *seen) { h.connections, s.connections = 7, 7 }},
		{[]string{"--listen-limit", "-1"}, func(h, s *seen) { h.connections, s.connections = -1, -1 }},
		{[]string{"--max-header-size", "5000"}, func(h, s *seen) { h.header, s.header = 5000, 5000 }},
		{[]string{"--read-timeout", "1s"}, func(h, s *seen) { h.read, s.read = time.Second, time.Second }},
		{[]string{"--write-timeout", "2s"}, func(h, s *seen) { h.write, s.write = 2*time.Second, 2*time.Second }},
		{[]string{"--cleanup-timeout", "3s"}, func(h, s *seen) { h.idle, s.idle = 3*time.Second, 3*time.Second }},
		{[]string{"--keep-alive", "4s"}, func(h, s *seen) { h.keep, s.keep = 4*time.Second, 4*time.Second }},
		{[]string{"--tls-listen-limit", "7", "--tls-read-timeout", "1s", "--tls-write-timeout", "1s", "--tls-keep-alive", "1s", "--tls-host", "127.0.0.9", "--tls-port", "1"}, func(*seen, *seen) {}},
	} {
		t.Run(fmt.Sprint(test.args), func(t *testing.T) {
			wantHTTP, wantSocket := http, socket
			test.bend(&wantHTTP, &wantSocket)
			got := listeners(test.args...)
			if len(got) != 2 || look(got[0]) != wantHTTP || look(got[1]) != wantSocket {
				t.Errorf("got  %+v\nwant %+v %+v", got, wantHTTP, wantSocket)
			}
		})
	}
}
