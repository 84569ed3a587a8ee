package timesrc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A Resolver finds the addresses of a name; [*net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// maxAddresses bounds what is kept of the answer to one name. Pools answer
// with four or eight.
const maxAddresses = 16

// A Host is a server by name or address, and port. Of several addresses one is
// used until it fails: the clocks behind a name need not agree to the
// microsecond, and a drift is measured against one of them. It may be used from
// several goroutines at once.
type Host struct {
	configured string
	name       string // empty: addr is not a name's
	port       uint16
	resolver   Resolver

	mu     sync.Mutex
	addrs  []netip.AddrPort // the one in use first; empty: look up
	failed netip.AddrPort   // used last, and failed
}

// NewHost takes apart a name or an address, with or without a port:
// ntp.example, ntp.example:1123, 192.0.2.1:123, 2001:db8::1, [2001:db8::1]:123.
// A nil resolver is the system's.
func NewHost(address string, port uint16, resolver Resolver) (*Host, error) {
	h := &Host{configured: address, port: port, resolver: resolver}
	if resolver == nil {
		h.resolver = net.DefaultResolver
	}
	bare := address
	if inside, ok := strings.CutPrefix(address, "["); ok && strings.HasSuffix(inside, "]") {
		bare = strings.TrimSuffix(inside, "]")
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		h.addrs = []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), port)}
		return h, nil
	}
	name := address
	if strings.Contains(address, ":") {
		host, digits, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("time server %.300q: %w", address, err)
		}
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("time server %.300q: the port is no number from 1 to 65535", address)
		}
		name, h.port = host, uint16(n)
		if ip, err := netip.ParseAddr(host); err == nil {
			h.addrs = []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), h.port)}
			return h, nil
		}
	}
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("time server %.300q: %w", address, err)
	}
	h.name = name
	return h, nil
}

// checkName refuses what is no name of a host (RFC 1123, 2.1; underscores are
// seen in private zones), such as a URI or an address with a mistake in it.
func checkName(name string) error {
	labels := strings.Split(strings.TrimSuffix(name, "."), ".")
	digits := true
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return errors.New("not a host name")
		}
		for _, c := range []byte(label) {
			switch {
			case '0' <= c && c <= '9':
			case 'a' <= c|0x20 && c|0x20 <= 'z', c == '-', c == '_':
				digits = false
			default:
				return fmt.Errorf("a host name has no %q in it", c)
			}
		}
	}
	if len(name) > 254 || digits { // 192.0.2 or 192.0.2.300 is no name
		return errors.New("not a host name, and not an address")
	}
	return nil
}

// String returns the host as it was configured.
func (h *Host) String() string { return h.configured }

// Same reports whether both are the same host as far as it can be told from
// how they are configured: however their names or addresses are written, and
// at whatever port, but for ports of this machine. Names of their own may lead
// to the same host all the same.
func (h *Host) Same(other *Host) bool {
	if h.name == "" && other.name == "" {
		return serverAt(h.addrs[0]) == serverAt(other.addrs[0])
	}
	name := canonical(h.name)
	return name == canonical(other.name) && (name != "localhost" || h.port == other.port)
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Name returns the name without the port, or the address if it has no name:
// what a certificate has to be for.
func (h *Host) Name() string {
	if h.name != "" {
		return h.name
	}
	return h.addrs[0].Addr().String()
}

// Addr returns the address to use. It looks the name up if it has not been,
// or if all addresses have failed. The error is an [*Error].
func (h *Host) Addr(ctx context.Context) (netip.AddrPort, error) {
	h.mu.Lock()
	if len(h.addrs) > 0 {
		defer h.mu.Unlock()
		return h.addrs[0], nil
	}
	failed := h.failed
	h.mu.Unlock() // a resolver may take its time

	ips, err := h.resolver.LookupNetIP(ctx, "ip", h.name)
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addr := netip.AddrPortFrom(ip.Unmap(), h.port)
		if ip.IsValid() && !slices.Contains(addrs, addr) && len(addrs) < maxAddresses {
			addrs = append(addrs, addr)
		}
	}
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	if err != nil {
		return netip.AddrPort{}, &Error{Server: h.configured, Reason: ReasonName, Err: err}
	}
	// One that has just failed is asked last.
	if i := slices.Index(addrs, failed); i >= 0 {
		addrs = append(slices.Delete(addrs, i, i+1), failed)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.addrs) == 0 {
		h.addrs = addrs
	}
	return h.addrs[0], nil
}

// Failed says that an address that Addr returned was of no use: the next one
// is another, and when there is none left the name is looked up anew.
func (h *Host) Failed(addr netip.AddrPort) {
	if h.name == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.addrs) > 0 && h.addrs[0] == addr {
		h.addrs = h.addrs[1:]
		h.failed = addr
	}
}
