//go:build linux

// Command httpbench measures our server beside sigstore's timestamp-server over HTTP: requests per second
// and the 99th percentile of the latency with wrk, one thread and eight connections, and memory at idle and
// the time from start to first answer. Both run with logging and metrics on and a P-256 key in memory, and
// answer the same request, made by OpenSSL, with the whole chain in the token where they put it. The runs
// alternate, so that other work on the machine falls on both, and the medians are compared. In the same way our server
// is compared with itself while its key is replaced, and with a record of issue on the disk.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fencepost-tsa/fencepost/interop/internal/netns"
	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// What the comparison has to come to.
const (
	wantRate    = 4.0      // times the peer's requests per second
	wantLatency = 1.0 / 3  // of the peer's 99th percentile
	wantMemory  = 15 << 10 // KiB of anonymous memory at idle
	wantStart   = 50 * time.Millisecond
)

// minToken is less than the size of any token, in bytes, and more than that of a rejection.
const minToken = 500

// envDir tells the process in the namespace where the one outside has put our server and the request.
const envDir = "FENCEPOST_BENCH_DIR"

func main() {
	runs := flag.Int("runs", 5, "how often each server is measured")
	seconds := flag.Int("seconds", 5, "how long one measurement lasts")
	flag.Parse()
	status, err := run(context.Background(), *runs, *seconds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "httpbench:", err)
		status = 1
	}
	os.Exit(status)
}

func run(ctx context.Context, runs, seconds int) (int, error) {
	if !netns.Inside() {
		dir, err := os.MkdirTemp("", "fencepost-bench-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		if err := prepare(ctx, dir); err != nil {
			return 1, err
		}
		return netns.Enter(envDir + "=" + dir)
	}
	if _, err := netns.Enter(); err != nil {
		return 1, err
	}
	return compare(ctx, runs, seconds)
}

func prepare(ctx context.Context, dir string) error {
	if err := peers.Debian(ctx, os.Stderr, peers.Need{Command: "wrk", Package: "wrk"}, peers.Need{Command: "openssl", Package: "openssl"}); err != nil {
		return err
	}
	if err := peers.TimestampServer.Install(ctx, os.Stderr); err != nil {
		return err
	}
	script := `wrk.method = "POST"
wrk.headers["Content-Type"] = "application/timestamp-query"
wrk.body = io.open("` + filepath.Join(dir, "request.tsq") + `", "rb"):read("*a")
done = function(summary, latency, requests)
	local e = summary.errors
	print(string.format("RESULT %f %d %d %d", summary.requests / (summary.duration / 1e6), latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout, summary.bytes / summary.requests))
end
`
	for name, text := range map[string]string{"post.lua": script, "data": "the data\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"go", "build", "-C", "..", "-o", filepath.Join(dir, "timestamp-server"), "./cmd/timestamp-server"},
		{"openssl", "ts", "-query", "-data", filepath.Join(dir, "data"), "-sha256", "-cert", "-out", filepath.Join(dir, "request.tsq")},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
		}
	}
	return identities(ctx, dir)
}

// A server is one side of the comparison. Both take the same flags.
type server struct {
	name    string
	path    string
	rates   []float64       // requests per second
	p99     []time.Duration // of the latency
	starts  []time.Duration // from start to first answer
	memory  []int           // KiB of anonymous memory, idle after the first answer
	request []byte
}

