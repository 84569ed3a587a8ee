package oci

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits on a layout.
const (
	// maxNesting is how deep indexes may lie in one another. An image for
	// several platforms is one below index.json.
	maxNesting = 4
	// maxEntries bounds the manifests that are looked at for one subject. Each
	// is a small file.
	maxEntries = 200_000
	// maxTagsShown is how many tags an error names.
	maxTagsShown = 8
)

// A layout is an image layout on disk (image-spec, image-layout.md). Opening it
// reads one small file. oras-go's store reads and keeps the whole graph when it
// is opened, and rewrites index.json in place for each manifest, in random order.
type layout struct {
	dir      string
	cfg      *Config
	patience time.Duration // with another writer
}

func (l *layout) error(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf("layout %s: %w", l.dir, fmt.Errorf(format, args...))}
}

// check sees that there is a layout that we can read.
func (l *layout) check() error {
	hint := func(err error) error {
		if e := (*Error)(nil); errors.As(err, &e) {
			e.hint = "an OCI image layout is a directory with the files oci-layout and index.json; \"skopeo copy\", \"crane pull --format=oci\" and \"oras copy --to-oci-layout\" make one"
		}
		return err
	}
	info, err := os.Stat(l.dir)
	if err != nil {
		return hint(l.fileError(l.dir, err))
	}
	if !info.IsDir() {
		return hint(l.error(Malformed, "not a directory"))
	}
	const most = 64 << 10
	data, err := l.read(ocispec.ImageLayoutFile, most)
	if err != nil {
		return hint(err)
	}
	doc, err := parseDocument(data)
	if err != nil {
		return l.error(Malformed, "%s: %w", ocispec.ImageLayoutFile, err)
	}
	version, err := doc.text("imageLayoutVersion")
	if err != nil {
		return l.error(Malformed, "%s: %w", ocispec.ImageLayoutFile, err)
	}
	if version != ocispec.ImageLayoutVersion {
		return l.error(Unsupported, "%s: version %s, not %s", ocispec.ImageLayoutFile, shown(version), ocispec.ImageLayoutVersion)
	}
	return nil
}

// fileError explains an error of a file without the path that it repeats.
func (l *layout) fileError(name string, err error) error {
	kind := Unavailable
	switch {
	case errors.Is(err, fs.ErrNotExist):
		kind = NotFound
	case errors.Is(err, fs.ErrPermission):
		kind = Forbidden
	}
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	if le := (*os.LinkError)(nil); errors.As(err, &le) {
		err = le.Err
	}
	if name == l.dir {
		return l.error(kind, "%w", err)
	}
	return l.error(kind, "%s: %w", name, err)
}

// read reads a regular file of the layout, of at most limit bytes. No link
// leads out of it.
func (l *layout) read(name string, limit int64) ([]byte, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, l.fileError(l.dir, err)
	}
	defer root.Close()
	// Opening a pipe would wait for its writer.
	info, err := root.Stat(name)
	if err != nil {
		return nil, l.fileError(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, l.error(Malformed, "%s is not a file", name)
	}
	if info.Size() > limit {
		return nil, l.error(TooLarge, "%s has %d bytes, at most %d are taken", name, info.Size(), limit)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, l.fileError(name, err)
	}
	defer f.Close()
	data := make([]byte, 0, info.Size()+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if int64(len(data)) > limit {
			return nil, l.error(TooLarge, "%s has more than %d bytes", name, limit)
		}
		if err == io.EOF {
			return data, nil
		}
		if err != nil {
			return nil, l.fileError(name, err)
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, 4<<10)
		}
	}
}

// blobName is where a blob is, in the slashes of package fs.
func blobName(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// content reads a blob and checks its digest.
func (l *layout) content(d digest.Digest, limit int64) ([]byte, error) {
	data, err := l.read(blobName(d), limit)
	if err != nil {
		return nil, err
	}
	if got := d.Algorithm().FromBytes(data); got != d {
		return nil, l.error(Digest, "%s: the file has the digest %s", blobName(d), got)
	}
	return data, nil
}

func (l *layout) blob(ctx context.Context, d Descriptor) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	data, err := l.content(d.Digest, l.cfg.Limits.Blob)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != d.Size {
		return nil, l.error(Digest, "%s: the file has %d bytes, but its descriptor says %d", blobName(d.Digest), len(data), d.Size)
	}
	if tell := l.cfg.Progress; tell != nil {
		tell(Transfer{Digest: d.Digest, Done: d.Size, Total: d.Size})
	}
	return data, nil
}

