package kms_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// programName as the first argument makes this test binary a program that
// signs with the key in the file that follows.
const programName = "program-that-signs"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == programName {
		if err := sign(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// With a loose umask the test binary is one that is refused.
	if runtime.GOOS != "windows" {
		if err := os.Chmod(os.Args[0], 0o755); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func sign(file string, args []string) error {
	key, err := signer.ReadFile(file, signer.Config{})
	if err != nil {
		return err
	}
	if args[0] == "public" {
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			return err
		}
		return pem.Encode(os.Stdout, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}
	digest, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	hash := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[args[1]]
	signature, err := key.Sign(context.Background(), digest, hash)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(signature)
	return err
}

func parse(t *testing.T, uri string) signer.URI {
	t.Helper()
	u, err := signer.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// file is the URI of a file, with a query.
func file(t *testing.T, path, query string) signer.URI {
	t.Helper()
	return parse(t, signer.URI{Scheme: signer.SchemeFile, Path: filepath.ToSlash(path)}.String()+query)
}

var environment = map[string]string{"RIGHT": "correct horse", "WRONG": "incorrect horse", "EMPTY": ""}

func lookup(name string) (string, bool) {
	value, ok := environment[name]
	return value, ok
}

// written makes a key file and returns its path.
func written(t *testing.T, query string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	k, err := kms.Create(t.Context(), file(t, path, query), signer.P256, kms.Config{LookupEnv: lookup})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	path := written(t, "")
	for _, tt := range []struct {
		name  string
		uri   signer.URI
		local bool
	}{
		{"file", file(t, path, ""), true},
		{"memory", parse(t, "memory:p384"), true},
		{"program", signer.URI{Scheme: signer.SchemeExec, Path: executable(t), Args: []string{programName, path}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := kms.Open(t.Context(), tt.uri, kms.Config{LookupEnv: lookup, AllowProgram: true})
			if err != nil {
				t.Fatal(err)
			}
			if k.InProcess() != tt.local {
				t.Errorf("InProcess() = %v", k.InProcess())
			}
			if got, want := k.URI().String(), tt.uri.String(); got != want {
				t.Errorf("URI() = %s; want %s", got, want)
			}
			if err := signer.Prove(t.Context(), k, nil); err != nil {
				t.Error(err)
			}
			if tt.local { // a program is held to it in a package of its own
				signertest.Run(t, func(*testing.T) signer.Signer { return k })
			}
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func executable(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.ToSlash(path)
}

func check(t *testing.T, err error, kind fault.Kind, text, hint string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("got error %q of the kind %q with the hint %q; want %q, %q and %q", err, fault.KindOf(err), fault.HintOf(err), text, kind, hint)
	}
}

func TestOpenRefuses(t *testing.T) {
	clear, sealed := written(t, ""), written(t, "?passphrase-env=RIGHT")
	unreadable := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(unreadable, []byte("not a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	aborted := errors.New("aborted")
	for _, tt := range []struct {
		name string
		uri  signer.URI
		cfg  kms.Config
		kind fault.Kind
		text string
		hint string
	}{
		{"unknown scheme", signer.URI{Scheme: "vault", Rest: "//k"}, kms.Config{}, fault.Unsupported, `scheme "vault"`, "file, "},
		{"no scheme", signer.URI{}, kms.Config{}, fault.Unsupported, `scheme ""`, "memory"},
		{"missing file", file(t, clear+".not", ""), kms.Config{}, fault.NotFound, "key.pem.not", "is the volume with the key mounted?"},
		{"folder", file(t, t.TempDir(), ""), kms.Config{}, fault.Malformed, "", ""},
		{"no key", file(t, unreadable, ""), kms.Config{}, fault.Malformed, unreadable, ""},
		{"encrypted, no passphrase", file(t, sealed, ""), kms.Config{}, fault.Credentials, "no passphrase was given", "name it: file:" + sealed + "?passphrase-file=FILE"},
		{"encrypted, wrong passphrase", file(t, sealed, "?passphrase-env=WRONG"), kms.Config{}, fault.Credentials, "wrong passphrase", "passphrase-env=WRONG names the passphrase"},
		{"encrypted, wrong passphrase asked for", file(t, sealed, ""), kms.Config{Passphrase: func() ([]byte, error) { return []byte("x"), nil }},
			fault.Credentials, "wrong passphrase", ""},
		{"encrypted, passphrase not told", file(t, sealed, ""), kms.Config{Passphrase: func() ([]byte, error) { return nil, aborted }},
			fault.Credentials, "aborted", ""},
		{"encrypted, variable not set", file(t, sealed, "?passphrase-env=NONE"), kms.Config{}, fault.Credentials, "NONE is not set", "mounted, or set"},
		{"encrypted, passphrase file missing", file(t, sealed, "?passphrase-file="+filepath.ToSlash(clear)+".not"), kms.Config{},
			fault.Credentials, "key.pem.not", "is that secret mounted"},
		{"key file and passphrase file missing", file(t, clear+".not", "?passphrase-file=/no/such/passphrase"), kms.Config{}, fault.NotFound, "key.pem.not", "is the volume"},
		{"program from a command line", parse(t, "exec:/bin/sign"), kms.Config{}, fault.Unsupported, "from the configuration file only", "tsa.key"},
		{"program missing", parse(t, "exec:/no/such/program"), kms.Config{AllowProgram: true}, fault.NotFound, "/no/such/program", "install"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.LookupEnv = lookup
			k, err := kms.Open(t.Context(), tt.uri, tt.cfg)
			if k != nil {
				t.Errorf("a key came with the error %v", err)
			}
			check(t, err, tt.kind, tt.text, tt.hint)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kms.Open(ctx, file(t, clear, ""), kms.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v; want %v", err, context.Canceled)
	}
}

func TestUnknownSchemeNamesAll(t *testing.T) {
	_, err := kms.Open(t.Context(), signer.URI{Scheme: "vault"}, kms.Config{})
	for _, s := range kms.Schemes() {
		if !strings.Contains(fault.HintOf(err), string(s)) {
			t.Errorf("the hint %q does not name %s", fault.HintOf(err), s)
		}
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	for _, tt := range []struct {
		name, query, label string
	}{
		{"clear", "", "PRIVATE KEY"},
		{"encrypted", "?passphrase-env=RIGHT", "ENCRYPTED PRIVATE KEY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := file(t, path+tt.name, tt.query)
			k, err := kms.Create(t.Context(), u, signer.P384, kms.Config{LookupEnv: lookup})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if pub, ok := k.Public().(*ecdsa.PublicKey); !ok || pub.Curve.Params().BitSize != 384 {
				t.Errorf("the key is %T", k.Public())
			}
			if err := signer.Prove(t.Context(), k, nil); err != nil {
				t.Error(err)
			}
			again, err := kms.Open(t.Context(), u, kms.Config{LookupEnv: lookup})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			if !again.Public().(*ecdsa.PublicKey).Equal(k.Public()) {
				t.Error("another key was read than the one that was made")
			}
			if err := signer.CheckMode(u.LocalPath()); err != nil {
				t.Error(err)
			}
			before, err := os.ReadFile(u.LocalPath())
			if err != nil {
				t.Fatal(err)
			}
			if block, _ := pem.Decode(before); block == nil || block.Type != tt.label {
				t.Errorf("the file is no %s", tt.label)
			}

			_, err = kms.Create(t.Context(), u, signer.P384, kms.Config{LookupEnv: lookup})
			check(t, err, fault.Unfit, "exists", "never replaced")
			if !errors.Is(err, fs.ErrExist) {
				t.Errorf("%v does not wrap %v", err, fs.ErrExist)
			}
			if after, err := os.ReadFile(u.LocalPath()); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was changed, or is gone: %v", err)
			}
		})
	}
}

func TestCreateRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	for _, tt := range []struct {
		name string
		uri  signer.URI
		kind fault.Kind
		text string
		hint string
	}{
		{"memory", parse(t, "memory:p256"), fault.Unsupported, "ends with the process", ""},
		{"program", parse(t, "exec:/bin/sign"), fault.Unsupported, "by itself", ""},
		{"unknown scheme", signer.URI{Scheme: "vault"}, fault.Unsupported, `"vault"`, "file, "},
		{"no folder", file(t, filepath.Join(t.TempDir(), "no", "key.pem"), ""), fault.NotFound, "key.pem", "make the folder"},
		{"folder", file(t, filepath.Dir(path), ""), fault.Unfit, "exists", "never replaced"},
		{"no passphrase", file(t, path, "?passphrase-env=NONE"), fault.Credentials, "NONE is not set", "encrypted with"},
		{"empty passphrase", file(t, path, "?passphrase-env=EMPTY"), fault.Credentials, "the passphrase is empty", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := kms.Create(t.Context(), tt.uri, signer.P256, kms.Config{LookupEnv: lookup, AllowProgram: true})
			if k != nil {
				t.Error("a key came with the error")
			}
			check(t, err, tt.kind, tt.text, tt.hint)
		})
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was left behind: %v", err)
	}
	_, err := kms.Create(t.Context(), file(t, path, ""), "rsa1024", kms.Config{})
	check(t, err, fault.Unsupported, "rsa1024", "")
}
