package cms_test

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

func TestParseSigningCertificate(t *testing.T) {
	chain := pkitest.TSA(t, pkitest.Options{})
	leaf, issuer := chain.Leaf, chain.Intermediate
	v1, v2 := sha1.Sum(leaf.Raw), sha256.Sum256(leaf.Raw)
	v2big := sha512.Sum512(leaf.Raw)
	for _, tt := range []struct {
		name   string
		id     tsptest.ESSCertID
		hash   crypto.Hash
		digest []byte
	}{
		{"v1", tsptest.ESSCertID{V1: true}, crypto.SHA1, v1[:]},
		{"v1 without issuerSerial", tsptest.ESSCertID{V1: true, NoIssuerSerial: true}, crypto.SHA1, v1[:]},
		{"v2", tsptest.ESSCertID{}, crypto.SHA256, v2[:]},
		{"v2 without issuerSerial", tsptest.ESSCertID{NoIssuerSerial: true}, crypto.SHA256, v2[:]},
		{"v2 with SHA-256 written out", tsptest.ESSCertID{Hash: crypto.SHA256}, crypto.SHA256, v2[:]},
		{"v2 with SHA-512", tsptest.ESSCertID{Hash: crypto.SHA512}, crypto.SHA512, v2big[:]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.id.Certificate = leaf.Raw
			second := tt.id
			second.Certificate, second.NoIssuerSerial = issuer.Raw, true
			parse := cms.ParseSigningCertificateV2
			if tt.id.V1 {
				parse = cms.ParseSigningCertificate
			}
			ids, err := parse(tsptest.SigningCertificate(tt.id, second))
			if err != nil || len(ids) != 2 {
				t.Fatalf("parsed %d identifiers, %v; want 2", len(ids), err)
			}
			got := ids[0]
			if got.Hash != tt.hash || string(got.HashOID) != oid.OfHash(tt.hash) || !bytes.Equal(got.Digest, tt.digest) {
				t.Errorf("hash is %v %x, want %v %x", got.Hash, got.Digest, tt.hash, tt.digest)
			}
			if tt.id.NoIssuerSerial {
				if got.Issuer != nil || got.Serial != nil {
					t.Errorf("issuer %x and serial %x, want none", got.Issuer, got.Serial)
				}
			} else if !bytes.Equal(got.Issuer, leaf.RawIssuer) || !bytes.Equal(got.Serial, leaf.SerialNumber.Bytes()) {
				t.Errorf("issuer %x and serial %x, want those of the certificate", got.Issuer, got.Serial)
			}
		})
	}
}

