package oci

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	someDigest = `"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"`
	someDesc   = `{"mediaType":"application/vnd.oci.empty.v1+json","digest":` + someDigest + `,"size":2}`
	image      = ocispec.MediaTypeImageManifest
)

func TestParseManifest(t *testing.T) {
	for _, test := range []struct {
		name, mediaType, in string
		want                string // part of the error; "": there is none
	}{
		{"image", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[` + someDesc + `]}`, ""},
		{"image of Docker's", mediaTypeDockerManifest, `{"schemaVersion":2,"mediaType":"` + mediaTypeDockerManifest + `","config":` + someDesc + `,"layers":[]}`, ""},
		{"no layers, written null", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":null}`, ""},
		{"index", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"manifests":[` + someDesc + `],"subject":` + someDesc + `,"artifactType":"a/b"}`, ""},
		{"artifact manifest", mediaTypeArtifact, `{"mediaType":"` + mediaTypeArtifact + `","artifactType":"a/b","blobs":[` + someDesc + `],"subject":` + someDesc + `}`, ""},
		{"unknown members", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"x":{"y":[1,2.5,true,null]}}`, ""},

		{"empty", image, ``, "ends too early"},
		{"cut", image, `{"schemaVersion":2`, "ends too early"},
		{"not JSON", image, `<html>`, "not JSON"},
		{"not an object", image, `[]`, "not a JSON object"},
		{"null", image, `null`, "not a JSON object"},
		{"trailing data", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[]}{}`, "data behind"},
		{"trailing comma", image, `{"schemaVersion":2,}`, "not JSON"},
		{"byte order mark", image, "\xef\xbb\xbf{}", "not JSON"},
		{"not UTF-8", image, "{\"a\":\"\xff\"}", "not UTF-8"},
		{"deep", image, strings.Repeat(`{"a":`, 20) + `1` + strings.Repeat(`}`, 20), "nested deeper than 16"},
		{"very deep", image, strings.Repeat(`[`, 1<<20), "exceeded max depth"},
		{"a member twice", image, `{"schemaVersion":2,"schemaVersion":2}`, `member "schemaVersion" is there twice`},
		{"a member twice, escaped", image, `{"layers":[],"l\u0061yers":[]}`, `member "layers" is there twice`},
		{"a member twice, below", image, `{"config":{"size":1,"size":2}}`, `member "size" is there twice`},
		{"an annotation twice", image, `{"annotations":{"a":"1","a":"2"}}`, `member "a" is there twice`},
		{"another case", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"Layers":[]}`, `layers is written "Layers"`},
		{"another case, of unicode", image, `{"schemaVersion":2,"config":` + someDesc + `,"layer\u017f":[],"layers":[]}`, `layers is written`},
		{"another case, below", image, `{"schemaVersion":2,"config":{"mediaType":"a/b","Digest":"x","digest":` + someDigest + `,"size":1},"layers":[]}`, `config.digest is written "Digest"`},
		{"many members", image, `{` + manyMembers(5000) + `"z":1}`, "more than 4096 members"},

		{"no version", image, `{"config":` + someDesc + `,"layers":[]}`, "schemaVersion is missing"},
		{"version 1", image, `{"schemaVersion":1,"fsLayers":[]}`, "schemaVersion is 1, not 2"},
		{"a fraction", image, `{"schemaVersion":2.0,"config":` + someDesc + `,"layers":[]}`, "schemaVersion"},
		{"another type inside", image, `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","config":` + someDesc + `,"layers":[]}`, "but it was announced as"},
		{"type not a string", image, `{"schemaVersion":2,"mediaType":7}`, "mediaType: not a string"},
		{"an index called an image", image, `{"schemaVersion":2,"manifests":[]}`, `has "manifests"`},
		{"an image called an index", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[]}`, `has "config"`},
		{"both", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"manifests":[]}`, `has "manifests"`},
		{"both, as an index", ocispec.MediaTypeImageIndex, `{"schemaVersion":2,"layers":[],"manifests":[]}`, `has "layers"`},
		{"Docker's first schema", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"fsLayers":[]}`, `has "fsLayers"`},
		{"no config", image, `{"schemaVersion":2,"layers":[]}`, "config is missing"},
		{"config null", image, `{"schemaVersion":2,"config":null,"layers":[]}`, "config is missing"},
		{"no layers", image, `{"schemaVersion":2,"config":` + someDesc + `}`, "layers is missing"},
		{"no manifests", ocispec.MediaTypeImageIndex, `{"schemaVersion":2}`, "manifests is missing"},
		{"layers not an array", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":{}}`, "layers: not an array"},
		{"layer not an object", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":["x"]}`, "layers[0]: not a JSON object"},
		{"layer without digest", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[` + someDesc + `,{"mediaType":"a/b","size":1}]}`, "layers[1].digest"},
		{"layer without size", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[{"mediaType":"a/b","digest":` + someDigest + `}]}`, "layers[0].size is missing"},
		{"negative size", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[{"mediaType":"a/b","digest":` + someDigest + `,"size":-1}]}`, "layers[0].size"},
		{"huge size", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[{"mediaType":"a/b","digest":` + someDigest + `,"size":1e30}]}`, "layers[0].size"},
		{"layer without type", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[{"digest":` + someDigest + `,"size":1}]}`, "layers[0].mediaType is missing"},
		{"digest that is a path", image, `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:../../../x","size":1},"layers":[]}`, "config.digest"},
		{"subject without digest", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"subject":{}}`, "subject.digest"},
		{"annotation not a string", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"annotations":{"a":1}}`, "annotations.a: not a string"},
		{"annotations not an object", image, `{"schemaVersion":2,"config":` + someDesc + `,"layers":[],"annotations":[]}`, "annotations: not a JSON object"},
		{"no manifest at all", "application/json", `{}`, "is not a manifest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := describe(test.mediaType, []byte(test.in))
			m, err := parseManifest(d, []byte(test.in))
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if string(m.Raw) != test.in || m.Descriptor.Digest != d.Digest {
					t.Errorf("manifest %+v", m)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"a` + strings.Repeat("x", i%7) + itoa(i) + `":1,`)
	}
	return b.String()
}

func itoa(i int) string { data, _ := json.Marshal(i); return string(data) }

func TestArtifactType(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{`{"schemaVersion":2,"config":` + someDesc + `,"layers":[]}`, ocispec.MediaTypeEmptyJSON},
		{`{"schemaVersion":2,"artifactType":"a/b","config":` + someDesc + `,"layers":[]}`, "a/b"},
		{`{"schemaVersion":2,"artifactType":"","config":` + someDesc + `,"layers":[]}`, ocispec.MediaTypeEmptyJSON},
	} {
		m, err := parseManifest(describe(image, []byte(test.in)), []byte(test.in))
		if err != nil || m.ArtifactType != test.want {
			t.Errorf("%s has the type %q, %v; want %q", test.in, m.ArtifactType, err, test.want)
		}
	}
}

// FuzzParseManifest holds that what we accept is what package encoding/json
// reads: one manifest means the same to every reader. JSON may be written in many
// ways; the digest is over Raw, which stays as it is.
func FuzzParseManifest(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"mediaType":"` + image + `","artifactType":"a/b","config":` + someDesc + `,"layers":[` + someDesc + `],"subject":` + someDesc + `,"annotations":{"a":"b"}}`,
		`{"schemaVersion":2,"config":` + someDesc + `,"layers":null,"x":[[{}]]}`, `{"layers":[],"Layers":[]}`, `{"manifests":[]}`, `[`,
	} {
		f.Add([]byte(s), false)
	}
	f.Add([]byte(`{"schemaVersion":2,"manifests":[`+someDesc+`]}`), true)
	f.Fuzz(func(t *testing.T, data []byte, isIndex bool) {
		mediaType := image
		if isIndex {
			mediaType = ocispec.MediaTypeImageIndex
		}
		m, err := parseManifest(describe(mediaType, data), data)
		if err != nil {
			if m != nil {
				t.Error("a manifest together with an error")
			}
			return
		}
		if digest.FromBytes(m.Raw) != m.Descriptor.Digest || int64(len(m.Raw)) != m.Descriptor.Size {
			t.Error("the bytes are not those of the digest")
		}
		var std struct {
			ocispec.Manifest
			Manifests []Descriptor `json:"manifests"`
		}
		if err := json.Unmarshal(data, &std); err != nil {
			return // it is stricter about members that we do not read
		}
		if isIndex && len(std.Manifests) != len(m.Manifests) || !isIndex && (len(std.Layers) != len(m.Layers) || std.Config.Digest != m.Config.Digest) {
			t.Errorf("another manifest to encoding/json: %+v, %+v", std, m)
		}
		for i, d := range m.Layers {
			if s := std.Layers[i]; s.Digest != d.Digest || s.Size != d.Size || s.MediaType != d.MediaType {
				t.Errorf("layer %d: %+v, %+v", i, s, d)
			}
		}
		if (std.Subject == nil) != (m.Subject == nil) || m.Subject != nil && std.Subject.Digest != m.Subject.Digest {
			t.Errorf("subject %v, %v", std.Subject, m.Subject)
		}
		if std.ArtifactType != "" && std.ArtifactType != m.ArtifactType {
			t.Errorf("type %q, %q", std.ArtifactType, m.ArtifactType)
		}
	})
}

// FuzzIndex holds that adding an entry keeps the others.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[` + someDesc + `, {"x": 1}],"annotations":{"k":"v"}}`))
	f.Add([]byte(`{"manifests":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := parseDocument(data)
		if err != nil {
			return
		}
		items, err := doc.items("manifests")
		if err != nil {
			return
		}
		out, err := doc.with("manifests", []byte(someDesc))
		if err != nil {
			return
		}
		again, err := parseDocument(out)
		if err != nil {
			t.Fatalf("%s\nbecame\n%s: %v", data, out, err)
		}
		now, err := again.items("manifests")
		if err != nil || len(now) != len(items)+1 || string(now[len(items)]) != someDesc {
			t.Fatalf("%s\nbecame\n%s: %v", data, out, err)
		}
		for i, item := range items {
			if string(item) != string(now[i]) {
				t.Errorf("entry %d was %s and is %s", i, item, now[i])
			}
		}
	})
}
