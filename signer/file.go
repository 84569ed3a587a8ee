package signer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// ErrMode means that others than its owner may read or write a key file.
var ErrMode = errors.New("the key file is open to others than its owner")

// CheckMode returns an error that wraps [ErrMode] if the file's mode lets its
// group or everyone read or write it. Reading a key does not depend on it:
// secrets mounted into a container are commonly open to a group. A program
// warns, and decides. On Windows, where the mode says nothing, it returns nil
// for every file that exists.
func CheckMode(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("signer: %s: %w: its mode is %04o", path, ErrMode, mode)
	}
	return nil
}

// ReadFile reads a private key from a PEM file, as [ParsePEM] does. The file
// may be a pipe.
func ReadFile(path string, cfg Config) (*Key, error) {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	k, err := parsePEM(data, cfg)
	if err != nil {
		return nil, fmt.Errorf("signer: %s: %w", path, err)
	}
	return k, nil
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("more than %d bytes", limit)}
	}
	return data, nil
}

// Open returns the key that a URI names: of the scheme file it reads the file,
// of the scheme memory it makes a new key. Every other scheme is an error;
// those keys are opened by programs that link what it takes.
//
// A passphrase that the URI names goes before cfg.Passphrase. Of a passphrase
// file the line end after the last line is not part of the passphrase; a file
// of several lines is refused. The errors are those of [ParsePEM].
func Open(ctx context.Context, u URI, cfg Config) (*Key, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("signer: %w", err)
	}
	switch u.Scheme {
	case SchemeMemory:
		return Generate(u.KeyType)
	case SchemeFile:
	default:
		return nil, fmt.Errorf("signer: a key of the scheme %.20q cannot be opened here", string(u.Scheme))
	}
	if u.PassphraseFile != "" || u.PassphraseEnv != "" {
		given := cfg
		cfg.Passphrase = func() ([]byte, error) { return given.named(u) }
	}
	return ReadFile(u.LocalPath(), cfg)
}

// NamedPassphrase returns the passphrase that a URI names, as [Open] uses it,
// for whoever writes a key there; nil if the URI names none.
func NamedPassphrase(u URI, cfg Config) ([]byte, error) {
	p, err := cfg.named(u)
	if err != nil {
		return nil, fmt.Errorf("signer: passphrase: %w", err)
	}
	return p, nil
}

func (c Config) named(u URI) ([]byte, error) {
	switch {
	case u.PassphraseFile != "":
		return readPassphrase(localPath(u.PassphraseFile))
	case u.PassphraseEnv == "":
		return nil, nil
	case c.LookupEnv == nil:
		return nil, fmt.Errorf("%s is not available here", paramPassphraseEnv)
	}
	value, ok := c.LookupEnv(u.PassphraseEnv)
	if !ok {
		return nil, fmt.Errorf("the environment variable %s is not set", u.PassphraseEnv)
	}
	return []byte(value), nil
}

func readPassphrase(path string) ([]byte, error) {
	const lineEnd = len("\r\n")
	data, err := readBounded(path, int64(maxPassphrase+lineEnd))
	if err != nil {
		return nil, err
	}
	if line, ok := bytes.CutSuffix(data, []byte("\n")); ok {
		data = bytes.TrimSuffix(line, []byte("\r"))
	}
	if bytes.ContainsRune(data, '\n') {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("a passphrase of several lines")}
	}
	return data, nil
}

// LocalPath returns u.Path as this operating system writes it.
func (u URI) LocalPath() string { return localPath(u.Path) }

// localPath takes the slash before a drive letter away, which a URI has and
// Windows does not: /C:/key.pem.
func localPath(path string) string {
	if runtime.GOOS == "windows" && len(path) > 2 && path[0] == '/' && path[2] == ':' {
		return path[1:]
	}
	return path
}
