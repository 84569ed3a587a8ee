//go:build cgo

package pkcs11

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// pinConfig is that of the right PIN, in the variable PIN.
func pinConfig() Config {
	return Config{LookupEnv: func(name string) (string, bool) {
		return map[string]string{"PIN": goodPIN, "WRONG": "9999"}[name], name == "PIN" || name == "WRONG"
	}}
}

// at returns where a URI points in a module; the caller opens or creates.
func at(t testing.TB, m *module, path string) place {
	t.Helper()
	u, err := ParseURI(path + "?module-path=/fake.so&pin-source=env:PIN")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.acquire(opOpen); err != nil {
		t.Fatal(err)
	}
	return place{m, u, pinConfig()}
}

func openAt(t testing.TB, m *module, path string) *Key {
	t.Helper()
	k, err := at(t, m, path).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// oneKey is a module with one token and one key in it.
func oneKey(t testing.TB, kt signer.KeyType) (*fake, *module, *fakeToken) {
	t.Helper()
	f := newFake()
	token := f.token(1, "tsa")
	f.key(t, token, "k", "\x01", kt)
	return f, newModule("/fake.so", f), token
}

var testDigest = sha256.Sum256([]byte("digest"))

func sign(t testing.TB, k *Key) error {
	t.Helper()
	signature, err := k.Sign(t.Context(), testDigest[:], crypto.SHA256)
	if (signature == nil) != (err != nil) {
		t.Errorf("Sign() = %x, %v", signature, err)
	}
	return err
}

func TestConformance(t *testing.T) {
	for _, kt := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.Ed25519} {
		t.Run(string(kt), func(t *testing.T) {
			f, m, _ := oneKey(t, kt)
			open := func(t *testing.T) signer.Signer { return openAt(t, m, "token=tsa;object=k") }
			signertest.Run(t, open)
			if kt == signer.RSA2048 {
				signertest.RunPSS(t, open)
			}
			if f.most > defaultSessions {
				t.Errorf("%d sessions at once", f.most)
			}
		})
	}
}

