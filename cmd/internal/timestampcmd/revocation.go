package timestampcmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/verify"
)

// revocationOff asks nobody. The other modes are those of package revocation.
const revocationOff = "off"

// revocationOptions are the flags that say whether to ask about revocation.
type revocationOptions struct {
	mode    string
	noCache bool
}

func (o *revocationOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.mode, "revocation", revocationOff, "ask the OCSP responders and fetch the lists that the certificates name; the `mode` is off, soft (accept when nobody can tell) or require")
	f.BoolVar(&o.noCache, "no-cache", false, "with --revocation, ask anew and keep nothing")
}

// fetcher returns what asks, nil if nobody is to be asked. Evidence that p has
// for its own counts besides.
func (o *revocationOptions) fetcher(env *cli.Env, p verify.Policy) (*revocation.Fetcher, error) {
	switch o.mode {
	case revocationOff:
		if o.noCache {
			return nil, cli.Usagef("--no-cache goes with --revocation soft or require")
		}
		return nil, nil
	case string(revocation.Soft), string(revocation.Require):
	default:
		return nil, cli.Usagef("--revocation is off, soft or require, not %q", o.mode)
	}
	cfg := revocation.Config{
		Mode:      revocation.Mode(o.mode),
		UserAgent: env.UserAgent(),
		Warn:      func(err error) { env.Warn("%v", err) },
	}
	if given, ok := p.Revocation.(verify.RevocationEvidence); ok {
		cfg.Given = verify.Evidence{given}
	}
	if !o.noCache {
		dir, err := env.CacheDir("revocation")
		if err != nil {
			return nil, err
		}
		cfg.Cache = dir
	}
	return revocation.New(cfg), nil
}

// revocationJSON is what was found out about one certificate of the chain.
type revocationJSON struct {
	Certificate string `json:"certificate"` // subject
	Serial      string `json:"serialNumber"`
	// Status is "good", "revoked" or "unknown".
	Status string `json:"status"`
	// Source is "ocsp" or "crl"; absent when the status is unknown.
	Source string `json:"source,omitempty"`
	// URL is absent for a list given with --crl.
	URL    string `json:"url,omitempty"`
	Cached bool   `json:"cached,omitempty"`
	// ThisUpdate is when the status was known, NextUpdate when a newer one is
	// out at the latest; absent when a responder does not tell.
	ThisUpdate *time.Time `json:"thisUpdate,omitempty"`
	NextUpdate *time.Time `json:"nextUpdate,omitempty"`
	// RevokedAt and RevocationReason are there when it is revoked.
	RevokedAt        *time.Time `json:"revokedAt,omitempty"`
	RevocationReason string     `json:"revocationReason,omitempty"`
	// Failed are the sources that gave no answer, Error is why nothing is known.
	Failed []string `json:"failed,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// describe puts findings into the form in which they are shown.
func describe(findings []revocation.Finding) []revocationJSON {
	var out []revocationJSON
	for _, f := range findings {
		r := revocationJSON{
			Certificate: f.Certificate.Subject.String(), Serial: "0x" + f.Certificate.SerialNumber.Text(16),
			Status: "unknown", URL: f.URL, Cached: f.Cached,
		}
		for _, err := range f.Failed {
			r.Failed = append(r.Failed, err.Error())
		}
		if f.Err != nil {
			r.Error = f.Err.Error()
		}
		if s := f.Status; s != nil {
			r.Status, r.Source, r.ThisUpdate = "good", string(s.Source), &s.ThisUpdate
			if !s.NextUpdate.IsZero() {
				r.NextUpdate = &s.NextUpdate
			}
			if s.Revocation != nil {
				r.Status, r.RevokedAt, r.RevocationReason = "revoked", &s.Revocation.Time, s.Revocation.Reason.String()
			}
		}
		out = append(out, r)
	}
	return out
}

// line is the finding for people.
func (r *revocationJSON) line() string {
	text := "  revocation of " + r.Certificate + ": "
	if r.Status == "unknown" {
		return text + "NOT KNOWN: " + r.Error
	}
	if r.Status == "good" {
		text += "not revoked"
	} else {
		text += fmt.Sprintf("revoked on %s (%s)", r.RevokedAt.Format(time.RFC3339), r.RevocationReason)
	}
	kind := map[string]string{"ocsp": "OCSP responder", "crl": "revocation list"}[r.Source]
	from := r.URL
	if from == "" {
		from = "given"
	}
	text += fmt.Sprintf(", says %s %s on %s", kind, from, r.ThisUpdate.Format(time.RFC3339))
	if r.NextUpdate != nil {
		text += fmt.Sprintf(", until %s", r.NextUpdate.Format(time.RFC3339))
	}
	if r.Cached {
		text += " (cached)"
	}
	return text
}

// couldNotTell reports whether a verification that failed leaves the question
// open: that nobody could be asked is no verdict on the timestamp.
func couldNotTell(err error) bool {
	refusal := (*verify.Error)(nil)
	return errors.As(err, &refusal) && refusal.Reason == verify.ReasonRevocationUnknown
}
