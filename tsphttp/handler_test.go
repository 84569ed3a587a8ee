package tsphttp

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// A responder is a Responder made of a function.
type responder func(ctx context.Context, request []byte) ([]byte, tsp.Outcome)

func (f responder) Respond(ctx context.Context, request []byte) ([]byte, tsp.Outcome) {
	return f(ctx, request)
}

// cannedReply stands for a TimeStampResp where nobody reads it.
var cannedReply = bytes.Repeat([]byte("reply"), 230)

// parsing refuses what tsp refuses and grants the rest with cannedReply. It
// keeps the last request.
type parsing struct{ last atomic.Pointer[tsp.Request] }

func (p *parsing) Respond(_ context.Context, request []byte) ([]byte, tsp.Outcome) {
	req, err := tsp.ParseRequest(request)
	if err != nil {
		r := tsp.AsRejection(err)
		return r.Marshal(), tsp.Outcome{Rejection: r}
	}
	p.last.Store(req)
	return cannedReply, tsp.Outcome{Imprint: req.Imprint, Token: cannedReply}
}

// refusing refuses everything in the same way.
func refusing(r *tsp.Rejection, m tsp.Imprint) responder {
	return func(context.Context, []byte) ([]byte, tsp.Outcome) {
		return r.Marshal(), tsp.Outcome{Rejection: r, Imprint: m}
	}
}

