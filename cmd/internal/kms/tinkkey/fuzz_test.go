package tinkkey

import (
	"bytes"
	"context"
	"crypto"
	"testing"

	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
)

// open is a wrapping key that encrypts nothing, so that a fuzzer reaches what
// is within.
type open struct{}

func (open) EncryptWithContext(_ context.Context, plaintext, _ []byte) ([]byte, error) {
	return plaintext, nil
}
func (open) DecryptWithContext(_ context.Context, ciphertext, _ []byte) ([]byte, error) {
	return ciphertext, nil
}
func (open) fault(_ context.Context, _ string, err error) error { return err }
func (open) mustExist(context.Context, string) error            { return nil }
func (open) close()                                             {}

// FuzzKeyset: what is read as a keyset has a key that signs, is the same when
// it is read again, and is written again by Tink; everything else is a fault
// and no key.
func FuzzKeyset(f *testing.F) {
	for _, t := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.Ed25519} {
		params, err := parameters(t)
		if err != nil {
			f.Fatal(err)
		}
		handle, err := newHandle(params)
		if err != nil {
			f.Fatal(err)
		}
		var text bytes.Buffer
		if err := handle.WriteWithContext(f.Context(), keyset.NewJSONWriter(&text), open{}, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(text.Bytes())
	}
	for _, template := range []*tinkpb.KeyTemplate{
		signature.RSA_SSA_PKCS1_3072_SHA256_F4_Key_Template(), signature.RSA_SSA_PSS_3072_SHA256_32_F4_Key_Template(),
	} {
		handle, err := keyset.NewHandle(template)
		if err != nil {
			f.Fatal(err)
		}
		var text bytes.Buffer
		if err := handle.WriteWithContext(f.Context(), keyset.NewJSONWriter(&text), open{}, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(text.Bytes())
	}
	f.Add([]byte(`{"primaryKeyId":1,"key":[]}`))
	f.Add([]byte(`{"encrypted_keyset":"AAAA"}`))
	u := signer.URI{Scheme: signer.SchemeTink, Path: "keyset.json"}
	read := func(t *testing.T, data []byte) (*Key, error) {
		if err := checkForm(data); err != nil {
			return nil, err
		}
		handle, err := decrypt(t.Context(), data, u, open{})
		if err != nil {
			return nil, err
		}
		return primary(handle, u)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := read(t, data)
		if err != nil {
			if k != nil || fault.KindOf(err) == "" {
				t.Errorf("key %v, error %v, want a fault and no key", k, err)
			}
			return
		}
		opts, err := signer.UsualOptions(k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Sign(t.Context(), make([]byte, max(1, size(opts.HashFunc()))), opts); err != nil {
			t.Errorf("sign: %v", err)
		}
		again, err := read(t, data)
		if err != nil || !k.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(again.Public()) {
			t.Errorf("read again: %v", err)
		}
	})
}

func size(hash crypto.Hash) int {
	if hash == 0 {
		return 0
	}
	return hash.Size()
}
