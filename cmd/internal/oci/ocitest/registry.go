package ocitest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Config says what sort of registry it is. The zero value has the referrers API
// and lets everybody in.
type Config struct {
	// NoReferrers leaves out the referrers API, as distribution 3 does.
	NoReferrers bool
	// ConfigTypes has the referrers API report the media type of the config as
	// the type of the artifact, as go-containerregistry's registry does.
	ConfigTypes bool
	// PageSize is how many referrers a page has; 0: all of them.
	PageSize int
	// Conditional has manifests carry an ETag, and honours If-Match and
	// If-None-Match when one is stored.
	Conditional bool
	// Username and Password are demanded, if there are any: by basic
	// authentication, or by a token service at /token.
	Username, Password string
	Tokens             bool
	// IdentityToken is taken by the token service as well, if it is not empty.
	IdentityToken string
}

// A Registry is an http.Handler.
type Registry struct {
	mu       sync.Mutex
	cfg      Config
	repos    map[string]*repository
	uploads  map[string]*bytes.Buffer
	tokens   map[string]string // to the scopes that they stand for
	requests []string
	faults   []*fault
}

type repository struct {
	blobs     map[digest.Digest][]byte
	manifests map[digest.Digest]manifest
	tags      map[string]digest.Digest
	order     []digest.Digest // of the manifests
}

type manifest struct {
	mediaType string
	data      []byte
}

// New returns an empty registry.
func New(cfg Config) *Registry {
	return &Registry{cfg: cfg, repos: make(map[string]*repository), uploads: make(map[string]*bytes.Buffer), tokens: make(map[string]string)}
}

// Start serves h on the loopback until the test ends, and returns localhost:PORT.
func Start(tb testing.TB, h http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(func() {
		server.CloseClientConnections() // those that a fault holds
		server.Close()
	})
	u, err := url.Parse(server.URL)
	if err != nil {
		tb.Fatal(err)
	}
	return "localhost:" + u.Port()
}

// Configure changes what sort of registry it is, as an upgrade does.
func (r *Registry) Configure(change func(*Config)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.cfg)
}

// Requests returns what was asked so far, each as METHOD, a space, the path and
// the query.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Count returns how many requests match a regular expression.
func (r *Registry) Count(pattern string) int {
	expr, n := regexp.MustCompile(pattern), 0
	for _, request := range r.Requests() {
		if expr.MatchString(request) {
			n++
		}
	}
	return n
}

func (r *Registry) repo(name string) *repository {
	if r.repos[name] == nil {
		r.repos[name] = &repository{make(map[digest.Digest][]byte), make(map[digest.Digest]manifest), make(map[string]digest.Digest), nil}
	}
	return r.repos[name]
}

// PutBlob stores a blob.
func (r *Registry) PutBlob(repo string, data []byte) digest.Digest {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := digest.FromBytes(data)
	r.repo(repo).blobs[d] = data
	return d
}

// PutManifest stores a manifest, unread, under a tag as well unless it is "".
func (r *Registry) PutManifest(repo, tag, mediaType string, data []byte) ocispec.Descriptor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.put(repo, tag, manifest{mediaType, data})
}

func (r *Registry) put(repo, tag string, m manifest) ocispec.Descriptor {
	d, to := digest.FromBytes(m.data), r.repo(repo)
	if _, ok := to.manifests[d]; !ok {
		to.order = append(to.order, d)
	}
	to.manifests[d] = m
	if tag != "" {
		to.tags[tag] = d
	}
	return ocispec.Descriptor{MediaType: m.mediaType, Digest: d, Size: int64(len(m.data))}
}

// PutImage stores a small image, another for each repository and tag.
func (r *Registry) PutImage(repo, tag string) ocispec.Descriptor {
	image := newImage(repo + ":" + tag)
	for _, blob := range image.blobs {
		r.PutBlob(repo, blob)
	}
	return r.PutManifest(repo, tag, ocispec.MediaTypeImageManifest, image.manifest)
}

// Manifest returns what stands under a tag or digest; nil if nothing does.
func (r *Registry) Manifest(repo, tagOrDigest string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, m, _ := r.find(repo, tagOrDigest)
	return m.data
}

// Blob returns a blob; nil if it is not there.
func (r *Registry) Blob(repo string, d digest.Digest) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.repo(repo).blobs[d]
}

func (r *Registry) find(repo, target string) (digest.Digest, manifest, bool) {
	from := r.repos[repo]
	if from == nil {
		return "", manifest{}, false
	}
	d := digest.Digest(target)
	if tagged, ok := from.tags[target]; ok {
		d = tagged
	}
	m, ok := from.manifests[d]
	return d, m, ok
}

func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	line := req.Method + " " + req.URL.RequestURI()
	r.mu.Lock()
	r.requests = append(r.requests, line)
	f, n := r.faultFor(line)
	r.mu.Unlock()
	if f == nil {
		r.serve(w, req)
		return
	}
	f.serve(w, req, n, r.serve)
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the client has gone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Path == "/token" {
		r.token(w, req, body)
		return
	}
	rest, ok := strings.CutPrefix(req.URL.Path, "/v2/")
	if !ok {
		http.NotFound(w, req)
		return
	}
	if !r.mayEnter(w, req) {
		return
	}
	if rest == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	for _, h := range []struct {
		infix string
		serve func(http.ResponseWriter, *http.Request, string, string, []byte)
	}{
		{"/blobs/uploads/", r.upload}, {"/blobs/", r.blob}, {"/manifests/", r.manifest}, {"/referrers/", r.referrers}, {"/tags/list", r.tags},
	} {
		if i := strings.LastIndex(rest, h.infix); i > 0 {
			h.serve(w, req, rest[:i], rest[i+len(h.infix):], body)
			return
		}
	}
	http.NotFound(w, req)
}

