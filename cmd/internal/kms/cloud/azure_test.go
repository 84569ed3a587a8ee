package cloud_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha512"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/cloud"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/kmstest/azurefake"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// The server behind these tests is azurefake, not Azure.

func startAzure(t *testing.T) (*azurefake.Server, cloud.Config) {
	t.Helper()
	s := azurefake.Start(t)
	return s, cloud.Config{AzureCredential: s.Credential(), AzureTransport: s.Transport()}
}

func TestAzureConformance(t *testing.T) {
	s, cfg := startAzure(t)
	// RSA3072 is a key that Sigstore's provider cannot sign SHA-256 with.
	for _, kind := range []azurefake.Kind{azurefake.P256, azurefake.P384, azurefake.P521, azurefake.HSMP256, azurefake.RSA2048, azurefake.RSA3072} {
		t.Run(string(kind), func(t *testing.T) {
			s.AddKey("signing", kind)
			open := func(t *testing.T) signer.Signer { return open(t, s.URI("signing"), cfg) }
			signertest.Run(t, open)
			if kind == azurefake.RSA2048 || kind == azurefake.RSA3072 {
				signertest.RunPSS(t, open)
			}
		})
	}
	signertest.RunFaults(t, signertest.Faults{
		Dead:     brokenAzure(azurefake.Internal),
		WrongKey: brokenAzure(azurefake.WrongKey),
		Garbage:  brokenAzure(azurefake.Garbage),
		Hangs:    brokenAzure(azurefake.Hang),
	})
}

// brokenAzure opens a key of a server that then goes wrong.
func brokenAzure(f azurefake.Fault) func(*testing.T) signer.Signer {
	return func(t *testing.T) signer.Signer {
		s, cfg := startAzure(t)
		s.AddKey("signing", azurefake.P256)
		k := open(t, s.URI("signing"), cfg)
		s.Break("", f)
		return k
	}
}

// Without a version in its URI, the current one is used, and stays.
func TestAzureVersions(t *testing.T) {
	s, cfg := startAzure(t)
	key := s.AddKey("signing", azurefake.P256)
	first := key.Current()
	k := open(t, s.URI("signing"), cfg)
	second := key.AddVersion(azurefake.P256)
	signature, err := sign(t, k, patience)
	if err != nil || !verifies(first.Public(), signature) {
		t.Errorf("after a rotation: another key signs, or none: %v", err)
	}
	for _, tt := range []struct {
		uri  string
		want *azurefake.Version
	}{
		{"signing", second}, {"signing/", second}, {"signing/" + first.ID(), first}, {"signing/" + second.ID(), second},
	} {
		k := open(t, s.URI(tt.uri), cfg)
		if want := "https://" + azurefake.Host + "/keys/signing/" + tt.want.ID(); k.Resource() != want || !sameKey(k.Public(), tt.want.Public()) {
			t.Errorf("%s: got %s; want %s", tt.uri, k.Resource(), want)
		}
	}
}

func TestAzureOptions(t *testing.T) {
	s, cfg := startAzure(t)
	s.AddKey("rsa", azurefake.RSA2048)
	s.AddKey("p384", azurefake.P384)
	uri := s.URI("rsa")
	k := open(t, uri, cfg)
	if got := k.Hashes(); !k.HonoursContext() || len(got) != 3 || got[0] != crypto.SHA256 {
		t.Errorf("got the hashes %v; want SHA-256 and two more", got)
	}
	if got := k.Paddings(); !slices.Equal(got, []signer.Padding{signer.PKCS1v15, signer.PSS}) {
		t.Errorf("got the paddings %v; want both", got)
	}
	pss := &rsa.PSSOptions{Hash: crypto.SHA512, SaltLength: rsa.PSSSaltLengthAuto}
	sum := sha512.Sum512([]byte("what is stamped"))
	signature, err := k.Sign(t.Context(), sum[:], pss)
	if err != nil || rsa.VerifyPSS(k.Public().(*rsa.PublicKey), crypto.SHA512, sum[:], signature, pss) != nil {
		t.Errorf("PSS: %v", err)
	}
	_, err = k.Sign(t.Context(), sum[:], &rsa.PSSOptions{Hash: crypto.SHA512, SaltLength: 20})
	complaint{fault.Unsupported, "salt of 20 bytes", "as long as the hash"}.check(t, uri, err)

	uri = s.URI("p384")
	k = open(t, uri, cfg)
	_, err = sign(t, k, patience)
	complaint{fault.Unfit, "not with SHA-256", "ask for SHA-384"}.check(t, uri, err)
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	_, err = k.Sign(t.Context(), sum[:48], crypto.SHA384)
	complaint{fault.Unsupported, "closed", ""}.check(t, uri, err)
}

