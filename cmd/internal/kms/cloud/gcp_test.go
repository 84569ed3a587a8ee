package cloud_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/cloud"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/gcpfake"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// The server behind these tests is gcpfake, not Google.

func startGCP(t *testing.T) (*gcpfake.Server, cloud.Config) {
	t.Helper()
	s := gcpfake.Start(t)
	return s, cloud.Config{GoogleOptions: s.Options()}
}

const p256 = kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256

func TestGCPConformance(t *testing.T) {
	s, cfg := startGCP(t)
	for _, algorithm := range []gcpfake.Algorithm{
		p256,
		kmspb.CryptoKeyVersion_EC_SIGN_P384_SHA384,
		kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256,
		kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_3072_SHA256,
		kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_4096_SHA512,
		kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256,
		kmspb.CryptoKeyVersion_RSA_SIGN_PSS_3072_SHA256,
		kmspb.CryptoKeyVersion_RSA_SIGN_PSS_4096_SHA512,
	} {
		t.Run(algorithm.String(), func(t *testing.T) {
			s.AddKey("tsa", algorithm)
			signertest.Run(t, func(t *testing.T) signer.Signer { return open(t, s.URI("tsa"), cfg) })
		})
	}
	signertest.RunFaults(t, signertest.Faults{
		Dead:     brokenGCP(gcpfake.Unavailable),
		WrongKey: brokenGCP(gcpfake.WrongKey),
		Garbage:  brokenGCP(gcpfake.Garbage),
		Hangs:    brokenGCP(gcpfake.Hang),
	})
}

// brokenGCP opens a key of a server that then goes wrong.
func brokenGCP(f gcpfake.Fault) func(*testing.T) signer.Signer {
	return func(t *testing.T) signer.Signer {
		s, cfg := startGCP(t)
		s.AddKey("tsa", p256)
		k := open(t, s.URI("tsa"), cfg)
		s.Break("", f)
		return k
	}
}

// Without a version in its URI, the newest enabled one is used, and stays.
func TestGCPVersions(t *testing.T) {
	s, cfg := startGCP(t)
	key := s.AddKey("tsa", p256)
	for range 10 {
		key.AddVersion(p256)
	}
	key.Version(11).SetState(kmspb.CryptoKeyVersion_DISABLED)
	k := open(t, s.URI("tsa"), cfg)
	want := key.Version(10)
	if k.Resource() != want.Name() || !sameKey(k.Public(), want.Public()) {
		t.Errorf("got %s; want %s: 10 is newer than 9, and 11 is disabled", k.Resource(), want.Name())
	}
	key.Version(11).SetState(kmspb.CryptoKeyVersion_ENABLED)
	calls := s.Calls("GetCryptoKey")
	signature, err := sign(t, k, patience)
	if err != nil || !verifies(want.Public(), signature) {
		t.Errorf("after a rotation: another key signs, or none: %v", err)
	}
	if s.Calls("GetCryptoKey") != calls {
		t.Error("a signature looks for the key again")
	}
	if k := open(t, s.URI("tsa"), cfg); k.Resource() != key.Version(11).Name() {
		t.Errorf("opened anew: got %s; want version 11", k.Resource())
	}
	for _, form := range []string{"tsa/cryptoKeyVersions/3", "tsa/versions/3"} {
		if k := open(t, s.URI(form), cfg); k.Resource() != key.Version(3).Name() {
			t.Errorf("%s: got %s", form, k.Resource())
		}
	}
}

