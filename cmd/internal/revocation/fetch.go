package revocation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
)

// Limits on one fetch.
const (
	// maxURL is the longest address, in bytes.
	maxURL = 2048
	// maxRedirects is more than the move of a server to another name and to
	// https takes.
	maxRedirects = 3
	// maxHeader bounds the header of a response, in bytes.
	maxHeader = 64 << 10
)

// A fetch is one request.
type fetch struct {
	method    string
	url       string
	body      []byte
	mediaType string // of the body
	accept    string
	limit     int64 // on the body of the response, in bytes
}

// errOffline is why nobody was asked.
var errOffline = errors.New("not asked, because nobody is to be")

// fetch returns the body of the response.
func (f *Fetcher) fetch(ctx context.Context, what fetch) ([]byte, error) {
	if f.cfg.Offline {
		return nil, errOffline
	}
	u, err := parseURL(what.url)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, what.method, u.String(), bytes.NewReader(what.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", what.accept)
	if what.mediaType != "" {
		req.Header.Set("Content-Type", what.mediaType)
	}
	if f.cfg.UserAgent != "" {
		req.Header.Set("User-Agent", f.cfg.UserAgent)
	}
	// A client for each fetch: no connection serves another, so that each is
	// subject to the rules of the fetch that it was made for.
	g := &guard{proxy: f.cfg.Proxy}
	if err := g.begin(req); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Control: g.connect}
	client := &http.Client{
		Timeout:       f.cfg.Timeout,
		CheckRedirect: g.redirect,
		Transport: &http.Transport{
			Proxy: f.cfg.Proxy, DialContext: dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true, // the limit is on what is sent
			MaxResponseHeaderBytes: maxHeader,
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		// Its text repeats the method and the address.
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, what.limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > what.limit {
		return nil, fmt.Errorf("the answer has more than %d bytes", what.limit)
	}
	return data, nil
}

// parseURL reads the address in a certificate. RFC 5280, 8 warns of https,
// whose own certificate would have to be checked first; what is fetched is
// signed, so that it does neither harm nor good, and some name it.
func parseURL(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, fmt.Errorf("the address has %d bytes, at most %d are taken", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the address is malformed")
	}
	return u, visitable(u)
}

func visitable(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("addresses with %q are not fetched, only http and https", u.Scheme)
	case u.Hostname() == "":
		return errors.New("the address names no host")
	case u.User != nil:
		return errors.New("the address has a user name")
	}
	return nil
}

// shown is an address for messages.
func shown(address string) string {
	if len(address) > maxURL {
		return address[:maxURL] + "..."
	}
	return address
}

// A guard keeps one fetch away from places that no certificate named. It sees
// the addresses that are connected to, so that no name can be changed behind
// its back.
type guard struct {
	proxy func(*http.Request) (*url.URL, error)

	redirected atomic.Bool // by now
	proxied    atomic.Bool // the proxy decides where this request may go
	inside     atomic.Bool // the certificate's address is inside
}

// begin notes how a request goes out.
func (g *guard) begin(req *http.Request) error {
	proxy, err := g.proxy(req)
	if err != nil {
		return err
	}
	g.proxied.Store(proxy != nil)
	return nil
}

// redirect is http.Client.CheckRedirect.
func (g *guard) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if err := visitable(req.URL); err != nil {
		return fmt.Errorf("redirected: %w", err)
	}
	if req.Method != via[0].Method {
		return fmt.Errorf("redirected from %s to %s", via[0].Method, req.Method)
	}
	g.redirected.Store(true)
	return g.begin(req)
}

// connect is net.Dialer.Control: address is that of the other side.
func (g *guard) connect(_, address string, _ syscall.RawConn) error {
	if g.proxied.Load() {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	where := placeOf(to.Addr())
	switch {
	case where == nowhere:
		return fmt.Errorf("%v is no address to fetch from", to.Addr())
	case !g.redirected.Load():
		if where == inside {
			g.inside.Store(true)
		}
	case where == inside && !g.inside.Load():
		return fmt.Errorf("redirected to %v, inside the own network", to.Addr())
	}
	return nil
}

// A place is where an address is, as seen from here.
type place int

const (
	outside place = iota
	inside        // this machine and private networks
	nowhere       // link-local, multicast and the like
)

// placeOf tells where an address is.
func placeOf(a netip.Addr) place {
	a = a.WithZone("").Unmap() // no network contains an address with a zone
	local := nat64Local.Contains(a)
	if local || nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case slices.Contains(metadata, a):
		return nowhere
	case local && a.IsGlobalUnicast():
		return inside // whatever stands behind that translator
	case a.IsLoopback(), a.IsPrivate(), shared.Contains(a):
		return inside
	case !a.IsGlobalUnicast(), thisNetwork.Contains(a), reserved.Contains(a), sixToFour.Contains(a):
		return nowhere
	}
	return outside
}

// Networks that package netip does not tell apart.
var (
	shared      = netip.MustParsePrefix("100.64.0.0/10")  // RFC 6598: providers' NAT
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")      // RFC 791, 3.2
	reserved    = netip.MustParsePrefix("240.0.0.0/4")    // RFC 1112, 4
	sixToFour   = netip.MustParsePrefix("2002::/16")      // RFC 7526: gone
	nat64       = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052, 2.1: an IPv4 address inside
	nat64Local  = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215: the same, of one network
)

// metadata is where clouds tell a machine its secrets other than by a
// link-local address: those of Amazon and Google for IPv6, of Alibaba, of Azure.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"),
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"),
}
