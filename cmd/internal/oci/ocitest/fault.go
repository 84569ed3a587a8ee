package ocitest

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Fault is how an answer goes wrong. The zero value is no fault; several at
// once are applied in the order of the fields.
type Fault struct {
	// Times is how often it happens; 0: always.
	Times int
	// Delay is before the answer; it ends early when the client goes.
	Delay time.Duration
	// Do is called before the answer, for what somebody else does meanwhile.
	Do func()
	// Status is answered instead of doing what was asked, with Body. 0: it is
	// done, and the answer changed.
	Status int
	Header http.Header // set on the answer; a value nil removes it
	Body   []byte      // instead of the answer's; nil: as it is
	// Flip changes one bit of the body.
	Flip bool
	// Link is the header Link; %d in it stands for the number of the request.
	Link string
	// Cut ends the connection after so many bytes of the body, and Stall stands
	// still there until the client goes. 0: neither; -1: before the first byte.
	Cut, Stall int
}

type fault struct {
	Fault
	expr *regexp.Regexp
	n    int
}

// Fault has requests go wrong that match a regular expression: METHOD, a space,
// the path and the query. The last that was given wins.
func (r *Registry) Fault(pattern string, f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &fault{Fault: f, expr: regexp.MustCompile(pattern)})
}

// Mend removes all faults.
func (r *Registry) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// faultFor returns the fault for a request, and how often it has happened.
func (r *Registry) faultFor(line string) (*fault, int) {
	for i := len(r.faults) - 1; i >= 0; i-- {
		f := r.faults[i]
		if f.expr.MatchString(line) && (f.Times == 0 || f.n < f.Times) {
			f.n++
			return f, f.n
		}
	}
	return nil, 0
}

// A recorder holds an answer back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.body.Write(p)
}

func (r *recorder) WriteHeader(status int) { r.status = status }

func (f *fault) serve(w http.ResponseWriter, req *http.Request, n int, right func(http.ResponseWriter, *http.Request)) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-req.Context().Done():
			return
		}
	}
	if f.Do != nil {
		f.Do()
	}
	rec := &recorder{header: w.Header()}
	if f.Status != 0 {
		rec.WriteHeader(f.Status)
	} else {
		right(rec, req)
	}
	body := rec.body.Bytes()
	if f.Body != nil {
		body = f.Body
		rec.header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if f.Flip && len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	if f.Link != "" {
		link := f.Link
		if strings.Contains(link, "%d") {
			link = fmt.Sprintf(link, n)
		}
		rec.header.Set("Link", link)
	}
	for name, values := range f.Header {
		rec.header[http.CanonicalHeaderKey(name)] = values
	}
	at := f.Cut
	if f.Stall != 0 {
		at = f.Stall
	}
	if at == 0 {
		w.WriteHeader(rec.status)
		if req.Method != http.MethodHead {
			w.Write(body)
		}
		return
	}
	if at > 0 {
		rec.header.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(rec.status)
		w.Write(body[:min(at, len(body))])
		http.NewResponseController(w).Flush()
	}
	if f.Stall != 0 {
		<-req.Context().Done()
	}
	panic(http.ErrAbortHandler) // the connection ends here
}
