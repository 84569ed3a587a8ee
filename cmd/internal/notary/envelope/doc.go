// Package envelope makes and reads the two envelopes of Notary Project
// signatures: flattened JWS (RFC 7515, 7.2.2) and COSE_Sign1 (RFC 9052, 4.2).
//
//	payload, err := envelope.MarshalPayload(target)
//	data, err := envelope.Sign(ctx, envelope.JWS, envelope.Request{Payload: payload, Key: key, Chain: chain, SigningTime: now})
//	...
//	e, err := envelope.Parse(envelope.JWS, data)      // what it says, in e.Unverified
//	content, err := e.Verify()                        // what its signer says
//	target, err := envelope.ParsePayload(content.Payload)
//	data, err = e.WithTimestamp(token)                // over content.Signature, by content.Algorithm.Hash
//
// Both carry the same things: a payload that names an artifact by its digest,
// attributes that are signed with it, and, not signed, the certificate chain
// of the signer, an RFC 3161 token over the signature, and the name of the
// program that signed.
//
// # What is checked
//
// [Parse] reads strictly and within limits: no member twice, none that differs
// from a known one by case alone, nothing after the end, canonical base64, no
// indefinite lengths, times in whole seconds. Members that are unknown are let
// pass where nothing is signed, and are [Attribute] values where it is. It also
// holds what the attributes must be to one another: crit lists what the Notary
// Project has it list, the signing scheme has its own time and no other,
// the expiry comes after it.
//
// [Envelope.Verify] adds the algorithm, which is the one of the leaf's key and
// no other, the signature, the profile of the chain, and the payload. Of the
// extensions of certificates, that profile has basic constraints, key usage and
// extended key usage; the specification wants all others ignored, critical or
// not, name constraints among them. Verify does not ask whether anybody trusts
// the chain, what time it is, what the timestamp is worth, or whether critical
// attributes are processed, for which there is [Content.Unprocessed].
//
// Everything that is accepted here is accepted by notation-core-go too. It is
// the other way round for everything that notation-core-go makes; of what
// others make it takes more: fractions of seconds, RSA-PSS salts of other
// lengths, attributes that come twice.
//
// # Cost
//
// A [Cache] remembers certificate chains, so that the next envelope of a signer
// costs reading it and one verification of its signature.
package envelope
