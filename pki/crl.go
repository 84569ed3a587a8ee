package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Reason is why a certificate was revoked, in the words of RFC 5280, 5.3.1.
//
// For a TSA it decides over the past: with unspecified, affiliationChanged,
// superseded or cessationOfOperation the timestamps made before the revocation
// stay valid; with any other, or none, all of them are void (RFC 3161, 4.1).
type Reason string

// The reasons. removeFromCRL is missing: it is for delta lists.
const (
	ReasonNone                 Reason = "" // the entry has no reasonCode
	ReasonUnspecified          Reason = "unspecified"
	ReasonKeyCompromise        Reason = "keyCompromise"
	ReasonCACompromise         Reason = "cACompromise"
	ReasonAffiliationChanged   Reason = "affiliationChanged"
	ReasonSuperseded           Reason = "superseded"
	ReasonCessationOfOperation Reason = "cessationOfOperation"
	ReasonCertificateHold      Reason = "certificateHold"
	ReasonPrivilegeWithdrawn   Reason = "privilegeWithdrawn"
	ReasonAACompromise         Reason = "aACompromise"
)

// Reasons returns all reasons but ReasonNone, in the order of their numbers.
func Reasons() []Reason {
	return []Reason{ReasonUnspecified, ReasonKeyCompromise, ReasonCACompromise, ReasonAffiliationChanged, ReasonSuperseded,
		ReasonCessationOfOperation, ReasonCertificateHold, ReasonPrivilegeWithdrawn, ReasonAACompromise}
}

// ParseReason returns the reason of that name.
func ParseReason(name string) (Reason, error) {
	if _, ok := Reason(name).code(); ok {
		return Reason(name), nil
	}
	var words []string
	for _, r := range Reasons() {
		words = append(words, string(r))
	}
	return "", fmt.Errorf("pki: unknown reason %q, want one of %s", shorten(name), strings.Join(words, ", "))
}

// KeepsEarlier reports whether timestamps made before a revocation for this
// reason stay valid (RFC 3161, 4.1, 1.a). After any other, and after none, the
// key may have been in wrong hands, and what it signed proves nothing, whatever
// time it bears.
func (r Reason) KeepsEarlier() bool {
	switch r {
	case ReasonUnspecified, ReasonAffiliationChanged, ReasonSuperseded, ReasonCessationOfOperation:
		return true
	}
	return false
}

// code returns the CRLReason number. removeFromCRL (8) is missing: it is for
// delta CRLs, which are not made here.
func (r Reason) code() (asn1.Enumerated, bool) {
	switch r {
	case ReasonUnspecified:
		return 0, true
	case ReasonKeyCompromise:
		return 1, true
	case ReasonCACompromise:
		return 2, true
	case ReasonAffiliationChanged:
		return 3, true
	case ReasonSuperseded:
		return 4, true
	case ReasonCessationOfOperation:
		return 5, true
	case ReasonCertificateHold:
		return 6, true
	case ReasonPrivilegeWithdrawn:
		return 9, true
	case ReasonAACompromise:
		return 10, true
	}
	return 0, false
}

// Revocation is one entry of a CRL.
type Revocation struct {
	Serial *big.Int  // of the revoked certificate; required
	Time   time.Time // when it was revoked; required
	Reason Reason    // ReasonNone leaves it out
}

// CRLConfig describes a revocation list.
type CRLConfig struct {
	Issuer    *x509.Certificate // a CA with cRLSign and a subjectKeyIdentifier; required
	IssuerKey crypto.Signer     // its key; required

	// Number must grow from one list of the issuer to the next (RFC 5280,
	// 5.2.3). Required, 20 octets at most.
	Number *big.Int

	// ThisUpdate is the time of issue. Zero means now.
	ThisUpdate time.Time

	// NextUpdate is when the following list will be out at the latest; verifiers
	// treat this one as stale from then on. Zero means seven days after
	// ThisUpdate. CSBR 4.9.7 allows twelve months.
	NextUpdate time.Time

	// ExpiredSince is the time from which on certificates that expired are still
	// on the list (expiredCertsOnCRL, ITU-T X.509). Zero says nothing of
	// them: a verifier then learns nothing from this list about a certificate
	// that ended before ThisUpdate.
	ExpiredSince time.Time

	Revoked []Revocation // none is a list that revokes nothing
}

