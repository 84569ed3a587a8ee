package pki_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestFIPS runs what reads hostile certificates in the modes of FIPS 140-3,
// which are chosen where a process starts: crypto/x509 panics with fips140=only
// where it is asked to verify SHA-1. (Keys of 1024 bits cannot even be checked
// to be too short there, and the findings about them are others.)
func TestFIPS(t *testing.T) {
	const tests = "TestParseChain|TestCheckHostile|TestCheckAgreesWithX509|TestCheckFindings|TestRules|TestCreateChain"
	for _, mode := range []string{"on", "only"} {
		cmd := exec.Command(os.Args[0], "-test.run=^("+tests+")$", "-test.skip=weak_key")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
		}
	}
}
