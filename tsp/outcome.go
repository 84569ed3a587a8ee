package tsp

import (
	"crypto/x509"
	"time"
)

// An Outcome is what became of one request, for records, metrics and audit. It
// is the same for every part of a server that wants to know.
type Outcome struct {
	// Rejection is why no token was issued, nil when one was.
	Rejection *Rejection

	// What was asked, as far as the request could be read.
	Imprint  Imprint
	CertReq  bool
	HasNonce bool

	// What was issued. All are zero when nothing was.
	Token    []byte // DER of the TimeStampToken; do not modify
	Policy   x509.OID
	Serial   Integer
	GenTime  time.Time
	Accuracy time.Duration

	// SigningCertificate is the DER of the authority's certificate; do not modify.
	SigningCertificate []byte
	// Signing is how long the signer took.
	Signing time.Duration
	// ClockState names the state of the clock, "" when it was not asked;
	// ClockBound is the bound on its error.
	ClockState string
	ClockBound time.Duration
}

// Granted reports whether a token was issued.
func (o *Outcome) Granted() bool { return o.Rejection == nil && o.Token != nil }
