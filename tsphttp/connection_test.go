package tsphttp_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// TestClientCredentials has a server redirect to another host, and looks for
// everything that must not follow.
func TestClientCredentials(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	var mu sync.Mutex
	var away, home http.Header
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{Forge: forge})
	if err != nil {
		t.Fatal(err)
	}
	keep := func(to *http.Header) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			*to = r.Header.Clone()
			mu.Unlock()
			tsa.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	thieves := http.NewServeMux()
	thieves.Handle("/", keep(&away))
	thief := httptest.NewServer(thieves)
	defer thief.Close()
	mux.Handle("/home", keep(&home))
	mux.HandleFunc("/to/{where...}", func(w http.ResponseWriter, r *http.Request) {
		target := map[string]string{"home": "/home", "thief": thief.URL, "back": thief.URL + "/back"}[r.PathValue("where")]
		w.Header().Set("Location", target)
		w.WriteHeader(http.StatusPermanentRedirect)
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	thieves.Handle("/back", http.RedirectHandler(srv.URL+"/home", http.StatusTemporaryRedirect))
	withUser := func(path string) string { return strings.Replace(srv.URL, "://", "://user:secret@", 1) + path }
	cfg := tsphttp.ClientConfig{Header: http.Header{"x-api-key": {"secret"}, "Cookie": {"secret=1"}}, UserAgent: "agent/1"}

	for _, u := range []struct {
		url        string
		user       *url.Userinfo
		redirected bool
	}{
		{withUser("/home"), nil, false},
		{srv.URL + "/home", url.UserPassword("user", "secret"), false},
		{withUser("/to/home"), nil, true},
	} {
		cfg.URLs, cfg.User, home = []string{u.url}, u.user, nil
		if _, err := newClient(t, cfg).Stamp(t.Context(), newRequest(t)); err != nil {
			t.Fatal(err)
		}
		secrets := map[string]string{"Authorization": "Basic dXNlcjpzZWNyZXQ=", "X-Api-Key": "secret", "Cookie": "secret=1"}
		for name, want := range secrets {
			if u.redirected {
				want = ""
			}
			if got := home.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", u.url, name, got, want)
			}
		}
		for name, want := range map[string]string{
			"User-Agent": "agent/1", "Content-Type": tsphttp.TypeQuery, "Accept": tsphttp.TypeReply, "Accept-Encoding": "",
		} {
			if got := home.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", u.url, name, got, want)
			}
		}
	}

	cfg.URLs = []string{withUser("/to/thief")}
	if _, err := newClient(t, cfg).Stamp(t.Context(), newRequest(t)); err != nil {
		t.Fatal(err)
	}
	cfg.URLs = []string{withUser("/to/back")}
	if _, err := newClient(t, cfg).Stamp(t.Context(), newRequest(t)); err != nil {
		t.Fatal(err)
	}
	if home.Get("Authorization") != "" || home.Get("X-Api-Key") != "" {
		t.Errorf("another host had the credentials sent: %v", home)
	}
	for name, values := range away {
		if strings.Contains(strings.Join(values, " "), "secret") || name == "Authorization" || name == "Referer" {
			t.Errorf("%s: %q went to another host", name, values)
		}
	}
	if away.Get("User-Agent") != "agent/1" || away.Get("Content-Type") != tsphttp.TypeQuery {
		t.Errorf("header at the other host: %v", away)
	}

	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{{}}}
	if _, err := newClient(t, cfg).Stamp(t.Context(), newRequest(t)); !redirected(err) {
		t.Errorf("with a client certificate: got %v, want a RedirectError", err)
	}
}

