package oci_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// places are the ways in which signatures are stored and found.
func places(t *testing.T, f func(t *testing.T, repo *oci.Repository, image oci.Descriptor)) {
	for _, p := range []struct {
		name string
		reg  ocitest.Config
		cfg  oci.Config
	}{
		{"referrers API", ocitest.Config{}, oci.Config{}},
		{"pages of two", ocitest.Config{PageSize: 2}, oci.Config{}},
		{"wrong types", ocitest.Config{ConfigTypes: true}, oci.Config{}},
		{"fallback tag", ocitest.Config{NoReferrers: true}, oci.Config{}},
		{"fallback tag, conditional", ocitest.Config{NoReferrers: true, Conditional: true}, oci.Config{}},
		{"both", ocitest.Config{}, oci.Config{ReferrersTag: true}},
		{"basic authentication", ocitest.Config{Username: "u", Password: "p"}, oci.Config{}},
		{"tokens", ocitest.Config{Username: "u", Password: "p", Tokens: true, NoReferrers: true}, oci.Config{}},
		{"identity token", ocitest.Config{IdentityToken: "id", Tokens: true}, oci.Config{}},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(p.reg)
			image := reg.PutImage("app", "v1")
			host := ocitest.Start(t, reg)
			p.cfg.Credential = oci.Static(host, oci.Credential{Username: p.reg.Username, Password: p.reg.Password, IdentityToken: p.reg.IdentityToken})
			p.cfg.Warn = func(err error) { t.Errorf("warning: %v", err) }
			f(t, openAt(t, host, p.cfg), image)
		})
	}
	t.Run("layout", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		image := ocitest.WriteLayout(t, dir, "v1")
		repo, err := oci.OpenLayout(dir, oci.Config{})
		if err != nil {
			t.Fatal(err)
		}
		f(t, repo, image)
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				t.Errorf("%s is left behind", e.Name())
			}
		}
	})
}

func TestRoundTrip(t *testing.T) {
	places(t, func(t *testing.T, repo *oci.Repository, image oci.Descriptor) {
		ctx := t.Context()
		for _, target := range []string{"v1", image.Digest.String()} {
			if got, err := repo.Resolve(ctx, target); err != nil || got.Digest != image.Digest || got.Size != image.Size || got.MediaType != image.MediaType {
				t.Fatalf("Resolve(%q) = %+v, %v; want %+v", target, got, err, image)
			}
		}
		_, err := repo.Resolve(ctx, "sha256-"+image.Digest.Encoded()+".sig")
		wantKind(t, err, oci.NotFound, "", "")
		if all, err := referrers(ctx, repo, image, signatureType); err != nil || len(all) != 0 {
			t.Fatalf("referrers of a new image: %v, %v", all, err)
		}

		var want []string
		for i := range 5 {
			want = append(want, attach(t, repo, image, number(i)).Digest.String())
		}
		again := attach(t, repo, image, number(2)) // is there, and stays there once
		if again.Digest.String() != want[2] {
			t.Errorf("the same attachment has another digest: %s, was %s", again.Digest, want[2])
		}
		for _, types := range [][]string{{signatureType}, {"application/other"}, nil} {
			all, err := referrers(ctx, repo, image, types...)
			if err != nil || digestsOf(all) != strings.Join(want, " ") {
				t.Fatalf("referrers (%q): %s, %v\nwant %s", types, digestsOf(all), err, want)
			}
			for i, r := range all {
				if r.Err != nil || r.ArtifactType != signatureType || r.Annotations[ocispec.AnnotationCreated] == "" {
					t.Errorf("referrer %d: %+v", i, r)
				}
				m := r.Manifest
				if m == nil {
					if m, err = repo.Manifest(ctx, r.Descriptor); err != nil {
						t.Fatal(err)
					}
				}
				if m.ArtifactType != signatureType || m.Subject.Digest != image.Digest || len(m.Layers) != 1 || m.Layers[0].MediaType != layerType {
					t.Errorf("manifest %d: %+v", i, m)
				}
				data, err := repo.Blob(ctx, m.Layers[0])
				if err != nil || string(data) != number(i) {
					t.Errorf("layer %d: %q, %v", i, data, err)
				}
			}
		}
	})
}

