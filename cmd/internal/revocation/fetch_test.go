package revocation

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestPlaceOf(t *testing.T) {
	for _, test := range []struct {
		address string
		want    place
	}{
		{"8.8.8.8", outside}, {"2001:4860:4860::8888", outside}, {"::ffff:8.8.8.8", outside}, {"64:ff9b::808:808", outside},
		{"127.0.0.1", inside}, {"127.255.255.255", inside}, {"::1", inside}, {"::ffff:127.0.0.1", inside},
		{"10.1.2.3", inside}, {"172.31.0.1", inside}, {"192.168.1.1", inside}, {"100.64.0.1", inside}, {"fd00::1", inside},
		{"64:ff9b::7f00:1", inside}, {"64:ff9b::a00:1", inside},
		{"169.254.169.254", nowhere}, {"::ffff:169.254.169.254", nowhere}, {"64:ff9b::a9fe:a9fe", nowhere}, {"fe80::1", nowhere},
		{"0.0.0.0", nowhere}, {"0.1.2.3", nowhere}, {"::", nowhere}, {"224.0.0.1", nowhere}, {"ff02::1", nowhere},
		{"fd00:ec2::254", nowhere}, {"fd20:ce::254", nowhere}, {"100.100.100.200", nowhere}, {"168.63.129.16", nowhere}, {"64:ff9b::a83f:8110", nowhere},
		{"64:ff9b:1::808:808", inside}, {"64:ff9b:1::a9fe:a9fe", nowhere}, {"64:ff9b:1::7f00:1", inside},
		{"64:ff9b::a9fe:a9fe%1", nowhere}, {"fd00:ec2::254%lo", nowhere}, {"2002:7f00:1::%1", nowhere},
		{"255.255.255.255", nowhere}, {"240.0.0.1", nowhere}, {"2002:7f00:1::", nowhere},
	} {
		if got := placeOf(netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("placeOf(%s) = %d, want %d", test.address, got, test.want)
		}
	}
}

// TestGuard: which connections are made before and after a redirect.
func TestGuard(t *testing.T) {
	for _, test := range []struct {
		name     string
		named    string // what the certificate's address is
		redirect string // where that leads
		want     string // in the error; "" for none
	}{
		{"outside to outside", "93.184.216.34:80", "93.184.216.35:80", ""},
		{"outside to loopback", "93.184.216.34:80", "127.0.0.1:80", "inside the own network"},
		{"outside to a private network", "93.184.216.34:80", "10.0.0.1:80", "inside the own network"},
		{"outside to unique local", "[2001:db8::1]:80", "[fd00::1]:80", "inside the own network"},
		{"outside to the metadata", "93.184.216.34:80", "169.254.169.254:80", "no address to fetch from"},
		{"inside to inside", "10.0.0.2:80", "10.0.0.1:80", ""},
		{"inside to outside", "10.0.0.2:80", "93.184.216.34:80", ""},
		{"inside to the metadata", "10.0.0.2:80", "169.254.169.254:80", "no address to fetch from"},
	} {
		g := &guard{proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}
		if err := g.connect("tcp", test.named, nil); err != nil {
			t.Errorf("%s: the address in the certificate: %v", test.name, err)
		}
		first := httptest.NewRequest(http.MethodGet, "http://first.example/", nil)
		if err := g.redirect(httptest.NewRequest(http.MethodGet, "http://next.example/", nil), []*http.Request{first}); err != nil {
			t.Fatal(err)
		}
		err := g.connect("tcp", test.redirect, nil)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want an error about %q", test.name, err, test.want)
		}
	}
	if err := (&guard{}).connect("tcp", "169.254.169.254:80", nil); err == nil {
		t.Error("a certificate may name the metadata of a cloud")
	}
}

