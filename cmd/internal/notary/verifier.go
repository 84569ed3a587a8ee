package notary

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/verify"
)

// VerifierConfig is what NewVerifier makes a Verifier of.
type VerifierConfig struct {
	// Stores are the trust stores. Required.
	Stores *truststore.Store
	// Revocation asks about both chains, in the mode [revocation.Named].
	// Required: what does not ask says so by a Fetcher without a network.
	Revocation *revocation.Fetcher
	// Now tells the time at which the signatures are to be valid. Nil means
	// [time.Now].
	Now func() time.Time
}

// A Verifier verifies signatures. It remembers chains, timestamp authorities
// and revocation answers, so that each further signature of the same signer
// costs little more than its own cryptography. It may be used by many
// goroutines at once.
type Verifier struct {
	cfg    VerifierConfig
	stamps *countersign.Cache
	chains *envelope.Cache
}

// NewVerifier returns a Verifier.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	switch {
	case cfg.Stores == nil:
		return nil, errors.New("notary: a verifier without trust stores")
	case cfg.Revocation == nil:
		return nil, errors.New("notary: a verifier without a way to ask about revocation")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Verifier{cfg: cfg, stamps: &countersign.Cache{}, chains: &envelope.Cache{}}, nil
}

// Want is what a signature has to be of.
type Want struct {
	// Target returns the artifact; the digest of a file is made with the hash
	// of the signer's key. What it leaves empty is not compared, but for the
	// digest. Required.
	Target func(crypto.Hash) (envelope.Target, error)
	// Metadata are annotations that the signature must have, among others.
	Metadata map[string]string
}

// step is one check of a plan.
type step struct {
	name   Name
	action trustpolicy.Action
}

// plan is the checks that a statement asks for, in Notation's order.
func plan(st *trustpolicy.Statement) []step {
	of := func(c trustpolicy.Check) trustpolicy.Action { return st.Actions[c] }
	return []step{
		{Integrity, trustpolicy.Enforce},
		{Authenticity, of(trustpolicy.Authenticity)},
		{TrustedIdentity, of(trustpolicy.Authenticity)},
		{Expiry, of(trustpolicy.Expiry)},
		{AuthenticTimestamp, of(trustpolicy.AuthenticTimestamp)},
		{Revocation, of(trustpolicy.Revocation)},
		{Plugin, trustpolicy.Enforce},
		{Artifact, trustpolicy.Enforce},
		{UserMetadata, trustpolicy.Enforce},
	}
}

// Verify verifies one signature by a statement of a trust policy whose level is
// not skip. The Outcome says all, failures included; an error is only that of
// ctx.
func (v *Verifier) Verify(ctx context.Context, e *envelope.Envelope, st *trustpolicy.Statement, want Want) (*Outcome, error) {
	o := &Outcome{Content: &e.Unverified}
	steps := plan(st)
	anchor := -1 // the last certificate of the chain that is in a trust store
	checks := []func(step) bool{
		func(s step) bool { return v.integrity(o, s, e) },
		func(s step) bool {
			var detail string
			var err error
			anchor, detail, err = v.authentic(o.Content, st)
			return o.add(s.name, s.action, detail, err)
		},
		func(s step) bool {
			err := st.Identities.Match(o.Content.Chain[0])
			if err != nil {
				err = because(ReasonIdentity, err)
			}
			return o.add(s.name, s.action, o.Content.Chain[0].Subject.String(), err)
		},
		func(s step) bool {
			detail, err := v.expiry(o.Content)
			return o.add(s.name, s.action, detail, err)
		},
		func(s step) bool {
			detail, err := v.timestamp(ctx, o, st)
			return o.add(s.name, s.action, detail, err)
		},
		func(s step) bool {
			if s.action == trustpolicy.Skip {
				o.skip(s.name, "the trust policy skips it")
				return true
			}
			if anchor < 0 { // whose addresses would be visited
				return o.add(s.name, s.action, "", unknown(ReasonRevocationUnknown, errors.New("nobody is asked on behalf of a chain that is not trusted")))
			}
			detail, err := v.revoked(ctx, o, anchor)
			return o.add(s.name, s.action, detail, err)
		},
		func(s step) bool { return o.add(s.name, s.action, "none is needed", o.Content.Unprocessed()) },
		func(s step) bool { return o.add(s.name, s.action, o.Target.Digest, artifact(o, want)) },
		func(s step) bool {
			if len(want.Metadata) == 0 {
				o.Checks = append(o.Checks, Check{Name: s.name, Action: s.action, Result: Passed, Detail: "none was asked for"})
				return true
			}
			return o.add(s.name, s.action, "", metadata(o.Target, want.Metadata))
		},
	}
	for i, check := range checks {
		goes := check(steps[i])
		if err := ctx.Err(); err != nil {
			return nil, err // what was cut short says nothing
		}
		if !goes {
			break
		}
	}
	return o.finish(steps), nil
}

