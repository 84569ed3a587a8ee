package tsptest

import (
	"crypto"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/pki/pkitest"
)

// signatureVariants differ in keys, algorithms and the signature itself.
func signatureVariants() []Variant {
	var out []Variant
	for _, kind := range pkitest.KeyTypes()[1:] {
		out = append(out, Variant{"key-" + kind.String(), Good, pkitest.Options{Key: kind}, func(*Forge) {}})
	}
	rsa := pkitest.Options{Key: pkitest.RSA2048}
	ed25519 := pkitest.Options{Key: pkitest.Ed25519}
	algorithmIs := func(content string, parameters ...[]byte) func(*Forge) {
		return func(f *Forge) {
			f.Signer = func(s *SignerFields) { s.Algorithm = algorithm(content, parameters...) }
		}
	}
	digest := func(h crypto.Hash) func(*Forge) { return func(f *Forge) { f.Digest = h } }
	return append(out,
		Variant{"digest-sha384-p256", Good, pkitest.Options{}, digest(crypto.SHA384)},
		Variant{"digest-sha512-rsa2048", Good, rsa, digest(crypto.SHA512)},
		Variant{"digest-sha1-p256", Untrusted, pkitest.Options{}, digest(crypto.SHA1)},
		Variant{"digest-sha1-rsa2048", Untrusted, rsa, digest(crypto.SHA1)},
		Variant{"digest-sha256-ed25519", Untrusted, ed25519, digest(crypto.SHA256)}, // RFC 8419, 3.1
		Variant{"pss-rsa2048", Good, rsa, func(f *Forge) { f.PSS = true }},
		Variant{"pss-sha512-rsa3072", Good, pkitest.Options{Key: pkitest.RSA3072}, func(f *Forge) { f.PSS, f.Digest = true, crypto.SHA512 }},
		Variant{"pss-parameters-absent", Untrusted, rsa, func(f *Forge) {
			f.PSS = true // and then the parameters mean SHA-1
			algorithmIs(oid.RSAPSS)(f)
		}},
		Variant{"pss-parameters-malformed", Untrusted, rsa, func(f *Forge) {
			f.PSS = true
			algorithmIs(oid.RSAPSS, der.Make(der.TagSequence, der.AppendInt(nil, 1)))(f)
		}},
		Variant{"pss-other-hash", Untrusted, rsa, func(f *Forge) {
			f.PSS = true
			f.Signer = func(s *SignerFields) { s.Algorithm = pssAlgorithm(crypto.SHA512) }
		}},
		Variant{"algorithm-rsaencryption", Good, rsa, algorithmIs(oid.RSAEncryption, null())},
		Variant{"algorithm-rsaencryption-without-null", Good, rsa, algorithmIs(oid.RSAEncryption)},
		Variant{"algorithm-pkcs1-called-pss", Untrusted, rsa, func(f *Forge) {
			f.Signer = func(s *SignerFields) { s.Algorithm = pssAlgorithm(crypto.SHA256) }
		}},
		Variant{"algorithm-ecpublickey", Untrusted, pkitest.Options{}, algorithmIs(oid.ECPublicKey)},
		Variant{"algorithm-of-another-hash", Untrusted, pkitest.Options{}, algorithmIs(oid.ECDSAWithSHA512)},
		Variant{"algorithm-of-another-key", Untrusted, pkitest.Options{}, algorithmIs(oid.SHA256WithRSA, null())},
		Variant{"algorithm-unknown", Untrusted, pkitest.Options{}, algorithmIs("\x2a\x03\x04")},
		Variant{"algorithm-is-a-hash", Untrusted, pkitest.Options{}, algorithmIs(oid.SHA256)},
		Variant{"algorithm-with-parameters", Untrusted, pkitest.Options{}, algorithmIs(oid.ECDSAWithSHA256, der.AppendInt(nil, 1))},
		onSigner("digest-algorithm-other", Untrusted, func(s *SignerFields) { s.Digest = algorithm(oid.SHA384) }),
		onSigner("digest-algorithm-unknown", Untrusted, func(s *SignerFields) { s.Digest = algorithm("\x2a\x03\x04") }),
		onSigner("digest-algorithm-null", Good, func(s *SignerFields) { s.Digest = algorithm(oid.SHA256, null()) }),
		onSigner("signature-corrupt", Untrusted, func(s *SignerFields) { s.Signature[len(s.Signature)-1] ^= 1 }),
		onSigner("signature-empty", Untrusted, func(s *SignerFields) { s.Signature = der.Make(der.TagOctetString) }),
		onSigner("signature-of-zeros", Untrusted, func(s *SignerFields) { clear(s.Signature[2:]) }),
		onSigner("signature-zero-r-and-s", Untrusted, func(s *SignerFields) {
			s.Signature = der.Make(der.TagOctetString, der.Make(der.TagSequence, der.AppendInt(nil, 0), der.AppendInt(nil, 0)))
		}),
		onSigner("signature-trailing-byte", Untrusted, func(s *SignerFields) {
			s.Signature = der.Make(der.TagOctetString, s.Signature[2:], []byte{0})
		}),
		onSigner("signature-missing", Malformed, func(s *SignerFields) { s.Signature = nil }),
		on("signed-by-another-key", Untrusted, func(f *Forge) { f.Key = f.Other.Key }),
		on("signed-by-another-authority", Untrusted, func(f *Forge) { f.Identity = f.Other }),
		on("signed-by-another-authority-with-this-chain", Untrusted, func(f *Forge) {
			bag := f.Chain
			f.Identity = f.Other
			f.Data = func(d *DataFields) { d.Certificates = append(d.Certificates, bag...) }
		}),
		on("signed-by-another-key-naming-this-certificate-first", Untrusted, func(f *Forge) {
			f.Key = f.Other.Key
			f.Data = func(d *DataFields) { d.Certificates = append([][]byte{f.Other.Chain[0]}, d.Certificates...) }
		}),
		on("sid-of-another-certificate", Untrusted, func(f *Forge) {
			name := mustName(f.Other.Chain[0])
			f.Signer = func(s *SignerFields) { s.SID = der.Make(der.TagSequence, name.issuer, name.serial) }
		}),
		on("sid-key-identifier", Good, func(f *Forge) { f.KeyID = true }),
		on("sid-key-identifier-of-nobody", Untrusted, func(f *Forge) {
			f.KeyID = true
			f.Signer = func(s *SignerFields) { s.SID = der.Make(0x80, []byte("nobody")) }
		}),
		onSigner("sid-key-identifier-empty", Malformed, func(s *SignerFields) { s.SID = der.Make(0x80) }),
		onSigner("sid-missing", Malformed, func(s *SignerFields) { s.SID = nil }),
		onSigner("signerinfo-trailing", Malformed, func(s *SignerFields) { s.Trailing = null() }),
		onSigner("signerinfo-version-missing", Malformed, func(s *SignerFields) { s.Version = nil }),
		onSigner("unsigned-attribute", Good, func(s *SignerFields) {
			s.UnsignedAttributes = der.Make(der.Context(1), Attribute("\x2a\x03\x04", null()))
		}),
		onSigner("unsigned-attributes-malformed", Malformed, func(s *SignerFields) {
			s.UnsignedAttributes = der.Make(der.Context(1), null())
		}),
	)
}
