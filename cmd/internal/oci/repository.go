package oci

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Config says how to reach what a [Repository] stands for. Every zero is usable.
type Config struct {
	// UserAgent is sent with each request; "" sends "fencepost".
	UserAgent string
	// PlainHTTP tells whether a registry is spoken to without TLS. Nil: only
	// localhost, with or without a port.
	PlainHTTP func(host string) bool
	// Credential returns what to show the registry, when it asks. Nil: nothing.
	Credential CredentialFunc
	// TLS is for connections to the registry, its token service and its storage.
	// Nil: the system's roots.
	TLS *tls.Config
	// Proxy is for requests, as in http.Transport. Nil: what the environment
	// says (http.ProxyFromEnvironment).
	Proxy func(*http.Request) (*url.URL, error)
	// ReferrersTag has Attach write the index under the fallback tag whatever
	// the registry says, as Notation before version 2 does. No meaning in a layout.
	ReferrersTag bool
	// Progress is called while a blob is moved, from any goroutine. Nil: nobody.
	Progress func(Transfer)
	// Warn is called with what went wrong without harm, and with what the
	// registry wants its users to know. From any goroutine. Nil: nobody.
	Warn func(error)

	Limits Limits
}

// Limits bound what others can make us do. A zero is the default that is named.
type Limits struct {
	Manifest  int64         // of a manifest and of one page of a listing, in bytes; 4 MiB, what registries take
	Blob      int64         // of a blob, in bytes; 32 MiB, what Notation reads
	Index     int64         // of index.json of a layout, in bytes; 64 MiB
	Referrers int           // that are visited for one subject; 10,000
	Pages     int           // of one listing; 500
	Wait      time.Duration // for one request, between all its attempts; 30 s
	Stall     time.Duration // with fewer than 16 KiB moved; 60 s
	Parallel  int           // manifests fetched at the same time; 8
}

func (l Limits) filled() Limits {
	l.Manifest = cmp.Or(l.Manifest, 4<<20)
	l.Blob = cmp.Or(l.Blob, 32<<20)
	l.Index = cmp.Or(l.Index, 64<<20)
	l.Referrers = cmp.Or(l.Referrers, 10_000)
	l.Pages = cmp.Or(l.Pages, 500)
	l.Wait = cmp.Or(l.Wait, 30*time.Second)
	l.Stall = cmp.Or(l.Stall, time.Minute)
	l.Parallel = cmp.Or(l.Parallel, 8)
	return l
}

// A Transfer says how far a blob has been moved. Done may start again at 0: the
// transfer is tried again then.
type Transfer struct {
	Push        bool // to the registry or layout; else from it
	Digest      digest.Digest
	Done, Total int64 // bytes
}

// A Repository is one repository of a registry, or one image layout on disk. It
// may be used by several goroutines.
type Repository struct {
	cfg  Config
	from store

	mu     sync.Mutex
	warned map[string]bool
}

// A store is where the bytes are. Its errors are those of the package.
type store interface {
	// manifest returns a manifest by tag or digest, its bytes checked against
	// the digest, if that is what was asked for.
	manifest(ctx context.Context, tag string, d digest.Digest) (*Manifest, error)
	// blob returns the checked bytes of d.
	blob(ctx context.Context, d Descriptor) ([]byte, error)
	// list calls yield for everything that may refer to subject, and for what
	// could not be read. It ends with the error of yield.
	list(ctx context.Context, subject Descriptor, yield func(candidate) error) error
	// attach stores blobs, then the manifest, then makes it a referrer.
	attach(ctx context.Context, p parcel) error
}

// OpenRegistry returns the repository that ref names. Nothing is sent yet.
func OpenRegistry(ref Reference, cfg Config) (*Repository, error) {
	if _, err := ParseReference(ref.Name() + ":x"); err != nil {
		return nil, err
	}
	cfg.Limits = cfg.Limits.filled()
	r := &Repository{cfg: cfg, warned: make(map[string]bool)}
	r.from = newRegistry(ref, &r.cfg, r.warn)
	return r, nil
}

// OpenLayout returns the image layout in dir. It must be there: a directory
// without the file oci-layout is never made one.
func OpenLayout(dir string, cfg Config) (*Repository, error) {
	cfg.Limits = cfg.Limits.filled()
	r := &Repository{cfg: cfg, warned: make(map[string]bool)}
	l := &layout{dir: dir, cfg: &r.cfg, patience: lockWait}
	if err := l.check(); err != nil {
		return nil, err
	}
	r.from = l
	return r, nil
}

// warn passes a warning on, the same text once.
func (r *Repository) warn(err error) {
	const most = 1000 // a registry may send one with each answer
	if r.cfg.Warn == nil {
		return
	}
	r.mu.Lock()
	known := r.warned[err.Error()] || len(r.warned) >= most
	if !known {
		r.warned[err.Error()] = true
	}
	r.mu.Unlock()
	if !known {
		r.cfg.Warn(err)
	}
}

// Resolve returns the descriptor of a manifest or index: its media type, digest
// and size. The digest is that of the bytes that were delivered. A tag or
// manifest that is not there is an [Error] of kind [NotFound].
func (r *Repository) Resolve(ctx context.Context, tagOrDigest string) (Descriptor, error) {
	tag, d, err := checkTarget(tagOrDigest)
	if err != nil {
		return Descriptor{}, err
	}
	m, err := r.from.manifest(ctx, tag, d)
	if err != nil {
		return Descriptor{}, err
	}
	return m.Descriptor, nil
}

// Manifest returns the manifest that d describes, which must have its digest,
// size and media type.
func (r *Repository) Manifest(ctx context.Context, d Descriptor) (*Manifest, error) {
	if err := checkDescriptor(d, r.cfg.Limits.Manifest); err != nil {
		return nil, err
	}
	m, err := r.from.manifest(ctx, "", d.Digest)
	if err != nil {
		return nil, err
	}
	if err := matches(m, d); err != nil {
		return nil, err
	}
	return m, nil
}

// Blob returns the bytes that d describes, which must have its digest and size.
func (r *Repository) Blob(ctx context.Context, d Descriptor) ([]byte, error) {
	if err := checkDescriptor(d, r.cfg.Limits.Blob); err != nil {
		return nil, err
	}
	return r.from.blob(ctx, d)
}

// plainHTTP is the default of Config.PlainHTTP.
func plainHTTP(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return host == "localhost"
}
