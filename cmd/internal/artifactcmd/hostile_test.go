package artifactcmd_test

import (
	"crypto/x509/pkix"
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// evil is what a terminal would obey: it clears the screen, sets a title, goes
// up a line and forges one of ours, writes backwards, and begins a line.
const evil = "x\x1b[2J\x1b]0;title\a\x1b[1A\rfencepost: verified\nforged\u009b31m\u202egnorw\u2028next\x7f"

// TestHostile: texts of others reach the terminal in one line and harmless,
// wherever they stand.
func TestHostile(t *testing.T) {
	r := newRig(t, notarytest.Options{Name: "Hostile", Subject: pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{evil}, CommonName: evil}})
	r.write("file.txt", []byte("a file\n"))
	r.must("image sign SIGN STAMP IMAGE", "-m", evil+"="+evil)
	r.must("blob sign SIGN STAMP file.txt", "-m", "a="+evil, "--media-type", evil)

	// What no honest program stores.
	layer := []byte("{}")
	digest := r.registry.PutBlob("app", layer)
	for _, m := range []ocispec.Manifest{
		{ArtifactType: "application/vnd.dev.sigstore.bundle" + evil, Layers: []ocispec.Descriptor{{MediaType: "a/b", Digest: digest, Size: 2}}},
		{ArtifactType: "application/vnd.cncf.notary.signature", Layers: []ocispec.Descriptor{{MediaType: evil, Digest: digest, Size: 2}}},
		{ArtifactType: "application/vnd.cncf.notary.signature", Layers: []ocispec.Descriptor{{MediaType: "application/jose+json", Digest: r.registry.PutBlob("app", []byte(`{"`+"\u009b"+`":1}`)), Size: 8}}},
	} {
		m.Versioned, m.MediaType, m.Config, m.Subject = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest, ocispec.DescriptorEmptyJSON, &r.subject
		m.Annotations = map[string]string{"x": evil}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		r.registry.PutManifest("app", "", ocispec.MediaTypeImageManifest, data)
	}
	lines := []string{
		"image inspect IMAGE", "image list IMAGE", "image verify -v IMAGE", "image verify -v -m a=1 IMAGE", "image restamp STAMP IMAGE",
		"blob inspect file.txt.jws.sig", "blob verify -s file.txt.jws.sig file.txt", "blob verify -m a=1 -s file.txt.jws.sig file.txt",
		"blob verify --media-type a/b -s file.txt.jws.sig file.txt", "blob restamp STAMP -o new.jws.sig file.txt.jws.sig",
	}
	check := func(when string) {
		for _, line := range lines {
			got := r.run(line)
			for stream, text := range map[string]string{"standard output": got.stdout, "standard error": got.stderr} {
				if i := strings.IndexFunc(text, func(c rune) bool {
					return unicode.IsControl(c) && c != '\n' || c == '\u2028' || c == '\u2029' || unicode.Is(unicode.Bidi_Control, c)
				}); i >= 0 {
					t.Errorf("%s: %s: %s has %q", when, line, stream, text[max(0, i-40):min(len(text), i+40)])
				}
				for l := range strings.Lines(text) {
					if strings.HasPrefix(l, "forged") || stream == "standard output" && strings.HasPrefix(l, "fencepost: ") {
						t.Errorf("%s: %s: a forged line in %s: %q", when, line, stream, l)
					}
				}
			}
			// In JSON nothing is lost, and nothing breaks out of it.
			if got = r.run(line + " --json"); !json.Valid([]byte(got.stdout)) || strings.ContainsFunc(got.stdout, func(c rune) bool { return c < ' ' && c != '\n' }) {
				t.Errorf("%s: %s --json: %q", when, line, got.stdout)
			}
		}
	}
	check("trusted")
	r.policy("strict", func(st map[string]any) { st["trustedIdentities"] = []string{"x509.subject: C=US, ST=WA, O=Somebody"} })
	check("another name")
	_, other := notarytest.Chain(t, notarytest.Options{Name: "Other"})
	r.write("config/truststore/x509/ca/app/root.pem", certificates(other[2]))
	r.policy("audit", nil)
	check("not trusted")
	// The authority's words, too: an answer in HTML, a reason for a refusal.
	r.registry.Mend()
	r.registry.Fault("GET ", faultText(evil))
	lines = []string{"image inspect IMAGE", "image sign SIGN IMAGE"}
	check("the registry")
}

// faultText is the answer of a registry that refuses with a text.
func faultText(text string) ocitest.Fault {
	body, err := json.Marshal(map[string]any{"errors": []any{map[string]string{"code": text, "message": text}}})
	if err != nil {
		panic("artifactcmd_test: " + err.Error())
	}
	return ocitest.Fault{Status: 403, Body: body, Header: map[string][]string{"Warning": {`299 - "` + strings.ReplaceAll(text, "\n", "") + `"`}}}
}
