package serve

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// TestTraces: with a collector configured, a request leaves spans there with
// the headers of the file, and its identifier in the log; without, nothing.
func TestTraces(t *testing.T) {
	got := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(unzipped)
		if err != nil {
			t.Error(err)
		}
		got <- r.URL.Path + " " + r.Header.Get("X-Secret") + " " + string(body)
	}))
	defer collector.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "headers"), []byte("X-Secret: sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf, err := config.Parse(filepath.Join(dir, "f"), []byte("tsa: {key: 'memory:p256', policy: 1.2.3}\nlisten: ['127.0.0.1:0']\nadmin: off\n"+
		"audit: {dir: audit}\ntraces: {endpoint: '"+collector.URL+"', sample: 1, headers: headers}\n"))
	if err != nil {
		t.Fatal(err)
	}
	log := new(lockedBuffer)
	logger := slog.New(slog.NewJSONHandler(log, nil))
	cfg, err := Load(t.Context(), conf, Options{Process: NewProcess(logger), Log: logger, Build: cli.Build{Version: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan Addresses, 1)
	cfg.Listening = func(a Addresses) { listening <- a }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	url := (<-listening).Public[0]
	resp, err := http.Post(url+PathTimestamp, tsphttp.TypeQuery, bytes.NewReader(tsptest.RequestDER()))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	spans := <-got // at the end at the latest
	if !strings.HasPrefix(spans, "/v1/traces sesame ") {
		t.Errorf("the collector got %.60q", spans)
	}
	for _, name := range []string{"sign", "clock", "audit"} {
		if !strings.Contains(spans, name) {
			t.Errorf("no span %q in %.1000q", name, spans)
		}
	}
	if !strings.Contains(log.String(), `"trace":"`) || strings.Contains(log.String(), "sesame") {
		t.Errorf("the log:\n%s", log)
	}
	if _, err := Load(t.Context(), conf, Options{CheckOnly: true}); err != nil {
		t.Error(err)
	}
	conf.Traces.Headers = config.Path(filepath.Join(dir, "nothing"))
	for _, check := range []bool{false, true} {
		if _, err := Load(t.Context(), conf, Options{CheckOnly: check}); err == nil || !strings.Contains(err.Error(), "traces: headers: ") {
			t.Errorf("without the file of headers, to check it: %t: %v", check, err)
		}
	}
}

// TestTracesAddedLater: a reload begins no traces, which nothing would send.
func TestTracesAddedLater(t *testing.T) {
	const text = "tsa: {key: 'memory:p256', policy: 1.2.3}\n"
	p := NewProcess(nil)
	var warned []string
	for _, traces := range []string{"", "traces: {endpoint: 'http://127.0.0.1:1'}\n"} {
		conf, err := config.Parse("f", []byte(text+traces))
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(t.Context(), conf, Options{Process: p, Warn: func(text string) { warned = append(warned, text) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.TSA.Close(); err != nil {
			t.Error(err)
		}
	}
	if p.traces() != nil || p.tracesState() != nil {
		t.Error("there are traces")
	}
	if !slices.ContainsFunc(warned, func(text string) bool { return strings.HasPrefix(text, "traces: ") }) {
		t.Errorf("warned of %q", warned)
	}
}
