package artifactcmd

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
	"github.com/fencepost-tsa/fencepost/verify"
)

// verifying are the flags of the commands that verify.
type verifying struct {
	metadata []string
	at       string
	now      *time.Time // that of at, after check; nil without it
	verbose  bool       // show the checks of signatures that were passed over, too
	asking   asking
}

func (o *verifying) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.metadata, "user-metadata", "m", nil, "accept only a signature that says `KEY=VALUE`; may be repeated")
	f.StringVar(&o.at, "at", "", "verify as of this `time`, such as 2027-01-01T00:00:00Z, instead of now")
	o.asking.flags(cmd)
}

// check reads the flags that can be wrong, before anything else is done: also
// where nothing is verified then. It returns the metadata.
func (o *verifying) check() (map[string]string, error) {
	if o.at != "" {
		at, err := time.Parse(time.RFC3339, o.at)
		if err != nil {
			return nil, cli.Usagef("--at %q is not a time such as 2027-01-01T00:00:00Z", o.at)
		}
		at = at.UTC()
		o.now = &at
	}
	return pairs("user-metadata", o.metadata)
}

// open makes of the flags what verifies.
func (o *verifying) open(env *cli.Env, dir directory.Dir) (*notary.Verifier, error) {
	cfg := notary.VerifierConfig{Now: time.Now}
	if o.now != nil {
		cfg.Now = func() time.Time { return *o.now }
	}
	var err error
	if cfg.Revocation, err = o.asking.fetcher(env); err != nil {
		return nil, err
	}
	cfg.Stores = openStores(env, dir)
	return notary.NewVerifier(cfg)
}

// verifiedJSON is the answer of the commands that verify.
type verifiedJSON struct {
	// Artifact is REPOSITORY@DIGEST, or a file.
	Artifact string `json:"artifact"`
	Verified bool   `json:"verified"`
	// Skipped says that the trust policy wants nothing verified: nothing was.
	Skipped bool `json:"skipped,omitempty"`
	// Policy is the name of the statement that applies, Level its level.
	Policy string            `json:"policy"`
	Level  trustpolicy.Level `json:"level"`
	// At is the time of --at, of which the verdict is; absent without it.
	At *time.Time `json:"at,omitempty"`
	// Reason is that of the last signature, or no-signature, Error why none is
	// verified.
	Reason notary.Reason `json:"reason,omitempty"`
	Error  string        `json:"error,omitempty"`
	// Signatures are those that were looked at: all, up to the first that is
	// verified.
	Signatures []outcomeJSON `json:"signatures"`

	undecided bool // not verified, and a signature could not be judged
}

// outcomeJSON is the verdict on one signature.
type outcomeJSON struct {
	// Signature is the digest of its manifest, or its file.
	Signature string `json:"signature"`
	MediaType string `json:"mediaType,omitempty"`
	Verified  bool   `json:"verified"`
	// Reason and Error are those of the first check that failed and counts.
	Reason notary.Reason  `json:"reason,omitempty"`
	Error  string         `json:"error,omitempty"`
	Checks []notary.Check `json:"checks"`
	// SigningTime is what the signer says, Timestamp what an authority does; it
	// is there when it was verified.
	SigningTime *time.Time     `json:"signingTime,omitempty"`
	Timestamp   *timestampJSON `json:"timestamp,omitempty"`
	// Signer is the subject of the signer's certificate. Unless the checks
	// integrity and authenticity passed, anybody may have written it.
	Signer string `json:"signer,omitempty"`
	// UserMetadata is what was signed with the artifact, of a signature that is
	// verified.
	UserMetadata map[string]string `json:"userMetadata,omitempty"`
}

// describeOutcome describes a verdict. There is no format where there is no
// envelope.
func describeOutcome(signature string, format envelope.Format, o *notary.Outcome) outcomeJSON {
	out := outcomeJSON{Signature: signature, MediaType: format.MediaType(), Verified: o.Verified, Checks: o.Checks, Timestamp: describeTimestamp(o.Timestamp)}
	if o.Err != nil {
		out.Reason, _ = notary.ReasonOf(o.Err)
		out.Error = notary.Detail(o.Err)
	}
	if c := o.Content; c != nil {
		if !c.SigningTime.IsZero() {
			out.SigningTime = &c.SigningTime
		}
		if len(c.Chain) > 0 {
			out.Signer = c.Chain[0].Subject.String()
		}
	}
	if o.Verified {
		out.UserMetadata = o.Target.Annotations
	}
	return out
}

