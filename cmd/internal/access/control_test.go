package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A testClock is a clock that tests set.
type testClock struct{ ns atomic.Int64 }

func newClock() *testClock {
	c := &testClock{}
	c.ns.Store(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *testClock) now() time.Time      { return time.Unix(0, c.ns.Load()) }
func (c *testClock) add(d time.Duration) { c.ns.Add(int64(d)) }

// from returns a request from an address, with headers in pairs.
func from(address string, header ...string) *http.Request {
	r := httptest.NewRequest("POST", "/api/v1/timestamp", nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(address), 4711).String()
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func mustControl(t testing.TB, cfg Config) *Control {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// word is what became of a request in a word: "ok", or the reason of a refusal.
func word(c *Control, r *http.Request) string {
	if _, refusal := c.Admit(r); refusal != nil {
		return string(refusal.Reason)
	}
	return "ok"
}

func digestOf(t testing.TB, token string) Digest {
	t.Helper()
	d, err := TokenDigest(token)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const (
	ciToken    = "fencepost_continuous-integration"
	nextToken  = "fencepost_continuous-integration-2"
	otherToken = "fencepost_another-client-altogether"
)

func TestAdmit(t *testing.T) {
	ca := newCA(t)
	verified := func(id *identity) *tls.ConnectionState {
		return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{id.cert}, VerifiedChains: [][]*x509.Certificate{{id.cert, ca.cert}}}
	}
	gateway := verified(newIdentity(t, clientTemplate("gateway"), ca))
	unverified := &tls.ConnectionState{PeerCertificates: gateway.PeerCertificates}
	oldTemplate := clientTemplate("gateway")
	oldTemplate.NotBefore, oldTemplate.NotAfter = time.Unix(0, 0), time.Now().Add(-time.Minute)
	expired := verified(newIdentity(t, oldTemplate, ca))
	clients := []ClientConfig{
		{Name: "ci", Tokens: []Digest{digestOf(t, ciToken), digestOf(t, nextToken)}},
		{Name: "gateway", Certificates: []CertificateMatch{mustMatch(t, "cn:gateway")}},
	}
	open := mustControl(t, Config{Clients: clients})
	closed := mustControl(t, Config{Clients: clients, Anonymous: AnonymousRefused})
	certsOnly := mustControl(t, Config{Clients: clients[1:], Anonymous: AnonymousRefused})
	zero := mustControl(t, Config{})
	for _, tt := range []struct {
		name    string
		control *Control
		header  []string
		tls     *tls.ConnectionState
		client  string
		kind    Kind
		status  int
		again   bool // the challenge says that the token is wrong
	}{
		{"anybody", zero, nil, nil, "", KindAddress, 0, false},
		{"a token where none is known", zero, []string{"Authorization", "Bearer x"}, nil, "", KindAddress, 0, false},
		{"a certificate where none is known", zero, nil, gateway, "", KindAddress, 0, false},
		{"a token where only certificates are known", certsOnly, []string{"Authorization", "Bearer " + ciToken}, nil, "", KindAddress, 403, false},
		{"anonymous", open, nil, nil, "", KindAddress, 0, false},
		{"bearer", open, []string{"Authorization", "Bearer " + ciToken}, nil, "ci", KindToken, 0, false},
		{"the second token", open, []string{"Authorization", "Bearer " + nextToken}, nil, "ci", KindToken, 0, false},
		{"basic", closed, []string{"Authorization", basic("anyone", ciToken)}, nil, "ci", KindToken, 0, false},
		{"wrong token is not anonymous", open, []string{"Authorization", "Bearer " + otherToken}, nil, "", KindAddress, 401, true},
		{"other scheme is not anonymous", open, []string{"Authorization", "Negotiate abc"}, nil, "", KindAddress, 401, true},
		{"two tokens", open, []string{"Authorization", "Bearer " + ciToken, "Authorization", "Bearer " + nextToken}, nil, "", KindAddress, 401, true},
		{"another header", closed, []string{"X-Api-Key", ciToken}, nil, "", KindAddress, 401, false},
		{"nothing", closed, nil, nil, "", KindAddress, 401, false},
		{"nothing, where only certificates are known", certsOnly, nil, nil, "", KindAddress, 403, false},
		{"certificate", closed, nil, gateway, "gateway", KindCertificate, 0, false},
		{"certificate that was not verified", open, nil, unverified, "", KindAddress, 0, false},
		{"certificate that was not verified, refused", closed, nil, unverified, "", KindAddress, 401, false},
		{"certificate that has expired since", open, nil, expired, "", KindAddress, 403, false},
		{"token before certificate", open, []string{"Authorization", "Bearer " + ciToken}, gateway, "ci", KindToken, 0, false},
		{"wrong token with a certificate", open, []string{"Authorization", "Bearer " + otherToken}, gateway, "", KindAddress, 401, true},
	} {
		r := from("192.0.2.1", tt.header...)
		r.TLS = tt.tls
		client, refusal := tt.control.Admit(r)
		if client.Name != tt.client || client.Kind != tt.kind || client.Address != netip.MustParseAddr("192.0.2.1") || client.Via != ViaSocket {
			t.Errorf("%s: client is %+v, want %q by %s", tt.name, client, tt.client, tt.kind)
		}
		if refusal == nil {
			if tt.status != 0 {
				t.Errorf("%s: admitted, want %d", tt.name, tt.status)
			}
			continue
		}
		if refusal.Status != tt.status {
			t.Errorf("%s: refused with %d, want %d", tt.name, refusal.Status, tt.status)
		}
		reason := map[int]Reason{401: ReasonUnauthenticated, 403: ReasonForbidden}[tt.status]
		if refusal.Reason != reason || refusal.Text == "" || refusal.RetryAfter != 0 || (refusal.Challenge != "") != (tt.status == 401) ||
			strings.Contains(refusal.Challenge, "error=") != tt.again || strings.Contains(fmt.Sprint(*refusal), otherToken) {
			t.Errorf("%s: refusal is %+v", tt.name, *refusal)
		}
		h := http.Header{}
		refusal.SetHeader(h)
		if got := h.Get("WWW-Authenticate"); got != refusal.Challenge || h.Get("Retry-After") != "" {
			t.Errorf("%s: header is %v", tt.name, h)
		}
	}
}

func TestLimits(t *testing.T) {
	clock := newClock()
	c := mustControl(t, Config{
		Now: clock.now, Default: Limit{Rate: 1, Burst: 2},
		Clients: []ClientConfig{
			{Name: "ci", Tokens: []Digest{digestOf(t, ciToken)}, Limit: Limit{Quota: 3}},
			{Name: "free", Tokens: []Digest{digestOf(t, otherToken)}},
		},
	})
	many := func(n int, r *http.Request) (words []string) {
		for range n {
			words = append(words, word(c, r))
		}
		return slices.Compact(words)
	}
	count := func(r *http.Request) (n int) {
		for ; n < 1000 && word(c, r) == "ok"; n++ {
		}
		return n
	}
	for _, tt := range []struct {
		name string
		r    *http.Request
		want int
	}{
		{"an address", from("192.0.2.1"), 2},
		{"its neighbour", from("192.0.2.2"), 2},
		{"the same, mapped", from("::ffff:192.0.2.2"), 0},
		{"a network", from("2001:db8::1"), 2},
		{"the same network", from("2001:db8::2"), 0},
		{"another network", from("2001:db8:0:1::1"), 2},
		{"a client from an address without any left", from("192.0.2.1", "Authorization", "Bearer "+ciToken), 3},
		{"the same client from elsewhere", from("192.0.2.9", "Authorization", basic("", ciToken)), 0},
		{"an address that only a client came from", from("192.0.2.9"), 2},
		{"a client without limit", from("192.0.2.9", "Authorization", "Bearer "+otherToken), 1000},
		{"no header counts, since nobody is trusted", from("192.0.2.1", "X-Forwarded-For", "192.0.2.77"), 0},
	} {
		if got := count(tt.r); got != tt.want {
			t.Errorf("%s: admitted %d, want %d", tt.name, got, tt.want)
		}
	}
	_, refusal := c.Admit(from("192.0.2.1"))
	if refusal == nil || refusal.Status != 429 || refusal.Reason != ReasonRate || refusal.RetryAfter != time.Second || refusal.Challenge != "" {
		t.Fatalf("refusal of an address: %+v", refusal)
	}
	clock.add(time.Millisecond)
	_, refusal = c.Admit(from("192.0.2.1", "Authorization", "Bearer "+ciToken))
	if refusal == nil || refusal.Status != 429 || refusal.Reason != ReasonQuota || refusal.RetryAfter != 12*time.Hour-time.Millisecond || !strings.Contains(refusal.Text, "client ci") {
		t.Fatalf("refusal of a client: %+v", refusal)
	}
	h := http.Header{}
	if refusal.SetHeader(h); h.Get("Retry-After") != "43200" {
		t.Errorf("Retry-After is %s, want 43200, rounded up", h.Get("Retry-After"))
	}
	clock.add(refusal.RetryAfter)
	if got := many(4, from("192.0.2.1", "Authorization", "Bearer "+ciToken)); !slices.Equal(got, []string{"ok", "quota"}) {
		t.Errorf("on the next day: %v", got)
	}
	if n, forgotten := c.Addresses(); n != 5 || forgotten != 0 {
		t.Errorf("remembers %d and forgot %d addresses, want 5 and 0", n, forgotten)
	}
}

// TestProxiedLimits holds that clients behind a proxy are limited one by one,
// and that none gets a new limit by what it writes into the header itself.
func TestProxiedLimits(t *testing.T) {
	clock := newClock()
	for _, tt := range []struct {
		header ProxyHeader
		format string
	}{{HeaderXForwardedFor, "%s"}, {HeaderForwarded, `for="%s"`}} {
		c := mustControl(t, Config{Now: clock.now, Default: Limit{Rate: 1, Burst: 5}, Header: tt.header,
			TrustedProxies: []Proxy{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}})
		proxied := func(own, client string) *http.Request {
			return from("10.0.0.1", tt.header.String(), own+fmt.Sprintf(tt.format, client))
		}
		admitted := 0
		for i := range 100 {
			forged := fmt.Sprintf(tt.format, fmt.Sprintf("198.51.100.%d", i))
			for _, own := range []string{forged + ", ", `x="` + forged + ", ", strings.Repeat(forged+",", 30)} {
				if word(c, proxied(own, "192.0.2.1")) == "ok" {
					admitted++
				}
			}
		}
		if admitted != 5 {
			t.Errorf("%s: admitted %d requests with forged headers, want 5", tt.header, admitted)
		}
		if got := word(c, proxied("", "192.0.2.2")); got != "ok" {
			t.Errorf("%s: another client behind the proxy: %s", tt.header, got)
		}
		client, _ := c.Admit(from("10.0.0.1", tt.header.String(), "???"))
		if client.Address.String() != "10.0.0.1" || client.Via != ViaMalformed {
			t.Errorf("%s: malformed: %+v", tt.header, client)
		}
	}
}

// TestAttempts holds that wrong tokens get dearer, for their address alone, and
// not for a client behind the same address that has the right one.
func TestAttempts(t *testing.T) {
	clock := newClock()
	c := mustControl(t, Config{Now: clock.now, Clients: []ClientConfig{{Name: "ci", Tokens: []Digest{digestOf(t, ciToken)}}}})
	wrong := from("192.0.2.1", "Authorization", "Bearer "+otherToken)
	words := map[string]int{}
	for range 1000 {
		words[word(c, wrong)]++
	}
	if words["unauthenticated"] != attemptsBurst || words["attempts"] != 1000-attemptsBurst {
		t.Errorf("1000 wrong tokens: %v", words)
	}
	_, refusal := c.Admit(wrong)
	if refusal == nil || refusal.Status != 429 || refusal.RetryAfter != 5*time.Second || refusal.Challenge != "" {
		t.Fatalf("refusal: %+v", refusal)
	}
	for _, tt := range []struct {
		name, want string
		r          *http.Request
	}{
		{"the right token", "ok", from("192.0.2.1", "Authorization", "Bearer "+ciToken)},
		{"no token", "ok", from("192.0.2.1")},
		{"another address", "unauthenticated", from("192.0.2.2", "Authorization", "Bearer "+otherToken)},
	} {
		if got := word(c, tt.r); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	clock.add(refusal.RetryAfter)
	if got := word(c, wrong); got != "unauthenticated" {
		t.Errorf("after waiting: %s", got)
	}
}

func TestAdopt(t *testing.T) {
	clock := newClock()
	config := func(clients ...ClientConfig) Config {
		return Config{Now: clock.now, Default: Limit{Rate: 1.0 / 60, Burst: 3, Quota: 100}, Clients: clients}
	}
	ci := ClientConfig{Name: "ci", Tokens: []Digest{digestOf(t, ciToken)}, Limit: Limit{Quota: 10}}
	other := ClientConfig{Name: "other", Tokens: []Digest{digestOf(t, otherToken)}, Limit: Limit{Quota: 10}}
	count := func(c *Control, r *http.Request) (n int) {
		for ; n < 1000 && word(c, r) == "ok"; n++ {
		}
		return n
	}
	asCI := from("192.0.2.1", "Authorization", "Bearer "+ciToken)
	first := mustControl(t, config(ci, other))
	for range 7 {
		word(first, asCI)
	}
	if got := count(first, from("192.0.2.7")); got != 3 {
		t.Fatalf("admitted %d, want 3", got)
	}
	clock.add(time.Minute)

	ci.Limit.Quota = 12
	ci.Tokens = []Digest{digestOf(t, nextToken)}
	second := mustControl(t, config(other, ci)) // another order, token and quota
	second.Adopt(first)
	asCI = from("192.0.2.1", "Authorization", "Bearer "+nextToken)
	if got := count(second, asCI); got != 12-7 {
		t.Errorf("client after a reload: admitted %d, want 5", got)
	}
	if got := count(second, from("192.0.2.7")); got != 1 {
		t.Errorf("address after a reload: admitted %d, want 1", got)
	}
	if got := count(first, from("192.0.2.7")); got != 0 {
		t.Errorf("a request still with the old one: admitted %d, want 0", got)
	}

	cfg := config(ci)
	cfg.MaxAddresses = 1000
	third := mustControl(t, cfg)
	third.Adopt(second)
	if got := count(third, from("192.0.2.7")); got != 0 {
		t.Errorf("address in a smaller table: admitted %d, want 0", got)
	}
	if got := count(third, asCI); got != 0 {
		t.Errorf("client in a third: admitted %d, want 0", got)
	}

	cfg.Default.Rate, cfg.Default.Burst = 10, 1 // a bucket that fills in no time
	fourth := mustControl(t, cfg)
	fourth.Adopt(third)
	_, refusal := fourth.Admit(from("192.0.2.7"))
	if refusal == nil || refusal.RetryAfter > 100*time.Millisecond {
		t.Errorf("a faster limit: %+v, want at most its own 100ms", refusal)
	}

	none := mustControl(t, Config{})
	none.Adopt(fourth)
	fourth.Adopt(none)
	if got := word(none, from("192.0.2.7")); got != "ok" {
		t.Errorf("without limits: %s", got)
	}
}

func TestConfigErrors(t *testing.T) {
	one, two := digestOf(t, ciToken), digestOf(t, otherToken)
	named := func(name string) ClientConfig { return ClientConfig{Name: name, Tokens: []Digest{one}} }
	cn := mustMatch(t, "cn:ci")
	for name, cfg := range map[string]Config{
		"limit":                {Default: Limit{Rate: -1}},
		"unknown policy":       {Anonymous: 2},
		"nobody could ask":     {Anonymous: AnonymousRefused},
		"too many addresses":   {MaxAddresses: MaxAddressesLimit + 1},
		"negative addresses":   {MaxAddresses: -1},
		"no name":              {Clients: []ClientConfig{named("")}},
		"name with a space":    {Clients: []ClientConfig{named("a b")}},
		"name with a newline":  {Clients: []ClientConfig{named("a\n")}},
		"name too long":        {Clients: []ClientConfig{named(strings.Repeat("n", maxName+1))}},
		"same name":            {Clients: []ClientConfig{named("a"), {Name: "a", Tokens: []Digest{two}}}},
		"same token":           {Clients: []ClientConfig{named("a"), named("b")}},
		"zero token":           {Clients: []ClientConfig{{Name: "a", Tokens: []Digest{{}}}}},
		"no proof":             {Clients: []ClientConfig{{Name: "a"}}},
		"same certificate":     {Clients: []ClientConfig{{Name: "a", Certificates: []CertificateMatch{cn}}, {Name: "b", Certificates: []CertificateMatch{cn}}}},
		"zero certificate":     {Clients: []ClientConfig{{Name: "a", Certificates: []CertificateMatch{{}}}}},
		"limit of a client":    {Clients: []ClientConfig{{Name: "a", Tokens: []Digest{one}, Limit: Limit{Burst: 1}}}},
		"proxy that is nobody": {TrustedProxies: []Proxy{{}}},
	} {
		c, err := New(cfg)
		if err == nil || c != nil || !strings.HasPrefix(err.Error(), "access: ") {
			t.Errorf("%s: New = %v, %v; want an error", name, c, err)
		}
	}
}

func TestWords(t *testing.T) {
	var p AnonymousPolicy
	var h ProxyHeader
	if err := p.UnmarshalText([]byte("refused")); err != nil || p != AnonymousRefused {
		t.Errorf("refused: %d, %v", p, err)
	}
	if err := p.UnmarshalText([]byte("allowed")); err != nil || p != AnonymousAllowed {
		t.Errorf("allowed: %d, %v", p, err)
	}
	if err := h.UnmarshalText([]byte("forwarded")); err != nil || h != HeaderForwarded {
		t.Errorf("forwarded: %d, %v", h, err)
	}
	if err := h.UnmarshalText([]byte("x-forwarded-for")); err != nil || h != HeaderXForwardedFor {
		t.Errorf("x-forwarded-for: %d, %v", h, err)
	}
	if p.UnmarshalText([]byte("")) == nil || h.UnmarshalText([]byte("x-real-ip")) == nil {
		t.Error("unknown words are accepted")
	}
	seen := map[string]bool{}
	for _, w := range []string{KindAddress.String(), KindToken.String(), KindCertificate.String(), ViaSocket.String(), ViaProxy.String(),
		ViaSilent.String(), ViaHidden.String(), ViaMalformed.String()} {
		if seen[w] {
			t.Errorf("%q means two things", w)
		}
		seen[w] = true
	}
	if got := Reasons(); len(slices.Compact(slices.Sorted(slices.Values(got)))) != 5 {
		t.Errorf("Reasons() = %v", got)
	}
}

func TestContext(t *testing.T) {
	want := Client{Name: "ci", Kind: KindToken, Address: netip.MustParseAddr("192.0.2.1"), Via: ViaProxy}
	got, ok := ClientFrom(WithClient(context.Background(), want))
	if got != want || !ok {
		t.Errorf("got %+v, %t; want %+v", got, ok, want)
	}
	if got, ok := ClientFrom(context.Background()); ok || got != (Client{}) {
		t.Errorf("without: %+v, %t", got, ok)
	}
}

// TestConcurrently holds that many at once get what one after another would,
// during reloads too.
func TestConcurrently(t *testing.T) {
	clock := newClock()
	cfg := Config{Now: clock.now, Default: Limit{Quota: 100}, Clients: []ClientConfig{
		{Name: "ci", Tokens: []Digest{digestOf(t, ciToken)}, Limit: Limit{Rate: 1, Burst: 500}},
	}}
	var current atomic.Pointer[Control]
	current.Store(mustControl(t, cfg))
	var byAddress, byToken, refusedWrong atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			address, token, wrong := from("192.0.2.1"), from("192.0.2.1", "Authorization", "Bearer "+ciToken), from("192.0.2.1", "Authorization", "Bearer "+otherToken)
			for range 500 {
				c := current.Load()
				if word(c, address) == "ok" {
					byAddress.Add(1)
				}
				if word(c, token) == "ok" {
					byToken.Add(1)
				}
				if word(c, wrong) == "unauthenticated" {
					refusedWrong.Add(1)
				}
				c.Addresses()
			}
		})
	}
	for range 20 {
		next := mustControl(t, cfg)
		next.Adopt(current.Load())
		current.Store(next)
	}
	wg.Wait()
	if a, b, w := byAddress.Load(), byToken.Load(), refusedWrong.Load(); a != 100 || b != 500 || w != attemptsBurst {
		t.Errorf("admitted %d by address and %d by token, and told %d that they are wrong; want 100, 500, %d", a, b, w, attemptsBurst)
	}
}

// TestOwnClock holds that Admit keeps to the rate without a Now.
func TestOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := mustControl(t, Config{Default: Limit{Rate: 200, Burst: 1}})
		r := from("192.0.2.1")
		start := time.Now()
		for n := 0; n < 20; {
			_, refusal := c.Admit(r)
			if refusal == nil {
				n++
				continue
			}
			time.Sleep(refusal.RetryAfter)
		}
		if took := time.Since(start); took != 95*time.Millisecond {
			t.Errorf("20 requests at 200/s took %v, want 95ms", took)
		}
	})
}