// integrity verifies the envelope and reads what was signed.
func (v *Verifier) integrity(o *Outcome, s step, e *envelope.Envelope) bool {
	content, err := e.Verify()
	if err != nil {
		return o.add(s.name, s.action, "", err)
	}
	o.Content = content
	o.Target, err = envelope.ParsePayload(content.Payload)
	return o.add(s.name, s.action, content.Algorithm.Name, err)
}

// authentic looks for a certificate of the chain in the trust stores, and
// returns the number of the last that is there, negative with an error.
func (v *Verifier) authentic(c *envelope.Content, st *trustpolicy.Statement) (int, string, error) {
	kind := truststore.CA
	if c.Scheme == envelope.SchemeSigningAuthority {
		kind = truststore.SigningAuthority
	}
	names := st.StoreNames(string(kind))
	if len(names) == 0 {
		return -1, "", because(ReasonUntrusted, fmt.Errorf("the trust policy statement %q names no trust store of the type %s, which signatures of the scheme %s need", st.Name, kind, c.Scheme))
	}
	// All of them are read first: a store that cannot be read is no less a fault
	// where another one has the certificate, and Notation refuses it, too.
	stores := make([][]*x509.Certificate, len(names))
	for i, name := range names {
		var err error
		if stores[i], err = v.cfg.Stores.Certificates(kind, name); err != nil {
			return -1, "", unknown(ReasonTrustStore, err)
		}
	}
	for n := len(c.Chain) - 1; n >= 0; n-- {
		for i, name := range names {
			if slices.ContainsFunc(stores[i], c.Chain[n].Equal) {
				return n, fmt.Sprintf("%s is in %s:%s", c.Chain[n].Subject, kind, name), nil
			}
		}
	}
	return -1, "", because(ReasonUntrusted, fmt.Errorf("no certificate of the chain of %s is in the trust stores %s:%s", c.Chain[0].Subject, kind, strings.Join(names, fmt.Sprintf(", %s:", kind))))
}

func (v *Verifier) expiry(c *envelope.Content) (string, error) {
	switch {
	case c.Expiry.IsZero():
		return "it does not expire", nil
	case !v.cfg.Now().Before(c.Expiry): // at that moment, too, as Notation has it
		return "", because(ReasonExpired, fmt.Errorf("the signature expired on %s", c.Expiry.Format(time.RFC3339)))
	}
	return "until " + c.Expiry.Format(time.RFC3339), nil
}

