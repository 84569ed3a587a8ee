package cloud_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/cloud"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// patience bounds a call that is expected to fail or to succeed soon; the
// machine that runs the tests may be busy.
const patience = 30 * time.Second

// brief is for calls that fail only because their context ends.
const brief = 500 * time.Millisecond

func parse(t *testing.T, uri string) signer.URI {
	t.Helper()
	u, err := signer.ParseURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func open(t *testing.T, uri string, cfg cloud.Config) *cloud.Key {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k, err := cloud.Open(ctx, parse(t, uri), cfg)
	if err != nil {
		t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func openError(t *testing.T, uri string, cfg cloud.Config, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	k, err := cloud.Open(ctx, parse(t, uri), cfg)
	if err == nil {
		k.Close()
		t.Fatalf("%s was opened", uri)
	}
	if k != nil {
		t.Error("a key came with the error")
	}
	return err
}

var digest = sha256.Sum256([]byte("what is stamped"))

func sign(t *testing.T, k signer.Signer, limit time.Duration) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return k.Sign(ctx, digest[:], crypto.SHA256)
}

func verifies(pub crypto.PublicKey, signature []byte) bool {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(pub, digest[:], signature)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], signature) == nil
	}
	return false
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// A complaint is what a failure must say.
type complaint struct {
	kind fault.Kind
	text string // in the message, besides the key
	hint string // in the hint
}

// check holds for every fault: the kind, that the message names the key, and
// that the hint is the cure.
func (c complaint) check(t *testing.T, uri string, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	t.Logf("%v\n(hint: %s)", err, fault.HintOf(err))
	f, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("%v is no fault", err)
	}
	if f.Kind != c.kind {
		t.Errorf("got the kind %s; want %s", f.Kind, c.kind)
	}
	if !strings.Contains(err.Error(), uri) {
		t.Errorf("the message does not name %s", uri)
	}
	if !strings.Contains(err.Error(), c.text) {
		t.Errorf("the message does not say %q", c.text)
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
		t.Errorf("got the hint %q; want one with %q", hint, c.hint)
	}
	if strings.Contains(err.Error()+fault.HintOf(err), "\n") {
		t.Error("more than one line")
	}
}

func TestOtherSchemes(t *testing.T) {
	for _, uri := range []string{"memory:p256", "hashivault://tsa"} {
		err := openError(t, uri, cloud.Config{}, patience)
		if got := fault.KindOf(err); got != fault.Unsupported {
			t.Errorf("open %s: got the kind %q; want %q", uri, got, fault.Unsupported)
		}
		err = cloud.Create(t.Context(), parse(t, uri), signer.P256, cloud.Config{})
		if got := fault.KindOf(err); got != fault.Unsupported {
			t.Errorf("create %s: got the kind %q; want %q", uri, got, fault.Unsupported)
		}
	}
}

func TestURIs(t *testing.T) {
	const google = "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k"
	for _, tt := range []struct{ name, uri, hint string }{
		{"AWS, no key", "awskms://localhost", "awskms:///alias/NAME"},
		{"AWS, a name without alias/", "awskms:///tsa", "awskms:///alias/NAME"},
		{"AWS, two slashes", "awskms://alias/tsa", "awskms:///alias/NAME"},
		{"AWS, an endpoint with a query", "awskms://host?x=y/alias/tsa", "awskms:///alias/NAME"},
		{"AWS, an ARN of another service", "awskms:///arn:aws:s3:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "awskms:///alias/NAME"},
		{"Google, no key", "gcpkms://projects/p/locations/l/keyRings/r", "gcpkms://projects/PROJECT"},
		{"Google, one slash", "gcpkms:/projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcpkms://projects/PROJECT"},
		{"Google, a version that is no number", google + "/cryptoKeyVersions/latest", "gcpkms://projects/PROJECT"},
		{"Google, version 0", google + "/versions/0", "gcpkms://projects/PROJECT"},
		{"Google, a negative version", google + "/versions/-1", "gcpkms://projects/PROJECT"},
		{"Google, a query", google + "?x=y", "gcpkms://projects/PROJECT"},
		{"Azure, no key", "azurekms://tsa.vault.azure.net", "azurekms://VAULT.vault.azure.net/KEY"},
		{"Azure, the name of a vault alone", "azurekms://tsa/signing", "azurekms://VAULT.vault.azure.net/KEY"},
		{"Azure, the path of the portal", "azurekms://tsa.vault.azure.net/keys/signing/1/2", "azurekms://VAULT.vault.azure.net/KEY"},
		{"Azure, a host with a query", "azurekms://tsa.vault.azure.net?x=y/signing", "azurekms://VAULT.vault.azure.net/KEY"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := complaint{fault.Malformed, "", tt.hint}
			want.check(t, tt.uri, openError(t, tt.uri, cloud.Config{}, patience))
			want.check(t, tt.uri, cloud.Create(t.Context(), parse(t, tt.uri), signer.P256, cloud.Config{}))
		})
	}
}

func TestEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, uri := range []string{"awskms:///alias/tsa", "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "azurekms://tsa.vault.azure.net/signing"} {
		if _, err := cloud.Open(ctx, parse(t, uri), cloud.Config{LookupEnv: os.LookupEnv}); !errors.Is(err, context.Canceled) {
			t.Errorf("open %s: got %v; want context.Canceled", uri, err)
		}
		if err := cloud.Create(ctx, parse(t, uri), signer.P256, cloud.Config{}); !errors.Is(err, context.Canceled) {
			t.Errorf("create %s: got %v; want context.Canceled", uri, err)
		}
	}
}
