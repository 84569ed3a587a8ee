//go:build interop && cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	p11 "github.com/miekg/pkcs11"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
	"github.com/fencepost-tsa/fencepost/signer"
	"github.com/fencepost-tsa/fencepost/signer/signertest"
)

// softHSM is where Debian and Ubuntu install it.
const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// A store is a SoftHSM of the test's own. The module reads its configuration
// from SOFTHSM2_CONF when it is initialised, which it is for the first key that
// is opened.
type store struct {
	dir string // of the tokens
	pin string // the file with the PIN
}

func newStore(t testing.TB) store {
	t.Helper()
	s := store{filepath.Join(t.TempDir(), "tokens"), filepath.Join(t.TempDir(), "pin")}
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "softhsm2.conf")
	for name, content := range map[string]string{
		conf:  "directories.tokendir = " + s.dir + "\nobjectstore.backend = file\nlog.level = ERROR\n",
		s.pin: goodPIN + "\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	return s
}

// initToken makes a token, and returns the directory that holds it.
func (s store) initToken(t testing.TB, label string) string {
	t.Helper()
	before := s.tokens(t)
	tool(t, "softhsm2-util", "--init-token", "--free", "--label", label, "--pin", goodPIN, "--so-pin", "5678")
	for _, dir := range s.tokens(t) {
		if !strings.Contains(strings.Join(before, "\n"), dir) {
			return dir
		}
	}
	t.Fatal("no token was made")
	return ""
}

