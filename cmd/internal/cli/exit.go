package cli

import (
	"errors"
	"fmt"
)

// Code is an exit status. There are three, as for cmp and grep:
//
//	0  yes: it verifies, it was granted, it was done
//	1  no: it does not verify, the authority refused
//	2  could not tell: usage, input and output, network, configuration
type Code int

// The three exit statuses.
const (
	OK      Code = 0
	No      Code = 1
	Unknown Code = 2
)

// The same under the names that a main function reads well with.
const (
	ExitOK      = int(OK)
	ExitNo      = int(No)
	ExitUnknown = int(Unknown)
)

// Error is an error that knows more than its message. Any other error that a
// command returns is one with exit status [Unknown].
type Error struct {
	Code   Code   // OK is read as Unknown: an error is never a success
	Reason string // one word of a closed set, for --json; "" if there is none
	Hint   string // what to do about it; "" if nothing is known
	Usage  bool   // the command line was wrong: points at --help if there is no hint
	Silent bool   // the answer has said it all; only the exit status matters
	Err    error  // what happened
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.exit())
	}
	return e.Err.Error()
}

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) exit() Code {
	if e.Code == OK {
		return Unknown
	}
	return e.Code
}

// Usagef is a wrong command line: exit status 2, and the hint names --help.
func Usagef(format string, args ...any) error {
	return &Error{Usage: true, Err: fmt.Errorf(format, args...)}
}

// Hint adds what to do about err. It keeps what err already knows about its
// exit status and reason; a hint that err has already is kept.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	out := Error{Err: err, Hint: fmt.Sprintf(format, args...)}
	var inner *Error
	if errors.As(err, &inner) {
		out.Code, out.Reason = inner.Code, inner.Reason
		if inner.Hint != "" {
			out.Hint = inner.Hint
		}
	}
	return &out
}

// Refused is the answer "no" with its reason, a word of a closed set.
func Refused(reason string, err error) error {
	return &Error{Code: No, Reason: reason, Err: err}
}

// Silently ends the program with code after the answer has been written in
// full, as a verification of many files does when some of them fail.
func Silently(code Code) error {
	if code == OK {
		return nil
	}
	return &Error{Code: code, Silent: true}
}

// HintOf returns what to do about err: the hint of [Hint], or else what an error
// inside it knows, by a method Advice; "" for nothing.
func HintOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Hint != "" {
		return e.Hint
	}
	var knows interface{ Advice() string }
	if errors.As(err, &knows) {
		return knows.Advice()
	}
	return ""
}
