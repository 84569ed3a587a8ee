package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// TestSeriesAreBounded sends a hundred thousand paths and methods that nobody
// has heard of: the metrics must not grow with them.
func TestSeriesAreBounded(t *testing.T) {
	s, _ := newServer(t, func(b *bench) { b.config.Log = nil })
	admin := s.Admin()
	series := func() int {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		n := 0
		for line := range strings.Lines(w.Body.String()) {
			if !strings.HasPrefix(line, "#") {
				n++
			}
		}
		return n
	}
	send := func(n int) {
		r := httptest.NewRequest("GET", "/", nil)
		for i := range n {
			r.Method = []string{"GET", "POST", "PUT", fmt.Sprintf("M%d", i)}[i%4]
			r.URL.Path = []string{fmt.Sprintf("/p%d", i), PathTimestamp, fmt.Sprintf("/api/v1/timestamp/%d", i), PathPing}[i/4%4]
			s.ServeHTTP(discard{http.Header{}}, r)
		}
	}
	send(100)
	before := series()
	send(100_000)
	if after := series(); after != before {
		t.Errorf("%d series have become %d", before, after)
	}
}

// TestAllocationIsBounded sends what made servers of this protocol run out of
// memory: object identifiers of a million arcs, headers of a megabyte.
func TestAllocationIsBounded(t *testing.T) {
	s, _ := newServer(t, func(b *bench) { b.config.Log = nil })
	dots := "1" + strings.Repeat(".1", 1<<19)
	for _, test := range []struct {
		name   string
		header string
		body   string
		limit  uint64 // bytes allocated
	}{
		{"policy of a million arcs", "Content-Type: application/json", `{"artifactHash":"","hashAlgorithm":"sha256","tsaPolicyOID":"` + dots + `"}`, 64 << 10},
		{"policy as long as is read", "Content-Type: application/json", `{"artifactHash":"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg","hashAlgorithm":"sha256","tsaPolicyOID":"` + dots[:800] + `"}`, 64 << 10},
		{"DER of a megabyte", "", strings.Repeat("\x06\x82\xff\xff", 1<<18), 5 << 20},
		{"parameters", "Content-Type: application/json" + strings.Repeat(";a=b", 1<<18), "{}", 64 << 10},
		{"request id", "X-Request-Id: " + strings.Repeat("a", 1<<20), "x", 64 << 10},
		{"accept", "Accept: " + strings.Repeat("a/b,", 1<<18), "x", 64 << 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got uint64
			for range 2 { // the first one makes the series that counts them
				r := httptest.NewRequest("POST", PathTimestamp, strings.NewReader(test.body))
				r.Header.Set("Content-Type", tsphttp.TypeQuery)
				if name, value, ok := strings.Cut(test.header, ": "); ok {
					r.Header.Set(name, value)
				}
				var before, after runtime.MemStats
				w := discard{http.Header{}}
				runtime.ReadMemStats(&before)
				s.ServeHTTP(w, r)
				runtime.ReadMemStats(&after)
				got = after.TotalAlloc - before.TotalAlloc
			}
			if got > test.limit {
				t.Errorf("%d bytes allocated, more than %d", got, test.limit)
			}
		})
	}
}

