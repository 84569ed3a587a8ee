package access

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

func TestParseProxy(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":           "10.0.0.0/8",
		"10.1.2.3":             "10.1.2.3/32",
		"2001:db8::/32":        "2001:db8::/32",
		"2001:db8::1":          "2001:db8::1/128",
		"::ffff:10.0.0.0/104":  "10.0.0.0/8",
		"::ffff:10.1.2.3":      "10.1.2.3/32",
		"unix":                 "unix",
		"0.0.0.0/0":            "",
		"::/0":                 "",
		"::ffff:0.0.0.0/96":    "",
		"::ffff:0.0.0.0/95":    "",
		"10.1.2.3/8":           "",
		"10.0.0.0/33":          "",
		"10.0.0":               "",
		"fe80::1%eth0":         "",
		"":                     "",
		"Unix":                 "",
		"proxy.example.org":    "",
		"10.0.0.0/8,10.0.0.1":  "",
		" 10.0.0.0/8":          "",
		"192.0.2.1:80":         "",
		"010.0.0.0/8":          "",
		"2001:db8::/129":       "",
		"2001:db8::1/64":       "",
		"10.0.0.0/255.0.0.0":   "",
		"private-ranges":       "",
		"10.0.0.0-10.0.0.255":  "",
		"*":                    "",
		"[2001:db8::1]":        "",
		"::ffff:10.0.0.1/104":  "",
		"unix:/run/proxy.sock": "",
	} {
		var got Proxy
		err := got.UnmarshalText([]byte(text))
		switch {
		case want == "":
			if err == nil {
				t.Errorf("ParseProxy(%q) = %s, want an error", text, got)
			}
		case err != nil:
			t.Errorf("ParseProxy(%q): %v", text, err)
		case got.String() != want:
			t.Errorf("ParseProxy(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestProxyConfigErrors(t *testing.T) {
	for name, cfg := range map[string]Config{
		"zero proxy":     {TrustedProxies: []Proxy{{}}},
		"both":           {TrustedProxies: []Proxy{{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Unix: true}}},
		"everybody":      {TrustedProxies: []Proxy{{Prefix: netip.MustParsePrefix("::/0")}}},
		"unknown header": {Header: HeaderForwarded + 1},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New succeeded", name)
		}
	}
}

func TestAddressOfSocket(t *testing.T) {
	p := mustProxies(t, HeaderXForwardedFor, "10.0.0.0/8", "fe80::/10")
	both := mustProxies(t, HeaderXForwardedFor, "10.0.0.0/8", "unix")
	header := http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.2"}, "X-Real-Ip": {"192.0.2.3"}}
	forwarded := mustProxies(t, HeaderForwarded, "10.0.0.0/8")
	for _, tt := range []struct {
		name   string
		p      *proxies
		remote string
		unix   bool
		want   string
		via    Via
	}{
		{"stranger", p, "198.51.100.1:1", false, "198.51.100.1", ViaSocket},
		{"stranger over IPv6", p, "[2001:db8::1]:1", false, "2001:db8::1", ViaSocket},
		{"proxy", p, "10.0.0.1:1", false, "192.0.2.1", ViaProxy},
		{"proxy, mapped", p, "[::ffff:10.0.0.1]:1", false, "192.0.2.1", ViaProxy},
		{"proxy with a zone", p, "[fe80::1%eth0]:1", false, "192.0.2.1", ViaProxy},
		{"only the configured header", forwarded, "10.0.0.1:1", false, "192.0.2.2", ViaProxy},
		{"stranger, mapped", p, "[::ffff:198.51.100.1]:1", false, "198.51.100.1", ViaSocket},
		{"unix", p, "@", true, "invalid IP", ViaSocket},
		{"unix bound to a name like a proxy's address", p, "10.0.0.1:1", true, "invalid IP", ViaSocket},
		{"unix that is trusted", both, "@", true, "192.0.2.1", ViaProxy},
		{"not a unix socket, though it says so", both, "@", false, "invalid IP", ViaSocket},
		{"no address at all", p, "", false, "invalid IP", ViaSocket},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.RemoteAddr, r.Header = tt.remote, header
		var local net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3000}
		if tt.unix {
			local = &net.UnixAddr{Net: "unix", Name: "/run/fencepost.sock"}
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
		got, via := tt.p.address(r)
		if got.String() != tt.want || via != tt.via {
			t.Errorf("%s: got %s, %s; want %s, %s", tt.name, got, via, tt.want, tt.via)
		}
	}
}

// TestUnixSocket asks net/http itself what peers on a unix socket look like, one
// of them bound to a name that looks like the address of a proxy.
func TestUnixSocket(t *testing.T) {
	t.Chdir(t.TempDir())
	control, err := New(Config{TrustedProxies: []Proxy{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan Client, 2)
	remote := make(chan string, 2)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := control.Admit(r)
		seen <- c
		remote <- r.RemoteAddr
	})}
	go srv.Serve(ln)
	defer srv.Close()
	for _, name := range []string{"", "10.0.0.1:80"} {
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			if name != "" {
				d.LocalAddr = &net.UnixAddr{Net: "unix", Name: name}
			}
			return d.DialContext(ctx, "unix", path)
		}}
		req, err := http.NewRequest("GET", "http://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", "192.0.2.1")
		resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		tr.CloseIdleConnections()
		from := <-remote
		if name != "" && from != name {
			t.Errorf("RemoteAddr is %q, want %q, or this test tests nothing", from, name)
		}
		if c := <-seen; c.Address.IsValid() || c.Via != ViaSocket {
			t.Errorf("peer %q: %+v, want no address", from, c)
		}
	}
}