// TestPasswordInURL holds that a token reaches the server in the URL that
// programs are given, where they speak HTTP with net/http.
func TestPasswordInURL(t *testing.T) {
	token, digest := NewToken()
	c := mustControl(t, Config{Anonymous: AnonymousRefused, Clients: []ClientConfig{{Name: "ci", Tokens: []Digest{digest}}}})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, refusal := c.Admit(r)
		if refusal != nil {
			refusal.SetHeader(w.Header())
			http.Error(w, refusal.Text, refusal.Status)
			return
		}
		fmt.Fprint(w, client.Name)
	}))
	defer srv.Close()
	for userinfo, want := range map[string]string{"": "401 ", "tsa:" + token + "@": "200 ci", ":" + token + "@": "200 ci", "tsa:x" + token + "@": "401 ", token + "@": "401 "} {
		resp, err := srv.Client().Get(strings.Replace(srv.URL, "://", "://"+userinfo, 1))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode, " ", string(body)); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("user %q: %s, %v; want %s", userinfo, got, err, want)
		}
		if challenged := resp.Header.Get("WWW-Authenticate") != ""; challenged != (resp.StatusCode == 401) {
			t.Errorf("user %q: %d, header %v", userinfo, resp.StatusCode, resp.Header)
		}
	}
}
