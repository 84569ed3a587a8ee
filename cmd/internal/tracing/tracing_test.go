package tracing_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

const route = "/api/v1/timestamp"

func newTracer(t testing.TB, r *receiver, change func(*tracing.Config)) *tracing.Tracer {
	t.Helper()
	cfg := tracing.Config{Endpoint: r.URL, Sample: 1, Route: route, Version: "v1", Instance: "a"}
	if change != nil {
		change(&cfg)
	}
	tracer, err := tracing.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// A server answers as ours does, in so far as that can be traced.
type server struct {
	tracer   *tracing.Tracer
	exchange tsphttp.Exchange
	outcome  string
	clock    clock.Source
	record   func(context.Context, tsp.Outcome) error
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := s.exchange
	if _, err := s.tracer.Clock(s.clock).Now(r.Context()); err == nil {
		time.Sleep(x.Outcome.Signing)
		if err := s.tracer.Record(s.record)(r.Context(), x.Outcome); err != nil {
			x.Outcome.Rejection = tsp.AsRejection(err)
		}
	} else {
		x.Outcome.Rejection = tsp.AsRejection(err)
	}
	x.Duration = time.Since(start)
	s.tracer.Observe(r, &x, s.outcome)
}

func newServer(tracer *tracing.Tracer) *server {
	return &server{
		tracer: tracer, outcome: "granted",
		clock: clock.Fixed(time.Unix(1e9, 0), time.Millisecond),
		record: func(context.Context, tsp.Outcome) error {
			time.Sleep(time.Millisecond)
			return nil
		},
		exchange: tsphttp.Exchange{
			Status: 200, RequestSize: 59, ReplySize: 1234, Waited: 500 * time.Microsecond,
			Outcome: tsp.Outcome{Token: []byte{1}, Imprint: tsp.Imprint{Hash: crypto.SHA384}, Signing: 2 * time.Millisecond,
				ClockState: "synchronised", ClockBound: 20 * time.Millisecond},
		},
	}
}

// ask sends a request with headers, "Name: value" each.
func (s *server) ask(method string, headers ...string) {
	r := httptest.NewRequest(method, route, strings.NewReader("a payload that nobody may see"))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	s.tracer.Handler(s).ServeHTTP(httptest.NewRecorder(), r)
}

// finish has the tracer send what it has.
func finish(t testing.TB, tracer *tracing.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := tracer.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestSpans(t *testing.T) {
	r := newReceiver(t, false, nil)
	tracer := newTracer(t, r, func(c *tracing.Config) { c.Headers = map[string]string{"X-Api-Key": "sesame"} })
	before := time.Now()
	newServer(tracer).ask("POST")
	finish(t, tracer)
	spans := r.take()
	root, queue, clock, sign, audit := spans["POST "+route], spans["queue"], spans["clock"], spans["sign"], spans["audit"]
	if len(spans) != 5 || root == nil || queue == nil || clock == nil || sign == nil || audit == nil {
		t.Fatalf("the spans are %v", spans)
	}
	if root.Kind != wire.Span_SPAN_KIND_SERVER || len(root.ParentSpanId) != 0 || len(root.Links) != 0 || root.Status.GetCode() != wire.Status_STATUS_CODE_UNSET {
		t.Errorf("the span of the request is %v", root)
	}
	for _, s := range []*wire.Span{queue, clock, sign, audit} {
		if string(s.TraceId) != string(root.TraceId) || string(s.ParentSpanId) != string(root.SpanId) || string(s.SpanId) == string(root.SpanId) {
			t.Errorf("%s is not below that of the request: %v", s.Name, s)
		}
		if s.EndTimeUnixNano > root.EndTimeUnixNano || s.Name != "queue" && s.StartTimeUnixNano < root.StartTimeUnixNano {
			t.Errorf("%s is not within that of the request", s.Name)
		}
	}
	if root.StartTimeUnixNano < uint64(before.UnixNano()) || root.EndTimeUnixNano > uint64(time.Now().UnixNano()) {
		t.Errorf("the request was from %d to %d", root.StartTimeUnixNano, root.EndTimeUnixNano)
	}
	if length(queue) != 500*time.Microsecond || queue.EndTimeUnixNano != clock.StartTimeUnixNano {
		t.Errorf("the request waited for %v until %d, the clock was asked at %d", length(queue), queue.EndTimeUnixNano, clock.StartTimeUnixNano)
	}
	if length(sign) != 2*time.Millisecond || sign.StartTimeUnixNano != clock.EndTimeUnixNano || sign.EndTimeUnixNano > audit.StartTimeUnixNano {
		t.Errorf("signed for %v from %d, the clock was read at %d", length(sign), sign.StartTimeUnixNano, clock.EndTimeUnixNano)
	}
	if length(audit) < time.Millisecond {
		t.Errorf("the record took %v", length(audit))
	}
	want := map[string]string{
		"http.request.method": "POST", "http.route": route, "http.response.status_code": "200",
		"http.request.body.size": "59", "http.response.body.size": "1234",
		"fencepost.outcome": "granted", "fencepost.hash": "SHA-384",
		"fencepost.clock.state": "synchronised", "fencepost.clock.bound": "0.02",
	}
	got := values(root.Attributes)
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the attributes are %v", got)
	}
	if r.resource["service.name"] != "fencepost" || r.resource["service.version"] != "v1" || r.resource["service.instance.id"] != "a" || len(r.resource) != 3 {
		t.Errorf("the resource is %v", r.resource)
	}
	if r.path != "/v1/traces" || r.header.Get("X-Api-Key") != "sesame" {
		t.Errorf("posted to %s with %v", r.path, r.header)
	}
	if s := tracer.Stats(); s != (tracing.Stats{Exported: 5}) {
		t.Errorf("the counts are %+v", s)
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*server)
		verb   string
		status wire.Status_StatusCode // of the request
		failed string                 // child that is an error
	}{
		{"granted", func(*server) {}, "POST", wire.Status_STATUS_CODE_UNSET, ""},
		{"bad request", func(s *server) { s.exchange.Outcome.Rejection = tsp.Reject(tsp.BadAlg, "x") }, "POST", wire.Status_STATUS_CODE_UNSET, ""},
		{"too large", func(s *server) { s.exchange = tsphttp.Exchange{Status: 413} }, "POST", wire.Status_STATUS_CODE_UNSET, ""},
		{"full", func(s *server) { s.exchange = tsphttp.Exchange{Status: 503} }, "POST", wire.Status_STATUS_CODE_ERROR, ""},
		{"no time", func(s *server) { s.exchange.Outcome.Rejection = tsp.Reject(tsp.TimeNotAvailable, "x") }, "POST", wire.Status_STATUS_CODE_ERROR, ""},
		{"clock", func(s *server) { s.clock = clock.NewScript(clock.Step{Err: clock.ErrUnknown}) }, "POST", wire.Status_STATUS_CODE_ERROR, "clock"},
		{"signer", func(s *server) { s.exchange.Outcome.Rejection = tsp.Reject(tsp.SystemFailure, "x") }, "POST", wire.Status_STATUS_CODE_ERROR, "sign"},
		{"record", func(s *server) {
			s.record = func(context.Context, tsp.Outcome) error { return errors.New("disk full") }
		}, "POST", wire.Status_STATUS_CODE_ERROR, "audit"},
		{"strange method", func(s *server) { s.exchange = tsphttp.Exchange{Status: 405} }, "BREW", wire.Status_STATUS_CODE_UNSET, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReceiver(t, false, nil)
			tracer := newTracer(t, r, nil)
			s := newServer(tracer)
			tt.change(s)
			s.ask(tt.verb)
			finish(t, tracer)
			spans, name := r.take(), tt.verb+" "+route
			if tt.verb == "BREW" {
				name = "_OTHER " + route
			}
			if spans[name] == nil || spans[name].Status.GetCode() != tt.status {
				t.Fatalf("the span of the request is %v, want the status %v", spans[name], tt.status)
			}
			if tt.failed != "" && spans[tt.failed].GetStatus().GetCode() != wire.Status_STATUS_CODE_ERROR {
				t.Errorf("the span %s is no error: %v", tt.failed, spans[tt.failed])
			}
		})
	}
}

