package cloud

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

const (
	azureCredentialsHint = "give credentials in one of the ways of azidentity: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH, a workload or managed identity, or az login"
	azureRoleHint        = "give this identity the role Key Vault Crypto User on the key, or in an access policy keys/get and keys/sign; and see that the firewall of the vault lets this machine in"
	azureCreateHint      = "give this identity the role Key Vault Crypto Officer, or in an access policy keys/get and keys/create"
	azureEnableHint      = "enable it: az keyvault key set-attributes --enabled true"
	azureReachHint       = "look at the name of the vault and the way to it; nothing has to be changed here if the service comes back"
)

// azureCodes are the inner codes of a refusal with status 403 that do not mean
// a missing permission.
var azureCodes = map[string]string{
	"KeyDisabled":    azureEnableHint,
	"KeyNotYetValid": "wait, or set another activation date: az keyvault key set-attributes --not-before",
	"KeyExpired":     "set another expiry, az keyvault key set-attributes --expires, or make a new version",
}

// azureFault says what an error of the SDK means.
func azureFault(c call, err error) *fault.Error {
	if answer, ok := errors.AsType[*azcore.ResponseError](err); ok && !fromCredential(err) {
		return azureAnswer(c, answer)
	}
	text := &said{firstLine(err), err}
	_, badCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case fromCredential(err) && !netError(err):
		return c.fault(fault.Credentials, "no Azure credentials: %w", &said{fault.Words(err.Error()), err}).WithHint(azureCredentialsHint)
	case badCertificate:
		return c.fault(fault.Unreachable, "%w", text).
			WithHint("the certificate of the vault is not trusted here: see what is between here and the vault, or add its authority to the system's")
	case netError(err):
		return c.fault(fault.Unreachable, "%w", text).WithHint(azureReachHint)
	}
	// The SDK read something that it did not expect: an answer, or a challenge
	// that names another host.
	return c.fault(fault.Malformed, "%w", text).
		WithHint("see that the host is an Azure Key Vault, and that nothing in between changes its answers")
}

func fromCredential(err error) bool {
	_, ok := errors.AsType[*credentialError](err)
	return ok
}

func azureAnswer(c call, answer *azcore.ResponseError) *fault.Error {
	code, inner, message := azureBody(answer)
	text := fmt.Sprintf("%d %s", answer.StatusCode, code)
	if inner != "" {
		text += " (" + inner + ")"
	}
	if message != "" {
		text += ": " + message
	}
	kind, hint := fault.Unfit, ""
	switch status := answer.StatusCode; {
	case status == http.StatusUnauthorized:
		kind, hint = fault.Credentials, azureCredentialsHint
	case status == http.StatusForbidden:
		kind, hint = fault.Denied, azureRoleHint
		if c.op == opCreate {
			hint = azureCreateHint
		}
		if h, ok := azureCodes[inner]; ok {
			kind, hint = fault.Unfit, h
		} else if strings.Contains(message, "disabled key") {
			kind, hint = fault.Unfit, azureEnableHint
		}
	case status == http.StatusNotFound:
		kind, hint = fault.NotFound, "see that the vault has the key, and the version: az keyvault key list-versions"
	case status == http.StatusConflict:
		hint = "a deleted key keeps its name: recover it (az keyvault key recover), purge it, or choose another name"
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		kind, hint = fault.Unreachable, azureReachHint
	}
	return c.fault(kind, "%w", &said{fault.Words(text), answer}).WithHint("%s", hint)
}

// azureBody reads {"error": {"code", "message", "innererror": {"code"}}}.
func azureBody(answer *azcore.ResponseError) (code, inner, message string) {
	code = answer.ErrorCode
	if code == "" {
		code = http.StatusText(answer.StatusCode)
	}
	if answer.RawResponse == nil {
		return code, "", ""
	}
	data, err := runtime.Payload(answer.RawResponse)
	if err != nil {
		return code, "", ""
	}
	var body struct {
		Error struct {
			Message    string
			InnerError struct{ Code string }
		}
	}
	if json.Unmarshal(data, &body) != nil {
		return code, "", ""
	}
	return code, body.Error.InnerError.Code, body.Error.Message
}

// firstLine is an error of the SDK without the answer that it quotes below.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return fault.Words(line)
}
