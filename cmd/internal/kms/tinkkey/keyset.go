package tinkkey

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/secretdata"
	tinkecdsa "github.com/tink-crypto/tink-go/v2/signature/ecdsa"
	tinked25519 "github.com/tink-crypto/tink-go/v2/signature/ed25519"
	"github.com/tink-crypto/tink-go/v2/signature/rsassapkcs1"
	"github.com/tink-crypto/tink-go/v2/signature/rsassapss"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// maxKeyset bounds a keyset file, in bytes. Google encrypts at most 64 KiB at
// once and AWS 4 KiB; in base64, and with a line about each key, that is less
// than this.
const maxKeyset = 256 << 10

const (
	hintTemplate = "make a signing keyset: tinkey create-keyset --key-template ECDSA_P256, or fencepost key create"
	hintJSON     = "a keyset in binary form is made JSON by tinkey convert-keyset --in-format binary --out-format json"
)

// readKeyset reads an encrypted keyset in JSON.
func readKeyset(path string) ([]byte, error) {
	const op = "read the keyset"
	data, err := readBounded(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.NotFound, op, "%w", err).WithHint("make one with fencepost key create, or with tinkey create-keyset")
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.New(fault.Denied, op, "%w", err).WithHint("let the user that this program runs as read %s", path)
	case err != nil:
		return nil, fault.New(fault.Malformed, op, "%w", err)
	}
	if err := checkForm(data); err != nil {
		err.Op, err.Err = op, fmt.Errorf("%s: %w", path, err.Err)
		return nil, err
	}
	return data, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyset+1))
	if err == nil && len(data) > maxKeyset {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("more than %d bytes", maxKeyset)}
	}
	return data, err
}

// checkForm tells an encrypted keyset from what else may be in a file of that
// name, before a service is asked. The names of the fields are those of the
// messages Keyset and EncryptedKeyset of Tink, in both forms that JSON of
// protocol buffers may have.
func checkForm(data []byte) *fault.Error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		if bytes.Contains(data, []byte("-----BEGIN ")) {
			return fault.New(fault.Malformed, "", "PEM, not a Tink keyset").WithHint("the URI of a key in a PEM file is file:PATH")
		}
		return fault.New(fault.Malformed, "", "not the JSON of a Tink keyset: %s", clip(err)).WithHint(hintJSON)
	}
	for _, name := range []string{"key", "primaryKeyId", "primary_key_id"} {
		if _, ok := fields[name]; ok {
			return fault.New(fault.Unfit, "", "the keyset is not encrypted: whoever reads the file has the key").
				WithHint("encrypt it with tinkey convert-keyset --new-master-key-uri WRAPPING-KEY and destroy this file; or better, make a new key")
		}
	}
	for _, name := range []string{"encryptedKeyset", "encrypted_keyset"} {
		if _, ok := fields[name]; ok {
			return nil
		}
	}
	return fault.New(fault.Malformed, "", "JSON, but not a Tink keyset: there is no encryptedKeyset in it").WithHint(hintTemplate)
}

// decrypt has the wrapping key decrypt a keyset, and Tink check it.
func decrypt(ctx context.Context, data []byte, u signer.URI, w wrappingKey) (*keyset.Handle, error) {
	encrypted, err := keyset.NewJSONReader(bytes.NewReader(data)).ReadEncrypted()
	if err == nil && len(encrypted.GetEncryptedKeyset()) == 0 {
		err = errors.New("encryptedKeyset is empty")
	}
	if err != nil {
		return nil, fault.New(fault.Malformed, "read the keyset", "%s: %s", u.Path, clip(err)).WithHint("restore the file from a copy")
	}
	op := opDecrypt + " " + u.Path
	rec := &recorder{wrappingKey: w}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewJSONReader(bytes.NewReader(data)), rec, nil)
	switch {
	case rec.err != nil:
		return nil, w.fault(ctx, op, rec.err)
	case err != nil && rec.empty:
		return nil, fault.New(fault.Malformed, op, "%s answered with nothing", u.WrappingKey)
	case err != nil:
		return nil, refused(op, err)
	}
	return handle, nil
}

