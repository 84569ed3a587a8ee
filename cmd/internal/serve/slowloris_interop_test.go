//go:build interop && unix

package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// slowlorisEnv makes this test binary the attacker: it has file descriptors and
// a garbage collector of its own.
const slowlorisEnv = "FENCEPOST_TEST_SLOWLORIS"

// attackOrders are what the attacker is told.
type attackOrders struct {
	Target                 string
	Connections, Addresses int
	Ramp, Pause            time.Duration
}

// TestSlowlorisProcess is the attacker, if it is started as one. It attacks
// until its standard input ends, and says once when it has opened all
// connections.
func TestSlowlorisProcess(t *testing.T) {
	text := os.Getenv(slowlorisEnv)
	if text == "" {
		return
	}
	var orders attackOrders
	if err := json.Unmarshal([]byte(text), &orders); err != nil {
		t.Fatal(err)
	}
	if limit, ok := descriptorLimit(); ok && limit < uint64(orders.Connections+100) {
		t.Fatalf("%d files may be open, and %d connections are wanted: raise ulimit -n", limit, orders.Connections)
	}
	s := slowloris{target: orders.Target, connections: orders.Connections, addresses: orders.Addresses, ramp: orders.Ramp, pause: orders.Pause}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		io.Copy(io.Discard, os.Stdin)
	}()
	go func() {
		for s.opened.Load() < int64(orders.Connections) && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("\nup")
	}()
	s.attack(ctx)
}

// startAttack starts an attacker and waits until it has all its connections.
func startAttack(t *testing.T, orders attackOrders) (stop func()) {
	t.Helper()
	text, err := json.Marshal(orders)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestSlowlorisProcess$")
	cmd.Env = append(os.Environ(), slowlorisEnv+"="+string(text))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	up := false
	for !up && lines.Scan() {
		if up = lines.Text() == "up"; !up && lines.Text() != "" {
			t.Log(lines.Text())
		}
	}
	if !up {
		t.Fatalf("the attacker ended: %v", cmd.Wait())
	}
	return func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the attacker: %v", err)
		}
	}
}

// p99 is the 99th percentile of sorted latencies.
func p99(all []time.Duration) time.Duration { return all[len(all)*99/100] }

// TestRealSlowloris has 10,000 slow connections, and compares the 99th
// percentile of good clients' latency with that just before: it at most doubles,
// in the middle one of several rounds.
func TestRealSlowloris(t *testing.T) {
	const (
		slow   = 10_000
		rounds = 3
		phase  = 4 * time.Second
		ramp   = 4 * time.Second
		pause  = 8 * time.Second
	)
	for _, test := range []struct {
		name        string
		connections int
		addresses   int
	}{
		{"by default, from many addresses", 0, 100},
		{"by default, from one address", 0, 1},
		{"room for all of them", 12_000, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := newServer(t, func(b *bench) { b.config.Log = NewLogger(NewLogWriter(io.Discard), LogConfig{}) })
			if limit, ok := descriptorLimit(); ok && limit < uint64(max(test.connections, DefaultConnections)+200) {
				t.Fatalf("%d files may be open, too few for this test: raise ulimit -n", limit)
			}
			listening := make(chan Addresses, 1)
			s.cfg.Listeners[0].Connections = test.connections
			s.cfg.Listening = func(a Addresses) { listening <- a }
			ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			at := <-listening
			defer func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			}()
			latencies(t, at.Public[0], phase/4) // to warm up
			var ratios []float64
			for range rounds {
				quiet, failed := latencies(t, at.Public[0], phase)
				stop := startAttack(t, attackOrders{Target: strings.TrimPrefix(at.Public[0], "http://"), Connections: slow, Addresses: test.addresses, Ramp: ramp, Pause: pause})
				attacked, failedThen := latencies(t, at.Public[0], phase)
				stats := s.Connections()[0]
				stop()
				if failed+failedThen > 0 {
					t.Errorf("%d requests were not answered without the attack, %d with it", failed, failedThen)
				}
				ratio := float64(p99(attacked)) / float64(p99(quiet))
				ratios = append(ratios, ratio)
				t.Logf("p99 %v, with %d slow connections %v: %.2f times; median %v and %v; %+v", p99(quiet), slow, p99(attacked), ratio,
					quiet[len(quiet)/2], attacked[len(attacked)/2], stats)
			}
			slices.Sort(ratios)
			if median := ratios[rounds/2]; median > 2 {
				t.Errorf("good clients' p99 is %.2f times that without slow connections, want at most 2", median)
			}
		})
	}
}
