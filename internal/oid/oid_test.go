package oid

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"strings"
	"testing"
)

func TestContentOctets(t *testing.T) {
	for dotted, content := range map[string]string{
		"1.2.840.113549.1.7.1":       Data,
		"1.2.840.113549.1.7.2":       SignedData,
		"1.2.840.113549.1.9.16.1.4":  TSTInfo,
		"1.2.840.113549.1.9.3":       ContentType,
		"1.2.840.113549.1.9.4":       MessageDigest,
		"1.2.840.113549.1.9.5":       SigningTime,
		"1.2.840.113549.1.9.16.2.12": SigningCertificate,
		"1.2.840.113549.1.9.16.2.47": SigningCertificateV2,
		"1.2.840.113549.1.9.52":      AlgorithmProtection,
		"2.5.29.37":                  ExtKeyUsage,
		"2.5.29.16":                  PrivateKeyUsagePeriod,
		"1.3.6.1.5.5.7.3.8":          EKUTimeStamping,
		"1.2.840.113549.1.1.8":       MGF1,
		"1.2.840.113549.2.5":         MD5,
		"1.3.14.3.2.26":              SHA1,
		"2.16.840.1.101.3.4.2.4":     SHA224,
		"2.16.840.1.101.3.4.2.1":     SHA256,
		"2.16.840.1.101.3.4.2.2":     SHA384,
		"2.16.840.1.101.3.4.2.3":     SHA512,
		"2.16.840.1.101.3.4.2.5":     SHA512_224,
		"2.16.840.1.101.3.4.2.6":     SHA512_256,
		"2.16.840.1.101.3.4.2.7":     SHA3_224,
		"2.16.840.1.101.3.4.2.8":     SHA3_256,
		"2.16.840.1.101.3.4.2.9":     SHA3_384,
		"2.16.840.1.101.3.4.2.10":    SHA3_512,
		"1.2.840.113549.1.1.1":       RSAEncryption,
		"1.2.840.113549.1.1.5":       SHA1WithRSA,
		"1.2.840.113549.1.1.10":      RSAPSS,
		"1.2.840.113549.1.1.11":      SHA256WithRSA,
		"1.2.840.113549.1.1.12":      SHA384WithRSA,
		"1.2.840.113549.1.1.13":      SHA512WithRSA,
		"1.2.840.10045.2.1":          ECPublicKey,
		"1.2.840.10045.4.1":          ECDSAWithSHA1,
		"1.2.840.10045.4.3.2":        ECDSAWithSHA256,
		"1.2.840.10045.4.3.3":        ECDSAWithSHA384,
		"1.2.840.10045.4.3.4":        ECDSAWithSHA512,
		"1.3.101.112":                PureEd25519,
	} {
		id, err := x509.ParseOID(dotted)
		if err != nil {
			t.Fatalf("ParseOID(%q): %v", dotted, err)
		}
		if got := string(Content(id)); got != content {
			t.Errorf("content octets of %s = %x, want %x", dotted, got, content)
		}
		if got := Dotted([]byte(content)); got != dotted {
			t.Errorf("Dotted(%x) = %q, want %q", content, got, dotted)
		}
		if !Is(id, content) {
			t.Errorf("Is(%s, its content) = false", dotted)
		}
	}
}

func TestHashRoundTrip(t *testing.T) {
	known := 0
	for h := crypto.Hash(1); h < 32; h++ {
		content := OfHash(h)
		if content == "" {
			continue
		}
		known++
		if got := Hash([]byte(content)); got != h {
			t.Errorf("Hash(OfHash(%v)) = %v", h, got)
		}
		id, _ := Public([]byte(content))
		if Name(id) == "" {
			t.Errorf("no name for %v", h)
		}
	}
	if known != 12 {
		t.Errorf("OfHash knows %d hashes, want 12", known)
	}
	if got := Hash([]byte(TSTInfo)); got != 0 {
		t.Errorf("Hash(TSTInfo) = %v, want 0", got)
	}
}

func TestPublic(t *testing.T) {
	for _, test := range []struct {
		name    string
		content []byte
		ok      bool
	}{
		{"a known one", []byte(SHA256), true},
		{"empty", nil, false},
		{"arc not ended", []byte{0x2a, 0x86}, false},
		{"arc with a leading zero", []byte{0x2a, 0x80, 0x01}, false},
		{"longest", bytes.Repeat([]byte{1}, MaxLen), true},
		{"too long", bytes.Repeat([]byte{1}, MaxLen+1), false},
		{"one giant arc", append(bytes.Repeat([]byte{0xff}, 200), 1), true},
	} {
		id, ok := Public(test.content)
		if ok != test.ok {
			t.Errorf("%s: Public(%x) = %v, want %v", test.name, test.content, ok, test.ok)
		}
		if ok && !bytes.Equal(Content(id), test.content) {
			t.Errorf("%s: Content(Public(x)) = %x, want %x", test.name, Content(id), test.content)
		}
	}
	if got := Dotted([]byte{0x80}); !strings.Contains(got, "invalid") {
		t.Errorf("Dotted(80) = %q", got)
	}
	if !IsZero(x509.OID{}) {
		t.Error("IsZero(zero value) = false")
	}
}

func TestASN1(t *testing.T) {
	id, _ := x509.ParseOID("1.3.6.1.4.1.57264.2")
	if got, ok := ASN1(id); !ok || got.String() != "1.3.6.1.4.1.57264.2" {
		t.Errorf("ASN1(%v) = %v, %v", id, got, ok)
	}
	big, _ := Public(append(bytes.Repeat([]byte{0xff}, 20), 1))
	if got, ok := ASN1(big); ok {
		t.Errorf("ASN1(giant arc) = %v, want none", got)
	}
}
