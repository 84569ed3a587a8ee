// Package tracing sends OpenTelemetry spans of requests for timestamps to a
// collector, by OTLP over HTTP.
//
//	tracer, err := tracing.New(tracing.Config{Endpoint: "http://127.0.0.1:4318", Sample: 0.01})
//	...
//	handler = tracer.Handler(handler)     // decides which requests are traced
//	source = tracer.Clock(source)         // times what an authority calls
//	record = tracer.Record(record)
//	tracer.Observe(r, &exchange, outcome) // when one is answered: makes the spans
//	...
//	go tracer.Run(ctx)                    // sends them
//	tracer.Shutdown(ctx)                  // what is left
//
// A nil *Tracer is tracing switched off: its methods return what they are given
// and cost nothing.
//
// A trace has a server span for the request and below it spans for the time in
// the queue, the reading of the clock, the signature and the record of issue.
// They are made when the request is answered, with the times that were taken on
// the way; so none is open while the signer is asked, and what a key service
// does is not part of the trace. The signature is placed right behind the
// reading of the clock, which it follows within microseconds, and has its own
// measured length. Spans say how long and with what outcome, never what was
// stamped, nor for whom.
//
// # Trust
//
// Anybody can send a traceparent header (W3C Trace Context). A stranger who
// could so decide what is traced could have everything traced, and write into
// traces that are not his. So a request begins a trace of its own, chosen by
// lot, with a link to the one that the client names; only with
// [Config].TrustParent, for servers that others than our own proxies cannot
// reach, does the header decide.
//
// A collector that is slow or away costs spans, never time: there is room for
// some thousand, those that do not fit are dropped and counted.
package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config is what [New] makes a [Tracer] of. Nothing of it is taken from OTEL_
// variables; only OTEL_RESOURCE_ATTRIBUTES adds to what is said of this process,
// as operators of Kubernetes are used to.
type Config struct {
	// Endpoint is the URL of the collector, http or https. Without a path it is
	// that of OTLP, /v1/traces. Required.
	Endpoint string
	// Headers go with each message, such as the credentials of a service; see
	// [ParseHeaders].
	Headers map[string]string
	// Sample is the part of the requests that is traced, from 0 to 1. Zero:
	// none but those that TrustParent lets choose.
	Sample float64
	// TrustParent lets the traceparent header of a request decide whether it is
	// traced, and to which trace it belongs.
	TrustParent bool
	// Route is the path of the requests, "" for none.
	Route string
	// Version is that of the program, and Instance tells this process from
	// others like it; "" leaves them out.
	Version, Instance string
	// Roots are the CAs of an https collector. Nil: those of the system.
	Roots *x509.CertPool
	// Report is told when the collector begins to fail, and with nil when it
	// takes spans again. It must not block. Nil is not called.
	Report func(error)
}

// A Tracer makes spans and sends them. Its methods may be called from any
// goroutine, and on nil.
type Tracer struct {
	trust    bool
	bound    uint64 // a random number of 63 bits below it is one to be traced
	route    string
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
}

// defaultPath is where a collector takes traces (OTLP 1.9, OTLP/HTTP Request).
const defaultPath = "/v1/traces"

// New makes a tracer, without asking the collector.
func New(cfg Config) (*Tracer, error) {
	endpoint, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing: endpoint: %w", err)
	}
	if !(cfg.Sample >= 0 && cfg.Sample <= 1) { // nor not a number
		return nil, fmt.Errorf("tracing: sample is %v, not between 0 and 1", cfg.Sample)
	}
	t := &Tracer{trust: cfg.TrustParent, route: cfg.Route, bound: uint64(math.Round(cfg.Sample * (1 << 63)))}
	if cfg.Sample > 0 {
		t.bound = max(t.bound, 1)
	}
	transport := newTransport(cfg.Roots)
	t.exporter = newExporter(otlptrace.NewUnstarted(client(endpoint, cfg.Headers, transport)), cfg.Report)
	t.exporter.idle = transport.CloseIdleConnections
	attributes := []attribute.KeyValue{attribute.String("service.name", "fencepost")}
	for key, value := range map[string]string{"service.version": cfg.Version, "service.instance.id": cfg.Instance} {
		if value != "" {
			attributes = append(attributes, attribute.String(key, value))
		}
	}
	t.provider = sdk.NewTracerProvider(
		sdk.WithSampler(sdk.AlwaysSample()), // what is not to be traced never gets here
		sdk.WithIDGenerator(idGenerator{}),
		sdk.WithResource(resource.NewSchemaless(attributes...)),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: maxAttribute, AttributeCountLimit: maxAttributes, EventCountLimit: maxAttributes, LinkCountLimit: 1,
			AttributePerEventCountLimit: maxAttributes, AttributePerLinkCountLimit: maxAttributes,
		}),
		sdk.WithSpanProcessor(t.exporter),
	)
	t.tracer = t.provider.Tracer("github.com/fencepost-tsa/fencepost", trace.WithInstrumentationVersion(cfg.Version))
	return t, nil
}

// What a span holds at most: it has a dozen attributes, all of them ours.
const (
	maxAttribute  = 256
	maxAttributes = 32
)

// parseEndpoint reads the URL of a collector.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("the scheme is %.20q, not http or https", u.Scheme)
	case u.Hostname() == "":
		return nil, errors.New("there is no host")
	case u.User != nil:
		return nil, errors.New("there are credentials in the URL: they belong into a header")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("a query and a fragment are not sent")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = defaultPath
	}
	return u, nil
}

func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxConnsPerHost:     1, // one message at a time
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: exportTimeout,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
}

// client speaks OTLP. Every option is given, because those that are not would be
// taken from OTEL_ variables.
func client(endpoint *url.URL, headers map[string]string, transport http.RoundTripper) otlptrace.Client {
	if headers == nil {
		headers = map[string]string{} // nil would let the variable count
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(endpoint.String()),
		otlptracehttp.WithHeaders(headers),
		otlptracehttp.WithTimeout(exportTimeout),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithTLSClientConfig(nil),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: time.Second, MaxInterval: 4 * time.Second, MaxElapsedTime: exportTimeout,
		}),
		otlptracehttp.WithHTTPClient(&http.Client{
			Transport: transport,
			// The headers are for this collector, and not for whomever it names.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
	}
	return otlptracehttp.NewClient(options...)
}

// Run sends spans until ctx ends. What is left then is for [Tracer.Shutdown],
// since requests end after the server was told to.
func (t *Tracer) Run(ctx context.Context) error {
	if t == nil {
		<-ctx.Done()
		return nil
	}
	t.exporter.run(ctx)
	return nil
}

// Shutdown sends what is left, for as long as ctx allows and at most a second
// more, and lets go of the collector. Spans that come later are dropped. Its
// error is that spans were dropped here. Run must have returned.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.exporter.close(ctx)
}

// Stats counts the spans that the collector took, and those that it never will
// get.
type Stats struct{ Exported, Dropped int64 }

// Stats returns the counts since the start.
func (t *Tracer) Stats() Stats {
	if t == nil {
		return Stats{}
	}
	return Stats{Exported: t.exporter.exported.Load(), Dropped: t.exporter.dropped.Load()}
}
