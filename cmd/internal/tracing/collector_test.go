package tracing_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A receiver is a collector that takes OTLP over HTTP and keeps the spans.
type receiver struct {
	*httptest.Server
	// answer, if not nil, answers in its place.
	answer http.HandlerFunc

	mu       sync.Mutex
	spans    []*wire.Span
	resource map[string]string
	header   http.Header
	path     string
	messages int
	faults   []error
}

func newReceiver(t testing.TB, secure bool, answer http.HandlerFunc) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewUnstartedServer(r)
	if secure {
		r.StartTLS()
	} else {
		r.Start()
	}
	t.Cleanup(r.Close)
	t.Cleanup(func() {
		for _, err := range r.faults {
			t.Errorf("the collector cannot read what it got: %v", err)
		}
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.answer != nil {
		io.Copy(io.Discard, req.Body)
		r.answer(w, req)
		return
	}
	message, err := read(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header, r.path = req.Header.Clone(), req.URL.Path
	r.messages++
	if err != nil {
		r.faults = append(r.faults, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, rs := range message.ResourceSpans {
		r.resource = values(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func read(req *http.Request) (*collector.ExportTraceServiceRequest, error) {
	if got := req.Header.Get("Content-Type"); req.Method != http.MethodPost || got != "application/x-protobuf" {
		return nil, fmt.Errorf("%s of a %q", req.Method, got)
	}
	z, err := gzip.NewReader(req.Body)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	message := new(collector.ExportTraceServiceRequest)
	return message, proto.Unmarshal(data, message)
}

// take returns the spans that came, by name.
func (r *receiver) take() map[string]*wire.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	byName := make(map[string]*wire.Span)
	for _, s := range r.spans {
		byName[s.Name] = s
	}
	return byName
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.spans)
}

// values returns attributes as text.
func values(attributes []*common.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, a := range attributes {
		switch v := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_DoubleValue:
			all[a.Key] = fmt.Sprint(v.DoubleValue)
		default:
			all[a.Key] = fmt.Sprintf("%T", v)
		}
	}
	return all
}

func length(s *wire.Span) time.Duration {
	return time.Duration(s.EndTimeUnixNano - s.StartTimeUnixNano)
}
