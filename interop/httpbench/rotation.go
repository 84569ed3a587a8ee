//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// wantRotation is how much longer the 99th percentile may be in a run in which keys are replaced.
const wantRotation = 2.0

// rotations is how often the key is replaced in one run.
const rotations = 4

// identities makes two keys with chains for the server to change between.
func identities(ctx context.Context, dir string) error {
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", filepath.Join(dir, "fencepost"), "./cmd/fencepost")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	for _, name := range []string{"one", "two"} {
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "fencepost"), "cert", "create", "--out", filepath.Join(dir, name))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

// rotate measures the 99th percentile of our server with a key in a file, in runs without and with keys that
// are replaced meanwhile, alternated, and sees that no request was refused.
func rotate(ctx context.Context, runs, seconds int) (ratio float64, err error) {
	var still, moving []time.Duration
	for n := range runs {
		for _, times := range []int{0, rotations} {
			p99, err := rotationRun(ctx, seconds, times)
			if err != nil {
				return 0, err
			}
			fmt.Printf("run %d  %d rotations  p99 %8v\n", n+1, times, p99)
			if times == 0 {
				still = append(still, p99)
			} else {
				moving = append(moving, p99)
			}
		}
	}
	fmt.Printf("medians: p99 %v without and %v with rotations\n", median(still), median(moving))
	return float64(median(moving)) / float64(median(still)), nil
}

func rotationRun(ctx context.Context, seconds, times int) (p99 time.Duration, err error) {
	dir := os.Getenv(envDir)
	request, err := os.ReadFile(filepath.Join(dir, "request.tsq"))
	if err != nil {
		return 0, err
	}
	link := filepath.Join(dir, "identity")
	point := func(to string) error {
		if err := os.Symlink(to, link+".new"); err != nil {
			return err
		}
		return os.Rename(link+".new", link)
	}
	if err := point("one"); err != nil {
		return 0, err
	}
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	admin, err := freePort()
	if err != nil {
		return 0, err
	}
	log, err := os.Create(filepath.Join(dir, "rotation.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "timestamp-server"), "serve", "--host", "127.0.0.1", "--port", port, "--log-type", "prod",
		"--metrics-address", "127.0.0.1:"+admin, "--disable-ntp-monitoring", "--announce", "0", "--timestamp-signer", "file",
		"--file-signer-key-path", filepath.Join(link, "key.pem"), "--certificate-chain-path", filepath.Join(link, "chain.pem"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		if killErr := cmd.Process.Signal(syscall.SIGTERM); killErr != nil {
			err = errors.Join(err, killErr)
		}
		_ = cmd.Wait()
	}()
	s := &server{request: request}
	url := "http://127.0.0.1:" + port + "/api/v1/timestamp"
	if err := s.firstAnswer(url, time.Now().Add(20*time.Second)); err != nil {
		return 0, err
	}
	changed := make(chan error, 1)
	go func() {
		pause := time.Duration(seconds) * time.Second / time.Duration(times+1)
		for i := range times {
			time.Sleep(pause)
			if err := point([]string{"two", "one"}[i%2]); err != nil {
				changed <- err
				return
			}
			if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
				changed <- err
				return
			}
		}
		changed <- nil
	}()
	_, micros, err := load(ctx, url, fewConnections, seconds)
	if err = errors.Join(err, <-changed); err != nil {
		return 0, err
	}
	page, err := page("http://127.0.0.1:" + admin + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "fencepost_requests_refused_total{") && !strings.HasSuffix(line, " 0\n") {
			return 0, fmt.Errorf("requests were refused: %s", line)
		}
	}
	said, err := os.ReadFile(log.Name())
	if err != nil {
		return 0, err
	}
	if n := strings.Count(string(said), "key replaced"); n != times {
		return 0, fmt.Errorf("the key was replaced %d times, not %d", n, times)
	}
	return time.Duration(micros) * time.Microsecond, nil
}

// page fetches a page.
func page(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return string(body), err
}
