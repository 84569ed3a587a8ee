// Package cloud signs with keys in the key management services of AWS, Google
// and Microsoft.
//
//	awskms:///alias/tsa                       a key ID, key ARN, alias or alias ARN;
//	awskms://HOST[:PORT]/alias/tsa            at another endpoint, always over TLS
//	gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K[/cryptoKeyVersions/V]
//	azurekms://VAULT.vault.azure.net/KEY[/VERSION]
//
// [Open] finds the key, [Key.Sign] signs digests with it, [Create] makes one.
// Who may use the key is decided by the service from the credentials that its
// own SDK finds in its own places: the variables AWS_*, GOOGLE_* and AZURE_*,
// profiles, the identity of the machine.
//
// # One key
//
// A key in a cloud is a name for a series of keys: an alias is pointed at
// another key, a rotation adds a version. A certificate is for one of them.
// Open therefore finds out which one the name means at that moment (the ARN,
// the newest enabled version), and the Key signs with that one, whatever
// happens to the name. [Key.Resource] says which.
//
// # Whose code signs
//
// The names of keys are those of Sigstore's providers, so that what works there
// works here. Google keys sign through the provider as well; it is called by
// name, because the registry of the providers runs a program found in PATH for a
// scheme that it does not know. What it does not do is done here with the
// official SDK: finding the version (numerically the highest; as text, 9 comes
// after 10), creating keys, closing connections. AWS and Azure keys sign through
// the official SDKs alone.
//
//   - AWS: the provider signs with the first of the algorithms that the key
//     offers, whatever is asked for, which rules out RSA-PSS and all hashes but
//     one. Here an RSA key signs with either padding and any of three hashes.
//   - Google: a key version has one algorithm, hence one hash, and with RSA one
//     padding. Google's client would ask a service that is away until its context
//     ends; here it asks three times.
//   - Azure: the provider ties SHA-384 to RSA keys of 3072 bits and SHA-512 to
//     those of 4096, so that neither could make the RSA signatures with SHA-256
//     that everyone accepts. It also panics on answers that lack a field. Here
//     an RSA key signs with either padding and any hash, an EC key with the hash
//     of its curve.
//
// # Trust
//
// What the services answer is read as hostile: versions, public keys and
// signatures are checked for their form, and a panic in an SDK is an error.
// Whether a signature is one is not checked here; whoever releases it does
// that. The Sigstore provider for AWS stops checking the service's certificate
// when AWS_TLS_INSECURE_SKIP_VERIFY is 1; no key is opened then.
package cloud

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"google.golang.org/api/option"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Config is what opening a key takes besides its URI.
type Config struct {
	// LookupEnv finds the variables that are read here and not by an SDK:
	// AZURE_ENVIRONMENT and AWS_TLS_INSECURE_SKIP_VERIFY. Nil: there are none.
	LookupEnv func(string) (string, bool)

	// GoogleOptions go to Google's client. There is no variable that sends it
	// elsewhere, so that tests need them; programs leave them nil.
	GoogleOptions []option.ClientOption

	// AzureCredential is who asks Azure. Nil: whoever azidentity finds (the
	// variables AZURE_*, workload and managed identities, the Azure CLI).
	// Programs leave it nil.
	AzureCredential azcore.TokenCredential

	// AzureTransport carries the requests to Azure, such as an *http.Client.
	// Nil: the SDK's own. Programs leave it nil.
	AzureTransport policy.Transporter
}

func (c Config) env(name string) string {
	if c.LookupEnv == nil {
		return ""
	}
	value, _ := c.LookupEnv(name)
	return value
}

// The operations, as faults name them.
const (
	opOpen   = "open key"
	opSign   = "sign"
	opCreate = "create key"
)

// A call is what is being done, and with which key, for the faults in it.
type call struct{ op, uri string }

// fault returns a fault that names the key before what the arguments say.
func (c call) fault(kind fault.Kind, format string, args ...any) *fault.Error {
	return fault.New(kind, c.op, "%s: %w", c.uri, fmt.Errorf(format, args...))
}

