package vault

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// A keyInfo is the part of a key's description that decides what it can sign.
type keyInfo struct {
	Type            string                     `json:"type"`
	Derived         bool                       `json:"derived"`
	SupportsSigning bool                       `json:"supports_signing"`
	LatestVersion   int                        `json:"latest_version"`
	MinDecryption   int                        `json:"min_decryption_version"`
	MinEncryption   int                        `json:"min_encryption_version"`
	Versions        map[string]json.RawMessage `json:"keys"`
}

// version returns the version of a key that has the public key that is wanted,
// or the latest one if want is nil.
func (e *engine) version(info *keyInfo, want crypto.PublicKey) (crypto.PublicKey, int, error) {
	unfit := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Unfit, opOpen, "%s: %w", e.where(), fmt.Errorf(format, args...))
	}
	if !info.SupportsSigning {
		return nil, 0, unfit("a key of type %.40q does not sign", info.Type).
			WithHint("make a key of type ecdsa-p256, ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072 or rsa-4096")
	}
	if info.Derived {
		return nil, 0, unfit("a derived key has no public key of its own").WithHint("make a key without derived=true")
	}
	number := info.LatestVersion
	var public crypto.PublicKey
	if want == nil {
		raw, ok := info.Versions[strconv.Itoa(number)]
		if !ok {
			return nil, 0, e.malformed(opRead, fmt.Errorf("the description of the key: its latest version %d is not in it", number))
		}
		var err error
		if public, err = publicKey(raw); err != nil {
			return nil, 0, e.malformed(opRead, fmt.Errorf("version %d: %w", number, err))
		}
	} else {
		var err error
		if public, number, err = e.find(info, want); err != nil {
			return nil, 0, err
		}
	}
	if _, err := signer.HashFor(public); err != nil {
		return nil, 0, unfit("%w", err).WithHint("make a key of another type, such as ecdsa-p256")
	}
	if number < info.MinEncryption {
		return nil, 0, unfit("version %d is below min_encryption_version %d, so the engine does not sign with it", number, info.MinEncryption).
			WithHint("allow older versions with %q, or use a certificate for a newer one", e.configCommand("min_encryption_version=0"))
	}
	return public, number, nil
}

// find looks for a public key among the versions of a key, the newest first.
func (e *engine) find(info *keyInfo, want crypto.PublicKey) (crypto.PublicKey, int, error) {
	wanted, ok := want.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return nil, 0, fault.New(fault.Unfit, opOpen, "a public key of type %T is wanted", want)
	}
	var numbers []int
	for name := range maps.Keys(info.Versions) {
		n, err := strconv.Atoi(name)
		if err != nil {
			return nil, 0, e.malformed(opRead, fmt.Errorf("the description of the key: a version %.20q", name))
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		public, err := publicKey(info.Versions[strconv.Itoa(n)])
		if err != nil {
			return nil, 0, e.malformed(opRead, fmt.Errorf("version %d: %w", n, err))
		}
		if wanted.Equal(public) {
			return public, n, nil
		}
	}
	err := fault.New(fault.Unfit, opOpen, "%s: none of its versions (%s) has the public key that is wanted", e.where(), ranges(numbers))
	if info.MinDecryption > 1 {
		return nil, 0, err.WithHint("versions below %d are archived: %q brings them back", info.MinDecryption, e.configCommand("min_decryption_version=1"))
	}
	return nil, 0, err.WithHint("the certificate belongs to another key: name that key, or have a certificate made for this one")
}

// ranges writes sorted numbers as in "1-3, 7".
func ranges(numbers []int) string {
	if len(numbers) == 0 {
		return "none"
	}
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(numbers[i])
		if j > i {
			part += "-" + strconv.Itoa(numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// publicKey reads the description of one version: PEM, but for Ed25519 the 32
// bytes in base64.
func publicKey(raw json.RawMessage) (crypto.PublicKey, error) {
	var version struct {
		Name      string `json:"name"`
		PublicKey string `json:"public_key"`
	}
	if err := json.Unmarshal(raw, &version); err != nil {
		return nil, fmt.Errorf("its description: %w", err)
	}
	if version.Name == "ed25519" {
		key, err := decodeBase64(version.PublicKey)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("public key: not %d bytes in base64", ed25519.PublicKeySize)
		}
		return ed25519.PublicKey(key), nil
	}
	block, rest := pem.Decode([]byte(version.PublicKey))
	if block == nil || block.Type != "PUBLIC KEY" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("public key: not one PEM block of type PUBLIC KEY")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	return key, nil
}
