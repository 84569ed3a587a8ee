package oci

import (
	"fmt"
)

// A Kind says what sort of failure an [Error] is. The set is closed.
type Kind string

// The kinds.
const (
	// NotFound: there is no such repository, tag, manifest or blob.
	NotFound Kind = "not found"
	// Unauthorized: credentials are missing, could not be had, or were refused.
	Unauthorized Kind = "unauthorized"
	// Forbidden: whoever the credentials stand for may not do this.
	Forbidden Kind = "forbidden"
	// TooManyRequests: asked to wait longer than we do.
	TooManyRequests Kind = "too many requests"
	// Unavailable: no answer, half an answer, or the answer that the other side
	// is out of order.
	Unavailable Kind = "unavailable"
	// Digest: the bytes are not those that the digest or the size stands for.
	Digest Kind = "digest"
	// TooLarge: a limit was exceeded; see [Limits].
	TooLarge Kind = "too large"
	// Malformed: what was said cannot be understood.
	Malformed Kind = "malformed"
	// Unsupported: understood, and not something that we or they do.
	Unsupported Kind = "unsupported"
	// Conflict: others kept changing the index that had to be written.
	Conflict Kind = "conflict"
)

// An Error is any failure of this package but the end of a context.
type Error struct {
	Kind   Kind
	Host   string // the registry; "" for a layout and for what was never sent
	Status int    // of HTTP; 0 if there was none
	Err    error  // what was being done, and why it failed

	hint         string
	noRepository bool // NotFound: the registry says that the repository is missing
}

func (e *Error) Error() string {
	if e.Host == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%s: %v", e.Host, e.Err)
}

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

// Advice says what to do about it, for the line "hint:" of a command; "" if
// nothing is known.
func (e *Error) Advice() string { return e.hint }
