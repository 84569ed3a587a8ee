// Package interop holds the tests that compare fencepost with the timestamping software of others: their
// clients and verifiers against our servers, our clients and verifier against their servers, and everybody's
// verdict on the same tokens; and the libraries of the Notary Project against what we sign and verify. Each
// comparison is made with good input and with tampered input: a verifier
// that accepts everything would otherwise pass.
//
// It is a module of its own, so that what it compares with is no dependency of ours. The tests run in a
// network namespace, see package netns; the peers are installed before they enter it, see package peers.
// Run them with ./check interop in the root of the repository.
package interop
