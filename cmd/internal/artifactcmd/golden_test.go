package artifactcmd_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
)

// TestGolden: what each command says, word for word. "go test -update" writes it
// anew; read what it has changed as whoever is called at night.
func TestGolden(t *testing.T) {
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, notarytest.Options{})
	r.write("file.txt", []byte("a file\n"))
	for _, step := range []struct {
		name   string
		line   string
		before func()
	}{
		{"list_none", "image list IMAGE", nil},
		{"inspect_none", "image inspect IMAGE", nil},
		{"inspect_none_json", "image inspect --json IMAGE", nil},
		{"verify_none", "image verify IMAGE", nil},
		{"verify_none_json", "image verify --json IMAGE", nil},
		{"sign", "image sign SIGN STAMP TAGGED", nil},
		{"sign_json", "image sign SIGN STAMP --json --signature-format cose -e 1h -m build=7 IMAGE", nil},
		{"list", "image list IMAGE", func() { r.others() }},
		{"list_json", "image list --json IMAGE", nil},
		{"inspect", "image inspect TAGGED", nil},
		{"inspect_json", "image inspect --json IMAGE", nil},
		{"verify", "image verify TAGGED", nil},
		{"verify_json", "image verify --json IMAGE", nil},
		{"verify_metadata", "image verify -m build=7 IMAGE", nil},
		{"verify_metadata_verbose", "image verify -v -m build=7 IMAGE", nil},
		{"verify_metadata_json", "image verify --json -m build=8 IMAGE", nil},
		{"verify_late", "image verify --at 2060-01-01T00:00:00Z IMAGE", nil},
		{"verify_early", "image verify --at 2025-01-01T00:00:00Z IMAGE", nil},
		{"restamp_which", "image restamp STAMP IMAGE", nil},
		{"blob_sign", "blob sign SIGN STAMP file.txt", nil},
		{"blob_sign_json", "blob sign SIGN --signature-format cose --json file.txt", nil},
		{"blob_again", "blob sign SIGN file.txt", nil},
		{"blob_inspect", "blob inspect file.txt.jws.sig", nil},
		{"blob_inspect_json", "blob inspect --json file.txt.cose.sig", nil},
		{"blob_verify", "blob verify -s file.txt.jws.sig file.txt", nil},
		{"blob_verify_no_timestamp", "blob verify -s file.txt.cose.sig file.txt", nil},
		{"blob_restamp", "blob restamp STAMP -o new.cose.sig file.txt.cose.sig", nil},
		{"blob_verify_restamped", "blob verify --json -s new.cose.sig file.txt", nil},
		{"blob_verify_other", "blob verify -s file.txt.jws.sig key.pem", nil},
		{"verify_skip", "image verify IMAGE", func() { r.policy("skip", nil) }},
		{"verify_skip_json", "image verify --json IMAGE", nil},
		{"verify_audit", "image verify IMAGE", func() {
			r.policy("audit", func(st map[string]any) {
				st["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=Somebody"}
			})
		}},
		{"verify_identity", "image verify IMAGE", func() {
			r.policy("strict", func(st map[string]any) {
				st["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=Somebody"}
			})
		}},
		{"verify_broken_store", "image verify IMAGE", func() {
			r.policy("strict", nil)
			r.write("config/truststore/x509/ca/app/root.pem", []byte("garbage"))
		}},
	} {
		if step.before != nil {
			step.before()
		}
		r.golden(home, step.name, step.line, r.run(step.line))
	}
}

// others stores what others than the Notary Project keep beside an image.
func (r *rig) others() {
	r.t.Helper()
	layer := []byte("{}")
	blob := r.registry.PutBlob("app", layer)
	put := func(tag string, m ocispec.Manifest) {
		m.Versioned, m.MediaType, m.Config = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest, ocispec.DescriptorEmptyJSON
		data, err := json.Marshal(m)
		if err != nil {
			r.t.Fatal(err)
		}
		r.registry.PutManifest("app", tag, ocispec.MediaTypeImageManifest, data)
	}
	one := func(mediaType string) []ocispec.Descriptor {
		return []ocispec.Descriptor{{MediaType: mediaType, Digest: blob, Size: int64(len(layer))}}
	}
	put("", ocispec.Manifest{ArtifactType: "application/vnd.dev.sigstore.bundle.v0.3+json", Subject: &r.subject, Layers: one("application/vnd.dev.sigstore.bundle.v0.3+json")})
	put("", ocispec.Manifest{ArtifactType: "application/spdx+json", Subject: &r.subject, Layers: one("application/spdx+json")})
	tag := strings.Replace(r.subject.Digest.String(), ":", "-", 1)
	simple := "application/vnd.dev.cosign.simplesigning.v1+json"
	put(tag+".sig", ocispec.Manifest{Layers: append(one(simple), one(simple)...)})
	put(tag+".att", ocispec.Manifest{Layers: one("application/vnd.dsse.envelope.v1+json")})
}
