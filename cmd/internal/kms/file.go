package kms

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

func openFile(ctx context.Context, u signer.URI, cfg Config) (signer.Signer, error) {
	sc := cfg.signer()
	var untold error
	if ask := sc.Passphrase; ask != nil {
		sc.Passphrase = func() (p []byte, err error) {
			p, err = ask()
			untold = err
			return p, err
		}
	}
	k, err := signer.Open(ctx, u, sc)
	switch {
	case err == nil:
		return k, nil
	case untold != nil:
		return nil, fault.New(fault.Credentials, "", "%w", err)
	case ctx.Err() != nil:
		return nil, err
	}
	return nil, fileFault(u, sc, err)
}

// fileFault says what to do about a key file that cannot be read.
func fileFault(u signer.URI, sc signer.Config, err error) error {
	_, passphrase := signer.NamedPassphrase(u, sc)
	kind, hint := fault.Malformed, ""
	var knows interface{ Advice() string }
	switch {
	case errors.As(err, &knows):
		kind, hint = fault.Unfit, knows.Advice()
	case errors.Is(err, signer.ErrNoPassphrase):
		kind, hint = fault.Credentials, fmt.Sprintf("name it: file:%s?passphrase-file=FILE or ?passphrase-env=VARIABLE", u.Path)
	case passphrase != nil && !isPath(err, u.LocalPath()):
		kind, hint = fault.Credentials, fmt.Sprintf("%s names the passphrase: is that secret mounted, or set for this process?", u)
	case errors.Is(err, signer.ErrPassphrase) && (u.PassphraseFile != "" || u.PassphraseEnv != ""):
		kind, hint = fault.Credentials, fmt.Sprintf("%s names the passphrase; is it that of this key?", u)
	case errors.Is(err, signer.ErrPassphrase):
		kind = fault.Credentials
	case errors.Is(err, fs.ErrNotExist):
		kind, hint = fault.NotFound, "is the volume with the key mounted? A new key is made with --data-dir DIR --init only"
	case errors.Is(err, fs.ErrPermission):
		kind, hint = fault.Denied, "the key belongs to the user that runs this process, with mode 0600"
	}
	return fault.New(kind, "", "%w", err).WithHint("%s", hint)
}

func isPath(err error, path string) bool {
	pe, ok := errors.AsType[*fs.PathError](err)
	return ok && pe.Path == path
}

// createFile writes a new key, encrypted if the URI names a passphrase.
func createFile(_ context.Context, u signer.URI, t signer.KeyType, cfg Config) error {
	path := u.LocalPath()
	passphrase, err := signer.NamedPassphrase(u, cfg.signer())
	if err != nil {
		return fault.New(fault.Credentials, opCreate, "%w", err).WithHint("%s names the passphrase that the new key is encrypted with", u)
	}
	// Asked before a key is made, which takes seconds, and once more below.
	if _, err := os.Lstat(path); err == nil {
		return exists(path)
	}
	key, err := signer.Generate(t)
	if err != nil {
		return fault.New(fault.Unsupported, opCreate, "%w", err)
	}
	data, err := signer.MarshalPEM(key, passphrase)
	if err != nil {
		return fault.New(fault.Credentials, opCreate, "%s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return exists(path)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotFound, opCreate, "%w", err).WithHint("make the folder %s first, or mount its volume", filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Denied, opCreate, "%w", err).WithHint("let this user write to the folder %s", filepath.Dir(path))
	case err != nil:
		return fault.New(fault.Unfit, opCreate, "%w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		// Half a key is none, and would be in the way of the next try.
		return fault.New(fault.Unfit, opCreate, "%w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

func exists(path string) error {
	return fault.New(fault.Unfit, opCreate, "%s: %w", path, fs.ErrExist).
		WithHint("a key is never replaced: name another file, or move this one away")
}
