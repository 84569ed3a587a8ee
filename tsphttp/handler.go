package tsphttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// A Responder answers requests: an authority.Authority is one.
type Responder interface {
	// Respond returns the DER of a TimeStampResp, always, and what became of
	// the request. It may be called by many goroutines at once. It must keep
	// nothing of request after it returned. The context ends when the client
	// hangs up.
	Respond(ctx context.Context, request []byte) ([]byte, tsp.Outcome)
}

// A RefusalFormat says how a request in DER that is well-formed HTTP is
// refused. Requests in JSON are always refused in JSON.
type RefusalFormat int

const (
	// RefusalRFC3161 is a TimeStampResp with HTTP status 200: what RFC 3161
	// has, and every client but one reads.
	RefusalRFC3161 RefusalFormat = iota
	// RefusalJSON is what sigstore/timestamp-authority sends, and its Go client
	// expects: HTTP status 400, 500 or 503 and {"code":400,"message":"..."}.
	RefusalJSON
)

// Defaults of a [HandlerConfig].
const (
	// DefaultMaxRequest is far above any honest request, and that of
	// sigstore/timestamp-authority.
	DefaultMaxRequest = 1 << 20
	// DefaultMaxConcurrent keeps a signer in another machine busy without
	// letting a burst of requests take all memory.
	DefaultMaxConcurrent = 256
	// DefaultMaxQueue is some seconds' work for the slowest signers; most of the
	// time DefaultMaxWait allows less.
	DefaultMaxQueue = 1024
	// DefaultMaxWait is less than any client's patience, and longer than the
	// crowd that comes at the full hour.
	DefaultMaxWait = time.Second
)

// HandlerConfig is what [NewHandler] makes a [Handler] of.
type HandlerConfig struct {
	// Responder answers the requests. Required.
	Responder Responder
	// MaxRequest is the longest body accepted, in octets; longer ones are
	// answered 413. Zero stands for [DefaultMaxRequest]. Requests in JSON are
	// limited to [MaxJSON] besides.
	MaxRequest int64
	// MaxConcurrent is how many requests the Responder is given at once. Zero
	// stands for [DefaultMaxConcurrent]. A request has its body read before it
	// counts, so that a slow client holds nobody up.
	MaxConcurrent int
	// MaxQueue is how many requests may wait for their turn; others are
	// answered 503. Zero stands for [DefaultMaxQueue], a negative number for
	// none.
	MaxQueue int
	// MaxWait is how long they are likely to wait at most, by how long others
	// took just before; beyond it they are answered 503 at once, however short
	// the queue is. Zero stands for [DefaultMaxWait], a negative duration for any
	// time.
	MaxWait time.Duration
	// StatusCreated answers granted requests with HTTP status 201, as
	// sigstore/timestamp-authority did before its version 2.
	StatusCreated bool
	// Refusals is how requests in DER are refused. Zero is [RefusalRFC3161].
	Refusals RefusalFormat
	// Observe is called once for each request, after it was answered. It must
	// not keep the request. Nil is not called.
	Observe func(*http.Request, Exchange)
}

// An Exchange is one request and its answer, for a log or metrics.
type Exchange struct {
	// Status is the HTTP status that was sent; 499 when the client hung up
	// before there was an answer.
	Status int
	// Form is how the request was encoded.
	Form Form
	// RequestSize and ReplySize are the lengths of the bodies, in octets, as
	// far as they were read and written.
	RequestSize, ReplySize int
	// Outcome is what the Responder did. It is zero when the Responder was not
	// asked, but for the Rejection of what was not even a request.
	Outcome tsp.Outcome
	// Duration is the time from the call of the Handler to the end of the
	// answer; Waited is the part of it spent in the queue.
	Duration, Waited time.Duration
	// Err is why HTTP failed: the request refused before the Responder saw it,
	// a *[PanicError], an answer that could not be sent. For the log only.
	Err error
}

// A PanicError is the panic of a [Responder], which the client was told of as
// a systemFailure.
type PanicError struct {
	Value any
	Stack []byte
}

// Error returns the value of the panic, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("responder panicked: %v", e.Value) }

// A Handler serves RFC 3161 over HTTP (3.4), and the JSON form of requests
// that sigstore/timestamp-authority has, on whatever path it is put. Each
// request gets an answer with a body; no header, body or Responder makes it
// fail without one.
type Handler struct {
	responder  Responder
	maxRequest int64
	granted    int
	refusals   RefusalFormat
	observe    func(*http.Request, Exchange)
	queue      *queue
	buffers    sync.Pool // of *[smallBody]byte
	lengths    lengthCache
}

