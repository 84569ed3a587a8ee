//go:build !notationmain

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/notaryproject/notation-go"
	library "github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
)

// errNoBlobs is the answer of the release to everything about files.
var errNoBlobs = errors.New("this release of notation-go knows no files")

func signImage(ctx context.Context, s notation.Signer, repo *repository, opts notation.SignOptions) error {
	_, err := notation.Sign(ctx, s, repo, opts)
	return err
}

func newVerifier(store truststore.X509TrustStore, both validators) (verifier, error) {
	policy, err := trustpolicy.LoadDocument()
	if err != nil {
		return nil, err
	}
	v, err := library.NewWithOptions(policy, store, nil, library.VerifierOptions{
		RevocationCodeSigningValidator:  both.codeSigning,
		RevocationTimestampingValidator: both.timestamping,
	})
	if err != nil {
		return nil, err
	}
	known, ok := v.(verifier)
	if !ok {
		return nil, fmt.Errorf("%T does not tell what is skipped", v)
	}
	return known, nil
}

func readPolicy(data []byte, o *options) (*statement, error) {
	if o.blob {
		return nil, errNoBlobs
	}
	var doc trustpolicy.Document
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

func signBlob(context.Context, *options) (any, error) { return nil, errNoBlobs }

func verifyBlob(context.Context, *options) (any, error) { return nil, errNoBlobs }
