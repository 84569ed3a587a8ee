//go:build unix

package truststore_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

// TestPipe: a pipe in a store is refused and not waited for.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "truststore", "x509", "ca", "test")
	if err := os.MkdirAll(store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(store, "a.crt"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := truststore.Open(dir, nil)
	if _, err := s.Certificates(truststore.CA, "test"); reason(err) != truststore.ReasonIrregular || !strings.Contains(err.Error(), "it is a pipe") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Delete(truststore.CA, "test", "a.crt"); err != nil {
		t.Error(err)
	}
}
