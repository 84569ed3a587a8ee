package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds what takes seconds on an idle machine.
const patience = 60 * time.Second

// maxShown is how much of what a server printed is shown where a test failed.
const maxShown = 4096

// A result is what a command left.
type result struct {
	argv           []string
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit status %d\nstdout: %s\nstderr: %s", strings.Join(r.argv, " "), r.code, r.stdout, r.stderr)
}

// command runs a command to its end, whatever that is, with more variables in its environment.
func command(t *testing.T, env []string, argv ...string) result {
	t.Helper()
	// It also runs in what cleans up, when the test's own context has ended.
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), 5*patience)
	defer stop()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), append([]string{"LC_ALL=C", "TZ=UTC"}, env...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return result{argv, cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// accept runs a command that has to succeed, and returns what it printed.
func accept(t *testing.T, argv ...string) string {
	t.Helper()
	r := command(t, nil, argv...)
	if r.code != 0 {
		t.Fatalf("want success, got: %v", r)
	}
	return r.stdout
}

// refuse runs a command that has to fail, for the reason that text tells.
func refuse(t *testing.T, text string, argv ...string) {
	t.Helper()
	r := command(t, nil, argv...)
	if r.code <= 0 {
		t.Errorf("want a refusal, got: %v", r)
	} else if !strings.Contains(r.stdout+r.stderr, text) {
		t.Errorf("want %q in the refusal, got: %v", text, r)
	}
}

// read is a file, which must be there.
func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// write makes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// replaced is text with the one occurrence of old changed: a mistake that is planted must not miss.
func replaced(t *testing.T, text, old, with string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q is there %d times", old, n)
	}
	return strings.Replace(text, old, with, 1)
}

// eventually waits until f has no error.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := f()
		switch {
		case err == nil:
			return
		case time.Now().After(deadline):
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// get returns the body of a URL that answers 200.
func get(url string) (string, error) {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", url, res.Status, body)
	}
	return string(body), err
}

// A log is what a server prints.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts a server, waits until ready answers 200, and ends it with the test, or with stop.
func start(t *testing.T, ready string, argv ...string) (printed *log, stop func()) {
	t.Helper()
	printed = new(log)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.Stdout, cmd.Stderr = printed, printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is told by what it printed
		close(ended)
	}()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s does not end on SIGTERM", argv[0])
			_ = cmd.Process.Kill()
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			text := printed.String()
			t.Logf("%s printed at last:\n%s", strings.Join(argv, " "), text[max(0, len(text)-maxShown):])
		}
	})
	eventually(t, func() error {
		select {
		case <-ended:
			t.Fatalf("%s has ended: %s", strings.Join(argv, " "), printed)
		default:
		}
		_, err := get(ready)
		return err
	})
	return printed, stop
}

// stamp has the authority at url stamp something, and verifies what it gave.
func stamp(t *testing.T, url string) {
	t.Helper()
	dir := t.TempDir()
	chain, err := get(url + "/api/v1/timestamp/certchain")
	if err != nil {
		t.Fatal(err)
	}
	file, roots := write(t, dir, "hello.txt", "hello, world\n"), write(t, dir, "chain.pem", chain)
	accept(t, ours("fencepost"), "timestamp", "create", "--tsa", url, "--chain", roots, file)
	accept(t, ours("fencepost"), "timestamp", "verify", "--chain", roots, file)
}
