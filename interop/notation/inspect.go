package main

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/notaryproject/notation-core-go/signature"
	"github.com/notaryproject/tspclient-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What inspect tells of one signature. Nothing of it is verified.
type inspected struct {
	Manifest    ocispec.Descriptor `json:"manifest"`
	MediaType   string             `json:"mediaType"` // of the envelope
	Envelope    []byte             `json:"envelope"`
	PayloadType string             `json:"payloadType,omitempty"`
	Payload     []byte             `json:"payload,omitempty"`
	Scheme      string             `json:"scheme,omitempty"`
	SigningTime time.Time          `json:"signingTime,omitzero"`
	Expiry      time.Time          `json:"expiry,omitzero"`
	Agent       string             `json:"agent,omitempty"`
	Hash        string             `json:"hash,omitempty"`      // of the signature's algorithm
	Chain       []string           `json:"chain,omitempty"`     // SHA-256 of each certificate
	Signature   []byte             `json:"signature,omitempty"` // what is stamped
	Timestamp   *timestamp         `json:"timestamp,omitempty"`
	Error       string             `json:"error,omitempty"`
}

// A timestamp is a token and what it says.
type timestamp struct {
	Token        []byte    `json:"token"`
	Lower        time.Time `json:"lower,omitzero"`
	Upper        time.Time `json:"upper,omitzero"`
	Certificates []string  `json:"certificates,omitempty"` // SHA-256 of each
	Error        string    `json:"error,omitempty"`
}

func inspect(ctx context.Context, o *options) (any, error) {
	repo, err := openRepository(o)
	if err != nil {
		return nil, err
	}
	artifact, err := repo.Resolve(ctx, repo.reference)
	if err != nil {
		return nil, err
	}
	list := []inspected{}
	err = repo.ListSignatures(ctx, artifact, func(manifests []ocispec.Descriptor) error {
		for _, manifest := range manifests {
			envelope, blob, err := repo.FetchSignatureBlob(ctx, manifest)
			if err != nil {
				return fmt.Errorf("%s: %w", manifest.Digest, err)
			}
			s := inspected{Manifest: manifest, MediaType: blob.MediaType, Envelope: envelope}
			if err := s.read(); err != nil {
				s.Error = err.Error()
			}
			list = append(list, s)
		}
		return nil
	})
	return list, err
}

func (s *inspected) read() error {
	envelope, err := signature.ParseEnvelope(s.MediaType, s.Envelope)
	if err != nil {
		return err
	}
	content, err := envelope.Content()
	if err != nil {
		return err
	}
	info := content.SignerInfo
	s.PayloadType, s.Payload = content.Payload.ContentType, content.Payload.Content
	s.Scheme = string(info.SignedAttributes.SigningScheme)
	s.SigningTime, s.Expiry = info.SignedAttributes.SigningTime, info.SignedAttributes.Expiry
	s.Agent = info.UnsignedAttributes.SigningAgent
	s.Hash = info.SignatureAlgorithm.Hash().String()
	s.Chain, s.Signature = fingerprints(info.CertificateChain), info.Signature
	if token := info.UnsignedAttributes.TimestampSignature; len(token) > 0 {
		s.Timestamp = &timestamp{Token: token}
		if err := s.Timestamp.read(info.Signature); err != nil {
			s.Timestamp.Error = err.Error()
		}
	}
	return nil
}

func (t *timestamp) read(stamped []byte) error {
	token, err := tspclient.ParseSignedToken(t.Token)
	if err != nil {
		return err
	}
	info, err := token.Info()
	if err != nil {
		return err
	}
	stamp, err := info.Validate(stamped)
	if err != nil {
		return err
	}
	t.Lower, t.Upper = stamp.Value.Add(-stamp.Accuracy), stamp.Value.Add(stamp.Accuracy)
	t.Certificates = fingerprints(token.Certificates)
	return nil
}

func fingerprints(chain []*x509.Certificate) []string {
	var list []string
	for _, cert := range chain {
		sum := sha256.Sum256(cert.Raw)
		list = append(list, hex.EncodeToString(sum[:]))
	}
	return list
}
