package tsphttp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// trustIn returns a policy whose root is that of f.
func trustIn(t *testing.T, f *tsptest.Forge) *verify.Policy {
	t.Helper()
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	return &verify.Policy{Roots: []*x509.Certificate{root}}
}

func newClient(t *testing.T, cfg tsphttp.ClientConfig) *tsphttp.Client {
	t.Helper()
	c, err := tsphttp.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func newRequest(t *testing.T) *tsp.Request {
	t.Helper()
	m, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader(tsptest.Artifact))
	if err != nil {
		t.Fatal(err)
	}
	req := tsp.NewRequest(m)
	if req.Policy, err = x509.ParseOID(tsptest.PolicyOID); err != nil {
		t.Fatal(err)
	}
	return req
}

// is returns a check for an error of type E for which ok holds.
func is[E error](ok func(E) bool) func(error) bool {
	return func(err error) bool {
		var e E
		return errors.As(err, &e) && (ok == nil || ok(e))
	}
}

func status(code int) func(error) bool {
	return is(func(e *tsphttp.StatusError) bool { return e.Code == code })
}

func reason(want verify.Reason) func(error) bool {
	return is(func(e *verify.Error) bool { return e.Reason == want })
}

func refusedWith(info tsp.FailureInfo) func(error) bool {
	return func(err error) bool { return is[*tsp.Rejection](nil)(err) && errors.Is(err, info) }
}

func malformed(err error) bool { return errors.Is(err, tsp.ErrMalformed) }

var (
	connection = is[*tsphttp.ConnectionError](nil)
	mediaType  = is[*tsphttp.MediaTypeError](nil)
	tooLate    = is[*tsphttp.TimeoutError](nil)
	redirected = is[*tsphttp.RedirectError](nil)
)

// faults has what each fault of the hostile authority must end in; nil is an
// answer that is accepted.
var faults = map[tsptest.Fault]func(error) bool{
	tsptest.WrongNonce:         reason(verify.ReasonNonce),
	tsptest.NoNonce:            reason(verify.ReasonNonce),
	tsptest.WrongImprint:       reason(verify.ReasonImprint),
	tsptest.WrongHash:          reason(verify.ReasonImprint),
	tsptest.WrongPolicy:        reason(verify.ReasonPolicy),
	tsptest.StaleTime:          is(func(e *tsphttp.TimeError) bool { return e.GenTime.Before(e.Local) }),
	tsptest.FutureTime:         reason(verify.ReasonFuture),
	tsptest.Replay:             reason(verify.ReasonNonce),
	tsptest.SwappedCertificate: reason(verify.ReasonUntrusted),
	tsptest.WrongKey:           reason(verify.ReasonSignature),
	tsptest.CorruptSignature:   reason(verify.ReasonSignature),
	tsptest.NoCertificate:      reason(verify.ReasonCertificateMissing),
	tsptest.InjectedLeaf:       nil,
	tsptest.BareToken:          malformed,
	tsptest.GrantedEmpty:       malformed,
	tsptest.RefusedWithToken:   malformed,
	tsptest.Waiting:            is(func(e *tsp.Rejection) bool { return e.Status == tsp.StatusWaiting }),

	tsptest.RefuseBadAlg:              refusedWith(tsp.BadAlg),
	tsptest.RefuseBadRequest:          refusedWith(tsp.BadRequest),
	tsptest.RefuseBadDataFormat:       refusedWith(tsp.BadDataFormat),
	tsptest.RefuseTimeNotAvailable:    refusedWith(tsp.TimeNotAvailable),
	tsptest.RefuseUnacceptedPolicy:    refusedWith(tsp.UnacceptedPolicy),
	tsptest.RefuseUnacceptedExtension: refusedWith(tsp.UnacceptedExtension),
	tsptest.RefuseAddInfoNotAvailable: refusedWith(tsp.AddInfoNotAvailable),
	tsptest.RefuseSystemFailure:       refusedWith(tsp.SystemFailure),
	tsptest.RefuseWithoutReason:       refusedWith(tsp.NoFailureInfo),

	tsptest.Truncated:     malformed,
	tsptest.CutOff:        connection,
	tsptest.HungUp:        connection,
	tsptest.Empty:         malformed,
	tsptest.TrailingBytes: malformed,
	tsptest.Garbage:       malformed,
	tsptest.HTMLPage:      malformed,
	tsptest.Base64:        malformed,
	tsptest.Slow:          tooLate,
	tsptest.Drip:          tooLate,
	tsptest.Endless:       is(func(e *tsphttp.SizeError) bool { return e.Limit == 1<<20 }),
	tsptest.Bomb:          mediaType,
	tsptest.HugeHeader:    connection,

	tsptest.WrongMediaType: mediaType,
	tsptest.NoMediaType:    mediaType,
	tsptest.Created:        nil,

	tsptest.NoContent: status(204),
	tsptest.BadRequestJSON: is(func(e *tsphttp.StatusError) bool {
		return e.Code == 400 && e.Message == "Error generating timestamp response"
	}),
	tsptest.Unauthorized:       status(401),
	tsptest.Forbidden:          status(403),
	tsptest.NotFound:           status(404),
	tsptest.TooLarge:           status(413),
	tsptest.TooManyRequests:    is(func(e *tsphttp.StatusError) bool { return e.Code == 429 && e.RetryAfter == time.Second }),
	tsptest.InternalError:      status(500),
	tsptest.BadGateway:         status(502),
	tsptest.Unavailable:        is(func(e *tsphttp.StatusError) bool { return e.Code == 503 && e.RetryAfter == time.Second }),
	tsptest.UnavailableDate:    is(func(e *tsphttp.StatusError) bool { return e.Code == 503 && e.RetryAfter > 0 }),
	tsptest.UnavailableForever: is(func(e *tsphttp.StatusError) bool { return e.Code == 503 && e.RetryAfter > 24*time.Hour }),
	tsptest.Redirect:           nil,
	tsptest.RedirectSeeOther:   redirected,
	tsptest.RedirectLoop:       redirected,
}

