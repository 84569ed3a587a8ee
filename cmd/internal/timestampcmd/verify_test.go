package timestampcmd

import (
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// TestVerifySaysWhy: a file that is no timestamp fails with a reason in words,
// not with a name for it alone.
func TestVerifySaysWhy(t *testing.T) {
	scene(t)
	for _, tt := range []struct {
		name string
		file []byte
		says string
	}{
		{"a refusal", tsp.Reject(tsp.TimeNotAvailable, "the clock is out").Marshal(), "the clock is out"},
		{"no timestamp", []byte("<html>"), "hello.tsr"},
	} {
		write(t, "hello.tsr", tt.file)
		got := run(t, "", "verify", "--chain", "chain.pem", "hello")
		if got.code != 1 || !strings.Contains(got.stdout, tt.says) {
			t.Errorf("%s: exit %d, stdout %q, want 1 and %q in it", tt.name, got.code, got.stdout, tt.says)
		}
	}
}
