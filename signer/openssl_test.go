//go:build interop

package signer_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

// OpenSSL reads what MarshalPEM writes, of every kind of key.
func TestOpenSSLReadsOurs(t *testing.T) {
	for _, name := range []string{"rsa2048", "p256", "p384", "p521", "ed25519"} {
		for _, pass := range []string{"", passphrase, "pässword with spaces"} {
			t.Run(name+"/"+pass, func(t *testing.T) {
				k, err := signer.ParsePEM(readKeyFile(t, name), signer.Config{})
				if err != nil {
					t.Fatal(err)
				}
				var secret []byte
				if pass != "" {
					secret = []byte(pass)
				}
				out, err := signer.MarshalPEM(k, secret)
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("openssl", "pkey", "-pubout", "-passin", "pass:"+pass)
				cmd.Stdin = bytes.NewReader(out)
				got, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("openssl pkey: %v\n%s", err, got)
				}
				if want := readKeyFile(t, name+"-public"); !bytes.Equal(got, want) {
					t.Errorf("openssl pkey -pubout printed\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}
