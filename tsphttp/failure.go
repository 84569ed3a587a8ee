package tsphttp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// Failures is the error of [Client.Ask]: no authority gave an answer that can
// be used. Unwrap returns the attempts.
type Failures struct {
	// Attempts has one entry for each authority that was asked, in that order.
	Attempts []*AttemptError
}

// Error returns the attempts, one after the other.
func (f *Failures) Error() string {
	var texts []string
	for _, a := range f.Attempts {
		texts = append(texts, a.Error())
	}
	return "tsphttp: " + strings.Join(texts, "; ")
}

// Unwrap returns the attempts.
func (f *Failures) Unwrap() []error {
	out := make([]error, len(f.Attempts))
	for i, a := range f.Attempts {
		out[i] = a
	}
	return out
}

// An AttemptError says why one authority gave no answer that can be used.
type AttemptError struct {
	// URL is that of the authority, without user and query.
	URL string
	// Tries is how often it was asked.
	Tries int
	Err   error
}

// Error returns the URL and the cause.
func (e *AttemptError) Error() string {
	text := e.URL + ": " + strings.TrimPrefix(e.Err.Error(), "tsp: ")
	if e.Tries > 1 {
		text += " (" + strconv.Itoa(e.Tries) + " tries)"
	}
	return text
}

// Unwrap returns the cause.
func (e *AttemptError) Unwrap() error { return e.Err }

// A ConnectionError is a connection that could not be made or that broke off
// before the reply was there.
type ConnectionError struct{ Err error }

// Error returns the cause.
func (e *ConnectionError) Error() string { return "connection failed: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// A TimeoutError is an authority that did not answer in time.
type TimeoutError struct{ After time.Duration }

// Error returns how long the answer was waited for.
func (e *TimeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.After) }

// Timeout reports true, as network errors do.
func (e *TimeoutError) Timeout() bool { return true }

// Unwrap returns [context.DeadlineExceeded].
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// A StatusError is an HTTP status other than 200 and 201.
type StatusError struct {
	Code int
	// Message is what the server says about it, cleaned of control characters;
	// "" for nothing that can be shown.
	Message string
	// Rejection is the refusal that came with the status, nil for none.
	Rejection *tsp.Rejection
	// RetryAfter is how long the server asks to wait, 0 when it does not.
	RetryAfter time.Duration
	// Hint is what the user could do, "" if that is not known.
	Hint string
}

// Error returns the status and what is known about it.
func (e *StatusError) Error() string {
	text := "HTTP status " + strconv.Itoa(e.Code)
	if name := http.StatusText(e.Code); name != "" {
		text += " " + name
	}
	if e.Rejection != nil {
		text += ": " + strings.TrimPrefix(e.Rejection.Error(), "tsp: ")
	} else if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap returns the refusal that came with the status.
func (e *StatusError) Unwrap() error {
	if e.Rejection == nil {
		return nil
	}
	return e.Rejection
}

// A RedirectError is a redirect that is not followed.
type RedirectError struct {
	Status   int
	Location string // without user and query; "" if it could not be read
	Reason   string
}

// Error returns where the redirect leads, and why it is not followed.
func (e *RedirectError) Error() string {
	return fmt.Sprintf("redirect (HTTP status %d) to %q is not followed: %s", e.Status, e.Location, e.Reason)
}

// A MediaTypeError is an answer that does not say that it is a timestamp
// reply. A login page has HTTP status 200 too.
type MediaTypeError struct{ Got string }

// Error returns the media type that came.
func (e *MediaTypeError) Error() string {
	return fmt.Sprintf("the answer has media type %q, not %s", e.Got, TypeReply)
}

// A SizeError is an answer of more than Limit octets.
type SizeError struct{ Limit int64 }

// Error returns the limit.
func (e *SizeError) Error() string {
	return fmt.Sprintf("the answer is longer than %d bytes", e.Limit)
}

// A TimeError is an answer whose time is further from the local clock's than
// allowed: the authority's clock is wrong, the local one is, or the answer is
// an old one.
type TimeError struct {
	GenTime, Local time.Time
	Allowed        time.Duration
}

// Error returns both times.
func (e *TimeError) Error() string {
	diff, word := e.Local.Sub(e.GenTime), "behind"
	if diff < 0 {
		diff, word = -diff, "ahead of"
	}
	return fmt.Sprintf("the answer's time %s is %v %s the local clock, more than %v",
		e.GenTime.UTC().Format(time.RFC3339), diff.Round(time.Second), word, e.Allowed)
}

// shown returns a URL without what may be secret in it.
func shown(u *url.URL) string {
	return clip((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String())
}

// maxMessage is how much of a server's message is kept, in octets.
const maxMessage = 300

// errorMessage finds the words for people in an error page.
func errorMessage(contentType string, body []byte) string {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("{")) { // whatever type it claims to be
		var e jsonError
		if json.Unmarshal(body, &e) == nil && e.Message != "" {
			if e.Detail != "" {
				e.Message += ": " + e.Detail
			}
			return printable(e.Message)
		}
	}
	if baseType(contentType) == "text/plain" {
		line, _, _ := bytes.Cut(body, []byte("\n"))
		return printable(string(line))
	}
	return ""
}

// printable takes out what a terminal could take for a command.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "..."
	}
	return strings.TrimSpace(text)
}