func TestPanic(t *testing.T) {
	s, b := newServer(t, nil)
	good, stamp := s.cfg.TSA, s.stamp
	s.cfg.TSA = new(tsa.TSA) // everything that needs the authority is a fault now
	var err error
	if s.stamp, err = tsphttp.NewHandler(tsphttp.HandlerConfig{Responder: s.cfg.TSA, Observe: s.observe}); err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name, header string
		status       int
		mediaType    string
	}{
		{"DER", "", 200, tsphttp.TypeReply},
		{"JSON", "Content-Type: application/json", 500, "application/json"},
	} {
		var body io.Reader = query()
		if test.header != "" {
			body = strings.NewReader(`{"artifactHash":"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg","hashAlgorithm":"sha256"}`)
		}
		w := post(s, PathTimestamp, body, test.header)
		if w.Code != test.status || w.Header().Get("Content-Type") != test.mediaType || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
		if test.status == 200 {
			reply, err := tsp.ParseResponse(w.Body.Bytes())
			if err != nil || reply.Rejection == nil || reply.Rejection.Info != tsp.SystemFailure {
				t.Errorf("%s: %+v, %v", test.name, reply, err)
			}
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", PathCertChain, nil))
	if w.Code != 500 || w.Body.String() != `{"code":500,"message":"Internal Server Error"}`+"\n" {
		t.Errorf("certchain: %d %s", w.Code, w.Body)
	}
	if n := len(records(t, b.log, "panic")); n != 1 {
		t.Errorf("%d records of a panic in the server, want 1", n)
	}
	if !strings.Contains(b.log.String(), `"level":"ERROR","msg":"timestamp"`) {
		t.Error("no record of a panic of the authority")
	}
	metrics := httptest.NewRecorder()
	s.cfg.TSA, s.stamp = good, stamp
	s.Admin().ServeHTTP(metrics, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(metrics.Body.String(), "fencepost_panics_total 3\n") {
		t.Error("the panics are not counted")
	}
	if w := post(s, PathTimestamp, query()); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

// brokenLog is a log handler that panics on some records.
type brokenLog struct {
	slog.Handler
	msg string
}

func (b brokenLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == b.msg {
		panic("the log is broken")
	}
	return b.Handler.Handle(ctx, r)
}

// TestPanicAfterAnswer has a fault after the answer is out: the connection
// ends, and the server goes on.
func TestPanicAfterAnswer(t *testing.T) {
	at, b := start(t, func(b *bench) { b.config.Log = slog.New(brokenLog{b.config.Log.Handler(), "timestamp"}) })
	for range 2 {
		resp, err := http.Post(at.Public[0]+PathTimestamp, tsphttp.TypeQuery, query())
		if err == nil {
			resp.Body.Close() // the answer may be complete by then
		}
	}
	resp, err := http.Get(at.Public[0] + PathPing)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := len(records(t, b.log, "panic")); n != 2 {
		t.Errorf("%d panics logged, want 2", n)
	}
}

func TestRecord(t *testing.T) {
	s, b := newServer(t, nil)
	post(s, PathTimestamp, query(), "X-Request-Id: trace-1", "Authorization: Bearer s3cret", "Cookie: s3cret", "Proxy-Authorization: s3cret")
	post(s, PathTimestamp, strings.NewReader("garbage"))
	post(s, PathTimestamp+"?token=s3cret", strings.NewReader("x"), "Content-Type: text/plain")
	r := httptest.NewRequest("GET", "/"+strings.Repeat("p", 10_000), nil)
	r.Header.Set("X-Request-Id", "not fit for a log\n")
	s.ServeHTTP(httptest.NewRecorder(), r)

	recs := records(t, b.log, "timestamp")
	if len(recs) != 3 {
		t.Fatalf("%d records, want 3", len(recs))
	}
	for key, want := range map[string]any{
		"id": "trace-1", "method": "POST", "path": PathTimestamp, "code": 200.0, "outcome": "granted",
		"policy": "1.3.6.1.4.1.57264.2", "hash": "SHA-256", "level": "INFO",
	} {
		if recs[0][key] != want {
			t.Errorf("%s is %v, want %v", key, recs[0][key], want)
		}
	}
	for _, key := range []string{"serial", "gen_time", "duration_us", "request_bytes", "reply_bytes", "remote"} {
		if recs[0][key] == nil {
			t.Errorf("no %s", key)
		}
	}
	if recs[1]["outcome"] != "badDataFormat" || recs[1]["detail"] == nil || recs[1]["serial"] != nil {
		t.Errorf("refused: %v", recs[1])
	}
	if recs[2]["outcome"] != "http" || recs[2]["code"] != 415.0 {
		t.Errorf("refused by HTTP: %v", recs[2])
	}
	other := records(t, b.log, "request")
	if len(other) != 1 || len(other[0]["path"].(string)) > 200 || len(other[0]["id"].(string)) != 32 {
		t.Errorf("another request: %v", other)
	}
	if strings.Contains(b.log.String(), "s3cret") {
		t.Errorf("a secret is in the log: %s", b.log)
	}
}

// TestHungUp has a client go before its answer: that is no failure of the
// authority, which would wake somebody.
func TestHungUp(t *testing.T) {
	s, b := newServer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "POST", PathTimestamp, query())
	r.Header.Set("Content-Type", tsphttp.TypeQuery)
	s.ServeHTTP(httptest.NewRecorder(), r)
	recs := records(t, b.log, "timestamp")
	if len(recs) != 1 || recs[0]["outcome"] != "disconnected" || recs[0]["level"] != "INFO" || recs[0]["code"] != 499.0 {
		t.Errorf("the record is %v", recs)
	}
	w := httptest.NewRecorder()
	s.Admin().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{"fencepost_client_disconnects_total 1", `fencepost_requests_refused_total{reason="systemFailure"} 0`} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("the metrics have no line %s", line)
		}
	}
}

