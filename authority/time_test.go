package authority_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// rawGenTime returns the octets of genTime as they are in the token.
func rawGenTime(t *testing.T, r *tsp.Response) string {
	t.Helper()
	s := cryptobyte.String(r.Token.Content())
	var body, genTime cryptobyte.String
	if !s.ReadASN1(&body, asn1.SEQUENCE) {
		t.Fatal("no TSTInfo")
	}
	for _, tag := range []asn1.Tag{asn1.INTEGER, asn1.OBJECT_IDENTIFIER, asn1.SEQUENCE, asn1.INTEGER} {
		body.SkipASN1(tag)
	}
	if !body.ReadASN1(&genTime, asn1.GeneralizedTime) {
		t.Fatal("no genTime")
	}
	return string(genTime)
}

func TestGenTime(t *testing.T) {
	at := func(nanos int) time.Time { return time.Date(2026, 12, 31, 23, 59, 59, nanos, time.UTC) }
	for _, test := range []struct {
		now       time.Time
		precision time.Duration
		want      string
	}{
		{at(999_999_999), 0, "20261231235959.999Z"},
		{at(0), 0, "20261231235959Z"},
		{at(999_999), 0, "20261231235959Z"},
		{at(1_000_000), 0, "20261231235959.001Z"},
		{at(9_000_000), 0, "20261231235959.009Z"},
		// Three digits or none: DER would make these .01, .1 and .12.
		{at(10_000_000), 0, "20261231235959.009Z"},
		{at(100_000_000), 0, "20261231235959.099Z"},
		{at(120_999_999), 0, "20261231235959.119Z"},
		{at(121_000_000), 0, "20261231235959.121Z"},
		{at(999_999_999), time.Second, "20261231235959Z"},
		{at(123_456_789), time.Microsecond, "20261231235959.123456Z"},
		{at(123_450_999), time.Microsecond, "20261231235959.12345Z"},
		{at(100_000_000), time.Microsecond, "20261231235959.1Z"},
		{at(999).Add(time.Second), time.Microsecond, "20270101000000Z"},
		{time.Date(2026, 7, 1, 2, 0, 0, 0, time.FixedZone("CEST", 7200)), 0, "20260701000000Z"},
	} {
		cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
		cfg.Clock, cfg.Precision = clock.Fixed(test.now, time.Millisecond-1), test.precision
		cfg.Accuracy = 2 * time.Second
		_, in := request(t, nil)
		r, out := respond(t, newAuthority(t, cfg), in)
		if got := rawGenTime(t, r); got != test.want {
			t.Errorf("clock %v, precision %v: genTime %s, want %s", test.now, test.precision, got, test.want)
		}
		if !out.GenTime.Equal(r.Token.UnverifiedInfo.GenTime) || out.GenTime.Location() != time.UTC {
			t.Errorf("Outcome.GenTime = %v, the token has %v", out.GenTime, r.Token.UnverifiedInfo.GenTime)
		}
	}
}

// TestPrecision: no digit says more than the clock knows.
func TestPrecision(t *testing.T) {
	now := time.Date(2026, 12, 31, 23, 59, 58, 123_456_789, time.UTC)
	const us, ms, s = time.Microsecond, time.Millisecond, time.Second
	for _, test := range []struct {
		name             string
		bound, precision time.Duration
		state            clock.State
		want             string
	}{
		{"good enough", ms - 1, us, clock.StateSynchronised, "58.123456Z"},
		{"a millisecond wrong", ms, us, clock.StateSynchronised, "58.123Z"},
		{"almost a second wrong", s - 1, us, clock.StateSynchronised, "58.123Z"},
		{"a second wrong", s, us, clock.StateSynchronised, "58Z"},
		{"a second wrong, milliseconds wanted", s, ms, clock.StateSynchronised, "58Z"},
		{"coarser than it could be", 0, s, clock.StateSynchronised, "58Z"},
		{"declared", s, us, clock.StateUnmonitored, "58.123Z"},
		{"declared, and good", us, us, clock.StateUnmonitored, "58.123456Z"},
	} {
		cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
		cfg.Clock = clock.NewScript(clock.Step{Reading: clock.Reading{Time: now, Bound: test.bound, State: test.state}})
		cfg.Precision, cfg.Accuracy = test.precision, 3*s
		_, in := request(t, nil)
		r, _ := respond(t, newAuthority(t, cfg), in)
		if got, _ := strings.CutPrefix(rawGenTime(t, r), "202612312359"); got != test.want {
			t.Errorf("%s: genTime %s, want %s", test.name, got, test.want)
		}
	}
}