// What Open refuses, with what an operator reads.
func TestOpenRefuses(t *testing.T) {
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		uri     string
		change  func(f *fake, token *fakeToken, private, public *fakeObject)
		kind    fault.Kind
		message string
		hint    string
	}{
		{"no token", "token=other;object=k", nil, fault.NotFound,
			`no token of /fake.so matches token=other; there is "tsa" (serial 0001, slot 1)`, "--list-token-slots"},
		{"token of another serial", "token=tsa;serial=9;object=k", nil, fault.NotFound, "matches token=tsa;serial=9", ""},
		{"token of another model", "model=m;object=k", nil, fault.NotFound, "matches model=m", ""},
		{"token of another manufacturer", "manufacturer=m;object=k", nil, fault.NotFound, "matches manufacturer=m", ""},
		{"other slot", "slot-id=2;object=k", nil, fault.NotFound, "matches slot-id=2", ""},
		{"other slot description", "slot-description=slot%202;object=k", nil, fault.NotFound, "matches slot-description", ""},
		{"other slot manufacturer", "slot-manufacturer=x;object=k", nil, fault.NotFound, "matches slot-manufacturer", ""},
		{"other library", "library-description=x;object=k", nil, fault.NotFound, `is "a fake", version 2.40, by "fence"`, "library- attributes"},
		{"other library version", "library-version=2.41;object=k", nil, fault.NotFound, "version 2.40", ""},
		{"other library manufacturer", "library-manufacturer=x;object=k", nil, fault.NotFound, `by "fence"`, ""},
		{"no tokens", "object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { delete(f.next, 1) }, fault.NotFound, "no token that is initialised", "pkcs11-tool"},
		{"blank token", "slot-id=1;object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) { token.info.Flags = 0 },
			fault.NotFound, "the token in slot 1 of /fake.so is not initialised", "softhsm2-util --init-token"},
		{"two tokens", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { f.token(2, "tsa") },
			fault.Unfit, `2 tokens of /fake.so match: "tsa" (serial 0001, slot 1), "tsa" (serial 0002, slot 2)`, "serial= or slot-id="},
		{"token without a user PIN", "token=tsa;object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) {
			token.info.Flags &^= p11.CKF_USER_PIN_INITIALIZED
		}, fault.Credentials, `the token "tsa" has no user PIN yet`, "--init-pin"},
		{"locked token", "token=tsa;object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) { token.tries = 0 },
			fault.Locked, `the token "tsa" is locked`, "security officer"},
		{"one try left", "token=tsa;object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) { token.tries = 1 },
			fault.Credentials, "one try left for its PIN, which is not spent here", "log in by hand once"},
		{"no key", "token=tsa;object=other", nil, fault.NotFound, `the token "tsa" has no private key labelled "other"; there is "k" (id 01)`, "object= or id="},
		{"no key of that id", "token=tsa;object=k;id=%02", nil, fault.NotFound, `labelled "k" with the id 02`, ""},
		{"no keys", "token=tsa;object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) { token.objects = nil },
			fault.NotFound, "there is no private key that this login sees", "fencepost key create"},
		{"two keys", "token=tsa;object=k", func(f *fake, token *fakeToken, private, public *fakeObject) {
			f.add(token, "k", "\x02", private.key, public.attrs)
		}, fault.Unfit, `2 private keys of the token "tsa" match: "k" (id 01), "k" (id 02)`, "id=%01%02"},
		{"key that may not sign", "token=tsa;object=k", func(_ *fake, _ *fakeToken, private, _ *fakeObject) { private.attrs[p11.CKA_SIGN] = []byte{0} },
			fault.Unfit, `the key "k" (id 01) of the token "tsa" does not sign: its CKA_SIGN is false`, "made for signing"},
		{"PIN for each signature", "token=tsa;object=k", func(_ *fake, _ *fakeToken, private, _ *fakeObject) {
			private.attrs[p11.CKA_ALWAYS_AUTHENTICATE] = []byte{1}
		}, fault.Unsupported, "CKA_ALWAYS_AUTHENTICATE", "one login"},
		{"no public key", "token=tsa;object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) { token.objects = token.objects[:1] },
			fault.Unfit, "no public key object with its id", "--write-object public.der --type pubkey --id 01"},
		{"public key of another id", "token=tsa;object=k", func(_ *fake, _ *fakeToken, _, public *fakeObject) { public.attrs[p11.CKA_ID] = []byte("x") },
			fault.Unfit, "no public key object with its id", ""},
		{"two public keys of the id", "token=tsa;object=k", func(f *fake, token *fakeToken, _, _ *fakeObject) {
			k, attrs := fakeKey(t, signer.P256)
			f.add(token, "other", "\x01", k, attrs)
		}, fault.Unfit, "different public keys with its id", "an id of its own"},
		{"other curve", "token=tsa;object=k", func(_ *fake, _ *fakeToken, _, public *fakeObject) {
			public.attrs[p11.CKA_EC_PARAMS], _ = asn1.Marshal(asn1.ObjectIdentifier{1, 3, 132, 0, 10})
		}, fault.Unfit, "an EC key on the curve 1.3.132.0.10; want P-256", "P-256, P-384 or P-521"},
		{"curve by parameters", "token=tsa;object=k", func(_ *fake, _ *fakeToken, _, public *fakeObject) {
			public.attrs[p11.CKA_EC_PARAMS] = []byte{0x30, 0}
		}, fault.Unfit, "not named by an object identifier", ""},
		{"point off the curve", "token=tsa;object=k", func(_ *fake, _ *fakeToken, _, public *fakeObject) {
			public.attrs[p11.CKA_EC_POINT][10] ^= 1
		}, fault.Unfit, "CKA_EC_POINT", ""},
		{"short point", "token=tsa;object=k", func(_ *fake, _ *fakeToken, _, public *fakeObject) {
			public.attrs[p11.CKA_EC_POINT] = []byte{4, 1, 4}
		}, fault.Unfit, "CKA_EC_POINT", ""},
		{"short RSA key", "token=tsa;object=k", func(f *fake, token *fakeToken, _, _ *fakeObject) {
			token.objects = nil
			f.add(token, "k", "\x01", rsa1024, publicAttrs(t, rsa1024))
		}, fault.Unfit, "RSA key of 1024 bits", "2048 bits or more"},
		{"even RSA exponent", "token=tsa;object=k", func(f *fake, token *fakeToken, _, _ *fakeObject) {
			token.objects = nil
			_, public := f.add(token, "k", "\x01", rsa1024, publicAttrs(t, rsa1024))
			public.attrs[p11.CKA_PUBLIC_EXPONENT] = []byte{1, 0, 0}
		}, fault.Unfit, "no odd number", ""},
		{"DSA key", "token=tsa;object=k", func(_ *fake, _ *fakeToken, private, public *fakeObject) {
			private.attrs[p11.CKA_KEY_TYPE], public.attrs[p11.CKA_KEY_TYPE] = long(p11.CKK_DSA), long(p11.CKK_DSA)
		}, fault.Unfit, "a key of the type 0x1; want EC, RSA or Ed25519", ""},
		{"key type of another length", "token=tsa;object=k", func(_ *fake, _ *fakeToken, private, public *fakeObject) {
			private.attrs[p11.CKA_KEY_TYPE], public.attrs[p11.CKA_KEY_TYPE] = []byte{3}, []byte{3}
		}, fault.Unfit, "CKA_KEY_TYPE: 1 bytes", ""},
		{"no session", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "OpenSession", p11.CKR_SESSION_COUNT) },
			fault.Unreachable, "CKR_SESSION_COUNT", "end other programs"},
		{"locked at login", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "Login", p11.CKR_PIN_LOCKED) },
			fault.Locked, "is locked", ""},
		{"expired PIN", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "Login", p11.CKR_PIN_EXPIRED) },
			fault.Credentials, `the PIN of the token "tsa" has expired: CKR_PIN_EXPIRED`, "--change-pin"},
		{"no PIN at login", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "Login", p11.CKR_USER_PIN_NOT_INITIALIZED) },
			fault.Credentials, "no user PIN yet", ""},
		{"login not allowed", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "Login", p11.CKR_USER_TYPE_INVALID) },
			fault.Denied, `log in to the token "tsa": CKR_USER_TYPE_INVALID`, "ask whoever runs"},
		{"device not well", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "FindObjects", p11.CKR_DEVICE_ERROR) },
			fault.Unreachable, `look for the key in the token "tsa": CKR_DEVICE_ERROR`, "log of the token's module"},
		{"vendor's code", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "FindObjectsFinal", 0x80000017) },
			fault.Unreachable, "0x80000017", ""},
		{"list of slots", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { failOn(f, "GetSlotList", p11.CKR_GENERAL_ERROR) },
			fault.Unreachable, "list the slots of /fake.so: CKR_GENERAL_ERROR", ""},
		{"panic", "token=tsa;object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) {
			f.fail = func(call string) error {
				if call == "GetAttributeValue" {
					panic("slice bounds out of range")
				}
				return nil
			}
		}, fault.Malformed, "returned nonsense: slice bounds", "broken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, token := oneKey(t, signer.P256)
			if tt.change != nil {
				tt.change(f, token, token.objects[0], token.objects[1])
			}
			k, err := at(t, m, tt.uri).open(t.Context())
			if err == nil || k != nil {
				t.Fatalf("got %v, %v; want an error", k, err)
			}
			checkFault(t, err, tt.kind, tt.message, tt.hint)
			if len(f.sessions) > 0 || f.finals != 1 {
				t.Errorf("%d sessions are left, %d times finalised", len(f.sessions), f.finals)
			}
		})
	}
}

