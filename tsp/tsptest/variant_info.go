package tsptest

import (
	"bytes"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
)

// infoVariants differ in the TSTInfo.
func infoVariants() []Variant {
	integer := func(content ...byte) []byte { return der.Make(der.TagInteger, content) }
	genTime := func(name string, verdict Verdict, content string) Variant {
		return onInfo("gentime-"+name, verdict, func(i *InfoFields) { i.GenTime = der.Make(der.TagGeneralizedTime, []byte(content)) })
	}
	accuracy := func(name string, verdict Verdict, fields ...[]byte) Variant {
		return onInfo("accuracy-"+name, verdict, func(i *InfoFields) { i.Accuracy = der.Make(der.TagSequence, fields...) })
	}
	sub := func(tag byte, content ...byte) []byte { return der.Make(0x80|tag, content) }
	return []Variant{
		onInfo("version-0", Malformed, func(i *InfoFields) { i.Version = integer(0) }),
		onInfo("version-2", Malformed, func(i *InfoFields) { i.Version = integer(2) }),
		onInfo("version-missing", Malformed, func(i *InfoFields) { i.Version = nil }),
		onInfo("version-not-minimal", Malformed, func(i *InfoFields) { i.Version = integer(0, 1) }),
		onInfo("policy-missing", Malformed, func(i *InfoFields) { i.Policy = nil }),
		onInfo("policy-other", Good, func(i *InfoFields) { i.Policy = OID("1.2.3.4") }),
		onInfo("policy-giant-arcs", Good, func(i *InfoFields) {
			i.Policy = der.Make(der.TagOID, []byte("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x81\x00"))
		}),
		onInfo("policy-of-2-kb", Malformed, func(i *InfoFields) { i.Policy = der.Make(der.TagOID, bytes.Repeat([]byte{5}, 2048)) }),
		onInfo("imprint-missing", Malformed, func(i *InfoFields) { i.Imprint = nil }),
		onInfo("imprint-other", Mismatch, func(i *InfoFields) {
			i.Imprint = RawImprint(oid.SHA256, null(), bytes.Repeat([]byte{0xa5}, 32))
		}),
		onInfo("imprint-other-algorithm", Mismatch, func(i *InfoFields) {
			i.Imprint = RawImprint(oid.SHA3_256, null(), Imprint().Digest)
		}),
		onInfo("imprint-parameters-absent", Good, func(i *InfoFields) { i.Imprint = RawImprint(oid.SHA256, nil, Imprint().Digest) }),
		onInfo("imprint-parameters-integer", Malformed, func(i *InfoFields) {
			i.Imprint = RawImprint(oid.SHA256, der.AppendInt(nil, 5), Imprint().Digest)
		}),
		onInfo("imprint-too-short", Malformed, func(i *InfoFields) {
			i.Imprint = RawImprint(oid.SHA256, null(), Imprint().Digest[:31])
		}),
		onInfo("serial-missing", Malformed, func(i *InfoFields) { i.Serial = nil }),
		onInfo("serial-zero", Good, func(i *InfoFields) { i.Serial = integer(0) }),
		onInfo("serial-negative", Good, func(i *InfoFields) { i.Serial = integer(0xfb) }),
		onInfo("serial-of-160-bits", Good, func(i *InfoFields) { i.Serial = integer(append([]byte{0}, bytes.Repeat([]byte{0xff}, 20)...)...) }),
		onInfo("serial-of-64-octets", Good, func(i *InfoFields) { i.Serial = integer(bytes.Repeat([]byte{1}, 64)...) }),
		onInfo("serial-of-65-octets", Malformed, func(i *InfoFields) { i.Serial = integer(bytes.Repeat([]byte{1}, 65)...) }),
		onInfo("serial-not-minimal", Malformed, func(i *InfoFields) { i.Serial = integer(0, 1) }),

		genTime("of-seconds", Good, "20260102030405Z"),
		genTime("of-nanoseconds", Good, "20260102030405.123456789Z"),
		genTime("of-picoseconds", Malformed, "20260102030405.123456789012Z"),
		genTime("with-comma", Malformed, "20260102030405,5Z"),
		genTime("with-offset", Malformed, "20260102030405+0100"),
		genTime("local", Malformed, "20260102030405"),
		genTime("without-seconds", Malformed, "202601020304Z"),
		genTime("with-trailing-zero", Malformed, "20260102030405.50Z"),
		genTime("with-fraction-zero", Malformed, "20260102030405.0Z"),
		genTime("with-point-alone", Malformed, "20260102030405.Z"),
		genTime("year-0", Malformed, "00000102030405Z"),
		genTime("year-9999", Untrusted, "99991231235959Z"),
		genTime("leap-second", Malformed, "20161231235960Z"),
		genTime("hour-24", Malformed, "20260102240000Z"),
		genTime("february-30", Malformed, "20260230000000Z"),
		genTime("empty", Malformed, ""),
		onInfo("gentime-is-a-utctime", Malformed, func(i *InfoFields) { i.GenTime = der.Make(0x17, []byte("260102030405Z")) }),
		onInfo("gentime-missing", Malformed, func(i *InfoFields) { i.GenTime = nil }),
		on("gentime-in-2049", Untrusted, func(f *Forge) { f.Time = time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC) }),
		on("gentime-before-the-certificate", Untrusted, func(f *Forge) { f.Time = time.Date(2019, 12, 31, 23, 59, 59, 0, time.UTC) }),
		on("gentime-after-the-certificate", Untrusted, func(f *Forge) { f.Time = time.Date(2050, 1, 1, 0, 0, 1, 0, time.UTC) }),

		onInfo("accuracy-absent", Good, func(i *InfoFields) { i.Accuracy = nil }),
		accuracy("empty", Good),
		accuracy("seconds-0", Good, integer(0)),
		accuracy("millis-1-micros-999", Good, sub(0, 1), sub(1, 0x03, 0xe7)),
		accuracy("seconds-and-micros", Good, integer(1), sub(1, 5)),
		accuracy("seconds-negative", Malformed, integer(0xff)),
		accuracy("seconds-of-32-years", Malformed, integer(0x3b, 0x9a, 0xca, 0x01)),
		accuracy("seconds-of-9-octets", Malformed, integer(1, 0, 0, 0, 0, 0, 0, 0, 0)),
		accuracy("millis-0", Malformed, sub(0, 0)),
		accuracy("millis-1000", Malformed, sub(0, 0x03, 0xe8)),
		accuracy("millis-5000", Malformed, sub(0, 0x13, 0x88)),
		accuracy("millis-negative", Malformed, sub(0, 0xff)),
		accuracy("millis-not-minimal", Malformed, sub(0, 0, 1)),
		accuracy("micros-0", Malformed, sub(1, 0)),
		accuracy("micros-1000", Malformed, sub(1, 0x03, 0xe8)),
		accuracy("micros-before-millis", Malformed, sub(1, 1), sub(0, 1)),
		accuracy("unknown-field", Malformed, integer(1), sub(2, 1)),

		onInfo("ordering-true", Good, func(i *InfoFields) { i.Ordering = Critical() }),
		onInfo("ordering-false-written-out", Good, func(i *InfoFields) { i.Ordering = []byte{der.TagBoolean, 1, 0} }),
		onInfo("ordering-01", Malformed, func(i *InfoFields) { i.Ordering = []byte{der.TagBoolean, 1, 1} }),

		onInfo("nonce-absent", Mismatch, func(i *InfoFields) { i.Nonce = nil }),
		onInfo("nonce-other", Mismatch, func(i *InfoFields) { i.Nonce[len(i.Nonce)-1]++ }),
		onInfo("nonce-negated", Mismatch, func(i *InfoFields) { i.Nonce = integer(append([]byte{0xb9}, Nonce()[1:]...)...) }),
		onInfo("nonce-with-leading-zero", Malformed, func(i *InfoFields) { i.Nonce = integer(append([]byte{0}, Nonce()...)...) }),
		onInfo("nonce-of-65-octets", Malformed, func(i *InfoFields) { i.Nonce = integer(bytes.Repeat([]byte{1}, 65)...) }),
		onInfo("nonce-twice", Malformed, func(i *InfoFields) { i.Nonce = append(i.Nonce, i.Nonce...) }),

		on("tsa-name", Good, func(f *Forge) {
			f.Info = func(i *InfoFields) { i.TSA = directoryName(mustName(f.Chain[0]).subject) }
		}),
		on("tsa-name-of-another", Untrusted, func(f *Forge) {
			f.Info = func(i *InfoFields) { i.TSA = directoryName(mustName(f.Other.Chain[0]).subject) }
		}),
		onInfo("tsa-name-of-a-host", Untrusted, func(i *InfoFields) { i.TSA = der.Make(der.Context(0), der.Make(0x82, []byte("tsa.example"))) }),
		onInfo("tsa-name-not-explicit", Malformed, func(i *InfoFields) { i.TSA = der.Make(0x80, []byte("x")) }),
		onInfo("tsa-name-empty", Malformed, func(i *InfoFields) { i.TSA = der.Make(der.Context(0)) }),
		onInfo("tsa-name-twice", Malformed, func(i *InfoFields) {
			i.TSA = der.Make(der.Context(0), der.Make(0x82, []byte("a")), der.Make(0x82, []byte("b")))
		}),
		onInfo("tsa-name-of-the-wrong-type", Malformed, func(i *InfoFields) { i.TSA = der.Make(der.Context(0), null()) }),

		onInfo("extension-unknown", Good, func(i *InfoFields) { i.Extensions = der.Make(der.Context(1), Extension("1.2.3.4", nil, null())) }),
		onInfo("extension-unknown-critical", Untrusted, func(i *InfoFields) {
			i.Extensions = der.Make(der.Context(1), Extension("1.2.3.4", Critical(), null()))
		}),
		onInfo("extension-qcstatements", Good, func(i *InfoFields) {
			i.Extensions = der.Make(der.Context(1), Extension("1.3.6.1.5.5.7.1.3", nil, der.Make(der.TagSequence, der.Make(der.TagSequence, OID("0.4.0.19422.1.1")))))
		}),
		onInfo("extension-twice", Malformed, func(i *InfoFields) {
			e := Extension("1.2.3.4", nil, null())
			i.Extensions = der.Make(der.Context(1), e, e)
		}),
		onInfo("extensions-empty", Malformed, func(i *InfoFields) { i.Extensions = der.Make(der.Context(1)) }),
		onInfo("tstinfo-trailing-inside", Malformed, func(i *InfoFields) { i.Trailing = []byte{0x85, 1, 7} }),
		on("tstinfo-trailing-behind", Malformed, func(f *Forge) { f.Content = func(b []byte) []byte { return append(b, 0) } }),
		on("tstinfo-is-a-set", Malformed, func(f *Forge) { f.Content = func(b []byte) []byte { b[0] = der.TagSet; return b } }),
		on("tstinfo-indefinite", Malformed, func(f *Forge) {
			f.Content = func(b []byte) []byte {
				inner := b[der.HeaderLen(len(b)-3):]
				return append(append([]byte{der.TagSequence, 0x80}, inner...), 0, 0)
			}
		}),
	}
}

func directoryName(name []byte) []byte {
	return der.Make(der.Context(0), der.Make(der.Context(4), name))
}
