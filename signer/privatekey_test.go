package signer_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/signer"
)

// The structures of RFC 5958, RFC 5915 and RFC 8017, open to any nonsense.
type (
	pkcs8 struct {
		Version    int
		Algorithm  algorithm
		Key        []byte
		Attributes []asn1.RawValue `asn1:"optional,omitempty,tag:0,set"`
		Public     asn1.BitString  `asn1:"optional,tag:1"`
	}
	algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	sec1 struct {
		Version int
		Key     []byte
		Curve   asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
		Public  asn1.BitString        `asn1:"optional,explicit,tag:1"`
	}
	pkcs1 struct {
		Version                     int
		N, E, D, P, Q, Dp, Dq, QInv *big.Int
	}
)

var (
	oidRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC      = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidEd25519 = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidP256    = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384    = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
)

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func raw(t testing.TB, v any) asn1.RawValue { return asn1.RawValue{FullBytes: marshal(t, v)} }

func bitString(b []byte) asn1.BitString { return asn1.BitString{Bytes: b, BitLength: 8 * len(b)} }

func toPEM(label string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der})
}

// decodeKey returns the standard library's view of a test key.
func decodeKey[K any](t testing.TB, name string) K {
	t.Helper()
	block, _ := pem.Decode(readKeyFile(t, name))
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k.(K)
}

// expect checks that data gives the test key of that name, or else an error
// with the text want in it.
func expect(t *testing.T, data []byte, name, want string) {
	t.Helper()
	k, err := signer.ParsePEM(data, signer.Config{})
	if name != "" {
		if err != nil {
			t.Fatal(err)
		}
		if !sameKey(k.Public(), readPublic(t, name)) {
			t.Error("another key was read")
		}
		return
	}
	if err == nil || k != nil {
		t.Fatalf("got %v, %v; want an error", k, err)
	}
	if !strings.Contains(err.Error(), want) || errors.Is(err, signer.ErrPassphrase) {
		t.Errorf("got %q; want %q in it", err, want)
	}
}

func TestParseSEC1(t *testing.T) {
	key := decodeKey[*ecdsa.PrivateKey](t, "p256")
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	compressed := append([]byte{2 + point[64]&1}, point[1:33]...)
	wrongSign := append([]byte{3 - point[64]&1}, point[1:33]...)
	other, err := decodeKey[*ecdsa.PrivateKey](t, "p384").PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	negated := append([]byte{4}, point[1:33]...)
	y := new(big.Int).Sub(elliptic.P256().Params().P, new(big.Int).SetBytes(point[33:]))
	negated = append(negated, y.FillBytes(make([]byte, 32))...)
	order := elliptic.P256().Params().N

	good := sec1{Version: 1, Key: scalar, Curve: oidP256, Public: bitString(point)}
	with := func(change func(*sec1)) []byte {
		k := good
		change(&k)
		return marshal(t, k)
	}
	for _, tt := range []struct {
		name string
		der  []byte
		want string // in the message; "" means read
	}{
		{"good", marshal(t, good), ""},
		{"no public half", with(func(k *sec1) { k.Public = asn1.BitString{} }), ""},
		{"compressed public half", with(func(k *sec1) { k.Public = bitString(compressed) }), ""},
		{"scalar with a zero before it, as Java writes", with(func(k *sec1) { k.Key = append([]byte{0}, scalar...) }), ""},
		{"public half of another sign", with(func(k *sec1) { k.Public = bitString(wrongSign) }), "public half"},
		{"public half negated", with(func(k *sec1) { k.Public = bitString(negated) }), "public half"},
		{"public half of another curve", with(func(k *sec1) { k.Public = bitString(other) }), "public half"},
		{"public half cut", with(func(k *sec1) { k.Public = bitString(point[:64]) }), "public half"},
		{"public half with unused bits", with(func(k *sec1) { k.Public = asn1.BitString{Bytes: compressed, BitLength: 8*33 - 1} }), "malformed publicKey"},
		{"version 0", with(func(k *sec1) { k.Version = 0 }), "version 0"},
		{"version 2", with(func(k *sec1) { k.Version = 2 }), "version 2"},
		{"no curve", with(func(k *sec1) { k.Curve = nil }), "without a curve"},
		{"another curve", with(func(k *sec1) { k.Curve = oidP384 }), "public half"},
		{"unknown curve", with(func(k *sec1) { k.Curve = asn1.ObjectIdentifier{1, 2, 3} }), "1.2.3"},
		{"endless curve", with(func(k *sec1) { k.Curve = append(asn1.ObjectIdentifier{1, 2}, make([]int, 500)...) }), "..."},
		{"empty scalar", with(func(k *sec1) { k.Key = nil }), "privateKey"},
		{"zero scalar", with(func(k *sec1) { k.Key = make([]byte, 32) }), "privateKey"},
		{"scalar of the order", with(func(k *sec1) { k.Key = order.Bytes() }), "privateKey"},
		{"long scalar", with(func(k *sec1) { k.Key = append([]byte{1}, scalar...) }), "privateKey"},
		{"trailing data", append(marshal(t, good), 0), "trailing data"},
		{"cut", marshal(t, good)[:60], "not a SEQUENCE"},
		{"unknown field", marshal(t, struct {
			Version int
			Key     []byte
			More    int
		}{1, scalar, 7}), "unknown field"},
		{"nothing", nil, "not a SEQUENCE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := ""
			if tt.want == "" {
				name = "p256"
			}
			expect(t, toPEM("EC PRIVATE KEY", tt.der), name, tt.want)
		})
	}
}