func TestParseSigningCertificateRefuses(t *testing.T) {
	null, one := der.Make(der.TagNull), der.AppendInt(nil, 1)
	seq := func(parts ...[]byte) []byte { return der.Make(der.TagSequence, parts...) }
	digest := func(n int) []byte { return der.Make(der.TagOctetString, make([]byte, n)) }
	sha256 := der.Make(der.TagOID, []byte(oid.SHA256))
	name := seq(der.Make(der.TagSet, seq(sha256, der.Make(der.TagUTF8String, []byte("x")))))
	directory := der.Make(der.Context(4), name)
	with := func(fields ...[]byte) []byte { return seq(seq(seq(fields...))) }
	for _, tt := range []struct {
		name  string
		value []byte
		want  string
	}{
		{"nothing", nil, "not a SEQUENCE"},
		{"NULL", null, "not a SEQUENCE"},
		{"SET", der.Make(der.TagSet, seq()), "not a SEQUENCE"},
		{"certs missing", seq(), "not a SEQUENCE"},
		{"certs is NULL", seq(null), "not a SEQUENCE"},
		{"bytes behind", append(with(digest(32)), 0), "not a SEQUENCE"},
		{"no identifier", seq(seq()), "no certificate identifier"},
		{"identifier is NULL", seq(seq(null)), "identifier 1: not a SEQUENCE"},
		{"second identifier is NULL", seq(seq(seq(digest(32)), null)), "identifier 2: not a SEQUENCE"},
		{"17 identifiers", seq(seq(slices.Repeat([][]byte{seq(digest(32))}, 17)...)), "more than 16"},
		{"policies is NULL", seq(seq(seq(digest(32))), null), "policies"},
		{"third field", seq(seq(seq(digest(32))), seq(), seq()), "policies"},
		{"certHash missing", with(), "certHash"},
		{"certHash is a BIT STRING", with(der.Make(der.TagBitString, make([]byte, 33))), "certHash"},
		{"certHash too short", with(digest(31)), "31 bytes"},
		{"certHash too long", with(digest(33)), "33 bytes"},
		{"certHash of SHA-1", with(digest(20)), "20 bytes"},
		{"hashAlgorithm without identifier", with(seq(), digest(32)), "hashAlgorithm"},
		{"hashAlgorithm with parameters", with(seq(sha256, one), digest(32)), "hashAlgorithm"},
		{"certHash after hashAlgorithm missing", with(seq(sha256)), "certHash"},
		{"issuerSerial is NULL", with(digest(32), null), "issuerSerial"},
		{"issuerSerial empty", with(digest(32), seq()), "issuerSerial"},
		{"issuerSerial without serial", with(digest(32), seq(seq(directory))), "issuerSerial"},
		{"issuerSerial with a third field", with(digest(32), seq(seq(directory), one, one)), "issuerSerial"},
		{"issuerSerial twice", with(digest(32), seq(seq(directory), one), seq(seq(directory), one)), "issuerSerial"},
		{"serial not minimal", with(digest(32), seq(seq(directory), []byte{2, 2, 0, 1})), "issuerSerial"},
		{"issuer empty", with(digest(32), seq(seq(), one)), "directoryName"},
		{"issuer is a dNSName", with(digest(32), seq(seq(der.Make(0x82, []byte("x"))), one)), "directoryName"},
		{"issuer is not EXPLICIT", with(digest(32), seq(seq(der.Make(der.Context(4), der.Make(der.TagSet))), one)), "directoryName"},
		{"two issuers", with(digest(32), seq(seq(directory, directory), one)), "directoryName"},
		{"two names in one issuer", with(digest(32), seq(seq(der.Make(der.Context(4), name, name)), one)), "directoryName"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ids, err := cms.ParseSigningCertificateV2(tt.value)
			if err == nil || ids != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseSigningCertificateV2(%x) = %v, %v; want nil and an error that says %q", tt.value, ids, err, tt.want)
			}
		})
	}
	// Version 1 has no hash algorithm.
	if ids, err := cms.ParseSigningCertificate(with(seq(sha256), digest(32))); err == nil {
		t.Errorf("ParseSigningCertificate of version 2 = %v, want refused", ids)
	}
	// The hash that the identifier names need not be known.
	ids, err := cms.ParseSigningCertificateV2(with(seq(der.Make(der.TagOID, []byte("\x2a\x03\x04"))), digest(3)))
	if err != nil || ids[0].Hash != 0 || string(ids[0].HashOID) != "\x2a\x03\x04" {
		t.Errorf("ParseSigningCertificateV2 with an unknown hash = %v, %v", ids, err)
	}
	// Policies are read over.
	if _, err := cms.ParseSigningCertificateV2(seq(seq(seq(digest(32))), seq(seq(sha256)))); err != nil {
		t.Errorf("ParseSigningCertificateV2 with policies: %v", err)
	}
}

// FuzzSigningCertificate holds that an accepted value says what it is made of.
func FuzzSigningCertificate(f *testing.F) {
	chain := pkitest.TSA(f, pkitest.Options{})
	for _, id := range []tsptest.ESSCertID{{}, {V1: true}, {Hash: crypto.SHA512}, {NoIssuerSerial: true}} {
		id.Certificate = chain.DER[0]
		f.Add(tsptest.SigningCertificate(id), id.V1)
		f.Add(tsptest.SigningCertificate(id, id), !id.V1)
	}
	f.Fuzz(func(t *testing.T, in []byte, v1 bool) {
		parse := cms.ParseSigningCertificateV2
		if v1 {
			parse = cms.ParseSigningCertificate
		}
		ids, err := parse(in)
		if (err == nil) == (len(ids) == 0) {
			t.Fatalf("parsed %d identifiers with error %v", len(ids), err)
		}
		for _, id := range ids {
			if (id.Issuer == nil) != (id.Serial == nil) || !bytes.Contains(in, id.Digest) || !bytes.Contains(in, id.Issuer) {
				t.Fatalf("identifier %x is not what the input says", id)
			}
			if id.Hash != 0 && len(id.Digest) != id.Hash.Size() {
				t.Fatalf("identifier %x has the wrong length", id)
			}
		}
	})
}

// FuzzAttributes holds that attributes put together again are the input.
func FuzzAttributes(f *testing.F) {
	f.Add(der.Make(der.TagSet))
	f.Add(der.Make(der.TagSet, tsptest.Attribute(oid.ContentType, der.Make(der.TagOID, []byte(oid.TSTInfo)))))
	f.Add(der.Make(der.TagSet, tsptest.Attribute("\x2a", der.Make(der.TagNull), der.AppendInt(nil, 5)), tsptest.Attribute("\x2a")))
	f.Fuzz(func(t *testing.T, in []byte) {
		attributes, err := cms.ParseAttributes(in, der.TagSet)
		if err != nil {
			if attributes != nil {
				t.Fatalf("ParseAttributes = %v with error %v", attributes, err)
			}
			return
		}
		if got := join(attributes); !bytes.Equal(got, in) {
			t.Fatalf("%x is put together as %x", in, got)
		}
	})
}
