package cloud

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"slices"
	"strconv"
	"strings"
	"time"

	gcpkms "cloud.google.com/go/kms/apiv1"
	"cloud.google.com/go/kms/apiv1/kmspb"
	siggcp "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

const (
	gcpScheme = "gcpkms://"
	gcpForms  = "write gcpkms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, and /cryptoKeyVersions/NUMBER after it for one version"
)

// A gcpName is what a URI of Google names.
type gcpName struct {
	location string // projects/P/locations/L
	ring     string // the name of the ring alone
	key      string // the name of the key alone
	version  string // a number, or "" for the newest that is enabled
}

func parseGCP(c call) (gcpName, error) {
	path, ok := strings.CutPrefix(c.uri, gcpScheme)
	parts := strings.Split(path, "/")
	if !ok || siggcp.ValidReference(c.uri) != nil || strings.ContainsAny(path, "?#") {
		return gcpName{}, c.fault(fault.Malformed, "not a key of Google Cloud KMS").WithHint(gcpForms)
	}
	n := gcpName{location: strings.Join(parts[:4], "/"), ring: parts[5], key: parts[7]}
	if len(parts) == 10 {
		n.version = parts[9]
		if versionNumber(n.version) < 1 {
			return gcpName{}, c.fault(fault.Malformed, "the version is not a number from 1").WithHint(gcpForms)
		}
	}
	return n, nil
}

func (n gcpName) ringName() string { return n.location + "/keyRings/" + n.ring }
func (n gcpName) keyName() string  { return n.ringName() + "/cryptoKeys/" + n.key }

// versionNumber is the number at the end of a version's name, or 0.
func versionNumber(name string) int64 {
	number, err := strconv.ParseInt(name[strings.LastIndexByte(name, '/')+1:], 10, 64)
	if err != nil || number < 0 {
		return 0
	}
	return number
}

func gcpClient(ctx context.Context, c call, cfg Config) (*gcpkms.KeyManagementClient, error) {
	opts := append(slices.Clone(cfg.GoogleOptions), option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(retryGCP)))
	// The client renews its tokens under the context that it was made with.
	client, err := gcpkms.NewKeyManagementClient(context.WithoutCancel(ctx), opts...)
	if err != nil {
		return nil, c.fault(fault.Credentials, "no Google credentials: %w", err).WithHint(gcpCredentialsHint)
	}
	return client, nil
}

// A gcpKey signs through Sigstore's provider, which was opened with a version
// and uses the connection of client.
type gcpKey struct {
	call     call
	client   *gcpkms.KeyManagementClient
	provider *siggcp.SignerVerifier
}

func openGCP(ctx context.Context, c call, cfg Config) (_ *Key, err error) {
	name, err := parseGCP(c)
	if err != nil {
		return nil, err
	}
	client, err := gcpClient(ctx, c, cfg)
	if err != nil {
		return nil, err
	}
	kept := false
	defer func() {
		if !kept {
			client.Close()
		}
	}()
	version, err := name.find(ctx, c, client)
	if err != nil {
		return nil, err
	}
	algorithm, err := gcpFit(c, version)
	if err != nil {
		return nil, err
	}
	resource := name.keyName() + "/cryptoKeyVersions/" + strconv.FormatInt(versionNumber(version.Name), 10)
	// One connection for both clients, so that it can be closed: the provider
	// has no Close.
	//lint:ignore SA1019 there is one connection as long as no option asks for a pool
	connection := client.Connection()
	provider, err := siggcp.LoadSignerVerifier(context.WithoutCancel(ctx), gcpScheme+resource, option.WithGRPCConn(connection))
	if err != nil {
		return nil, gcpFault(c, err)
	}
	pub, err := gcpPublic(ctx, c, client, provider)
	if err != nil {
		return nil, err
	}
	if err := usable(c, pub); err != nil {
		return nil, err
	}
	if !gcpMatches(pub, version.Algorithm) {
		return nil, c.fault(fault.Malformed, "the service says %s, and sent a key of type %T", version.Algorithm, pub)
	}
	kept = true
	return &Key{
		call:     call{opSign, c.uri},
		resource: resource,
		public:   pub,
		hashes:   []crypto.Hash{algorithm.hash},
		paddings: algorithm.paddings(),
		signer:   &gcpKey{call{opSign, c.uri}, client, provider},
	}, nil
}

