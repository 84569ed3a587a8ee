package oci_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	orasoci "oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// openLayout makes a layout with an image and opens it.
func openLayout(t testing.TB, cfg oci.Config) (dir string, repo *oci.Repository, image oci.Descriptor) {
	t.Helper()
	dir = t.TempDir()
	image = ocitest.WriteLayout(t, dir, "v1")
	repo, err := oci.OpenLayout(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return dir, repo, image
}

func write(t testing.TB, data string, elements ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(elements...), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, elements ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func blobPath(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", d.Algorithm().String(), d.Encoded())
}

func TestOpenLayout(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(dir string)
		kind oci.Kind
		text string
	}{
		{"nothing there", func(dir string) { os.RemoveAll(dir) }, oci.NotFound, "layout "},
		{"a file", func(dir string) { os.RemoveAll(dir); write(t, "x", dir) }, oci.Malformed, "not a directory"},
		{"an empty directory", func(dir string) { os.RemoveAll(dir); os.Mkdir(dir, 0o755) }, oci.NotFound, "oci-layout: "},
		{"another version", func(dir string) { write(t, `{"imageLayoutVersion":"2.0.0"}`, dir, "oci-layout") }, oci.Unsupported, `version "2.0.0"`},
		{"no version", func(dir string) { write(t, `{}`, dir, "oci-layout") }, oci.Unsupported, "version"},
		{"not JSON", func(dir string) { write(t, `x`, dir, "oci-layout") }, oci.Malformed, "not JSON"},
		{"huge", func(dir string) { write(t, strings.Repeat(" ", 100_000), dir, "oci-layout") }, oci.TooLarge, "at most"},
		{"a directory for the file", func(dir string) {
			os.Remove(filepath.Join(dir, "oci-layout"))
			os.Mkdir(filepath.Join(dir, "oci-layout"), 0o755)
		}, oci.Malformed, "is not a file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "layout")
			ocitest.WriteLayout(t, dir, "v1")
			test.make(dir)
			_, err := oci.OpenLayout(dir, oci.Config{})
			wantKind(t, err, test.kind, test.text, "")
			if _, err := os.Stat(filepath.Join(dir, "oci-layout")); test.kind == oci.NotFound && err == nil {
				t.Error("a layout was made")
			}
		})
	}
}

