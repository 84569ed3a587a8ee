// Package trustpolicy reads the trust policy documents of the Notary Project,
// version 1.0, for images (trustpolicy.oci.json, once trustpolicy.json) and for
// files (trustpolicy.blob.json).
//
// A document is a list of statements. [Document.ForImage] and
// [Document.ForFile] choose the one that applies; it says which checks are
// enforced ([Statement.Actions]), which trust stores count ([Statement.Stores])
// and who may sign ([Identities.Match]).
//
// # Strictness
//
// [ParseImages] and [ParseFiles] accept what Notation accepts and means
// something, and name every fault of the rest at once, each with its line, its
// place and its cure. What Notation ignores in silence, such as a member it
// does not know, is in [Document.Warnings], so that Notation's own directory
// works as it is; a command that imports a document can refuse it then.
//
// Where the specification, Notation's code and good sense disagree, this
// package takes the side that trusts less:
//
//   - A member in other capitals ("Override"), which Notation obeys, and one
//     that comes twice, of which Notation obeys the last, are faults.
//   - A statement for files that is global and skips verification is a fault,
//     as Notation means it to be; its code lets it pass, and then crashes.
//   - A store named "." or ".." is a fault; Notation's pattern allows it.
//   - An identity with an empty attribute ("L=") is a fault; Notation takes it
//     for one that the certificate must not have.
//   - Characters that RFC 4514 wants escaped have to be. U+FFFD in an identity is
//     a fault, and so is a bare space after an escaped backslash, which Notation
//     takes for a part of the value.
//   - A certificate whose subject has CN or SERIALNUMBER twice matches no
//     identity but "*"; Notation compares the last of them.
//   - A statement whose name is only spaces is a fault.
//   - The level skip with the scope "*", which the specification forbids and
//     Notation accepts, is accepted with a warning: nothing about it is hidden.
//
// Names and attribute values are compared as they are written, capitals included,
// and so are scopes, but for their hosts, where capitals make no difference.
package trustpolicy