// TestGenTimeProperties holds for any time of the clock: genTime is in the
// form of DER, not ahead of the clock, at most two steps behind, and never
// goes back when the clock goes on.
func TestGenTimeProperties(t *testing.T) {
	form := regexp.MustCompile(`^\d{14}(\.\d{2}[1-9])?Z$`) // three digits, no final zero
	script := clock.NewScript()
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	cfg.Clock = script
	a := newAuthority(t, cfg)
	_, in := request(t, nil)
	random := rand.New(rand.NewPCG(1, 2))
	now, last := testTime, time.Time{}
	for range 3000 {
		now = now.Add(time.Duration(random.Int64N(int64(7 * time.Millisecond))))
		if random.IntN(10) == 0 {
			now = now.Truncate(10 * time.Millisecond).Add(10 * time.Millisecond)
		}
		script.Replace(clock.Step{Reading: clock.Reading{Time: now, Bound: 100 * time.Millisecond, State: clock.StateSynchronised}})
		r, out := respond(t, a, in)
		if got := rawGenTime(t, r); !form.MatchString(got) {
			t.Fatalf("clock %v: genTime %s is not of the form %v", now, got, form)
		}
		if out.GenTime.After(now) || now.Sub(out.GenTime) >= 2*time.Millisecond {
			t.Fatalf("clock %v: genTime %v", now, out.GenTime)
		}
		if out.GenTime.Before(last) {
			t.Fatalf("clock %v: genTime %v after %v", now, out.GenTime, last)
		}
		last = out.GenTime
	}
}

// TestClock holds that no token leaves when the clock is not good enough, and
// that the outcome says what the clock said.
func TestClock(t *testing.T) {
	errNetwork := errors.New("no answer from 192.0.2.1")
	reading := func(bound time.Duration, state clock.State) clock.Step {
		return clock.Step{Reading: clock.Reading{Time: testTime, Bound: bound, State: state}}
	}
	for _, test := range []struct {
		name  string
		step  clock.Step
		text  string // of the refusal, "" for a token
		state string
		bound time.Duration
	}{
		{"good", reading(10*time.Millisecond, clock.StateSynchronised), "", "synchronised", 10 * time.Millisecond},
		{"bound as declared", reading(time.Second, clock.StateUnmonitored), "", "unmonitored", time.Second},
		{"declared bound above accuracy", reading(time.Second+1, clock.StateUnmonitored), "the clock is not as accurate as a timestamp promises", "unmonitored", time.Second + 1},
		{"measured bound above accuracy", reading(time.Second+1, clock.StateSynchronised), "the clock is not as accurate as a timestamp promises", "synchronised", time.Second + 1},
		// 456.789 µs are cut off.
		{"measured bound that cutting uses up", reading(time.Second-456788, clock.StateSynchronised), "the clock is not as accurate as a timestamp promises", "synchronised", time.Second - 456788},
		{"measured bound with room for cutting", reading(time.Second-456789, clock.StateSynchronised), "", "synchronised", time.Second - 456789},
		{"unknown", reading(time.Millisecond, clock.StateUnknown), "the time is not known reliably", "unknown", time.Millisecond},
		{"error", clock.Step{Err: errNetwork}, "the time is not known reliably", "unknown", 0},
		{"negative bound", reading(-1, clock.StateSynchronised), "the time is not known reliably", "synchronised", -1},
		{"year 10000", clock.Step{Reading: clock.Reading{Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), State: clock.StateSynchronised}},
			"the time is not known reliably", "synchronised", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
			cfg.Clock = clock.NewScript(test.step)
			a := newAuthority(t, cfg)
			_, in := request(t, nil)
			reply, out := a.Respond(t.Context(), in)
			if out.ClockState != test.state || out.ClockBound != test.bound {
				t.Errorf("outcome has the clock %q, %v; want %q, %v", out.ClockState, out.ClockBound, test.state, test.bound)
			}
			ready := a.Ready(t.Context())
			if test.text == "" {
				if !out.Granted() || ready != nil {
					t.Errorf("refused: %v; Ready: %v", out.Rejection, ready)
				}
				return
			}
			checkRefusal(t, reply, out, tsp.TimeNotAvailable, test.text)
			if !errors.Is(ready, tsp.TimeNotAvailable) {
				t.Errorf("Ready: %v, want timeNotAvailable", ready)
			}
			if test.step.Err != nil && !errors.Is(out.Rejection.Err, errNetwork) {
				t.Errorf("cause %v is not that of the clock", out.Rejection.Err)
			}
			if bytes.Contains(reply, []byte("192.0.2.1")) {
				t.Error("the reply tells the cause")
			}
		})
	}
}

