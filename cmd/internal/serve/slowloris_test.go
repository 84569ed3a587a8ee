package serve

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// A slowloris keeps many connections open and does as little as it can on each
// of them. Those that the server closes it opens again.
type slowloris struct {
	target      string // host:port
	connections int
	addresses   int           // that they come from, 127.1.0.1 and so on
	ramp        time.Duration // in which they are opened first
	pause       time.Duration // until a connection that was closed is opened again, on average

	open, opened atomic.Int64
}

// What each of them sends: nothing, half a header, half a body, requests whose
// answers it does not read, and one request only.
var slowWays = []string{
	"",
	"POST /api/v1/timestamp HTTP/1.1\r\nHost: tsa\r\n",
	"POST /api/v1/timestamp HTTP/1.1\r\nHost: tsa\r\nContent-Type: application/timestamp-query\r\nContent-Length: 100\r\n\r\n0",
	strings.Repeat("GET /api/v1/timestamp/certchains HTTP/1.1\r\nHost: tsa\r\n\r\n", 3),
	"GET /ping HTTP/1.1\r\nHost: tsa\r\n\r\n",
}

// attack goes on until ctx ends.
func (s *slowloris) attack(ctx context.Context) {
	var all sync.WaitGroup
	for i := range s.connections {
		all.Go(func() {
			wait := s.ramp * time.Duration(i) / time.Duration(s.connections)
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(wait):
				}
				s.one(ctx, i)
				wait = s.pause/2 + rand.N(s.pause)
			}
		})
	}
	all.Wait()
}

// one holds one connection for as long as the server lets it.
func (s *slowloris) one(ctx context.Context, i int) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i%s.addresses/250), byte(1+i%s.addresses%250))}}
	conn, err := d.DialContext(ctx, "tcp", s.target)
	if err != nil {
		return
	}
	defer conn.Close()
	s.opened.Add(1)
	s.open.Add(1)
	defer s.open.Add(-1)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	way := i % len(slowWays)
	if _, err := io.WriteString(conn, slowWays[way]); err != nil {
		return
	}
	if way == 3 {
		if err := conn.(*net.TCPConn).SetReadBuffer(1024); err != nil {
			return
		}
		// What is not read cannot say that the server has closed, so it is tried
		// after a while.
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * s.pause):
		}
	}
	io.Copy(io.Discard, conn)
}

// latencies are those of requests for timestamps by good clients for a while,
// sorted, half of them over a connection of their own each, and how many were
// not answered.
func latencies(t testing.TB, url string, d time.Duration) (all []time.Duration, failed int) {
	t.Helper()
	const clients = 4
	var mu sync.Mutex
	var group sync.WaitGroup
	end := time.Now().Add(d)
	for i := range clients {
		group.Go(func() {
			client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
			defer client.CloseIdleConnections()
			for start := time.Now(); start.Before(end); start = time.Now() {
				err := stampOver(client, url)
				took := time.Since(start)
				mu.Lock()
				if all = append(all, took); err != nil {
					failed++
					t.Logf("a good client: %v", err)
				}
				mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	group.Wait()
	slices.Sort(all)
	return all, failed
}

func stampOver(client *http.Client, url string) error {
	resp, err := client.Post(url+PathTimestamp, tsphttp.TypeQuery, query())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || len(body) < 100) {
		err = fmt.Errorf("%s, %d bytes", resp.Status, len(body))
	}
	return err
}

// TestSlowloris has three times as many slow connections as there are places.
// Every good client is answered.
func TestSlowloris(t *testing.T) {
	at, b := start(t, func(b *bench) {
		b.config.Listeners[0].Connections = 100
	})
	attacker := slowloris{target: strings.TrimPrefix(at.Public[0], "http://"), connections: 300, addresses: 20, ramp: 200 * time.Millisecond, pause: time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	var attack sync.WaitGroup
	attack.Go(func() { attacker.attack(ctx) })
	defer attack.Wait()
	defer cancel()
	for attacker.opened.Load() < 400 { // and so at least three hundred were thrown out
		time.Sleep(time.Millisecond)
	}
	all, failed := latencies(t, at.Public[0], time.Second)
	if failed > 0 || len(all) == 0 {
		t.Errorf("%d of %d requests were not answered", failed, len(all))
	}
	if n := len(records(t, b.log, "all connections are taken, the longest waiting ones are closed")); n != 1 {
		t.Errorf("%d warnings", n)
	}
}
