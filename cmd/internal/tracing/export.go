package tracing

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const (
	// queueSize is how many spans may wait: those of some 800 requests, at 1 %
	// a minute of a server under full load. A span takes about a kilobyte.
	queueSize = 4096
	// batchSize is how many go in one message, of some 100 KB.
	batchSize = 512
	// batchDelay is how long a span waits for others to go with.
	batchDelay = 2 * time.Second
	// exportTimeout bounds a message, the tries to send it together.
	exportTimeout = 10 * time.Second
	// exportGrace is how long a message that is under way may take when run is
	// told to end: one that is broken off is sent again, and may arrive twice.
	exportGrace = time.Second
)

// An exporter is the queue of the spans that are complete. It is the SDK's
// span processor; that of the SDK itself does not tell how many it drops, and
// writes its errors past the log.
type exporter struct {
	to                sdk.SpanExporter
	idle              func() // closes connections
	report            func(error)
	queue             chan sdk.ReadOnlySpan
	exported, dropped atomic.Int64
	closed            atomic.Bool

	mu      sync.Mutex // held while spans are sent
	batch   []sdk.ReadOnlySpan
	failing bool
}

func newExporter(to sdk.SpanExporter, report func(error)) *exporter {
	if report == nil {
		report = func(error) {}
	}
	return &exporter{to: to, idle: func() {}, report: report, queue: make(chan sdk.ReadOnlySpan, queueSize)}
}

// OnStart implements sdk.SpanProcessor.
func (*exporter) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd takes a span, if there is room.
func (e *exporter) OnEnd(s sdk.ReadOnlySpan) {
	if !e.closed.Load() {
		select {
		case e.queue <- s:
			return
		default:
		}
	}
	e.dropped.Add(1)
}

// ForceFlush and Shutdown implement sdk.SpanProcessor; close does the work.
func (*exporter) ForceFlush(context.Context) error { return nil }

// Shutdown is described with ForceFlush.
func (*exporter) Shutdown(context.Context) error { return nil }

// run sends spans until ctx ends.
func (e *exporter) run(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	timer := time.NewTimer(batchDelay)
	defer timer.Stop()
	for ctx.Err() == nil {
		if len(e.batch) == 0 {
			select {
			case <-ctx.Done():
				return
			case s := <-e.queue:
				e.batch = append(e.batch, s)
				timer.Reset(batchDelay)
			}
		}
		for full := false; !full && len(e.batch) < batchSize; {
			select {
			case <-ctx.Done():
				return
			case s := <-e.queue:
				e.batch = append(e.batch, s)
			case <-timer.C:
				full = true
			}
		}
		e.send(ctx)
	}
}

// send sends the batch. Whether or not that succeeds, it is gone after that,
// unless ctx ended: then it is left for close.
func (e *exporter) send(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(exportGrace):
			cancel()
		case <-bounded.Done():
		}
	})()
	err := e.to.ExportSpans(bounded, e.batch)
	if err != nil && ctx.Err() != nil {
		return
	}
	if err != nil {
		e.dropped.Add(int64(len(e.batch)))
	} else {
		e.exported.Add(int64(len(e.batch)))
	}
	clear(e.batch)
	e.batch = e.batch[:0]
	if failing := err != nil; failing != e.failing {
		e.failing = failing
		e.report(said(err))
	}
}

// close sends what is left.
func (e *exporter) close(ctx context.Context) error {
	e.closed.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	before := e.dropped.Load()
	for ctx.Err() == nil {
		e.fill()
		if len(e.batch) == 0 {
			break
		}
		e.send(ctx)
	}
	for e.fill(); len(e.batch) > 0; e.fill() {
		e.dropped.Add(int64(len(e.batch)))
		e.batch = e.batch[:0]
	}
	e.idle()
	err := e.to.Shutdown(ctx)
	if n := e.dropped.Load() - before; n > 0 {
		err = errors.Join(err, fmt.Errorf("tracing: %d spans did not reach the collector", n))
	}
	return err
}

// fill takes what waits into the batch.
func (e *exporter) fill() {
	for len(e.batch) < batchSize {
		select {
		case s := <-e.queue:
			e.batch = append(e.batch, s)
		default:
			return
		}
	}
}

// maxSaid is how much of what a collector says is repeated, in octets: it may
// answer with a page.
const maxSaid = 300

// said makes an error fit for the log.
func said(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if len(text) > maxSaid {
		text = text[:maxSaid] + "..."
	}
	quoted := strconv.Quote(text)
	// Quotes are no danger, and read better as they are.
	return &collectorError{text: strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), err: err}
}

// A collectorError is why spans were not taken.
type collectorError struct {
	text string
	err  error
}

func (e *collectorError) Error() string { return "tracing: " + e.text }

// Unwrap returns the cause.
func (e *collectorError) Unwrap() error { return e.err }
