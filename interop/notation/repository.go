package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/notaryproject/notation-go/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// A repository is where the image and its signatures are. It keeps what the library does not return.
type repository struct {
	registry.Repository
	name      string               // host/repository; "" for a layout
	reference string               // tag or digest
	pushed    ocispec.Descriptor   // the manifest of the signature that was pushed
	fetched   []ocispec.Descriptor // the manifests of the signatures that were fetched, in their order
}

func openRepository(o *options) (*repository, error) {
	if o.layout {
		return openLayout(o.argument)
	}
	ref, err := orasregistry.ParseReference(o.argument)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(ref.Host())
	if err != nil {
		host = ref.Host()
	}
	client := &auth.Client{Cache: auth.NewCache()}
	client.SetUserAgent("notation/interop")
	repo := &remote.Repository{Client: client, Reference: ref, PlainHTTP: host == "localhost" || net.ParseIP(host).IsLoopback()}
	if o.referrersTag {
		if err := repo.SetReferrersCapability(false); err != nil {
			return nil, err
		}
	}
	return newRepository(repo, ref.Registry+"/"+ref.Repository, ref.Reference), nil
}

func openLayout(ref string) (*repository, error) {
	dir, reference, found := strings.Cut(ref, "@")
	if !found {
		i := strings.LastIndex(ref, ":")
		if i < 0 {
			return nil, fmt.Errorf("%s names neither a tag nor a digest", ref)
		}
		dir, reference = ref[:i], ref[i+1:]
	}
	store, err := oci.New(dir)
	if err != nil {
		return nil, err
	}
	return newRepository(store, "", reference), nil
}

func newRepository(target oras.GraphTarget, name, reference string) *repository {
	return &repository{Repository: registry.NewRepository(target), name: name, reference: reference}
}

// PushSignature implements [registry.Repository].
func (r *repository) PushSignature(ctx context.Context, mediaType string, blob []byte, subject ocispec.Descriptor, annotations map[string]string) (blobDesc, manifestDesc ocispec.Descriptor, err error) {
	blobDesc, manifestDesc, err = r.Repository.PushSignature(ctx, mediaType, blob, subject, annotations)
	r.pushed = manifestDesc
	if err != nil && strings.Contains(err.Error(), indexRemains) { // the library does not say what it has pushed
		if findErr := r.find(ctx, blob, subject); findErr != nil {
			return blobDesc, manifestDesc, findErr
		}
	}
	return blobDesc, manifestDesc, err
}

// find finds the manifest of a signature that is stored.
func (r *repository) find(ctx context.Context, blob []byte, subject ocispec.Descriptor) error {
	return r.ListSignatures(ctx, subject, func(manifests []ocispec.Descriptor) error {
		for _, manifest := range manifests {
			stored, _, err := r.Repository.FetchSignatureBlob(ctx, manifest)
			if err != nil {
				return err
			}
			if bytes.Equal(stored, blob) {
				r.pushed = manifest
			}
		}
		return nil
	})
}

// FetchSignatureBlob implements [registry.Repository].
func (r *repository) FetchSignatureBlob(ctx context.Context, desc ocispec.Descriptor) ([]byte, ocispec.Descriptor, error) {
	r.fetched = append(r.fetched, desc)
	return r.Repository.FetchSignatureBlob(ctx, desc)
}

// fullReference is the reference by which the library chooses the statement of the policy.
func (r *repository) fullReference(o *options, artifact ocispec.Descriptor) (string, error) {
	name := r.name
	if o.layout {
		name = o.scope
	}
	if name == "" {
		return "", fmt.Errorf("%w: a layout needs -scope", errUsage)
	}
	return name + "@" + artifact.Digest.String(), nil
}
