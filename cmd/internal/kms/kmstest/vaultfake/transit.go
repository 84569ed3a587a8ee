package vaultfake

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A key is one of the transit engine.
type key struct {
	kind          string
	derived       bool
	versions      []crypto.Signer // the first is version 1; nil for a key that does not sign
	made          []time.Time
	minDecryption int
	minEncryption int
}

// CreateKey makes a key of one of transit's types: ecdsa-p256, ecdsa-p384,
// ecdsa-p521, ed25519, rsa-2048, rsa-3072, rsa-4096, or aes256-gcm96 and
// chacha20-poly1305, which do not sign. It replaces one of that name.
func (s *Server) CreateKey(name, kind string) error {
	k := &key{kind: kind, minDecryption: 1}
	if err := k.rotate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name] = k
	return nil
}

// ImportKey makes a key of a private one, which saves making an RSA key.
func (s *Server) ImportKey(name, kind string, private crypto.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name] = &key{kind: kind, minDecryption: 1, versions: []crypto.Signer{private}, made: []time.Time{time.Now()}}
}

// Rotate makes a new version of a key.
func (s *Server) Rotate(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	if !ok {
		return fmt.Errorf("vaultfake: no key %q", name)
	}
	return k.rotate()
}

// KeySettings are what the engine takes at keys/NAME/config, and whether a key
// is derived.
type KeySettings struct {
	MinDecryption int // versions below are not listed and do not sign; 0: unchanged
	MinEncryption int // versions below do not sign
	Derived       bool
}

// Configure changes the settings of a key.
func (s *Server) Configure(name string, settings KeySettings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	if !ok {
		return fmt.Errorf("vaultfake: no key %q", name)
	}
	if settings.MinDecryption != 0 {
		k.minDecryption = settings.MinDecryption
	}
	k.minEncryption, k.derived = settings.MinEncryption, settings.Derived
	return nil
}

// DeleteKey forgets a key.
func (s *Server) DeleteKey(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, name)
}

// generate makes a private key of a type of transit, nil for one that does not
// sign.
func generate(kind string) (crypto.Signer, error) {
	switch kind {
	case "ecdsa-p256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ecdsa-p521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ed25519":
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	case "rsa-2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "rsa-4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "aes256-gcm96", "chacha20-poly1305":
		return nil, nil
	}
	return nil, fmt.Errorf("unknown key type %s", kind)
}

func (k *key) rotate() error {
	private, err := generate(k.kind)
	if err != nil {
		return err
	}
	k.versions, k.made = append(k.versions, private), append(k.made, time.Now())
	return nil
}

func (k *key) signs() bool { return k.versions[0] != nil }

