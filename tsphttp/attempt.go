package tsphttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

const (
	// maxRedirects is more than any honest chain of redirects has.
	maxRedirects = 5
	// maxErrorBody is how much of an error page is read, in octets.
	maxErrorBody = 8 << 10
	// firstBackoff and maxBackoff bound the waits between tries.
	firstBackoff = 250 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// patience is how long a server is waited for while there is another.
	patience = time.Second
)

// An attempt is one request to one server, tried as often as that is any use.
type attempt struct {
	client *Client
	server server
	req    *tsp.Request
	body   []byte
	last   bool // there is no other server to ask
	tries  int
}

func (a *attempt) run(ctx context.Context) (*Reply, error) {
	for {
		a.tries++
		started := a.client.now()
		data, err := a.try(ctx)
		if err == nil {
			return a.check(data, started)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if a.tries > a.client.retries || !transient(err) {
			return nil, err
		}
		wait := backoff(a.tries)
		var status *StatusError
		if errors.As(err, &status) && status.RetryAfter > 0 {
			if status.RetryAfter > a.client.maxRetryAfter {
				return nil, err
			}
			wait = max(wait, status.RetryAfter)
		}
		deadline, limited := ctx.Deadline()
		if limited && time.Until(deadline) < wait || !a.last && wait > patience {
			return nil, err
		}
		if sleep(ctx, wait) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// check is what RFC 3161, 2.2 asks of a client before it uses an answer.
func (a *attempt) check(data []byte, started time.Time) (*Reply, error) {
	resp, err := tsp.ParseResponse(data)
	if err != nil {
		return nil, err
	}
	if resp.Rejection != nil {
		return nil, resp.Rejection
	}
	if err := verify.Answers(resp, a.req); err != nil {
		return nil, err
	}
	info := resp.Token.UnverifiedInfo
	if a.req.Nonce == nil && info.Nonce != nil {
		return nil, &verify.Error{Reason: verify.ReasonNonce, Detail: "the token has a nonce, and none was sent: it answers another request"}
	}
	reply := &Reply{Response: resp, URL: a.server.name}
	if a.client.trust != nil {
		if reply.Timestamp, err = a.client.trust.Response(resp, a.req); err != nil {
			return nil, err
		}
	}
	if skew := a.client.maxSkew; skew >= 0 {
		skew = max(skew, skew+info.Accuracy) // a sum beyond all durations is negative
		if now := a.client.now(); info.GenTime.Before(started.Add(-skew)) || info.GenTime.After(now.Add(skew)) {
			return nil, &TimeError{GenTime: info.GenTime, Local: now, Allowed: skew}
		}
	}
	return reply, nil
}

// try sends the request once, follows redirects, and returns the reply.
func (a *attempt) try(parent context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(parent, a.client.timeout)
	defer cancel()
	data, err := a.exchange(ctx)
	if err != nil && ctx.Err() != nil && parent.Err() == nil {
		return nil, &TimeoutError{After: a.client.timeout}
	}
	return data, err
}

func (a *attempt) exchange(ctx context.Context) ([]byte, error) {
	target := a.server.url
	for hops := 0; ; hops++ {
		resp, err := a.send(ctx, target, hops == 0)
		if err != nil {
			return nil, err
		}
		if !isRedirect(resp) {
			defer resp.Body.Close()
			return a.read(resp)
		}
		resp.Body.Close()
		next, err := a.redirect(resp, target)
		if err != nil {
			return nil, err
		}
		if hops == maxRedirects {
			return nil, &RedirectError{Status: resp.StatusCode, Location: shown(next), Reason: "there are too many"}
		}
		if a.client.certificates && (next.Scheme != target.Scheme || next.Host != target.Host) {
			return nil, &RedirectError{Status: resp.StatusCode, Location: shown(next), Reason: "the client certificate is for another host"}
		}
		target = next
	}
}

// send posts the request. Credentials and the header of the configuration go
// to the configured URL only and never along with a redirect, be it to the
// same host: a path of it may be somebody else's.
func (a *attempt) send(ctx context.Context, target *url.URL, configured bool) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.String(), bytes.NewReader(a.body))
	if err != nil {
		return nil, &ConnectionError{err}
	}
	if configured {
		for name, values := range a.client.header {
			r.Header[name] = values
		}
		if a.server.authorization != "" {
			r.Header.Set("Authorization", a.server.authorization)
		}
	}
	r.Header.Set("User-Agent", a.client.header.Get("User-Agent"))
	r.Header.Set("Content-Type", TypeQuery)
	r.Header.Set("Accept", TypeReply)
	// Not through an http.Client, which has its own ideas about redirects.
	resp, err := a.client.transport.RoundTrip(r)
	if err != nil {
		return nil, &ConnectionError{err}
	}
	return resp, nil
}

func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect returns where to post the request next.
func (a *attempt) redirect(resp *http.Response, from *url.URL) (*url.URL, error) {
	fail := func(location, reason string) (*url.URL, error) {
		return nil, &RedirectError{Status: resp.StatusCode, Location: location, Reason: reason}
	}
	next, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return fail("", "there is no Location that can be read")
	}
	next.User, next.Fragment = nil, ""
	switch {
	case next.Scheme != "http" && next.Scheme != "https" || next.Hostname() == "":
		return fail(shown(next), "that is not an http or https URL")
	case from.Scheme == "https" && next.Scheme == "http":
		return fail(shown(next), "it gives up TLS")
	case resp.StatusCode != http.StatusTemporaryRedirect && resp.StatusCode != http.StatusPermanentRedirect:
		return fail(shown(next), "it would turn the request into a GET; configure that URL if it is the authority's")
	}
	return next, nil
}

