// Package pki is about the certificate chains that signing services stand on:
// it reads them, says what is wrong with them, and makes them.
//
// # Reading
//
// [ParseChain] takes the file an operator has, in PEM or concatenated DER, and
// returns the chain leaf first. It is strict where a lenient reader would hide
// a mistake: a damaged block, a private key in the file, a certificate that
// does not belong, or an order that could be read in two ways is an error that
// names what it found. [ParseCertificates] reads a file of certificates that
// are not a chain, such as a set of trust anchors, and [EncodeChain] writes.
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
// warning when a verifier in wide use refuses what the standards allow (it says
// which), and a note when it is merely worth knowing. Every finding has the
// identifier of its rule, the certificate at fault, and the clause.
//
// Check decides whether a chain is fit for its role. It does not decide whether
// the root is to be trusted, and it asks nobody about revocation.
//
// # Making
//
// [CreateChain] makes a root, an issuing certificate and a leaf in one call;
// [CreateRoot], [CreateIntermediate] and [CreateLeaf] make one certificate each,
// from any [crypto.Signer]. What they make passes Check without a warning.
// [Template] gives the certificate before it is signed, to those who need one
// more extension. [CreateCRL] makes a revocation list, with the reasons spelt
// out as RFC 3161, 4.1 wants them.
//
// The private keys never pass through this package other than as signers, and
// it keeps none.
package pki
