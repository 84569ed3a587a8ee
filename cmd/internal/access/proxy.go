package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A ProxyHeader is the header in which trusted proxies say for whom they ask.
// Only one is ever read: a proxy that writes one of them passes on whatever the
// client wrote into the other.
type ProxyHeader int

const (
	// HeaderXForwardedFor is X-Forwarded-For, which nearly every proxy writes.
	HeaderXForwardedFor ProxyHeader = iota
	// HeaderForwarded is Forwarded (RFC 7239).
	HeaderForwarded
)

// String returns the name of the header.
func (h ProxyHeader) String() string {
	if h == HeaderForwarded {
		return "Forwarded"
	}
	return "X-Forwarded-For"
}

// UnmarshalText reads the name of the header, in whatever case.
func (h *ProxyHeader) UnmarshalText(text []byte) error {
	for _, known := range []ProxyHeader{HeaderXForwardedFor, HeaderForwarded} {
		if strings.EqualFold(string(text), known.String()) {
			*h = known
			return nil
		}
	}
	return fmt.Errorf("%q is not x-forwarded-for or forwarded", text)
}

// A Proxy is whose word about addresses is believed: who connects from a range
// of addresses, or over any unix socket that is listened on.
type Proxy struct {
	Prefix netip.Prefix // the zero Prefix with Unix only
	Unix   bool
}

// ParseProxy reads 10.0.0.0/8, 2001:db8::/32, a bare address, or unix. It
// refuses a range of all addresses: everybody could then say to be anybody.
func ParseProxy(text string) (Proxy, error) {
	if text == "unix" {
		return Proxy{Unix: true}, nil
	}
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return Proxy{}, fmt.Errorf("proxy %q has a zone: write %s", text, addr.WithZone(""))
		}
		addr = addr.Unmap()
		return checkProxy(Proxy{Prefix: netip.PrefixFrom(addr, addr.BitLen())})
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return Proxy{}, fmt.Errorf("proxy %q is not a range such as 10.0.0.0/8, an address or unix", text)
	}
	return checkProxy(Proxy{Prefix: prefix})
}

// checkProxy returns the proxy with its range as addresses are compared with it.
func checkProxy(p Proxy) (Proxy, error) {
	if p.Unix {
		if p.Prefix.IsValid() {
			return Proxy{}, fmt.Errorf("proxy is both %s and unix", p.Prefix)
		}
		return p, nil
	}
	prefix := p.Prefix
	if !prefix.IsValid() {
		return Proxy{}, errors.New("proxy is neither a range nor unix")
	}
	if prefix.Addr().Is4In6() {
		if prefix.Bits() < 96 {
			return Proxy{}, fmt.Errorf("proxy %s is more than all IPv4 addresses", prefix)
		}
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	switch {
	case prefix.Bits() == 0:
		return Proxy{}, fmt.Errorf("proxy %s is everybody: list the proxies", prefix)
	case prefix != prefix.Masked():
		return Proxy{}, fmt.Errorf("proxy %s has bits behind its length: write %s, or %s alone", prefix, prefix.Masked(), prefix.Addr())
	}
	return Proxy{Prefix: prefix}, nil
}

// UnmarshalText reads what [ParseProxy] does.
func (p *Proxy) UnmarshalText(text []byte) error {
	parsed, err := ParseProxy(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}

// String returns what [ParseProxy] reads.
func (p Proxy) String() string {
	if p.Unix {
		return "unix"
	}
	return p.Prefix.String()
}

// proxies are those that are trusted.
type proxies struct {
	ranges []netip.Prefix
	unix   bool
	header string // canonical name
	next   func(value string) (rest string, h hop)
}

func newProxies(list []Proxy, header ProxyHeader) (proxies, error) {
	p := proxies{header: "X-Forwarded-For", next: nextForwardedFor}
	switch header {
	case HeaderXForwardedFor:
	case HeaderForwarded:
		p.header, p.next = "Forwarded", nextForwarded
	default:
		return proxies{}, fmt.Errorf("access: unknown Header %d", header)
	}
	for i, one := range list {
		one, err := checkProxy(one)
		if err != nil {
			return proxies{}, fmt.Errorf("access: TrustedProxies[%d]: %w", i, err)
		}
		if one.Unix {
			p.unix = true
		} else {
			p.ranges = append(p.ranges, one.Prefix)
		}
	}
	return p, nil
}

func (p *proxies) trust(a netip.Addr) bool {
	for i := range p.ranges {
		if p.ranges[i].Contains(a) {
			return true
		}
	}
	return false
}

// MaxHops is how many elements of a header are read. No installation has as
// many proxies in a row; only trusted ones are walked over, so that no client
// can bring it about that a request has more.
const MaxHops = 32

// address finds where a request comes from.
func (p *proxies) address(r *http.Request) (netip.Addr, Via) {
	var socket netip.Addr
	// The name of a unix socket's other end is whatever its owner bound it to,
	// and may look like an address.
	if _, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		if !p.unix {
			return netip.Addr{}, ViaSocket
		}
	} else {
		at, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return netip.Addr{}, ViaSocket
		}
		socket = plain(at.Addr())
		if !p.trust(socket) {
			return socket, ViaSocket
		}
	}
	return p.walk(socket, r.Header[p.header])
}

// walk goes from a trusted proxy to whom it asks for, from proxy to proxy, and
// returns the first address that is none of them. Several lines of a header are
// one list (RFC 9110, 5.3). Where all are proxies, the leftmost is who asks.
func (p *proxies) walk(at netip.Addr, values []string) (netip.Addr, Via) {
	via := ViaSilent
	line := len(values)
	var rest string
	for range MaxHops {
		for rest == "" {
			if line == 0 {
				return at, via
			}
			line--
			rest = values[line]
		}
		var h hop
		rest, h = p.next(rest)
		switch h.kind {
		case hopEmpty: // RFC 9110, 5.6.1.2: to be ignored
			continue
		case hopHidden:
			return at, ViaHidden
		case hopMalformed:
			return at, ViaMalformed
		}
		at, via = h.addr, ViaProxy
		if !p.trust(at) {
			return at, via
		}
	}
	return at, ViaMalformed
}

// plain returns an address without zone, and an IPv4 one as such.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
