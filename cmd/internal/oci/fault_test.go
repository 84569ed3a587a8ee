package oci_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

func header(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = nil
		if pairs[i+1] != "" {
			h[pairs[i]] = []string{pairs[i+1]}
		}
	}
	return h
}

func refusal(code, message string) []byte {
	return fmt.Appendf(nil, `{"errors":[{"code":%q,"message":%q}]}`, code, message)
}

// TestResolveFaults has a tag resolved by a registry that fails or lies.
func TestResolveFaults(t *testing.T) {
	const path = "GET /v2/app/manifests/v1"
	list := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`)
	other := digest.FromString("other").String()
	for _, test := range []struct {
		name         string
		fault        ocitest.Fault
		kind         oci.Kind // "": it works
		text, advice string
		requests     int // 0: not counted
	}{
		{"401", ocitest.Fault{Status: 401}, oci.Unauthorized, "not without credentials", "docker login localhost:", 1},
		{"401 basic", ocitest.Fault{Status: 401, Header: header("Www-Authenticate", `Basic realm="x"`)}, oci.Unauthorized, "user name and a password", "--username", 1},
		{"403", ocitest.Fault{Status: 403, Body: refusal("DENIED", "requested access to the resource is denied")}, oci.Forbidden, "requested access", "docker login", 1},
		{"denied with 400", ocitest.Fault{Status: 400, Body: refusal("DENIED", "")}, oci.Forbidden, "not allowed", "", 1},
		{"404", ocitest.Fault{Status: 404}, oci.NotFound, "tag v1 of app: not found", "", 1},
		{"404 tag", ocitest.Fault{Status: 404, Body: refusal("MANIFEST_UNKNOWN", "manifest unknown")}, oci.NotFound, "tag v1 of app: not found (HTTP status 404; manifest unknown)", "", 1},
		{"404 repository", ocitest.Fault{Status: 404, Body: refusal("NAME_UNKNOWN", "repository name not known to registry")}, oci.NotFound, "there is no repository app", "", 1},
		{"429 once", ocitest.Fault{Status: 429, Header: header("Retry-After", "1"), Times: 1}, "", "", "", 2},
		{"429, a long wait", ocitest.Fault{Status: 429, Header: header("Retry-After", "60")}, oci.TooManyRequests, "to be tried again in 1m0s", "later", 1},
		{"429 always", ocitest.Fault{Status: 429}, oci.TooManyRequests, "too many requests", "later", 3},
		{"429, a wait beyond counting", ocitest.Fault{Status: 429, Header: header("Retry-After", "99999999999")}, oci.TooManyRequests, "to be tried again in 596523h14m7s", "later", 1},
		{"429, no wait, always", ocitest.Fault{Status: 429, Header: header("Retry-After", "0")}, oci.TooManyRequests, "too many requests", "", 5},
		{"500 twice", ocitest.Fault{Status: 500, Times: 2}, "", "", "", 3},
		{"502 always", ocitest.Fault{Status: 502}, oci.Unavailable, "HTTP status 502", "", 3},
		{"501", ocitest.Fault{Status: 501}, oci.Unsupported, "does not do this", "", 1},
		{"closed before the answer", ocitest.Fault{Cut: -1}, oci.Unavailable, "closed the connection", "localhost is spoken to without", 0},
		{"body that dies twice", ocitest.Fault{Cut: 20, Times: 2}, "", "", "", 3},
		{"body that dies", ocitest.Fault{Cut: 20}, oci.Unavailable, "broke off after 20 bytes", "", 3},
		{"stalled", ocitest.Fault{Stall: 20}, oci.Unavailable, "hardly a byte for a long time (500ms)", "", 1},
		{"stalled before the answer", ocitest.Fault{Stall: -1}, oci.Unavailable, "hardly a byte for a long time", "", 1},
		{"a flipped bit", ocitest.Fault{Flip: true}, oci.Digest, "but the bytes delivered have", "", 1},
		{"another digest announced", ocitest.Fault{Header: header("Docker-Content-Digest", other)}, oci.Digest, other, "", 1},
		{"no digest announced", ocitest.Fault{Header: header("Docker-Content-Digest", "")}, "", "", "", 1},
		{"no digest at all", ocitest.Fault{Header: header("Docker-Content-Digest", "sha256:zz")}, oci.Malformed, "Docker-Content-Digest", "", 1},
		{"no type", ocitest.Fault{Header: header("Content-Type", "")}, oci.Malformed, "Content-Type", "", 1},
		{"type of a page", ocitest.Fault{Header: header("Content-Type", "text/html; charset=utf-8")}, oci.Unsupported, `"text/html" is no type of manifest`, "", 1},
		{"type of an index", ocitest.Fault{Header: header("Content-Type", ocispec.MediaTypeImageIndex)}, oci.Malformed, "mediaType is", "", 1},
		{"type with a parameter", ocitest.Fault{Header: header("Content-Type", ocispec.MediaTypeImageManifest+"; charset=utf-8")}, "", "", "", 1},
		{"an index with the type of a manifest", ocitest.Fault{Body: list, Header: header("Docker-Content-Digest", "")}, oci.Malformed, `mediaType is "application/vnd.oci.image.index.v1+json", but it was announced`, "", 1},
		{"layers and manifests", ocitest.Fault{Body: []byte(`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`), Header: header("Docker-Content-Digest", "")}, oci.Malformed, `it has "manifests"`, "", 1},
		{"deep", ocitest.Fault{Body: []byte(`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`), Header: header("Docker-Content-Digest", "")}, oci.Malformed, "nested deeper", "", 1},
		{"huge", ocitest.Fault{Body: make([]byte, 5<<20)}, oci.TooLarge, "more than 4194304 bytes", "", 1},
		{"huge, of unknown length", ocitest.Fault{Body: make([]byte, 5<<20), Header: header("Content-Length", "")}, oci.TooLarge, "more than 4194304 bytes", "", 1},
		{"TLS expected", ocitest.Fault{Status: 400, Body: []byte("Client sent an HTTP request to an HTTPS server.\n")}, oci.Unavailable, "speaks TLS", "localhost is spoken to without", 1},
		{"400", ocitest.Fault{Status: 400, Body: refusal("TAG_INVALID", strings.Repeat("x", 1000))}, oci.Malformed, "xxx...", "", 1},
		{"not an error document", ocitest.Fault{Status: 400, Body: []byte("<html>")}, oci.Malformed, "refused (HTTP status 400)", "", 1},
		{"redirected for ever", ocitest.Fault{Status: 307, Header: header("Location", "/v2/app/manifests/v1")}, oci.Unavailable, "more than 5 redirects", "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(ocitest.Config{})
			image := reg.PutImage("app", "v1")
			reg.Fault(path, test.fault)
			repo := open(t, reg, oci.Config{Limits: oci.Limits{Wait: 2 * time.Second, Stall: 500 * time.Millisecond}})
			d, err := repo.Resolve(t.Context(), "v1")
			if n := reg.Count(path); test.requests != 0 && n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			if test.kind == "" {
				if err != nil || d.Digest != image.Digest {
					t.Errorf("Resolve = %v, %v", d, err)
				}
				return
			}
			if d.Digest != "" {
				t.Errorf("a descriptor together with an error: %v", d)
			}
			wantKind(t, err, test.kind, test.text, test.advice)
			var e *oci.Error
			if errors.As(err, &e); test.fault.Status != 0 && test.fault.Status < 500 && test.fault.Status != 307 && e.Status != test.fault.Status {
				t.Errorf("status %d, want %d", e.Status, test.fault.Status)
			}
		})
	}
}

// TestContentFaults has what was asked for by digest delivered wrong.
func TestContentFaults(t *testing.T) {
	for _, test := range []struct {
		name  string
		path  string
		fault ocitest.Fault
		kind  oci.Kind
		text  string
	}{
		{"manifest, a flipped bit", "/manifests/sha256", ocitest.Fault{Flip: true}, oci.Digest, "the bytes delivered have the digest"},
		{"manifest, another digest announced", "/manifests/sha256", ocitest.Fault{Header: header("Docker-Content-Digest", digest.FromString("x").String())}, oci.Digest, "announced with the digest"},
		{"manifest, an index instead", "/manifests/sha256", ocitest.Fault{Header: header("Content-Type", ocispec.MediaTypeImageIndex)}, oci.Malformed, "mediaType"},
		{"manifest, not there", "/manifests/sha256", ocitest.Fault{Status: 404}, oci.NotFound, "not found"},
		{"blob, a flipped bit", "/blobs/", ocitest.Fault{Flip: true}, oci.Digest, "the bytes delivered have"},
		{"blob, shorter", "/blobs/", ocitest.Fault{Body: []byte("short")}, oci.Digest, "5 bytes are announced"},
		{"blob, longer, of unknown length", "/blobs/", ocitest.Fault{Body: make([]byte, 70000), Header: header("Content-Length", "")}, oci.TooLarge, "more than 11 bytes"},
		{"blob, shorter, of unknown length", "/blobs/", ocitest.Fault{Body: []byte("short"), Header: header("Content-Length", "")}, oci.Digest, "it has 5 bytes"},
		{"blob, announced too short", "/blobs/", ocitest.Fault{Header: header("Content-Length", "3")}, oci.Digest, "3 bytes are announced"},
		{"blob, dies", "/blobs/", ocitest.Fault{Cut: 3}, oci.Unavailable, "broke off after 3 bytes"},
		{"blob, not there", "/blobs/", ocitest.Fault{Status: 404, Body: refusal("BLOB_UNKNOWN", "blob unknown")}, oci.NotFound, "blob unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(ocitest.Config{})
			image := reg.PutImage("app", "v1")
			repo := open(t, reg, oci.Config{})
			d := attach(t, repo, image, "signature 1")
			if strings.Contains(test.path, "manifests") {
				reg.Fault("GET .*"+test.path, test.fault)
				_, err := repo.Manifest(t.Context(), d)
				wantKind(t, err, test.kind, test.text, "")
				return
			}
			m, err := repo.Manifest(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			reg.Fault("GET .*"+test.path, test.fault)
			data, err := repo.Blob(t.Context(), m.Layers[0])
			wantKind(t, err, test.kind, test.text, "")
			if data != nil {
				t.Errorf("%d bytes together with an error", len(data))
			}
		})
	}
}

// TestDescriptors has callers ask for what a hostile manifest describes.
func TestDescriptors(t *testing.T) {
	reg := ocitest.New(ocitest.Config{})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	wrong := image
	for _, test := range []struct {
		name string
		d    func() oci.Descriptor
		kind oci.Kind
	}{
		{"no digest", func() oci.Descriptor { d := wrong; d.Digest = ""; return d }, oci.Malformed},
		{"a path for a digest", func() oci.Descriptor { d := wrong; d.Digest = "sha256:../../etc/passwd"; return d }, oci.Malformed},
		{"an unknown algorithm", func() oci.Descriptor { d := wrong; d.Digest = "md5:00"; return d }, oci.Malformed},
		{"huge", func() oci.Descriptor { d := wrong; d.Size = 1 << 60; return d }, oci.TooLarge},
		{"negative", func() oci.Descriptor { d := wrong; d.Size = -1; return d }, oci.Malformed},
		{"of another size", func() oci.Descriptor { d := wrong; d.Size++; return d }, oci.Digest},
		{"of another type", func() oci.Descriptor { d := wrong; d.MediaType = ocispec.MediaTypeImageIndex; return d }, oci.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := repo.Manifest(t.Context(), test.d())
			wantKind(t, err, test.kind, "", "")
			if test.name == "of another type" {
				return // blobs have none
			}
			_, err = repo.Blob(t.Context(), test.d())
			if test.kind == oci.Digest {
				test.kind = oci.NotFound // manifests are no blobs
			}
			wantKind(t, err, test.kind, "", "")
		})
	}
}

// TestListingFaults has the listing of referrers go wrong.
func TestListingFaults(t *testing.T) {
	const api, tag = "GET /v2/app/referrers/", "GET /v2/app/manifests/sha256-"
	self := "<%s>; rel=\"next\""
	for _, test := range []struct {
		name  string
		path  string
		fault ocitest.Fault
		kind  oci.Kind // "": both are found
		text  string
		found int
	}{
		{"endless pages", api, ocitest.Fault{Link: `</v2/app/referrers/sha256:00?p=%d>; rel="next"`}, oci.TooLarge, "more than 20 pages", 2},
		{"a page that names itself", api, ocitest.Fault{Link: self}, oci.Malformed, "names an earlier page", 2},
		{"the next page elsewhere", api, ocitest.Fault{Link: `<http://evil.example/v2/app/referrers/x>; rel="next"`}, oci.Malformed, `at another host, "evil.example"`, 0},
		{"the next page at another port", api, ocitest.Fault{Link: `<http://localhost:1/x>; rel="next"`}, oci.Malformed, "at another host", 0},
		{"the next page with a user", api, ocitest.Fault{Link: `<http://u:p@{host}/x>; rel="next"`}, oci.Malformed, "at another host", 0},
		{"a malformed link", api, ocitest.Fault{Link: `v2/app>; rel="next"<`}, oci.Malformed, "Link", 0},
		{"a link that is not next", api, ocitest.Fault{Link: `</v2/>; rel="first", </v2/x>; rel=last`}, "", "", 2},
		{"429", api, ocitest.Fault{Status: 429}, oci.TooManyRequests, "", 0},
		{"500 twice", api, ocitest.Fault{Status: 500, Times: 2}, "", "", 2},
		{"500", api, ocitest.Fault{Status: 500}, oci.Unavailable, "referrers of sha256:", 0},
		{"401", api, ocitest.Fault{Status: 401}, oci.Unauthorized, "", 0},
		{"403", api, ocitest.Fault{Status: 403}, oci.Forbidden, "", 0},
		{"no repository", api, ocitest.Fault{Status: 404, Body: refusal("NAME_UNKNOWN", "")}, oci.NotFound, "no repository", 0},
		{"no API", api, ocitest.Fault{Status: 404}, "", "", 0},
		{"no API, 405", api, ocitest.Fault{Status: 405}, "", "", 0},
		{"no API, a page for people", api, ocitest.Fault{Body: []byte("<html>"), Header: header("Content-Type", "text/html")}, "", "", 0},
		{"not JSON", api, ocitest.Fault{Body: []byte("{")}, oci.Malformed, "ends too early", 0},
		{"twice the manifests", api, ocitest.Fault{Body: []byte(`{"manifests":[],"manifests":[]}`)}, oci.Malformed, "there twice", 0},
		{"no array", api, ocitest.Fault{Body: []byte(`{"manifests":{}}`)}, oci.Malformed, "manifests: not an array", 0},
		{"none", api, ocitest.Fault{Body: []byte(`{"schemaVersion":2,"manifests":null}`)}, "", "", 0},
		{"the listing dies", api, ocitest.Fault{Cut: 10}, oci.Unavailable, "broke off", 0},
		{"too large a page", api, ocitest.Fault{Body: make([]byte, 5<<20)}, oci.TooLarge, "", 0},
		{"the tag fails", tag, ocitest.Fault{Status: 500}, oci.Unavailable, "tag sha256-", 2},
		{"the tag is huge", tag, ocitest.Fault{Status: 200, Body: make([]byte, 5<<20)}, "", "", 2},
		{"two relations", api, ocitest.Fault{Link: `<?p=%d>; rel="last next"`}, oci.TooLarge, "more than 20 pages", 2},
		{"the tag is no index", tag, ocitest.Fault{Status: 200, Body: []byte(`{}`), Header: header("Content-Type", ocispec.MediaTypeImageManifest, "Docker-Content-Digest", "")}, "", "", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(ocitest.Config{})
			image := reg.PutImage("app", "v1")
			host := ocitest.Start(t, reg)
			repo := openAt(t, host, oci.Config{Limits: oci.Limits{Wait: 2 * time.Second, Stall: time.Second, Pages: 20}})
			attach(t, repo, image, "one")
			attach(t, repo, image, "two")
			test.fault.Link = strings.ReplaceAll(test.fault.Link, "{host}", host)
			if test.fault.Link == self {
				test.fault.Link = fmt.Sprintf(self, "/v2/app/referrers/"+image.Digest.String())
			}
			reg.Fault(test.path, test.fault)
			all, err := referrers(t.Context(), repo, image, signatureType)
			if len(all) != test.found {
				t.Errorf("%d found, want %d", len(all), test.found)
			}
			if test.kind == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantKind(t, err, test.kind, test.text, "")
		})
	}
}