func TestGCPOptions(t *testing.T) {
	s, cfg := startGCP(t)
	s.AddKey("rsa", kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_4096_SHA512)
	uri := s.URI("rsa")
	k := open(t, uri, cfg)
	if got := k.Hashes(); !k.HonoursContext() || len(got) != 1 || got[0] != crypto.SHA512 {
		t.Errorf("got the hashes %v; want SHA-512", got)
	}
	_, err := sign(t, k, patience)
	complaint{fault.Unfit, "not with SHA-256", "ask for SHA-512"}.check(t, uri, err)
	sum := sha512.Sum512([]byte("what is stamped"))
	signature, err := k.Sign(t.Context(), sum[:], crypto.SHA512)
	if err != nil || rsa.VerifyPKCS1v15(k.Public().(*rsa.PublicKey), crypto.SHA512, sum[:], signature) != nil {
		t.Errorf("with SHA-512: %v", err)
	}
	_, err = k.Sign(t.Context(), sum[:], signer.PSS.Options(crypto.SHA512))
	complaint{fault.Unsupported, "PKCS #1 v1.5 only", "RSA_SIGN_PSS_..."}.check(t, uri, err)

	s.AddKey("pss", kmspb.CryptoKeyVersion_RSA_SIGN_PSS_4096_SHA512)
	pssURI := s.URI("pss")
	pss := open(t, pssURI, cfg)
	if got := pss.Paddings(); len(got) != 1 || got[0] != signer.PSS {
		t.Errorf("got the paddings %v; want PSS", got)
	}
	_, err = pss.Sign(t.Context(), sum[:], crypto.SHA512)
	complaint{fault.Unsupported, "RSA-PSS signatures only", "RSA_SIGN_PKCS1_..."}.check(t, pssURI, err)
	_, err = pss.Sign(t.Context(), digest[:], signer.PSS.Options(crypto.SHA256))
	complaint{fault.Unfit, "not with SHA-256", "RSA_SIGN_PSS_4096_SHA512, or one on P-256"}.check(t, pssURI, err)

	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if err := k.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	_, err = k.Sign(t.Context(), sum[:], crypto.SHA512)
	complaint{fault.Unsupported, "closed", ""}.check(t, uri, err)
}

// What is wrong with a key when it is opened.
func TestGCPUnfit(t *testing.T) {
	s, cfg := startGCP(t)
	key := s.AddKey("two", p256)
	key.AddVersion(p256)
	for _, tt := range []struct {
		name      string
		algorithm gcpfake.Algorithm
		state     gcpfake.State
		version   string
		want      complaint
	}{
		{"raw PKCS #1", kmspb.CryptoKeyVersion_RSA_SIGN_RAW_PKCS1_2048, kmspb.CryptoKeyVersion_ENABLED, "", complaint{fault.Unfit, "RSA_SIGN_RAW_PKCS1_2048", "ec-sign-p256-sha256"}},
		{"Ed25519", kmspb.CryptoKeyVersion_EC_SIGN_ED25519, kmspb.CryptoKeyVersion_ENABLED, "", complaint{fault.Unfit, "EC_SIGN_ED25519", "ec-sign-p256-sha256"}},
		{"secp256k1", kmspb.CryptoKeyVersion_EC_SIGN_SECP256K1_SHA256, kmspb.CryptoKeyVersion_ENABLED, "", complaint{fault.Unfit, "SECP256K1", "ec-sign-p256-sha256"}},
		{"symmetric", kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION, kmspb.CryptoKeyVersion_ENABLED, "", complaint{fault.Unfit, "not for signing", "asymmetric-signing"}},
		{"decryption", kmspb.CryptoKeyVersion_RSA_DECRYPT_OAEP_2048_SHA256, kmspb.CryptoKeyVersion_ENABLED, "", complaint{fault.Unfit, "not for signing", "asymmetric-signing"}},
		{"all disabled", p256, kmspb.CryptoKeyVersion_DISABLED, "", complaint{fault.Unfit, "none of the key's 1 versions", "versions create"}},
		{"disabled", p256, kmspb.CryptoKeyVersion_DISABLED, "/cryptoKeyVersions/1", complaint{fault.Unfit, "DISABLED", "versions enable"}},
		{"destroyed", p256, kmspb.CryptoKeyVersion_DESTROYED, "/cryptoKeyVersions/1", complaint{fault.Unfit, "DESTROYED", "another version"}},
		{"to be destroyed", p256, kmspb.CryptoKeyVersion_DESTROY_SCHEDULED, "/cryptoKeyVersions/1", complaint{fault.Unfit, "DESTROY_SCHEDULED", "restore"}},
		{"being made", p256, kmspb.CryptoKeyVersion_PENDING_GENERATION, "/cryptoKeyVersions/1", complaint{fault.Unfit, "PENDING_GENERATION", "wait"}},
		{"no such version", p256, kmspb.CryptoKeyVersion_ENABLED, "/cryptoKeyVersions/2", complaint{fault.NotFound, "NotFound", "gcloud kms keys list"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.AddKey("x", tt.algorithm).Version(1).SetState(tt.state)
			uri := s.URI("x") + tt.version
			tt.want.check(t, uri, openError(t, uri, cfg, patience))
		})
	}
	uri := s.URI("nobody")
	complaint{fault.NotFound, "nobody not found", "gcloud kms keys list"}.check(t, uri, openError(t, uri, cfg, patience))
}

