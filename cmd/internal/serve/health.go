package serve

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// errStopping is why a server that was told to stop is not ready.
var errStopping = errors.New("the server is stopping")

// ready says whether a good request would be granted now.
func (s *Server) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errStopping
	}
	return s.cfg.TSA.Authority().Ready(ctx)
}

// readyTimeout bounds how long a probe waits for a clock that does not answer.
const readyTimeout = 2 * time.Second

// serveReady tells the public yes or no.
func (s *Server) serveReady(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if s.ready(ctx) != nil {
		plain(w, http.StatusServiceUnavailable, "not ready\n")
		return
	}
	plain(w, http.StatusOK, "ready\n")
}

// readyJSON is what operators are told.
type readyJSON struct {
	Ready bool `json:"ready"`
	// Reason is the PKIFailureInfo that requests get, or "stopping".
	Reason string `json:"reason,omitempty"`
	// Detail is the cause in words.
	Detail string    `json:"detail,omitempty"`
	Clock  clockJSON `json:"clock"`
	// Window is when the current chain allows to issue.
	Window struct {
		From  time.Time `json:"from"`
		Until time.Time `json:"until"`
	} `json:"window"`
	Policy          string  `json:"policy"`
	AccuracySeconds float64 `json:"accuracySeconds"`
}

// clockJSON is the clock as it is now; the time and the bound are absent while
// they are not known.
type clockJSON struct {
	State        string     `json:"state"`
	Time         *time.Time `json:"time,omitempty"`
	BoundSeconds *float64   `json:"boundSeconds,omitempty"`
	Detail       string     `json:"detail,omitempty"`
}

// serveReadyDetails tells operators why.
func (s *Server) serveReadyDetails(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	a := s.cfg.TSA.Authority()
	doc := readyJSON{Ready: true, Policy: a.Policy().String(), AccuracySeconds: a.Accuracy().Seconds()}
	doc.Window.From, doc.Window.Until = a.Window()
	status := http.StatusOK
	if err := s.ready(ctx); err != nil {
		status = http.StatusServiceUnavailable
		doc.Ready, doc.Detail, doc.Reason = false, err.Error(), "stopping"
		if !errors.Is(err, errStopping) {
			rejection := tsp.AsRejection(err)
			doc.Reason = rejection.Info.String()
		}
	}
	reading, err := s.cfg.TSA.clock.Now(ctx)
	if doc.Clock.State = reading.State.String(); err != nil {
		doc.Clock.Detail = err.Error()
	} else {
		seconds := reading.Bound.Seconds()
		doc.Clock.Time, doc.Clock.BoundSeconds = &reading.Time, &seconds
	}
	body, err := marshal(doc)
	if err != nil { // times beyond the year 9999 only
		s.refuse(w, r, http.StatusInternalServerError, "Internal Server Error")
		return
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	w.WriteHeader(status)
	w.Write(body)
}
