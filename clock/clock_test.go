package clock_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestSystem(t *testing.T) {
	before := time.Now()
	r, err := clock.System(time.Second).Now(t.Context())
	after := time.Now()
	if err != nil {
		t.Fatal(err)
	}
	if r.Time.Before(before.Round(0)) || r.Time.After(after.Round(0)) {
		t.Errorf("time %v is not between %v and %v", r.Time, before, after)
	}
	if r.Bound != time.Second || r.State != clock.StateUnmonitored {
		t.Errorf("got bound %v, state %v; want 1s, unmonitored", r.Bound, r.State)
	}
	if r.Time.Location() != time.UTC {
		t.Errorf("time is in %v; want UTC", r.Time.Location())
	}
	if strings.Contains(r.Time.String(), "m=") {
		t.Errorf("time %v carries a monotonic reading", r.Time)
	}
}

func TestSystemWithoutBound(t *testing.T) {
	for _, bound := range []time.Duration{0, -time.Second} {
		r, err := clock.System(bound).Now(t.Context())
		if !errors.Is(err, clock.ErrUnknown) || r != (clock.Reading{}) {
			t.Errorf("System(%v).Now() = %v, %v; want the zero Reading and ErrUnknown", bound, r, err)
		}
	}
}

func TestFixed(t *testing.T) {
	local := noon.In(time.FixedZone("elsewhere", 3600))
	r, err := clock.Fixed(local, time.Minute).Now(t.Context())
	want := clock.Reading{Time: noon, Bound: time.Minute, State: clock.StateUnmonitored}
	if err != nil || r != want {
		t.Errorf("got %v, %v; want %v", r, err, want)
	}
	if got := r.Earliest(); !got.Equal(noon.Add(-time.Minute)) {
		t.Errorf("Earliest() = %v", got)
	}
	if got := r.Latest(); !got.Equal(noon.Add(time.Minute)) {
		t.Errorf("Latest() = %v", got)
	}
}

func TestState(t *testing.T) {
	for state, word := range map[clock.State]string{
		clock.StateUnknown:      "unknown",
		clock.StateUnmonitored:  "unmonitored",
		clock.StateSynchronised: "synchronised",
	} {
		got, err := json.Marshal(state)
		if err != nil || string(got) != `"`+word+`"` {
			t.Errorf("json.Marshal(%d) = %s, %v; want %q", state, got, err, word)
		}
		var back clock.State
		if err := json.Unmarshal(got, &back); err != nil || back != state {
			t.Errorf("json.Unmarshal(%s) = %v, %v; want %v", got, back, err, state)
		}
	}
	var zero clock.Reading
	if zero.State != clock.StateUnknown {
		t.Errorf("the zero Reading has the state %v", zero.State)
	}
	for _, bad := range []clock.State{-1, 3} {
		if text, err := bad.MarshalText(); err == nil {
			t.Errorf("MarshalText of %v = %q; want an error", bad, text)
		}
	}
	for _, bad := range []string{"", "Unknown", "synchronized", "State(3)"} {
		s := clock.StateSynchronised
		if err := s.UnmarshalText([]byte(bad)); err == nil || s != clock.StateSynchronised {
			t.Errorf("UnmarshalText(%q) gave %v, %v; want an error and no change", bad, s, err)
		}
	}
}

func TestScript(t *testing.T) {
	first := clock.Reading{Time: noon, Bound: time.Millisecond, State: clock.StateSynchronised}
	last := first
	last.Time = noon.Add(time.Second)
	broken := errors.New("cable unplugged")
	s := clock.NewScript(clock.Step{Reading: first}, clock.Step{Err: broken}, clock.Step{Reading: last})

	if r, err := s.Now(t.Context()); err != nil || r != first {
		t.Errorf("step 1 = %v, %v; want %v", r, err, first)
	}
	if r, err := s.Now(t.Context()); !errors.Is(err, broken) || !errors.Is(err, clock.ErrUnknown) || r != (clock.Reading{}) {
		t.Errorf("step 2 = %v, %v; want its error and ErrUnknown", r, err)
	}
	for range 2 { // the last step stays
		if r, err := s.Now(t.Context()); err != nil || r != last {
			t.Errorf("step 3 = %v, %v; want %v", r, err, last)
		}
	}
	s.Replace(clock.Step{Reading: first})
	if r, err := s.Now(t.Context()); err != nil || r != first {
		t.Errorf("after Replace = %v, %v; want %v", r, err, first)
	}
	if got := s.Calls(); got != 5 {
		t.Errorf("Calls() = %d; want 5", got)
	}

	var zero clock.Script
	if _, err := zero.Now(t.Context()); !errors.Is(err, clock.ErrUnknown) {
		t.Errorf("the zero Script answered with %v; want ErrUnknown", err)
	}
}

func TestScriptDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reading := clock.Reading{Time: noon, State: clock.StateSynchronised}
		s := clock.NewScript(clock.Step{Reading: reading, Delay: time.Minute})

		start := time.Now()
		if r, err := s.Now(t.Context()); err != nil || r != reading {
			t.Errorf("got %v, %v; want %v", r, err, reading)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("answered after %v; want 1m", d)
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err := s.Now(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, clock.ErrUnknown) {
			t.Errorf("got %v; want DeadlineExceeded and ErrUnknown", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("gave up after %v; want 1s", d)
		}
	})
}

func TestScriptConcurrent(t *testing.T) {
	const n = 100
	var steps []clock.Step
	for i := range n {
		steps = append(steps, clock.Step{Reading: clock.Reading{Time: noon.Add(time.Duration(i))}})
	}
	s := clock.NewScript(steps...)
	var (
		mu   sync.Mutex
		seen = map[time.Time]bool{}
		wg   sync.WaitGroup
	)
	for range n {
		wg.Go(func() {
			r, err := s.Now(t.Context())
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[r.Time] = true
		})
	}
	wg.Wait()
	if len(seen) != n {
		t.Errorf("%d calls took %d steps; want each once", n, len(seen))
	}
}
