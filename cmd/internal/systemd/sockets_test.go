//go:build unix

package systemd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
)

// asService makes this test binary a service that says which sockets it was
// given.
const asService = "FENCEPOST_TEST_SERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(asService) == "" {
		os.Exit(m.Run())
	}
	sockets, err := systemd.Sockets(os.LookupEnv)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(0)
	}
	for _, s := range sockets {
		flags := 0
		raw, err := s.Listener.(syscall.Conn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { flags, _ = unix.FcntlInt(fd, unix.F_GETFD, 0) })
		}
		fmt.Println(s.Name, s.Addr().Network(), s.Addr(), "close on exec:", flags == unix.FD_CLOEXEC, err)
	}
	for _, s := range sockets {
		conn, err := s.Accept()
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Fprintln(conn, "hello from", s.Name)
		conn.Close()
		s.Close()
	}
	os.Exit(0)
}

// service runs this binary as systemd would run a service with sockets: the
// variables are given, and $$ in them is the process.
func service(t *testing.T, files []*os.File, vars ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", strings.Join(vars, " ")+` exec "$0"`, os.Args[0])
	cmd.Env = []string{asService + "=1"}
	cmd.ExtraFiles = files
	return cmd
}

func TestSockets(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for _, s := range []any{tcp, local, datagram} {
		f, err := s.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	two, parent := files[:2], strconv.Itoa(os.Getpid())
	for _, test := range []struct {
		name  string
		files []*os.File
		vars  []string
		want  string // of the output
		none  bool   // there is no output at all
	}{
		{"for the parent", two, []string{"LISTEN_PID=" + parent, "LISTEN_FDS=2"}, "", true},
		{"for nobody", two, []string{"LISTEN_FDS=2"}, "", true},
		{"no sockets", nil, []string{"LISTEN_PID=$$", "LISTEN_FDS=0"}, "", true},
		{"bad number", two, []string{"LISTEN_PID=$$", "LISTEN_FDS=two"}, "error: systemd: LISTEN_FDS", false},
		{"too many", two, []string{"LISTEN_PID=$$", "LISTEN_FDS=1000000000"}, "error: systemd: LISTEN_FDS", false},
		{"bad process", two, []string{"LISTEN_PID=x", "LISTEN_FDS=2"}, "error: systemd: LISTEN_PID", false},
		{"a name less", two, []string{"LISTEN_PID=$$", "LISTEN_FDS=2", "LISTEN_FDNAMES=one"}, "LISTEN_FDNAMES names 1", false},
		{"not open", two, []string{"LISTEN_PID=$$", "LISTEN_FDS=9"}, `error: systemd: socket "unknown", descriptor`, false},
		{"datagrams", files, []string{"LISTEN_PID=$$", "LISTEN_FDS=3"}, `error: systemd: socket "unknown", descriptor 5: only TCP and unix stream`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, err := service(t, test.files, test.vars...).CombinedOutput()
			if err != nil || !strings.Contains(string(out), test.want) || test.none && len(out) > 0 {
				t.Errorf("it said %q, %v; want %q", out, err, test.want)
			}
		})
	}

	t.Run("two", func(t *testing.T) {
		var out strings.Builder
		cmd := service(t, two, "LISTEN_PID=$$", "LISTEN_FDS=2", "LISTEN_FDNAMES=web:local")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for i, name := range []string{"web", "local"} {
			addr := []net.Addr{tcp.Addr(), local.Addr()}[i]
			conn, err := net.Dial(addr.Network(), addr.String())
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 64)
			n, _ := conn.Read(buf)
			conn.Close()
			if got, want := string(buf[:n]), "hello from "+name+"\n"; got != want {
				t.Errorf("%s says %q, want %q", name, got, want)
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"web tcp " + tcp.Addr().String() + " close on exec: true", "local unix " + path + " close on exec: true"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("it said %q, want %q", out.String(), want)
			}
		}
		// The socket file belongs to systemd and outlives the service.
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the socket file: %v", err)
		}
	})
}
