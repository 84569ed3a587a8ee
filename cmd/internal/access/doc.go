// Package access says who asks, and how much each may ask.
//
// A [Control] is made of a [Config] and asked once for each request that is to
// be limited, before anything of it is read but the header:
//
//	client, refusal := control.Admit(r)
//	if refusal != nil {
//		refusal.SetHeader(w.Header())
//		... refusal.Status, refusal.Text ...
//		return
//	}
//	r = r.WithContext(access.WithClient(r.Context(), client))
//
// # Who
//
// A client is a configured name, which a request proves with an API token or
// with a client certificate that the TLS handshake has verified; or it is just
// an address. A token in the request counts before a certificate, since it says
// more: a gateway may pass the tokens of many through its one certificate. A
// credential that is given and wrong is refused (401), never overlooked, so that
// a client with an old token does not quietly become a stranger.
//
// Tokens come as "Authorization: Bearer TOKEN", or as the password of
// "Authorization: Basic", whatever the user is called: most programs that ask
// for timestamps can be given nothing but a URL, and curl and everything that
// stands on Go's net/http (cosign, notation, fencepost) send the user and the
// password in it as Basic. There is no X-API-Key and no token in the URL's path
// or query: programs that can set a header can set Authorization, which proxies
// and logs know to be secret. Programs that cannot send a password (signtool,
// jarsigner, timestamp-cli) have their address; jarsigner and cosign can have a
// client certificate.
//
// Only the SHA-256 of a token is known here, and looked up in a map. How long
// that takes may tell something about the digests, and nothing about a token
// that hashes to one: it would have to be found by inverting SHA-256. Tokens
// shorter than [MinToken] are refused, so that none can be guessed.
//
// # Where from
//
// The address is the socket's, unless that is a configured proxy: then it is
// what the proxies say in the one header that is configured, read from its right
// end, where the nearest proxy wrote, up to the first address that is not a
// proxy. What stands further left was written by the client, and is not even
// looked at. Where a proxy's word cannot be read, its own address is taken, so
// that whoever comes through shares one limit; [Client].Via says so.
//
// Addresses are limited one by one for IPv4 and by /64 for IPv6.
//
// # How much
//
// A [Limit] is a rate with a burst, and a quota for a fixed window of time such
// as the day, which begins at midnight UTC. A named client has one of its own,
// however many addresses it comes from; every other address has the default one.
// All counts are in the memory of this process: a restart forgets them, a reload
// does not ([Control.Adopt]), and each of several instances counts for itself.
package access