// NewHandler returns a Handler. It fails when there is no Responder or a limit
// is negative that must not be.
func NewHandler(cfg HandlerConfig) (*Handler, error) {
	switch {
	case cfg.Responder == nil:
		return nil, errors.New("tsphttp: handler without a Responder")
	case cfg.MaxRequest < 0:
		return nil, fmt.Errorf("tsphttp: MaxRequest is %d", cfg.MaxRequest)
	case cfg.MaxConcurrent < 0:
		return nil, fmt.Errorf("tsphttp: MaxConcurrent is %d", cfg.MaxConcurrent)
	case cfg.Refusals != RefusalRFC3161 && cfg.Refusals != RefusalJSON:
		return nil, fmt.Errorf("tsphttp: unknown refusal format %d", cfg.Refusals)
	}
	h := &Handler{
		responder:  cfg.Responder,
		maxRequest: cfg.MaxRequest,
		granted:    http.StatusOK,
		refusals:   cfg.Refusals,
		observe:    cfg.Observe,
		buffers:    sync.Pool{New: func() any { return new([smallBody]byte) }},
	}
	if cfg.MaxRequest == 0 {
		h.maxRequest = DefaultMaxRequest
	}
	// What is above is refused by the parser anyway.
	h.maxRequest = min(h.maxRequest, tsp.MaxMessage)
	if cfg.StatusCreated {
		h.granted = http.StatusCreated
	}
	concurrent, waiting := cfg.MaxConcurrent, cfg.MaxQueue
	if concurrent == 0 {
		concurrent = DefaultMaxConcurrent
	}
	if waiting == 0 {
		waiting = DefaultMaxQueue
	}
	wait := cfg.MaxWait
	if wait == 0 {
		wait = DefaultMaxWait
	}
	h.queue = newQueue(concurrent, max(waiting, 0), max(wait, 0))
	return h, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.observe == nil {
		var x Exchange
		h.serve(w, r, &x)
		return
	}
	start := time.Now()
	var x Exchange
	h.serve(w, r, &x)
	x.Duration = time.Since(start)
	h.observe(r, x)
}

// serve answers what HTTP itself has to say, and leaves the rest to stamp.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, x *Exchange) {
	if r.Method != http.MethodPost {
		w.Header()["Allow"] = headerPOST
		h.refuse(w, x, http.StatusMethodNotAllowed, fmt.Sprintf("method %s is not allowed, but [POST] are", clip(r.Method)))
		return
	}
	x.Form = requestForm(r.Header)
	if x.Form == FormUnknown {
		h.refuse(w, x, http.StatusUnsupportedMediaType, unsupportedType(r.Header))
		return
	}
	if !unencoded(r.Header) {
		w.Header()["Accept-Encoding"] = headerIdentity
		h.refuse(w, x, http.StatusUnsupportedMediaType, "content codings are not supported, only identity is")
		return
	}
	limit := h.maxRequest
	if x.Form == FormJSON {
		limit = min(limit, MaxJSON)
	}
	if r.ContentLength > limit {
		h.tooLarge(w, x)
		return
	}
	buf := h.buffers.Get().(*[smallBody]byte)
	body, err := readBody(r.Body, buf[:], limit)
	x.RequestSize = len(body)
	if err != nil {
		h.buffers.Put(buf)
		h.unreadable(w, r, x, err)
		return
	}
	h.stamp(w, r, x, body)
	if _, panicked := x.Err.(*PanicError); !panicked { // one that did may not be done with the request
		h.buffers.Put(buf)
	}
}

// stamp has the Responder answer a body that was read.
func (h *Handler) stamp(w http.ResponseWriter, r *http.Request, x *Exchange, body []byte) {
	if x.Form == FormJSON {
		req, err := parseJSON(body)
		if err == nil {
			body, err = req.Marshal()
		}
		if err != nil {
			h.reject(w, x, tsp.AsRejection(err))
			return
		}
	} else if len(body) == 0 {
		h.reject(w, x, tsp.Reject(tsp.BadDataFormat, "request is empty"))
		return
	}
	if err := h.wait(r.Context(), x); err != nil {
		x.Err = err
		if errors.Is(err, context.Canceled) {
			h.gone(w, x)
			return
		}
		w.Header()["Retry-After"] = []string{strconv.Itoa(h.queue.retryAfter())}
		h.refuse(w, x, http.StatusServiceUnavailable, "too many requests, try again later")
		return
	}
	entered := time.Now()
	reply, err := h.respond(r.Context(), body, &x.Outcome)
	h.queue.leave(time.Since(entered))
	if err != nil {
		x.Err = err
		h.reject(w, x, tsp.AsRejection(err))
		return
	}
	switch {
	case x.Outcome.Rejection == nil && x.Form == FormJSON && prefersJSON(r.Header):
		h.grantJSON(w, x, reply)
	case x.Outcome.Rejection == nil:
		h.write(w, x, message{status: h.granted, mediaType: headerReply, body: reply})
	case r.Context().Err() == context.Canceled:
		h.gone(w, x) // and that is why there is no token
	case x.Form == FormJSON || h.refusals == RefusalJSON:
		h.reject(w, x, x.Outcome.Rejection)
	default:
		h.write(w, x, message{status: http.StatusOK, mediaType: headerReply, body: reply})
	}
}

// wait gets a slot, and takes the time of waiting only where there is some.
func (h *Handler) wait(ctx context.Context, x *Exchange) error {
	if h.queue.tryEnter() {
		return nil
	}
	start := time.Now()
	err := h.queue.enter(ctx)
	x.Waited = time.Since(start)
	return err
}

// respond calls the Responder and turns what it must not do into an error.
func (h *Handler) respond(ctx context.Context, request []byte, out *tsp.Outcome) (reply []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			reply, err = nil, &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	reply, *out = h.responder.Respond(ctx, request)
	if len(reply) == 0 {
		return nil, errors.New("responder gave no answer")
	}
	return reply, nil
}

// unreadable answers a request whose body could not be read.
func (h *Handler) unreadable(w http.ResponseWriter, r *http.Request, x *Exchange, err error) {
	x.Err = err
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errTooLarge) || errors.As(err, &tooLarge):
		h.tooLarge(w, x)
	case errors.Is(err, os.ErrDeadlineExceeded):
		h.refuse(w, x, http.StatusRequestTimeout, "the request took too long to arrive")
	case r.Context().Err() != nil:
		h.gone(w, x)
	default:
		h.refuse(w, x, http.StatusBadRequest, "the request could not be read")
	}
}
