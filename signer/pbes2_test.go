package signer_test

import (
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

var (
	oidPBES2      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt     = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	oidAES256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidAES256GCM  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 46}
	oidHMACSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidHMACMD5    = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 6}
)

type (
	pbkdf2Params struct {
		Salt       asn1.RawValue
		Iterations int64
		KeyLength  int64     `asn1:"optional"`
		PRF        algorithm `asn1:"optional"`
	}
	scryptParams struct {
		Salt      []byte
		N, R, P   int64
		KeyLength int64 `asn1:"optional"`
	}
	pbes2Params struct{ KDF, Scheme algorithm }
	sealed      struct {
		Algorithm algorithm
		Data      []byte
	}
)

// blankPBES2 returns the DER of an encrypted key with everything random in it
// set to zero.
func blankPBES2(t *testing.T, file []byte) []byte {
	t.Helper()
	unmarshal := func(der []byte, v any) {
		t.Helper()
		if rest, err := asn1.Unmarshal(der, v); err != nil || len(rest) > 0 {
			t.Fatalf("%v, %d bytes too many", err, len(rest))
		}
	}
	var (
		outer  sealed
		params pbes2Params
		kdf    pbkdf2Params
		salt   []byte
		iv     []byte
	)
	block, _ := pem.Decode(file)
	unmarshal(block.Bytes, &outer)
	unmarshal(outer.Algorithm.Parameters.FullBytes, &params)
	unmarshal(params.KDF.Parameters.FullBytes, &kdf)
	unmarshal(kdf.Salt.FullBytes, &salt)
	unmarshal(params.Scheme.Parameters.FullBytes, &iv)

	kdf.Salt = raw(t, make([]byte, len(salt)))
	params.KDF.Parameters = raw(t, kdf)
	params.Scheme.Parameters = raw(t, make([]byte, len(iv)))
	outer.Algorithm.Parameters = raw(t, params)
	outer.Data = make([]byte, len(outer.Data))
	return marshal(t, outer)
}

// errAsked is what the passphrase function answers: whoever sees it accepted
// the cost in the file and would have begun to derive the key.
var errAsked = errors.New("asked for the passphrase")

var askOnly = signer.Config{Passphrase: func() ([]byte, error) { return nil, errAsked }}

