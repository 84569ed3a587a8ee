package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// Reload says how a server gets a new identity without a pause: another key
// and chain for its tokens, another certificate for its https listeners.
// Addresses and limits stay as they are until the next start. The zero value
// never does.
type Reload struct {
	// Ask has a value each time that it is to be done.
	Ask <-chan struct{}
	// Every is how often Config.Files are looked at; when they have changed it
	// is to be done as well. Zero is never.
	Every time.Duration
	// Load makes the configuration again. If it fails, all stays as it is.
	Load func(context.Context) (Config, error)
}

// Hangups has a value for each SIGHUP until ctx ends. A signal that comes while
// another is waiting is the same wish. One that comes after that has no effect:
// by itself it would end the process, and with it the requests that are under
// way.
func Hangups(ctx context.Context) <-chan struct{} {
	signals, ask := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case <-ctx.Done():
				return
			case ask <- struct{}{}:
			}
		}
	}()
	return ask
}

// A tlsIdentity is the TLS configuration of a listener, which can be replaced.
type tlsIdentity struct {
	current atomic.Pointer[tls.Config]
	clients atomic.Int64 // how often it has changed who is let in, and 1
}

func newTLSIdentity(conf *tls.Config) *tlsIdentity {
	t := new(tlsIdentity)
	t.current.Store(conf)
	t.clients.Store(1)
	return t
}

// config returns what the listener is opened with: each connection asks for
// the current one.
func (t *tlsIdentity) config() *tls.Config {
	outer := t.current.Load().Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		// In this order: a connection may seem to be older than it is, not newer.
		clients := t.clients.Load()
		if c := connectionOf(hello.Conn); c != nil {
			c.clients.Store(clients)
		}
		return t.current.Load(), nil
	}
	return outer
}

// replace has connections ask for next from now on. It says whether others than
// before are let in.
func (t *tlsIdentity) replace(next *tls.Config) bool {
	old := t.current.Swap(next)
	if old.ClientAuth == next.ClientAuth && old.ClientCAs.Equal(next.ClientCAs) {
		return false
	}
	t.clients.Add(1)
	return true
}

// reloadOnce replaces the identities, all or none. It returns what was loaded,
// and when its chain takes over.
func (s *Server) reloadOnce(ctx context.Context, identities []*tlsIdentity) (next Config, at time.Time, err error) {
	next, err = s.cfg.Reload.Load(ctx)
	if err != nil {
		s.process.drop(next.clock)
		return next, at, err
	}
	defer func() {
		if err != nil {
			s.process.drop(next.clock)
			err = errors.Join(err, next.TSA.Close())
		}
	}()
	if len(next.Listeners) != len(identities) {
		return next, at, errors.New("the listeners have changed, which needs a new start")
	}
	for i, l := range next.Listeners {
		if (l.TLS != nil) != (identities[i] != nil) {
			return next, at, errors.New("https was added or removed, which needs a new start")
		}
	}
	// One that would issue nothing does not replace one that does.
	if err := next.TSA.Ready(ctx); err != nil && s.ready(ctx) == nil {
		return next, at, err
	}
	if err := s.process.worse(ctx, &next); err != nil {
		return next, at, err
	}
	wanted := concurrent(&next) // before its keys are those of s
	if at, err = s.cfg.TSA.Adopt(ctx, next.TSA); err != nil {
		return next, at, err
	}
	if next.MaxConcurrent == s.cfg.MaxConcurrent && wanted != s.concurrent {
		s.log.LogAttrs(ctx, slog.LevelWarn, "warning", slog.String("detail",
			"tsa.key: how many requests are let through at once goes by where the key is, and stays as it was for the one before until the next start"))
	}
	s.adopt(&next)
	for i, l := range next.Listeners {
		if l.TLS != nil && identities[i].replace(l.TLS) {
			s.endOutdated()
		}
	}
	return next, at, nil
}
