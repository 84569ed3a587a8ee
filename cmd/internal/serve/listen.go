package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/systemd"
)

// A Listener is one address that is listened on, and how patient it is.
type Listener struct {
	// Network is tcp, unix, or systemd for what the service manager listens on.
	// "": tcp.
	Network string
	// Address is host:port, or the path of a socket ("@name" is an abstract one
	// of Linux), or the name of one or more of Config.Sockets, "" for those that
	// no other listener names. A port of 0 is any free one.
	Address string
	// TLS makes it https. Nil: plain http, which sockets of the service manager
	// that are not TCP speak in any case.
	TLS *tls.Config
	// PingOnly answers /ping and nothing else.
	PingOnly bool
	// Flag names what the user changes to choose another address, for the
	// hint when this one cannot be had. "": no hint.
	Flag string

	// UnixMode is who may connect to a unix socket that this opens: those who
	// may write to its file. Zero: 0660, the user and the group of this process.
	UnixMode fs.FileMode

	// Connections is how many may be open. One more takes the place of the one
	// that has waited longest without a complete request, and where there is
	// none, waits to be accepted. Zero: 4096, negative: no limit.
	Connections int
	// PerAddress is how many of them one address may have, of IPv6 a network of
	// 64 bits; one more takes the place of another of that address or is closed.
	// Zero: a quarter of Connections; negative: no limit. Config.Proxy exempts
	// addresses, and unix sockets have none.
	PerAddress int
	// Streams is how many requests of HTTP/2 one connection may have under way.
	// Zero: 100.
	Streams int
	// MaxHeader is the longest request line and header together, in bytes, to
	// which net/http adds 4096. Zero: 64 KiB.
	MaxHeader int
	// Timeouts end slow connections.
	Timeouts Timeouts
}

// Timeouts end a connection that keeps a place without using it. Zero stands
// for the default, negative for none.
type Timeouts struct {
	ReadHeader time.Duration // until the header is read: 10 s
	Read       time.Duration // until the body is read: 30 s
	Write      time.Duration // from there until the answer is taken: 30 s
	Idle       time.Duration // between two requests: 2 min
	KeepAlive  time.Duration // between two TCP probes: 15 s
}

// Defaults of a [Listener]. A connection costs some 20 KB, so that all of them
// together stay below 100 MB; honest clients send their 200 bytes at once. Fewer
// than 100 streams are advised against (RFC 9113, 6.5.2).
const (
	DefaultConnections = 4096
	DefaultStreams     = 100
	DefaultUnixMode    = fs.FileMode(0o660)
	DefaultMaxHeader   = 64 << 10
	DefaultReadHeader  = 10 * time.Second
	DefaultRead        = 30 * time.Second
	DefaultWrite       = 30 * time.Second
	DefaultIdle        = 2 * time.Minute
)

// adminWriteTimeout leaves time for a profile of five minutes.
const adminWriteTimeout = 6 * time.Minute

// adminConnections is how many operators and their programs may be there at
// once, all from one address if they like.
const adminConnections = 128

// or returns d, the default for zero and none for what is negative.
func or(d, byDefault time.Duration) time.Duration {
	switch {
	case d == 0:
		return byDefault
	case d < 0:
		return 0
	}
	return d
}

// defaults fills in what is zero.
func (l *Listener) defaults() {
	if l.Network == "" {
		l.Network = "tcp"
	}
	if l.UnixMode == 0 {
		l.UnixMode = DefaultUnixMode
	}
	if l.Connections == 0 {
		l.Connections = DefaultConnections
	}
	if l.Streams == 0 {
		l.Streams = DefaultStreams
	}
	if l.MaxHeader == 0 {
		l.MaxHeader = DefaultMaxHeader
	}
}

// open opens a listener and puts a server behind it that does not run yet. There
// can be several of the service manager's.
func (s *Server) open(ctx context.Context, l Listener, handler http.Handler) ([]opened, error) {
	l.defaults()
	if l.Network == networkSystemd {
		sockets, err := s.inherited(l.Address)
		if err != nil {
			return nil, err
		}
		var all []opened
		for _, socket := range sockets {
			one := l
			if one.Network = socket.Addr().Network(); one.Network == "unix" {
				one.TLS = nil
			}
			if one.TLS != nil {
				one.TLS = one.TLS.Clone() // net/http writes to it
			}
			all = append(all, s.serveOn(socket.Listener, one, handler))
		}
		return all, nil
	}
	if l.Network == "unix" && !abstract(l.Address) {
		removeStale(l.Address)
	}
	lc := net.ListenConfig{KeepAlive: l.Timeouts.KeepAlive}
	if d := l.Timeouts.KeepAlive; d > 0 { // KeepAlive alone is only how long it is until the first
		lc.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: d, Interval: d}
	}
	ln, err := lc.Listen(ctx, l.Network, l.Address)
	if err != nil {
		return nil, listenError(l, err)
	}
	if l.Network == "unix" && !abstract(l.Address) {
		if err := os.Chmod(l.Address, l.UnixMode.Perm()); err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s: %w", l.Address, err), ln.Close())
		}
	}
	return []opened{s.serveOn(ln, l, handler)}, nil
}