// TestFetch: what is followed and what is taken.
func TestFetch(t *testing.T) {
	var srv *httptest.Server
	secret := 0
	mux := http.NewServeMux()
	mux.HandleFunc("/list", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("list by " + r.Method)) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 12)) })
	mux.HandleFunc("/secret", func(http.ResponseWriter, *http.Request) { secret++ })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		w.Header().Set("Location", r.FormValue("url"))
		w.WriteHeader(code)
	})
	srv = httptest.NewServer(mux)
	defer srv.Close()
	to := func(code int, address string) string {
		return srv.URL + "/to?code=" + strconv.Itoa(code) + "&url=" + url.QueryEscape(address)
	}
	// The proxy of ca.example is the server itself.
	proxy := func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "ca.example" {
			return url.Parse(srv.URL)
		}
		return nil, nil
	}
	f := New(Config{Timeout: 5 * time.Second, Proxy: proxy})
	byProxy := "http://ca.example/to?code=302&url=" + url.QueryEscape(srv.URL+"/secret")
	for _, test := range []struct {
		name, method, url string
		want              string // the body, or a part of the error
		ok                bool
	}{
		{"plain", "GET", srv.URL + "/list", "list by GET", true},
		{"post", "POST", srv.URL + "/list", "list by POST", true},
		{"redirected", "GET", to(301, srv.URL+"/list"), "list by GET", true},
		{"redirected three times", "GET", to(302, to(307, to(308, srv.URL+"/list"))), "list by GET", true},
		{"redirected four times", "GET", to(302, to(302, to(302, to(302, srv.URL+"/list")))), "more than 3 redirects", false},
		{"post redirected as such", "POST", to(307, srv.URL+"/list"), "list by POST", true},
		{"post redirected to another page", "POST", to(302, srv.URL+"/list"), "from POST to GET", false},
		{"redirected to a file", "GET", to(302, "file:///etc/passwd"), `"file"`, false},
		{"redirected with a user", "GET", to(302, "http://me@127.0.0.1/"), "user name", false},
		{"by a proxy", "GET", "http://ca.example/list", "list by GET", true},
		{"by a proxy, redirected inside", "GET", byProxy, "inside the own network", false},
		{"too long", "GET", srv.URL + "/long", "more than 11 bytes", false},
		{"nothing there", "GET", srv.URL + "/nothing", "HTTP status 404", false},
		{"nobody there", "GET", "http://127.0.0.1:1/", "connection refused", false},
		{"ldap", "GET", "ldap://ca.example/cn=ca?certificateRevocationList", `"ldap"`, false},
		{"file", "GET", "file:///etc/passwd", `"file"`, false},
		{"no host", "GET", "http:///list", "no host", false},
		{"no scheme", "GET", "ca.example/list", `"" are not`, false},
		{"user", "GET", "http://me:secret@127.0.0.1/", "user name", false},
		{"malformed", "GET", "http://127.0.0.1:port/", "malformed", false},
		{"as long as a book", "GET", srv.URL + "/" + strings.Repeat("x", maxURL), "at most 2048", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			limit := int64(len("list by " + test.method))
			got, err := f.fetch(t.Context(), fetch{method: test.method, url: test.url, limit: limit})
			switch {
			case test.ok && (err != nil || string(got) != test.want):
				t.Errorf("fetch = %q, %v, want %q", got, err, test.want)
			case !test.ok && (err == nil || got != nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("fetch = %q, %v, want an error about %s", got, err, test.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error has a password: %v", err)
			}
		})
	}
	if secret != 0 {
		t.Error("a redirect led inside")
	}
}

// TestPrune: the cache stays bounded, and the newest stay.
func TestPrune(t *testing.T) {
	c := cache{dir: t.TempDir()}
	old := time.Now().Add(-time.Hour)
	for i := range maxEntries + 10 {
		name := filepath.Join(c.dir, strconv.Itoa(i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := old.Add(time.Duration(i) * time.Second)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := c.slot("crl", "http://ca.example/crl", nil)
	if err := s.write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) != maxEntries {
		t.Errorf("%d files, %v, want %d", len(entries), err, maxEntries)
	}
	if data, _ := s.read(10); string(data) != "new" {
		t.Errorf("the newest is gone: %q", data)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "10")); err == nil {
		t.Error("the oldest is still there")
	}
}
