//go:build unix

package serve

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A passphrase may come through a pipe, which has one reader.
func TestWatchPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "passphrase")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	looked := make(chan bool)
	go func() {
		fingerprintOf([]string{pipe})
		close(looked)
	}()
	select {
	case <-looked:
	case <-time.After(5 * time.Second):
		t.Error("the watch waits for a writer")
		if f, err := os.OpenFile(pipe, os.O_WRONLY, 0); err == nil {
			f.Close()
		}
	}
}
