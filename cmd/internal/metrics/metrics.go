// Package metrics counts what the server does, for Prometheus.
//
// The names that dashboards of sigstore/timestamp-authority look for are here
// (timestamp_authority_…), and our own (fencepost_…). All times are in seconds,
// whatever the former used to observe.
//
// The values of every label come from a closed set: what a client sends, a
// path, a method, a policy, never becomes a series. All series of a request are
// found by index, so that counting one costs a fraction of a microsecond and
// allocates nothing.
//
// Nothing here knows HTTP, keys or time servers. [Metrics.Request] and
// [Metrics.Exchange] are callbacks, those of [Events] too, which may be made
// before the metrics are. What is only known when someone looks is asked for
// then, by the functions of [Config]; of a part that a server does not have
// there are no metrics.
package metrics

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Config is what the metrics are about.
type Config struct {
	// Build is the program.
	Build cli.Build
	// Policies are those under which tokens are issued: the values of the
	// label policy.
	Policies []x509.OID
	// Window is when the current certificates allow to issue. Required.
	Window func() (notBefore, notAfter time.Time)
	// Clock reads the clock. Required.
	Clock clock.Source
	// Ready says whether a good request would be granted now. Required.
	Ready func(context.Context) error
	// Keys says how the keys are. Required.
	Keys func() Keys
	// Accuracy is what each token promises. Nil: that is not shown.
	Accuracy func() time.Duration

	// Events are what happened in the parts that are made before the metrics.
	// Nil: there are none such.
	Events *Events
	// Monitor says how the monitor sees the clock, Audit how the record of issue
	// is, and Traces what became of the spans. Where one is nil, or returns nil,
	// there is no such part, and its metrics and events are absent.
	Monitor func() *Clock
	Audit   func() *Audit
	Traces  func() *Traces
	// Connections are those of each listener. Nil: they are not shown.
	Connections func() []Connections
	// ClientRefusals are the reasons for which clients are refused: the values
	// of the label reason. Empty: no client is refused.
	ClientRefusals []string
}

// Keys are the keys of an authority at one moment.
type Keys struct {
	Keys []Key
	// TakesOver is when the next chain does, zero for never.
	TakesOver time.Time
	// WrongTokens counts the tokens that did not verify and were kept back.
	WrongTokens int64
	// Made and NotMade count the stamping keys that were made, and the times
	// that none could be.
	Made, NotMade int64
}

// A Key is one of them.
type Key struct {
	Name                string // of a closed set
	Works, Issues       bool
	Failures, Abandoned int64
	NotAfter            time.Time // until when it may be used
}

// Metrics are the metrics of one server. Its methods may be called from any
// goroutine.
type Metrics struct {
	registry *prometheus.Registry
	c        collectorSet
	routes   [numRoutes][numMethods][numCodes]atomic.Pointer[series]
	refused  [tsp.SystemFailure + 2]prometheus.Counter // by failure info + 1
	issued   atomic.Pointer[[]issued]
	policies sync.Mutex // held while issued is replaced
	clients  map[string]prometheus.Counter
	inFlight atomic.Int64
}

// collectorSet is every collector that is fed by an event.
type collectorSet struct {
	requests    *prometheus.CounterVec
	byAPI       *prometheus.HistogramVec
	latency     *prometheus.HistogramVec
	summary     *prometheus.SummaryVec
	tokens      *prometheus.CounterVec
	refusals    *prometheus.CounterVec
	signing     prometheus.Histogram
	queueWait   prometheus.Histogram
	queueFull   prometheus.Counter
	disconnects prometheus.Counter
	panics      prometheus.Counter
	clients     *prometheus.CounterVec
	reloaded    prometheus.Gauge
	reloadTime  prometheus.Gauge
}

