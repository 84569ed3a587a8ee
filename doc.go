// Package fencepost is the root of a trusted-time stack for signed software:
// an RFC 3161 timestamp authority, its clients and its verifier.
//
// The root holds no code. Open the package for what you want to do:
//
//   - [github.com/fencepost-tsa/fencepost/tsp]: read and write timestamp
//     requests, responses and tokens (RFC 3161, RFC 5816).
//   - [github.com/fencepost-tsa/fencepost/verify]: decide whether a token can
//     be trusted, and get the time that it proves.
//   - [github.com/fencepost-tsa/fencepost/tsphttp]: ask a timestamp authority
//     over HTTP, or be one.
//   - [github.com/fencepost-tsa/fencepost/authority]: issue tokens.
//   - [github.com/fencepost-tsa/fencepost/signer], [github.com/fencepost-tsa/fencepost/pki],
//     [github.com/fencepost-tsa/fencepost/clock]: the keys, the certificate
//     chains and the time that an authority needs.
//
// These packages use the standard library and golang.org/x only. The programs
// are under cmd.
package fencepost