// failOn has each call of that name fail.
func failOn(f *fake, name string, code p11.Error) {
	f.fail = func(call string) error {
		if call == name {
			return code
		}
		return nil
	}
}

// What is found without naming much, or in another way than usual.
func TestOpenFinds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		uri    string
		change func(f *fake, token *fakeToken, private, public *fakeObject)
	}{
		{"the only key of the only token", "", nil},
		{"by every attribute", "token=tsa;manufacturer=fence;serial=0001;model=fake;library-manufacturer=fence;library-description=a%20fake;" +
			"library-version=2.40;slot-manufacturer=fence;slot-description=slot%201;slot-id=1;object=k;id=%01;type=private", nil},
		{"by id", "id=%01", func(f *fake, token *fakeToken, private, public *fakeObject) {
			f.add(token, "k", "\x02", private.key, public.attrs)
		}},
		{"beside a blank token", "object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) { f.token(2, "").info.Flags = 0 }},
		{"beside a token that is gone", "object=k", func(f *fake, _ *fakeToken, _, _ *fakeObject) {
			f.token(0, "x")
			n := 0
			f.fail = func(call string) error {
				if call == "GetTokenInfo" {
					if n++; n == 1 {
						return p11.Error(p11.CKR_GENERAL_ERROR)
					}
				}
				return nil
			}
		}},
		{"without login", "object=k", func(_ *fake, token *fakeToken, _, _ *fakeObject) {
			token.info.Flags, token.pin = p11.CKF_TOKEN_INITIALIZED, "other"
			token.in = true
		}},
		{"raw point", "object=k", func(_ *fake, _ *fakeToken, _, public *fakeObject) {
			public.attrs[p11.CKA_EC_POINT] = public.attrs[p11.CKA_EC_POINT][2:]
		}},
		{"public half in the private key", "object=k", func(_ *fake, token *fakeToken, private, public *fakeObject) {
			private.attrs[p11.CKA_EC_PARAMS], private.attrs[p11.CKA_EC_POINT] = public.attrs[p11.CKA_EC_PARAMS], public.attrs[p11.CKA_EC_POINT]
			token.objects = token.objects[:1]
		}},
		{"CKA_PUBLIC_KEY_INFO, and no id", "object=k", func(_ *fake, token *fakeToken, private, _ *fakeObject) {
			var err error
			if private.attrs[ckaPublicKeyInfo], err = x509.MarshalPKIXPublicKey(private.key.Public()); err != nil {
				t.Fatal(err)
			}
			delete(private.attrs, p11.CKA_ID)
			token.objects = token.objects[:1]
		}},
		{"CKA_SIGN not shown", "object=k", func(_ *fake, _ *fakeToken, private, _ *fakeObject) { delete(private.attrs, p11.CKA_SIGN) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, token := oneKey(t, signer.P256)
			private := token.objects[0]
			if tt.change != nil {
				tt.change(f, token, private, token.objects[1])
			}
			if strings.HasPrefix(tt.name, "without") {
				// Initialize logs everyone out; this token asks nobody.
				f.fail = func(call string) error {
					token.in = true
					if call == "Login" {
						t.Error("logged in")
					}
					return nil
				}
			}
			k := openAt(t, m, tt.uri)
			if err := sign(t, k); err != nil {
				t.Error(err)
			}
			if !private.key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(k.Public()) {
				t.Error("another public key")
			}
		})
	}
}