func TestClientRedirects(t *testing.T) {
	plain := httptest.NewServer(nil)
	defer plain.Close()
	var status int
	var location string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
	}))
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL}, TLS: &tls.Config{RootCAs: roots}})
	for _, tt := range []struct {
		name, location string
		status         int
	}{
		{"gives up TLS", plain.URL, 307},
		{"other scheme", "file:///etc/passwd", 307},
		{"no host", "https:///x", 307},
		{"no location", "", 308},
		{"malformed", "http://[", 307},
		{"GET by 301", "/x", 301},
		{"GET by 302", "/x", 302},
		{"GET by 303", "/x", 303},
	} {
		status, location = tt.status, tt.location
		_, err := c.Stamp(t.Context(), newRequest(t))
		var r *tsphttp.RedirectError
		if !errors.As(err, &r) || r.Status != tt.status {
			t.Errorf("%s: got %v, want a RedirectError", tt.name, err)
		}
	}
}

// TestClientTLS has a server that is not trusted, and one that wants a
// certificate.
func TestClientTLS(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{Forge: forge})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(tsa)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	own := srv.TLS.Certificates
	for _, tt := range []struct {
		name string
		cfg  *tls.Config
		ok   bool
	}{
		{"both", &tls.Config{RootCAs: roots, Certificates: own}, true},
		{"own CA missing", &tls.Config{Certificates: own}, false},
		{"certificate missing", &tls.Config{RootCAs: roots}, false},
	} {
		_, err := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL}, TLS: tt.cfg, Retries: -1}).Stamp(t.Context(), newRequest(t))
		if (err == nil) != tt.ok || err != nil && !connection(err) {
			t.Errorf("%s: got %v, want acceptance: %v", tt.name, err, tt.ok)
		}
	}
}

// TestClientPath shows that the path of a URL is kept.
func TestClientPath(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{Forge: forge})
	for suffix, want := range map[string]string{
		"": "/api/v1/timestamp", "/": "/", "/tsr": "/tsr", "/a%2Fb/": "/a/b/", "?x=y": "/api/v1/timestamp",
	} {
		if _, err := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL + suffix}}).Stamp(t.Context(), newRequest(t)); err != nil {
			t.Fatal(err)
		}
		seen := tsa.Exchanges()
		if got := seen[len(seen)-1].Path; got != want {
			t.Errorf("%q: asked at %q, want %q", suffix, got, want)
		}
	}
	lost := httptest.NewServer(http.NotFoundHandler())
	defer lost.Close()
	_, err := newClient(t, tsphttp.ClientConfig{URLs: []string{lost.URL}}).Stamp(t.Context(), newRequest(t))
	if !is(func(e *tsphttp.StatusError) bool {
		return e.Code == 404 && e.Message == "404 page not found" && e.Hint != ""
	})(err) {
		t.Errorf("got %v, want a hint about the path", err)
	}
}

// TestClientPeerErrors reads the error pages of other servers.
func TestClientPeerErrors(t *testing.T) {
	refusal := tsp.Reject(tsp.UnacceptedPolicy, "not offered").Marshal()
	for _, tt := range []struct {
		name, mediaType, body, want string
		rejection                   bool
	}{
		{"JSON as a reply", "application/timestamp-reply", `{"code":400,"message":"timestamp request is too large"}`, "timestamp request is too large", false},
		{"JSON with detail", "application/json", `{"code":400,"message":"a","detail":"b"}`, "a: b", false},
		{"refusal", "application/timestamp-reply", string(refusal), "", true},
		{"text", "text/plain; charset=utf-8", "go away\nnow", "go away", false},
		{"terminal commands", "text/plain", "\x1b[2J\x9bevil\xff", "[2J?evil?", false},
		{"long text", "text/plain", strings.Repeat("ö", 10_000), strings.Repeat("ö", 150) + "...", false},
		{"web page", "text/html", "<p>", "", false},
		{"other JSON", "application/json", `{"message":7}`, "", false},
		{"nothing", "", "", "", false},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{tt.mediaType}
			w.WriteHeader(400)
			w.Write([]byte(tt.body))
		}))
		_, err := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL}}).Stamp(t.Context(), newRequest(t))
		srv.Close()
		var e *tsphttp.StatusError
		if !errors.As(err, &e) || e.Message != tt.want || errors.Is(err, tsp.UnacceptedPolicy) != tt.rejection {
			t.Errorf("%s: got %v, want message %q", tt.name, err, tt.want)
		}
	}
}