func compare(ctx context.Context, runs, seconds int) (int, error) {
	dir := os.Getenv(envDir)
	request, err := os.ReadFile(filepath.Join(dir, "request.tsq"))
	if err != nil {
		return 1, err
	}
	peer, err := peers.TimestampServer.Path()
	if err != nil {
		return 1, err
	}
	us := &server{name: "fencepost", path: filepath.Join(dir, "timestamp-server"), request: request}
	them := &server{name: "timestamp-server " + peers.TimestampServer.Version, path: peer, request: request}
	for n := range runs {
		for _, s := range []*server{us, them} {
			if err := s.measure(ctx, seconds); err != nil {
				return 1, fmt.Errorf("%s: %w", s.name, err)
			}
			fmt.Printf("run %d  %-26s %8.0f req/s  p99 %8v  start %6v  idle %6d KiB\n", n+1, s.name,
				s.rates[n], s.p99[n], s.starts[n].Round(100*time.Microsecond), s.memory[n])
		}
	}
	rate := median(us.rates) / median(them.rates)
	latency := float64(median(us.p99)) / float64(median(them.p99))
	fmt.Printf("medians: %.0f and %.0f req/s, p99 %v and %v\n", median(us.rates), median(them.rates), median(us.p99), median(them.p99))
	rotation, err := rotate(ctx, runs, seconds)
	if err != nil {
		return 1, fmt.Errorf("rotation: %w", err)
	}
	recorded, err := audit(ctx, runs, seconds)
	if err != nil {
		return 1, fmt.Errorf("record of issue: %w", err)
	}
	ok := true
	for _, line := range []struct {
		met       bool
		what      string
		got, want any
	}{
		{rate >= wantRate, "requests per second, times the peer's", fmt.Sprintf("%.2f", rate), fmt.Sprintf("at least %.2f", wantRate)},
		{latency <= wantLatency, "99th percentile, of the peer's", fmt.Sprintf("%.2f", latency), fmt.Sprintf("at most %.2f", wantLatency)},
		{rotation <= wantRotation, "99th percentile with keys replaced, times", fmt.Sprintf("%.2f", rotation), fmt.Sprintf("at most %.2f", wantRotation)},
		{recorded >= wantAudit, "requests per second with a record of issue, of those without", fmt.Sprintf("%.2f", recorded), fmt.Sprintf("at least %.2f", wantAudit)},
		{median(us.memory) <= wantMemory, "anonymous memory at idle, KiB", median(us.memory), fmt.Sprintf("at most %d", wantMemory)},
		{median(us.starts) <= wantStart, "start to first answer", median(us.starts).Round(time.Millisecond), fmt.Sprintf("at most %v", wantStart)},
	} {
		verdict := "met"
		if !line.met {
			verdict, ok = "NOT MET", false
		}
		fmt.Printf("%-40s %8v  %-16v %s\n", line.what, line.got, line.want, verdict)
	}
	if !ok {
		return 1, nil
	}
	return 0, nil
}

// measure starts the server, measures it and ends it.
func (s *server) measure(ctx context.Context, seconds int) (err error) {
	port, err := freePort()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(os.Getenv(envDir), "log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, s.path, "serve", "--host", "127.0.0.1", "--port", port, "--timestamp-signer", "memory",
		"--disable-ntp-monitoring", "--log-type", "prod")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		if killErr := cmd.Process.Signal(syscall.SIGTERM); killErr != nil {
			err = errors.Join(err, killErr)
		}
		// The status of a server that was told to end says nothing here.
		_ = cmd.Wait()
	}()
	url := "http://127.0.0.1:" + port + "/api/v1/timestamp"
	if err := s.firstAnswer(url, start.Add(20*time.Second)); err != nil {
		return err
	}
	s.starts = append(s.starts, time.Since(start))
	time.Sleep(time.Second)
	memory, err := anonymous(cmd.Process.Pid)
	if err != nil {
		return err
	}
	s.memory = append(s.memory, memory)

	rate, micros, err := load(ctx, url, fewConnections, seconds)
	if err != nil {
		return err
	}
	s.rates = append(s.rates, rate)
	s.p99 = append(s.p99, time.Duration(micros)*time.Microsecond)
	return nil
}

// fewConnections are those of the comparison, all of which have a request under way.
const fewConnections = 8

// load has wrk ask for timestamps over so many connections, and returns the requests per second and the 99th
// percentile of the latency in microseconds. A request that fails is an error.
func load(ctx context.Context, url string, connections, seconds int) (rate float64, micros int, err error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", fmt.Sprintf("-c%d", connections), fmt.Sprintf("-d%ds", seconds),
		"-s", filepath.Join(os.Getenv(envDir), "post.lua"), url).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	_, result, found := strings.Cut(string(out), "RESULT ")
	var failures, size int
	if _, err := fmt.Sscanf(result, "%f %d %d %d", &rate, &micros, &failures, &size); !found || err != nil {
		return 0, 0, fmt.Errorf("wrk printed no result: %s", out)
	}
	// A rejection has status 200 as well, but is far smaller than a token.
	if failures > 0 || size < minToken {
		return 0, 0, fmt.Errorf("%d requests failed, %d bytes an answer\n%s", failures, size, out)
	}
	return rate, micros, nil
}

// firstAnswer asks until a token comes.
func (s *server) firstAnswer(url string, deadline time.Time) error {
	for {
		resp, err := http.Post(url, "application/timestamp-query", bytes.NewReader(s.request))
		if err == nil {
			body, readErr := io.ReadAll(resp.Body)
			resp.Body.Close()
			if readErr != nil {
				return readErr
			}
			if resp.StatusCode != http.StatusOK || len(body) < minToken {
				return fmt.Errorf("%s: %q", resp.Status, body)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// anonymous reads how much memory of a process is no file's, in KiB.
func anonymous(pid int) (int, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "RssAnon:"); found {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, errors.New("no RssAnon in the status of the process")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func median[T int | float64 | time.Duration](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