// read returns the body of a reply, and an error for anything else.
func (a *attempt) read(resp *http.Response) ([]byte, error) {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		return nil, a.statusError(resp)
	}
	switch got := resp.Header.Get("Content-Type"); baseType(got) {
	case TypeReply, typeResponse:
	default:
		return nil, &MediaTypeError{Got: clip(got)}
	}
	if !unencoded(resp.Header) { // nobody asked for it
		return nil, &MediaTypeError{Got: clip(resp.Header.Get("Content-Type")) + ", encoded as " + clip(resp.Header.Get("Content-Encoding"))}
	}
	limit := a.client.maxReply
	if resp.ContentLength > limit {
		return nil, &SizeError{Limit: limit}
	}
	data, err := readBody(resp.Body, make([]byte, 4<<10), limit)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, &SizeError{Limit: limit}
	case err != nil:
		return nil, &ConnectionError{err}
	}
	return data, nil
}

// transient reports whether the same server may do better on another try. One
// that let the whole time pass has had its chance.
func transient(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Code == http.StatusTooManyRequests || status.Code == http.StatusServiceUnavailable
	}
	var connection *ConnectionError
	if !errors.As(err, &connection) {
		return false
	}
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.As(err, &certificate), errors.As(err, &record):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	}
	return true
}

// backoff returns the wait after a number of tries: twice as long each time,
// and half of it at random, so that clients that failed together do not come
// back together.
func backoff(tries int) time.Duration {
	d := min(firstBackoff<<min(tries-1, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	seconds, err := strconv.ParseUint(value, 10, 31)
	switch {
	case err == nil:
		return time.Duration(seconds) * time.Second
	case errors.Is(err, strconv.ErrRange): // no less of a wait for being long
		return math.MaxInt64
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// statusError reads what an error page says: the refusal that RFC 3161, 3.4
// allows there too, the JSON of Sigstore's servers, or plain text.
func (a *attempt) statusError(resp *http.Response) error {
	e := &StatusError{Code: resp.StatusCode, RetryAfter: retryAfter(resp.Header, a.client.now())}
	if resp.StatusCode == http.StatusNotFound && a.server.defaulted {
		e.Hint = "the URL has no path, so " + DefaultPath + " was asked; end it with a slash to ask /"
	}
	// What cannot be read of an error page is not missed.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if r, err := tsp.ParseResponse(body); err == nil && r.Rejection != nil {
		e.Rejection = r.Rejection
		return e
	}
	e.Message = errorMessage(resp.Header.Get("Content-Type"), body)
	return e
}
