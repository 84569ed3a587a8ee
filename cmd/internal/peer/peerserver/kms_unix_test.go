//go:build unix

package peerserver_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// TestKMSClosed: what keeps the server from starting, or from taking a new
// identity, after its key was opened does not leave the key open.
func TestKMSClosed(t *testing.T) {
	_, chain, certs := identity(t, pkitest.Options{}, nil)
	v, vars := vaultKey(t, certs)
	vars["VAULT_TOKEN"] = v.AddToken(vaultfake.Token{TTL: time.Hour, Renewable: true})
	args := quiet("--timestamp-signer", "kms", "--kms-key-resource", "hashivault://tsa", "--certificate-chain-path", chain)
	if status, log := refused(t, vars, append(args, "--scheme", "https")...); status == 0 || !strings.Contains(log, "--tls-certificate") {
		t.Fatalf("exit status %d, %s", status, log)
	}
	if n := minders(); n != 0 {
		t.Errorf("%d keys are open after the server did not start", n)
	}
	for _, bad := range []string{"--sign-timeout=0s", "--announce=-1s"} {
		if status, log := refused(t, vars, append(args, bad)...); status == 0 || !strings.Contains(log, strings.SplitN(bad, "=", 2)[0]) {
			t.Errorf("%s: exit status %d, %s", bad, status, log)
		}
	}

	cert, key, _ := tlsFiles(t)
	r := start(t, vars, append(args, "--scheme", "https", "--tls-certificate", cert, "--tls-key", key)...)
	if n := minders(); n != 1 {
		t.Fatalf("%d keys are open, want 1", n)
	}
	if err := os.WriteFile(cert, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.log.String(), "reload failed"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no reload:\n%s", r.log)
		}
	}
	if n := minders(); n != 1 {
		t.Errorf("%d keys are open after a reload that failed, want 1", n)
	}
	r.stop()
	if n := minders(); n != 0 {
		t.Errorf("%d keys are open after the end", n)
	}
}

// minders counts the goroutines that keep the token of a Vault key alive. One
// that is told to end may need a moment.
func minders() (n int) {
	for range 20 {
		b := make([]byte, 1<<20)
		n = strings.Count(string(b[:runtime.Stack(b, true)]), ".mind(")
		if n == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return n
}
