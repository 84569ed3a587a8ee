package access

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Limit is how much one client may ask. The zero Limit is none.
type Limit struct {
	// Rate is how many requests a second are admitted over time, at most
	// [MaxRate]. Zero: any.
	Rate float64
	// Burst is how many requests are admitted at once after a pause, at most
	// [MaxBurst]. Zero: those of one second, and at least one.
	Burst int
	// Quota is how many requests are admitted in each window of the length Per.
	// Zero: any.
	Quota int
	// Per is the length of the windows, from a second to [MaxPer]. They are
	// fixed, and cut where Go's time.Truncate cuts: windows of 24 h begin at
	// midnight UTC, those of 168 h on Mondays. Zero: 24 h.
	Per time.Duration
}

// Bounds of a [Limit].
const (
	// MaxRate is above what this program can do; an interval in nanoseconds is
	// still right to 0.1 % there.
	MaxRate = 1e6
	// MaxBurst is as many requests as clients send in a second at MaxRate.
	MaxBurst = 1_000_000
	// MaxPer is a year: nothing is remembered that long anyway.
	MaxPer = 366 * 24 * time.Hour
	// maxFill is the longest that an empty bucket may take to fill: a slower
	// one is a quota. It also keeps sums of nanoseconds far from overflow.
	maxFill = MaxPer
	// defaultPer is the window of a quota that has none.
	defaultPer = 24 * time.Hour
)

// An instant is now on two clocks, in nanoseconds.
type instant struct {
	elapsed int64 // since the Control began, on the clock that nobody sets
	wall    int64 // since 1970, UTC
}

// maxElapsed keeps sums of an elapsed time and a bucket far from overflow,
// whatever the clock says.
const maxElapsed = 1 << 62

func newInstant(now, start time.Time) instant {
	return instant{
		elapsed: min(max(int64(now.Sub(start)), -maxElapsed), maxElapsed),
		wall:    now.UnixNano(),
	}
}

// A pace is a rate and a burst, as the generic cell rate algorithm has them
// (ITU-T I.371): its whole state is the moment at which the bucket will be full
// again.
type pace struct {
	interval int64 // between two requests, in nanoseconds; 0: no limit
	depth    int64 // how far full may lie ahead when a request is admitted
}

// full is the state of a bucket that was never used.
const full = math.MinInt64

// newPace returns the pace of a rate and a burst that are valid.
func newPace(rate float64, burst int) pace {
	if rate == 0 {
		return pace{}
	}
	interval := int64(math.Round(float64(time.Second) / rate))
	return pace{interval: interval, depth: interval * int64(burst-1)}
}

// look brings the state to now and returns how long to wait until a request is
// admitted: zero or less is now.
func (p pace) look(fullAt *int64, now int64) int64 {
	// No bucket is emptier than empty: where it seems so, the clock went back,
	// and would otherwise have to go all the way again.
	*fullAt = min(max(*fullAt, now), now+p.depth+p.interval)
	return *fullAt - p.depth - now
}

// take spends what look has admitted.
func (p pace) take(fullAt *int64) { *fullAt += p.interval }

// A meter is a valid Limit.
type meter struct {
	pace
	quota, per int64
	phase      int64 // of 1970 in a window
}

// A bucket is the state of one client under a meter. Its owner locks it.
type bucket struct {
	fullAt int64
	window int64 // when the present window began
	used   int64 // of the quota
}

