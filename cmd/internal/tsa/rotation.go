package tsa

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// A succession is a generation that will take over.
type succession struct {
	generation *generation
	at         time.Time // by the wall clock, which goes on while a machine sleeps

	proving, proved bool      // its first key signs, now that it is to take over
	retry           time.Time // when it is asked again
}

// A retirement gives keys back that are used no more. What still uses them is
// given time before.
type retirement struct {
	close func() error
	at    time.Time
}

// retireAfter is how long the keys of a generation are kept beyond the time
// that its last request may take.
const retireAfter = 30 * time.Second

// handOver is how long before the end of its use a key is replaced, where that
// end is what it is replaced for: a request in the second after it would be
// refused.
const handOver = time.Minute

// Adopt makes the units of another TSA issue, and takes over its configuration
// and its keys: the other must not be used any more. A chain that is new is
// announced first, for as long as the other's configuration says; but it does
// not wait where the one in use ends before, or has ended. Adopt returns when
// the units issue, which is in the past if they do already. After an error
// nothing has changed, and the other is still the caller's to close.
//
// Requests that are under way are answered by the units before, whose chains
// stay published as past ones.
//
// A Delegate has its key certify another stamping key, which ctx bounds, if the
// one that the other has would be used up by the announcement.
func (t *TSA) Adopt(ctx context.Context, other *TSA) (at time.Time, err error) {
	if err := t.mintAhead(ctx, other); err != nil {
		return at, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.goesOn(other, now) {
		return t.reconfigure(other, now)
	}
	incoming := other.current.Load().handedTo(t)
	at = t.takesOver(other, now)
	if end := incoming.ends(); at.After(now) && !end.After(at) {
		return at, fmt.Errorf("tsa: the chain of %s ends on %s, before it would take over on %s",
			leafOf(incoming).Subject, end.Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	defer t.poke()
	t.configure(other, incoming, now)
	if incoming.delegated {
		t.mint.made++
	}
	if t.next != nil {
		t.retire(t.next.generation, now)
		for _, u := range t.next.generation.units {
			if leaf := u.Authority.Chain()[0]; !incoming.has(leaf) {
				t.chains.withdraw(leaf)
			}
		}
		t.next = nil
	}
	if !at.After(now) {
		t.takeOver(incoming, now)
		return now, nil
	}
	t.next = &succession{generation: incoming, at: at}
	t.announced(at)
	t.republish(now)
	return at, nil
}

// mintAhead has the delegate of other make a key that is used from when it
// takes over. The one that was made when it was loaded would be of no use any
// more after an announcement that takes as long as each key is used.
func (t *TSA) mintAhead(ctx context.Context, other *TSA) error {
	d := other.cfg.Delegate
	if d == nil {
		return nil
	}
	t.mu.Lock()
	now := time.Now()
	at, goesOn := t.takesOver(other, now), t.goesOn(other, now)
	t.mu.Unlock()
	if goesOn || !at.After(now) {
		return nil
	}
	u, err := d.mint(ctx, at)
	if err != nil {
		return err
	}
	g := newGeneration([]Unit{u}, other)
	g.delegated = true
	other.current.Store(g)
	return nil
}

// goesOn says that other has the CA that makes the stamping keys here, the next
// of which takes over in its time.
func (t *TSA) goesOn(other *TSA, now time.Time) bool {
	g := t.current.Load()
	return t.cfg.Delegate.same(other.cfg.Delegate) && !g.dead() && (t.next != nil || g.delegated && now.Before(g.ends()))
}

// reconfigure leaves the stamping keys, under the configuration of other; the
// next one is certified by the key as other opened it.
func (t *TSA) reconfigure(other *TSA, now time.Time) (at time.Time, err error) {
	before, at := t.current.Load(), now
	current, next := before, t.next
	if before.delegated {
		if current, err = before.renewed(t, other.cfg.Delegate); err != nil {
			return at, err
		}
	}
	if next != nil {
		g, err := next.generation.renewed(t, other.cfg.Delegate)
		if err != nil {
			return at, err
		}
		next = &succession{generation: g, at: next.at}
		if !slices.EqualFunc(before.units[0].Authority.Chain()[1:], t.cfg.Delegate.Chain, (*x509.Certificate).Equal) {
			at = next.at // with it the CA does
		}
	}
	defer t.poke()
	t.configure(other, current, now)
	t.current.Store(current)
	t.next = next
	t.republish(now)
	return at, nil
}

// takesOver is when the units of other issue. It has no monotonic clock.
func (t *TSA) takesOver(other *TSA, now time.Time) time.Time {
	before, incoming := t.current.Load(), other.current.Load()
	at := now
	switch {
	case leafOf(incoming).Equal(leafOf(before)), before.dead():
		return now
	case t.next != nil && incoming.sameChains(t.next.generation):
		at = t.next.at
	default:
		leaf := leafOf(incoming)
		at = t.chains.firstPublished(leaf, other.chains.firstPublished(leaf, now)).Add(other.cfg.Announce)
	}
	if end := before.ends().Add(-handOver); end.Before(at) {
		at = end
	}
	return at.Round(0)
}

// configure takes over the configuration of other. What issues then is kept
// among the chains.
func (t *TSA) configure(other *TSA, issues *generation, now time.Time) {
	t.chains.configure(&other.chains, issues)
	if d := t.cfg.Delegate; d != nil && d.Close != nil {
		t.retired = append(t.retired, retirement{d.Close, now.Add(max(d.Timeout, probeTimeout) + retireAfter)})
	}
	t.cfg = other.cfg
	// The key that certifies has just done so.
	t.mint = mintState{busy: t.mint.busy, made: t.mint.made, fails: t.mint.fails}
}

// takeOver makes a generation issue, and writes down that it does.
func (t *TSA) takeOver(g *generation, now time.Time) {
	before := t.current.Load()
	t.current.Store(g)
	if !g.sameChains(before) {
		for _, u := range before.units {
			t.chains.replaced(u.Authority, now.Add(before.timeout))
		}
		leaf := leafOf(g)
		t.log.LogAttrs(context.Background(), slog.LevelInfo, "key replaced", slog.String("subject", leaf.Subject.String()),
			slog.String("certificate", serialOf(leaf)), slog.Time("issues_until", g.ends()))
		t.event(g.units[0].event(EventReplaced, nil))
	}
	t.retire(before, now)
	t.republish(now)
}

// republish is publish where nobody waits for its error.
func (t *TSA) republish(now time.Time) {
	if err := t.publish(now); err != nil {
		t.log.LogAttrs(context.Background(), slog.LevelError, "chains not published", slog.String("detail", err.Error()))
	}
}

// announced logs what takes over next.
func (t *TSA) announced(at time.Time) {
	leaf := leafOf(t.next.generation)
	t.log.LogAttrs(context.Background(), slog.LevelInfo, "chain announced", slog.String("subject", leaf.Subject.String()),
		slog.String("certificate", serialOf(leaf)), slog.Time("takes_over", at))
	e := t.next.generation.units[0].event(EventAnnounced, nil)
	e.At = at
	t.event(e)
}

func leafOf(g *generation) *x509.Certificate { return g.units[0].Authority.Chain()[0] }

func serialOf(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func (t *TSA) retire(g *generation, now time.Time) {
	t.retired = append(t.retired, retirement{g.close, now.Add(max(g.timeout, probeTimeout) + retireAfter)})
}

// Run does what has its time until ctx ends: it tries keys that failed or were
// idle, takes over, makes stamping keys. It returns nil.
func (t *TSA) Run(ctx context.Context) error {
	var group errgroup.Group
	defer group.Wait() // trials end with ctx
	for {
		next := t.step(ctx, &group, time.Now())
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-t.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// maxStep is the longest time between two looks, in case the system clock is
// set forward.
const maxStep = time.Minute

// step does what is due and returns when to look again.
func (t *TSA) step(ctx context.Context, group *errgroup.Group, now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := now.Add(maxStep)
	later := func(at time.Time) {
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if s := t.next; s != nil {
		switch {
		case s.at.After(now):
			later(s.at)
		case t.mayTakeOver(ctx, group, now):
			t.next = nil
			t.takeOver(s.generation, now)
		default:
			later(s.retry)
			later(t.current.Load().ends())
		}
	}
	later(t.delegation(ctx, group, now))
	g := t.current.Load()
	for _, u := range g.units {
		switch due := u.due(); {
		case due.IsZero():
		case due.After(now):
			later(due)
		case u.probing.CompareAndSwap(false, true):
			group.Go(func() error {
				u.probe(ctx, g.timeout)
				return nil
			})
		}
	}
	if t.chains.refresh() || g.chainChanged() || len(t.chains.unwritten) > 0 {
		t.republish(now)
	}
	kept := t.retired[:0]
	for _, r := range t.retired {
		if r.at.After(now) {
			later(r.at)
			kept = append(kept, r)
			continue
		}
		if err := r.close(); err != nil {
			t.log.LogAttrs(ctx, slog.LevelWarn, "key not closed", slog.String("detail", err.Error()))
		}
	}
	clear(t.retired[len(kept):]) // the keys are to be forgotten
	t.retired = kept
	// What is due and under way already pokes when it ends.
	return maxTime(next, now.Add(minStep))
}

// mayTakeOver says whether what is announced signs, now that its time has come:
// it was proved when it was loaded, which may be long ago. Until it does the
// units before go on, to their end. t.mu is held.
func (t *TSA) mayTakeOver(ctx context.Context, group *errgroup.Group, now time.Time) bool {
	s, g := t.next, t.current.Load()
	first := s.generation.units[0]
	switch {
	case s.proved, !first.External, g.dead(), !now.Before(g.ends()):
		return true
	case s.proving, now.Before(s.retry):
		return false
	}
	s.proving = true
	group.Go(func() error {
		err := first.prove(ctx, s.generation.timeout)
		t.mu.Lock()
		defer t.mu.Unlock()
		defer t.poke()
		s.proving, s.proved, s.retry = false, err == nil, time.Now().Add(maxPause)
		if err != nil && ctx.Err() == nil {
			t.log.LogAttrs(ctx, slog.LevelError, "key not replaced, the next one does not sign",
				slog.String("subject", leafOf(s.generation).Subject.String()), slog.String("kind", string(kindOf(err))),
				slog.String("detail", err.Error()), slog.String("hint", fault.HintOf(err)))
		}
		return nil
	})
	return false
}

// minStep keeps a fault in the times from making Run busy.
const minStep = 10 * time.Millisecond

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// errNoCA is returned where there is nothing to make stamping keys with.
var errNoCA = errors.New("tsa: the key that certifies is not there")
