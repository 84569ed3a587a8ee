package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestManyHeaders has clients send headers of many short lines, but for the end
// of them.
func TestManyHeaders(t *testing.T) {
	p := newPlace(t, Listener{PerAddress: -1})
	small := p.connect("", "GET /ping HTTP/1.1\r\nHost: x\r\n")
	var long strings.Builder
	long.WriteString("GET /ping HTTP/1.1\r\nHost: x\r\n")
	for i := 0; long.Len() < 60<<10; i++ {
		fmt.Fprintf(&long, "x%d:\r\n", i)
	}
	var open []net.Conn
	for range 2 * maxHeads / long.Len() {
		conn := p.connect("", "")
		go io.WriteString(conn, long.String())
		open = append(open, conn)
	}
	p.until("too much", func(s ListenerStats) bool { return s.Evicted > 50 })
	if _, err := io.WriteString(small, "\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := served(small); err != nil {
		t.Errorf("a small request: %v", err)
	}
	l := p.connections
	l.mu.Lock()
	if l.heads > maxHeads+maxHeads/8 {
		t.Errorf("%d bytes of headers are kept", l.heads)
	}
	l.mu.Unlock()
	for _, conn := range open {
		conn.Close()
	}
	p.until("all gone", func(s ListenerStats) bool { return s.Open == 1 })
	time.Sleep(10 * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heads != 0 || l.held != 0 || l.underway != 0 {
		t.Errorf("left over: %d bytes of headers, %d of %d requests", l.heads, l.held, l.underway)
	}
}

// withoutWindow makes a connection of HTTP/2 one that takes no answers.
func (c *rawHTTP2) withoutWindow(t *testing.T) {
	t.Helper()
	if err := errors.Join(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}), c.w.Flush()); err != nil {
		t.Fatal(err)
	}
}

// get asks for a path, with as many cookies of some kilobytes each.
func (c *rawHTTP2) get(path string, cookies int) (uint32, error) {
	c.header.Reset()
	fields := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "tsa"}, {":path", path}}
	for range cookies {
		fields = append(fields, [2]string{"cookie", strings.Repeat("c", 3900)})
	}
	for _, f := range fields {
		if err := c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return 0, err
		}
	}
	stream := c.next
	c.next += 2
	return stream, c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.header.Bytes(), EndHeaders: true, EndStream: true})
}

// TestAbbreviatedHeaders: with HTTP/2 a few bytes are a long header again, and
// who does not take the answers keeps the server from forgetting it. Those who
// have most of that lose their connections, and nobody else does.
func TestAbbreviatedHeaders(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	serverTLS, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) { b.config.Listeners[0].TLS, b.config.Listeners[0].PerAddress = serverTLS, -1 })
	conf := &tls.Config{RootCAs: pool(t, files.Certificate)}
	modest := dialHTTP2(t, at.Public[0], conf)
	if _, err := modest.get(PathPing, 0); err != nil {
		t.Fatal(err)
	}
	if err := modest.w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := modest.statuses(1); err != nil || len(got) != 1 {
		t.Fatalf("at first: %v, %v", got, err)
	}
	const cookies, streams = 15, 100
	closed := make(chan struct{}, 3*maxHeld/(cookies*3900*streams)/2)
	for range cap(closed) {
		c := dialHTTP2(t, at.Public[0], conf)
		c.withoutWindow(t)
		for range streams {
			if _, err := c.get(PathOpenAPI, cookies); err != nil {
				break
			}
		}
		if err := c.w.Flush(); err != nil {
			t.Logf("a greedy connection: %v", err)
		}
		go func() {
			for {
				if _, err := c.ReadFrame(); err != nil {
					closed <- struct{}{}
					return
				}
			}
		}()
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("all of them are kept")
	}
	if _, err := modest.get(PathPing, 0); err != nil {
		t.Fatal(err)
	}
	if err := modest.w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := modest.statuses(1); err != nil || len(got) != 1 {
		t.Errorf("a modest client: %v, %v", got, err)
	}
}

// TestAnswersNotTaken: requests whose answers are not taken count as much as
// those whose bodies do not arrive.
func TestAnswersNotTaken(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	serverTLS, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) {
		b.config.Listeners[0].TLS, b.config.Listeners[0].Connections, b.config.Listeners[0].PerAddress = serverTLS, 3, -1
	})
	c := dialHTTP2(t, at.Public[0], &tls.Config{RootCAs: pool(t, files.Certificate)})
	c.withoutWindow(t)
	for range 5 {
		if _, err := c.get(PathOpenAPI, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := c.statuses(5)
	refused := 0
	for _, status := range got {
		if status == "503" {
			refused++
		}
	}
	if err != nil || refused != 2 {
		t.Errorf("answers %v, %v; want two of 503", got, err)
	}
}
