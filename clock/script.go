package clock

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Step is one answer of a [Script].
type Step struct {
	// Reading is the answer, given as it is, right or wrong. It is ignored if
	// Err is set.
	Reading Reading

	// Err, unless nil, is answered instead of a reading, wrapped together
	// with [ErrUnknown].
	Err error

	// Delay is how long the answer takes. A context that ends sooner ends the
	// call, with the context's error and ErrUnknown; the step is used up.
	Delay time.Duration
}

// A Script is a clock that answers as it is told, for tests and for injecting
// faults into something that runs. Each call takes the next step; the last
// step stays and is answered again and again. A Script without steps answers
// with [ErrUnknown]. The zero Script is ready to use, from several goroutines
// at once.
type Script struct {
	mu    sync.Mutex
	steps []Step // what is still to come; the last one stays
	calls int
}

// NewScript returns a script of the given steps.
func NewScript(steps ...Step) *Script {
	s := new(Script)
	s.Replace(steps...)
	return s
}

// Replace drops the steps that remain and continues with these.
func (s *Script) Replace(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append([]Step(nil), steps...)
}

// Calls returns how often Now was called.
func (s *Script) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Now answers with the next step.
func (s *Script) Now(ctx context.Context) (Reading, error) {
	step, ok := s.next()
	if !ok {
		return Reading{}, fmt.Errorf("%w: the script has no steps", ErrUnknown)
	}
	if step.Delay > 0 {
		timer := time.NewTimer(step.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return Reading{}, unknown(ctx.Err())
		}
	}
	if step.Err != nil {
		return Reading{}, unknown(step.Err)
	}
	return step.Reading, nil
}

func (s *Script) next() (Step, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.steps) == 0 {
		return Step{}, false
	}
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	return step, true
}

// unknown makes err an error that wraps [ErrUnknown].
func unknown(err error) error {
	if errors.Is(err, ErrUnknown) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

var _ Source = (*Script)(nil)