// What is wrong with a key when it is opened.
func TestAzureUnfit(t *testing.T) {
	s, cfg := startAzure(t)
	for _, tt := range []struct {
		name  string
		kind  azurefake.Kind
		spoil func(*azurefake.Version)
		want  complaint
	}{
		{"disabled", azurefake.P256, func(v *azurefake.Version) { v.Disabled = true }, complaint{fault.Unfit, "disabled", "--enabled true"}},
		{"expired", azurefake.P256, func(v *azurefake.Version) { v.Until = time.Now().Add(-time.Hour) }, complaint{fault.Unfit, "expired at", "another expiry"}},
		{"future", azurefake.P256, func(v *azurefake.Version) { v.NotBefore = time.Now().Add(time.Hour) }, complaint{fault.Unfit, "may not be used before", "activation date"}},
		{"not for signing", azurefake.RSA2048, func(v *azurefake.Version) { v.Operations = []string{"wrapKey"} }, complaint{fault.Unfit, "do not have sign", "--ops sign verify"}},
		{"another curve", azurefake.Secp256k1, func(*azurefake.Version) {}, complaint{fault.Unfit, "P-256K", "P-256, P-384 or P-521"}},
		{"symmetric", azurefake.Symmetric, func(*azurefake.Version) {}, complaint{fault.Unfit, "oct", "type EC or RSA"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.spoil(s.AddKey("x", tt.kind).Current())
			tt.want.check(t, s.URI("x"), openError(t, s.URI("x"), cfg, patience))
		})
	}
	uri := s.URI("nobody")
	complaint{fault.NotFound, "404 KeyNotFound", "az keyvault key list-versions"}.check(t, uri, openError(t, uri, cfg, patience))
}

// Each fault, when the key is opened and when it signs.
func TestAzureFaults(t *testing.T) {
	for _, tt := range []struct {
		fault azurefake.Fault
		limit time.Duration
		want  complaint
	}{
		{azurefake.NotFound, patience, complaint{fault.NotFound, "404 KeyNotFound", "list-versions"}},
		{azurefake.Denied, patience, complaint{fault.Denied, "403 Forbidden (ForbiddenByRbac)", "keys/get and keys/sign"}},
		{azurefake.Firewall, patience, complaint{fault.Denied, "ForbiddenByFirewall", "firewall"}},
		{azurefake.Disabled, patience, complaint{fault.Unfit, "KeyDisabled", "--enabled true"}},
		{azurefake.Unauthorized, patience, complaint{fault.Credentials, "401 Unauthorized", "AZURE_CLIENT_ID"}},
		{azurefake.ThrottleAlways, patience, complaint{fault.Unreachable, "429 Throttled", "if the service comes back"}},
		{azurefake.Internal, patience, complaint{fault.Unreachable, "500 InternalServerError", "if the service comes back"}},
		{azurefake.BadGateway, patience, complaint{fault.Unreachable, "502 Bad Gateway", "if the service comes back"}},
		{azurefake.NotJSON, patience, complaint{fault.Malformed, "invalid character", "Azure Key Vault"}},
		{azurefake.Hang, brief, complaint{fault.Unreachable, "no answer in time", "if it comes back"}},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s, cfg := startAzure(t)
			s.AddKey("signing", azurefake.P256)
			uri := s.URI("signing")
			k := open(t, uri, cfg)

			s.Break("sign", tt.fault)
			signature, err := sign(t, k, tt.limit)
			if signature != nil {
				t.Error("a signature came with the error")
			}
			tt.want.check(t, uri, err)
			if tt.limit == brief && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v does not wrap the context's error", err)
			}
			s.Break("get", tt.fault)
			tt.want.check(t, uri, openError(t, uri, cfg, tt.limit))
			s.Heal()
			if _, err := sign(t, k, patience); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

// What the service sends back as a signature, and as a key.
func TestAzureAnswers(t *testing.T) {
	s, cfg := startAzure(t)
	key := s.AddKey("signing", azurefake.P256)
	s.AddKey("rsa", azurefake.RSA2048)
	uri := s.URI("signing")
	k := open(t, uri, cfg)

	s.Break("sign", azurefake.ThrottleOnce)
	if _, err := sign(t, k, patience); err != nil {
		t.Errorf("throttled once: %v", err)
	}
	for _, tt := range []struct {
		fault azurefake.Fault
		want  complaint
	}{
		{azurefake.Odd, complaint{fault.Malformed, "(r || s) of 63 bytes; want 64", ""}},
		{azurefake.DER, complaint{fault.Malformed, "want 64", ""}},
		{azurefake.Garbage, complaint{fault.Malformed, "outside the curve's order", ""}},
		{azurefake.Empty, complaint{fault.Malformed, "0 bytes; want 64", ""}},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s.Break("sign", tt.fault)
			_, err := sign(t, k, patience)
			tt.want.check(t, uri, err)
		})
	}
	// A signature by another key is one; whoever releases it verifies it.
	s.Break("sign", azurefake.WrongKey)
	signature, err := sign(t, k, patience)
	if err != nil || verifies(key.Current().Public(), signature) {
		t.Errorf("by another key: got %v", err)
	}
	s.Heal()
	for _, tt := range []struct {
		fault azurefake.Fault
		want  complaint
	}{
		{azurefake.Empty, complaint{fault.Malformed, "a key without a type", ""}},
		{azurefake.BadPoint, complaint{fault.Malformed, "the public key that the service sent", ""}},
		{azurefake.OtherKey, complaint{fault.Malformed, "/keys/another/", ""}},
		{azurefake.OtherVault, complaint{fault.Malformed, "doesn't match the requested domain", "Azure Key Vault"}},
		{azurefake.BadChallenge, complaint{fault.Malformed, "could not read the answer", ""}},
	} {
		t.Run(string(tt.fault), func(t *testing.T) {
			s.Break("get", tt.fault)
			tt.want.check(t, uri, openError(t, uri, cfg, patience))
		})
	}
	s.Heal()
	uri = s.URI("rsa")
	k = open(t, uri, cfg)
	s.Break("sign", azurefake.Odd)
	_, err = sign(t, k, patience)
	complaint{fault.Malformed, "255 bytes; want 256", ""}.check(t, uri, err)
}

