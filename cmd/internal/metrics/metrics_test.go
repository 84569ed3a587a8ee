package metrics_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/tsp"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func oid(t testing.TB, text string) x509.OID {
	t.Helper()
	o, err := x509.ParseOID(text)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newMetrics(t testing.TB, change func(*metrics.Config)) *metrics.Metrics {
	cfg := metrics.Config{
		Build:    cli.Build{Version: "v1", Go: "go1"},
		Policies: []x509.OID{oid(t, "1.2.3")},
		Window:   func() (time.Time, time.Time) { return now.Add(-time.Hour), now.Add(48 * time.Hour) },
		Clock:    clock.Fixed(now, 250*time.Millisecond),
		Ready:    func(context.Context) error { return nil },
		Keys: func() metrics.Keys {
			return metrics.Keys{TakesOver: time.Unix(1e9, 0), WrongTokens: 1, Made: 3, NotMade: 2, Keys: []metrics.Key{
				{Name: "primary", Failures: 4, Abandoned: 5, NotAfter: time.Unix(2e9, 0)},
				{Name: "standby-1", Works: true, Issues: true, NotAfter: time.Unix(3e9, 0)},
			}}
		},
	}
	if change != nil {
		change(&cfg)
	}
	return metrics.New(cfg)
}

// scrape returns the lines of the metrics without comments.
func scrape(t testing.TB, m *metrics.Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("GET /metrics: %d %s", w.Code, w.Body)
	}
	var lines []string
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func wantLines(t *testing.T, m *metrics.Metrics, want ...string) {
	t.Helper()
	have := map[string]bool{}
	for _, line := range scrape(t, m) {
		have[line] = true
	}
	for _, line := range want {
		if absent, ok := strings.CutPrefix(line, "!"); ok {
			for l := range have {
				if strings.HasPrefix(l, absent) {
					t.Errorf("there is %q", l)
				}
			}
		} else if !have[line] {
			t.Errorf("no line %q", line)
		}
	}
}

func TestRequest(t *testing.T) {
	m := newMetrics(t, nil)
	m.Request(metrics.RouteTimestamp, "POST", 200, 300*time.Microsecond)
	m.Request(metrics.RouteTimestamp, "POST", 200, 2*time.Second)
	m.Request(metrics.RouteOther, "BREW", 418, time.Millisecond)
	for _, code := range []int{401, 403, 429} {
		m.Request(metrics.RouteTimestamp, "POST", code, time.Millisecond)
	}
	wantLines(t, m,
		`timestamp_authority_http_requests_total{code="401",method="POST",path="/api/v1/timestamp"} 1`,
		`timestamp_authority_http_requests_total{code="403",method="POST",path="/api/v1/timestamp"} 1`,
		`timestamp_authority_http_requests_total{code="429",method="POST",path="/api/v1/timestamp"} 1`,
		`timestamp_authority_http_requests_total{code="200",method="POST",path="/api/v1/timestamp"} 2`,
		`timestamp_authority_http_requests_total{code="other",method="unrecognized",path="unrecognized"} 1`,
		`timestamp_authority_latency_by_api_bucket{method="POST",path="/api/v1/timestamp",le="0.0005"} 1`,
		`timestamp_authority_latency_by_api_bucket{method="POST",path="/api/v1/timestamp",le="2.5"} 5`,
		`timestamp_authority_api_latency_sum{code="200",path="/api/v1/timestamp"} 2.0003`,
		`timestamp_authority_api_latency_summary{code="200",path="/api/v1/timestamp",quantile="0.99"} 2`,
	)
}

func TestExchange(t *testing.T) {
	m := newMetrics(t, nil)
	granted := tsp.Outcome{Token: []byte{1}, Policy: oid(t, "1.2.3"), Imprint: tsp.Imprint{Hash: crypto.SHA512}, Signing: 30 * time.Microsecond}
	m.Exchange(metrics.Exchange{Outcome: &granted, Status: 200, Waited: time.Millisecond})
	foreign := granted
	foreign.Policy, foreign.Imprint.Hash = oid(t, "1.9"), crypto.SHA3_256
	m.Exchange(metrics.Exchange{Outcome: &foreign, Status: 200})
	m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Rejection: tsp.Reject(tsp.BadAlg, "x")}, Status: 200})
	m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Rejection: tsp.Reject(99, "x")}, Status: 200})
	m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{}, Status: 503})
	m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Rejection: tsp.Reject(tsp.SystemFailure, "x")}, Status: 499, HungUp: true})
	m.Panic()
	m.Begin()
	wantLines(t, m,
		`fencepost_tokens_issued_total{hash="sha512",policy="1.2.3"} 1`,
		`fencepost_tokens_issued_total{hash="sha3-256",policy="other"} 1`,
		`fencepost_requests_refused_total{reason="badAlg"} 1`,
		`fencepost_requests_refused_total{reason="none"} 1`,
		`fencepost_requests_refused_total{reason="systemFailure"} 0`,
		`fencepost_queue_refused_total 1`,
		`fencepost_queue_wait_seconds_count 1`,
		`fencepost_client_disconnects_total 1`,
		`fencepost_sign_seconds_bucket{le="5e-05"} 2`,
		`fencepost_panics_total 1`,
		`fencepost_self_check_failures_total 1`,
		`fencepost_http_requests_in_flight 1`,
	)
}