// refuse answers as the distribution-spec has it.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func (r *Registry) blob(w http.ResponseWriter, req *http.Request, repo, target string, _ []byte) {
	from := r.repos[repo]
	if from == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	data, ok := from.blobs[digest.Digest(target)]
	switch {
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	case !ok:
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
	default:
		w.Header().Set("Docker-Content-Digest", target)
		send(w, req, "application/octet-stream", data)
	}
}

func send(w http.ResponseWriter, req *http.Request, mediaType string, data []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(http.StatusOK)
	if req.Method != http.MethodHead {
		w.Write(data)
	}
}

func (r *Registry) upload(w http.ResponseWriter, req *http.Request, repo, id string, body []byte) {
	switch req.Method {
	case http.MethodPost:
		id = rand.Text()
		r.uploads[id] = new(bytes.Buffer)
		w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s", repo, id))
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		upload := r.uploads[id]
		if upload == nil {
			refuse(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
			return
		}
		upload.Write(body)
		delete(r.uploads, id)
		d := digest.Digest(req.URL.Query().Get("digest"))
		if d.Validate() != nil || d.Algorithm().FromBytes(upload.Bytes()) != d {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
			return
		}
		r.repo(repo).blobs[d] = upload.Bytes()
		w.Header().Set("Docker-Content-Digest", d.String())
		w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/%s", repo, d))
		w.WriteHeader(http.StatusCreated)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	}
}

func (r *Registry) manifest(w http.ResponseWriter, req *http.Request, repo, target string, body []byte) {
	if req.Method == http.MethodPut {
		r.putManifest(w, req, repo, target, body)
		return
	}
	if r.repos[repo] == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	d, m, ok := r.find(repo, target)
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Docker-Content-Digest", d.String())
		if r.cfg.Conditional {
			w.Header().Set("ETag", strconv.Quote(d.String()))
		}
		send(w, req, m.mediaType, m.data)
	default:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
	}
}

func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, repo, target string, body []byte) {
	// Real registries read what they store.
	var m struct {
		MediaType string
		Config    *ocispec.Descriptor
		Layers    []ocispec.Descriptor
		Subject   *ocispec.Descriptor
	}
	if err := json.Unmarshal(body, &m); err != nil || m.MediaType != "" && m.MediaType != req.Header.Get("Content-Type") {
		refuse(w, http.StatusBadRequest, "MANIFEST_INVALID", "manifest invalid")
		return
	}
	blobs := m.Layers
	if m.Config != nil {
		blobs = append(blobs, *m.Config)
	}
	for _, b := range blobs {
		if _, ok := r.repo(repo).blobs[b.Digest]; !ok {
			refuse(w, http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN", "manifest references a manifest or blob unknown to registry")
			return
		}
	}
	tag := target
	if d := digest.Digest(target); strings.Contains(target, ":") {
		tag = ""
		if d.Validate() != nil || d.Algorithm().FromBytes(body) != d {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID", "provided digest did not match uploaded content")
			return
		}
	}
	if now, _, there := r.find(repo, target); r.cfg.Conditional {
		match := req.Header.Get("If-Match")
		if match != "" && (!there || match != strconv.Quote(now.String())) || there && req.Header.Get("If-None-Match") == "*" {
			refuse(w, http.StatusPreconditionFailed, "MANIFEST_INVALID", "precondition failed")
			return
		}
	}
	desc := r.put(repo, tag, manifest{req.Header.Get("Content-Type"), body})
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	w.Header().Set("Location", fmt.Sprintf("/v2/%s/manifests/%s", repo, target))
	if m.Subject != nil && !r.cfg.NoReferrers {
		w.Header().Set("OCI-Subject", m.Subject.Digest.String())
	}
	w.WriteHeader(http.StatusCreated)
}

func (r *Registry) referrers(w http.ResponseWriter, req *http.Request, repo, target string, _ []byte) {
	if r.cfg.NoReferrers {
		http.NotFound(w, req)
		return
	}
	from := r.repos[repo]
	if from == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	var all []ocispec.Descriptor
	for _, d := range from.order {
		m := from.manifests[d]
		var doc struct {
			ArtifactType string
			Config       ocispec.Descriptor
			Subject      *ocispec.Descriptor
			Annotations  map[string]string
		}
		if json.Unmarshal(m.data, &doc) != nil || doc.Subject == nil || doc.Subject.Digest.String() != target {
			continue
		}
		if doc.ArtifactType == "" || r.cfg.ConfigTypes {
			doc.ArtifactType = doc.Config.MediaType
		}
		all = append(all, ocispec.Descriptor{MediaType: m.mediaType, Digest: d, Size: int64(len(m.data)), ArtifactType: doc.ArtifactType, Annotations: doc.Annotations})
	}
	query := req.URL.Query()
	if wanted := query.Get("artifactType"); wanted != "" {
		all = slices.DeleteFunc(all, func(d ocispec.Descriptor) bool { return d.ArtifactType != wanted })
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	begin, _ := strconv.Atoi(query.Get("after"))
	page := all[min(max(begin, 0), len(all)):]
	if size := r.cfg.PageSize; size > 0 && len(page) > size {
		page = page[:size]
		w.Header().Set("Link", fmt.Sprintf(`</v2/%s/referrers/%s?after=%d>; rel="next"`, repo, target, begin+size))
	}
	data, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: append([]ocispec.Descriptor{}, page...),
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, req, ocispec.MediaTypeImageIndex, data)
}

func (r *Registry) tags(w http.ResponseWriter, req *http.Request, repo, _ string, _ []byte) {
	from := r.repos[repo]
	if from == nil {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	tags := []string{}
	for tag := range from.tags {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"name": repo, "tags": tags})
}
