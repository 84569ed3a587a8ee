package gcpfake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// An Algorithm is what a key version does.
type Algorithm = kmspb.CryptoKeyVersion_CryptoKeyVersionAlgorithm

// A State is that of a key version.
type State = kmspb.CryptoKeyVersion_CryptoKeyVersionState

// A Key is a key in the service, with its versions.
type Key struct {
	name string

	mu       sync.Mutex
	versions []*Version
}

// A Version is one version of a key.
type Version struct {
	name      string
	algorithm Algorithm
	signer    crypto.Signer // nil where the fake has no key for the algorithm

	mu    sync.Mutex
	state State
	other crypto.Signer // for WrongKey
}

// AddKey makes a key with one version, in the ring that is there. A key of
// that name is replaced.
func (s *Server) AddKey(key string, algorithm Algorithm) *Key {
	k := newKey(RingName + "/cryptoKeys/" + key)
	k.AddVersion(algorithm)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.name] = k
	return k
}

func newKey(name string) *Key { return &Key{name: name} }

// Name is the resource name of the key.
func (k *Key) Name() string { return k.name }

// AddVersion makes the next version, enabled.
func (k *Key) AddVersion(algorithm Algorithm) *Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := &Version{
		name:      fmt.Sprintf("%s/cryptoKeyVersions/%d", k.name, len(k.versions)+1),
		algorithm: algorithm,
		signer:    generate(algorithm),
		state:     kmspb.CryptoKeyVersion_ENABLED,
	}
	k.versions = append(k.versions, v)
	return v
}

// Version returns a version by its number, nil if there is none.
func (k *Key) Version(number int) *Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	if number < 1 || number > len(k.versions) {
		return nil
	}
	return k.versions[number-1]
}

func (k *Key) versionList() []*Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]*Version(nil), k.versions...)
}

func (k *Key) proto() *kmspb.CryptoKey {
	purpose := kmspb.CryptoKey_ASYMMETRIC_SIGN
	if k.Version(1).algorithm == kmspb.CryptoKeyVersion_GOOGLE_SYMMETRIC_ENCRYPTION {
		purpose = kmspb.CryptoKey_ENCRYPT_DECRYPT
	}
	return &kmspb.CryptoKey{
		Name:            k.name,
		Purpose:         purpose,
		VersionTemplate: &kmspb.CryptoKeyVersionTemplate{Algorithm: k.Version(1).algorithm},
	}
}

func (s *Server) version(name string) (*Version, error) {
	k, err := s.key(name)
	if err != nil {
		return nil, err
	}
	for _, v := range k.versionList() {
		if v.name == name {
			return v, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "CryptoKeyVersion %s not found.", name)
}

// Name is the resource name of the version.
func (v *Version) Name() string { return v.name }

// Public is the public key, nil where the fake has none.
func (v *Version) Public() crypto.PublicKey {
	if v.signer == nil {
		return nil
	}
	return v.signer.Public()
}

// State is the state of the version.
func (v *Version) State() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.state
}

// SetState puts the version into a state.
func (v *Version) SetState(s State) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = s
}

// generated ends the generation of the key.
func (v *Version) generated() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.state == kmspb.CryptoKeyVersion_PENDING_GENERATION {
		v.state = kmspb.CryptoKeyVersion_ENABLED
	}
}

// usable refuses a version that is not enabled, in Google's words.
func (v *Version) usable() error {
	if state := v.State(); state != kmspb.CryptoKeyVersion_ENABLED {
		return status.Errorf(codes.FailedPrecondition, "%s is not enabled, current state is: %s.", v.name, state)
	}
	if v.signer == nil {
		return status.Errorf(codes.FailedPrecondition, "%s has the algorithm %s.", v.name, v.algorithm)
	}
	return nil
}

func (v *Version) proto() *kmspb.CryptoKeyVersion {
	return &kmspb.CryptoKeyVersion{
		Name:            v.name,
		State:           v.State(),
		Algorithm:       v.algorithm,
		ProtectionLevel: kmspb.ProtectionLevel_SOFTWARE,
	}
}

func (v *Version) pem() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(v.signer.Public())
	if err != nil {
		return "", status.Error(codes.Internal, err.Error())
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// digestOf returns the one digest of a request.
func digestOf(d *kmspb.Digest) (crypto.Hash, []byte) {
	switch d := d.GetDigest().(type) {
	case *kmspb.Digest_Sha256:
		return crypto.SHA256, d.Sha256
	case *kmspb.Digest_Sha384:
		return crypto.SHA384, d.Sha384
	case *kmspb.Digest_Sha512:
		return crypto.SHA512, d.Sha512
	}
	return 0, nil
}

// hashOf is the hash at the end of an algorithm's name.
func hashOf(a Algorithm) crypto.Hash {
	for suffix, hash := range map[string]crypto.Hash{"_SHA256": crypto.SHA256, "_SHA384": crypto.SHA384, "_SHA512": crypto.SHA512} {
		if strings.HasSuffix(a.String(), suffix) {
			return hash
		}
	}
	return 0
}

func (v *Version) sign(hash crypto.Hash, digest []byte, wrong bool) ([]byte, error) {
	if want := hashOf(v.algorithm); hash != want || len(digest) != want.Size() {
		return nil, status.Errorf(codes.InvalidArgument, "The digest is not of the type that %s wants.", v.algorithm)
	}
	var opts crypto.SignerOpts = hash
	if strings.Contains(v.algorithm.String(), "_PSS_") {
		opts = &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	by := v.signer
	if wrong {
		by = v.wrong()
	}
	signature, err := by.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return signature, nil
}

// wrong returns another key of the same type.
func (v *Version) wrong() crypto.Signer {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.other == nil {
		v.other = generate(v.algorithm)
	}
	return v.other
}

// generate makes a private key, or nil for an algorithm that the fake only
// lists; a failure of the random source ends the process anyway.
func generate(a Algorithm) crypto.Signer {
	var k crypto.Signer
	var err error
	name := a.String()
	switch {
	case a == kmspb.CryptoKeyVersion_EC_SIGN_P256_SHA256:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case a == kmspb.CryptoKeyVersion_EC_SIGN_P384_SHA384:
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case !strings.HasPrefix(name, "RSA_SIGN_"):
		return nil
	case strings.Contains(name, "_2048"):
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	case strings.Contains(name, "_3072"):
		k, err = rsa.GenerateKey(rand.Reader, 3072)
	default:
		k, err = rsa.GenerateKey(rand.Reader, 4096)
	}
	if err != nil {
		panic("gcpfake: " + err.Error())
	}
	return k
}