// latencyBuckets go from what a key in memory needs to where a client gives up,
// in seconds.
var latencyBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New makes the metrics of one server, in a registry of their own.
func New(cfg Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), c: newCollectorSet()}
	for _, info := range append(tsp.FailureInfos(), tsp.NoFailureInfo) {
		m.refused[info+1] = m.c.refusals.WithLabelValues(info.String())
	}
	m.SetPolicies(cfg.Policies)
	if len(cfg.ClientRefusals) > 0 {
		m.clients = make(map[string]prometheus.Counter)
		for _, reason := range append([]string{otherLabel}, cfg.ClientRefusals...) {
			m.clients[reason] = m.c.clients.WithLabelValues(labelText(reason))
		}
	}
	m.Reloaded(nil) // what it was started with was loaded just now
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "timestamp_authority_build_info",
		Help: "Always 1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": cfg.Build.Version, "revision": cfg.Build.Revision,
			"build_date": cfg.Build.Time, "goversion": cfg.Build.Go},
	})
	build.Set(1)
	m.registry.MustRegister(build,
		m.c.requests, m.c.byAPI, m.c.latency, m.c.summary, m.c.tokens, m.c.refusals,
		m.c.signing, m.c.queueWait, m.c.queueFull, m.c.disconnects, m.c.panics,
		m.c.clients, m.c.reloaded, m.c.reloadTime,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "fencepost_http_requests_in_flight",
			Help: "Requests for a timestamp that are not yet answered, waiting ones included.",
		}, func() float64 { return float64(m.inFlight.Load()) }),
		newObserved(cfg),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func newCollectorSet() collectorSet {
	return collectorSet{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "timestamp_authority_http_requests_total",
			Help: "HTTP requests by status code, path and method.",
		}, []string{"code", "path", "method"}),
		byAPI: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "timestamp_authority_latency_by_api",
			Help:    "Time to answer an HTTP request, in seconds, by path and method.",
			Buckets: latencyBuckets,
		}, []string{"path", "method"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "timestamp_authority_api_latency",
			Help:    "Time to answer an HTTP request, in seconds, by path and status code.",
			Buckets: latencyBuckets,
		}, []string{"path", "code"}),
		summary: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name:       "timestamp_authority_api_latency_summary",
			Help:       "Quantiles of the time to answer an HTTP request, in seconds, by path and status code.",
			Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01, 0.99: 0.001},
		}, []string{"path", "code"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fencepost_tokens_issued_total",
			Help: "Timestamp tokens issued, by hash of the imprint and policy.",
		}, []string{"hash", "policy"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fencepost_requests_refused_total",
			Help: "Timestamp requests refused, by PKIFailureInfo.",
		}, []string{"reason"}),
		signing: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "fencepost_sign_seconds",
			Help:    "Time that the signer took for a signature.",
			Buckets: append([]float64{.00002, .00005}, latencyBuckets...),
		}),
		queueWait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "fencepost_queue_wait_seconds",
			Help:    "Time that requests waited for their turn, for those that had to.",
			Buckets: latencyBuckets,
		}),
		queueFull: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fencepost_queue_refused_total",
			Help: "Requests answered 503 because the queue was full.",
		}),
		disconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fencepost_client_disconnects_total",
			Help: "Requests whose client hung up before the answer.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fencepost_panics_total",
			Help: "Faults of this program that were caught while answering a request.",
		}),
		clients: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fencepost_clients_refused_total",
			Help: "Requests that were refused because of who sent them or how many, by reason.",
		}, []string{"reason"}),
		reloaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fencepost_config_last_reload_successful",
			Help: "1 if the configuration could be loaded when that was last tried, else 0.",
		}),
		reloadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fencepost_config_last_reload_success_timestamp_seconds",
			Help: "When the configuration that is in use was loaded.",
		}),
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	// Two scrapes at a time are plenty, and one that hangs is given up.
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry,
		promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: 10 * time.Second}))
}

// Begin says that a request for a timestamp came in, and End that it was
// answered.
func (m *Metrics) Begin() { m.inFlight.Add(1) }

// End says that a request for a timestamp was answered.
func (m *Metrics) End() { m.inFlight.Add(-1) }

// Panic says that a fault was caught.
func (m *Metrics) Panic() { m.c.panics.Inc() }

// ClientRefused says that a request was refused because of who sent it, or how
// many. A reason that Config does not name is counted as other.
func (m *Metrics) ClientRefused(reason string) {
	c := m.clients[reason]
	if c == nil {
		c = m.clients[otherLabel]
	}
	if c != nil {
		c.Inc()
	}
}

// Reloaded says that the configuration was loaded again, or why it could not
// be.
func (m *Metrics) Reloaded(err error) {
	m.c.reloaded.Set(truth(err == nil))
	if err == nil {
		m.c.reloadTime.Set(seconds(time.Now()))
	}
}
