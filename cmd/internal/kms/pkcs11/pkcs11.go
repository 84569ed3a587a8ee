// Package pkcs11 signs with keys in PKCS #11 tokens: hardware security
// modules, smart cards, TPMs, and SoftHSM.
//
// A key is named by a URI of RFC 7512:
//
//	pkcs11:token=tsa;object=tsa-2026?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/secrets/pin
//
// [ParseURI] reads it, strictly. What it names must be one token and one
// private key; when two match, nothing is chosen. [Open] logs in, finds the
// key and its public half, and [Create] makes a key pair that never leaves the
// token.
//
// # The PIN
//
// It comes from a file or a variable, is read again for each login, and is
// never part of a URI or an error. Tokens lock themselves after a few wrong
// PINs, often for good. Hence a PIN that a token refused is not tried a second
// time by this process, and the last try that a token has left is not spent.
//
// # Lost tokens
//
// When a session is lost (the token was pulled out, its login has ended, the
// HSM was started again), the next signature logs in anew, once; so it does
// after CKR_DEVICE_ERROR and the like, by which many modules say the same. Where
// that does not help, the module itself is started again, every 15 seconds at
// most after a while. The key found then must be the one that was opened:
// another public key is an error.
//
// # Trust
//
// The module is code that runs in this process: whoever may write the file
// that module-path names is this process. Its calls take no context; [Key.Sign]
// may therefore block for as long as the module does, and whoever calls it sets
// the deadline. Digests go to the token, never the data; padding and the
// encoding of signatures are made here, since many tokens only offer the plain
// mechanisms.
//
// PKCS #11 is an interface of C. In a build without cgo, URIs are parsed and
// nothing is opened.
package pkcs11

import "github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"

// Config is what Open and Create need besides the URI.
type Config struct {
	// LookupEnv finds the variable of a pin-source=env:NAME. Nil: there are no
	// variables.
	LookupEnv func(string) (string, bool)

	// Sessions bounds the sessions with the token, and so the signatures that
	// it makes at once. Zero: 64, or fewer if the token says that it has fewer.
	Sessions int
}

// The operations that faults name.
const (
	opOpen   = "open key"
	opSign   = "sign"
	opCreate = "create key"
)

// malformed is a fault in a URI.
func malformed(format string, args ...any) *fault.Error {
	return fault.New(fault.Malformed, "", "pkcs11 URI: "+format, args...)
}
