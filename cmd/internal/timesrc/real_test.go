//go:build interop

package timesrc_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/ntptest"
)

// The tests in this file ask real chronyds on the loopback, some of which
// faketime makes wrong. They serve this machine's clock, which is true time
// here; the clock that is vouched for is the same, or one that a test sets.

// accuracy is what the guard of the tests promises.
const accuracy = time.Second

// A watch is a guarded monitor over real servers, and the machine whose clock
// it watches.
type watch struct {
	t       *testing.T
	machine *machine
	monitor *clock.Monitor
	guard   *clock.Guard
	events  []clock.MonitorEvent
}

func startWatch(t *testing.T, maxAge time.Duration, servers ...netip.AddrPort) *watch {
	t.Helper()
	w := &watch{t: t, machine: newMachine()}
	var refs []clock.Reference
	for _, addr := range servers {
		ref, err := timesrc.NTP(timesrc.NTPConfig{Address: addr.String(), Local: w.machine, Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	var err error
	w.monitor, err = clock.NewMonitor(clock.MonitorConfig{
		References: refs, Local: w.machine, Interval: time.Second, Timeout: time.Second, MaxAge: maxAge, Attempts: 1,
		Observe: func(e clock.MonitorEvent) { w.events = append(w.events, e) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.guard, err = clock.NewGuard(clock.GuardConfig{Source: w.monitor, Limit: accuracy}); err != nil {
		t.Fatal(err)
	}
	return w
}

// now asks the guard, as an authority does. Whatever it lets pass is true.
func (w *watch) now() (clock.Reading, error) {
	w.t.Helper()
	before := time.Now()
	r, err := w.guard.Now(w.t.Context())
	after := time.Now()
	if err != nil {
		return r, err
	}
	if r.Bound > accuracy || r.Latest().Before(before.Round(0)) || r.Earliest().After(after.Round(0)) {
		w.t.Fatalf("the clock says %v ± %v, and true time is %v", r.Time, r.Bound, before.UTC())
	}
	return r, nil
}

// poll asks the servers rounds times, and returns what the guard says then.
func (w *watch) poll(rounds int) (r clock.Reading, err error) {
	w.t.Helper()
	for range rounds {
		if err := w.monitor.Poll(w.t.Context()); err != nil && !errors.Is(err, clock.ErrUnknown) {
			w.t.Fatal(err)
		}
		r, err = w.now()
	}
	return r, err
}

// known polls until the time is known, in no more than so many rounds, and
// returns the reading.
func (w *watch) known(rounds int) clock.Reading {
	w.t.Helper()
	for range rounds {
		if r, err := w.poll(1); err == nil {
			return r
		}
	}
	_, err := w.now()
	w.t.Fatalf("no time after %d rounds: %v", rounds, err)
	return clock.Reading{}
}

// refused wants the guard to refuse for the reason.
func (w *watch) refused(want clock.GuardReason) *clock.GuardError {
	w.t.Helper()
	r, err := w.now()
	var e *clock.GuardError
	if !errors.As(err, &e) || e.Reason != want {
		w.t.Fatalf("the guard says %+v, %v; want to be refused: %s", r, err, want)
	}
	return e
}

func addrs(servers []*ntptest.Chronyd) (list []netip.AddrPort) {
	for _, s := range servers {
		list = append(list, s.Addr())
	}
	return list
}

func startChronyds(t *testing.T, ahead ...time.Duration) (list []*ntptest.Chronyd) {
	t.Helper()
	for _, a := range ahead {
		list = append(list, ntptest.StartChronyd(t, a))
	}
	return list
}

func TestRealExchange(t *testing.T) {
	for _, ahead := range []time.Duration{0, 2 * time.Second, -7500 * time.Millisecond} {
		server := ntptest.StartChronyd(t, ahead)
		m, r, err := timesrc.Exchange(t.Context(), timesrc.ExchangeConfig{Addr: server.Addr(), Local: newMachine()})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("ahead by %v: offset %v, error %v, delay %v, root delay %v, dispersion %v", ahead, m.Offset, m.Error, m.Delay, r.RootDelay, r.RootDispersion)
		within(t, m, -ahead)
		if m.Stratum != 5 || m.Error > m.Delay+busy {
			t.Errorf("%+v", m)
		}
	}
}

func TestRealMajority(t *testing.T) {
	const off = 2 * time.Second
	for _, test := range []struct {
		name    string
		ahead   []time.Duration
		refused clock.GuardReason // "": the time is known
	}{
		{"three true", []time.Duration{0, 0, 0}, ""},
		{"one of three lies", []time.Duration{0, off, 0}, ""},
		{"two of five lie, alike", []time.Duration{off, 0, 0, off, 0}, ""},
		{"two of five lie, each its own", []time.Duration{off, 0, 0, -off, 0}, ""},
		{"two of three lie, alike", []time.Duration{off, 0, off}, clock.GuardBound},
		{"two of three lie, each its own", []time.Duration{off, 0, -off}, clock.GuardSource},
		{"one of two lies", []time.Duration{0, off}, clock.GuardSource},
	} {
		t.Run(test.name, func(t *testing.T) {
			servers := startChronyds(t, test.ahead...)
			w := startWatch(t, time.Hour, addrs(servers)...)
			r, err := w.poll(3)
			if test.refused != "" {
				e := w.refused(test.refused)
				t.Logf("refused: %v", e)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Bound > 100*time.Millisecond {
				t.Errorf("bound %v on the loopback", r.Bound)
			}
			for i, s := range w.monitor.Status().References {
				if honest := test.ahead[i] == 0; s.Agrees != honest || (s.Offset-test.ahead[i]).Abs() > 100*time.Millisecond {
					t.Errorf("%s is ahead by %v: %+v", s.Name, test.ahead[i], s)
				}
			}
		})
	}
}

// A minority that begins to lie does not stop the clock, a majority does, and
// it comes back by itself when they are right again.
func TestRealSkewed(t *testing.T) {
	servers := startChronyds(t, 0, 0, 0)
	w := startWatch(t, time.Hour, addrs(servers)...)
	w.known(1)
	skew := func(i int, ahead time.Duration) {
		t.Helper()
		servers[i].Stop()
		servers[i].Start(ahead)
	}
	skew(0, 2*time.Second)
	if _, err := w.poll(3); err != nil {
		t.Fatalf("one of three lies: %v", err)
	}
	skew(1, 2*time.Second)
	w.poll(1)
	e := w.refused(clock.GuardSource)
	var unknown *clock.MonitorError
	if !errors.As(e, &unknown) || unknown.Reason != clock.MonitorJump {
		t.Errorf("two of three lie: %v; want the reason jump", e)
	}
	t.Log(e)
	w.poll(4) // the majority has confirmed itself, and says that this clock is wrong
	t.Log(w.refused(clock.GuardBound))
	skew(0, 0)
	skew(1, 0)
	w.known(6)
}

// Servers that vanish do no harm until their last answers are too old, and
// when they return the time is known in a round.
func TestRealStopped(t *testing.T) {
	const maxAge = 4 * time.Second
	servers := startChronyds(t, 0, 0, 0)
	w := startWatch(t, maxAge, addrs(servers)...)
	w.known(1)
	began := time.Now()
	for _, s := range servers {
		s.Stop()
	}
	w.poll(1)
	if _, err := w.now(); err != nil && time.Since(began) < maxAge {
		t.Fatalf("%v after the last answer: %v", time.Since(began), err)
	}
	for time.Since(began) < maxAge+time.Second {
		w.poll(1)
		time.Sleep(100 * time.Millisecond)
	}
	e := w.refused(clock.GuardSource)
	if text := e.Error(); !strings.Contains(text, servers[0].Addr().String()) || !errors.Is(e, clock.ErrUnknown) {
		t.Errorf("%q does not say which servers", text)
	}
	t.Log(e)
	servers[0].Start(0)
	w.poll(1)
	w.refused(clock.GuardSource) // one of three
	servers[2].Start(0)
	w.known(2)
}

// A long way, and one that is longer in one direction, is in the bound.
func TestRealDelayed(t *testing.T) {
	servers := startChronyds(t, 0, 0, 0)
	for _, way := range []ntptest.Way{
		{There: 100 * time.Millisecond, Back: 100 * time.Millisecond},
		{There: 300 * time.Millisecond},
		{Back: 300 * time.Millisecond},
		{There: 50 * time.Millisecond, LoseEach: 3},
	} {
		var list []netip.AddrPort
		for _, s := range servers {
			relay := ntptest.StartRelay(t, s.Addr())
			relay.Set(way)
			list = append(list, relay.Addr())
		}
		w := startWatch(t, time.Hour, list...)
		r := w.known(3)
		if least := (way.There + way.Back) / 2; r.Bound < least {
			t.Errorf("%+v: bound %v is less than half of the way", way, r.Bound)
		}
		t.Logf("%+v: bound %v, offset %v", way, r.Bound, w.monitor.Status().Offset)
	}
}

// One server behind a long way and two near ones: the near ones decide.
func TestRealAsymmetricMinority(t *testing.T) {
	servers := startChronyds(t, 0, 0, 0)
	relay := ntptest.StartRelay(t, servers[0].Addr())
	relay.Set(ntptest.Way{Back: 400 * time.Millisecond})
	w := startWatch(t, time.Hour, relay.Addr(), servers[1].Addr(), servers[2].Addr())
	if r := w.known(2); r.Bound > 100*time.Millisecond {
		t.Errorf("bound %v", r.Bound)
	}
}

// A clock that is set shows at once, without a server being asked.
func TestRealStep(t *testing.T) {
	servers := startChronyds(t, 0, 0, 0)
	for _, by := range []time.Duration{3 * time.Second, -3 * time.Second} {
		w := startWatch(t, time.Hour, addrs(servers)...)
		w.known(1)
		w.machine.wall.Store(int64(by))
		e := w.refused(clock.GuardBound)
		if e.Reading.Bound < 3*time.Second {
			t.Errorf("stepped by %v: bound %v", by, e.Reading.Bound)
		}
		w.machine.wall.Store(0)
		if _, err := w.now(); err != nil {
			t.Errorf("set right again: %v", err)
		}
		w.machine.wall.Store(int64(200 * time.Millisecond)) // within the accuracy
		if r, err := w.now(); err != nil || r.Bound < 200*time.Millisecond {
			t.Errorf("stepped by 200 ms: %+v, %v", r, err)
		}
	}
}

// TestRealFaults does all of it by chance for a while, and asks for the time
// all along.
func TestRealFaults(t *testing.T) {
	servers := startChronyds(t, 0, 0, 0)
	var relays []*ntptest.Relay
	var list []netip.AddrPort
	for _, s := range servers {
		relay := ntptest.StartRelay(t, s.Addr())
		relays, list = append(relays, relay), append(list, relay.Addr())
	}
	w := startWatch(t, 5*time.Second, list...)
	w.known(1)
	given, refused := 0, 0
	ask := func() {
		for range 200 {
			if _, err := w.now(); err == nil {
				given++
			} else {
				refused++
			}
		}
	}
	for i := range 24 {
		victim := i % 3
		switch i % 8 {
		case 0:
			relays[victim].Set(ntptest.Way{Lost: true})
		case 1:
			relays[victim].Set(ntptest.Way{Back: 250 * time.Millisecond})
		case 2:
			servers[victim].Stop()
			servers[victim].Start(2 * time.Second)
		case 3:
			w.machine.wall.Store(int64(time.Duration(i-12) * 150 * time.Millisecond))
		case 4:
			relays[(victim+1)%3].Set(ntptest.Way{There: 250 * time.Millisecond})
		case 5:
			w.machine.wall.Store(0)
		case 6:
			for _, r := range relays {
				r.Set(ntptest.Way{Lost: i > 8})
			}
		case 7:
			for j, s := range servers {
				s.Stop()
				s.Start(0)
				relays[j].Set(ntptest.Way{})
			}
		}
		ask()
		w.poll(1)
		ask()
	}
	t.Logf("%d readings given, %d refused", given, refused)
	if given == 0 || refused == 0 {
		t.Errorf("%d given, %d refused: not much was tried", given, refused)
	}
	w.known(6)
}
