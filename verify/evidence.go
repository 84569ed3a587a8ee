package verify

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// A RevocationStatus is what a revocation list or a responder says of one
// certificate.
type RevocationStatus struct {
	// Revocation is when and why the certificate was revoked, nil when it was
	// not.
	Revocation *Revocation
	// Source is the kind of statement.
	Source RevocationSource
	// ThisUpdate is when the statement was true, NextUpdate when a newer one
	// is out at the latest; zero when an OCSP response does not tell.
	ThisUpdate, NextUpdate time.Time
}

// A RevocationSource is a kind of statement on revocation. The words are
// stable: they are the same in JSON and in the manual.
type RevocationSource string

// The sources.
const (
	SourceCRL  RevocationSource = "crl"  // RFC 5280, 5
	SourceOCSP RevocationSource = "ocsp" // RFC 6960
)

// RevocationEvidence is signed statements on revocation. [CRLs] and
// [OCSPResponses] are two kinds, [Evidence] is any number of them together. Its
// methods may be called from several goroutines at once.
type RevocationEvidence interface {
	// RevocationStatus returns what is known of a certificate. An error means
	// that nothing is. It takes nothing unsigned, stale or foreign for
	// knowledge.
	RevocationStatus(q RevocationQuery) (RevocationStatus, error)
}

// Evidence is a [RevocationChecker] that weighs statements of any kind. A
// certificate is revoked if any of them says so, the worst revocation being the
// one that counts; it is not revoked if none does and one says that it is not;
// else it is unknown. A hold counts no longer if a newer statement does not
// have it.
type Evidence []RevocationEvidence

// RevocationStatus implements [RevocationEvidence].
func (e Evidence) RevocationStatus(q RevocationQuery) (RevocationStatus, error) {
	var good *RevocationStatus // the newest
	var revoked []RevocationStatus
	var unknown error
	for _, source := range e {
		s, err := source.RevocationStatus(q)
		switch {
		case err != nil:
			unknown = alsoErr(unknown, err)
		case s.Revocation != nil:
			revoked = append(revoked, s)
		case good == nil || s.ThisUpdate.After(good.ThisUpdate):
			good = &s
		}
	}
	var worst *RevocationStatus
	for i, s := range revoked {
		if s.Revocation.Reason == RevokedCertificateHold && good != nil && good.ThisUpdate.After(s.ThisUpdate) {
			continue // RFC 5280, 5.3.1
		}
		if worst == nil || s.Revocation.worse(worst.Revocation) {
			worst = &revoked[i]
		}
	}
	switch {
	case worst != nil:
		return *worst, nil
	case good != nil:
		return *good, nil
	case unknown == nil:
		return RevocationStatus{}, errors.New("there is no evidence at all")
	}
	return RevocationStatus{}, unknown
}

// alsoErr joins two errors in one line; the first may be nil.
func alsoErr(first, second error) error {
	if first == nil {
		return second
	}
	return fmt.Errorf("%w; %w", first, second)
}

// CheckRevocation implements [RevocationChecker].
func (e Evidence) CheckRevocation(q RevocationQuery) (*Revocation, error) {
	s, err := e.RevocationStatus(q)
	return s.Revocation, err
}

// Missing returns the questions about the chain of a timestamp to which e has
// no answer at the local time now: what to fetch evidence for. The first is
// about the authority's own certificate, if that lacks an answer. A chain that
// is its own trust anchor has no questions.
func (e Evidence) Missing(t *Timestamp, now time.Time) []RevocationQuery {
	var missing []RevocationQuery
	for i, cert := range t.Chain[:max(0, len(t.Chain)-1)] {
		q := RevocationQuery{Certificate: cert, Issuer: t.Chain[i+1], GenTime: t.Time, Now: now}
		if _, err := e.RevocationStatus(q); err != nil {
			missing = append(missing, q)
		}
	}
	return missing
}

// A period is the time that a statement on revocation is about.
type period struct {
	thisUpdate time.Time
	nextUpdate time.Time
	// expiredSince is the date from which on certificates that expired are
	// still known: expiredCertsOnCRL of a list, archiveCutoff of a response.
	// Zero when absent.
	expiredSince time.Time
}

// current reports why a statement that does not have a certificate for revoked
// is no proof that it is not. what names the statement.
func (p *period) current(what string, q RevocationQuery) error {
	end := q.Certificate.NotAfter
	switch {
	case p.thisUpdate.After(q.Now.Add(DefaultMaxFuture)):
		return fmt.Errorf("the %s is of %s, which is in the future", what, stamp(p.thisUpdate))
	case p.nextUpdate.Before(p.reliance(q)):
		return fmt.Errorf("the %s of %s is stale since %s", what, stamp(p.thisUpdate), stamp(p.nextUpdate))
	case !p.covers(end) && !q.AcceptListsAfterExpiry:
		return fmt.Errorf("the %s of %s is younger than the end of the certificate, %s, and need not have it", what, stamp(p.thisUpdate), stamp(end))
	}
	return nil
}

// covers reports whether the statement has to know a certificate that ends at
// end: it was made before, or says that it knows those that have expired since.
func (p *period) covers(end time.Time) bool {
	return !p.thisUpdate.After(end) || !p.expiredSince.IsZero() && !end.Before(p.expiredSince)
}

// reliance returns the time up to which a statement has to hold: now, or the
// end of a certificate that has expired, since nobody revokes it later. One
// that need not know the certificate any more has to hold now.
func (p *period) reliance(q RevocationQuery) time.Time {
	end := q.Certificate.NotAfter
	if !q.Now.After(end) || !p.covers(end) && q.AcceptListsAfterExpiry {
		return q.Now
	}
	return end
}

// mayVouch reports whether the key usage of a certificate, if it has one, has
// one of the given bits (RFC 5280, 4.2.1.3).
func mayVouch(cert *x509.Certificate, usage x509.KeyUsage) bool {
	return extension(cert, 2, 5, 29, 15) < 0 || cert.KeyUsage&usage != 0
}
