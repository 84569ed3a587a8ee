//go:build !cgo

package pkcs11

import (
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Without cgo, a key is refused by name, not unknown.
func TestWithoutCgo(t *testing.T) {
	u := signer.URI{Scheme: signer.SchemePKCS11, Rest: "token=t?" + module0}
	k, err := Open(t.Context(), u, Config{})
	if k != nil {
		t.Error("a key came with an error")
	}
	checkFault(t, err, fault.Unsupported, "this build has no PKCS #11: it was built without cgo", "CGO_ENABLED=1")
	checkFault(t, Create(t.Context(), u, signer.P256, Config{}), fault.Unsupported, "create key: this build has no PKCS #11", "")
}
