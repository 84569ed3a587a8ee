package serve

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// good is a reading that lets everything pass.
func good() clock.Step {
	return clock.Step{Reading: clock.Reading{Time: tsptest.Time(), Bound: 10 * time.Millisecond, State: clock.StateSynchronised}}
}

// bench is a server in parts that a test can bend.
type bench struct {
	config    Config
	authority authority.Config
	clock     *clock.Script
	log       *lockedBuffer
}

// lockedBuffer is a buffer that may be written and read at the same time.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newServer returns a server on a test chain, whose clock stands at
// tsptest.Time, with a log of everything.
func newServer(t testing.TB, change func(*bench)) (*Server, *bench) {
	t.Helper()
	policy, err := x509.ParseOID(tsptest.PolicyOID)
	if err != nil {
		t.Fatal(err)
	}
	chain := pkitest.TSA(t, pkitest.Options{})
	key, err := signer.New(chain.LeafKey)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{clock: clock.NewScript(good()), log: new(lockedBuffer)}
	b.authority = authority.Config{Signer: key, Chain: chain.Certificates(), Clock: b.clock, Policy: policy}
	b.config = Config{
		Listeners: []Listener{{Address: "127.0.0.1:0"}},
		Log:       slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Build:     cli.Build{Version: "test"},
	}
	if change != nil {
		change(b)
	}
	a, err := authority.New(b.authority)
	if err != nil {
		t.Fatal(err)
	}
	b.config.TSA, err = tsa.New(t.Context(), tsa.Config{Units: []tsa.Unit{{Authority: a}}, Clock: b.clock, Policies: []x509.OID{policy}, Log: b.config.Log})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

// start runs a server until the test ends and returns where it listens.
func start(t testing.TB, change func(*bench)) (Addresses, *bench) {
	t.Helper()
	listening := make(chan Addresses, 1)
	s, b := newServer(t, func(b *bench) {
		b.config.Listening = func(a Addresses) { listening <- a }
		if change != nil {
			change(b)
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	select {
	case a := <-listening:
		return a, b
	case err := <-done:
		t.Fatalf("Run: %v", err)
		panic("unreachable")
	}
}

func query() io.Reader { return bytes.NewReader(tsptest.RequestDER()) }

// post asks a handler for a timestamp.
func post(h http.Handler, target string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, body)
	r.Header.Set("Content-Type", tsphttp.TypeQuery)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// records returns the records of a log with the given message.
func records(t testing.TB, log *lockedBuffer, msg string) []map[string]any {
	t.Helper()
	var out []map[string]any
	dec := json.NewDecoder(strings.NewReader(log.String()))
	for dec.More() {
		var rec map[string]any
		if err := dec.Decode(&rec); err != nil {
			t.Fatal(err)
		}
		if rec["msg"] == msg {
			out = append(out, rec)
		}
	}
	return out
}

// TestRequests sends every request vector over a real connection.
func TestRequests(t *testing.T) {
	at, _ := start(t, nil)
	for _, v := range tsptest.Requests() {
		t.Run(v.Name, func(t *testing.T) {
			resp, err := http.Post(at.Public[0]+PathTimestamp, tsphttp.TypeQuery, bytes.NewReader(v.DER))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != tsphttp.TypeReply {
				t.Fatalf("%d %s, %v", resp.StatusCode, resp.Header.Get("Content-Type"), err)
			}
			reply, err := tsp.ParseResponse(body)
			if err != nil {
				t.Fatal(err)
			}
			got := tsptest.Granted
			if reply.Rejection != nil {
				got = reply.Rejection.Info
			}
			if got != v.Answer {
				t.Errorf("%v, want %v", got, v.Answer)
			}
		})
	}
}

// TestHTTP is the table of what HTTP answers, over a real connection.
func TestHTTP(t *testing.T) {
	at, _ := start(t, nil)
	long := "/" + strings.Repeat("x", 5000)
	for _, test := range []struct {
		name, method, path string
		header             string
		status             int
		mediaType          string
		body               string // "": not looked at
	}{
		{"timestamp", "POST", "/api/v1/timestamp", "Content-Type: application/timestamp-query", 200, tsphttp.TypeReply, ""},
		{"timestamp with a slash", "POST", "/api/v1/timestamp/", "Content-Type: application/timestamp-query", 200, tsphttp.TypeReply, ""},
		{"timestamp in capitals", "POST", "/API/v1/timestamp", "Content-Type: application/timestamp-query", 404, "application/json", ""},
		{"no media type", "POST", "/api/v1/timestamp", "", 415, "application/json", ""},
		{"accept json", "POST", "/api/v1/timestamp", "Content-Type: application/timestamp-query\nAccept: application/json", 200, tsphttp.TypeReply, ""},
		{"accept html", "POST", "/api/v1/timestamp", "Content-Type: application/timestamp-query\nAccept: text/html", 200, tsphttp.TypeReply, ""},
		{"GET timestamp", "GET", "/api/v1/timestamp", "", 405, "application/json", `{"code":405,"message":"method GET is not allowed, but [POST] are"}` + "\n"},
		{"HEAD timestamp", "HEAD", "/api/v1/timestamp", "", 405, "application/json", ""},
		{"PUT timestamp", "PUT", "/api/v1/timestamp", "", 405, "application/json", ""},
		{"OPTIONS timestamp", "OPTIONS", "/api/v1/timestamp", "", 204, "", ""},
		{"POST root", "POST", "/", "", 404, "application/json", `{"code":404,"message":"path / was not found"}` + "\n"},
		{"certchain", "GET", "/api/v1/timestamp/certchain", "", 200, "application/pem-certificate-chain", ""},
		{"certchain accept json", "GET", "/api/v1/timestamp/certchain", "Accept: application/json", 200, "application/pem-certificate-chain", ""},
		{"certchain range", "GET", "/api/v1/timestamp/certchain", "Range: bytes=5-9", 200, "application/pem-certificate-chain", ""},
		{"HEAD certchain", "HEAD", "/api/v1/timestamp/certchain", "", 200, "application/pem-certificate-chain", ""},
		{"POST certchain", "POST", "/api/v1/timestamp/certchain", "", 405, "application/json", `{"code":405,"message":"method POST is not allowed, but [GET,HEAD] are"}` + "\n"},
		{"certchains", "GET", "/api/v1/timestamp/certchains", "", 200, "application/json", ""},
		{"ping", "GET", "/ping", "", 200, "text/plain; charset=utf-8", "."},
		{"PING", "GET", "/PiNG", "", 200, "text/plain; charset=utf-8", "."},
		{"HEAD ping", "HEAD", "/ping", "", 200, "text/plain; charset=utf-8", ""},
		{"POST ping", "POST", "/ping", "", 405, "application/json", ""},
		{"healthz", "GET", "/healthz", "", 200, "text/plain; charset=utf-8", "ok\n"},
		{"readyz", "GET", "/readyz", "", 200, "text/plain; charset=utf-8", "ready\n"},
		{"openapi", "GET", "/openapi.json", "", 200, "application/json", ""},
		{"docs", "GET", "/docs", "", 200, "text/html; charset=utf-8", ""},
		{"swagger", "GET", "/swagger.json", "", 301, "text/html; charset=utf-8", ""},
		{"metrics", "GET", "/metrics", "", 404, "application/json", `{"code":404,"message":"path /metrics was not found"}` + "\n"},
		{"pprof", "GET", "/debug/pprof/", "", 404, "application/json", ""},
		{"unknown", "GET", "/nope?secret=1", "", 404, "application/json", `{"code":404,"message":"path /nope was not found"}` + "\n"},
		{"long", "GET", long, "", 404, "application/json", `{"code":404,"message":"path ` + long[:maxLogged] + `... was not found"}` + "\n"},
		{"quotes", "GET", "/%22%0a%ff", "", 404, "application/json", "{\"code\":404,\"message\":\"path /\\\"\\n\\ufffd was not found\"}\n"},
		{"unknown method", "BREW", "/ping", "", 405, "application/json", ""},
		{"dots", "GET", "/x/../ping", "", 404, "application/json", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var body io.Reader
			if test.method == "POST" {
				body = query()
			}
			req, err := http.NewRequest(test.method, at.Public[0]+test.path, body)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(test.header) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				req.Header.Set(name, value)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status || resp.Header.Get("Content-Type") != test.mediaType {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, resp.Header.Get("Content-Type"), test.status, test.mediaType)
			}
			if test.body != "" && string(got) != test.body {
				t.Errorf("body %q, want %q", got, test.body)
			}
			if len(got) == 0 && test.method != "HEAD" && resp.StatusCode != 204 {
				t.Error("no body")
			}
			if (resp.StatusCode == 405) != (resp.Header.Get("Allow") != "") && test.method != "OPTIONS" {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
			if resp.Header.Get("X-Request-Id") == "" || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("header %v", resp.Header)
			}
		})
	}
}

func TestSize(t *testing.T) {
	s, _ := newServer(t, func(b *bench) { b.config.MaxRequest = 500 })
	if w := post(s, PathTimestamp, strings.NewReader(strings.Repeat("x", 501))); w.Code != 413 {
		t.Errorf("a body above the limit: %d %s", w.Code, w.Body)
	}
	if w := post(s, PathTimestamp, strings.NewReader(strings.Repeat("x", 500))); w.Code != 200 {
		t.Errorf("a body at the limit: %d %s", w.Code, w.Body)
	}
}

func TestSwitches(t *testing.T) {
	s, _ := newServer(t, func(b *bench) {
		b.config.Created, b.config.Refusals, b.config.CORS = true, tsphttp.RefusalJSON, CORSNone
		b.config.RequestIDHeader = "x-trace"
	})
	w := post(s, PathTimestamp, query(), "X-Trace: abc")
	if w.Code != 201 || w.Header().Get("X-Trace") != "abc" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := post(s, PathTimestamp, strings.NewReader("x")); w.Code != 400 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("a refusal in JSON: %d %v", w.Code, w.Header())
	}
}

func TestCORSPreflight(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, path := range []string{PathTimestamp, PathCertChain, "/nope"} {
		r := httptest.NewRequest("OPTIONS", path, nil)
		r.Header.Set("Origin", "https://example.org")
		r.Header.Set("Access-Control-Request-Method", "POST")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		h := w.Header()
		if w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Methods") != "GET, HEAD, POST" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "Content-Type") || h.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, w.Code, h)
		}
	}
}