func TestClientFaults(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{Forge: forge, Delay: time.Minute})
	for _, fault := range append(tsptest.Faults(), tsptest.NoFault) {
		want, known := faults[fault]
		if !known && fault != tsptest.NoFault {
			t.Errorf("%s: no verdict in the table", fault)
			continue
		}
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			timeout := time.Minute
			if fault == tsptest.Slow || fault == tsptest.Drip {
				timeout = 100 * time.Millisecond
			}
			c := newClient(t, tsphttp.ClientConfig{
				URLs: []string{srv.URL + "/" + fault.String()}, Trust: trustIn(t, forge),
				Retries: -1, Timeout: timeout, MaxReply: 1 << 20,
			})
			req := newRequest(t)
			reply, err := c.Ask(t.Context(), req)
			if want == nil {
				if err != nil {
					t.Fatalf("got %v, want an answer", err)
				}
				if !reply.Timestamp.Nonce.Equal(req.Nonce) || reply.Response.Token == nil || len(reply.Failed) != 0 {
					t.Errorf("got %+v", reply)
				}
				return
			}
			if err == nil || reply != nil || !want(err) {
				t.Fatalf("got %v, %v", reply, err)
			}
			var f *tsphttp.Failures
			if !errors.As(err, &f) || len(f.Attempts) != 1 || f.Attempts[0].Tries != 1 || !strings.HasPrefix(f.Attempts[0].URL, srv.URL) {
				t.Errorf("got %#v, want the one attempt", err)
			}
			if resp, err := c.Stamp(t.Context(), req); err == nil || resp != nil {
				t.Errorf("Stamp: got %v, %v, want an error", resp, err)
			}
		})
	}
}

// TestClientVariants asks for every forged token: what the verifier would not
// have, the Client must not return (RFC 3161, 2.2).
func TestClientVariants(t *testing.T) {
	for _, v := range tsptest.Variants() {
		forge := v.Forge(t)
		srv := httptest.NewServer(reply(tsphttp.TypeReply, v.Response(t)))
		c := newClient(t, tsphttp.ClientConfig{
			URLs: []string{srv.URL + "/"}, Trust: trustIn(t, forge), Retries: -1,
			Now: func() time.Time { return tsptest.Time() },
		})
		req := forge.Request
		if req == nil {
			req = tsptest.Request()
		}
		_, err := c.Stamp(t.Context(), req)
		resp, parseErr := tsp.ParseResponse(v.Response(t))
		if parseErr == nil {
			_, parseErr = trustIn(t, forge).Response(resp, req)
		}
		// The time of a few is far from that of the others.
		if (err == nil) != (parseErr == nil) && !is[*tsphttp.TimeError](nil)(err) {
			t.Errorf("%s: got %v, the verifier says %v", v.Name, err, parseErr)
		}
		srv.Close()
	}
}

// reply answers everything with one body.
func reply(mediaType string, body []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Write(body)
	})
}

