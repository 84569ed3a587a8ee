package program_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/program"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// programName as the first argument makes the program that signs of this test
// binary. The second says how, the third is its key file.
const programName = "program-that-signs"

func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == programName {
		if err := sign(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// With a loose umask the test binary is one that is refused.
	if runtime.GOOS != "windows" {
		if err := os.Chmod(executable(), 0o755); err != nil {
			panic(err)
		}
	}
	// Each end of a program with the race detector would last a second.
	os.Setenv(raceOptions, "atexit_sleep_ms=0 "+os.Getenv(raceOptions))
	os.Exit(m.Run())
}

// raceOptions is the variable that the race detector reads.
const raceOptions = "GORACE"

func executable() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// sign is the program: what the guide tells people to write.
func sign(how, file string, args []string) error {
	key, err := signer.ReadFile(file, signer.Config{})
	if err != nil {
		return err
	}
	if args[0] == "public" {
		switch how {
		case "no public":
			return errors.New("no slot")
		case "public is garbage":
			fmt.Println("garbage")
			return nil
		case "public is a private key":
			data, err := os.ReadFile(file)
			os.Stdout.Write(data)
			return err
		case "public is small":
			return writePublic(smallKey())
		case "public twice":
			writePublic(key.Public())
		case "public for ever":
			return flood()
		}
		return writePublic(key.Public())
	}
	word, pss := strings.CutPrefix(args[1], "pss-")
	if pss && how == "no PSS" {
		return errors.New("not supported: " + args[1])
	}
	hash := map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[word]
	digest, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	switch how {
	case "dead":
		return errors.New("no slot\x1b[31m\n\u202ein the token")
	case "silent":
		os.Exit(3)
	case "busy":
		fmt.Fprintln(os.Stderr, "busy")
		os.Exit(75)
	case "hangs":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Println("Z2FyYmFnZQ==")
		return nil
	case "nothing":
		return nil
	case "floods":
		return flood()
	case "wrong key":
		if key, err = signer.Generate(signer.P256); err != nil {
			return err
		}
	case "environment":
		folder, err := os.Getwd()
		if err != nil {
			return err
		}
		env := os.Environ()
		slices.Sort(env)
		return fmt.Errorf("in %s with %s", folder, env)
	}
	padding := signer.PKCS1v15
	if pss {
		padding = signer.PSS
	}
	signature, err := key.Sign(context.Background(), digest, padding.Options(hash))
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(signature)
	return err
}

func flood() error {
	for {
		if _, err := os.Stdout.Write(make([]byte, 1<<16)); err != nil {
			return err
		}
	}
}

func smallKey() crypto.PublicKey {
	block, _ := pem.Decode([]byte(smallPEM))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		panic(err)
	}
	return pub
}

