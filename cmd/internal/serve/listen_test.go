package serve

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/clock"
	"github.com/fencepost-tsa/fencepost/cmd/internal/tsa"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
)

// identityFiles writes a certificate for 127.0.0.1 and its key, which is its
// own CA, and returns the names of the files.
func identityFiles(t testing.TB, dir, name string) (TLSFiles, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := TLSFiles{Certificate: filepath.Join(dir, name+".crt"), Key: filepath.Join(dir, name+".key")}
	for file, block := range map[string]*pem.Block{f.Certificate: {Type: "CERTIFICATE", Bytes: der}, f.Key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func pool(t testing.TB, file string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(data) {
		t.Fatal("no certificate")
	}
	return p
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files, _ := identityFiles(t, dir, "server")
	conf, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) { b.config.Listeners[0].TLS = conf })
	if !strings.HasPrefix(at.Public[0], "https://") {
		t.Fatalf("listening on %s", at.Public[0])
	}
	roots := pool(t, files.Certificate)
	for _, test := range []struct {
		name   string
		client *tls.Config
		ok     bool
	}{
		{"default", &tls.Config{}, true},
		{"X25519 only", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, true},
		{"P-256 only", &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP256}}, true},
		{"post-quantum only", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, true},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		{"CBC suite", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.client.RootCAs = roots
			conn, err := tls.Dial("tcp", strings.TrimPrefix(at.Public[0], "https://"), test.client)
			if (err == nil) != test.ok {
				t.Errorf("handshake: %v", err)
			}
			if err == nil {
				conn.Close()
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Post(at.Public[0]+PathTimestamp, "application/timestamp-query", query())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.ProtoMajor != 2 || resp.StatusCode != 200 || len(body) == 0 {
		t.Errorf("HTTP/2: %s %d, %v", resp.Proto, resp.StatusCode, err)
	}
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	files, _ := identityFiles(t, dir, "server")
	clientFiles, clientCert := identityFiles(t, dir, "client")
	_, strangerCert := identityFiles(t, dir, "stranger")
	files.ClientCA = clientFiles.Certificate
	conf, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) { b.config.Listeners[0].TLS = conf })
	for _, test := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{
		{"known", []tls.Certificate{clientCert}, true},
		{"unknown", []tls.Certificate{strangerCert}, false},
		{"none", nil, false},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, files.Certificate), Certificates: test.certs}}}
		resp, err := client.Get(at.Public[0] + PathPing)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		client.CloseIdleConnections()
	}
}