// A scalar that OpenSSL of old shortened by its leading zeros.
func TestParseSEC1ShortScalar(t *testing.T) {
	der := marshal(t, sec1{Version: 1, Key: []byte{0x12, 0x34}, Curve: oidP256})
	k, err := signer.ParsePEM(toPEM("EC PRIVATE KEY", der), signer.Config{})
	if err != nil {
		t.Fatal(err)
	}
	padded := make([]byte, 32)
	padded[30], padded[31] = 0x12, 0x34
	want, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), padded)
	if err != nil {
		t.Fatal(err)
	}
	if !sameKey(k.Public(), want.Public()) {
		t.Error("another key was read")
	}
}

func TestParsePKCS8(t *testing.T) {
	ec := decodeKey[*ecdsa.PrivateKey](t, "p256")
	scalar, err := ec.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	point, err := ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	ed := decodeKey[ed25519.PrivateKey](t, "ed25519")
	edPublic := ed.Public().(ed25519.PublicKey)
	rsaKey := decodeKey[*rsa.PrivateKey](t, "rsa2048")
	null := asn1.RawValue{Tag: asn1.TagNull}

	ecKey := pkcs8{Algorithm: algorithm{oidEC, raw(t, oidP256)}, Key: marshal(t, sec1{Version: 1, Key: scalar})}
	edKey := pkcs8{Algorithm: algorithm{OID: oidEd25519}, Key: marshal(t, []byte(ed.Seed()))}
	rsaPKCS8 := pkcs8{Algorithm: algorithm{oidRSA, null}, Key: x509.MarshalPKCS1PrivateKey(rsaKey)}
	with := func(k pkcs8, change func(*pkcs8)) []byte {
		change(&k)
		return marshal(t, k)
	}
	for _, tt := range []struct {
		name string
		der  []byte
		key  string // the key that is read, or
		want string // what is in the message
	}{
		{"EC", marshal(t, ecKey), "p256", ""},
		{"EC, curve named twice", with(ecKey, func(k *pkcs8) { k.Key = marshal(t, sec1{Version: 1, Key: scalar, Curve: oidP256}) }), "p256", ""},
		{"EC, two curves", with(ecKey, func(k *pkcs8) { k.Key = marshal(t, sec1{Version: 1, Key: scalar, Curve: oidP384}) }), "", "two different curves"},
		{"EC, no curve outside", with(ecKey, func(k *pkcs8) { k.Algorithm.Parameters = asn1.RawValue{} }), "", "malformed curve"},
		{"EC, NULL curve", with(ecKey, func(k *pkcs8) { k.Algorithm.Parameters = null }), "", "malformed curve"},
		{"EC, version 2 with the public half", with(ecKey, func(k *pkcs8) { k.Version, k.Public = 1, bitString(point) }), "p256", ""},
		{"EC, public half of another key", with(ecKey, func(k *pkcs8) { k.Version, k.Public = 1, bitString(edPublic) }), "", "public half"},
		{"Ed25519", marshal(t, edKey), "ed25519", ""},
		{"Ed25519, version 2", with(edKey, func(k *pkcs8) { k.Version, k.Public = 1, bitString(edPublic) }), "ed25519", ""},
		{"Ed25519, public half of another key", with(edKey, func(k *pkcs8) { k.Version, k.Public = 1, bitString(make([]byte, 32)) }), "", "public half"},
		{"Ed25519, public half in version 1", with(edKey, func(k *pkcs8) { k.Public = bitString(edPublic) }), "", "publicKey in version 0"},
		{"Ed25519, public half with unused bits", with(edKey, func(k *pkcs8) { k.Version, k.Public = 1, asn1.BitString{Bytes: make([]byte, 32), BitLength: 255} }), "", "malformed publicKey"},
		{"Ed25519 with parameters", with(edKey, func(k *pkcs8) { k.Algorithm.Parameters = null }), "", "with parameters"},
		{"Ed25519, short", with(edKey, func(k *pkcs8) { k.Key = marshal(t, ed.Seed()[:31]) }), "", "malformed Ed25519"},
		{"Ed25519, not wrapped", with(edKey, func(k *pkcs8) { k.Key = ed.Seed() }), "", "malformed Ed25519"},
		{"Ed25519, trailing", with(edKey, func(k *pkcs8) { k.Key = append(marshal(t, []byte(ed.Seed())), 0) }), "", "malformed Ed25519"},
		{"RSA", marshal(t, rsaPKCS8), "rsa2048", ""},
		{"RSA without parameters", with(rsaPKCS8, func(k *pkcs8) { k.Algorithm.Parameters = asn1.RawValue{} }), "rsa2048", ""},
		{"RSA with parameters", with(rsaPKCS8, func(k *pkcs8) { k.Algorithm.Parameters = raw(t, 7) }), "", "with parameters"},
		{"RSA, version 2", with(rsaPKCS8, func(k *pkcs8) {
			k.Version, k.Public = 1, bitString(x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey))
		}), "rsa2048", ""},
		{"attributes", with(ecKey, func(k *pkcs8) { k.Attributes = []asn1.RawValue{raw(t, 1)} }), "p256", ""},
		{"version 3", with(ecKey, func(k *pkcs8) { k.Version = 2 }), "", "version 2"},
		{"negative version", with(ecKey, func(k *pkcs8) { k.Version = -1 }), "", "version -1"},
		{"unknown algorithm", with(ecKey, func(k *pkcs8) { k.Algorithm.OID = asn1.ObjectIdentifier{1, 2, 3} }), "", "1.2.3"},
		{"trailing data", append(marshal(t, ecKey), 0), "", "trailing data"},
		{"unknown field", marshal(t, struct {
			Version   int
			Algorithm algorithm
			Key       []byte
			More      int
		}{0, ecKey.Algorithm, ecKey.Key, 1}), "", "unknown field"},
		{"nothing", nil, "", "not a SEQUENCE"},
		{"no fields", []byte{0x30, 0}, "", "malformed version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, toPEM("PRIVATE KEY", tt.der), tt.key, tt.want)
		})
	}
}

