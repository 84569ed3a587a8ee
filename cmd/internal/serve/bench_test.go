package serve

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

func BenchmarkTimestamp(b *testing.B) {
	for name, log := range map[string]*slog.Logger{
		"log=no":       nil,
		"log=json":     NewLogger(NewLogWriter(io.Discard), LogConfig{}),
		"log=sigstore": NewLogger(NewLogWriter(io.Discard), LogConfig{Sigstore: true}),
	} {
		b.Run(name, func(b *testing.B) {
			s, _ := newServer(b, func(x *bench) { x.config.Log = log })
			body := tsptest.RequestDER()
			r := httptest.NewRequest("POST", PathTimestamp, nil)
			r.Header.Set("Content-Type", tsphttp.TypeQuery)
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(body))
				delete(r.Header, "X-Request-Id")
				s.ServeHTTP(discard{http.Header{}}, r)
			}
		})
	}
}

// discard is an answer that nobody reads.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