// An entry is one of index.json.
type entry struct {
	Descriptor
	err error
}

// index reads index.json.
func (l *layout) index() (document, []entry, error) {
	data, err := l.read(ocispec.ImageIndexFile, l.cfg.Limits.Index)
	if err != nil {
		return document{}, nil, err
	}
	doc, err := parseDocument(data)
	if err != nil {
		return document{}, nil, l.error(Malformed, "%s: %w", ocispec.ImageIndexFile, err)
	}
	items, err := doc.items("manifests")
	if err != nil {
		return document{}, nil, l.error(Malformed, "%s: %w", ocispec.ImageIndexFile, err)
	}
	entries := make([]entry, len(items))
	for i, item := range items {
		d, err := parseDescriptor(fmt.Sprintf("manifests[%d]", i), item)
		if err != nil {
			err = l.error(Malformed, "%s: %w", ocispec.ImageIndexFile, err)
		}
		entries[i] = entry{d, err}
	}
	return doc, entries, nil
}

func (l *layout) manifest(ctx context.Context, tag string, d digest.Digest) (*Manifest, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if tag != "" {
		tagged, err := l.tagged(tag)
		if err != nil {
			return nil, err
		}
		return l.parsed(tagged)
	}
	data, err := l.content(d, l.cfg.Limits.Manifest)
	if err != nil {
		return nil, err
	}
	// A digest does not tell the type. The document does, or else its members.
	doc, err := parseDocument(data)
	if err != nil {
		return nil, l.error(Malformed, "%s: %w", blobName(d), err)
	}
	mediaType, err := doc.text("mediaType")
	if err != nil {
		return nil, l.error(Malformed, "%s: %w", blobName(d), err)
	}
	if mediaType == "" {
		mediaType = ocispec.MediaTypeImageManifest
		if doc.has("manifests") {
			mediaType = ocispec.MediaTypeImageIndex
		}
	}
	if !isManifest(mediaType) {
		return nil, l.error(Unsupported, "%s: %s is no type of manifest that is read", blobName(d), shown(mediaType))
	}
	m, err := manifestOf(Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}, doc, data)
	if err != nil {
		return nil, l.error(Malformed, "%s: %w", blobName(d), err)
	}
	return m, nil
}

// parsed reads the manifest that a descriptor describes.
func (l *layout) parsed(d Descriptor) (*Manifest, error) {
	if err := checkDescriptor(d, l.cfg.Limits.Manifest); err != nil {
		return nil, err
	}
	data, err := l.content(d.Digest, l.cfg.Limits.Manifest)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) != d.Size {
		return nil, l.error(Digest, "%s: the file has %d bytes, but its descriptor says %d", blobName(d.Digest), len(data), d.Size)
	}
	m, err := parseManifest(d, data)
	if err != nil {
		return nil, l.error(Malformed, "%s: %w", blobName(d.Digest), err)
	}
	return m, nil
}

// tagged finds the manifest that a tag of index.json stands for.
func (l *layout) tagged(tag string) (Descriptor, error) {
	_, entries, err := l.index()
	if err != nil {
		return Descriptor{}, err
	}
	var found Descriptor
	var tags []string
	for _, e := range entries {
		name := e.Annotations[ocispec.AnnotationRefName]
		if name == "" {
			continue
		}
		if name != tag {
			tags = append(tags, cut(name))
			continue
		}
		if found.Digest != "" && found.Digest != e.Digest {
			return Descriptor{}, l.error(Malformed, "%s: tag %s stands for %s and for %s", ocispec.ImageIndexFile, tag, found.Digest, e.Digest)
		}
		found = e.Descriptor
	}
	if found.Digest == "" {
		err := l.error(NotFound, "no tag %s", tag)
		if len(tags) > 0 {
			slices.Sort(tags)
			tags = slices.Compact(tags)
			if len(tags) > maxTagsShown {
				tags = append(tags[:maxTagsShown], "...")
			}
			err.hint = "it has the tags " + strings.Join(tags, ", ")
		}
		return Descriptor{}, err
	}
	return found, nil
}