func TestLoadTLSRefuses(t *testing.T) {
	dir := t.TempDir()
	files, _ := identityFiles(t, dir, "a")
	other, _ := identityFiles(t, dir, "b")
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]TLSFiles{
		"absent":          {Certificate: files.Certificate, Key: filepath.Join(dir, "no")},
		"key of another":  {Certificate: files.Certificate, Key: other.Key},
		"empty client CA": {Certificate: files.Certificate, Key: files.Key, ClientCA: empty},
		"no client CA":    {Certificate: files.Certificate, Key: files.Key, ClientCA: filepath.Join(dir, "no")},
	} {
		if _, err := LoadTLS(f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	// A socket whose process was killed.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	at, _ := start(t, func(b *bench) { b.config.Listeners[0] = Listener{Network: "unix", Address: path} })
	if at.Public[0] != "unix:"+path {
		t.Errorf("listening on %s", at.Public[0])
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://tsa/ping")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()

	// A socket that is in use is not taken away.
	s, _ := newServer(t, func(b *bench) { b.config.Listeners[0] = Listener{Network: "unix", Address: path} })
	if err := s.Run(t.Context()); err == nil {
		t.Error("the socket of another server was taken")
	}
}

func TestPingOnly(t *testing.T) {
	at, _ := start(t, func(b *bench) {
		b.config.Listeners = append(b.config.Listeners, Listener{Address: "127.0.0.1:0", PingOnly: true})
	})
	for path, want := range map[string]int{PathPing: 200, PathCertChain: 404, PathTimestamp: 404, "/": 404} {
		resp, err := http.Get(at.Public[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want == 404 && string(body) != "http server supports only the /ping entrypoint\n" {
			t.Errorf("%s: %d %q, want %d", path, resp.StatusCode, body, want)
		}
	}
}

func TestAdmin(t *testing.T) {
	at, _ := start(t, func(b *bench) { b.config.Admin = &Listener{Address: "127.0.0.1:0"} })
	for _, test := range []struct {
		path, method, site string
		status             int
		body               string
	}{
		{"/metrics", "GET", "", 200, "timestamp_authority_build_info"},
		{"/healthz", "GET", "", 200, "ok"},
		{"/readyz", "GET", "", 200, `"ready": true`},
		{"/", "GET", "", 200, "/metrics"},
		{"/nope", "GET", "", 404, ""},
		{"/metrics", "POST", "", 405, ""},
		{"/debug/pprof/", "GET", "", 200, "goroutine"},
		{"/debug/pprof/heap", "GET", "", 200, ""},
		{"/debug/pprof/cmdline", "GET", "", 200, "test"},
		{"/debug/pprof/profile?seconds=1", "GET", "", 200, ""},
		{"/debug/pprof/trace?seconds=0.05", "GET", "", 200, ""},
		{"/debug/pprof/symbol", "GET", "", 200, "num_symbols"},
		{"/metrics", "GET", "cross-site", 403, ""},
		{"/metrics", "GET", "same-origin", 200, ""},
	} {
		req, err := http.NewRequest(test.method, at.Admin+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.site != "" {
			req.Header.Set("Sec-Fetch-Site", test.site)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != test.status || !strings.Contains(string(body), test.body) {
			t.Errorf("%s %s: %d %.200q, %v", test.method, test.path, resp.StatusCode, body, err)
		}
	}
}

// TestAdminNames asks under names that a page could have let resolve here.
func TestAdminNames(t *testing.T) {
	at, _ := start(t, func(b *bench) { b.config.Admin = &Listener{Address: "127.0.0.1:0"} })
	for host, want := range map[string]int{
		"localhost": 200, "localhost:2112": 200, "127.0.0.1:2112": 200, "[::1]:2112": 200, "[::1]": 200, "192.0.2.1": 200,
		"attacker.example": 403, "attacker.example:2112": 403, "127.0.0.1.attacker.example": 403, "localhost.attacker.example:80": 403,
	} {
		req, err := http.NewRequest("GET", at.Admin+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	oldFiles, _ := identityFiles(t, dir, "old")
	newFiles, _ := identityFiles(t, dir, "new")
	oldTLS, err := LoadTLS(oldFiles)
	if err != nil {
		t.Fatal(err)
	}
	newTLS, err := LoadTLS(newFiles)
	if err != nil {
		t.Fatal(err)
	}
	ask := make(chan struct{})
	var next Config
	var nextErr error
	at, b := start(t, func(b *bench) {
		b.config.Listeners[0].TLS = oldTLS
		b.config.Reload = Reload{Ask: ask, Load: func(context.Context) (Config, error) { return next, nextErr }}
	})
	chain := pkitest.TSA(t, pkitest.Options{Name: "Next"})
	newTSA := func(key crypto.Signer, change func(*authority.Config)) *tsa.TSA {
		k, err := signer.New(key)
		if err != nil {
			t.Fatal(err)
		}
		cfg := b.authority
		cfg.Signer, cfg.Chain = k, chain.Certificates()
		if change != nil {
			change(&cfg)
		}
		a, err := authority.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		out, err := tsa.New(t.Context(), tsa.Config{Units: []tsa.Unit{{Authority: a}}, Clock: cfg.Clock})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// get returns the chain that the server publishes to who trusts one
	// certificate.
	get := func(trust string) string {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(t, trust)}}}
		defer client.CloseIdleConnections()
		resp, err := client.Get(at.Public[0] + PathCertChain)
		if err != nil {
			return "error: " + err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	reload := func() {
		n := len(records(t, b.log, "reloaded")) + len(records(t, b.log, "reload failed, all stays as it was"))
		ask <- struct{}{}
		for len(records(t, b.log, "reloaded"))+len(records(t, b.log, "reload failed, all stays as it was")) == n {
			time.Sleep(time.Millisecond)
		}
	}
	before := string(pkitest.TSA(t, pkitest.Options{}).PEM())
	expired := func(c *authority.Config) {
		step := good()
		step.Reading.Time = pkitest.NotAfter().Add(time.Hour)
		c.Clock = clock.NewScript(step)
	}
	for _, test := range []struct {
		name string
		next Config
		err  error
	}{
		{"load fails", Config{}, errors.New("no such file")},
		{"a listener less", Config{TSA: newTSA(chain.LeafKey, nil)}, nil},
		{"no https any more", Config{TSA: newTSA(chain.LeafKey, nil), Listeners: []Listener{{}}}, nil},
		{"would issue nothing", Config{TSA: newTSA(chain.LeafKey, expired), Listeners: []Listener{{TLS: newTLS}}}, nil},
	} {
		next, nextErr = test.next, test.err
		reload()
		if got := get(oldFiles.Certificate); got != before {
			t.Errorf("%s: something was replaced: %s", test.name, got)
		}
	}
	next, nextErr = Config{TSA: newTSA(chain.LeafKey, nil), Listeners: []Listener{{TLS: newTLS}}}, nil
	reload()
	if got := get(newFiles.Certificate); got != string(chain.PEM()) {
		t.Errorf("after the reload: %s", got)
	}
	if got := get(oldFiles.Certificate); !strings.HasPrefix(got, "error: ") {
		t.Error("the old certificate is still served")
	}
}