const (
	sampled   = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// TestParent holds who may say what is traced, and to which trace it belongs.
func TestParent(t *testing.T) {
	for _, tt := range []struct {
		name         string
		trust        bool
		sample       float64
		headers      []string
		traced       bool
		parent, link bool
		state        string
	}{
		{"nothing", false, 1, nil, true, false, false, ""},
		{"a stranger's", false, 1, []string{sampled, "Tracestate: v=1"}, true, false, true, ""},
		{"a stranger's that says no", false, 1, []string{unsampled}, true, false, true, ""},
		{"a stranger cannot force it", false, 0, []string{sampled}, false, false, false, ""},
		{"trusted", true, 0, []string{sampled, "Tracestate: v=1"}, true, true, false, "v=1"},
		{"trusted that says no", true, 1, []string{unsampled}, false, false, false, ""},
		{"trusted, nothing", true, 1, nil, true, false, false, ""},
		{"trusted, nothing, no lot", true, 0, nil, false, false, false, ""},
		{"trusted, twice", true, 1, []string{sampled, sampled}, true, false, false, ""},
		{"trusted, malformed", true, 1, []string{"Traceparent: 00-xx"}, true, false, false, ""},
		{"trusted, zeros", true, 1, []string{"Traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01"}, true, false, false, ""},
		{"a megabyte", false, 1, []string{"Traceparent: " + strings.Repeat("0", 1<<20)}, true, false, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newReceiver(t, false, nil)
			tracer := newTracer(t, r, func(c *tracing.Config) { c.TrustParent, c.Sample = tt.trust, tt.sample })
			newServer(tracer).ask("POST", tt.headers...)
			finish(t, tracer)
			root := r.take()["POST "+route]
			if (root != nil) != tt.traced {
				t.Fatalf("traced: %v, want %v", root != nil, tt.traced)
			}
			if root == nil {
				return
			}
			const theirs, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
			if got := hex.EncodeToString(root.TraceId) == theirs; got != tt.parent || (hex.EncodeToString(root.ParentSpanId) == span) != tt.parent {
				t.Errorf("in trace %x below %x", root.TraceId, root.ParentSpanId)
			}
			if root.TraceState != tt.state {
				t.Errorf("the state is %q, want %q", root.TraceState, tt.state)
			}
			if (len(root.Links) == 1) != tt.link {
				t.Fatalf("the links are %v", root.Links)
			}
			if tt.link && (hex.EncodeToString(root.Links[0].TraceId) != theirs || root.Links[0].TraceState != "") {
				t.Errorf("the link is %v", root.Links[0])
			}
		})
	}
}

