package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// A registry is a running OCI registry.
type registry struct{ host string }

// Media types of what the tests push.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// startRegistry starts the CNCF's distribution registry, with an empty directory to keep things in.
func startRegistry(t *testing.T) *registry {
	t.Helper()
	w := scratch(t)
	host := "127.0.0.1:" + freePort(t)
	config := fmt.Sprintf("version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n",
		w.path("data"), host)
	w.serve(t, "http://"+host+"/v2/", theirs(t, peers.Registry), "serve", w.write(t, "config.yml", []byte(config)))
	return &registry{host: host}
}

// descriptor is a content descriptor of an OCI manifest.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// manifest is an OCI image manifest.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// push uploads an image of one layer and returns its reference by digest.
func (r *registry) push(t *testing.T, name string, layer []byte) string {
	t.Helper()
	m := manifest{SchemaVersion: 2, MediaType: typeManifest,
		Config: r.upload(t, name, typeConfig, []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)),
		Layers: []descriptor{r.upload(t, name, typeLayer, layer)}}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	digest := digestOf(data)
	r.do(t, http.MethodPut, fmt.Sprintf("http://%s/v2/%s/manifests/%s", r.host, name, digest), typeManifest, data)
	return r.host + "/" + name + "@" + digest
}

// upload uploads a blob in one piece.
func (r *registry) upload(t *testing.T, name, mediaType string, data []byte) descriptor {
	t.Helper()
	header, _ := r.do(t, http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/", r.host, name), "", nil)
	location := header.Get("Location")
	if strings.HasPrefix(location, "/") {
		location = "http://" + r.host + location
	}
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	digest := digestOf(data)
	r.do(t, http.MethodPut, location+separator+"digest="+digest, "application/octet-stream", data)
	return descriptor{MediaType: mediaType, Digest: digest, Size: len(data)}
}

// changeAnnotation changes an annotation of the signature that cosign 2 keeps beside an image, under the
// tag sha256-DIGEST.sig.
func (r *registry) changeAnnotation(t *testing.T, image, key string, change func(string) string) {
	t.Helper()
	name, digest, _ := strings.Cut(strings.TrimPrefix(image, r.host+"/"), "@")
	url := fmt.Sprintf("http://%s/v2/%s/manifests/%s.sig", r.host, name, strings.Replace(digest, ":", "-", 1))
	_, body := r.do(t, http.MethodGet, url, "", nil)
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Layers) != 1 || m.Layers[0].Annotations[key] == "" {
		t.Fatalf("want one signature with %s, got %s", key, body)
	}
	m.Layers[0].Annotations[key] = change(m.Layers[0].Annotations[key])
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r.do(t, http.MethodPut, url, typeManifest, data)
}

// do sends a request that has to succeed.
func (r *registry) do(t *testing.T, method, url, contentType string, body []byte) (http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", typeManifest)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s: %s", method, url, resp.Status, data)
	}
	return resp.Header, data
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
