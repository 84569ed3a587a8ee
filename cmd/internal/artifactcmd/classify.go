package artifactcmd

import (
	"errors"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
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
	case errors.As(err, &stamp) && stamp.Reason == countersign.ReasonNoAnswer:
		// Of several authorities, perhaps one would have stamped.
		return cli.Hint(&cli.Error{Code: cli.Unknown, Reason: string(stamp.Reason), Err: plain(err)},
			"see that the URL is that of an authority, and that it can be reached from here")
	case errors.As(err, &refusal):
		return cli.Refused(refusal.Info.String(), plain(err))
	}
	reason, verdict := notary.ReasonOf(err)
	if verdict {
		return cli.Refused(string(reason), plain(err))
	}
	return &cli.Error{Code: cli.Unknown, Reason: string(reason), Err: plain(err)}
}

// unsigned gives the error of a signing its exit status. Of all that can go wrong
// only an authority, or its timestamp, says no: a key that does not sign, or is
// not that of the chain, leaves it open whether another try would.
func unsigned(err error) error {
	var stamp *countersign.Error
	if errors.As(err, &stamp) {
		return classify(err)
	}
	reason, _ := notary.ReasonOf(err)
	out := &cli.Error{Code: cli.Unknown, Reason: string(reason), Err: plain(err)}
	if reason == notary.Reason(envelope.ReasonChain) {
		out.Hint = "the file has the certificate of the key first, then that of each issuer, the root last"
	}
	return out
}
