// Package nts is a client of Network Time Security (RFC 8915): time from an NTP
// server whose answers cannot be forged on the way.
//
// A [Client] agrees on keys with the server over TLS 1.3 (NTS-KE, section 4),
// from which the server also gives it cookies. Each question carries a cookie,
// and the answer, which is authenticated with the keys, brings a new one; the
// server remembers nothing. The keys serve until the server forgets its own,
// until the certificate ends, or for a day.
//
//	c, err := nts.New(nts.Config{Address: "time.example"})
//	...
//	m, err := c.Measure(ctx) // m.Authenticated is true
//
// What it proves is that the answer is the server's, and not older than the
// question. It does not prove that the server tells the truth, nor that nobody
// delayed a packet: half of the round trip is part of the error, as in any
// measurement, and a packet that is held up makes it larger. The proof is worth
// something to this machine only: keys are shared, so that it could have made
// the answers itself.
//
// Two circles need an operator's eye. The name of the server is found by DNS,
// which is harmless, because the certificate must be for that name. And the
// certificate's validity is checked by the clock of this machine, the very one
// that is to be checked (RFC 8915, 8.5): if that is so far off that the
// certificate seems expired or not yet valid, there is no time from this server
// until somebody sets the clock. It is never the other way round: the check is
// not relaxed for want of time, and time that lies outside of the certificate's
// validity is not taken, so that an old certificate whose key has leaked serves
// nobody who turns this clock back.
//
// The only algorithm is AEAD_AES_SIV_CMAC_256, which each server must have
// (section 5.1). It is no algorithm of FIPS 140-3: where Go enforces that, [New]
// refuses.
package nts

import (
	"cmp"
	"context"
	"crypto/fips140"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/beevik/ntp"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
)

// Port is the TCP port of key exchanges (RFC 8915, 4).
const Port = 4460

const (
	// retryMin, retryBase and retryMax make the time between key exchanges that
	// lead to nothing: 10 s, 15 s, 22 s and so on (RFC 8915, 4.2). The RFC lets
	// it grow to five days; a server that comes back should not be waited for
	// longer than an hour, which is how long an answer counts.
	retryMin  = 10 * time.Second
	retryBase = 1.5
	retryMax  = time.Hour

	// retryUnreached is the most while there is no way to the server at all:
	// that burdens nobody, and when the network of this machine is back after
	// hours, time should be had soon.
	retryUnreached = 4 * time.Minute

	// retryJitter spreads the clients of a server that comes back.
	retryJitter = 0.2

	// keysRefresh is after how long new keys are agreed on, so that a
	// certificate that was revoked or replaced is noticed; and keysLife how long
	// the old ones serve while that does not succeed.
	keysRefresh = 24 * time.Hour
	keysLife    = 7 * keysRefresh

	// refreshTimeout bounds a key exchange without which there is still time to
	// be had, by the keys there are.
	refreshTimeout = 2 * time.Second
)

// Config configures a [Client].
type Config struct {
	// Address is the name or address of the server for the key exchange, with
	// a port or without: time.example, time.example:4460. The certificate must
	// be for it. Required.
	Address string

	// Roots are the CAs that certify servers. Nil: those of the system.
	Roots *x509.CertPool

	// Local reads the clocks of this machine. Nil: [timesrc.SystemLocal].
	Local clock.Local

	// Now is the time that certificates are checked at. Nil: Local.Wall.
	Now func() time.Time

	// Timeout bounds a key exchange, and the wait for an answer. Zero:
	// [timesrc.DefaultTimeout]. It is within what the context allows.
	Timeout time.Duration

	// MaxRootDistance is that of [timesrc.ExchangeConfig].
	MaxRootDistance time.Duration

	// Resolver finds the addresses of names. Nil: the system's.
	Resolver timesrc.Resolver

	// Dial opens connections: "tcp" for the key exchange, "udp" for time. Nil:
	// those of the system.
	Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
}

// A Client is a clock.Reference by NTS. Its methods may be called from several
// goroutines at once; measurements wait for one another.
type Client struct {
	cfg    Config
	server string // with its port, for messages
	host   *timesrc.Host

	turn     chan struct{} // holds one while nobody measures; guards what follows
	keys     *association  // nil: none yet
	due      time.Duration // when the next key exchange may begin, by the elapsed clock
	failures int           // key exchanges since the last that led to time
	last     error         // why the last key exchange failed
}

// errNoUse is why a key exchange failed that succeeded.
var errNoUse = errors.New("it succeeded, but all cookies of it were used up without an answer")

var _ clock.Reference = (*Client)(nil)

// New returns a client. It asks nothing yet.
func New(cfg Config) (*Client, error) {
	if fips140.Enforced() {
		return nil, errors.New("time server nts://" + cfg.Address +
			": AES-SIV, which NTS is made of, is no algorithm of FIPS 140-3, and GODEBUG=fips140=only forbids it; use fips140=on, or ntp:// servers")
	}
	host, err := timesrc.NewHost(cfg.Address, Port, cfg.Resolver)
	if err != nil {
		return nil, err
	}
	if cfg.Timeout < 0 || cfg.MaxRootDistance < 0 {
		return nil, errors.New("time server nts://" + cfg.Address + ": a negative timeout or root distance")
	}
	if cfg.Local == nil {
		cfg.Local = timesrc.SystemLocal()
	}
	if cfg.Now == nil {
		cfg.Now = cfg.Local.Wall
	}
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, addr.String())
		}
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, timesrc.DefaultTimeout)
	c := &Client{cfg: cfg, server: cfg.Address, host: host, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c, nil
}

