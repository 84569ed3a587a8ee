//go:build !cgo

package pkcs11

import (
	"context"
	"crypto"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A Key is a private key in a token. This build opens none.
type Key struct{ _ struct{} }

// Open returns an error: PKCS #11 needs cgo.
func Open(context.Context, signer.URI, Config) (*Key, error) { return nil, unsupported(opOpen) }

// Create returns an error: PKCS #11 needs cgo.
func Create(context.Context, signer.URI, signer.KeyType, Config) error { return unsupported(opCreate) }

func unsupported(op string) error {
	return fault.New(fault.Unsupported, op, "this build has no PKCS #11: it was built without cgo").
		WithHint("build with CGO_ENABLED=1 and a C compiler, or take the release that has PKCS #11")
}

// Public returns nil.
func (*Key) Public() crypto.PublicKey { return nil }

// Sign returns an error.
func (*Key) Sign(context.Context, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, unsupported(opSign)
}

// HonoursContext returns false.
func (*Key) HonoursContext() bool { return false }

// Close does nothing.
func (*Key) Close() error { return nil }

var _ signer.Signer = (*Key)(nil)
