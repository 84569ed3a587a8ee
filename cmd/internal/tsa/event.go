package tsa

import (
	"crypto/x509"
	"time"
)

// An EventKind says what happened to a key. The words are those of the record
// of issue.
type EventKind string

// The kinds of an [Event].
const (
	// EventFailed: the key did not sign, or signed wrongly.
	EventFailed EventKind = "failed"
	// EventWorks: it signs again.
	EventWorks EventKind = "works-again"
	// EventAnnounced: a chain was published that will be used.
	EventAnnounced EventKind = "announced"
	// EventReplaced: from now on other keys issue.
	EventReplaced EventKind = "replaced"
	// EventNotMade: no stamping key could be made.
	EventNotMade EventKind = "not-made"
)

// An Event is what happened to a key, for the record of issue.
type Event struct {
	Kind EventKind
	// Name and Key are those of KeyState.
	Name, Key string
	// Certificate is that of the key, nil where none is concerned.
	Certificate *x509.Certificate
	// At is when an announced chain takes over.
	At time.Time
	// Until is when the key may be used no more, zero where it is not told.
	Until time.Time
	// Err is why the key failed, or was not made.
	Err error
}

// event returns an event of the unit.
func (u *unit) event(kind EventKind, err error) Event {
	_, until := u.Authority.Window()
	return Event{Kind: kind, Name: u.name, Key: u.Key, Certificate: u.Authority.Chain()[0], Until: until, Err: err}
}
