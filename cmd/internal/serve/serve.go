// Package serve is the server: listeners, TLS, limits, health and readiness,
// the record of each request, and an orderly end.
//
// A program translates its flags or its file into a [Config], and [Run] does
// the rest:
//
//	cfg, err := serve.Load(ctx, conf, serve.Options{...}) // keys, chain, clock
//	...
//	cfg.Listening = func(a serve.Addresses) { fmt.Println(a.Public[0]) }
//	err = serve.Run(ctx, cfg) // until ctx ends
//
// The public listeners answer to anybody: timestamps, the certificate chain,
// whether the server is alive and whether it is ready, and the description of
// all that. Why it is not ready, metrics and profiles are on the administrative
// listener, which is to be reached by operators only.
//
// Whatever is sent, the answer has a body and names what was wrong; a fault of
// this program is caught, logged, and answered as one. What a client sends
// reaches the log only after it was cut to size, and its credentials never do.
package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/access"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// Config is what a server is made of.
type Config struct {
	// Listeners are where the public interfaces answer. At least one.
	Listeners []Listener
	// Admin is the administrative listener. Nil: none.
	Admin *Listener
	// Sockets are those that the service manager has opened, for listeners of
	// the network systemd. Run closes them.
	Sockets []systemd.Socket
	// Proxy says that an address is that of a proxy, which has more connections
	// than a client. Nil: Access says it.
	Proxy func(netip.Addr) bool
	// Notify is told when the server is ready, reloads, and stops. Nil: nobody
	// is.
	Notify *systemd.Notifier
	// Watchdog is how often Notify is to be told that the server answers. Zero:
	// never.
	Watchdog time.Duration
	// Access says who may ask for timestamps. Nil: everybody.
	Access *access.Control
	// Limited says that Access refuses anybody, or tells clients apart.
	Limited bool
	// Process is the clock and the record of issue. Run closes the latter. Nil:
	// there are none.
	Process  *Process
	clock    *Clock        // for Process, once this configuration is in use
	accuracy time.Duration // that tokens promise then
	// TSA is the timestamp authority. Required. Run closes it when it ends,
	// with an error too.
	TSA *tsa.TSA
	// Log gets one record for each request and what else happens. Nil: nothing
	// is logged.
	Log *slog.Logger
	// Build is the program, for the metrics.
	Build cli.Build

	// MaxRequest, MaxConcurrent and MaxQueue are those of
	// tsphttp.HandlerConfig.
	MaxRequest              int64
	MaxConcurrent, MaxQueue int
	// SignConcurrency is how many signatures a key outside this process is asked
	// for at once. Zero stands for kms.DefaultConcurrency.
	SignConcurrency int
	// Created answers granted requests with 201.
	Created bool
	// Refusals is how requests in DER are refused.
	Refusals tsphttp.RefusalFormat
	// RequestIDHeader is where a request's identifier is taken and given back.
	// "": X-Request-Id.
	RequestIDHeader string
	// CORS says whether pages of other origins may ask.
	CORS CORS

	// DrainDelay is how long a server that is told to stop says that it is not
	// ready, and answers all the same, before it stops to listen: until those who
	// distribute the load have noticed. Zero: not at all.
	DrainDelay time.Duration
	// ShutdownTimeout is how long requests may take to end after that. Zero: 15 s.
	ShutdownTimeout time.Duration
	// Files are those from which all this was loaded.
	Files  []string
	loaded fingerprint       // of Files, before they were read
	own    []string          // those of them that are the configuration itself
	digest [sha256.Size]byte // SHA-256 of these
	// Reload gives the server a new identity while it runs.
	Reload Reload
	// Listening is called once when all listeners are open. Nil is not called.
	Listening func(Addresses)
}

// CORS says whether web pages of other origins may ask and read the answer.
type CORS int

// The zero value lets every page ask: there are no credentials to misuse.
const (
	CORSAny CORS = iota
	CORSNone
)

// Addresses are those on which a server really listens.
type Addresses struct {
	Public []string // URLs, in the order of Config.Listeners
	Admin  string   // URL, "" if there is none
}

// defaultShutdownTimeout is how long requests may take to end: what
// sigstore/timestamp-authority allows, and below the 30 s that Kubernetes does.
const defaultShutdownTimeout = 15 * time.Second

// A Server answers requests; see [New].
type Server struct {
	cfg        Config
	log        *slog.Logger
	metrics    *metrics.Metrics
	stamp      *tsphttp.Handler
	concurrent int // how many requests that lets through at once
	idHeader   string
	stopping   atomic.Bool
	documents  documents
	chains     atomic.Pointer[chainDocuments]
	policies   atomic.Pointer[policyNames]
	access     atomic.Pointer[access.Control]
	process    *Process
	tracer     *tracing.Tracer // nil: nothing is traced
	asks       atomic.Bool     // access is asked
	listeners  openListeners
}