// TestTraceID holds that the log can name the trace.
func TestTraceID(t *testing.T) {
	r := newReceiver(t, false, nil)
	tracer := newTracer(t, r, nil)
	var id string
	tracer.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id = tracing.TraceID(r.Context())
		tracer.Observe(r, &tsphttp.Exchange{Status: 200}, "granted")
		tracer.Observe(r, &tsphttp.Exchange{Status: 200}, "granted") // once is enough
	})).ServeHTTP(nil, httptest.NewRequest("POST", route, nil))
	finish(t, tracer)
	root := r.take()["POST "+route]
	if root == nil || hex.EncodeToString(root.TraceId) != id || id == "" || r.count() != 1 {
		t.Errorf("the trace is %q, the span %v of %d", id, root, r.count())
	}
	if got := tracing.TraceID(t.Context()); got != "" {
		t.Errorf("without a trace it is %q", got)
	}
}

func TestSample(t *testing.T) {
	r := newReceiver(t, false, nil)
	for _, part := range []float64{0, 0.01, 0.5, 1} {
		tracer := newTracer(t, r, func(c *tracing.Config) { c.Sample = part })
		const n = 20_000
		traced := 0
		h := tracer.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if tracing.TraceID(r.Context()) != "" {
				traced++
			}
		}))
		for range n {
			h.ServeHTTP(nil, httptest.NewRequest("POST", route, nil))
		}
		// Six standard deviations.
		if dev := 6 * math.Sqrt(n*part*(1-part)); math.Abs(float64(traced)-n*part) > dev {
			t.Errorf("%d of %d requests are traced, want %v of them", traced, n, part)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  tracing.Config
		says string
	}{
		{"no endpoint", tracing.Config{}, "scheme"},
		{"no URL", tracing.Config{Endpoint: "http://[::1"}, "not a URL"},
		{"no scheme", tracing.Config{Endpoint: "localhost:4318"}, "scheme"},
		{"gRPC", tracing.Config{Endpoint: "grpc://localhost:4317"}, "scheme"},
		{"no host", tracing.Config{Endpoint: "http://:4318"}, "no host"},
		{"credentials", tracing.Config{Endpoint: "https://u:sesame@h"}, "credentials"},
		{"query", tracing.Config{Endpoint: "https://h/?key=sesame"}, "query"},
		{"fragment", tracing.Config{Endpoint: "https://h/#x"}, "fragment"},
		{"negative", tracing.Config{Endpoint: "http://h", Sample: -0.1}, "between 0 and 1"},
		{"more than all", tracing.Config{Endpoint: "http://h", Sample: 1.1}, "between 0 and 1"},
		{"not a number", tracing.Config{Endpoint: "http://h", Sample: math.NaN()}, "between 0 and 1"},
	} {
		got, err := tracing.New(tt.cfg)
		if err == nil || got != nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: New = %v, %v, want an error with %q", tt.name, got, err, tt.says)
		}
	}
}

