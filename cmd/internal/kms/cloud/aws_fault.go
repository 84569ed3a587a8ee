package cloud

import (
	"crypto/tls"
	"errors"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const (
	awsCredentialsHint = "give credentials in one of the ways of the AWS SDK: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the role of the machine, and see that they have not expired"
	awsPolicyHint      = "allow kms:DescribeKey, kms:GetPublicKey and kms:Sign on this key, in its key policy or in the policy of the role"
	awsCreateHint      = "allow kms:CreateKey and kms:CreateAlias, and kms:DescribeKey to see whether the name is taken"
	awsReachHint       = "look at the endpoint, the region and the way to it; nothing has to be changed here if the service comes back"
)

// awsCodes are the codes of AWS that say who has to do what. A code that is
// not here is judged by its HTTP status.
var awsCodes = map[string]struct {
	kind fault.Kind
	hint string
}{
	"NotFoundException":         {fault.NotFound, "see that the alias or key exists in this account and region: aws kms describe-key --key-id"},
	"AccessDeniedException":     {fault.Denied, awsPolicyHint},
	"DisabledException":         {fault.Unfit, "enable it: aws kms enable-key"},
	"KMSInvalidStateException":  {fault.Unfit, "see its state with aws kms describe-key; a key on its way to deletion is kept with aws kms cancel-key-deletion"},
	"InvalidKeyUsageException":  {fault.Unfit, "make a key with the usage SIGN_VERIFY"},
	"AlreadyExistsException":    {fault.Unfit, "use it as it is, or choose another name: a key is never replaced"},
	"InvalidAliasNameException": {fault.Malformed, "choose an alias of letters, digits and /_-, which does not begin with alias/aws/"},
	"InvalidArnException":       {fault.Malformed, "name the key by the ARN that aws kms describe-key says"},
	"ValidationException":       {fault.Malformed, "name the key by the ARN that aws kms describe-key says"},
	"UnsupportedOperationException": {fault.Unfit,
		"make an asymmetric key with the usage SIGN_VERIFY"},

	"ExpiredTokenException":               {fault.Credentials, "get new temporary credentials: a session token ends after some hours"},
	"ExpiredToken":                        {fault.Credentials, "get new temporary credentials: a session token ends after some hours"},
	"UnrecognizedClientException":         {fault.Credentials, awsCredentialsHint},
	"InvalidClientTokenId":                {fault.Credentials, awsCredentialsHint},
	"MissingAuthenticationToken":          {fault.Credentials, awsCredentialsHint},
	"IncompleteSignature":                 {fault.Credentials, awsCredentialsHint},
	"InvalidSignatureException":           {fault.Credentials, "see that AWS_SECRET_ACCESS_KEY belongs to AWS_ACCESS_KEY_ID, and that the clock of this machine is right"},
	"NotAuthorized":                       {fault.Denied, awsPolicyHint},
	"OptInRequired":                       {fault.Denied, "enable the service for this account and region"},
	"ThrottlingException":                 {fault.Unreachable, "ask AWS for a higher quota of cryptographic operations, if this happens often"},
	"Throttling":                          {fault.Unreachable, "ask AWS for a higher quota of cryptographic operations, if this happens often"},
	"LimitExceededException":              {fault.Unfit, "ask AWS for a higher quota, or delete what is not used"},
	"CustomKeyStoreInvalidStateException": {fault.Unreachable, "connect the custom key store of the key: aws kms connect-custom-key-store"},
}

// awsFault says what an error of the SDK, or of the provider around it, means.
func awsFault(c call, err error) *fault.Error {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text := &said{fault.Words(api.ErrorCode() + ": " + api.ErrorMessage()), err}
		if called, ok := errors.AsType[*smithy.OperationError](err); ok {
			text.text = "kms:" + called.Operation() + ": " + text.text
		}
		kind, hint := fault.Unreachable, awsReachHint
		if known, ok := awsCodes[api.ErrorCode()]; ok {
			kind, hint = known.kind, known.hint
			if c.op == opCreate && kind == fault.Denied {
				hint = awsCreateHint
			}
		} else if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.HTTPStatusCode() < 500 && answer.HTTPStatusCode() != http.StatusTooManyRequests {
			kind, hint = fault.Unfit, ""
		}
		return c.fault(kind, "%w", text).WithHint("%s", hint)
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return c.fault(fault.Unreachable, "%w", short(err)).
			WithHint("name the file with the certificate authority of the endpoint in AWS_CA_BUNDLE")
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return c.fault(fault.Unreachable, "%w", short(err)).WithHint(awsReachHint)
	}
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && answer.HTTPStatusCode() >= 500 {
		return c.fault(fault.Unreachable, "%w", short(err)).WithHint(awsReachHint)
	}
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return c.fault(fault.Malformed, "the answer cannot be read: %w", short(err)).
			WithHint("see that the endpoint is AWS KMS, and that nothing in between changes its answers")
	}
	if _, ok := errors.AsType[*smithy.OperationError](err); ok {
		// Nothing was sent. What is left is that credentials which were there
		// cannot be renewed.
		return c.fault(fault.Credentials, "%w", short(err)).WithHint(awsCredentialsHint)
	}
	return c.fault(fault.Malformed, "%w", err)
}

// short takes away what the SDK says about the call before the cause, and
// about its own patience after it.
func short(err error) error {
	if called, ok := errors.AsType[*smithy.OperationError](err); ok {
		err = called.Err
	}
	return &said{firstLine(err), err}
}