// newMeter checks a Limit.
func newMeter(l Limit) (meter, error) {
	switch {
	case math.IsNaN(l.Rate) || l.Rate < 0 || l.Rate > MaxRate:
		return meter{}, fmt.Errorf("rate is %g a second, not from 0 to %g", l.Rate, float64(MaxRate))
	case l.Burst < 0 || l.Burst > MaxBurst:
		return meter{}, fmt.Errorf("burst is %d, not from 0 to %d", l.Burst, MaxBurst)
	case l.Burst > 0 && l.Rate == 0:
		return meter{}, errors.New("there is a burst but no rate")
	case l.Quota < 0:
		return meter{}, fmt.Errorf("quota is %d", l.Quota)
	case l.Per != 0 && l.Quota == 0:
		return meter{}, errors.New("there is a window but no quota")
	case l.Per != 0 && (l.Per < time.Second || l.Per > MaxPer):
		return meter{}, fmt.Errorf("window of the quota is %v, not from 1s to %v", l.Per, MaxPer)
	}
	burst := l.Burst
	if burst == 0 {
		burst = max(1, int(math.Ceil(l.Rate)))
	}
	if l.Rate > 0 && float64(burst)/l.Rate > maxFill.Seconds() {
		return meter{}, fmt.Errorf("a burst of %d at %g a second takes longer than %v to come back: use a quota", burst, l.Rate, maxFill)
	}
	per := l.Per
	if per == 0 {
		per = defaultPer
	}
	epoch := time.Unix(0, 0)
	return meter{
		pace:  newPace(l.Rate, burst),
		quota: int64(l.Quota), per: int64(per),
		phase: int64(epoch.Sub(epoch.Truncate(per))),
	}, nil
}

// none says that everything is admitted.
func (m *meter) none() bool { return m.interval == 0 && m.quota == 0 }

// take admits one request, or says how long to wait and why. A client that
// waits exactly that long is admitted.
func (m *meter) take(b *bucket, now instant) (time.Duration, Reason) {
	var slow, spent int64
	if m.interval > 0 {
		slow = m.look(&b.fullAt, now.elapsed)
	}
	if m.quota > 0 {
		into := (now.wall%m.per + m.phase) % m.per
		if into < 0 {
			into += m.per
		}
		window := now.wall - into
		if window > b.window {
			b.used = 0
		}
		// A clock that went back takes the count with it. It would be generous
		// to forget it, and if it stayed where it was, a client that used its
		// quota in a wrong year would be refused until then.
		b.window = window
		if b.used >= m.quota {
			spent = m.per - into
		}
	}
	switch {
	case spent > 0 && spent >= slow:
		return time.Duration(spent), ReasonQuota
	case slow > 0:
		return time.Duration(slow), ReasonRate
	}
	if m.interval > 0 {
		m.pace.take(&b.fullAt)
	}
	if m.quota > 0 {
		b.used++
	}
	return 0, ""
}

// ParseRate reads a rate such as 20/s, 300/m or 0.5/s, in requests a second.
func ParseRate(text string) (float64, error) {
	count, per, err := cutPer(text)
	if err == nil {
		var n float64
		if n, err = strconv.ParseFloat(count, 64); err == nil {
			rate := n / per.Seconds()
			if !(rate > 0 && rate <= MaxRate) {
				return 0, fmt.Errorf("rate %q is not above 0 and at most %g a second", text, float64(MaxRate))
			}
			return rate, nil
		}
	}
	return 0, fmt.Errorf("%q is not a rate such as 20/s, 300/m or 1000/h", text)
}

// ParseQuota reads a quota such as 1000/24h or 50/h: how many, and in which
// window.
func ParseQuota(text string) (int, time.Duration, error) {
	count, per, err := cutPer(text)
	if err == nil {
		var n int
		if n, err = strconv.Atoi(count); err == nil {
			if n <= 0 || per < time.Second || per > MaxPer {
				return 0, 0, fmt.Errorf("quota %q is not a positive number in a window from 1s to %v", text, MaxPer)
			}
			return n, per, nil
		}
	}
	return 0, 0, fmt.Errorf("%q is not a quota such as 1000/24h, 1000/d or 50/h", text)
}

// cutPer reads the span of time after the slash: s, m, h, d, or a duration as
// Go writes it.
func cutPer(text string) (count string, per time.Duration, err error) {
	count, unit, ok := strings.Cut(text, "/")
	if !ok {
		return "", 0, errors.New("no slash")
	}
	switch unit {
	case "s":
		return count, time.Second, nil
	case "m":
		return count, time.Minute, nil
	case "h":
		return count, time.Hour, nil
	case "d":
		return count, 24 * time.Hour, nil
	}
	per, err = time.ParseDuration(unit)
	if err == nil && per <= 0 {
		err = errors.New("not positive")
	}
	return count, per, err
}
