//go:build unix

package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
)

// manager listens as systemd does, and returns a notifier that speaks to it.
func manager(t *testing.T, name string) (*systemd.Notifier, func() string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n, err := systemd.NewNotifier(variables(map[string]string{"NOTIFY_SOCKET": name}))
	if err != nil || n == nil {
		t.Fatalf("no notifier: %v", err)
	}
	return n, func() string {
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		count, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:count])
	}
}

func TestNotify(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, fmt.Sprintf("@fencepost-test-%d", time.Now().UnixNano()))
	}
	for _, name := range names {
		n, heard := manager(t, name)
		long := strings.Repeat("é", 400)
		for _, test := range []struct {
			name string
			say  func() error
			want string
		}{
			{"ready", func() error { return n.Ready("listening on a, b") }, "READY=1\nSTATUS=listening on a, b"},
			{"stopping", func() error { return n.Stopping("") }, "STOPPING=1\nSTATUS="},
			{"status", func() error { return n.Status("well") }, "STATUS=well"},
			{"another line is no message", func() error { return n.Status("x\nWATCHDOG=trigger\x00") }, "STATUS=x WATCHDOG=trigger "},
			{"not UTF-8", func() error { return n.Status("a\xffb") }, "STATUS=a?b"},
			{"long", func() error { return n.Status(long) }, "STATUS=" + strings.Repeat("é", 256)},
		} {
			if err := test.say(); err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			if got := heard(); got != test.want {
				t.Errorf("%s: the manager heard %q, want %q", test.name, got, test.want)
			}
		}

		var before, after unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before); err != nil {
			t.Fatal(err)
		}
		if err := n.Reloading(); err != nil {
			t.Error(err)
		}
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &after); err != nil {
			t.Fatal(err)
		}
		var usec int64
		if _, err := fmt.Sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%d", &usec); err != nil || usec < before.Nano()/1000 || usec > after.Nano()/1000 {
			t.Errorf("reloading: %d, %v; want from %d to %d", usec, err, before.Nano()/1000, after.Nano()/1000)
		}
	}
}

func TestNoManager(t *testing.T) {
	for _, env := range []systemd.Env{nil, variables(nil)} {
		n, err := systemd.NewNotifier(env)
		if n != nil || err != nil {
			t.Fatalf("%v, %v", n, err)
		}
		n.Watch(t.Context(), systemd.Watch{Every: time.Second}) // returns at once
		if err := errors.Join(n.Ready(""), n.Reloading(), n.Stopping(""), n.Status("")); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"vsock:2:1234", "relative", "/", "@"} {
		if n, err := systemd.NewNotifier(variables(map[string]string{"NOTIFY_SOCKET": name})); n != nil || err == nil {
			t.Errorf("%q: %v, %v", name, n, err)
		}
	}
	gone, err := systemd.NewNotifier(variables(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone")}))
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Ready(""); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a manager that has gone: %v", err)
	}
}

// TestWatch has a service be well, ill and well again.
func TestWatch(t *testing.T) {
	n, heard := manager(t, filepath.Join(t.TempDir(), "notify"))
	ill := errors.New("ill")
	results := make(chan error)
	failed := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Watch(ctx, systemd.Watch{
			Every: 20 * time.Millisecond,
			Check: func(context.Context) error { return <-results },
			Failed: func(err error) {
				failed <- err
			},
		})
	}()
	results <- nil
	if got := heard(); got != "WATCHDOG=1" {
		t.Errorf("while well: %q", got)
	}
	results <- ill
	if err := <-failed; err != ill {
		t.Errorf("Failed got %v", err)
	}
	results <- nil
	if got := heard(); got != "WATCHDOG=1" { // and nothing while it was ill
		t.Errorf("well again: %q", got)
	}
	if err := n.Status("the next"); err != nil {
		t.Fatal(err)
	}
	if got := heard(); got != "STATUS=the next" {
		t.Errorf("more was said than that the service is well: %q", got)
	}
	cancel()
	select {
	case results <- nil:
	case <-done:
	}
	<-done
}

// TestWatchHangs has a check that ends with its context, which it gets half of
// the interval for.
func TestWatchHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := systemd.NewNotifier(variables(map[string]string{"NOTIFY_SOCKET": "/nowhere/notify"}))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start, times := time.Now(), []time.Duration(nil)
		n.Watch(ctx, systemd.Watch{
			Every: 20 * time.Second,
			Check: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			},
			Failed: func(error) { times = append(times, time.Since(start)) },
		})
		if len(times) < 5 || times[0] != 10*time.Second || times[1] != 20*time.Second {
			t.Errorf("failed after %v, want each 10 s", times)
		}
	})
}