// Each fault, when the key is opened and when it signs.
func TestGCPFaults(t *testing.T) {
	for _, tt := range []struct {
		fault gcpfake.Fault
		limit time.Duration
		want  complaint
	}{
		{gcpfake.NotFound, patience, complaint{fault.NotFound, "NotFound", "gcloud kms keys list"}},
		{gcpfake.Denied, patience, complaint{fault.Denied, "PermissionDenied", "cloudkms.cryptoKeyVersions.useToSign"}},
		{gcpfake.Unauthenticated, patience, complaint{fault.Credentials, "Unauthenticated", "GOOGLE_APPLICATION_CREDENTIALS"}},
		{gcpfake.Precondition, patience, complaint{fault.Unfit, "FailedPrecondition", "restored and enabled"}},
		{gcpfake.Exhausted, patience, complaint{fault.Unreachable, "ResourceExhausted", "quota"}},
		{gcpfake.Internal, patience, complaint{fault.Unreachable, "Internal", "if the service comes back"}},
		{gcpfake.Unavailable, patience, complaint{fault.Unreachable, "Unavailable", "if the service comes back"}},
		{gcpfake.Hang, brief, complaint{fault.Unreachable, "no answer in time", "if it comes back"}},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s, cfg := startGCP(t)
			s.AddKey("tsa", p256)
			uri := s.URI("tsa")
			k := open(t, uri, cfg)

			s.Break("AsymmetricSign", tt.fault)
			signature, err := sign(t, k, tt.limit)
			if signature != nil {
				t.Error("a signature came with the error")
			}
			tt.want.check(t, uri, err)
			if tt.limit == brief && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not wrap the context's error", err)
			}
			// Two of these calls are the provider's, and know no context.
			for _, call := range []string{"ListCryptoKeyVersions", "GetCryptoKey", "GetPublicKey"} {
				s.Heal()
				s.Break(call, tt.fault)
				start := time.Now()
				err := openError(t, uri, cfg, tt.limit)
				tt.want.check(t, uri, err)
				if d := time.Since(start); tt.limit == brief && d > patience/2 {
					t.Errorf("%s: opening took %v; want %v", call, d, brief)
				}
			}
			s.Heal()
			if _, err := sign(t, k, patience); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

// What the service sends back as a signature, and as a key.
func TestGCPAnswers(t *testing.T) {
	s, cfg := startGCP(t)
	key := s.AddKey("tsa", p256)
	uri := s.URI("tsa")
	k := open(t, uri, cfg)

	s.Break("AsymmetricSign", gcpfake.UnavailableOnce)
	if _, err := sign(t, k, patience); err != nil {
		t.Errorf("unavailable once: %v", err)
	}
	for _, tt := range []struct {
		fault gcpfake.Fault
		want  complaint
	}{
		{gcpfake.Garbage, complaint{fault.Malformed, "no ECDSA signature", ""}},
		{gcpfake.BadChecksum, complaint{fault.Unreachable, "response corrupted in-transit", "checksum"}},
		{gcpfake.Unverified, complaint{fault.Unreachable, "request corrupted in-transit", "checksum"}},
		{gcpfake.NoChecksum, complaint{fault.Malformed, "could not read the answer", ""}},
		{gcpfake.Empty, complaint{fault.Unreachable, "request corrupted in-transit", "checksum"}},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s.Break("AsymmetricSign", tt.fault)
			_, err := sign(t, k, patience)
			tt.want.check(t, uri, err)
		})
	}
	// A signature by another key is one; whoever releases it verifies it.
	s.Break("AsymmetricSign", gcpfake.WrongKey)
	signature, err := sign(t, k, patience)
	if err != nil || verifies(key.Version(1).Public(), signature) {
		t.Errorf("by another key: got %v", err)
	}
	s.Heal()
	for _, f := range []gcpfake.Fault{gcpfake.Empty, gcpfake.NotPEM} {
		s.Break("GetPublicKey", f)
		complaint{fault.Malformed, "public key", ""}.check(t, uri, openError(t, uri, cfg, patience))
	}
	s.Heal()
	s.Break("GetCryptoKeyVersion", gcpfake.Empty)
	uri = s.URI("tsa/cryptoKeyVersions/1")
	complaint{fault.Malformed, "the service sent version", ""}.check(t, uri, openError(t, uri, cfg, patience))
}

