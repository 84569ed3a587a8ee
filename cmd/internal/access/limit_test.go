package access

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// at is an instant at which both clocks show d since 2026 began.
func at(d time.Duration) instant {
	return instant{elapsed: int64(d), wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(d).UnixNano()}
}

func mustMeter(t testing.TB, l Limit) meter {
	t.Helper()
	m, err := newMeter(l)
	if err != nil {
		t.Fatalf("newMeter(%+v): %v", l, err)
	}
	return m
}

func fresh() *bucket { return &bucket{fullAt: full} }

// admitted takes n times at one instant and returns how often that went well.
func admitted(m meter, b *bucket, now instant, n int) int {
	count := 0
	for range n {
		if wait, _ := m.take(b, now); wait == 0 {
			count++
		}
	}
	return count
}

func TestRate(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit Limit
		after []time.Duration
		want  []int // admitted at these times, of 100 each
	}{
		{"burst, then the rate", Limit{Rate: 10, Burst: 5}, []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, time.Hour}, []int{5, 1, 2, 5}},
		{"a second's worth by default", Limit{Rate: 20}, []time.Duration{0, time.Second}, []int{20, 20}},
		{"at least one by default", Limit{Rate: 0.5}, []time.Duration{0, time.Second, 2 * time.Second}, []int{1, 0, 1}},
		{"slow", Limit{Rate: 1.0 / 3600, Burst: 2}, []time.Duration{0, 59 * time.Minute, 60 * time.Minute}, []int{2, 0, 1}},
		{"fast", Limit{Rate: MaxRate, Burst: 3}, []time.Duration{0, time.Microsecond, time.Millisecond}, []int{3, 1, 3}},
		{"not a whole number of nanoseconds", Limit{Rate: 3, Burst: 1}, []time.Duration{0, 333333332, 333333333}, []int{1, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, b := mustMeter(t, tt.limit), fresh()
			for i, d := range tt.after {
				if got := admitted(m, b, at(d), 100); got != tt.want[i] {
					t.Errorf("after %v: admitted %d of 100, want %d", d, got, tt.want[i])
				}
			}
		})
	}
}

// TestLongRun holds that no pattern of requests gets more than the burst and
// the rate, and that an impatient client gets no less than the rate.
func TestLongRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m, b := mustMeter(t, Limit{Rate: 50, Burst: 10}), fresh()
	var now time.Duration
	count := 0
	for range 100_000 {
		now += time.Duration(rng.Int64N(int64(10 * time.Millisecond)))
		if wait, _ := m.take(b, at(now)); wait == 0 {
			count++
		}
	}
	if most := 10 + int(now.Seconds()*50) + 1; count > most || count < most-11 {
		t.Errorf("admitted %d requests in %v, want %d to %d", count, now, most-11, most)
	}
}

func TestQuota(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name  string
		limit Limit
		start time.Duration
		after []time.Duration
		want  []int
	}{
		{"window edge", Limit{Quota: 3, Per: time.Hour}, 0, []time.Duration{0, time.Hour - 1, time.Hour, time.Hour + 1}, []int{3, 0, 3, 0}},
		{"begins at midnight UTC", Limit{Quota: 3}, 23 * time.Hour, []time.Duration{0, time.Hour - 1, time.Hour}, []int{3, 0, 3}},
		{"week begins on Monday", Limit{Quota: 3, Per: 7 * day}, 0, []time.Duration{0, 4*day - 1, 4 * day, 11*day - 1, 11 * day}, []int{3, 0, 3, 0, 3}},
		{"unused quota is lost", Limit{Quota: 3, Per: time.Hour}, 0, []time.Duration{5 * time.Hour}, []int{3}},
		{"with a rate", Limit{Rate: 1, Burst: 2, Quota: 3, Per: time.Minute}, 0, []time.Duration{0, time.Second, 2 * time.Second, time.Minute}, []int{2, 1, 0, 2}},
		{"before 1970", Limit{Quota: 3, Per: time.Hour}, -100 * 366 * day, []time.Duration{0, 10 * time.Minute, time.Hour}, []int{3, 0, 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, b := mustMeter(t, tt.limit), &bucket{fullAt: full, window: math.MinInt64}
			for i, d := range tt.after {
				if got := admitted(m, b, at(tt.start+d), 100); got != tt.want[i] {
					t.Errorf("after %v: admitted %d of 100, want %d", d, got, tt.want[i])
				}
			}
		})
	}
}

