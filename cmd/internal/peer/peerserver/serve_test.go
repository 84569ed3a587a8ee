package peerserver_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peerserver"
	"github.com/fencepost-tsa/fencepost/pki"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/tsphttp"
	"github.com/fencepost-tsa/fencepost/verify"
)

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// environment is that of a test: no variables but these, and no home.
func environment(vars map[string]string, out io.Writer) *cli.Env {
	return &cli.Env{Program: "timestamp-server", Stdout: out, Stderr: out, Getenv: func(name string) string { return vars[name] }}
}

// running is a server that runs until the test ends.
type running struct {
	urls []string
	log  *buffer
	stop func() int // and its exit status
}

var serving = regexp.MustCompile(`Serving timestamp server at (\S+?)"`)

// start runs "timestamp-server serve ARGS" until it listens.
func start(t *testing.T, vars map[string]string, args ...string) *running {
	t.Helper()
	r := &running{log: new(buffer)}
	env := environment(vars, r.log)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, env, peerserver.New(env), append([]string{"serve"}, args...)) }()
	var once sync.Once
	status := -1
	r.stop = func() int {
		once.Do(func() {
			cancel()
			status = <-ended
		})
		return status
	}
	t.Cleanup(func() { r.stop() })
	deadline := time.Now().Add(20 * time.Second)
	for {
		// The log is written a little after the fact, in one piece.
		time.Sleep(10 * time.Millisecond)
		if found := serving.FindAllStringSubmatch(r.log.String(), -1); len(found) > 0 {
			for _, m := range found {
				r.urls = append(r.urls, m[1])
			}
			return r
		}
		select {
		case status := <-ended:
			t.Fatalf("serve %q ended with %d:\n%s", args, status, r.log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve %q did not listen:\n%s", args, r.log)
		}
	}
}

// quiet are the flags of most tests.
func quiet(args ...string) []string {
	return append([]string{"--metrics-address", "off", "--disable-ntp-monitoring"}, args...)
}

func request(t *testing.T) *tsp.Request {
	t.Helper()
	m, err := tsp.ReadImprint(crypto.SHA256, strings.NewReader("data"))
	if err != nil {
		t.Fatal(err)
	}
	return tsp.NewRequest(m)
}

