// Package pkitest makes certificate chains for tests: the same bytes on every
// run and on every machine.
//
// [TSA] and [Log] return a chain of root, intermediate and leaf with their
// private keys, [CA] and [TSACA] one of root and issuing CA.
// EC and Ed25519 keys are derived from names; RSA keys, which cannot be, are in
// testdata, marked TESTING KEY. Signatures are deterministic (RFC 6979 for
// ECDSA), serial numbers are derived, and the validity is fixed, so that a test
// may compare whole tokens and certificates.
//
// [Options] bends the chain: another key type, another window, a function that
// changes a certificate before it is signed. [HostileTSA] lists the chains that
// every check of a TSA certificate has to refuse; [HostileCA], [HostileTSACA]
// and [HostileLog] do so for the other roles.
//
// The keys are public. Nothing here is for use outside tests.
package pkitest
