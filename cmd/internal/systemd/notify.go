package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"
)

// A Notifier tells the manager how the service is. A nil one tells nobody.
// It may be used from several goroutines at once.
type Notifier struct{ address *net.UnixAddr }

// NewNotifier returns the notifier for the socket that the manager listens on,
// nil if there is none (NOTIFY_SOCKET is not set).
func NewNotifier(env Env) (*Notifier, error) {
	name := env.get("NOTIFY_SOCKET")
	switch {
	case name == "":
		return nil, nil
	case name[0] != '/' && name[0] != '@', len(name) < 2:
		return nil, fmt.Errorf("systemd: NOTIFY_SOCKET is %q, which is neither a path nor an abstract socket", name)
	case name[0] == '@' && runtime.GOOS != "linux":
		return nil, fmt.Errorf("systemd: NOTIFY_SOCKET is %q, and %s has no abstract sockets", name, runtime.GOOS)
	}
	return &Notifier{&net.UnixAddr{Name: name, Net: "unixgram"}}, nil
}

// Ready says that the service has started, or has ended a reload, and in words
// what it does now.
func (n *Notifier) Ready(status string) error { return n.send("READY=1", statusLine(status)) }

// Reloading says that the service reads its configuration again. Ready is to
// follow, whether that went well or not.
func (n *Notifier) Reloading() error {
	if n == nil {
		return nil
	}
	usec, err := monotonicMicroseconds()
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", usec))
}

// Stopping says that the service is about to end.
func (n *Notifier) Stopping(status string) error { return n.send("STOPPING=1", statusLine(status)) }

// Status says in words what the service does; "systemctl status" shows it.
func (n *Notifier) Status(status string) error { return n.send(statusLine(status)) }

// alive says that the service is well.
func (n *Notifier) alive() error { return n.send("WATCHDOG=1") }

// maxStatus is how much of a text is sent, in bytes: a line of "systemctl
// status" and then some, and well below what a datagram holds.
const maxStatus = 512

// statusLine puts a text into one line: a second one would be another message.
func statusLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "")
	}
	return "STATUS=" + text
}

// sendTimeout is how long a manager that does not read may hold up the service.
const sendTimeout = time.Second

func (n *Notifier) send(lines ...string) (err error) {
	if n == nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, n.address)
	if err != nil {
		return fmt.Errorf("systemd: tell the manager: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("systemd: tell the manager: %w", err)
	}
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("systemd: tell the manager: %w", err)
	}
	return nil
}

// Watch is what a watchdog goes by.
type Watch struct {
	// Every is the interval that the manager demands; see WatchdogInterval.
	// Zero: there is no watchdog.
	Every time.Duration
	// Check does what the service is there for. While it fails or does not
	// return, the manager hears nothing, and restarts the service in the end.
	// Its context ends when it has taken too long. Required.
	Check func(context.Context) error
	// Failed is told each time that the check fails. Nil is not called.
	Failed func(error)
}

// Watch tells the manager that the service is well as long as that is so, until
// ctx ends.
func (n *Notifier) Watch(ctx context.Context, w Watch) {
	if n == nil || w.Every <= 0 {
		return
	}
	// Twice in each interval, as sd_watchdog_enabled(3) has it.
	half := w.Every / 2
	ticker := time.NewTicker(half)
	defer ticker.Stop()
	for {
		checkCtx, cancel := context.WithTimeout(ctx, half)
		err := w.Check(checkCtx)
		cancel()
		if err == nil {
			err = n.alive()
		}
		if err != nil && ctx.Err() == nil && w.Failed != nil {
			w.Failed(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
