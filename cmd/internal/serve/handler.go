package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/metrics"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// The paths of the public interface.
const (
	PathTimestamp  = "/api/v1/timestamp"
	PathCertChain  = "/api/v1/timestamp/certchain"
	PathCertChains = "/api/v1/timestamp/certchains"
	PathPing       = "/ping"
	PathHealth     = "/healthz"
	PathReady      = "/readyz"
	PathOpenAPI    = "/openapi.json"
	PathDocs       = "/docs"
	// pathSwagger is where sigstore/timestamp-authority has its description.
	pathSwagger = "/swagger.json"
)

// route finds what a path means. A slash at the end does not matter, nor does
// the case of /ping: that is how the server of sigstore/timestamp-authority
// has it.
func route(path string) (metrics.Route, string) {
	switch path { // as nearly everybody writes it
	case PathTimestamp:
		return metrics.RouteTimestamp, PathTimestamp
	case PathPing:
		return metrics.RoutePing, PathPing
	}
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	switch path {
	case PathTimestamp:
		return metrics.RouteTimestamp, PathTimestamp
	case PathCertChain:
		return metrics.RouteCertChain, PathCertChain
	case PathCertChains:
		return metrics.RouteCertChains, PathCertChains
	case PathHealth:
		return metrics.RouteHealth, PathHealth
	case PathReady:
		return metrics.RouteReady, PathReady
	case PathOpenAPI:
		return metrics.RouteDocs, PathOpenAPI
	case PathDocs:
		return metrics.RouteDocs, PathDocs
	case pathSwagger:
		return metrics.RouteDocs, pathSwagger
	}
	if len(path) == len(PathPing) && strings.EqualFold(path, PathPing) {
		return metrics.RoutePing, PathPing
	}
	return metrics.RouteOther, ""
}

// Header values that are the same in every answer; net/http only reads them.
var (
	anyOrigin   = []string{"*"}
	corsMethods = []string{"GET, HEAD, POST"}
	corsHeaders = []string{"Accept, Content-Type, Origin, X-Requested-With, X-Request-Id"}
	corsMaxAge  = []string{"600"}
	noStore     = []string{"no-store"}
	textType    = []string{"text/plain; charset=utf-8"}
	jsonType    = []string{"application/json"}
	allowRead   = []string{"GET, HEAD"}
	allowPost   = []string{"POST"}
)

// An answer is the writer of one response: it knows whether and what has been
// written, for the log and for what is left to say after a panic.
type answer struct {
	http.ResponseWriter
	status, size int
	start        time.Time
}

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.size += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ServeHTTP is the public interface.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := &answer{ResponseWriter: w}
	kind, path := route(r.URL.Path)
	defer func() {
		if v := recover(); v != nil {
			s.recovered(a, r, kind, v)
		}
	}()
	header := w.Header()
	header[s.idHeader] = s.identify(r.Header)
	if s.cfg.CORS == CORSAny {
		header["Access-Control-Allow-Origin"] = anyOrigin
		if r.Method == http.MethodOptions && len(r.Header["Access-Control-Request-Method"]) > 0 {
			a.start = time.Now()
			header["Access-Control-Allow-Methods"] = corsMethods
			header["Access-Control-Allow-Headers"] = corsHeaders
			header["Access-Control-Max-Age"] = corsMaxAge
			a.WriteHeader(http.StatusNoContent)
			s.done(a, r, kind)
			return
		}
	}
	if kind == metrics.RouteTimestamp && r.Method != http.MethodOptions {
		if s.asks.Load() {
			a.start = time.Now()
			known, ok := s.admit(a, r)
			if !ok {
				s.done(a, known, kind)
				return
			}
			r = known
		}
		s.metrics.Begin()
		defer s.metrics.End()
		s.stamp.ServeHTTP(a, r) // and observe counts and logs it
		return
	}
	a.start = time.Now()
	s.other(a, r, path)
	s.done(a, r, kind)
}

// other answers all that is not a request for a timestamp.
func (s *Server) other(w http.ResponseWriter, r *http.Request, path string) {
	switch {
	case path == "":
		s.refuse(w, r, http.StatusNotFound, fmt.Sprintf("path %s was not found", clip(r.URL.Path)))
		return
	case r.Method == http.MethodOptions:
		w.Header()["Allow"] = allowRead
		if path == PathTimestamp {
			w.Header()["Allow"] = allowPost
		}
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header()["Allow"] = allowRead
		s.refuse(w, r, http.StatusMethodNotAllowed, fmt.Sprintf("method %s is not allowed, but [GET,HEAD] are", clip(r.Method)))
		return
	}
	switch path {
	case PathCertChain, PathCertChains:
		s.serveChains(w, r, path)
	case PathPing:
		plain(w, http.StatusOK, ".")
	case PathHealth:
		plain(w, http.StatusOK, "ok\n")
	case PathReady:
		s.serveReady(w, r)
	case PathOpenAPI:
		s.documents.openAPI.ServeHTTP(w, r)
	case PathDocs:
		s.documents.docs.ServeHTTP(w, r)
	case pathSwagger:
		http.Redirect(w, r, PathOpenAPI, http.StatusMovedPermanently)
	}
}

// pingOnly answers /ping and says that there is nothing else.
func (s *Server) pingOnly() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind, _ := route(r.URL.Path); kind == metrics.RoutePing {
			s.ServeHTTP(w, r)
			return
		}
		a := &answer{ResponseWriter: w, start: time.Now()}
		w.Header()[s.idHeader] = s.identify(r.Header)
		plain(a, http.StatusNotFound, "http server supports only the /ping entrypoint\n")
		s.done(a, r, metrics.RouteOther)
	})
}

// plain answers with a line of text that is true only now.
func plain(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	h["Content-Type"] = textType
	h["Cache-Control"] = noStore
	w.WriteHeader(status)
	w.Write([]byte(text)) // net/http drops it for HEAD
}

// errorJSON is what clients of sigstore/timestamp-authority expect of an error.
type errorJSON struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// refuse answers with an error of HTTP.
func (s *Server) refuse(w http.ResponseWriter, _ *http.Request, status int, text string) {
	body, err := json.Marshal(errorJSON{status, text})
	if err != nil { // a number and a text always can
		body = []byte("{}")
	}
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Cache-Control"] = noStore
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// recovered answers, logs and counts a fault of this program.
func (s *Server) recovered(a *answer, r *http.Request, kind metrics.Route, v any) {
	if v == http.ErrAbortHandler {
		panic(v) // not a fault: the answer is not to be completed
	}
	s.metrics.Panic()
	s.logPanic(r, v, debug.Stack())
	if a.status != 0 {
		// Part of an answer is out. A connection that ends says that it is not
		// all of it.
		panic(http.ErrAbortHandler)
	}
	if kind == metrics.RouteTimestamp && s.cfg.Refusals == tsphttp.RefusalRFC3161 && !strings.HasPrefix(r.Header.Get("Content-Type"), tsphttp.TypeJSON) {
		reply := tsp.AsRejection(fmt.Errorf("panic: %v", v)).Marshal()
		a.Header()["Content-Type"] = []string{tsphttp.TypeReply}
		a.Header()["Cache-Control"] = noStore
		a.WriteHeader(http.StatusOK)
		a.Write(reply)
	} else {
		s.refuse(a, r, http.StatusInternalServerError, "Internal Server Error")
	}
	s.done(a, r, kind)
}