func TestClientMediaTypes(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	req := tsptest.Request()
	body, _ := forge.Respond(t.Context(), tsptest.RequestDER())
	for name, ok := range map[string]bool{
		"application/timestamp-reply":                 true,
		"Application/Timestamp-Reply; charset=binary": true,
		"application/timestamp-response":              true, // erratum 1879
		"application/timestamp-query":                 false,
		"application/octet-stream":                    false,
		"application/timestamp-reply, text/html":      false,
	} {
		srv := httptest.NewServer(reply(name, body))
		c := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL}, Now: tsptest.Time})
		if _, err := c.Stamp(t.Context(), req); (err == nil) != ok || err != nil && !mediaType(err) {
			t.Errorf("%s: got %v, want acceptance: %v", name, err, ok)
		}
		srv.Close()
	}
}

func TestClientTime(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	body, _ := forge.Respond(t.Context(), tsptest.RequestDER())
	srv := httptest.NewServer(reply(tsphttp.TypeReply, body))
	defer srv.Close()
	for _, tt := range []struct {
		ahead   time.Duration // of the local clock
		maxSkew time.Duration
		ok      bool
	}{
		{0, 0, true},
		{5 * time.Minute, 0, true},
		{5*time.Minute + 2*time.Second, 0, false}, // the token declares 1 s of accuracy
		{-5*time.Minute - 2*time.Second, 0, false},
		{-5 * time.Minute, 0, true},
		{5 * time.Second, time.Second, false},
		{1000 * time.Hour, -1, true},
		{-1000 * time.Hour, -1, true},
		{1000 * time.Hour, math.MaxInt64, true},
		{-1000 * time.Hour, math.MaxInt64, true},
	} {
		c := newClient(t, tsphttp.ClientConfig{
			URLs: []string{srv.URL}, MaxSkew: tt.maxSkew,
			Now: func() time.Time { return tsptest.Time().Add(tt.ahead) },
		})
		_, err := c.Stamp(t.Context(), tsptest.Request())
		if (err == nil) != tt.ok || err != nil && !is[*tsphttp.TimeError](nil)(err) {
			t.Errorf("local clock %v ahead, %v allowed: got %v, want acceptance: %v", tt.ahead, tt.maxSkew, err, tt.ok)
		}
	}
}

// TestClientNonce asks without a nonce.
func TestClientNonce(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	req := newRequest(t)
	req.Nonce = nil
	for path, want := range map[string]func(error) bool{
		"/":           nil,
		"/none":       nil,
		"/stale-time": is[*tsphttp.TimeError](nil),
		"/replay":     reason(verify.ReasonNonce), // an answer made for a request with nonce
	} {
		_, srv := tsptest.Serve(t, tsptest.TSAConfig{Forge: forge})
		_, err := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL + path}}).Stamp(t.Context(), req)
		if want == nil && err != nil || want != nil && (err == nil || !want(err)) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestClientSeveral(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	tsa, srv := tsptest.Serve(t, tsptest.TSAConfig{Forge: forge})
	dead := httptest.NewServer(nil)
	dead.Close()
	tests := []struct {
		name  string
		paths []tsptest.Fault
		asked int // authorities
		ok    bool
	}{
		{"first answers", []tsptest.Fault{tsptest.NoFault, tsptest.NoFault}, 1, true},
		{"systemFailure", []tsptest.Fault{tsptest.RefuseSystemFailure, tsptest.NoFault}, 2, true},
		{"timeNotAvailable", []tsptest.Fault{tsptest.RefuseTimeNotAvailable, tsptest.NoFault}, 2, true},
		{"no reason", []tsptest.Fault{tsptest.RefuseWithoutReason, tsptest.NoFault}, 2, true},
		{"waiting", []tsptest.Fault{tsptest.Waiting, tsptest.NoFault}, 2, true},
		{"badAlg is for all", []tsptest.Fault{tsptest.RefuseBadAlg, tsptest.NoFault}, 1, false},
		{"unacceptedPolicy is for all", []tsptest.Fault{tsptest.RefuseUnacceptedPolicy, tsptest.NoFault}, 1, false},
		{"hostile", []tsptest.Fault{tsptest.WrongNonce, tsptest.Truncated, tsptest.NotFound, tsptest.SwappedCertificate, tsptest.NoFault}, 5, true},
		{"all fail", []tsptest.Fault{tsptest.WrongNonce, tsptest.InternalError}, 2, false},
		{"one that is busy is not waited for", []tsptest.Fault{tsptest.UnavailableForever, tsptest.NoFault}, 2, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var urls []string
			for _, f := range tt.paths {
				urls = append(urls, srv.URL+"/"+f.String()+"?key=secret")
			}
			before := len(tsa.Exchanges())
			reply, err := newClient(t, tsphttp.ClientConfig{URLs: urls, Trust: trustIn(t, forge)}).Ask(t.Context(), newRequest(t))
			if (err == nil) != tt.ok || len(tsa.Exchanges())-before != tt.asked {
				t.Fatalf("got %v after %d authorities, want %d", err, len(tsa.Exchanges())-before, tt.asked)
			}
			if err != nil {
				var f *tsphttp.Failures
				if !errors.As(err, &f) || len(f.Attempts) != tt.asked || strings.Contains(err.Error(), "secret") {
					t.Errorf("got %v, want %d attempts", err, tt.asked)
				}
			} else if len(reply.Failed) != tt.asked-1 || reply.URL != srv.URL+"/"+tt.paths[tt.asked-1].String() {
				t.Errorf("answer is from %s after %v", reply.URL, reply.Failed)
			}
		})
	}
	reply, err := newClient(t, tsphttp.ClientConfig{URLs: []string{dead.URL, srv.URL}, Retries: -1}).Ask(t.Context(), newRequest(t))
	if err != nil || len(reply.Failed) != 1 || !connection(reply.Failed[0]) || reply.URL != srv.URL+tsphttp.DefaultPath {
		t.Errorf("after a dead server: %+v, %v", reply, err)
	}
}

