package verify

import (
	"fmt"
	"strings"
)

// A Reason says which check a token did not pass. The set is closed and the
// words are stable: they are the same in Go, in JSON, in metrics and in the
// manual.
type Reason string

// The reasons, in the order in which the checks are made.
const (
	// ReasonNoRoots: the policy has no trust anchor, so nothing can verify.
	ReasonNoRoots Reason = "no-roots"
	// ReasonMalformed: not a well-formed response or token (RFC 3161, 2.4.2).
	ReasonMalformed Reason = "malformed"
	// ReasonRefused: the authority answered and issued no token. The error
	// wraps its [tsp.Rejection] (RFC 3161, 2.4.2).
	ReasonRefused Reason = "refused"
	// ReasonWeakHash: the data is hashed with an algorithm that is unknown or
	// weaker than SHA-256 (RFC 3161, 2.1; CSBR 6.8).
	ReasonWeakHash Reason = "weak-hash"
	// ReasonImprint: the token stamps other data (RFC 3161, 2.2).
	ReasonImprint Reason = "imprint"
	// ReasonNonce: the nonce is not the one expected (RFC 3161, 2.4.2).
	ReasonNonce Reason = "nonce"
	// ReasonPolicy: the token was issued under a policy that was not asked for
	// or is not accepted (RFC 3161, 2.2 and 2.4.2).
	ReasonPolicy Reason = "policy"
	// ReasonExtension: the TSTInfo has a critical extension that is not
	// understood (RFC 5280, 4.2).
	ReasonExtension Reason = "extension"
	// ReasonFuture: the token's time is too far ahead of the local clock
	// (RFC 3161, 2.2).
	ReasonFuture Reason = "future"
	// ReasonSignedData: the CMS versions do not fit the content (RFC 5652, 5.1
	// and 5.3).
	ReasonSignedData Reason = "signed-data"
	// ReasonDigestAlgorithm: the signer digests with an algorithm that is
	// unknown or weaker than SHA-256 (RFC 5652, 5.3).
	ReasonDigestAlgorithm Reason = "digest-algorithm"
	// ReasonSignatureAlgorithm: the signature algorithm is unknown, has
	// unacceptable parameters, or fits neither the digest (RFC 8933) nor the
	// key.
	ReasonSignatureAlgorithm Reason = "signature-algorithm"
	// ReasonSignedAttributes: a signed attribute is missing, occurs twice, has
	// other than one value or a wrong one (RFC 5652, 5.3 and 11; RFC 6211).
	ReasonSignedAttributes Reason = "signed-attributes"
	// ReasonMessageDigest: the messageDigest attribute is not the digest of the
	// TSTInfo (RFC 5652, 5.4).
	ReasonMessageDigest Reason = "message-digest"
	// ReasonSigningCertificate: the signingCertificate attributes are missing,
	// malformed, or name another certificate than the signer (RFC 3161, 2.4.2;
	// RFC 5816; RFC 5035).
	ReasonSigningCertificate Reason = "signing-certificate"
	// ReasonCertificateMissing: the signer's certificate is neither in the
	// token nor in the policy (RFC 3161, 2.4.1).
	ReasonCertificateMissing Reason = "certificate-missing"
	// ReasonPinned: the signer's certificate is not the one that the policy
	// names ([Policy.Certificate], [Policy.CommonName]).
	ReasonPinned Reason = "pinned-certificate"
	// ReasonCertificate: the signer's certificate is not one of a timestamp
	// authority: version, CA flag, key usage, extended key usage, weak key
	// (RFC 3161, 2.3).
	ReasonCertificate Reason = "certificate"
	// ReasonTSAName: the tsa field is not a name of the signer's certificate
	// (RFC 3161, 2.4.2).
	ReasonTSAName Reason = "tsa-name"
	// ReasonSignature: the signature does not verify (RFC 5652, 5.6).
	ReasonSignature Reason = "signature"
	// ReasonValidity: a certificate of the chain was not valid at the token's
	// time (RFC 3161, appendix B).
	ReasonValidity Reason = "validity"
	// ReasonKeyUsagePeriod: the token's time is outside the signer's
	// privateKeyUsagePeriod (EN 319 421, 7.6.7).
	ReasonKeyUsagePeriod Reason = "key-usage-period"
	// ReasonUntrusted: no chain from the signer's certificate to a root of the
	// policy that holds for timestamping with acceptable keys (RFC 5280, 6).
	ReasonUntrusted Reason = "untrusted"
	// ReasonRevoked: a certificate of the chain is revoked in a way that voids
	// the token (RFC 3161, 4.1).
	ReasonRevoked Reason = "revoked"
	// ReasonRevocationUnknown: the policy asks for revocation and it could not
	// be told (RFC 3161, 2.2).
	ReasonRevocationUnknown Reason = "revocation-unknown"
)

// Reasons returns every Reason, in the order in which the checks are made.
func Reasons() []Reason {
	return []Reason{
		ReasonNoRoots, ReasonMalformed, ReasonRefused, ReasonWeakHash, ReasonImprint, ReasonNonce,
		ReasonPolicy, ReasonExtension, ReasonFuture, ReasonSignedData, ReasonDigestAlgorithm,
		ReasonSignatureAlgorithm, ReasonSignedAttributes, ReasonMessageDigest, ReasonSigningCertificate,
		ReasonCertificateMissing, ReasonPinned, ReasonCertificate, ReasonTSAName, ReasonSignature,
		ReasonValidity, ReasonKeyUsagePeriod, ReasonUntrusted, ReasonRevoked, ReasonRevocationUnknown,
	}
}

// An Error says why a token was not accepted. Every error of [Policy] and of
// [Answers] is an *Error.
type Error struct {
	Reason Reason
	// Detail says for people what was found and what was expected.
	Detail string
	// Err is the cause, nil when there is none. Detail has its text.
	Err error
}

// Error returns the reason and the detail.
func (e *Error) Error() string { return "verify: " + string(e.Reason) + ": " + e.Detail }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(r Reason, format string, args ...any) error {
	return &Error{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

// failed is fail with a cause, whose text comes after that of format.
func failed(r Reason, cause error, format string, args ...any) error {
	text := strings.TrimPrefix(strings.TrimPrefix(cause.Error(), "verify: "), "tsp: ")
	if format != "" {
		text = fmt.Sprintf(format, args...) + ": " + text
	}
	return &Error{Reason: r, Detail: text, Err: cause}
}
