package tracing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// A request is one that is traced.
type request struct {
	start   time.Time
	traceID trace.TraceID
	parent  trace.SpanContext // that is trusted; invalid: none
	link    trace.SpanContext // that is not trusted; invalid: none

	mu    sync.Mutex
	parts []part
	done  bool
}

// A part is something that an authority called while it answered.
type part struct {
	name       string
	start, end time.Time
	failed     bool
}

// The names of the spans below that of the server.
const (
	spanQueue = "queue"
	spanClock = "clock"
	spanSign  = "sign"
	spanAudit = "audit"
)

// maxParts is how many parts a request may have. It has two for each key that
// is tried.
const maxParts = 16

type requestKey struct{}

func from(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// TraceID returns the identifier of the trace that a request belongs to, "" if
// it is not traced: for the log.
func TraceID(ctx context.Context) string {
	if r := from(ctx); r != nil {
		return r.traceID.String()
	}
	return ""
}

// Handler decides which requests are traced, and lets next answer all.
func (t *Tracer) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if traced := t.choose(r.Header); traced != nil {
			r = r.WithContext(context.WithValue(r.Context(), requestKey{}, traced))
		}
		next.ServeHTTP(w, r)
	})
}

// choose returns the request if it is to be traced, nil if not.
func (t *Tracer) choose(h http.Header) *request {
	if t.trust {
		if parent := contextOf(h, true); parent.IsValid() {
			if !parent.IsSampled() {
				return nil
			}
			return &request{start: time.Now(), traceID: parent.TraceID(), parent: parent}
		}
	}
	// The lot becomes part of the identifier, so that others who sample by that
	// (OpenTelemetry's TraceIDRatioBased) draw the same.
	lot := rand.Uint64()
	if lot>>1 >= t.bound {
		return nil
	}
	r := &request{start: time.Now(), link: contextOf(h, false)}
	binary.BigEndian.PutUint64(r.traceID[:8], rand.Uint64())
	binary.BigEndian.PutUint64(r.traceID[8:], lot)
	if !r.traceID.IsValid() {
		r.traceID[0] = 1 // zeros mean none
	}
	return r
}

// contextOf returns what a request says of its trace, the state of tracing
// systems too if it is trusted. A header that is malformed, or there twice,
// says nothing (W3C Trace Context, 3.2.2).
func contextOf(h http.Header, trusted bool) trace.SpanContext {
	parent := h["Traceparent"]
	if len(parent) != 1 {
		return trace.SpanContext{}
	}
	carrier := propagation.HeaderCarrier{"Traceparent": parent}
	if trusted {
		carrier["Tracestate"] = h["Tracestate"]
	}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// Clock times the readings of a clock.
func (t *Tracer) Clock(source clock.Source) clock.Source {
	if t == nil {
		return source
	}
	return clock.SourceFunc(func(ctx context.Context) (clock.Reading, error) {
		r := from(ctx)
		if r == nil {
			return source.Now(ctx)
		}
		start := time.Now()
		reading, err := source.Now(ctx)
		r.add(spanClock, start, err)
		return reading, err
	})
}

// Record times the record of issue; see authority.Config. Nil stays nil.
func (t *Tracer) Record(record func(context.Context, tsp.Outcome) error) func(context.Context, tsp.Outcome) error {
	if t == nil || record == nil {
		return record
	}
	return func(ctx context.Context, out tsp.Outcome) error {
		r := from(ctx)
		if r == nil {
			return record(ctx, out)
		}
		start := time.Now()
		err := record(ctx, out)
		r.add(spanAudit, start, err)
		return err
	}
}

// add remembers a part that has just ended.
func (r *request) add(name string, start time.Time, err error) {
	end := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.parts) < maxParts && !r.done {
		r.parts = append(r.parts, part{name, start, end, err != nil})
	}
}

