package oci

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	orasregistry "oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// maxHeader bounds the header of a response, in bytes.
const maxHeader = 64 << 10

// maxRedirects is more than the way from a registry to its storage takes.
const maxRedirects = 5

// A registry is one repository of a registry, over HTTP. Tokens, challenges and
// uploads are oras-go's; what is read, and what becomes of a referrer, is ours:
// oras-go asks for the digest of less, and rewrites an index without looking
// back.
type registry struct {
	name Reference // host and repository
	ref  orasregistry.Reference
	base string // scheme://host/v2/repository
	cfg  *Config
	warn func(error)

	client *auth.Client
	pushes *remote.Repository
	plain  bool
	shown  atomic.Bool // the registry was shown a credential
	pause  func(context.Context, time.Duration) error

	indexing sync.Mutex // our own writers of an index do not disturb each other
}

func newRegistry(name Reference, cfg *Config, warn func(error)) *registry {
	r := &registry{name: name, cfg: cfg, warn: warn, pause: pause}
	r.ref = orasregistry.Reference{Registry: name.Host, Repository: name.Repository}
	isPlain := cfg.PlainHTTP
	if isPlain == nil {
		isPlain = plainHTTP
	}
	r.plain = isPlain(name.Host)
	scheme := "https"
	if r.plain {
		scheme = "http"
	}
	host := r.ref.Host() // Docker Hub's is another than its name
	r.base = scheme + "://" + host + "/v2/" + name.Repository

	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	base := &http.Transport{
		Proxy: proxy,
		// As http.DefaultTransport has it.
		DialContext:            (&net.Dialer{Timeout: dial, KeepAlive: dial}).DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    handshake,
		IdleConnTimeout:        idle,
		MaxIdleConnsPerHost:    2 * cfg.Limits.Parallel,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true, // the limits are on what is sent
	}
	if cfg.TLS != nil {
		base.TLSClientConfig = cfg.TLS.Clone()
	}
	r.client = &auth.Client{
		Client: &http.Client{
			Transport:     &transport{base: base, wait: cfg.Limits.Wait, stall: cfg.Limits.Stall, pause: func(ctx context.Context, d time.Duration) error { return r.pause(ctx, d) }},
			CheckRedirect: checkRedirect,
		},
		Header:   http.Header{"User-Agent": {cmp.Or(cfg.UserAgent, "fencepost")}},
		ClientID: "fencepost",
		Cache:    auth.NewCache(),
	}
	if cfg.Credential != nil {
		r.client.Credential = func(ctx context.Context, asked string) (auth.Credential, error) {
			if asked != host {
				return auth.EmptyCredential, nil
			}
			c, err := cfg.Credential(ctx, name.Host)
			if err != nil {
				return auth.EmptyCredential, &credentialError{err}
			}
			// Beside a token of its own some write a user name without a password:
			// Azure's "az acr login" does.
			if c.IdentityToken == "" && c.RegistryToken == "" && (c.Username == "") != (c.Password == "") {
				return auth.EmptyCredential, &credentialError{unauthorized(errors.New("the credential lacks the user name or the password"), r.login())}
			}
			if c != (Credential{}) {
				r.shown.Store(true)
			}
			return auth.Credential{Username: c.Username, Password: c.Password, RefreshToken: c.IdentityToken, AccessToken: c.RegistryToken}, nil
		}
	}
	r.pushes = &remote.Repository{Client: r.client, Reference: r.ref, PlainHTTP: r.plain}
	return r
}

// digestKnown is the key in a context of a request whose answer is checked
// against a digest.
type digestKnown struct{}

// checkRedirect is http.Client.CheckRedirect. oras-go takes the credentials off
// what goes to another host. What is written goes nowhere but to the registry: a
// PUT to an address that others choose could do anything there, and one that
// becomes a GET stores nothing, whatever the answer is.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if method := via[0].Method; method != http.MethodGet && method != http.MethodHead && (req.Method != method || !sameOrigin(req.URL, via[0].URL)) {
		return fmt.Errorf("a %s is redirected to %s://%s: not followed", method, req.URL.Scheme, req.URL.Host)
	}
	if req.URL.Scheme != "https" && via[0].URL.Scheme == "https" && req.Context().Value(digestKnown{}) == nil {
		return fmt.Errorf("redirected from https to %s", req.URL.Scheme)
	}
	return nil
}

// A request is one to the repository.
type request struct {
	method string
	path   string   // below the repository, or a full address
	accept []string // media types
	header http.Header
	body   []byte
	push   bool
	known  bool   // the answer is checked against a digest
	what   string // for errors: "manifest v1"
}

