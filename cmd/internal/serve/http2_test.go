package serve

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// A rawHTTP2 is a client of HTTP/2 that sends what no good one would.
type rawHTTP2 struct {
	*http2.Framer
	conn   *tls.Conn
	w      *bufio.Writer
	header bytes.Buffer
	enc    *hpack.Encoder
	next   uint32 // stream
}

func dialHTTP2(t *testing.T, url string, conf *tls.Config) *rawHTTP2 {
	t.Helper()
	conf = conf.Clone()
	conf.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c := &rawHTTP2{conn: conn, w: bufio.NewWriterSize(conn, 16<<10), next: 1}
	c.Framer = http2.NewFramer(c.w, conn)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.AllowIllegalWrites = true
	c.enc = hpack.NewEncoder(&c.header)
	if err := errors.Join(writeString(c.w, http2.ClientPreface), c.WriteSettings(), c.w.Flush()); err != nil {
		t.Fatal(err)
	}
	return c
}

func writeString(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// open begins a request for a timestamp and returns its stream.
func (c *rawHTTP2) open(endHeaders bool) (uint32, error) {
	c.header.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "tsa"}, {":path", PathTimestamp}, {"content-type", tsphttp.TypeQuery}} {
		if err := c.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return 0, err
		}
	}
	stream := c.next
	c.next += 2
	return stream, c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.header.Bytes(), EndHeaders: endHeaders})
}

// statuses reads until n streams have been answered, or the connection ends.
func (c *rawHTTP2) statuses(n int) (map[uint32]string, error) {
	got := make(map[uint32]string)
	for len(got) < n {
		f, err := c.ReadFrame()
		if err != nil {
			return got, err
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			got[f.StreamID] = f.PseudoValue("status")
		case *http2.GoAwayFrame:
			return got, errors.New(f.ErrCode.String())
		}
	}
	return got, nil
}

// finish waits until the server has seen all that was sent, or ends the
// connection, for which it gives the reason.
func (c *rawHTTP2) finish() error {
	last := [8]byte{'t', 'h', 'e', ' ', 'e', 'n', 'd', '.'}
	sent := make(chan error, 1)
	go func() { sent <- errors.Join(c.WritePing(false, last), c.w.Flush()) }()
	defer func() { <-sent }()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			c.conn.Close()
			return err
		}
		switch f := f.(type) {
		case *http2.PingFrame:
			if f.IsAck() && f.Data == last {
				return nil
			}
		case *http2.GoAwayFrame:
			c.conn.Close()
			return errors.New(f.ErrCode.String())
		}
	}
}

// A gauge keeps the greatest number of goroutines, and of bytes that stay in
// use, while something is done.
type gauge struct {
	goroutines int
	heap       uint64
}

func measure(f func()) (grown gauge) {
	before := collected()
	goroutines := runtime.NumGoroutine()
	stop := make(chan struct{})
	every := func(wait time.Duration, sample func()) func() {
		return func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(wait):
					sample()
				}
			}
		}
	}
	var samplers sync.WaitGroup
	samplers.Go(every(2*time.Millisecond, func() {
		grown.goroutines = max(grown.goroutines, runtime.NumGoroutine()-goroutines)
	}))
	samplers.Go(every(10*time.Millisecond, func() {
		// What is allocated while the collector marks is in use until it marks
		// again, and on a machine that is taken it marks for long.
		if now := min(collected(), collected()); now > before {
			grown.heap = max(grown.heap, now-before)
		}
	}))
	f()
	close(stop)
	samplers.Wait()
	return grown
}

