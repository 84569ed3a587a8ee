package timesrc

import (
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fencepost-tsa/fencepost/clock"
)

func TestSystemLocal(t *testing.T) {
	l := SystemLocal()
	wall, elapsed := time.Now(), l.Elapsed()
	time.Sleep(50 * time.Millisecond)
	d, want := l.Elapsed()-elapsed, time.Since(wall)
	// A clock that is being slewed as fast as chrony does it differs by a
	// twelfth.
	if d < want-want/10-time.Millisecond || d > want+want/10+50*time.Millisecond {
		t.Errorf("%v elapsed in %v", d, want)
	}
	if w := l.Wall(); w.Location() != time.UTC || w != w.Round(0) || time.Since(w).Abs() > time.Minute {
		t.Errorf("Wall() = %v", w)
	}
	other := SystemLocal() // of somebody who compares with ours
	if d := other.Elapsed() - l.Elapsed(); d < -50*time.Microsecond || d > 50*time.Millisecond {
		t.Errorf("two values differ by %v", d)
	}
	s, ok := l.(interface{ Suspended() time.Duration })
	if !ok {
		t.Fatal("no Suspended")
	}
	if got := s.Suspended(); got < -time.Millisecond {
		t.Errorf("Suspended() = %v", got)
	}
}

// Readings of many goroutines neither tremble nor go back.
func TestSystemLocalMonotonic(t *testing.T) {
	l := SystemLocal()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := l.Elapsed()
			for range 20000 {
				now := l.Elapsed()
				if now < last {
					t.Errorf("%v after %v", now, last)
					return
				}
				last = now
			}
		})
	}
	wg.Wait()
}

// scriptedClocks are the kernel's, with a machine that sleeps when told to.
type scriptedClocks struct {
	slept time.Duration
	err   error
}

func (s *scriptedClocks) gettime(clock int32) (time.Duration, error) {
	if s.err != nil {
		return 0, s.err
	}
	d, err := gettime(unix.CLOCK_MONOTONIC)
	if clock == unix.CLOCK_BOOTTIME {
		d += s.slept
	}
	return d, err
}

func TestSystemLocalSuspended(t *testing.T) {
	clocks := &scriptedClocks{slept: time.Hour}
	l := newSystemLocal(clocks.gettime)
	const slack = 20 * time.Millisecond // of a machine with other things to do
	if got := l.Suspended(); got < time.Hour-slack || got > time.Hour+slack {
		t.Errorf("Suspended() = %v at first; want %v", got, clocks.slept)
	}
	before := l.Elapsed()
	clocks.slept += 10 * time.Second
	if d := l.Elapsed() - before; d < 10*time.Second || d > 10*time.Second+slack {
		t.Errorf("Elapsed grew by %v in a sleep of 10 s", d)
	}
	if got, want := l.Suspended(), clocks.slept; (got - want).Abs() > slack {
		t.Errorf("Suspended() = %v; want %v", got, want)
	}
	clocks.err = errors.New("seccomp")
	if d := l.Elapsed() - before; d < 100*365*24*time.Hour {
		t.Errorf("Elapsed grew by %v when it could not be read; want to be told nothing that is recent", d)
	}
}

func TestSystemLocalAllocations(t *testing.T) {
	l := SystemLocal()
	if n := testing.AllocsPerRun(1000, func() { l.Elapsed(); l.Wall() }); n != 0 {
		t.Errorf("Elapsed and Wall allocate %v times; want 0", n)
	}
}

func BenchmarkSystemLocal(b *testing.B) {
	l := SystemLocal()
	b.Run("Elapsed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = l.Elapsed()
		}
	})
	b.Run("Wall", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = l.Wall()
		}
	})
}

var _ clock.Local = (*systemLocal)(nil)
