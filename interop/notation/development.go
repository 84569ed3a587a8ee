//go:build notationmain

package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/signer"
	library "github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
)

// blobMediaType is that of a file whose type nobody has told.
const blobMediaType = "application/octet-stream"

func signImage(ctx context.Context, s notation.Signer, repo *repository, opts notation.SignOptions) error {
	_, _, err := notation.SignOCI(ctx, s, repo, opts)
	return err
}

func newVerifier(store truststore.X509TrustStore, both validators) (verifier, error) {
	policy, err := trustpolicy.LoadOCIDocument()
	if err != nil {
		return nil, err
	}
	return library.NewVerifierWithOptions(store, library.VerifierOptions{
		RevocationCodeSigningValidator:  both.codeSigning,
		RevocationTimestampingValidator: both.timestamping,
		OCITrustPolicy:                  policy,
	})
}

func readPolicy(data []byte, o *options) (*statement, error) {
	if o.blob {
		return readBlobPolicy(data, o)
	}
	var doc trustpolicy.OCIDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if err := doc.Validate(); err != nil || o.policyFor == "" {
		return nil, err
	}
	found, err := doc.GetApplicableTrustPolicy(o.policyFor)
	if err != nil {
		return nil, err
	}
	return &statement{found.Name, found.SignatureVerification}, nil
}

func readBlobPolicy(data []byte, o *options) (*statement, error) {
	var doc trustpolicy.BlobDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if err := doc.Validate(); err != nil || o.policyFor == "" {
		return nil, err
	}
	found, err := doc.GetApplicableTrustPolicy(o.policyFor)
	if err != nil {
		return nil, err
	}
	return &statement{found.Name, found.SignatureVerification}, nil
}

// A file that was signed, as blob-sign tells of it.
type signedBlob struct {
	Signature string `json:"signature"` // the file that has it
}

func signBlob(ctx context.Context, o *options) (any, error) {
	s, err := signer.NewGenericSignerFromFiles(o.key, o.chain)
	if err != nil {
		return nil, err
	}
	how, err := signOptions(ctx, o)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(o.argument)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	mediaType := o.mediaType
	if mediaType == "" {
		mediaType = blobMediaType
	}
	envelope, _, err := notation.SignBlob(ctx, s, f, notation.SignBlobOptions{
		SignerSignOptions: how,
		ContentMediaType:  mediaType,
		UserMetadata:      o.metadata,
	})
	if err != nil {
		return nil, err
	}
	name := o.signature
	if name == "" {
		name = o.argument + "." + o.format + ".sig"
	}
	return signedBlob{Signature: name}, os.WriteFile(name, envelope, 0o644)
}

// A blobRecorder is a verifier of files that keeps the outcome.
type blobRecorder struct {
	notation.BlobVerifier
	outcome *notation.VerificationOutcome
}

// VerifyBlob implements [notation.BlobVerifier].
func (r *blobRecorder) VerifyBlob(ctx context.Context, describe notation.BlobDescriptorGenerator, signature []byte, opts notation.BlobVerifierVerifyOptions) (*notation.VerificationOutcome, error) {
	outcome, err := r.BlobVerifier.VerifyBlob(ctx, describe, signature, opts)
	r.outcome = outcome
	return outcome, err
}

func newBlobVerifier(store truststore.X509TrustStore, both validators) (notation.BlobVerifier, error) {
	policy, err := trustpolicy.LoadBlobDocument()
	if err != nil {
		return nil, err
	}
	return library.NewVerifierWithOptions(store, library.VerifierOptions{
		RevocationCodeSigningValidator:  both.codeSigning,
		RevocationTimestampingValidator: both.timestamping,
		BlobTrustPolicy:                 policy,
	})
}

func verifyBlob(ctx context.Context, o *options) (any, error) {
	start := time.Now()
	v, err := openVerifier(o, newBlobVerifier)
	if err != nil {
		return nil, err
	}
	envelope, err := os.ReadFile(o.signature)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(o.argument)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	record := &blobRecorder{BlobVerifier: v}
	_, _, err = notation.VerifyBlob(ctx, record, f, envelope, notation.VerifyBlobOptions{
		BlobVerifierVerifyOptions: notation.BlobVerifierVerifyOptions{
			SignatureMediaType: mediaTypes[o.format],
			UserMetadata:       o.metadata,
			TrustPolicyName:    o.policyName,
		},
		ContentMediaType: o.mediaType,
	})
	answer := verdict{Verified: err == nil, Seconds: time.Since(start).Seconds()}
	if record.outcome != nil {
		answer.Signatures = []judgement{judge(record.outcome)}
	}
	if err != nil {
		answer.Error = err.Error()
		return answer, errNo
	}
	return answer, nil
}
