package signer_test

import (
	"crypto"
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

// fipsVariable is set in the processes that TestFIPS starts.
const fipsVariable = "FENCEPOST_TEST_FIPS"

// unapprovedFiles are the key files whose encryption FIPS 140-3 does not
// approve. OpenSSL 3.0 made the others, and gave those of PBKDF2 a salt of 8
// octets.
func unapprovedFile(name string) bool {
	return slices.ContainsFunc([]string{"-scrypt-", "-rfc1423-", "-sigstore", "-cosign", "-pbkdf2"}, func(part string) bool {
		return strings.Contains(name, part)
	})
}

// TestFIPS runs itself in the modes of FIPS 140-3, which are chosen where a
// process starts.
func TestFIPS(t *testing.T) {
	mode, ok := os.LookupEnv(fipsVariable)
	if !ok {
		for _, mode := range []string{"on", "only"} {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFIPS$", "-test.v")
			cmd.Env = append(os.Environ(), "GODEBUG=fips140="+mode, fipsVariable+"="+mode)
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestFIPS ") {
				t.Errorf("with fips140=%s: %v\n%s", mode, err, out)
			}
		}
		return
	}
	if !fips140.Enabled() || fips140.Enforced() != (mode == "only") {
		t.Fatalf("this process is not in the mode %s", mode)
	}
	for _, tt := range keyFiles {
		asked := false
		k, err := signer.ParsePEM(readKeyFile(t, tt.name), signer.Config{Passphrase: func() ([]byte, error) {
			asked = true
			return []byte(passphrase), nil
		}})
		if !unapprovedFile(tt.name) {
			if err != nil || k == nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		var cure interface{ Advice() string }
		if err == nil || k != nil || asked || !strings.Contains(err.Error(), "fips140="+mode) || !errors.As(err, &cure) || !strings.Contains(cure.Advice(), "PKCS #8") {
			t.Errorf("%s: %v, asked for the passphrase %t; want to be told of the mode, and how to mend it", tt.name, err, asked)
		}
	}
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.Ed25519} {
		k, err := signer.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Prove(t.Context(), k, nil); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := signer.Prove(t.Context(), k, crypto.SHA1); err == nil {
			t.Errorf("%s: proved with SHA-1", kind)
		}
		other, err := signer.Generate(kind)
		if err != nil {
			t.Fatal(err)
		}
		wrong := service{k, func(digest []byte, opts crypto.SignerOpts) ([]byte, error) {
			return other.Sign(t.Context(), digest, opts)
		}}
		if err := signer.Prove(t.Context(), wrong, nil); !errors.Is(err, signer.ErrProof) {
			t.Errorf("%s: a signature by another key: %v, want ErrProof", kind, err)
		}
		written, err := signer.MarshalPEM(k, []byte("short"))
		if err != nil {
			t.Fatalf("%s: write: %v", kind, err)
		}
		if _, err := signer.ParsePEM(written, withPassphrase("short")); err != nil {
			t.Errorf("%s: what was written is not read: %v", kind, err)
		}
	}
}
