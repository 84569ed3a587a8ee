package tinkkey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"
	commonpb "github.com/tink-crypto/tink-go/v2/proto/common_go_proto"
	ecdsapb "github.com/tink-crypto/tink-go/v2/proto/ecdsa_go_proto"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/signature"
	"google.golang.org/protobuf/proto"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/tinkkey"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// newKeyset makes a keyset of one key for each template; the last is primary.
func newKeyset(t *testing.T, templates ...*tinkpb.KeyTemplate) *keyset.Handle {
	t.Helper()
	m := keyset.NewManager()
	for _, template := range templates {
		id, err := m.Add(template)
		if err == nil {
			err = m.SetPrimary(id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := m.Handle()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// message is a keyset as Tink would encrypt it.
func message(t *testing.T, h *keyset.Handle) *tinkpb.Keyset {
	t.Helper()
	var text bytes.Buffer
	if err := h.Write(keyset.NewJSONWriter(&text), bare{}); err != nil {
		t.Fatal(err)
	}
	plain, err := keyset.NewJSONReader(&text).ReadEncrypted()
	if err != nil {
		t.Fatal(err)
	}
	ks := new(tinkpb.Keyset)
	if err := proto.Unmarshal(plain.EncryptedKeyset, ks); err != nil {
		t.Fatal(err)
	}
	return ks
}

// seal is the file of a keyset that a service has encrypted.
func seal(t *testing.T, s service, plaintext []byte) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := keyset.NewJSONWriter(&text).WriteEncrypted(&tinkpb.EncryptedKeyset{EncryptedKeyset: s.encrypt(plaintext)}); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func sealKeyset(t *testing.T, s service, ks *tinkpb.Keyset) []byte {
	t.Helper()
	plaintext, err := proto.Marshal(ks)
	if err != nil {
		t.Fatal(err)
	}
	return seal(t, s, plaintext)
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keyset.json")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func uri(file, wrappingKey string) signer.URI {
	return signer.URI{Scheme: signer.SchemeTink, Path: file, WrappingKey: wrappingKey}
}

// Keysets that Tink itself made, of every service and every type.
func TestOpen(t *testing.T) {
	for _, s := range services(t) {
		t.Run(s.name, func(t *testing.T) {
			for _, tt := range []struct {
				name     string
				template *tinkpb.KeyTemplate
				note     string
			}{
				{"P-256", signature.ECDSAP256KeyTemplate(), "ECDSA P-256 with SHA256"},
				{"P-256 without a prefix", signature.ECDSAP256KeyWithoutPrefixTemplate(), "ECDSA P-256 with SHA256"},
				{"P-384", signature.ECDSAP384SHA384KeyTemplate(), "ECDSA P-384 with SHA384"},
				{"P-384 of the template ECDSA_P384", signature.ECDSAP384SHA512KeyTemplate(), "ECDSA P-384 with SHA512"},
				{"P-521", signature.ECDSAP521KeyTemplate(), "ECDSA P-521 with SHA512"},
				{"Ed25519", signature.ED25519KeyTemplate(), "Ed25519"},
				{"RSA-PSS", signature.RSA_SSA_PSS_3072_SHA256_32_F4_Key_Template(), "RSA-PSS of 3072 bits with SHA256"},
				{"RSA PKCS #1 v1.5", signature.RSA_SSA_PKCS1_3072_SHA256_F4_Key_Template(), "RSA PKCS #1 v1.5 of 3072 bits with SHA256"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					h := newKeyset(t, tt.template)
					file := write(t, sealKeyset(t, s, message(t, h)))
					open := func(t *testing.T) signer.Signer {
						k, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
						if err != nil {
							t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
						}
						t.Cleanup(func() {
							if err := k.Close(); err != nil {
								t.Error(err)
							}
						})
						if !k.InProcess() {
							t.Error("the key is not in this process")
						}
						if !strings.HasSuffix(k.Note(), tt.note) {
							t.Errorf("note %q, want %q at its end", k.Note(), tt.note)
						}
						return k
					}
					signertest.Run(t, open)
					if tt.name == "RSA-PSS" {
						signertest.RunPSS(t, open)
					}
				})
			}
		})
	}
}

// What we sign, Tink verifies, with a keyset that has no prefix.
func TestTinkVerifies(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	for _, tt := range []struct {
		template *tinkpb.KeyTemplate
		opts     crypto.SignerOpts
	}{
		{signature.ECDSAP384SHA384KeyWithoutPrefixTemplate(), crypto.SHA384},
		{signature.ED25519KeyWithoutPrefixTemplate(), crypto.Hash(0)},
		{signature.RSA_SSA_PSS_4096_SHA512_64_F4_Raw_Key_Template(), signer.PSS.Options(crypto.SHA512)},
		{signature.RSA_SSA_PKCS1_4096_SHA512_F4_RAW_Key_Template(), crypto.SHA512},
	} {
		h := newKeyset(t, tt.template)
		k, err := tinkkey.Open(t.Context(), uri(write(t, sealKeyset(t, s, message(t, h))), s.key), s.cfg)
		if err != nil {
			t.Fatal(err)
		}
		input := []byte("a message")
		if hash := tt.opts.HashFunc(); hash != 0 {
			h := hash.New()
			h.Write(input)
			input = h.Sum(nil)
		}
		sig, err := k.Sign(t.Context(), input, tt.opts)
		if err != nil {
			t.Fatal(err)
		}
		public, err := h.Public()
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := signature.NewVerifier(public)
		if err != nil {
			t.Fatal(err)
		}
		if err := verifier.Verify(sig, []byte("a message")); err != nil {
			t.Errorf("%v: %v", tt.opts, err)
		}
	}
}

// An RSA key of a keyset is for one padding.
func TestPadding(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	for _, tt := range []struct {
		template    *tinkpb.KeyTemplate
		opts        crypto.SignerOpts
		words, hint string
	}{
		{signature.RSA_SSA_PSS_3072_SHA256_32_F4_Key_Template(), crypto.SHA256, "is for RSA-PSS, not", "RSA_SSA_PKCS1_..."},
		{signature.RSA_SSA_PKCS1_3072_SHA256_F4_Key_Template(), signer.PSS.Options(crypto.SHA256), "is for RSA PKCS #1 v1.5, not", "RSA_SSA_PSS_..."},
	} {
		k, err := tinkkey.Open(t.Context(), uri(write(t, sealKeyset(t, s, message(t, newKeyset(t, tt.template)))), s.key), s.cfg)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := k.Sign(t.Context(), make([]byte, 32), tt.opts)
		check(t, err, fault.Unsupported, tt.words, tt.hint)
		if signature != nil {
			t.Error("a signature came with the error")
		}
	}
}

// Of several keys it is the primary one, and the note says that.
func TestSeveralKeys(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	h := newKeyset(t, signature.ED25519KeyTemplate(), aead.AES256GCMKeyTemplate(), signature.ECDSAP256KeyTemplate())
	k, err := tinkkey.Open(t.Context(), uri(write(t, sealKeyset(t, s, message(t, h))), s.key), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := k.Public().(*ecdsa.PublicKey); !ok {
		t.Errorf("a key of the type %T, want ECDSA", k.Public())
	}
	entry, err := h.Primary()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("key %d of", entry.KeyID()), "the other 2 keys are not used"} {
		if !strings.Contains(k.Note(), want) {
			t.Errorf("note %q, want %q in it", k.Note(), want)
		}
	}
}

// unprintable is a word of secrets that no error may have.
const unprintable = "hvs.secret-secret"

func check(t *testing.T, err error, kind fault.Kind, words, hint string) {
	t.Helper()
	if got := fault.KindOf(err); got != kind {
		t.Errorf("kind %q, want %q: %v", got, kind, err)
	}
	if err == nil {
		return
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("error %q, want %q in it", err, words)
	}
	if got := fault.HintOf(err); !strings.Contains(got, hint) || got == "" != (hint == "") {
		t.Errorf("hint %q, want %q in it", got, hint)
	}
	if text := err.Error() + fault.HintOf(err); strings.Contains(text, unprintable) || strings.Contains(text, vaultToken) || strings.Contains(text, "\n") {
		t.Errorf("a secret, or a second line, in %q", text)
	}
}

// Files that are not what they have to be.
func TestBadKeysets(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	p256 := func(change func(*tinkpb.Keyset)) []byte {
		ks := message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))
		change(ks)
		return sealKeyset(t, s, ks)
	}
	params := func(curve commonpb.EllipticCurveType, hash commonpb.HashType) []byte {
		template := map[commonpb.EllipticCurveType]*tinkpb.KeyTemplate{
			commonpb.EllipticCurveType_NIST_P256: signature.ECDSAP256KeyTemplate(),
			commonpb.EllipticCurveType_NIST_P384: signature.ECDSAP384SHA384KeyTemplate(),
			commonpb.EllipticCurveType_NIST_P521: signature.ECDSAP521KeyTemplate(),
		}[curve]
		ks := message(t, newKeyset(t, template))
		var k ecdsapb.EcdsaPrivateKey
		if err := proto.Unmarshal(ks.Key[0].KeyData.Value, &k); err != nil {
			t.Fatal(err)
		}
		k.PublicKey.Params.HashType = hash
		value, err := proto.Marshal(&k)
		if err != nil {
			t.Fatal(err)
		}
		ks.Key[0].KeyData.Value = value
		return sealKeyset(t, s, ks)
	}
	public := func() []byte {
		h, err := newKeyset(t, signature.ECDSAP256KeyTemplate()).Public()
		if err != nil {
			t.Fatal(err)
		}
		return sealKeyset(t, s, message(t, h))
	}
	cleartext := func() []byte {
		var text bytes.Buffer
		if err := keyset.NewJSONWriter(&text).Write(message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))); err != nil {
			t.Fatal(err)
		}
		return text.Bytes()
	}
	for _, tt := range []struct {
		name        string
		data        []byte
		kind        fault.Kind
		words, hint string
	}{
		{"cleartext", cleartext(), fault.Unfit, "not encrypted", "--new-master-key-uri"},
		{"cleartext with names of protocol buffers", []byte(`{"primary_key_id":1}`), fault.Unfit, "not encrypted", "--new-master-key-uri"},
		{"empty file", nil, fault.Malformed, "not the JSON of a Tink keyset", "--in-format binary"},
		{"corrupt JSON", []byte(`{"encryptedKeyset":"AAAA"`), fault.Malformed, "not the JSON of a Tink keyset", "--in-format binary"},
		{"trailing data", append(p256(func(*tinkpb.Keyset) {}), '{'), fault.Malformed, "not the JSON of a Tink keyset", "--in-format binary"},
		{"binary keyset", s.encrypt([]byte("x")), fault.Malformed, "not the JSON of a Tink keyset", "--in-format binary"},
		{"PEM", []byte("-----BEGIN PRIVATE KEY-----\n"), fault.Malformed, "PEM, not a Tink keyset", "file:PATH"},
		{"other JSON", []byte(`{"a":1}`), fault.Malformed, "there is no encryptedKeyset", "ECDSA_P256"},
		{"JSON that is no object", []byte(`[]`), fault.Malformed, "not the JSON of a Tink keyset", "binary"},
		{"not base64", []byte(`{"encryptedKeyset":"*"}`), fault.Malformed, "base64", "restore"},
		{"empty keyset field", []byte(`{"encryptedKeyset":""}`), fault.Malformed, "encryptedKeyset is empty", "restore"},
		{"unknown field", []byte(`{"encryptedKeyset":"AAAA","more":1}`), fault.Malformed, `unknown field "more"`, "restore"},
		{"field twice", []byte(`{"encryptedKeyset":"AAAA","encryptedKeyset":"AAAA"}`), fault.Malformed, "duplicate", "restore"},
		{"too long", bytes.Repeat([]byte(" "), 256<<10+1), fault.Malformed, "more than 262144 bytes", ""},
		{"damaged ciphertext", seal(t, service{encrypt: func([]byte) []byte { return []byte("vault:v1:AAAA") }}, nil), fault.Unfit, "did not encrypt it", "name the key"},
		{"not a keyset within", seal(t, s, []byte{0xff, 0xff}), fault.Unfit, "invalid keyset", "ECDSA_P256"},
		{"nothing within", seal(t, s, nil), fault.Malformed, "answered with nothing", ""},
		{"AEAD", sealKeyset(t, s, message(t, newKeyset(t, aead.AES256GCMKeyTemplate()))), fault.Unfit, "is of the type AesGcmKey; want EcdsaPrivateKey", "ECDSA_P256"},
		{"MAC", sealKeyset(t, s, message(t, newKeyset(t, mac.HMACSHA256Tag128KeyTemplate()))), fault.Unfit, "is of the type HmacKey", "ECDSA_P256"},
		{"AEAD as primary key of several", sealKeyset(t, s, message(t, newKeyset(t, signature.ED25519KeyTemplate(), aead.AES256GCMKeyTemplate()))), fault.Unfit, "AesGcmKey", "ECDSA_P256"},
		{"a type of tomorrow", p256(func(ks *tinkpb.Keyset) {
			ks.Key[0].KeyData.TypeUrl = "type.googleapis.com/google.crypto.tink.NewPrivateKey"
		}), fault.Unfit, "is of the type NewPrivateKey", "ECDSA_P256"},
		{"public key", public(), fault.Unfit, "is of the type EcdsaPublicKey", "ECDSA_P256"},
		{"primary key disabled", p256(func(ks *tinkpb.Keyset) { ks.Key[0].Status = tinkpb.KeyStatusType_DISABLED }), fault.Unfit, "non-ENABLED primary key", "tinkey enable-key"},
		{"primary key destroyed", p256(func(ks *tinkpb.Keyset) {
			ks.Key[0].Status, ks.Key[0].KeyData = tinkpb.KeyStatusType_DESTROYED, &tinkpb.KeyData{}
		}), fault.Unfit, "non-ENABLED primary key", "tinkey enable-key"},
		{"no primary key", p256(func(ks *tinkpb.Keyset) { ks.PrimaryKeyId++ }), fault.Unfit, "primary key", "ECDSA_P256"},
		{"no key", p256(func(ks *tinkpb.Keyset) { ks.Key = nil }), fault.Unfit, "empty keyset", "ECDSA_P256"},
		{"P-256 with SHA-512", params(commonpb.EllipticCurveType_NIST_P256, commonpb.HashType_SHA512), fault.Unfit, "NIST_P256, SHA512", "P-256 goes with SHA-256"},
		{"P-384 with SHA-256", params(commonpb.EllipticCurveType_NIST_P384, commonpb.HashType_SHA256), fault.Unfit, "NIST_P384, SHA256", "P-384 with SHA-384"},
		{"P-521 with SHA-384", params(commonpb.EllipticCurveType_NIST_P521, commonpb.HashType_SHA384), fault.Unfit, "NIST_P521, SHA384", "P-521 with SHA-512"},
		{"public half of another key", p256(func(ks *tinkpb.Keyset) {
			var a, b ecdsapb.EcdsaPrivateKey
			other := message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))
			if err := errors.Join(proto.Unmarshal(ks.Key[0].KeyData.Value, &a), proto.Unmarshal(other.Key[0].KeyData.Value, &b)); err != nil {
				t.Fatal(err)
			}
			a.PublicKey = b.PublicKey
			ks.Key[0].KeyData.Value, _ = proto.Marshal(&a)
		}), fault.Unfit, "Tink refuses it", "ECDSA_P256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := write(t, tt.data)
			k, err := tinkkey.Open(t.Context(), uri(file, s.key), s.cfg)
			check(t, err, tt.kind, tt.words, tt.hint)
			if k != nil || err != nil && !strings.Contains(err.Error(), file) {
				t.Errorf("key %v, error %v, want no key and an error that names %s", k, err, file)
			}
		})
	}
}