// New checks cfg and makes a server of it, without opening anything.
func New(cfg Config) (*Server, error) {
	switch {
	case len(cfg.Listeners) == 0:
		return nil, errors.New("serve: no listener")
	case cfg.TSA == nil:
		return nil, errors.New("serve: no timestamp authority")
	}
	s := &Server{cfg: cfg, log: cfg.Log, idHeader: cfg.RequestIDHeader, documents: newDocuments()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.idHeader == "" {
		s.idHeader = "X-Request-Id"
	}
	s.idHeader = http.CanonicalHeaderKey(s.idHeader)
	if s.cfg.ShutdownTimeout == 0 {
		s.cfg.ShutdownTimeout = defaultShutdownTimeout
	}
	if s.process = cfg.Process; s.process == nil {
		s.process = NewProcess(s.log)
	}
	s.tracer = s.process.traces()
	s.metrics = metrics.New(metrics.Config{
		Build:          cfg.Build,
		Policies:       cfg.TSA.Policies(),
		Window:         cfg.TSA.Window,
		Clock:          currentClock{cfg.TSA},
		Ready:          s.ready,
		Keys:           s.keys,
		Accuracy:       func() time.Duration { return cfg.TSA.Authority().Accuracy() },
		Events:         s.process.events,
		Monitor:        s.process.clockStatus,
		Audit:          s.process.auditState,
		Traces:         s.process.tracesState,
		Connections:    s.connectionsNow,
		ClientRefusals: refusalWords(),
	})
	var err error
	if cfg.Access == nil {
		if cfg.Access, err = access.New(access.Config{}); err != nil {
			return nil, err
		}
	}
	s.adopt(&cfg)
	if s.cfg.Proxy == nil {
		s.cfg.Proxy = func(a netip.Addr) bool { return s.access.Load().Trusts(a) }
	}
	s.concurrent = concurrent(&cfg)
	s.stamp, err = tsphttp.NewHandler(tsphttp.HandlerConfig{
		Responder:     cfg.TSA,
		MaxRequest:    cfg.MaxRequest,
		MaxConcurrent: s.concurrent,
		MaxQueue:      cfg.MaxQueue,
		StatusCreated: cfg.Created,
		Refusals:      cfg.Refusals,
		Observe:       s.observe,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Run makes a server of cfg and serves until ctx ends.
func Run(ctx context.Context, cfg Config) error {
	s, err := New(cfg)
	if err != nil {
		if cfg.TSA != nil {
			err = errors.Join(err, cfg.TSA.Close())
		}
		return err
	}
	return s.Run(ctx)
}

// A currentClock is that of the configuration as it was last loaded.
type currentClock struct{ tsa *tsa.TSA }

// Now implements clock.Source.
func (c currentClock) Now(ctx context.Context) (clock.Reading, error) { return c.tsa.Clock().Now(ctx) }

// Run opens the listeners and serves until ctx ends, then lets the requests
// that are under way end. It returns nil after an orderly end, and an error if
// a listener cannot be opened or fails.
func (s *Server) Run(ctx context.Context) error {
	collectLess()
	if s.process.records() {
		defer spareProcessor()()
	}
	var open []opened
	closeAll := func() {
		for _, o := range open {
			o.listener.Close()
		}
		for _, socket := range s.unserved() {
			socket.Close()
		}
		s.closeKeys(ctx)
		if err := s.process.Close(); err != nil {
			s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "record of issue not closed", slog.String("detail", err.Error()))
		}
	}
	var addresses Addresses
	identities := make([]*tlsIdentity, len(s.cfg.Listeners))
	for i, l := range s.cfg.Listeners {
		if l.TLS != nil {
			identities[i] = newTLSIdentity(l.TLS)
			l.TLS = identities[i].config()
		}
		handler := s.tracer.Handler(s)
		if l.PingOnly {
			handler = s.pingOnly()
		}
		opened, err := s.open(ctx, l, handler)
		if err != nil {
			closeAll()
			return err
		}
		for _, o := range opened {
			o.listener.identity = identities[i]
			addresses.Public = append(addresses.Public, o.url)
		}
		open = append(open, opened...)
	}
	if s.cfg.Admin != nil {
		opened, err := s.openAdmin(ctx, *s.cfg.Admin)
		if err != nil {
			closeAll()
			return err
		}
		addresses.Admin = opened[0].url
		open = append(open, opened...)
	}
	s.closeUnserved(ctx)
	s.countDescriptors(ctx, open)

	s.process.begins(&s.cfg)
	endProcess := s.process.background(ctx)
	group, groupCtx := errgroup.WithContext(ctx)
	for _, o := range open {
		group.Go(func() error { return o.serve() })
	}
	group.Go(func() error {
		<-groupCtx.Done()
		s.drain(ctx)
		return s.shutdown(open)
	})
	group.Go(func() error { return s.cfg.TSA.Run(groupCtx) })
	if s.cfg.Reload.Load != nil {
		group.Go(func() error {
			s.reload(groupCtx, identities)
			return nil
		})
	}
	s.logMode(ctx)
	s.log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.Any("public", addresses.Public), slog.String("admin", addresses.Admin))
	if s.cfg.Listening != nil {
		s.cfg.Listening(addresses)
	}
	endWatchdog := s.started(ctx, addresses)
	err := group.Wait()
	endWatchdog()
	endProcess()
	s.closeKeys(ctx)
	err = errors.Join(err, s.process.ends(err))
	s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "stopped")
	return err
}

func (s *Server) closeKeys(ctx context.Context) {
	if err := s.cfg.TSA.Close(); err != nil {
		s.log.LogAttrs(context.WithoutCancel(ctx), slog.LevelWarn, "key not closed", slog.String("detail", err.Error()))
	}
}

// shutdown ends all servers: no new connection, and the time agreed for what
// is under way.
func (s *Server) shutdown(open []opened) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.ShutdownTimeout)
	defer cancel()
	var group errgroup.Group
	for _, o := range open {
		group.Go(func() error {
			err := o.server.Shutdown(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				s.log.LogAttrs(ctx, slog.LevelWarn, "requests did not end in time", slog.String("listener", o.url))
				err = o.server.Close()
			}
			return err
		})
	}
	return group.Wait()
}

// opened is a listener with the server behind it.
type opened struct {
	listener *connections
	server   *http.Server
	tls      bool
	url      string
}

func (o opened) serve() error {
	var err error
	if o.tls {
		err = o.server.ServeTLS(o.listener, "", "")
	} else {
		err = o.server.Serve(o.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
