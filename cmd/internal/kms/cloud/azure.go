package cloud

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

const azureForms = "write azurekms://VAULT.vault.azure.net/KEY, and /VERSION after it for one version"

// envAzureEnvironment chooses a sovereign cloud, as it does for Sigstore's
// provider.
const envAzureEnvironment = "AZURE_ENVIRONMENT"

// The retries of the SDK. Its own first pause, 800 ms, is longer than a
// timestamp should take.
const (
	azureRetries  = 2
	azurePause    = 200 * time.Millisecond
	azureMaxPause = 2 * time.Second
)

// azureURI is what Key Vault allows for keys and versions. It is compiled when
// it is needed: counted repetitions take half a millisecond, which every start
// of every command would pay.
var azureURI = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^azurekms://([^/]+)/([0-9A-Za-z-]{1,127})(?:/([0-9A-Za-z]{1,64})?)?$`)
})

// An azureName is what a URI of Azure names.
type azureName struct {
	host    string // of the vault
	key     string
	version string // "" for the current one
}

func parseAzure(c call) (azureName, error) {
	m := azureURI().FindStringSubmatch(c.uri)
	if m == nil {
		return azureName{}, c.fault(fault.Malformed, "not a key of Azure Key Vault").WithHint(azureForms)
	}
	n := azureName{host: m[1], key: m[2], version: m[3]}
	if u, err := url.Parse("https://" + n.host); err != nil || u.Host != n.host {
		return azureName{}, c.fault(fault.Malformed, "the vault is not a host").WithHint(azureForms)
	}
	if !strings.Contains(n.host, ".") {
		return azureName{}, c.fault(fault.Malformed, "the vault %q is not a host with a domain", n.host).WithHint(azureForms)
	}
	return n, nil
}

// A credentialError is the failure to get a token, as opposed to the failure
// of a call with one.
type credentialError struct{ err error }

func (e *credentialError) Error() string { return e.err.Error() }
func (e *credentialError) Unwrap() error { return e.err }

// tokens marks the errors of a credential.
type tokens struct{ azcore.TokenCredential }

func (t tokens) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := t.TokenCredential.GetToken(ctx, options)
	if err != nil {
		return azcore.AccessToken{}, &credentialError{err}
	}
	return token, nil
}

func (n azureName) client(c call, cfg Config) (*azkeys.Client, error) {
	opts := azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: azureRetries, RetryDelay: azurePause, MaxRetryDelay: azureMaxPause},
		Transport: cfg.AzureTransport,
		// Which machine this is, and its libraries, are nobody's business.
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}
	switch name := strings.ToUpper(cfg.env(envAzureEnvironment)); name {
	case "", "AZURECLOUD", "AZUREPUBLICCLOUD":
		opts.Cloud = azcloud.AzurePublic
	case "AZUREUSGOVERNMENT", "AZUREUSGOVERNMENTCLOUD":
		opts.Cloud = azcloud.AzureGovernment
	case "AZURECHINACLOUD":
		opts.Cloud = azcloud.AzureChina
	default:
		return nil, c.fault(fault.Malformed, "%s names no cloud: %.40q", envAzureEnvironment, name).
			WithHint("unset it, or set it to AZUREPUBLICCLOUD, AZUREUSGOVERNMENT or AZURECHINACLOUD")
	}
	credential := cfg.AzureCredential
	if credential == nil {
		found, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: opts})
		if err != nil {
			return nil, c.fault(fault.Credentials, "no Azure credentials: %w", err).WithHint(azureCredentialsHint)
		}
		credential = found
	}
	client, err := azkeys.NewClient("https://"+n.host, tokens{credential}, &azkeys.ClientOptions{ClientOptions: opts})
	if err != nil {
		return nil, c.fault(fault.Malformed, "%w", err).WithHint(azureForms)
	}
	return client, nil
}

// An azureKey signs with one version of a key.
type azureKey struct {
	call   call
	client *azkeys.Client
	name   azureName // with a version
	public crypto.PublicKey
}