func TestReady(t *testing.T) {
	s, b := newServer(t, nil)
	get := func(h http.Handler, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	details := func() (int, readyJSON) {
		w := get(s.Admin(), PathReady)
		var doc readyJSON
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		return w.Code, doc
	}
	if code, doc := details(); code != 200 || !doc.Ready || doc.Clock.State != "synchronised" || *doc.Clock.BoundSeconds != 0.01 || doc.Policy != tsptest.PolicyOID {
		t.Errorf("ready: %d %+v", code, doc)
	}
	for _, test := range []struct {
		name, reason, detail string
		step                 clock.Step
	}{
		{"no time", "timeNotAvailable", "servers do not answer", clock.Step{Err: errors.New("servers do not answer")}},
		{"bound too large", "timeNotAvailable", "", clock.Step{Reading: clock.Reading{Time: tsptest.Time(), Bound: time.Minute, State: clock.StateSynchronised}}},
		{"certificate expired", "systemFailure", "", clock.Step{Reading: clock.Reading{Time: pkitest.NotAfter().Add(time.Hour), Bound: time.Millisecond, State: clock.StateSynchronised}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b.clock.Replace(test.step)
			if w := get(s, PathReady); w.Code != 503 || w.Body.String() != "not ready\n" {
				t.Errorf("the public is told %d %q", w.Code, w.Body)
			}
			if code, doc := details(); code != 503 || doc.Ready || doc.Reason != test.reason || !strings.Contains(doc.Detail+doc.Clock.Detail, test.detail) {
				t.Errorf("operators are told %d %+v", code, doc)
			}
			if w := get(s, PathHealth); w.Code != 200 {
				t.Errorf("healthz: %d", w.Code)
			}
			reply, err := tsp.ParseResponse(post(s, PathTimestamp, query()).Body.Bytes())
			if err != nil || reply.Rejection == nil || reply.Rejection.Info.String() != test.reason {
				t.Errorf("a request gets %+v, %v", reply, err)
			}
		})
	}
	s2, _ := newServer(t, nil)
	s2.stopping.Store(true)
	if w := get(s2, PathReady); w.Code != 503 {
		t.Errorf("readyz of a server that stops: %d", w.Code)
	}
}

// slowSigner signs when it is let.
type slowSigner struct {
	authority.Signer
	started chan struct{}
	proceed chan struct{}
}

func (s *slowSigner) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	select {
	case <-s.proceed:
	default:
		s.started <- struct{}{}
		select {
		case <-s.proceed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.Signer.Sign(ctx, digest, opts)
}

// slow makes the signer of a bench slow after the test signature of New.
func slow(b *bench) *slowSigner {
	s := &slowSigner{Signer: b.authority.Signer, started: make(chan struct{}, 10), proceed: make(chan struct{}, 1)}
	s.proceed <- struct{}{}
	b.authority.Signer = s
	return s
}

func TestShutdownDrains(t *testing.T) {
	var signs *slowSigner
	listening := make(chan Addresses, 1)
	s, _ := newServer(t, func(b *bench) {
		signs = slow(b)
		b.config.Listening = func(a Addresses) { listening <- a }
	})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	url := (<-listening).Public[0]
	answered := make(chan error, 1)
	go func() {
		resp, err := http.Post(url+PathTimestamp, tsphttp.TypeQuery, query())
		if err == nil {
			defer resp.Body.Close()
			var body []byte
			if body, err = io.ReadAll(resp.Body); err == nil {
				var reply *tsp.Response
				if reply, err = tsp.ParseResponse(body); err == nil && reply.Token == nil {
					err = reply.Rejection
				}
			}
		}
		answered <- err
	}()
	<-signs.started
	stop()
	// New connections are refused while the old request is still being answered.
	for i := 0; ; i++ {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
		if i > 1000 {
			t.Fatal("connections are still accepted")
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-stopped:
		t.Fatalf("Run returned %v before the request was answered", err)
	default:
	}
	close(signs.proceed)
	if err := <-answered; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	var signs *slowSigner
	listening := make(chan Addresses, 1)
	s, _ := newServer(t, func(b *bench) {
		signs = slow(b)
		b.config.ShutdownTimeout = 50 * time.Millisecond
		b.config.Listening = func(a Addresses) { listening <- a }
	})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- s.Run(ctx) }()
	go func() {
		if resp, err := http.Post((<-listening).Public[0]+PathTimestamp, tsphttp.TypeQuery, query()); err == nil {
			resp.Body.Close()
		}
	}()
	<-signs.started
	stop()
	select {
	case err := <-stopped:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a request that never ends keeps the server")
	}
}

func TestListenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		name string
		l    Listener
		hint string
	}{
		{"in use", Listener{Address: taken.Addr().String(), Flag: "--listen"}, "another program listens there: stop it, or choose another address with --listen"},
		{"not ours", Listener{Address: "192.0.2.1:0"}, "this machine does not have that address: choose another"},
		{"no such folder", Listener{Network: "unix", Address: filepath.Join(t.TempDir(), "no", "sock")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newServer(t, func(b *bench) { b.config.Listeners = append(b.config.Listeners, test.l) })
			err := s.Run(t.Context())
			var ce *cli.Error
			hint := ""
			if errors.As(err, &ce) {
				hint = ce.Hint
			}
			if err == nil || hint != test.hint || strings.Contains(err.Error(), "\n") {
				t.Errorf("Run = %v, hint %q, want %q", err, hint, test.hint)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	s, _ := newServer(t, nil)
	for name, cfg := range map[string]Config{
		"no listener": {TSA: s.cfg.TSA},
		"no TSA":      {Listeners: []Listener{{}}},
		"bad limit":   {TSA: s.cfg.TSA, Listeners: []Listener{{}}, MaxRequest: -1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