func TestBadURI(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	file := write(t, sealKeyset(t, s, message(t, newKeyset(t, signature.ECDSAP256KeyTemplate()))))
	host := strings.TrimPrefix(v.URL, "http://")
	bad := func(name string) string { return filepath.Join(filepath.Dir(file), name) }
	tokens := func(text string) string {
		name := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		name        string
		change      func(*signer.URI)
		kind        fault.Kind
		words, hint string
	}{
		{"another scheme", func(u *signer.URI) { *u = signer.URI{Scheme: signer.SchemeFile, Path: file} }, fault.Malformed, "does not name a Tink keyset", "tink:/FILE"},
		{"no such file", func(u *signer.URI) { u.Path = bad("none.json") }, fault.NotFound, "none.json", "key create"},
		{"a folder", func(u *signer.URI) { u.Path = filepath.Dir(file) }, fault.Malformed, filepath.Dir(file), ""},
		{"Azure", func(u *signer.URI) { u.WrappingKey = "azure-kms://vault/key" }, fault.Unsupported, "azure-kms://vault/key", "--new-master-key-uri"},
		{"Google with a version", func(u *signer.URI) { u.WrappingKey = "gcp-kms://" + googleRing + "k/cryptoKeyVersions/1" }, fault.Malformed, "not the name of a key", "without a version"},
		{"AWS without an ARN", func(u *signer.URI) { u.WrappingKey = "aws-kms://alias/tsa" }, fault.Malformed, "not the ARN of a key", "arn:aws:kms"},
		{"token for AWS", func(u *signer.URI) { u.WrappingKey, u.TokenEnv = "aws-kms://"+awsAccount+"tsa", "T" }, fault.Malformed, "a token goes with", ""},
		{"Vault without a host", func(u *signer.URI) { u.WrappingKey = "hcvault:///transit/keys/tsa" }, fault.Malformed, "not a key of Vault", "HOST:PORT"},
		{"Vault with an operation", func(u *signer.URI) { u.WrappingKey = "hcvault://" + host + "/transit/encrypt/tsa" }, fault.Malformed, "not a key of Vault", "HOST:PORT"},
		{"Vault without an engine", func(u *signer.URI) { u.WrappingKey = "hcvault://" + host + "/keys/tsa" }, fault.Malformed, "not a key of Vault", "HOST:PORT"},
		{"Vault with a query", func(u *signer.URI) { u.WrappingKey = "hcvault://" + host + "/transit/keys/tsa?x=1" }, fault.Malformed, "not a key of Vault", "HOST:PORT"},
		{"no such key", func(u *signer.URI) { u.WrappingKey = s.missing }, fault.NotFound, "has no key transit/keys/nobody", "vault write -f transit/keys/nobody"},
		{"no such engine", func(u *signer.URI) { u.WrappingKey = "hcvault://" + host + "/sonata/keys/tsa" }, fault.NotFound, "sonata/keys/tsa", "mounted"},
		{"another key", func(u *signer.URI) { u.WrappingKey = s.other }, fault.Unfit, "transit/keys/other at " + v.URL + " did not encrypt it", "name the key"},
		{"token of a file that is not there", func(u *signer.URI) { u.TokenFile = bad("token") }, fault.Credentials, "token", "token-file"},
		{"token of an empty file", func(u *signer.URI) { u.TokenFile = tokens("\n") }, fault.Credentials, "has none", "token-file"},
		{"token of two lines", func(u *signer.URI) { u.TokenFile = tokens(unprintable + "\nmore\n") }, fault.Credentials, "white space", "one line"},
		{"token too long", func(u *signer.URI) { u.TokenFile = tokens(strings.Repeat("a", 5000)) }, fault.Credentials, "more than 4096 bytes", "the file with the token"},
		{"token of no variable", func(u *signer.URI) { u.TokenEnv = "NOBODY" }, fault.Credentials, "the environment variable NOBODY has none", "token-env"},
		{"expired token", func(u *signer.URI) { u.TokenFile = tokens(unprintable) }, fault.Credentials, "is not valid, or not any more", "get a new token"},
		{"token without a policy", func(u *signer.URI) { u.TokenFile = tokens("hvs.weak\n") }, fault.Denied, "answers 403: permission denied", "update on transit/decrypt/tsa"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := uri(file, s.key)
			tt.change(&u)
			k, err := tinkkey.Open(t.Context(), u, s.cfg)
			check(t, err, tt.kind, tt.words, tt.hint)
			if k != nil {
				t.Error("a key came with the error")
			}
		})
	}
	t.Run("no token at all", func(t *testing.T) {
		_, err := tinkkey.Open(t.Context(), uri(file, s.key), tinkkey.Config{})
		check(t, err, fault.Credentials, "VAULT_TOKEN has none", "token-file=")
	})
	t.Run("token of the file before that of the environment", func(t *testing.T) {
		u := uri(file, s.key)
		u.TokenFile = tokens(vaultToken + "\n")
		env := environment(map[string]string{"VAULT_TOKEN": "hvs.wrong", "VAULT_ADDR": v.URL + "/", "MINE": vaultToken})
		if _, err := tinkkey.Open(t.Context(), u, tinkkey.Config{LookupEnv: env}); err != nil {
			t.Errorf("token-file: %v", err)
		}
		u.TokenFile, u.TokenEnv = "", "MINE"
		if _, err := tinkkey.Open(t.Context(), u, tinkkey.Config{LookupEnv: env}); err != nil {
			t.Errorf("token-env: %v", err)
		}
	})
}