// stamp gets a timestamp from a URL.
func stamp(t *testing.T, url string, req *tsp.Request, trust *verify.Policy) (*tsp.Response, error) {
	t.Helper()
	c, err := tsphttp.NewClient(tsphttp.ClientConfig{URLs: []string{url}, Trust: trust, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	return c.Stamp(t.Context(), req)
}

// post sends a body and returns status, media type and answer.
func post(t *testing.T, url, mediaType string, body []byte) (int, string, []byte) {
	t.Helper()
	resp, err := http.Post(url+"/api/v1/timestamp", mediaType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), answer
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// publishedChain is what the server says about itself.
func publishedChain(t *testing.T, url string) []*x509.Certificate {
	t.Helper()
	status, text := get(t, http.DefaultClient, url+"/api/v1/timestamp/certchain")
	chain, err := pki.ParseChain([]byte(text))
	if err != nil || status != 200 {
		t.Fatalf("certchain: %d, %v", status, err)
	}
	return chain
}

func TestMemory(t *testing.T) {
	r := start(t, nil, quiet()...)
	chain := publishedChain(t, r.urls[0])
	if len(chain) != 3 {
		t.Fatalf("%d certificates", len(chain))
	}
	resp, err := stamp(t, r.urls[0], request(t), &verify.Policy{Roots: chain[2:], Intermediates: chain[1:2]})
	if err != nil {
		t.Fatal(err)
	}
	info := resp.Token.UnverifiedInfo
	if got := len(resp.Token.Certificates); got != 1 {
		t.Errorf("%d certificates in the token, want the leaf alone", got)
	}
	if info.Policy.String() != peerserver.DefaultPolicy || info.Accuracy != time.Second {
		t.Errorf("policy %v, accuracy %v", info.Policy, info.Accuracy)
	}
	if !strings.HasPrefix(r.urls[0], "http://127.0.0.1:") {
		t.Errorf("it listens on %s", r.urls[0])
	}
	if strings.Contains(r.log.String(), "nothing monitors") {
		t.Errorf("it warns about what --disable-ntp-monitoring says:\n%s", r.log)
	}
	if status := r.stop(); status != 0 {
		t.Errorf("exit status %d after an orderly end:\n%s", status, r.log)
	}
}

func TestFlagsDoSomething(t *testing.T) {
	const other = "1.3.6.1.4.1.99999.7"
	query := func(t *testing.T, policy string) []byte {
		r := request(t)
		if policy != "" {
			id, err := x509.ParseOID(policy)
			if err != nil {
				t.Fatal(err)
			}
			r.Policy = id
		}
		der, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	plain, named := query(t, ""), query(t, other)
	token := func(t *testing.T, answer []byte) *tsp.Token {
		resp, err := tsp.ParseResponse(answer)
		if err != nil || resp.Token == nil {
			t.Fatalf("no token: %v, %+v", err, resp)
		}
		return resp.Token
	}
	for _, test := range []struct {
		name   string
		args   []string
		body   []byte
		status int
		check  func(t *testing.T, mediaType string, answer []byte)
	}{
		{"include-chain-in-response", []string{"--include-chain-in-response"}, plain, 200, func(t *testing.T, _ string, answer []byte) {
			if n := len(token(t, answer).Certificates); n != 3 {
				t.Errorf("%d certificates", n)
			}
		}},
		{"use-http-201", []string{"--use-http-201"}, plain, 201, nil},
		{"timestamp-signer-hash", []string{"--timestamp-signer-hash", "sha512"}, plain, 200, func(t *testing.T, _ string, answer []byte) {
			if got := token(t, answer).Signer.Digest.OID.String(); got != "2.16.840.1.101.3.4.2.3" {
				t.Errorf("digest algorithm %s", got)
			}
		}},
		{"default-policy-oid", []string{"--default-policy-oid", other}, plain, 200, func(t *testing.T, _ string, answer []byte) {
			if got := token(t, answer).UnverifiedInfo.Policy.String(); got != other {
				t.Errorf("policy %s", got)
			}
		}},
		{"the default policy is accepted", []string{"--default-policy-oid", other}, named, 200, func(t *testing.T, _ string, answer []byte) { token(t, answer) }},
		{"accepted-policy-oids", []string{"--accepted-policy-oids", "1.2.3," + other}, named, 200, func(t *testing.T, _ string, answer []byte) { token(t, answer) }},
		{"other policies are not", []string{"--accepted-policy-oids", "1.2.3"}, named, 200, func(t *testing.T, _ string, answer []byte) {
			if resp, err := tsp.ParseResponse(answer); err != nil || !errors.Is(resp.Rejection, tsp.UnacceptedPolicy) {
				t.Errorf("%v, %+v", err, resp)
			}
		}},
		{"refusal-format rfc3161", nil, weakRequest(t), 200, func(t *testing.T, mediaType string, answer []byte) {
			if resp, err := tsp.ParseResponse(answer); err != nil || !errors.Is(resp.Rejection, tsp.BadAlg) || mediaType != tsphttp.TypeReply {
				t.Errorf("%s, %v, %+v", mediaType, err, resp)
			}
		}},
		{"refusal-format json", []string{"--refusal-format", "json"}, weakRequest(t), 400, func(t *testing.T, mediaType string, answer []byte) {
			if !strings.Contains(string(answer), `"message":"Weak hash algorithm in timestamp request"`) {
				t.Errorf("%s, %s", mediaType, answer)
			}
		}},
		{"max-request-body-size", []string{"--max-request-body-size", "50"}, plain, 413, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, nil, quiet(test.args...)...)
			status, mediaType, answer := post(t, r.urls[0], tsphttp.TypeQuery, test.body)
			if status != test.status {
				t.Errorf("status %d, want %d: %q", status, test.status, answer)
			}
			if test.check != nil {
				test.check(t, mediaType, answer)
			}
		})
	}
}

func TestRequestIDHeader(t *testing.T) {
	r := start(t, nil, quiet("--http-request-id-header-name", "X-Trace", "--log-type", "prod")...)
	req, _ := http.NewRequest("GET", r.urls[0]+"/ping", nil)
	req.Header.Set("X-Trace", "abc-123")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("X-Trace"); got != "abc-123" {
		t.Errorf("X-Trace came back as %q", got)
	}
	r.stop()
	for line := range strings.Lines(r.log.String()) {
		var rec struct {
			Severity, Message string
			TS                float64
		}
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Errorf("with --log-type prod there is a line that is not JSON: %s", line)
		}
		if (rec.Severity != "info" && rec.Severity != "warn") || rec.Message == "" || time.Since(time.UnixMicro(int64(rec.TS*1e6))).Abs() > time.Minute {
			t.Errorf("a record has not the keys of the namesake: %s", line)
		}
	}
}

// tlsFiles makes a certificate for localhost that is its own CA.
func tlsFiles(t *testing.T) (cert, key string, client *http.Client) {
	t.Helper()
	dir := t.TempDir()
	k, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(nil, tmpl, tmpl, k.Public(), signer.Crypto(t.Context(), k))
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := signer.MarshalPEM(k, nil)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert, key = write(t, dir, "tls.crt", certPEM), write(t, dir, "tls.key", keyPEM)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}}
}

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestListeners(t *testing.T) {
	cert, key, client := tlsFiles(t)
	socket := filepath.Join(t.TempDir(), "s")
	r := start(t, map[string]string{"TLS_CERTIFICATE": cert, "TLS_PRIVATE_KEY": key},
		quiet("--scheme", "http,https", "--scheme", "unix", "--socket-path", socket, "--http-ping-only", "--tls-host", "127.0.0.1")...)
	if len(r.urls) != 3 {
		t.Fatalf("it listens on %q", r.urls)
	}
	plain, secure := r.urls[0], r.urls[1]
	if status, body := get(t, client, plain+"/ping"); status != 200 || body != "." {
		t.Errorf("ping over http: %d %q", status, body)
	}
	if status, body := get(t, client, plain+"/api/v1/timestamp/certchain"); status != 404 || !strings.Contains(body, "only the /ping") {
		t.Errorf("more over http: %d %q", status, body)
	}
	if status, _ := get(t, client, secure+"/api/v1/timestamp/certchain"); status != 200 {
		t.Errorf("chain over https: %d", status)
	}
	overSocket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	if status, _ := get(t, overSocket, "http://socket/api/v1/timestamp/certchain"); status != 200 {
		t.Errorf("chain over the socket: %d", status)
	}
	client.CloseIdleConnections()
	overSocket.CloseIdleConnections()
	r.stop()

	// Clients need a certificate of the CA.
	r = start(t, nil, quiet("--scheme", "https", "--tls-certificate", cert, "--tls-key", key, "--tls-ca", cert)...)
	if status, _ := get(t, client, r.urls[0]+"/ping"); status != 200 {
		t.Errorf("ping with a certificate: %d", status)
	}
	client.CloseIdleConnections()
	anonymous := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs}}}
	if _, err := anonymous.Get(r.urls[0] + "/ping"); err == nil {
		t.Error("a client without a certificate was answered")
	}
}