// TestClientMemory shows that an endless answer costs no more than the limit.
func TestClientMemory(t *testing.T) {
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{})
	c := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL + "/endless"}, MaxReply: 1 << 20})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.Stamp(t.Context(), newRequest(t)); err == nil {
		t.Fatal("no error")
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("allocated %d bytes for a limit of 1 MiB", got)
	}
}

// TestClientConcurrent uses one Client from many goroutines.
func TestClientConcurrent(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{Forge: forge})
	c := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL + "/wrong-nonce", srv.URL}, Trust: trustIn(t, forge)})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.Stamp(t.Context(), newRequest(t)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestClientCancelled(t *testing.T) {
	_, srv := tsptest.Serve(t, tsptest.TSAConfig{Delay: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL + "/slow", srv.URL}}).Stamp(ctx, newRequest(t))
	var f *tsphttp.Failures
	if !errors.Is(err, context.Canceled) || !errors.As(err, &f) || len(f.Attempts) != 1 {
		t.Errorf("got %v, want the context's error and no second authority", err)
	}
}

func TestNewClientErrors(t *testing.T) {
	good := []string{"http://127.0.0.1/"}
	for name, cfg := range map[string]tsphttp.ClientConfig{
		"no URL":               {},
		"empty URL":            {URLs: []string{""}},
		"other scheme":         {URLs: []string{"ftp://user:secret@h/"}},
		"no host":              {URLs: []string{"http:///x"}},
		"opaque":               {URLs: []string{"http:user:secret"}},
		"malformed":            {URLs: []string{"http://user:secret@h:port/%zz"}},
		"second malformed":     {URLs: append(slices.Clone(good), "no")},
		"TLS and Transport":    {URLs: good, TLS: &tls.Config{}, Transport: http.DefaultTransport},
		"negative timeout":     {URLs: good, Timeout: -1},
		"chosen Content-Type":  {URLs: good, Header: http.Header{"content-type": {"x"}}},
		"chosen Host":          {URLs: good, Header: http.Header{"Host": {"x"}}},
		"header name":          {URLs: good, Header: http.Header{"a b": {"x"}}},
		"header injection":     {URLs: good, Header: http.Header{"X": {"a\r\nB: c"}}},
		"user agent injection": {URLs: good, UserAgent: "a\nb"},
	} {
		c, err := tsphttp.NewClient(cfg)
		if err == nil || c != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, %v, want an error", name, c, err)
		}
	}
	if _, err := newClient(t, tsphttp.ClientConfig{URLs: good}).Stamp(t.Context(), &tsp.Request{Version: 2}); err == nil {
		t.Error("a request that cannot be encoded: no error")
	}
}

// TestClientAndHandler has the two talk to one another, in each form of refusal.
func TestClientAndHandler(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	forge.Time = time.Now().Truncate(time.Millisecond)
	for _, format := range []tsphttp.RefusalFormat{tsphttp.RefusalRFC3161, tsphttp.RefusalJSON} {
		h, err := tsphttp.NewHandler(tsphttp.HandlerConfig{Responder: forge, Refusals: format, StatusCreated: true})
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(h)
		c := newClient(t, tsphttp.ClientConfig{URLs: []string{srv.URL}, Trust: trustIn(t, forge)})
		req := newRequest(t)
		resp, err := c.Stamp(t.Context(), req)
		if err != nil || !bytes.Equal(resp.Token.UnverifiedInfo.Nonce, req.Nonce) {
			t.Errorf("got %v, %v", resp, err)
		}
		req = newRequest(t)
		if req.Nonce, err = tsp.ParseInteger("-7"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Stamp(t.Context(), req); err != nil {
			t.Errorf("negative nonce: %v", err)
		}
		srv.Close()
	}
}
