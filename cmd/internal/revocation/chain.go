package revocation

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/fencepost-tsa/fencepost/verify"
)

// maxChain bounds the certificates of a chain. Those of public authorities have
// up to five.
const maxChain = 16

// Chain finds out whether the certificates of a chain are revoked at the local
// time now. The chain begins with the signer's certificate and ends with the
// root, about which nobody is asked; the caller has verified that each is
// signed with the key of the next, and that the last is trusted. There is one
// finding for each certificate below the root, in that order.
//
// No time is known at which the key was used, so a revocation counts whenever
// it was made and for whatever reason, but for a hold that has ended.
//
// The error is that of ctx, without findings, or a [*verify.Error] with the
// reason [verify.ReasonRevoked] or [verify.ReasonRevocationUnknown], as
// [Config.Mode] has it. That a certificate is revoked comes before that of
// another one nothing is known.
func (f *Fetcher) Chain(ctx context.Context, chain []*x509.Certificate, now time.Time) ([]Finding, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("a chain of %d certificates, not 1 to %d", len(chain), maxChain)
	}
	var questions, missing []verify.RevocationQuery
	for i, cert := range chain[:len(chain)-1] {
		q := verify.RevocationQuery{Certificate: cert, Issuer: chain[i+1], GenTime: now, Now: now}
		questions = append(questions, q)
		if f.answer(q) == nil {
			missing = append(missing, q)
		}
	}
	if err := f.ask(ctx, missing); err != nil {
		return nil, err
	}
	var findings []Finding
	for _, q := range questions {
		findings = append(findings, f.find(q))
	}
	return findings, f.verdict(findings)
}

// verdict says what comes of a chain with these findings.
func (f *Fetcher) verdict(findings []Finding) error {
	var unknown error
	for i := range findings {
		found := &findings[i]
		switch {
		case found.Status != nil && found.Status.Revocation != nil:
			r := found.Status.Revocation
			return &verify.Error{Reason: verify.ReasonRevoked,
				Detail: fmt.Sprintf("certificate %q was revoked on %s (%v)", found.Certificate.Subject, r.Time.UTC().Format(time.RFC3339), r.Reason)}
		case found.Status == nil && unknown == nil:
			if err := f.refuses(found); err != nil {
				unknown = &verify.Error{Reason: verify.ReasonRevocationUnknown,
					Detail: fmt.Sprintf("certificate %q: %v", found.Certificate.Subject, err), Err: err}
			}
		}
	}
	return unknown
}
