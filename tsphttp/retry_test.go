package tsphttp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// A script is a RoundTripper without a network, for tests whose clock is not
// the real one. Each request gets the next step; after the last one, answers
// are good.
type script struct {
	forge *tsptest.Forge
	steps []step
	asked []time.Duration // when, since the first
	hosts []string
	start time.Time
}

// A step is an error, or a status with a Retry-After.
type step struct {
	err        error
	status     int
	retryAfter string
	delay      time.Duration
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	if len(s.asked) == 0 {
		s.start = time.Now()
	}
	s.asked = append(s.asked, time.Since(s.start))
	s.hosts = append(s.hosts, r.URL.Host)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	next := step{status: 200}
	if len(s.steps) > 0 {
		next, s.steps = s.steps[0], s.steps[1:]
	}
	select {
	case <-time.After(next.delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if next.err != nil {
		return nil, next.err
	}
	resp := &http.Response{StatusCode: next.status, Header: http.Header{"Content-Type": {tsphttp.TypeReply}}, Body: http.NoBody, Request: r}
	if next.retryAfter != "" {
		resp.Header.Set("Retry-After", next.retryAfter)
	}
	if next.status == 200 {
		forge := *s.forge
		forge.Time = time.Now().UTC().Truncate(time.Millisecond)
		reply, _ := forge.Respond(r.Context(), body)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(reply)), int64(len(reply))
	}
	return resp, nil
}

func TestClientRetry(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	busy := func(after string) step { return step{status: 503, retryAfter: after} }
	tests := []struct {
		name     string
		cfg      tsphttp.ClientConfig
		steps    []step
		deadline time.Duration
		asked    int
		atLeast  []time.Duration // between one try and the next
		atMost   time.Duration   // altogether
		ok       bool
	}{
		{name: "good at once", asked: 1, ok: true},
		{name: "connection refused once", steps: []step{{err: refused}}, asked: 2,
			atLeast: []time.Duration{125 * time.Millisecond}, atMost: time.Second, ok: true},
		{name: "the waits grow", steps: []step{{err: refused}, {err: refused}, {err: refused}, {err: refused}}, cfg: tsphttp.ClientConfig{Retries: 4}, asked: 5,
			atLeast: []time.Duration{125 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second}, atMost: 5 * time.Second, ok: true},
		{name: "as often as the default", steps: []step{{err: refused}, {err: refused}, {err: refused}}, asked: 3, atMost: 2 * time.Second},
		{name: "never", steps: []step{{err: refused}}, cfg: tsphttp.ClientConfig{Retries: -1}, asked: 1},
		{name: "429", steps: []step{{status: 429}}, asked: 2, atMost: time.Second, ok: true},
		{name: "503 with seconds", steps: []step{busy("7")}, asked: 2, atLeast: []time.Duration{7 * time.Second}, atMost: 8 * time.Second, ok: true},
		{name: "503 with a date", steps: []step{busy("Sat, 01 Jan 2000 00:00:09 GMT")}, asked: 2, atLeast: []time.Duration{8 * time.Second}, atMost: 10 * time.Second, ok: true},
		{name: "503 with a past date", steps: []step{busy("Sat, 01 Jan 1999 00:00:09 GMT")}, asked: 2, atMost: time.Second, ok: true},
		{name: "503 with nonsense", steps: []step{busy("-1")}, asked: 2, atMost: time.Second, ok: true},
		{name: "503 for too long", steps: []step{busy("31")}, asked: 1},
		{name: "503 for as long as allowed", steps: []step{busy("600")}, cfg: tsphttp.ClientConfig{MaxRetryAfter: time.Hour}, asked: 2, atLeast: []time.Duration{10 * time.Minute}, atMost: 11 * time.Minute, ok: true},
		{name: "503 for ever", steps: []step{busy("99999999999999999999")}, asked: 1},
		{name: "no time left to wait", steps: []step{busy("20")}, deadline: 10 * time.Second, asked: 1},
		{name: "500 is an answer", steps: []step{{status: 500}}, asked: 1},
		{name: "404 is an answer", steps: []step{{status: 404}}, asked: 1},
		{name: "no such host", steps: []step{{err: &net.DNSError{IsNotFound: true}}}, asked: 1},
		{name: "resolver fails", steps: []step{{err: &net.DNSError{IsTemporary: true}}}, asked: 2, atMost: time.Second, ok: true},
		{name: "slow", steps: []step{{status: 200, delay: time.Minute}}, asked: 1, atMost: 30 * time.Second},
		{name: "slow, another server", steps: []step{{status: 200, delay: time.Minute}}, cfg: tsphttp.ClientConfig{URLs: []string{"http://a/", "http://b/"}},
			asked: 2, atLeast: []time.Duration{30 * time.Second}, atMost: 31 * time.Second, ok: true},
		{name: "busy, another server", steps: []step{busy("20")}, cfg: tsphttp.ClientConfig{URLs: []string{"http://a/", "http://b/"}}, asked: 2, atMost: time.Millisecond, ok: true},
		{name: "busy for a moment, another server", steps: []step{busy("1"), {status: 200}}, cfg: tsphttp.ClientConfig{URLs: []string{"http://a/", "http://b/"}}, asked: 2,
			atLeast: []time.Duration{time.Second}, atMost: 2 * time.Second, ok: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{forge: forge, steps: slices.Clone(tt.steps)}
				tt.cfg.Transport = s
				if tt.cfg.URLs == nil {
					tt.cfg.URLs = []string{"http://a/"}
				}
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				begin := time.Now()
				reply, err := newClient(t, tt.cfg).Ask(ctx, newRequest(t))
				took := time.Since(begin)
				if (err == nil) != tt.ok || len(s.asked) != tt.asked {
					t.Fatalf("got %v after %d tries at %v, want %d", err, len(s.asked), s.asked, tt.asked)
				}
				for i, least := range tt.atLeast {
					if got := s.asked[i+1] - s.asked[i]; got < least {
						t.Errorf("try %d came after %v, want at least %v", i+2, got, least)
					}
				}
				if took > tt.atMost {
					t.Errorf("took %v, want at most %v", took, tt.atMost)
				}
				if err == nil && reply.URL != "http://"+s.hosts[len(s.hosts)-1]+"/" {
					t.Errorf("answer is from %s, asked were %v", reply.URL, s.hosts)
				}
				var f *tsphttp.Failures
				if errors.As(err, &f) && len(f.Attempts) == 1 && f.Attempts[0].Tries != tt.asked {
					t.Errorf("got %d tries, want %d", f.Attempts[0].Tries, tt.asked)
				}
			})
		})
	}
}

// TestClientCancelledWhileWaiting ends the wait before a retry.
func TestClientCancelledWhileWaiting(t *testing.T) {
	forge := tsptest.NewForge(t, pkitest.Options{})
	synctest.Test(t, func(t *testing.T) {
		s := &script{forge: forge, steps: []step{{status: 503, retryAfter: strconv.Itoa(20)}}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		_, err := newClient(t, tsphttp.ClientConfig{URLs: []string{"http://a/"}, Transport: s}).Stamp(ctx, newRequest(t))
		if !errors.Is(err, context.Canceled) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v, want the context's error after 1s", err, time.Since(begin))
		}
	})
}
