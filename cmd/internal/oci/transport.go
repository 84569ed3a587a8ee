package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// How often a request is tried, all in all.
const (
	// maxAttempts is for an answer that asks to wait.
	maxAttempts = 5
	// maxBroken is for a server or a connection that is out of order.
	maxBroken = 3
	// firstPause doubles with each attempt.
	firstPause = 250 * time.Millisecond
)

// pace is how many bytes have to move within Limits.Stall for the wait to begin
// anew. One byte a minute would keep us for years.
const pace = 16 << 10

// errStalled is why a request was given up that stood still.
var errStalled = errors.New("hardly a byte for a long time")

// A transport sends each request of a repository: those to the registry, its
// token service and its storage. It tries again what may work a little later,
// gives up what hardly moves, and counts the bytes of uploads.
type transport struct {
	base  http.RoundTripper
	wait  time.Duration // for all pauses of one request
	stall time.Duration

	pause func(context.Context, time.Duration) error
}

// counting is the key in a context of the function that is told of the bytes of
// an upload that have been sent.
type counting struct{}

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, left := req.Context(), t.wait
	for attempt := 1; ; attempt++ {
		resp, err := t.once(req)
		pause, again := again(attempt, resp, err)
		if !again || pause > left || ctx.Err() != nil || !rewind(req) {
			return resp, err
		}
		left -= pause
		if resp != nil {
			io.CopyN(io.Discard, resp.Body, maxErrorBody) // so that the connection can serve again
			resp.Body.Close()
		}
		if err := t.pause(ctx, pause); err != nil {
			return nil, err
		}
	}
}

func rewind(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	if req.GetBody == nil {
		return false
	}
	body, err := req.GetBody()
	if err != nil {
		return false
	}
	req.Body = body
	return true
}

// again tells whether to try again, and how long to wait before.
func again(attempt int, resp *http.Response, err error) (time.Duration, bool) {
	pause := firstPause << (attempt - 1)
	pause += time.Duration(rand.Int64N(int64(pause) / 4))
	if err != nil {
		broken := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		return pause, broken && attempt < maxBroken
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if asked, ok := retryAfter(resp.Header, time.Now()); ok {
			return asked, attempt < maxAttempts
		}
		return pause, attempt < maxBroken
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return pause, attempt < maxBroken
	}
	return 0, false
}

// retryAfter reads how long the server asks to wait (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := h.Get("Retry-After")
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err == nil || errors.Is(err, strconv.ErrRange) { // no less of a wait for being long
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now)), true
	}
	return 0, false
}

// pause waits, or ends with the context.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// once sends a request, and ends it when it hardly moves for long.
func (t *transport) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	g := &guard{ctx: ctx, cancel: cancel, stall: t.stall}
	g.timer = time.AfterFunc(t.stall, func() { cancel(errStalled) })
	sent := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		count, _ := ctx.Value(counting{}).(func(int64))
		sent.Body = &upload{ReadCloser: req.Body, g: g, count: count}
	}
	resp, err := t.base.RoundTrip(sent)
	if err != nil {
		err = g.explain(err)
		g.end()
		return nil, err
	}
	g.moved(pace)
	resp.Body = &download{ReadCloser: resp.Body, g: g}
	return resp, nil
}

// A guard ends a request when fewer than pace bytes have moved for long.
type guard struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	bytes  atomic.Int64 // since the wait began
	ended  atomic.Bool
}

func (g *guard) moved(n int) {
	if g.bytes.Add(int64(n)) >= pace && !g.ended.Load() {
		g.bytes.Store(0)
		g.timer.Reset(g.stall)
	}
}

func (g *guard) end() {
	g.ended.Store(true)
	g.timer.Stop()
	g.cancel(nil)
}

func (g *guard) explain(err error) error {
	if errors.Is(context.Cause(g.ctx), errStalled) {
		return fmt.Errorf("%w (%v)", errStalled, g.stall)
	}
	return err
}

type upload struct {
	io.ReadCloser
	g     *guard
	count func(int64)
	done  int64
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	u.g.moved(n)
	if n > 0 && u.count != nil {
		u.done += int64(n)
		u.count(u.done)
	}
	return n, err
}

type download struct {
	io.ReadCloser
	g *guard
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		return n, d.g.explain(err)
	}
	d.g.moved(n)
	return n, err
}

func (d *download) Close() error {
	err := d.ReadCloser.Close()
	d.g.end()
	return err
}