// timestamp decides whether the chain was valid when it signed, by the time
// that counts.
func (v *Verifier) timestamp(ctx context.Context, o *Outcome, st *trustpolicy.Statement) (string, error) {
	c := o.Content
	if c.Scheme == envelope.SchemeSigningAuthority {
		return validAt(c.Chain, c.AuthenticSigningTime, "the authentic signing time")
	}
	now := v.cfg.Now()
	names := st.StoreNames(string(truststore.TSA))
	expired := slices.IndexFunc(c.Chain, func(cert *x509.Certificate) bool { return now.After(cert.NotAfter) })
	switch {
	case len(names) == 0:
		detail, err := validAt(c.Chain, now, "the time of verification")
		if err != nil && len(c.Timestamp) > 0 {
			err = fmt.Errorf("%w; its timestamp is not looked at, because the trust policy statement %q names no trust store of the type tsa", err, st.Name)
		}
		return detail, err
	case st.VerifyTimestamp == trustpolicy.AfterCertExpiry && expired < 0:
		detail, err := validAt(c.Chain, now, "the time of verification")
		return detail + "; the trust policy has the timestamp looked at only after that", err
	case len(c.Timestamp) == 0:
		return "", because(ReasonNoTimestamp, errors.New("no timestamp countersignature was found in the signature envelope"))
	}
	checker := countersign.Checker{Config: countersign.Config{Revocation: v.cfg.Revocation, Now: v.cfg.Now, Cache: v.stamps}}
	for _, name := range names {
		roots, err := v.cfg.Stores.Certificates(truststore.TSA, name)
		if err != nil {
			return "", unknown(ReasonTrustStore, err)
		}
		checker.Roots = append(checker.Roots, roots...)
	}
	t, err := checker.Verify(ctx, c.Timestamp, c.Signature, c.Algorithm.Hash)
	if err != nil {
		return "", err
	}
	if err := t.Covers(c.Chain); err != nil {
		return "", err
	}
	o.Timestamp = t
	return fmt.Sprintf("stamped [%s, %s] by %s", t.Lower.Format(time.RFC3339Nano), t.Upper.Format(time.RFC3339Nano), t.Chain[0].Subject), nil
}

// validAt checks that each certificate of a chain is valid at one time.
func validAt(chain []*x509.Certificate, at time.Time, what string) (string, error) {
	for _, cert := range chain {
		switch {
		case at.Before(cert.NotBefore):
			return "", because(ReasonCertificateValidity, fmt.Errorf("the certificate %s is valid from %s, which is after %s, %s",
				cert.Subject, cert.NotBefore.Format(time.RFC3339), what, at.UTC().Format(time.RFC3339)))
		case at.After(cert.NotAfter):
			return "", because(ReasonCertificateValidity, fmt.Errorf("the certificate %s expired on %s, before %s, %s",
				cert.Subject, cert.NotAfter.Format(time.RFC3339), what, at.UTC().Format(time.RFC3339)))
		}
	}
	return "the chain is valid at " + what, nil
}

// revoked asks about the signing chain, up to the certificate that is in a trust
// store. What stands above that one adds no trust, and anybody may have put it
// there: the chain is not signed, and a certificate fits that has the name and
// the public key of the issuer. Its addresses are not visited.
func (v *Verifier) revoked(ctx context.Context, o *Outcome, anchor int) (string, error) {
	chain := o.Content.Chain
	findings, err := v.cfg.Revocation.Chain(ctx, chain[:min(anchor+2, len(chain))], v.cfg.Now())
	o.Findings = findings
	var refused *verify.Error
	if errors.As(err, &refused) && refused.Reason == verify.ReasonRevocationUnknown {
		return "", fmt.Errorf("the revocation of a certificate is not known: %w", err)
	} else if err != nil {
		return "", err
	}
	silent := 0
	for _, f := range findings {
		if f.NoSource && f.Status == nil {
			silent++
		}
	}
	if silent > 0 {
		return fmt.Sprintf("%d of %d certificates name nobody who could be asked", silent, len(findings)), nil
	}
	return "no certificate is revoked", nil
}

func artifact(o *Outcome, want Want) error {
	target, err := want.Target(o.Content.Algorithm.Hash)
	if err != nil {
		return unknown(ReasonFetch, err)
	}
	got := o.Target
	switch {
	case got.Digest != target.Digest:
		return because(ReasonArtifact, fmt.Errorf("the signature is of %s, not of %s", got.Digest, target.Digest))
	case got.Size != target.Size:
		return because(ReasonArtifact, fmt.Errorf("the signature is of %d bytes, the artifact has %d", got.Size, target.Size))
	case target.MediaType != "" && got.MediaType != target.MediaType:
		return because(ReasonArtifact, fmt.Errorf("the signature is of the media type %.100q, not %q", got.MediaType, target.MediaType))
	}
	return nil
}

func metadata(got envelope.Target, want map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		switch value, ok := got.Annotations[key]; {
		case !ok:
			return because(ReasonUserMetadata, fmt.Errorf("the signature has no user metadata %q", key))
		case value != want[key]:
			return because(ReasonUserMetadata, fmt.Errorf("the user metadata %q is %.100q, not %q", key, value, want[key]))
		}
	}
	return nil
}
