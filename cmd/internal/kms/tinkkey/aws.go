package tinkkey

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// awsName is the ARN of a key or an alias; the region is taken from it.
var awsName = regexp.MustCompile(`^arn:aws[a-zA-Z0-9_-]*:kms:[a-z0-9-]+:[^:]*:(key|alias)/.+$`)

// An awsKey is a key of AWS KMS.
type awsKey struct {
	tink.AEADWithContext
	uri string
}

func openAWS(ctx context.Context, uri string) (wrappingKey, error) {
	name := strings.TrimPrefix(uri, schemeAWS)
	if !awsName.MatchString(name) {
		return nil, fault.New(fault.Malformed, opWrapping, "%.200q is not the ARN of a key", uri).
			WithHint("write aws-kms://arn:aws:kms:REGION:ACCOUNT:key/ID")
	}
	aead, err := awskms.NewAEADWithContext(ctx, name)
	if err != nil {
		if f := ended(ctx, opWrapping, err); f != nil {
			return nil, f
		}
		return nil, fault.New(fault.Credentials, opWrapping, "%s: %s", uri, clip(err)).WithHint("%s", hintAWSLogin)
	}
	return &awsKey{aead, uri}, nil
}

const hintAWSLogin = "give the process credentials as every AWS program takes them: AWS_PROFILE, AWS_ACCESS_KEY_ID, or a role of the machine"

func (k *awsKey) fault(ctx context.Context, op string, err error) error {
	if f := ended(ctx, op, err); f != nil {
		return f
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return k.noAnswer(op, err)
	}
	words := clip(api)
	switch api.ErrorCode() {
	case "NotFoundException":
		return fault.New(fault.NotFound, op, "there is no key %s: %s", k.uri, words).WithHint("aws kms create-key makes one; check the region and the account in the ARN")
	case "AccessDeniedException":
		return fault.New(fault.Denied, op, "%s: %s", k.uri, words).WithHint("allow kms:Decrypt on the key, and kms:Encrypt to make keysets")
	case "UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
		"ExpiredTokenException", "ExpiredToken", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException":
		return fault.New(fault.Credentials, op, "%s: %s", k.uri, words).WithHint("%s", hintAWSLogin)
	case "IncorrectKeyException", "InvalidCiphertextException":
		return wrongKey(op, k.uri, words)
	case "DisabledException", "KMSInvalidStateException":
		return fault.New(fault.Unfit, op, "%s: %s", k.uri, words).WithHint("aws kms enable-key enables a key, cancel-key-deletion keeps one")
	case "InvalidKeyUsageException":
		return fault.New(fault.Unfit, op, "%s: %s", k.uri, words).WithHint("a wrapping key is of the usage ENCRYPT_DECRYPT")
	case "KMSInternalException", "DependencyTimeoutException", "KeyUnavailableException", "ThrottlingException",
		"LimitExceededException", "ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "RequestTimeout":
		return fault.New(fault.Unreachable, op, "%s: %s", k.uri, words)
	}
	if api.ErrorFault() == smithy.FaultServer {
		return fault.New(fault.Unreachable, op, "%s: %s", k.uri, words)
	}
	return fault.New(fault.Malformed, op, "%s: %s", k.uri, words)
}

// noAnswer is an error without an answer of the service, or with one that
// cannot be read.
func (k *awsKey) noAnswer(op string, err error) error {
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return fault.New(fault.Malformed, op, "%s: %s", k.uri, clip(err))
	}
	// The library has no type for this.
	if strings.Contains(err.Error(), "get credentials") || strings.Contains(err.Error(), "retrieve credentials") {
		return fault.New(fault.Credentials, op, "%s: %s", k.uri, clip(err)).WithHint("%s", hintAWSLogin)
	}
	return fault.New(fault.Unreachable, op, "%s: %s", k.uri, clip(err)).WithHint("check the network, and the region in the ARN")
}

// mustExist has nothing to ask: AWS makes no key by itself.
func (k *awsKey) mustExist(context.Context, string) error { return nil }

// close has nothing to close: Tink's client keeps the AWS client to itself,
// whose idle connection ends within a minute and a half.
func (k *awsKey) close() {}
