package oci_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

const (
	signatureType = "application/vnd.example.signature"
	layerType     = "application/vnd.example.envelope"
)

// quick are limits under which what fails does so at once.
var quick = oci.Limits{Wait: 2 * time.Second, Stall: 2 * time.Second}

// open returns the repository "app" of a registry.
func open(t testing.TB, h *ocitest.Registry, cfg oci.Config) *oci.Repository {
	t.Helper()
	return openAt(t, ocitest.Start(t, h), cfg)
}

func openAt(t testing.TB, host string, cfg oci.Config) *oci.Repository {
	t.Helper()
	if cfg.Limits == (oci.Limits{}) {
		cfg.Limits = quick
	}
	repo, err := oci.OpenRegistry(oci.Reference{Host: host, Repository: "app"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Limits.Wait != waits {
		oci.Hurry(repo)
	}
	return repo
}

// waits has a repository wait as long as it should.
const waits = 9 * time.Second

func attachment(subject oci.Descriptor, text string) oci.Attachment {
	return oci.Attachment{
		Subject: subject, ArtifactType: signatureType, LayerType: layerType, Layer: []byte(text),
		Annotations: map[string]string{ocispec.AnnotationCreated: "2026-11-21T02:04:12Z"},
	}
}

func attach(t testing.TB, repo *oci.Repository, subject oci.Descriptor, text string) oci.Descriptor {
	t.Helper()
	d, err := repo.Attach(t.Context(), attachment(subject, text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// referrers lists what refers to subject: a line each.
func referrers(ctx context.Context, repo *oci.Repository, subject oci.Descriptor, types ...string) ([]oci.Referrer, error) {
	var all []oci.Referrer
	err := repo.Referrers(ctx, subject, types, func(r oci.Referrer) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

// digestsOf is for comparisons.
func digestsOf(all []oci.Referrer) string {
	var list []string
	for _, r := range all {
		list = append(list, string(r.Digest))
	}
	return strings.Join(list, " ")
}

// wantKind checks the kind of an error, and that its text and its advice have
// what they should.
func wantKind(t testing.TB, err error, kind oci.Kind, text, advice string) {
	t.Helper()
	var e *oci.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T), want one of kind %q", err, err, kind)
	}
	if e.Kind != kind || !strings.Contains(e.Error(), text) || !strings.Contains(e.Advice(), advice) {
		t.Errorf("error of kind %q: %v; advice %q\nwant kind %q, %q in it, and %q in the advice", e.Kind, e, e.Advice(), kind, text, advice)
	}
}

// referring makes a manifest of the older form: its type is that of the config.
func referring(t testing.TB, subject *oci.Descriptor, artifactType, configType string) []byte {
	t.Helper()
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest,
		"config": map[string]any{"mediaType": configType, "digest": ocispec.DescriptorEmptyJSON.Digest, "size": 2},
		"layers": []any{},
	}
	if artifactType != "" {
		m["artifactType"] = artifactType
	}
	if subject != nil {
		m["subject"] = subject
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func number(i int) string { return fmt.Sprintf("signature %d", i) }
