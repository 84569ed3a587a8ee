package access

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// served is a request with the values in its context that net/http puts there.
func served(address string, header ...string) *http.Request {
	r := from(address, header...)
	ctx := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{})
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3000}))
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, func() {})
	_ = cancel
	return r.WithContext(ctx)
}

// BenchmarkAdmit is what each request costs before it is read. With -cpu 1,2,8
// it shows how much the clients hold one another up.
func BenchmarkAdmit(b *testing.B) {
	limit := Limit{Rate: MaxRate, Burst: MaxBurst, Quota: 1 << 30}
	endless := func(m *meter) { // a single client is faster than MaxRate here
		if m.interval == int64(time.Second/MaxRate) {
			m.interval = 1
		}
	}
	client := ClientConfig{Name: "ci", Tokens: []Digest{digestOf(b, ciToken)}, Limit: limit}
	proxies := []Proxy{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}
	for _, bm := range []struct {
		name string
		cfg  Config
		r    *http.Request
	}{
		{"no limits", Config{}, served("192.0.2.131")},
		{"no limits, IPv6", Config{}, served("2001:db8::1:2:3:4")},
		{"limit, one address", Config{Default: limit}, served("192.0.2.131")},
		{"limit behind a proxy", Config{Default: limit, TrustedProxies: proxies}, served("10.0.0.1", "X-Forwarded-For", "198.51.100.1, 192.0.2.131")},
		{"limit behind a proxy, Forwarded", Config{Default: limit, TrustedProxies: proxies, Header: HeaderForwarded}, served("10.0.0.1", "Forwarded", `for=192.0.2.1;proto=https, for="[2001:db8::1]:80"`)},
		{"token with a limit", Config{Clients: []ClientConfig{client}}, served("192.0.2.131", "Authorization", "Bearer "+ciToken)},
		{"basic", Config{Clients: []ClientConfig{client}}, served("192.0.2.131", "Authorization", basic("ci", ciToken))},
		{"wrong token", Config{Clients: []ClientConfig{client}}, served("192.0.2.131", "Authorization", "Bearer "+otherToken)},
		{"refused", Config{Default: Limit{Rate: 1e-6, Burst: 1}}, served("192.0.2.131")},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c := mustControl(b, bm.cfg)
			endless(&c.address)
			for i := range c.clients {
				endless(&c.clients[i].meter)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					c.Admit(bm.r)
				}
			})
		})
	}
	b.Run("limit, many addresses", func(b *testing.B) {
		c := mustControl(b, Config{Default: limit})
		var n atomic.Uint64
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			r := *served("192.0.2.131")
			var requests [256]http.Request
			for i := range requests {
				requests[i] = r
				addr := netip.AddrFrom4([4]byte{192, 0, byte(n.Add(1)), byte(i)})
				requests[i].RemoteAddr = netip.AddrPortFrom(addr, 4711).String()
			}
			for i := 0; pb.Next(); i++ {
				c.Admit(&requests[i%len(requests)])
			}
		})
	})
}
