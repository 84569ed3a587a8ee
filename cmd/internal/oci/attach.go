package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Attachment becomes an image manifest with one layer that refers to a
// subject (image-spec, manifest.md, "Guidelines for Artifact Usage"): what
// Notation's main branch writes, and any program that packs with oras-go.
type Attachment struct {
	Subject      Descriptor // its media type, digest and size are written
	ArtifactType string
	Layer        []byte
	LayerType    string
	// Annotations are the manifest's. Packers put org.opencontainers.image.created
	// there; none is added.
	Annotations map[string]string
}

// A parcel is an attachment made up for a store.
type parcel struct {
	subject  Descriptor
	blobs    []parcelBlob
	manifest []byte
	// descriptor is as listings show it: with the type and the annotations.
	descriptor Descriptor
}

type parcelBlob struct {
	Descriptor
	data   []byte
	shared bool // the same in many manifests
}

// Attach stores the layer, the config and the manifest, in this order, and makes
// the manifest a referrer of the subject: by the registry itself where its
// answer says so, or by an entry in the index under the fallback tag, in a
// layout by one in index.json. Nothing is listed unless all of it is there; an
// error says what has been left. It returns the manifest's descriptor with its
// type and annotations.
func (r *Repository) Attach(ctx context.Context, a Attachment) (Descriptor, error) {
	p, err := pack(a, r.cfg.Limits)
	if err != nil {
		return Descriptor{}, err
	}
	if err := r.from.attach(ctx, p); err != nil {
		return Descriptor{}, err
	}
	return p.descriptor, nil
}

func pack(a Attachment, limits Limits) (parcel, error) {
	bad := func(format string, args ...any) (parcel, error) {
		return parcel{}, &Error{Kind: Malformed, Err: fmt.Errorf("attach: "+format, args...)}
	}
	if err := checkDescriptor(a.Subject, a.Subject.Size); err != nil {
		return bad("subject: %w", err)
	}
	if !isManifest(a.Subject.MediaType) {
		return bad("subject: %s is not a manifest", shown(a.Subject.MediaType))
	}
	if a.ArtifactType == "" || a.LayerType == "" {
		return bad("the type of the artifact or of its layer is missing")
	}
	if int64(len(a.Layer)) > limits.Blob {
		return parcel{}, &Error{Kind: TooLarge, Err: fmt.Errorf("attach: the layer has %d bytes, at most %d are taken", len(a.Layer), limits.Blob)}
	}
	layer := parcelBlob{Descriptor: describe(a.LayerType, a.Layer), data: a.Layer}
	config := parcelBlob{Descriptor: ocispec.DescriptorEmptyJSON, data: []byte("{}"), shared: true}
	// The order of the members is that of the struct, and of annotations that
	// of the alphabet.
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: a.ArtifactType,
		Config:       config.Descriptor,
		Layers:       []Descriptor{layer.Descriptor},
		Subject:      &Descriptor{MediaType: a.Subject.MediaType, Digest: a.Subject.Digest, Size: a.Subject.Size},
		Annotations:  a.Annotations,
	})
	if err != nil {
		return bad("%w", err)
	}
	p := parcel{subject: a.Subject, blobs: []parcelBlob{layer, config}, manifest: manifest}
	p.descriptor = describe(ocispec.MediaTypeImageManifest, manifest)
	if p.descriptor.Size > limits.Manifest {
		return parcel{}, &Error{Kind: TooLarge, Err: fmt.Errorf("attach: the manifest has %d bytes, at most %d are taken", p.descriptor.Size, limits.Manifest)}
	}
	// What we write, we read.
	if _, err := parseManifest(p.descriptor, manifest); err != nil {
		return bad("%w", err)
	}
	p.descriptor.ArtifactType, p.descriptor.Annotations = a.ArtifactType, a.Annotations
	return p, nil
}

// left adds to an error what has been stored so far.
func left(err error, format string, args ...any) error {
	note := fmt.Sprintf(format, args...)
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%w (%s)", err, note)
	}
	copied := *e
	copied.Err = fmt.Errorf("%w (%s)", e.Err, note)
	return &copied
}
