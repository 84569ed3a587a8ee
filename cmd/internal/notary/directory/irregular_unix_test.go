//go:build unix

package directory

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// TestImportIrregular: a policy does not disappear into a device or a pipe and
// be said to be in force; a link to a file is no more than a name.
func TestImportIrregular(t *testing.T) {
	pipe := func(t *testing.T, path string) {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.Symlink(to, path); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name string
		make func(t *testing.T, path string)
		want Reason // "" for one that is replaced
		says string
	}{
		{"a pipe", pipe, ReasonIrregular, "is a pipe"},
		{"a link to a device", link("/dev/null"), ReasonIrregular, "is a symbolic link"},
		{"a link to a folder", link("."), ReasonIrregular, "is a symbolic link"},
		{"a link to a file", link("other.json"), "", ""},
		{"a link to nothing", link("nothing"), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := put(t, map[string]string{"other.json": "other"})
			path := filepath.Join(d.Path, ImagePolicyName)
			test.make(t, path)
			_, err := d.ImportImagePolicy([]byte("new"), cli.Replace)
			if reasonOf(err) != test.want || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v", err)
			}
			if _, data, err := d.ImagePolicy(); (err == nil && string(data) == "new") != (test.want == "") {
				t.Errorf("in force is %q, %v", data, err)
			}
			if other, err := os.ReadFile(filepath.Join(d.Path, "other.json")); string(other) != "other" {
				t.Errorf("through the link was written %q, %v", other, err)
			}
		})
	}
}