func writePublic(pub crypto.PublicKey) error {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return err
	}
	return pem.Encode(os.Stdout, &pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// smallPEM is an RSA public key of 1024 bits.
const smallPEM = `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDFA6GFn7qwwCY0ItyU0zWiKapI
/vWMvn2DUEfJvmFjBG9HCYhtvkJdhAuRvSAp+nFfGVoE7yXYrkrdnZc8q6Bl690h
9n1ot3wfb1uFgHnagXscUOEVg6axjQI4gZgbHZERg47ILAMssVtr/zkG/IjQkFqH
RCaTwGGsHXixahWpqQIDAQAB
-----END PUBLIC KEY-----
`

// uri names the program, with a new key in a file.
func uri(t *testing.T, how string, kind signer.KeyType) signer.URI {
	t.Helper()
	key, err := signer.Generate(kind)
	if err != nil {
		t.Fatal(err)
	}
	data, err := signer.MarshalPEM(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return signer.URI{Scheme: signer.SchemeExec, Path: filepath.ToSlash(executable()), Args: []string{programName, how, file}, Env: []string{raceOptions}}
}

func open(t *testing.T, u signer.URI) *program.Key {
	t.Helper()
	k, err := program.Open(t.Context(), u, program.Config{LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func TestConformance(t *testing.T) {
	for _, kind := range []signer.KeyType{signer.P256, signer.P521, signer.RSA2048, signer.Ed25519} {
		t.Run(string(kind), func(t *testing.T) {
			u := uri(t, "well", kind)
			open := func(t *testing.T) signer.Signer { return open(t, u) }
			signertest.Run(t, open)
			if kind == signer.RSA2048 {
				signertest.RunPSS(t, open)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	with := func(how string) func(*testing.T) signer.Signer {
		return func(t *testing.T) signer.Signer { return open(t, uri(t, how, signer.P256)) }
	}
	signertest.RunFaults(t, signertest.Faults{
		Dead: with("dead"), WrongKey: with("wrong key"), Garbage: with("garbage"), Hangs: with("hangs"),
	})
}

// check holds an error against what an operator has to read in it.
func check(t *testing.T, err error, kind fault.Kind, text, hint string) {
	t.Helper()
	if fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) || !strings.Contains(fault.HintOf(err), hint) {
		t.Errorf("got error %q of the kind %q with the hint %q; want %q, %q and %q", err, fault.KindOf(err), fault.HintOf(err), text, kind, hint)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := uri(t, "well", signer.P256)
	file := func(mode fs.FileMode, content string) signer.URI {
		path := filepath.Join(t.TempDir(), "sign")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return signer.URI{Scheme: signer.SchemeExec, Path: filepath.ToSlash(path)}
	}
	how := func(h string) signer.URI {
		u := good
		u.Args = slices.Clone(u.Args)
		u.Args[1] = h
		return u
	}
	unset := good
	unset.Env = []string{"FENCEPOST_TEST_NOT_SET"}
	for _, tt := range []struct {
		name string
		uri  signer.URI
		kind fault.Kind
		text string
		hint string
		unix bool // modes and interpreters
	}{
		{"relative", signer.URI{Scheme: signer.SchemeExec, Path: "sign"}, fault.Malformed, "absolute", "in full", false},
		{"missing", signer.URI{Scheme: signer.SchemeExec, Path: good.Path + ".not"}, fault.NotFound, "there is no program", "install", false},
		{"folder", signer.URI{Scheme: signer.SchemeExec, Path: filepath.ToSlash(t.TempDir())}, fault.Unfit, "is a folder", "name the program", false},
		{"not executable", file(0o600, "#!/bin/sh\n"), fault.Unfit, "not executable", "chmod 0755", true},
		{"written by the group", file(0o770, "#!/bin/sh\n"), fault.Unfit, "0770", "chmod go-w", true},
		{"written by everyone", file(0o702, "#!/bin/sh\n"), fault.Unfit, "0702", "chmod go-w", true},
		{"device", signer.URI{Scheme: signer.SchemeExec, Path: "/dev/null"}, fault.Unfit, "not a regular file", "", true},
		{"no interpreter line", file(0o700, "echo"), fault.Unfit, "exec format error", "#!", true},
		{"interpreter missing", file(0o700, "#!/no/such/interpreter\n"), fault.Unfit, "no such file", "interpreter", true},
		{"variable not set", unset, fault.Credentials, "FENCEPOST_TEST_NOT_SET", "set it", false},
		{"fails", how("no public"), fault.Unfit, `"no slot"`, "by hand", false},
		{"garbage", how("public is garbage"), fault.Malformed, "no PEM", "BEGIN PUBLIC KEY", false},
		{"private key", how("public is a private key"), fault.Malformed, `"PRIVATE KEY"`, "BEGIN PUBLIC KEY", false},
		{"two keys", how("public twice"), fault.Malformed, "follows", "", false},
		{"endless", how("public for ever"), fault.Malformed, "more than 16384 bytes", "", false},
		{"unfit key", how("public is small"), fault.Unfit, "1024 bits", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.unix && runtime.GOOS == "windows" {
				return
			}
			k, err := program.Open(t.Context(), tt.uri, program.Config{LookupEnv: os.LookupEnv})
			if err == nil || k != nil {
				t.Fatalf("got %v, %v; want an error", k, err)
			}
			check(t, err, tt.kind, tt.text, tt.hint)
		})
	}
}

func TestSignRefuses(t *testing.T) {
	digest := make([]byte, 32)
	for _, tt := range []struct {
		how  string
		kind fault.Kind
		text string
		hint string
	}{
		{"dead", fault.Unfit, `"no slot\x1b[31m\n\u202ein the token"`, "by hand"},
		{"silent", fault.Unfit, "exit status 3", "by hand"},
		{"busy", fault.Unreachable, `"busy"`, ""},
		{"garbage", fault.Malformed, "ECDSA-Sig-Value", "without PEM, base64"},
		{"nothing", fault.Malformed, "0 bytes", "standard output"},
		{"floods", fault.Malformed, "more than 4096 bytes", ""},
	} {
		t.Run(tt.how, func(t *testing.T) {
			signature, err := open(t, uri(t, tt.how, signer.P256)).Sign(t.Context(), digest, crypto.SHA256)
			if err == nil || signature != nil {
				t.Fatalf("got %x, %v; want an error", signature, err)
			}
			check(t, err, tt.kind, tt.text, tt.hint)
		})
	}
	_, err := open(t, uri(t, "well", signer.RSA2048)).Sign(t.Context(), digest, &rsa.PSSOptions{Hash: crypto.SHA256})
	check(t, err, fault.Unsupported, "PSS salt", "as long as the hash")
	_, err = open(t, uri(t, "no PSS", signer.RSA2048)).Sign(t.Context(), digest, signer.PSS.Options(crypto.SHA256))
	check(t, err, fault.Unfit, "not supported: pss-sha256", "whether it knows how to make RSA-PSS")
}

// The program gets what is documented, and nothing else.
func TestEnvironment(t *testing.T) {
	u := uri(t, "environment", signer.P256)
	u.Env = []string{"TSA_SLOT", "TZ"}
	env := map[string]string{"PATH": "/bin", "TZ": "UTC", "TSA_SLOT": "2", "SECRET": "hunter2"}
	k, err := program.Open(t.Context(), u, program.Config{LookupEnv: func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Sign(t.Context(), make([]byte, 32), crypto.SHA256)
	want := "in / with [PATH=/bin TSA_SLOT=2 TZ=UTC]"
	if runtime.GOOS == "windows" {
		want = "TSA_SLOT=2 TZ=UTC]" // os/exec adds SYSTEMROOT
	}
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v; want a program %s", err, want)
	}
}

// A script, and what it started, end with the context.
func TestKilled(t *testing.T) {
	if runtime.GOOS == "windows" {
		return
	}
	key, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public().(*ecdsa.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	public := filepath.Join(folder, "public.pem")
	if err := os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(folder, "sign")
	alive := filepath.Join(folder, "alive")
	text := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = public ]; then cat '%s'; exit; fi\n(sleep 1; : > '%s') &\nwait\n", public, alive)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	k := open(t, signer.URI{Scheme: signer.SchemeExec, Path: script})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := k.Sign(ctx, make([]byte, 32), crypto.SHA256); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v; want one that wraps %v", err, context.DeadlineExceeded)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("the call took %v", d)
	}
	time.Sleep(1500*time.Millisecond - time.Since(start))
	if _, err := os.Stat(alive); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a child of the program lived on: %v", err)
	}
}
