package notary

import (
	"errors"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/verify"
)

// A Check is one of the checks of a signature, and what came of it. It is part
// of the JSON of the commands.
type Check struct {
	// Name is one of the names below.
	Name Name `json:"check"`
	// Action says what a failure means: that of the trust policy's level, with
	// its overrides.
	Action trustpolicy.Action `json:"action"`
	Result Result             `json:"result"`
	// Reason is a word of a closed set when Result is Failed or Unknown.
	Reason Reason `json:"reason,omitempty"`
	// Detail says for people what was found: why it failed, why it was not
	// made, or on what it passed.
	Detail string `json:"detail,omitempty"`
	// Err is the failure.
	Err error `json:"-"`
}

// Logged says that the check failed, and that the policy only logs that.
func (c *Check) Logged() bool {
	return c.Action == trustpolicy.Log && (c.Result == Failed || c.Result == Unknown)
}

// A Name is that of a check. Those that a trust policy can set have its words.
type Name string

// The checks, in the order in which they are made.
const (
	// Integrity: the envelope is well formed and signed by the key of its first
	// certificate, whose chain is one of a signer.
	Integrity Name = "integrity"
	// Authenticity: a certificate of the chain is in a trust store.
	Authenticity Name = "authenticity"
	// TrustedIdentity: the signer has a name that the policy trusts. Its action
	// is that of Authenticity.
	TrustedIdentity Name = "trustedIdentity"
	// Expiry: the signature has not expired.
	Expiry Name = "expiry"
	// AuthenticTimestamp: the chain was valid when it signed.
	AuthenticTimestamp Name = "authenticTimestamp"
	// Revocation: no certificate of the chain is revoked.
	Revocation Name = "revocation"
	// Plugin: no verification plugin is needed. It is always enforced.
	Plugin Name = "verificationPlugin"
	// Artifact: what was signed is this artifact. It is always enforced.
	Artifact Name = "artifact"
	// UserMetadata: what was signed says what was asked for. It is always
	// enforced.
	UserMetadata Name = "userMetadata"
)

// A Result is what came of a check.
type Result string

// The results.
const (
	Passed Result = "passed"
	Failed Result = "failed"
	// Unknown: it could not be told, because somebody did not answer or a file
	// could not be read. It counts as a failure.
	Unknown Result = "unknown"
	// Skipped: the trust policy wants it so.
	Skipped Result = "skipped"
	// NotMade: an earlier failure decided.
	NotMade Result = "not made"
)

// A Reason says in one word why a check failed. Besides the ones here there are
// those of packages envelope, countersign and verify, which mean the same
// wherever they occur.
type Reason string

// The reasons of this package.
const (
	// ReasonUntrusted: no certificate of the chain is in a trust store of the
	// policy.
	ReasonUntrusted Reason = "untrusted"
	// ReasonTrustStore: a trust store that the policy names cannot be used.
	ReasonTrustStore Reason = "trust-store"
	// ReasonIdentity: the policy does not trust the signer's name.
	ReasonIdentity Reason = "identity"
	// ReasonExpired: the signature has expired.
	ReasonExpired Reason = "expired"
	// ReasonCertificateValidity: a certificate of the chain is not valid at the
	// time that counts.
	ReasonCertificateValidity Reason = "certificate-validity"
	// ReasonNoTimestamp: a timestamp is needed and there is none.
	ReasonNoTimestamp Reason = "no-timestamp"
	// ReasonRevoked: a certificate of the chain is revoked.
	ReasonRevoked Reason = "revoked"
	// ReasonRevocationUnknown: nobody could tell whether one is.
	ReasonRevocationUnknown Reason = "revocation-unknown"
	// ReasonArtifact: the signature is of another artifact.
	ReasonArtifact Reason = "artifact"
	// ReasonUserMetadata: the signature does not say what was asked for.
	ReasonUserMetadata Reason = "user-metadata"
	// ReasonFetch: the signature could not be fetched.
	ReasonFetch Reason = "fetch"
	// ReasonManifest: the manifest is not one of a Notary Project signature.
	ReasonManifest Reason = "manifest"
)

// A reasoned error knows its reason.
type reasoned struct {
	reason Reason
	err    error
	// unknown: it is no verdict.
	unknown bool
}

func (e *reasoned) Error() string { return e.err.Error() }
func (e *reasoned) Unwrap() error { return e.err }

// because gives err a reason.
func because(r Reason, err error) error { return &reasoned{reason: r, err: err} }

// unknown gives err a reason, and says that it leaves the question open.
func unknown(r Reason, err error) error { return &reasoned{reason: r, err: err, unknown: true} }

// ReasonOf returns the reason of an error of this package, and whether it is a
// verdict; if not, it could not be told.
func ReasonOf(err error) (reason Reason, verdict bool) {
	var own *reasoned
	var envelopes *envelope.Error
	var stamps *countersign.Error
	var chain *verify.Error
	switch {
	case errors.As(err, &own):
		return own.reason, !own.unknown
	case errors.As(err, &envelopes):
		return Reason(envelopes.Reason), true
	case errors.As(err, &stamps):
		return Reason(stamps.Reason), Reason(stamps.Reason) != ReasonRevocationUnknown && stamps.Reason != countersign.ReasonNoAnswer
	case errors.As(err, &chain):
		return Reason(chain.Reason), chain.Reason != verify.ReasonRevocationUnknown
	}
	return "", false
}

// Detail returns the text of an error for people, without the reason and the
// names of packages.
func Detail(err error) string { return worded(err, "") }

// Text returns the text of an error for people, with the reason and without the
// names of packages.
func Text(err error) string { return worded(err, ": ") }

// worded puts the reason of an error, with what follows it, and the detail in
// the place of its text.
func worded(err error, after string) string {
	text := err.Error()
	replace := func(e error, reason, detail string) string {
		if after == "" {
			reason = ""
		}
		return strings.Replace(text, e.Error(), reason+after+detail, 1)
	}
	var envelopes *envelope.Error
	var stamps *countersign.Error
	var chain *verify.Error
	switch {
	case errors.As(err, &envelopes):
		return replace(envelopes, string(envelopes.Reason), envelopes.Detail)
	case errors.As(err, &stamps):
		return replace(stamps, string(stamps.Reason), stamps.Detail)
	case errors.As(err, &chain):
		return replace(chain, string(chain.Reason), chain.Detail)
	}
	return strings.TrimPrefix(text, "envelope: ")
}
