package interop

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// abusedConfig is a configuration that gives clients little time; %s are the listeners, the one for TLS second, and the
// administrative one.
const abusedConfig = `listen: ["http://%s", "https://%s"]
admin: %s
limits: {read-header-timeout: 1s, read-timeout: 2s, write-timeout: 2s}
log: {level: error}
tls: {certificate: tls.pem, key: tls.key}
tsa:
  key: file:tsa/key.pem
  chain: tsa/chain.pem
  policy: 1.3.6.1.4.1.57264.2
  clock: {source: system, bound: 500ms}
`

// An abused server has to do with clients that do not behave.
type abused struct {
	*tsa
	process     *process
	host, admin string
	secure      *tsa         // the same by TLS
	client      *http.Client // that trusts its certificate, by HTTP/2
	query       []byte
}

func startAbused(t *testing.T) *abused {
	t.Helper()
	w := scratch(t)
	w.certCreate(t, "p256", "tsa")
	cert, key := selfSigned(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "tls.pem", pemOf(cert))
	w.write(t, "tls.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	s := &abused{host: "127.0.0.1:" + freePort(t), admin: "http://127.0.0.1:" + freePort(t)}
	secure := "127.0.0.1:" + freePort(t)
	config := w.write(t, "fencepost.yaml", fmt.Appendf(nil, abusedConfig, s.host, secure, strings.TrimPrefix(s.admin, "http://")))
	s.process = w.start(t, s.admin+"/readyz", ours("fencepost"), "serve", "--config", config)
	s.tsa = newTSA(t, "http://"+s.host, chainAt(t, "http://"+s.host))
	s.secure = &tsa{base: "https://" + secure, url: "https://" + secure + "/api/v1/timestamp", certificates: s.certificates}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
	w.write(t, "data", []byte("the data"))
	w.accept(t, nil, "openssl", "ts", "-query", "-data", "data", "-sha256", "-cert", "-out", "request.tsq")
	s.query = w.read(t, "request.tsq")
	return s
}

// An abuse is what a client does with a connection.
type abuse struct {
	name string
	do   func(conn *net.TCPConn, query []byte) error
	// want are the statuses of the answers, as one of several lists; 200 is a token. Nil: nobody reads them.
	want [][]int
}

const requestLine = "POST /api/v1/timestamp HTTP/1.1\r\nHost: tsa\r\n"

// head is the header of a request with so long a body.
func head(length int) string {
	return fmt.Sprintf("%sContent-Type: application/timestamp-query\r\nContent-Length: %d\r\n\r\n", requestLine, length)
}

// says is what sends a text and waits for what comes.
func says(text func(query []byte) string) func(*net.TCPConn, []byte) error {
	return func(conn *net.TCPConn, query []byte) error {
		_, err := io.WriteString(conn, text(query))
		return err
	}
}

// breaks sends a text and then breaks the connection off with a reset.
func breaks(text func(query []byte) string) func(*net.TCPConn, []byte) error {
	return func(conn *net.TCPConn, query []byte) error {
		if _, err := io.WriteString(conn, text(query)); err != nil {
			return err
		}
		if err := conn.SetLinger(0); err != nil {
			return err
		}
		return conn.Close()
	}
}

const bodyInChunks = requestLine + "Content-Type: application/timestamp-query\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"

// abuses are all that we have thought of below TLS; HTTP/2 has its own, in the package of the server.
var abuses = []abuse{
	{"reset in the header", breaks(func([]byte) string { return requestLine }), nil},
	{"reset in the body", breaks(func(q []byte) string { return head(len(q)) + string(q[:len(q)/2]) }), nil},
	{"reset before the answer", breaks(func(q []byte) string { return head(len(q)) + string(q) }), nil},
	{"reset amid many requests", breaks(func(q []byte) string { return strings.Repeat(head(len(q))+string(q), 20) }), nil},
	{"half closed in the body", func(conn *net.TCPConn, q []byte) error {
		return errors.Join(says(func(q []byte) string { return head(len(q)) + string(q[:10]) })(conn, q), conn.CloseWrite())
	}, [][]int{{400}, {499}, {}}},
	// Package net/http takes it for a client that has gone, if it notices soon enough.
	{"half closed after the request", func(conn *net.TCPConn, q []byte) error {
		return errors.Join(says(func(q []byte) string { return head(len(q)) + string(q) })(conn, q), conn.CloseWrite())
	}, [][]int{{200}, {499}}},
	{"pipelined", says(func(q []byte) string {
		return strings.Repeat(head(len(q))+string(q), 5) + "GET /ping HTTP/1.1\r\nHost: tsa\r\nConnection: close\r\n\r\n"
	}), [][]int{{200, 200, 200, 200, 200, 204}}},
	{"HTTP/1.0", says(func(q []byte) string {
		return strings.Replace(head(len(q)), "HTTP/1.1", "HTTP/1.0", 1) + string(q)
	}), [][]int{{200}}},
	{"HTTP/1.0 without a length", says(func([]byte) string {
		return "POST /api/v1/timestamp HTTP/1.0\r\nContent-Type: application/timestamp-query\r\n\r\n"
	}), [][]int{{600}}},
	{"Expect: 100-continue", func(conn *net.TCPConn, q []byte) error {
		text := strings.Replace(head(len(q)), "\r\n\r\n", "\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", 1)
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		answer := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
		if _, err := io.ReadFull(conn, answer); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 100 ") {
			return fmt.Errorf("%q, %v", answer, err)
		}
		_, err := conn.Write(q)
		return err
	}, [][]int{{200}}},
	{"Expect: 100-continue and too long a body", says(func([]byte) string {
		return strings.Replace(head(100<<20), "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1)
	}), [][]int{{413}}},
	{"Expect: 100-continue and nothing more", says(func(q []byte) string {
		return strings.Replace(head(len(q)), "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1)
	}), [][]int{{100, 408}}},
	{"Expect: what nobody knows", says(func(q []byte) string {
		return strings.Replace(head(len(q)), "\r\n\r\n", "\r\nExpect: the-unexpected\r\n\r\n", 1) + string(q)
	}), [][]int{{417}}},
	{"one byte a chunk", says(func(q []byte) string {
		var b strings.Builder
		b.WriteString(bodyInChunks)
		for _, c := range q {
			b.WriteString("1;a=b\r\n" + string([]byte{c}) + "\r\n")
		}
		return b.String() + "0\r\nX-Sum: x\r\n\r\n"
	}), [][]int{{200}}},
	{"chunks without end", func(conn *net.TCPConn, q []byte) error {
		chunk := "400\r\n" + strings.Repeat("x", 1024) + "\r\n"
		if _, err := io.WriteString(conn, bodyInChunks); err != nil {
			return err
		}
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return nil // so it had an end
			}
		}
	}, nil},
	{"chunks that stop", says(func([]byte) string { return bodyInChunks + "5\r\nabc" }), [][]int{{408}}},
	{"chunks that are none", says(func([]byte) string { return bodyInChunks + "zz\r\nabc" }), [][]int{{400}}},
	{"a length and chunks", says(func(q []byte) string {
		return strings.Replace(bodyInChunks, "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n", 1) + "0\r\n\r\n"
	}), [][]int{{600}, {400}}},
	{"two lengths", says(func(q []byte) string {
		return strings.Replace(head(len(q)), "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n", 1) + string(q)
	}), [][]int{{400}}},
	{"a byte a second", func(conn *net.TCPConn, q []byte) error {
		text := head(len(q))
		for i := range len(text) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return nil // it took too long
			}
			time.Sleep(time.Second / 4)
		}
		return errors.New("the whole request was taken")
	}, nil},
	{"a byte of the body a second", func(conn *net.TCPConn, q []byte) error {
		if _, err := io.WriteString(conn, head(len(q))); err != nil {
			return err
		}
		for _, c := range q {
			if _, err := conn.Write([]byte{c}); err != nil {
				return nil
			}
			time.Sleep(time.Second / 4)
		}
		return errors.New("the whole request was taken")
	}, nil},
	{"TLS to one that has none", says(func([]byte) string {
		return "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 600)
	}), [][]int{{400}}},
	{"HTTP/2 to one that has none", says(func([]byte) string { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" }), [][]int{{404}}},
	{"nothing", says(func([]byte) string { return "" }), [][]int{{}}},
}

// statusRejected stands for an answer with the status 200 that is no token.
const statusRejected = 600

// run does it once, on a connection of its own, and returns the statuses of the answers.
func (a abuse) run(host string, query []byte) ([]int, error) {
	c, err := net.Dial("tcp", host)
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if err := a.do(conn, query); err != nil {
		return nil, err
	}
	if a.want == nil {
		return nil, nil
	}
	var got []int
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "reset by peer") {
				return got, nil
			}
			return got, err
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return got, err
		}
		got = append(got, statusOf(resp, body))
		if resp.Close || resp.ProtoMinor == 0 {
			// Some of what was sent may not have been read, which resets the connection.
			return got, nil
		}
	}
}

