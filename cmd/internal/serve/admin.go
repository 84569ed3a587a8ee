package serve

import (
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
)

// Admin is the administrative interface: metrics, health, the details of
// readiness, profiles. It is for operators, and asks nobody who they are.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET "+PathHealth, func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET "+PathReady, s.serveReadyDetails)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "/metrics\n/healthz\n/readyz\n/debug/pprof/\n")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page in the operator's browser must not be able to ask for a
		// profile: neither from a foreign origin, nor by a name of its own that
		// it lets resolve to this address.
		site := r.Header.Get("Sec-Fetch-Site")
		if site != "" && site != "none" && site != "same-origin" || rebound(r) {
			s.refuse(w, r, http.StatusForbidden, "requests from other sites are not answered here")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// rebound says that a request came to a loopback address under a name that is
// not this machine's name for itself.
func rebound(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.Trim(r.Host, "[]") // there is no port
	}
	if host == "" || strings.EqualFold(host, "localhost") {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err != nil
}