// What is wrong around the service.
func TestGCPSurroundings(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	uri := "gcpkms://" + gcpfake.RingName + "/cryptoKeys/tsa"
	err = openError(t, uri, cloud.Config{GoogleOptions: gcpfake.Options(dead.Addr().String())}, patience)
	complaint{fault.Unreachable, "connection refused", "if the service comes back"}.check(t, uri, err)

	file := filepath.Join(t.TempDir(), "credentials.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	err = openError(t, uri, cloud.Config{}, patience)
	complaint{fault.Credentials, file, "GOOGLE_APPLICATION_CREDENTIALS"}.check(t, uri, err)
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	err = openError(t, uri, cloud.Config{}, patience)
	complaint{fault.Credentials, "no Google credentials", "GOOGLE_APPLICATION_CREDENTIALS"}.check(t, uri, err)
}

func TestGCPCreate(t *testing.T) {
	s, cfg := startGCP(t)
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.RSA2048} {
		t.Run(string(kind), func(t *testing.T) {
			// The ring is there for the first only.
			uri := "gcpkms://" + gcpfake.Location + "/keyRings/" + string(kind) + "/cryptoKeys/new"
			if kind == signer.P256 {
				uri = s.URI("new")
			}
			if err := cloud.Create(t.Context(), parse(t, uri), kind, cfg); err != nil {
				t.Fatal(err)
			}
			k := open(t, uri, cfg)
			if pub, isEC := k.Public().(*ecdsa.PublicKey); isEC == (kind == signer.RSA2048) || isEC && "p"+pub.Params().Name[2:] != string(kind) {
				t.Errorf("made a key of type %T", k.Public())
			}
			err := cloud.Create(t.Context(), parse(t, uri), kind, cfg)
			complaint{fault.Unfit, "exists already", "another name"}.check(t, uri, err)
			if again := open(t, uri, cfg); again.Resource() != k.Resource() {
				t.Error("the key has a new version")
			}
		})
	}
	create := func(uri string, kind signer.KeyType) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return cloud.Create(ctx, parse(t, uri), kind, cfg)
	}
	uri := s.URI("x/cryptoKeyVersions/2")
	complaint{fault.Unsupported, "Google numbers the versions", "leave /cryptoKeyVersions/2 away"}.check(t, uri, create(uri, signer.P256))
	uri = s.URI("x")
	for _, kind := range []signer.KeyType{signer.P521, signer.Ed25519} {
		complaint{fault.Unsupported, string(kind), "p256"}.check(t, uri, create(uri, kind))
	}
	for _, call := range []string{"GetKeyRing", "CreateCryptoKey", "GetCryptoKeyVersion"} {
		s.Heal()
		s.Break(call, gcpfake.Denied)
		complaint{fault.Denied, "PermissionDenied", "cloudkms.cryptoKeys.create"}.check(t, uri, create(uri, signer.P256))
	}
}
