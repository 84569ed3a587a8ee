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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/serve"
)

// syncBuffer is a buffer that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestWatch replaces key and chain as Kubernetes does, by a symbolic link, and
// sends no signal. The new chain is announced before it is used.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Rename(initialise(t), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to string) {
		t.Helper()
		next := filepath.Join(dir, "next")
		if err := os.Symlink(to, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	config := filepath.Join(dir, "fencepost.yaml")
	const text = "watch: 20ms\ntsa: {key: 'file:data/tsa.key', chain: data/tsa-chain.pem, policy: 1.2.3, announce: 4s, history: history, clock: {source: system, bound: 100ms}}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	oldChain, newChain := read(t, filepath.Join(dir, "one/tsa-chain.pem")), read(t, filepath.Join(dir, "two/tsa-chain.pem"))

	ctx, stop := context.WithCancel(t.Context())
	stdout, w := io.Pipe()
	log := new(syncBuffer)
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, &cli.Env{Stdout: w, Stderr: log}, "--json", "--config", config, "--listen", "127.0.0.1:0", "--admin", "off")
		w.Close()
	}()
	defer func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("exit status %d\n%s", code, log)
		}
	}()
	var at struct{ Public []string }
	if err := json.NewDecoder(stdout).Decode(&at); err != nil || len(at.Public) != 1 {
		t.Fatalf("%+v, %v", at, err)
	}
	get := func(path string) string {
		t.Helper()
		resp, err := http.Get(at.Public[0] + path)
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
	wait := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not happen\n%s", what, log)
			}
		}
	}
	if get(serve.PathCertChain) != oldChain {
		t.Fatal("the first chain is not published")
	}
	link("two")
	wait("the announcement", func() bool { return strings.Contains(get(serve.PathCertChains), `"announced"`) })
	if get(serve.PathCertChain) != oldChain {
		t.Error("the new chain is used before it was announced for four seconds")
	}
	wait("the change", func() bool { return get(serve.PathCertChain) == newChain })
	if chains := get(serve.PathCertChains); !strings.Contains(chains, `"past"`) || strings.Contains(chains, `"announced"`) {
		t.Errorf("afterwards: %s", chains)
	}

	// A mistake in the configuration is refused, and mended without a signal.
	if err := os.WriteFile(config, []byte(strings.Replace(text, "announce", "anounce", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	wait("the refusal", func() bool { return strings.Contains(log.String(), `"reload failed, all stays as it was"`) })
	if get(serve.PathCertChain) != newChain {
		t.Error("a bad configuration changed the chain")
	}
	if err := os.WriteFile(config, []byte(strings.Replace(text, "announce: 4s", "announce: 0s", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	link("one")
	wait("the change back", func() bool { return get(serve.PathCertChain) == oldChain })
	if entries, err := os.ReadDir(filepath.Join(dir, "history")); err != nil || len(entries) != 2 {
		t.Errorf("history: %v, %v", entries, err)
	}
}