func (s store) tokens(t testing.TB) []string {
	t.Helper()
	dirs, err := filepath.Glob(s.dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// uri is that of a path in this store.
func (s store) uri(path string) signer.URI {
	return signer.URI{Scheme: signer.SchemePKCS11, Rest: path + "?module-path=" + softHSM + "&pin-source=" + s.pin}
}

func (s store) open(t testing.TB, path string) *Key {
	t.Helper()
	k, err := Open(t.Context(), s.uri(path), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func (s store) create(t testing.TB, path string, kt signer.KeyType) {
	t.Helper()
	if err := Create(t.Context(), s.uri(path), kt, Config{}); err != nil {
		t.Fatal(err)
	}
}

func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// pkcs11Tool runs the tool of OpenSC, logged in to a token.
func pkcs11Tool(t testing.TB, token string, args ...string) string {
	t.Helper()
	return tool(t, "pkcs11-tool", append([]string{"--module", softHSM, "--token-label", token, "--login", "--pin", goodPIN}, args...)...)
}

func TestSoftHSM(t *testing.T) {
	s := newStore(t)
	s.initToken(t, "tsa")
	for _, kt := range []signer.KeyType{signer.P256, signer.P384, signer.P521, signer.RSA2048, signer.RSA3072, signer.RSA4096, signer.Ed25519} {
		t.Run(string(kt), func(t *testing.T) {
			path := "token=tsa;object=" + string(kt)
			s.create(t, path, kt)
			err := Create(t.Context(), s.uri(path), kt, Config{})
			checkFault(t, err, fault.Unfit, fmt.Sprintf(`the token "tsa" has a key labelled %q already`, kt), "another label")
			open := func(t *testing.T) signer.Signer { return s.open(t, path) }
			signertest.Run(t, open)
			if strings.HasPrefix(string(kt), "rsa") {
				signertest.RunPSS(t, open)
			}
		})
	}
	listing := pkcs11Tool(t, "tsa", "--list-objects", "--type", "privkey")
	if got := strings.Count(listing, "sensitive, always sensitive, never extractable, local"); got != 7 {
		t.Errorf("%d of 7 keys can never have left the token:\n%s", got, listing)
	}
}

// Keys made by another tool, and what is said of those that will not do.
func TestSoftHSMForeignKeys(t *testing.T) {
	s := newStore(t)
	s.initToken(t, "tsa")
	pair := func(label, id, kind string, more ...string) {
		t.Helper()
		pkcs11Tool(t, "tsa", append([]string{"--keypairgen", "--label", label, "--id", id, "--key-type", kind}, more...)...)
	}
	pair("good", "01", "EC:prime256v1")
	pair("twice", "02", "EC:prime256v1")
	pair("twice", "03", "EC:prime256v1")
	pair("koblitz", "04", "EC:secp256k1")
	pair("short", "05", "rsa:1024")
	s.decryptOnly(t, "token=tsa;object=good", "decrypts")
	pair("lonely", "07", "EC:prime256v1")
	pair("lonely RSA", "08", "rsa:2048")
	for _, id := range []string{"07", "08"} {
		pkcs11Tool(t, "tsa", "--delete-object", "--type", "pubkey", "--id", id)
	}
	for _, path := range []string{"token=tsa;object=good", "token=tsa;id=%01", "token=tsa;object=twice;id=%03", "token=tsa;object=lonely%20RSA"} {
		t.Run(path, func(t *testing.T) {
			signertest.Run(t, func(t *testing.T) signer.Signer { return s.open(t, path) })
		})
	}
	for _, tt := range []struct {
		name, path    string
		kind          fault.Kind
		message, hint string
	}{
		{"two keys", "token=tsa;object=twice", fault.Unfit, `2 private keys of the token "tsa" match: "twice" (id 02), "twice" (id 03)`, "add id="},
		{"no key", "token=tsa;object=none", fault.NotFound, `the token "tsa" has no private key labelled "none"; there is "decrypts" (id 06), "good" (id 01), `, "object= or id="},
		{"no token", "token=none;object=good", fault.NotFound, `matches token=none; there is "tsa" (serial `, "--list-token-slots"},
		{"other curve", "token=tsa;object=koblitz", fault.Unfit, "1.3.132.0.10", "P-256"},
		{"short", "token=tsa;object=short", fault.Unfit, "RSA key of 1024 bits", "2048 bits or more"},
		{"no signing", "token=tsa;object=decrypts", fault.Unfit, "CKA_SIGN is false", "made for signing"},
		{"no public key", "token=tsa;object=lonely", fault.Unfit, "no public key object with its id", "--type pubkey --id 07"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := Open(t.Context(), s.uri(tt.path), Config{})
			if k != nil {
				t.Error("a key came with an error")
				k.Close()
			}
			checkFault(t, err, tt.kind, tt.message, tt.hint)
		})
	}
}

// decryptOnly makes an RSA key that does not sign, which pkcs11-tool cannot.
func (s store) decryptOnly(t *testing.T, beside, label string) {
	t.Helper()
	k := s.open(t, beside)
	defer k.Close()
	session, err := k.m.api.OpenSession(k.conn.token.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := generation(signer.RSA2048)
	if err != nil {
		t.Fatal(err)
	}
	public, private := templates(label, []byte("\x06"), params)
	for _, a := range private {
		switch a.Type {
		case p11.CKA_SIGN:
			a.Value = []byte{0}
		case p11.CKA_DECRYPT:
			a.Value = []byte{1}
		}
	}
	mechanism := []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)}
	if _, _, err := k.m.api.GenerateKeyPair(session, mechanism, public, private); err != nil {
		t.Fatal(err)
	}
}

func TestSoftHSMTokens(t *testing.T) {
	s := newStore(t)
	_, err := Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
	checkFault(t, err, fault.NotFound, softHSM+" has no token that is initialised", "--list-token-slots")
	s.initToken(t, "tsa")
	s.create(t, "token=tsa;object=k", signer.P256)
	s.initToken(t, "tsa")
	_, err = Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
	checkFault(t, err, fault.Unfit, "2 tokens of "+softHSM+` match: "tsa" (serial `, "add serial= or slot-id=")
}

// The configuration names a directory that is not there.
func TestSoftHSMDoesNotStart(t *testing.T) {
	s := newStore(t)
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
	checkFault(t, err, fault.Unreachable, "does not start: CKR_GENERAL_ERROR", "SOFTHSM2_CONF")
}

func TestSoftHSMWrongPIN(t *testing.T) {
	s := newStore(t)
	s.initToken(t, "tsa")
	s.create(t, "token=tsa;object=k", signer.P256)
	write := func(pin string) {
		t.Helper()
		if err := os.WriteFile(s.pin, []byte(pin), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("9999\n")
	_, err := Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
	checkFault(t, err, fault.Credentials, `open key: the token "tsa" refuses the PIN: CKR_PIN_INCORRECT`, "right PIN")
	_, err = Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
	checkFault(t, err, fault.Credentials, "not tried again", "restart")
	write("")
	_, err = Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
	checkFault(t, err, fault.Credentials, "is empty", "")
	write(goodPIN)
	if err := sign(t, s.open(t, "token=tsa;object=k")); err != nil {
		t.Error(err)
	}
	u := s.uri("token=tsa;object=k")
	u.Rest, _, _ = strings.Cut(u.Rest, "&")
	_, err = Open(t.Context(), u, Config{})
	checkFault(t, err, fault.Credentials, "the URI names none", "pin-source")
	u.Rest += "&pin-source=env:TSA_PIN"
	t.Setenv("TSA_PIN", goodPIN)
	k, err := Open(t.Context(), u, Config{LookupEnv: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

// SoftHSM never locks a token, but reports the flags that the token has in its
// file; here they are set there.
func TestSoftHSMLocked(t *testing.T) {
	for _, tt := range []struct {
		name    string
		flag    byte // of the third byte of CK_FLAGS
		kind    fault.Kind
		message string
	}{
		{"locked", 0x04, fault.Locked, `the token "tsa" is locked: too many wrong PINs`},
		{"final try", 0x02, fault.Credentials, "one try left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			dir := s.initToken(t, "tsa")
			s.create(t, "token=tsa;object=k", signer.P256)
			name := filepath.Join(dir, "token.object")
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			// RNG, login required, PIN initialised, restore key not needed,
			// token initialised.
			flags := []byte{0, 0, 0, 0, 0, 0, 0x04, 0x2d}
			if bytes.Count(data, flags) != 1 {
				t.Fatalf("the flags of the token are not in its file:\n%x", data)
			}
			data = bytes.Replace(data, flags, []byte{0, 0, 0, 0, 0, tt.flag, 0x04, 0x2d}, 1)
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Open(t.Context(), s.uri("token=tsa;object=k"), Config{})
			checkFault(t, err, tt.kind, tt.message, "")
		})
	}
}

// A token that is gone, comes back, and comes back with another key.
func TestSoftHSMTokenLost(t *testing.T) {
	s := newStore(t)
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	restore := func() (dir string) {
		t.Helper()
		dir = s.initToken(t, "tsa")
		tool(t, "softhsm2-util", "--import", file, "--token", "tsa", "--label", "k", "--id", "01", "--pin", goodPIN)
		return dir
	}
	dir := restore()
	k := s.open(t, "token=tsa;object=k")
	if !secret.PublicKey.Equal(k.Public()) {
		t.Fatal("another public key than the one imported")
	}
	if err := sign(t, k); err != nil {
		t.Fatal(err)
	}
	remove := func() {
		t.Helper()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		checkFault(t, sign(t, k), fault.NotFound, "has no token that is initialised", "--list-token-slots")
	}
	remove()
	dir = restore()
	// The module is started again a second after the last time, or two.
	await := func(want func(error) bool) {
		t.Helper()
		var err error
		for begin := time.Now(); time.Since(begin) < 5*restartEvery; time.Sleep(restartEvery / 5) {
			if err = sign(t, k); want(err) {
				return
			}
		}
		t.Fatalf("still: %v", err)
	}
	await(func(err error) bool { return err == nil })
	for _, err := range many(func() error { return sign(t, k) }) {
		if err != nil {
			t.Error(err)
		}
	}
	time.Sleep(restartEvery)
	remove()
	dir = s.initToken(t, "tsa")
	pkcs11Tool(t, "tsa", "--keypairgen", "--label", "k", "--id", "01", "--key-type", "EC:prime256v1")
	await(func(err error) bool { return fault.KindOf(err) == fault.Unfit })
	checkFault(t, sign(t, k), fault.Unfit, `the key "k" (id 01) of the token "tsa" is another key than the one that was opened`, "certificate")
	if !secret.PublicKey.Equal(k.Public()) {
		t.Error("the public key changed")
	}
}

// Somebody else in the process logs out.
func TestSoftHSMLogout(t *testing.T) {
	s := newStore(t)
	s.initToken(t, "tsa")
	s.create(t, "token=tsa;object=k", signer.P256)
	k := s.open(t, "token=tsa;object=k")
	for range 3 {
		handle := <-k.conn.idle
		api, ok := k.m.api.(interface{ Logout(p11.SessionHandle) error })
		if !ok {
			t.Fatal("the binding has no Logout")
		}
		if err := api.Logout(handle); err != nil {
			t.Fatal(err)
		}
		k.conn.idle <- handle
		if err := sign(t, k); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSoftHSMConcurrent(t *testing.T) {
	s := newStore(t)
	s.initToken(t, "tsa")
	s.create(t, "token=tsa;object=k", signer.P256)
	k := s.open(t, "token=tsa;object=k")
	var n atomic.Int64
	for _, err := range many(func() error {
		for range 20 {
			signature, err := k.Sign(t.Context(), testDigest[:], crypto.SHA256)
			if err != nil {
				return err
			}
			if !ecdsa.VerifyASN1(k.Public().(*ecdsa.PublicKey), testDigest[:], signature) {
				return fmt.Errorf("a wrong signature")
			}
			n.Add(1)
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	if n.Load() != 64*20 {
		t.Errorf("%d signatures", n.Load())
	}
	if k.conn.opened > defaultSessions {
		t.Errorf("%d sessions", k.conn.opened)
	}
}

func TestSoftHSMRotation(t *testing.T) {
	s := newStore(t)
	s.initToken(t, "tsa")
	s.create(t, "token=tsa;object=old", signer.P256)
	s.create(t, "token=tsa;object=new", signer.P384)
	old := s.open(t, "token=tsa;object=old")
	var wg sync.WaitGroup
	var stop atomic.Bool
	next := s.open(t, "token=tsa;object=new")
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if err := sign(t, next); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	if err := sign(t, old); err != nil {
		t.Error(err)
	}
	old.Close()
	checkFault(t, sign(t, old), fault.Unfit, "the key is closed", "")
	// A key is made, opened and closed while the other signs.
	s.create(t, "token=tsa;object=third", signer.P256)
	third := s.open(t, "token=tsa;object=third")
	if err := sign(t, third); err != nil {
		t.Error(err)
	}
	third.Close()
	stop.Store(true)
	wg.Wait()
	if err := sign(t, next); err != nil {
		t.Error(err)
	}
}

func BenchmarkSoftHSM(b *testing.B) {
	s := newStore(b)
	s.initToken(b, "tsa")
	s.create(b, "token=tsa;object=k", signer.P256)
	k := s.open(b, "token=tsa;object=k")
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if err := sign(b, k); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("eight", func(b *testing.B) {
		b.SetParallelism(4) // of 2 processors
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := sign(b, k); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
