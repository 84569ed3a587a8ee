package truststore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki"
)

// TestCreate: where there are no links, nothing is overwritten either.
func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.crt")
	if err := create(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := create(path, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "first" {
		t.Errorf("the file is %q, %v", data, err)
	}
	if err := create(filepath.Join(path, "b.crt"), nil); err == nil || errors.Is(err, fs.ErrExist) {
		t.Errorf("below a file: %v", err)
	}
}

// TestLimits: a store and its files are bounded before they are read.
func TestLimits(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir, nil)
	for i := range maxFiles + 1 {
		path := filepath.Join(s.path(CA, "many"), strings.Repeat("x", i%200+1)+string(rune('a'+i/200)))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	large := filepath.Join(s.path(CA, "large"), "a.crt")
	if err := os.MkdirAll(filepath.Dir(large), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, pki.MaxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Reason{"many": ReasonTooLarge, "large": ReasonUnreadable} {
		var e *Error
		if _, err := s.Certificates(CA, name); !errors.As(err, &e) || e.Reason != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	var e *Error
	if _, err := s.Add(TSA, "new", large); !errors.As(err, &e) || e.Reason != ReasonUnreadable || !strings.Contains(err.Error(), "want at most") {
		t.Errorf("add: %v", err)
	}
}
