package cloud

import (
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const (
	gcpCredentialsHint = "give credentials in one of the ways of Google's libraries: GOOGLE_APPLICATION_CREDENTIALS, gcloud auth application-default login, or the service account of the machine"
	gcpRoleHint        = "grant roles/cloudkms.signerVerifier and roles/cloudkms.viewer on the key, for cloudkms.cryptoKeyVersions.useToSign, .viewPublicKey, .get and .list, and cloudkms.cryptoKeys.get; Google says the same of a key that does not exist"
	gcpCreateHint      = "grant cloudkms.keyRings.get, cloudkms.keyRings.create, cloudkms.cryptoKeys.create and cloudkms.cryptoKeyVersions.get, as roles/cloudkms.admin has them"
	gcpReachHint       = "look at the way to cloudkms.googleapis.com; nothing has to be changed here if the service comes back"
)

// A gcpStatus is an error that came as the status of a call.
type gcpStatus interface {
	error
	GRPCStatus() *status.Status
}

// gcpCode is the status of a call, OK for no error and Unknown for an error
// that is none.
func gcpCode(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if s, ok := errors.AsType[gcpStatus](err); ok {
		return s.GRPCStatus().Code()
	}
	return codes.Unknown
}

// gcpFault says what an error of the client, or of the provider around it,
// means.
func gcpFault(c call, err error) *fault.Error {
	var answer *status.Status
	if away, ok := errors.AsType[*outage](err); ok {
		answer = away.status
	} else if s, ok := errors.AsType[gcpStatus](err); ok {
		answer = s.GRPCStatus()
	} else {
		// The provider's own words: what the service sent does not fit.
		if strings.HasSuffix(err.Error(), "corrupted in-transit") {
			return c.fault(fault.Unreachable, "%w", err).
				WithHint("a checksum was wrong; if it is again, look at what is between here and the service")
		}
		return c.fault(fault.Malformed, "%w", err)
	}
	code := answer.Code()
	text := &said{fault.Words(code.String() + ": " + answer.Message()), err}
	if credentialsText(text.text) {
		return c.fault(fault.Credentials, "%w", text).WithHint(gcpCredentialsHint)
	}
	kind, hint := fault.Unreachable, gcpReachHint
	switch code {
	case codes.NotFound:
		kind, hint = fault.NotFound, "see that the project, location, key ring, key and version exist: gcloud kms keys list"
	case codes.PermissionDenied:
		kind, hint = fault.Denied, gcpRoleHint
		if c.op == opCreate {
			hint = gcpCreateHint
		}
	case codes.Unauthenticated:
		kind, hint = fault.Credentials, gcpCredentialsHint
	case codes.FailedPrecondition:
		kind, hint = fault.Unfit, "see the state of the version: gcloud kms keys versions describe; one that is disabled or to be destroyed can be restored and enabled"
	case codes.InvalidArgument, codes.OutOfRange:
		kind, hint = fault.Unfit, gcpForms
	case codes.AlreadyExists:
		kind, hint = fault.Unfit, "use it as it is, or choose another name: a key is never replaced"
	case codes.Unimplemented:
		kind, hint = fault.Malformed, "see that the endpoint is Google Cloud KMS"
	case codes.ResourceExhausted:
		hint = "ask Google for a higher quota of asymmetric requests, if this happens often"
	}
	return c.fault(kind, "%w", text).WithHint("%s", hint)
}

// credentialsText recognises a call that was never made, because no token
// could be had: gRPC says it with the codes of the service.
func credentialsText(text string) bool {
	for _, sign := range []string{"per-RPC creds failed", "credentials: cannot fetch token", "oauth2: ", "invalid_grant"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