func TestObserved(t *testing.T) {
	wantLines(t, newMetrics(t, nil),
		`timestamp_authority_certificate_valid_days_remaining 2`,
		`timestamp_authority_build_info{build_date="",goversion="go1",revision="",version="v1"} 1`,
		`fencepost_ready 1`,
		`fencepost_clock_state{state="unmonitored"} 1`,
		`fencepost_clock_state{state="synchronised"} 0`,
		`fencepost_clock_error_bound_seconds 0.25`,
		`!timestamp_authority_ntp_`, // only where there is a monitor
	)
	lost := newMetrics(t, func(c *metrics.Config) {
		c.Clock = clock.NewScript(clock.Step{Err: clock.ErrUnknown})
		c.Ready = func(context.Context) error { return errors.New("no time") }
	})
	wantLines(t, lost,
		`fencepost_ready 0`,
		`fencepost_clock_state{state="unknown"} 1`,
		`fencepost_clock_state{state="unmonitored"} 0`,
		`!fencepost_clock_error_bound_seconds`,
	)
}

// TestCardinality sends what an attacker would: a path, a method, a code and a
// policy of its own with each request.
func TestCardinality(t *testing.T) {
	m := newMetrics(t, nil)
	policy := make([]x509.OID, 64)
	for i := range policy {
		policy[i] = oid(t, fmt.Sprintf("1.2.%d", 100+i))
	}
	count := func() int { return len(scrape(t, m)) }
	round := func(n int) {
		for i := range n {
			m.Request(metrics.Route(i%40-5), fmt.Sprintf("M%d", i), 100+i%500, time.Millisecond)
			m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Token: []byte{1}, Policy: policy[i%len(policy)], Imprint: tsp.Imprint{Hash: crypto.Hash(i % 30)}}})
			m.Exchange(metrics.Exchange{Outcome: &tsp.Outcome{Rejection: tsp.Reject(tsp.FailureInfo(i%1000-500), "x")}})
		}
	}
	round(20000) // each combination there is
	before := count()
	round(100_000)
	if after := count(); after != before {
		t.Errorf("%d series grew to %d", before, after)
	}
}

func TestAllocations(t *testing.T) {
	m := newMetrics(t, nil)
	x := metrics.Exchange{Status: 200, Outcome: &tsp.Outcome{Token: []byte{1}, Policy: oid(t, "1.2.3"), Imprint: tsp.Imprint{Hash: crypto.SHA256}, Signing: time.Microsecond}}
	count := func() {
		m.Begin()
		m.Exchange(x)
		m.Request(metrics.RouteTimestamp, "POST", 200, time.Millisecond)
		m.End()
	}
	count()
	// The summary hands its buffer to a goroutine every 500 observations.
	if n := testing.AllocsPerRun(10_000, count); n >= 1 {
		t.Errorf("counting a request allocates %v times", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	m := newMetrics(b, nil)
	x := metrics.Exchange{Status: 200, Outcome: &tsp.Outcome{Token: []byte{1}, Policy: oid(b, "1.2.3"), Imprint: tsp.Imprint{Hash: crypto.SHA256}, Signing: time.Microsecond}}
	b.ReportAllocs()
	for b.Loop() {
		m.Begin()
		m.Exchange(x)
		m.Request(metrics.RouteTimestamp, "POST", 200, time.Millisecond)
		m.End()
	}
}

func TestKeys(t *testing.T) {
	wantLines(t, newMetrics(t, nil),
		`fencepost_key_up{key="primary"} 0`, `fencepost_key_up{key="standby-1"} 1`,
		`fencepost_key_issues{key="primary"} 0`, `fencepost_key_issues{key="standby-1"} 1`,
		`fencepost_key_failures_total{key="primary"} 4`, `fencepost_key_failures_total{key="standby-1"} 0`,
		`fencepost_key_abandoned_calls{key="primary"} 5`,
		`fencepost_key_not_after_timestamp_seconds{key="primary"} 2e+09`,
		`fencepost_next_chain_timestamp_seconds 1e+09`,
		`fencepost_stamping_keys_made_total 3`, `fencepost_stamping_keys_failed_total 2`)
}

// RFC 5280, 4.1.2.5: a certificate without a well-defined end has the year 9999.
func TestEndless(t *testing.T) {
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	m := newMetrics(t, func(cfg *metrics.Config) {
		cfg.Window = func() (time.Time, time.Time) { return now, end }
	})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if want := fmt.Sprintf("fencepost_certificate_not_after_timestamp_seconds %v\n", float64(end.Unix())); !strings.Contains(w.Body.String(), want) {
		t.Errorf("there is no %s", want)
	}
}