// TestRetryAfter holds that a client which waits as long as it is told is
// admitted, and one that waits a nanosecond less is not, whatever the limit.
func TestRetryAfter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		l := Limit{Rate: math.Exp(rng.Float64()*20 - 8), Burst: 1 + rng.IntN(20)}
		if rng.IntN(2) == 0 {
			l.Quota, l.Per = 1+rng.IntN(30), time.Second+time.Duration(rng.Int64N(int64(time.Hour)))
		}
		if rng.IntN(4) == 0 && l.Quota > 0 {
			l.Rate, l.Burst = 0, 0
		}
		m, b := mustMeter(t, l), fresh()
		now := time.Duration(rng.Int64N(int64(1000 * time.Hour)))
		refused := 0
		for range 60 {
			wait, reason := m.take(b, at(now))
			if wait == 0 {
				now += time.Duration(rng.Int64N(int64(10 * time.Millisecond)))
				continue
			}
			refused++
			if reason != ReasonRate && reason != ReasonQuota {
				t.Fatalf("%+v: reason %q", l, reason)
			}
			early := *b
			if w, _ := m.take(&early, at(now+wait-1)); w != 1 {
				t.Fatalf("%+v: %v before the end of %v: wait %v, want 1ns", l, time.Nanosecond, wait, w)
			}
			now += wait
			if w, reason := m.take(b, at(now)); w != 0 {
				t.Fatalf("%+v: refused (%s, %v) after waiting %v", l, reason, w, wait)
			}
		}
		if refused == 0 && l.Rate < 10 && l.Rate > 0 {
			t.Fatalf("%+v: never refused", l)
		}
	}
}

// TestReasonIsTheLonger holds that a client is told of what it waits for.
func TestReasonIsTheLonger(t *testing.T) {
	m, b := mustMeter(t, Limit{Rate: 1.0 / 60, Burst: 2, Quota: 2, Per: time.Hour}), fresh()
	admitted(m, b, at(0), 2)
	if wait, reason := m.take(b, at(0)); reason != ReasonQuota || wait != time.Hour {
		t.Errorf("got %v, %s; want 1h, quota", wait, reason)
	}
	if wait, reason := m.take(b, at(time.Hour-time.Second)); reason != ReasonQuota || wait != time.Second {
		t.Errorf("got %v, %s; want 1s, quota", wait, reason)
	}
	b = fresh()
	m = mustMeter(t, Limit{Rate: 1.0 / 7200, Burst: 2, Quota: 2, Per: time.Hour})
	admitted(m, b, at(0), 2)
	if wait, reason := m.take(b, at(0)); reason != ReasonRate || wait != 2*time.Hour {
		t.Errorf("got %v, %s; want 2h, rate", wait, reason)
	}
}

// TestClockSteps holds that a clock which is set, whichever way and however
// far, neither shuts a client out for longer than its limit would nor lets it
// have more than one bucket and one quota besides.
func TestClockSteps(t *testing.T) {
	limit := Limit{Rate: 1, Burst: 5, Quota: 100, Per: time.Hour}
	wild := []time.Duration{-time.Second, -time.Hour, -24 * time.Hour, -50 * 366 * 24 * time.Hour, -math.MaxInt64, time.Second, time.Hour, 50 * 366 * 24 * time.Hour, math.MaxInt64}
	for _, step := range wild {
		m, b := mustMeter(t, limit), fresh()
		admitted(m, b, at(time.Minute), 100) // burst is gone
		now := instant{elapsed: max(min(int64(step), maxElapsed), -maxElapsed), wall: at(time.Minute + step).wall}
		if got := admitted(m, b, now, 100); got > 5 {
			t.Errorf("step of %v: admitted %d at once, want at most a burst of 5", step, got)
		}
		for range 5 {
			wait, reason := m.take(b, now)
			if wait == 0 {
				continue
			}
			if reason != ReasonRate || wait > time.Second {
				t.Fatalf("step of %v: %s, %v; want rate, at most 1s", step, reason, wait)
			}
			now.elapsed += int64(wait)
			now.wall += int64(wait)
			if wait, reason := m.take(b, now); wait != 0 {
				t.Fatalf("step of %v: refused (%s, %v) after waiting", step, reason, wait)
			}
		}
	}
}

