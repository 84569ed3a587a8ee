package cloud

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Google's client repeats a call until its context ends, and the provider's
// calls have none. A service that is away is therefore asked a few times, and
// then reported in a way that the client does not take for a reason to go on.
const (
	gcpAttempts = 3
	gcpPause    = 200 * time.Millisecond // at most, before the first retry

	// gcpEarly is how long before our own deadline the service, which is told
	// of it, may say that it is over.
	gcpEarly = 50 * time.Millisecond
)

// An outage is the status of a service that is away. It has no method
// GRPCStatus, by which the client would know it.
type outage struct{ status *status.Status }

func (e *outage) Error() string { return e.status.Err().Error() }

func retryGCP(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for attempt := 1; ; attempt++ {
		err := invoke(ctx, method, req, reply, cc, opts...)
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded:
		default:
			return err
		}
		if end, ok := ctx.Deadline(); ok && status.Code(err) == codes.DeadlineExceeded && time.Until(end) < gcpEarly {
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return err
		}
		if attempt == gcpAttempts {
			return &outage{status.Convert(err)}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(rand.N(gcpPause << (attempt - 1))):
		}
	}
}
