package metrics

import (
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxServers is how many time servers have series of their own: the file of
// sigstore/timestamp-authority names 23, and each costs some twenty. What comes
// after them is counted under [otherLabel].
const maxServers = 64

// otherLabel stands for all that has no series of its own.
const otherLabel = "other"

// Events count what happens in the parts of a server that are made before its
// metrics and outlive a reload: the monitor of the clock and the audit record.
// It comes from [NewEvents]; its methods may be called from any goroutine.
type Events struct {
	ntpLatency      *prometheus.HistogramVec
	ntpSync         *prometheus.CounterVec
	ntpErrors       *prometheus.CounterVec
	tooFew, invTime prometheus.Counter
	steps, losses   prometheus.Counter
	syncs           prometheus.Histogram

	mu      sync.Mutex
	servers map[string]string // the label of each name
}

// ntpBuckets go from a server in the same rack to the patience of a monitor, in
// seconds.
var ntpBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// syncBuckets go from a disk with a battery behind its cache to one that is
// failing, in seconds.
var syncBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}

// NewEvents returns events of which none has happened.
func NewEvents() *Events {
	e := &Events{
		ntpLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "timestamp_authority_ntp_latency",
			Help:    "Time until a time server answered, or did not, in seconds, by host.",
			Buckets: ntpBuckets,
		}, []string{"host"}),
		ntpSync: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "timestamp_authority_ntp_sync_total",
			Help: "Times that a time server was asked, by host and whether that failed.",
		}, []string{"host", "failed"}),
		ntpErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "timestamp_authority_ntp_errors_total",
			Help: "Rounds of questions that gave no time: too few servers answered, or too few agreed.",
		}, []string{"reason"}),
		steps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fencepost_clock_steps_total",
			Help: "Times that the clock of this machine was set.",
		}),
		losses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fencepost_clock_losses_total",
			Help: "Times that the clock ceased to be known well enough to issue.",
		}),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "fencepost_audit_sync_seconds",
			Help:    "Time that the disk took to keep a group of records.",
			Buckets: syncBuckets,
		}),
		servers: make(map[string]string),
	}
	e.tooFew, e.invTime = e.ntpErrors.WithLabelValues("err_too_few"), e.ntpErrors.WithLabelValues("err_inv_time")
	return e
}

// TimeServerAsked counts a question to a time server that took so long, and
// whose answer could not be used if err is not nil.
func (e *Events) TimeServerAsked(server string, took time.Duration, err error) {
	host := e.label(server)
	failed := "false"
	if err != nil {
		failed = "true"
	}
	e.ntpLatency.WithLabelValues(host).Observe(took.Seconds())
	e.ntpSync.WithLabelValues(host, failed).Inc()
}

// TooFewAnswered counts a round in which too few time servers answered.
func (e *Events) TooFewAnswered() { e.tooFew.Inc() }

// TooFewAgreed counts a round in which enough answered and too few agreed with
// one another, or with this machine's clock.
func (e *Events) TooFewAgreed() { e.invTime.Inc() }

// ClockStepped counts that this machine's clock was set.
func (e *Events) ClockStepped() { e.steps.Inc() }

// ClockLost counts that the clock ceased to be known well enough.
func (e *Events) ClockLost() { e.losses.Inc() }

// AuditSynced counts that a group of audit records is on the disk.
func (e *Events) AuditSynced(took time.Duration) { e.syncs.Observe(took.Seconds()) }

// ofClock and ofAudit are what there is to show of either part.
func (e *Events) ofClock() []prometheus.Collector {
	if e == nil {
		return nil
	}
	return []prometheus.Collector{e.ntpLatency, e.ntpSync, e.ntpErrors, e.steps, e.losses}
}

func (e *Events) ofAudit() []prometheus.Collector {
	if e == nil {
		return nil
	}
	return []prometheus.Collector{e.syncs}
}

// label returns the label of a time server.
func (e *Events) label(server string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	label, ok := e.servers[server]
	if ok {
		return label
	}
	if len(e.servers) >= maxServers {
		return otherLabel
	}
	label = labelText(server)
	e.servers[server] = label
	return label
}

// labelText makes a name of the configuration fit for a label, which must be
// UTF-8.
func labelText(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }
