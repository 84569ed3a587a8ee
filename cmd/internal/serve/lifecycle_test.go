package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// begin runs a server until it is told to stop.
func begin(t *testing.T, change func(*bench)) (at Addresses, b *bench, stop func(), stopped chan error) {
	t.Helper()
	listening := make(chan Addresses, 1)
	s, b := newServer(t, func(b *bench) {
		b.config.Listening = func(a Addresses) { listening <- a }
		change(b)
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(cancel)
	stopped = make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	select {
	case at = <-listening:
	case err := <-stopped:
		t.Fatalf("Run: %v", err)
	}
	return at, b, cancel, stopped
}

// TestDrainDelay: a server that is told to stop is not ready at once, answers
// for as long as was agreed, and has its connections end with their next answer.
func TestDrainDelay(t *testing.T) {
	const delay = 500 * time.Millisecond
	at, _, stop, stopped := begin(t, func(b *bench) { b.config.DrainDelay = delay })
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	ask := func(path string) (status int, closing bool, err error) {
		resp, err := client.Get(at.Public[0] + path)
		if err != nil {
			return 0, false, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, resp.Close, err
	}
	if status, closing, err := ask(PathReady); status != 200 || closing || err != nil {
		t.Fatalf("before: %d, connection closes: %t, %v", status, closing, err)
	}
	start := time.Now()
	stop()
	for {
		status, closing, err := ask(PathReady)
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		if status == 503 {
			if !closing {
				t.Error("the connection goes on")
			}
			break
		}
		if time.Since(start) > delay/2 {
			t.Fatal("it still says that it is ready")
		}
	}
	resp, err := client.Post(at.Public[0]+PathTimestamp, tsphttp.TypeQuery, query())
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("a request during the delay: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(start); took < delay {
		t.Errorf("it stopped after %v", took)
	}
	if _, _, err := ask(PathPing); err == nil {
		t.Error("it still answers")
	}
}

// TestNoDelayAfterFailure: when a listener fails there is nothing to wait for.
func TestNoDelayAfterFailure(t *testing.T) {
	s, _ := newServer(t, func(b *bench) { b.config.DrainDelay = time.Hour })
	s.drain(t.Context()) // which has not ended
	if !s.stopping.Load() {
		t.Error("it is still ready")
	}
}

// TestStopWhileReloading: a reload that is broken off because the server stops
// has not failed.
func TestStopWhileReloading(t *testing.T) {
	ask, loading := make(chan struct{}), make(chan struct{})
	_, b, stop, stopped := begin(t, func(b *bench) {
		b.config.Reload = Reload{Ask: ask, Load: func(ctx context.Context) (Config, error) {
			close(loading)
			<-ctx.Done()
			return Config{}, ctx.Err()
		}}
	})
	ask <- struct{}{}
	<-loading
	stop()
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
	if failed := records(t, b.log, "reload failed, all stays as it was"); len(failed) > 0 {
		t.Errorf("logged %v", failed)
	}
}

// manager hears what a server tells its service manager.
func manager(t *testing.T) (*systemd.Notifier, func() string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n, err := systemd.NewNotifier(func(string) (string, bool) { return name, true })
	if err != nil {
		t.Fatal(err)
	}
	return n, func() string {
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("nothing was said: %v", err)
		}
		return string(buf[:n])
	}
}

func TestServiceManager(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("there is no service manager that speaks so")
		return
	}
	n, heard := manager(t)
	ask := make(chan struct{})
	at, _, stop, stopped := begin(t, func(b *bench) {
		b.config.Notify = n
		b.config.Reload = Reload{Ask: ask, Load: func(context.Context) (Config, error) { return Config{}, errors.New("no such file") }}
	})
	expect := func(want ...string) {
		t.Helper()
		got := heard()
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("the manager heard %q, want %q", got, w)
			}
		}
	}
	expect("READY=1\n", "STATUS=listening on "+at.Public[0])
	ask <- struct{}{}
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1\n", "STATUS=reload failed, all stays as it was: no such file")
	stop()
	expect("STOPPING=1\n")
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestWatchdog feeds the watchdog while the server answers, and not while its
// handler is stuck.
func TestWatchdog(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("there is no service manager that speaks so")
		return
	}
	n, heard := manager(t)
	var server *Server
	listening := make(chan Addresses, 1)
	server, _ = newServer(t, func(b *bench) {
		b.config.Notify, b.config.Watchdog = n, 40*time.Millisecond
		b.config.Listening = func(a Addresses) { listening <- a }
	})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	<-listening
	if got := heard(); !strings.HasPrefix(got, "READY=1") {
		t.Errorf("heard %q", got)
	}
	for range 3 {
		if got := heard(); got != "WATCHDOG=1" {
			t.Errorf("heard %q", got)
		}
	}
	cancel()
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestAnswers: a server that is not ready answers, one that has a fault does not.
func TestAnswers(t *testing.T) {
	s, b := newServer(t, nil)
	if err := s.answers(t.Context()); err != nil {
		t.Errorf("a good server: %v", err)
	}
	s.stopping.Store(true)
	if err := s.answers(t.Context()); err != nil {
		t.Errorf("one that is not ready: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.answers(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("one that took too long: %v", err)
	}
	s.stopping.Store(false)
	s.cfg.TSA = nil // all that needs it panics
	if err := s.answers(t.Context()); err == nil {
		t.Error("one with a fault answers")
	}
	if len(records(t, b.log, "panic")) == 0 {
		t.Error("the fault is not logged")
	}
}

// inherit returns a socket as a service manager passes it.
func inherit(t *testing.T, name, network, address string) systemd.Socket {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return systemd.Socket{Name: name, Listener: l}
}

// TestInheritedSockets serves sockets by name, the rest without, and closes what
// nobody serves.
func TestInheritedSockets(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	conf, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	web1, web2 := inherit(t, "web", "tcp", "127.0.0.1:0"), inherit(t, "web", "tcp", "127.0.0.1:0")
	local, other := inherit(t, "local", "unix", path), inherit(t, "other", "tcp", "127.0.0.1:0")
	admin, spare := inherit(t, "admin", "tcp", "127.0.0.1:0"), inherit(t, "spare", "tcp", "127.0.0.1:0")
	at, b := start(t, func(b *bench) {
		b.config.Sockets = []systemd.Socket{web1, web2, local, other, admin, spare}
		b.config.Listeners = []Listener{{Network: "systemd", Address: "web", TLS: conf}, {Network: "systemd", Address: "local", TLS: conf}, {Network: "systemd", Address: "other"}}
		b.config.Admin = &Listener{Network: "systemd", Address: "admin"}
	})
	want := []string{"https://" + web1.Addr().String(), "https://" + web2.Addr().String(), "unix:" + path, "http://" + other.Addr().String()}
	if strings.Join(at.Public, " ") != strings.Join(want, " ") || at.Admin != "http://"+admin.Addr().String() {
		t.Fatalf("listening on %q and %q, want %q", at.Public, at.Admin, want)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "local") {
			network, address = "unix", path
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	defer client.CloseIdleConnections()
	for _, url := range []string{"http://local", at.Public[3], at.Admin + "/healthz?"} {
		resp, err := client.Get(url + PathPing)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v, %v", url, resp, err)
			continue
		}
		resp.Body.Close()
	}
	if conn, err := net.Dial("tcp", spare.Addr().String()); err == nil {
		conn.Close()
		t.Error("a socket that nobody serves takes connections")
	}
	if got := records(t, b.log, "socket not served"); len(got) != 1 || got[0]["name"] != "spare" {
		t.Errorf("logged %v", got)
	}
}

// TestAllSockets serves those that have no listener of their own.
func TestAllSockets(t *testing.T) {
	one, two, admin := inherit(t, "unknown", "tcp", "127.0.0.1:0"), inherit(t, "x", "tcp", "127.0.0.1:0"), inherit(t, "admin", "tcp", "127.0.0.1:0")
	at, _ := start(t, func(b *bench) {
		b.config.Sockets = []systemd.Socket{one, admin, two}
		b.config.Listeners = []Listener{{Network: "systemd"}}
		b.config.Admin = &Listener{Network: "systemd", Address: "admin"}
	})
	if len(at.Public) != 2 || at.Public[0] != "http://"+one.Addr().String() || at.Public[1] != "http://"+two.Addr().String() {
		t.Errorf("listening on %q", at.Public)
	}
}

func TestNoSuchSocket(t *testing.T) {
	for _, test := range []struct {
		name    string
		sockets []string
		hint    string
	}{
		{"none", nil, ".socket unit"},
		{"others", []string{"web", "local"}, "there are web, local"},
	} {
		s, b := newServer(t, func(b *bench) {
			b.config.Listeners = []Listener{{Network: "systemd", Address: "nope"}}
			for _, name := range test.sockets {
				b.config.Sockets = append(b.config.Sockets, inherit(t, name, "tcp", "127.0.0.1:0"))
			}
		})
		err := s.Run(t.Context())
		if err == nil || !strings.Contains(err.Error(), "systemd:nope") || !strings.Contains(cli.HintOf(err), test.hint) {
			t.Errorf("%s: %v (%s)", test.name, err, cli.HintOf(err))
		}
		if got := records(t, b.log, "socket not served"); len(got) > 0 {
			t.Errorf("%s: it was not a socket that kept it from starting: %v", test.name, got)
		}
		for _, socket := range s.cfg.Sockets {
			if _, err := socket.Accept(); err == nil {
				t.Errorf("%s: %s is still open", test.name, socket.Name)
			}
		}
	}
}

// TestFindManager has variables that make no sense.
func TestFindManager(t *testing.T) {
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID"} {
		env := func(variable string) (string, bool) {
			if variable == name || name == "LISTEN_PID" && variable == "LISTEN_FDS" {
				return "nonsense", true
			}
			return "", false
		}
		if _, err := FindManager(env); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if m, err := FindManager(nil); err != nil || len(m.Sockets) > 0 || m.Notify != nil || m.Watchdog != 0 {
		t.Errorf("no variables: %+v, %v", m, err)
	}
}

// TestUnixSockets: who may connect to a socket, and those that are no files.
func TestUnixSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("sockets have no mode")
		return
	}
	for _, test := range []struct {
		name       string
		mode, want os.FileMode
	}{{"default", 0, 0o660}, {"everybody", 0o666, 0o666}, {"nobody else", 0o600, 0o600}} {
		path := filepath.Join(t.TempDir(), "s")
		start(t, func(b *bench) { b.config.Listeners[0] = Listener{Network: "unix", Address: path, UnixMode: test.mode} })
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != test.want {
			t.Errorf("%s: %v, %v; want %v", test.name, st.Mode(), err, test.want)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	name := "@fencepost-test-" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000000")
	at, _ := start(t, func(b *bench) { b.config.Listeners[0] = Listener{Network: "unix", Address: name} })
	if at.Public[0] != "unix:"+name {
		t.Errorf("listening on %s", at.Public[0])
	}
	conn, err := net.Dial("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /ping HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 200") {
		t.Errorf("%q, %v", answer, err)
	}
}
