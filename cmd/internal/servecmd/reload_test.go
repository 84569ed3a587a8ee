//go:build unix

package servecmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
	"github.com/fencepost-tsa/fencepost/cmd/internal/servecmd"
)

// run runs "serve" with args in this process and returns its exit status.
func run(ctx context.Context, env *cli.Env, args ...string) int {
	env.Program = "fencepost"
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(servecmd.New(env))
	return cli.Run(ctx, env, root, append([]string{"serve"}, args...))
}

// initialise makes a data directory with a clock that needs no kernel.
func initialise(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	var stderr bytes.Buffer
	if code := run(t.Context(), &cli.Env{Stderr: &stderr}, "--data-dir", dir, "--init", "--check-config"); code != 0 {
		t.Fatalf("--init: %d, %s", code, &stderr)
	}
	const conf = "tsa: {key: 'file:tsa.key', chain: tsa-chain.pem, policy: 1.2.3, announce: 0s, clock: {source: system, bound: 100ms}}\n"
	if err := os.WriteFile(filepath.Join(dir, "fencepost.yaml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestHangup renews the key of a running server: half of a new identity leaves
// it as it is, a whole one is taken.
func TestHangup(t *testing.T) {
	dir, next := initialise(t), initialise(t)
	oldChain, newChain := read(t, filepath.Join(dir, "tsa-chain.pem")), read(t, filepath.Join(next, "tsa-chain.pem"))

	ctx, stop := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &cli.Env{Stdout: w}, "--json", "--data-dir", dir, "--listen", "127.0.0.1:0", "--admin", "off")
		w.Close()
	}()
	var at struct{ Public []string }
	if err := json.NewDecoder(stdout).Decode(&at); err != nil || len(at.Public) != 1 {
		t.Fatalf("%+v, %v", at, err)
	}
	published := func() string {
		resp, err := http.Get(at.Public[0] + serve.PathCertChain)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	hangup := func() {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	take := func(name string) {
		if err := os.Rename(filepath.Join(next, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	take("tsa-chain.pem")
	hangup()
	time.Sleep(100 * time.Millisecond) // long enough for the fault to show
	if published() != oldChain {
		t.Error("a chain without its key was taken")
	}
	take("tsa.key")
	hangup()
	for i := 0; published() != newChain; i++ {
		if i > 500 {
			t.Fatal("the new key and chain are not taken")
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("exit status %d", code)
	}
}