// collected is how many bytes are in use, without the garbage.
func collected() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestHTTP2Floods sends what has brought down servers of HTTP/2: each time, the
// server stays small and answers others.
func TestHTTP2Floods(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	serverTLS, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) {
		b.config.Listeners[0].TLS = serverTLS
		b.config.Log = nil
	})
	clientTLS := &tls.Config{RootCAs: pool(t, files.Certificate)}
	good := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: clientTLS.Clone(), ForceAttemptHTTP2: true}}
	defer good.CloseIdleConnections()
	stamp := func() error {
		resp, err := good.Post(at.Public[0]+PathTimestamp, tsphttp.TypeQuery, query())
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		if err == nil && resp.StatusCode != 200 {
			err = errors.New(resp.Status)
		}
		return err
	}
	const (
		floods = 10_000
		unread = 200 * time.Millisecond // for so long nobody takes the server's answers
	)
	body := tsptest.RequestDER()
	for _, test := range []struct {
		name  string
		flood func(c *rawHTTP2) error // until the server has had enough
		must  bool                    // have had enough
		bytes int                     // that it may take before
	}{
		{"rapid reset", func(c *rawHTTP2) error {
			for range floods {
				stream, err := c.open(true)
				if err := errors.Join(err, c.WriteData(stream, true, body), c.WriteRSTStream(stream, http2.ErrCodeCancel)); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
		{"rapid reset of half bodies", func(c *rawHTTP2) error {
			for range floods {
				stream, err := c.open(true)
				if err := errors.Join(err, c.WriteData(stream, false, body[:10]), c.WriteRSTStream(stream, http2.ErrCodeCancel)); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
		{"made you reset", func(c *rawHTTP2) error { // the server resets what breaks the rules of a stream
			for range floods {
				stream, err := c.open(true)
				if err := errors.Join(err, c.WriteWindowUpdate(stream, 1<<31-1), c.WriteWindowUpdate(stream, 1<<31-1)); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
		{"streams without end", func(c *rawHTTP2) error {
			for range floods {
				if _, err := c.open(true); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
		{"CONTINUATION", func(c *rawHTTP2) error {
			stream, err := c.open(false)
			c.header.Reset()
			for c.header.Len() < 16<<10-200 {
				err = errors.Join(err, c.enc.WriteField(hpack.HeaderField{Name: "x-" + strconv.Itoa(c.header.Len()), Value: strings.Repeat("v", 100), Sensitive: true}))
			}
			for range floods {
				if err = errors.Join(err, c.WriteContinuation(stream, false, c.header.Bytes())); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, true, 8 << 20},
		{"empty CONTINUATION", func(c *rawHTTP2) error {
			stream, err := c.open(false)
			for range 100 * floods {
				if err = errors.Join(err, c.WriteContinuation(stream, false, nil)); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
		{"SETTINGS", func(c *rawHTTP2) error {
			for i := range 20 * floods {
				if err := c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)}); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
		{"PING", func(c *rawHTTP2) error {
			for i := range 20 * floods {
				if err := c.WritePing(false, [8]byte{byte(i), byte(i >> 8)}); err != nil {
					return err
				}
			}
			return c.w.Flush()
		}, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := stamp(); err != nil {
				t.Fatal(err)
			}
			c := dialHTTP2(t, at.Public[0], clientTLS)
			counted := &counter{w: c.conn}
			c.w.Reset(counted)
			grown := measure(func() {
				done := make(chan error, 1)
				go func() {
					if err := test.flood(c); err != nil {
						done <- err
						return
					}
					time.Sleep(unread)
					done <- c.finish()
				}()
				for {
					if err := stamp(); err != nil {
						t.Errorf("another client: %v", err)
					}
					select {
					case err := <-done:
						if test.must && err == nil {
							t.Errorf("the server took all of %d bytes", counted.n)
						}
						t.Logf("sent %d bytes, %v", counted.n, err)
						return
					default:
					}
				}
			})
			// The good client has some too, and each that is at its end.
			if limit := 2*DefaultStreams + 50; grown.goroutines > limit {
				t.Errorf("%d more goroutines, want at most %d", grown.goroutines, limit)
			}
			if limit := uint64(32 << 20); grown.heap > limit {
				t.Errorf("%d more bytes in use, want at most %d", grown.heap, limit)
			}
			if test.bytes > 0 && counted.n > test.bytes {
				t.Errorf("the server took %d bytes, want at most %d", counted.n, test.bytes)
			}
			if err := stamp(); err != nil {
				t.Errorf("another client afterwards: %v", err)
			}
			c.conn.Close()
		})
	}
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += n
	return n, err
}

// TestUnfinishedStreams: one connection of HTTP/2 cannot have more bodies on
// their way than there may be connections, and keeps nobody else from having
// one.
func TestUnfinishedStreams(t *testing.T) {
	files, _ := identityFiles(t, t.TempDir(), "server")
	serverTLS, err := LoadTLS(files)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := start(t, func(b *bench) {
		b.config.Listeners[0].TLS, b.config.Listeners[0].Connections, b.config.Listeners[0].PerAddress = serverTLS, 3, -1
	})
	conf := &tls.Config{RootCAs: pool(t, files.Certificate)}
	greedy := dialHTTP2(t, at.Public[0], conf)
	var streams []uint32
	for range 5 {
		stream, err := greedy.open(true)
		if err := errors.Join(err, greedy.WriteData(stream, false, tsptest.RequestDER()[:10]), greedy.w.Flush()); err != nil {
			t.Fatal(err)
		}
		streams = append(streams, stream)
	}
	got, err := greedy.statuses(2)
	if err != nil || len(got) != 2 {
		t.Fatalf("answers %v, %v", got, err)
	}
	for stream, status := range got {
		if status != "503" {
			t.Errorf("stream %d: status %s", stream, status)
		}
	}

	modest := dialHTTP2(t, at.Public[0], conf)
	stream, err := modest.open(true)
	if err := errors.Join(err, modest.WriteData(stream, false, tsptest.RequestDER()[:10]), modest.w.Flush()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if err := errors.Join(modest.WriteData(stream, true, tsptest.RequestDER()[10:]), modest.w.Flush()); err != nil {
		t.Fatal(err)
	}
	if got, err := modest.statuses(1); err != nil || got[stream] != "200" {
		t.Errorf("another connection: %v, %v", got, err)
	}
	// Those that were admitted are answered when they are complete.
	for _, stream := range streams {
		if got[stream] == "" {
			if err := errors.Join(greedy.WriteData(stream, true, tsptest.RequestDER()[10:]), greedy.w.Flush()); err != nil {
				t.Fatal(err)
			}
		}
	}
	rest, err := greedy.statuses(3)
	for stream, status := range rest {
		if status != "200" {
			t.Errorf("stream %d: status %s", stream, status)
		}
	}
	if err != nil || len(rest) != 3 {
		t.Errorf("answers %v, %v", rest, err)
	}
}