// TestEntries has single entries of a listing be wrong: the others are found.
func TestEntries(t *testing.T) {
	reg := ocitest.New(ocitest.Config{})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	good := attach(t, repo, image, "good")
	stranger := reg.PutImage("app", "v2")
	entry := func(d oci.Descriptor, artifactType string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q}`, d.MediaType, d.Digest, d.Size, artifactType)
	}
	missing := good
	missing.Digest = digest.FromString("missing")
	list := []string{
		`{}`, `null`, `7`, `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0","size":1}`,
		`{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + string(missing.Digest) + `","size":-1}`,
		`{"mediaType":"application/octet-stream","digest":"` + string(missing.Digest) + `","size":1}`,
		entry(missing, "application/unknown"),
		entry(stranger, "application/unknown"), // does not refer to the image
		entry(good, "application/unknown"), entry(good, "application/unknown"), entry(good, signatureType),
	}
	reg.Fault("GET /v2/app/referrers/", ocitest.Fault{Body: []byte(`{"manifests":[` + strings.Join(list, ",") + `]}`)})
	all, err := referrers(t.Context(), repo, image, signatureType)
	if err != nil || len(all) != 9 {
		t.Fatalf("%d referrers, %v; want 9", len(all), err)
	}
	for i, r := range all[:8] {
		kind := oci.Malformed
		if i == 6 {
			kind = oci.NotFound
		}
		wantKind(t, r.Err, kind, "", "")
	}
	if r := all[8]; r.Err != nil || r.Digest != good.Digest || r.ArtifactType != signatureType || r.Manifest == nil {
		t.Errorf("the good one: %+v", r)
	}
}

