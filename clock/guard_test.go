package clock_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
)

func newGuard(t testing.TB, cfg clock.GuardConfig) *clock.Guard {
	t.Helper()
	g, err := clock.NewGuard(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewGuard(t *testing.T) {
	source := clock.Fixed(noon, 0)
	for _, tt := range []struct {
		name string
		cfg  clock.GuardConfig
	}{
		{"zero", clock.GuardConfig{}},
		{"no source", clock.GuardConfig{Limit: time.Second}},
		{"no limit", clock.GuardConfig{Source: source}},
		{"negative limit", clock.GuardConfig{Source: source, Limit: -1}},
		{"NotBefore too early", clock.GuardConfig{Source: source, Limit: 1, NotBefore: time.Date(1969, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"NotBefore too late", clock.GuardConfig{Source: source, Limit: 1, NotBefore: time.Date(2263, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if g, err := clock.NewGuard(tt.cfg); err == nil || g != nil {
				t.Errorf("NewGuard(%+v) = %v, %v; want nil and an error", tt.cfg, g, err)
			}
		})
	}
}

func TestGuardReading(t *testing.T) {
	const limit = time.Second
	broken := errors.New("no route to server")
	good := clock.Reading{Time: noon, Bound: limit, State: clock.StateSynchronised}
	with := func(change func(*clock.Reading)) clock.Step {
		r := good
		change(&r)
		return clock.Step{Reading: r}
	}
	for _, tt := range []struct {
		name string
		step clock.Step
		want clock.GuardReason // "" means given
	}{
		{"at the limit", clock.Step{Reading: good}, ""},
		{"no error at all", with(func(r *clock.Reading) { r.Bound = 0 }), ""},
		{"unmonitored", with(func(r *clock.Reading) { r.State = clock.StateUnmonitored }), ""},
		{"other zone", with(func(r *clock.Reading) { r.Time = noon.In(time.FixedZone("", -7200)) }), ""},
		{"last year", with(func(r *clock.Reading) { r.Time = time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC) }), ""},
		{"source error", clock.Step{Err: broken}, clock.GuardSource},
		{"source error with reading", clock.Step{Reading: good, Err: broken}, clock.GuardSource},
		{"zero reading", clock.Step{}, clock.GuardState},
		{"state unknown", with(func(r *clock.Reading) { r.State = clock.StateUnknown }), clock.GuardState},
		{"state out of range", with(func(r *clock.Reading) { r.State = 7 }), clock.GuardState},
		{"state negative", with(func(r *clock.Reading) { r.State = -1 }), clock.GuardState},
		{"above the limit", with(func(r *clock.Reading) { r.Bound = limit + 1 }), clock.GuardBound},
		{"far above the limit", with(func(r *clock.Reading) { r.Bound = math.MaxInt64 }), clock.GuardBound},
		{"negative bound", with(func(r *clock.Reading) { r.Bound = -1 }), clock.GuardInvalid},
		{"zero time", with(func(r *clock.Reading) { r.Time = time.Time{} }), clock.GuardInvalid},
		{"epoch", with(func(r *clock.Reading) { r.Time = time.Unix(0, 0) }), clock.GuardInvalid},
		{"before the epoch", with(func(r *clock.Reading) { r.Time = time.Unix(-1, 0) }), clock.GuardInvalid},
		{"after nanoseconds end", with(func(r *clock.Reading) { r.Time = time.Unix(1<<40, 0) }), clock.GuardInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuard(t, clock.GuardConfig{Source: clock.NewScript(tt.step), Limit: limit})
			r, err := g.Now(t.Context())
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if !r.Time.Equal(tt.step.Reading.Time) || r.Bound != tt.step.Reading.Bound || r.State != tt.step.Reading.State {
					t.Errorf("got %v; want %v", r, tt.step.Reading)
				}
				if r.Time.Location() != time.UTC {
					t.Errorf("time is in %v; want UTC", r.Time.Location())
				}
				return
			}
			if r != (clock.Reading{}) {
				t.Errorf("refused, but with the reading %v", r)
			}
			var e *clock.GuardError
			if !errors.As(err, &e) || e.Reason != tt.want || e.Limit != limit {
				t.Fatalf("got %#v; want a GuardError with the reason %q", err, tt.want)
			}
			if !errors.Is(err, clock.ErrUnknown) {
				t.Errorf("%v does not wrap ErrUnknown", err)
			}
			if got, want := errors.Is(err, broken), tt.want == clock.GuardSource; got != want {
				t.Errorf("%v wraps the source's error: %v; want %v", err, got, want)
			}
			if e.Error() == "" {
				t.Error("no message")
			}
		})
	}
}

func TestGuardStep(t *testing.T) {
	const bound = time.Second
	at := func(offset time.Duration) clock.Step {
		return clock.Step{Reading: clock.Reading{Time: noon.Add(offset), Bound: bound, State: clock.StateSynchronised}}
	}
	type call struct {
		offset  time.Duration // of the clock, from noon
		refused bool
	}
	for _, tt := range []struct {
		name      string
		notBefore time.Time
		calls     []call
	}{
		{"forwards", time.Time{}, []call{{0, false}, {time.Hour, false}, {2 * time.Hour, false}}},
		{"back within the bounds", time.Time{}, []call{{0, false}, {-2 * bound, false}}},
		{"back by more", time.Time{}, []call{{0, false}, {-2*bound - 1, true}}},
		{"slow drift back", time.Time{}, []call{{0, false}, {-bound, false}, {-2 * bound, false}, {-3 * bound, true}}},
		{"resumes at the floor", time.Time{}, []call{{0, false}, {-time.Hour, true}, {-time.Minute, true}, {-2 * bound, false}}},
		{"a refused step back does not lower the floor", time.Time{}, []call{{0, false}, {-time.Hour, true}, {-time.Hour, true}}},
		{"restart: set back", noon, []call{{-bound - 1, true}, {-bound, false}}},
		{"restart: not set back", noon, []call{{0, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var steps []clock.Step
			for _, c := range tt.calls {
				steps = append(steps, at(c.offset))
			}
			g := newGuard(t, clock.GuardConfig{Source: clock.NewScript(steps...), Limit: bound, NotBefore: tt.notBefore})
			for i, c := range tt.calls {
				r, err := g.Now(t.Context())
				if !c.refused {
					if err != nil {
						t.Fatalf("call %d, clock at %v: %v", i, c.offset, err)
					}
					continue
				}
				var e *clock.GuardError
				if !errors.As(err, &e) || e.Reason != clock.GuardStep || r != (clock.Reading{}) {
					t.Fatalf("call %d, clock at %v = %v, %v; want the reason step", i, c.offset, r, err)
				}
				if !e.Floor.After(e.Reading.Latest()) {
					t.Errorf("call %d: floor %v is not after %v", i, e.Floor, e.Reading.Latest())
				}
			}
		})
	}
}

// A reading that is refused for another reason says nothing about time.
func TestGuardRefusedReadingKeepsFloor(t *testing.T) {
	ahead := clock.Reading{Time: noon.Add(time.Hour), Bound: time.Minute, State: clock.StateSynchronised}
	now := clock.Reading{Time: noon, Bound: time.Millisecond, State: clock.StateSynchronised}
	g := newGuard(t, clock.GuardConfig{
		Source: clock.NewScript(clock.Step{Reading: ahead}, clock.Step{Reading: now}),
		Limit:  time.Second,
	})
	if _, err := g.Now(t.Context()); err == nil {
		t.Fatal("a reading above the limit was given")
	}
	if r, err := g.Now(t.Context()); err != nil || r != now {
		t.Errorf("got %v, %v; want %v", r, err, now)
	}
}

// A goroutine that was held up between reading the clock and returning must
// not be taken for a step back.
func TestGuardSlowSource(t *testing.T) {
	first := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	old := clock.Reading{Time: noon, State: clock.StateSynchronised}
	young := clock.Reading{Time: noon.Add(time.Hour), State: clock.StateSynchronised}
	g := newGuard(t, clock.GuardConfig{Limit: time.Second, Source: clock.SourceFunc(
		func(context.Context) (clock.Reading, error) {
			slow := false
			once.Do(func() { slow = true })
			if slow {
				close(first)
				<-release
				return old, nil
			}
			return young, nil
		})})
	done := make(chan error)
	go func() {
		_, err := g.Now(t.Context())
		done <- err
	}()
	<-first
	if _, err := g.Now(t.Context()); err != nil {
		t.Error(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("the call that began first was refused: %v", err)
	}
}

func TestGuardConcurrent(t *testing.T) {
	// A bound of a nanosecond: any false alarm would show.
	g := newGuard(t, clock.GuardConfig{Source: clock.System(1), Limit: time.Second})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 1000 {
				if _, err := g.Now(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestGuardAllocations(t *testing.T) {
	g := newGuard(t, clock.GuardConfig{Source: clock.System(time.Second), Limit: time.Second})
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := g.Now(ctx); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("Guard.Now allocates %v times; want 0", n)
	}
}

func BenchmarkNow(b *testing.B) {
	b.Run("time.Now", func(b *testing.B) {
		for b.Loop() {
			_ = time.Now()
		}
	})
	b.Run("Guard", func(b *testing.B) {
		g := newGuard(b, clock.GuardConfig{Source: clock.System(time.Second), Limit: time.Second})
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := g.Now(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Guard/parallel", func(b *testing.B) {
		g := newGuard(b, clock.GuardConfig{Source: clock.System(time.Second), Limit: time.Second})
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			ctx := b.Context()
			for pb.Next() {
				if _, err := g.Now(ctx); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
