package serve

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tracing"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// maxLogged is how much of a text that a client chose is logged or sent back,
// in bytes.
const maxLogged = 128

// clip cuts a text of a client to a size that is worth repeating.
func clip(text string) string {
	if len(text) <= maxLogged {
		return text
	}
	cut := text[:maxLogged]
	for i := 0; i < utf8.UTFMax && !utf8.ValidString(cut); i++ {
		cut = cut[:len(cut)-1]
	}
	return cut + "..."
}

// observe counts and logs a request for a timestamp.
func (s *Server) observe(r *http.Request, x tsphttp.Exchange) {
	s.metrics.Exchange(metrics.Exchange{Outcome: &x.Outcome, Status: x.Status, Waited: x.Waited, HungUp: hungUp(&x)})
	s.metrics.Request(metrics.RouteTimestamp, r.Method, x.Status, x.Duration)
	s.tracer.Observe(r, &x, outcome(&x))
	level := exchangeLevel(&x)
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	rec := slog.NewRecord(time.Now(), level, "timestamp", 0)
	rec.AddAttrs(
		slog.String("id", s.requestID(r)),
		slog.String("remote", r.RemoteAddr),
		slog.String("method", clip(r.Method)),
		slog.String("path", PathTimestamp),
		slog.Int("code", x.Status),
		slog.String("outcome", outcome(&x)),
		slog.Int64("duration_us", x.Duration.Microseconds()),
		slog.Int("request_bytes", x.RequestSize),
		slog.Int("reply_bytes", x.ReplySize),
	)
	if a, ok := askerFrom(r.Context()); ok {
		rec.AddAttrs(a.logged()...)
	}
	if id := tracing.TraceID(r.Context()); id != "" {
		rec.AddAttrs(slog.String("trace", id))
	}
	out := &x.Outcome
	if out.Imprint.Hash != 0 {
		rec.AddAttrs(slog.String("hash", out.Imprint.AlgorithmName()))
	}
	if out.Granted() {
		rec.AddAttrs(
			slog.String("serial", out.Serial.Hex()),
			slog.String("policy", s.policies.Load().text(out.Policy)),
			slog.Time("gen_time", out.GenTime),
		)
	}
	if x.Waited > 0 {
		rec.AddAttrs(slog.Int64("waited_us", x.Waited.Microseconds()))
	}
	if out.Rejection != nil {
		rec.AddAttrs(slog.String("detail", out.Rejection.Error()))
	} else if x.Err != nil {
		rec.AddAttrs(slog.String("detail", x.Err.Error()))
	}
	var p *tsphttp.PanicError
	if errors.As(x.Err, &p) {
		s.metrics.Panic()
		rec.AddAttrs(slog.String("stack", string(p.Stack)))
	}
	_ = s.log.Handler().Handle(r.Context(), rec) // there is nobody to tell
}

// failedSelfCheck says that a token was made and did not verify: the signer is
// broken, or somebody has put another in its place.
func failedSelfCheck(x *tsphttp.Exchange) bool {
	r := x.Outcome.Rejection
	return r != nil && errors.Is(r.Err, authority.ErrSelfCheck)
}

// hungUp says that there is no answer because the client has gone, which is
// nobody's fault, although the authority can only call it a systemFailure.
func hungUp(x *tsphttp.Exchange) bool {
	r := x.Outcome.Rejection
	return x.Status == metrics.StatusClientGone && (r == nil || errors.Is(r.Err, context.Canceled))
}

// exchangeLevel is a warning where the fault is not the client's, and an error
// where it is this program's or its key's.
func exchangeLevel(x *tsphttp.Exchange) slog.Level {
	var p *tsphttp.PanicError
	switch r := x.Outcome.Rejection; {
	case errors.As(x.Err, &p), failedSelfCheck(x):
		return slog.LevelError
	case hungUp(x):
		return slog.LevelInfo
	case r != nil && (r.Info == tsp.SystemFailure || r.Info == tsp.TimeNotAvailable),
		x.Status >= http.StatusInternalServerError:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// outcome is one word: granted, the failure information, disconnected where the
// client did not wait, or http where HTTP itself was wrong.
func outcome(x *tsphttp.Exchange) string {
	switch r := x.Outcome.Rejection; {
	case hungUp(x):
		return "disconnected"
	case r != nil:
		return r.Info.String()
	case x.Outcome.Granted():
		return "granted"
	}
	return "http"
}

// policyNames are the texts of the policies that are configured, so that they
// are not written anew for each request.
type policyNames struct {
	ids   []x509.OID
	texts []string
}

func newPolicyNames(ids []x509.OID) *policyNames {
	n := &policyNames{ids: ids}
	for _, id := range ids {
		n.texts = append(n.texts, id.String())
	}
	return n
}

func (n *policyNames) text(id x509.OID) string {
	for i, known := range n.ids {
		if known.Equal(id) {
			return n.texts[i]
		}
	}
	return id.String()
}

func (s *Server) requestID(r *http.Request) string {
	if values := r.Header[s.idHeader]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// done counts and logs any other request.
func (s *Server) done(a *answer, r *http.Request, kind metrics.Route) {
	status := a.status
	if status == 0 {
		status = http.StatusOK
	}
	var took time.Duration
	if !a.start.IsZero() {
		took = time.Since(a.start)
	}
	s.metrics.Request(kind, r.Method, status, took)
	level := slog.LevelInfo
	switch kind {
	case metrics.RoutePing, metrics.RouteHealth, metrics.RouteReady:
		level = slog.LevelDebug // several a second, forever
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", s.requestID(r)),
		slog.String("remote", r.RemoteAddr),
		slog.String("method", clip(r.Method)),
		slog.String("path", clip(r.URL.Path)),
		slog.Int("code", status),
		slog.Int64("duration_us", took.Microseconds()),
		slog.Int("reply_bytes", a.size),
	}
	if who, ok := askerFrom(r.Context()); ok {
		attrs = append(attrs, who.logged()...)
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// logPanic logs a fault of this program.
func (s *Server) logPanic(r *http.Request, v any, stack []byte) {
	s.log.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelError, "panic",
		slog.String("id", s.requestID(r)),
		slog.String("method", clip(r.Method)),
		slog.String("path", clip(r.URL.Path)),
		slog.String("detail", fmt.Sprint(v)),
		slog.String("stack", string(stack)),
	)
}
