package tsa

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Unit is a key with its chain, and the authority that issues with them.
type Unit struct {
	Authority *authority.Authority
	// Key is where the key is, for operators: its URI, and what that turned out
	// to name. "" where there is nothing to say.
	Key string
	// External says that the key is outside this process: it can fail, and is
	// tried now and then.
	External bool
	// Close gives the key back. Nil: there is nothing to give back.
	Close func() error
	// Abandoned is how many calls of the key were given up and have not
	// returned. Nil: there are none.
	Abandoned func() int64

	stamping *signer.Key // of a unit that a Delegate made
}

// A unit is a Unit at work.
type unit struct {
	Unit
	name     string
	log      *slog.Logger
	tell     func(Event)
	poke     func()
	failure  atomic.Pointer[failure] // nil: it works
	failures atomic.Int64
	wrong    *atomic.Int64 // of the TSA
	worked   atomic.Int64  // when an external key last signed, in nanoseconds since 1970
	probing  atomic.Bool
}

// A failure is that of a key.
type failure struct {
	since time.Time
	err   error
	next  time.Time     // when it is tried again
	pause time.Duration // between this trial and the one after
}

// Trials of a key that failed: soon, and then less often, so that a service
// that comes back is noticed within half a minute and is not held down before.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second

	// idleProbe is how long an external key may go without a signature before
	// one is made to see that it could: readiness must not depend on there
	// being requests. A key service charges for some 1400 operations a day, a
	// cent.
	idleProbe = time.Minute

	// probeTimeout bounds a trial where requests have no bound of their own.
	probeTimeout = 10 * time.Second
)

// respond answers a request and remembers whether the key signed.
func (u *unit) respond(ctx context.Context, request []byte) ([]byte, tsp.Outcome) {
	reply, out := u.Authority.Respond(ctx, request)
	if wronglySigned(&out) {
		u.wrong.Add(1)
	}
	switch {
	case out.Rejection == nil:
		if u.External {
			u.worked.Store(time.Now().UnixNano())
		}
		if u.failure.Load() != nil {
			u.works()
		}
	case keyFailed(ctx, &out):
		u.fails(out.Rejection.Err)
	}
	return reply, out
}

// wronglySigned says that a token was made and kept back.
func wronglySigned(out *tsp.Outcome) bool {
	return out.Rejection != nil && errors.Is(out.Rejection.Err, authority.ErrSelfCheck)
}

// keyFailed says that the outcome is the key's fault: it signed wrongly, or not
// at all. That the client has gone is nobody's.
func keyFailed(ctx context.Context, out *tsp.Outcome) bool {
	if wronglySigned(out) {
		return true
	}
	return out.Rejection != nil && !errors.Is(ctx.Err(), context.Canceled) && errors.Is(out.Rejection.Err, authority.ErrSigner)
}

// unitFailed says that another unit may do better: the key failed, or its
// certificate is not valid at this time.
func unitFailed(ctx context.Context, out *tsp.Outcome) bool {
	return keyFailed(ctx, out) || out.Rejection != nil && errors.Is(out.Rejection.Err, authority.ErrWindow)
}

// fails notes a failure.
func (u *unit) fails(err error) {
	u.failures.Add(1)
	now := time.Now()
	f := &failure{since: now, err: err, next: now.Add(firstPause), pause: firstPause}
	if u.failure.CompareAndSwap(nil, f) {
		u.log.LogAttrs(context.Background(), slog.LevelError, "key failed",
			slog.String("key", u.name), slog.String("kind", string(kindOf(err))), slog.String("detail", err.Error()), slog.String("hint", fault.HintOf(err)))
		u.tell(u.event(EventFailed, err))
		u.poke()
	}
}

// works notes that a key which failed signs again.
func (u *unit) works() {
	if f := u.failure.Swap(nil); f != nil {
		u.log.LogAttrs(context.Background(), slog.LevelWarn, "key works again",
			slog.String("key", u.name), slog.Duration("after", time.Since(f.since)))
		u.tell(u.event(EventWorks, nil))
	}
}

