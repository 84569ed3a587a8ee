package oci_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci/ocitest"
)

// TestTokenServiceGone has the token service be missing just when the index is
// read: that is no word of the registry's that there is none.
func TestTokenServiceGone(t *testing.T) {
	for _, status := range []int{404, 405} {
		reg := ocitest.New(ocitest.Config{NoReferrers: true, Username: "u", Password: "p", Tokens: true})
		image := reg.PutImage("app", "v1")
		host := ocitest.Start(t, reg)
		cfg := oci.Config{Credential: oci.Static(host, oci.Credential{Username: "u", Password: "p"})}
		first := attach(t, openAt(t, host, cfg), image, "first")
		// The token to push is to be had, the one to pull only is not.
		reg.Fault(`GET /token\?scope=repository%3Aapp%3Apull(&|$)`, ocitest.Fault{Status: status})
		repo := openAt(t, host, cfg)
		_, err := repo.Attach(t.Context(), attachment(image, "second"))
		wantKind(t, err, oci.Unavailable, "not to be had where the registry points to (HTTP status "+fmt.Sprint(status)+" of token service localhost:", "")
		all, err := referrers(t.Context(), repo, image, signatureType)
		if wantKind(t, err, oci.Unavailable, "token service", ""); len(all) != 0 {
			t.Errorf("%d found without a token", len(all))
		}
		reg.Mend()
		if all, err = referrers(t.Context(), repo, image, signatureType); err != nil || digestsOf(all) != string(first.Digest) {
			t.Errorf("later: %s, %v, want %s", digestsOf(all), err, first.Digest)
		}
	}
}

// TestRedirectedWrites has a registry send what is written elsewhere.
func TestRedirectedWrites(t *testing.T) {
	for _, test := range []struct {
		name, path string
		status     int
		elsewhere  bool
		want       string
	}{
		{"manifest, to another host", "PUT .*/manifests/", 307, true, "a PUT is redirected to http://127.0.0.1:"},
		{"manifest, to a page for people", "PUT .*/manifests/", 302, false, "a PUT is redirected to http://localhost:"},
		{"blob, to another host", "PUT .*/blobs/", 308, true, "a PUT is redirected to http://127.0.0.1:"},
		{"upload, to another host", "POST .*/blobs/", 307, true, "a POST is redirected to http://127.0.0.1:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var asked atomic.Int32
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				asked.Add(1)
				w.Header().Set("Location", "/v2/app/blobs/uploads/x")
				w.WriteHeader(http.StatusCreated)
			}))
			t.Cleanup(other.Close)
			reg := ocitest.New(ocitest.Config{})
			image := reg.PutImage("app", "v1")
			repo := open(t, reg, oci.Config{})
			target := "/v2/" // answers with status 200
			if test.elsewhere {
				target = other.URL + "/latest/api/token"
			}
			reg.Fault(test.path, ocitest.Fault{Status: test.status, Header: header("Location", target)})
			d, err := repo.Attach(t.Context(), attachment(image, "x"))
			wantKind(t, err, oci.Unavailable, test.want, "")
			if n := asked.Load(); n != 0 || d.Digest != "" {
				t.Errorf("the other host was asked %d times; %v", n, d)
			}
		})
	}
}

// TestWeakTag has a proxy weaken what a conditional write would compare.
func TestWeakTag(t *testing.T) {
	reg := ocitest.New(ocitest.Config{NoReferrers: true, Conditional: true})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	first := attach(t, repo, image, "first")
	reg.Fault("GET .*/manifests/sha256-", ocitest.Fault{Header: header("ETag", `W/"1"`)})
	second := attach(t, repo, image, "second")
	all, err := referrers(t.Context(), repo, image, signatureType)
	if want := string(first.Digest + " " + second.Digest); err != nil || digestsOf(all) != want {
		t.Errorf("listed %s, %v\nwant %s", digestsOf(all), err, want)
	}
}

// TestWiped has somebody write an empty index over one of many entries.
func TestWiped(t *testing.T) {
	reg := ocitest.New(ocitest.Config{NoReferrers: true})
	image := reg.PutImage("app", "v1")
	repo := open(t, reg, oci.Config{})
	var want []string
	for i := range 5 {
		want = append(want, string(attach(t, repo, image, number(i)).Digest))
	}
	reg.Fault("PUT .*/manifests/sha256-", ocitest.Fault{Times: 1, Status: 500, Do: func() {
		reg.PutManifest("app", oci.FallbackTag(image.Digest), ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"manifests":[]}`))
	}})
	reg.Fault("GET .*/manifests/sha256-", ocitest.Fault{Times: 1, Do: func() {}})
	ours := attach(t, repo, image, "ours")
	all, err := referrers(t.Context(), repo, image, signatureType)
	if err != nil || len(all) != 6 {
		t.Fatalf("%d listed, %v, want 6", len(all), err)
	}
	got := digestsOf(all)
	for _, d := range append(want, string(ours.Digest)) {
		if !strings.Contains(got, d) {
			t.Errorf("%s is lost", d)
		}
	}
}

// TestProgressEnds has an upload end while its progress is being told.
func TestProgressEnds(t *testing.T) {
	reg := ocitest.New(ocitest.Config{})
	image := reg.PutImage("app", "v1")
	ctx, cancel := context.WithCancel(t.Context())
	var ended, late atomic.Bool
	repo := open(t, reg, oci.Config{Progress: func(oci.Transfer) {
		cancel()
		time.Sleep(50 * time.Millisecond) // a slow terminal
		late.Store(late.Load() || ended.Load())
	}})
	_, err := repo.Attach(ctx, attachment(image, "x"))
	ended.Store(true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Attach: %v", err)
	}
	time.Sleep(200 * time.Millisecond)
	if late.Load() {
		t.Error("Progress was told after Attach had returned")
	}
}

// TestDrip has a registry send a byte whenever we might lose patience.
func TestDrip(t *testing.T) {
	repo := openAt(t, ocitest.Start(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		for req.Context().Err() == nil {
			w.Write([]byte(" "))
			http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})), oci.Config{Limits: oci.Limits{Stall: 200 * time.Millisecond}})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := repo.Resolve(ctx, "v1")
	wantKind(t, err, oci.Unavailable, "hardly a byte", "")
}
