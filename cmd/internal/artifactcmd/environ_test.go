package artifactcmd_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/artifactcmd"
	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
)

// execute runs a command line of "image" and "blob", and returns the exit status
// and both outputs together.
func execute(t *testing.T, environ map[string]string, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	env := &cli.Env{Program: "fencepost", Stdout: &out, Stderr: &out, Getenv: func(name string) string { return environ[name] }}
	root := &cobra.Command{Use: "fencepost"}
	root.AddCommand(artifactcmd.NewImage(env), artifactcmd.NewBlob(env))
	code := cli.Run(t.Context(), env, root, args)
	return code, out.String()
}

// writeSignature writes a signature of some file, without a timestamp, and
// returns its name.
func writeSignature(t *testing.T) string {
	t.Helper()
	key, chain := notarytest.Chain(t, notarytest.Options{})
	s := &notary.Signing{Format: envelope.JWS, Key: key, Chain: chain}
	made, err := s.Sign(t.Context(), envelope.Target{MediaType: "text/plain", Digest: digest.FromString("file").String(), Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "old.jws.sig")
	if err := os.WriteFile(name, made.Envelope, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestEnvironment: a variable that stands for a flag counts with every command
// that mentions it. One that did not would make signatures without a timestamp
// where a pipeline means to have them.
func TestEnvironment(t *testing.T) {
	for _, command := range []string{"image sign", "blob sign", "image restamp", "blob restamp"} {
		t.Run(command, func(t *testing.T) {
			words := strings.Fields(command)
			_, help := execute(t, nil, append(words, "--help")...)
			if !strings.Contains(help, "$FENCEPOST_TIMESTAMP_URL") {
				t.Fatalf("the help does not name the variable:\n%s", help)
			}
			args := append(words, "localhost/app:v1")
			if command == "blob restamp" {
				args = append(words, "--out", "new.jws.sig", writeSignature(t))
			}
			code, out := execute(t, map[string]string{"FENCEPOST_TIMESTAMP_URL": "http://127.0.0.1:1", "HOME": t.TempDir()}, args...)
			if want := "--timestamp-url without the root certificate"; code != 2 || !strings.Contains(out, want) {
				t.Errorf("exit status %d, %q; want 2 and %q", code, out, want)
			}
		})
	}
}
