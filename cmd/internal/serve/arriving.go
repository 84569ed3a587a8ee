package serve

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
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
		if r.Body == nil || r.Body == http.NoBody {
			a.complete()
		} else {
			if !a.begin() {
				w.Header()["Retry-After"] = []string{"1"}
				plain(w, http.StatusServiceUnavailable, "too many requests on one connection whose body has not arrived, try again later\n")
				return
			}
			a.body = r.Body
			r.Body = a
		}
		defer a.done()
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
	read  int64 // of the body, in bytes
}

// An arrival is how far a request is.
type arrival int

const (
	arrivalBegun    arrival = iota + 1 // part of its body is on the way
	arrivalComplete                    // all of it is here, and no answer yet
	arrivalAnswered
)

// begin counts a request whose body is on its way. A connection may always have
// one; there are more only of HTTP/2, and of those no more on all connections
// together than there may be connections.
func (a *arriving) begin() bool {
	l := a.c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 && a.c.unfinished > 0 && l.unfinished >= l.limit {
		return false
	}
	a.c.unfinished++
	l.unfinished++
	a.state = arrivalBegun
	return true
}

// move takes a request to a later state.
func (a *arriving) move(to arrival) {
	c, l := a.c, a.c.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	from := a.state
	if to <= from {
		return
	}
	a.state = to
	if from == arrivalBegun {
		c.unfinished--
		l.unfinished--
		l.arriving -= a.read
	}
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

func (a *arriving) complete() { a.move(arrivalComplete) }
func (a *arriving) done()     { a.move(arrivalAnswered) }

// answered notes that the answer begins: from now on it is for the client to
// take it. A request that is answered before it is here stays one that is on its
// way.
func (a *arriving) answered() {
	if a.begun.Swap(true) {
		return
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
	} else if n > 0 && !a.keep(n) {
		return 0, errCrowded
	}
	return n, err
}

// errCrowded is why the body of a connection that was closed cannot be read.
var errCrowded = errors.New("too much of too many bodies is on its way")

// keep counts n bytes of a body that is not complete. If all of those together
// are too many, and this is not one of the small ones, its connection is closed.
func (a *arriving) keep(n int) bool {
	l := a.c.listener
	l.mu.Lock()
	a.read += int64(n)
	l.arriving += int64(n)
	crowded := l.arriving > maxArriving && a.read > modestBody
	if crowded && !a.c.gone {
		l.stats.Evicted++
		l.remove(a.c)
	}
	l.mu.Unlock()
	if crowded {
		a.c.Conn.Close()
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
