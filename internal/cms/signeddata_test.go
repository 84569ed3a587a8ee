package cms_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/fencepost-tsa/fencepost/internal/cms"
	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
	"github.com/fencepost-tsa/fencepost/tsp/tsptest"
)

// token returns a ContentInfo that change has bent.
func token(t testing.TB, change func(*tsptest.Forge)) []byte {
	t.Helper()
	f := tsptest.NewForge(t, pkitest.Options{})
	change(f)
	out, err := f.MakeToken()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestParseSignedData(t *testing.T) {
	var want tsptest.DataFields
	var chain [][]byte
	raw := token(t, func(f *tsptest.Forge) {
		chain = f.Chain
		f.Data = func(d *tsptest.DataFields) {
			other := der.Make(der.Context(2), der.AppendInt(nil, 1))
			d.Certificates = [][]byte{f.Chain[1], other, f.Chain[0]} // not sorted
			d.CRLs = [][]byte{der.Make(der.Context(1), der.AppendInt(nil, 1)), f.CRL}
			want = *d
		}
		f.Signer = func(s *tsptest.SignerFields) {
			s.UnsignedAttributes = der.Make(der.Context(1), tsptest.Attribute("\x2a\x03\x04", der.AppendInt(nil, 1), der.AppendInt(nil, 2)))
		}
	})
	d, err := cms.ParseSignedData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d.Version != 3 || string(d.ContentType) != oid.TSTInfo || !bytes.Equal(d.Content, want.Content) {
		t.Errorf("version %d, content type %x, content %x; want 3, %x, %x", d.Version, d.ContentType, d.Content, oid.TSTInfo, want.Content)
	}
	if len(d.DigestAlgorithms) != 1 || string(d.DigestAlgorithms[0].OID) != oid.SHA256 {
		t.Errorf("digestAlgorithms are %x, want SHA-256", d.DigestAlgorithms)
	}
	if got := [][]byte{chain[1], chain[0]}; !slices.EqualFunc(d.Certificates, got, bytes.Equal) || d.OtherCertificates != 1 {
		t.Errorf("%d certificates and %d others, want those of the chain as encoded and 1", len(d.Certificates), d.OtherCertificates)
	}
	if len(d.CRLs) != 1 || !bytes.Equal(d.CRLs[0], want.CRLs[1]) {
		t.Errorf("%d CRLs, want the one", len(d.CRLs))
	}
	s := &d.Signer
	if s.Version != 1 || s.SubjectKeyID != nil || !bytes.Contains(chain[0], s.Issuer) || !bytes.Contains(chain[0], s.Serial) {
		t.Errorf("signer is version %d, issuer %x, serial %x, key %x", s.Version, s.Issuer, s.Serial, s.SubjectKeyID)
	}
	if len(s.SignedAttributes) != 3 || s.RawSignedAttributes[0] != der.TagSet || !bytes.Contains(raw, s.RawSignedAttributes[1:]) {
		t.Errorf("%d signed attributes in %x", len(s.SignedAttributes), s.RawSignedAttributes)
	}
	if len(s.UnsignedAttributes) != 1 || len(s.UnsignedAttributes[0].Values) != 2 || string(s.UnsignedAttributes[0].Type) != "\x2a\x03\x04" {
		t.Errorf("unsigned attributes are %x", s.UnsignedAttributes)
	}
	if string(s.Digest.OID) != oid.SHA256 || string(s.SignatureAlgorithm.OID) != oid.ECDSAWithSHA256 || len(s.Signature) < 64 {
		t.Errorf("digest %x, algorithm %x, signature %x", s.Digest.OID, s.SignatureAlgorithm.OID, s.Signature)
	}
}

// TestParseSignedDataKeepsOrder holds that what was signed unsorted stays so.
func TestParseSignedDataKeepsOrder(t *testing.T) {
	d, err := cms.ParseSignedData(token(t, func(f *tsptest.Forge) {
		f.Unsorted = true
		f.Signed = func(a [][]byte) [][]byte { return [][]byte{a[2], a[0], a[1]} }
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range d.Signer.SignedAttributes {
		got = append(got, string(a.Type))
	}
	if want := []string{oid.SigningCertificateV2, oid.ContentType, oid.MessageDigest}; !slices.Equal(got, want) {
		t.Errorf("attributes are %x, want %x", got, want)
	}
}

func TestParseSignedDataRefuses(t *testing.T) {
	data := func(change func(*tsptest.DataFields)) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Data = change }
	}
	signer := func(change func(*tsptest.SignerFields)) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Signer = change }
	}
	signed := func(change func([][]byte) [][]byte) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Signed = change }
	}
	whole := func(change func([]byte) []byte) func(*tsptest.Forge) {
		return func(f *tsptest.Forge) { f.Token = change }
	}
	null := der.Make(der.TagNull)
	one := der.AppendInt(nil, 1)
	signedData := der.Make(der.TagOID, []byte(oid.SignedData))
	tstInfo, octets, set := der.Make(der.TagOID, []byte(oid.TSTInfo)), der.Make(der.TagOctetString), der.Make(der.TagSet)
	body := func(fields ...[]byte) func(*tsptest.Forge) {
		return whole(func([]byte) []byte {
			return der.Make(der.TagSequence, signedData, der.Make(der.Context(0), der.Make(der.TagSequence, fields...)))
		})
	}
	wrongSID := der.Make(der.TagSequence, der.Make(der.TagSequence))
	for _, tt := range []struct {
		name   string
		change func(*tsptest.Forge)
		want   string // in the error: the field at fault
	}{
		{"ContentInfo is a SET", whole(func(b []byte) []byte { b[0] = der.TagSet; return b }), "contentInfo"},
		{"ContentInfo and a byte", whole(func(b []byte) []byte { return append(b, 0) }), "contentInfo"},
		{"ContentInfo empty", whole(func([]byte) []byte { return der.Make(der.TagSequence) }), "contentType"},
		{"nothing", whole(func([]byte) []byte { return nil }), "contentInfo"},
		{"contentType is an INTEGER", whole(func([]byte) []byte { return der.Make(der.TagSequence, one) }), "contentType"},
		{"contentType id-data", whole(func(b []byte) []byte {
			return bytes.Replace(b, []byte(oid.SignedData), []byte(oid.Data), 1)
		}), "1.2.840.113549.1.7.1 is not id-signedData"},
		{"content missing", whole(func([]byte) []byte { return der.Make(der.TagSequence, signedData) }), "contentInfo: malformed content"},
		{"content not EXPLICIT", whole(func([]byte) []byte { return der.Make(der.TagSequence, signedData, der.Make(0x80)) }), "contentInfo: malformed content"},
		{"content is an OCTET STRING", whole(func([]byte) []byte {
			return der.Make(der.TagSequence, signedData, der.Make(der.Context(0), der.Make(der.TagOctetString)))
		}), "contentInfo: malformed content"},
		{"content twice", whole(func([]byte) []byte {
			return der.Make(der.TagSequence, signedData, der.Make(der.Context(0), der.Make(der.TagSequence), der.Make(der.TagSequence)))
		}), "contentInfo: malformed content"},
		{"third field of ContentInfo", whole(func([]byte) []byte {
			return der.Make(der.TagSequence, signedData, der.Make(der.Context(0), der.Make(der.TagSequence)), null)
		}), "contentInfo: malformed content"},

		{"version missing", data(func(d *tsptest.DataFields) { d.Version = nil }), "signedData: malformed version"},
		{"version not minimal", data(func(d *tsptest.DataFields) { d.Version = []byte{2, 2, 0, 3} }), "signedData: malformed version"},
		{"version of nine octets", data(func(d *tsptest.DataFields) { d.Version = der.Make(der.TagInteger, []byte("123456789")) }), "signedData: malformed version"},
		{"version 3 in 32 bits", data(func(d *tsptest.DataFields) { d.Version = der.AppendInt(nil, 1<<32+3) }), "signedData: malformed version"},
		{"signer version 1 in 32 bits", signer(func(s *tsptest.SignerFields) { s.Version = der.AppendInt(nil, 1<<32+1) }), "signerInfo: malformed version"},
		{"digestAlgorithms missing", body(one), "digestAlgorithms"},
		{"digestAlgorithms of NULL", data(func(d *tsptest.DataFields) { d.DigestAlgorithms = [][]byte{null} }), "digestAlgorithms"},
		{"17 digestAlgorithms", data(func(d *tsptest.DataFields) {
			d.DigestAlgorithms = slices.Repeat(d.DigestAlgorithms, 17)
		}), "more than 16 digestAlgorithms"},
		{"digest algorithm with two parameters", data(func(d *tsptest.DataFields) {
			d.DigestAlgorithms = [][]byte{der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.SHA256)), null, null)}
		}), "digestAlgorithms"},
		{"digest algorithm without identifier", data(func(d *tsptest.DataFields) {
			d.DigestAlgorithms = [][]byte{der.Make(der.TagSequence)}
		}), "digestAlgorithms"},
		{"eContentType missing", data(func(d *tsptest.DataFields) { d.ContentType = nil }), "encapContentInfo"},
		{"eContentType is NULL", data(func(d *tsptest.DataFields) { d.ContentType = null }), "encapContentInfo"},
		{"eContent is a SEQUENCE", body(one, set, der.Make(der.TagSequence, tstInfo, der.Make(der.Context(0), der.Make(der.TagSequence))), set), "malformed eContent"},
		{"eContent not EXPLICIT", body(one, set, der.Make(der.TagSequence, tstInfo, der.Make(0x80)), set), "malformed eContent"},
		{"eContent twice", body(one, set, der.Make(der.TagSequence, tstInfo, der.Make(der.Context(0), octets, octets)), set), "malformed eContent"},
		{"third field of encapContentInfo", body(one, set, der.Make(der.TagSequence, tstInfo, der.Make(der.Context(0), octets), null), set), "malformed eContent"},
		{"certificates with an empty tag", data(func(d *tsptest.DataFields) { d.Certificates = [][]byte{{0x30}} }), "certificates"},
		{"65 certificates", data(func(d *tsptest.DataFields) { d.Certificates = slices.Repeat(d.Certificates[:1], 65) }), "more than 64 certificates"},
		{"65 others", data(func(d *tsptest.DataFields) {
			d.Certificates = slices.Repeat([][]byte{der.Make(der.Context(3))}, 65)
		}), "more than 64 certificates"},
		{"65 CRLs", data(func(d *tsptest.DataFields) { d.CRLs = slices.Repeat([][]byte{der.Make(der.TagSequence)}, 65) }), "more than 64 crls"},
		{"CRLs cut off", data(func(d *tsptest.DataFields) { d.CRLs = [][]byte{{0x30, 5}} }), "crls"},
		{"signerInfos empty", data(func(d *tsptest.DataFields) { d.Signers = nil }), "no signerInfo"},
		{"two signerInfos", data(func(d *tsptest.DataFields) { d.Signers = slices.Repeat(d.Signers, 2) }), "more than one signerInfo"},
		{"second signerInfo is NULL", data(func(d *tsptest.DataFields) { d.Signers = append(d.Signers, null) }), "more than one signerInfo"},
		{"signerInfo is NULL", data(func(d *tsptest.DataFields) { d.Signers = [][]byte{null} }), "signerInfo: not a SEQUENCE"},
		{"field after signerInfos", data(func(d *tsptest.DataFields) { d.Trailing = null }), "after signerInfos"},
		{"signerInfos missing", body(one, set, der.Make(der.TagSequence, tstInfo)), "malformed signerInfos"},
		{"signerInfos is a SEQUENCE", body(one, set, der.Make(der.TagSequence, tstInfo), der.Make(der.TagSequence)), "malformed signerInfos"},

		{"signer serial of 65 octets", signer(func(s *tsptest.SignerFields) {
			s.SID = der.Make(der.TagSequence, der.Make(der.TagSequence), der.Make(der.TagInteger, bytes.Repeat([]byte{1}, 65)))
		}), "signerInfo: malformed issuerAndSerialNumber"},
		{"signer version missing", signer(func(s *tsptest.SignerFields) { s.Version = nil }), "signerInfo: malformed version"},
		{"sid missing", signer(func(s *tsptest.SignerFields) { s.SID = nil }), "issuerAndSerialNumber"},
		{"sid without a serial number", signer(func(s *tsptest.SignerFields) { s.SID = wrongSID }), "issuerAndSerialNumber"},
		{"sid with a third field", signer(func(s *tsptest.SignerFields) {
			s.SID = der.Make(der.TagSequence, der.Make(der.TagSequence), one, null)
		}), "issuerAndSerialNumber"},
		{"sid with an INTEGER that is not minimal", signer(func(s *tsptest.SignerFields) {
			s.SID = der.Make(der.TagSequence, der.Make(der.TagSequence), []byte{2, 2, 0, 1})
		}), "issuerAndSerialNumber"},
		{"subjectKeyIdentifier empty", signer(func(s *tsptest.SignerFields) { s.SID = der.Make(0x80) }), "subjectKeyIdentifier"},
		{"digestAlgorithm missing", signer(func(s *tsptest.SignerFields) { s.Digest = nil }), "digestAlgorithm"},
		{"digestAlgorithm is NULL", signer(func(s *tsptest.SignerFields) { s.Digest = null }), "digestAlgorithm"},
		{"signedAttrs empty", signed(func([][]byte) [][]byte { return [][]byte{} }), "signedAttrs: empty"},
		{"signedAttrs of NULL", signed(func([][]byte) [][]byte { return [][]byte{null} }), "signedAttrs: malformed attribute 1"},
		{"signedAttrs with a broken third", signed(func(a [][]byte) [][]byte { a[2] = der.Make(0x32); return a }), "signedAttrs: malformed attribute 3"},
		{"attribute without a type", signed(func([][]byte) [][]byte { return [][]byte{der.Make(der.TagSequence, der.Make(der.TagSet))} }), "malformed attribute 1"},
		{"attribute without values", signed(func([][]byte) [][]byte { return [][]byte{der.Make(der.TagSequence, signedData)} }), "malformed attribute 1"},
		{"attribute with a third field", signed(func([][]byte) [][]byte {
			return [][]byte{der.Make(der.TagSequence, signedData, der.Make(der.TagSet), null)}
		}), "malformed attribute 1"},
		{"attribute value cut off", signed(func([][]byte) [][]byte { return [][]byte{tsptest.Attribute("\x2a", []byte{2, 5, 1})} }), "malformed value of attribute 1"},
		{"17 values", signed(func([][]byte) [][]byte {
			return [][]byte{tsptest.Attribute("\x2a", slices.Repeat([][]byte{null}, 17)...)}
		}), "more than 16 values of attribute 1"},
		{"65 attributes", signed(func([][]byte) [][]byte { return slices.Repeat([][]byte{tsptest.Attribute("\x2a", null)}, 65) }), "more than 64 attributes"},
		{"signatureAlgorithm missing", signer(func(s *tsptest.SignerFields) { s.Algorithm = nil }), "signatureAlgorithm"},
		{"signature missing", signer(func(s *tsptest.SignerFields) { s.Signature = nil }), "malformed signature"},
		{"signature is a BIT STRING", signer(func(s *tsptest.SignerFields) { s.Signature[0] = der.TagBitString }), "malformed signature"},
		{"unsignedAttrs of NULL", signer(func(s *tsptest.SignerFields) { s.UnsignedAttributes = der.Make(der.Context(1), null) }), "unsignedAttrs: malformed attribute 1"},
		{"field after the signature", signer(func(s *tsptest.SignerFields) { s.Trailing = null }), "signerInfo: bytes after"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := token(t, tt.change)
			d, err := cms.ParseSignedData(raw)
			if err == nil || d != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseSignedData = %v, %v; want nil and an error that says %q", d, err, tt.want)
			}
		})
	}
}

