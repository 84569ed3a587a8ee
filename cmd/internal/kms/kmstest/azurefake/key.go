package azurefake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"
)

// A Kind is a type of key, with its curve or size.
type Kind string

// The kinds.
const (
	P256      Kind = "P-256"
	P384      Kind = "P-384"
	P521      Kind = "P-521"
	RSA2048   Kind = "2048"
	RSA3072   Kind = "3072"
	RSA4096   Kind = "4096"
	HSMP256   Kind = "HSM P-256" // of the type EC-HSM
	Secp256k1 Kind = "P-256K"    // listed only; the fake cannot sign with it
	Symmetric Kind = "oct"       // likewise
)

// A Key is a key in the vault, with its versions.
type Key struct {
	name string

	mu       sync.Mutex
	versions []*Version
}

// A Version is one version of a key.
type Version struct {
	id     string
	kind   Kind
	signer crypto.Signer // nil for kinds that are listed only

	// What the attributes of the version say; set before it is used.
	Disabled         bool
	NotBefore, Until time.Time // zero: not said
	Operations       []string

	mu    sync.Mutex
	other crypto.Signer // for WrongKey
}

// AddKey makes a key with one version. A key of that name is replaced.
func (s *Server) AddKey(name string, kind Kind) *Key {
	k := &Key{name: name}
	k.AddVersion(kind)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name] = k
	return k
}

// AddVersion makes a new version, which is then the current one.
func (k *Key) AddVersion(kind Kind) *Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := &Version{
		id:         fmt.Sprintf("%032x", len(k.versions)+0xc0ffee),
		kind:       kind,
		signer:     generate(kind),
		Operations: []string{"sign", "verify"},
	}
	k.versions = append(k.versions, v)
	return v
}

// Current is the newest version.
func (k *Key) Current() *Version {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.versions[len(k.versions)-1]
}

// ID is the version's name within its key.
func (v *Version) ID() string { return v.id }

// Public is the public key, nil for kinds that are listed only.
func (v *Version) Public() crypto.PublicKey {
	if v.signer == nil {
		return nil
	}
	return v.signer.Public()
}