// do sends a request. An answer other than those in statuses is an error.
func (r *registry) do(ctx context.Context, q request, statuses ...int) (*http.Response, error) {
	actions := []string{auth.ActionPull}
	if q.push {
		actions = append(actions, auth.ActionPush)
	}
	ctx = auth.AppendRepositoryScope(ctx, r.ref, actions...)
	if q.known {
		ctx = context.WithValue(ctx, digestKnown{}, true)
	}
	address := q.path
	if !strings.Contains(address, "://") {
		address = r.base + address
	}
	var body io.Reader
	if q.body != nil {
		body = bytes.NewReader(q.body)
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, body)
	if err != nil {
		return nil, r.fail(ctx, q.what, err)
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	if q.accept != nil {
		req.Header.Set("Accept", strings.Join(q.accept, ", "))
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, r.fail(ctx, q.what, err)
	}
	for _, text := range resp.Header.Values("Warning") {
		if text, ok := strings.CutPrefix(text, `299 - "`); ok { // distribution-spec, "Warnings"
			r.warn(fmt.Errorf("%s says: %s", r.name.Host, shown(strings.TrimSuffix(text, `"`))))
		}
	}
	for _, status := range statuses {
		if resp.StatusCode == status {
			return resp, nil
		}
	}
	defer resp.Body.Close()
	return nil, r.unwanted(q.what, resp)
}

// read reads a body of at most limit bytes.
func (r *registry) read(ctx context.Context, what string, resp *http.Response, limit int64) ([]byte, error) {
	tooLarge := func() error {
		return r.error(TooLarge, fmt.Errorf("%s: the answer has more than %d bytes", what, limit))
	}
	if resp.ContentLength > limit {
		return nil, tooLarge()
	}
	var buf bytes.Buffer
	if resp.ContentLength > 0 {
		buf.Grow(int(min(resp.ContentLength, 64<<10)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, errStalled) {
			err = &brokenBody{n, err}
		}
		return nil, r.fail(ctx, what, err)
	}
	if n > limit {
		return nil, tooLarge()
	}
	return buf.Bytes(), nil
}

// A brokenBody is an answer that ended before its end.
type brokenBody struct {
	n   int64
	err error
}

func (b *brokenBody) Error() string {
	return fmt.Sprintf("the answer broke off after %d bytes: %v", b.n, b.err)
}
func (b *brokenBody) Unwrap() error { return b.err }

// whole calls get until its answer arrives whole, within limits.
func whole[T any](ctx context.Context, r *registry, get func() (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		v, err := get()
		var broken *brokenBody
		if err == nil || !errors.As(err, &broken) || attempt == maxBroken || r.pause(ctx, firstPause<<(attempt-1)) != nil {
			return v, err
		}
	}
}

func (r *registry) manifest(ctx context.Context, tag string, d digest.Digest) (*Manifest, error) {
	raw, err := whole(ctx, r, func() (answer, error) { return r.fetchManifest(ctx, tag, d) })
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw.Descriptor, raw.data)
	if err != nil {
		return nil, r.error(Malformed, fmt.Errorf("%s: %w", raw.what, err))
	}
	return m, nil
}

// An answer is a manifest as it came.
type answer struct {
	Descriptor
	data []byte
	etag string
	what string
}

func (r *registry) fetchManifest(ctx context.Context, tag string, d digest.Digest) (answer, error) {
	target, what := tag, fmt.Sprintf("tag %s of %s", tag, r.name.Repository)
	if d != "" {
		target, what = d.String(), fmt.Sprintf("manifest %s of %s", d, r.name.Repository)
	}
	resp, err := r.do(ctx, request{method: http.MethodGet, path: "/manifests/" + target, accept: manifestTypes, known: d != "", what: what}, http.StatusOK)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := r.read(ctx, what, resp, r.cfg.Limits.Manifest)
	if err != nil {
		return answer{}, err
	}
	announced, err := r.announced(what, resp)
	if err != nil {
		return answer{}, err
	}
	// The digest that was asked for counts, and without one the digest of the
	// bytes: what the header says can only contradict them.
	algorithm := digest.Canonical
	if d != "" {
		algorithm = d.Algorithm()
	} else if announced != "" {
		algorithm = announced.Algorithm()
	}
	got := algorithm.FromBytes(data)
	if d != "" && got != d {
		return answer{}, r.error(Digest, fmt.Errorf("%s: the bytes delivered have the digest %s", what, got))
	}
	if announced != "" && announced.Algorithm().FromBytes(data) != announced {
		return answer{}, r.error(Digest, fmt.Errorf("%s: announced with the digest %s, but the bytes delivered have %s", what, announced, got))
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return answer{}, r.error(Malformed, fmt.Errorf("%s: Content-Type %s: %w", what, shown(resp.Header.Get("Content-Type")), err))
	}
	if !isManifest(mediaType) {
		return answer{}, r.error(Unsupported, fmt.Errorf("%s: %s is no type of manifest that is read", what, shown(mediaType)))
	}
	return answer{Descriptor{MediaType: mediaType, Digest: got, Size: int64(len(data))}, data, resp.Header.Get("ETag"), what}, nil
}

// announced is the digest that the registry says the answer has, "" if it does
// not say.
func (r *registry) announced(what string, resp *http.Response) (digest.Digest, error) {
	text := resp.Header.Get("Docker-Content-Digest")
	if text == "" {
		return "", nil
	}
	d, err := digest.Parse(text)
	if err != nil {
		return "", r.error(Malformed, fmt.Errorf("%s: Docker-Content-Digest %s: %w", what, shown(text), err))
	}
	return d, nil
}

func (r *registry) blob(ctx context.Context, d Descriptor) ([]byte, error) {
	return whole(ctx, r, func() ([]byte, error) { return r.fetchBlob(ctx, d) })
}

func (r *registry) fetchBlob(ctx context.Context, d Descriptor) ([]byte, error) {
	what := fmt.Sprintf("blob %s of %s", d.Digest, r.name.Repository)
	resp, err := r.do(ctx, request{method: http.MethodGet, path: "/blobs/" + d.Digest.String(), known: true, what: what}, http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
		return nil, r.error(Digest, fmt.Errorf("%s: %d bytes are announced, but its descriptor says %d", what, resp.ContentLength, d.Size))
	}
	if tell := r.cfg.Progress; tell != nil {
		resp.Body = &counted{resp.Body, d, tell, 0}
	}
	data, err := r.read(ctx, what, resp, d.Size)
	if err != nil {
		return nil, err
	}
	if err := checkBytes(d, data); err != nil {
		return nil, r.error(Digest, fmt.Errorf("%s: %w", what, err))
	}
	return data, nil
}

type counted struct {
	io.ReadCloser
	d    Descriptor
	tell func(Transfer)
	done int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.done += int64(n)
		c.tell(Transfer{Digest: c.d.Digest, Done: c.done, Total: c.d.Size})
	}
	return n, err
}