func openAzure(ctx context.Context, c call, cfg Config) (*Key, error) {
	name, err := parseAzure(c)
	if err != nil {
		return nil, err
	}
	client, err := name.client(c, cfg)
	if err != nil {
		return nil, err
	}
	got, err := client.GetKey(ctx, name.key, name.version, nil)
	if err != nil {
		return nil, azureFault(c, err)
	}
	if err := azureFit(c, got.KeyBundle); err != nil {
		return nil, err
	}
	resource, version, err := name.identify(got.Key.KID)
	if err != nil {
		return nil, c.fault(fault.Malformed, "%w", err)
	}
	pub, err := azurePublic(got.Key)
	if err != nil {
		return nil, c.fault(fault.Malformed, "the public key that the service sent: %w", err)
	}
	if err := usable(c, pub); err != nil {
		return nil, err
	}
	name.version = version
	var paddings []signer.Padding
	if _, isRSA := pub.(*rsa.PublicKey); isRSA {
		paddings = []signer.Padding{signer.PKCS1v15, signer.PSS}
	}
	return &Key{
		call:     call{opSign, c.uri},
		resource: resource,
		public:   pub,
		hashes:   azureHashes(pub),
		paddings: paddings,
		signer:   &azureKey{call{opSign, c.uri}, client, name, pub},
	}, nil
}

// azureFit says why a key is of no use.
func azureFit(c call, bundle azkeys.KeyBundle) error {
	const cure = "make a key of the type EC or RSA (az keyvault key create) with the operation sign"
	key, attributes := bundle.Key, bundle.Attributes
	if key == nil || key.Kty == nil {
		return c.fault(fault.Malformed, "the service sent a key without a type")
	}
	if attributes != nil {
		now := time.Now()
		switch {
		case attributes.Enabled != nil && !*attributes.Enabled:
			return c.fault(fault.Unfit, "the key is disabled").WithHint(azureEnableHint)
		case attributes.Expires != nil && now.After(*attributes.Expires):
			return c.fault(fault.Unfit, "the key expired at %s", attributes.Expires.UTC().Format(time.RFC3339)).
				WithHint("Key Vault does not sign with it any more: set another expiry, or make a new version")
		case attributes.NotBefore != nil && now.Before(*attributes.NotBefore):
			return c.fault(fault.Unfit, "the key may not be used before %s", attributes.NotBefore.UTC().Format(time.RFC3339)).
				WithHint("wait, or set another activation date")
		}
	}
	switch *key.Kty {
	case azkeys.KeyTypeEC, azkeys.KeyTypeECHSM, azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
	default:
		return c.fault(fault.Unfit, "the key is of the type %.20s", *key.Kty).WithHint(cure)
	}
	if len(key.KeyOps) > 0 && !slices.ContainsFunc(key.KeyOps, func(op *azkeys.KeyOperation) bool {
		return op != nil && *op == azkeys.KeyOperationSign
	}) {
		return c.fault(fault.Unfit, "the operations of the key do not have sign").
			WithHint("allow it: az keyvault key set-attributes --ops sign verify")
	}
	if key.Crv != nil && azureCurve(*key.Crv) == nil {
		return c.fault(fault.Unfit, "the key is on the curve %.20s", *key.Crv).
			WithHint("make a key on P-256, P-384 or P-521")
	}
	return nil
}

// identify reads the identifier of the key version that the service sent, such
// as https://tsa.vault.azure.net/keys/signing/0123456789abcdef.
func (n azureName) identify(id *azkeys.ID) (resource, version string, err error) {
	if id == nil {
		return "", "", errors.New("the service sent a key without an identifier")
	}
	u, err := url.Parse(string(*id))
	if err != nil {
		return "", "", fmt.Errorf("the service sent the identifier %.200q", string(*id))
	}
	m := azureURI().FindStringSubmatch("azurekms://" + u.Host + strings.TrimPrefix(u.Path, "/keys"))
	if m == nil || m[3] == "" || !strings.EqualFold(m[2], n.key) || n.version != "" && m[3] != n.version {
		return "", "", fmt.Errorf("the service sent the identifier %.200q", string(*id))
	}
	return string(*id), m[3], nil
}

func azureCurve(name azkeys.CurveName) elliptic.Curve {
	switch name {
	case azkeys.CurveNameP256:
		return elliptic.P256()
	case azkeys.CurveNameP384:
		return elliptic.P384()
	case azkeys.CurveNameP521:
		return elliptic.P521()
	}
	return nil
}

