package serve

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKeepAlive looks at the sockets that are accepted.
func TestKeepAlive(t *testing.T) {
	for _, test := range []struct {
		name string
		d    time.Duration
		want int // seconds until the first probe and between two, 0 for none
	}{{"default", 0, 15}, {"as said", 3 * time.Minute, 180}, {"none", -1, 0}} {
		s, _ := newServer(t, nil)
		all, err := s.open(t.Context(), Listener{Address: "127.0.0.1:0", Timeouts: Timeouts{KeepAlive: test.d}}, s)
		if err != nil {
			t.Fatal(err)
		}
		l := all[0].listener
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := conn.(*connection).Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
			if err != nil || (on != 0) != (test.want != 0) {
				t.Errorf("%s: on: %d, %v", test.name, on, err)
			}
			for option, name := range map[int]string{unix.TCP_KEEPIDLE: "idle", unix.TCP_KEEPINTVL: "interval"} {
				got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
				if test.want != 0 && (err != nil || got != test.want) {
					t.Errorf("%s: %s %d s, %v; want %d", test.name, name, got, err, test.want)
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
		conn.Close()
		client.Close()
		l.Close()
	}
}
