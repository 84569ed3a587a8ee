package authority_test

import (
	"crypto/x509"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// TestFIPS issues in the modes of FIPS 140-3, which are chosen where a process
// starts.
func TestFIPS(t *testing.T) {
	for _, mode := range []string{"on", "only"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOldRoot$")
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
		}
	}
}

// TestOldRoot has a root whose own signature is SHA-1, which proves nothing and
// does no harm.
func TestOldRoot(t *testing.T) {
	for _, kind := range []pkitest.KeyType{pkitest.P256, pkitest.P384, pkitest.P521, pkitest.Ed25519, pkitest.RSA2048} {
		old := pkitest.TSA(t, pkitest.Options{Key: kind, Root: func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }})
		_, out := newAuthority(t, config(t, old)).Respond(t.Context(), tsptest.RequestDER())
		if !out.Granted() {
			t.Errorf("%s: %v", kind, out.Rejection)
		}
	}
}
