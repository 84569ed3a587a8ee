package fips_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// inMode runs one test of this binary in a mode: it is chosen where a process
// starts.
func inMode(t *testing.T, mode fips.Mode, test string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140="+string(mode), childVariable+"="+string(mode))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test+" ") {
		t.Errorf("%s with fips140=%s: %v\n%s", test, mode, err, out)
	}
}

// childVariable tells a process started by inMode which mode it should be in.
const childVariable = "FENCEPOST_TEST_FIPS"

func TestCurrent(t *testing.T) {
	if want, ok := os.LookupEnv(childVariable); ok {
		if got := fips.Current(); string(got) != want {
			t.Errorf("the mode is %s, want %s", got, want)
		}
		if m := fips.Module(); m == "" || (want == "off") == strings.Contains(fips.String(), m) {
			t.Errorf("the module is %q, all is %q", m, fips.String())
		}
		return
	}
	for _, m := range fips.Modes() {
		inMode(t, m, "TestCurrent")
	}
}