// recorder keeps the error of a wrapping key, of which Tink keeps the text
// alone.
type recorder struct {
	wrappingKey
	err   error
	empty bool
}

func (r *recorder) DecryptWithContext(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := r.wrappingKey.DecryptWithContext(ctx, ciphertext, associatedData)
	r.err, r.empty = err, len(plaintext) == 0
	return plaintext, err
}

func (r *recorder) EncryptWithContext(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	ciphertext, err := r.wrappingKey.EncryptWithContext(ctx, plaintext, associatedData)
	r.err, r.empty = err, len(ciphertext) == 0
	return ciphertext, err
}

// refused is a keyset that was decrypted and that Tink does not take. Tink has
// no types for its reasons, so its words are looked at.
func refused(op string, err error) error {
	f := fault.New(fault.Unfit, op, "Tink refuses it: %s", clip(err))
	switch {
	case strings.Contains(err.Error(), "non-ENABLED primary"):
		return f.WithHint("enable or promote a key of it: tinkey enable-key, tinkey promote-key")
	case strings.Contains(err.Error(), "unsupported hash type"):
		return f.WithHint("P-256 goes with SHA-256, P-384 with SHA-384 or SHA-512, P-521 with SHA-512; %s", hintTemplate)
	}
	return f.WithHint(hintTemplate)
}

// primary takes the primary key out of a keyset.
func primary(handle *keyset.Handle, u signer.URI) (*Key, error) {
	op := "take the key out of the keyset " + u.Path
	entry, err := handle.Primary()
	if err != nil {
		return nil, fault.New(fault.Unfit, op, "%s", clip(err)).WithHint("tinkey promote-key makes a key the primary one")
	}
	if entry.KeyStatus() != keyset.Enabled {
		return nil, fault.New(fault.Unfit, op, "its primary key, %d, is %v", entry.KeyID(), entry.KeyStatus()).
			WithHint("enable or promote a key of it: tinkey enable-key, tinkey promote-key")
	}
	var private crypto.Signer
	var kind string
	var padding signer.Padding // of RSA
	switch k := entry.Key().(type) {
	case *tinkecdsa.PrivateKey:
		private, kind, err = ecdsaKey(k)
	case *tinked25519.PrivateKey:
		kind = "Ed25519"
		private = ed25519.NewKeyFromSeed(k.PrivateKeyBytes().Data(insecuresecretdataaccess.Token{}))
	case *rsassapss.PrivateKey:
		padding = signer.PSS
		private, kind, err = pssKey(k)
	case *rsassapkcs1.PrivateKey:
		padding = signer.PKCS1v15
		private, kind, err = pkcs1Key(k)
	default:
		return nil, fault.New(fault.Unfit, op, "its primary key, %d, is of the type %s; want EcdsaPrivateKey, Ed25519PrivateKey, RsaSsaPssPrivateKey or RsaSsaPkcs1PrivateKey",
			entry.KeyID(), typeName(handle, entry.KeyID())).WithHint(hintTemplate)
	}
	if err != nil {
		return nil, fault.New(fault.Unfit, op, "its primary key, %d: %w", entry.KeyID(), err).WithHint(hintTemplate)
	}
	key, err := signer.New(private)
	if err != nil {
		return nil, fault.New(fault.Malformed, op, "its primary key, %d: %w", entry.KeyID(), err)
	}
	note := fmt.Sprintf("key %d of the keyset, %s", entry.KeyID(), kind)
	if others := handle.Len() - 1; others == 1 {
		note += "; it is the primary one, the other key is not used"
	} else if others > 1 {
		note += fmt.Sprintf("; it is the primary one, the other %d keys are not used", others)
	}
	return &Key{key: key, note: note, path: u.Path, padding: padding}, nil
}

