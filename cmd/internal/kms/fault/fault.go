// Package fault says what is wrong with a key that lives elsewhere, in the
// same words for every service: who has to mend it, and whether trying again
// can help.
package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Kind is what is wrong.
type Kind string

// The kinds.
const (
	// NotFound: the service answers, and has no such key, version, token or
	// file.
	NotFound Kind = "not-found"
	// Denied: the service knows who asks, and does not let them.
	Denied Kind = "denied"
	// Credentials: there is none, or it is wrong or has expired: a token, a
	// PIN, an account.
	Credentials Kind = "credentials"
	// Locked: the token takes no PIN any more, or the vault is sealed, until
	// an operator unlocks it.
	Locked Kind = "locked"
	// Unreachable: no answer, or that of a service which is not well. The only
	// kind that may pass by itself.
	Unreachable Kind = "unreachable"
	// Unfit: the key is there and cannot do what is asked: another type, no
	// signing, disabled.
	Unfit Kind = "unfit"
	// Malformed: the URI, or what the service sent, is not what it has to be.
	Malformed Kind = "malformed"
	// Unsupported: this program, or this build of it, does not do that.
	Unsupported Kind = "unsupported"
)

// Temporary says that the same call may succeed a little later.
func (k Kind) Temporary() bool { return k == Unreachable }

// An Error is the failure of one operation with a key. It never holds a
// secret.
type Error struct {
	Kind Kind
	// Op is what was being done, such as "sign" or "read the public key".
	Op string
	// Err is why.
	Err error
	// Hint says what to do, "" for nothing beyond what Err says. It is one
	// line, without a full stop.
	Hint string
}

func (e *Error) Error() string {
	if e.Op == "" {
		return e.Err.Error()
	}
	return e.Op + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is makes a fault of the kind Unsupported match [errors.ErrUnsupported].
func (e *Error) Is(target error) bool {
	return target == errors.ErrUnsupported && e.Kind == Unsupported
}

// Advice returns the first hint in e, for the programs that show it.
func (e *Error) Advice() string { return HintOf(e) }

// New returns an error of a kind; format and args are those of fmt.Errorf.
func New(kind Kind, op, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// KindOf returns the kind of the outermost *Error in err, "" if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return ""
}

// HintOf returns the first hint in err, "" if there is none.
func HintOf(err error) string {
	for e, ok := errors.AsType[*Error](err); ok; e, ok = errors.AsType[*Error](e.Err) {
		if e.Hint != "" {
			return e.Hint
		}
	}
	return ""
}

// maxWords bounds what an error repeats of a service's own words, in bytes.
// What services say is shorter.
const maxWords = 300

// Words makes what a service says a part of an error: one line, of at most 300
// bytes and three dots, in printable characters only, since a terminal may be
// what shows it.
func Words(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	quoted := strconv.Quote(text)
	// Quotes and backslashes are no danger, and read better as they are.
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
}
