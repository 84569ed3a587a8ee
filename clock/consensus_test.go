package clock

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// With any minority of liars among n, whoever else does not answer, the true
// value is in the result.
func TestCountContainsTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 11))
	missed := 0 // by RFC 5905's end of the algorithm
	for range 300_000 {
		n := 1 + r.IntN(9)
		wrong := r.IntN(liars(n) + 1)
		const truth = 0
		var in, honest []interval
		for i := range n {
			if r.IntN(4) == 0 && n > 1 {
				continue // it does not answer
			}
			var v interval
			if i < wrong {
				v.lo = r.Int64N(41) - 20
				v.hi = v.lo + r.Int64N(1+r.Int64N(40))
			} else {
				v = interval{truth - r.Int64N(10), truth + r.Int64N(10)}
				honest = append(honest, v)
			}
			in = append(in, v)
		}
		v := count(in, liars(n))
		if v.agree < majority(n) {
			if len(honest) >= majority(n) {
				t.Fatalf("%d of %d are honest, and only %d of %v agree", len(honest), n, v.agree, in)
			}
			continue
		}
		if v.x.lo > truth || v.x.hi < truth {
			t.Fatalf("of %d, the first %d at most lie: %v come to %v", n, wrong, in, v)
		}
		if most := deepest(in, v.agree); most.lo > truth || most.hi < truth {
			missed++
		}
		if len(in) == n { // then liars do not widen it
			all := honest[0]
			for _, h := range honest {
				all = interval{min(all.lo, h.lo), max(all.hi, h.hi)}
			}
			if v.x.lo < all.lo || v.x.hi > all.hi {
				t.Fatalf("of %d, the first %d at most lie: %v come to %v, wider than the honest ones", n, wrong, in, v)
			}
		}
	}
	if missed == 0 {
		t.Error("the points in most intervals always contained the truth: this test tries nothing hard")
	}
}

// deepest is the smallest interval around the points that lie in depth of in.
func deepest(in []interval, depth int) interval {
	return count(in, len(in)-depth).x
}

func TestCount(t *testing.T) {
	for _, tt := range []struct {
		name  string
		in    []interval
		of    int
		want  interval
		agree int
	}{
		{"one", []interval{{1, 2}}, 1, interval{1, 2}, 1},
		{"same point", []interval{{1, 2}, {2, 3}}, 2, interval{2, 2}, 2},
		{"points", []interval{{5, 5}, {5, 5}, {5, 5}}, 3, interval{5, 5}, 3},
		{"majority of three", []interval{{0, 4}, {2, 6}, {3, 9}}, 3, interval{2, 6}, 3},
		{"two regions", []interval{{0, 10}, {1, 2}, {8, 9}}, 3, interval{1, 9}, 2},
		{"one did not answer", []interval{{0, 4}, {2, 6}}, 3, interval{0, 6}, 2},
		{"all of two", []interval{{0, 4}, {2, 6}}, 2, interval{2, 4}, 2},
		{"nobody answers", nil, 3, interval{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := count(tt.in, liars(tt.of))
			if got.x != tt.want || got.agree != tt.agree {
				t.Errorf("count(%v) = %v; want %v, %d", tt.in, got, tt.want, tt.agree)
			}
		})
	}
}

// What rounds have in common does not depend on when it is asked, but for the
// drift since.
func TestHistoryProjects(t *testing.T) {
	h := history{
		{at: 0, x: interval{0, 1000}},
		{at: time.Second, x: interval{-500, 500}},
	}
	if got, want := h.project(time.Second, 100e-9), (interval{-100, 500}); got != want {
		t.Errorf("got %v; want %v", got, want)
	}
	if got, want := h.project(2*time.Second, 100e-9), (interval{-200, 600}); got != want {
		t.Errorf("got %v; want %v", got, want)
	}
	for i := range 3 * maxHistory {
		h = h.add(consensus{at: time.Duration(i)})
	}
	if len(h) != maxHistory || h[len(h)-1].at != 3*maxHistory-1 {
		t.Errorf("%d are kept, the last of %v", len(h), h[len(h)-1].at)
	}
}

func TestNewSample(t *testing.T) {
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	good := Measurement{
		Start: Instant{noon, time.Hour}, End: Instant{noon.Add(time.Second), time.Hour + time.Second},
		Offset: time.Second, Error: time.Millisecond,
	}
	for _, tt := range []struct {
		name   string
		change func(*Measurement)
		want   error
		radius time.Duration // of the sample
	}{
		{"good", func(*Measurement) {}, nil, time.Millisecond},
		{"no error at all", func(m *Measurement) { m.Error = 0 }, nil, 0},
		{"slewed", func(m *Measurement) { m.End.Wall = m.End.Wall.Add(3 * time.Millisecond) }, nil, 4 * time.Millisecond},
		{"slewed back", func(m *Measurement) { m.End.Wall = m.End.Wall.Add(-3 * time.Millisecond) }, nil, 4 * time.Millisecond},
		{"set", func(m *Measurement) { m.End.Wall = m.End.Wall.Add(time.Minute) }, errWallSet, 0},
		{"set back", func(m *Measurement) { m.End.Wall = m.End.Wall.Add(-11 * time.Millisecond) }, errWallSet, 0},
		{"negative error", func(m *Measurement) { m.Error = -1 }, errInvalidMeasurement, 0},
		{"vast error", func(m *Measurement) { m.Error = 1 << 62 }, errInvalidMeasurement, 0},
		{"vast offset", func(m *Measurement) { m.Offset = 1<<63 - 1 }, errInvalidMeasurement, 0},
		{"vast negative offset", func(m *Measurement) { m.Offset = -1 << 63 }, errInvalidMeasurement, 0},
		{"no such leap second", func(m *Measurement) { m.Leap = 3 }, errInvalidMeasurement, 0},
		{"negative leap second", func(m *Measurement) { m.Leap = -1 }, errInvalidMeasurement, 0},
		{"too early", func(m *Measurement) { m.Start.Elapsed = time.Hour - 2 }, errInvalidMeasurement, 0},
		{"too late", func(m *Measurement) { m.End.Elapsed = time.Hour + time.Minute }, errInvalidMeasurement, 0},
		{"backwards", func(m *Measurement) { m.End.Elapsed = time.Hour - 1 }, errInvalidMeasurement, 0},
		{"no time", func(m *Measurement) { m.Start.Wall = time.Time{} }, errInvalidMeasurement, 0},
		{"zero", func(m *Measurement) { *m = Measurement{} }, errInvalidMeasurement, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := good
			tt.change(&m)
			s, err := newSample(m, time.Hour-1, time.Hour+2*time.Second, 1e-4)
			if !errors.Is(err, tt.want) || (s == nil) != (tt.want != nil) {
				t.Fatalf("newSample(%+v) = %v, %v; want %v", m, s, err, tt.want)
			}
			if s == nil {
				return
			}
			if got, want := s.x.radius(), tt.radius+100*time.Microsecond; got != want { // drift of a second
				t.Errorf("the error is %v; want %v", got, want)
			}
			if got, want := s.time().mid(), m.End.Wall.Add(m.Offset).UnixNano(); got != want {
				t.Errorf("true time is %d; want %d", got, want)
			}
		})
	}
}
