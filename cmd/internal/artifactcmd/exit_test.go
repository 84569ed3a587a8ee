package artifactcmd_test

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// writePair writes a key and the chain of a signer, who may be another one, and
// returns the flags that name them.
func writePair(t *testing.T, key, chain notarytest.Options) []string {
	t.Helper()
	dir := t.TempDir()
	der, err := x509.MarshalPKCS8PrivateKey(notarytest.Key(t, key, 0))
	if err != nil {
		t.Fatal(err)
	}
	_, certs := notarytest.Chain(t, chain)
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	keyFile, chainFile := filepath.Join(dir, "key.pem"), filepath.Join(dir, "chain.pem")
	for name, data := range map[string][]byte{keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), chainFile: text} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--key", "file:" + keyFile, "--certificate-chain", chainFile}
}

// refusing starts an authority that refuses, and returns its address.
func refusing(t *testing.T) string {
	t.Helper()
	reply := (&tsp.Rejection{Info: tsp.UnacceptedPolicy, Text: "no"}).Marshal()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/timestamp-reply")
		w.Write(reply)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestExitOfSigning: 1 is the no of an authority; what is wrong with the key or
// the chain, or how the command is used, is 2, and so is an authority that does
// not answer among some that refuse.
func TestExitOfSigning(t *testing.T) {
	ours, theirs := notarytest.Options{}, notarytest.Options{Name: "Another"}
	root := filepath.Join(t.TempDir(), "root.pem")
	_, certs := notarytest.Chain(t, ours)
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs[2].Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	stamped := func(urls ...string) []string {
		flags := append(writePair(t, ours, ours), "--timestamp-root-cert", root, "--timestamp-retries", "0")
		for _, url := range urls {
			flags = append(flags, "--timestamp-url", url)
		}
		return flags
	}
	const nobody = "http://127.0.0.1:1"
	expired := notarytest.Options{NotAfter: certs[0].NotBefore.AddDate(1, 0, 0)}
	for _, row := range []struct {
		name  string
		flags []string
		code  int
		want  string
	}{
		{"another's key", writePair(t, theirs, ours), 2, "not that of the first certificate"},
		{"expired", writePair(t, ours, expired), 2, "expired"},
		{"reserved metadata", append(writePair(t, ours, ours), "-m", "io.cncf.notary.x=1"), 2, "reserved"},
		{"refused", stamped(refusing(t)), 1, "unacceptedPolicy"},
		{"nobody answers", stamped(nobody), 2, "connection refused"},
		{"refused, and nobody answers", stamped(refusing(t), nobody), 2, "connection refused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out := execute(t, map[string]string{"HOME": t.TempDir()}, append([]string{"blob", "sign", file}, row.flags...)...)
			if code != row.code || !strings.Contains(out, row.want) {
				t.Errorf("exit status %d, %q; want %d and %q", code, out, row.code, row.want)
			}
			if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
				t.Errorf("there is more than the file: %v, %v", entries, err)
			}
		})
	}
}