// TestParseSignedDataTruncated cuts a token at every octet.
func TestParseSignedDataTruncated(t *testing.T) {
	raw := token(t, func(*tsptest.Forge) {})
	for n := range raw {
		if d, err := cms.ParseSignedData(raw[:n]); err == nil || d != nil {
			t.Fatalf("ParseSignedData of %d octets of %d = %v, %v", n, len(raw), d, err)
		}
	}
}

func TestAlgorithm(t *testing.T) {
	null := der.Make(der.TagNull)
	id := der.Make(der.TagOID, []byte(oid.SHA256))
	for _, tt := range []struct {
		name         string
		in           []byte
		ok           bool
		absentOrNull bool
	}{
		{"absent", der.Make(der.TagSequence, id), true, true},
		{"NULL", der.Make(der.TagSequence, id, null), true, true},
		{"INTEGER", der.Make(der.TagSequence, id, der.AppendInt(nil, 5)), true, false},
		{"NULL with content", der.Make(der.TagSequence, id, []byte{der.TagNull, 1, 0}), true, false},
		{"two", der.Make(der.TagSequence, id, null, null), false, false},
		{"no identifier", der.Make(der.TagSequence, null), false, false},
		{"empty", der.Make(der.TagSequence), false, false},
		{"SET", der.Make(der.TagSet, id), false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := cryptobyte.String(append(bytes.Clone(tt.in), 0xaa))
			var a cms.Algorithm
			if ok := cms.ReadAlgorithm(&s, &a); ok != tt.ok {
				t.Fatalf("ReadAlgorithm(%x) = %v, want %v", tt.in, ok, tt.ok)
			}
			if !tt.ok {
				return
			}
			if !bytes.Equal(a.Raw, tt.in) || string(a.OID) != oid.SHA256 || len(s) != 1 {
				t.Errorf("ReadAlgorithm(%x) = %x, leaving %x", tt.in, a, s)
			}
			if got := a.AbsentOrNull(); got != tt.absentOrNull {
				t.Errorf("AbsentOrNull of %x is %v, want %v", tt.in, got, tt.absentOrNull)
			}
		})
	}
}

