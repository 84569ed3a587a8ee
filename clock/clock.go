// Package clock says what time it is, how wrong that may be, and whether
// anyone can vouch for it.
//
// A timestamp authority promises an accuracy. It can keep the promise only if
// it knows the error of its own clock, and it must stop issuing when it does
// not (ETSI EN 319 421, TIS-7.7.1-07 and TIS-7.7.2-06; RFC 3161, 2.4.2,
// timeNotAvailable). So a [Source] answers with a [Reading], which is a time
// together with a bound on its error, or with an error, which means "I don't
// know" and never anything milder.
//
// [System] is the machine's clock with a bound that the operator declares. A
// [Monitor] finds the bound by comparing that clock with several others, and
// needs a majority of them to be honest, not any one of them. [Fixed] and [Script] are for tests and for injecting faults. A [Guard]
// stands between any source and whoever issues: it passes on only readings
// that are good enough, and notices a clock that was set back.
//
//	guard, err := clock.NewGuard(clock.GuardConfig{
//		Source: clock.System(500 * time.Millisecond),
//		Limit:  time.Second, // the accuracy promised in each token
//	})
//	...
//	reading, err := guard.Now(ctx) // err: issue nothing
//
// With time servers to ask, the source is a monitor, which asks them in a
// goroutine of the caller's:
//
//	monitor, err := clock.NewMonitor(clock.MonitorConfig{References: servers})
//	...
//	go monitor.Run(ctx)
//	guard, err := clock.NewGuard(clock.GuardConfig{Source: monitor, Limit: time.Second})
//
// A bound is only as honest as the source that states it. This package does
// no I/O; a time server is asked by an implementation of [Reference]
// elsewhere.
package clock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrUnknown is wrapped by every error of a [Source]: the time is not known.
var ErrUnknown = errors.New("clock: time unknown")

// State says who vouches for a reading. The zero value is StateUnknown.
type State int

const (
	// StateUnknown is the state of a clock that cannot be relied upon. A
	// [Guard] refuses it.
	StateUnknown State = iota

	// StateUnmonitored is the state of a clock whose error bound was declared
	// by the operator and is checked by nobody.
	StateUnmonitored

	// StateSynchronised is the state of a clock whose error bound was
	// measured against other clocks, recently enough for the bound to hold.
	StateSynchronised
)

// String returns "unknown", "unmonitored" or "synchronised"; the same words
// appear in JSON, metrics and the record of issue.
func (s State) String() string {
	switch s {
	case StateUnknown:
		return "unknown"
	case StateUnmonitored:
		return "unmonitored"
	case StateSynchronised:
		return "synchronised"
	}
	return fmt.Sprintf("State(%d)", int(s))
}

// MarshalText returns the word of [State.String]. It fails for a value that is
// none of the constants.
func (s State) MarshalText() ([]byte, error) {
	if s < StateUnknown || s > StateSynchronised {
		return nil, fmt.Errorf("clock: invalid state %d", int(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText accepts the three words of [State.String], and nothing else.
func (s *State) UnmarshalText(text []byte) error {
	for v := StateUnknown; v <= StateSynchronised; v++ {
		if string(text) == v.String() {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("clock: unknown state %.32q", text)
}

// A Reading is one look at a clock. The zero Reading is not a time: its state
// is StateUnknown.
type Reading struct {
	// Time is in UTC and carries no monotonic reading, so that comparing two
	// readings compares what the clock said.
	Time time.Time

	// Bound is the largest possible error: the true time lies between
	// Time-Bound and Time+Bound. It is never negative.
	Bound time.Duration

	// State says who vouches for Bound.
	State State
}

// Earliest returns the earliest instant that the true time can be, Time-Bound.
func (r Reading) Earliest() time.Time { return r.Time.Add(-r.Bound) }

// Latest returns the latest instant that the true time can be, Time+Bound.
func (r Reading) Latest() time.Time { return r.Time.Add(r.Bound) }

// A Source is a clock. Now may be called from several goroutines at once. Its
// error means that the time is not known, wraps [ErrUnknown], and comes with
// the zero Reading. An implementation that may block ends when ctx does.
type Source interface {
	Now(ctx context.Context) (Reading, error)
}

// SourceFunc is a function that is a [Source].
type SourceFunc func(ctx context.Context) (Reading, error)

// Now calls f.
func (f SourceFunc) Now(ctx context.Context) (Reading, error) { return f(ctx) }

// System returns the machine's own clock. The bound is the operator's word for
// how far it may be off, and nobody checks it: the state of each reading is
// [StateUnmonitored]. A bound that is not positive promises a perfect clock,
// and such a source answers with an error that wraps [ErrUnknown], always.
func System(bound time.Duration) Source { return systemClock{bound} }

type systemClock struct{ bound time.Duration }

func (c systemClock) Now(context.Context) (Reading, error) {
	if c.bound <= 0 {
		return Reading{}, fmt.Errorf("%w: the declared bound of the system clock is %v, not positive", ErrUnknown, c.bound)
	}
	return Reading{Time: wall(time.Now()), Bound: c.bound, State: StateUnmonitored}, nil
}

// wall drops the monotonic reading: with it, two times would be compared by
// how long the process ran between them, which hides that the clock was set.
func wall(t time.Time) time.Time { return t.Round(0).UTC() }

// Fixed returns a clock that always shows t, in the state
// [StateUnmonitored]. It is for tests and for signing with a stated time.
func Fixed(t time.Time, bound time.Duration) Source {
	return fixedClock{Reading{Time: wall(t), Bound: bound, State: StateUnmonitored}}
}

type fixedClock struct{ reading Reading }

func (c fixedClock) Now(context.Context) (Reading, error) { return c.reading, nil }
