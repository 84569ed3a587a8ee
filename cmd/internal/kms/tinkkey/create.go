package tinkkey

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkecdsa "github.com/tink-crypto/tink-go/v2/signature/ecdsa"
	tinked25519 "github.com/tink-crypto/tink-go/v2/signature/ed25519"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Create makes a key of type t, one of ECDSA or Ed25519, in a new keyset, has
// the wrapping key of u encrypt it, and writes it to the file of u with the
// mode 0600. The wrapping key must exist, and so must the folder; the file
// must not. What Tink itself would sign with the keyset is the bare signature
// as well: there is no output prefix.
func Create(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	if err := checkScheme(u); err != nil {
		return err
	}
	op := "create the keyset " + u.Path
	params, err := parameters(t)
	if err != nil {
		return fault.New(fault.Malformed, op, "%s", clip(err))
	}
	if params == nil {
		return fault.New(fault.Unsupported, op, "a keyset holds no key of the type %.20q here", string(t)).WithHint("make one of p256, p384, p521 or ed25519")
	}
	// Before any work; the file system says it again when the file is made.
	if _, err := os.Lstat(u.LocalPath()); err == nil {
		return exists(op)
	}
	return withWrappingKey(ctx, u, cfg, func(ctx context.Context, w wrappingKey) error {
		if err := w.mustExist(ctx, op); err != nil {
			return err
		}
		handle, err := newHandle(params)
		if err != nil {
			return fault.New(fault.Malformed, op, "%s", clip(err))
		}
		rec := &recorder{wrappingKey: w}
		var text bytes.Buffer
		err = handle.WriteWithContext(ctx, keyset.NewJSONWriter(&text), rec, nil)
		switch {
		case rec.err != nil:
			return w.fault(ctx, op, rec.err)
		case err != nil || rec.empty:
			return fault.New(fault.Malformed, op, "%s encrypted it to nothing", u.WrappingKey)
		}
		return writeNew(op, u.LocalPath(), append(text.Bytes(), '\n'))
	})
}

func exists(op string) error {
	return fault.New(fault.Unfit, op, "%w, and is not replaced", fs.ErrExist).WithHint("name another file, or move this one away")
}

// parameters returns those of a key type, nil for one that is not made here.
func parameters(t signer.KeyType) (key.Parameters, error) {
	switch t {
	case signer.P256:
		return tinkecdsa.NewParameters(tinkecdsa.NistP256, tinkecdsa.SHA256, tinkecdsa.DER, tinkecdsa.VariantNoPrefix)
	case signer.P384:
		return tinkecdsa.NewParameters(tinkecdsa.NistP384, tinkecdsa.SHA384, tinkecdsa.DER, tinkecdsa.VariantNoPrefix)
	case signer.P521:
		return tinkecdsa.NewParameters(tinkecdsa.NistP521, tinkecdsa.SHA512, tinkecdsa.DER, tinkecdsa.VariantNoPrefix)
	case signer.Ed25519:
		params, err := tinked25519.NewParameters(tinked25519.VariantNoPrefix)
		return &params, err
	}
	return nil, nil
}

func newHandle(params key.Parameters) (*keyset.Handle, error) {
	manager := keyset.NewManager()
	id, err := manager.AddNewKeyFromParameters(params)
	if err != nil {
		return nil, err
	}
	if err := manager.SetPrimary(id); err != nil {
		return nil, err
	}
	return manager.Handle()
}

// writeNew writes a file that was not there, or nothing.
func writeNew(op, path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return exists(op)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, op, "%w", err).WithHint("make the folder first")
	case err != nil:
		return fault.New(fault.Denied, op, "%w", err).WithHint("let the user that this program runs as write there")
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return fault.New(fault.Denied, op, "%w", err)
	}
	return nil
}