// list yields every manifest of index.json, and those in indexes that it leads
// to: what refers to the subject, only each manifest tells. Copies from
// registries bring the index of the fallback tag along.
func (l *layout) list(ctx context.Context, subject Descriptor, yield func(candidate) error) error {
	_, entries, err := l.index()
	if err != nil {
		return err
	}
	seen := make(map[digest.Digest]bool)
	var visit func(d Descriptor, depth int) error
	visit = func(d Descriptor, depth int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if seen[d.Digest] || !isManifest(d.MediaType) {
			return nil
		}
		if len(seen) == maxEntries {
			return l.error(TooLarge, "more than %d manifests", maxEntries)
		}
		seen[d.Digest] = true
		if d.Digest != subject.Digest {
			if err := yield(candidate{Descriptor: d, unsure: true, sparse: depth > 0}); err != nil {
				return err
			}
		}
		if !IsIndex(d.MediaType) || d.Digest == subject.Digest {
			return nil // what an image for several platforms consists of does not refer to it
		}
		if depth == maxNesting {
			return l.error(TooLarge, "indexes nested deeper than %d", maxNesting)
		}
		m, err := l.parsed(d)
		if err != nil {
			return nil // yield has shown it to be broken
		}
		for _, child := range m.Manifests {
			if err := visit(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range entries {
		err := e.err
		if err != nil {
			err = yield(candidate{err: err})
		} else {
			err = visit(e.Descriptor, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attach is Attach for a layout.
func (l *layout) attach(ctx context.Context, p parcel) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for _, b := range append(slices.Clone(p.blobs), parcelBlob{Descriptor: p.descriptor, data: p.manifest}) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := l.put(b); err != nil {
			return left(err, "index.json is as it was; blobs that nothing refers to may be left behind")
		}
	}
	if err := l.addEntry(p.descriptor); err != nil {
		return left(err, "index.json is as it was; left behind: blob %s, which nothing refers to", p.descriptor.Digest)
	}
	return nil
}

// put stores a blob, unless it is there. One that is there but is not what its
// name says is replaced.
func (l *layout) put(b parcelBlob) error {
	name := blobName(b.Digest)
	if data, err := l.content(b.Digest, b.Size); err != nil || int64(len(data)) != b.Size {
		if err := l.write(name, b.data); err != nil {
			return err
		}
	}
	if tell := l.cfg.Progress; tell != nil {
		tell(Transfer{Push: true, Digest: b.Digest, Done: b.Size, Total: b.Size})
	}
	return nil
}

// write puts a file in place, whole or not at all, and nowhere out of the
// layout.
func (l *layout) write(name string, data []byte) error {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return l.fileError(l.dir, err)
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return l.fileError(path.Dir(name), err)
	}
	temp := ".fencepost-" + rand.Text()
	if err := writeAndSync(root, temp, data); err != nil {
		root.Remove(temp)
		return l.fileError(name, err)
	}
	if err := root.Rename(temp, name); err != nil {
		root.Remove(temp)
		return l.fileError(name, err)
	}
	return nil
}

func writeAndSync(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	// Or a crash could leave an empty file under the new name.
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// addEntry adds a descriptor to index.json, which is replaced as a whole.
func (l *layout) addEntry(d Descriptor) error {
	doc, entries, err := l.index()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.err == nil && e.Digest == d.Digest {
			return nil
		}
	}
	item, err := json.Marshal(d)
	if err != nil {
		return l.error(Malformed, "%w", err)
	}
	data, err := doc.with("manifests", item)
	if err != nil {
		return l.error(Malformed, "%s: %w", ocispec.ImageIndexFile, err)
	}
	if int64(len(data)) > l.cfg.Limits.Index {
		return l.error(TooLarge, "%s would have %d bytes, at most %d are taken", ocispec.ImageIndexFile, len(data), l.cfg.Limits.Index)
	}
	return l.write(ocispec.ImageIndexFile, data)
}
