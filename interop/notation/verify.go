package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/notaryproject/notation-core-go/revocation"
	corecrl "github.com/notaryproject/notation-core-go/revocation/crl"
	"github.com/notaryproject/notation-core-go/revocation/purpose"
	"github.com/notaryproject/notation-go"
	"github.com/notaryproject/notation-go/dir"
	"github.com/notaryproject/notation-go/verifier/crl"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// How long the client waits for what tells about revocation.
const (
	ocspTimeout = 2 * time.Second
	crlTimeout  = 5 * time.Second
)

// A verdict is the answer of verify and blob-verify.
type verdict struct {
	Verified   bool        `json:"verified"`
	Skipped    bool        `json:"skipped,omitempty"` // the policy says so
	Artifact   string      `json:"artifact,omitempty"`
	Signatures []judgement `json:"signatures"` // in the order of their verification, which ends with the first good one
	Seconds    float64     `json:"seconds"`    // that the library took, without the start of this program
	Error      string      `json:"error,omitempty"`
}

// A judgement is that of one signature.
type judgement struct {
	Digest   string            `json:"digest,omitempty"` // of its manifest; none where it is that of a file
	Verified bool              `json:"verified"`
	Level    string            `json:"level,omitempty"`
	Checks   []check           `json:"checks,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Error    string            `json:"error,omitempty"`
}

// A check is the result of one kind of verification.
type check struct {
	Type   string `json:"type"`
	Action string `json:"action"`
	Error  string `json:"error,omitempty"`
}

// A recorder is a verifier that keeps each outcome; the library returns those of failures as one text.
type recorder struct {
	verifier
	outcomes []*notation.VerificationOutcome
}

// Verify implements [notation.Verifier].
func (r *recorder) Verify(ctx context.Context, desc ocispec.Descriptor, signature []byte, opts notation.VerifierVerifyOptions) (*notation.VerificationOutcome, error) {
	outcome, err := r.verifier.Verify(ctx, desc, signature, opts)
	r.outcomes = append(r.outcomes, outcome)
	return outcome, err
}

// verifier is what the library's own verifier is.
type verifier interface {
	notation.Verifier
	SkipVerify(ctx context.Context, opts notation.VerifierVerifyOptions) (bool, *trustpolicy.VerificationLevel, error)
}

func verify(ctx context.Context, o *options) (any, error) {
	start := time.Now()
	repo, err := openRepository(o)
	if err != nil {
		return nil, err
	}
	v, err := openVerifier(o, newVerifier)
	if err != nil {
		return nil, err
	}
	artifact, err := repo.Resolve(ctx, repo.reference)
	if err != nil {
		return nil, err
	}
	reference, err := repo.fullReference(o, artifact)
	if err != nil {
		return nil, err
	}
	record := &recorder{verifier: v}
	_, outcomes, err := notation.Verify(ctx, record, repo, notation.VerifyOptions{
		ArtifactReference:    reference,
		MaxSignatureAttempts: o.maxSignatures,
		UserMetadata:         o.metadata,
	})
	answer := verdict{Verified: err == nil, Artifact: artifact.Digest.String(), Seconds: time.Since(start).Seconds()}
	if len(outcomes) == 1 && outcomes[0].VerificationLevel.Name == trustpolicy.LevelSkip.Name {
		answer.Verified, answer.Skipped = false, true
		return answer, nil
	}
	for i, outcome := range record.outcomes {
		j := judge(outcome)
		if i < len(repo.fetched) {
			j.Digest = repo.fetched[i].Digest.String()
		}
		answer.Signatures = append(answer.Signatures, j)
	}
	if err != nil {
		answer.Error = err.Error()
		return answer, errNo
	}
	return answer, nil
}

func judge(outcome *notation.VerificationOutcome) judgement {
	if outcome == nil {
		return judgement{Error: "no outcome"}
	}
	j := judgement{Verified: outcome.Error == nil, Level: outcome.VerificationLevel.Name}
	for _, r := range outcome.VerificationResults {
		c := check{Type: string(r.Type), Action: string(r.Action)}
		if r.Error != nil {
			c.Error = r.Error.Error()
		}
		j.Checks = append(j.Checks, c)
	}
	if outcome.Error != nil {
		j.Error = outcome.Error.Error()
	}
	if metadata, err := outcome.UserMetadata(); err == nil {
		j.Metadata = metadata
	}
	return j
}

// openVerifier makes a verifier of the configuration directory, as the client does.
func openVerifier[V any](o *options, make func(truststore.X509TrustStore, validators) (V, error)) (V, error) {
	var none V
	if o.config == "" {
		return none, fmt.Errorf("%w: -config is missing", errUsage)
	}
	dir.UserConfigDir = o.config
	var both validators
	var err error
	if both.codeSigning, err = newValidator(o, purpose.CodeSigning); err != nil {
		return none, err
	}
	if both.timestamping, err = newValidator(o, purpose.Timestamping); err != nil {
		return none, err
	}
	return make(truststore.NewX509TrustStore(dir.ConfigFS()), both)
}

// validators tell whether a certificate is revoked.
type validators struct{ codeSigning, timestamping revocation.Validator }

func newValidator(o *options, what purpose.Purpose) (revocation.Validator, error) {
	fetcher, err := corecrl.NewHTTPFetcher(&http.Client{Timeout: crlTimeout})
	if err != nil {
		return nil, err
	}
	fetcher.DiscardCacheError = true
	if o.crlCache != "" {
		if fetcher.Cache, err = crl.NewFileCache(o.crlCache); err != nil {
			return nil, err
		}
	}
	return revocation.NewWithOptions(revocation.Options{
		OCSPHTTPClient:   &http.Client{Timeout: ocspTimeout},
		CRLFetcher:       fetcher,
		CertChainPurpose: what,
	})
}