func newHandler(t testing.TB, cfg HandlerConfig) *Handler {
	t.Helper()
	if cfg.Responder == nil {
		cfg.Responder = &parsing{}
	}
	h, err := NewHandler(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func requestDER(t testing.TB) []byte {
	t.Helper()
	m, err := tsp.NewImprint(crypto.SHA256, bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	out, err := tsp.NewRequest(m).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// post returns a request with a body and headers "Name: value".
func post(body []byte, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/timestamp", bytes.NewReader(body))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const documented = `{"artifactHash":"n4bQgYhMfWWaL-qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=","certificates":true,` +
	`"hashAlgorithm":"sha256","nonce":1123343434,"tsaPolicyOID":"1.3.6.1.4.1.57264.2"}`

func TestHandlerHTTP(t *testing.T) {
	query := requestDER(t)
	long := strings.Repeat("a", 1<<20)
	tests := []struct {
		name     string
		request  *http.Request
		status   int
		typ      string
		contains string
	}{
		{"DER", post(query, "Content-Type: application/timestamp-query"), 200, TypeReply, "reply"},
		{"media type in capitals", post(query, "Content-Type: APPLICATION/TIMESTAMP-QUERY"), 200, TypeReply, "reply"},
		{"media type with parameter", post(query, "Content-Type: application/timestamp-query; charset=utf-8"), 200, TypeReply, "reply"},
		{"JSON", post([]byte(documented), "Content-Type: application/json"), 200, TypeReply, "reply"},
		{"JSON with charset", post([]byte(documented), "Content-Type: Application/JSON; charset=UTF-8"), 200, TypeReply, "reply"},
		{"no media type", post(query), 415, TypeJSON, "application/octet-stream"},
		{"text", post(query, "Content-Type: text/plain"), 415, TypeJSON, `unsupported media type \"text/plain\", only [application/timestamp-query application/json] are allowed`},
		{"malformed media type", post(query, "Content-Type: a/b/c;"), 415, TypeJSON, "a/b/c"},
		{"two media types", post(query, "Content-Type: application/timestamp-query", "Content-Type: application/json"), 415, TypeJSON, ""},
		{"giant parameter", post(query, "Content-Type: application/timestamp-query; a="+long), 415, TypeJSON, ""},
		{"many parameters", post(query, "Content-Type: application/timestamp-query"+strings.Repeat("; a=b", 50_000)), 415, TypeJSON, ""},
		{"hostile media type", post(query, "Content-Type: \"\\\x01\xff<script>"), 415, TypeJSON, ""},
		{"identity", post(query, "Content-Type: application/timestamp-query", "Content-Encoding: identity"), 200, TypeReply, "reply"},
		{"gzip", post(query, "Content-Type: application/timestamp-query", "Content-Encoding: gzip"), 415, TypeJSON, "content codings"},
		{"GET", httptest.NewRequest("GET", "/", nil), 405, TypeJSON, "method GET is not allowed, but [POST] are"},
		{"HEAD", httptest.NewRequest("HEAD", "/", nil), 405, TypeJSON, ""},
		{"PUT", httptest.NewRequest("PUT", "/", bytes.NewReader(query)), 405, TypeJSON, ""},
		{"unknown method", httptest.NewRequest(strings.Repeat("X", 1000), "/", nil), 405, TypeJSON, "XXX..."},
		{"announced too long", post(make([]byte, 1<<20+1), "Content-Type: application/timestamp-query"), 413, TypeJSON, "timestamp request is too large"},
		{"chunked too long", chunked(make([]byte, 1<<20+1), "application/timestamp-query"), 413, TypeJSON, "timestamp request is too large"},
		{"announced too long JSON", post(make([]byte, 1025), "Content-Type: application/json"), 400, TypeJSON, `{"code":400,"message":"timestamp request is too large"}`},
		{"chunked too long JSON", chunked(make([]byte, 1025), "application/json"), 400, TypeJSON, "timestamp request is too large"},
		{"chunked", chunked(query, "application/timestamp-query"), 200, TypeReply, "reply"},
		{"zeros up to the limit", post(make([]byte, 1<<20), "Content-Type: application/timestamp-query"), 200, TypeReply, "not a DER TimeStampReq"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen []Exchange
			h := newHandler(t, HandlerConfig{Observe: func(_ *http.Request, x Exchange) { seen = append(seen, x) }})
			w := serve(h, tt.request)
			if w.Code != tt.status || w.Header().Get("Content-Type") != tt.typ {
				t.Errorf("answer is %d %s, want %d %s", w.Code, w.Header().Get("Content-Type"), tt.status, tt.typ)
			}
			if !strings.Contains(w.Body.String(), tt.contains) || w.Body.Len() == 0 {
				t.Errorf("body is %q, want %q in it", w.Body, tt.contains)
			}
			if w.Body.Len() > 4096 {
				t.Errorf("body has %d bytes", w.Body.Len())
			}
			if tt.typ == TypeJSON && !json.Valid(w.Body.Bytes()) {
				t.Errorf("body is not JSON: %q", w.Body)
			}
			if (w.Header().Get("Allow") == "POST") != (tt.status == 405) {
				t.Errorf("Allow is %q with status %d", w.Header().Get("Allow"), w.Code)
			}
			checkHeaders(t, w)
			if len(seen) != 1 || seen[0].Status != w.Code || seen[0].ReplySize != w.Body.Len() || (seen[0].Err != nil) != (w.Code >= 400) {
				t.Errorf("observed %+v", seen)
			}
		})
	}
}

// chunked returns a request that does not announce its length.
func chunked(body []byte, mediaType string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(bytes.NewReader(body)))
	r.Header.Set("Content-Type", mediaType)
	return r
}

func checkHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control":   "no-cache, no-store, no-transform, must-revalidate, private, max-age=0",
		"Pragma":          "no-cache",
		"Expires":         "Thu, 01 Jan 1970 00:00:00 GMT",
		"X-Accel-Expires": "0",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// TestHandlerMemory shows that a body is not taken at its word (A14).
func TestHandlerMemory(t *testing.T) {
	h := newHandler(t, HandlerConfig{})
	allocated := func(size int) uint64 {
		r := testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := post(make([]byte, size), "Content-Type: application/timestamp-query")
				h.ServeHTTP(discard{http.Header{}}, r)
			}
		})
		return uint64(r.AllocedBytesPerOp())
	}
	const limit = DefaultMaxRequest
	if got := allocated(limit); got > 6*limit {
		t.Errorf("a body of %d bytes costs %d bytes", limit, got)
	}
	if got := allocated(10 * limit); got > 10*limit+64<<10 {
		t.Errorf("a body over the limit costs %d bytes besides itself", got-10*limit)
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func TestHandlerRefusals(t *testing.T) {
	query := requestDER(t)
	sha1 := tsp.Imprint{Hash: crypto.SHA1}
	tests := []struct {
		name      string
		responder Responder
		body      []byte
		info      tsp.FailureInfo
		status    int
		message   string
	}{
		{"empty", nil, nil, tsp.BadDataFormat, 400, messageGeneric},
		{"zeros", nil, make([]byte, 100), tsp.BadDataFormat, 400, messageGeneric},
		{"trailing bytes", nil, append(bytes.Clone(query), 0), tsp.BadDataFormat, 400, messageGeneric},
		{"SHA-1", refusing(tsp.Reject(tsp.BadAlg, "no"), sha1), query, tsp.BadAlg, 400, messageWeakHash},
		{"MD5", refusing(tsp.Reject(tsp.BadAlg, "no"), tsp.Imprint{Hash: crypto.MD5}), query, tsp.BadAlg, 400, messageGeneric},
		{"wrong length", nil, shorten(t, query), tsp.BadDataFormat, 400, messageLength},
		{"policy", refusing(tsp.Reject(tsp.UnacceptedPolicy, "no"), tsp.Imprint{}), query, tsp.UnacceptedPolicy, 400, messagePolicy},
		{"extension", refusing(tsp.Reject(tsp.UnacceptedExtension, "no"), tsp.Imprint{}), query, tsp.UnacceptedExtension, 400, messageExtension},
		{"clock", refusing(tsp.Reject(tsp.TimeNotAvailable, "no"), tsp.Imprint{}), query, tsp.TimeNotAvailable, 503, messageGeneric},
		{"signer", refusing(tsp.AsRejection(errors.New("secret")), tsp.Imprint{}), query, tsp.SystemFailure, 500, messageGeneric},
		{"panic", responder(func(context.Context, []byte) ([]byte, tsp.Outcome) { panic("secret") }), query, tsp.SystemFailure, 500, messageGeneric},
		{"no answer", responder(func(context.Context, []byte) ([]byte, tsp.Outcome) { return nil, tsp.Outcome{} }), query, tsp.SystemFailure, 500, messageGeneric},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var seen Exchange
			observe := func(_ *http.Request, x Exchange) { seen = x }
			w := serve(newHandler(t, HandlerConfig{Responder: tt.responder, Observe: observe, StatusCreated: true}),
				post(tt.body, "Content-Type: application/timestamp-query"))
			resp, err := tsp.ParseResponse(w.Body.Bytes())
			if err != nil {
				t.Fatalf("RFC 3161: %v", err)
			}
			if w.Code != 200 || w.Header().Get("Content-Type") != TypeReply || resp.Rejection == nil || resp.Rejection.Info != tt.info {
				t.Errorf("RFC 3161: %d %v, want 200 %s", w.Code, resp.Rejection, tt.info)
			}
			if seen.Outcome.Rejection == nil || seen.Outcome.Rejection.Info != tt.info {
				t.Errorf("observed %+v, want %s", seen, tt.info)
			}
			checkHeaders(t, w)

			w = serve(newHandler(t, HandlerConfig{Responder: tt.responder, Observe: observe, Refusals: RefusalJSON}),
				post(tt.body, "Content-Type: application/timestamp-query"))
			var e jsonError
			if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Fatalf("JSON: %v", err)
			}
			if w.Code != tt.status || e.Code != tt.status || e.Message != tt.message {
				t.Errorf("JSON: %d %+v, want %d %q", w.Code, e, tt.status, tt.message)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("JSON: %s", w.Body)
			}
			if (w.Header().Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("JSON: Retry-After is %q", w.Header().Get("Retry-After"))
			}
			checkHeaders(t, w)
			var p *PanicError
			if errors.As(seen.Err, &p) != (tt.name == "panic") || p != nil && (p.Value != "secret" || len(p.Stack) == 0) {
				t.Errorf("observed error %v", seen.Err)
			}
		})
	}
}

