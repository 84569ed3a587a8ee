package serve

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// track follows each request of a connection: arriving until its body has been
// read, then complete until there is an answer.
func (l *connections) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := r.Context().Value(connectionKey{}).(*connection)
		if c == nil { // not by a connection of ours
			next.ServeHTTP(w, r)
			return
		}
		a := &arriving{ResponseWriter: w, c: c}
		if !a.begin(r) {
			// Not a body, which the client could leave with us.
			w.Header()["Retry-After"] = []string{"1"}
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		defer a.end()
		if r.Body == nil || r.Body == http.NoBody {
			a.complete()
		} else {
			a.body = r.Body
			// In a copy: net/http looks at what it gave, to know whether it has to
			// read the rest before it answers. Of who waits for 100 Continue there is
			// none, and of others only so much.
			given := *r
			given.Body = a
			r = &given
		}
		next.ServeHTTP(a, r)
	})
}

// arriving is a request: its body, of which it notices the end, and the writer
// of the answer, of which it notices the beginning.
type arriving struct {
	http.ResponseWriter
	body  io.ReadCloser // nil: there is none
	c     *connection
	begun atomic.Bool // so has the answer
	// These belong to the listener's mutex.
	state arrival
	held  int64 // of the request, in bytes
}

// An arrival is how far a request is.
type arrival int

const (
	arrivalBegun    arrival = iota + 1 // part of its body is on the way
	arrivalComplete                    // all of it is here, and no answer yet
	arrivalAnswered
)

// begin counts a request whose header is here. A connection may always have one;
// there are more only of HTTP/2. Once there are as many on all connections
// together as there may be connections, one has no more than its share. Where
// the header is too much, the connection is closed.
func (a *arriving) begin(r *http.Request) bool {
	l, c := a.c.listener, a.c
	size := headerSize(r)
	l.mu.Lock()
	if l.limit > 0 && l.underway >= l.limit && c.underway >= max(1, l.limit/max(l.open, 1)) {
		l.mu.Unlock()
		return false
	}
	l.noHead(c)
	c.underway++
	l.underway++
	a.state = arrivalBegun
	l.mu.Unlock()
	if !a.keep(size) {
		a.end()
		panic(http.ErrAbortHandler)
	}
	return true
}

// perField is what a field of a header takes besides its text, in bytes: its
// place in a map, and two strings and a slice.
const perField = 128

// headerSize is how much memory the header of a request takes, about.
func headerSize(r *http.Request) int64 {
	size := len(r.RequestURI)
	for name, values := range r.Header {
		size += len(name) + perField
		for _, value := range values {
			size += len(value)
		}
	}
	return int64(size)
}

// move takes a request to a later state.
func (a *arriving) move(to arrival) {
	l := a.c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	a.moveTo(to)
}

func (a *arriving) moveTo(to arrival) {
	c, l := a.c, a.c.listener
	from := a.state
	if to <= from {
		return
	}
	a.state = to
	switch {
	case to == arrivalComplete:
		if c.answering++; c.answering == 1 {
			l.dequeue(c)
		}
	case from == arrivalComplete:
		if c.answering--; c.answering == 0 {
			c.taking = true
			l.enqueue(c)
		}
	}
}

// end notes that the request is no more.
func (a *arriving) end() {
	c, l := a.c, a.c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	a.moveTo(arrivalAnswered)
	c.underway--
	l.underway--
	c.held -= a.held
	l.held -= a.held
}

func (a *arriving) complete() { a.move(arrivalComplete) }

// answered notes that the answer begins: from now on it is for the client to
// take it. A request that is answered before it is here stays one that is on its
// way.
func (a *arriving) answered() {
	if a.begun.Swap(true) {
		return
	}
	// That of net/http began with the header, and the body, or what was done with
	// it, may have taken all of the time. HTTP/2 has one for each stream.
	if s := a.c.listener.server; s != nil && s.WriteTimeout > 0 {
		// A writer that has no deadline is not on a network.
		_ = http.NewResponseController(a.ResponseWriter).SetWriteDeadline(time.Now().Add(s.WriteTimeout))
	}
	a.c.listener.mu.Lock()
	early := a.state == arrivalBegun
	a.c.listener.mu.Unlock()
	if !early {
		a.move(arrivalAnswered)
	}
}

// Read reads the body.
func (a *arriving) Read(b []byte) (int, error) {
	n, err := a.body.Read(b)
	if errors.Is(err, io.EOF) {
		a.complete()
	} else if n > 0 && !a.keep(int64(n)) {
		return 0, errCrowded
	}
	return n, err
}

// errCrowded is why nothing can be read from a connection that was closed.
var errCrowded = errors.New("too much of too many requests is on its way")

// keep counts n bytes of a request. If all requests together are too much, and
// those of its connection more than its share, it is closed.
func (a *arriving) keep(n int64) bool {
	l, c := a.c.listener, a.c
	l.mu.Lock()
	a.held += n
	c.held += n
	l.held += n
	crowded := l.held > maxHeld && c.held > max(modestHeld, maxHeld/int64(max(l.open, 1)))
	if crowded && !c.gone {
		l.stats.Evicted++
		l.remove(c)
	}
	l.mu.Unlock()
	if crowded {
		c.Conn.Close()
	}
	return !crowded
}

// Close closes the body.
func (a *arriving) Close() error { return a.body.Close() }

func (a *arriving) WriteHeader(status int) {
	a.answered()
	a.ResponseWriter.WriteHeader(status)
}

func (a *arriving) Write(b []byte) (int, error) {
	a.answered()
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *arriving) Unwrap() http.ResponseWriter { return a.ResponseWriter }
