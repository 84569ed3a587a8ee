// Package tsp reads and writes the messages of the Time-Stamp Protocol: RFC
// 3161 as updated by RFC 5816. It does no I/O, knows no clock and trusts
// nothing.
//
// A client hashes what is to be stamped, wraps the hash in a [Request] and
// sends it:
//
//	imprint, err := tsp.ReadImprint(crypto.SHA256, file)
//	req, err := tsp.NewRequest(imprint) // with a fresh nonce
//	der, err := req.Marshal()
//
// An authority answers with a [Response]: a [Token], or a [Rejection] that
// says why there is none. [ParseRequest], [ParseResponse], [ParseToken] and
// [ParseInfo] are strict: DER with nothing after it, every field checked, and
// an error that names the field. BER is accepted where CMS allows it, outside
// what is signed. [ParseAny] tells the messages apart, also in PEM and base64.
//
// # Trust
//
// A parsed token has proved nothing: its fields say "unverified" where they
// carry a time. [github.com/fencepost-tsa/fencepost/verify] turns a token into
// a time that one may rely on, and
// [github.com/fencepost-tsa/fencepost/tsphttp] fetches responses and checks
// them against the request.
//
// Every parser bounds what it allocates by a small multiple of its input, and
// refuses input longer than [MaxMessage].
package tsp

import "errors"

// MaxMessage is the longest message that is parsed, in octets: 16 MiB. Tokens
// have some 1 to 10 KiB; with revocation lists inside, a few MiB.
const MaxMessage = 16 << 20

// ErrMalformed is wrapped by every error with which a message of this package
// is refused as not well-formed, except those of [ParseRequest], which are
// Rejections.
var ErrMalformed = errors.New("malformed")
