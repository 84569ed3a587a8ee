package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const (
	opLookup = "look up the token"
	opRenew  = "renew the token"
)

// A lease is what is known of the life of a token. The zero lease is that of a
// token of which nothing is known, or which lives for ever.
type lease struct {
	expires   time.Time // zero: not known, or never
	renewable bool
	policies  []string
	// unasked says that the server could not be asked; expires is then when
	// it would be too late to ask again.
	unasked bool
}

// policyNames says in a hint which policies a token has.
func (l lease) policyNames() string {
	if len(l.policies) == 0 {
		return ""
	}
	return " (it has " + oneLine(strings.Join(l.policies, ", ")) + ")"
}

func expiry(seconds int64) time.Time {
	if seconds <= 0 || seconds > int64(maxTTL/time.Second) {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(seconds) * time.Second)
}

// maxTTL is what counts as for ever: longer than any process lives, and far
// from the end of time.Duration.
const maxTTL = 100 * 365 * 24 * time.Hour

func parseLookup(body []byte) (lease, error) {
	var answer struct {
		Data *struct {
			TTL       int64    `json:"ttl"` // seconds; 0: for ever
			Renewable bool     `json:"renewable"`
			Policies  []string `json:"policies"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return lease{}, err
	}
	if answer.Data == nil {
		return lease{}, errors.New("no data")
	}
	return lease{expires: expiry(answer.Data.TTL), renewable: answer.Data.Renewable, policies: answer.Data.Policies}, nil
}

// renewSelf asks for more time, as much as the server gives by itself.
func (e *engine) renewSelf(ctx context.Context, token string) (lease, error) {
	body, err := e.do(ctx, token, request{op: opRenew, method: http.MethodPost, path: "auth/token/renew-self", body: []byte("{}")})
	if err != nil {
		return lease{}, err
	}
	var answer struct {
		Auth *struct {
			LeaseDuration int64 `json:"lease_duration"` // seconds
			Renewable     bool  `json:"renewable"`
		} `json:"auth"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return lease{}, e.malformed(opRenew, err)
	}
	if answer.Auth == nil {
		return lease{}, e.malformed(opRenew, errors.New("no auth"))
	}
	return lease{expires: expiry(answer.Auth.LeaseDuration), renewable: answer.Auth.Renewable}, nil
}

const (
	// callTimeout bounds a call about the token, none of which a request waits
	// for.
	callTimeout = 10 * time.Second

	// askAgain is twice the pause before a server that did not answer is asked
	// about a token again.
	askAgain = time.Minute

	// minWait is the shortest pause between two attempts to keep a token
	// alive.
	minWait = 250 * time.Millisecond
)

// mind keeps the token alive until ctx ends: when half of the time that is
// left has passed, it renews the token, or looks whether there is another one.
// When that fails, half of what is then left is still to come, and so on.
func (k *Key) mind(ctx context.Context, l lease) {
	defer close(k.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if left := time.Until(l.expires); !l.expires.IsZero() && left > 0 {
			timer.Reset(max(left/2, minWait))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case <-k.tokens.changed:
			l = k.lookAgain(ctx)
		case <-due:
			l = k.extend(ctx, l)
		}
	}
}

// lookAgain asks about a token that has just come into use.
func (k *Key) lookAgain(ctx context.Context) lease {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l, err := k.lookupSelf(ctx)
	if err == nil || refused(err) {
		return l
	}
	k.tell(ctx, err)
	return lease{expires: time.Now().Add(askAgain), unasked: true}
}

// extend returns the lease after an attempt to make it longer.
func (k *Key) extend(ctx context.Context, l lease) lease {
	if l.unasked {
		return k.lookAgain(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	old := k.tokens.current()
	var err error
	if l.renewable {
		var next lease
		next, err = k.renewSelf(ctx, old)
		switch status, _ := errors.AsType[*statusError](err); {
		case err == nil && (next.expires.IsZero() || next.expires.After(l.expires.Add(minWait))):
			return next
		case err == nil:
			l.renewable = next.renewable
			err = fault.New(fault.Credentials, opRenew, "the server gives it no more time")
		case status != nil && status.status == http.StatusBadRequest:
			l.renewable = false // a batch token, or one that is at its end
		}
	} else {
		err = fault.New(fault.Credentials, opRenew, "it cannot be renewed")
	}
	_, changed, readErr := k.tokens.refresh(ctx, old)
	if changed {
		return lease{} // and mind looks the new one up
	}
	k.tell(ctx, fmt.Errorf("the token from %s expires at %s: %w", k.tokens.inUse.Load().origin,
		l.expires.UTC().Format(time.RFC3339), andReading(err, readErr)))
	return l
}

func (k *Key) tell(ctx context.Context, err error) {
	if k.report != nil && !errors.Is(ctx.Err(), context.Canceled) {
		k.report(err)
	}
}