// identity writes a key and its chain.
func identity(t *testing.T, opts pkitest.Options, password []byte) (key, chain string, certs *pkitest.Chain) {
	t.Helper()
	certs = pkitest.TSA(t, opts)
	k, err := signer.New(certs.LeafKey)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signer.MarshalPEM(k, password)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return write(t, dir, "key.pem", text), write(t, dir, "chain.pem", certs.PEM()), certs
}

func TestFileSigner(t *testing.T) {
	for _, kind := range pkitest.KeyTypes() {
		t.Run(kind.String(), func(t *testing.T) {
			key, chain, certs := identity(t, pkitest.Options{Key: kind}, nil)
			r := start(t, nil, quiet("--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", chain)...)
			_, err := stamp(t, r.urls[0], request(t), &verify.Policy{Roots: []*x509.Certificate{certs.Root}, Intermediates: []*x509.Certificate{certs.Intermediate}})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	key, chain, _ := identity(t, pkitest.Options{}, []byte("sesame"))
	file := []string{"--timestamp-signer", "file", "--file-signer-key-path", key, "--certificate-chain-path", chain}
	passwords := t.TempDir()
	right, wrong := write(t, passwords, "right", []byte("sesame\n")), write(t, passwords, "wrong", []byte("sesam\n"))
	for _, test := range []struct {
		name string
		args []string
		ok   bool
		want string
	}{
		{"on the command line", []string{"--file-signer-passwd", "sesame"}, true, "--file-signer-passwd is a secret on the command line"},
		{"in a file", []string{"--file-signer-passwd-file", right}, true, ""},
		{"wrong", []string{"--file-signer-passwd-file", wrong}, false, "wrong passphrase"},
		{"none", nil, false, "--file-signer-passwd-file"},
		{"twice", []string{"--file-signer-passwd-file", right, "--file-signer-passwd", "sesame"}, false, "exclude each other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := quiet(append(test.args, file...)...)
			if test.ok {
				r := start(t, nil, args...)
				if !strings.Contains(r.log.String(), test.want) || strings.Contains(r.log.String(), "sesame") {
					t.Errorf("log:\n%s", r.log)
				}
				return
			}
			if status, log := refused(t, nil, args...); status == 0 || !strings.Contains(log, test.want) || strings.Contains(log, "sesame") {
				t.Errorf("exit status %d, %s", status, log)
			}
		})
	}
	// A configuration file is no command line.
	config := write(t, passwords, "c.yaml", []byte("file-signer-passwd: sesame\ntimestamp-signer: file\nfile-signer-key-path: "+key+"\ncertificate-chain-path: "+chain+"\n"))
	if r := start(t, nil, quiet("--config", config)...); strings.Contains(r.log.String(), "secret") {
		t.Errorf("log:\n%s", r.log)
	}
}

// Two servers on one machine: the second does without metrics, unless it was
// told where they are.
func TestMetrics(t *testing.T) {
	r := start(t, nil, "--metrics-address", "127.0.0.1:0", "--enable-pprof")
	m := regexp.MustCompile(`admin=(http://\S+)`).FindStringSubmatch(r.log.String())
	if m == nil {
		t.Fatalf("no address of the metrics:\n%s", r.log)
	}
	if status, body := get(t, http.DefaultClient, m[1]+"/metrics"); status != 200 || !strings.Contains(body, "fencepost_") {
		t.Errorf("metrics: %d", status)
	}
	if !strings.Contains(r.log.String(), "no profiles there") { // no other program has the port
		const profiles = "http://127.0.0.1:6060"
		if status, _ := get(t, http.DefaultClient, profiles+"/debug/pprof/"); status != 200 {
			t.Errorf("profiles: %d", status)
		}
		if status, _ := get(t, http.DefaultClient, profiles+"/metrics"); status != 404 {
			t.Errorf("metrics where profiles are: %d", status)
		}
	}
	if !strings.Contains(r.log.String(), "nothing monitors the system clock") {
		t.Errorf("no warning about the clock:\n%s", r.log)
	}
	taken := strings.TrimPrefix(m[1], "http://")
	if status, log := refused(t, nil, "--metrics-address", taken); status == 0 || !strings.Contains(log, "with --metrics-address") {
		t.Errorf("the same address again: %d, %s", status, log)
	}
	http.DefaultClient.CloseIdleConnections()

	// The default address is taken by this test, or by a program that keeps it.
	for range 50 {
		l, err := net.Listen("tcp", peerserver.DefaultMetrics)
		if err == nil {
			defer l.Close()
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if r := start(t, nil, "--disable-ntp-monitoring"); !strings.Contains(r.log.String(), "there are no metrics") {
		t.Errorf("log:\n%s", r.log)
	}
}
