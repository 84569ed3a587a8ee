package countersign

import (
	"errors"
	"fmt"

	"github.com/fencepost-tsa/fencepost/cmd/internal/revocation"
	"github.com/fencepost-tsa/fencepost/verify"
)

// A Reason says which check a timestamp did not pass. The set is closed and the
// words are stable: they are the same in Go, in JSON and in the manual. Each
// [verify.Reason] is one, with the same meaning; the constants here are those
// that the Notary Project adds.
type Reason string

// The reasons that package verify does not have, in the order in which the
// checks are made.
const (
	// ReasonNoAnswer: no authority gave an answer that can be used.
	ReasonNoAnswer Reason = "no-answer"
	// ReasonImprintParameters: the answer has the hash algorithm with other
	// parameters than the request (RFC 3161, 2.4.2).
	ReasonImprintParameters Reason = "imprint-parameters"
	// ReasonEncoding: the token is BER of a kind, or has an object identifier
	// of a size, that Notation does not read.
	ReasonEncoding Reason = "encoding"
	// ReasonSignerIdentifier: the SignerInfo does not name its certificate by
	// issuer and serial number, byte for byte.
	ReasonSignerIdentifier Reason = "signer-identifier"
	// ReasonRevocationData: the token has a crls field.
	ReasonRevocationData Reason = "revocation-data"
	// ReasonTokenCertificates: the token has certificates that are not X.509,
	// cannot be parsed, or have the name of the signer's.
	ReasonTokenCertificates Reason = "token-certificates"
	// ReasonAttributeOrder: the signed attributes are not in the order of DER.
	ReasonAttributeOrder Reason = "attribute-order"
	// ReasonChainProfile: a certificate above the signer's is not one of a CA as
	// the Notary Project wants it, or the last is not self-signed.
	ReasonChainProfile Reason = "chain-profile"
	// ReasonSigningTime: the signingTime attribute is malformed, or not in the
	// validity of each certificate of the chain.
	ReasonSigningTime Reason = "signing-time"
	// ReasonInterval: the time can have been outside the validity of a
	// certificate of the signing chain.
	ReasonInterval Reason = "interval"
	// ReasonRoot: a certificate, or a file with one, is no root that timestamps
	// can be verified against.
	ReasonRoot Reason = "root"
)

// Reasons returns every Reason, those of package verify first.
func Reasons() []Reason {
	var all []Reason
	for _, r := range verify.Reasons() {
		all = append(all, Reason(r))
	}
	return append(all, ReasonNoAnswer, ReasonImprintParameters, ReasonEncoding, ReasonSignerIdentifier,
		ReasonRevocationData, ReasonTokenCertificates, ReasonAttributeOrder, ReasonChainProfile, ReasonSigningTime,
		ReasonInterval, ReasonRoot)
}

// An Error says why a timestamp was not accepted. Every error of this package
// is an *Error, except that of a context that has ended.
type Error struct {
	Reason Reason
	// Detail says for people what was found and what was expected.
	Detail string
	// Cure is what one can do about it, "" if that is not known.
	Cure string
	// Revocation is what was found out about the chain, where that is why it is
	// refused.
	Revocation []revocation.Finding
	// Err is the cause, a [*verify.Error] where package verify refused, nil when
	// there is none. Detail has its text.
	Err error
}

// Error returns the reason and the detail.
func (e *Error) Error() string { return "countersign: " + string(e.Reason) + ": " + e.Detail }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Advice returns the cure.
func (e *Error) Advice() string { return e.Cure }

// cure is a string of its own type, so that it cannot be taken for a format.
type cure string

func fail(r Reason, c cure, format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...), Cure: string(c)}
}

// refused turns an error of package verify into one of this package.
func refused(err error) *Error {
	var v *verify.Error
	if !errors.As(err, &v) {
		return &Error{Reason: Reason(verify.ReasonMalformed), Detail: err.Error(), Err: err}
	}
	return &Error{Reason: Reason(v.Reason), Detail: v.Detail, Cure: string(cures[v.Reason]), Err: err}
}

// cures are for the refusals that people run into with the authorities there
// are.
var cures = map[verify.Reason]cure{
	verify.ReasonSigningCertificate: "the authority has to name its certificate by SHA-256 or better; with openssl ts, set ess_cert_id_alg = sha256",
	verify.ReasonCertificateMissing: "the authority has to put its certificates into the token when the request asks for them",
	verify.ReasonFuture:             "compare this machine's clock with the authority's",
	verify.ReasonNoRoots:            "name the root certificate of the authority, or a trust store of the type tsa with it",
	verify.ReasonRevoked:            "use another authority; what this one stamped with that certificate is no longer accepted",
	verify.ReasonRevocationUnknown:  "the certificates name a responder or a list that did not answer: see that it can be reached, or give its list as a file",
}