// TestReferrersLimits bounds what a listing makes us do.
func TestReferrersLimits(t *testing.T) {
	reg := ocitest.New(ocitest.Config{ConfigTypes: true, PageSize: 3})
	image := reg.PutImage("app", "v1")
	host := ocitest.Start(t, reg)
	repo := openAt(t, host, oci.Config{})
	for i := range 10 {
		attach(t, repo, image, number(i))
	}
	limited := openAt(t, host, oci.Config{Limits: oci.Limits{Referrers: 4}})
	all, err := referrers(t.Context(), limited, image, signatureType)
	wantKind(t, err, oci.TooLarge, "more than 4 referrers", "")
	if len(all) != 4 {
		t.Errorf("%d visited, want 4", len(all))
	}

	stop, n := errors.New("enough"), 0
	err = repo.Referrers(t.Context(), image, nil, func(oci.Referrer) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("after the first: %v, %d visited", err, n)
	}

	ctx, cancel := context.WithCancel(t.Context())
	err = repo.Referrers(ctx, image, nil, func(oci.Referrer) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}

	// A registry that is out of order is not asked for each of a thousand.
	reg.Fault("GET /v2/app/manifests/sha256:", ocitest.Fault{Status: 503, Header: header("Retry-After", "9")})
	all, err = referrers(t.Context(), repo, image, signatureType)
	wantKind(t, err, oci.Unavailable, "503", "")
	if len(all) != 2 {
		t.Errorf("%d visited before it was given up, want 2", len(all))
	}
}