// kindOf puts a word on a failure: those of package fault, and a few for what
// is found here.
func kindOf(err error) fault.Kind {
	switch kind := fault.KindOf(err); {
	case kind != "":
		return kind
	case errors.Is(err, authority.ErrSelfCheck):
		return "wrong-signature"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "other"
}

// due is when the unit has to be tried, the zero time for not at all.
func (u *unit) due() time.Time {
	if f := u.failure.Load(); f != nil {
		return f.next
	}
	if u.External {
		return time.Unix(0, u.worked.Load()).Add(idleProbe)
	}
	return time.Time{}
}

// probe has the key make a signature that is no token.
func (u *unit) probe(ctx context.Context, timeout time.Duration) {
	err := u.prove(ctx, timeout)
	switch {
	case ctx.Err() != nil: // the server is stopping
	case err == nil:
		u.worked.Store(time.Now().UnixNano())
		u.works()
	default:
		if f := u.failure.Load(); f != nil {
			pause := min(2*f.pause, maxPause)
			u.failures.Add(1)
			u.failure.CompareAndSwap(f, &failure{since: f.since, err: err, next: time.Now().Add(pause), pause: pause})
		} else {
			u.fails(err)
		}
	}
	u.probing.Store(false)
	u.poke()
}

// prove is authority.Prove with a bound.
func (u *unit) prove(ctx context.Context, timeout time.Duration) error {
	if timeout == 0 {
		timeout = probeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return u.Authority.Prove(ctx)
}

// ready says whether the unit would grant a good request now.
func (u *unit) ready(ctx context.Context) error {
	if f := u.failure.Load(); f != nil {
		r := tsp.AsRejection(f.err)
		return &tsp.Rejection{Info: tsp.SystemFailure, Text: r.Text, Err: fmt.Errorf("the key %s does not sign: %w", u.name, f.err)}
	}
	return u.Authority.Ready(ctx)
}

// A generation are the units that issue at one time. It never changes.
type generation struct {
	units     []*unit
	timeout   time.Duration
	delegated bool
	shown     atomic.Pointer[unit] // whose chain is published as the one that issues
}

func newGeneration(units []Unit, t *TSA) *generation {
	g := new(generation)
	for i, u := range units {
		w := &unit{Unit: u, name: unitName(i), log: t.log, tell: t.event, poke: t.poke, wrong: &t.wrong}
		w.worked.Store(time.Now().UnixNano()) // authority.New has seen it sign
		g.units = append(g.units, w)
		if u.External {
			g.timeout = t.cfg.SignTimeout
		}
	}
	return g
}

// handedTo returns the same units for another TSA.
func (g *generation) handedTo(t *TSA) *generation {
	var units []Unit
	for _, u := range g.units {
		units = append(units, u.Unit)
	}
	next := newGeneration(units, t)
	next.timeout, next.delegated = g.timeout, g.delegated
	return next
}

// ends is when the last of its chains does: from then on no unit may issue.
func (g *generation) ends() (end time.Time) {
	for _, u := range g.units {
		if _, until := u.Authority.Window(); until.After(end) {
			end = until
		}
	}
	return end
}

// has says that a unit has this leaf.
func (g *generation) has(leaf *x509.Certificate) bool {
	return slices.ContainsFunc(g.units, func(u *unit) bool { return u.Authority.Chain()[0].Equal(leaf) })
}

// dead says that no unit signs.
func (g *generation) dead() bool {
	for _, u := range g.units {
		if u.failure.Load() == nil {
			return false
		}
	}
	return true
}

// unitName is how logs, metrics and readiness call the i-th unit.
func unitName(i int) string {
	if i == 0 {
		return "primary"
	}
	return fmt.Sprintf("standby-%d", i)
}

// respond asks the units in turn: first those that work, and when there is none,
// those that did not, for they may have recovered.
func (g *generation) respond(ctx context.Context, request []byte) (reply []byte, out tsp.Outcome) {
	order := make([]*unit, 0, 2*len(g.units))
	var failing []*unit
	for _, u := range g.units {
		if u.failure.Load() == nil {
			order = append(order, u)
		} else {
			failing = append(failing, u)
		}
	}
	order = append(order, failing...)
	for i, u := range order {
		attempt, cancel := share(ctx, len(order)-i)
		reply, out = u.respond(attempt, request)
		cancel()
		if !unitFailed(ctx, &out) || ctx.Err() != nil {
			break
		}
	}
	return reply, out
}

// share gives one of n that are left its part of the time that is left: a unit
// that hangs must not take the time of the one that would answer.
func share(ctx context.Context, n int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || n == 1 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(n))
}

// active is the unit that issues: the first that works, and whose chain is
// valid now.
func (g *generation) active() *unit {
	if len(g.units) == 1 {
		return g.units[0]
	}
	now := time.Now()
	for _, u := range g.units {
		from, until := u.Authority.Window()
		if u.failure.Load() == nil && !now.Before(from) && !now.After(until) {
			return u
		}
	}
	return g.units[0]
}

// chainChanged says that another unit issues than the one whose chain is
// published.
func (g *generation) chainChanged() bool { return g.shown.Load() != g.active() }

// sameChains says that the leaves are the same, in the same order.
func (g *generation) sameChains(other *generation) bool {
	if len(g.units) != len(other.units) {
		return false
	}
	for i, u := range g.units {
		if !u.Authority.Chain()[0].Equal(other.units[i].Authority.Chain()[0]) {
			return false
		}
	}
	return true
}

func (g *generation) close() error {
	var all []error
	for _, u := range g.units {
		if u.Close != nil {
			all = append(all, u.Close())
		}
	}
	return errors.Join(all...)
}