// TestQuotaGoesBackWithTheClock holds that a quota used in a wrong year is used
// for the rest of the true window, and no longer; and that going back gives
// nothing.
func TestQuotaGoesBackWithTheClock(t *testing.T) {
	m, b := mustMeter(t, Limit{Quota: 10, Per: time.Hour}), fresh()
	if got := admitted(m, b, at(12*366*24*time.Hour), 100); got != 10 {
		t.Fatalf("admitted %d in 2038, want 10", got)
	}
	now := at(30 * time.Minute)
	wait, reason := m.take(b, now)
	if wait != 30*time.Minute || reason != ReasonQuota {
		t.Fatalf("back in 2026: %v, %s; want 30m, quota", wait, reason)
	}
	if got := admitted(m, b, at(time.Hour), 100); got != 10 {
		t.Errorf("next window: admitted %d, want 10", got)
	}
}

// TestPersistentClamp holds that a bucket filled up against a clock that went
// back fills from there, without anybody being admitted in between.
func TestPersistentClamp(t *testing.T) {
	m, b := mustMeter(t, Limit{Rate: 1, Burst: 5}), fresh()
	admitted(m, b, at(time.Hour), 100)
	refused := 0
	for d := time.Duration(0); d < 2*time.Second; d += 100 * time.Millisecond { // an hour earlier
		if wait, _ := m.take(b, at(d)); wait > 0 {
			refused++
		}
	}
	if refused != 19 {
		t.Errorf("refused %d of 20 requests in 2s at 1/s, want 19", refused)
	}
}

func TestLimitErrors(t *testing.T) {
	for name, l := range map[string]Limit{
		"negative rate":      {Rate: -1},
		"rate not a number":  {Rate: math.NaN()},
		"infinite rate":      {Rate: math.Inf(1)},
		"rate too great":     {Rate: MaxRate * 1.01},
		"negative burst":     {Rate: 1, Burst: -1},
		"burst too great":    {Rate: MaxRate, Burst: MaxBurst + 1},
		"burst alone":        {Burst: 1},
		"negative quota":     {Quota: -1},
		"window alone":       {Per: time.Hour},
		"window too short":   {Quota: 1, Per: time.Second - 1},
		"window too long":    {Quota: 1, Per: MaxPer + 1},
		"negative window":    {Quota: 1, Per: -time.Hour},
		"never full again":   {Rate: 1e-3, Burst: MaxBurst},
		"rate next to never": {Rate: 1e-300},
	} {
		if m, err := newMeter(l); err == nil {
			t.Errorf("%s: newMeter(%+v) = %+v, want an error", name, l, m)
		}
	}
	if m := mustMeter(t, Limit{}); !m.none() {
		t.Errorf("zero Limit is %+v, want none", m)
	}
	if m := mustMeter(t, Limit{Rate: MaxRate, Burst: MaxBurst}); m.none() || m.interval != 1000 {
		t.Errorf("greatest Limit is %+v", m)
	}
}

func TestParseLimits(t *testing.T) {
	for text, want := range map[string]float64{
		"20/s": 20, "0.5/s": 0.5, "300/m": 5, "3600/h": 1, "86400/d": 1, "10/5s": 2, "1e6/s": 1e6,
		"": 0, "20": 0, "20/": 0, "/s": 0, "-1/s": 0, "0/s": 0, "NaN/s": 0, "Inf/s": 0, "1e7/s": 0, "20/-1s": 0, "20/0s": 0, "20/x": 0, "20 /s": 0, "1/s/s": 0,
	} {
		got, err := ParseRate(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("ParseRate(%q) = %g, %v; want %g", text, got, err, want)
		}
	}
	type quota struct {
		n   int
		per time.Duration
	}
	for text, want := range map[string]quota{
		"1000/24h": {1000, 24 * time.Hour}, "1000/d": {1000, 24 * time.Hour}, "50/h": {50, time.Hour}, "5/90m": {5, 90 * time.Minute}, "1/1s": {1, time.Second},
		"": {}, "1000": {}, "0/d": {}, "-1/d": {}, "1.5/d": {}, "1/500ms": {}, "1/10000h": {}, "1/w": {},
	} {
		n, per, err := ParseQuota(text)
		if got := (quota{n, per}); got != want || (err == nil) != (want.n > 0) {
			t.Errorf("ParseQuota(%q) = %d, %v, %v; want %v", text, n, per, err, want)
		}
	}
}
