package metrics

import (
	"crypto"
	"crypto/x509"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// Route is a path as metrics know it.
type Route int

// The routes. RouteOther is every path that is none of ours.
const (
	RouteOther Route = iota
	RouteTimestamp
	RouteCertChain
	RouteCertChains
	RoutePing
	RouteHealth
	RouteReady
	RouteDocs
	numRoutes
)

// String returns the label; that of RouteOther is the one that dashboards of
// sigstore/timestamp-authority know.
func (r Route) String() string {
	switch r {
	case RouteTimestamp:
		return "/api/v1/timestamp"
	case RouteCertChain:
		return "/api/v1/timestamp/certchain"
	case RouteCertChains:
		return "/api/v1/timestamp/certchains"
	case RoutePing:
		return "/ping"
	case RouteHealth:
		return "/healthz"
	case RouteReady:
		return "/readyz"
	case RouteDocs:
		return "/docs"
	}
	return "unrecognized"
}

const (
	numMethods = 5
	numCodes   = 18
)

// method returns the index of a method and its label.
func method(m string) (int, string) {
	switch m {
	case http.MethodPost:
		return 1, m
	case http.MethodGet:
		return 2, m
	case http.MethodHead:
		return 3, m
	case http.MethodOptions:
		return 4, m
	}
	return 0, "unrecognized"
}

// codeIndex returns the index of a status code, 0 for one that this server
// does not send.
func codeIndex(code int) int {
	switch code {
	case http.StatusOK:
		return 1
	case http.StatusCreated:
		return 2
	case http.StatusNoContent:
		return 3
	case http.StatusMovedPermanently:
		return 4
	case http.StatusNotModified:
		return 5
	case http.StatusBadRequest:
		return 6
	case http.StatusNotFound:
		return 7
	case http.StatusMethodNotAllowed:
		return 8
	case http.StatusRequestTimeout:
		return 9
	case http.StatusRequestEntityTooLarge:
		return 10
	case http.StatusUnsupportedMediaType:
		return 11
	case StatusClientGone:
		return 12
	case http.StatusInternalServerError:
		return 13
	case http.StatusServiceUnavailable:
		return 14
	case http.StatusUnauthorized:
		return 15
	case http.StatusForbidden:
		return 16
	case http.StatusTooManyRequests:
		return 17
	}
	return 0
}

// StatusClientGone stands for an answer that had nobody to go to, as in
// tsphttp.Exchange.
const StatusClientGone = 499

// A series is where one kind of request is counted.
type series struct {
	requests prometheus.Counter
	latency  [3]prometheus.Observer
}

// Request counts a request that was answered.
func (m *Metrics) Request(route Route, methodName string, code int, took time.Duration) {
	mi, label := method(methodName)
	ci := codeIndex(code)
	if route < 0 || route >= numRoutes {
		route = RouteOther
	}
	slot := &m.routes[route][mi][ci]
	s := slot.Load()
	if s == nil {
		// Made when first needed: a summary holds tens of kilobytes, and most
		// combinations never occur.
		codeLabel := "other"
		if ci != 0 {
			codeLabel = strconv.Itoa(code)
		}
		path := route.String()
		s = &series{
			requests: m.c.requests.WithLabelValues(codeLabel, path, label),
			latency: [3]prometheus.Observer{
				m.c.byAPI.WithLabelValues(path, label),
				m.c.latency.WithLabelValues(path, codeLabel),
				m.c.summary.WithLabelValues(path, codeLabel),
			},
		}
		slot.Store(s) // whoever comes at the same time finds the same children
	}
	s.requests.Inc()
	seconds := took.Seconds()
	for _, o := range s.latency {
		o.Observe(seconds)
	}
}

// Exchange is what became of a request for a timestamp, beyond its HTTP
// status: see tsphttp.Exchange.
type Exchange struct {
	Outcome *tsp.Outcome
	Status  int
	Waited  time.Duration
	// HungUp says that there is no answer because the client has gone: that is
	// no refusal.
	HungUp bool
}

// Exchange counts what became of a request for a timestamp.
func (m *Metrics) Exchange(x Exchange) {
	if x.Waited > 0 {
		m.c.queueWait.Observe(x.Waited.Seconds())
	}
	switch r := x.Outcome.Rejection; {
	case x.HungUp:
	case r != nil:
		info := r.Info
		if info < tsp.NoFailureInfo || info > tsp.SystemFailure || m.refused[info+1] == nil {
			info = tsp.NoFailureInfo
		}
		m.refused[info+1].Inc()
	case x.Outcome.Token != nil:
		m.token(x.Outcome)
	case x.Status == http.StatusServiceUnavailable:
		m.c.queueFull.Inc()
	}
	if x.Status == StatusClientGone {
		m.c.disconnects.Inc()
	}
	if x.Outcome.Signing > 0 {
		m.c.signing.Observe(x.Outcome.Signing.Seconds())
	}
}

// issued are the counters of one policy, by hash.
type issued struct {
	policy x509.OID
	hashes [numHashes]prometheus.Counter
}

const numHashes = 7

// hash returns the index of a hash and its label.
func hash(h crypto.Hash) (int, string) {
	switch h {
	case crypto.SHA256:
		return 1, "sha256"
	case crypto.SHA384:
		return 2, "sha384"
	case crypto.SHA512:
		return 3, "sha512"
	case crypto.SHA3_256:
		return 4, "sha3-256"
	case crypto.SHA3_384:
		return 5, "sha3-384"
	case crypto.SHA3_512:
		return 6, "sha3-512"
	}
	return 0, "other"
}

func newIssued(vec *prometheus.CounterVec, policy x509.OID) issued {
	i := issued{policy: policy}
	for _, h := range []crypto.Hash{0, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_384, crypto.SHA3_512} {
		index, label := hash(h)
		if h < crypto.SHA256 || h > crypto.SHA512 {
			continue // only what occurs is shown; see token
		}
		i.hashes[index] = vec.WithLabelValues(label, policy.String())
	}
	return i
}

// maxPolicies is how many policies have series of their own, over all reloads.
// An authority has a handful; a configuration that is generated anew each day
// must not add series for ever.
const maxPolicies = 64

// SetPolicies says under which policies tokens are issued from now on. Those
// that are none any more stay: a counter does not go away.
func (m *Metrics) SetPolicies(policies []x509.OID) {
	m.policies.Lock()
	defer m.policies.Unlock()
	var all []issued
	if known := m.issued.Load(); known != nil {
		all = slices.Clone(*known)
	}
	for _, p := range policies {
		if len(all) < maxPolicies && !slices.ContainsFunc(all, func(i issued) bool { return i.policy.Equal(p) }) {
			all = append(all, newIssued(m.c.tokens, p))
		}
	}
	m.issued.Store(&all)
}

func (m *Metrics) token(out *tsp.Outcome) {
	index, label := hash(out.Imprint.Hash)
	known := *m.issued.Load()
	for i := range known {
		if !known[i].policy.Equal(out.Policy) {
			continue
		}
		if c := known[i].hashes[index]; c != nil {
			c.Inc()
		} else {
			m.c.tokens.WithLabelValues(label, known[i].policy.String()).Inc()
		}
		return
	}
	// A policy that the configuration does not name is not issued under; if it
	// were, it would still not name a series.
	m.c.tokens.WithLabelValues(label, otherLabel).Inc()
}
