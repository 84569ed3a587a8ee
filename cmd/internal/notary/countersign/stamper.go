package countersign

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// A Stamper has signatures stamped. It is safe for concurrent use.
type Stamper struct {
	// Clients ask, one after the other until one has a timestamp that the
	// Checker accepts. At least one; each of a single authority.
	Clients []*tsphttp.Client
	// Checker decides whether the answer can be used.
	Checker *Checker
}

// Stamp has a signature value stamped, and checks the answer as
// [Checker.Verify] does. The chain of the authority has to be valid at the local
// time, too, not only at that of the token. The hash is that of the signature
// algorithm.
//
// The request has the hash with NULL parameters and a nonce, asks for the
// certificates, and names no policy.
//
// The error is an [*Error], or that of ctx. With several clients it has the
// reason no-answer, and theirs in it.
func (s *Stamper) Stamp(ctx context.Context, signature []byte, h crypto.Hash) (*Timestamp, error) {
	imprint, err := imprintOf(signature, h)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, client := range s.Clients {
		out, err := s.ask(ctx, client, imprint)
		if err == nil {
			out.Failed = failed
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		failed = append(failed, err)
	}
	switch len(failed) {
	case 0:
		return nil, fail(ReasonNoAnswer, "", "there is no authority to ask")
	case 1:
		return nil, failed[0]
	}
	all := &Error{Reason: ReasonNoAnswer, Err: errors.Join(failed...)}
	for i, err := range failed {
		if i > 0 {
			all.Detail += "; "
		}
		all.Detail += detail(err)
	}
	return nil, all
}

// detail is an error without its reason.
func detail(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Detail
	}
	return err.Error()
}

// ask has the signature stamped by one authority.
func (s *Stamper) ask(ctx context.Context, client *tsphttp.Client, imprint tsp.Imprint) (*Timestamp, error) {
	req := tsp.NewRequest(imprint)
	reply, err := client.Ask(ctx, req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, unanswered(err)
	}
	token := reply.Response.Token
	// RFC 3161, 2.4.2: the imprint "MUST have the same value". Notation compares
	// the parameters of the hash as well, and package verify does not.
	if got := token.UnverifiedInfo.Imprint.RawAlgorithm(); !bytes.Equal(got, imprint.RawAlgorithm()) {
		return nil, fail(ReasonImprintParameters, otherAuthority,
			"%s answered with the hash algorithm %x, asked for was %x: the parameters have to be the same, and NULL", reply.URL, got, imprint.RawAlgorithm())
	}
	out, err := s.Checker.check(ctx, token, imprint)
	if err != nil {
		return nil, at(reply.URL, err)
	}
	now := time.Now
	if s.Checker.Now != nil {
		now = s.Checker.Now
	}
	for _, cert := range out.Chain {
		if t := now(); t.Before(cert.NotBefore) || t.After(cert.NotAfter) {
			return nil, fail(Reason(verify.ReasonValidity), "", "%s: certificate %s is valid from %s to %s, not now, %s",
				reply.URL, name(cert.Subject), clock(cert.NotBefore), clock(cert.NotAfter), clock(t))
		}
	}
	out.URL = reply.URL
	return out, nil
}

// at puts the authority in front of what is wrong with its answer.
func at(url string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Detail = url + ": " + e.Detail
	return &out
}

// unanswered gives the error of a client a reason: that of a refusal, or that
// nobody answered.
func unanswered(err error) error {
	e := &Error{Reason: ReasonNoAnswer, Detail: trim(err), Err: err}
	var v *verify.Error
	var r *tsp.Rejection
	var clocks *tsphttp.TimeError
	switch {
	case errors.As(err, &v):
		e.Reason, e.Cure = Reason(v.Reason), string(cures[v.Reason])
		e.Detail = strings.Replace(e.Detail, v.Error(), v.Detail, 1)
		if v.Reason == verify.ReasonUntrusted {
			e.Cure = "see that the root is that of the authority, and that the authority sends its chain; sigstore's timestamp-server needs --include-chain-in-response"
		}
	case errors.As(err, &r):
		e.Reason = Reason(verify.ReasonRefused)
	case errors.As(err, &clocks):
		e.Cure = string(cures[verify.ReasonFuture])
	case errors.Is(err, tsp.ErrMalformed):
		e.Reason = Reason(verify.ReasonMalformed)
	}
	return e
}