// TestAttachFaults looks at what is left, and listed, when storing goes wrong.
func TestAttachFaults(t *testing.T) {
	for _, test := range []struct {
		name       string
		noAPI      bool
		path       string
		fault      ocitest.Fault
		kind       oci.Kind // "": it works
		text       string
		hasWritten bool // the manifest is there
	}{
		{"no upload", false, "POST ", ocitest.Fault{Status: 403, Body: refusal("DENIED", "no push")}, oci.Forbidden, "upload of blob", false},
		{"upload fails once", false, "POST ", ocitest.Fault{Status: 500, Times: 1}, "", "", false},
		{"upload dies", false, "PUT /v2/app/blobs/uploads/", ocitest.Fault{Cut: -1}, oci.Unavailable, "upload of blob", false},
		{"upload dies once", false, "PUT /v2/app/blobs/uploads/", ocitest.Fault{Cut: -1, Times: 1}, "", "", false},
		{"upload to another host", false, "POST ", ocitest.Fault{Status: 202, Header: header("Location", "http://evil.example/x")}, oci.Unavailable, "different host", false},
		{"another digest", false, "PUT /v2/app/blobs/uploads/", ocitest.Fault{Status: 400, Body: refusal("DIGEST_INVALID", "no")}, oci.Digest, "computes another digest", false},
		{"second blob", false, "HEAD ", ocitest.Fault{Status: 500}, "", "", false},
		{"manifest refused", false, "PUT /v2/app/manifests/sha256:", ocitest.Fault{Status: 400, Body: refusal("MANIFEST_INVALID", "no subject allowed")}, oci.Malformed, "no subject allowed) (left behind: the blobs", false},
		{"manifest stored as another", false, "PUT /v2/app/manifests/sha256:", ocitest.Fault{Header: header("Docker-Content-Digest", digest.FromString("x").String())}, oci.Digest, "stored as", true},
		{"manifest lost", false, "PUT /v2/app/manifests/sha256:", ocitest.Fault{Header: header("Docker-Content-Digest", digest.FromString("other").String())}, oci.Digest, "left behind: the blobs, and perhaps manifest sha256:", true},
		{"manifest too large for them", false, "PUT /v2/app/manifests/sha256:", ocitest.Fault{Status: 413}, oci.TooLarge, "left behind: the blobs", false},
		{"no right to the tag", true, "PUT /v2/app/manifests/sha256-", ocitest.Fault{Status: 403}, oci.Forbidden, "left behind: manifest sha256:", true},
		{"tag fails", true, "PUT /v2/app/manifests/sha256-", ocitest.Fault{Status: 500}, oci.Unavailable, "perhaps does not list", true},
		{"tag fails twice", true, "PUT /v2/app/manifests/sha256-", ocitest.Fault{Status: 500, Times: 2}, "", "", true},
		{"tag is read wrong", true, "GET /v2/app/manifests/sha256-", ocitest.Fault{Status: 500}, oci.Unavailable, "perhaps does not list", true},
		{"tag is no index", true, "GET /v2/app/manifests/sha256-", ocitest.Fault{Status: 200, Body: []byte(`{}`), Header: header("Content-Type", ocispec.MediaTypeImageManifest)}, oci.Malformed, "not an index", true},
		{"tag is a broken index", true, "GET /v2/app/manifests/sha256-", ocitest.Fault{Status: 200, Body: []byte(`{"manifests":7}`), Header: header("Content-Type", ocispec.MediaTypeImageIndex)}, oci.Malformed, "not an array", true},
		{"tag never keeps it", true, "PUT /v2/app/manifests/sha256-", ocitest.Fault{Status: 201}, oci.Conflict, "others keep writing it", true},
		{"tag changes each time", true, "PUT /v2/app/manifests/sha256-", ocitest.Fault{Status: 412}, oci.Conflict, "others keep writing it", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reg := ocitest.New(ocitest.Config{NoReferrers: test.noAPI})
			image := reg.PutImage("app", "v1")
			repo := open(t, reg, oci.Config{})
			reg.Fault(test.path, test.fault)
			_, err := repo.Attach(t.Context(), attachment(image, "x"))
			reg.Mend()
			all, lerr := referrers(t.Context(), repo, image)
			if lerr != nil {
				t.Fatal(lerr)
			}
			if test.kind == "" {
				if err != nil || len(all) != 1 {
					t.Errorf("attached: %v, %d listed", err, len(all))
				}
				return
			}
			wantKind(t, err, test.kind, test.text, "")
			if listed := test.hasWritten && !test.noAPI; (len(all) > 0) != listed {
				t.Errorf("%d listed", len(all))
			}
		})
	}
}