// find returns the version that the name means now.
func (n gcpName) find(ctx context.Context, c call, client *gcpkms.KeyManagementClient) (*kmspb.CryptoKeyVersion, error) {
	if n.version != "" {
		version, err := client.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: n.keyName() + "/cryptoKeyVersions/" + n.version})
		if err != nil {
			return nil, gcpFault(c, err)
		}
		if versionNumber(version.Name) != versionNumber(n.version) {
			return nil, c.fault(fault.Malformed, "the service sent version %.200q", version.Name)
		}
		return version, nil
	}
	var newest *kmspb.CryptoKeyVersion
	all := 0
	for version, err := range client.ListCryptoKeyVersions(ctx, &kmspb.ListCryptoKeyVersionsRequest{Parent: n.keyName()}).All() {
		if err != nil {
			return nil, gcpFault(c, err)
		}
		all++
		if version.State == kmspb.CryptoKeyVersion_ENABLED && (newest == nil || versionNumber(version.Name) > versionNumber(newest.Name)) {
			newest = version
		}
	}
	if newest == nil {
		return nil, c.fault(fault.Unfit, "none of the key's %d versions is enabled", all).
			WithHint("enable one, or add one: gcloud kms keys versions create")
	}
	if versionNumber(newest.Name) < 1 {
		return nil, c.fault(fault.Malformed, "the service sent a version named %.200q", newest.Name)
	}
	return newest, nil
}

// An algorithm is what a service ties a signature to; padding is "" for ECDSA.
type algorithm struct {
	hash    crypto.Hash
	padding signer.Padding
}

func (a algorithm) paddings() []signer.Padding {
	if a.padding == "" {
		return nil
	}
	return []signer.Padding{a.padding}
}

// gcpSigns are the algorithms that the provider signs with and that this
// program uses. There is no RSA with SHA-384.
var gcpSigns = map[kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm]algorithm{
	kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256:        {crypto.SHA256, ""},
	kmspb.CryptoKeyVersion_EC_SIGN_P384_SHA384:        {crypto.SHA384, ""},
	kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256: {crypto.SHA256, signer.PKCS1v15},
	kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_3072_SHA256: {crypto.SHA256, signer.PKCS1v15},
	kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_4096_SHA256: {crypto.SHA256, signer.PKCS1v15},
	kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_4096_SHA512: {crypto.SHA512, signer.PKCS1v15},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_2048_SHA256:   {crypto.SHA256, signer.PSS},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_3072_SHA256:   {crypto.SHA256, signer.PSS},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_4096_SHA256:   {crypto.SHA256, signer.PSS},
	kmspb.CryptoKeyVersion_RSA_SIGN_PSS_4096_SHA512:   {crypto.SHA512, signer.PSS},
}

func gcpMatches(pub crypto.PublicKey, algorithm kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm) bool {
	switch pub.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm.String(), "RSA_")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(algorithm.String(), "EC_")
	}
	return false
}

// gcpFit returns what a version signs with, or says why it is of no use.
func gcpFit(c call, v *kmspb.CryptoKeyVersion) (algorithm, error) {
	const cure = "make a key of the purpose asymmetric-signing with the algorithm ec-sign-p256-sha256"
	number := versionNumber(v.Name)
	if v.State != kmspb.CryptoKeyVersion_ENABLED {
		hint := "name another version, or none for the newest that is enabled"
		switch v.State {
		case kmspb.CryptoKeyVersion_DISABLED:
			hint = "enable it: gcloud kms keys versions enable"
		case kmspb.CryptoKeyVersion_DESTROY_SCHEDULED:
			hint = "keep it, gcloud kms keys versions restore and then enable, or name another version"
		case kmspb.CryptoKeyVersion_PENDING_GENERATION:
			hint = "wait until it is made"
		}
		return algorithm{}, c.fault(fault.Unfit, "version %d is not enabled, its state is %s", number, v.State).WithHint("%s", hint)
	}
	if a, ok := gcpSigns[v.Algorithm]; ok {
		return a, nil
	}
	name := v.Algorithm.String()
	if strings.Contains(name, "_SIGN_") {
		return algorithm{}, c.fault(fault.Unfit, "the algorithm of version %d is %s, which this program does not use", number, name).WithHint(cure)
	}
	return algorithm{}, c.fault(fault.Unfit, "the key is not for signing, its algorithm is %s", name).WithHint(cure)
}

