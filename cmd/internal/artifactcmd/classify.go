package artifactcmd

import (
	"errors"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// classify gives an error its exit status: an authority that refuses, a
// timestamp or a signature that does not verify say no; whatever else went
// wrong leaves it open.
func classify(err error) error {
	var ce *cli.Error
	var refusal *tsp.Rejection
	var stamp *countersign.Error
	switch {
	case errors.As(err, &ce):
		return err
	case errors.As(err, &refusal):
		return cli.Refused(refusal.Info.String(), err)
	case errors.As(err, &stamp) && stamp.Reason == countersign.ReasonNoAnswer:
		return err
	}
	if reason, verdict := notary.ReasonOf(err); verdict {
		return cli.Refused(string(reason), err)
	}
	return err
}

func now() time.Time { return time.Now() }
