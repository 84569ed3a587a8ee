package access

import (
	"net/netip"
	"strings"
	"testing"
)

func mustProxies(t testing.TB, header ProxyHeader, list ...string) *proxies {
	t.Helper()
	var trusted []Proxy
	for _, text := range list {
		p, err := ParseProxy(text)
		if err != nil {
			t.Fatal(err)
		}
		trusted = append(trusted, p)
	}
	p, err := newProxies(trusted, header)
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

const proxyAddress = "10.0.0.1" // who connects in the tests below

// walkRow is a header and what is to be found in it.
type walkRow struct {
	name   string
	values []string
	want   string // "": proxyAddress
	via    Via
}

func (tt *walkRow) run(t *testing.T, p *proxies) {
	t.Helper()
	want := tt.want
	if want == "" {
		want = proxyAddress
	}
	got, via := p.walk(netip.MustParseAddr(proxyAddress), tt.values)
	if got.String() != want || via != tt.via {
		t.Errorf("%s: got %s, %s; want %s, %s", tt.name, got, via, want, tt.via)
	}
}

func TestForwardedFor(t *testing.T) {
	p := mustProxies(t, HeaderXForwardedFor, "10.0.0.0/8", "2001:db8:aaaa::/48")
	for _, tt := range []walkRow{
		{"none", nil, "", ViaSilent},
		{"empty", []string{""}, "", ViaSilent},
		{"one", []string{"192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"what the client wrote is not read", []string{"198.51.100.1, 192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"a client that claims to be a proxy", []string{"10.9.9.9, 192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"a client that claims to be behind one", []string{"198.51.100.1, 10.9.9.9, 192.0.2.1, 10.0.0.2"}, "192.0.2.1", ViaProxy},
		{"two proxies", []string{"192.0.2.1, 10.0.0.2"}, "192.0.2.1", ViaProxy},
		{"two lines", []string{"198.51.100.1", "192.0.2.1, 10.0.0.2", "10.0.0.3"}, "192.0.2.1", ViaProxy},
		{"empty line between", []string{"192.0.2.1", "", "10.0.0.3"}, "192.0.2.1", ViaProxy},
		{"all are proxies", []string{"10.0.0.7, 10.0.0.2"}, "10.0.0.7", ViaProxy},
		{"IPv6", []string{"2001:db8::1"}, "2001:db8::1", ViaProxy},
		{"IPv6 proxy", []string{"2001:db8::1, 2001:db8:aaaa::5"}, "2001:db8::1", ViaProxy},
		{"IPv6 in brackets", []string{"[2001:db8::1]"}, "2001:db8::1", ViaProxy},
		{"IPv6 with port", []string{"[2001:db8::1]:4711"}, "2001:db8::1", ViaProxy},
		{"IPv4 with port", []string{"192.0.2.1:4711"}, "192.0.2.1", ViaProxy},
		{"IPv4 mapped", []string{"::ffff:192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"IPv4 mapped in hexadecimal", []string{"[::ffff:c000:201]:80"}, "192.0.2.1", ViaProxy},
		{"mapped proxy", []string{"192.0.2.1, ::ffff:10.0.0.2"}, "192.0.2.1", ViaProxy},
		{"zone", []string{"fe80::1%eth0"}, "fe80::1", ViaProxy},
		{"spaces and tabs", []string{" \t 192.0.2.1 \t "}, "192.0.2.1", ViaProxy},
		{"no spaces", []string{"198.51.100.1,192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"empty elements", []string{"192.0.2.1, ,, "}, "192.0.2.1", ViaProxy},
		{"only commas", []string{",,,"}, "", ViaSilent},
		{"unknown", []string{"192.0.2.1, unknown"}, "", ViaHidden},
		{"Unknown", []string{"Unknown"}, "", ViaHidden},
		{"made-up name", []string{"192.0.2.1, _hidden"}, "", ViaHidden},
		{"unknown behind a second proxy", []string{"unknown, 10.0.0.2"}, "10.0.0.2", ViaHidden},
		{"junk left of the client", []string{"junk, 192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"junk", []string{"192.0.2.1, junk"}, "", ViaMalformed},
		{"junk behind a second proxy", []string{"junk, 10.0.0.2"}, "10.0.0.2", ViaMalformed},
		{"host name", []string{"localhost"}, "", ViaMalformed},
		{"underscore alone", []string{"_"}, "", ViaMalformed},
		{"made-up name with a space", []string{"_a b"}, "", ViaMalformed},
		{"quoted", []string{`"192.0.2.1"`}, "", ViaMalformed},
		{"bracket open", []string{"[2001:db8::1"}, "", ViaMalformed},
		{"bracket closed", []string{"2001:db8::1]"}, "", ViaMalformed},
		{"IPv4 in brackets", []string{"[192.0.2.1]"}, "", ViaMalformed},
		{"text behind the bracket", []string{"[2001:db8::1]80"}, "", ViaMalformed},
		{"port missing", []string{"192.0.2.1:"}, "", ViaMalformed},
		{"port no number", []string{"192.0.2.1:http"}, "", ViaMalformed},
		{"port too long", []string{"192.0.2.1:123456"}, "", ViaMalformed},
		{"leading zeros", []string{"192.000.002.001"}, "", ViaMalformed},
		{"range", []string{"192.0.2.0/24"}, "", ViaMalformed},
		{"unspecified", []string{"0.0.0.0"}, "", ViaMalformed},
		{"unspecified IPv6", []string{"::"}, "", ViaMalformed},
		{"multicast", []string{"ff02::1"}, "", ViaMalformed},
		{"two addresses in one element", []string{"192.0.2.1 192.0.2.2"}, "", ViaMalformed},
		{"not ASCII", []string{"１９２.0.2.1"}, "", ViaMalformed},
		{"NUL", []string{"192.0.2.1\x00"}, "", ViaMalformed},
		{"Forwarded's form", []string{"for=192.0.2.1"}, "", ViaMalformed},
		{"1 MB without a comma", []string{strings.Repeat("1", 1<<20)}, "", ViaMalformed},
		{"1 MB of spaces", []string{"192.0.2.1," + strings.Repeat(" ", 1<<20)}, "", ViaMalformed},
		{"1 MB left of the client", []string{strings.Repeat("1", 1<<20) + ", 192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"1 MB of commas", []string{strings.Repeat(",", 1<<20)}, "", ViaMalformed},
		{"10,000 hops left of the client", []string{strings.Repeat("10.0.0.2, ", 10_000) + "192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"10,000 proxies", []string{strings.Repeat("10.0.0.2, ", 10_000) + "10.0.0.3"}, "10.0.0.2", ViaMalformed},
		{"10,000 lines", strings.Split(strings.Repeat("10.0.0.2,", 10_000), ","), "10.0.0.2", ViaMalformed},
		{"10,000 empty lines", append([]string{"192.0.2.1"}, make([]string, 10_000)...), "192.0.2.1", ViaProxy},
		{"as many hops as allowed", []string{"192.0.2.1" + strings.Repeat(", 10.0.0.2", MaxHops-1)}, "192.0.2.1", ViaProxy},
		{"one hop more", []string{"192.0.2.1" + strings.Repeat(", 10.0.0.2", MaxHops)}, "10.0.0.2", ViaMalformed},
		{"longest element", []string{strings.Repeat(" ", maxForwardedFor-9) + "192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"longest element of several", []string{"1.1.1.1," + strings.Repeat(" ", maxForwardedFor-9) + "192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"longer element", []string{strings.Repeat(" ", maxForwardedFor) + "192.0.2.1"}, "", ViaMalformed},
		{"longer element of several", []string{"1.1.1.1," + strings.Repeat(" ", maxForwardedFor-8) + "192.0.2.1"}, "", ViaMalformed},
	} {
		tt.run(t, p)
	}
}

func TestForwarded(t *testing.T) {
	p := mustProxies(t, HeaderForwarded, "10.0.0.0/8", "2001:db8:aaaa::/48")
	for _, tt := range []walkRow{
		{"none", nil, "", ViaSilent},
		{"one", []string{"for=192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"in capitals", []string{"FOR=192.0.2.1;Proto=HTTP"}, "192.0.2.1", ViaProxy},
		{"RFC 7239, 4", []string{`for=192.0.2.43, for="[2001:db8:cafe::17]"`}, "2001:db8:cafe::17", ViaProxy},
		{"RFC 7239, 4, with port", []string{`For="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17", ViaProxy},
		{"RFC 7239, 4, all parameters", []string{"for=192.0.2.60;proto=http;by=203.0.113.43"}, "192.0.2.60", ViaProxy},
		{"RFC 7239, 7.1", []string{"for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com"}, "198.51.100.17", ViaProxy},
		{"RFC 7239, 6.3", []string{`for=_hidden, for=_SEVKISEK`}, "", ViaHidden},
		{"unknown", []string{"for=192.0.2.1, for=unknown"}, "", ViaHidden},
		{"unknown with a port", []string{`for="unknown:80"`}, "", ViaHidden},
		{"made-up port", []string{`for="192.0.2.1:_x"`}, "192.0.2.1", ViaProxy},
		{"two proxies", []string{"for=192.0.2.1, for=10.0.0.2"}, "192.0.2.1", ViaProxy},
		{"two lines", []string{"for=198.51.100.1", "for=192.0.2.1", "for=10.0.0.3"}, "192.0.2.1", ViaProxy},
		{"for is not first", []string{"proto=https;by=_x;for=192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"spaces at the semicolon", []string{"proto=https ; for=192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"empty parameters", []string{";;for=192.0.2.1;"}, "192.0.2.1", ViaProxy},
		{"without quotes", []string{"for=[2001:db8::1]:80"}, "2001:db8::1", ViaProxy},
		{"backslash", []string{`for="192\.0.2.1"`}, "192.0.2.1", ViaProxy},
		{"comma in a string", []string{`for=192.0.2.1;host="a, for=198.51.100.1"`}, "192.0.2.1", ViaProxy},
		{"quotation mark in a string", []string{`for=192.0.2.1;host="a\", for=198.51.100.1"`}, "192.0.2.1", ViaProxy},
		{"backslash at the end of a string", []string{`for=192.0.2.1;host="a\\"`}, "192.0.2.1", ViaProxy},
		{"backslashes before a quotation mark", []string{`for=192.0.2.1;host="a\\\", for=198.51.100.1"`}, "192.0.2.1", ViaProxy},
		{"client opens a string", []string{`for=198.51.100.1;x=", for=192.0.2.1`}, "192.0.2.1", ViaProxy},
		{"client opens a string, proxy has one", []string{`for=198.51.100.1;x=", for="[2001:db8::1]"`}, "2001:db8::1", ViaProxy},
		{"client ends with a backslash", []string{`for=198.51.100.1;x="\, for="192.0.2.1"`}, "192.0.2.1", ViaProxy},
		{"client opens a string in a line before", []string{`for=198.51.100.1;x="`, `for=192.0.2.1`}, "192.0.2.1", ViaProxy},
		{"no for", []string{"for=192.0.2.1, proto=https"}, "", ViaMalformed},
		{"for twice", []string{"for=192.0.2.1;for=192.0.2.2"}, "", ViaMalformed},
		{"for empty", []string{`for=""`}, "", ViaMalformed},
		{"for without value", []string{"for="}, "", ViaMalformed},
		{"for without sign", []string{"for"}, "", ViaMalformed},
		{"space around the sign", []string{"for = 192.0.2.1"}, "", ViaMalformed},
		{"space in a string", []string{`for=" 192.0.2.1"`}, "", ViaMalformed},
		{"bare address", []string{"192.0.2.1"}, "", ViaMalformed},
		{"string not ended", []string{`for="192.0.2.1`}, "", ViaMalformed},
		{"string not begun", []string{`for=192.0.2.1"`}, "", ViaMalformed},
		{"text behind a string", []string{`for="192.0.2.1"x`}, "", ViaMalformed},
		{"control character", []string{"for=\"192.0.2.1\x01\""}, "", ViaMalformed},
		{"ends with a backslash", []string{`for="192.0.2.1\`}, "", ViaMalformed},
		{"empty elements", []string{"for=192.0.2.1, , "}, "192.0.2.1", ViaProxy},
		{"1 MB in a string", []string{`for=192.0.2.1;x="` + strings.Repeat("x", 1<<20) + `"`}, "", ViaMalformed},
		{"1 MB of backslashes", []string{`for=192.0.2.1;x="` + strings.Repeat(`\`, 1<<20) + `"`}, "", ViaMalformed},
		{"1 MB of quotation marks left of the client", []string{strings.Repeat(`"`, 1<<20) + ",for=192.0.2.1"}, "192.0.2.1", ViaProxy},
		{"10,000 proxies", []string{strings.Repeat("for=10.0.0.2, ", 10_000) + "for=10.0.0.3"}, "10.0.0.2", ViaMalformed},
		{"longer element", []string{"for=192.0.2.1;host=" + strings.Repeat("x", maxForwarded)}, "", ViaMalformed},
		{"longer element of several", []string{"for=198.51.100.1,for=192.0.2.1;host=" + strings.Repeat("x", maxForwarded)}, "", ViaMalformed},
		{"longest host", []string{"for=192.0.2.1;host=" + strings.Repeat("x", 900)}, "192.0.2.1", ViaProxy},
	} {
		tt.run(t, p)
	}
}

// fuzzWalk holds what makes proxies' headers safe: whatever a client writes, in
// the same line or in lines before, and wherever what the proxy writes looks
// strange to it, the address that a trusted proxy appends is the one that is
// found.
func fuzzWalk(f *testing.F, p *proxies, appended []string) {
	for _, seed := range []string{"", "192.0.2.1", "for=192.0.2.1", `for="`, `x="\`, "unknown", "_x", ",,,", `"`, `\`, "[::1]:80", "10.0.0.9", "for=10.0.0.9", ";", "\x00", "%"} {
		f.Add(seed, seed)
	}
	at := netip.MustParseAddr(proxyAddress)
	f.Fuzz(func(t *testing.T, line, before string) {
		// By itself: any address that is found is well-formed.
		got, via := p.walk(at, []string{before, line})
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() || got.IsMulticast() || got.IsUnspecified() {
			t.Fatalf("address %v, %s", got, via)
		}
		if via != ViaProxy && via != ViaMalformed && got != at && !p.trust(got) {
			t.Fatalf("address %v is no proxy's, but %s", got, via)
		}
		want := netip.MustParseAddr("192.0.2.77")
		for _, own := range appended {
			for _, values := range [][]string{{line + ", " + own}, {line + "," + own}, {before, line, own}, {before, line + ", " + own}} {
				if got, via := p.walk(at, values); got != want || via != ViaProxy {
					t.Fatalf("%q: got %v, %s; want %v, %s", values, got, via, want, ViaProxy)
				}
			}
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	fuzzWalk(f, mustProxies(f, HeaderXForwardedFor, "10.0.0.0/8"),
		[]string{"192.0.2.77", "192.0.2.77:80", "192.0.2.77, 10.0.0.5", "::ffff:192.0.2.77"})
}

func FuzzForwarded(f *testing.F) {
	fuzzWalk(f, mustProxies(f, HeaderForwarded, "10.0.0.0/8"),
		[]string{"for=192.0.2.77", `for="192.0.2.77:80"`, `proto=https;for=192.0.2.77;host="a\", b"`, "for=192.0.2.77, for=10.0.0.5"})
}
