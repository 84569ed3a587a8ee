package metrics

import "github.com/prometheus/client_golang/prometheus"

// Audit is how the record of issue is at one moment. Its numbers count from the
// start of the process.
type Audit struct {
	// Up says that records can be kept now, and so tokens issued.
	Up bool
	// Records were written, in so many Bytes, and made durable by Syncs.
	Records, Bytes, Syncs int64
	// Failures counts writes and syncs that did not succeed.
	Failures int64
	// UnstampedSegments are those that are complete and not yet timestamped.
	UnstampedSegments int64
	// Waiting are the records that are not on the disk yet.
	Waiting int64
}

// Connections are those of one listener at one moment.
type Connections struct {
	Listener string // as configured
	Open     int64
	// Evicted counts those that were closed to make room, Refused those that
	// were not taken because their address has its share. Both count from the
	// start of the process.
	Evicted, Refused int64
}

// Traces is how many spans went to the collector, and how many never will,
// since the start of the process.
type Traces struct {
	Exported int64
	// Dropped were too many for the queue, or the collector did not take them.
	Dropped int64
}

// maxListeners is how many listeners have series of their own.
const maxListeners = 64

// partDescs describe those parts of a server.
type partDescs struct {
	auditUp, records, bytes, syncs, failures, unstamped, waiting *prometheus.Desc
	open, evicted, refused                                       *prometheus.Desc
	exported, dropped                                            *prometheus.Desc
}

func newPartDescs() partDescs {
	return partDescs{
		auditUp:   desc("fencepost_audit_up", "1 if the audit record can be written, else 0: then no token is issued."),
		records:   desc("fencepost_audit_records_total", "Audit records written."),
		bytes:     desc("fencepost_audit_bytes_total", "Octets of audit records written."),
		syncs:     desc("fencepost_audit_syncs_total", "Times that the disk was asked to keep a group of audit records."),
		failures:  desc("fencepost_audit_failures_total", "Writes and syncs of the audit record that did not succeed."),
		unstamped: desc("fencepost_audit_unstamped_segments", "Complete segments of the audit record that are not yet timestamped."),
		waiting:   desc("fencepost_audit_waiting", "Audit records that are not on the disk yet."),
		open:      desc("fencepost_connections_open", "Connections that are open, by listener.", "listener"),
		evicted:   desc("fencepost_connections_evicted_total", "Connections that were closed to make room for others, by listener.", "listener"),
		refused:   desc("fencepost_connections_refused_total", "Connections that were not taken because their address has its share, by listener.", "listener"),
		exported:  desc("fencepost_trace_spans_exported_total", "Spans of traces that the collector took."),
		dropped:   desc("fencepost_trace_spans_dropped_total", "Spans of traces that were dropped: too many at a time, or the collector did not take them."),
	}
}

func (d *partDescs) describe() []*prometheus.Desc {
	return []*prometheus.Desc{d.auditUp, d.records, d.bytes, d.syncs, d.failures, d.unstamped, d.waiting,
		d.open, d.evicted, d.refused, d.exported, d.dropped}
}

func (d *partDescs) audit(out sink, a *Audit) {
	out.gauge(d.auditUp, truth(a.Up))
	out.counter(d.records, a.Records)
	out.counter(d.bytes, a.Bytes)
	out.counter(d.syncs, a.Syncs)
	out.counter(d.failures, a.Failures)
	out.gauge(d.unstamped, float64(a.UnstampedSegments))
	out.gauge(d.waiting, float64(a.Waiting))
}

func (d *partDescs) connections(out sink, all []Connections) {
	at := make(map[string]int)
	var sums []Connections // listeners of the same name, such as ":0", are one
	for _, c := range all {
		c.Listener = labelText(c.Listener)
		i, ok := at[c.Listener]
		if !ok && len(sums) >= maxListeners {
			c.Listener = otherLabel
			i, ok = at[otherLabel]
		}
		if !ok {
			at[c.Listener] = len(sums)
			sums = append(sums, c)
			continue
		}
		sums[i].Open += c.Open
		sums[i].Evicted += c.Evicted
		sums[i].Refused += c.Refused
	}
	for _, c := range sums {
		out.gauge(d.open, float64(c.Open), c.Listener)
		out.counter(d.evicted, c.Evicted, c.Listener)
		out.counter(d.refused, c.Refused, c.Listener)
	}
}

func (d *partDescs) traces(out sink, t *Traces) {
	out.counter(d.exported, t.Exported)
	out.counter(d.dropped, t.Dropped)
}
