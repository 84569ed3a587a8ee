package signer_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

const passphrase = "fencepost"

func withPassphrase(p string) signer.Config {
	return signer.Config{Passphrase: func() ([]byte, error) { return []byte(p), nil }}
}

// testingKey undoes the mark that keeps scanners from taking the test keys
// for secrets.
func testingKey(data []byte) []byte {
	return bytes.ReplaceAll(data, []byte("TESTING KEY"), []byte("PRIVATE KEY"))
}

func readKeyFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	return testingKey(data)
}

func readPublic(t testing.TB, name string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode(readKeyFile(t, name+"-public"))
	if block == nil {
		t.Fatalf("%s: no PEM block", name)
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func sameKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// keyFiles are the files that are read, by the key they hold, and whether they
// are encrypted.
var keyFiles = []struct {
	name, key string
	encrypted bool
}{
	{"rsa2048", "rsa2048", false},
	{"p256", "p256", false},
	{"p384", "p384", false},
	{"p521", "p521", false},
	{"ed25519", "ed25519", false},
	{"rsa2048-pkcs1", "rsa2048", false},
	{"rsa2048-text", "rsa2048", false},
	{"p256-sec1", "p256", false},
	{"p256-sec1-nopublic", "p256", false},
	{"p256-sec1-compressed", "p256", false},
	{"p256-ecparam", "p256", false},
	{"p256-pbkdf2-hmacWithSHA1", "p256", true},
	{"p256-pbkdf2-hmacWithSHA224", "p256", true},
	{"p256-pbkdf2-hmacWithSHA256", "p256", true},
	{"p256-pbkdf2-hmacWithSHA384", "p256", true},
	{"p256-pbkdf2-hmacWithSHA512", "p256", true},
	{"p256-pbkdf2-aes-128-cbc", "p256", true},
	{"p256-pbkdf2-aes-192-cbc", "p256", true},
	{"p256-pbkdf2-aes-256-cbc", "p256", true},
	{"p256-pbkdf2-des-ede3-cbc", "p256", true},
	{"p256-scrypt-aes-128-cbc", "p256", true},
	{"p256-scrypt-aes-192-cbc", "p256", true},
	{"p256-scrypt-aes-256-cbc", "p256", true},
	{"p256-scrypt-des-ede3-cbc", "p256", true},
	{"rsa2048-pbkdf2", "rsa2048", true},
	{"ed25519-pbkdf2", "ed25519", true},
	{"p256-rfc1423-aes128", "p256", true},
	{"p256-rfc1423-aes192", "p256", true},
	{"p256-rfc1423-aes256", "p256", true},
	{"p256-rfc1423-des3", "p256", true},
	{"rsa2048-rfc1423-aes128", "rsa2048", true},
	{"rsa2048-rfc1423-aes192", "rsa2048", true},
	{"rsa2048-rfc1423-aes256", "rsa2048", true},
	{"rsa2048-rfc1423-des3", "rsa2048", true},
	{"p256-sigstore", "p256", true},
	{"p256-sigstore-owasp", "p256", true},
	{"p256-cosign", "p256", true},
	{"p256-written", "p256", true},
	{"rsa2048-sigstore", "rsa2048", true},
	{"ed25519-sigstore", "ed25519", true},
}

func TestParsePEM(t *testing.T) {
	for _, tt := range keyFiles {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // key derivation is slow on purpose
			data := readKeyFile(t, tt.name)
			k, err := signer.ParsePEM(data, withPassphrase(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			if !sameKey(k.Public(), readPublic(t, tt.key)) {
				t.Error("the public key is not the one that openssl printed")
			}
			if !k.InProcess() {
				t.Error("InProcess() = false")
			}
			k, err = signer.ParsePEM(data, signer.Config{})
			if !tt.encrypted {
				if err != nil {
					t.Errorf("without a passphrase: %v", err)
				}
				return
			}
			if !errors.Is(err, signer.ErrNoPassphrase) || k != nil {
				t.Errorf("without a passphrase = %v, %v; want ErrNoPassphrase", k, err)
			}
			k, err = signer.ParsePEM(data, withPassphrase("fencepost\n"))
			if !errors.Is(err, signer.ErrPassphrase) || k != nil {
				t.Errorf("with a wrong passphrase = %v, %v; want ErrPassphrase", k, err)
			}
		})
	}
}

// One wrong passphrase in 256 decrypts to something that looks padded.
func TestWrongPassphraseAlways(t *testing.T) {
	data := readKeyFile(t, "p256-rfc1423-aes128") // cheap to try
	for i := range 5000 {
		wrong := string(rune('a'+i%26)) + strings.Repeat("x", i/26)
		if k, err := signer.ParsePEM(data, withPassphrase(wrong)); !errors.Is(err, signer.ErrPassphrase) || k != nil {
			t.Fatalf("with the passphrase %q = %v, %v; want ErrPassphrase", wrong, k, err)
		}
	}
}

func TestEmptyPassphraseIsOne(t *testing.T) {
	data := readKeyFile(t, "p256-sigstore-emptypass")
	if _, err := signer.ParsePEM(data, withPassphrase("")); err != nil {
		t.Error(err)
	}
	if _, err := signer.ParsePEM(data, signer.Config{}); !errors.Is(err, signer.ErrNoPassphrase) {
		t.Errorf("without a passphrase: %v; want ErrNoPassphrase", err)
	}
}

func TestPassphraseFunc(t *testing.T) {
	refused := errors.New("the terminal is gone")
	calls := 0
	cfg := signer.Config{Passphrase: func() ([]byte, error) { calls++; return nil, refused }}
	if _, err := signer.ParsePEM(readKeyFile(t, "p256"), cfg); err != nil || calls != 0 {
		t.Errorf("a key in clear: error %v, passphrase asked for %d times; want nil and 0", err, calls)
	}
	for _, name := range []string{"rsa2048-pbkdf2", "p256-rfc1423-des3", "p256-sigstore"} {
		calls = 0
		if _, err := signer.ParsePEM(readKeyFile(t, name), cfg); !errors.Is(err, refused) || calls != 1 {
			t.Errorf("%s: error %v, passphrase asked for %d times; want its error and 1", name, err, calls)
		}
	}
	long := withPassphrase(strings.Repeat("x", 4097))
	if _, err := signer.ParsePEM(readKeyFile(t, "p256-rfc1423-des3"), long); err == nil || errors.Is(err, signer.ErrPassphrase) {
		t.Errorf("a passphrase of 4097 bytes: %v; want an error about its length", err)
	}
}

// What is not a key file is refused, with a message that names the fault.
func TestParsePEMRefuses(t *testing.T) {
	file := func(name string) []byte { return readKeyFile(t, name) }
	edit := func(name, old, new string) []byte {
		data := file(name)
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s does not contain %q", name, old)
		}
		return bytes.Replace(data, []byte(old), []byte(new), 1)
	}
	block, _ := pem.Decode(file("p256"))
	for _, tt := range []struct {
		name string
		data []byte
		want string // in the message
	}{
		{"empty", nil, "no PEM block"},
		{"text", []byte("hello\n"), "no PEM block"},
		{"DER", block.Bytes, "is DER"},
		{"huge", bytes.Repeat([]byte("x"), 64<<10+1), "more than 65536 bytes"},
		{"RSA 1024", file("bad-rsa1024"), "RSA key of 1024 bits"},
		{"RSA of three primes", file("bad-rsa-3primes"), "version 1; want 0, of two primes"},
		{"RSA-PSS", file("bad-rsa-pss"), "RSASSA-PSS"},
		{"P-224", file("bad-p224"), "P-224"},
		{"secp256k1", file("bad-secp256k1"), "secp256k1"},
		{"brainpool", file("bad-brainpool"), "brainpoolP256r1"},
		{"explicit curve", file("bad-explicit"), "explicit curve parameters"},
		{"X25519", file("bad-x25519"), "X25519"},
		{"Ed448", file("bad-ed448"), "Ed448"},
		{"PKCS #12 encryption", file("bad-pkcs12-3des"), "obsolete"},
		{"PBES1", file("bad-pbes1-des"), "obsolete"},
		{"RFC 1423 with DES", file("bad-rfc1423-des"), `unknown cipher "DES-CBC"`},
		{"certificate", file("bad-certificate"), "this is a certificate"},
		{"public key", file("bad-public"), "this is a public key"},
		{"EC parameters alone", file("bad-ecparam-only"), "EC parameters without a key"},
		{"two keys", file("bad-two-keys"), "2 PEM blocks"},
		{"key and certificate", file("bad-key-and-certificate"), `the second a "CERTIFICATE"`},
		{"trailing text", append(file("p256"), "x"...), "trailing data"},
		{"OpenSSH", []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), "OpenSSH"},
		{"other block", []byte("-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n"), `"PKCS7"`},
		{"broken base64", edit("p256", "MIGH", "M!GH"), "malformed PEM block"},
		{"broken block, then a good one", append([]byte("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n"), file("p256")...), "malformed PEM block"},
		{"no end", edit("p256", "-----END", "-----FIN"), "malformed PEM block"},
		{"PKCS #8 under the PKCS #1 label", bytes.ReplaceAll(file("rsa2048"), []byte("PRIVATE"), []byte("RSA PRIVATE")), "RSA key"},
		{"PKCS #1 under the PKCS #8 label", bytes.ReplaceAll(file("rsa2048-pkcs1"), []byte("RSA PRIVATE"), []byte("PRIVATE")), "PKCS #8"},
		{"SEC 1 under the PKCS #8 label", bytes.ReplaceAll(file("p256-sec1"), []byte("EC PRIVATE"), []byte("PRIVATE")), "PKCS #8"},
		{"clear under the encrypted label", bytes.ReplaceAll(file("p256"), []byte("PRIVATE"), []byte("ENCRYPTED PRIVATE")), "encrypted PKCS #8"},
		{"RFC 1423 headers on PKCS #8", edit("p256", "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"), "RFC 1423"},
		{"Proc-Type", edit("p256-rfc1423-aes128", "4,ENCRYPTED", "4,MIC-CLEAR"), "Proc-Type"},
		{"DEK-Info without IV", edit("p256-rfc1423-aes128", "AES-128-CBC,", "AES-128-CBC;"), "malformed DEK-Info"},
		{"DEK-Info with a short IV", edit("p256-rfc1423-aes128", "AES-128-CBC,", "AES-128-CBC,00"), "malformed initialisation vector"},
		{"DEK-Info of another block size", edit("p256-rfc1423-aes128", "AES-128-CBC,", "DES-EDE3-CBC,"), "malformed initialisation vector"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := signer.ParsePEM(tt.data, withPassphrase(passphrase))
			if err == nil || k != nil {
				t.Fatalf("got %v, %v; want nil and an error", k, err)
			}
			if errors.Is(err, signer.ErrPassphrase) || errors.Is(err, signer.ErrNoPassphrase) {
				t.Errorf("%v is an error about the passphrase", err)
			}
			if !strings.HasPrefix(err.Error(), "signer: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q; want %q in it", err, tt.want)
			}
		})
	}
}

