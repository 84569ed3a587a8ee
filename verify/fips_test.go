package verify_test

import (
	"crypto/fips140"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// TestFIPS runs what reads hostile tokens, chains and revocation data in the
// modes of FIPS 140-3, which are chosen where a process starts: with
// fips140=only crypto/sha1 panics.
func TestFIPS(t *testing.T) {
	const tests = "TestVariants|TestFurtherCertificates|TestHostileChains|TestOCSP|TestOCSPReasons|TestOCSPIssuers|TestOCSPAnswers|TestEvidence|TestSignerHostile|TestFIPSVersion1"
	for _, mode := range []string{"on", "only"} {
		args := []string{"-test.run=^(" + tests + ")$"}
		if mode == "only" { // what TestFIPSVersion1 is about
			args = append(args, "-test.skip=TestFurtherCertificates/^version_1_alone$")
		}
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
		}
	}
}

// TestFIPSVersion1 holds that a certificate named by SHA-1 alone is no signer's
// with fips140=only, whatever the policy allows, and that SHA-1 beside a better
// hash does no harm.
func TestFIPSVersion1(t *testing.T) {
	f := tsptest.NewForge(t, pkitest.Options{})
	v1 := tsptest.Attribute(oid.SigningCertificate, tsptest.SigningCertificate(tsptest.ESSCertID{Certificate: f.Chain[0], V1: true}))
	policy := policyFor(t, f)
	policy.AllowLegacyESSCertIDv1 = true

	both := *f
	both.Signed = func(a [][]byte) [][]byte { return append(a, v1) }
	check(t, policy, &both, "")

	alone := *f
	alone.Signed = func(a [][]byte) [][]byte { return append(a[:2], v1) }
	want := verify.Reason("")
	if fips140.Enforced() {
		want = verify.ReasonSigningCertificate
	}
	check(t, policy, &alone, want)
}
