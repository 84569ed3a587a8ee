package tinkkey

import (
	"context"
	"strings"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A wrappingKey is a key of a service that encrypts keysets. It is used by one
// goroutine, for one keyset.
type wrappingKey interface {
	tink.AEADWithContext

	// fault says what an error of the service means.
	fault(ctx context.Context, op string, err error) error

	// mustExist returns an error if the service says that the key is not
	// there, where encrypting would make it.
	mustExist(ctx context.Context, op string) error

	// close lets go of connections.
	close()
}

// The schemes of wrapping keys, in Tink's words.
const (
	schemeGoogle = "gcp-kms://"
	schemeAWS    = "aws-kms://"
	schemeVault  = "hcvault://"
)

const (
	opWrapping = "open the wrapping key"
	opDecrypt  = "decrypt the keyset"
)

func openWrappingKey(ctx context.Context, u signer.URI, cfg Config) (wrappingKey, error) {
	uri := u.WrappingKey
	if (u.TokenFile != "" || u.TokenEnv != "") && !strings.HasPrefix(uri, schemeVault) {
		return nil, fault.New(fault.Malformed, opWrapping, "%s: a token goes with a key of hcvault:// only", uri)
	}
	switch {
	case strings.HasPrefix(uri, schemeGoogle):
		return openGoogle(ctx, uri, cfg)
	case strings.HasPrefix(uri, schemeAWS):
		return openAWS(ctx, uri)
	case strings.HasPrefix(uri, schemeVault):
		return openVault(u, cfg)
	}
	return nil, fault.New(fault.Unsupported, opWrapping, "%.100q is not a key of gcp-kms://, aws-kms:// or hcvault://", uri).
		WithHint("a keyset that another service encrypted is encrypted again with tinkey convert-keyset --new-master-key-uri")
}

// wrongKey is an answer that the service gives to what another key encrypted,
// and to everything else that it cannot make sense of.
func wrongKey(op, uri, words string) error {
	if !strings.HasPrefix(op, opDecrypt) {
		return fault.New(fault.Unfit, op, "%s: %s", uri, words).WithHint("name a key that encrypts")
	}
	return fault.New(fault.Unfit, op, "%s did not encrypt it: %s", uri, words).
		WithHint("name the key that the keyset was made with; the file says nothing about it")
}
