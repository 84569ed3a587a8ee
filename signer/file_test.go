package signer_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenMemory(t *testing.T) {
	u, err := signer.ParseURI("memory:p384")
	if err != nil {
		t.Fatal(err)
	}
	a, err := signer.Open(t.Context(), u, signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := signer.Open(t.Context(), u, signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if sameKey(a.Public(), b.Public()) {
		t.Error("two keys made in memory are the same")
	}
}

func TestOpenFile(t *testing.T) {
	clear := writeFile(t, readKeyFile(t, "p256"))
	sealed := writeFile(t, readKeyFile(t, "p256-rfc1423-aes256"))
	cfg := signer.Config{
		Passphrase: func() ([]byte, error) { return []byte(passphrase), nil },
		LookupEnv: func(name string) (string, bool) {
			value, ok := map[string]string{"RIGHT": passphrase, "WRONG": "x", "EMPTY": ""}[name]
			return value, ok
		},
	}
	passFile := func(content string) signer.URI {
		return signer.URI{Scheme: signer.SchemeFile, Path: sealed, PassphraseFile: writeFile(t, []byte(content))}
	}
	passEnv := func(name string) signer.URI {
		return signer.URI{Scheme: signer.SchemeFile, Path: sealed, PassphraseEnv: name}
	}
	anything := errors.New("any error but the documented ones")
	for _, tt := range []struct {
		name string
		uri  signer.URI
		cfg  signer.Config
		want error
	}{
		{"clear", signer.URI{Scheme: "file", Path: clear}, signer.Config{}, nil},
		{"no passphrase", signer.URI{Scheme: "file", Path: sealed}, signer.Config{}, signer.ErrNoPassphrase},
		{"passphrase of the caller", signer.URI{Scheme: "file", Path: sealed}, cfg, nil},
		{"passphrase file", passFile(passphrase), signer.Config{}, nil},
		{"passphrase file, LF", passFile(passphrase + "\n"), signer.Config{}, nil},
		{"passphrase file, CRLF", passFile(passphrase + "\r\n"), signer.Config{}, nil},
		{"passphrase file, blank at the end", passFile(passphrase + " \n"), signer.Config{}, signer.ErrPassphrase},
		{"passphrase file goes first", passFile("wrong"), cfg, signer.ErrPassphrase},
		{"passphrase file, two lines", passFile(passphrase + "\n\n"), signer.Config{}, anything},
		{"passphrase file, huge", passFile(strings.Repeat("x", 5000)), signer.Config{}, anything},
		{"passphrase file, missing", signer.URI{Scheme: "file", Path: sealed, PassphraseFile: clear + ".not"}, signer.Config{}, fs.ErrNotExist},
		{"environment", passEnv("RIGHT"), cfg, nil},
		{"environment, wrong", passEnv("WRONG"), cfg, signer.ErrPassphrase},
		{"environment, empty", passEnv("EMPTY"), cfg, signer.ErrPassphrase},
		{"environment, not set", passEnv("NONE"), cfg, anything},
		{"environment, not offered", passEnv("RIGHT"), signer.Config{}, anything},
		{"missing file", signer.URI{Scheme: "file", Path: clear + ".not"}, cfg, fs.ErrNotExist},
		{"folder", signer.URI{Scheme: "file", Path: t.TempDir()}, cfg, anything},
		{"huge file", signer.URI{Scheme: "file", Path: writeFile(t, make([]byte, 70000))}, cfg, anything},
		{"zero URI", signer.URI{}, cfg, anything},
		{"other scheme", signer.URI{Scheme: signer.SchemeAWSKMS, Rest: "///alias/x"}, cfg, anything},
		{"memory, unknown type", signer.URI{Scheme: signer.SchemeMemory}, cfg, anything},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := signer.Open(t.Context(), tt.uri, tt.cfg)
			if tt.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				if !sameKey(k.Public(), readPublic(t, "p256")) {
					t.Error("another key was read")
				}
				return
			}
			if err == nil || k != nil {
				t.Fatalf("got %v, %v; want an error", k, err)
			}
			if tt.want != anything && !errors.Is(err, tt.want) {
				t.Errorf("got %v; want %v", err, tt.want)
			}
			if tt.want == anything && (errors.Is(err, signer.ErrPassphrase) || errors.Is(err, signer.ErrNoPassphrase)) {
				t.Errorf("%v says that the passphrase is wrong", err)
			}
			if strings.Contains(err.Error(), passphrase) {
				t.Errorf("the error tells the passphrase: %v", err)
			}
		})
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := signer.Open(ctx, signer.URI{Scheme: "file", Path: clear}, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v; want context.Canceled", err)
	}
}

func TestCheckMode(t *testing.T) {
	path := writeFile(t, nil)
	for _, tt := range []struct {
		mode fs.FileMode
		open bool
	}{{0o600, false}, {0o400, false}, {0o700, false}, {0o640, true}, {0o604, true}, {0o620, true}, {0o666, true}} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		err := signer.CheckMode(path)
		if want := tt.open && runtime.GOOS != "windows"; errors.Is(err, signer.ErrMode) != want || !want && err != nil {
			t.Errorf("mode %04o: %v; want ErrMode: %v", tt.mode, err, want)
		}
	}
	if err := signer.CheckMode(path + ".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v; want ErrNotExist", err)
	}
}