// tree is the verdict for people.
func (o *outcomeJSON) tree() *inspect.Node {
	head := "signature " + o.Signature
	if o.MediaType != "" {
		head += " (" + o.MediaType + ")"
	}
	root := &inspect.Node{Text: head}
	for _, c := range o.Checks {
		text := fmt.Sprintf("%s: %s", c.Name, c.Result)
		if c.Reason != "" {
			text += " (" + string(c.Reason) + ")"
		}
		if c.Logged() {
			text += ", which the trust policy only logs"
		}
		if c.Detail != "" {
			text += ": " + c.Detail
		}
		root.Add(text)
	}
	return root
}

// skip answers for an artifact whose statement is of the level skip.
func skip(env *cli.Env, st *trustpolicy.Statement, of string) error {
	env.Warn("the trust policy statement %q has the level skip: nothing was verified", st.Name)
	if env.JSON {
		return env.WriteJSON(verifiedJSON{Artifact: of, Skipped: true, Policy: st.Name, Level: st.Level, Signatures: []outcomeJSON{}})
	}
	return env.Answer("Trust policy is configured to skip signature verification for %s", of)
}

// tell writes the answer, and gives it its exit status: signatures that could
// not be judged leave the question open. err says why none is verified.
func (o *verifying) tell(env *cli.Env, v *verifiedJSON, err error) error {
	if err != nil {
		v.Error = notary.Detail(err)
		for _, s := range v.Signatures {
			v.Reason = s.Reason
		}
		if errors.Is(err, notary.ErrNoSignature) {
			v.Reason = reasonNone
		}
	}
	if env.JSON {
		if err := env.WriteJSON(v); err != nil {
			return err
		}
	} else {
		if v.Verified {
			text := "Successfully verified signature for " + v.Artifact
			if v.At != nil {
				text += " as of " + v.At.Format(time.RFC3339)
			}
			if err := env.Answer("%s", text); err != nil {
				return err
			}
		}
		for _, s := range v.Signatures {
			if v.Verified && !s.Verified && !o.verbose {
				continue
			}
			if s.Verified && s.Timestamp != nil {
				if err := env.Answer("It was %s", s.Timestamp.line()); err != nil {
					return err
				}
			}
			if err := s.tree().Write(env.Stdout); err != nil {
				return err
			}
		}
	}
	for _, s := range v.Signatures {
		if s.Verified {
			warn(env, s.Checks)
		}
	}
	if err == nil {
		return nil
	}
	code := cli.No
	if v.undecided {
		code = cli.Unknown
	}
	if env.JSON {
		return cli.Silently(code)
	}
	return &cli.Error{Code: code, Reason: string(v.Reason), Err: &worded{fmt.Sprintf("signature verification failed for %s: %s", v.Artifact, v.Error), err}, Hint: hint(err)}
}

// warn tells of failures that the trust policy only logs.
func warn(env *cli.Env, checks []notary.Check) {
	for _, c := range checks {
		if c.Logged() {
			env.Warn("%s was set to %q and failed: %s", c.Name, c.Action, c.Detail)
		}
	}
}

// hint says what to do about a failure.
func hint(err error) string {
	if reason, _ := notary.ReasonOf(err); reason == notary.Reason(verify.ReasonFuture) {
		return "it was stamped after the time at which it is verified: see --at, or compare this machine's clock with the authority's"
	}
	if h := cli.HintOf(err); h != "" {
		return h
	}
	if errors.Is(err, notary.ErrNoSignature) {
		return "make sure the artifact was signed: fencepost image list shows what is there"
	}
	if errors.Is(err, notary.ErrTooMany) {
		return "look at more with --max-signatures"
	}
	switch reason, _ := notary.ReasonOf(err); reason {
	case notary.ReasonUntrusted:
		return "fencepost trust add puts a certificate into a trust store, the statement's trustStores name it"
	case notary.ReasonNoTimestamp:
		return "restamp gives it one while its certificate is valid; where the statement says verifyTimestamp: afterCertExpiry it verifies without, until the certificate expires"
	case notary.ReasonCertificateValidity:
		return "a signature with a timestamp outlives its certificate where the statement names a trust store tsa:NAME"
	case notary.ReasonIdentity:
		return "the statement's trustedIdentities say who may sign"
	case notary.ReasonExpired:
		return "have it signed anew"
	case notary.ReasonRevocationUnknown:
		return "see that the address can be reached, or give the list of the certificate's issuer with --crl FILE"
	}
	return ""
}

// openStores opens the trust stores of a directory.
func openStores(env *cli.Env, dir directory.Dir) *truststore.Store {
	return truststore.Open(dir.Path, func() ([]*x509.Certificate, error) { return countersign.SystemRoots(env.Getenv) })
}