// The cost of the key derivation is checked before it is paid, and everything
// about the encryption before the passphrase is asked for.
func TestPBES2(t *testing.T) {
	salt := raw(t, make([]byte, 16))
	prf := algorithm{OID: oidHMACSHA256}
	pbkdf2 := func(change func(*pbkdf2Params)) algorithm {
		p := pbkdf2Params{Salt: salt, Iterations: 2048, PRF: prf}
		change(&p)
		return algorithm{oidPBKDF2, raw(t, p)}
	}
	scrypt := func(n, r, p int64) algorithm {
		return algorithm{oidScrypt, raw(t, scryptParams{Salt: make([]byte, 16), N: n, R: r, P: p})}
	}
	iterations := func(n int64) algorithm { return pbkdf2(func(p *pbkdf2Params) { p.Iterations = n }) }
	none := func(*pbkdf2Params) {}
	aes := algorithm{oidAES256, raw(t, make([]byte, 16))}

	for _, tt := range []struct {
		name        string
		kdf, scheme algorithm
		want        string // in the message; "" means accepted
	}{
		{"PBKDF2", pbkdf2(none), aes, ""},
		{"PBKDF2 with a key length", pbkdf2(func(p *pbkdf2Params) { p.KeyLength = 32 }), aes, ""},
		{"PBKDF2 with the key length of another cipher", pbkdf2(func(p *pbkdf2Params) { p.KeyLength = 16 }), aes, "keyLength 16"},
		{"PBKDF2, a long key", pbkdf2(func(p *pbkdf2Params) { p.KeyLength = 1 << 30 }), aes, "keyLength 1073741824"},
		{"PBKDF2, 1 iteration", iterations(1), aes, ""},
		{"PBKDF2, the most iterations", iterations(10_000_000), aes, ""},
		{"PBKDF2, too many iterations", iterations(10_000_001), aes, "10000001 iterations"},
		{"PBKDF2, far too many iterations", iterations(1 << 62), aes, "iterations"},
		{"PBKDF2, no iterations", iterations(0), aes, "0 iterations"},
		{"PBKDF2, negative iterations", iterations(-1), aes, "-1 iterations"},
		{"PBKDF2, salt from elsewhere", pbkdf2(func(p *pbkdf2Params) { p.Salt = raw(t, algorithm{OID: oidPBKDF2}) }), aes, "malformed salt"},
		{"PBKDF2, long salt", pbkdf2(func(p *pbkdf2Params) { p.Salt = raw(t, make([]byte, 1025)) }), aes, "malformed salt"},
		{"PBKDF2 with MD5", pbkdf2(func(p *pbkdf2Params) { p.PRF.OID = oidHMACMD5 }), aes, "unknown prf"},
		{"PBKDF2, prf with parameters", pbkdf2(func(p *pbkdf2Params) { p.PRF.Parameters = raw(t, 1) }), aes, "malformed prf"},
		{"scrypt as openssl", scrypt(1<<14, 8, 1), aes, ""},
		{"scrypt with the most memory", scrypt(1<<18, 8, 1), aes, ""},
		{"scrypt with more memory", scrypt(1<<19, 8, 1), aes, "256 MiB"},
		{"scrypt with more memory by r", scrypt(1<<18, 9, 1), aes, "256 MiB"},
		{"scrypt with all memory there is", scrypt(1<<62, 8, 1), aes, "256 MiB"},
		{"scrypt with the most work", scrypt(1<<18, 8, 2), aes, ""},
		{"scrypt with more work", scrypt(1<<18, 8, 3), aes, "cost too much"},
		{"scrypt, large p", scrypt(1<<14, 8, 65), aes, "p=65"},
		{"scrypt, large r", scrypt(2, 65, 1), aes, "r=65"},
		{"scrypt, r and p beyond overflow", scrypt(2, 1<<32, 1<<32), aes, "r=4294967296"},
		{"scrypt, r 0", scrypt(1<<14, 0, 1), aes, "r=0"},
		{"scrypt, p negative", scrypt(1<<14, 8, -1), aes, "p=-1"},
		{"scrypt, N not a power of two", scrypt(10000, 8, 1), aes, "power of two"},
		{"scrypt, N 1", scrypt(1, 8, 1), aes, "power of two"},
		{"scrypt, N negative", scrypt(-1<<63, 8, 1), aes, "power of two"},
		{"unknown derivation", algorithm{oidPBES2, raw(t, 1)}, aes, "malformed parameters of the key derivation"},
		{"derivation without parameters", algorithm{OID: oidPBKDF2}, aes, "malformed parameters of the key derivation"},
		{"AES-GCM", pbkdf2(none), algorithm{oidAES256GCM, raw(t, make([]byte, 16))}, "unknown cipher"},
		{"short IV", pbkdf2(none), algorithm{oidAES256, raw(t, make([]byte, 15))}, "initialisation vector"},
		{"no IV", pbkdf2(none), algorithm{OID: oidAES256}, "initialisation vector"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der := marshal(t, sealed{algorithm{oidPBES2, raw(t, pbes2Params{tt.kdf, tt.scheme})}, make([]byte, 32)})
			_, err := signer.ParsePEM(toPEM("ENCRYPTED PRIVATE KEY", der), askOnly)
			if tt.want == "" {
				if !errors.Is(err, errAsked) {
					t.Errorf("got %v; want to be asked for the passphrase", err)
				}
				return
			}
			if errors.Is(err, errAsked) || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q in it", err, tt.want)
			}
		})
	}

	params := algorithm{oidPBES2, raw(t, pbes2Params{pbkdf2(none), aes})}
	for _, tt := range []struct {
		name string
		der  []byte
		want string
	}{
		{"not whole blocks", marshal(t, sealed{params, make([]byte, 33)}), "33 bytes"},
		{"no data", marshal(t, sealed{params, nil}), "0 bytes"},
		{"trailing data", append(marshal(t, sealed{params, make([]byte, 32)}), 0), "trailing data"},
		{"no parameters", marshal(t, sealed{algorithm{OID: oidPBES2}, make([]byte, 32)}), "PBES2: malformed parameters"},
		{"unknown scheme", marshal(t, sealed{algorithm{OID: oidAES256}, make([]byte, 32)}), "unknown scheme"},
		{"nothing", nil, "not a SEQUENCE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signer.ParsePEM(toPEM("ENCRYPTED PRIVATE KEY", tt.der), askOnly)
			if errors.Is(err, errAsked) || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q in it", err, tt.want)
			}
		})
	}
}

func TestSigstoreKey(t *testing.T) {
	block, _ := pem.Decode(readKeyFile(t, "p256-sigstore"))
	var good map[string]any
	if err := json.Unmarshal(block.Bytes, &good); err != nil {
		t.Fatal(err)
	}
	// with returns the file with one member set, by its path.
	with := func(path string, value any) []byte {
		whole := maps.Clone(good)
		m := whole
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			inner := maps.Clone(m[name].(map[string]any))
			m[name] = inner
			m = inner
		}
		m[names[len(names)-1]] = value
		out, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, tt := range []struct {
		name string
		json []byte
		want string // in the message; "" means accepted
	}{
		{"good", block.Bytes, ""},
		{"N above the limit", with("kdf.params.N", 1<<19), "256 MiB"},
		{"N negative", with("kdf.params.N", -2), "power of two"},
		{"r and p", with("kdf.params.p", 1000), "p=1000"},
		{"N a fraction", with("kdf.params.N", 0.5), "sigstore key"},
		{"other derivation", with("kdf.name", "argon2id"), `"argon2id"`},
		{"other cipher", with("cipher.name", "aes"), `"aes"`},
		{"long salt", with("kdf.salt", make([]byte, 1025)), "salt of 1025 bytes"},
		{"short nonce", with("cipher.nonce", make([]byte, 23)), "nonce of 23 bytes"},
		{"nothing sealed", with("ciphertext", make([]byte, 16)), "too short"},
		{"unknown member", with("kdf.pepper", 1), "unknown field"},
		{"trailing data", append(block.Bytes[:len(block.Bytes):len(block.Bytes)], "{}"...), "trailing data"},
		{"not JSON", []byte{0x30, 0}, "sigstore key"},
		{"empty", nil, "sigstore key"},
		{"null", []byte("null"), "key derivation"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signer.ParsePEM(toPEM("ENCRYPTED SIGSTORE PRIVATE KEY", tt.json), askOnly)
			if tt.want == "" {
				if !errors.Is(err, errAsked) {
					t.Errorf("got %v; want to be asked for the passphrase", err)
				}
				return
			}
			if errors.Is(err, errAsked) || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %q in it", err, tt.want)
			}
		})
	}
}