// TestIndexKept sees that the index keeps what we do not understand.
func TestIndexKept(t *testing.T) {
	reg := ocitest.New(ocitest.Config{NoReferrers: true})
	image := reg.PutImage("app", "v1")
	tag := "sha256-" + image.Digest.Encoded()
	const begin = `{"schemaVersion":2,"x-unknown":{"b":1, "a":[2]},"mediaType":"application/vnd.oci.image.index.v1+json",` +
		`"manifests":[{"mediaType":"application/x","digest":"md5:00","size":1},{ "mediaType": "application/vnd.oci.image.manifest.v1+json","digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":9,"urls":["u"],"annotations":{"k":"v"}}`
	old := reg.PutManifest("app", tag, ocispec.MediaTypeImageIndex, []byte(begin+`],"annotations":{"keep":"me"}}`))
	d := attach(t, open(t, reg, oci.Config{}), image, "x")
	got := string(reg.Manifest("app", tag))
	if !strings.HasPrefix(got, begin+`,{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+d.Digest.String()) || !strings.HasSuffix(got, `],"annotations":{"keep":"me"}}`) {
		t.Errorf("index is now\n%s", got)
	}
	// Another tag may stand for it, or it may be no list of referrers at all.
	if reg.Manifest("app", old.Digest.String()) == nil || reg.Count("DELETE ") != 0 {
		t.Error("the former index has been deleted")
	}
}

// TestOverwritten has another program write the index between our read and our
// write, and after it.
func TestOverwritten(t *testing.T) {
	for _, test := range []struct{ name, path string }{
		{"after our write", "GET /v2/app/manifests/sha256-"}, {"before our write", "PUT /v2/app/manifests/sha256-"},
	} {
		t.Run(test.name, func(t *testing.T) {
			reg := ocitest.New(ocitest.Config{NoReferrers: true, Conditional: test.path[0] == 'P'})
			image := reg.PutImage("app", "v1")
			tag := "sha256-" + image.Digest.Encoded()
			theirs := reg.PutManifest("app", "", ocispec.MediaTypeImageManifest, referring(t, &image, signatureType, ocispec.MediaTypeEmptyJSON))
			var n atomic.Int32
			reg.Fault(test.path, ocitest.Fault{Do: func() {
				if i := n.Add(1); i == 2 || test.path[0] == 'P' && i == 1 {
					reg.PutManifest("app", tag, ocispec.MediaTypeImageIndex, fmt.Appendf(nil,
						`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"artifactType":%q}]}`,
						ocispec.MediaTypeImageIndex, theirs.MediaType, theirs.Digest, theirs.Size, signatureType))
				}
			}})
			repo := open(t, reg, oci.Config{})
			ours := attach(t, repo, image, "ours")
			all, err := referrers(t.Context(), repo, image, signatureType)
			if want := string(theirs.Digest + " " + ours.Digest); err != nil || digestsOf(all) != want {
				t.Errorf("listed %s, %v\nwant %s", digestsOf(all), err, want)
			}
		})
	}
}

// TestTransport has no registry at all, or one that speaks otherwise.
func TestTransport(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)
	listener.Close()

	reg := ocitest.New(ocitest.Config{})
	image := reg.PutImage("app", "v1")
	plain := ocitest.Start(t, reg)
	server := httptest.NewUnstartedServer(reg)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	secure := strings.TrimPrefix(server.URL, "https://")
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	never := func(string) bool { return false }
	always := func(string) bool { return true }

	for _, test := range []struct {
		name         string
		host         string
		cfg          oci.Config
		text, advice string
	}{
		{"nobody there", closed, oci.Config{}, "connection refused", "running"},
		{"no TLS there", plain, oci.Config{PlainHTTP: never}, "does not speak TLS", "--insecure-registry"},
		{"TLS there", secure, oci.Config{PlainHTTP: always}, "speaks TLS on this port", "leave out --insecure-registry"},
		{"an unknown authority", secure, oci.Config{}, "certificate", "SSL_CERT_FILE"},
		{"a known one", secure, oci.Config{TLS: &tls.Config{RootCAs: roots}}, "", ""},
		{"no such host", "registry.invalid", oci.Config{}, "no address for host registry.invalid", ""},
		{"no such host, a short name", "nowhere-at-all", oci.Config{}, "no address for host", "docker.io/nowhere-at-all/app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := openAt(t, test.host, test.cfg).Resolve(t.Context(), "v1")
			if test.text == "" {
				if err != nil || d.Digest != image.Digest {
					t.Errorf("Resolve = %v, %v", d, err)
				}
				return
			}
			wantKind(t, err, oci.Unavailable, test.text, test.advice)
		})
	}
}

// TestRedirect has blobs at another host, as registries with a storage service
// do: it must not see a credential.
func TestRedirect(t *testing.T) {
	reg := ocitest.New(ocitest.Config{Username: "u", Password: "secret"})
	image := reg.PutImage("app", "v1")
	var asked atomic.Int32
	var leaked atomic.Bool
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked.Add(1)
		leaked.Store(leaked.Load() || req.Header.Get("Authorization") != "")
		if strings.HasSuffix(req.URL.Path, "/refused") {
			w.Header().Set("WWW-Authenticate", `Basic realm="give it to me"`)
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Write([]byte("layer of app:v1"))
	}))
	t.Cleanup(storage.Close)
	host := ocitest.Start(t, reg)
	repo := openAt(t, host, oci.Config{Credential: oci.Static(host, oci.Credential{Username: "u", Password: "secret"})})
	m, err := repo.Manifest(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	reg.Fault("GET .*/blobs/", ocitest.Fault{Status: 307, Header: header("Location", storage.URL+"/blob?token=hidden")})
	data, err := repo.Blob(t.Context(), m.Layers[0])
	if err != nil || string(data) != "layer of app:v1" {
		t.Errorf("Blob = %q, %v", data, err)
	}
	reg.Fault("GET .*/blobs/", ocitest.Fault{Status: 307, Header: header("Location", storage.URL+"/refused?token=hidden")})
	_, err = repo.Blob(t.Context(), m.Layers[0])
	wantKind(t, err, oci.Unauthorized, "of storage 127.0.0.1:", "")
	reg.Fault("GET .*/blobs/", ocitest.Fault{Status: 307, Header: header("Location", "http://127.0.0.1:1/blob?token=hidden")})
	_, err = repo.Blob(t.Context(), m.Layers[0])
	wantKind(t, err, oci.Unavailable, "connection refused", "")
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("the token of the storage is in the error: %v", err)
	}
	if leaked.Load() || asked.Load() != 2 {
		t.Errorf("the storage was asked %d times, and saw a credential: %v", asked.Load(), leaked.Load())
	}
}

// TestDowngrade follows a redirect from https to http only for what is checked
// against a digest.
func TestDowngrade(t *testing.T) {
	reg := ocitest.New(ocitest.Config{})
	image := reg.PutImage("app", "v1")
	plain := httptest.NewServer(reg)
	t.Cleanup(plain.Close)
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, plain.URL+req.URL.RequestURI(), http.StatusTemporaryRedirect)
	}))
	t.Cleanup(front.Close)
	roots := x509.NewCertPool()
	roots.AddCert(front.Certificate())
	repo := openAt(t, strings.TrimPrefix(front.URL, "https://"), oci.Config{TLS: &tls.Config{RootCAs: roots}})
	if d, err := repo.Resolve(t.Context(), image.Digest.String()); err != nil || d.Digest != image.Digest {
		t.Errorf("by digest: %v, %v", d, err)
	}
	_, err := repo.Resolve(t.Context(), "v1")
	wantKind(t, err, oci.Unavailable, "redirected from https to http", "")
}

// TestWarnings passes on what the registry wants its users to know.
func TestWarnings(t *testing.T) {
	reg := ocitest.New(ocitest.Config{})
	reg.PutImage("app", "v1")
	reg.Fault("GET ", ocitest.Fault{Header: http.Header{"Warning": {`299 - "this will end"`, `199 - "not this"`, `299 - "this will end"`}}})
	var got []string
	repo := open(t, reg, oci.Config{Warn: func(err error) { got = append(got, err.Error()) }})
	for range 2 {
		if _, err := repo.Resolve(t.Context(), "v1"); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || !strings.Contains(got[0], `says: "this will end"`) {
		t.Errorf("warnings %q", got)
	}
}
