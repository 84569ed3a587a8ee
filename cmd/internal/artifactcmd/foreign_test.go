package artifactcmd_test

import (
	"context"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// TestRestampOfAnother: what is listed as a signature of the artifact and is of
// another one is not stamped, and no authority is asked.
func TestRestampOfAnother(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	subject := ocitest.WriteLayout(t, dir, "v1")
	data, err := os.ReadFile(writeSignature(t))
	if err != nil {
		t.Fatal(err)
	}
	repository, err := oci.OpenLayout(dir, oci.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repository.Attach(context.Background(), oci.Attachment{Subject: subject, ArtifactType: envelope.ArtifactType, Layer: data, LayerType: envelope.JWS.MediaType()}); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root.pem")
	_, chain := notarytest.Chain(t, notarytest.Options{})
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[2].Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := execute(t, map[string]string{"HOME": t.TempDir()}, "image", "restamp", "--oci-layout",
		"--timestamp-url", "http://127.0.0.1:1", "--timestamp-root-cert", root, dir+"@"+subject.Digest.String())
	if code != 1 || !strings.Contains(out, "of another artifact") || strings.Contains(out, "connection") {
		t.Errorf("exit status %d, %q", code, out)
	}
}
