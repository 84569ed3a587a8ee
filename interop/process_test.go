package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
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

// startTimeout bounds the start of a server; the slowest of them need a second on an idle machine.
const startTimeout = 30 * time.Second

// A tool runs commands in one directory, with one environment.
type tool struct {
	dir string
	env []string // added to that of the test
}

// scratch returns a tool with an empty directory that is also its HOME, so that no program reads or leaves
// anything in the user's own.
func scratch(t *testing.T) *tool {
	t.Helper()
	dir := t.TempDir()
	return &tool{dir: dir, env: []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "LC_ALL=C", "TZ=UTC"}}
}

// path is the path of a file in the tool's directory.
func (w *tool) path(name string) string { return filepath.Join(w.dir, name) }

func (w *tool) write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return w.path(name)
}

func (w *tool) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(w.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A result is what a command left.
type result struct {
	argv           []string
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("%s\nexit status %d\nstdout: %s\nstderr: %s", strings.Join(r.argv, " "), r.code, r.stdout, r.stderr)
}

// run runs a command to its end, whatever that is.
func (w *tool) run(t *testing.T, argv ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), w.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	return result{argv: argv, code: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String()}
}

// accept runs a command that has to succeed and to print every one of the texts, on either stream.
func (w *tool) accept(t *testing.T, want []string, argv ...string) result {
	t.Helper()
	r := w.run(t, argv...)
	if r.code != 0 {
		t.Fatalf("want success, got: %v", r)
	}
	expect(t, r, want)
	return r
}

// refuse runs a command that has to fail, and to print every one of the texts: a verifier that fails for
// another reason than the tampering has not noticed it.
func (w *tool) refuse(t *testing.T, want []string, argv ...string) result {
	t.Helper()
	r := w.run(t, argv...)
	if r.code <= 0 {
		t.Fatalf("want a refusal, got: %v", r)
	}
	if len(want) == 0 {
		t.Fatal("a refusal needs a text to be told by")
	}
	expect(t, r, want)
	return r
}

func expect(t *testing.T, r result, want []string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(r.stdout, text) && !strings.Contains(r.stderr, text) {
			t.Fatalf("want %q in the output of: %v", text, r)
		}
	}
}

// A recorder keeps what a server prints.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// serve starts a server, waits until ready answers 200 to a GET, and ends it with the test. What it printed
// is shown if the test fails.
func (w *tool) serve(t *testing.T, ready string, argv ...string) {
	t.Helper()
	w.background(t, ready, argv...)
}

// background is serve, and returns what the server prints and how to end it sooner.
func (w *tool) background(t *testing.T, ready string, argv ...string) (log *recorder, stop func()) {
	t.Helper()
	p := w.start(t, ready, argv...)
	return p.log, p.stop
}

// A process is a server that was started.
type process struct {
	log   *recorder // what it prints
	pid   int
	ended chan struct{} // closed when it has
	stop  func()        // ends it in order
	kill  func()        // ends it at once
}

// start is serve, and returns the process.
func (w *tool) start(t *testing.T, ready string, argv ...string) *process {
	t.Helper()
	p := &process{log: new(recorder), ended: make(chan struct{})}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = w.dir
	cmd.Env = append(os.Environ(), w.env...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	var status error
	go func() {
		status = cmd.Wait()
		close(p.ended)
	}()
	p.kill = func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
		<-p.ended
	}
	p.stop = sync.OnceFunc(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err == nil {
			select {
			case <-p.ended:
			case <-time.After(10 * time.Second):
				t.Errorf("%s does not end on SIGTERM", argv[0])
				p.kill()
			}
		}
	})
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s", strings.Join(argv, " "), p.log.String())
		}
	})
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v", strings.Join(argv, " "), status)
		default:
		}
		if resp, err := http.Get(ready); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return p
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer at %s", strings.Join(argv, " "), ready)
		}
	}
}

// freePort returns a TCP port of the loopback that nobody listens on. In a namespace of our own nobody
// else takes it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// get fetches a page that has to be there.
func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s", url, resp.Status, body)
	}
	return body
}

// flip returns data with one bit changed, n bytes before its end. The value of the signature is what ends
// a token without unsigned attributes, so that n = 10 breaks just the signature.
func flip(data []byte, n int) []byte {
	out := bytes.Clone(data)
	out[len(out)-n] ^= 1
	return out
}
