package cloud

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// A URI that is understood is one of a single way to write what it names, but
// for what the peer allows besides: "versions", and a slash at the end.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		"awskms:///alias/tsa",
		"awskms://localhost:4566/1234abcd-12ab-34cd-56ef-1234567890ab",
		"awskms:///arn:aws:kms:us-east-2:111122223333:alias/a/b",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/12",
		"gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/versions/1",
		"azurekms://tsa.vault.azure.net/signing",
		"azurekms://tsa.vault.azure.net/signing/0123456789abcdef0123456789abcdef",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		c := call{opOpen, uri}
		if n, err := parseAWS(c); err == nil {
			if again := "awskms://" + n.endpoint + "/" + n.key; again != uri {
				t.Errorf("%q became %q", uri, again)
			}
		} else if fault.KindOf(err) != fault.Malformed || n != (awsName{}) {
			t.Errorf("%q: %v", uri, err)
		}
		if n, err := parseGCP(c); err == nil {
			again := gcpScheme + n.keyName()
			if n.version != "" {
				again += "/cryptoKeyVersions/" + n.version
			}
			if again != uri && again != strings.Replace(uri, "/versions/", "/cryptoKeyVersions/", 1) {
				t.Errorf("%q became %q", uri, again)
			}
		} else if fault.KindOf(err) != fault.Malformed || n != (gcpName{}) {
			t.Errorf("%q: %v", uri, err)
		}
		if n, err := parseAzure(c); err == nil {
			again := "azurekms://" + n.host + "/" + n.key
			if n.version != "" {
				again += "/" + n.version
			}
			if again != strings.TrimSuffix(uri, "/") {
				t.Errorf("%q became %q", uri, again)
			}
		} else if fault.KindOf(err) != fault.Malformed || n != (azureName{}) {
			t.Errorf("%q: %v", uri, err)
		}
	})
}

// Halves that are joined are the signature's, and a signature that has the
// right form is the DER of its two numbers and nothing else.
func FuzzSignatureForm(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	der, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x30, 6, 2, 1, 1, 2, 1, 0})
	f.Add(bytes.Repeat([]byte{1}, 132))
	f.Add(bytes.Repeat([]byte{0xff}, 132))
	f.Add(make([]byte, 132))
	f.Fuzz(func(t *testing.T, data []byte) {
		pub := &key.PublicKey
		joined, err := joinHalves(pub, data)
		if (err == nil) != (len(data) == 132) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
		if err == nil {
			r, s := numbers(t, joined)
			if got := append(r.FillBytes(make([]byte, 66)), s.FillBytes(make([]byte, 66))...); !bytes.Equal(got, data) {
				t.Errorf("joined %x; got %x", data, got)
			}
		}
		if checkECDSA(pub, data) == nil {
			var b cryptobyte.Builder
			r, s := numbers(t, data)
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1BigInt(r)
				b.AddASN1BigInt(s)
			})
			if again := b.BytesOrPanic(); !bytes.Equal(again, data) {
				t.Errorf("%x is taken for %x", data, again)
			}
		}
	})
}

func numbers(t *testing.T, der []byte) (r, s *big.Int) {
	t.Helper()
	in, seq := cryptobyte.String(der), cryptobyte.String(nil)
	r, s = new(big.Int), new(big.Int)
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1Integer(r) || !seq.ReadASN1Integer(s) {
		t.Fatalf("%x is no signature", der)
	}
	return r, s
}

func TestAzurePublic(t *testing.T) {
	odd := new(big.Int).Lsh(big.NewInt(1), 2047)
	odd.SetBit(odd, 0, 1)
	modulus := odd.Bytes()
	for _, tt := range []struct {
		name string
		key  azkeys.JSONWebKey
		ok   bool
	}{
		{"RSA", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: modulus, E: []byte{1, 0, 1}}, true},
		{"RSA in an HSM", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSAHSM), N: modulus, E: []byte{3}}, true},
		{"no modulus", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), E: []byte{1, 0, 1}}, false},
		{"even modulus", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: new(big.Int).Lsh(odd, 1).Bytes(), E: []byte{1, 0, 1}}, false},
		{"no exponent", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: modulus}, false},
		{"exponent 1", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: modulus, E: []byte{1}}, false},
		{"even exponent", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: modulus, E: []byte{1, 0, 0}}, false},
		{"huge exponent", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeRSA), N: modulus, E: bytes.Repeat([]byte{0xff}, 4)}, false},
		{"EC without a curve", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeEC), X: make([]byte, 32), Y: make([]byte, 32)}, false},
		{"EC, short coordinate", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeEC), Crv: to.Ptr(azkeys.CurveNameP256), X: make([]byte, 31), Y: make([]byte, 32)}, false},
		{"EC, not on the curve", azkeys.JSONWebKey{Kty: to.Ptr(azkeys.KeyTypeEC), Crv: to.Ptr(azkeys.CurveNameP256), X: make([]byte, 32), Y: make([]byte, 32)}, false},
	} {
		if _, err := azurePublic(&tt.key); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}
