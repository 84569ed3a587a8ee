//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A scene is what is measured: the programs, the images with their signatures, and what is trusted.
type scene struct {
	dir                   string
	ours, theirs, server  string // programs
	config                string // directory of the trust policy
	one, layout, registry image
	ends                  []func()
}

// An image is one in a layout or a registry.
type image struct {
	layout    bool
	reference string
}

// newScene makes one in an empty directory. Close ends its servers.
func newScene(ctx context.Context, dir string) (*scene, error) {
	s := &scene{dir: dir, config: filepath.Join(dir, "config")}
	if err := s.set(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *scene) set(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	tsa, admin, host, err := threePorts()
	if err != nil {
		return err
	}
	if err := s.serve(ctx, "http://"+admin+"/readyz", s.ours, "serve", "--dev", "--listen", tsa, "--admin", admin); err != nil {
		return err
	}
	if err := s.serve(ctx, "http://"+host+"/v2/", s.server, "-kind", "cuelabs", "-listen", host); err != nil {
		return err
	}
	if err := s.trust(ctx, "http://"+tsa); err != nil {
		return err
	}
	if s.one, err = s.inLayout("one"); err != nil {
		return err
	}
	if s.layout, err = s.inLayout("many"); err != nil {
		return err
	}
	if s.registry, err = s.inRegistry(ctx, host); err != nil {
		return err
	}
	for _, img := range []struct {
		image
		count int
	}{{s.one, 1}, {s.layout, many}, {s.registry, many}} {
		argv := []string{"sign", "-key", s.file("key.pem"), "-chain", s.file("chain.pem"), "-count", fmt.Sprint(img.count),
			"-timestamp-url", "http://" + tsa + "/api/v1/timestamp", "-timestamp-root", s.file("tsa.pem")}
		if img.layout {
			argv = append(argv, "-oci-layout")
		}
		cmd := exec.CommandContext(ctx, s.theirs, append(argv, img.reference)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
	}
	return nil
}

func (s *scene) close() {
	for _, end := range s.ends {
		end()
	}
}

func (s *scene) file(name string) string { return filepath.Join(s.dir, name) }

// write writes a file below the directory of the scene.
func (s *scene) write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(s.file(name)), 0o700); err != nil {
		return err
	}
	return os.WriteFile(s.file(name), data, 0o600)
}

func threePorts() (a, b, c string, err error) {
	var list [3]string
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", "", err
		}
		defer l.Close()
		list[i] = l.Addr().String()
	}
	return list[0], list[1], list[2], nil
}

// serve starts a server and waits until it is ready.
func (s *scene) serve(ctx context.Context, ready string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.ends = append(s.ends, func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err == nil {
			// The status of a server that was told to end says nothing here.
			_ = cmd.Wait()
		}
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if resp, err := http.Get(ready); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not answer at %s", argv[0], ready)
}

// trust makes the signer's key and chain, and the directory of who trusts it and the authority at tsa.
func (s *scene) trust(ctx context.Context, tsa string) error {
	chain, key, err := signer()
	if err != nil {
		return err
	}
	stampers, err := fetch(ctx, tsa+"/api/v1/timestamp/certchain")
	if err != nil {
		return err
	}
	stamper := stampers[bytes.LastIndex(stampers, []byte("-----BEGIN")):]
	root := chain[bytes.LastIndex(chain, []byte("-----BEGIN")):]
	policy := `{"version": "1.0", "trustPolicies": [{"name": "all", "registryScopes": ["*"], "signatureVerification": {"level": "strict"},
		"trustStores": ["ca:signers", "tsa:stampers"], "trustedIdentities": ["*"]}]}`
	for name, data := range map[string][]byte{
		"key.pem": key, "chain.pem": chain, "tsa.pem": stamper, "config/trustpolicy.json": []byte(policy),
		"config/truststore/x509/ca/signers/root.pem": root, "config/truststore/x509/tsa/stampers/root.pem": stamper,
	} {
		if err := s.write(name, data); err != nil {
			return err
		}
	}
	return nil
}

// signer makes a key and a chain of leaf, intermediate and root, in PEM.
func signer() (chain, key []byte, err error) {
	names := []string{"Root", "CA", "Signer"}
	var issuer *x509.Certificate
	var issuerKey, own *ecdsa.PrivateKey
	for i, name := range names {
		if own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return nil, nil, err
		}
		cert := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)),
			Subject:      pkix.Name{Country: []string{"US"}, Province: []string{"WA"}, Organization: []string{"Fencepost Bench"}, CommonName: name},
			NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		}
		if i == len(names)-1 {
			cert.IsCA, cert.KeyUsage, cert.ExtKeyUsage = false, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
		}
		if issuer == nil {
			issuer, issuerKey = cert, own
		}
		der, err := x509.CreateCertificate(rand.Reader, cert, issuer, own.Public(), issuerKey)
		if err != nil {
			return nil, nil, err
		}
		if issuer, err = x509.ParseCertificate(der); err != nil {
			return nil, nil, err
		}
		issuerKey = own
		chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), chain...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(own)
	return chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// descriptor is a content descriptor.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// emptyType is the media type of "{}", of which all parts of the image consist.
const (
	emptyType    = "application/vnd.oci.empty.v1+json"
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

var empty = []byte("{}")

// manifest is that of the image, and its descriptor.
func manifest() (data []byte, desc descriptor, err error) {
	part := describe(emptyType, empty)
	data, err = json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": part, "layers": []descriptor{part}})
	return data, describe(manifestType, data), err
}

func describe(mediaType string, data []byte) descriptor {
	return descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(data)), Size: len(data)}
}

func (s *scene) inLayout(name string) (image, error) {
	data, desc, err := manifest()
	if err != nil {
		return image{}, err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{desc}})
	if err != nil {
		return image{}, err
	}
	blob := func(d string) string { return filepath.Join(name, "blobs", strings.Replace(d, ":", "/", 1)) }
	for file, data := range map[string][]byte{
		filepath.Join(name, "oci-layout"): []byte(`{"imageLayoutVersion":"1.0.0"}`), filepath.Join(name, "index.json"): index,
		blob(desc.Digest): data, blob(describe(emptyType, empty).Digest): empty,
	} {
		if err := s.write(file, data); err != nil {
			return image{}, err
		}
	}
	return image{layout: true, reference: s.file(name) + "@" + desc.Digest}, nil
}

func (s *scene) inRegistry(ctx context.Context, host string) (image, error) {
	data, desc, err := manifest()
	if err != nil {
		return image{}, err
	}
	base := "http://" + host + "/v2/image/"
	for _, put := range []struct {
		method, url, mediaType string
		data                   []byte
	}{
		{http.MethodPost, base + "blobs/uploads/?digest=" + describe(emptyType, empty).Digest, "application/octet-stream", empty},
		{http.MethodPut, base + "manifests/" + desc.Digest, manifestType, data},
	} {
		req, err := http.NewRequestWithContext(ctx, put.method, put.url, bytes.NewReader(put.data))
		if err != nil {
			return image{}, err
		}
		req.Header.Set("Content-Type", put.mediaType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return image{}, err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusCreated {
			return image{}, fmt.Errorf("%s %s: %s", put.method, put.url, resp.Status)
		}
	}
	return image{reference: host + "/image@" + desc.Digest}, nil
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}