// The real loader, with files that are no modules.
func TestModuleRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		path    string
		kind    fault.Kind
		message string
		hint    string
	}{
		{"no file", filepath.Join(dir, "none.so"), fault.NotFound, "none.so: no such file or directory", "install the token's library"},
		{"directory", dir, fault.Malformed, "is not a file", "not its directory"},
		{"text", text, fault.Malformed, "text.so cannot be loaded", "ldd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := signer.URI{Scheme: signer.SchemePKCS11, Rest: "token=tsa;object=k?module-path=" + tt.path}
			k, err := Open(t.Context(), u, Config{})
			if k != nil {
				t.Error("a key came with an error")
			}
			checkFault(t, err, tt.kind, tt.message, tt.hint)
			checkFault(t, Create(t.Context(), u, signer.P256, Config{}), tt.kind, tt.message, tt.hint)
		})
	}
	_, err := Open(t.Context(), signer.URI{Scheme: signer.SchemeFile, Path: "/k"}, Config{})
	checkFault(t, err, fault.Malformed, "want pkcs11", "")
	_, err = Open(t.Context(), signer.URI{Scheme: signer.SchemePKCS11, Rest: "token=t"}, Config{})
	checkFault(t, err, fault.Malformed, "no module-path", "")
}

func TestModuleDoesNotStart(t *testing.T) {
	f, m, _ := oneKey(t, signer.P256)
	failOn(f, "Initialize", p11.CKR_GENERAL_ERROR)
	checkFault(t, m.acquire(opOpen), fault.Unreachable, "the PKCS #11 module /fake.so does not start: CKR_GENERAL_ERROR", "SOFTHSM2_CONF")
	f.fail = nil
	if err := sign(t, openAt(t, m, "object=k")); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}

// What a token returns that is no signature never leaves.
func TestSignatureForm(t *testing.T) {
	order := elliptic.P256().Params().N.FillBytes(make([]byte, 32))
	for _, tt := range []struct {
		name    string
		kt      signer.KeyType
		answer  func([]byte) []byte
		message string
	}{
		{"nothing", signer.P256, func([]byte) []byte { return nil }, "0 bytes; want 64"},
		{"short", signer.P256, func(b []byte) []byte { return b[1:] }, "63 bytes; want 64"},
		{"DER", signer.P256, func(b []byte) []byte { return append(b, make([]byte, 7)...) }, "71 bytes"},
		{"r is 0", signer.P256, func(b []byte) []byte { return append(make([]byte, 32), b[32:]...) }, "out of range"},
		{"s is 0", signer.P256, func(b []byte) []byte { return append(b[:32], make([]byte, 32)...) }, "out of range"},
		{"s is the order", signer.P256, func(b []byte) []byte { return append(b[:32], order...) }, "out of range"},
		{"short RSA", signer.RSA2048, func(b []byte) []byte { return b[:255] }, "255 bytes; want 256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, _ := oneKey(t, tt.kt)
			f.answer = tt.answer
			checkFault(t, sign(t, openAt(t, m, "object=k")), fault.Malformed, tt.message, "what PKCS #11 says")
		})
	}
}

