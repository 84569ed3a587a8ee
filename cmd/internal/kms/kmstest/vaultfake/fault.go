package vaultfake

import (
	"io"
	"net/http"
)

// A Fault is one way to misbehave. The zero Fault of an operation does
// nothing; set one of the fields below Times.
type Fault struct {
	// On is the operation, "" for all.
	On string
	// Times is how often; 0: until [Server.Clear].
	Times int

	// Status is answered instead of anything else, with Body.
	Status int
	// Body is answered instead of anything else, with Status or 200.
	Body string
	// Location is answered with Status: a redirection.
	Location string
	// Hang answers nothing until the client goes, or the faults are cleared.
	Hang bool
	// Version is what a signature claims to be made with.
	Version int
	// PSS makes RSA signatures with PSS, whatever is asked for.
	PSS bool
	// P1363 makes ECDSA signatures r||s, whatever is asked for.
	P1363 bool
	// OtherKey signs with a key that nobody knows.
	OtherKey bool
	// Mangle changes a signature, if it is not nil.
	Mangle func(signature []byte) []byte

	cleared chan struct{}
}

// Inject adds a fault.
func (s *Server) Inject(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.cleared = make(chan struct{})
	s.faults = append(s.faults, &f)
}

// Clear ends all faults.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		close(f.cleared)
	}
	s.faults = nil
}

// fault returns the first fault of an operation and counts it.
func (s *Server) fault(on string) *Fault {
	for i, f := range s.faults {
		if f.On != "" && f.On != on {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return f
	}
	return nil
}

// before misbehaves instead of answering, if that is what the fault does.
func (f *Fault) before(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-f.cleared:
		}
		return true
	case f.Status != 0 || f.Body != "":
		if f.Location != "" {
			w.Header().Set("Location", f.Location)
		}
		w.Header().Set("Content-Type", "application/json")
		if f.Status != 0 {
			w.WriteHeader(f.Status)
		}
		_, _ = io.WriteString(w, f.Body) // the client may have gone
		return true
	}
	return false
}
