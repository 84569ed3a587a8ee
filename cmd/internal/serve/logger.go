package serve

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// The log is written in pieces: a write for each request would cost as much as
// the request. What was logged is visible after flushEvery at the latest, and
// warnings at once.
const (
	flushEvery = 100 * time.Millisecond
	flushSize  = 64 << 10
)

// A LogWriter collects what is written to it and writes it out in pieces. It
// may be used from several goroutines at once.
type LogWriter struct {
	mu    sync.Mutex
	w     io.Writer
	buf   []byte
	timer *time.Timer // runs while there is something in buf
	armed bool
}

// NewLogWriter returns a writer to w. Flush must be called at the end.
func NewLogWriter(w io.Writer) *LogWriter {
	l := &LogWriter{w: w}
	l.timer = time.AfterFunc(time.Hour, l.Flush)
	l.timer.Stop()
	return l
}

// Write adds b, which it does not keep.
func (l *LogWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	switch {
	case len(l.buf) >= flushSize:
		l.flush()
	case !l.armed:
		l.armed = true
		l.timer.Reset(flushEvery)
	}
	return len(b), nil
}

// Flush writes out what there is.
func (l *LogWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

func (l *LogWriter) flush() {
	l.timer.Stop()
	l.armed = false
	if len(l.buf) > 0 {
		_, _ = l.w.Write(l.buf) // a log that cannot be written has nobody to tell
	}
	if cap(l.buf) > 2*flushSize {
		l.buf = nil
	}
	l.buf = l.buf[:0]
}

// LogConfig says how a log looks.
type LogConfig struct {
	Text  bool       // lines of key=value; else JSON
	Level slog.Level // the least that is written
	// Sigstore gives time, level and message the names and forms that they
	// have in the JSON of sigstore/timestamp-authority, for which the rules of
	// log collectors are written: "ts" in seconds since 1970, "severity" in
	// small letters, "message".
	Sigstore bool
}

// NewLogger returns a logger to w.
func NewLogger(w *LogWriter, cfg LogConfig) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Sigstore {
		opts.ReplaceAttr = sigstoreAttr
	}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if cfg.Text {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(flushing{h, w})
}

// sigstoreAttr renames the three attributes that every record has.
func sigstoreAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		if a.Value.Kind() == slog.KindTime {
			return slog.Float64("ts", float64(a.Value.Time().UnixMicro())/1e6)
		}
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("severity", strings.ToLower(level.String()))
		}
	case slog.MessageKey:
		a.Key = "message"
	}
	return a
}

// flushing writes out at once what is a warning or worse: it may be the last
// thing that this process says.
type flushing struct {
	slog.Handler
	w *LogWriter
}

func (f flushing) Handle(ctx context.Context, r slog.Record) error {
	err := f.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		f.w.Flush()
	}
	return err
}

func (f flushing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return flushing{f.Handler.WithAttrs(attrs), f.w}
}

func (f flushing) WithGroup(name string) slog.Handler {
	return flushing{f.Handler.WithGroup(name), f.w}
}