// find returns a version, or nil; version "" is the current one.
func (s *Server) find(name, version string) *Version {
	s.mu.Lock()
	k := s.keys[name]
	s.mu.Unlock()
	if k == nil {
		return nil
	}
	if version == "" {
		return k.Current()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, v := range k.versions {
		if v.id == version {
			return v
		}
	}
	return nil
}

func identifier(name, version string) string {
	return "https://" + Host + "/keys/" + name + "/" + version
}

func (s *Server) create(w http.ResponseWriter, name string, body []byte) {
	var in struct {
		Kty     string `json:"kty"`
		Crv     string `json:"crv"`
		KeySize int    `json:"key_size"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		refuse(w, http.StatusBadRequest, "BadParameter", "", err.Error())
		return
	}
	kind := Kind(in.Crv)
	if in.Kty == "RSA" {
		kind = Kind(fmt.Sprint(in.KeySize))
	}
	s.mu.Lock()
	k := s.keys[name]
	s.mu.Unlock()
	if k != nil {
		k.AddVersion(kind)
	} else {
		k = s.AddKey(name, kind)
	}
	answer(w, k.Current().bundle(name, ""))
}

func (s *Server) get(w http.ResponseWriter, name, version string, f Fault) {
	v := s.find(name, version)
	if v == nil {
		refuse(w, http.StatusNotFound, "KeyNotFound", "", "A key with (name/id) "+name+"/"+version+" was not found in this key vault.")
		return
	}
	answer(w, v.bundle(name, f))
}

// bundle is the JSON of a version and its attributes.
func (v *Version) bundle(name string, f Fault) map[string]any {
	key := map[string]any{"kid": identifier(name, v.id), "key_ops": v.Operations}
	if f == OtherKey {
		key["kid"] = identifier("another", v.id)
	}
	switch pub := v.Public().(type) {
	case *rsa.PublicKey:
		key["kty"], key["n"], key["e"] = "RSA", encode(pub.N.Bytes()), encode(big.NewInt(int64(pub.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := pub.Bytes()
		if err != nil {
			panic("azurefake: " + err.Error())
		}
		x, y := raw[1:1+len(raw)/2], raw[1+len(raw)/2:]
		if f == BadPoint {
			y[len(y)-1] ^= 1
		}
		key["kty"], key["crv"], key["x"], key["y"] = "EC", pub.Params().Name, encode(x), encode(y)
		if v.kind == HSMP256 {
			key["kty"] = "EC-HSM"
		}
	default:
		key["kty"] = "oct"
		if v.kind == Secp256k1 {
			key["kty"], key["crv"], key["x"], key["y"] = "EC", "P-256K", encode(make([]byte, 32)), encode(make([]byte, 32))
		}
	}
	attributes := map[string]any{"enabled": !v.Disabled, "created": 1700000000, "updated": 1700000000}
	if !v.NotBefore.IsZero() {
		attributes["nbf"] = v.NotBefore.Unix()
	}
	if !v.Until.IsZero() {
		attributes["exp"] = v.Until.Unix()
	}
	return map[string]any{"key": key, "attributes": attributes}
}

// An algorithm is a JSON Web Algorithm (RFC 7518, 3.1).
type algorithm struct {
	hash crypto.Hash
	pss  bool
}

// algorithmsOf are those that Azure has for a kind of key.
func algorithmsOf(kind Kind) map[string]algorithm {
	switch kind {
	case P256, HSMP256:
		return map[string]algorithm{"ES256": {hash: crypto.SHA256}}
	case P384:
		return map[string]algorithm{"ES384": {hash: crypto.SHA384}}
	case P521:
		return map[string]algorithm{"ES512": {hash: crypto.SHA512}}
	}
	return map[string]algorithm{
		"RS256": {hash: crypto.SHA256}, "RS384": {hash: crypto.SHA384}, "RS512": {hash: crypto.SHA512},
		"PS256": {crypto.SHA256, true}, "PS384": {crypto.SHA384, true}, "PS512": {crypto.SHA512, true},
	}
}

func (s *Server) sign(w http.ResponseWriter, name, version string, body []byte, f Fault) {
	var in struct {
		Alg   string `json:"alg"`
		Value string `json:"value"`
	}
	err := json.Unmarshal(body, &in)
	v := s.find(name, version)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, "BadParameter", "", err.Error())
		return
	case v == nil:
		refuse(w, http.StatusNotFound, "KeyNotFound", "", "A key with (name/id) "+name+"/"+version+" was not found in this key vault.")
		return
	}
	digest, err := base64.RawURLEncoding.DecodeString(in.Value)
	alg, ok := algorithmsOf(v.kind)[in.Alg]
	if err != nil || !ok || v.signer == nil || len(digest) != alg.hash.Size() {
		refuse(w, http.StatusBadRequest, "BadParameter", "", "Property has invalid value: alg "+in.Alg)
		return
	}
	signature, err := v.sign(alg, digest, f)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "InternalServerError", "", err.Error())
		return
	}
	switch f {
	case Garbage:
		for i := range signature {
			signature[i] = 0xff
		}
	case Odd:
		signature = signature[:len(signature)-1]
	}
	answer(w, map[string]string{"kid": identifier(name, v.id), "value": encode(signature)})
}

func (v *Version) sign(alg algorithm, digest []byte, f Fault) ([]byte, error) {
	by := v.signer
	if f == WrongKey {
		v.mu.Lock()
		if v.other == nil {
			v.other = generate(v.kind)
		}
		by = v.other
		v.mu.Unlock()
	}
	var opts crypto.SignerOpts = alg.hash
	if alg.pss {
		opts = &rsa.PSSOptions{Hash: alg.hash, SaltLength: rsa.PSSSaltLengthEqualsHash}
	}
	k, ok := by.(*ecdsa.PrivateKey)
	if !ok || f == DER {
		return by.Sign(rand.Reader, digest, opts)
	}
	// RFC 7518, 3.4: r and s, each as long as the order of the curve.
	r, s, err := ecdsa.Sign(rand.Reader, k, digest)
	if err != nil {
		return nil, err
	}
	size := (k.Params().N.BitLen() + 7) / 8
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature, nil
}

// generate makes a private key, nil for kinds that are listed only; a failure
// of the random source ends the process anyway.
func generate(kind Kind) crypto.Signer {
	var k crypto.Signer
	var err error
	switch kind {
	case P256, HSMP256:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		k, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA2048:
		k, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		k, err = rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		k, err = rsa.GenerateKey(rand.Reader, 4096)
	default:
		return nil
	}
	if err != nil {
		panic("azurefake: " + err.Error())
	}
	return k
}
