//go:build cgo

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// Cryptoki is what is called of a module.
type cryptoki interface {
	Initialize() error
	Finalize() error
	GetInfo() (p11.Info, error)
	GetSlotList(tokenPresent bool) ([]uint, error)
	GetSlotInfo(slot uint) (p11.SlotInfo, error)
	GetTokenInfo(slot uint) (p11.TokenInfo, error)
	OpenSession(slot uint, flags uint) (p11.SessionHandle, error)
	CloseSession(s p11.SessionHandle) error
	Login(s p11.SessionHandle, user uint, pin string) error
	FindObjectsInit(s p11.SessionHandle, template []*p11.Attribute) error
	FindObjects(s p11.SessionHandle, limit int) ([]p11.ObjectHandle, bool, error)
	FindObjectsFinal(s p11.SessionHandle) error
	GetAttributeValue(s p11.SessionHandle, o p11.ObjectHandle, a []*p11.Attribute) ([]*p11.Attribute, error)
	SignInit(s p11.SessionHandle, m []*p11.Mechanism, key p11.ObjectHandle) error
	Sign(s p11.SessionHandle, data []byte) ([]byte, error)
	GenerateKeyPair(s p11.SessionHandle, m []*p11.Mechanism, public, private []*p11.Attribute) (p11.ObjectHandle, p11.ObjectHandle, error)
}

var _ cryptoki = (*p11.Ctx)(nil)

// Values of PKCS #11 3.0 that the binding, of 2.40, has no names for.
const (
	ckkECEdwards         = 0x40
	ckmECEdwardsKeyGen   = 0x1055
	ckmEDDSA             = 0x1057
	ckaPublicKeyInfo     = 0x129 // of 2.40: the SubjectPublicKeyInfo, of any key object
	ckrCurveNotSupported = 0x140
)

func is(err error, codes ...p11.Error) bool {
	got, ok := errors.AsType[p11.Error](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if got == code {
			return true
		}
	}
	return false
}

// lost says that the session, its login or what it refers to is gone, and that
// a new session may find it again.
func lost(err error) bool {
	return errors.Is(err, errStale) || is(err,
		p11.CKR_SESSION_HANDLE_INVALID,
		p11.CKR_SESSION_CLOSED,
		p11.CKR_DEVICE_REMOVED,
		p11.CKR_TOKEN_NOT_PRESENT,
		p11.CKR_TOKEN_NOT_RECOGNIZED,
		p11.CKR_SLOT_ID_INVALID,
		p11.CKR_USER_NOT_LOGGED_IN,
		p11.CKR_KEY_HANDLE_INVALID,
		p11.CKR_OBJECT_HANDLE_INVALID,
		// Left behind by a failure, in a module that does not clean up.
		p11.CKR_OPERATION_ACTIVE,
		p11.CKR_CRYPTOKI_NOT_INITIALIZED)
}

// unwell says that the module has failed in a way that may pass, or may be the
// last that a connection has to say: modules of HSMs answer so for ever after
// the HSM, or the network to it, was away.
func unwell(err error) bool {
	return is(err, p11.CKR_DEVICE_ERROR, p11.CKR_GENERAL_ERROR, p11.CKR_FUNCTION_FAILED)
}

// explain makes a fault of an error of the module. What was being done, and to
// what, is in format.
func explain(op string, err error, format string, args ...any) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err // it has been explained
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	kind, hint := fault.Unreachable, "look into the log of the token's module; if the token is well, try again"
	switch {
	case is(err, p11.CKR_MECHANISM_INVALID, p11.CKR_MECHANISM_PARAM_INVALID, p11.CKR_FUNCTION_NOT_SUPPORTED,
		p11.CKR_DOMAIN_PARAMS_INVALID, ckrCurveNotSupported):
		kind, hint = fault.Unsupported, "take another kind of key; pkcs11-tool --module ... --list-mechanisms tells what the token does"
	case is(err, p11.CKR_KEY_FUNCTION_NOT_PERMITTED, p11.CKR_KEY_TYPE_INCONSISTENT, p11.CKR_KEY_SIZE_RANGE,
		p11.CKR_ATTRIBUTE_VALUE_INVALID, p11.CKR_TEMPLATE_INCONSISTENT, p11.CKR_ATTRIBUTE_TYPE_INVALID):
		kind, hint = fault.Unfit, "take a key that the token lets sign"
	case is(err, p11.CKR_USER_TYPE_INVALID, p11.CKR_TOKEN_WRITE_PROTECTED, p11.CKR_SESSION_READ_ONLY,
		p11.CKR_FUNCTION_REJECTED):
		kind, hint = fault.Denied, "ask whoever runs the token for the right to do this"
	case is(err, p11.CKR_USER_NOT_LOGGED_IN):
		kind, hint = fault.Credentials, "the token has ended the login; look whether something else logs out"
	case is(err, p11.CKR_TOKEN_NOT_PRESENT, p11.CKR_DEVICE_REMOVED, p11.CKR_TOKEN_NOT_RECOGNIZED, p11.CKR_SLOT_ID_INVALID):
		kind, hint = fault.NotFound, "put the token back"
	case is(err, p11.CKR_SESSION_COUNT):
		hint = "end other programs that use the token, or let it have more sessions"
	}
	return fault.New(kind, op, format+": %w", append(args, namedError{err})...).WithHint("%s", hint)
}

// A namedError prints the name of a code, which is what manuals are searched
// for, without the prefix of the binding.
type namedError struct{ error }

func (e namedError) Unwrap() error { return e.error }

func (e namedError) Error() string {
	code, ok := e.error.(p11.Error)
	if !ok {
		return e.error.Error()
	}
	s := code.Error()
	if name := s[strings.LastIndex(s, " ")+1:]; name != "" {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(s, "pkcs11: "), ": ")
}
