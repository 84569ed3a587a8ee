package awsfake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Spec is a key spec of AWS.
type Spec string

// The key specs that the fake makes.
const (
	ECCP256   Spec = "ECC_NIST_P256"
	ECCP384   Spec = "ECC_NIST_P384"
	ECCP521   Spec = "ECC_NIST_P521"
	RSA2048   Spec = "RSA_2048"
	RSA3072   Spec = "RSA_3072"
	RSA4096   Spec = "RSA_4096"
	Edwards   Spec = "ECC_NIST_EDWARDS25519"
	Symmetric Spec = "SYMMETRIC_DEFAULT"
	// PSSOnly is an RSA key of 2048 bits that signs by PSS alone, as AWS has none
	// today.
	PSSOnly Spec = "RSA_2048_PSS"
)

var rsaAlgorithms = []string{
	"RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512",
	"RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512",
}

// algorithms are those of each key spec, in the order in which AWS lists them.
var algorithms = map[Spec][]string{
	ECCP256:   {"ECDSA_SHA_256"},
	ECCP384:   {"ECDSA_SHA_384"},
	ECCP521:   {"ECDSA_SHA_512"},
	RSA2048:   rsaAlgorithms,
	RSA3072:   rsaAlgorithms,
	RSA4096:   rsaAlgorithms,
	PSSOnly:   rsaAlgorithms[3:],
	Edwards:   {"ED25519_SHA_512", "ED25519_PH_SHA_512"},
	Symmetric: nil,
}

// A Key is a key in the service.
type Key struct {
	id     string
	spec   Spec
	signer crypto.Signer // nil for a symmetric key

	mu    sync.Mutex
	state string
	other crypto.Signer // for WrongKey
}

// AddKey makes a key and gives it an alias, which is taken from another key if
// it has it. The name may be "" for a key without one.
func (s *Server) AddKey(alias string, spec Spec) *Key {
	k := s.newKey(spec)
	if alias != "" {
		s.Point(alias, k)
	}
	return k
}

// Point has an alias name a key from now on.
func (s *Server) Point(alias string, k *Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aliases[alias] = k.id
}

func (s *Server) newKey(spec Spec) *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := &Key{
		id:     fmt.Sprintf("1234abcd-12ab-34cd-56ef-%012x", len(s.keys)+1),
		spec:   spec,
		signer: generate(spec),
		state:  "Enabled",
	}
	s.keys[k.id] = k
	return k
}

// find returns the key of an ID, ARN, alias or alias ARN, or nil.
func (s *Server) find(name string) *Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	if after, ok := strings.CutPrefix(name, "arn:aws:kms:"+Region+":"+Account+":"); ok {
		name = strings.TrimPrefix(after, "key/")
	}
	if id, ok := s.aliases[name]; ok {
		name = id
	}
	return s.keys[name]
}

func (s *Server) createAlias(alias, target string) (result any, code, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.aliases[alias]; ok {
		return nil, "AlreadyExistsException", "An alias with the name " + alias + " already exists"
	}
	if _, ok := s.keys[target]; !ok {
		return nil, "NotFoundException", "Key '" + target + "' does not exist"
	}
	if !strings.HasPrefix(alias, "alias/") || strings.HasPrefix(alias, "alias/aws/") {
		return nil, "InvalidAliasNameException", alias
	}
	s.aliases[alias] = target
	return struct{}{}, "", ""
}

// ID is the key's ID.
func (k *Key) ID() string { return k.id }

// ARN is the key's Amazon Resource Name.
func (k *Key) ARN() string {
	return "arn:aws:kms:" + Region + ":" + Account + ":key/" + k.id
}

// Public is the public key, nil for a symmetric one.
func (k *Key) Public() crypto.PublicKey {
	if k.signer == nil {
		return nil
	}
	return k.signer.Public()
}

// State is the key's state, as DescribeKey has it.
func (k *Key) State() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// SetState puts the key into a state: "Enabled", "Disabled",
// "PendingDeletion".
func (k *Key) SetState(state string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = state
}

