package serve

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
)

// maxHeaders is the longest file of headers for a collector, in bytes.
const maxHeaders = 16 << 10

// OpenTraces makes what sends spans where the first configuration names a
// collector: what a later one says needs a new start.
func (p *Process) OpenTraces(conf *config.Traces, build cli.Build) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.traced
	p.traced = true
	if conf == nil || !first {
		return nil
	}
	cfg := tracing.Config{
		Endpoint: conf.Endpoint, Sample: conf.Part(), TrustParent: conf.TrustParent,
		Route: PathTimestamp, Version: build.Version,
		Report: func(err error) {
			if err != nil {
				p.log.LogAttrs(context.Background(), slog.LevelWarn, "spans are not taken, and lost", slog.String("detail", err.Error()))
				return
			}
			p.log.LogAttrs(context.Background(), slog.LevelInfo, "spans are taken again")
		},
	}
	if host, err := os.Hostname(); err == nil {
		cfg.Instance = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if conf.Headers != "" {
		data, err := new(cli.Env).ReadFile(string(conf.Headers), maxHeaders)
		if err != nil {
			return fmt.Errorf("headers: %w", err)
		}
		if cfg.Headers, err = tracing.ParseHeaders(data); err != nil {
			return fmt.Errorf("headers: %s: %w", conf.Headers, err)
		}
	}
	var err error
	p.tracer, err = tracing.New(cfg)
	return err
}

// traces is what sends spans, nil if nothing does.
func (p *Process) traces() *tracing.Tracer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tracer
}

// tracesTimeout is how long the end waits for the collector.
const tracesTimeout = 2 * time.Second

// endTraces sends the spans that are left.
func (p *Process) endTraces() {
	ctx, cancel := context.WithTimeout(context.Background(), tracesTimeout)
	defer cancel()
	if err := p.traces().Shutdown(ctx); err != nil {
		p.log.LogAttrs(ctx, slog.LevelWarn, "spans are not taken, and lost", slog.String("detail", err.Error()))
	}
}

// tracesState are the spans for the metrics, nil if there are none.
func (p *Process) tracesState() *metrics.Traces {
	t := p.traces()
	if t == nil {
		return nil
	}
	s := t.Stats()
	return &metrics.Traces{Exported: s.Exported, Dropped: s.Dropped}
}
