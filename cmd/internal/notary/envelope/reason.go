package envelope

import (
	"errors"
	"fmt"
)

// A Reason says what is wrong with an envelope. The set is closed and the words
// are stable: they are the same in Go, in JSON and in the manual.
type Reason string

// The reasons, in the order in which the checks are made.
const (
	// ReasonMalformed: not an envelope of the format, or beyond its limits.
	ReasonMalformed Reason = "malformed"
	// ReasonTime: a time is missing, has a fraction of a second or another form
	// than that of the format, or the expiry does not come after it.
	ReasonTime Reason = "signing-time"
	// ReasonScheme: the signing scheme is missing or unknown, or an attribute
	// belongs to the other one.
	ReasonScheme Reason = "signing-scheme"
	// ReasonCritical: crit is missing, lacks what it must list, or names what
	// is not there, is there twice, or is not processed.
	ReasonCritical Reason = "critical-attribute"
	// ReasonChain: the certificate chain is missing, unreadable, or does not
	// have the profile of code signing.
	ReasonChain Reason = "certificate-chain"
	// ReasonAlgorithm: the algorithm is not the one of the leaf's key, or there
	// is none for that key.
	ReasonAlgorithm Reason = "signature-algorithm"
	// ReasonSignature: the signature does not verify.
	ReasonSignature Reason = "envelope-signature"
	// ReasonPayload: the payload or its content type is not that of the Notary
	// Project.
	ReasonPayload Reason = "payload"
	// ReasonPlugin: the signer wants the signature verified by a plugin.
	ReasonPlugin Reason = "verification-plugin"
	// ReasonTimestamp: what is to be put in as a timestamp is not a token over
	// this signature, or the signature can have none.
	ReasonTimestamp Reason = "timestamp-token"
	// ReasonValidity: a certificate is not valid at the time asked for.
	ReasonValidity Reason = "certificate-validity"
	// ReasonKey: the key is not that of the leaf, or does not sign.
	ReasonKey Reason = "signing-key"
)

// Reasons returns every Reason, in the order in which the checks are made.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonTime, ReasonScheme, ReasonCritical, ReasonChain, ReasonAlgorithm, ReasonSignature,
		ReasonPayload, ReasonPlugin, ReasonTimestamp, ReasonValidity, ReasonKey,
	}
}

// An Error says why an envelope is not accepted, or not made. Every error about
// an envelope, a payload or a chain is an *Error.
type Error struct {
	Reason Reason
	// Detail says for people what was found and what was expected.
	Detail string
	// Err is the cause, nil when there is none. Detail has its text.
	Err error
}

// Error returns the reason and the detail.
func (e *Error) Error() string { return "envelope: " + string(e.Reason) + ": " + e.Detail }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// failed is fail with a cause, whose text comes after that of format.
func failed(r Reason, cause error, format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...) + ": " + cause.Error(), Err: cause}
}

// within puts the name of the part that is being read before the detail of err.
func within(part string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return &Error{Reason: e.Reason, Detail: part + ": " + e.Detail, Err: e.Err}
	}
	return failed(ReasonMalformed, err, "%s", part)
}
