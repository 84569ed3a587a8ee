package servecmd

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// TestWriteAll fails at the last file, as on a full disk, and must leave a
// folder in which --init can be given again.
func TestWriteAll(t *testing.T) {
	dir := t.TempDir()
	files := []cli.File{
		{Path: filepath.Join(dir, keyName), Data: []byte("key"), Existing: cli.Keep},
		{Path: filepath.Join(dir, "missing", configName), Data: []byte("config"), Existing: cli.Keep},
	}
	if err := writeAll(files); err == nil {
		t.Fatal("no error")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	if err := writeAll(files[:1]); err != nil {
		t.Error(err)
	}
}
