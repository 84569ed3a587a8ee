//go:build linux

// Command notationbench measures our verifier of Notary Project signatures beside notation-go, whole commands from
// their start to their end: one signature with a timestamp, and 1,000 of one image in a layout and in a registry.
// None of the 1,000 has the user metadata that is asked for, so that both look at every one, whatever its place in
// the list; notation-go finds those in a layout in a different order each time. The runs alternate, so that other
// work on the machine falls on both, and the medians are compared.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// What the comparison has to come to.
const (
	wantMany  = 2.0                   // times as fast with 1,000 signatures in a layout
	wantStart = 15 * time.Millisecond // of fencepost version
	wantOne   = 10 * time.Millisecond // for one signature, beyond that
)

// many is how many signatures an image has.
const many = 1000

func main() {
	runs := flag.Int("runs", 7, "how often each command is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	met, err := run(ctx, *runs)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "notationbench:", err)
		os.Exit(1)
	}
	if !met {
		os.Exit(1)
	}
}

func run(ctx context.Context, runs int) (bool, error) {
	dir, err := os.MkdirTemp("", "fencepost-bench-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	s, err := newScene(ctx, dir)
	if err != nil {
		return false, err
	}
	defer s.close()
	start := &contest{name: "version", ours: command{argv: []string{s.ours, "version"}}, theirs: command{argv: []string{s.theirs, "help"}, code: 2}}
	one, layout, registry := s.verifying("1 signature in a layout", s.one, 1), s.verifying("1,000 signatures in a layout", s.layout, many), s.verifying("1,000 signatures in a registry", s.registry, many)
	for _, c := range []*contest{start, one, layout, registry} {
		if err := c.measure(ctx, runs); err != nil {
			return false, fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Printf("%-32s fencepost %8v %6d KiB   notation-go 1.3.2 %8v %6d KiB\n", c.name,
			c.ours.median().Round(100*time.Microsecond), c.ours.memory, c.theirs.median().Round(100*time.Microsecond), c.theirs.memory)
	}
	ok := true
	ratio := func(c *contest) float64 { return float64(c.theirs.median()) / float64(c.ours.median()) }
	beyond := one.ours.median() - start.ours.median()
	for _, line := range []struct {
		met       bool
		what      string
		got, want any
	}{
		{ratio(layout) >= wantMany, "1,000 signatures in a layout, times as fast", fmt.Sprintf("%.2f", ratio(layout)), fmt.Sprintf("at least %.2f", wantMany)},
		{ratio(registry) >= wantMany, "1,000 signatures in a registry, times as fast", fmt.Sprintf("%.2f", ratio(registry)), fmt.Sprintf("at least %.2f", wantMany)},
		{start.ours.median() < wantStart, "fencepost version", start.ours.median().Round(100 * time.Microsecond), fmt.Sprintf("less than %v", wantStart)},
		{beyond <= wantOne, "one signature, beyond that", beyond.Round(100 * time.Microsecond), fmt.Sprintf("at most %v", wantOne)},
	} {
		verdict := "met"
		if !line.met {
			verdict, ok = "NOT MET", false
		}
		fmt.Printf("%-46s %8v  %-16v %s\n", line.what, line.got, line.want, verdict)
	}
	return ok, nil
}

// A contest is between two commands that do the same.
type contest struct {
	name         string
	ours, theirs command
}

// A command is one side of it.
type command struct {
	argv   []string
	code   int // exit status that it has to have
	looked int // how many signatures its answer has to have looked at; 0: it is not read
	times  []time.Duration
	memory int64 // the most that was resident, KiB
}

func (c *command) median() time.Duration {
	sorted := slices.Sorted(slices.Values(c.times))
	return sorted[len(sorted)/2]
}

func (c *contest) measure(ctx context.Context, runs int) error {
	for n := range runs + 1 {
		for _, side := range []*command{&c.ours, &c.theirs} {
			if err := side.run(ctx); err != nil {
				return err
			}
			if n == 0 { // what the first run has read is in the memory of the system for all others
				side.times = nil
			}
		}
	}
	return nil
}

func (c *command) run(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	start := time.Now()
	out, err := cmd.Output()
	c.times = append(c.times, time.Since(start))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if got := cmd.ProcessState.ExitCode(); got != c.code {
		return fmt.Errorf("%v: exit status %d, want %d: %s", cmd, got, c.code, exit.Stderr)
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.memory = max(c.memory, usage.Maxrss)
	}
	if c.looked == 0 {
		return nil
	}
	var answer struct{ Signatures []struct{ Checks []struct{} } }
	if err := json.Unmarshal(out, &answer); err != nil {
		return fmt.Errorf("%v: %w", cmd, err)
	}
	if len(answer.Signatures) != c.looked {
		return fmt.Errorf("%v: looked at %d signatures, want %d", cmd, len(answer.Signatures), c.looked)
	}
	return nil
}

// verifying is the verification of an image: of one signature, which is good, or of many, of which none is what is
// asked for.
func (s *scene) verifying(name string, img image, signatures int) *contest {
	c := &contest{name: name}
	c.ours = command{argv: []string{s.ours, "image", "verify", "--json", "--config-dir", s.config, "--max-signatures", fmt.Sprint(many + 1)}, looked: signatures}
	c.theirs = command{argv: []string{s.theirs, "verify", "-config", s.config, "-max-signatures", fmt.Sprint(many + 1)}, looked: signatures}
	if signatures > 1 {
		c.ours.argv, c.ours.code = append(c.ours.argv, "--user-metadata", "number=none"), 1
		c.theirs.argv, c.theirs.code = append(c.theirs.argv, "-metadata", "number=none"), 1
	}
	if img.layout {
		c.ours.argv = append(c.ours.argv, "--oci-layout", "--scope", "local/image")
		c.theirs.argv = append(c.theirs.argv, "-oci-layout", "-scope", "local/image")
	} else {
		c.ours.argv = append(c.ours.argv, "--insecure-registry")
	}
	c.ours.argv, c.theirs.argv = append(c.ours.argv, img.reference), append(c.theirs.argv, img.reference)
	return c
}

// prepare builds the programs.
func (s *scene) prepare(ctx context.Context) error {
	s.ours = s.file("fencepost")
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-o", s.ours, "./cmd/fencepost")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	var err error
	if s.theirs, err = peers.Module(ctx, os.Stderr, "notation", "notation"); err != nil {
		return err
	}
	s.server, err = peers.Module(ctx, os.Stderr, "ociregistry", "ociregistry")
	return err
}
