package tsa

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// A succession is a generation that will take over.
type succession struct {
	generation *generation
	at         time.Time
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

// Adopt makes the units of another TSA issue, and takes over its configuration
// and its keys: the other must not be used any more. A chain that is new is
// announced first, for as long as the other's configuration says; but it does
// not wait where the one in use ends before, or has ended. Adopt returns when
// the units issue, which is in the past if they do already.
//
// Requests that are under way are answered by the units before, whose chains
// stay published as past ones.
func (t *TSA) Adopt(other *TSA) (at time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.poke()
	now := time.Now()
	before, delegate := t.current.Load(), t.cfg.Delegate
	incoming, goesOn := other.current.Load().handedTo(t), t.next
	if incoming.delegated && before.delegated && delegate.same(other.cfg.Delegate) {
		// The stamping keys go on, under the configuration as it is now; the
		// next is certified by the key as it was opened now.
		if incoming, err = before.renewed(t, other.cfg.Delegate); err != nil {
			return now, err
		}
		if goesOn != nil {
			g, err := goesOn.generation.renewed(t, other.cfg.Delegate)
			if err != nil {
				return now, err
			}
			goesOn = &succession{generation: g, at: goesOn.at}
		}
	} else {
		goesOn = nil
	}
	t.chains.configure(&other.chains)
	t.cfg = other.cfg
	if delegate != nil {
		t.retire(delegate.Close, now)
	}
	switch {
	case incoming.sameChains(before), before.dead():
		if goesOn == nil {
			t.dismissNext(now)
		}
		t.next = goesOn
		return now, t.takeOver(incoming, now)
	case t.next != nil && incoming.sameChains(t.next.generation):
		at = t.next.at // and it stays announced
		t.retire(t.next.generation.close, now)
	default:
		at = t.chains.firstPublished(leafOf(incoming), now).Add(t.cfg.Announce)
		t.dismissNext(now)
	}
	t.next = nil
	if _, end := t.Window(); end.Before(at) {
		at = end
	}
	if !at.After(now) {
		return now, t.takeOver(incoming, now)
	}
	t.next = &succession{generation: incoming, at: at}
	t.announced(at)
	return at, t.publish(now)
}

// dismissNext gives up what was to take over.
func (t *TSA) dismissNext(now time.Time) {
	if t.next != nil {
		t.retire(t.next.generation.close, now)
		t.chains.withdraw(leafOf(t.next.generation))
		t.next = nil
	}
}

// takeOver makes a generation issue, and writes down that it does.
func (t *TSA) takeOver(g *generation, now time.Time) error {
	before := t.current.Load()
	t.current.Store(g)
	if !g.sameChains(before) {
		for _, u := range before.units {
			t.chains.replaced(u.Authority, now)
		}
		leaf := leafOf(g)
		_, until := g.units[0].Authority.Window()
		t.log.LogAttrs(context.Background(), slog.LevelInfo, "key replaced", slog.String("subject", leaf.Subject.String()),
			slog.String("certificate", serialOf(leaf)), slog.Time("issues_until", until))
	}
	t.retire(before.close, now)
	return t.publish(now)
}

// announced logs what takes over next.
func (t *TSA) announced(at time.Time) {
	leaf := leafOf(t.next.generation)
	t.log.LogAttrs(context.Background(), slog.LevelInfo, "chain announced", slog.String("subject", leaf.Subject.String()),
		slog.String("certificate", serialOf(leaf)), slog.Time("takes_over", at))
}

func leafOf(g *generation) *x509.Certificate { return g.units[0].Authority.Chain()[0] }

func serialOf(c *x509.Certificate) string { return hex.EncodeToString(c.SerialNumber.Bytes()) }

func (t *TSA) retire(close func() error, now time.Time) {
	if close != nil {
		t.retired = append(t.retired, retirement{close, now.Add(max(t.cfg.SignTimeout, probeTimeout) + retireAfter)})
	}
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
		if s.at.After(now) {
			later(s.at)
		} else {
			t.next = nil
			if err := t.takeOver(s.generation, now); err != nil {
				t.log.LogAttrs(ctx, slog.LevelError, "chains not published", slog.String("detail", err.Error()))
			}
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
	if t.chains.refresh() || g.chainChanged() {
		if err := t.publish(now); err != nil {
			t.log.LogAttrs(ctx, slog.LevelError, "chains not published", slog.String("detail", err.Error()))
		}
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
