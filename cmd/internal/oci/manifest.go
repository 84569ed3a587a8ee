package oci

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Descriptor is a descriptor of the image-spec.
type Descriptor = ocispec.Descriptor

// Media types that are not in package ocispec.
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	// Of image-spec 1.1.0-rc2: short-lived, but signed and stored by notation 1.0.
	mediaTypeArtifact = "application/vnd.oci.artifact.manifest.v1+json"
)

// manifestTypes are those that [Repository.Resolve] takes, in the order of the
// Accept header.
var manifestTypes = []string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	mediaTypeDockerManifest, mediaTypeDockerList, mediaTypeArtifact,
}

func isManifest(mediaType string) bool { return slices.Contains(manifestTypes, mediaType) }

// IsIndex tells whether a media type is that of a list of manifests.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == mediaTypeDockerList
}

// A Manifest is the manifest of an image or artifact, or an index, as far as
// this program reads it. The digest and size of Raw are those of Descriptor.
type Manifest struct {
	Descriptor Descriptor // media type, digest and size
	Raw        []byte

	// ArtifactType is what it says, or else the media type of its config: older
	// manifests have no other place for it (image-spec, manifest.md).
	ArtifactType string
	Subject      *Descriptor  // what it refers to; nil if nothing
	Config       *Descriptor  // nil for an index
	Layers       []Descriptor // none in an index
	Manifests    []Descriptor // of an index
	Annotations  map[string]string
}

// shapes are the members that a kind of manifest has to have, and those that
// would make it another kind to another reader (CVE-2021-41190).
var shapes = map[string]struct{ needs, excludes []string }{
	ocispec.MediaTypeImageManifest: {[]string{"config", "layers"}, []string{"manifests", "fsLayers", "blobs"}},
	mediaTypeDockerManifest:        {[]string{"config", "layers"}, []string{"manifests", "fsLayers", "blobs"}},
	ocispec.MediaTypeImageIndex:    {[]string{"manifests"}, []string{"config", "layers", "fsLayers", "blobs"}},
	mediaTypeDockerList:            {[]string{"manifests"}, []string{"config", "layers", "fsLayers", "blobs"}},
	mediaTypeArtifact:              {nil, []string{"config", "layers", "manifests", "fsLayers"}},
}

// parseManifest reads a manifest that is delivered as desc.MediaType.
func parseManifest(desc Descriptor, raw []byte) (*Manifest, error) {
	doc, err := parseDocument(raw)
	if err != nil {
		return nil, err
	}
	return manifestOf(desc, doc, raw)
}

func manifestOf(desc Descriptor, doc document, raw []byte) (*Manifest, error) {
	m, err := readManifest(desc, doc, raw)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func readManifest(desc Descriptor, doc document, raw []byte) (*Manifest, error) {
	shape, ok := shapes[desc.MediaType]
	if !ok {
		return nil, fmt.Errorf("%s is not a manifest", shown(desc.MediaType))
	}
	m := &Manifest{Descriptor: Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, Raw: raw}
	mediaType, err := doc.text("mediaType")
	if err != nil {
		return nil, err
	}
	if mediaType != "" && mediaType != desc.MediaType {
		return nil, fmt.Errorf("mediaType is %s, but it was announced as %s", shown(mediaType), desc.MediaType)
	}
	if desc.MediaType != mediaTypeArtifact {
		version, err := doc.number("schemaVersion")
		if err != nil {
			return nil, err
		}
		if version != 2 {
			return nil, fmt.Errorf("schemaVersion is %d, not 2", version)
		}
	}
	for _, name := range shape.excludes {
		if doc.has(name) {
			return nil, fmt.Errorf("announced as %s, but it has %q", desc.MediaType, name)
		}
	}
	for _, name := range shape.needs {
		if !slices.ContainsFunc(doc.members, func(m member) bool { return m.name == name }) {
			return nil, fmt.Errorf("%s is missing", name)
		}
	}
	if m.ArtifactType, err = doc.text("artifactType"); err != nil {
		return nil, err
	}
	if m.Subject, err = doc.descriptor("subject"); err != nil {
		return nil, err
	}
	if m.Annotations, err = doc.texts("annotations"); err != nil {
		return nil, err
	}
	switch desc.MediaType {
	case ocispec.MediaTypeImageIndex, mediaTypeDockerList:
		m.Manifests, err = doc.descriptors("manifests")
		return m, err
	case mediaTypeArtifact:
		m.Layers, err = doc.descriptors("blobs")
		return m, err
	}
	if m.Config, err = doc.descriptor("config"); err != nil {
		return nil, err
	}
	if m.Config == nil {
		return nil, errors.New("config is missing")
	}
	if m.ArtifactType == "" {
		m.ArtifactType = m.Config.MediaType
	}
	m.Layers, err = doc.descriptors("layers")
	return m, err
}

// checkBytes tells whether data is what the descriptor stands for.
func checkBytes(d Descriptor, data []byte) error {
	if int64(len(data)) != d.Size {
		return fmt.Errorf("it has %d bytes, but its descriptor says %d", len(data), d.Size)
	}
	if got := d.Digest.Algorithm().FromBytes(data); got != d.Digest {
		return fmt.Errorf("the bytes delivered have the digest %s", got)
	}
	return nil
}

// checkDescriptor tells whether a descriptor can be fetched at all: callers
// take them out of documents.
func checkDescriptor(d Descriptor, limit int64) error {
	if err := d.Digest.Validate(); err != nil {
		return &Error{Kind: Malformed, Err: fmt.Errorf("digest %s: %w", shown(d.Digest.String()), err)}
	}
	if d.Size < 0 {
		return &Error{Kind: Malformed, Err: fmt.Errorf("%s: size %d", d.Digest, d.Size)}
	}
	if d.Size > limit {
		return &Error{Kind: TooLarge, Err: fmt.Errorf("%s has %d bytes, at most %d are taken", d.Digest, d.Size, limit)}
	}
	return nil
}

// describe is the descriptor of bytes.
func describe(mediaType string, data []byte) Descriptor {
	return Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
}
