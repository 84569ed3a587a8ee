//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// wantAudit is the part of the requests per second that have to be left with a record of issue, with manyConnections
// under way: they share the syncs of the disk.
const (
	wantAudit       = 0.8
	manyConnections = 128
)

// auditConfig is a configuration; %s are the listener and the section audit, if there is one.
const auditConfig = `listen: [%s]
admin: "off"
tsa:
  key: file:one/key.pem
  chain: one/chain.pem
  policy: 1.3.6.1.4.1.57264.2
  clock: {source: system, bound: 500ms}
%s`

// audit measures our server with a key in a file, in runs without and with a record of issue, alternated.
func audit(ctx context.Context, runs, seconds int) (ratio float64, err error) {
	var without, with []float64
	for n := range runs {
		for _, section := range []string{"", "audit: {dir: audit, stamp: ['off']}\n"} {
			rate, p99, err := auditRun(ctx, section, seconds)
			if err != nil {
				return 0, err
			}
			if section == "" {
				without = append(without, rate)
				fmt.Printf("run %d  no record   %8.0f req/s  p99 %8v\n", n+1, rate, p99)
			} else {
				with = append(with, rate)
				fmt.Printf("run %d  a record    %8.0f req/s  p99 %8v\n", n+1, rate, p99)
			}
		}
	}
	fmt.Printf("medians: %.0f req/s without and %.0f with a record of issue\n", median(without), median(with))
	return median(with) / median(without), nil
}

func auditRun(ctx context.Context, section string, seconds int) (rate float64, p99 time.Duration, err error) {
	dir := os.Getenv(envDir)
	request, err := os.ReadFile(filepath.Join(dir, "request.tsq"))
	if err != nil {
		return 0, 0, err
	}
	port, err := freePort()
	if err != nil {
		return 0, 0, err
	}
	config := filepath.Join(dir, "audit.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, auditConfig, "127.0.0.1:"+port, section), 0o600); err != nil {
		return 0, 0, err
	}
	log, err := os.Create(filepath.Join(dir, "audit.log"))
	if err != nil {
		return 0, 0, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "fencepost"), "serve", "--config", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		if killErr := cmd.Process.Signal(syscall.SIGTERM); killErr != nil {
			err = errors.Join(err, killErr)
		}
		_ = cmd.Wait()
		if section != "" && err == nil {
			// The duration that wrk measures is that of the load, some milliseconds more or less.
			err = checkAudit(ctx, dir, 0.9*rate*float64(seconds))
		}
	}()
	url := "http://127.0.0.1:" + port + "/api/v1/timestamp"
	s := &server{request: request}
	if err := s.firstAnswer(url, time.Now().Add(20*time.Second)); err != nil {
		said, _ := os.ReadFile(log.Name())
		return 0, 0, fmt.Errorf("%w\n%s", err, said)
	}
	rate, micros, err := load(ctx, url, manyConnections, seconds)
	return rate, time.Duration(micros) * time.Microsecond, err
}

// checkAudit sees that as many tokens are in the record as were answered at least, and takes it away.
func checkAudit(ctx context.Context, dir string, answered float64) error {
	record := filepath.Join(dir, "audit")
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "fencepost"), "audit", "verify", "--json", record).Output()
	if err != nil {
		return fmt.Errorf("the record: %w\n%s", err, out)
	}
	var report struct {
		Whole  bool
		Tokens float64
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return err
	}
	if !report.Whole || report.Tokens < answered {
		return fmt.Errorf("%.0f answers, and the record: %s", answered, out)
	}
	return os.RemoveAll(record)
}