// TestForm holds the bytes that Notation's main branch would write.
func TestForm(t *testing.T) {
	reg := ocitest.New(ocitest.Config{})
	image := reg.PutImage("app", "v1")
	d := attach(t, open(t, reg, oci.Config{}), image, "x")
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.example.signature",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="},` +
		`"layers":[{"mediaType":"application/vnd.example.envelope","digest":"` + digest.FromString("x").String() + `","size":1}],` +
		`"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + image.Digest.String() + `","size":` + itoa(image.Size) + `},` +
		`"annotations":{"org.opencontainers.image.created":"2026-11-21T02:04:12Z"}}`
	if got := string(reg.Manifest("app", d.Digest.String())); got != want {
		t.Errorf("manifest\n%s\nwant\n%s", got, want)
	}
	if got := reg.Blob("app", ocispec.DescriptorEmptyJSON.Digest); string(got) != "{}" {
		t.Errorf("config %q", got)
	}
	if n := reg.Count("^PUT .*/sha256-"); n != 0 {
		t.Errorf("%d writes under the fallback tag, although the registry lists referrers", n)
	}
}

func itoa(n int64) string { data, _ := json.Marshal(n); return string(data) }

// TestUpgraded has a registry gain the referrers API: what was written under the
// tag must not vanish, and what is in both is visited once.
func TestUpgraded(t *testing.T) {
	reg := ocitest.New(ocitest.Config{NoReferrers: true})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	first := attach(t, repo, image, "first")
	reg.Configure(func(c *ocitest.Config) { c.NoReferrers = false })
	second := attach(t, repo, image, "second")
	// One that only the tag knows, as after a migration of another tool's.
	other := referring(t, &image, "", signatureType)
	reg.PutManifest("elsewhere", "", ocispec.MediaTypeImageManifest, other)
	all, err := referrers(t.Context(), repo, image, signatureType)
	if want := string(first.Digest + " " + second.Digest); err != nil || digestsOf(all) != want {
		t.Errorf("referrers: %s, %v\nwant %s", digestsOf(all), err, want)
	}
	// The API of some is empty for what was pushed before the upgrade.
	reg.Fault("GET /v2/app/referrers/", ocitest.Fault{Body: []byte(`{"schemaVersion":2,"manifests":[]}`)})
	all, err = referrers(t.Context(), repo, image, signatureType)
	if want := string(first.Digest); err != nil || digestsOf(all) != want {
		t.Errorf("referrers: %s, %v\nwant %s", digestsOf(all), err, want)
	}
}

// TestOlderForm finds manifests whose type is that of the config, and one whose
// listing says something else.
func TestOlderForm(t *testing.T) {
	reg := ocitest.New(ocitest.Config{ConfigTypes: true})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	reg.PutManifest("app", "", ocispec.MediaTypeImageManifest, referring(t, &image, "", signatureType))
	reg.PutManifest("app", "", ocispec.MediaTypeImageManifest, referring(t, &image, signatureType, ocispec.MediaTypeEmptyJSON))
	reg.PutManifest("app", "", ocispec.MediaTypeImageManifest, referring(t, &image, "application/sbom", ocispec.MediaTypeEmptyJSON))
	reg.PutManifest("app", "", ocispec.MediaTypeImageManifest, referring(t, nil, signatureType, ocispec.MediaTypeEmptyJSON))
	all, err := referrers(t.Context(), repo, image, signatureType)
	if err != nil || len(all) != 3 {
		t.Fatalf("referrers: %v, %v", all, err)
	}
	for i, want := range []struct {
		artifactType string
		read         bool
	}{{signatureType, false}, {signatureType, true}, {"application/sbom", true}} {
		if all[i].ArtifactType != want.artifactType || (all[i].Manifest != nil) != want.read {
			t.Errorf("referrer %d: type %q, manifest %v; want %+v", i, all[i].ArtifactType, all[i].Manifest, want)
		}
	}
}

func TestProgress(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	for _, kind := range []string{"registry", "layout"} {
		t.Run(kind, func(t *testing.T) {
			var mu sync.Mutex
			last := map[bool]oci.Transfer{}
			cfg := oci.Config{Progress: func(x oci.Transfer) {
				mu.Lock()
				defer mu.Unlock()
				if x.Total == int64(len(big)) {
					last[x.Push] = x
				}
			}}
			var repo *oci.Repository
			var image oci.Descriptor
			if kind == "layout" {
				dir := t.TempDir()
				image = ocitest.WriteLayout(t, dir, "v1")
				var err error
				if repo, err = oci.OpenLayout(dir, cfg); err != nil {
					t.Fatal(err)
				}
			} else {
				reg := ocitest.New(ocitest.Config{})
				image = reg.PutImage("app", "v1")
				repo = open(t, reg, cfg)
			}
			d := attach(t, repo, image, big)
			m, err := repo.Manifest(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			data, err := repo.Blob(t.Context(), m.Layers[0])
			if err != nil || !bytes.Equal(data, []byte(big)) {
				t.Fatalf("%d bytes, %v", len(data), err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, push := range []bool{true, false} {
				if x := last[push]; x.Done != int64(len(big)) || x.Digest != m.Layers[0].Digest {
					t.Errorf("push %v ended with %+v", push, x)
				}
			}
		})
	}
}

// TestConcurrent has several repositories attach at once, each another view of
// the same store.
func TestConcurrent(t *testing.T) {
	const writers, each = 4, 3
	for _, kind := range []string{"fallback tag", "fallback tag, conditional", "layout"} {
		t.Run(kind, func(t *testing.T) {
			var image oci.Descriptor
			var view func() *oci.Repository
			if kind == "layout" {
				dir := filepath.Join(t.TempDir(), "layout")
				image = ocitest.WriteLayout(t, dir, "v1")
				view = func() *oci.Repository {
					repo, err := oci.OpenLayout(dir, oci.Config{})
					if err != nil {
						t.Fatal(err)
					}
					return repo
				}
			} else {
				reg := ocitest.New(ocitest.Config{NoReferrers: true, Conditional: strings.HasSuffix(kind, "conditional")})
				image = reg.PutImage("app", "v1")
				host := ocitest.Start(t, reg)
				view = func() *oci.Repository { return openAt(t, host, oci.Config{Limits: oci.Limits{Wait: waits}}) }
			}
			shared := view() // one of them is used by several goroutines
			var mu sync.Mutex
			done := map[digest.Digest]bool{}
			var failed int
			var wg sync.WaitGroup
			for w := range writers {
				repo := shared
				if w > 1 {
					repo = view()
				}
				wg.Go(func() {
					for i := range each {
						d, err := repo.Attach(t.Context(), attachment(image, number(w*each+i)))
						mu.Lock()
						if err == nil {
							done[d.Digest] = true
						} else {
							failed++
							wantKind(t, err, oci.Conflict, "left behind", "several places")
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			all, err := referrers(t.Context(), view(), image)
			if err != nil {
				t.Fatal(err)
			}
			listed := map[digest.Digest]bool{}
			for _, r := range all {
				listed[r.Digest] = r.Err == nil
			}
			for d := range done {
				if !listed[d] {
					t.Errorf("%s was attached, but is not listed", d)
				}
			}
			if failed > 0 && kind == "layout" {
				t.Errorf("%d failed", failed)
			}
			t.Logf("%d attached, %d refused, %d listed", len(done), failed, len(all))
		})
	}
}
