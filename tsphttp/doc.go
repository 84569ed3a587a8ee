// Package tsphttp carries timestamp requests and replies over HTTP, as RFC
// 3161, 3.4 has it: a [Client] for any timestamp authority, and a [Handler]
// for one of your own.
//
// # Asking
//
//	client, err := tsphttp.NewClient(tsphttp.ClientConfig{
//		URLs:  []string{"https://tsa.example", "http://timestamp.example/tsr"},
//		Trust: &verify.Policy{Roots: roots},
//	})
//	resp, err := client.Stamp(ctx, tsp.NewRequest(imprint))
//
// The authorities are asked in order until one gives an answer that passes
// every check: it is granted, has the imprint, nonce and policy of the
// request and a time near the local clock's, and verifies under Trust.
// Whatever fails is an error of its own, which [Client.Ask] lists.
//
// A URL is used with the path that it has. One without any, as Sigstore's
// tools write it, is completed with [DefaultPath]; one that ends in a slash
// asks at the root, as several commercial authorities want it.
//
// Passwords and other headers go to the URL they were given for and never
// follow a redirect. Redirects are followed with status 307 and 308 only: the
// others would turn the request into a GET.
//
// # Answering
//
//	handler, err := tsphttp.NewHandler(tsphttp.HandlerConfig{Responder: authority})
//	http.Handle("/api/v1/timestamp", handler)
//
// A Handler knows HTTP, and a [Responder] all the rest. A refusal is a
// TimeStampResp with HTTP status 200, because the exchange has worked; HTTP's
// own statuses speak of HTTP:
//
//	405  the method is not POST
//	413  the body is above the limit
//	415  neither application/timestamp-query nor application/json, or compressed
//	408  the body did not arrive in time        400  it broke off
//	503  the queue is full, or too slow: Retry-After says when to come back
//	499  the client has gone (only the log sees it)
//
// # The JSON form
//
// A request may also be the JSON of sigstore/timestamp-authority, of at most
// [MaxJSON] octets:
//
//	{"artifactHash": "n4bQgYhMfWWaL-qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
//	 "hashAlgorithm": "sha256", "nonce": 1123343434,
//	 "certificates": true, "tsaPolicyOID": "1.3.6.1.4.1.57264.2"}
//
// The hash is in base64 of either alphabet, padded or not; hashAlgorithm is
// sha256, sha384, sha512 or, where the Responder takes them, sha3-256 and so
// on, in any letter case, with or without hyphen; the nonce is an integer of
// at most 64 octets. Nonce, certificates and tsaPolicyOID may be left out.
// Keys that are not known are ignored, as clients are used to; one of these
// given twice is refused. There are no extensions in this form.
//
// The answer is the same TimeStampResp in DER, unless the Accept header
// prefers application/json to application/timestamp-reply:
//
//	{"status": "granted", "timestamp": "base64 of the TimeStampResp",
//	 "genTime": "2026-08-01T12:00:00.123Z", "serial": "1234567890",
//	 "policy": "1.3.6.1.4.1.57264.2", "accuracy": 1}
//
// with the accuracy in seconds and the serial number in decimal. A refusal is
// {"code": 400, "message": "..."}, with status 503 where the clock cannot be
// relied on and 500 for a systemFailure. The messages are those that clients
// of this form know; where they say nothing, a field "detail" does.
//
// # Trust
//
// Nothing that comes over the network is trusted. A Client without Trust
// returns answers that fit the request and that anybody may have given: pass
// them to package verify before you rely on their time. A Handler reads no
// more than its limits, whatever length is announced.
package tsphttp
