// Package tsptest makes what tests of timestamp clients, verifiers and
// servers need: requests and tokens, good and hostile, and a hostile
// authority.
//
// # A hostile authority
//
// [TSA] is an [net/http.Handler] that answers timestamp requests over HTTP and
// misbehaves on demand. Point the client under test at it, in any language:
//
//	tsa, err := tsptest.NewTSA(tsptest.TSAConfig{})
//	os.WriteFile("root.pem", tsa.RootPEM(), 0o644)
//	http.ListenAndServe("127.0.0.1:8080", tsa)
//
// A POST to /wrong-nonce gets a token with another nonce, one to /stale-time a
// token of last year, one to /slow waits; [Faults] lists them all, and GET /
// does over HTTP. Any other path gets an honest answer. [TSA.Set] and
// [TSA.Script] choose the faults from the outside, for a client that cannot
// change its URL. In a Go test, [Serve] does all this in one call.
//
// # Forged tokens
//
// A [Forge] writes tokens and responses field by field. As it comes from
// [NewForge] it makes good ones; its knobs and hooks bend each layer, from the
// TSTInfo to the response, and everything that is signed is signed after it
// was bent. [Variants] is a table of such tokens, each with the [Verdict] that
// a careful client must reach, and [Requests] one of requests with the answer
// that an authority owes to each. The same inputs give the same bytes.
//
// Nothing here is for use in production: the keys of test chains are public.
package tsptest
