package peerserver_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// connect opens a connection to a server, over TLS if the URL says so.
func connect(t *testing.T, url string, client *http.Client) net.Conn {
	t.Helper()
	scheme, address, _ := strings.Cut(url, "://")
	var conn net.Conn
	var err error
	if scheme == "https" {
		conn, err = tls.Dial("tcp", address, client.Transport.(*http.Transport).TLSClientConfig)
	} else {
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestLimits has the flags do what they are for, those of https too.
func TestLimits(t *testing.T) {
	cert, key, client := tlsFiles(t)
	const whole = "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
	const half = "POST /api/v1/timestamp HTTP/1.1\r\nHost: x\r\nContent-Type: application/timestamp-query\r\nContent-Length: 100\r\n\r\nx"
	for _, test := range []struct {
		name, send string
		args       []string
		tlsArgs    []string
		want       string // before the server ends the connection
	}{
		{"read timeout", half, []string{"--read-timeout", "200ms"}, []string{"--tls-read-timeout", "200ms"}, "HTTP/1.1 408 "},
		{"cleanup timeout", whole, []string{"--cleanup-timeout", "200ms"}, []string{"--cleanup-timeout", "200ms"}, "HTTP/1.1 200 "},
		{"header", "GET /ping HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 10_000) + "\r\n\r\n", []string{"--max-header-size", "4000"}, []string{"--max-header-size", "4kB"}, "HTTP/1.1 431 "},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(test.name+" "+scheme, func(t *testing.T) {
				t.Parallel()
				args := test.args
				if scheme == "https" {
					args = append([]string{"--scheme", "https", "--tls-host", "127.0.0.1", "--tls-certificate", cert, "--tls-key", key}, test.tlsArgs...)
				}
				r := start(t, nil, quiet(args...)...)
				conn := connect(t, r.urls[0], client)
				if _, err := io.WriteString(conn, test.send); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(conn)
				if !strings.HasPrefix(string(got), test.want) || err != nil && !strings.Contains(err.Error(), "reset") {
					t.Errorf("got %.60q, %v; want %q, and the end", got, err, test.want)
				}
			})
		}
	}
}

// TestListenLimit: one connection more than there may be is served, and the one
// that waits ends.
func TestListenLimit(t *testing.T) {
	cert, key, client := tlsFiles(t)
	r := start(t, nil, quiet("--scheme", "http,https", "--listen-limit", "2", "--tls-listen-limit", "1",
		"--tls-host", "127.0.0.1", "--tls-certificate", cert, "--tls-key", key)...)
	for i, limit := range []int{2, 1} {
		var open []net.Conn
		for range limit + 1 {
			conn := connect(t, r.urls[i], client)
			if _, err := io.WriteString(conn, "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%s: connection %d: %v, %v", r.urls[i], len(open)+1, resp, err)
			}
			resp.Body.Close()
			open = append(open, conn)
		}
		// Which of the first ones has waited longest is known when the server
		// has seen the end of both answers, which on a busy machine is in any
		// order.
		var ended []int
		for deadline := time.Now().Add(10 * time.Second); len(ended) == 0 && time.Now().Before(deadline); {
			ended = nil
			for n, conn := range open {
				if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					ended = append(ended, n)
				}
			}
		}
		if len(ended) != 1 || ended[0] == limit {
			t.Errorf("%s: of %d connections, numbers %v ended, want one of the first %d", r.urls[i], limit+1, ended, limit)
		}
	}
}
