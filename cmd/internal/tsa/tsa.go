// Package tsa is the timestamp authority of a server as it lives: which key
// issues now, which stands by, which comes next, and the certificates of all
// of them.
//
// A [Unit] is one key with its chain: what EN 319 421 calls a time-stamping
// unit. A [TSA] has one that issues and any number of standbys, which take over
// in their order while those before them do not sign. [TSA.Adopt] replaces them
// while requests are answered; a chain that is new is published for a while
// before it is used, because verifiers such as Sigstore's pin the certificate
// of the authority. With a [Delegate] the units are made here, by a key that
// certifies and does nothing else.
//
// [TSA.Run] does what has its time: it tries keys that failed, takes over,
// makes the next stamping key. Without it nothing of that happens, and requests
// are answered all the same.
package tsa

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Config is what [New] makes a [TSA] of.
type Config struct {
	// Units are those that issue, in the order in which they are tried.
	// Required unless there is a Delegate, which excludes them.
	Units []Unit
	// Delegate makes the units.
	Delegate *Delegate
	// Clock is the clock of the authorities, for metrics and readiness.
	// Required.
	Clock clock.Source
	// Policies are all those under which tokens are issued.
	Policies []x509.OID
	// SignTimeout bounds each request, for keys outside this process. Zero:
	// there is no bound but the client's patience.
	SignTimeout time.Duration
	// Past and Announced are chains that are published besides those of the
	// units: under which tokens were issued, and under which they will be. Each
	// is leaf first.
	Past, Announced [][]*x509.Certificate
	// Announce is how long a new chain is published before it is used. Zero: it
	// is used at once.
	Announce time.Duration
	// History remembers the chains beyond the end of the process. Nil: it
	// forgets them.
	History *History
	// Log is told of what happens to keys. Nil: nobody is.
	Log *slog.Logger
	// Event is called when something happens to a key, from any goroutine. It
	// may take its time, but must not call the TSA. Nil: nobody is told.
	Event func(Event)
}

// A TSA issues tokens. Its methods may be called from any goroutine.
type TSA struct {
	log     *slog.Logger
	event   func(Event)
	current atomic.Pointer[generation]
	wrong   atomic.Int64  // tokens that were kept back, whether another unit then answered or not
	wake    chan struct{} // has room for one: something happened that Run has to look at

	mu        sync.Mutex // held while anything below is read or changed
	cfg       Config
	next      *succession
	retired   []retirement
	chains    chainList
	published atomic.Pointer[Published]
	mint      mintState
}

// Published are the certificates of a TSA as clients get them. It does not
// change: another one takes its place.
type Published struct {
	Chain  []byte // PEM: of the unit that issues, leaf first
	Chains []byte // JSON: every chain, see chainsJSON
}

// New makes a TSA. With a Delegate it makes the first stamping key, which ctx
// bounds.
func New(ctx context.Context, cfg Config) (*TSA, error) {
	switch {
	case cfg.Clock == nil:
		return nil, errors.New("tsa: no clock")
	case (len(cfg.Units) == 0) == (cfg.Delegate == nil):
		return nil, errors.New("tsa: there must be units, or a delegate that makes them")
	}
	t := &TSA{log: cfg.Log, event: cfg.Event, cfg: cfg, wake: make(chan struct{}, 1)}
	if t.event == nil {
		t.event = func(Event) {}
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	for _, u := range cfg.Units {
		if u.Authority == nil {
			return nil, errors.New("tsa: a unit has no authority")
		}
	}
	if err := t.chains.load(cfg); err != nil {
		return nil, err
	}
	g := newGeneration(cfg.Units, t)
	if d := cfg.Delegate; d != nil {
		u, err := d.mint(ctx, time.Now())
		if err != nil {
			return nil, err
		}
		g = newGeneration([]Unit{u}, t)
		g.delegated, t.mint.made = true, 1
	}
	t.current.Store(g)
	return t, nil
}

// Respond answers a request; see authority.Authority. If the first unit does
// not sign, the next is asked.
func (t *TSA) Respond(ctx context.Context, request []byte) ([]byte, tsp.Outcome) {
	g := t.current.Load()
	if g.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.timeout)
		defer cancel()
	}
	if len(g.units) == 1 {
		return g.units[0].respond(ctx, request)
	}
	return g.respond(ctx, request)
}

// Authority returns the one that issues now.
func (t *TSA) Authority() *authority.Authority { return t.current.Load().active().Authority }

// Window is when the authority that issues now may do so.
func (t *TSA) Window() (notBefore, notAfter time.Time) { return t.Authority().Window() }

// Clock is that of the configuration, as it was last adopted.
func (t *TSA) Clock() clock.Source {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg.Clock
}

// Policies are those of the configuration, as it was last adopted.
func (t *TSA) Policies() []x509.OID {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cfg.Policies
}

// Published returns the certificates as they are now.
func (t *TSA) Published() (*Published, error) {
	// Which unit issues can change with any request.
	if p := t.published.Load(); p != nil && !t.current.Load().chainChanged() {
		return p, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.publish(time.Now())
	return t.published.Load(), err
}

// Ready says whether a good request would be granted now. Its error is the
// *tsp.Rejection that a request would get.
func (t *TSA) Ready(ctx context.Context) error {
	var first error
	for _, u := range t.current.Load().units {
		err := u.ready(ctx)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// Close gives all keys back. It is called when no request is under way any
// more.
func (t *TSA) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	err := t.current.Load().close()
	if t.next != nil {
		err = errors.Join(err, t.next.generation.close())
	}
	for _, r := range t.retired {
		err = errors.Join(err, r.close())
	}
	t.next, t.retired = nil, nil
	if d := t.cfg.Delegate; d != nil && d.Close != nil {
		err = errors.Join(err, d.Close())
	}
	return err
}

// poke tells Run that something happened.
func (t *TSA) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