// A Key is one version of one key in a service. Its methods may be called from
// several goroutines at once.
type Key struct {
	call     call // that of Sign
	resource string
	public   crypto.PublicKey
	hashes   []crypto.Hash
	paddings []signer.Padding // of an RSA key
	signer   service
	closed   atomic.Bool
}

// A service signs with a key that it was opened for.
type service interface {
	// sign gets only what the key can do. It may keep digest.
	sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error)
	close() error
}

var (
	_ signer.Signer = (*Key)(nil)
	_ signer.Tied   = (*Key)(nil)
	_ io.Closer     = (*Key)(nil)
)

// Open opens the key that a URI of the schemes awskms, gcpkms and azurekms
// names. It asks the service for the public key, and has nothing signed; ctx
// bounds that. Errors are of the type [*fault.Error].
func Open(ctx context.Context, u signer.URI, cfg Config) (key *Key, err error) {
	c := call{opOpen, u.String()}
	defer func() { err = c.settle(ctx, err) }()
	defer c.catch(&err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch u.Scheme {
	case signer.SchemeAWSKMS:
		return openAWS(ctx, c, cfg)
	case signer.SchemeGCPKMS:
		return openGCP(ctx, c, cfg)
	case signer.SchemeAzureKMS:
		return openAzure(ctx, c, cfg)
	}
	return nil, otherScheme(opOpen, u)
}

// Create makes a key of a type under the name in the URI, enabled and for
// signing. It refuses a name that is taken, with [fault.Unfit], and never
// replaces a key or adds a version to one. With AWS the name must be an alias;
// with Google the key ring is made if there is none. Errors are of the type
// [*fault.Error].
func Create(ctx context.Context, u signer.URI, t signer.KeyType, cfg Config) (err error) {
	c := call{opCreate, u.String()}
	defer func() { err = c.settle(ctx, err) }()
	defer c.catch(&err)
	if err := ctx.Err(); err != nil {
		return err
	}
	switch u.Scheme {
	case signer.SchemeAWSKMS:
		return createAWS(ctx, c, t, cfg)
	case signer.SchemeGCPKMS:
		return createGCP(ctx, c, t, cfg)
	case signer.SchemeAzureKMS:
		return createAzure(ctx, c, t, cfg)
	}
	return otherScheme(opCreate, u)
}

func otherScheme(op string, u signer.URI) error {
	return fault.New(fault.Unsupported, op, "a key of the scheme %.20q is in none of the services awskms, gcpkms and azurekms", string(u.Scheme))
}

// Public returns the public key, as it was when the key was opened.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Resource names the key version that signs, in the words of the service: a
// key ARN, a resource name of Google, a key identifier of Azure.
func (k *Key) Resource() string { return k.resource }

// Hashes returns the hashes that Sign takes, the usual one first.
func (k *Key) Hashes() []crypto.Hash { return slices.Clone(k.hashes) }

// Paddings returns the paddings that Sign of an RSA key takes, nil for another
// key.
func (k *Key) Paddings() []signer.Padding { return slices.Clone(k.paddings) }

// HonoursContext says that Sign returns when its context is done, without
// leaving a call behind. It does, with all three services.
func (k *Key) HonoursContext() bool { return true }

// Close ends the connections of the key. Later signatures fail.
func (k *Key) Close() error {
	if k.closed.Swap(true) {
		return nil
	}
	return k.signer.close()
}

// Sign implements [signer.Signer] with one call of the service. Hashes that
// are not among [Key.Hashes] are refused as [fault.Unfit], a padding that is not
// among [Key.Paddings] as [fault.Unsupported]. A signature that comes back is
// well formed; it is not verified.
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) (signature []byte, err error) {
	defer func() {
		if err = k.call.settle(ctx, err); err != nil {
			signature = nil
		}
	}()
	defer k.call.catch(&err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.closed.Load() {
		return nil, k.call.fault(fault.Unsupported, "the key was closed")
	}
	if err := signer.CheckDigest(k.public, digest, opts); err != nil {
		return nil, k.call.fault(fault.Unfit, "%w", err)
	}
	if err := k.fit(opts); err != nil {
		return nil, err
	}
	// The SDKs may still hold the digest after a call that was given up.
	signature, err = k.signer.sign(ctx, bytes.Clone(digest), opts)
	if err != nil {
		return nil, err
	}
	if err := checkForm(k.public, signature); err != nil {
		return nil, k.call.fault(fault.Malformed, "%w", err)
	}
	return signature, nil
}

// What to make instead of a key that has the other padding. Of AWS and Azure
// there are none today that have but one.
const (
	pssCure = "a key for RSA-PSS (with Google one of the algorithms RSA_SIGN_PSS_...), or one on P-256"
	v15Cure = "a key for PKCS #1 v1.5 (with Google one of the algorithms RSA_SIGN_PKCS1_...), or one on P-256"
)

// fit refuses what this key does not do.
func (k *Key) fit(opts crypto.SignerOpts) error {
	pss, isPSS := opts.(*rsa.PSSOptions)
	if _, isRSA := k.public.(*rsa.PublicKey); isRSA {
		switch {
		case isPSS && !slices.Contains(k.paddings, signer.PSS):
			return k.call.fault(fault.Unsupported, "the key makes RSA signatures with PKCS #1 v1.5 only, not RSA-PSS").
				WithHint("RSA signatures of the Notary Project are RSA-PSS: make %s; what a key does cannot be changed", pssCure)
		case !isPSS && !slices.Contains(k.paddings, signer.PKCS1v15):
			return k.call.fault(fault.Unsupported, "the key makes RSA-PSS signatures only, not PKCS #1 v1.5").
				WithHint("RSA signatures in timestamps and certificates are PKCS #1 v1.5: make %s; what a key does cannot be changed", v15Cure)
		}
	}
	hash := opts.HashFunc()
	if isPSS && pss.SaltLength != rsa.PSSSaltLengthAuto && pss.SaltLength != rsa.PSSSaltLengthEqualsHash && pss.SaltLength != hash.Size() {
		return k.call.fault(fault.Unsupported, "a PSS salt of %d bytes; the service's is as long as the hash", pss.SaltLength).
			WithHint("ask for a salt as long as the hash")
	}
	if !slices.Contains(k.hashes, hash) {
		f := k.call.fault(fault.Unfit, "the key signs with %s, not with %v", hashNames(k.hashes), hash)
		if isPSS {
			return f.WithHint("signatures of the Notary Project have the hash that goes with the size of the key: make one with Google's algorithm RSA_SIGN_PSS_2048_SHA256 or RSA_SIGN_PSS_4096_SHA512, or one on P-256")
		}
		return f.WithHint("ask for %s, or make a key that signs with %v", hashNames(k.hashes), hash)
	}
	return nil
}

func hashNames(hashes []crypto.Hash) string {
	names := make([]string, len(hashes))
	for i, h := range hashes {
		names[i] = h.String()
	}
	return strings.Join(names, ", ")
}

// settle gives err its final form: the context's error where the context
// ended, a fault in any case.
func (c call) settle(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil {
		f := c.fault(fault.Unreachable, "no answer in time: %w", ended)
		if why := reason(err); !strings.HasSuffix(why, ended.Error()) {
			f = c.fault(fault.Unreachable, "no answer in time: %w (%s)", ended, why)
		}
		return f.WithHint("see whether the service answers, and the way to it; nothing has to be changed here if it comes back")
	}
	if fault.KindOf(err) == "" {
		return c.fault(fault.Unreachable, "%w", err)
	}
	return err
}

// reason is what a fault says, without the operation and the key that are said
// already.
func reason(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		err = f.Err
	}
	_, after, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		return err.Error()
	}
	return after
}

// catch turns a panic into a fault: the SDKs and providers follow pointers
// and indices of answers that they have not looked at.
func (c call) catch(err *error) {
	if p := recover(); p != nil {
		*err = c.fault(fault.Malformed, "the service's client could not read the answer: %v", p)
	}
}

// A said error says in few words what its cause says in many.
type said struct {
	text  string
	cause error
}

func (e *said) Error() string { return e.text }
func (e *said) Unwrap() error { return e.cause }
