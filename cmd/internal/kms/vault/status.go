package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// A statusError is an answer with a status that is not a success.
type statusError struct {
	status int
	// text is what the server says about it, in one line. It is "" when the
	// server says nothing.
	text string
	// foreign says that the answer is not in the form of Vault's API.
	foreign bool
}

func newStatusError(status int, body []byte) *statusError {
	var answer struct {
		Errors *[]string `json:"errors"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Errors == nil {
		return &statusError{status: status, text: oneLine(string(body)), foreign: true}
	}
	return &statusError{status: status, text: oneLine(strings.Join(*answer.Errors, "; "))}
}

// oneLine takes the bullets of a go-multierror apart.
func oneLine(s string) string {
	return fault.Words(strings.ReplaceAll(strings.ReplaceAll(s, "1 error occurred:", ""), "\t* ", ""))
}

// A flatError is an error of a library that writes several lines.
type flatError struct{ error }

func (e flatError) Error() string { return oneLine(e.error.Error()) }

func (e flatError) Unwrap() error { return e.error }

func (e *statusError) Error() string {
	s := fmt.Sprintf("%d", e.status)
	if name := http.StatusText(e.status); name != "" {
		s += " " + name
	}
	if e.text != "" {
		s += ": " + e.text
	}
	return s
}

// refused reports whether err is the server's 403, which means a bad token or
// a token that may not do this.
func refused(err error) bool {
	e, ok := errors.AsType[*statusError](err)
	return ok && e.status == http.StatusForbidden
}

// Statuses that HTTP has no name for: those of a secondary or standby node,
// when it is asked to do what only an active one does.
const (
	statusDRSecondary        = 472
	statusPerformanceStandby = 473
)

// classify says what a status means, as far as it says so by itself. What a
// 403 means takes more questions: see explain.
func (c *client) classify(op string, e *statusError) error {
	says := func(text string) bool { return strings.Contains(strings.ToLower(e.text), text) }
	err := func(kind fault.Kind) *fault.Error { return fault.New(kind, op, "%s: %w", c.shown, e) }
	switch {
	case e.status == http.StatusForbidden && e.foreign:
		return err(fault.Denied).WithHint("this is not an answer of Vault: something in between refuses the request")
	case e.status == http.StatusForbidden:
		return err(fault.Denied)
	case e.status == http.StatusUnauthorized || says("missing client token"):
		return err(fault.Credentials).WithHint("something in between wants credentials of its own, or drops the header X-Vault-Token")
	case e.status == http.StatusServiceUnavailable && says("sealed"):
		return err(fault.Locked).WithHint("unseal it")
	case e.status == http.StatusServiceUnavailable && says("not initialized"):
		return err(fault.Locked).WithHint("initialise and unseal it")
	case e.status == http.StatusBadRequest && says("http request to an https server"):
		return err(fault.Malformed).WithHint("the server speaks TLS: write %s with https://", c.addrIn)
	case e.status == http.StatusTooManyRequests:
		return err(fault.Unreachable).WithHint("raise the rate limit quota of the server, or sign less often")
	case e.status == http.StatusPreconditionFailed, e.status == statusDRSecondary, e.status == statusPerformanceStandby:
		return err(fault.Unreachable).WithHint("the node is a standby or lags behind: name the active one in %s", c.addrIn)
	case e.foreign && e.status < 500:
		return c.malformed(op, e)
	case e.status == http.StatusNotFound:
		return err(fault.NotFound)
	case e.status >= 500:
		return err(fault.Unreachable).WithHint("the log of the server says more")
	}
	return err(fault.Unfit)
}