// Observe makes the spans of a request that was answered just now, if it is
// traced.
// Outcome is one word for what became of it, as in the log.
func (t *Tracer) Observe(r *http.Request, x *tsphttp.Exchange, outcome string) {
	if t == nil {
		return
	}
	traced := from(r.Context())
	if traced == nil {
		return
	}
	traced.mu.Lock()
	parts, again := traced.parts, traced.done
	traced.done = true
	traced.mu.Unlock()
	if again {
		return
	}
	end := time.Now()
	ctx := context.WithValue(context.Background(), requestKey{}, traced)
	if traced.parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, traced.parent)
	}
	options := []trace.SpanStartOption{
		trace.WithTimestamp(traced.start), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(t.attributes(r.Method, x, outcome)...),
	}
	if traced.link.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: traced.link}))
	}
	name := method(r.Method)
	if t.route != "" {
		name += " " + t.route
	}
	_, server := t.tracer.Start(ctx, name, options...)
	ctx = trace.ContextWithSpanContext(context.Background(), server.SpanContext())
	for _, p := range place(parts, x, traced.start, end) {
		_, span := t.tracer.Start(ctx, p.name, trace.WithTimestamp(p.start))
		if p.failed {
			span.SetStatus(codes.Error, "")
		}
		span.End(trace.WithTimestamp(p.end))
	}
	if atFault(x) {
		server.SetStatus(codes.Error, outcome)
	}
	server.End(trace.WithTimestamp(end))
}

// place adds the parts whose length alone is known: the request waited before
// the clock was first read, and was signed after it was last.
func place(parts []part, x *tsphttp.Exchange, start, end time.Time) []part {
	asked, read := time.Time{}, time.Time{} // first reading of the clock begins, last one ends
	written := end
	for _, p := range parts {
		switch p.name {
		case spanClock:
			if asked.IsZero() {
				asked = p.start
			}
			read = p.end
		case spanAudit:
			written = p.start
		}
	}
	if d := x.Waited; d > 0 {
		if asked.IsZero() {
			asked = start.Add(d)
		}
		parts = append(parts, part{name: spanQueue, start: asked.Add(-d), end: asked})
	}
	if d := x.Outcome.Signing; d > 0 {
		if read.IsZero() {
			read = written.Add(-d)
		}
		parts = append(parts, part{name: spanSign, start: read, end: read.Add(d), failed: systemFailure(x)})
	}
	return parts
}

// systemFailure says that there is no token for a reason of the server's own.
func systemFailure(x *tsphttp.Exchange) bool {
	r := x.Outcome.Rejection
	return r != nil && r.Info == tsp.SystemFailure
}

// atFault says that a good request was not granted: the span is an error. What
// clients do wrong is none (OpenTelemetry semantic conventions, HTTP spans).
func atFault(x *tsphttp.Exchange) bool {
	r := x.Outcome.Rejection
	return x.Status >= http.StatusInternalServerError || systemFailure(x) || r != nil && r.Info == tsp.TimeNotAvailable
}

// attributes are those of the server span: names of OpenTelemetry's where there
// are, and ours.
func (t *Tracer) attributes(verb string, x *tsphttp.Exchange, outcome string) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("http.request.method", method(verb)),
		attribute.Int("http.response.status_code", x.Status),
		attribute.Int("http.request.body.size", x.RequestSize),
		attribute.Int("http.response.body.size", x.ReplySize),
		attribute.String("fencepost.outcome", outcome),
	}
	if t.route != "" {
		all = append(all, attribute.String("http.route", t.route))
	}
	out := &x.Outcome
	if out.Imprint.Hash != 0 {
		all = append(all, attribute.String("fencepost.hash", out.Imprint.AlgorithmName()))
	}
	if out.ClockState != "" {
		all = append(all, attribute.String("fencepost.clock.state", out.ClockState),
			attribute.Float64("fencepost.clock.bound", out.ClockBound.Seconds()))
	}
	return all
}

// method returns a method that does not have a client's own words in it.
func method(verb string) string {
	switch verb {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return verb
	}
	return "_OTHER"
}

// idGenerator gives a trace the identifier that was drawn when the request came.
type idGenerator struct{}

// NewIDs implements sdk.IDGenerator.
func (g idGenerator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	if r := from(ctx); r != nil {
		id = r.traceID
	}
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdk.IDGenerator. Identifiers have to differ, not to be
// hard to guess.
func (idGenerator) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.BigEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
