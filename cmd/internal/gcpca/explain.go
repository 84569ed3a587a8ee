package gcpca

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/googleapis/gax-go/v2"
	"github.com/googleapis/gax-go/v2/apierror"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const credentialsHint = "give this program an account: gcloud auth application-default login, or GOOGLE_APPLICATION_CREDENTIALS with the file of a service account"

// explain says in our words what the service said in its own.
func explain(parent Parent, err error) error {
	if fault.KindOf(err) != "" {
		return err
	}
	// The status by itself: status.FromError would put all of the text into it.
	carrier, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err)
	switch {
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Unreachable, opIssue, "%s: %w", parent, err)
	case !ok && errors.Is(err, context.DeadlineExceeded), ok && carrier.GRPCStatus().Code() == codes.DeadlineExceeded:
		out := fault.New(fault.Unreachable, opIssue, "%s: no answer in time", parent)
		out.Err = &serviceError{text: out.Err.Error(), err: err}
		return out.WithHint("%s", unreachableHint)
	case !ok:
		return fault.New(fault.Unreachable, opIssue, "%s: %w", parent, err).WithHint("%s", unreachableHint)
	}
	s := carrier.GRPCStatus()
	e := func(kind fault.Kind, hint string) error {
		out := fault.New(kind, opIssue, "%s: %s (%s)", parent, s.Message(), s.Code())
		out.Err = &serviceError{text: out.Err.Error(), err: err}
		if hint != "" {
			return out.WithHint("%s", hint)
		}
		return out
	}
	reason := ""
	if api, ok := apierror.FromError(err); ok {
		reason = api.Reason()
	}
	switch s.Code() {
	case codes.PermissionDenied:
		if reason == "SERVICE_DISABLED" {
			return e(fault.Denied, "enable it: gcloud services enable privateca.googleapis.com")
		}
		return e(fault.Denied, "give the account privateca.certificates.create on the pool, as the role roles/privateca.certificateRequester does; the service says the same of a pool that is not there")
	case codes.Unauthenticated:
		return e(fault.Credentials, credentialsHint)
	case codes.NotFound:
		return e(fault.NotFound, "look for the project, the location and the pool: gcloud privateca pools list")
	case codes.FailedPrecondition:
		return e(fault.Unfit, "a CA of the pool must be there and enabled: gcloud privateca roots list, gcloud privateca roots enable")
	case codes.InvalidArgument, codes.OutOfRange:
		return e(fault.Unfit, "the issuance policy of the pool must allow this: a CA with path length 0, its extended key usage, its name, its kind of key, and certificates by configuration or by request")
	case codes.AlreadyExists:
		return e(fault.Unfit, "")
	case codes.Unimplemented:
		return e(fault.Unsupported, "what answered is not Google CA Service")
	case codes.ResourceExhausted:
		// gRPC has no code of its own for an answer above our limit.
		if strings.Contains(s.Message(), "larger than max") {
			return e(fault.Malformed, "what answered is not Google CA Service")
		}
		return e(fault.Unreachable, "the quota of the pool or of the project is used up: wait, or ask for more")
	}
	return e(fault.Unreachable, unreachableHint)
}

const unreachableHint = "see that privateca.googleapis.com can be reached from here, and try again"

// A serviceError has a short text, and the whole error below it.
type serviceError struct {
	text string
	err  error
}

func (e *serviceError) Error() string { return e.text }
func (e *serviceError) Unwrap() error { return e.err }

// retryer tries again while the service is not there, with pauses that grow,
// and remembers why.
type retryer struct {
	last  error
	pause time.Duration
}

// firstPause and maxPause bound the pauses: short enough for a person who
// waits, long enough for a service that restarts.
const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second
)

// Retry implements [gax.Retryer].
func (r *retryer) Retry(err error) (time.Duration, bool) {
	r.last = err
	if status.Code(err) != codes.Unavailable {
		return 0, false
	}
	r.pause = min(max(2*r.pause, firstPause), maxPause)
	return r.pause, true
}

var _ gax.Retryer = (*retryer)(nil)
