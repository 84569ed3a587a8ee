package tsa

import (
	"crypto/x509"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// A State is what an operator wants to know about the keys.
type State struct {
	// Keys are the units in their order, and last the key that certifies, if
	// there is one.
	Keys []KeyState
	// Next is what takes over, nil if nothing does.
	Next *NextState
	// WrongTokens counts the tokens that did not verify and were kept back, also
	// where another key then signed.
	WrongTokens int64
	// Made and Failed count the stamping keys that were made, and the times
	// that none could be.
	Made, Failed int64
}

// A KeyState is how one key is.
type KeyState struct {
	// Name is primary, standby-1 and so on, or ca.
	Name string
	// Key is where the key is, "" for a stamping key.
	Key string
	// External says that the key is outside this process.
	External bool
	// Issues says that requests are answered with this key now.
	Issues bool
	// Kind and Err are why it does not sign, since when; Err is nil while it
	// does.
	Kind  fault.Kind
	Err   error
	Since time.Time
	// Failures counts those since the key was opened.
	Failures int64
	// Abandoned is how many calls were given up and have not returned.
	Abandoned int64
	// From and Until are when tokens may be issued, or certificates in the case
	// of the key that certifies.
	From, Until time.Time
	// Subject is that of its certificate.
	Subject string
	// Certificate is the one that it signs under.
	Certificate *x509.Certificate
}

// A NextState is what takes over, and when.
type NextState struct {
	At      time.Time
	Until   time.Time
	Subject string
}

// CAKeyName is the KeyState.Name of the key that certifies stamping keys.
const CAKeyName = "ca"

// State returns how the keys are now.
func (t *TSA) State() State {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := State{WrongTokens: t.wrong.Load()}
	g := t.current.Load()
	active := g.active()
	for _, u := range g.units {
		k := KeyState{Name: u.name, Key: u.Key, External: u.External, Issues: u == active, Failures: u.failures.Load(),
			Certificate: u.Authority.Chain()[0]}
		k.Subject = k.Certificate.Subject.String()
		k.From, k.Until = u.Authority.Window()
		if f := u.failure.Load(); f != nil {
			k.Kind, k.Err, k.Since = kindOf(f.err), f.err, f.since
		}
		if u.Abandoned != nil {
			k.Abandoned = u.Abandoned()
		}
		s.Keys = append(s.Keys, k)
	}
	if d := t.cfg.Delegate; d != nil {
		k := KeyState{Name: CAKeyName, Key: d.Key, External: d.External, Subject: d.Chain[0].Subject.String(), Failures: t.mint.fails,
			From: d.Chain[0].NotBefore, Until: d.Chain[0].NotAfter, Certificate: d.Chain[0]}
		if t.mint.err != nil {
			k.Kind, k.Err, k.Since = kindOf(t.mint.err), t.mint.err, t.mint.since
		}
		if d.Abandoned != nil {
			k.Abandoned = d.Abandoned()
		}
		s.Keys = append(s.Keys, k)
	}
	s.Made, s.Failed = t.mint.made, t.mint.fails
	if t.next != nil {
		leaf := leafOf(t.next.generation)
		_, until := t.next.generation.units[0].Authority.Window()
		s.Next = &NextState{At: t.next.at, Until: until, Subject: leaf.Subject.String()}
	}
	return s
}
