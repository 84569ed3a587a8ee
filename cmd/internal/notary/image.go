package notary

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
)

// DefaultMaxSignatures is how many signatures of an artifact are looked at
// where nobody says otherwise, as with Notation.
const DefaultMaxSignatures = 100

const (
	// parallel signatures are fetched and verified at a time: enough to hide
	// the way to a registry, few enough for it not to mind.
	parallel = 16
	// maxInFlight bounds the octets of envelopes that are fetched and not yet
	// verified. An honest one has some 10 KiB.
	maxInFlight = envelope.MaxSize
)

// ErrTooMany means that an artifact has more signatures than are looked at.
var ErrTooMany = errors.New("there are more signatures than are looked at")

// A Stored is a signature in a registry or layout.
type Stored struct {
	// Manifest is that of the signature.
	Manifest *oci.Manifest
	// Descriptor is that of its manifest.
	Descriptor oci.Descriptor
	Envelope   *envelope.Envelope
	// Err says why there is no Envelope.
	Err error
}

// A Query is which signatures are asked for.
type Query struct {
	Repository *oci.Repository
	// Subject is the manifest or index that is signed.
	Subject oci.Descriptor
	// Max is how many signatures are looked at. Zero means DefaultMaxSignatures.
	Max int
	// Chains remembers those of the signers. Nil remembers none.
	Chains *envelope.Cache
}

// Signatures visits the Notary Project signatures of an artifact in the order
// of the listing, at most q.Max of them. Those behind are fetched meanwhile. With
// a signature more than that the error is ErrTooMany, when all others were
// visited.
//
// handle is called by several goroutines at once, and visit by the caller's, in
// order, with what handle made of the same signature. An error of visit ends
// all, and is returned; [ErrEnough] ends all without one.
func Signatures[T any](ctx context.Context, q Query, handle func(context.Context, Stored) (T, error), visit func(Stored, T) error) error {
	if q.Max == 0 {
		q.Max = DefaultMaxSignatures
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type done struct {
		stored Stored
		value  T
		err    error
	}
	queue := make(chan chan done, parallel)
	listed := make(chan error, 1)
	memory := semaphore.NewWeighted(maxInFlight)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	workers.Go(func() {
		defer close(queue)
		found := 0
		listed <- q.Repository.Referrers(ctx, q.Subject, []string{envelope.ArtifactType}, func(r oci.Referrer) error {
			if r.Err == nil && r.ArtifactType != envelope.ArtifactType {
				return nil
			}
			if found++; found > q.Max {
				return ErrTooMany
			}
			result := make(chan done, 1)
			select {
			case queue <- result:
			case <-ctx.Done():
				return ctx.Err()
			}
			workers.Go(func() {
				s := q.fetch(ctx, r, memory)
				defer memory.Release(s.held)
				d := done{stored: s.Stored}
				d.value, d.err = handle(ctx, s.Stored)
				result <- d
			})
			return nil
		})
	})
	for result := range queue {
		d := <-result
		if d.err == nil {
			d.err = visit(d.stored, d.value)
		}
		switch {
		case errors.Is(d.err, ErrEnough):
			return nil
		case d.err != nil:
			return d.err
		}
	}
	return <-listed
}

// ErrEnough is what visit returns when it has seen enough.
var ErrEnough = errors.New("enough")

// held is a signature, and the octets that it holds of the budget.
type held struct {
	Stored
	held int64
}

// fetch gets the envelope of a signature.
func (q *Query) fetch(ctx context.Context, r oci.Referrer, memory *semaphore.Weighted) (s held) {
	s.Descriptor, s.Manifest, s.Err = r.Descriptor, r.Manifest, r.Err
	if s.Err != nil {
		s.Err = unfetched(s.Err)
		return s
	}
	if s.Manifest == nil {
		if s.Manifest, s.Err = q.Repository.Manifest(ctx, r.Descriptor); s.Err != nil {
			s.Err = unfetched(s.Err)
			return s
		}
	}
	layer, format, err := layerOf(s.Manifest)
	if err != nil {
		s.Err = because(ReasonManifest, err)
		return s
	}
	size := min(max(layer.Size, 0), maxInFlight)
	if s.Err = memory.Acquire(ctx, size); s.Err != nil {
		return s
	}
	s.held = size
	data, err := q.Repository.Blob(ctx, layer)
	if err != nil {
		s.Err = unfetched(err)
		return s
	}
	s.Envelope, s.Err = q.Chains.Parse(format, data)
	return s
}

// unfetched tells a lie of the registry from one that does not answer.
func unfetched(err error) error {
	var e *oci.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case oci.Digest, oci.TooLarge, oci.Malformed:
			return because(ReasonFetch, err)
		}
	}
	return unknown(ReasonFetch, err)
}

