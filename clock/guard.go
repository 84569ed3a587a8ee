package clock

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"
)

// A GuardReason says why a [Guard] refused to give the time. The set is
// closed; the words appear in metrics and logs.
type GuardReason string

const (
	// GuardSource: the source answered with an error, kept in GuardError.Err.
	GuardSource GuardReason = "source"

	// GuardState: the source answered, in [StateUnknown] or in no known state.
	GuardState GuardReason = "state"

	// GuardInvalid: the reading is not one: its time is zero or outside the
	// years 1970 to 2261, or its bound is negative.
	GuardInvalid GuardReason = "invalid"

	// GuardBound: the clock's error bound is above the limit.
	GuardBound GuardReason = "bound"

	// GuardStep: the clock was set back: even with its whole error it shows a
	// time before one that this guard has already given.
	GuardStep GuardReason = "step"
)

// A GuardError is the error of [Guard.Now]. It wraps [ErrUnknown].
type GuardError struct {
	Reason  GuardReason
	Reading Reading       // what the source said; zero for GuardSource
	Limit   time.Duration // the guard's limit
	Floor   time.Time     // for GuardStep: the time is known to be no earlier
	Err     error         // for GuardSource: the source's error
}

// Error returns the reason, with the figures that it hangs on.
func (e *GuardError) Error() string {
	r := e.Reading
	switch e.Reason {
	case GuardSource:
		return "clock: no time from the source: " + strings.TrimPrefix(e.Err.Error(), "clock: ")
	case GuardState:
		return fmt.Sprintf("clock: the state of the clock is %v", r.State)
	case GuardInvalid:
		return fmt.Sprintf("clock: not a usable reading: %v, error bound %v", r.Time, r.Bound)
	case GuardBound:
		return fmt.Sprintf("clock: error bound %v is above the limit %v", r.Bound, e.Limit)
	case GuardStep:
		return fmt.Sprintf("clock: set back: %v, error bound %v, is %v before the earliest possible time %v",
			r.Time, r.Bound, e.Floor.Sub(r.Latest()), e.Floor)
	}
	return "clock: refused: " + string(e.Reason)
}

// Is reports whether target is [ErrUnknown].
func (e *GuardError) Is(target error) bool { return target == ErrUnknown }

// Unwrap returns the source's error, if there is one.
func (e *GuardError) Unwrap() error { return e.Err }

// GuardConfig configures a [Guard].
type GuardConfig struct {
	// Source is the clock to guard. Required.
	Source Source

	// Limit is the largest error bound that is good enough: the accuracy that
	// the tokens promise, less what their encoding rounds away. Required,
	// positive.
	Limit time.Duration

	// NotBefore is a time that is known to have passed, such as that of the
	// last token issued before a restart. A clock that shows an earlier one
	// was set back. Zero: nothing is known.
	NotBefore time.Time
}

// A Guard is a [Source] that gives only readings that may be put into a token.
// It fails closed: whatever it cannot vouch for is a [*GuardError].
//
// A reading that it gives has a state other than StateUnknown, a bound of at
// most the limit and a time in UTC. It may be earlier than the one before, by
// no more than the two bounds allow: such readings agree with each other.
//
// From each reading that it gives, the guard keeps the earliest instant that
// the true time could have been; the true time cannot fall below the highest
// of these, the floor. A later reading that lies below the floor with its
// whole interval contradicts an earlier one: the clock was set back, or it was
// ahead before. The guard cannot tell which, and refuses such readings with
// [GuardStep] until the clock has come up to the floor again, by itself or by
// being set; then it goes on. A clock that was a year ahead when the guard
// used it therefore stops issuing for a year, unless the operator, who must
// then also look at the tokens issued in that state, makes a new guard. A
// refused reading never raises the floor.
//
// A step forwards cannot be told from a pause of the machine and is not
// detected here; comparing with other clocks is the source's part, such as a
// [Monitor]'s, whose bound covers a step of any size and direction at once.
//
// A Guard may be used from several goroutines at once. Beyond what its source
// costs, a call takes a few nanoseconds and allocates nothing.
type Guard struct {
	source Source
	limit  time.Duration
	floor  atomic.Int64 // nanoseconds since 1970; the true time is not earlier
}

// NewGuard returns a guard, or an error if a required field is missing or
// NotBefore is outside the years 1970 to 2261.
func NewGuard(cfg GuardConfig) (*Guard, error) {
	switch {
	case cfg.Source == nil:
		return nil, errors.New("clock: guard without a source")
	case cfg.Limit <= 0:
		return nil, fmt.Errorf("clock: guard with a limit of %v, not positive", cfg.Limit)
	case !cfg.NotBefore.IsZero() && !representable(cfg.NotBefore):
		return nil, fmt.Errorf("clock: guard with NotBefore %v, outside the years 1970 to 2261", cfg.NotBefore)
	}
	g := &Guard{source: cfg.Source, limit: cfg.Limit}
	g.floor.Store(math.MinInt64)
	if !cfg.NotBefore.IsZero() {
		g.floor.Store(cfg.NotBefore.UnixNano())
	}
	return g, nil
}

// Limit returns the largest error bound that the guard lets pass.
func (g *Guard) Limit() time.Duration { return g.limit }

// Now asks the source and returns its reading, or a [*GuardError].
func (g *Guard) Now(ctx context.Context) (Reading, error) {
	// The floor is taken before the source is asked: only a reading that
	// began after another one ended can contradict it.
	floor := g.floor.Load()
	r, err := g.source.Now(ctx)
	if err != nil {
		var inner *GuardError // of a guard behind this one, which says why
		if errors.As(err, &inner) {
			return Reading{}, inner
		}
		return Reading{}, g.refuse(GuardSource, Reading{}, err)
	}
	r.Time = wall(r.Time)
	switch {
	case r.State <= StateUnknown || r.State > StateSynchronised:
		return Reading{}, g.refuse(GuardState, r, nil)
	case r.Bound < 0 || !representable(r.Time):
		return Reading{}, g.refuse(GuardInvalid, r, nil)
	case r.Bound > g.limit:
		return Reading{}, g.refuse(GuardBound, r, nil)
	}
	now, bound := r.Time.UnixNano(), int64(r.Bound)
	// The time is positive, so subtracting the bound cannot overflow; adding
	// it can, and then the latest possible time is above any floor.
	if latest := now + bound; latest >= 0 && latest < floor {
		e := g.refuse(GuardStep, r, nil)
		e.Floor = time.Unix(0, floor).UTC()
		return Reading{}, e
	}
	g.raise(now - bound)
	return r, nil
}

// raise moves the floor up to t, never down.
func (g *Guard) raise(t int64) {
	for {
		floor := g.floor.Load()
		if t <= floor || g.floor.CompareAndSwap(floor, t) {
			return
		}
	}
}

func (g *Guard) refuse(reason GuardReason, r Reading, err error) *GuardError {
	return &GuardError{Reason: reason, Reading: r, Limit: g.limit, Err: err}
}

// representable reports whether t fits into nanoseconds since 1970 as a
// positive int64: the years 1970 to 2261. No useful clock shows another.
func representable(t time.Time) bool {
	const end = math.MaxInt64 / int64(time.Second) // in 2262
	s := t.Unix()
	return s > 0 && s < end
}

var _ Source = (*Guard)(nil)
