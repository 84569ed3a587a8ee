//go:build unix

package servecmd_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/servecmd"
)

// serverEnv makes this test binary a server with a configuration.
const serverEnv = "FENCEPOST_TEST_SERVER"

// TestServerProcess is that server, if it is started as one.
func TestServerProcess(t *testing.T) {
	file := os.Getenv(serverEnv)
	if file == "" {
		return
	}
	ctx, stop := cli.Interruptible(context.Background())
	defer stop()
	env := cli.System("fencepost")
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(servecmd.New(env))
	os.Exit(cli.Run(ctx, env, root, []string{"serve", "--config", file}))
}

// TestService runs a server as systemd runs a service: the socket is open before
// it starts, it says when it is ready and that it is well, what it does at a
// reload and at its end, goes on answering for as long as it was told, and ends
// at once with a second signal.
func TestService(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "fencepost.yaml")
	text := "listen: ['systemd:web']\nadmin: 'off'\nlimits: {drain-delay: 1h}\ntsa: {key: 'memory:p256', policy: 1.2.3}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	passed, err := web.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer passed.Close()
	web.Close() // the service's is the only one now
	name := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()

	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web WATCHDOG_USEC=100000 WATCHDOG_PID=$$ exec "$0" -test.run='^TestServerProcess$'`, os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+config, "NOTIFY_SOCKET="+name)
	cmd.ExtraFiles = []*os.File{passed}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill() // an error says that it has ended
		if t.Failed() {
			t.Logf("it printed: %s", &out)
		}
	})
	// heard waits for a message, and lets others pass.
	heard := func(want string) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		var all []string
		for {
			buf := make([]byte, 4096)
			if err := manager.SetReadDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			n, err := manager.Read(buf)
			if err != nil {
				t.Fatalf("heard %q and not %q: %v", all, want, err)
			}
			if all = append(all, string(buf[:n])); strings.HasPrefix(string(buf[:n]), want) {
				return
			}
		}
	}
	signal := func(s os.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	url := "http://" + web.Addr().String()
	ready := func() int {
		t.Helper()
		resp, err := http.Get(url + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}

	heard("READY=1\nSTATUS=listening on " + url)
	heard("WATCHDOG=1")
	if got := ready(); got != 200 {
		t.Errorf("ready: %d", got)
	}
	signal(syscall.SIGHUP)
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1\nSTATUS=reloaded")
	signal(syscall.SIGTERM)
	heard("STOPPING=1")
	if got := ready(); got != 503 {
		t.Errorf("ready when it stops: %d", got)
	}
	signal(syscall.SIGHUP) // which is too late, and does no harm
	heard("WATCHDOG=1")    // it is watched to its end
	if got := ready(); got != 503 {
		t.Errorf("ready after a late SIGHUP: %d", got)
	}
	signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a second signal does not end it")
	}
}
