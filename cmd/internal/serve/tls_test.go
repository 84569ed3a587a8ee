package serve

import (
	"bufio"
	"context"
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
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestKeyExchange makes real handshakes: clients that can use the post-quantum
// hybrids get one.
func TestKeyExchange(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	conf, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) { b.config.Listeners[0].TLS = conf })
	for _, test := range []struct {
		name    string
		offered []tls.CurveID // nil: what Go offers
		want    tls.CurveID
	}{
		{"default", nil, tls.X25519MLKEM768},
		{"X25519MLKEM768", []tls.CurveID{tls.X25519MLKEM768}, tls.X25519MLKEM768},
		{"hybrid and X25519", []tls.CurveID{tls.X25519, tls.X25519MLKEM768}, tls.X25519MLKEM768},
		{"SecP256r1MLKEM768", []tls.CurveID{tls.SecP256r1MLKEM768}, tls.SecP256r1MLKEM768},
		{"SecP384r1MLKEM1024", []tls.CurveID{tls.SecP384r1MLKEM1024}, tls.SecP384r1MLKEM1024},
		{"X25519", []tls.CurveID{tls.X25519}, tls.X25519},
		{"P-384", []tls.CurveID{tls.CurveP384}, tls.CurveP384},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", strings.TrimPrefix(at.Public[0], "https://"), &tls.Config{RootCAs: pool(t, files.Certificate), CurvePreferences: test.offered, NextProtos: []string{"h2", "http/1.1"}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if s := conn.ConnectionState(); s.CurveID != test.want || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" {
				t.Errorf("got %v, TLS %x, %q; want %v", s.CurveID, s.Version, s.NegotiatedProtocol, test.want)
			}
		})
	}
}

// TestTLS12 offers each suite that crypto/tls knows, alone.
func TestTLS12(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	conf, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) { b.config.Listeners[0].TLS = conf })
	taken := 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		conn, err := tls.Dial("tcp", strings.TrimPrefix(at.Public[0], "https://"), &tls.Config{RootCAs: pool(t, files.Certificate), MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
		good := strings.HasPrefix(suite.Name, "TLS_ECDHE_ECDSA_") && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_POLY1305_"))
		if (err == nil) != good {
			t.Errorf("%s: %v", suite.Name, err)
		}
		if err == nil {
			taken++
			conn.Close()
		}
	}
	if taken != 3 {
		t.Errorf("%d suites were taken", taken)
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if conn, err := tls.Dial("tcp", strings.TrimPrefix(at.Public[0], "https://"), &tls.Config{RootCAs: pool(t, files.Certificate), MinVersion: version, MaxVersion: version}); err == nil {
			conn.Close()
			t.Errorf("version %x was taken", version)
		}
	}
}

func TestOptionalClientCertificates(t *testing.T) {
	dir := t.TempDir()
	files, _ := identityFiles(t, dir, "server")
	clientFiles, clientCert := identityFiles(t, dir, "client")
	_, strangerCert := identityFiles(t, dir, "stranger")
	files.ClientCA, files.ClientAuth = clientFiles.Certificate, ClientAuthOptional
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
		// crypto/tls keeps to itself a certificate of a CA that was not asked for.
		{"of another CA, not asked for", []tls.Certificate{strangerCert}, true},
		{"none", nil, true},
	} {
		if err := ping(t, at.Public[0], &tls.Config{RootCAs: pool(t, files.Certificate), Certificates: test.certs}); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	insist := &tls.Config{RootCAs: pool(t, files.Certificate), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &strangerCert, nil }}
	if err := ping(t, at.Public[0], insist); err == nil {
		t.Error("a certificate of a stranger is taken")
	}
}

