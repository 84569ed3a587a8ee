//go:build interop && cgo

package pkcs11

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// tpmModule is where Debian and Ubuntu install libtpm2-pkcs11-1.
const tpmModule = "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so"

// twoPorts returns the first of two neighbouring ports that are free: the
// client takes the control channel to be at the next port. They are below those
// that Linux gives to clients.
func twoPorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 15000 + rand.IntN(15000)
		free := 0
		for _, p := range []int{port, port + 1} {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
				l.Close()
				free++
			}
		}
		if free == 2 {
			return port
		}
	}
	t.Fatal("no two neighbouring ports are free")
	return 0
}

// startTPM runs a software TPM on two ports of the loopback, and points the
// module at it.
func startTPM(t *testing.T) {
	t.Helper()
	state, store := t.TempDir(), t.TempDir()
	port := twoPorts(t)
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+state, "--flags", "not-need-init,startup-clear",
		"--server", fmt.Sprintf("type=tcp,port=%d,bindaddr=127.0.0.1", port),
		"--ctrl", fmt.Sprintf("type=tcp,port=%d,bindaddr=127.0.0.1", port+1))
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	// The control channel takes any number of connections, the other one.
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port+1))
		if err == nil {
			c.Close()
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("swtpm does not start: %v\n%s", err, log.String())
		}
	}
	t.Setenv("TPM2_PKCS11_TCTI", fmt.Sprintf("swtpm:host=127.0.0.1,port=%d", port))
	t.Setenv("TPM2_PKCS11_STORE", store)
	t.Setenv("TSS2_LOG", "all+NONE")
	tool(t, "pkcs11-tool", "--module", tpmModule, "--init-token", "--slot-index", "0", "--label", "tpm", "--so-pin", "5678")
	tool(t, "pkcs11-tool", "--module", tpmModule, "--token-label", "tpm", "--init-pin", "--login", "--so-pin", "5678", "--pin", goodPIN)
}

// A TPM, through a module of quite another make than SoftHSM.
func TestTPM(t *testing.T) {
	startTPM(t)
	pin := filepath.Join(t.TempDir(), "pin")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(pin, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	uri := func(label string) signer.URI {
		return signer.URI{Scheme: signer.SchemePKCS11, Rest: "token=tpm;object=" + label + "?module-path=" + tpmModule + "&pin-source=" + pin}
	}
	write("9999")
	_, err := Open(t.Context(), uri("k"), Config{})
	checkFault(t, err, fault.Credentials, `the token "tpm" refuses the PIN: CKR_PIN_INCORRECT`, "right PIN")
	write(goodPIN)
	_, err = Open(t.Context(), uri("k"), Config{})
	checkFault(t, err, fault.NotFound, `the token "tpm" has no private key labelled "k"`, "fencepost key create")
	for _, kt := range []signer.KeyType{signer.P256, signer.P384, signer.RSA2048} {
		t.Run(string(kt), func(t *testing.T) {
			if kt == signer.RSA2048 {
				// This module makes no RSA key that must not decrypt, so that
				// Create cannot.
				tool(t, "pkcs11-tool", "--module", tpmModule, "--token-label", "tpm", "--login", "--pin", goodPIN,
					"--keypairgen", "--label", string(kt), "--id", "03", "--key-type", "rsa:2048")
			} else if err := Create(t.Context(), uri(string(kt)), kt, Config{}); err != nil {
				t.Fatal(err)
			}
			open := func(t *testing.T) signer.Signer {
				k, err := Open(t.Context(), uri(string(kt)), Config{})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { k.Close() })
				return k
			}
			signertest.Run(t, open)
			if kt == signer.RSA2048 {
				// It lists CKM_RSA_PKCS_PSS, and has no idea of the digest.
				err := signer.Prove(t.Context(), open(t), signer.PSS.Options(0))
				checkFault(t, err, fault.Unsupported, "CKM_RSA_PKCS_PSS with the key", "on P-256")
			}
		})
	}
}
