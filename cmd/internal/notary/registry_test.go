package notary_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// A shelf is a registry with an image, as tests see it from both sides.
type shelf struct {
	t          testing.TB
	registry   *ocitest.Registry
	host       string
	repository *oci.Repository
	subject    oci.Descriptor
	stored     int
}

const repo = "app"

// newShelf starts a registry that is not waited for long.
func newShelf(t testing.TB, cfg ocitest.Config) *shelf {
	t.Helper()
	s := &shelf{t: t, registry: ocitest.New(cfg)}
	s.host = ocitest.Start(t, s.registry)
	s.subject = s.registry.PutImage(repo, "v1")
	s.repository = s.open(oci.Config{Limits: oci.Limits{Wait: 50 * time.Millisecond, Stall: 10 * time.Second}})
	return s
}

func (s *shelf) open(cfg oci.Config) *oci.Repository {
	s.t.Helper()
	ref, err := oci.ParseReference(s.host + "/" + repo + "@" + s.subject.Digest.String())
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := oci.OpenRegistry(ref, cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// of makes a draft one of a signature of the image.
func (s *shelf) of(d draft) draft {
	if d.of.Digest == "" {
		d.of = notary.TargetOf(s.subject)
	}
	return d
}

// add stores a signature of the image beside it.
func (s *shelf) add(d draft, format envelope.Format) oci.Descriptor {
	s.t.Helper()
	return s.put(format.MediaType(), s.of(d).make(s.t, format))
}

// put stores an envelope as main of Notation does.
func (s *shelf) put(mediaType string, layers ...[]byte) oci.Descriptor {
	s.t.Helper()
	return s.manifest(envelope.ArtifactType, mediaType, layers...)
}

// manifest stores a manifest of any type that refers to the image.
func (s *shelf) manifest(artifactType, mediaType string, layers ...[]byte) oci.Descriptor {
	s.t.Helper()
	s.stored++
	empty := ocispec.DescriptorEmptyJSON
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType,
		Config: empty, Layers: []ocispec.Descriptor{}, Subject: &s.subject,
		Annotations: map[string]string{"number": fmt.Sprint(s.stored)}, // so that two are not one
	}
	s.registry.PutBlob(repo, empty.Data)
	for _, layer := range layers {
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: mediaType, Digest: s.registry.PutBlob(repo, layer), Size: int64(len(layer))})
	}
	return s.raw(m)
}

func (s *shelf) raw(doc any) oci.Descriptor {
	s.t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.registry.PutManifest(repo, "", ocispec.MediaTypeImageManifest, data)
}

// writes is how often something was stored over HTTP.
func (s *shelf) writes() int { return s.registry.Count("^(PUT|POST|PATCH|DELETE) ") }