// What is wrong around the service.
func TestAzureSurroundings(t *testing.T) {
	s, cfg := startAzure(t)
	s.AddKey("signing", azurefake.P256)
	uri := s.URI("signing")

	stranger := cfg
	stranger.AzureTransport = s.StrangerTransport()
	complaint{fault.Unreachable, "certificate", "not trusted"}.check(t, uri, openError(t, uri, stranger, patience))

	nobody := cfg
	nobody.AzureCredential = azurefake.Credential("")
	complaint{fault.Credentials, "no identity to be found", "AZURE_TENANT_ID"}.check(t, uri, openError(t, uri, nobody, patience))

	expired := cfg
	expired.AzureCredential = azurefake.Credential("expired")
	complaint{fault.Credentials, "401 Unauthorized", "az login"}.check(t, uri, openError(t, uri, expired, patience))

	elsewhere := "azurekms://nobody.vault.azure.net/signing"
	complaint{fault.Unreachable, "no such host", "name of the vault"}.check(t, elsewhere, openError(t, elsewhere, cfg, patience))

	lost := cfg
	lost.LookupEnv = func(name string) (string, bool) { return "AzureMoon", name == "AZURE_ENVIRONMENT" }
	complaint{fault.Malformed, "AZURE_ENVIRONMENT", "AZUREPUBLICCLOUD"}.check(t, uri, openError(t, uri, lost, patience))

	// The SDK's own credentials, of which the machine has none: the variables
	// are incomplete, and no program of Azure is in the path.
	t.Setenv("AZURE_TENANT_ID", "")
	t.Setenv("AZURE_CLIENT_ID", "")
	t.Setenv("AZURE_CLIENT_SECRET", "")
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
	t.Setenv("PATH", os.DevNull)
	none := cfg
	none.AzureCredential = nil
	complaint{fault.Credentials, "no Azure credentials", "AZURE_TENANT_ID"}.check(t, uri, openError(t, uri, none, patience))
}

func TestAzureCreate(t *testing.T) {
	s, cfg := startAzure(t)
	for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048} {
		t.Run(string(kind), func(t *testing.T) {
			uri := s.URI("new-" + string(kind))
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
		return cloud.Create(t.Context(), parse(t, uri), kind, cfg)
	}
	uri := s.URI("x/0123456789abcdef0123456789abcdef")
	complaint{fault.Unsupported, "Azure chooses the versions", "leave /0123456789abcdef0123456789abcdef away"}.check(t, uri, create(uri, signer.P256))
	uri = s.URI("x")
	complaint{fault.Unsupported, "ed25519", "p256"}.check(t, uri, create(uri, signer.Ed25519))
	s.Break("create", azurefake.Denied)
	complaint{fault.Denied, "403 Forbidden", "keys/create"}.check(t, uri, create(uri, signer.P256))
	s.Break("create", azurefake.Conflict)
	complaint{fault.Unfit, "ObjectIsDeletedButRecoverable", "recover"}.check(t, uri, create(uri, signer.P256))
	s.Heal()
	s.Break("get", azurefake.Denied)
	complaint{fault.Denied, "403 Forbidden", "keys/create"}.check(t, uri, create(uri, signer.P256))
	if n := s.Calls("create"); n != 6 {
		t.Errorf("%d calls of create; want 6: none when it is not known whether the key exists", n)
	}
}
