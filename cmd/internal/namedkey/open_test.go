package namedkey_test

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/namedkey"
	"github.com/fencepost-tsa/fencepost/signer"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	key, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	for name, passphrase := range map[string][]byte{"plain.pem": nil, "open.pem": nil, "secret.pem": []byte("x")} {
		data, err := signer.MarshalPEM(key, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		mode := fs.FileMode(0o600)
		if name == "open.pem" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct{ uri, err, hint, warning string }{
		{"file:" + filepath.Join(dir, "plain.pem"), "", "", ""},
		{"file:" + filepath.Join(dir, "open.pem"), "", "", "open to others"},
		{"file:" + filepath.Join(dir, "secret.pem"), "encrypted", "?passphrase-file=FILE", ""},
		{"file:" + filepath.Join(dir, "none.pem"), "none.pem", "", ""},
		{"memory:p256", "a key in memory", "", ""},
		{"exec:/bin/true", "no program is started", "", ""},
	} {
		u, err := signer.ParseURI(row.uri)
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		got, err := namedkey.Open(t.Context(), &cli.Env{Stderr: &stderr}, u, nil)
		switch {
		case row.err == "" && err != nil:
			t.Errorf("%s: %v", row.uri, err)
		case row.err == "":
			if !key.Public().(*ecdsa.PublicKey).Equal(got.Public()) {
				t.Errorf("%s: another key", row.uri)
			}
			got.Close()
		case err == nil || !strings.Contains(err.Error(), row.err) || row.hint != "" && !strings.Contains(cli.HintOf(err), row.hint):
			t.Errorf("%s: %v, hint %q; want %q, %q", row.uri, err, cli.HintOf(err), row.err, row.hint)
		}
		if warned := strings.Contains(stderr.String(), "warning"); runtime.GOOS != "windows" && warned != (row.warning != "") {
			t.Errorf("%s: warnings: %q", row.uri, stderr.String())
		}
	}
	u := signer.URI{Scheme: signer.SchemeFile, Path: filepath.Join(dir, "none.pem")}
	if _, err := namedkey.Open(t.Context(), &cli.Env{}, u, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