// TestEnvironment holds that OTEL_ variables change nothing, but for the one that
// adds to the resource.
func TestEnvironment(t *testing.T) {
	r := newReceiver(t, false, nil)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x",
		"OTEL_EXPORTER_OTLP_HEADERS": "x-from-environment=1", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
		"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_TRACES_SAMPLER": "always_off", "OTEL_SERVICE_NAME": "another",
		"OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=b,service.name=another", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_SDK_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	tracer := newTracer(t, r, nil)
	newServer(tracer).ask("POST")
	finish(t, tracer)
	if got := r.take(); len(got) != 5 || len(got["POST "+route].Attributes) != 9 || r.resource["service.name"] != "fencepost" ||
		len(r.resource) != 4 || r.resource["k8s.pod.name"] != "b" || r.header.Get("X-From-Environment") != "" || r.path != "/v1/traces" {
		t.Errorf("spans %v, resource %v, header %v, path %s", got, r.resource, r.header, r.path)
	}
}

func TestTLS(t *testing.T) {
	r := newReceiver(t, true, nil)
	roots := x509.NewCertPool()
	roots.AddCert(r.Certificate())
	tracer := newTracer(t, r, func(c *tracing.Config) { c.Roots, c.Endpoint = roots, r.URL+"/custom/path" })
	newServer(tracer).ask("POST")
	finish(t, tracer)
	if len(r.take()) != 5 || r.path != "/custom/path" {
		t.Errorf("%d spans came, to %s", r.count(), r.path)
	}
	var reported error
	stranger := newTracer(t, r, func(c *tracing.Config) { c.Report = func(err error) { reported = err } })
	newServer(stranger).ask("POST")
	if err := stranger.Shutdown(t.Context()); err == nil || r.count() != 5 {
		t.Errorf("a collector that nobody vouches for got spans: %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if !errors.As(reported, &unknown) || stranger.Stats() != (tracing.Stats{Dropped: 5}) {
		t.Errorf("reported %v, counts %+v", reported, stranger.Stats())
	}
}