// azurePublic reads a JSON Web Key (RFC 7518, 6.2 and 6.3).
func azurePublic(key *azkeys.JSONWebKey) (crypto.PublicKey, error) {
	switch *key.Kty {
	case azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
		n, e := new(big.Int).SetBytes(key.N), new(big.Int).SetBytes(key.E)
		// crypto/rsa has no exponents beyond 31 bits, and none that are even.
		if e.BitLen() > 31 || e.Bit(0) == 0 || e.Int64() < 3 {
			return nil, errors.New("an RSA exponent that is even, less than 3, or of more than 31 bits")
		}
		if n.Bit(0) == 0 {
			return nil, errors.New("an RSA modulus that is even")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	}
	if key.Crv == nil {
		return nil, errors.New("an EC key without a curve")
	}
	curve := azureCurve(*key.Crv)
	size := (curve.Params().BitSize + 7) / 8
	if len(key.X) != size || len(key.Y) != size {
		return nil, fmt.Errorf("coordinates of %d and %d bytes; want %d", len(key.X), len(key.Y), size)
	}
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, key.X, key.Y))
}

func azureHashes(pub crypto.PublicKey) []crypto.Hash {
	if _, ok := pub.(*rsa.PublicKey); ok {
		return []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}
	}
	// RFC 7518, 3.4: ES256 is P-256 with SHA-256, and so on.
	hash, err := signer.HashFor(pub)
	if err != nil {
		return nil
	}
	return []crypto.Hash{hash}
}

// azureAlgorithm is the JSON Web Algorithm of a signature (RFC 7518, 3.1).
func azureAlgorithm(pub crypto.PublicKey, opts crypto.SignerOpts) azkeys.SignatureAlgorithm {
	family := "ES"
	if _, ok := pub.(*rsa.PublicKey); ok {
		family = "RS"
		if _, ok := opts.(*rsa.PSSOptions); ok {
			family = "PS"
		}
	}
	return azkeys.SignatureAlgorithm(fmt.Sprintf("%s%d", family, 8*opts.HashFunc().Size()))
}

func (k *azureKey) sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	got, err := k.client.Sign(ctx, k.name.key, k.name.version, azkeys.SignParameters{
		Algorithm: to.Ptr(azureAlgorithm(k.public, opts)),
		Value:     digest,
	}, nil)
	if err != nil {
		return nil, azureFault(k.call, err)
	}
	pub, ok := k.public.(*ecdsa.PublicKey)
	if !ok {
		return got.Result, nil
	}
	signature, err := joinHalves(pub, got.Result)
	if err != nil {
		return nil, k.call.fault(fault.Malformed, "%w", err)
	}
	return signature, nil
}

// close has nothing to do: the connections are the SDK's, which shares them
// between all clients.
func (k *azureKey) close() error { return nil }

// azureKinds are the key types that can be made.
var azureKinds = map[signer.KeyType]azkeys.CreateKeyParameters{
	signer.P256:    {Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP256)},
	signer.P384:    {Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP384)},
	signer.P521:    {Kty: to.Ptr(azkeys.KeyTypeEC), Curve: to.Ptr(azkeys.CurveNameP521)},
	signer.RSA2048: {Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr(int32(2048))},
	signer.RSA3072: {Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr(int32(3072))},
	signer.RSA4096: {Kty: to.Ptr(azkeys.KeyTypeRSA), KeySize: to.Ptr(int32(4096))},
}

func createAzure(ctx context.Context, c call, t signer.KeyType, cfg Config) error {
	name, err := parseAzure(c)
	if err != nil {
		return err
	}
	if name.version != "" {
		return c.fault(fault.Unsupported, "Azure chooses the versions of a key").
			WithHint("leave /%s away", name.version)
	}
	params, ok := azureKinds[t]
	if !ok {
		return c.fault(fault.Unsupported, "Azure keys of the type %s are not made here", t).
			WithHint("choose p256, p384, p521, rsa2048, rsa3072 or rsa4096")
	}
	client, err := name.client(c, cfg)
	if err != nil {
		return err
	}
	// Creating a key that exists adds a version to it. Nothing but asking
	// first prevents that.
	_, err = client.GetKey(ctx, name.key, "", nil)
	if err == nil {
		return existsAlready(c)
	}
	if answer, ok := errors.AsType[*azcore.ResponseError](err); !ok || answer.StatusCode != http.StatusNotFound {
		return azureFault(c, err)
	}
	params.KeyAttributes = &azkeys.KeyAttributes{Enabled: to.Ptr(true)}
	params.KeyOps = []*azkeys.KeyOperation{to.Ptr(azkeys.KeyOperationSign), to.Ptr(azkeys.KeyOperationVerify)}
	if _, err := client.CreateKey(ctx, name.key, params, nil); err != nil {
		return azureFault(c, err)
	}
	return nil
}

// netError says that an error is that of a connection.
func netError(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok
}
