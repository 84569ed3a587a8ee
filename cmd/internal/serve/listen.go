package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// A Listener is one address that is listened on, and how patient it is.
type Listener struct {
	// Network is tcp or unix. "": tcp.
	Network string
	// Address is host:port, or the path of a socket. A port of 0 is any free
	// one.
	Address string
	// TLS makes it https. Nil: plain http.
	TLS *tls.Config
	// PingOnly answers /ping and nothing else.
	PingOnly bool
	// Flag names what the user changes to choose another address, for the
	// hint when this one cannot be had. "": no hint.
	Flag string

	// Connections is how many may be open; others wait to be accepted. Zero:
	// 4096, negative: no limit.
	Connections int
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
// together stay below 100 MB; honest clients send their 200 bytes at once.
const (
	DefaultConnections = 4096
	DefaultMaxHeader   = 64 << 10
	DefaultReadHeader  = 10 * time.Second
	DefaultRead        = 30 * time.Second
	DefaultWrite       = 30 * time.Second
	DefaultIdle        = 2 * time.Minute
)

// adminWriteTimeout leaves time for a profile of five minutes.
const adminWriteTimeout = 6 * time.Minute

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

// open opens a listener and puts a server behind it that does not run yet.
func (s *Server) open(ctx context.Context, l Listener, handler http.Handler) (opened, error) {
	if l.Network == "" {
		l.Network = "tcp"
	}
	if l.Network == "unix" {
		removeStale(l.Address)
	}
	lc := net.ListenConfig{KeepAlive: l.Timeouts.KeepAlive}
	ln, err := lc.Listen(ctx, l.Network, l.Address)
	if err != nil {
		return opened{}, listenError(l, err)
	}
	o := opened{tls: l.TLS != nil}
	scheme := "http://"
	switch {
	case l.Network == "unix":
		scheme = "unix:"
	case o.tls:
		scheme = "https://"
	}
	o.url = scheme + ln.Addr().String()
	if l.Connections == 0 {
		l.Connections = DefaultConnections
	}
	if l.Connections > 0 {
		ln = netutil.LimitListener(ln, l.Connections)
	}
	o.listener = ln
	if l.MaxHeader == 0 {
		l.MaxHeader = DefaultMaxHeader
	}
	o.server = &http.Server{
		Handler:           handler,
		TLSConfig:         l.TLS,
		ReadHeaderTimeout: or(l.Timeouts.ReadHeader, DefaultReadHeader),
		ReadTimeout:       or(l.Timeouts.Read, DefaultRead),
		WriteTimeout:      or(l.Timeouts.Write, DefaultWrite),
		IdleTimeout:       or(l.Timeouts.Idle, DefaultIdle),
		MaxHeaderBytes:    l.MaxHeader,
		// What net/http has to say is about what clients do wrong.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return o, nil
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

// TLSFiles names the identity of an https listener.
type TLSFiles struct {
	Certificate, Key string // PEM files, required
	ClientCA         string // PEM file; "": clients need no certificate
}

// LoadTLS reads the identity of an https listener: TLS 1.2 and 1.3, with the
// key exchanges that Go prefers, the post-quantum one first, and of TLS 1.2
// only suites with forward secrecy and authenticated encryption.
func LoadTLS(f TLSFiles) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(f.Certificate, f.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}
	if f.ClientCA != "" {
		data, err := os.ReadFile(f.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		cfg.ClientCAs = x509.NewCertPool()
		if !cfg.ClientCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("tls: %s holds no certificate", f.ClientCA)
		}
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return cfg, nil
}