// TestClockRecovers holds that issuing stops when the clock is set back, and
// goes on by itself when it is right again.
func TestClockRecovers(t *testing.T) {
	script := clock.NewScript()
	cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
	cfg.Clock = script
	a := newAuthority(t, cfg)
	_, in := request(t, nil)
	for i, test := range []struct {
		after time.Duration
		ok    bool
	}{{0, true}, {time.Second, true}, {-time.Hour, false}, {500 * time.Millisecond, false}, {2 * time.Second, true}} {
		script.Replace(clock.Step{Reading: clock.Reading{Time: testTime.Add(test.after), Bound: time.Millisecond, State: clock.StateSynchronised}})
		reply, out := a.Respond(t.Context(), in)
		if out.Granted() != test.ok {
			t.Fatalf("step %d, %v: granted %v, want %v", i, test.after, out.Granted(), test.ok)
		}
		if !test.ok {
			checkRefusal(t, reply, out, tsp.TimeNotAvailable, "")
		}
	}
}

// TestWindow holds that no token says a time at which its certificates or its
// key were not in force, to the second.
func TestWindow(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	end, keyEnd := begin.AddDate(5, 0, 0), begin.AddDate(1, 0, 0)
	leaf := pkitest.TSA(t, pkitest.Options{NotBefore: begin, NotAfter: end})
	key := pkitest.TSA(t, pkitest.Options{NotBefore: begin, NotAfter: end, PrivateKeyNotAfter: keyEnd})
	whole := pkitest.TSA(t, pkitest.Options{})
	for _, test := range []struct {
		name  string
		chain *pkitest.Chain
		now   time.Time
		want  string // in the cause, "" for a token
	}{
		{"a second before the certificate", leaf, begin.Add(-time.Second), "begins on 2026-01-01T00:00:00Z, after"},
		{"a microsecond before", leaf, begin.Add(-time.Microsecond), "begins on"},
		{"its first moment", leaf, begin, ""},
		{"a second later", leaf, begin.Add(time.Second), ""},
		{"a second before its end", leaf, end.Add(-time.Second), ""},
		{"its last moment", leaf, end, ""},
		{"a millisecond after it", leaf, end.Add(time.Millisecond), "ended on 2031-01-01T00:00:00Z, before"},
		{"a second after it", leaf, end.Add(time.Second), "ended on"},
		{"a second before the end of the key", key, keyEnd.Add(-time.Second), ""},
		{"the last moment of the key", key, keyEnd, ""},
		{"a second after the end of the key", key, keyEnd.Add(time.Second), "private key usage period"},
		{"after its issuer", whole, pkitest.NotAfter().Add(time.Second), "ended on 2050-01-01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := config(t, test.chain)
			cfg.Clock = clock.Fixed(test.now, time.Millisecond)
			a := newAuthority(t, cfg)
			_, in := request(t, nil)
			reply, out := a.Respond(t.Context(), in)
			ready := a.Ready(t.Context())
			if test.want == "" {
				if !out.Granted() || ready != nil {
					t.Errorf("refused: %v; Ready: %v", out.Rejection, ready)
				}
				return
			}
			checkRefusal(t, reply, out, tsp.SystemFailure, internalFailure)
			if !errors.Is(ready, tsp.SystemFailure) || !strings.Contains(ready.Error(), test.want) {
				t.Errorf("Ready: %v, want a systemFailure with %q", ready, test.want)
			}
			if !strings.Contains(out.Rejection.Err.Error(), test.want) {
				t.Errorf("cause %q does not contain %q", out.Rejection.Err, test.want)
			}
		})
	}
	if from, to := newAuthority(t, config(t, key)).Window(); !from.Equal(begin) || !to.Equal(keyEnd) {
		t.Errorf("Window() = %v, %v; want %v, %v", from, to, begin, keyEnd)
	}
	// The issuer ends before the leaf.
	short := pkitest.TSA(t, pkitest.Options{NotAfter: pkitest.NotAfter().AddDate(1, 0, 0)})
	if _, to := newAuthority(t, config(t, short)).Window(); !to.Equal(pkitest.NotAfter()) {
		t.Errorf("Window() ends on %v, want %v", to, pkitest.NotAfter())
	}
}

// TestCoarsePrecision holds that cutting to whole seconds is taken from the
// bound that the clock may have.
func TestCoarsePrecision(t *testing.T) {
	for _, test := range []struct {
		bound time.Duration
		ok    bool
	}{{500 * time.Millisecond, true}, {500*time.Millisecond + 1, false}} {
		cfg := config(t, pkitest.TSA(t, pkitest.Options{}))
		cfg.Precision, cfg.Accuracy = time.Second, 1500*time.Millisecond
		cfg.Clock = clock.Fixed(testTime, test.bound)
		a := newAuthority(t, cfg)
		_, in := request(t, nil)
		if _, out := a.Respond(t.Context(), in); out.Granted() != test.ok {
			t.Errorf("bound %v: granted %v, want %v", test.bound, out.Granted(), test.ok)
		}
	}
}