func TestCreate(t *testing.T) {
	for _, s := range services(t) {
		for _, kind := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.Ed25519} {
			t.Run(s.name+" "+string(kind), func(t *testing.T) {
				u := uri(filepath.Join(t.TempDir(), "keyset.json"), s.key)
				if err := tinkkey.Create(t.Context(), u, kind, s.cfg); err != nil {
					t.Fatalf("%v (hint: %s)", err, fault.HintOf(err))
				}
				if st, err := os.Stat(u.Path); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
					t.Errorf("the file: %v, %v, want the mode 0600", st.Mode(), err)
				}
				k, err := tinkkey.Open(t.Context(), u, s.cfg)
				if err != nil {
					t.Fatal(err)
				}
				want, err := signer.Generate(kind)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := describe(k.Public()), describe(want.Public()); got != want {
					t.Errorf("a key of %s, want %s", got, want)
				}
				before, err := os.ReadFile(u.Path)
				if err != nil {
					t.Fatal(err)
				}
				err = tinkkey.Create(t.Context(), u, kind, s.cfg)
				check(t, err, fault.Unfit, "file already exists, and is not replaced", "name another file")
				if !errors.Is(err, fs.ErrExist) {
					t.Errorf("error %v, want one that wraps %v", err, fs.ErrExist)
				}
				if after, err := os.ReadFile(u.Path); err != nil || !bytes.Equal(before, after) {
					t.Errorf("the file that was there was changed: %v", err)
				}
			})
		}
	}
}

