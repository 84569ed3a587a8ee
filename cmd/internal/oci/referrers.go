package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// A Referrer is a manifest that refers to a subject.
type Referrer struct {
	// Descriptor is that of the listing, except that ArtifactType is the
	// manifest's own wherever Manifest is set.
	Descriptor
	// Manifest is set if it had to be read to tell its type; nil otherwise.
	Manifest *Manifest
	// Err says why this one could not be read; the others are visited all the
	// same. It is an [Error].
	Err error
}

// A candidate is an entry of a listing.
type candidate struct {
	Descriptor
	err error // why there is no more than what the descriptor says
	// unsure: whether it refers to the subject, only its manifest tells.
	unsure bool
	// sparse: its manifest may be missing, as those of platforms are that
	// somebody did not copy. It then refers to nothing.
	sparse bool
}

// maxFailures is how many manifests in a row may fail for a reason that lies
// with the registry until no more are tried.
const maxFailures = 3

// Referrers calls visit for each manifest that refers to subject, once, in the
// order of the listing; see the package comment for where it comes from. Of
// those whose listed type is in types, the manifest is not read; of others it
// is, to learn their real type, several at the same time. An error of visit ends
// the listing and is returned. An error after some have been visited says that
// there may be more.
func (r *Repository) Referrers(ctx context.Context, subject Descriptor, types []string, visit func(Referrer) error) error {
	if err := checkDescriptor(subject, subject.Size); err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()

	// Each slot is filled by a goroutine; their order is that of the listing,
	// and there are no more than the queue holds.
	queue := make(chan chan *Referrer, r.cfg.Limits.Parallel)
	var listed error
	var readers sync.WaitGroup
	readers.Go(func() {
		defer close(queue)
		seen := make(map[digest.Digest]bool)
		listed = r.from.list(inner, subject, func(c candidate) error {
			if c.Digest != "" {
				if seen[c.Digest] {
					return nil
				}
				seen[c.Digest] = true
			}
			slot := make(chan *Referrer, 1)
			select {
			case queue <- slot:
			case <-inner.Done():
				return inner.Err()
			}
			if c.err != nil || !c.unsure && slices.Contains(types, c.ArtifactType) {
				slot <- &Referrer{Descriptor: c.Descriptor, Err: c.err}
				return nil
			}
			c.sparse = c.sparse && !slices.Contains(types, c.ArtifactType)
			readers.Go(func() { slot <- r.look(inner, subject, c) })
			return nil
		})
	})

	var failed error
	visited, failures := 0, 0
	for slot := range queue {
		ref := <-slot
		if ref == nil || failed != nil {
			continue
		}
		if visited++; visited > r.cfg.Limits.Referrers {
			failed = &Error{Kind: TooLarge, Err: fmt.Errorf("%s has more than %d referrers", subject.Digest, r.cfg.Limits.Referrers)}
		} else if ref.Err != nil && ctx.Err() != nil {
			failed = ctx.Err()
		} else {
			if !ofRegistry(ref.Err) {
				failures = 0
			} else if failures++; failures == maxFailures {
				failed = ref.Err
			}
			if failed == nil {
				failed = visit(*ref)
			}
		}
		if failed != nil {
			cancel()
		}
	}
	readers.Wait()
	if failed != nil {
		return failed
	}
	return listed
}

// ofRegistry tells whether an error would meet the next request as well. What is
// wrong with a file of a layout says nothing of the next.
func ofRegistry(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Host != "" && (e.Kind == Unavailable || e.Kind == TooManyRequests || e.Kind == Unauthorized || e.Kind == Forbidden)
}

// look reads the manifest of a candidate; nil if it turns out to be none.
func (r *Repository) look(ctx context.Context, subject Descriptor, c candidate) *Referrer {
	ref := &Referrer{Descriptor: c.Descriptor}
	m, err := r.Manifest(ctx, c.Descriptor)
	if e := (*Error)(nil); c.sparse && errors.As(err, &e) && e.Kind == NotFound {
		return nil
	}
	if err != nil {
		ref.Err = err
		return ref
	}
	if m.Subject == nil || m.Subject.Digest != subject.Digest {
		if c.unsure {
			return nil
		}
		ref.Err = &Error{Kind: Malformed, Err: fmt.Errorf("%s is listed as a referrer of %s, but does not name it as its subject", c.Digest, subject.Digest)}
		return ref
	}
	ref.Manifest, ref.ArtifactType = m, m.ArtifactType
	return ref
}

// matches tells whether a manifest is the one that d describes.
func matches(m *Manifest, d Descriptor) error {
	switch {
	case m.Descriptor.Size != d.Size:
		return &Error{Kind: Digest, Err: fmt.Errorf("manifest %s has %d bytes, but its descriptor says %d", d.Digest, m.Descriptor.Size, d.Size)}
	case m.Descriptor.MediaType != d.MediaType:
		return &Error{Kind: Malformed, Err: fmt.Errorf("manifest %s is a %s, but its descriptor says %s", d.Digest, m.Descriptor.MediaType, shown(d.MediaType))}
	}
	return nil
}

// candidateOf reads an entry of a listing.
func candidateOf(where string, i int, item []byte) candidate {
	d, err := parseDescriptor(fmt.Sprintf("manifests[%d]", i), item)
	if err == nil && !isManifest(d.MediaType) {
		err = fmt.Errorf("manifests[%d]: %s is not a manifest", i, shown(d.MediaType))
	}
	if err != nil {
		return candidate{err: &Error{Kind: Malformed, Err: fmt.Errorf("%s: %w", where, err)}}
	}
	return candidate{Descriptor: d}
}