// Name returns the server as it was configured.
func (c *Client) Name() string { return c.cfg.Address }

// Measure asks the server for the time, and before that for keys if there are
// none that serve. Its errors are of type *[Error] or *timesrc.Error, or that
// of a context which ends while another measurement is under way.
func (c *Client) Measure(ctx context.Context) (clock.Measurement, error) {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
		return clock.Measurement{}, ctx.Err()
	}
	if err := c.establish(ctx); err != nil {
		return clock.Measurement{}, err
	}
	m, err := c.ask(ctx)
	if err != nil {
		return clock.Measurement{}, err
	}
	told := m.End.Wall.Add(m.Offset)
	if told.Add(m.Error).Before(c.keys.notBefore) || told.Add(-m.Error).After(c.keys.notAfter) {
		err := &Error{Server: c.server, Reason: ReasonCertificate, Err: fmt.Errorf("it says %s, and its certificate is valid from %s to %s",
			told.UTC().Format(time.RFC3339), c.keys.notBefore.UTC().Format(time.RFC3339), c.keys.notAfter.UTC().Format(time.RFC3339))}
		c.keys = nil
		return clock.Measurement{}, err
	}
	c.failures = 0 // keys and server are good: RFC 8915, 4.2
	m.Authenticated = true
	return m, nil
}

// establish sees to it that there are keys and a cookie.
func (c *Client) establish(ctx context.Context) error {
	now := c.cfg.Local.Elapsed()
	serves, want := c.serves(now)
	if !want {
		return nil
	}
	if now < c.due {
		if serves {
			return nil
		}
		return &Error{Server: c.server, Reason: ReasonWaiting, Err: c.last, retry: c.due - now}
	}
	c.due = now + retryInterval(c.failures)
	c.failures++
	c.last = errNoUse
	limited := ctx
	if serves {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, refreshTimeout)
		defer cancel()
	}
	keys, err := c.exchangeKeys(limited)
	if err == nil {
		c.keys = keys
		return nil
	}
	c.last = err
	if unreached(err) {
		c.due = min(c.due, now+time.Duration(float64(retryUnreached)*jitter()))
	}
	if serves { // RFC 8915, 5.7: until a key exchange succeeds, the old ones are used
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		e.retry = max(0, c.due-c.cfg.Local.Elapsed())
	}
	return err
}

// serves reports whether there are keys that can be used, and whether new ones
// are wanted.
func (c *Client) serves(now time.Duration) (ok, want bool) {
	k := c.keys
	if k == nil || len(k.cookies) == 0 || now-k.made > keysLife || c.cfg.Now().After(k.notAfter) {
		return false, true
	}
	return true, k.refused || now-k.made > keysRefresh
}

// retryInterval is how long to wait from the beginning of a key exchange to the
// next one, after so many that led to nothing.
func retryInterval(failures int) time.Duration {
	t := float64(retryMin) * math.Pow(retryBase, float64(min(failures, 64)))
	return time.Duration(min(t, float64(retryMax)) * jitter())
}

func jitter() float64 { return 1 + retryJitter*mathrand.Float64() }

// unreached reports whether a key exchange failed without a word of the server.
func unreached(err error) bool {
	var e *Error
	var name *timesrc.Error
	return errors.As(err, &e) && e.Reason == ReasonUnreachable || errors.As(err, &name) && name.Reason == timesrc.ReasonName
}

// ask uses up a cookie.
func (c *Client) ask(ctx context.Context) (clock.Measurement, error) {
	keys := c.keys
	addr, err := keys.target(ctx)
	if err != nil {
		keys.refused = true // the next key exchange may name another
		var e *Error
		if errors.As(err, &e) {
			e.Server = c.server
		}
		return clock.Measurement{}, err
	}
	q := &query{cookie: keys.take(), c2s: keys.c2s, s2c: keys.s2c}
	rand.Read(q.id[:])
	rand.Read(q.nonce[:])
	q.placeholders = min(poolSize-1-len(keys.cookies), room(q.cookie)) // the answer brings one more
	x := &extension{query: q}
	m, _, err := timesrc.Exchange(ctx, timesrc.ExchangeConfig{
		Server:          "nts://" + c.server,
		Addr:            addr,
		Local:           c.cfg.Local,
		Timeout:         c.cfg.Timeout,
		MaxRootDistance: c.cfg.MaxRootDistance,
		Extensions:      []ntp.Extension{x},
		Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			conn, err := c.cfg.Dial(ctx, "udp", addr)
			if err != nil {
				return nil, err
			}
			return &filter{Conn: conn, extension: x}, nil
		},
	})
	keys.keep(x.cookies)
	switch {
	case err == nil && !x.authentic:
		panic("nts: internal error: a measurement of an answer that was not authenticated")
	case err == nil, x.authentic:
		return m, err
	}
	keys.ntp.Failed(addr)
	if x.refused {
		keys.refused = true
		return m, &Error{Server: c.server, Reason: ReasonCookies, Err: errNAK}
	}
	if x.rejected != nil {
		return m, &Error{Server: c.server, Reason: ReasonUnauthentic, Err: fmt.Errorf("answers came, but none of its own: %w", x.rejected)}
	}
	return m, err
}
