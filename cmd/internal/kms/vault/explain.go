package vault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// explain tells the two meanings of a 403 apart, which older servers answer in
// the same words: a token that is not known, and one that may not do this. It
// asks the server, with the token in use, and returns any other error as it
// is. readErr is why no other token could be read, nil if there was none.
func (e *engine) explain(ctx context.Context, err, readErr error) error {
	status, ok := errors.AsType[*statusError](err)
	if !ok || !refused(err) || status.foreign {
		return err
	}
	op := opSign
	if f, ok := errors.AsType[*fault.Error](err); ok {
		op = f.Op
	}
	// Vault says so since 1.17.
	if strings.Contains(status.text, "invalid token") {
		return e.badToken(op, andReading(status, readErr))
	}
	lease, lookup := e.lookupSelf(ctx)
	if lookup == nil {
		return e.denied(op, status, lease)
	}
	if !refused(lookup) {
		return fmt.Errorf("%w (and asking about the token: %w)", err, lookup)
	}
	if text, ok := errors.AsType[*statusError](lookup); ok && strings.Contains(text.text, "invalid token") {
		return e.badToken(op, andReading(status, readErr))
	}
	// A token need not be allowed to look itself up; then one that may read
	// the key is a good one.
	if op != opRead {
		if _, read := e.readKey(ctx); read == nil {
			return e.denied(op, status, lease)
		}
	}
	return e.badToken(op, andReading(status, readErr))
}

// denied: the token is good, and may not.
func (e *engine) denied(op string, status *statusError, l lease) error {
	return fault.New(fault.Denied, op, "%s: the token from %s may not do this: %w", e.where(), e.tokens.inUse.Load().origin, status).
		WithHint("give the token a policy with %s%s", e.policy(op), l.policyNames())
}

// policy returns the lines that a policy needs for an operation.
func (e *engine) policy(op string) string {
	if op == opCreate {
		return fmt.Sprintf(`path "%s" { capabilities = ["create", "read", "update"] }`, e.keyPath())
	}
	return fmt.Sprintf(`path "%s/sign/%s/*" { capabilities = ["update"] } and path "%s" { capabilities = ["read"] }`, e.mount, e.key, e.keyPath())
}

// andReading adds to an error that no other token could be read either.
func andReading(err, readErr error) error {
	if readErr == nil {
		return err
	}
	return fmt.Errorf("%w; and for another one: %w", err, readErr)
}

// badToken: the server does not know the token, or lets it do nothing.
func (e *engine) badToken(op string, err error) error {
	t := e.tokens.inUse.Load()
	f := fault.New(fault.Credentials, op, "%s: the token from %s is not accepted, as if it had expired or been revoked: %w", e.where(), t.origin, err)
	if t.fixed {
		return f.WithHint("put a new token into %s and restart, or name a file in VAULT_TOKEN_FILE, which is read again whenever a token is refused", t.origin)
	}
	return f.WithHint("put a new token into %s, which is read again at the next signature; it needs %s", strings.TrimPrefix(t.origin, "the token helper "), e.policy(op))
}

// lookupSelf asks how long the token in use lives. Being refused that says
// nothing about a token.
func (e *engine) lookupSelf(ctx context.Context) (lease, error) {
	body, err := e.do(ctx, e.tokens.current(), request{op: opLookup, method: http.MethodGet, path: "auth/token/lookup-self"})
	if err != nil {
		return lease{}, err
	}
	l, err := parseLookup(body)
	if err != nil {
		return lease{}, e.malformed(opLookup, err)
	}
	return l, nil
}
