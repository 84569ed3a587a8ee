// Package tinkkey signs with keys of Tink keysets: files that are encrypted by
// a key of Google Cloud KMS, AWS KMS or HashiCorp Vault, the wrapping key.
//
//	tink:/etc/tsa/keyset.json?key=gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k
//	tink:/etc/tsa/keyset.json?key=aws-kms://arn:aws:kms:eu-central-1:1234:key/5678
//	tink:/etc/tsa/keyset.json?key=hcvault://vault.example:8200/transit/keys/k&token-file=/run/secrets/vault
//
// [Open] reads the keyset, has the service decrypt it once, and takes the
// primary key out. From then on the key is in this process, signs at the speed
// of memory and needs the service no more: the service guards the file, not
// the key in use. The output prefix and the signature encoding that Tink
// remembers beside a key say how Tink writes signatures; certificates and
// tokens know neither, and have the bare signature, in DER.
//
// The keyset is JSON, as tinkey writes it. A keyset that is not encrypted is
// refused, and so are keys that are not ECDSA on P-256, P-384 or P-521 with the
// hash that Tink allows there, Ed25519, or RSA. Of an RSA key Tink knows which
// padding it is for, PSS or PKCS #1 v1.5, and it makes no other signatures here.
//
// # Services
//
// Google and AWS are asked with the credentials that their own libraries find.
// Vault is asked with the token that the URI names, else with that in
// VAULT_TOKEN, at the address in the URI, over TLS. Only where VAULT_ADDR says
// http:// and the same host and port is it plain HTTP, as with a server for
// development. VAULT_CACERT and its like, VAULT_NAMESPACE and VAULT_SKIP_VERIFY
// mean what they mean to every client of Vault.
package tinkkey

import (
	"context"
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"google.golang.org/api/option"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// Config is what opening a keyset needs beside its URI. The zero Config is
// usable.
type Config struct {
	// LookupEnv reads a variable of the environment: VAULT_TOKEN, VAULT_ADDR and
	// the one that the URI names. nil: none is set.
	LookupEnv func(name string) (string, bool)

	// GoogleOptions go to the client of Google Cloud KMS. nil: its own defaults.
	GoogleOptions []option.ClientOption
}

// patience is how long a wrapping key may take over one keyset. The services
// answer within a second; their libraries would try for minutes.
const patience = 20 * time.Second

// A Key signs with the primary key of a keyset.
type Key struct {
	key     *signer.Key
	note    string
	path    string
	padding signer.Padding // of an RSA key
}

// Open reads the keyset of a tink URI and decrypts it; ctx bounds that. Every
// error wraps a [fault.Error].
func Open(ctx context.Context, u signer.URI, cfg Config) (*Key, error) {
	if err := checkScheme(u); err != nil {
		return nil, err
	}
	data, err := readKeyset(u.LocalPath())
	if err != nil {
		return nil, err
	}
	var k *Key
	err = withWrappingKey(ctx, u, cfg, func(ctx context.Context, w wrappingKey) error {
		handle, err := decrypt(ctx, data, u, w)
		if err != nil {
			return err
		}
		k, err = primary(handle, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func checkScheme(u signer.URI) error {
	if u.Scheme != signer.SchemeTink || u.Path == "" || u.WrappingKey == "" {
		return fault.New(fault.Malformed, "", "%.100q does not name a Tink keyset and its wrapping key", u.String()).
			WithHint("write tink:/FILE?key=WRAPPING-KEY")
	}
	return nil
}

// withWrappingKey calls f with the wrapping key of u and lets go of it
// afterwards. The libraries of the services read what came over the network;
// if that makes one of them panic, it is an error of the service.
func withWrappingKey(ctx context.Context, u signer.URI, cfg Config, f func(context.Context, wrappingKey) error) (err error) {
	if err := ctx.Err(); err != nil {
		return fault.New(fault.Unreachable, "", "%s: %w", u.Path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fault.New(fault.Malformed, "", "%s: the library of the wrapping key %s panicked: %.200q", u.Path, u.WrappingKey, fmt.Sprint(r))
		}
	}()
	w, err := openWrappingKey(ctx, u, cfg)
	if err != nil {
		return err
	}
	defer w.close()
	return f(ctx, w)
}

// Public implements [signer.Signer].
func (k *Key) Public() crypto.PublicKey { return k.key.Public() }

// Hashes returns nil: the hash is the caller's.
func (k *Key) Hashes() []crypto.Hash { return nil }

// Paddings returns the padding that Tink has an RSA key for, nil for another
// key.
func (k *Key) Paddings() []signer.Padding {
	if k.padding == "" {
		return nil
	}
	return []signer.Padding{k.padding}
}

// Sign implements [signer.Signer], as [signer.Key] does, but for the padding
// that the key is not for, which is [fault.Unsupported].
func (k *Key) Sign(ctx context.Context, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	_, isPSS := opts.(*rsa.PSSOptions)
	switch {
	case k.padding == signer.PKCS1v15 && isPSS:
		return nil, fault.New(fault.Unsupported, "sign", "%s: the key of the keyset is for RSA PKCS #1 v1.5, not for RSA-PSS", k.path).
			WithHint("make a keyset with one of Tink's templates RSA_SSA_PSS_..., or with ECDSA_P256")
	case k.padding == signer.PSS && !isPSS:
		return nil, fault.New(fault.Unsupported, "sign", "%s: the key of the keyset is for RSA-PSS, not for RSA PKCS #1 v1.5", k.path).
			WithHint("RSA signatures in timestamps and certificates are PKCS #1 v1.5: make a keyset with one of Tink's templates RSA_SSA_PKCS1_..., or with ECDSA_P256")
	}
	return k.key.Sign(ctx, digest, opts)
}

// InProcess returns true: the wrapping key is elsewhere, the signing key is
// here.
func (k *Key) InProcess() bool { return true }

// Note says which key of the keyset this is, in a few words for a person.
func (k *Key) Note() string { return k.note }

// Close releases nothing: what opening needed is gone already.
func (k *Key) Close() error { return nil }

var (
	_ signer.Signer    = (*Key)(nil)
	_ signer.Tied      = (*Key)(nil)
	_ signer.InProcess = (*Key)(nil)
)

// clip keeps the words of a service to what belongs into one line.
func clip(err error) string { return fault.Words(err.Error()) }

// ended returns a fault if err came because ctx did, in the sense of the
// caller's context or of our patience.
func ended(ctx context.Context, op string, err error) *fault.Error {
	cause := ctx.Err()
	switch {
	case cause == nil:
		return nil
	case errors.Is(err, cause):
		return fault.New(fault.Unreachable, op, "no answer in time: %w", cause)
	}
	return fault.New(fault.Unreachable, op, "no answer in time: %s: %w", clip(err), cause)
}