// layerOf returns the one layer that is the envelope.
func layerOf(m *oci.Manifest) (oci.Descriptor, envelope.Format, error) {
	if len(m.Layers) != 1 {
		return oci.Descriptor{}, "", fmt.Errorf("the manifest of the signature has %d layers, not one", len(m.Layers))
	}
	format, err := envelope.FormatOf(m.Layers[0].MediaType)
	return m.Layers[0], format, err
}

// An Image is an artifact whose signatures are to be verified.
type Image struct {
	Repository *oci.Repository
	// Subject is the manifest or index that is signed.
	Subject oci.Descriptor
	// Statement is the one of the trust policy, of a level other than skip.
	Statement *trustpolicy.Statement
	// Metadata must be in the signature.
	Metadata map[string]string
	// Max signatures are looked at. Zero means DefaultMaxSignatures.
	Max int
	// Observe is told of each signature that was verified, or not. Nil: nobody.
	Observe func(Verified)
}

// A Verified is a signature of a Report.
type Verified struct {
	Descriptor oci.Descriptor
	// Format is empty where there is no envelope.
	Format envelope.Format
	// Outcome in a Report has no payload, no metadata, no timestamp and no more
	// than the first certificate, unless it is verified.
	Outcome *Outcome
}

// A Report is what came of all signatures of an artifact, up to the first that
// is verified.
type Report struct {
	Verified   bool
	Undecided  bool // not verified, and a signature could not be judged
	Signatures []Verified
	// Err says why none is verified.
	Err error
}

// Image verifies signatures of an artifact until one is verified. The error is
// one of the registry or of ctx: without it the Report has the answer.
func (v *Verifier) Image(ctx context.Context, img Image) (*Report, error) {
	want := Want{Metadata: img.Metadata, Target: func(crypto.Hash) (envelope.Target, error) { return TargetOf(img.Subject), nil }}
	report := &Report{}
	err := Signatures(ctx, Query{Repository: img.Repository, Subject: img.Subject, Max: img.Max, Chains: v.chains}, func(ctx context.Context, s Stored) (*Outcome, error) {
		if s.Err != nil {
			return Broken(img.Statement, s.Err), ctx.Err()
		}
		return v.Verify(ctx, s.Envelope, img.Statement, want)
	}, func(s Stored, o *Outcome) error {
		one := Verified{Descriptor: s.Descriptor, Outcome: o}
		if s.Envelope != nil {
			one.Format = s.Envelope.Format
		}
		if img.Observe != nil {
			img.Observe(one)
		}
		report.Signatures = append(report.Signatures, one)
		if o.Verified {
			report.Verified = true
			return ErrEnough
		}
		report.Undecided = report.Undecided || o.Undecided
		o.forget()
		return nil
	})
	switch {
	case errors.Is(err, ErrTooMany):
		report.Err = fmt.Errorf("%w: none of the first %d is verified", err, len(report.Signatures))
		report.Undecided = true
	case err != nil:
		return nil, err
	case report.Verified:
	case len(report.Signatures) == 0:
		report.Err = ErrNoSignature
	case len(report.Signatures) == 1:
		report.Err = report.Signatures[0].Outcome.Err
	default:
		report.Err = fmt.Errorf("none of the %d signatures is verified", len(report.Signatures))
		if err := report.common(); err != nil {
			report.Err = fmt.Errorf("%w: %w", report.Err, err)
		}
	}
	if report.Verified {
		report.Undecided = false
	}
	return report, nil
}

// common returns the error that all signatures have; nil if they differ.
func (r *Report) common() error {
	first := r.Signatures[0].Outcome.Err
	for _, s := range r.Signatures[1:] {
		if s.Outcome.Err.Error() != first.Error() {
			return nil
		}
	}
	return first
}

// ErrNoSignature means that an artifact has no signature of the Notary Project.
var ErrNoSignature = errors.New("no signature is associated with it")

// TargetOf is what a signature of an artifact signs.
func TargetOf(d oci.Descriptor) envelope.Target {
	return envelope.Target{MediaType: d.MediaType, Digest: d.Digest.String(), Size: d.Size}
}
