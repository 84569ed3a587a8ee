package access

import (
	"context"
	"net/netip"
)

// A Client is who asked.
type Client struct {
	// Name is the configured name, "" for who is just an address.
	Name string
	// Kind is what the client was known by.
	Kind Kind
	// Address is where the request came from, behind the trusted proxies: never
	// an IPv4 address mapped into IPv6, and without a zone. It is the zero Addr
	// for a peer on a unix socket that no proxy speaks for.
	Address netip.Addr
	// Via is how Address was found.
	Via Via
}

// A Kind is what a client was known by.
type Kind int

const (
	// KindAddress is a client that proved nothing.
	KindAddress Kind = iota
	// KindToken is one that sent the token of its name.
	KindToken
	// KindCertificate is one whose verified certificate belongs to its name.
	KindCertificate
)

// String returns the word for logs and metrics.
func (k Kind) String() string {
	switch k {
	case KindToken:
		return "token"
	case KindCertificate:
		return "certificate"
	}
	return "address"
}

// A Via is how the address of a client was found.
type Via int

const (
	// ViaSocket is the address of the socket's other end, which is no trusted
	// proxy.
	ViaSocket Via = iota
	// ViaProxy is what trusted proxies say.
	ViaProxy
	// ViaSilent is the address of a trusted proxy that said nothing: it asks for
	// itself, or it does not write the header that is configured.
	ViaSilent
	// ViaHidden is the address of a trusted proxy that does not want to say, by
	// "unknown" or a name that it made up (RFC 7239, 6.2 and 6.3).
	ViaHidden
	// ViaMalformed is the address of the last trusted proxy before something
	// that is no address, or before more than [MaxHops].
	ViaMalformed
)

// String returns the word for logs and metrics.
func (v Via) String() string {
	switch v {
	case ViaProxy:
		return "proxy"
	case ViaSilent:
		return "silent-proxy"
	case ViaHidden:
		return "hidden"
	case ViaMalformed:
		return "malformed"
	}
	return "socket"
}

type clientKey struct{}

// WithClient returns a context that knows the client of a request.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientFrom returns the client that [WithClient] put into ctx.
func ClientFrom(ctx context.Context) (Client, bool) {
	c, ok := ctx.Value(clientKey{}).(Client)
	return c, ok
}