// TestLayoutFaults has files of a layout be wrong.
func TestLayoutFaults(t *testing.T) {
	index := func(entries ...string) string {
		return `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
	}
	entry := func(d oci.Descriptor, tag string) string {
		d.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, test := range []struct {
		name         string
		spoil        func(dir string, image oci.Descriptor)
		kind         oci.Kind
		text, advice string
	}{
		{"another tag", func(dir string, image oci.Descriptor) {
			write(t, index(entry(image, "v3"), entry(image, "v2")), dir, "index.json")
		}, oci.NotFound, "no tag v1", "v2, v3"},
		{"no index.json", func(dir string, _ oci.Descriptor) { os.Remove(filepath.Join(dir, "index.json")) }, oci.NotFound, "index.json", ""},
		{"index.json cut", func(dir string, _ oci.Descriptor) { write(t, `{"manifests":[`, dir, "index.json") }, oci.Malformed, "ends too early", ""},
		{"two manifests for a tag", func(dir string, image oci.Descriptor) {
			other := image
			other.Digest = digest.FromString("other")
			write(t, index(entry(image, "v1"), entry(other, "v1")), dir, "index.json")
		}, oci.Malformed, "stands for", ""},
		{"an altered manifest", func(dir string, image oci.Descriptor) {
			name := blobPath(dir, image.Digest)
			write(t, strings.Replace(read(t, name), "linux", "Linux", 1)+" ", name)
		}, oci.Digest, "the file has the digest", ""},
		{"a missing manifest", func(dir string, image oci.Descriptor) { os.Remove(blobPath(dir, image.Digest)) }, oci.NotFound, "blobs/sha256/", ""},
		{"another size", func(dir string, image oci.Descriptor) {
			image.Size++
			write(t, index(entry(image, "v1")), dir, "index.json")
		}, oci.Digest, "its descriptor says", ""},
		{"another type", func(dir string, image oci.Descriptor) {
			image.MediaType = ocispec.MediaTypeImageIndex
			write(t, index(entry(image, "v1")), dir, "index.json")
		}, oci.Malformed, "announced as", ""},
		{"a huge manifest", func(dir string, image oci.Descriptor) {
			if err := os.Truncate(blobPath(dir, image.Digest), 5<<20); err != nil {
				t.Fatal(err)
			}
		}, oci.TooLarge, "at most 4194304", ""},
		{"a directory for a blob", func(dir string, image oci.Descriptor) {
			os.Remove(blobPath(dir, image.Digest))
			os.Mkdir(blobPath(dir, image.Digest), 0o755)
		}, oci.Malformed, "is not a file", ""},
		{"a link out of the layout", func(dir string, image oci.Descriptor) {
			name := blobPath(dir, image.Digest)
			outside := filepath.Join(t.TempDir(), "outside")
			write(t, read(t, name), outside)
			os.Remove(name)
			if err := os.Symlink(outside, name); err != nil {
				t.Fatal(err)
			}
		}, oci.Unavailable, "escapes", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, repo, image := openLayout(t, oci.Config{})
			test.spoil(dir, image)
			d, err := repo.Resolve(t.Context(), "v1")
			wantKind(t, err, test.kind, test.text, test.advice)
			if d.Digest != "" {
				t.Errorf("%v with an error", d)
			}
		})
	}
}

// TestLayoutBlob has the blob of a signature altered on disk.
func TestLayoutBlob(t *testing.T) {
	dir, repo, image := openLayout(t, oci.Config{})
	m, err := repo.Manifest(t.Context(), attach(t, repo, image, "signature"))
	if err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0]
	write(t, "Signature", blobPath(dir, layer.Digest))
	_, err = repo.Blob(t.Context(), layer)
	wantKind(t, err, oci.Digest, "the file has the digest", "")
	// Attaching it again mends it.
	attach(t, repo, image, "signature")
	if data, err := repo.Blob(t.Context(), layer); err != nil || string(data) != "signature" {
		t.Errorf("Blob = %q, %v", data, err)
	}
	write(t, "signatur", blobPath(dir, layer.Digest))
	_, err = repo.Blob(t.Context(), layer)
	wantKind(t, err, oci.Digest, "", "")
	os.Remove(blobPath(dir, layer.Digest))
	_, err = repo.Blob(t.Context(), layer)
	wantKind(t, err, oci.NotFound, "", "")
}

// TestLayoutKept sees that index.json keeps what we do not understand, and that
// nothing changes when the rest cannot be written.
func TestLayoutKept(t *testing.T) {
	dir, repo, image := openLayout(t, oci.Config{})
	before := strings.TrimSuffix(read(t, dir, "index.json"), "]}") + `,{"x": 1}],"annotations":{"keep":"me"},"unknown":[1, 2]}`
	write(t, before, dir, "index.json")
	d := attach(t, repo, image, "signature")
	got := read(t, dir, "index.json")
	begin, end, _ := strings.Cut(before, `,{"x": 1}]`)
	if !strings.HasPrefix(got, begin+`,{"x": 1},{"mediaType"`) || !strings.HasSuffix(got, "]"+end) || !strings.Contains(got, d.Digest.String()) {
		t.Errorf("index.json was\n%s\nand is\n%s", before, got)
	}
	all, err := referrers(t.Context(), repo, image)
	if err != nil || len(all) != 2 || all[0].Err == nil || all[1].Digest != d.Digest {
		t.Errorf("referrers %v, %v; want the unreadable entry and the signature", all, err)
	}

	before = read(t, dir, "index.json")
	if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
		t.Fatal(err)
	}
	write(t, "in the way", dir, "blobs")
	_, err = repo.Attach(t.Context(), attachment(image, "another"))
	if err == nil || !strings.Contains(err.Error(), "index.json is as it was") {
		t.Errorf("error %v", err)
	}
	if read(t, dir, "index.json") != before {
		t.Error("index.json has changed")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
}

// TestLayoutLocked has a writer that never ends.
func TestLayoutLocked(t *testing.T) {
	dir, repo, image := openLayout(t, oci.Config{})
	write(t, "1\n", dir, ".fencepost.lock")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := repo.Attach(ctx, attachment(image, "x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one of the context", err)
	}
	oci.ShortLock(repo)
	_, err := repo.Attach(t.Context(), attachment(image, "x"))
	wantKind(t, err, oci.Conflict, "another program is writing it", "remove "+dir)
}

// TestNestedIndexes finds what only an index inside a layout leads to, such as
// the index of a fallback tag that was copied along, and is not led in circles.
func TestNestedIndexes(t *testing.T) {
	dir, repo, image := openLayout(t, oci.Config{})
	signature := referring(t, &image, signatureType, ocispec.MediaTypeEmptyJSON)
	list := func(items ...oci.Descriptor) oci.Descriptor {
		data, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": items})
		if err != nil {
			t.Fatal(err)
		}
		return oci.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: ocitest.WriteBlob(t, dir, data), Size: int64(len(data))}
	}
	s := oci.Descriptor{MediaType: image.MediaType, Digest: ocitest.WriteBlob(t, dir, signature), Size: int64(len(signature))}
	platforms := list(image)
	top := list(platforms, list(s), s, image)
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []oci.Descriptor{top, image, s}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, string(index), dir, "index.json")
	all, err := referrers(t.Context(), repo, image)
	if err != nil || digestsOf(all) != s.Digest.String() || all[0].Manifest == nil {
		t.Errorf("referrers: %s, %v", digestsOf(all), err)
	}
	if d, err := repo.Resolve(t.Context(), platforms.Digest.String()); err != nil || d.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("Resolve of what index.json does not list: %v, %v", d, err)
	}
	deep := s
	for range 8 {
		deep = list(deep)
	}
	index, err = json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []oci.Descriptor{deep}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, string(index), dir, "index.json")
	_, err = referrers(t.Context(), repo, image)
	wantKind(t, err, oci.TooLarge, "nested deeper than 4", "")
}

// TestBesideOras has oras-go read what we write and write what we read.
func TestBesideOras(t *testing.T) {
	dir, repo, image := openLayout(t, oci.Config{})
	ours := attach(t, repo, image, "ours")
	store, err := orasoci.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := registry.Referrers(t.Context(), store, image, signatureType)
	if err != nil || len(listed) != 1 || listed[0].Digest != ours.Digest {
		t.Errorf("oras-go lists %v, %v; want %s", listed, err, ours.Digest)
	}
	data := referring(t, &image, "", signatureType)
	theirs := oci.Descriptor{MediaType: image.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := store.Push(t.Context(), theirs, strings.NewReader(string(data))); err != nil {
		t.Fatal(err)
	}
	all, err := referrers(t.Context(), repo, image, signatureType)
	if got := digestsOf(all); err != nil || len(all) != 2 || !strings.Contains(got, string(ours.Digest)) || !strings.Contains(got, string(theirs.Digest)) {
		t.Errorf("referrers: %s, %v; want %s and %s", got, err, ours.Digest, theirs.Digest)
	}
	if d, err := repo.Resolve(t.Context(), "v1"); err != nil || d.Digest != image.Digest {
		t.Errorf("Resolve: %v, %v", d, err)
	}
}

// TestSparse has a layout lack the manifests of platforms, as one has that was
// copied for one of them. They are no broken signatures.
func TestSparse(t *testing.T) {
	dir := t.TempDir()
	image := ocitest.WriteLayout(t, dir, "v1")
	repo, err := oci.OpenLayout(dir, oci.Config{})
	if err != nil {
		t.Fatal(err)
	}
	signature := attach(t, repo, image, "x")
	missing := func(text, artifactType string) oci.Descriptor {
		return oci.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Size: 9, ArtifactType: artifactType}
	}
	list, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []oci.Descriptor{
		image, missing("arm64", ""), missing("s390x", ""), missing("riscv64", ""), missing("signature", signatureType),
	}})
	if err != nil {
		t.Fatal(err)
	}
	addToLayout(t, dir, oci.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: ocitest.WriteBlob(t, dir, list), Size: int64(len(list))})
	all, err := referrers(t.Context(), repo, image, signatureType)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d referrers, %v, want the signature and the missing one", len(all), err)
	}
	if all[0].Digest != signature.Digest || all[0].Err != nil {
		t.Errorf("the signature: %+v", all[0])
	}
	wantKind(t, all[1].Err, oci.NotFound, "no such file", "")
}

// TestStrangeFiles has a layout have links and a pipe for blobs: the signature
// behind them is found.
func TestStrangeFiles(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("links need a privilege")
		return
	}
	dir := t.TempDir()
	image := ocitest.WriteLayout(t, dir, "v1")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, string(referring(t, &image, signatureType, ocispec.MediaTypeEmptyJSON)), secret)
	var strange []oci.Descriptor
	for i := range 4 {
		data := referring(t, &image, signatureType, fmt.Sprintf("application/x.%d", i))
		d := oci.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(data), Size: int64(len(data))}
		name := filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())
		if i == 3 {
			if !pipe(t, name) {
				continue
			}
		} else if err := os.Symlink(secret, name); err != nil {
			t.Fatal(err)
		}
		strange = append(strange, d)
	}
	addToLayout(t, dir, strange...)
	repo, err := oci.OpenLayout(dir, oci.Config{})
	if err != nil {
		t.Fatal(err)
	}
	signature := attach(t, repo, image, "x")
	all, err := referrers(t.Context(), repo, image, signatureType)
	if err != nil || len(all) != len(strange)+1 {
		t.Fatalf("%d referrers, %v, want %d", len(all), err, len(strange)+1)
	}
	for i, r := range all[:len(strange)] {
		if r.Err == nil {
			t.Errorf("strange file %d was read", i)
		}
	}
	if last := all[len(strange)]; last.Digest != signature.Digest || last.Err != nil {
		t.Errorf("the signature: %+v", last)
	}
}

// addToLayout adds entries to index.json.
func addToLayout(t *testing.T, dir string, entries ...oci.Descriptor) {
	t.Helper()
	name := filepath.Join(dir, ocispec.ImageIndexFile)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		t.Fatal(err)
	}
	index.Manifests = append(index.Manifests, entries...)
	if data, err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	write(t, string(data), name)
}
