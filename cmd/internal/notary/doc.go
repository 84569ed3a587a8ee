// Package notary signs artifacts and verifies their signatures as the Notary
// Project specifies, with RFC 3161 timestamps: images and other artifacts in
// registries and layouts, and files.
//
//	s, err := signing.Sign(ctx, target)             // an envelope, countersigned by a TSA
//	d, err := notary.Push(ctx, repo, subject, s)    // now it is a referrer of the artifact
//	...
//	report, err := verifier.Image(ctx, notary.Image{Repository: repo, Subject: subject, Statement: statement})
//	report.Verified                                 // and every check of every signature, with its reason
//
// The parts have packages of their own: envelope for JWS and COSE, countersign
// for the timestamp, trustpolicy and truststore for what a person trusts,
// directory for where that is kept. This package is the order in which they
// are asked, which is that of Notation.
//
// # Trust
//
// A signature counts if a certificate of its chain is in a trust store that the
// policy names, at a time when the whole chain was valid. That time is now, or
// the one that a timestamp authority vouches for. It does not tell whether a
// certificate was revoked before or after: one that is revoked makes every
// signature void, however old.
package notary
