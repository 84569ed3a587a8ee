// Package authority issues timestamp tokens: the duties of a TSA in RFC 3161,
// 2.1, with the answers of 2.4.2.
//
// An [Authority] is one key with its certificate chain, one clock and one set
// of promises. [New] checks all of them, and what it returns never changes: to
// rotate a key, make another Authority.
//
//	a, err := authority.New(authority.Config{
//		Signer: key,                                 // signs, and may be far away
//		Chain:  chain,                               // leaf first
//		Clock:  clock.System(500 * time.Millisecond),
//		Policy: policy,
//	})
//	...
//	reply, outcome := a.Respond(ctx, request)
//
// [Authority.Respond] always has an answer. A refusal is an answer too, with
// the failure information and the text of a [tsp.Rejection]; the [tsp.Outcome]
// says what became of the request, for records and metrics.
//
// # What is never issued
//
// No token leaves when the clock cannot be vouched for or its error is above
// the promised accuracy; outside the validity of any certificate of the chain
// or the usage period of the private key; for a hash, policy or extension that
// is not offered; when the token does not stand up to the check that a client
// makes ([ErrSelfCheck]); when it could not be recorded. Each has its failure
// information, and nothing weaker is put in its place.
//
// # The token
//
// SignedData version 3 with one SignerInfo version 1, that names its
// certificate by issuer and serial number; signed attributes contentType,
// messageDigest and signingCertificateV2, in the order of DER; no signingTime,
// no CRLs. Certificates only for who asks. Serial numbers are 20 octets from
// the random source, unique without anything shared or stored. All that stays
// the same from one token to the next is encoded once, in [New].
package authority
