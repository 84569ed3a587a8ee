package vault

import (
	"context"
	"fmt"
	"net/http"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

const opCreate = "create the key"

// transitType returns the engine's name of a key type, "" for none.
func transitType(t signer.KeyType) string {
	switch t {
	case signer.P256:
		return "ecdsa-p256"
	case signer.P384:
		return "ecdsa-p384"
	case signer.P521:
		return "ecdsa-p521"
	case signer.Ed25519:
		return "ed25519"
	case signer.RSA2048:
		return "rsa-2048"
	case signer.RSA3072:
		return "rsa-3072"
	case signer.RSA4096:
		return "rsa-4096"
	}
	return ""
}

// Create makes a transit key that cannot be exported. A key that exists
// already, of whatever type, is left alone and is fault.Unfit.
func Create(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	name := transitType(t)
	if name == "" {
		return fault.New(fault.Unsupported, opCreate, "the transit engine has no keys of type %.40q", t)
	}
	e, err := newEngine(ctx, u, cfg)
	if err != nil {
		return err
	}
	defer e.close()
	// The engine answers the creation of a key that exists as if it had made
	// one, so it is asked before.
	switch info, err := e.readKey(ctx); {
	case err == nil:
		return fault.New(fault.Unfit, opCreate, "%s: it exists already, with type %.40q and latest version %d", e.where(), info.Type, info.LatestVersion).
			WithHint("choose another name; a new version of this key is made with \"%s write -f %s/rotate\"", e.tool, e.keyPath())
	case refused(err):
		return e.explain(ctx, &fault.Error{Kind: fault.Denied, Op: opCreate, Err: err}, nil)
	case fault.KindOf(err) != fault.NotFound:
		return err
	}
	request := request{op: opCreate, method: http.MethodPost, path: e.keyPath(), body: fmt.Appendf(nil, `{"type":%q}`, name)}
	if _, err := e.do(ctx, e.tokens.current(), request); err != nil {
		return e.explain(ctx, e.explainKey(err), nil)
	}
	// Somebody else may have been here in between.
	info, err := e.readKey(ctx)
	if err != nil {
		return e.explain(ctx, err, nil)
	}
	if info.Type != name || info.LatestVersion != 1 {
		return fault.New(fault.Unfit, opCreate, "%s: somebody else has made it, with type %.40q and latest version %d", e.where(), info.Type, info.LatestVersion).
			WithHint("choose another name")
	}
	return nil
}