// gcpPublic has the provider fetch the key, which it does once and without a
// context: when ctx ends first, closing the connection ends the calls.
func gcpPublic(ctx context.Context, c call, client *gcpkms.KeyManagementClient, provider *siggcp.SignerVerifier) (crypto.PublicKey, error) {
	var pub crypto.PublicKey
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer c.catch(&err)
		if pub, err = provider.PublicKey(); err != nil {
			err = gcpFault(c, err)
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		client.Close()
		<-done
		return nil, ctx.Err()
	}
	return pub, err
}

func (k *gcpKey) sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.provider.SignMessage(nil, options.WithContext(ctx), options.WithDigest(digest), options.WithCryptoSignerOpts(opts))
	if err != nil {
		return nil, gcpFault(k.call, err)
	}
	return signature, nil
}

func (k *gcpKey) close() error { return k.client.Close() }

// gcpAlgorithms are the key types that can be made. Google has no P-521, and
// the provider does not sign with Ed25519.
var gcpAlgorithms = map[signer.KeyType]kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm{
	signer.P256:    kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256,
	signer.P384:    kmspb.CryptoKeyVersion_EC_SIGN_P384_SHA384,
	signer.RSA2048: kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_2048_SHA256,
	signer.RSA3072: kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_3072_SHA256,
	signer.RSA4096: kmspb.CryptoKeyVersion_RSA_SIGN_PKCS1_4096_SHA256,
}

// gcpGeneration is how often a new key is asked whether it is made; it takes
// about a second, and longer in an HSM.
const gcpGeneration = 500 * time.Millisecond

func createGCP(ctx context.Context, c call, t signer.KeyType, cfg Config) error {
	name, err := parseGCP(c)
	if err != nil {
		return err
	}
	if name.version != "" {
		return c.fault(fault.Unsupported, "Google numbers the versions of a key").
			WithHint("leave /cryptoKeyVersions/%s away", name.version)
	}
	algorithm, ok := gcpAlgorithms[t]
	if !ok {
		return c.fault(fault.Unsupported, "Google keys of the type %s are not made here", t).
			WithHint("choose p256, p384, rsa2048, rsa3072 or rsa4096")
	}
	client, err := gcpClient(ctx, c, cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = client.GetKeyRing(ctx, &kmspb.GetKeyRingRequest{Name: name.ringName()})
	if gcpCode(err) == codes.NotFound {
		_, err = client.CreateKeyRing(ctx, &kmspb.CreateKeyRingRequest{
			Parent: name.location, KeyRingId: name.ring, KeyRing: &kmspb.KeyRing{}})
		if gcpCode(err) == codes.AlreadyExists {
			err = nil // somebody else made it meanwhile
		}
	}
	if err != nil {
		return gcpFault(c, err)
	}
	_, err = client.CreateCryptoKey(ctx, &kmspb.CreateCryptoKeyRequest{
		Parent:      name.ringName(),
		CryptoKeyId: name.key,
		CryptoKey: &kmspb.CryptoKey{
			Purpose:         kmspb.CryptoKey_ASYMMETRIC_SIGN,
			VersionTemplate: &kmspb.CryptoKeyVersionTemplate{Algorithm: algorithm},
		},
	})
	if gcpCode(err) == codes.AlreadyExists {
		return existsAlready(c)
	}
	if err != nil {
		return gcpFault(c, err)
	}
	for {
		version, err := client.GetCryptoKeyVersion(ctx, &kmspb.GetCryptoKeyVersionRequest{Name: name.keyName() + "/cryptoKeyVersions/1"})
		if err != nil {
			return gcpFault(c, err)
		}
		switch version.State {
		case kmspb.CryptoKeyVersion_ENABLED:
			return nil
		case kmspb.CryptoKeyVersion_PENDING_GENERATION:
		default:
			return c.fault(fault.Unfit, "the state of the new key is %s %s", version.State, version.GenerationFailureReason)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(gcpGeneration):
		}
	}
}
