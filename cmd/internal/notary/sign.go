package notary

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Annotations of the manifest of a signature.
const (
	// annotationThumbprints has the SHA-256 of each certificate, leaf first.
	annotationThumbprints = "io.cncf.notary.x509chain.thumbprint#S256"
	// annotationCreated has the signing time.
	annotationCreated = "org.opencontainers.image.created"
)

// Signing is how artifacts are signed.
type Signing struct {
	Format envelope.Format
	Key    signer.Signer
	// Chain is that of Key: its certificate first, the root last.
	Chain []*x509.Certificate
	// Expiry is how long the signature holds, in whole seconds. Zero: for ever.
	Expiry time.Duration
	// Metadata are annotations that are signed with the artifact.
	Metadata map[string]string
	// Agent is how the signing program calls itself.
	Agent string
	// Stamper asks for the timestamp. Nil: there is none.
	Stamper *countersign.Stamper
	// Now tells the signing time. Nil means [time.Now].
	Now func() time.Time
}

// A Signature is one that has been made.
type Signature struct {
	Format   envelope.Format
	Envelope []byte
	Content  *envelope.Content
	// Timestamp is nil if there was no Stamper.
	Timestamp *countersign.Timestamp
	// Uncovered is why the timestamp does not prove that the chain was valid:
	// its interval leaves the validity of a certificate. Such a signature never
	// verifies where timestamps are asked for. Nil if it does.
	Uncovered error
}

// Sign signs a target. Nothing is stored yet.
func (s *Signing) Sign(ctx context.Context, target envelope.Target) (*Signature, error) {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	at := now().UTC().Truncate(time.Second)
	if len(s.Metadata) > 0 {
		target.Annotations = maps.Clone(s.Metadata)
	}
	payload, err := envelope.MarshalPayload(target)
	if err != nil {
		return nil, err
	}
	req := envelope.Request{Payload: payload, Key: s.Key, Chain: s.Chain, SigningTime: at, Agent: s.Agent}
	switch {
	case s.Expiry < 0, s.Expiry%time.Second != 0:
		return nil, fmt.Errorf("an expiry of %s: it is a number of whole seconds", s.Expiry)
	case s.Expiry > 0:
		req.Expiry = at.Add(s.Expiry)
	}
	data, err := envelope.Sign(ctx, s.Format, req)
	if err != nil {
		return nil, err
	}
	return finish(ctx, s.Format, data, s.Stamper)
}

// finish verifies an envelope and has it stamped, if somebody stamps.
func finish(ctx context.Context, f envelope.Format, data []byte, stamper *countersign.Stamper) (*Signature, error) {
	e, err := envelope.Parse(f, data)
	if err != nil {
		return nil, err
	}
	content, err := e.Verify()
	if err != nil {
		return nil, err
	}
	sig := &Signature{Format: f, Envelope: data, Content: content}
	if stamper == nil {
		return sig, nil
	}
	if sig.Timestamp, err = stamper.Stamp(ctx, content.Signature, content.Algorithm.Hash); err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	if sig.Envelope, err = e.WithTimestamp(sig.Timestamp.Token.Raw); err != nil {
		return nil, err
	}
	sig.Uncovered = sig.Timestamp.Covers(content.Chain)
	stamped, err := envelope.Parse(f, sig.Envelope)
	if err != nil {
		return nil, err
	}
	sig.Content, err = stamped.Verify()
	return sig, err
}

// Restamp gives a signature a fresh timestamp, while its whole chain is still
// valid; afterwards no verifier would take it. The signature itself stays as it
// is.
func Restamp(ctx context.Context, e *envelope.Envelope, stamper *countersign.Stamper, now func() time.Time) (*Signature, error) {
	content, err := e.Verify()
	if err != nil {
		return nil, err
	}
	if content.Scheme != envelope.SchemeX509 {
		return nil, because(ReasonCertificateValidity, fmt.Errorf("a signature of the scheme %s has a signing time of its own, and no verifier looks at a timestamp", content.Scheme))
	}
	if _, err := validAt(content.Chain, now(), "now"); err != nil {
		return nil, fmt.Errorf("%w: a timestamp would come too late to prove anything", err)
	}
	sig, err := finish(ctx, e.Format, e.Raw, stamper)
	if err != nil {
		return nil, err
	}
	if sig.Uncovered != nil {
		return nil, sig.Uncovered
	}
	return sig, nil
}

// CheckSubject reports why what is signed is not the artifact that a signature is
// stored with: a registry may list any. Its error has a reason.
func CheckSubject(c *envelope.Content, subject oci.Descriptor) error {
	target, err := envelope.ParsePayload(c.Payload)
	if err != nil {
		return err
	}
	if target.Digest != subject.Digest.String() || target.Size != subject.Size || target.MediaType != subject.MediaType {
		return because(ReasonArtifact, fmt.Errorf("the signature is of another artifact, %s, than the one it is stored with", target.Digest))
	}
	return nil
}

// Push stores a signature beside the artifact that it is of.
func Push(ctx context.Context, repo *oci.Repository, subject oci.Descriptor, s *Signature) (oci.Descriptor, error) {
	if err := CheckSubject(s.Content, subject); err != nil {
		return oci.Descriptor{}, err
	}
	thumbprints := make([]string, len(s.Content.Chain))
	for i, cert := range s.Content.Chain {
		sum := sha256.Sum256(cert.Raw)
		thumbprints[i] = hex.EncodeToString(sum[:])
	}
	list, err := json.Marshal(thumbprints)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return repo.Attach(ctx, oci.Attachment{
		// An attached subject has no annotations and no platform.
		Subject:      oci.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		ArtifactType: envelope.ArtifactType,
		LayerType:    s.Format.MediaType(),
		Layer:        s.Envelope,
		Annotations: map[string]string{
			annotationThumbprints: string(list),
			annotationCreated:     s.Content.SigningTime.Format(time.RFC3339),
		},
	})
}
