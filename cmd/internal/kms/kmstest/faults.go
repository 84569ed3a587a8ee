// Package kmstest is what the fakes of key services, in the folders below, have
// in common: they go wrong on demand, and count what they are asked for.
package kmstest

import "sync"

// Faults are those of one fake, whose server embeds them. The methods may be
// called from any goroutine. Make it with [New].
type Faults[F ~string] struct {
	once F

	mu     sync.Mutex
	faults map[string]F // by operation, "" for all
	calls  map[string]int
}

// New returns no faults; once is the one that ends when it has been met.
func New[F ~string](once F) Faults[F] {
	return Faults[F]{once: once, faults: make(map[string]F), calls: make(map[string]int)}
}

// Break has an operation, by the name that the service has for it, go wrong
// from now on; "" means every operation.
func (s *Faults[F]) Break(operation string, f F) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[operation] = f
}

// Heal ends all faults.
func (s *Faults[F]) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.faults)
}

// Calls is how often an operation was asked for.
func (s *Faults[F]) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Meet counts a call, and returns what is to go wrong with it, "" for nothing.
func (s *Faults[F]) Meet(operation string) F {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[operation]++
	name, f := s.find(operation)
	if f == s.once {
		delete(s.faults, name)
	}
	return f
}

// Look returns what is to go wrong with an operation, and counts nothing.
func (s *Faults[F]) Look(operation string) F {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, f := s.find(operation)
	return f
}

func (s *Faults[F]) find(operation string) (name string, f F) {
	for _, name := range []string{operation, ""} {
		if f, ok := s.faults[name]; ok {
			return name, f
		}
	}
	return "", ""
}
