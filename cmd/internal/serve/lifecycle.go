package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
)

// openAdmin opens the administrative listener, which serves one address at
// most: the first of several that the service manager passed.
func (s *Server) openAdmin(ctx context.Context, l Listener) ([]opened, error) {
	if l.Connections == 0 {
		l.Connections = adminConnections
	}
	if l.PerAddress == 0 {
		l.PerAddress = -1
	}
	all, err := s.open(ctx, l, s.Admin())
	for _, o := range all {
		o.listener.mu.Lock()
		o.listener.admin = true
		o.listener.mu.Unlock()
		// The answer to a long profile takes as long as the profile.
		o.server.WriteTimeout = adminWriteTimeout
	}
	return all, err
}

// drain says that the server is not ready any more, and waits until that is
// known. A server that ends because a listener failed does not wait: ctx, the
// one that asks for the end, still runs.
func (s *Server) drain(ctx context.Context) {
	s.stopping.Store(true)
	s.said(ctx, s.cfg.Notify.Stopping("answering what is under way"))
	if s.cfg.DrainDelay <= 0 || ctx.Err() == nil {
		return
	}
	s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "not ready any more, will stop", slog.Duration("in", s.cfg.DrainDelay))
	time.Sleep(s.cfg.DrainDelay)
}

// unserved are the sockets of the service manager that no listener has taken.
func (s *Server) unserved() []systemd.Socket {
	taken := make(map[string]bool)
	s.listeners.mu.Lock()
	for _, l := range s.listeners.all {
		taken[l.Addr().String()] = true
	}
	s.listeners.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.cfg.Sockets), func(socket systemd.Socket) bool { return taken[socket.Addr().String()] })
}

// closeUnserved closes the sockets that no listener has taken, so that who
// connects to one learns that nobody is there.
func (s *Server) closeUnserved(ctx context.Context) {
	for _, socket := range s.unserved() {
		s.log.LogAttrs(ctx, slog.LevelWarn, "socket not served", slog.String("name", socket.Name), slog.String("address", socket.Addr().String()),
			slog.String("hint", fmt.Sprintf("systemd has passed it, and no listener is systemd:%s", socket.Name)))
		s.said(ctx, socket.Close())
	}
}

// started tells the service manager that the server is there, and goes on to as
// long as it answers. The function that it returns ends that.
func (s *Server) started(ctx context.Context, a Addresses) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // it is watched to its end
	s.said(ctx, s.cfg.Notify.Ready("listening on "+strings.Join(a.Public, " ")))
	var watching sync.WaitGroup
	watching.Go(func() {
		s.cfg.Notify.Watch(ctx, systemd.Watch{
			Every: s.cfg.Watchdog,
			Check: s.answers,
			Failed: func(err error) {
				s.log.LogAttrs(ctx, slog.LevelError, "the server does not answer, the watchdog is not told that it does", slog.String("detail", err.Error()))
			},
		})
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// answers asks the server as a client would, but for the network: is it alive,
// and does it know whether it is ready. That it is not ready is an answer too: a
// clock that is lost does not come back with a new process.
func (s *Server) answers(ctx context.Context) error {
	for _, path := range []string{PathHealth, PathReady} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		a := &answer{ResponseWriter: nobody{}}
		s.ServeHTTP(a, r)
		if a.size == 0 || a.status != http.StatusOK && (path == PathHealth || a.status != http.StatusServiceUnavailable) {
			return fmt.Errorf("%s was answered with status %d and %d bytes", path, a.status, a.size)
		}
	}
	return ctx.Err()
}

// nobody reads the answers to the questions that a server asks itself.
type nobody http.Header

func (n nobody) Header() http.Header       { return http.Header(n) }
func (nobody) WriteHeader(int)             {}
func (nobody) Write(b []byte) (int, error) { return len(b), nil }

// reloaded tells the service manager that a reload has ended.
func (s *Server) reloaded(ctx context.Context, err error) {
	status := "reloaded"
	if err != nil {
		status = "reload failed, all stays as it was: " + err.Error()
	}
	s.said(ctx, s.cfg.Notify.Ready(status))
}

// said logs that the service manager could not be told.
func (s *Server) said(ctx context.Context, err error) {
	if err != nil {
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "service manager not told", slog.String("detail", err.Error()))
	}
}

// spareDescriptors are those that are not for clients: files, the log, keys and
// clocks elsewhere.
const spareDescriptors = 128

// countDescriptors warns when the operating system does not let the process have
// as many connections as it may take.
func (s *Server) countDescriptors(ctx context.Context, open []opened) {
	has, ok := descriptorLimit()
	needs := uint64(spareDescriptors)
	for _, o := range open {
		needs += uint64(o.listener.limit)
	}
	if ok && has < needs {
		s.log.LogAttrs(ctx, slog.LevelWarn, "fewer open files are allowed than connections", slog.Uint64("allowed", has), slog.Uint64("needed", needs), slog.String("hint", descriptorHint))
	}
}

// A Manager is what the service manager has to do with a server; its fields are
// those of [Config].
type Manager struct {
	Sockets  []systemd.Socket
	Notify   *systemd.Notifier
	Watchdog time.Duration
}

// FindManager reads what the service manager has left in the environment. It is
// to be called once, and before any other program is run, which would be left
// the sockets too.
func FindManager(env systemd.Env) (m Manager, err error) {
	if m.Sockets, err = systemd.Sockets(env); err != nil {
		return m, err
	}
	if m.Notify, err = systemd.NewNotifier(env); err != nil {
		return m, err
	}
	m.Watchdog, err = systemd.WatchdogInterval(env)
	return m, err
}
