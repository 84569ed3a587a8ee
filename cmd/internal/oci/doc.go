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
// something had been written under the tag. The listing is never filtered by
// the registry: some report the media type of the config as the type of the
// artifact, so that a filter would hide what it should show. Where the type that
// a listing names is not one that the caller knows, the manifest decides.
//
// The index under a fallback tag is read, changed and written back, and
// registries offer no lock. [Repository.Attach] asks for a conditional write where
// the registry offers one, looks again when others have had time to finish what
// they had begun, and writes again when an entry is missing that was there before
// or is ours. So none is lost among writers who do so. What it cannot exclude: a
// writer who takes longer than seconds between reading and writing, and the entry
// of one who does not look again, written between our reading and our writing.
//
// # Credentials
//
// They are asked for only when the registry demands them, and go to that host
// and to the token service that it names. That must not be a step down from
// https, and must not be at a private address under another host name than the
// registry's, where it could be anything. They follow no redirect to another
// host. No error contains one.
package oci
