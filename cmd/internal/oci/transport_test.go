package oci

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A script answers requests one after the other.
type script []func(*http.Request) (*http.Response, error)

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	next := (*s)[0]
	*s = (*s)[1:]
	return next(req)
}

func answerWith(status int, retryAfter string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		h := make(http.Header)
		if retryAfter != "" {
			h.Set("Retry-After", retryAfter)
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("x")), Request: req}, nil
	}
}

func failWith(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// TestAgain looks at how long a request waits, and how often.
func TestAgain(t *testing.T) {
	date := time.Now().Add(10 * time.Second).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		name    string
		script  script
		status  int // 0: an error
		atLeast []time.Duration
	}{
		{"at once", script{answerWith(200, "")}, 200, nil},
		{"asked to wait", script{answerWith(429, "7"), answerWith(200, "")}, 200, []time.Duration{7 * time.Second}},
		{"asked to wait until", script{answerWith(503, date), answerWith(200, "")}, 200, []time.Duration{8 * time.Second}},
		{"asked to wait, all in all too long", script{answerWith(429, "20"), answerWith(429, "20")}, 429, []time.Duration{20 * time.Second}},
		{"asked to wait for years", script{answerWith(429, "999999999")}, 429, nil},
		{"asked to wait for ever", script{answerWith(429, "99999999999999999999")}, 429, nil},
		{"a time gone by", script{answerWith(429, "Mon, 02 Jan 2006 15:04:05 GMT"), answerWith(200, "")}, 200, []time.Duration{0}},
		{"out of order", script{answerWith(500, ""), answerWith(502, ""), answerWith(504, "")}, 504, []time.Duration{firstPause, 2 * firstPause}},
		{"reset", script{failWith(syscall.ECONNRESET), answerWith(200, "")}, 200, []time.Duration{firstPause}},
		{"reset always", script{failWith(io.EOF), failWith(io.EOF), failWith(io.EOF)}, 0, []time.Duration{firstPause, 2 * firstPause}},
		{"refused", script{failWith(syscall.ECONNREFUSED)}, 0, nil},
		{"not found", script{answerWith(404, "5")}, 404, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var waited []time.Duration
			tr := &transport{base: &test.script, wait: 30 * time.Second, stall: time.Minute, pause: func(_ context.Context, d time.Duration) error {
				waited = append(waited, d)
				return nil
			}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://localhost/", strings.NewReader("body"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := tr.RoundTrip(req)
			switch {
			case test.status == 0 && err == nil, test.status != 0 && (err != nil || resp.StatusCode != test.status):
				t.Errorf("answer %v, %v; want status %d", resp, err, test.status)
			}
			if len(test.script) != 0 {
				t.Errorf("%d answers were not asked for", len(test.script))
			}
			if len(waited) != len(test.atLeast) {
				t.Fatalf("waited %v, want %v", waited, test.atLeast)
			}
			for i, d := range waited {
				if d < test.atLeast[i] || d > test.atLeast[i]+test.atLeast[i]/2+2*time.Second {
					t.Errorf("waited %v, want about %v", waited, test.atLeast)
				}
			}
		})
	}
	// Whoever interrupts us does not wait.
	ctx, cancel := context.WithCancel(t.Context())
	tr := &transport{base: &script{answerWith(429, "20")}, wait: time.Minute, stall: time.Minute, pause: pause}
	time.AfterFunc(10*time.Millisecond, cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