func TestRequestID(t *testing.T) {
	s, _ := newServer(t, nil)
	for _, test := range []struct {
		name   string
		header http.Header
		keep   bool
	}{
		{"none", http.Header{}, false},
		{"uuid", http.Header{"X-Request-Id": {"123e4567-e89b-12d3-a456-426614174000"}}, true},
		{"trace", http.Header{"X-Request-Id": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}, true},
		{"longest", http.Header{"X-Request-Id": {strings.Repeat("a", maxRequestID)}}, true},
		{"too long", http.Header{"X-Request-Id": {strings.Repeat("a", maxRequestID+1)}}, false},
		{"empty", http.Header{"X-Request-Id": {""}}, false},
		{"two", http.Header{"X-Request-Id": {"a", "b"}}, false},
		{"line end", http.Header{"X-Request-Id": {"a\r\nSet-Cookie: b"}}, false},
		{"quote", http.Header{"X-Request-Id": {`a"b`}}, false},
		{"not ASCII", http.Header{"X-Request-Id": {"é"}}, false},
	} {
		var was string
		if v := test.header["X-Request-Id"]; len(v) > 0 {
			was = v[0]
		}
		got := s.identify(test.header)
		if len(got) != 1 || !validID(got[0]) || (got[0] == was) != test.keep {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

// dial opens a connection that fails a test which waits too long.
func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestSlowClients(t *testing.T) {
	at, _ := start(t, func(b *bench) {
		b.config.Listeners[0].Timeouts = Timeouts{ReadHeader: 100 * time.Millisecond, Read: 200 * time.Millisecond, Idle: 100 * time.Millisecond}
	})
	for _, test := range []struct{ name, send, want string }{
		{"nothing", "", ""},
		{"half a header", "POST /api/v1/timestamp HTTP/1.1\r\nHost: x\r\n", ""},
		{"half a body", "POST /api/v1/timestamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/timestamp-query\r\nContent-Length: 100\r\n\r\nabc", "HTTP/1.1 408 Request Timeout\r\n"},
		{"idle", "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := dial(t, at.Public[0])
			if _, err := io.WriteString(conn, test.send); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn) // until the server ends the connection
			if err != nil {
				t.Fatalf("the connection does not end: %v", err)
			}
			if !strings.HasPrefix(string(got), test.want) || test.want == "" && len(got) > 0 {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestHeaderLimit(t *testing.T) {
	at, _ := start(t, func(b *bench) { b.config.Listeners[0].MaxHeader = 4096 })
	conn := dial(t, at.Public[0])
	if _, err := io.WriteString(conn, "GET /ping HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", 10_000)+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 431 ") {
		t.Errorf("%q, %v", line, err)
	}
}

func TestLogWriter(t *testing.T) {
	var out lockedBuffer
	w := NewLogWriter(&out)
	fmt.Fprint(w, "a")
	if out.String() != "" {
		t.Error("written at once")
	}
	for i := 0; out.String() != "a"; i++ {
		if i > 1000 {
			t.Fatal("not written in time")
		}
		time.Sleep(flushEvery / 20)
	}
	if _, err := w.Write(bytes.Repeat([]byte("b"), flushSize)); err != nil || len(out.String()) != 1+flushSize {
		t.Errorf("a full buffer is not written: %d bytes, %v", len(out.String()), err)
	}
	fmt.Fprint(w, "c")
	w.Flush()
	if !strings.HasSuffix(out.String(), "bc") {
		t.Error("Flush did not write")
	}

	log := NewLogger(w, LogConfig{Level: slog.LevelInfo}).With("k", "v").WithGroup("g")
	log.Debug("no")
	log.Info("later")
	if strings.Contains(out.String(), "later") {
		t.Error("info was written at once")
	}
	log.Warn("now")
	lines := strings.SplitAfter(out.String(), "bc")[1]
	dec := json.NewDecoder(strings.NewReader(lines))
	for _, want := range []string{"later", "now"} {
		var rec map[string]any
		if err := dec.Decode(&rec); err != nil || rec["msg"] != want || rec["k"] != "v" {
			t.Errorf("%v, %v; want %s", rec, err, want)
		}
	}
	var text lockedBuffer
	tw := NewLogWriter(&text)
	NewLogger(tw, LogConfig{Text: true}).Error("x y")
	if !strings.Contains(text.String(), `msg="x y"`) {
		t.Errorf("text: %q", &text.b)
	}
}
