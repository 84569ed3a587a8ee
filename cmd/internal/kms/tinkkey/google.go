package tinkkey

import (
	"context"
	"regexp"
	"strings"

	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// googleName is the name of a key. One with a version cannot decrypt.
var googleName = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)

// A googleKey is a key of Google Cloud KMS, asked over gRPC, which is the way of
// Tink's client that takes a context.
type googleKey struct {
	tink.AEADWithContext
	client *gcpkms.Client
	uri    string
}

func openGoogle(ctx context.Context, uri string, cfg Config) (wrappingKey, error) {
	if !googleName.MatchString(strings.TrimPrefix(uri, schemeGoogle)) {
		return nil, fault.New(fault.Malformed, opWrapping, "%.200q is not the name of a key", uri).
			WithHint("write gcp-kms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, without a version")
	}
	client, err := gcpkms.NewClient(ctx, uri, gcpkms.WithGoogleAPIClientOptions(cfg.GoogleOptions...))
	if err != nil {
		if f := ended(ctx, opWrapping, err); f != nil {
			return nil, f
		}
		return nil, fault.New(fault.Credentials, opWrapping, "%s: %s", uri, clip(err)).WithHint("%s", hintGoogleLogin)
	}
	aead, err := client.GetAEAD(uri)
	if err != nil {
		client.Close()
		return nil, fault.New(fault.Malformed, opWrapping, "%s: %s", uri, clip(err))
	}
	withContext, ok := aead.(tink.AEADWithContext)
	if !ok {
		client.Close()
		return nil, fault.New(fault.Unsupported, opWrapping, "%s: Tink's client, a %T, takes no context", uri, aead)
	}
	return &googleKey{withContext, client, uri}, nil
}

const hintGoogleLogin = "name a service account's file in GOOGLE_APPLICATION_CREDENTIALS, or attach an account to the machine"

func (k *googleKey) fault(ctx context.Context, op string, err error) error {
	if f := ended(ctx, op, err); f != nil {
		return f
	}
	s, ok := status.FromError(err)
	if !ok {
		// A checksum that is wrong, or the name of another key.
		return fault.New(fault.Malformed, op, "%s: %s", k.uri, clip(err))
	}
	words := clip(s.Err())
	switch s.Code() {
	case codes.NotFound:
		return fault.New(fault.NotFound, op, "there is no key %s: %s", k.uri, words).WithHint("gcloud kms keys create --purpose encryption makes it")
	case codes.PermissionDenied:
		return fault.New(fault.Denied, op, "%s: %s", k.uri, words).
			WithHint("give the account the role roles/cloudkms.cryptoKeyDecrypter on the key; cryptoKeyEncrypterDecrypter to make keysets")
	case codes.Unauthenticated:
		return fault.New(fault.Credentials, op, "%s: %s", k.uri, words).WithHint("%s", hintGoogleLogin)
	case codes.InvalidArgument:
		return wrongKey(op, k.uri, words)
	case codes.FailedPrecondition:
		return fault.New(fault.Unfit, op, "%s: %s", k.uri, words).WithHint("enable the version of the key that encrypted the keyset, or restore it")
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Internal, codes.Aborted:
		return fault.New(fault.Unreachable, op, "%s: %s", k.uri, words)
	}
	return fault.New(fault.Malformed, op, "%s: %s", k.uri, words)
}

// mustExist has nothing to ask: Google makes no key by itself.
func (k *googleKey) mustExist(context.Context, string) error { return nil }

func (k *googleKey) close() { k.client.Close() }