// abstract says that a unix socket is a name and no file.
func abstract(address string) bool { return strings.HasPrefix(address, "@") && runtime.GOOS == "linux" }

// serveOn puts a server behind a listener that is open.
func (s *Server) serveOn(ln net.Listener, l Listener, handler http.Handler) opened {
	o := opened{tls: l.TLS != nil}
	scheme := "http://"
	switch {
	case l.Network == "unix":
		scheme = "unix:"
	case o.tls:
		scheme = "https://"
	}
	o.url = scheme + ln.Addr().String()
	o.listener = newConnections(ln, l)
	o.listener.url, o.listener.log, o.listener.exempt = o.url, s.log, s.cfg.Proxy
	write := or(l.Timeouts.Write, DefaultWrite)
	o.server = &http.Server{
		Handler:           s.lastAnswers(handler),
		TLSConfig:         l.TLS,
		ReadHeaderTimeout: or(l.Timeouts.ReadHeader, DefaultReadHeader),
		ReadTimeout:       or(l.Timeouts.Read, DefaultRead),
		WriteTimeout:      write,
		IdleTimeout:       or(l.Timeouts.Idle, DefaultIdle),
		MaxHeaderBytes:    l.MaxHeader,
		// net/http sees to the rest: streams that are reset early, CONTINUATION
		// frames without end, control frames whose answers nobody takes.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: l.Streams, WriteByteTimeout: write},
		// What net/http has to say is about what clients do wrong.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	o.listener.watch(o.server)
	s.listeners.add(o.listener)
	return o
}

// lastAnswers has clients go elsewhere once the server is about to stop: with
// its next answer, a connection ends. So does that of a client who came when
// others were let in than now, and it is answered no more: a handshake was good
// for as long as its CA was.
func (s *Server) lastAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connectionKey{}).(*connection)
		outdated := c != nil && c.outdated()
		if outdated || s.stopping.Load() {
			w.Header()["Connection"] = connectionClose
		}
		if outdated {
			a := &answer{ResponseWriter: w, start: time.Now()}
			w.Header()[s.idHeader] = s.identify(r.Header)
			s.refuse(a, r, http.StatusMisdirectedRequest, "the client certificates that are asked for have changed: connect again")
			kind, _ := route(r.URL.Path)
			s.done(a, r, kind)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// endOutdated ends the connections of clients who came when others were let in.
func (s *Server) endOutdated() {
	s.listeners.mu.Lock()
	all := slices.Clone(s.listeners.all)
	s.listeners.mu.Unlock()
	for _, l := range all {
		l.endOutdated()
	}
}

var connectionClose = []string{"close"}

// openListeners are those of a server, for its metrics.
type openListeners struct {
	mu  sync.Mutex
	all []*connections
}

func (o *openListeners) add(l *connections) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, l)
}

// Connections returns what became of the connections of each listener, in the
// order in which they were opened: none before Run has opened them.
func (s *Server) Connections() []ListenerStats {
	s.listeners.mu.Lock()
	all := slices.Clone(s.listeners.all)
	s.listeners.mu.Unlock()
	stats := make([]ListenerStats, len(all))
	for i, l := range all {
		stats[i] = l.snapshot()
	}
	return stats
}

// networkSystemd is the network of listeners that the service manager opened.
const networkSystemd = "systemd"

// inherited returns the sockets that a listener means by their name.
func (s *Server) inherited(name string) ([]systemd.Socket, error) {
	var found []systemd.Socket
	var names []string
	listeners := s.cfg.Listeners
	if s.cfg.Admin != nil {
		listeners = append(slices.Clip(listeners), *s.cfg.Admin)
	}
	for _, socket := range s.cfg.Sockets {
		names = append(names, socket.Name)
		named := slices.ContainsFunc(listeners, func(l Listener) bool {
			return l.Network == networkSystemd && l.Address == socket.Name
		})
		if socket.Name == name || name == "" && !named {
			found = append(found, socket)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	err := fmt.Errorf("listen on systemd:%s: systemd has passed no such socket", name)
	if len(names) > 0 {
		return nil, cli.Hint(err, "there are %s", strings.Join(names, ", "))
	}
	return nil, cli.Hint(err, "it has passed none: start the service by its .socket unit, or choose another address")
}

// listenError says what can be done when an address cannot be had.
func listenError(l Listener, err error) error {
	err = fmt.Errorf("listen on %s: %w", l.Address, cause(err))
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "another program listens there: stop it, or choose another address"
	case errors.Is(err, syscall.EACCES):
		hint = "ports below 1024 and some folders need a right that this user does not have: choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "this machine does not have that address: choose another"
	default:
		return err
	}
	if l.Flag != "" {
		hint += " with " + l.Flag
	}
	return cli.Hint(err, "%s", hint)
}

// cause strips what repeats the address.
func cause(err error) error {
	var oe *net.OpError
	if errors.As(err, &oe) {
		err = oe.Err
	}
	var se *os.SyscallError
	if errors.As(err, &se) {
		err = se.Err
	}
	return err
}

// removeStale removes a socket that a killed process left behind: one that
// refuses connections. Anything else stays, and listening fails.
func removeStale(path string) {
	st, err := os.Lstat(path)
	if err != nil || st.Mode()&os.ModeSocket == 0 {
		return
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
}
