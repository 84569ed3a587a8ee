package metrics

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// askTimeout bounds what is asked while someone waits for the metrics.
const askTimeout = 2 * time.Second

// An observed collector asks when someone looks: the clock, the certificates,
// readiness.
type observed struct {
	cfg                                                    Config
	daysLeft, notBefore, notAfter, ready, state, bound, at *prometheus.Desc

	keyUp, keyIssues, keyFailures, keyAbandoned, keyNotAfter, takesOver, made, notMade, wrong *prometheus.Desc

	fips  *prometheus.Desc
	clock clockDescs
	parts partDescs
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// A sink is where a collector sends what it finds.
type sink chan<- prometheus.Metric

func (out sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (out sink) counter(d *prometheus.Desc, v int64, labels ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func newObserved(cfg Config) *observed {
	return &observed{
		cfg:       cfg,
		daysLeft:  desc("timestamp_authority_certificate_valid_days_remaining", "Days until the first certificate of the chain, or the private key, expires."),
		notBefore: desc("fencepost_certificate_not_before_timestamp_seconds", "Since when tokens may be issued with the current chain."),
		notAfter:  desc("fencepost_certificate_not_after_timestamp_seconds", "Until when tokens may be issued with the current chain."),
		ready:     desc("fencepost_ready", "1 if a good request would be granted now, else 0."),
		state:     desc("fencepost_clock_state", "1 for the state that the clock is in, 0 for the others.", "state"),
		bound:     desc("fencepost_clock_error_bound_seconds", "Greatest error of the clock; absent while it is unknown."),
		at:        desc("fencepost_clock_timestamp_seconds", "What the clock says; absent while it is unknown."),

		keyUp:        desc("fencepost_key_up", "1 if the key signed when it was last asked to, else 0.", "key"),
		keyIssues:    desc("fencepost_key_issues", "1 for the key with which tokens are issued now, else 0.", "key"),
		keyFailures:  desc("fencepost_key_failures_total", "Times that the key did not sign, or signed wrongly, since it was opened.", "key"),
		keyAbandoned: desc("fencepost_key_abandoned_calls", "Calls of the key that were given up and have not returned; each keeps its place among those under way.", "key"),
		keyNotAfter:  desc("fencepost_key_not_after_timestamp_seconds", "Until when the key may be used, by its chain.", "key"),
		takesOver:    desc("fencepost_next_chain_timestamp_seconds", "When the chain that is announced takes over; absent when none is."),
		made:         desc("fencepost_stamping_keys_made_total", "Stamping keys made and certified; 0 where there are none."),
		wrong:        desc("fencepost_self_check_failures_total", "Tokens that did not verify and were kept back, also where a standby then signed."),
		notMade:      desc("fencepost_stamping_keys_failed_total", "Times that no stamping key could be made."),

		fips:  desc("fencepost_fips_mode", "1 for the FIPS 140-3 mode that this process runs in, 0 for the others.", "mode"),
		clock: newClockDescs(),
		parts: newPartDescs(),
	}
}

// Describe implements prometheus.Collector.
func (o *observed) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range slices.Concat([]*prometheus.Desc{o.daysLeft, o.notBefore, o.notAfter, o.ready, o.state, o.bound, o.at,
		o.keyUp, o.keyIssues, o.keyFailures, o.keyAbandoned, o.keyNotAfter, o.takesOver, o.made, o.notMade, o.wrong, o.fips},
		o.clock.describe(), o.parts.describe()) {
		ch <- d
	}
	if e := o.cfg.Events; e != nil {
		for _, c := range slices.Concat(e.ofClock(), e.ofAudit()) {
			c.Describe(ch)
		}
	}
}

// Collect implements prometheus.Collector.
func (o *observed) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	out := sink(ch)
	notBefore, notAfter := o.cfg.Window()
	reading, err := o.cfg.Clock.Now(ctx)
	now := reading.Time
	if err != nil {
		reading.State, now = clock.StateUnknown, time.Now()
	}
	out.gauge(o.daysLeft, notAfter.Sub(now).Hours()/24)
	out.gauge(o.notBefore, seconds(notBefore))
	out.gauge(o.notAfter, seconds(notAfter))
	out.gauge(o.ready, truth(o.cfg.Ready(ctx) == nil))
	for s := clock.StateUnknown; s <= clock.StateSynchronised; s++ {
		out.gauge(o.state, truth(s == reading.State), s.String())
	}
	if reading.State != clock.StateUnknown {
		out.gauge(o.bound, reading.Bound.Seconds())
		out.gauge(o.at, seconds(reading.Time))
	}
	if o.cfg.Accuracy != nil {
		out.gauge(o.clock.accuracy, o.cfg.Accuracy().Seconds())
	}
	mode := fips.Current()
	for _, m := range fips.Modes() {
		out.gauge(o.fips, truth(m == mode), string(m))
	}
	o.keys(out)
	o.collectParts(out)
}

// collectParts shows the parts that this server has.
func (o *observed) collectParts(out sink) {
	if c := ask(o.cfg.Monitor); c != nil {
		o.clock.collect(out, c)
		out.events(o.cfg.Events.ofClock())
	}
	if a := ask(o.cfg.Audit); a != nil {
		o.parts.audit(out, a)
		out.events(o.cfg.Events.ofAudit())
	}
	if t := ask(o.cfg.Traces); t != nil {
		o.parts.traces(out, t)
	}
	if o.cfg.Connections != nil {
		o.parts.connections(out, o.cfg.Connections())
	}
}

// ask returns what f does, nil if there is no f.
func ask[T any](f func() *T) *T {
	if f == nil {
		return nil
	}
	return f()
}

func (out sink) events(of []prometheus.Collector) {
	for _, c := range of {
		c.Collect(out)
	}
}

// keys says how the keys are.
func (o *observed) keys(out sink) {
	keys := o.cfg.Keys()
	for _, k := range keys.Keys {
		out.gauge(o.keyUp, truth(k.Works), k.Name)
		out.gauge(o.keyIssues, truth(k.Issues), k.Name)
		out.counter(o.keyFailures, k.Failures, k.Name)
		out.gauge(o.keyAbandoned, float64(k.Abandoned), k.Name)
		out.gauge(o.keyNotAfter, seconds(k.NotAfter), k.Name)
	}
	if !keys.TakesOver.IsZero() {
		out.gauge(o.takesOver, seconds(keys.TakesOver))
	}
	out.counter(o.made, keys.Made)
	out.counter(o.notMade, keys.NotMade)
	out.counter(o.wrong, keys.WrongTokens)
}

// seconds are those since 1970. In nanoseconds the year 9999, in which
// certificates end that never do (RFC 5280, 4.1.2.5), would not fit.
func seconds(t time.Time) float64 { return float64(t.Unix()) + float64(t.Nanosecond())/1e9 }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
