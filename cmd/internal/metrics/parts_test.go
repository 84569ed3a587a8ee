package metrics_test

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// withParts are metrics of a server that has everything.
func withParts(t testing.TB, change func(*metrics.Config)) *metrics.Metrics {
	return newMetrics(t, func(c *metrics.Config) {
		c.Events = metrics.NewEvents()
		c.Accuracy = func() time.Duration { return 500 * time.Millisecond }
		c.Monitor = func() *metrics.Clock {
			return &metrics.Clock{Known: true, Offset: -2 * time.Millisecond, Drift: 1.5e-5, DriftError: 2e-6, Servers: []metrics.TimeServer{
				{Name: "a.example:123", Up: true, Agrees: true, Measured: true, Offset: time.Millisecond, Error: 20 * time.Millisecond, Age: 8 * time.Second},
				{Name: "b.example:123"},
			}}
		}
		c.Audit = func() *metrics.Audit {
			return &metrics.Audit{Up: true, Records: 10, Bytes: 4000, Syncs: 4, Failures: 1, UnstampedSegments: 2, Waiting: 3}
		}
		c.Traces = func() *metrics.Traces { return &metrics.Traces{Exported: 12, Dropped: 5} }
		c.Connections = func() []metrics.Connections {
			return []metrics.Connections{{Listener: "127.0.0.1:3000", Open: 7, Evicted: 8, Refused: 9}, {Listener: "unix:/run/x"}}
		}
		c.ClientRefusals = []string{"rate", "quota"}
		if change != nil {
			change(c)
		}
	})
}

func TestParts(t *testing.T) {
	var events *metrics.Events
	m := withParts(t, func(c *metrics.Config) { events = c.Events })
	events.TimeServerAsked("a.example:123", 3*time.Millisecond, nil)
	events.TimeServerAsked("a.example:123", time.Second, errors.New("no answer"))
	events.TooFewAnswered()
	events.TooFewAgreed()
	events.TooFewAgreed()
	events.ClockStepped()
	events.ClockLost()
	events.AuditSynced(200 * time.Microsecond)
	m.ClientRefused("quota")
	m.ClientRefused("a reason of its own")
	wantLines(t, m,
		`fencepost_clock_offset_seconds -0.002`,
		`fencepost_clock_drift_ratio 1.5e-05`,
		`fencepost_clock_declared_accuracy_seconds 0.5`,
		`fencepost_clock_server_up{server="a.example:123"} 1`, `fencepost_clock_server_up{server="b.example:123"} 0`,
		`fencepost_clock_server_agrees{server="a.example:123"} 1`, `fencepost_clock_server_agrees{server="b.example:123"} 0`,
		`fencepost_clock_server_offset_seconds{server="a.example:123"} 0.001`,
		`fencepost_clock_server_error_seconds{server="a.example:123"} 0.02`,
		`fencepost_clock_server_age_seconds{server="a.example:123"} 8`,
		`!fencepost_clock_server_offset_seconds{server="b`, `!fencepost_clock_server_age_seconds{server="b`,
		`fencepost_clock_steps_total 1`, `fencepost_clock_losses_total 1`,
		`timestamp_authority_ntp_latency_bucket{host="a.example:123",le="0.005"} 1`,
		`timestamp_authority_ntp_latency_sum{host="a.example:123"} 1.003`,
		`timestamp_authority_ntp_sync_total{failed="false",host="a.example:123"} 1`,
		`timestamp_authority_ntp_sync_total{failed="true",host="a.example:123"} 1`,
		`timestamp_authority_ntp_errors_total{reason="err_too_few"} 1`,
		`timestamp_authority_ntp_errors_total{reason="err_inv_time"} 2`,
		`fencepost_audit_up 1`, `fencepost_audit_records_total 10`, `fencepost_audit_bytes_total 4000`,
		`fencepost_audit_syncs_total 4`, `fencepost_audit_failures_total 1`,
		`fencepost_audit_unstamped_segments 2`, `fencepost_audit_waiting 3`,
		`fencepost_audit_sync_seconds_bucket{le="0.0001"} 0`, `fencepost_audit_sync_seconds_bucket{le="0.00025"} 1`,
		`fencepost_connections_open{listener="127.0.0.1:3000"} 7`, `fencepost_connections_open{listener="unix:/run/x"} 0`,
		`fencepost_connections_evicted_total{listener="127.0.0.1:3000"} 8`,
		`fencepost_connections_refused_total{listener="127.0.0.1:3000"} 9`,
		`fencepost_trace_spans_exported_total 12`, `fencepost_trace_spans_dropped_total 5`,
		`fencepost_clients_refused_total{reason="quota"} 1`, `fencepost_clients_refused_total{reason="rate"} 0`,
		`fencepost_clients_refused_total{reason="other"} 1`,
	)
}

// TestNoParts holds that what a server does not have shows nothing: a 0 would
// trip an alert, or look like health.
func TestNoParts(t *testing.T) {
	absent := []string{
		`!fencepost_clock_offset_seconds`, `!fencepost_clock_drift_ratio`, `!fencepost_clock_server_`,
		`!fencepost_clock_steps_total`, `!fencepost_clock_losses_total`, `!timestamp_authority_ntp_`,
		`!fencepost_audit_`, `!fencepost_trace_`, `!fencepost_connections_`,
	}
	wantLines(t, newMetrics(t, nil), append(absent, `!fencepost_clients_refused_total`, `!fencepost_clock_declared_accuracy_seconds`)...)
	gone := withParts(t, func(c *metrics.Config) { // by a reload
		c.Monitor = func() *metrics.Clock { return nil }
		c.Audit = func() *metrics.Audit { return nil }
		c.Traces = func() *metrics.Traces { return nil }
		c.Connections = nil
	})
	wantLines(t, gone, absent...)
	lost := withParts(t, func(c *metrics.Config) {
		c.Monitor = func() *metrics.Clock { return &metrics.Clock{Offset: time.Hour} }
	})
	wantLines(t, lost, `!fencepost_clock_offset_seconds`, `!fencepost_clock_drift_ratio`, `fencepost_clock_steps_total 0`)
	noise := withParts(t, func(c *metrics.Config) {
		c.Monitor = func() *metrics.Clock { return &metrics.Clock{Known: true, Drift: 0.016, DriftError: 0.02} }
	})
	wantLines(t, noise, `fencepost_clock_offset_seconds 0`, `!fencepost_clock_drift_ratio`)
	// Parts without events still show how they are.
	wantLines(t, withParts(t, func(c *metrics.Config) { c.Events = nil }), `fencepost_audit_up 1`, `!fencepost_audit_sync_seconds`)
}

// TestNames gives the parts names that would spoil a scrape: the same twice, and
// such as no label may have.
func TestNames(t *testing.T) {
	var events *metrics.Events
	m := withParts(t, func(c *metrics.Config) {
		events = c.Events
		c.Monitor = func() *metrics.Clock {
			return &metrics.Clock{Servers: []metrics.TimeServer{{Name: "a", Up: true}, {Name: "a"}, {Name: "b\xff"}, {Name: "b\xfe"}, {Name: "c\n\"d"}}}
		}
		c.Connections = func() []metrics.Connections {
			return []metrics.Connections{{Listener: ":0", Open: 1}, {Listener: ":0", Open: 2, Refused: 3}, {Listener: "\xff"}}
		}
		c.ClientRefusals = []string{"rate", "other", "\xff"}
	})
	events.TimeServerAsked("b\xff", time.Millisecond, nil)
	events.TimeServerAsked("b\xfe", time.Millisecond, nil)
	wantLines(t, m,
		`fencepost_clock_server_up{server="a"} 1`, "fencepost_clock_server_up{server=\"b\uFFFD\"} 0",
		"timestamp_authority_ntp_sync_total{failed=\"false\",host=\"b\uFFFD\"} 2",
		`fencepost_connections_open{listener=":0"} 3`, `fencepost_connections_refused_total{listener=":0"} 3`,
	)
}

