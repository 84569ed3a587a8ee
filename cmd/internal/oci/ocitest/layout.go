package ocitest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type image struct {
	blobs    [][]byte
	manifest []byte
}

// newImage makes a small image that depends on the seed.
func newImage(seed string) image {
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
	layer := []byte("layer of " + seed)
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    descriptor(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{descriptor(ocispec.MediaTypeImageLayer, layer)},
	})
	if err != nil {
		panic("ocitest: internal error: " + err.Error()) // the types above always marshal
	}
	return image{[][]byte{config, layer}, manifest}
}

func descriptor(mediaType string, data []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}

// WriteLayout writes an image layout into a directory that is made, with a small
// image under a tag, and returns the image's descriptor.
func WriteLayout(tb testing.TB, dir, tag string) ocispec.Descriptor {
	tb.Helper()
	image := newImage(tag)
	for _, blob := range append(image.blobs, image.manifest) {
		WriteBlob(tb, dir, blob)
	}
	desc := descriptor(ocispec.MediaTypeImageManifest, image.manifest)
	entry := desc
	entry.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{entry},
	})
	if err != nil {
		tb.Fatal(err)
	}
	writeFile(tb, filepath.Join(dir, ocispec.ImageIndexFile), index)
	writeFile(tb, filepath.Join(dir, ocispec.ImageLayoutFile), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return desc
}

// WriteBlob writes a blob into a layout.
func WriteBlob(tb testing.TB, dir string, data []byte) digest.Digest {
	tb.Helper()
	d := digest.FromBytes(data)
	writeFile(tb, filepath.Join(dir, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded()), data)
	return d
}

func writeFile(tb testing.TB, name string, data []byte) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		tb.Fatal(err)
	}
}