func describe(pub crypto.PublicKey) string {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		return pub.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

func TestCreateRefuses(t *testing.T) {
	v := newVault(t, (*httptest.Server).Start)
	s := v.service("vault")
	_, g := newGoogle(t)
	aws, a := newAmazon(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "keyset.json")
	link := filepath.Join(dir, "link.json")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name        string
		u           signer.URI
		kind        signer.KeyType
		cfg         tinkkey.Config
		want        fault.Kind
		words, hint string
	}{
		{"RSA", uri(file, s.key), signer.RSA2048, s.cfg, fault.Unsupported, `type "rsa2048"`, "p256, p384, p521 or ed25519"},
		{"no type", uri(file, s.key), "", s.cfg, fault.Unsupported, `type ""`, "p256"},
		{"no folder", uri(filepath.Join(dir, "none", "k"), s.key), signer.P256, s.cfg, fault.NotFound, "none", "make the folder"},
		{"a link that leads nowhere", uri(link, s.key), signer.P256, s.cfg, fault.Unfit, "file already exists, and is not replaced", "name another file"},
		{"Vault without the key", uri(file, s.missing), signer.P256, s.cfg, fault.NotFound, "has no key transit/keys/nobody", "vault write -f"},
		{"Vault without a policy", uri(file, s.key), signer.P256, tinkkey.Config{LookupEnv: environment(map[string]string{"VAULT_TOKEN": "hvs.weak", "VAULT_ADDR": v.URL})}, fault.Denied, "permission denied", "transit/encrypt/tsa"},
		{"Google without the key", uri(file, g.missing), signer.P256, g.cfg, fault.NotFound, g.missing, "gcloud"},
		{"AWS without the key", uri(file, a.missing), signer.P256, a.cfg, fault.NotFound, a.missing, "create-key"},
		{"AWS key that signs", uri(file, a.key), signer.P256, a.cfg, fault.Unfit, "InvalidKeyUsage", "ENCRYPT_DECRYPT"},
		{"another scheme", signer.URI{Scheme: signer.SchemeMemory}, signer.P256, s.cfg, fault.Malformed, "does not name", "tink:/FILE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			aws.fail = ""
			if tt.hint == "ENCRYPT_DECRYPT" {
				aws.fail = "InvalidKeyUsageException"
			}
			check(t, tinkkey.Create(t.Context(), tt.u, tt.kind, tt.cfg), tt.want, tt.words, tt.hint)
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
				t.Errorf("files that were left: %v, %v", entries, err)
			}
			v.mu.Lock()
			defer v.mu.Unlock()
			if len(v.keys) != 2 {
				t.Error("a key was made in Vault")
			}
		})
	}
}
