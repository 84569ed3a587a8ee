package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timesrc/ntptest"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// TestClocks: a clock that was set back is not believed after a reload.
func TestClocks(t *testing.T) {
	conf, err := config.Parse("f", []byte("tsa: {key: 'memory:p256', policy: 1.2.3, clock: {source: system, bound: 100ms}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	p := NewProcess(nil)
	ready := func() error {
		cfg, err := Load(t.Context(), conf, Options{Process: p})
		if err != nil {
			t.Fatal(err)
		}
		defer cfg.TSA.Close()
		p.use(cfg.clock, cfg.accuracy)
		return cfg.TSA.Ready(t.Context())
	}
	if err := ready(); err != nil {
		t.Fatal(err)
	}
	// Before it was set back it showed a time that is now to come.
	ahead, err := clock.NewGuard(clock.GuardConfig{Source: clock.System(100 * time.Millisecond), Limit: time.Second, NotBefore: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	p.clocks[nameOf(conf.TSA.Clock)].guard = ahead
	if err := ready(); !errors.Is(err, tsp.TimeNotAvailable) || !strings.Contains(err.Error(), ": clock: set back: ") || strings.Contains(err.Error(), "no time from") {
		t.Errorf("after a reload with a clock that was set back: %v", err)
	}
	conf.TSA.Clock.Bound *= 2
	if err := ready(); err != nil {
		t.Errorf("with another clock: %v", err)
	}
	if len(p.clocks) != 1 {
		t.Errorf("%d clocks are kept", len(p.clocks))
	}
}

// TestClockTurns: loss and recovery are logged, counted and recorded once each,
// with what the clock said, before anybody gets an answer that depends on it.
func TestClockTurns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log := new(lockedBuffer)
	p := NewProcess(slog.New(slog.NewTextHandler(log, nil)))
	if err := p.OpenAudit(&config.Audit{Dir: config.Path(dir), Stamp: []config.StampURL{config.StampOff}}, cli.Build{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	good := clock.Step{Reading: clock.Reading{Time: time.Now(), Bound: time.Millisecond, State: clock.StateSynchronised}}
	bad := good
	bad.Reading.Bound = 2 * time.Second
	script := clock.NewScript(good, good, bad, bad, clock.Step{Err: errors.New("no answer from 192.0.2.1")}, good, good)
	guard, err := clock.NewGuard(clock.GuardConfig{Source: script, Limit: anyBound})
	if err != nil {
		t.Fatal(err)
	}
	p.use(&Clock{guard: guard}, time.Second)
	for range 7 {
		_, _ = p.Now(t.Context())
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	records := readAudit(t, dir)
	var events []string
	for _, r := range records {
		if r["kind"] == "clock" {
			events = append(events, r["event"].(string))
		}
	}
	if got := strings.Join(events, " "); got != "lost recovered" {
		t.Errorf("recorded: %s", got)
	}
	for text, times := range map[string]int{"clock lost, nothing is issued": 1, "clock recovered": 1, "bound_s=2": 1} {
		if n := strings.Count(log.String(), text); n != times {
			t.Errorf("the log says %q %d times, want %d:\n%s", text, n, times, log)
		}
	}
}

// TestClockServersTwice: a server has one vote, however it is written.
func TestClockServersTwice(t *testing.T) {
	for _, servers := range []string{
		"'ntp://time.example', 'ntp://Time.Example.'",
		"'ntp://time.example', 'ntp://time.example:123'",
		"'nts://time.example:4460', 'ntp://time.example'",
		"'ntp://[2001:db8::1]', 'ntp://[2001:DB8:0::1]'",
		"'ntp://192.0.2.1', 'ntp://[::ffff:192.0.2.1]:123'",
	} {
		conf, err := config.Parse("f", []byte("tsa: {key: 'memory:p256', policy: 1.2.3, clock: {source: ntp, servers: ["+servers+"]}}\n"))
		if err == nil {
			_, err = NewProcess(nil).Clock(t.Context(), conf.TSA.Clock)
		}
		if err == nil || !strings.Contains(err.Error(), "is there twice, and has one vote") {
			t.Errorf("[%s]: %v", servers, err)
		}
	}
}

// TestClockRecords: what is recorded of the clock is what is known of it, and
// nothing better.
func TestClockRecords(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	p := NewProcess(nil)
	if err := p.OpenAudit(&config.Audit{Dir: config.Path(dir), Stamp: []config.StampURL{config.StampOff}}, cli.Build{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, e := range []clock.MonitorEvent{
		{Kind: clock.EventStepped, Size: 3 * time.Second, Offset: -3 * time.Second, Bound: 3100 * time.Millisecond},
		{Kind: clock.EventStepped, Size: 3 * time.Second},
		{Kind: clock.EventLeapPassed, Leap: clock.LeapInsert, LeapAt: at, Bound: time.Millisecond},
		{Kind: clock.EventLeapPassed, Leap: clock.LeapInsert, LeapAt: at, Contested: true},
	} {
		p.observeClock(e)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range readAudit(t, dir) {
		if r["kind"] == "clock" {
			got = append(got, fmt.Sprint(r["event"], " ", r["state"], " ", r["detail"]))
		}
	}
	want := []string{
		"stepped synchronised by 3s",
		"stepped unknown by 3s",
		"leap-passed synchronised insert at 2027-01-01T00:00:00Z",
		"leap-passed unknown perhaps, the time servers do not agree: insert at 2027-01-01T00:00:00Z",
	}
	if !slices.Equal(got, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestChanged: a reload says which sections of a file have to wait for the next
// start.
func TestChanged(t *testing.T) {
	const first = "tsa: {key: 'memory:p256', policy: 1.2.3}\nlisten: ['127.0.0.1:0']\n"
	p := NewProcess(nil)
	for _, test := range []struct{ name, text, want string }{
		{"the first", first, ""},
		{"the same", first, ""},
		{"what is read again", strings.Replace(first, "1.2.3", "1.2.4", 1) + "clients: {rate: 1/s}\n", ""},
		{"limits and http", first + "limits: {queue: 5}\nhttp: {created: true}\n", "limits http"},
		{"another address", strings.Replace(first, ":0", ":1", 1), "listen"},
		{"defaults spelt out", first + "admin: 127.0.0.1:2112\n", ""},
	} {
		conf, err := config.Parse("f", []byte(test.text))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(p.changed(conf), " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestClocksEnd: a clock that is not used any more, or never was because the
// rest of its configuration was wrong, does not go on asking.
func TestClocksEnd(t *testing.T) {
	a, b := ntptest.Start(t, ntptest.Config{}), ntptest.Start(t, ntptest.Config{})
	dir := t.TempDir()
	writeIdentity(t, dir, pkitest.Options{}, nil)
	text := func(s *ntptest.Server) string {
		return strings.Replace(fileTSA, "{source: system, bound: 100ms}", fmt.Sprintf("{source: ntp, interval: 1s, servers: ['ntp://%s']}", s.Addr()), 1) +
			"listen: ['127.0.0.1:0']\nadmin: off\nwatch: 0s\n"
	}
	url, reload, stop := audited(t, dir, text(a))
	defer stop()
	rewrite := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "fencepost.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		reload <- struct{}{}
	}
	asked := func(s *ntptest.Server) int { return len(s.Questions()) }
	// quiet waits until a server was asked once or more, and is not any more.
	quiet := func(s *ntptest.Server, more int) {
		t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for n, at := -1, time.Now(); time.Since(at) < 3*time.Second || n < more; time.Sleep(50 * time.Millisecond) {
			if now := asked(s); now != n {
				n, at = now, time.Now()
			}
			if time.Now().After(deadline) {
				t.Fatalf("asked %d times, and on", asked(s))
			}
		}
	}
	rewrite(strings.Replace(text(b), "chain.pem", "nothing.pem", 1))
	quiet(b, 1)
	stampOnce(t, url)
	rewrite(text(b))
	quiet(a, 1)
	if before := asked(b); before == 0 {
		t.Error("the new server was not asked")
	}
	if r := stampOnce(t, url); r.Token == nil {
		t.Errorf("with another clock: %+v", r)
	}
}

// TestClockCA: other CAs in the same file are another clock.
func TestClockCA(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	c := &config.Clock{Source: config.ClockNTP, CA: config.Path(file)}
	names := map[string]bool{}
	for _, content := range []string{"one", "two", "one"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		names[nameOf(c)] = true
	}
	if len(names) != 2 {
		t.Errorf("%d names, want 2", len(names))
	}
}