func TestParsePKCS1(t *testing.T) {
	k := decodeKey[*rsa.PrivateKey](t, "rsa2048")
	one := big.NewInt(1)
	good := pkcs1{0, k.N, big.NewInt(int64(k.E)), k.D, k.Primes[0], k.Primes[1],
		k.Precomputed.Dp, k.Precomputed.Dq, k.Precomputed.Qinv}
	with := func(change func(*pkcs1)) []byte {
		k := good
		change(&k)
		return marshal(t, k)
	}
	bits := func(n uint) *big.Int { return new(big.Int).Lsh(one, n-1) }
	for _, tt := range []struct {
		name string
		der  []byte
		want string // in the message; "" means read
	}{
		{"good", marshal(t, good), ""},
		{"version 1", with(func(k *pkcs1) { k.Version = 1 }), "two primes"},
		{"modulus of 2047 bits", with(func(k *pkcs1) { k.N = bits(2047) }), "2047 bits"},
		{"modulus of 8193 bits", with(func(k *pkcs1) { k.N = bits(8193) }), "8193 bits"},
		{"modulus of another key", with(func(k *pkcs1) { k.N = new(big.Int).Add(k.N, big.NewInt(2)) }), "RSA key"},
		{"even modulus", with(func(k *pkcs1) { k.N = bits(2048) }), "RSA key"},
		{"another exponent", with(func(k *pkcs1) { k.E = big.NewInt(3) }), "RSA key"},
		{"even exponent", with(func(k *pkcs1) { k.E = big.NewInt(65536) }), "RSA key"},
		{"huge exponent", with(func(k *pkcs1) { k.E = bits(2048) }), "RSA key"},
		{"longer than the modulus", with(func(k *pkcs1) { k.D = bits(2049) }), "privateExponent is longer"},
		{"wrong private exponent", with(func(k *pkcs1) { k.D = new(big.Int).Add(k.D, one) }), "RSA key"},
		{"prime 1", with(func(k *pkcs1) { k.P, k.Q = one, k.N }), "RSA key"},
		{"negative prime", with(func(k *pkcs1) { k.P = new(big.Int).Neg(k.P) }), "malformed prime1"},
		{"wrong coefficient", with(func(k *pkcs1) { k.QInv = new(big.Int).Add(k.QInv, one) }), "RSA key"},
		{"zero coefficient", with(func(k *pkcs1) { k.QInv = new(big.Int) }), "malformed coefficient"},
		{"trailing data", append(marshal(t, good), 0), "trailing data"},
		{"unknown field", marshal(t, struct {
			Version int
			N, E, D *big.Int
			P, Q    *big.Int
			X, Y, Z *big.Int
			More    int
		}{0, good.N, good.E, good.D, good.P, good.Q, good.Dp, good.Dq, good.QInv, 1}), "unknown field"},
		{"no numbers", []byte{0x30, 3, 2, 1, 0}, "malformed modulus"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := ""
			if tt.want == "" {
				name = "rsa2048"
			}
			expect(t, toPEM("RSA PRIVATE KEY", tt.der), name, tt.want)
		})
	}
}
