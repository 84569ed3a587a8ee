package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds one command. Building every target from nothing takes half an hour on a busy machine.
const patience = time.Hour

// A command is run in a folder with variables added to its environment.
type command struct {
	dir string
	env []string
}

// run runs a command to its end, whatever that is, and returns its exit status and what it printed.
func (c command) run(t *testing.T, argv ...string) (int, string) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), c.env...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// accept runs a command that has to succeed, and returns what it printed.
func (c command) accept(t *testing.T, argv ...string) string {
	t.Helper()
	code, out := c.run(t, argv...)
	if code != 0 {
		t.Fatalf("%s: exit status %d, want 0\n%s", strings.Join(argv, " "), code, out)
	}
	return out
}

// refuse runs a command that has to fail and to print the text: one that fails for another reason has not
// noticed what is wrong.
func (c command) refuse(t *testing.T, text string, argv ...string) {
	t.Helper()
	code, out := c.run(t, argv...)
	if code <= 0 || !strings.Contains(out, text) {
		t.Errorf("%s: exit status %d, want another than 0 and %q in\n%s", strings.Join(argv, " "), code, text, out)
	}
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func abs(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// authority runs a server with keys of its own until the end of the test, and returns its URL and its chain.
func authority(t *testing.T, fencepost string) (url, chain string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tsa")
	command{}.accept(t, fencepost, "serve", "--data-dir", dir, "--init", "--check-config")
	// Nothing disciplines the clock of a machine that tests run on, and the kernel says so.
	config := filepath.Join(dir, "fencepost.yaml")
	text := string(read(t, config))
	if !strings.Contains(text, "{source: kernel}") {
		t.Fatalf("the clock of %s is not the kernel's:\n%s", config, text)
	}
	write(t, config, []byte(strings.Replace(text, "{source: kernel}", "{source: system, bound: 500ms}", 1)))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	cmd := exec.Command(fencepost, "serve", "--data-dir", dir, "--listen", address, "--admin", "off")
	cmd.Stdout, cmd.Stderr = &printed, &printed
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Errorf("the authority: %v\n%s", err, printed.String())
		}
	})
	url = "http://" + address
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := ready(url + "/readyz")
		if err == nil {
			return url, filepath.Join(dir, "tsa-chain.pem")
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func ready(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