// Every kind of key survives being written and read again, in clear and
// encrypted.
func TestMarshalPEM(t *testing.T) {
	for _, name := range []string{"rsa2048", "p256", "p384", "p521", "ed25519"} {
		for _, pass := range []string{"", "pässword with spaces"} {
			if pass != "" && name != "rsa2048" && name != "p256" {
				continue // slow on purpose, and the encryption sees only bytes
			}
			t.Run(name+"/"+pass, func(t *testing.T) {
				t.Parallel()
				k, err := signer.ParsePEM(readKeyFile(t, name), signer.Config{})
				if err != nil {
					t.Fatal(err)
				}
				var secret []byte
				cfg := signer.Config{}
				if pass != "" {
					secret, cfg = []byte(pass), withPassphrase(pass)
				}
				out, err := signer.MarshalPEM(k, secret)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := bytes.Contains(out, []byte("ENCRYPTED")), pass != ""; got != want {
					t.Errorf("encrypted: %v; want %v", got, want)
				}
				back, err := signer.ParsePEM(out, cfg)
				if err != nil {
					t.Fatal(err)
				}
				if !sameKey(back.Public(), k.Public()) {
					t.Error("another key came back")
				}
				if again, err := signer.MarshalPEM(k, secret); err != nil || bytes.Equal(again, out) != (pass == "") {
					t.Errorf("written again: %v; want the same in clear, and another salt when encrypted\n%s%s", err, out, again)
				}
			})
		}
	}
}

