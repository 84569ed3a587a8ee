// Package pki is about the certificate chains that signing services stand on:
// it reads them, says what is wrong with them, and makes them, for each [Role]
// that a service may have: time-stamping unit, certificate authority,
// signer of artifacts, transparency log.
//
// # Reading
//
// [ParseChain] takes the file an operator has, in PEM or concatenated DER, and
// returns the chain with the service's certificate first. It is strict where a
// lenient reader would hide a mistake: a damaged block, a private key in the
// file, a certificate that does not belong, or an order that could be read in
// two ways is an error that names what it found. [ParseCertificates] reads a
// file of certificates that are not a chain, such as a set of trust anchors, and
// [EncodeChain] writes. [ParseRequest] and [ParsePublicKey] read what somebody
// else wants certified.
//
// # Checking
//
// [Check] goes through a chain rule by rule and returns a [Report]:
//
//	report := pki.Check(chain, pki.CheckOptions{Role: pki.RoleTSA, PublicKey: key.Public()})
//	if err := report.Err(); err != nil {
//		return err // a *pki.ChainError: which rule, which certificate
//	}
//
// A finding is an error when a standard is broken or the chain cannot work, a
// warning when a verifier or a specification in wide use rules out what the
// standards allow (it says which), and a note when it is merely worth knowing.
// Every finding has the identifier of its rule, the certificate at fault, and
// the clause; errors and warnings have the cure as well. [Rules] explains the
// rules themselves.
//
// Check decides whether a chain is fit for its role. It does not decide whether
// the root is to be trusted, and it asks nobody about revocation.
//
// # Making
//
// [CreateChain] makes a whole chain in one call; [CreateRoot],
// [CreateIntermediate] and [CreateLeaf] make one certificate each, from any
// [crypto.Signer]. What they make passes Check without a warning. [Template]
// gives the certificate before it is signed, to those who need one more
// extension. [CreateRequest] asks somebody else's CA instead. [CreateCRL] makes
// a revocation list, with the reasons spelt out as RFC 3161, 4.1 wants them.
//
// The private keys never pass through this package other than as signers, and
// it keeps none.
package pki