// createKey answers keys/NAME and keys/NAME/rotate. Like Vault it says 204 to
// the creation of a key that exists, and leaves it as it is.
func (s *Server) createKey(w http.ResponseWriter, name, rest string, body []byte) {
	s.mu.Lock()
	k, exists := s.keys[name]
	s.mu.Unlock()
	switch rest {
	case "":
		var request struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(body, &request); err != nil {
			fail(w, http.StatusBadRequest, "failed to parse JSON input")
			return
		}
		if !exists {
			if err := s.CreateKey(name, request.Type); err != nil {
				fail(w, http.StatusBadRequest, err.Error())
				return
			}
		}
	case "rotate":
		if !exists {
			fail(w, http.StatusBadRequest, "key not found")
			return
		}
		s.mu.Lock()
		err := k.rotate()
		s.mu.Unlock()
		if err != nil {
			fail(w, http.StatusInternalServerError, err.Error())
			return
		}
	default:
		fail(w, http.StatusNotFound, "1 error occurred:\n\t* unsupported path\n\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) readKey(w http.ResponseWriter, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	if !ok {
		fail(w, http.StatusNotFound)
		return
	}
	versions := map[string]any{}
	for i, private := range k.versions {
		if i+1 < k.minDecryption {
			continue
		}
		if private == nil {
			versions[strconv.Itoa(i+1)] = k.made[i].Unix()
			continue
		}
		public, err := k.describe(private)
		if err != nil {
			fail(w, http.StatusInternalServerError, err.Error())
			return
		}
		versions[strconv.Itoa(i+1)] = map[string]any{
			"name": k.versionName(), "public_key": public, "creation_time": k.made[i].UTC(),
		}
	}
	succeed(w, map[string]any{"data": map[string]any{
		"name": name, "type": k.kind, "derived": k.derived, "exportable": false, "deletion_allowed": false,
		"keys": versions, "latest_version": len(k.versions), "min_available_version": 0,
		"min_decryption_version": k.minDecryption, "min_encryption_version": k.minEncryption,
		"supports_signing": k.signs(), "supports_encryption": !k.signs() || strings.HasPrefix(k.kind, "rsa-"),
	}})
}

// versionName is what Vault calls a version: the curve, or the type.
func (k *key) versionName() string {
	if bits, ok := strings.CutPrefix(k.kind, "ecdsa-p"); ok {
		return "P-" + bits
	}
	return k.kind
}

func (k *key) describe(private crypto.Signer) (string, error) {
	if public, ok := private.Public().(ed25519.PublicKey); ok {
		if k.derived {
			return "", nil
		}
		return base64.StdEncoding.EncodeToString(public), nil
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// A signRequest has the defaults of Vault filled in by sign: a signature with
// the latest version, PSS for RSA, DER for ECDSA.
type signRequest struct {
	Input      string `json:"input"`
	Prehashed  bool   `json:"prehashed"`
	KeyVersion int    `json:"key_version"`
	Algorithm  string `json:"signature_algorithm"`
	Marshaling string `json:"marshaling_algorithm"`
	Salt       string `json:"salt_length"`
}

var hashes = map[string]crypto.Hash{
	"": crypto.SHA256, "sha2-256": crypto.SHA256, "sha2-384": crypto.SHA384, "sha2-512": crypto.SHA512,
}

func (s *Server) sign(w http.ResponseWriter, name, hashName string, body []byte, fault *Fault) {
	var r signRequest
	if err := json.Unmarshal(body, &r); err != nil {
		fail(w, http.StatusBadRequest, "failed to parse JSON input")
		return
	}
	hash, ok := hashes[hashName]
	if !ok {
		fail(w, http.StatusBadRequest, fmt.Sprintf("invalid hash algorithm %q", hashName))
		return
	}
	input, err := base64.StdEncoding.DecodeString(r.Input)
	if err != nil {
		fail(w, http.StatusBadRequest, "unable to decode input as base64: "+err.Error())
		return
	}
	private, version, status, text := s.choose(name, r.KeyVersion)
	if status != 0 {
		fail(w, status, text)
		return
	}
	if fault == nil {
		fault = &Fault{}
	}
	if fault.OtherKey {
		if private, err = another(private); err != nil {
			fail(w, http.StatusInternalServerError, err.Error())
			return
		}
	}
	signature, err := r.sign(private, hash, input, fault)
	if err != nil {
		fail(w, http.StatusInternalServerError, "1 error occurred:\n\t* "+err.Error()+"\n\n")
		return
	}
	encoding := base64.StdEncoding
	if r.Marshaling == "jws" {
		encoding = base64.RawURLEncoding
	}
	if fault.Mangle != nil {
		signature = fault.Mangle(signature)
	}
	if fault.Version != 0 {
		version = fault.Version
	}
	succeed(w, map[string]any{"data": map[string]any{
		"signature":   fmt.Sprintf("vault:v%d:%s", version, encoding.EncodeToString(signature)),
		"key_version": version,
	}})
}

// choose returns the private key of a version, 0 being the latest, or the
// answer that there is none, with the statuses of Vault 1.13.
func (s *Server) choose(name string, version int) (private crypto.Signer, number, status int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	switch {
	case !ok:
		return nil, 0, http.StatusBadRequest, "encryption key not found"
	case !k.signs():
		return nil, 0, http.StatusBadRequest, "key type " + k.kind + " does not support signing"
	case version == 0:
		version = len(k.versions)
	case version > len(k.versions):
		return nil, 0, http.StatusInternalServerError, "1 error occurred:\n\t* requested version for signing is higher than the latest key version\n\n"
	case version < k.minEncryption:
		return nil, 0, http.StatusInternalServerError, "1 error occurred:\n\t* requested version for signing is less than the minimum encryption key version\n\n"
	case version < k.minDecryption:
		return nil, 0, http.StatusInternalServerError, "1 error occurred:\n\t* no such key version\n\n"
	}
	return k.versions[version-1], version, 0, ""
}

func (r *signRequest) sign(private crypto.Signer, hash crypto.Hash, input []byte, fault *Fault) ([]byte, error) {
	if _, ok := private.(ed25519.PrivateKey); ok {
		return private.Sign(rand.Reader, input, crypto.Hash(0))
	}
	if !r.Prehashed {
		h := hash.New()
		h.Write(input)
		input = h.Sum(nil)
	}
	if k, ok := private.(*ecdsa.PrivateKey); ok {
		return r.signECDSA(k, hash, input, fault)
	}
	switch {
	case r.Algorithm == "pss", r.Algorithm == "", fault.PSS:
		salt := rsa.PSSSaltLengthAuto
		switch r.Salt {
		case "hash":
			salt = rsa.PSSSaltLengthEqualsHash
		case "", "auto":
		default:
			var err error
			if salt, err = strconv.Atoi(r.Salt); err != nil {
				return nil, fmt.Errorf("salt length neither 'auto', 'hash', nor an int: %s", r.Salt)
			}
		}
		return private.Sign(rand.Reader, input, &rsa.PSSOptions{Hash: hash, SaltLength: salt})
	case r.Algorithm == "pkcs1v15":
		return private.Sign(rand.Reader, input, hash)
	}
	return nil, fmt.Errorf("unsupported rsa signature algorithm %s", r.Algorithm)
}

func (r *signRequest) signECDSA(k *ecdsa.PrivateKey, hash crypto.Hash, input []byte, fault *Fault) ([]byte, error) {
	der, err := k.Sign(rand.Reader, input, hash)
	if err != nil || r.Marshaling != "jws" && !fault.P1363 {
		return der, err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	size := (k.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	rs.R.FillBytes(out[:size])
	rs.S.FillBytes(out[size:])
	return out, nil
}

// another makes a key like the one given.
func another(private crypto.Signer) (crypto.Signer, error) {
	switch k := private.(type) {
	case *ecdsa.PrivateKey:
		return ecdsa.GenerateKey(k.Curve, rand.Reader)
	case *rsa.PrivateKey:
		return rsa.GenerateKey(rand.Reader, k.N.BitLen())
	}
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return k, err
}
