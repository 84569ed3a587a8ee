package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The kinds of places where images and their signatures are kept. The first three are those of the module
// ociregistry; distribution is the CNCF's registry, which has no referrers API.
const (
	placeReferrers    = "cuelabs"
	placeConfigType   = "ggcr"
	placeTag          = "ggcr-tag"
	placeDistribution = "distribution"
	placeLayout       = "layout"
)

var placeKinds = []string{placeReferrers, placeConfigType, placeTag, placeDistribution, placeLayout}

const typeIndex = "application/vnd.oci.image.index.v1+json"

// A place is a registry, or a directory in which each image has an OCI layout.
type place struct {
	kind     string
	registry *registry // nil for layouts
	dir      string
	images   int
}

// An image is one in a place.
type image struct {
	place  *place
	name   string // repository
	layer  []byte
	digest string
	byTag  bool // the commands know it by the tag v1, not by its digest
}

func startPlace(t *testing.T, kind string) *place {
	t.Helper()
	p := &place{kind: kind}
	switch kind {
	case placeLayout:
		p.dir = t.TempDir()
	case placeDistribution:
		p.registry = startRegistry(t)
	default:
		host := "127.0.0.1:" + freePort(t)
		scratch(t).serve(t, "http://"+host+"/v2/", os.Getenv(envOCIRegistry), "-kind", kind, "-listen", host)
		p.registry = &registry{host: host}
	}
	return p
}

// push makes an image that is not yet there.
func (p *place) push(t *testing.T) *image {
	t.Helper()
	return p.keep(t, fmt.Appendf(nil, "layer %d of %s", p.images, t.Name()))
}

// again makes the same image, without its signatures, in another repository.
func (p *place) again(t *testing.T, img *image) *image {
	t.Helper()
	return p.keep(t, img.layer)
}

func (p *place) keep(t *testing.T, layer []byte) *image {
	t.Helper()
	p.images++
	img := &image{place: p, name: fmt.Sprintf("fencepost/image%d", p.images), layer: layer}
	if p.registry != nil {
		_, img.digest, _ = strings.Cut(p.registry.push(t, img.name, layer), "@")
	} else {
		img.digest = writeLayout(t, img.layout(), layer)
	}
	return img
}

// index makes an image index with the image as its only entry, in the same repository.
func (p *place) index(t *testing.T, img *image) *image {
	t.Helper()
	if p.registry == nil {
		t.Fatal("an index is made in a registry")
	}
	url := fmt.Sprintf("http://%s/v2/%s/manifests/", p.registry.host, img.name)
	_, entry := p.registry.do(t, http.MethodGet, url+img.digest, "", nil)
	data, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": typeIndex,
		"manifests": []descriptor{{MediaType: typeManifest, Digest: img.digest, Size: len(entry)}}})
	if err != nil {
		t.Fatal(err)
	}
	whole := *img
	whole.digest = digestOf(data)
	p.registry.do(t, http.MethodPut, url+whole.digest, typeIndex, data)
	return &whole
}

// tag has the image known by a tag, which one in a layout has already.
func (p *place) tag(t *testing.T, img *image) *image {
	t.Helper()
	if p.registry != nil {
		url := fmt.Sprintf("http://%s/v2/%s/manifests/", p.registry.host, img.name)
		_, data := p.registry.do(t, http.MethodGet, url+img.digest, "", nil)
		p.registry.do(t, http.MethodPut, url+"v1", typeManifest, data)
	}
	tagged := *img
	tagged.byTag = true
	return &tagged
}

// layout is the directory of the image.
func (i *image) layout() string { return filepath.Join(i.place.dir, filepath.Base(i.name)) }

// scope is by what a trust policy knows the image.
func (i *image) scope() string {
	if i.place.registry == nil {
		return "local/" + i.name
	}
	return i.place.registry.host + "/" + i.name
}

// reference is by what the commands know it.
func (i *image) reference() string {
	name := i.scope()
	if i.place.registry == nil {
		name = i.layout()
	}
	if i.byTag {
		return name + ":v1"
	}
	return name + "@" + i.digest
}

// writeLayout writes an OCI image layout with an image of one layer, tagged v1, and returns the digest of its
// manifest.
func writeLayout(t *testing.T, dir string, layer []byte) string {
	t.Helper()
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(mediaType string, data []byte) descriptor {
		digest := digestOf(data)
		write(filepath.Join("blobs", "sha256", strings.TrimPrefix(digest, "sha256:")), data)
		return descriptor{MediaType: mediaType, Digest: digest, Size: len(data)}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	m := blob(typeManifest, encode(manifest{SchemaVersion: 2, MediaType: typeManifest,
		Config: blob(typeConfig, []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)),
		Layers: []descriptor{blob(typeLayer, layer)}}))
	m.Annotations = map[string]string{"org.opencontainers.image.ref.name": "v1"}
	write("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	write("index.json", encode(map[string]any{"schemaVersion": 2, "manifests": []descriptor{m}}))
	return m.Digest
}