// TestBounds has parts with more names than there is room for.
func TestBounds(t *testing.T) {
	var events *metrics.Events
	n := 0 // how often it was looked
	m := withParts(t, func(c *metrics.Config) {
		events = c.Events
		c.Monitor = func() *metrics.Clock {
			clock := &metrics.Clock{}
			for i := range 1000 {
				clock.Servers = append(clock.Servers, metrics.TimeServer{Name: fmt.Sprintf("s%d", i), Measured: true})
			}
			return clock
		}
		c.Connections = func() (all []metrics.Connections) {
			n++
			for i := range 1000 {
				all = append(all, metrics.Connections{Listener: fmt.Sprintf("l%d", i), Open: 1})
			}
			return all
		}
	})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 1000 {
				events.TimeServerAsked(fmt.Sprintf("s%d", (i+g*250)%1000), time.Millisecond, nil)
				m.ClientRefused(fmt.Sprintf("r%d", i))
			}
		})
	}
	all.Wait()
	for i := range 1000 {
		m.SetPolicies([]x509.OID{oid(t, fmt.Sprintf("1.2.%d", 100+i))})
		m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Token: []byte{1}, Policy: oid(t, fmt.Sprintf("1.2.%d", 100+i)), Imprint: tsp.Imprint{Hash: crypto.SHA256}}})
	}
	count := map[string]int{}
	for _, line := range scrape(t, m) {
		name, _, _ := strings.Cut(line, "{")
		count[name]++
	}
	for name, most := range map[string]int{
		"fencepost_clock_server_up":           64,
		"fencepost_clock_server_age_seconds":  64,
		"timestamp_authority_ntp_sync_total":  65,
		"fencepost_connections_open":          65,
		"fencepost_connections_refused_total": 65,
		"fencepost_clients_refused_total":     3,
		"fencepost_tokens_issued_total":       64*3 + 1,
	} {
		if count[name] != most {
			t.Errorf("%d series of %s, want %d", count[name], name, most)
		}
	}
	if n == 0 {
		t.Error("the connections were not asked for")
	}
	wantLines(t, m, `fencepost_connections_open{listener="other"} 936`, `fencepost_clients_refused_total{reason="other"} 4000`)
}

// TestPolicies holds that the label follows a reload, and that what was counted
// before it stays.
func TestPolicies(t *testing.T) {
	m := newMetrics(t, nil)
	issue := func(policy string) {
		m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Token: []byte{1}, Policy: oid(t, policy), Imprint: tsp.Imprint{Hash: crypto.SHA256}}})
	}
	issue("1.2.3")
	issue("1.2.4")
	m.SetPolicies([]x509.OID{oid(t, "1.2.4"), oid(t, "1.2.4")})
	issue("1.2.4")
	issue("1.2.3") // that was under way
	wantLines(t, m,
		`fencepost_tokens_issued_total{hash="sha256",policy="1.2.3"} 2`,
		`fencepost_tokens_issued_total{hash="sha256",policy="1.2.4"} 1`,
		`fencepost_tokens_issued_total{hash="sha256",policy="other"} 1`,
		`fencepost_tokens_issued_total{hash="sha512",policy="1.2.4"} 0`)
}

func TestReloaded(t *testing.T) {
	m := newMetrics(t, nil)
	at := func() string {
		for _, line := range scrape(t, m) {
			if v, ok := strings.CutPrefix(line, "fencepost_config_last_reload_success_timestamp_seconds "); ok {
				return v
			}
		}
		t.Fatal("there is no time of the last reload")
		return ""
	}
	first := at()
	wantLines(t, m, `fencepost_config_last_reload_successful 1`)
	m.Reloaded(errors.New("no such file"))
	wantLines(t, m, `fencepost_config_last_reload_successful 0`)
	if got := at(); got != first {
		t.Errorf("a reload that failed moved the time from %s to %s", first, got)
	}
	m.Reloaded(nil)
	wantLines(t, m, `fencepost_config_last_reload_successful 1`)
	if got := at(); got == first {
		t.Errorf("a reload left the time at %s", got)
	}
}

func TestFIPSMode(t *testing.T) {
	var want []string
	for _, m := range fips.Modes() {
		v := 0
		if m == fips.Current() {
			v = 1
		}
		want = append(want, fmt.Sprintf(`fencepost_fips_mode{mode="%s"} %d`, m, v))
	}
	wantLines(t, newMetrics(t, nil), want...)
}

func TestEventAllocations(t *testing.T) {
	e, m := metrics.NewEvents(), withParts(t, nil)
	for name, f := range map[string]func(){
		"AuditSynced":   func() { e.AuditSynced(time.Millisecond) },
		"ClockStepped":  e.ClockStepped,
		"TooFewAgreed":  e.TooFewAgreed,
		"ClientRefused": func() { m.ClientRefused("rate") },
	} {
		f()
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