func TestSignRefused(t *testing.T) {
	for _, tt := range []struct {
		code    p11.Error
		kind    fault.Kind
		message string
		logins  int
	}{
		{p11.CKR_MECHANISM_INVALID, fault.Unsupported, `sign: CKM_ECDSA with the key "k" of the token "tsa": CKR_MECHANISM_INVALID`, 1},
		{p11.CKR_KEY_FUNCTION_NOT_PERMITTED, fault.Unfit, "CKR_KEY_FUNCTION_NOT_PERMITTED", 1},
		{p11.CKR_DEVICE_ERROR, fault.Unreachable, "CKR_DEVICE_ERROR", 2},
		{p11.CKR_DEVICE_MEMORY, fault.Unreachable, "CKR_DEVICE_MEMORY", 1},
		{p11.CKR_FUNCTION_REJECTED, fault.Denied, "CKR_FUNCTION_REJECTED", 1},
	} {
		t.Run(tt.message, func(t *testing.T) {
			f, m, _ := oneKey(t, signer.P256)
			k := openAt(t, m, "object=k")
			failOn(f, "SignInit", tt.code)
			err := sign(t, k)
			checkFault(t, err, tt.kind, tt.message, "")
			if !errors.Is(err, tt.code) {
				t.Errorf("%v does not wrap the code", err)
			}
			if f.fail = nil; sign(t, k) != nil {
				t.Error("it does not sign afterwards")
			}
			if f.logins != tt.logins {
				t.Errorf("%d logins; want %d", f.logins, tt.logins)
			}
		})
	}
	f, m, _ := oneKey(t, signer.RSA2048)
	k := openAt(t, m, "object=k")
	failOn(f, "SignInit", p11.CKR_MECHANISM_INVALID)
	_, err := k.Sign(t.Context(), make([]byte, 64), signer.PSS.Options(crypto.SHA512))
	checkFault(t, err, fault.Unsupported, "CKM_RSA_PKCS_PSS", "no RSA-PSS signatures of a digest")
	_, err = k.Sign(t.Context(), make([]byte, 64), &rsa.PSSOptions{Hash: crypto.SHA512, SaltLength: -5})
	checkFault(t, err, fault.Unsupported, "a PSS salt of -5 bytes", "as long as the hash")
}

func TestCreateRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		uri     string
		kt      signer.KeyType
		kind    fault.Kind
		message string
		hint    string
	}{
		{"label taken", "token=tsa;object=k", signer.P256, fault.Unfit, `create key: the token "tsa" has a key labelled "k" already`, "another label"},
		{"id taken", "token=tsa;object=new;id=%01", signer.P256, fault.Unfit, `a key with the id 01 already`, "another label"},
		{"no label", "token=tsa;id=%02", signer.P256, fault.Malformed, "no object", "object=NAME"},
		{"unknown type", "token=tsa;object=new", "dsa", fault.Unsupported, `"dsa"`, "p256"},
		{"no mechanism", "token=tsa;object=new", signer.Ed25519, fault.Unsupported, `make a ed25519 key "new" in the token "tsa": CKR_MECHANISM_INVALID`, "--list-mechanisms"},
		{"no token", "token=other;object=new", signer.P256, fault.NotFound, "no token", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, m, token := oneKey(t, signer.P256)
			p := at(t, m, tt.uri)
			err := p.create(t.Context(), tt.kt)
			checkFault(t, err, tt.kind, tt.message, tt.hint)
			if len(token.objects) != 2 || len(f.sessions) != 0 {
				t.Errorf("%d objects, %d sessions; want 2, 0", len(token.objects), len(f.sessions))
			}
			p.m.release()
		})
	}
	_, m, token := oneKey(t, signer.P256)
	if err := at(t, m, "object=new").create(t.Context(), signer.P256); err != nil {
		t.Fatal(err)
	}
	made := token.objects[2:]
	if len(made) != 2 || len(made[0].attrs[p11.CKA_ID]) != idSize || string(made[0].attrs[p11.CKA_ID]) != string(made[1].attrs[p11.CKA_ID]) {
		t.Fatalf("made %v", made)
	}
	for attr, want := range map[uint]byte{p11.CKA_SENSITIVE: 1, p11.CKA_EXTRACTABLE: 0, p11.CKA_PRIVATE: 1, p11.CKA_SIGN: 1, p11.CKA_UNWRAP: 0} {
		if got := made[1].attrs[attr]; len(got) != 1 || got[0] != want {
			t.Errorf("attribute %#x of the private key: %v; want %d", attr, got, want)
		}
	}
}
