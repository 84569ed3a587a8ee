package cloud

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go/logging"
	sigaws "github.com/sigstore/sigstore/pkg/signature/kms/aws"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

const awsForms = "write awskms:///alias/NAME, awskms:///KEY-ID or awskms:///ARN, with HOST[:PORT] before the third slash for another endpoint"

// envAWSInsecure makes Sigstore's provider accept any certificate. Here nothing
// does, and nobody is to believe it.
const envAWSInsecure = "AWS_TLS_INSECURE_SKIP_VERIFY"

// An awsName is what a URI of AWS names.
type awsName struct {
	endpoint string
	key      string // as the service takes it
	alias    string // "alias/NAME", or "" for a name that is not an alias
}

func parseAWS(c call) (awsName, error) {
	endpoint, key, alias, err := sigaws.ParseReference(c.uri)
	if err != nil {
		return awsName{}, c.fault(fault.Malformed, "not a key of AWS KMS").WithHint(awsForms)
	}
	if u, err := url.Parse("https://" + endpoint); err != nil || u.Host != endpoint {
		return awsName{}, c.fault(fault.Malformed, "the endpoint is not a host").WithHint(awsForms)
	}
	return awsName{endpoint, key, alias}, nil
}

// The retries of the SDK. Its own pauses, of seconds, are longer than anyone
// waits for a timestamp.
const (
	awsAttempts = 3
	awsPause    = 200 * time.Millisecond // at most, before the first retry
)

// awsBackoff doubles the longest pause for each retry, and takes a random part
// of it, so that many callers do not come back together.
func awsBackoff(attempt int, _ error) (time.Duration, error) {
	return rand.N(awsPause << min(max(attempt, 0), awsAttempts)), nil
}

// options are for the SDK.
func (n awsName) options() []func(*config.LoadOptions) error {
	opts := []func(*config.LoadOptions) error{
		config.WithLogger(logging.Nop{}),
		config.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.Backoff = awsAttempts, retry.BackoffDelayerFunc(awsBackoff)
			})
		}),
	}
	// A key is reached in its own region only, and its ARN says which it is.
	if a, err := arn.Parse(n.key); err == nil && a.Region != "" {
		opts = append(opts, config.WithRegion(a.Region))
	}
	return opts
}

// client returns the SDK's client, having seen that there are a region and
// credentials: without them every call fails, and says so less plainly.
func (n awsName) client(ctx context.Context, c call, cfg Config) (*kms.Client, error) {
	// Whoever sets it expects less than a connection that is checked.
	if cfg.env(envAWSInsecure) == "1" || os.Getenv(envAWSInsecure) == "1" {
		return nil, c.fault(fault.Unsupported, "%s=1 would have the service's certificate go unchecked", envAWSInsecure).
			WithHint("unset it, and name the file with the certificate authority of the endpoint in AWS_CA_BUNDLE")
	}
	loaded, err := config.LoadDefaultConfig(ctx, n.options()...)
	if err != nil {
		return nil, c.fault(fault.Credentials, "read the AWS configuration: %w", err).
			WithHint("correct the files that AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE and AWS_CA_BUNDLE name, and the profile in AWS_PROFILE")
	}
	if loaded.Region == "" {
		return nil, c.fault(fault.Malformed, "no AWS region").
			WithHint("set AWS_REGION, or name the key by its ARN")
	}
	if _, err := loaded.Credentials.Retrieve(ctx); err != nil {
		return nil, c.fault(fault.Credentials, "no AWS credentials: %w", err).WithHint(awsCredentialsHint)
	}
	if n.endpoint != "" {
		loaded.BaseEndpoint = aws.String("https://" + n.endpoint)
	}
	return kms.NewFromConfig(loaded), nil
}

// An awsKey signs with the key of an ARN.
type awsKey struct {
	call   call
	client *kms.Client
	arn    string
	public crypto.PublicKey
}

