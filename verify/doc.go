// Package verify decides whether a timestamp token can be trusted, and is the
// only way from a token to a time that one may rely on.
//
// A [Policy] is a value that says what is trusted. Its zero value checks
// everything and trusts nothing; give it trust anchors:
//
//	policy := verify.Policy{Roots: roots}
//	stamp, err := policy.Token(token, imprint) // imprint of the data at hand
//	if err != nil {
//		return err // a *verify.Error: err.Reason says which check failed
//	}
//	fmt.Println(stamp.Time)
//
// [Policy.Token] takes a parsed token, [Policy.Response] a response with the
// request that it answers, and [Policy.Bytes] a file, whichever of the two it
// holds. [Answers] compares a response with its request and looks at no trust
// at all; it is for clients that keep a token for others to verify.
//
// # What is checked
//
// Everything that RFC 3161, as updated by RFC 5816, asks of a client, in one
// pass over one certificate object: the certificate that the signed
// signingCertificate attribute names by its hash is the one whose names match,
// whose profile is checked, whose key verifies the signature and whose chain
// is built. Other certificates in a token can only help to build that chain.
//
// The chain must be valid at the time in the token, not now and not at the
// signingTime attribute, so that a token outlives the certificate of its
// authority. A time further ahead of the local clock than
// [Policy.MaxFuture] is refused.
//
// Revocation is checked where the policy has a [RevocationChecker]. [CRLs] and
// [OCSPResponses] are checkers that know what they were given, [Evidence] is
// both together, and [Evidence.Missing] tells what to fetch; nothing in this
// package asks anybody. A revocation without a reason, or for compromise of the key, voids every
// token of the certificate; one because the authority closed leaves those
// that came before it (RFC 3161, 4.1).
//
// # What is let pass
//
// Public authorities send sets that are not sorted, BER outside the signed
// parts, certificates of other kinds, revocation lists, SignedData of version
// 1. None of it weakens a signature over bytes as they came, and all of it is
// accepted. [Lint] tells what is unusual about a token.
//
// # Cost
//
// Input is hostile until shown otherwise: a token costs one signature
// verification and a bounded number of certificates, however large it is.
// A [ChainCache] remembers the chains that were verified, so that each further
// token of the same authority costs the verification of its signature.
//
// A Policy is safe for concurrent use as long as nobody changes it.
package verify
