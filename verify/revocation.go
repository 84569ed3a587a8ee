package verify

import (
	"crypto/x509"
	"strconv"
	"time"
)

// A RevocationChecker knows whether certificates are revoked: from revocation
// lists, a responder, or a record of its own. [CRLs], [OCSPResponses] and
// [Evidence] are some. Its methods may be called from several goroutines at
// once.
type RevocationChecker interface {
	// CheckRevocation returns the revocation of a certificate, nil when it is
	// known that there is none. An error means that it is not known; the token
	// is then refused with [ReasonRevocationUnknown]. What a revocation means
	// for the token is not for the checker to decide.
	CheckRevocation(q RevocationQuery) (*Revocation, error)
}

// A RevocationQuery asks about one certificate of a chain.
type RevocationQuery struct {
	Certificate *x509.Certificate
	// Issuer is the next certificate of the chain, whose key signed the
	// certificate.
	Issuer *x509.Certificate
	// GenTime is the token's time, Now the local one.
	GenTime, Now time.Time

	// AcceptListsAfterExpiry takes a statement that was made after the
	// certificate expired, and still holds at Now, for what it would be before:
	// that the certificate is not revoked if it is not in there. RFC 5280, 3.3
	// lets a CA drop revoked certificates that have expired, so a certificate
	// that was revoked in time can pass for good. The Notary Project's tools
	// ask so.
	AcceptListsAfterExpiry bool
}

// A Revocation says when and why a certificate was revoked.
type Revocation struct {
	Time   time.Time
	Reason RevocationReason
}

// A RevocationReason is a CRLReason (RFC 5280, 5.3.1).
//
//	CRLReason ::= ENUMERATED {
//	  unspecified(0), keyCompromise(1), cACompromise(2),
//	  affiliationChanged(3), superseded(4), cessationOfOperation(5),
//	  certificateHold(6), removeFromCRL(8), privilegeWithdrawn(9),
//	  aACompromise(10) }
type RevocationReason int

// The reasons for a revocation. [RevokedWithoutReason] is not a number of the
// standard: it stands for an entry that gives none, which RFC 3161, 4.1 takes
// for the worst.
const (
	RevokedWithoutReason        RevocationReason = -1
	RevokedUnspecified          RevocationReason = 0
	RevokedKeyCompromise        RevocationReason = 1
	RevokedCACompromise         RevocationReason = 2
	RevokedAffiliationChanged   RevocationReason = 3
	RevokedSuperseded           RevocationReason = 4
	RevokedCessationOfOperation RevocationReason = 5
	RevokedCertificateHold      RevocationReason = 6
	RevokedRemoveFromCRL        RevocationReason = 8
	RevokedPrivilegeWithdrawn   RevocationReason = 9
	RevokedAACompromise         RevocationReason = 10
)

// String returns the name that RFC 5280 gives: "keyCompromise".
func (r RevocationReason) String() string {
	switch r {
	case RevokedWithoutReason:
		return "no reason given"
	case RevokedUnspecified:
		return "unspecified"
	case RevokedKeyCompromise:
		return "keyCompromise"
	case RevokedCACompromise:
		return "cACompromise"
	case RevokedAffiliationChanged:
		return "affiliationChanged"
	case RevokedSuperseded:
		return "superseded"
	case RevokedCessationOfOperation:
		return "cessationOfOperation"
	case RevokedCertificateHold:
		return "certificateHold"
	case RevokedRemoveFromCRL:
		return "removeFromCRL"
	case RevokedPrivilegeWithdrawn:
		return "privilegeWithdrawn"
	case RevokedAACompromise:
		return "aACompromise"
	}
	return "reason " + strconv.Itoa(int(r))
}

// keepsEarlier reports whether timestamps made before a revocation for this
// reason stay valid (RFC 3161, 4.1, 1.a). After any other, the key may have
// been in wrong hands, and its timestamps, whatever time they bear, prove
// nothing (4.1, 1.b; 4.2).
func (r RevocationReason) keepsEarlier() bool {
	switch r {
	case RevokedUnspecified, RevokedAffiliationChanged, RevokedSuperseded, RevokedCessationOfOperation:
		return true
	}
	return false
}

// worse reports whether r voids more timestamps than o does. A hold does so as
// long as it lasts.
func (r *Revocation) worse(o *Revocation) bool {
	rank := func(r *Revocation) int {
		switch {
		case r.Reason.keepsEarlier():
			return 0
		case r.Reason == RevokedCertificateHold:
			return 1
		}
		return 2
	}
	if a, b := rank(r), rank(o); a != b {
		return a > b
	}
	return r.Time.Before(o.Time)
}

// checkRevocation asks the policy's checker about cert and decides what the
// answer means at the token's time. RFC 3161, 4.1 speaks of the authority's
// certificate; the same is asked of the CAs above it.
func (c *chooser) checkRevocation(cert, issuer *x509.Certificate) error {
	if c.policy.Revocation == nil {
		return nil
	}
	r, err := c.policy.Revocation.CheckRevocation(RevocationQuery{
		Certificate: cert, Issuer: issuer, GenTime: c.genTime, Now: c.now,
	})
	switch {
	case err != nil:
		return failed(ReasonRevocationUnknown, err, "certificate %s", subject(cert))
	case r == nil:
		return nil
	case !r.Reason.keepsEarlier():
		return fail(ReasonRevoked, "certificate %s was revoked on %s (%v), which voids every timestamp made with it",
			subject(cert), stamp(r.Time), r.Reason)
	case !c.genTime.Before(r.Time):
		return fail(ReasonRevoked, "certificate %s was revoked on %s (%v), before the token's time %s",
			subject(cert), stamp(r.Time), r.Reason, stamp(c.genTime))
	}
	return nil
}