// statusOf is the status of an answer, a token told from a rejection and from another page.
func statusOf(resp *http.Response, body []byte) int {
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode
	}
	if resp.Header.Get("Content-Type") != "application/timestamp-reply" {
		return http.StatusNoContent
	}
	if reply, err := tsp.ParseResponse(body); err != nil || reply.Token == nil {
		return statusRejected
	}
	return http.StatusOK
}

// TestAborts: whatever clients do to their connections, many at once, the server answers what can be answered, ends
// the rest, stays ready, and keeps nothing of them.
func TestAborts(t *testing.T) {
	s := startAbused(t)
	newLoad(t, s.tsa, 0).closed(t.Context(), 8, time.Second).complain(t, make(map[string]bool))
	before := s.sample(t)
	for _, a := range abuses {
		t.Run(a.name, func(t *testing.T) {
			const times = 50
			var all sync.WaitGroup
			for range times {
				all.Go(func() {
					got, err := a.run(s.host, s.query)
					if err != nil || a.want != nil && !slices.ContainsFunc(a.want, func(w []int) bool { return slices.Equal(w, got) }) {
						t.Errorf("answers %v, %v; want one of %v", got, err, a.want)
					}
				})
			}
			l := newLoad(t, s.tsa, 0)
			for range 20 {
				if x := l.shoot(t.Context(), time.Now()); x.fate != granted {
					t.Errorf("a good client beside them: %v", x.err)
				}
			}
			all.Wait()
		})
	}
	t.Run("requests of HTTP/2 that are given up", func(t *testing.T) {
		s.giveUp(t.Context(), t, 5000)
	})
	waitStatus(t, s.admin+"/readyz", http.StatusOK)
	s.settles(t, before)
}

// giveUp makes so many requests by HTTP/2 and resets each of them at some moment.
func (s *abused) giveUp(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	var all sync.WaitGroup
	const clients = 8
	for i := range clients {
		all.Go(func() {
			for n := range n / clients {
				ctx, cancel := context.WithCancel(ctx)
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.secure.url, bytes.NewReader(s.query))
				if err != nil {
					t.Error(err)
				}
				req.Header.Set("Content-Type", "application/timestamp-query")
				time.AfterFunc(time.Duration((n+i)%10)*100*time.Microsecond, cancel)
				resp, err := s.client.Do(req)
				if err == nil {
					io.Copy(io.Discard, resp.Body) // it may be cut
					resp.Body.Close()
					if resp.ProtoMajor != 2 {
						t.Errorf("it is %s", resp.Proto)
					}
				} else if !errors.Is(err, context.Canceled) {
					t.Errorf("a request that was to be given up: %v", err)
				}
				cancel()
			}
		})
	}
	all.Wait()
}