func (k *Key) usage() string {
	if k.signer == nil {
		return "ENCRYPT_DECRYPT"
	}
	return "SIGN_VERIFY"
}

func (k *Key) metadata() map[string]any {
	m := map[string]any{
		"AWSAccountId":          Account,
		"Arn":                   k.ARN(),
		"CreationDate":          1700000000.5,
		"CustomerMasterKeySpec": k.spec,
		"Enabled":               k.State() == "Enabled",
		"KeyId":                 k.id,
		"KeyManager":            "CUSTOMER",
		"KeySpec":               k.spec,
		"KeyState":              k.State(),
		"KeyUsage":              k.usage(),
		"MultiRegion":           false,
		"Origin":                "AWS_KMS",
	}
	if k.signer != nil {
		m["SigningAlgorithms"] = algorithms[k.spec]
	}
	return m
}

func (k *Key) publicKey() (result any, code, text string) {
	switch {
	case k.signer == nil:
		return nil, "UnsupportedOperationException", "The key is symmetric"
	case k.State() == "Disabled":
		return nil, "DisabledException", k.ARN() + " is disabled."
	case k.State() != "Enabled":
		return nil, "KMSInvalidStateException", k.ARN() + " is " + k.State() + "."
	}
	der, err := x509.MarshalPKIXPublicKey(k.signer.Public())
	if err != nil {
		return nil, "KMSInternalException", err.Error()
	}
	return map[string]any{
		"KeyId":                 k.ARN(),
		"PublicKey":             der,
		"CustomerMasterKeySpec": k.spec,
		"KeySpec":               k.spec,
		"KeyUsage":              k.usage(),
		"SigningAlgorithms":     algorithms[k.spec],
	}, "", ""
}

func (k *Key) sign(algorithm string, digest []byte, f Fault) (result any, code, text string) {
	switch {
	case k.State() == "Disabled":
		return nil, "DisabledException", k.ARN() + " is disabled."
	case k.State() != "Enabled":
		return nil, "KMSInvalidStateException", k.ARN() + " is " + k.State() + "."
	case !slices.Contains(algorithms[k.spec], algorithm):
		return nil, "InvalidKeyUsageException", "Algorithm " + algorithm + " is incompatible with key spec " + string(k.spec) + "."
	}
	hash := hashes[algorithm[strings.LastIndexByte(algorithm, '_')+1:]]
	if len(digest) != hash.Size() {
		return nil, "ValidationException", fmt.Sprintf("Digest is invalid length for algorithm %s.", algorithm)
	}
	var opts crypto.SignerOpts = hash
	if strings.HasPrefix(algorithm, "RSASSA_PSS_") {
		opts = &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	by := k.signer
	if f == WrongKey {
		by = k.wrong()
	}
	signature, err := by.Sign(rand.Reader, digest, opts)
	if err != nil {
		return nil, "KMSInternalException", err.Error()
	}
	if f == Garbage {
		for i := range signature {
			signature[i] = 0xa5
		}
	}
	return map[string]any{"KeyId": k.ARN(), "Signature": signature, "SigningAlgorithm": algorithm}, "", ""
}

// wrong returns another key of the same type.
func (k *Key) wrong() crypto.Signer {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.other == nil {
		k.other = generate(k.spec)
	}
	return k.other
}

// generate makes a private key; a failure of the random source ends the
// process anyway.
func generate(spec Spec) crypto.Signer {
	var k crypto.Signer
	var err error
	switch spec {
	case ECCP256:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECCP384:
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case ECCP521:
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048, PSSOnly:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		k, err = rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		k, err = rsa.GenerateKey(rand.Reader, 4096)
	case Edwards:
		_, k, err = ed25519.GenerateKey(rand.Reader)
	case Symmetric:
		return nil
	default:
		panic("awsfake: no key spec " + string(spec))
	}
	if err != nil {
		panic("awsfake: " + err.Error())
	}
	return k
}
