package serve

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/fencepost-tsa/fencepost/cmd/internal/access"
	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
)

// An asker is who asked for a timestamp, as the log and the record of issue have
// it.
type asker struct {
	access.Client
	request string        // identifier of the request
	refused access.Reason // "": not
}

type askerKey struct{}

// askerFrom returns who asked for what ctx is about.
func askerFrom(ctx context.Context) (asker, bool) {
	a, ok := ctx.Value(askerKey{}).(asker)
	return a, ok
}

// who is the client's name, or its address; "" for a stranger on a unix socket.
func (a asker) who() string {
	if a.Name != "" {
		return a.Name
	}
	if a.Address.IsValid() {
		return a.Address.String()
	}
	return ""
}

// logged is what the log says of who asked. How the address was found is only
// worth a word where a proxy did not say it: all that come through it are then
// one client.
func (a asker) logged() []slog.Attr {
	attrs := []slog.Attr{slog.String("client", a.who())}
	if a.Via != access.ViaSocket && a.Via != access.ViaProxy {
		attrs = append(attrs, slog.String("via", a.Via.String()))
	}
	if a.refused != "" {
		attrs = append(attrs, slog.String("refused", string(a.refused)))
	}
	return attrs
}

// admit asks whether a request may be made. It returns the request, which then
// knows who made it, and whether it may: if not, it was answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) (known *http.Request, ok bool) {
	client, refusal := s.access.Load().Admit(r)
	who := asker{Client: client, request: s.requestID(r)}
	if refusal != nil {
		who.refused = refusal.Reason
		s.metrics.ClientRefused(string(refusal.Reason))
		refusal.SetHeader(w.Header())
		s.refuse(w, r, refusal.Status, refusal.Text)
	}
	return r.WithContext(context.WithValue(r.Context(), askerKey{}, who)), refusal == nil
}

// adopt makes what a configuration says about clients, policies and the clock
// hold from now on.
func (s *Server) adopt(cfg *Config) {
	if cfg.Access != nil {
		if old := s.access.Load(); old != nil {
			cfg.Access.Adopt(old)
		}
		s.access.Store(cfg.Access)
	}
	policies := s.cfg.TSA.Policies()
	s.policies.Store(newPolicyNames(policies))
	s.metrics.SetPolicies(policies)
	if cfg.clock != nil {
		s.process.use(cfg.clock, cfg.accuracy)
	}
	s.asks.Store(cfg.Limited || s.process.records())
}

// refusalWords are the values of a metric's label.
func refusalWords() []string {
	var words []string
	for _, r := range access.Reasons() {
		words = append(words, string(r))
	}
	return words
}

// connectionsNow are the connections for the metrics.
func (s *Server) connectionsNow() []metrics.Connections {
	var all []metrics.Connections
	for _, l := range s.Connections() {
		all = append(all, metrics.Connections{Listener: l.URL, Open: int64(l.Open), Evicted: int64(l.Evicted), Refused: int64(l.Refused)})
	}
	return all
}
