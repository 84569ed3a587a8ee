package tsptest

import (
	"crypto"
	"slices"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// Places of the attributes that Forge.Signed gets.
const (
	contentType = iota
	messageDigest
	signingCertificate
)

// attributeVariants differ in the signed attributes.
func attributeVariants() []Variant {
	signed := func(name string, verdict Verdict, change func(f *Forge, a [][]byte) [][]byte) Variant {
		return on(name, verdict, func(f *Forge) {
			f.Signed = func(a [][]byte) [][]byte { return change(f, a) }
		})
	}
	certificate := func(name string, verdict Verdict, ids func(f *Forge) []ESSCertID) Variant {
		return signed("ess-"+name, verdict, func(f *Forge, a [][]byte) [][]byte {
			a[signingCertificate] = Attribute(oid.SigningCertificateV2, SigningCertificate(ids(f)...))
			return a
		})
	}
	leaf := func(f *Forge) ESSCertID { return ESSCertID{Certificate: f.Chain[0]} }
	other := func(f *Forge) ESSCertID { return ESSCertID{Certificate: f.Other.Chain[0]} }
	v1 := func(id ESSCertID) []byte {
		id.V1 = true
		return Attribute(oid.SigningCertificate, SigningCertificate(id))
	}
	v2 := func(ids ...ESSCertID) []byte { return Attribute(oid.SigningCertificateV2, SigningCertificate(ids...)) }
	tstInfo := der.Make(der.TagOID, []byte(oid.TSTInfo))
	data := der.Make(der.TagOID, []byte(oid.Data))
	wrongDigest := der.Make(der.TagOctetString, make([]byte, 32))
	drop := func(place int) func(*Forge, [][]byte) [][]byte {
		return func(_ *Forge, a [][]byte) [][]byte { return slices.Delete(a, place, place+1) }
	}
	put := func(place int, attribute []byte) func(*Forge, [][]byte) [][]byte {
		return func(_ *Forge, a [][]byte) [][]byte { a[place] = attribute; return a }
	}
	add := func(attributes ...[]byte) func(*Forge, [][]byte) [][]byte {
		return func(_ *Forge, a [][]byte) [][]byte { return append(a, attributes...) }
	}
	out := []Variant{
		signed("signed-attributes-absent", Untrusted, func(*Forge, [][]byte) [][]byte { return nil }),
		signed("signed-attributes-empty", Malformed, func(*Forge, [][]byte) [][]byte { return [][]byte{} }),
		on("signed-attributes-unsorted", Good, func(f *Forge) {
			f.Unsorted = true
			f.Signed = func(a [][]byte) [][]byte {
				sortSet(a)
				slices.Reverse(a)
				return a
			}
		}),
		signed("signed-attributes-unknown", Good, add(Attribute("\x2a\x03\x04", null()))),
		signed("signed-attributes-65", Malformed, func(_ *Forge, a [][]byte) [][]byte {
			for i := range 62 {
				a = append(a, Attribute("\x2a\x03"+string([]byte{byte(i)}), null()))
			}
			return a
		}),
		signed("signed-attributes-without-values", Untrusted, put(messageDigest, Attribute(oid.MessageDigest))),
		signed("signed-attributes-malformed", Malformed, put(messageDigest, null())),
		signed("signed-attributes-trailing", Malformed, put(messageDigest, der.Make(der.TagSequence,
			der.Make(der.TagOID, []byte(oid.MessageDigest)), der.Make(der.TagSet, wrongDigest), null()))),

		signed("content-type-attribute-missing", Untrusted, drop(contentType)),
		signed("content-type-attribute-data", Untrusted, put(contentType, Attribute(oid.ContentType, data))),
		signed("content-type-attribute-twice", Untrusted, add(Attribute(oid.ContentType, tstInfo))),
		signed("content-type-attribute-twice-different", Untrusted, add(Attribute(oid.ContentType, data))),
		signed("content-type-attribute-two-values", Untrusted, put(contentType, Attribute(oid.ContentType, tstInfo, data))),
		signed("content-type-attribute-two-values-reversed", Untrusted, put(contentType, Attribute(oid.ContentType, data, tstInfo))),

		signed("message-digest-missing", Untrusted, drop(messageDigest)),
		signed("message-digest-wrong", Untrusted, put(messageDigest, Attribute(oid.MessageDigest, wrongDigest))),
		signed("message-digest-empty", Untrusted, put(messageDigest, Attribute(oid.MessageDigest, der.Make(der.TagOctetString)))),
		signed("message-digest-twice", Untrusted, func(_ *Forge, a [][]byte) [][]byte { return append(a, a[messageDigest]) }),
		signed("message-digest-twice-wrong-one-last", Untrusted, add(Attribute(oid.MessageDigest, wrongDigest))),
		signed("message-digest-two-values", Untrusted, func(_ *Forge, a [][]byte) [][]byte {
			value := a[messageDigest][len(a[messageDigest])-34:]
			a[messageDigest] = Attribute(oid.MessageDigest, value, wrongDigest)
			return a
		}),
		signed("message-digest-two-values-reversed", Untrusted, func(_ *Forge, a [][]byte) [][]byte {
			value := a[messageDigest][len(a[messageDigest])-34:]
			a[messageDigest] = Attribute(oid.MessageDigest, wrongDigest, value)
			return a
		}),

		signed("ess-missing", Untrusted, drop(signingCertificate)),
		certificate("elsewhere", Untrusted, func(f *Forge) []ESSCertID { return []ESSCertID{other(f)} }),
		certificate("elsewhere-with-this-issuer-serial", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Other.Chain[0], IssuerSerial: f.Chain[0]}}
		}),
		certificate("reissued", Untrusted, func(f *Forge) []ESSCertID { return []ESSCertID{{Certificate: f.Reissued}} }),
		certificate("issuer-first", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[1]}, leaf(f)}
		}),
		certificate("hash-of-zeros", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[0], Digest: make([]byte, 32)}}
		}),
		certificate("hash-too-short", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[0], Digest: make([]byte, 20)}}
		}),
		certificate("without-issuer-serial", Good, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[0], NoIssuerSerial: true}}
		}),
		certificate("wrong-issuer-serial", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[0], IssuerSerial: f.Other.Chain[0]}}
		}),
		certificate("issuer-serial-of-reissued", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[0], IssuerSerial: f.Reissued}}
		}),
		certificate("sha256-written-out", Good, func(f *Forge) []ESSCertID {
			return []ESSCertID{{Certificate: f.Chain[0], Hash: crypto.SHA256}}
		}),
		certificate("sha384", Good, func(f *Forge) []ESSCertID { return []ESSCertID{{Certificate: f.Chain[0], Hash: crypto.SHA384}} }),
		certificate("sha512", Good, func(f *Forge) []ESSCertID { return []ESSCertID{{Certificate: f.Chain[0], Hash: crypto.SHA512}} }),
		certificate("v2-with-sha1", Untrusted, func(f *Forge) []ESSCertID { return []ESSCertID{{Certificate: f.Chain[0], Hash: crypto.SHA1}} }),
		certificate("whole-chain", Good, func(f *Forge) []ESSCertID {
			return []ESSCertID{leaf(f), {Certificate: f.Chain[1]}, {Certificate: f.Chain[2]}}
		}),
		certificate("leaf-and-issuer", Good, func(f *Forge) []ESSCertID {
			return []ESSCertID{leaf(f), {Certificate: f.Chain[1]}}
		}),
		// RFC 5035, 3: further certificates limit the ones that may be used to
		// validate, and the issuer is not among these.
		certificate("restricted-to-another-chain", Untrusted, func(f *Forge) []ESSCertID {
			return []ESSCertID{leaf(f), {Certificate: f.Other.Chain[1]}}
		}),
		certificate("17-identifiers", Untrusted, func(f *Forge) []ESSCertID {
			return slices.Repeat([]ESSCertID{leaf(f)}, 17)
		}),
		certificate("no-identifiers", Untrusted, func(*Forge) []ESSCertID { return nil }),
		signed("ess-twice", Untrusted, func(f *Forge, a [][]byte) [][]byte { return append(a, v2(leaf(f))) }),
		signed("ess-twice-different", Untrusted, func(f *Forge, a [][]byte) [][]byte { return append(a, v2(other(f))) }),
		signed("ess-two-values", Untrusted, func(f *Forge, a [][]byte) [][]byte {
			a[signingCertificate] = Attribute(oid.SigningCertificateV2, SigningCertificate(leaf(f)), SigningCertificate(other(f)))
			return a
		}),
		signed("ess-two-values-reversed", Untrusted, func(f *Forge, a [][]byte) [][]byte {
			a[signingCertificate] = Attribute(oid.SigningCertificateV2, SigningCertificate(other(f)), SigningCertificate(leaf(f)))
			return a
		}),
		signed("ess-v1-alone", Legacy, func(f *Forge, a [][]byte) [][]byte { a[signingCertificate] = v1(leaf(f)); return a }),
		signed("ess-v1-alone-elsewhere", Untrusted, func(f *Forge, a [][]byte) [][]byte { a[signingCertificate] = v1(other(f)); return a }),
		signed("ess-v1-and-v2", Good, func(f *Forge, a [][]byte) [][]byte { return append(a, v1(leaf(f))) }),
		signed("ess-v1-elsewhere-and-v2", Untrusted, func(f *Forge, a [][]byte) [][]byte { return append(a, v1(other(f))) }),
		signed("ess-v1-and-v2-elsewhere", Untrusted, func(f *Forge, a [][]byte) [][]byte {
			a[signingCertificate] = v2(other(f))
			return append(a, v1(leaf(f)))
		}),
		signed("ess-v1-twice", Untrusted, func(f *Forge, a [][]byte) [][]byte {
			a[signingCertificate] = v1(leaf(f))
			return append(a, v1(leaf(f)))
		}),
		on("ess-unsigned", Untrusted, func(f *Forge) {
			f.Signed = func(a [][]byte) [][]byte { return a[:signingCertificate] }
			f.Signer = func(s *SignerFields) { s.UnsignedAttributes = der.Make(der.Context(1), v2(leaf(f))) }
		}),

		// signingTime is not required by RFC 3161, and nobody may take it for
		// the time of the token.
		signed("signing-time", Good, add(Attribute(oid.SigningTime, der.Make(0x17, []byte("260102030405Z"))))),
		signed("signing-time-lies", Good, add(Attribute(oid.SigningTime, der.Make(0x17, []byte("010101000000Z"))))),

		// The signed attributes of another message, replayed as the content of
		// one without: what was signed is the same bytes.
		on("signed-attributes-replayed-as-content", Malformed, func(f *Forge) {
			f.Signed = func(a [][]byte) [][]byte { return nil }
			f.Content = func(info []byte) []byte {
				h := crypto.SHA256.New()
				h.Write(info)
				return der.Make(der.TagSet, Attribute(oid.ContentType, tstInfo),
					Attribute(oid.MessageDigest, der.Make(der.TagOctetString, h.Sum(nil))))
			}
		}),
		on("content-replayed-as-signed-attributes", Malformed, func(f *Forge) {
			f.Signed = func([][]byte) [][]byte { return nil }
			f.Signer = func(s *SignerFields) {
				info, err := f.MakeInfo()
				if err != nil {
					panic(err.Error())
				}
				info[0] = der.Context(0)
				s.SignedAttributes = info
			}
		}),
	}
	// Each attribute that means something, with a value of each type that it
	// must not have.
	types := []struct {
		name  string
		value []byte
	}{
		{"null", null()}, {"boolean", Critical()}, {"integer", der.AppendInt(nil, 5)}, {"bit-string", der.Make(der.TagBitString, []byte{0, 1})},
		{"octet-string", wrongDigest}, {"oid", tstInfo}, {"utf8string", der.Make(der.TagUTF8String, []byte("x"))},
		{"utctime", der.Make(0x17, []byte("260102030405Z"))}, {"sequence", der.Make(der.TagSequence)},
		{"sequence-of-null", der.Make(der.TagSequence, null())}, {"set", der.Make(der.TagSet)}, {"context-0", der.Make(0x80)},
	}
	for _, attribute := range []struct {
		name    string
		place   int
		content string
		right   string
	}{
		{"content-type-attribute", contentType, oid.ContentType, "oid"},
		{"message-digest", messageDigest, oid.MessageDigest, "octet-string"},
		{"ess", signingCertificate, oid.SigningCertificateV2, ""},
	} {
		for _, typ := range types {
			if typ.name != attribute.right {
				out = append(out, signed(attribute.name+"-is-a-"+typ.name, Untrusted, put(attribute.place, Attribute(attribute.content, typ.value))))
			}
		}
	}
	return out
}
