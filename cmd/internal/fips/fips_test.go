package fips_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/fips"
)

// inMode runs one test of this binary in a mode: it is chosen where a process
// starts.
func inMode(t *testing.T, mode fips.Mode, test string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140="+string(mode), childVariable+"="+string(mode))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+test+" ") {
		t.Errorf("%s with fips140=%s: %v\n%s", test, mode, err, out)
	}
}

// childVariable tells a process started by inMode which mode it should be in.
const childVariable = "FENCEPOST_TEST_FIPS"

func TestCurrent(t *testing.T) {
	if want, ok := os.LookupEnv(childVariable); ok {
		if got := fips.Current(); string(got) != want {
			t.Errorf("the mode is %s, want %s", got, want)
		}
		if m := fips.Module(); m == "" || (want == "off") == strings.Contains(fips.String(), m) {
			t.Errorf("the module is %q, all is %q", m, fips.String())
		}
		return
	}
	for _, m := range fips.Modes() {
		inMode(t, m, "TestCurrent")
	}
}

// TestCheckKey holds what is approved: in the mode off, everything.
func TestCheckKey(t *testing.T) {
	if _, child := os.LookupEnv(childVariable); !child {
		inMode(t, fips.On, "TestCheckKey")
		inMode(t, fips.Only, "TestCheckKey")
	}
	rsaKey := func(bits uint, exponent int) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), int(bits)-1, 1), E: exponent}
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		says string // "": approved
	}{
		{"P-256", &ecdsa.PublicKey{Curve: elliptic.P256()}, ""},
		{"P-384", &ecdsa.PublicKey{Curve: elliptic.P384()}, ""},
		{"P-521", &ecdsa.PublicKey{Curve: elliptic.P521()}, ""},
		{"Ed25519", ed, ""},
		{"RSA 2048", rsaKey(2048, 65537), ""},
		{"RSA 4096", rsaKey(4096, 65537), ""},
		{"P-224", &ecdsa.PublicKey{Curve: elliptic.P224()}, "P-224"},
		{"RSA 1024", rsaKey(1024, 65537), "1024 bits"},
		{"RSA 2047", rsaKey(2047, 65537), "2047 bits"},
		{"RSA 2049", rsaKey(2049, 65537), "2049 bits"},
		{"exponent 3", rsaKey(2048, 3), "exponent 3"},
		{"even exponent", rsaKey(2048, 65538), "exponent 65538"},
		{"none", nil, "<nil>"},
	} {
		err := fips.CheckKey(tt.key)
		if tt.says == "" || fips.Current() == fips.Off {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		var e *fips.Error
		if !errors.As(err, &e) || e.Mode != fips.Current() || !strings.Contains(err.Error(), tt.says) ||
			!strings.Contains(err.Error(), "fips140="+string(fips.Current())) || cli.HintOf(err) == "" {
			t.Errorf("%s: got %v, want an error with %q", tt.name, err, tt.says)
		}
	}
}

func TestCheckNTS(t *testing.T) {
	if _, child := os.LookupEnv(childVariable); !child {
		inMode(t, fips.On, "TestCheckNTS")
		inMode(t, fips.Only, "TestCheckNTS")
	}
	err := fips.CheckNTS()
	if (err != nil) != (fips.Current() == fips.Only) {
		t.Errorf("in the mode %s: %v", fips.Current(), err)
	}
	if err != nil && !strings.Contains(cli.HintOf(err), "kernel") {
		t.Errorf("the hint is %q", cli.HintOf(err))
	}
}
