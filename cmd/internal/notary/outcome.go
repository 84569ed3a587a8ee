package notary

import (
	"slices"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
)

// An Outcome is what came of the verification of one signature.
type Outcome struct {
	// Checks are all checks in their order, those that were not made included.
	Checks []Check
	// Verified says that no check failed that the policy enforces.
	Verified bool
	// Undecided says that it is not verified only because something could not
	// be told: once the network or a file is back, it may be.
	Undecided bool
	// Err is the first failure that the policy enforces, nil if there is none.
	Err error
	// Content is what the envelope says, nil if it is none. Unless Verified, or
	// Integrity passed, anybody may have written it.
	Content *envelope.Content
	// Target is the artifact that was signed, as far as it could be read.
	Target envelope.Target
	// Timestamp is the verified timestamp; nil if there is none, it did not
	// verify or the policy did not need it.
	Timestamp *countersign.Timestamp
	// Findings are about the revocation of the signing chain.
	Findings []revocation.Finding
}

// add notes a check. It reports whether the verification goes on.
func (o *Outcome) add(name Name, action trustpolicy.Action, detail string, err error) bool {
	c := Check{Name: name, Action: action, Result: Passed, Detail: detail}
	if err != nil {
		reason, verdict := ReasonOf(err)
		c.Result, c.Reason, c.Err = Failed, reason, err
		if !verdict {
			c.Result = Unknown
		}
		c.Detail = Detail(err)
	}
	o.Checks = append(o.Checks, c)
	if err == nil || action == trustpolicy.Log {
		return true
	}
	if o.Err == nil {
		o.Err = err
		o.Undecided = c.Result == Unknown
	}
	return false
}

// skip notes a check that the policy does not want.
func (o *Outcome) skip(name Name, detail string) {
	o.Checks = append(o.Checks, Check{Name: name, Action: trustpolicy.Skip, Result: Skipped, Detail: detail})
}

// finish notes the checks that were not made, and the verdict.
func (o *Outcome) finish(plan []step) *Outcome {
	for _, s := range plan[min(len(o.Checks), len(plan)):] {
		o.Checks = append(o.Checks, Check{Name: s.name, Action: s.action, Result: NotMade})
	}
	o.Verified = o.Err == nil
	return o
}

// forget lets go of what may be large. An artifact may have thousands of
// signatures with megabytes each, anybody's.
func (o *Outcome) forget() {
	if c := o.Content; c != nil {
		o.Content = &envelope.Content{
			PayloadType: c.PayloadType, Scheme: c.Scheme, SigningTime: c.SigningTime, Expiry: c.Expiry, AuthenticSigningTime: c.AuthenticSigningTime,
			Algorithm: c.Algorithm, Chain: slices.Clone(c.Chain[:min(len(c.Chain), 1)]), Agent: c.Agent,
		}
	}
	o.Target = envelope.Target{Digest: o.Target.Digest, Size: o.Target.Size}
	o.Timestamp, o.Findings = nil, nil
}

// Broken is the outcome of a signature that could not be read.
func Broken(st *trustpolicy.Statement, err error) *Outcome {
	o := &Outcome{}
	o.add(Integrity, trustpolicy.Enforce, "", err)
	return o.finish(plan(st))
}