// In clear, what we write is byte for byte what openssl writes.
func TestMarshalPEMAsOpenSSL(t *testing.T) {
	for _, name := range []string{"rsa2048", "p256", "p384", "p521", "ed25519"} {
		want := readKeyFile(t, name)
		k, err := signer.ParsePEM(want, signer.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := signer.MarshalPEM(k, nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", name, err, got, want)
		}
	}
}

// Encrypted, what we write is of the same form as the committed file, which
// openssl has read when it was made.
func TestMarshalPEMForm(t *testing.T) {
	k, err := signer.ParsePEM(readKeyFile(t, "p256"), signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := signer.MarshalPEM(k, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	got, want := blankPBES2(t, out), blankPBES2(t, readKeyFile(t, "p256-written"))
	if !bytes.Equal(got, want) {
		t.Errorf("without salt, initialisation vector and text, got\n%x\nwant\n%x", got, want)
	}
}

func TestMarshalPEMRefuses(t *testing.T) {
	k, err := signer.Generate(signer.P256)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := signer.New(foreign{k})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		key        *signer.Key
		passphrase []byte
	}{
		{"empty passphrase", k, []byte{}},
		{"huge passphrase", k, make([]byte, 4097)},
		{"key elsewhere", remote, nil},
		{"zero key", new(signer.Key), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if out, err := signer.MarshalPEM(tt.key, tt.passphrase); err == nil || out != nil {
				t.Errorf("got %q, %v; want an error", out, err)
			}
		})
	}
}
