package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-core-go/signature/cose"
	"github.com/notaryproject/notation-core-go/signature/jws"
	corex509 "github.com/notaryproject/notation-core-go/x509"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/tspclient-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// timestampTimeout is how long the client waits for a timestamp.
const timestampTimeout = 15 * time.Second

// indexRemains is in the error of a registry that does not let the list under a tag be deleted that the new one
// has replaced. The signature is stored nevertheless, and the client warns only.
const indexRemains = "failed to delete dangling referrers index"

// A signed image, as sign and attach tell of it.
type signed struct {
	Artifact  ocispec.Descriptor `json:"artifact"`
	Signature ocispec.Descriptor `json:"signature"` // the manifest
}

// mediaTypes are the formats of envelopes.
var mediaTypes = map[string]string{"jws": jws.MediaTypeEnvelope, "cose": cose.MediaTypeEnvelope}

func sign(ctx context.Context, o *options) (any, error) {
	repo, err := openRepository(o)
	if err != nil {
		return nil, err
	}
	s, err := signer.NewGenericSignerFromFiles(o.key, o.chain)
	if err != nil {
		return nil, err
	}
	how, err := signOptions(ctx, o)
	if err != nil {
		return nil, err
	}
	// What a tag names is found first: in a layout, the description under it has annotations, which would be signed.
	artifact, err := repo.Resolve(ctx, repo.reference)
	if err != nil {
		return nil, err
	}
	for n := range o.count {
		if o.count > 1 {
			o.metadata["number"] = strconv.Itoa(n + 1)
		}
		err := signImage(ctx, s, repo, notation.SignOptions{
			SignerSignOptions: how,
			ArtifactReference: artifact.Digest.String(),
			UserMetadata:      o.metadata,
		})
		if err != nil && !strings.Contains(err.Error(), indexRemains) {
			return nil, err
		}
	}
	return signed{Artifact: artifact, Signature: repo.pushed}, nil
}

// signOptions are those of an image and of a file.
func signOptions(ctx context.Context, o *options) (notation.SignerSignOptions, error) {
	how := notation.SignerSignOptions{SignatureMediaType: mediaTypes[o.format], ExpiryDuration: o.expiry}
	if o.timestampURL == "" && o.timestampRoot == "" {
		return how, nil
	}
	timestamper, err := tspclient.NewHTTPTimestamper(&http.Client{Timeout: timestampTimeout}, o.timestampURL)
	if err != nil {
		return how, fmt.Errorf("timestamping: %w", err)
	}
	root, err := readRoot(o.timestampRoot)
	if err != nil {
		return how, err
	}
	how.Timestamper = timestamper
	how.TSARootCAs = x509.NewCertPool()
	how.TSARootCAs.AddCert(root)
	how.TSARevocationValidator, err = newValidator(o, purpose.Timestamping)
	return how, err
}

// readRoot reads the one root certificate of a file.
func readRoot(file string) (*x509.Certificate, error) {
	list, err := corex509.ReadCertificateFile(file)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s has %d certificates; want the root alone", file, len(list))
	}
	if err := list[0].CheckSignatureFrom(list[0]); err != nil {
		return nil, fmt.Errorf("%s: the root is not signed with its own key: %w", file, err)
	}
	if !bytes.Equal(list[0].RawSubject, list[0].RawIssuer) {
		return nil, fmt.Errorf("%s: the certificate is not a root, it has another issuer", file)
	}
	return list[0], nil
}

// attach stores a signature that somebody else has made, or unmade, or all signatures in a directory.
func attach(ctx context.Context, o *options) (any, error) {
	repo, err := openRepository(o)
	if err != nil {
		return nil, err
	}
	files := []string{o.envelope}
	if info, err := os.Stat(o.envelope); err != nil {
		return nil, err
	} else if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(o.envelope, "*")); err != nil {
			return nil, err
		}
	}
	artifact, err := repo.Resolve(ctx, repo.reference)
	if err != nil {
		return nil, err
	}
	mediaType := mediaTypes[o.format]
	if mediaType == "" {
		return nil, errors.New("the format is neither jws nor cose")
	}
	for _, file := range files {
		envelope, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		annotations := map[string]string{ocispec.AnnotationCreated: time.Now().UTC().Format(time.RFC3339)}
		_, _, err = repo.PushSignature(ctx, mediaType, envelope, artifact, annotations)
		if err != nil && !strings.Contains(err.Error(), indexRemains) {
			return nil, err
		}
	}
	return signed{Artifact: artifact, Signature: repo.pushed}, nil
}