// FuzzParseSignedData holds that what is parsed lies in the input as it is, and
// that an error comes with nothing.
func FuzzParseSignedData(f *testing.F) {
	for _, v := range tsptest.Variants() {
		if v.Options.Key == pkitest.P256 {
			f.Add(v.Token(f))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		d, err := cms.ParseSignedData(in)
		if !bytes.Equal(in, before) {
			t.Fatal("the input was changed")
		}
		if err != nil {
			if d != nil {
				t.Fatalf("ParseSignedData = %v with error %v", d, err)
			}
			return
		}
		parts := [][]byte{d.ContentType, d.Content, d.Signer.Issuer, d.Signer.Serial, d.Signer.SubjectKeyID, d.Signer.Signature, d.Signer.Digest.Raw}
		parts = append(append(parts, d.Certificates...), d.CRLs...)
		for _, p := range parts {
			if !bytes.Contains(in, p) {
				t.Fatalf("%x is not in the input", p)
			}
		}
		if (d.Signer.Issuer == nil) != (d.Signer.Serial == nil) || (d.Signer.Issuer == nil) == (d.Signer.SubjectKeyID == nil) {
			t.Fatalf("signer has issuer %x, serial %x, key %x", d.Signer.Issuer, d.Signer.Serial, d.Signer.SubjectKeyID)
		}
		if raw := d.Signer.RawSignedAttributes; raw != nil {
			if raw[0] != der.TagSet || !bytes.Contains(in, append([]byte{der.Context(0)}, raw[1:]...)) {
				t.Fatalf("signed attributes %x are not in the input", raw)
			}
			// Put together again, the attributes are the bytes that were signed.
			if got := join(d.Signer.SignedAttributes); !bytes.Equal(got, raw) {
				t.Fatalf("signed attributes %x are put together as %x", raw, got)
			}
		}
	})
}

func join(attributes []cms.Attribute) []byte {
	var list [][]byte
	for _, a := range attributes {
		list = append(list, tsptest.Attribute(string(a.Type), a.Values...))
	}
	return der.Make(der.TagSet, list...)
}