// curves are the curves with the hashes that Tink allows on them. The first is
// that of [signer.HashFor]. Tink's template ECDSA_P384 goes with SHA-512, which
// is as strong; what is signed has the hash of the caller.
var curves = []struct {
	curve  elliptic.Curve
	name   tinkecdsa.CurveType
	hashes []tinkecdsa.HashType
}{
	{elliptic.P256(), tinkecdsa.NistP256, []tinkecdsa.HashType{tinkecdsa.SHA256}},
	{elliptic.P384(), tinkecdsa.NistP384, []tinkecdsa.HashType{tinkecdsa.SHA384, tinkecdsa.SHA512}},
	{elliptic.P521(), tinkecdsa.NistP521, []tinkecdsa.HashType{tinkecdsa.SHA512}},
}

func ecdsaKey(k *tinkecdsa.PrivateKey) (crypto.Signer, string, error) {
	params, ok := k.Parameters().(*tinkecdsa.Parameters)
	if !ok {
		return nil, "", fmt.Errorf("ECDSA key with parameters of the type %T", k.Parameters())
	}
	for _, c := range curves {
		if c.name != params.CurveType() {
			continue
		}
		kind := fmt.Sprintf("ECDSA %s with %v", c.curve.Params().Name, params.HashType())
		if !slices.Contains(c.hashes, params.HashType()) {
			return nil, "", fmt.Errorf("%s; want %v", kind, c.hashes[0])
		}
		private, err := ecdsa.ParseRawPrivateKey(c.curve, k.PrivateKeyValue().Data(insecuresecretdataaccess.Token{}))
		return private, kind, err
	}
	return nil, "", fmt.Errorf("ECDSA key on the curve %v; want P-256, P-384 or P-521", params.CurveType())
}

// pssKey takes an RSA key out that Tink makes PSS signatures with. The hash and
// the salt are the caller's, as the hash is with ECDSA: Tink's template for 3072
// bits has SHA-256, where the Notary Project has SHA-384.
func pssKey(k *rsassapss.PrivateKey) (crypto.Signer, string, error) {
	params, ok := k.Parameters().(*rsassapss.Parameters)
	half, err := k.PublicKey()
	if err != nil {
		return nil, "", err
	}
	public, isPublic := half.(*rsassapss.PublicKey)
	if !ok || !isPublic {
		return nil, "", fmt.Errorf("RSA key with parameters of the type %T", k.Parameters())
	}
	private := rsaParts{public.Modulus(), params.PublicExponent(), k.D(), k.P(), k.Q()}.key()
	return private, fmt.Sprintf("RSA-PSS of %d bits with %v", params.ModulusSizeBits(), params.SigHashType()), nil
}

// pkcs1Key is pssKey for PKCS #1 v1.5.
func pkcs1Key(k *rsassapkcs1.PrivateKey) (crypto.Signer, string, error) {
	params, ok := k.Parameters().(*rsassapkcs1.Parameters)
	half, err := k.PublicKey()
	if err != nil {
		return nil, "", err
	}
	public, isPublic := half.(*rsassapkcs1.PublicKey)
	if !ok || !isPublic {
		return nil, "", fmt.Errorf("RSA key with parameters of the type %T", k.Parameters())
	}
	private := rsaParts{public.Modulus(), params.PublicExponent(), k.D(), k.P(), k.Q()}.key()
	return private, fmt.Sprintf("RSA PKCS #1 v1.5 of %d bits with %v", params.ModulusSizeBits(), params.HashType()), nil
}

// rsaParts are the numbers of an RSA key (RFC 8017, 3.2).
type rsaParts struct {
	modulus  []byte
	exponent int
	d, p, q  secretdata.Bytes
}

// key puts the parts together. That they belong together is checked where the
// key is taken.
func (r rsaParts) key() *rsa.PrivateKey {
	number := func(b secretdata.Bytes) *big.Int {
		return new(big.Int).SetBytes(b.Data(insecuresecretdataaccess.Token{}))
	}
	return &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).SetBytes(r.modulus), E: r.exponent},
		D:         number(r.d),
		Primes:    []*big.Int{number(r.p), number(r.q)},
	}
}

// typeName is the name of Tink for the type of a key.
func typeName(handle *keyset.Handle, id uint32) string {
	for _, info := range handle.KeysetInfo().GetKeyInfo() {
		if info.GetKeyId() == id {
			url := info.GetTypeUrl()
			return url[strings.LastIndexAny(url, "./")+1:]
		}
	}
	return "unknown"
}
