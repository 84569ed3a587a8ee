package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Writing the index under a fallback tag.
const (
	// maxRounds is how often it is written until others let it be.
	maxRounds = 7
	// It is looked at again when two writers could have read and written it in
	// the meantime, at the pace that the registry has shown.
	settleMin, settleMax = 50 * time.Millisecond, 2 * time.Second
)

// attach is Attach for a registry.
func (r *registry) attach(ctx context.Context, p parcel) error {
	for i, b := range p.blobs {
		if err := r.pushBlob(ctx, b); err != nil {
			if i > 0 {
				err = left(err, "left behind: blob %s, which nothing refers to", p.blobs[0].Digest)
			}
			return err
		}
	}
	header, err := r.pushManifest(ctx, p.descriptor.Digest.String(), p.descriptor, p.manifest, nil)
	if e := (*Error)(nil); errors.As(err, &e) && e.Status >= 400 && e.Status < 500 {
		return left(err, "left behind: the blobs, which nothing refers to")
	}
	if err != nil { // only a refusal says that it was not stored
		return left(err, "left behind: the blobs, and perhaps manifest %s", p.descriptor.Digest)
	}
	// distribution-spec, "Pushing Manifests with Subject": the registry has
	// listed it if it says so, and else its client has to.
	said := digest.Digest(header.Get("OCI-Subject"))
	if said != "" && said != p.subject.Digest {
		r.warn(r.error(Malformed, fmt.Errorf("manifest %s: its subject is %s, but the registry answers %s", p.descriptor.Digest, p.subject.Digest, shown(said.String()))))
	}
	if said == p.subject.Digest && !r.cfg.ReferrersTag {
		return nil
	}
	if err := r.addToIndex(ctx, p); err != nil {
		return left(err, "left behind: manifest %s, which the registry has, but perhaps does not list", p.descriptor.Digest)
	}
	return nil
}

// An index is what stands under a fallback tag.
type index struct {
	what  string
	there bool
	answer
	doc   document
	items []json.RawMessage
}

// digests are those of the entries that can be read.
func (x index) digests() map[digest.Digest]bool {
	all := make(map[digest.Digest]bool, len(x.items))
	for i, item := range x.items {
		if c := candidateOf(x.what, i, item); c.err == nil {
			all[c.Digest] = true
		}
	}
	return all
}

// fallbackIndex reads the index under the fallback tag; there is none if the
// tag is not there, or stands for the subject itself, as it does where a
// registry takes a tag for a digest.
func (r *registry) fallbackIndex(ctx context.Context, subject Descriptor) (index, error) {
	tag := fallbackTag(subject.Digest)
	x := index{what: fmt.Sprintf("index %s of %s", tag, r.name.Repository)}
	got, err := whole(ctx, r, func() (answer, error) { return r.fetchManifest(ctx, tag, "") })
	var e *Error
	if errors.As(err, &e) && e.Kind == NotFound {
		return x, nil
	}
	if err != nil {
		return x, err
	}
	if got.Digest == subject.Digest {
		return x, nil
	}
	bad := func(err error) (index, error) {
		e := r.error(Malformed, fmt.Errorf("%s: %w", x.what, err))
		e.hint = fmt.Sprintf("the tag %s is reserved for the list of what refers to the artifact: see what has been put there", tag)
		return index{what: x.what}, e
	}
	if got.MediaType != ocispec.MediaTypeImageIndex {
		return bad(fmt.Errorf("it is a %s, not an index", got.MediaType))
	}
	doc, err := parseDocument(got.data)
	if err != nil {
		return bad(err)
	}
	if _, err := doc.text("mediaType"); err != nil {
		return bad(err)
	}
	for _, name := range shapes[ocispec.MediaTypeImageIndex].excludes {
		if doc.has(name) {
			return bad(fmt.Errorf("an index that has %q", name))
		}
	}
	items, err := doc.items("manifests")
	if err != nil {
		return bad(err)
	}
	x.there, x.answer, x.doc, x.items = true, got, doc, items
	x.answer.what = x.what
	return x, nil
}

// addToIndex adds an entry to the index under the fallback tag. Nobody can lock
// it. So the write is made conditional where the registry can do that; and the
// index is read again after each write, late enough that who had read the index
// before our write has written by then, until it has our entry and every one
// that we have ever seen there.
//
// The index that ours takes the place of is not deleted, though no tag may lead
// to it any more. It goes by its digest, and whoever may push, but not delete,
// could have put the tag on any other index of the repository.
func (r *registry) addToIndex(ctx context.Context, p parcel) error {
	entry, err := json.Marshal(p.descriptor)
	if err != nil {
		return err
	}
	r.indexing.Lock()
	defer r.indexing.Unlock()
	tag := fallbackTag(p.subject.Digest)
	known := map[digest.Digest]json.RawMessage{p.descriptor.Digest: entry}
	order := []digest.Digest{p.descriptor.Digest}
	for round := 0; ; round++ {
		begun := time.Now()
		old, err := r.fallbackIndex(ctx, p.subject)
		if err != nil {
			return err
		}
		have := old.digests()
		missing := slices.DeleteFunc(slices.Clone(order), func(d digest.Digest) bool { return have[d] })
		if len(missing) == 0 {
			return nil
		}
		if round == maxRounds {
			e := r.error(Conflict, fmt.Errorf("%s: others keep writing it; after %d attempts it lacks %s", old.what, maxRounds, missing[0]))
			e.hint = "do not sign the same artifact from several places at the same time, or use a registry with the referrers API"
			return e
		}
		entries := make([]json.RawMessage, len(missing))
		for i, d := range missing {
			entries[i] = known[d]
		}
		data, err := old.with(entries)
		if err != nil {
			return r.error(Malformed, fmt.Errorf("%s: %w", old.what, err))
		}
		for i, item := range old.items {
			if c := candidateOf(old.what, i, item); c.err == nil && known[c.Digest] == nil {
				known[c.Digest] = item
				order = append(order, c.Digest)
			}
		}
		if int64(len(data)) > r.cfg.Limits.Manifest {
			return r.error(TooLarge, fmt.Errorf("%s: it would have %d bytes, at most %d are taken", old.what, len(data), r.cfg.Limits.Manifest))
		}
		header := make(http.Header)
		switch { // RFC 9110, 13.1.1 and 13.1.2; a registry that cannot do it does not look
		case strings.HasPrefix(old.etag, "W/"): // never matches; proxies weaken what they compress
		case old.etag != "":
			header.Set("If-Match", old.etag)
		case !old.there:
			header.Set("If-None-Match", "*")
		}
		_, err = r.pushManifest(ctx, tag, describe(ocispec.MediaTypeImageIndex, data), data, header)
		settle := min(max(settleMin, 2*time.Since(begun)), settleMax)
		if e := (*Error)(nil); errors.As(err, &e) && e.Kind == Conflict {
			settle = 0
		} else if err != nil {
			return err
		}
		if round > 0 {
			// Whoever collides with us should not do so in step.
			settle += rand.N(settleMin << min(round, 4))
		}
		if err := r.pause(ctx, settle); err != nil {
			return r.fail(ctx, old.what, err)
		}
	}
}

// with returns the text of the index with more entries.
func (x index) with(entries []json.RawMessage) ([]byte, error) {
	doc := x.doc
	if !x.there {
		made, err := json.Marshal(ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []Descriptor{},
		})
		if err != nil {
			return nil, err
		}
		if doc, err = split("", made); err != nil {
			return nil, err
		}
	}
	return doc.with("manifests", entries...)
}