// pushBlob uploads a blob unless it is there.
func (r *registry) pushBlob(ctx context.Context, b parcelBlob) error {
	what := fmt.Sprintf("upload of blob %s to %s", b.Digest, r.name.Repository)
	blobs := r.pushes.Blobs()
	if b.shared {
		// The empty config is in most repositories that hold a signature. If
		// the registry cannot tell, the upload will.
		there, err := blobs.Exists(auth.AppendRepositoryScope(ctx, r.ref, auth.ActionPull, auth.ActionPush), b.Descriptor)
		if err == nil && there {
			return nil
		}
	}
	if tell := r.cfg.Progress; tell != nil {
		ctx = context.WithValue(ctx, counting{}, func(done int64) {
			// The token service may be sent a body, too.
			tell(Transfer{Push: true, Digest: b.Digest, Done: min(done, b.Size), Total: b.Size})
		})
	}
	for attempt := 1; ; attempt++ {
		err := blobs.Push(ctx, b.Descriptor, bytes.NewReader(b.data))
		if err == nil {
			return nil
		}
		err = r.fail(ctx, what, err)
		// An upload that broke off cannot always be taken up: begin another.
		if e := (*Error)(nil); !errors.As(err, &e) || e.Kind != NotFound || attempt == 2 {
			return err
		}
	}
}

// pushManifest stores a manifest under a tag or its digest, and returns the
// header of the answer.
func (r *registry) pushManifest(ctx context.Context, target string, d Descriptor, data []byte, header http.Header) (http.Header, error) {
	what := fmt.Sprintf("upload of manifest %s to %s", target, r.name.Repository)
	h := header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Content-Type", d.MediaType)
	resp, err := r.do(ctx, request{method: http.MethodPut, path: "/manifests/" + target, header: h, body: data, push: true, what: what},
		http.StatusCreated, http.StatusOK, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	announced, err := r.announced(what, resp)
	if err != nil {
		return nil, err
	}
	if announced != "" && announced.Algorithm() == d.Digest.Algorithm() && announced != d.Digest {
		return nil, r.error(Digest, fmt.Errorf("%s: stored as %s", what, announced))
	}
	return resp.Header, nil
}

// fallbackTag is the tag of the index of what refers to a subject
// (distribution-spec, "Referrers Tag Schema").
func fallbackTag(subject digest.Digest) string {
	algorithm, encoded := subject.Algorithm().String(), subject.Encoded()
	return algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
}
