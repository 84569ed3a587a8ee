package tsptest

import (
	"bytes"
	"slices"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// dataVariants differ in the SignedData around the signature.
func dataVariants() []Variant {
	signer := func(d *DataFields) []byte { return d.Signers[0] }
	bag := func(change func(f *Forge, bag [][]byte) [][]byte) func(*Forge) {
		return func(f *Forge) {
			f.Data = func(d *DataFields) { d.Certificates = change(f, d.Certificates) }
		}
	}
	attributeCertificate := der.Make(der.Context(2), der.Make(der.TagSequence, der.AppendInt(nil, 1)), algorithm(oid.ECDSAWithSHA256))
	return []Variant{
		on("certificates-injected-before", Good, bag(func(f *Forge, b [][]byte) [][]byte { return append(slices.Clone(f.Other.Chain), b...) })),
		on("certificates-injected-after", Good, bag(func(f *Forge, b [][]byte) [][]byte { return append(b, f.Other.Chain...) })),
		on("certificates-leaf-last", Good, bag(func(f *Forge, b [][]byte) [][]byte { return [][]byte{f.Chain[1], f.Chain[0]} })),
		on("certificates-leaf-first", Good, bag(func(f *Forge, b [][]byte) [][]byte { return [][]byte{f.Chain[0], f.Chain[1]} })),
		on("certificates-twice", Good, bag(func(f *Forge, b [][]byte) [][]byte { return append(b, b...) })),
		on("certificates-with-root", Good, bag(func(f *Forge, b [][]byte) [][]byte { return f.Chain })),
		on("certificates-empty", Untrusted, bag(func(*Forge, [][]byte) [][]byte { return [][]byte{} })),
		on("certificates-absent", Untrusted, bag(func(*Forge, [][]byte) [][]byte { return nil })),
		on("certificates-without-leaf", Untrusted, bag(func(f *Forge, b [][]byte) [][]byte { return f.Chain[1:2] })),
		on("certificates-without-intermediate", Untrusted, bag(func(f *Forge, b [][]byte) [][]byte { return f.Chain[:1] })),
		on("certificates-reissued-leaf", Untrusted, bag(func(f *Forge, b [][]byte) [][]byte { return [][]byte{f.Reissued, f.Chain[1]} })),
		on("certificates-reissued-leaf-as-well", Good, bag(func(f *Forge, b [][]byte) [][]byte { return [][]byte{f.Reissued, f.Chain[0], f.Chain[1]} })),
		on("certificates-attribute-certificate", Good, bag(func(f *Forge, b [][]byte) [][]byte { return append([][]byte{attributeCertificate}, b...) })),
		on("certificates-unparsable", Good, bag(func(f *Forge, b [][]byte) [][]byte {
			return append([][]byte{der.Make(der.TagSequence, null())}, b...)
		})),
		on("certificates-65", Malformed, bag(func(f *Forge, b [][]byte) [][]byte {
			return append(b, slices.Repeat([][]byte{attributeCertificate}, 65-len(b))...)
		})),
		onData("signeddata-version-1", Good, func(d *DataFields) { d.Version = der.AppendInt(nil, 1) }),
		onData("signeddata-version-missing", Malformed, func(d *DataFields) { d.Version = nil }),
		onData("signeddata-trailing", Malformed, func(d *DataFields) { d.Trailing = null() }),
		onData("signeddata-digest-algorithms-empty", Good, func(d *DataFields) { d.DigestAlgorithms = nil }),
		onData("signeddata-digest-algorithms-other", Good, func(d *DataFields) { d.DigestAlgorithms = [][]byte{algorithm(oid.SHA512)} }),
		onData("signeddata-digest-algorithms-malformed", Malformed, func(d *DataFields) { d.DigestAlgorithms = [][]byte{null()} }),
		on("signeddata-crl", Good, func(f *Forge) {
			f.Data = func(d *DataFields) { d.CRLs = [][]byte{f.CRL} }
		}),
		onData("signeddata-other-revocation", Good, func(d *DataFields) {
			d.CRLs = [][]byte{der.Make(der.Context(1), OID("1.3.6.1.5.5.7.16.2"), der.Make(der.TagSequence))}
		}),
		onData("no-signerinfo", Malformed, func(d *DataFields) { d.Signers = nil }),
		onData("two-signerinfos", Malformed, func(d *DataFields) { d.Signers = append(d.Signers, signer(d)) }),
		on("two-signerinfos-of-two-authorities", Malformed, func(f *Forge) {
			f.Data = func(d *DataFields) {
				g := Forge{Identity: f.Other, Request: f.Request, Time: f.Time}
				content, err := g.MakeInfo()
				if err != nil {
					panic(err.Error())
				}
				s, err := g.signer(content)
				if err != nil {
					panic(err.Error())
				}
				d.Signers = append(d.Signers, der.Make(der.TagSequence, s.Version, s.SID, s.Digest, s.SignedAttributes, s.Algorithm, s.Signature))
			}
		}),
		onData("content-absent", Malformed, func(d *DataFields) { d.Content = nil }),
		onData("content-empty", Malformed, func(d *DataFields) { d.Content = []byte{} }),
		onData("content-changed-after-signing", Untrusted, func(d *DataFields) {
			d.Content = bytes.Replace(d.Content, []byte("20260102"), []byte("20250102"), 1)
		}),
		onData("content-type-data", Malformed, func(d *DataFields) { d.ContentType = der.Make(der.TagOID, []byte(oid.Data)) }),
		on("content-type-data-throughout", Malformed, func(f *Forge) {
			f.Signed = func(a [][]byte) [][]byte {
				a[0] = Attribute(oid.ContentType, der.Make(der.TagOID, []byte(oid.Data)))
				return a
			}
			f.Data = func(d *DataFields) { d.ContentType = der.Make(der.TagOID, []byte(oid.Data)) }
		}),
		onData("content-type-malformed", Malformed, func(d *DataFields) { d.ContentType = null() }),
		on("ber-indefinite", Good, func(f *Forge) { f.Indefinite = true }),
		on("ber-indefinite-with-crl", Good, func(f *Forge) {
			f.Indefinite = true
			f.Data = func(d *DataFields) { d.CRLs = [][]byte{f.CRL} }
		}),
		// What is signed is the DER of the attributes, however they are sent
		// (RFC 5652, 5.4).
		on("ber-signed-attributes", Good, func(f *Forge) {
			f.Signer = func(s *SignerFields) {
				attributes := s.SignedAttributes[der.HeaderLen(len(s.SignedAttributes)-3):]
				s.SignedAttributes = append(append([]byte{der.Context(0), 0x80}, attributes...), 0, 0)
			}
		}),
		on("token-trailing", Malformed, func(f *Forge) { f.Token = func(b []byte) []byte { return append(b, 0) } }),
		on("token-trailing-element", Malformed, func(f *Forge) { f.Token = func(b []byte) []byte { return append(b, null()...) } }),
		on("token-is-data", Malformed, func(f *Forge) {
			f.Token = func(b []byte) []byte {
				return der.Make(der.TagSequence, der.Make(der.TagOID, []byte(oid.Data)), der.Make(der.Context(0), der.Make(der.TagOctetString, b)))
			}
		}),
		on("token-is-a-tstinfo", Malformed, func(f *Forge) {
			f.Token = func([]byte) []byte {
				info, err := f.MakeInfo()
				if err != nil {
					panic(err.Error())
				}
				return info
			}
		}),
	}
}
