package access

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A Reason is why a request is refused: one of the words below, for metrics.
type Reason string

const (
	// ReasonRate is too many requests in too short a time: 429.
	ReasonRate Reason = "rate"
	// ReasonQuota is a quota that is used up: 429.
	ReasonQuota Reason = "quota"
	// ReasonAttempts is too many wrong credentials from one address: 429.
	ReasonAttempts Reason = "attempts"
	// ReasonUnauthenticated is a credential that is missing or wrong: 401.
	ReasonUnauthenticated Reason = "unauthenticated"
	// ReasonForbidden is a client that is known for what it is, and not
	// admitted: 403.
	ReasonForbidden Reason = "forbidden"
)

// Reasons returns all of them.
func Reasons() []Reason {
	return []Reason{ReasonRate, ReasonQuota, ReasonAttempts, ReasonUnauthenticated, ReasonForbidden}
}

// A Refusal is why a request is not admitted, and what to say.
type Refusal struct {
	// Status is the HTTP status: 401, 403 or 429.
	Status int
	// RetryAfter is how long to wait, with 429: who waits exactly so long is
	// admitted, if nobody else draws on the same limit. Else zero.
	RetryAfter time.Duration
	// Text says what is wrong and what to do. Anybody may read it.
	Text string
	// Reason is for metrics.
	Reason Reason
	// Challenge is the value of WWW-Authenticate, with 401. Else "".
	Challenge string
}

// SetHeader puts what goes with the status into the header of the answer:
// Retry-After, in whole seconds and so rounded up (RFC 9110, 10.2.3), and
// WWW-Authenticate (RFC 9110, 11.6.1).
func (f *Refusal) SetHeader(h http.Header) {
	if f.RetryAfter > 0 {
		h["Retry-After"] = []string{strconv.FormatInt(wholeSeconds(f.RetryAfter), 10)}
	}
	if f.Challenge != "" {
		h["Www-Authenticate"] = []string{f.Challenge}
	}
}

func wholeSeconds(d time.Duration) int64 {
	s := int64(d / time.Second)
	if d%time.Second > 0 {
		s++
	}
	return s
}

// The challenges name Basic first: there are programs that look at nothing but
// the first scheme, and those that know Bearer do not wait to be asked.
const (
	challenge      = `Basic realm="timestamp", charset="UTF-8", Bearer realm="timestamp"`
	challengeAgain = challenge + `, error="invalid_token"` // RFC 6750, 3.1
)

// tooMany refuses what is above a limit.
func tooMany(c *Client, reason Reason, wait time.Duration) *Refusal {
	who := "this address"
	if c.Name != "" {
		who = "client " + c.Name
	}
	f := &Refusal{Status: http.StatusTooManyRequests, RetryAfter: wait, Reason: reason}
	seconds := time.Duration(wholeSeconds(wait)) * time.Second
	switch reason {
	case ReasonQuota:
		f.Text = fmt.Sprintf("%s has used its quota of requests, the next one begins in %v", who, seconds)
	case ReasonAttempts:
		f.Text = fmt.Sprintf("too many wrong credentials from this address, try again in %v with a right one", seconds)
	default:
		f.Text = fmt.Sprintf("%s sends requests too fast, try again in %v", who, seconds)
	}
	return f
}

func unauthenticated(text, challenge string) *Refusal {
	return &Refusal{Status: http.StatusUnauthorized, Text: text, Reason: ReasonUnauthenticated, Challenge: challenge}
}

func forbidden(text string) *Refusal {
	return &Refusal{Status: http.StatusForbidden, Text: text, Reason: ReasonForbidden}
}
