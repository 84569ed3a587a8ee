package serve

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"

	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// errStopping is why a server that was told to stop is not ready.
var errStopping = errors.New("the server is stopping")

// ready says whether a good request would be granted now.
func (s *Server) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errStopping
	}
	if err := s.process.auditReady(ctx); err != nil {
		return err
	}
	return s.cfg.TSA.Ready(ctx)
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
	// DaysRemaining is how much of the window is left; negative when it is over.
	DaysRemaining   float64   `json:"daysRemaining"`
	Policy          string    `json:"policy"`
	AccuracySeconds float64   `json:"accuracySeconds"`
	Keys            []keyJSON `json:"keys"`
	// Audit is the record of issue, absent where there is none.
	Audit *auditJSON `json:"audit,omitempty"`
	// Next is what takes over, absent when nothing does.
	Next *nextJSON `json:"next,omitempty"`
}

// keyJSON is how one key is.
type keyJSON struct {
	// Name is primary, standby-1 and so on, or ca for the key that certifies
	// stamping keys.
	Name string `json:"name"`
	// Key is where the key is, absent for a stamping key.
	Key     string `json:"key,omitempty"`
	Subject string `json:"subject"`
	// External says that the key is outside this process.
	External bool `json:"external"`
	// Issues says that requests are answered with this key now.
	Issues bool `json:"issues"`
	Works  bool `json:"works"`
	// Kind and Detail are why it does not sign, Since when; absent while it
	// does.
	Kind   string     `json:"kind,omitempty"`
	Detail string     `json:"detail,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	// Abandoned is how many calls were given up and have not returned.
	Abandoned int64     `json:"abandonedCalls"`
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
}

type nextJSON struct {
	TakesOver time.Time `json:"takesOver"`
	Until     time.Time `json:"until"`
	Subject   string    `json:"subject"`
}

// describeKeys adds the keys to what operators are told.
func (doc *readyJSON) describeKeys(state tsa.State) {
	for _, k := range state.Keys {
		j := keyJSON{Name: k.Name, Key: k.Key, Subject: k.Subject, External: k.External, Issues: k.Issues, Works: k.Err == nil,
			Abandoned: k.Abandoned, From: k.From, Until: k.Until}
		if k.Err != nil {
			since := k.Since.UTC()
			j.Kind, j.Detail, j.Since = string(k.Kind), k.Err.Error(), &since
		}
		doc.Keys = append(doc.Keys, j)
	}
	if n := state.Next; n != nil {
		doc.Next = &nextJSON{TakesOver: n.At.UTC(), Until: n.Until, Subject: n.Subject}
	}
}

// clockJSON is the clock as it is now; the time and the bound are absent while
// they are not known.
type clockJSON struct {
	State        string     `json:"state"`
	Time         *time.Time `json:"time,omitempty"`
	BoundSeconds *float64   `json:"boundSeconds,omitempty"`
	Detail       string     `json:"detail,omitempty"`

	// OffsetSeconds is true time minus that of the clock, absent while it is not
	// known or not measured.
	OffsetSeconds *float64 `json:"offsetSeconds,omitempty"`
	// Agree is how many time servers must agree.
	Agree   int              `json:"agree,omitempty"`
	Servers []timeServerJSON `json:"servers,omitempty"`
}

// timeServerJSON is how a time server is; what was measured is absent if
// nothing was.
type timeServerJSON struct {
	Name          string   `json:"name"`
	Answers       bool     `json:"answers"`
	Agrees        bool     `json:"agrees"`
	Authenticated bool     `json:"authenticated"`
	Stratum       int      `json:"stratum,omitempty"`
	OffsetSeconds *float64 `json:"offsetSeconds,omitempty"`
	ErrorSeconds  *float64 `json:"errorSeconds,omitempty"`
	AgeSeconds    *float64 `json:"ageSeconds,omitempty"`
	Detail        string   `json:"detail,omitempty"` // why it does not answer
}

// describeMonitor adds what the clock is compared with.
func (doc *clockJSON) describeMonitor(s *clock.MonitorStatus) {
	if s == nil {
		return
	}
	doc.Agree = s.Need
	if s.State == clock.StateSynchronised {
		offset := s.Offset.Seconds()
		doc.OffsetSeconds = &offset
	}
	for _, r := range s.References {
		j := timeServerJSON{Name: r.Name, Answers: r.Reachable, Agrees: r.Agrees, Authenticated: r.Authenticated, Stratum: r.Stratum}
		if r.Err != nil {
			j.Detail = r.Err.Error()
		}
		if r.Measured {
			offset, bound, age := r.Offset.Seconds(), r.Error.Seconds(), r.Age.Seconds()
			j.OffsetSeconds, j.ErrorSeconds, j.AgeSeconds = &offset, &bound, &age
		}
		doc.Servers = append(doc.Servers, j)
	}
}

// auditJSON is how the record of issue is.
type auditJSON struct {
	Works  bool   `json:"works"`
	Detail string `json:"detail,omitempty"` // why it does not
	// Record is the number of the last record, Head its hash: who keeps both
	// elsewhere will notice if the end of the record goes missing.
	Record    uint64 `json:"record"`
	Head      string `json:"head"`
	Segment   string `json:"segment"`
	Unstamped int    `json:"unstampedSegments"`
	// StampDetail is why the last stamp was not made.
	StampDetail string `json:"stampDetail,omitempty"`
	// RetainDetail is why what has reached its age is still there.
	RetainDetail string `json:"retainDetail,omitempty"`
}

func (p *Process) describeAudit() *auditJSON {
	t := p.record()
	if t == nil {
		return nil
	}
	s := t.log.State()
	j := &auditJSON{Works: s.Err == nil, Record: s.Seq, Head: s.Head.String(), Segment: s.Segment, Unstamped: s.Unstamped}
	if s.Err != nil {
		j.Detail = s.Err.Error()
	}
	if s.StampErr != nil {
		j.StampDetail = s.StampErr.Error()
	}
	if s.RetainErr != nil {
		j.RetainDetail = s.RetainErr.Error()
	}
	return j
}

// serveReadyDetails tells operators why.
func (s *Server) serveReadyDetails(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	a := s.cfg.TSA.Authority()
	doc := readyJSON{Ready: true, Policy: a.Policy().String(), AccuracySeconds: a.Accuracy().Seconds()}
	doc.Window.From, doc.Window.Until = a.Window()
	doc.describeKeys(s.cfg.TSA.State())
	doc.Clock.describeMonitor(s.process.monitorStatus())
	doc.Audit = s.process.describeAudit()
	status := http.StatusOK
	if err := s.ready(ctx); err != nil {
		status = http.StatusServiceUnavailable
		doc.Ready, doc.Detail, doc.Reason = false, err.Error(), "stopping"
		if !errors.Is(err, errStopping) {
			rejection := tsp.AsRejection(err)
			doc.Reason = rejection.Info.String()
		}
	}
	reading, err := s.cfg.TSA.Clock().Now(ctx)
	now := time.Now()
	if doc.Clock.State = reading.State.String(); err != nil {
		doc.Clock.Detail = err.Error()
	} else {
		now = reading.Time
		seconds := reading.Bound.Seconds()
		doc.Clock.Time, doc.Clock.BoundSeconds = &reading.Time, &seconds
	}
	doc.DaysRemaining = math.Round(doc.Window.Until.Sub(now).Hours()/24*100) / 100
	body, err := cli.MarshalJSON(doc)
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