func openAWS(ctx context.Context, c call, cfg Config) (*Key, error) {
	name, err := parseAWS(c)
	if err != nil {
		return nil, err
	}
	client, err := name.client(ctx, c, cfg)
	if err != nil {
		return nil, err
	}
	described, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name.key})
	if err != nil {
		return nil, awsFault(c, err)
	}
	meta := described.KeyMetadata
	if meta == nil {
		return nil, c.fault(fault.Malformed, "the service described a key without metadata")
	}
	algorithms, err := awsFit(c, meta)
	if err != nil {
		return nil, err
	}
	resource := aws.ToString(meta.Arn)
	if _, err := arn.Parse(resource); err != nil {
		return nil, c.fault(fault.Malformed, "the service named the key %.100q", resource)
	}
	got, err := client.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &resource})
	if err != nil {
		return nil, awsFault(c, err)
	}
	pub, err := x509.ParsePKIXPublicKey(got.PublicKey)
	if err != nil {
		return nil, c.fault(fault.Malformed, "the public key that the service sent: %w", err)
	}
	if err := usable(c, pub); err != nil {
		return nil, err
	}
	k := &Key{
		call:     call{opSign, c.uri},
		resource: resource,
		public:   pub,
		signer:   &awsKey{call{opSign, c.uri}, client, resource, pub},
	}
	for _, a := range algorithms {
		_, isRSA := pub.(*rsa.PublicKey)
		if isRSA != (a.padding != "") {
			return nil, c.fault(fault.Malformed, "the service says %s, and sent a key of type %T", meta.SigningAlgorithms[0], pub)
		}
		if !slices.Contains(k.hashes, a.hash) {
			k.hashes = append(k.hashes, a.hash)
		}
		if isRSA && !slices.Contains(k.paddings, a.padding) {
			k.paddings = append(k.paddings, a.padding)
		}
	}
	slices.Sort(k.hashes) // the usual one first: SHA-256
	return k, nil
}

// awsSigns are the algorithms whose signatures this program uses.
var awsSigns = map[types.SigningAlgorithmSpec]algorithm{
	types.SigningAlgorithmSpecRsassaPkcs1V15Sha256: {crypto.SHA256, signer.PKCS1v15},
	types.SigningAlgorithmSpecRsassaPkcs1V15Sha384: {crypto.SHA384, signer.PKCS1v15},
	types.SigningAlgorithmSpecRsassaPkcs1V15Sha512: {crypto.SHA512, signer.PKCS1v15},
	types.SigningAlgorithmSpecRsassaPssSha256:      {crypto.SHA256, signer.PSS},
	types.SigningAlgorithmSpecRsassaPssSha384:      {crypto.SHA384, signer.PSS},
	types.SigningAlgorithmSpecRsassaPssSha512:      {crypto.SHA512, signer.PSS},
	types.SigningAlgorithmSpecEcdsaSha256:          {crypto.SHA256, ""},
	types.SigningAlgorithmSpecEcdsaSha384:          {crypto.SHA384, ""},
	types.SigningAlgorithmSpecEcdsaSha512:          {crypto.SHA512, ""},
}

// awsAlgorithm names a signature.
func awsAlgorithm(pub crypto.PublicKey, opts crypto.SignerOpts) types.SigningAlgorithmSpec {
	family := "ECDSA"
	if _, ok := pub.(*rsa.PublicKey); ok {
		family = "RSASSA_PKCS1_V1_5"
		if _, ok := opts.(*rsa.PSSOptions); ok {
			family = "RSASSA_PSS"
		}
	}
	return types.SigningAlgorithmSpec(fmt.Sprintf("%s_SHA_%d", family, 8*opts.HashFunc().Size()))
}

// awsFit returns the algorithms of a key that are of use, or says why there are
// none.
func awsFit(c call, meta *types.KeyMetadata) ([]algorithm, error) {
	const cure = "make one of the key specs ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521, RSA_2048, RSA_3072, RSA_4096 with the usage SIGN_VERIFY"
	if meta.KeyState != "" && meta.KeyState != types.KeyStateEnabled {
		return nil, c.fault(fault.Unfit, "the key is not enabled, its state is %s", meta.KeyState).
			WithHint("%s", awsStateHint(meta.KeyState))
	}
	if meta.KeyUsage != types.KeyUsageTypeSignVerify || len(meta.SigningAlgorithms) == 0 {
		return nil, c.fault(fault.Unfit, "the key is for %s (%s), not for signing", meta.KeyUsage, meta.KeySpec).WithHint(cure)
	}
	var known []algorithm
	for _, name := range meta.SigningAlgorithms {
		if a, ok := awsSigns[name]; ok {
			known = append(known, a)
		}
	}
	if len(known) == 0 {
		return nil, c.fault(fault.Unfit, "a key of the key spec %s signs with %s, which this program does not use", meta.KeySpec, meta.SigningAlgorithms[0]).WithHint(cure)
	}
	return known, nil
}

