// Package oci reads and writes what belongs to an artifact in a registry (OCI
// distribution-spec 1.1) or in an image layout on disk (OCI image-spec 1.1,
// image-layout.md): its manifest, the manifests that refer to it, and their
// blobs. It knows nothing of signatures.
//
//	ref, err := oci.ParseReference("registry.example/app:v1")
//	repo, err := oci.OpenRegistry(ref, oci.Config{})     // or OpenLayout(dir, …)
//	subject, err := repo.Resolve(ctx, "v1")
//	err = repo.Referrers(ctx, subject, types, func(r oci.Referrer) error { … })
//	desc, err := repo.Attach(ctx, oci.Attachment{Subject: subject, …})
//
// # What may be believed
//
// Bytes that were asked for by digest have that digest and size, whoever
// delivered them: a registry, a mirror or a storage host that it points to can
// keep them back, but not change them. What a tag stands for, and what refers
// to an artifact, only the registry says. A caller who needs more than its word
// verifies a signature over the digest.
//
// Documents are read by names that match exactly, each at most once in its
// object, within limits on size, depth and number (see [Limits]), and a manifest
// has to be what its media type says.
//
// # Referrers
//
// They are listed by the referrers API, by the index under the fallback tag
// where a registry has no such API, and by both where it gained the API after
// signatures had been written under the tag. The listing is never filtered by
// the registry: some report the media type of the config as the type of the
// artifact, so that a filter would hide what it should show. Where the type that
// a listing names is not one that the caller knows, the manifest decides.
//
// The index under a fallback tag is read, changed and written back, and
// registries offer no lock. [Repository.Attach] compares before and after, asks
// for a conditional write where the registry offers one, and tries again when an
// entry is missing. What it cannot exclude: another writer, of another program,
// that overwrites the index after our last look at it, or whose index we
// overwrite in the instant between our look and our write.
//
// # Credentials
//
// They are asked for only when the registry demands them, and go to that host
// and to the token service that it names, which must not be a step down from
// https nor an address inside one's own network that the registry is not at.
// They follow no redirect to another host. No error contains one.
package oci