// ping asks once over a connection of its own.
func ping(t *testing.T, url string, conf *tls.Config) error {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
	resp, err := client.Get(url + PathPing)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// sessions notes whether handshakes resumed a session.
type sessions struct {
	tls.ClientSessionCache
	conf *tls.Config
	last tls.ConnectionState
}

func newSessions(conf *tls.Config) *sessions {
	s := &sessions{ClientSessionCache: tls.NewLRUClientSessionCache(4), conf: conf}
	conf.ClientSessionCache = s.ClientSessionCache
	conf.VerifyConnection = func(c tls.ConnectionState) error {
		s.last = c
		return nil
	}
	return s
}

// startReloading runs a server with an identity that can be replaced.
func startReloading(t *testing.T, conf *tls.Config) (url string, reload func(*tls.Config)) {
	t.Helper()
	ask := make(chan struct{})
	var next Config
	at, b := start(t, func(b *bench) {
		b.config.Listeners[0].TLS = conf
		b.config.Reload = Reload{Ask: ask, Load: func(context.Context) (Config, error) { return next, nil }}
	})
	reloads := 0
	return at.Public[0], func(conf *tls.Config) {
		t.Helper()
		other, _ := newServer(t, nil)
		next = other.cfg
		next.Listeners[0].TLS = conf
		reloads++
		ask <- struct{}{}
		for deadline := time.Now().Add(10 * time.Second); len(records(t, b.log, "reloaded")) < reloads; {
			if time.Now().After(deadline) {
				t.Fatalf("no reload: %s", b.log)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// TestSessionsEndWithIdentity: a session is resumed as long as nothing has
// changed. After a reload it is not, and a client whose CA was removed does not
// come in by one.
func TestSessionsEndWithIdentity(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			dir := t.TempDir()
			files, _ := identityFiles(t, dir, "server")
			clientFiles, clientCert := identityFiles(t, dir, "client")
			otherFiles, _ := identityFiles(t, dir, "other")
			load := func(ca string) *tls.Config {
				f := files
				f.ClientCA = ca
				conf, err := LoadTLS(f)
				if err != nil {
					t.Fatal(err)
				}
				return conf
			}
			url, reload := startReloading(t, load(clientFiles.Certificate))
			s := newSessions(&tls.Config{RootCAs: pool(t, files.Certificate), MaxVersion: version,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &clientCert, nil }})
			try := func(what string, resumed bool) {
				t.Helper()
				if err := ping(t, url, s.conf); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if s.last.DidResume != resumed || s.last.Version != version {
					t.Errorf("%s: resumed: %t, want %t", what, s.last.DidResume, resumed)
				}
			}
			try("first", false)
			try("second", true)
			reload(load(clientFiles.Certificate))
			try("after a reload", false)
			try("and again", true)
			reload(load(otherFiles.Certificate))
			if err := ping(t, url, s.conf); err == nil {
				t.Error("a client whose CA was removed is let in")
			}
		})
	}
}

// TestConnectionsEndWithClientCA: a connection outlives a reload, but not the CA
// that let its client in.
func TestConnectionsEndWithClientCA(t *testing.T) {
	dir := t.TempDir()
	files, _ := identityFiles(t, dir, "server")
	clientFiles, clientCert := identityFiles(t, dir, "client")
	otherFiles, _ := identityFiles(t, dir, "other")
	load := func(ca string) *tls.Config {
		f := files
		f.ClientCA = ca
		conf, err := LoadTLS(f)
		if err != nil {
			t.Fatal(err)
		}
		return conf
	}
	url, reload := startReloading(t, load(clientFiles.Certificate))
	conf := &tls.Config{RootCAs: pool(t, files.Certificate), Certificates: []tls.Certificate{clientCert}}
	idle, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	r := bufio.NewReader(idle)
	ask := func() error {
		if _, err := io.WriteString(idle, get(PathPing)); err != nil {
			return err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	busy := dialHTTP2(t, url, conf)
	half, err := busy.open(true)
	if err := errors.Join(err, busy.WriteData(half, false, tsptest.RequestDER()[:10]), busy.w.Flush()); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	reload(load(clientFiles.Certificate))
	if err := ask(); err != nil {
		t.Errorf("after a reload that lets in the same clients: %v", err)
	}

	reload(load(otherFiles.Certificate))
	if err := ask(); err == nil {
		t.Error("an idle connection of a client whose CA was removed is still served")
	}
	next, err := busy.get(PathPing, 0)
	if err := errors.Join(err, busy.w.Flush()); err != nil {
		t.Fatal(err)
	}
	status := func(stream uint32) string {
		for {
			f, err := busy.ReadFrame()
			if err != nil {
				return err.Error()
			}
			if f, ok := f.(*http2.MetaHeadersFrame); ok && f.StreamID == stream {
				return f.PseudoValue("status")
			}
		}
	}
	if got := status(next); got != "421" {
		t.Errorf("another request on a busy one: %s", got)
	}
	if err := errors.Join(busy.WriteData(half, true, tsptest.RequestDER()[10:]), busy.w.Flush()); err != nil {
		t.Fatal(err)
	}
	if got := status(half); got != "200" {
		t.Errorf("a request that was under way: %s", got)
	}
}

// TestReloadUnderLoad replaces the certificate while clients connect: each of
// them is answered, by the old or by the new.
func TestReloadUnderLoad(t *testing.T) {
	dir := t.TempDir()
	var confs []*tls.Config
	roots := x509.NewCertPool()
	for _, name := range []string{"old", "new"} {
		files, cert := identityFiles(t, dir, name)
		conf, err := LoadTLS(files)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		roots.AddCert(leaf)
		confs = append(confs, conf)
	}
	url, reload := startReloading(t, confs[0])
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var served [2]atomic.Int64
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				conf := &tls.Config{RootCAs: roots, VerifyConnection: func(c tls.ConnectionState) error {
					served[map[string]int{"old": 0, "new": 1}[c.PeerCertificates[0].Subject.CommonName]].Add(1)
					return nil
				}}
				if err := ping(t, url, conf); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 10 {
		reload(confs[(i+1)%2])
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	clients.Wait()
	if served[0].Load() == 0 || served[1].Load() == 0 {
		t.Errorf("%d clients met the old certificate, %d the new", served[0].Load(), served[1].Load())
	}
}

// certificateFile writes a certificate that was changed, and its key.
func certificateFile(t *testing.T, change func(*x509.Certificate)) TLSFiles {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "changed"}, DNSNames: []string{"tsa.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := TLSFiles{Certificate: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key")}
	putFile(t, f.Certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	putFile(t, f.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}))
	return f
}

func TestLoadTLSWarns(t *testing.T) {
	dir := t.TempDir()
	stranger, _ := identityFiles(t, dir, "stranger")
	for _, test := range []struct {
		name   string
		change func(*x509.Certificate)
		bend   func(*TLSFiles)
		want   string // "": nothing
	}{
		{"good", nil, nil, ""},
		{"expired", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "expired on"},
		{"soon", func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(-1000 * time.Hour)
			c.NotAfter = time.Now().Add(50 * time.Hour)
		}, nil, "expires on"},
		{"short, but not soon", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(24 * time.Hour) }, nil, ""},
		{"not yet", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }, nil, "is not valid before"},
		{"no name", func(c *x509.Certificate) { c.DNSNames = nil }, nil, "subjectAltName"},
		{"no order", nil, func(f *TLSFiles) { appendFile(t, f.Certificate, stranger.Certificate) }, "certificate 2 in"},
		{"readable", nil, func(f *TLSFiles) {
			if err := os.Chmod(f.Key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "every user of this machine"},
	} {
		f := certificateFile(t, test.change)
		if test.bend != nil {
			test.bend(&f)
		}
		var said []string
		f.Warn = func(text string) { said = append(said, text) }
		if _, err := LoadTLS(f); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.want == "" && len(said) > 0 || test.want != "" && (len(said) != 1 || !strings.Contains(said[0], test.want)) {
			t.Errorf("%s: warned %q, want %q", test.name, said, test.want)
		}
	}
	old := certificateFile(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	f := certificateFile(t, nil)
	f.ClientCA = old.Certificate
	var said []string
	f.Warn = func(text string) { said = append(said, text) }
	if _, err := LoadTLS(f); err != nil || len(said) != 1 || !strings.Contains(said[0], "the client CA") {
		t.Errorf("an expired client CA: %v, %q", err, said)
	}
}

func putFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// appendFile adds one file to another.
func appendFile(t *testing.T, to, from string) {
	t.Helper()
	a, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	putFile(t, to, append(a, b...))
}

func TestLoadTLSHints(t *testing.T) {
	dir := t.TempDir()
	a, _ := identityFiles(t, dir, "a")
	b, _ := identityFiles(t, dir, "b")
	wrongOrder := filepath.Join(dir, "order")
	putFile(t, wrongOrder, nil)
	appendFile(t, wrongOrder, b.Certificate)
	appendFile(t, wrongOrder, a.Certificate)
	encrypted, legacy := filepath.Join(dir, "encrypted"), filepath.Join(dir, "legacy")
	putFile(t, encrypted, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0x30, 0}}))
	putFile(t, legacy, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte{0x30, 0}}))
	for _, test := range []struct {
		name       string
		files      TLSFiles
		text, hint string
	}{
		{"no certificate", TLSFiles{Certificate: filepath.Join(dir, "no"), Key: a.Key}, "tls: certificate: open", ""},
		{"no key", TLSFiles{Certificate: a.Certificate, Key: filepath.Join(dir, "no")}, "tls: key: open", ""},
		{"key of another", TLSFiles{Certificate: a.Certificate, Key: b.Key}, "private key does not match public key", "before it was renewed"},
		{"wrong order", TLSFiles{Certificate: wrongOrder, Key: a.Key}, "private key does not match public key", "the server's own comes first"},
		{"wrong way round", TLSFiles{Certificate: a.Key, Key: a.Certificate}, "certificate " + a.Key, "the wrong way round"},
		{"encrypted", TLSFiles{Certificate: a.Certificate, Key: encrypted}, "key " + encrypted, "openssl pkey"},
		{"encrypted as of old", TLSFiles{Certificate: a.Certificate, Key: legacy}, "key " + legacy, "openssl pkey"},
		{"key among the client CAs", TLSFiles{Certificate: a.Certificate, Key: a.Key, ClientCA: b.Key}, `"PRIVATE KEY"`, ""},
	} {
		_, err := LoadTLS(test.files)
		if err == nil || !strings.HasPrefix(err.Error(), "tls: ") || !strings.Contains(err.Error(), test.text) || strings.Count(err.Error(), "tls: ") > 1 {
			t.Errorf("%s: %v, want %q", test.name, err, test.text)
		}
		if got := cli.HintOf(err); !strings.Contains(got, test.hint) || test.hint == "" && got != "" {
			t.Errorf("%s: the hint is %q, want %q", test.name, got, test.hint)
		}
	}
}
