// Package countersign asks for and checks the RFC 3161 timestamps of Notary
// Project signatures. What is stamped is the signature value of an envelope;
// the token is kept beside it, unsigned.
//
//	stamper := countersign.Stamper{Clients: clients, Checker: &countersign.Checker{Config: cfg}}
//	t, err := stamper.Stamp(ctx, signature, crypto.SHA256) // t.Token.Raw goes into the envelope
//
//	t, err := checker.Verify(ctx, token, signature, crypto.SHA256)
//	err = t.Covers(chain)
//
// # What is checked
//
// Everything that package verify checks, at the time in the token, and on top
// of that what Notation does (the libraries tspclient-go and notation-core-go),
// so that nothing is accepted here that Notation refuses: a SignedData of
// version 3 without a crls field, signed by one that is named by issuer and
// serial number; SHA-256, SHA-384 or SHA-512 throughout; signed attributes in
// the order of DER; certificates that all parse; a signer's key and key usage
// of a few kinds; CAs with basicConstraints and keyCertSign up to a self-signed
// root; a signingTime attribute, where there is one, within the validity of all
// of these. Each is a refusal with a reason of its own, both when a signature
// is stamped and when it is verified: a token that fails here would make a
// signature that nobody can verify.
//
// Revocation is asked about last, at the local time. As with Notation a
// certificate that is revoked is refused whenever that was and for whatever
// reason, although RFC 3161, 4.1 would let stand what came before some
// revocations.
//
// # Where this is stricter than Notation
//
// Package verify refuses a few tokens that Notation takes: those whose time is
// ahead of the local clock by more than five minutes, those with an unknown
// critical extension, a tsa field that is not the signer's name, a signer
// identifier or further signed certificates that contradict the chain,
// attributes that occur twice, a second SignerInfo, a digest in the attributes
// by another algorithm than in the signature, what is not RFC 3161 in the
// TSTInfo or comes after its last field, and roots with weak keys. No authority
// in use is known to send such tokens, but for the first, which is a clock to
// be put right.
//
// # Where asking differs
//
// An answer with HTTP status 201, as sigstore's timestamp-server can be set to
// send, and one whose media type has parameters, are accepted; Notation accepts
// 200 and the bare type alone. It makes no difference to the token. A token in
// BER is kept as DER, which Notation can read.
//
// # Trust
//
// The roots are what a token is trusted by. Whoever has the key of an authority
// below one of them can give any signature any time, and so bring a signing
// certificate back to life that has expired; see [SystemRoots] before using the
// roots of the operating system.
package countersign