// defaultNextUpdate is how long a CRL serves unless its maker says otherwise.
const defaultNextUpdate = 7 * 24 * time.Hour

var (
	oidReasonCode   = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidExpiredCerts = asn1.ObjectIdentifier{2, 5, 29, 60}
)

// CreateCRL makes a complete X.509 v2 CRL (RFC 5280, 5) and returns its DER.
func CreateCRL(cfg CRLConfig) ([]byte, error) {
	der, err := createCRL(cfg)
	if err != nil {
		return nil, fmt.Errorf("pki: creating CRL: %w", err)
	}
	return der, nil
}

func createCRL(cfg CRLConfig) ([]byte, error) {
	switch {
	case cfg.Issuer == nil:
		return nil, errors.New("no issuer certificate")
	case cfg.IssuerKey == nil:
		return nil, errors.New("no key to sign with")
	case cfg.Number == nil || cfg.Number.Sign() < 0:
		return nil, errors.New("the CRL number is missing or negative")
	case !sameKey(cfg.Issuer.PublicKey, cfg.IssuerKey.Public()):
		return nil, fmt.Errorf("the signing key is not that of issuer %s", name(cfg.Issuer))
	}
	list := &x509.RevocationList{Number: cfg.Number, ThisUpdate: cfg.ThisUpdate, NextUpdate: cfg.NextUpdate}
	if list.ThisUpdate.IsZero() {
		list.ThisUpdate = time.Now()
	}
	list.ThisUpdate = list.ThisUpdate.UTC().Truncate(time.Second)
	if list.NextUpdate.IsZero() {
		list.NextUpdate = list.ThisUpdate.Add(defaultNextUpdate)
	}
	if list.NextUpdate = list.NextUpdate.UTC().Truncate(time.Second); !list.NextUpdate.After(list.ThisUpdate) {
		return nil, fmt.Errorf("next update %s is not after this update %s", date(list.NextUpdate), date(list.ThisUpdate))
	}
	if !cfg.ExpiredSince.IsZero() {
		value, err := asn1.MarshalWithParams(cfg.ExpiredSince.UTC().Truncate(time.Second), "generalized")
		if err != nil {
			return nil, fmt.Errorf("the time since when expired certificates are on it: %w", err)
		}
		list.ExtraExtensions = append(list.ExtraExtensions, pkix.Extension{Id: oidExpiredCerts, Value: value})
	}
	seen := make(map[string]bool, len(cfg.Revoked))
	for i, r := range cfg.Revoked {
		entry, err := r.entry()
		if err != nil {
			return nil, fmt.Errorf("revoked certificate %d: %w", i+1, err)
		}
		if id := string(r.Serial.Bytes()); seen[id] {
			return nil, fmt.Errorf("revoked certificate %d: serial %x is listed twice", i+1, r.Serial)
		} else {
			seen[id] = true
		}
		//lint:ignore SA1019 RevokedCertificateEntries leaves out the reason unspecified, which RFC 3161, 4.1 tells apart from none
		list.RevokedCertificates = append(list.RevokedCertificates, entry)
	}
	return x509.CreateRevocationList(rand.Reader, list, cfg.Issuer, cfg.IssuerKey)
}

func (r Revocation) entry() (pkix.RevokedCertificate, error) {
	switch {
	case r.Serial == nil || r.Serial.Sign() < 0:
		return pkix.RevokedCertificate{}, errors.New("the serial number is missing or negative")
	case r.Time.IsZero():
		return pkix.RevokedCertificate{}, errors.New("the time of revocation is missing")
	}
	entry := pkix.RevokedCertificate{SerialNumber: r.Serial, RevocationTime: r.Time.UTC().Truncate(time.Second)}
	if r.Reason == ReasonNone {
		return entry, nil
	}
	code, ok := r.Reason.code()
	if !ok {
		return pkix.RevokedCertificate{}, fmt.Errorf("unknown reason %q", r.Reason)
	}
	value, err := asn1.Marshal(code)
	if err != nil {
		return pkix.RevokedCertificate{}, err
	}
	entry.Extensions = []pkix.Extension{{Id: oidReasonCode, Value: value}} // not critical: RFC 5280, 5.3
	return entry, nil
}
