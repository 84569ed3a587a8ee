package peerserver_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/vaultfake"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/verify"
)

// vaultKey makes the key of a test chain one of Vault's, which is a fake, and
// returns the variables with which it is found.
func vaultKey(t *testing.T, certs *pkitest.Chain) (v *vaultfake.Server, vars map[string]string) {
	t.Helper()
	v = vaultfake.Start(t)
	v.ImportKey("tsa", "ecdsa-p256", certs.LeafKey)
	return v, map[string]string{"VAULT_ADDR": v.URL, "VAULT_TOKEN": v.Root}
}

func TestKMSSigner(t *testing.T) {
	_, chain, certs := identity(t, pkitest.Options{}, nil)
	v, vars := vaultKey(t, certs)
	args := quiet("--timestamp-signer", "kms", "--kms-key-resource", "hashivault://tsa", "--certificate-chain-path", chain, "--sign-timeout", "5s")
	r := start(t, vars, args...)
	trust := &verify.Policy{Roots: []*x509.Certificate{certs.Root}, Intermediates: []*x509.Certificate{certs.Intermediate}}
	if _, err := stamp(t, r.urls[0], request(t), trust); err != nil {
		t.Error(err)
	}
	// A signature by another key is found before anybody gets it.
	v.Inject(vaultfake.Fault{On: "sign", OtherKey: true})
	if _, err := stamp(t, r.urls[0], request(t), nil); err == nil || !strings.Contains(err.Error(), "systemFailure") {
		t.Errorf("a wrong signature: %v", err)
	}
	if !strings.Contains(r.log.String(), "kind=wrong-signature") {
		t.Errorf("the log does not tell:\n%s", r.log)
	}
	r.stop()
	if strings.Contains(r.log.String(), v.Root) {
		t.Error("the token is in the log")
	}
	// And before the server starts.
	if status, log := refused(t, vars, args...); status == 0 || !strings.Contains(log, "--kms-key-resource: ") {
		t.Errorf("exit status %d, %s", status, log)
	}
}