func awsStateHint(state types.KeyState) string {
	switch state {
	case types.KeyStateDisabled:
		return "enable it: aws kms enable-key"
	case types.KeyStatePendingDeletion, types.KeyStatePendingReplicaDeletion:
		return "keep it, aws kms cancel-key-deletion and aws kms enable-key, or name another key"
	}
	return "wait until the key is enabled, or name another key"
}

// usable refuses the public keys that timestamps are not signed with.
func usable(c call, pub crypto.PublicKey) error {
	if _, err := signer.HashFor(pub); err != nil {
		return c.fault(fault.Unfit, "%w", err)
	}
	return nil
}

func (k *awsKey) sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	got, err := k.client.Sign(ctx, &kms.SignInput{
		KeyId:            &k.arn,
		Message:          digest,
		MessageType:      types.MessageTypeDigest,
		SigningAlgorithm: awsAlgorithm(k.public, opts),
	})
	if err != nil {
		return nil, awsFault(k.call, err)
	}
	return got.Signature, nil
}

// close has nothing to do: the connections are the SDK's, and end when they
// have been idle for 90 seconds.
func (k *awsKey) close() error { return nil }

// awsSpecs are the key types that can be made.
var awsSpecs = map[signer.KeyType]types.KeySpec{
	signer.P256:    types.KeySpecEccNistP256,
	signer.P384:    types.KeySpecEccNistP384,
	signer.P521:    types.KeySpecEccNistP521,
	signer.RSA2048: types.KeySpecRsa2048,
	signer.RSA3072: types.KeySpecRsa3072,
	signer.RSA4096: types.KeySpecRsa4096,
}

// awsDeletionDays is how long a key whose alias could not be made waits for
// its deletion: the least that AWS takes.
const awsDeletionDays = 7

func createAWS(ctx context.Context, c call, t signer.KeyType, cfg Config) error {
	name, err := parseAWS(c)
	if err != nil {
		return err
	}
	if name.alias == "" {
		return c.fault(fault.Unsupported, "AWS chooses the ID of a new key, only its alias can be chosen").
			WithHint("write awskms:///alias/NAME")
	}
	spec, ok := awsSpecs[t]
	if !ok {
		return c.fault(fault.Unsupported, "AWS keys of the type %s are not made here", t).
			WithHint("choose p256, p384, p521, rsa2048, rsa3072 or rsa4096")
	}
	client, err := name.client(ctx, c, cfg)
	if err != nil {
		return err
	}
	_, err = client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &name.key})
	if err == nil {
		return existsAlready(c)
	}
	if _, notFound := errors.AsType[*types.NotFoundException](err); !notFound {
		return awsFault(c, err)
	}
	made, err := client.CreateKey(ctx, &kms.CreateKeyInput{
		KeySpec:     spec,
		KeyUsage:    types.KeyUsageTypeSignVerify,
		Description: aws.String("timestamping key"),
	})
	if err != nil {
		return awsFault(c, err)
	}
	if made.KeyMetadata == nil || aws.ToString(made.KeyMetadata.KeyId) == "" {
		return c.fault(fault.Malformed, "the service made a key and did not name it")
	}
	if _, err := client.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &name.alias, TargetKeyId: made.KeyMetadata.KeyId}); err != nil {
		// A key without a name costs money, and nobody looks for it.
		_, undo := client.ScheduleKeyDeletion(context.WithoutCancel(ctx), &kms.ScheduleKeyDeletionInput{
			KeyId: made.KeyMetadata.KeyId, PendingWindowInDays: aws.Int32(awsDeletionDays)})
		f := awsFault(c, err)
		if undo != nil {
			f.Hint += "; and delete the key " + aws.ToString(made.KeyMetadata.Arn) + ", which was made without an alias"
			f.Hint = strings.TrimPrefix(f.Hint, "; and ")
		}
		return f
	}
	return nil
}

func existsAlready(c call) *fault.Error {
	return c.fault(fault.Unfit, "exists already").
		WithHint("use it as it is, or choose another name: a key is never replaced")
}