// shorten takes the last octet of the digest off a request.
func shorten(t *testing.T, query []byte) []byte {
	t.Helper()
	i := bytes.Index(query, append([]byte{4, 32}, bytes.Repeat([]byte{7}, 32)...))
	if i < 0 {
		t.Fatal("no digest in the request")
	}
	out := append(bytes.Clone(query[:i+33]), query[i+34:]...)
	for _, length := range []int{i + 1, i - 16, 1} { // OCTET STRING, messageImprint, request
		out[length]--
	}
	return out
}

func TestHandlerStatusCreated(t *testing.T) {
	h := newHandler(t, HandlerConfig{StatusCreated: true})
	w := serve(h, post(requestDER(t), "Content-Type: application/timestamp-query"))
	if w.Code != 201 || !bytes.Equal(w.Body.Bytes(), cannedReply) {
		t.Errorf("answer is %d with %d bytes, want 201", w.Code, w.Body.Len())
	}
}

func TestHandlerAccept(t *testing.T) {
	tests := []struct {
		accept string
		json   bool
	}{
		{"", false},
		{"application/json", true},
		{"APPLICATION/JSON", true},
		{"application/json;q=0.5", true},
		{"application/json;q=0", false},
		{"application/json, */*;q=0.1", true},
		{"application/json, text/plain, */*", false},
		{"*/*", false},
		{"application/*", false},
		{"application/timestamp-reply", false},
		{"application/timestamp-reply, application/json", false},
		{"application/timestamp-reply;q=0.5, application/json", true},
		{"application/timestamp-reply,application/timestamp-response", false},
		{"application/timestamp-response", false},
		{"text/html", false},
		{"application/json;q=x", true},
		{";;;,,,=", false},
		{strings.Repeat("application/json,", 100), false},
	}
	genTime := time.Date(2026, 8, 1, 12, 0, 0, 123_000_000, time.UTC)
	h := newHandler(t, HandlerConfig{Responder: responder(func(context.Context, []byte) ([]byte, tsp.Outcome) {
		return cannedReply, tsp.Outcome{Token: cannedReply, GenTime: genTime, Serial: tsp.Integer{1, 0}, Accuracy: 1500 * time.Millisecond}
	})})
	for _, tt := range tests {
		name := tt.accept[:min(len(tt.accept), 60)]
		w := serve(h, post([]byte(documented), "Content-Type: application/json", "Accept: "+tt.accept))
		if got := w.Header().Get("Content-Type"); w.Code != 200 || (got == TypeJSON) != tt.json {
			t.Errorf("%q: %d %s, want JSON: %v", name, w.Code, got, tt.json)
		}
		if tt.json {
			want := `{"status":"granted","timestamp":"` + base64.StdEncoding.EncodeToString(cannedReply) +
				`","genTime":"2026-08-01T12:00:00.123Z","serial":"256","policy":"","accuracy":1.5}`
			if w.Body.String() != want {
				t.Errorf("%q: body is %s, want %s", name, w.Body, want)
			}
		} else if !bytes.Equal(w.Body.Bytes(), cannedReply) {
			t.Errorf("%q: body is %q", name, w.Body)
		}
		if w := serve(h, post(requestDER(t), "Content-Type: application/timestamp-query", "Accept: "+tt.accept)); w.Code != 200 || w.Header().Get("Content-Type") != TypeReply {
			t.Errorf("%q: DER request answered %d %s", name, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

// TestHandlerQueue fills the slots and the queue, and has a client leave it.
func TestHandlerQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var running atomic.Int64
		h := newHandler(t, HandlerConfig{
			MaxConcurrent: 2, MaxQueue: 2,
			Responder: responder(func(context.Context, []byte) ([]byte, tsp.Outcome) {
				if n := running.Add(1); n > 2 {
					t.Errorf("%d requests at once", n)
				}
				<-release
				running.Add(-1)
				return cannedReply, tsp.Outcome{Token: cannedReply}
			}),
			Observe: func(_ *http.Request, x Exchange) {
				if x.Status == 200 && x.Duration < x.Waited {
					t.Errorf("observed %+v", x)
				}
			},
		})
		query := requestDER(t)
		answers := make(chan *httptest.ResponseRecorder, 10)
		ask := func(ctx context.Context) {
			go func() {
				answers <- serve(h, post(query, "Content-Type: application/timestamp-query").WithContext(ctx))
			}()
			synctest.Wait()
		}
		ctx, hangUp := context.WithCancel(t.Context())
		ask(t.Context())
		ask(t.Context())
		ask(ctx)
		ask(t.Context())
		ask(t.Context()) // one too many
		w := <-answers
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !json.Valid(w.Body.Bytes()) {
			t.Errorf("full queue: %d, Retry-After %q, %q", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		hangUp()
		if w := <-answers; w.Code != statusClientGone {
			t.Errorf("client gone: %d", w.Code)
		}
		ask(t.Context()) // there is room again
		time.Sleep(time.Second)
		close(release)
		for range 4 {
			if w := <-answers; w.Code != 200 {
				t.Errorf("got %d, want 200", w.Code)
			}
		}
		if len(h.queue.slots) != 0 || h.queue.waiting.Load() != 0 {
			t.Errorf("%d slots taken and %d waiting after the last request", len(h.queue.slots), h.queue.waiting.Load())
		}
	})
}

// TestHandlerNetwork runs the Handler in a real server, also over HTTP/2.
func TestHandlerNetwork(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(newHandler(t, HandlerConfig{}))
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		defer srv.Close()
		resp, err := srv.Client().Post(srv.URL, "application/timestamp-query", bytes.NewReader(requestDER(t)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(body, cannedReply) || resp.ContentLength != int64(len(cannedReply)) {
			t.Errorf("HTTP/2 %v: %d bytes of %d, %v", http2, len(body), resp.ContentLength, err)
		}
		if (resp.ProtoMajor == 2) != http2 {
			t.Errorf("protocol is %s", resp.Proto)
		}
	}
}

func TestHandlerUnreadable(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		status int
	}{
		{"cut off", io.ErrUnexpectedEOF, 400},
		{"bounded from outside", &http.MaxBytesError{Limit: 1}, 413},
	}
	for _, tt := range tests {
		h := newHandler(t, HandlerConfig{})
		r := httptest.NewRequest(http.MethodPost, "/", io.MultiReader(strings.NewReader("0"), failing{tt.err}))
		r.Header.Set("Content-Type", TypeQuery)
		if w := serve(h, r); w.Code != tt.status || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %q, want %d", tt.name, w.Code, w.Body, tt.status)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestNewHandlerErrors(t *testing.T) {
	for name, cfg := range map[string]HandlerConfig{
		"no responder":     {},
		"negative limit":   {Responder: &parsing{}, MaxRequest: -1},
		"negative slots":   {Responder: &parsing{}, MaxConcurrent: -1},
		"unknown refusals": {Responder: &parsing{}, Refusals: 7},
	} {
		if h, err := NewHandler(cfg); err == nil || h != nil {
			t.Errorf("%s: got %v, %v, want an error", name, h, err)
		}
	}
}

// bench is a request body that can be read again.
type bench struct{ bytes.Reader }

func (*bench) Close() error { return nil }

func BenchmarkHandler(b *testing.B) {
	out := tsp.Outcome{Token: cannedReply}
	query := requestDER(b)
	for _, bb := range []struct {
		name    string
		handler http.Handler
		body    []byte
		typ     string
	}{
		{"bare", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.ReadAll(r.Body)
			w.Header().Set("Content-Type", TypeReply)
			w.Write(cannedReply)
		}), query, TypeQuery},
		{"DER", newHandler(b, HandlerConfig{Responder: responder(func(context.Context, []byte) ([]byte, tsp.Outcome) { return cannedReply, out })}), query, TypeQuery},
		{"DER observed", newHandler(b, HandlerConfig{
			Responder: responder(func(context.Context, []byte) ([]byte, tsp.Outcome) { return cannedReply, out }),
			Observe:   func(*http.Request, Exchange) {},
		}), query, TypeQuery},
		{"JSON", newHandler(b, HandlerConfig{Responder: responder(func(context.Context, []byte) ([]byte, tsp.Outcome) { return cannedReply, out })}), []byte(documented), TypeJSON},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			body := &bench{}
			r := httptest.NewRequest(http.MethodPost, "/api/v1/timestamp", nil)
			r.Body, r.ContentLength = body, int64(len(bb.body))
			r.Header.Set("Content-Type", bb.typ)
			w := discard{http.Header{}}
			for b.Loop() {
				body.Reset(bb.body)
				bb.handler.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkNetwork has one client on a connection that is kept open, and an
// empty handler beside ours.
func BenchmarkNetwork(b *testing.B) {
	out := tsp.Outcome{Token: cannedReply}
	query := requestDER(b)
	for _, bb := range []struct {
		name    string
		handler http.Handler
	}{
		{"bare", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", TypeReply)
			w.Write(cannedReply)
		})},
		{"handler", newHandler(b, HandlerConfig{
			Responder: responder(func(context.Context, []byte) ([]byte, tsp.Outcome) { return cannedReply, out }),
			Observe:   func(*http.Request, Exchange) {},
		})},
	} {
		b.Run(bb.name, func(b *testing.B) {
			srv := httptest.NewServer(bb.handler)
			defer srv.Close()
			b.ReportAllocs()
			for b.Loop() {
				resp, err := srv.Client().Post(srv.URL, TypeQuery, bytes.NewReader(query))
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}
