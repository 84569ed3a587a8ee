package tsptest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"slices"
	"strconv"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Artifact is what every canned request and token stamps.
const Artifact = "fencepost\n"

// Nonce is the nonce of every canned request and token: 16 octets, positive.
func Nonce() tsp.Integer { return tsp.Integer("\x46fencepost nonce") }

// Imprint returns the SHA-256 imprint of [Artifact].
func Imprint() tsp.Imprint {
	sum := sha256.Sum256([]byte(Artifact))
	m, err := tsp.NewImprint(crypto.SHA256, sum[:])
	if err != nil {
		panic("tsptest: internal error: " + err.Error())
	}
	return m
}

// Request returns the canned request: [Imprint], [Nonce], certReq TRUE.
func Request() *tsp.Request {
	return &tsp.Request{Version: 1, Imprint: Imprint(), Nonce: Nonce(), CertReq: true}
}

// RequestDER returns the DER of [Request].
func RequestDER() []byte { return requestWith(func(*RequestFields) {}) }

// RequestFields are the fields of a TimeStampReq (RFC 3161, 2.4.1), each one
// DER element; nil is absent. Trailing comes inside the request, After behind
// it.
type RequestFields struct {
	Version, Imprint, Policy, Nonce, CertReq, Extensions []byte
	Trailing, After                                      []byte
}

// Marshal returns the request, whatever the fields hold.
func (r *RequestFields) Marshal() []byte {
	return append(der.Make(der.TagSequence, r.Version, r.Imprint, r.Policy, r.Nonce, r.CertReq, r.Extensions, r.Trailing), r.After...)
}

// NewRequestFields returns the fields of [Request].
func NewRequestFields() *RequestFields {
	imprint, err := imprintOf(Request())
	if err != nil {
		panic("tsptest: internal error: " + err.Error())
	}
	return &RequestFields{
		Version: der.AppendInt(nil, 1),
		Imprint: imprint,
		Nonce:   der.Make(der.TagInteger, Nonce()),
		CertReq: Critical(),
	}
}

func requestWith(change func(*RequestFields)) []byte {
	r := NewRequestFields()
	change(r)
	return r.Marshal()
}

// RawImprint returns a MessageImprint with the given content octets of the
// algorithm, parameters and digest.
func RawImprint(algorithmOID string, parameters, digest []byte) []byte {
	return der.Make(der.TagSequence, algorithm(algorithmOID, parameters), der.Make(der.TagOctetString, digest))
}

// Granted stands in a [RequestVector] for an answer with a token. It is no
// failure information of RFC 3161.
const Granted = tsp.NoFailureInfo

// A RequestVector is a request with the answers that are owed to it.
type RequestVector struct {
	Name string
	DER  []byte
	// Parse is what tsp.ParseRequest refuses it with, Granted if it does not.
	Parse tsp.FailureInfo
	// Answer is what an authority refuses it with that has the policy
	// [PolicyOID], the hashes SHA-256, SHA-384 and SHA-512 and no extensions.
	Answer tsp.FailureInfo
}

// Requests returns requests, sound and faulty, with the answer that RFC 3161
// calls for. The order and names are stable.
func Requests() []RequestVector {
	var out []RequestVector
	add := func(name string, parse, answer tsp.FailureInfo, raw []byte) {
		out = append(out, RequestVector{name, raw, parse, answer})
	}
	with := func(name string, parse, answer tsp.FailureInfo, change func(*RequestFields)) {
		add(name, parse, answer, requestWith(change))
	}
	const (
		ok     = Granted
		format = tsp.BadDataFormat
		bad    = tsp.BadRequest
	)
	digest := func(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }
	good := RequestDER()

	with("minimal", ok, ok, func(r *RequestFields) { r.Nonce, r.CertReq = nil, nil })
	add("nonce and certReq", ok, ok, good)
	for _, h := range []struct {
		name   string
		oid    string
		size   int
		answer tsp.FailureInfo
	}{
		{"SHA-256", oid.SHA256, 32, ok}, {"SHA-384", oid.SHA384, 48, ok}, {"SHA-512", oid.SHA512, 64, ok},
		{"MD5", oid.MD5, 16, tsp.BadAlg}, {"SHA-1", oid.SHA1, 20, tsp.BadAlg}, {"SHA-224", oid.SHA224, 28, tsp.BadAlg},
		{"SHA-512/224", oid.SHA512_224, 28, tsp.BadAlg}, {"SHA-512/256", oid.SHA512_256, 32, tsp.BadAlg},
		{"SHA3-224", oid.SHA3_224, 28, tsp.BadAlg}, {"SHA3-256", oid.SHA3_256, 32, tsp.BadAlg},
		{"unknown hash 1.2.3.4", "\x2a\x03\x04", 32, tsp.BadAlg},
		{"hash is a signature algorithm", oid.SHA256WithRSA, 32, tsp.BadAlg},
	} {
		with(h.name, ok, h.answer, func(r *RequestFields) { r.Imprint = RawImprint(h.oid, null(), digest(h.size)) })
	}
	with("hash parameters absent", ok, ok, func(r *RequestFields) { r.Imprint = RawImprint(oid.SHA256, nil, digest(32)) })
	with("hash parameters INTEGER", tsp.BadAlg, tsp.BadAlg, func(r *RequestFields) {
		r.Imprint = RawImprint(oid.SHA256, der.AppendInt(nil, 5), digest(32))
	})
	with("hash parameters twice", format, format, func(r *RequestFields) {
		r.Imprint = RawImprint(oid.SHA256, append(null(), null()...), digest(32))
	})
	with("hash parameters NULL with content", tsp.BadAlg, tsp.BadAlg, func(r *RequestFields) {
		r.Imprint = RawImprint(oid.SHA256, []byte{der.TagNull, 1, 0}, digest(32))
	})
	for _, n := range []int{0, 31, 33, 64} {
		with("SHA-256 digest of "+strconv.Itoa(n)+" octets", format, format, func(r *RequestFields) {
			r.Imprint = RawImprint(oid.SHA256, null(), digest(n))
		})
	}
	with("unknown hash, digest empty", format, format, func(r *RequestFields) { r.Imprint = RawImprint("\x2a\x03\x04", nil, nil) })
	with("unknown hash, digest of 1 MB", format, format, func(r *RequestFields) {
		r.Imprint = RawImprint("\x2a\x03\x04", nil, digest(1_000_000))
	})
	with("imprint with a third field", format, format, func(r *RequestFields) {
		r.Imprint = der.Make(der.TagSequence, algorithm(oid.SHA256), der.Make(der.TagOctetString, digest(32)), null())
	})
	with("imprint missing", format, format, func(r *RequestFields) { r.Imprint = nil })
	with("imprint twice", format, format, func(r *RequestFields) { r.Imprint = append(r.Imprint, r.Imprint...) })
	with("hashedMessage is a BIT STRING", format, format, func(r *RequestFields) {
		r.Imprint = der.Make(der.TagSequence, algorithm(oid.SHA256), der.Make(der.TagBitString, digest(33)))
	})

	with("default policy", ok, ok, func(r *RequestFields) { r.Policy = OID(PolicyOID) })
	with("unknown policy", ok, tsp.UnacceptedPolicy, func(r *RequestFields) { r.Policy = OID("1.2.3.4.5") })
	with("policy with 200 arcs", ok, tsp.UnacceptedPolicy, func(r *RequestFields) {
		r.Policy = der.Make(der.TagOID, append([]byte{0x2a}, bytes.Repeat([]byte{5}, 198)...))
	})
	with("policy with an arc of 70 bits", ok, tsp.UnacceptedPolicy, func(r *RequestFields) {
		r.Policy = der.Make(der.TagOID, []byte("\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"))
	})
	with("policy of 1 MB", format, format, func(r *RequestFields) {
		r.Policy = der.Make(der.TagOID, bytes.Repeat([]byte{5}, 1_000_000))
	})
	with("policy empty", format, format, func(r *RequestFields) { r.Policy = der.Make(der.TagOID) })
	with("policy with a padded arc", format, format, func(r *RequestFields) { r.Policy = der.Make(der.TagOID, []byte("\x2a\x80\x01")) })
	with("policy cut off inside an arc", format, format, func(r *RequestFields) { r.Policy = der.Make(der.TagOID, []byte("\x2a\x81")) })
	with("policy after the nonce", format, format, func(r *RequestFields) { r.Nonce = append(r.Nonce, OID(PolicyOID)...) })

	for _, v := range []struct {
		name    string
		content string
	}{{"version 0", "\x00"}, {"version 2", "\x02"}, {"version -1", "\xff"}, {"version 99999999999", "\x17\x48\x76\xe7\xff"},
		{"version of 9 octets", "\x01\x00\x00\x00\x00\x00\x00\x00\x01"}} {
		with(v.name, bad, bad, func(r *RequestFields) { r.Version = der.Make(der.TagInteger, []byte(v.content)) })
	}
	with("version missing", format, format, func(r *RequestFields) { r.Version = nil })
	with("version not minimal", format, format, func(r *RequestFields) { r.Version = []byte{2, 2, 0, 1} })
	with("version empty", format, format, func(r *RequestFields) { r.Version = []byte{2, 0} })
	with("version is a BOOLEAN", format, format, func(r *RequestFields) { r.Version = Critical() })
	with("version of 10 octets, not minimal", format, format, func(r *RequestFields) {
		r.Version = der.Make(der.TagInteger, make([]byte, 10))
	})

	for _, n := range []struct {
		name          string
		content       []byte
		parse, answer tsp.FailureInfo
	}{
		{"nonce 0", []byte{0}, ok, ok},
		{"nonce 127", []byte{0x7f}, ok, ok},
		{"nonce 128, which needs a zero octet", []byte{0, 0x80}, ok, ok},
		{"nonce -1", []byte{0xff}, ok, ok},
		{"nonce -5", []byte{0xfb}, ok, ok},
		{"nonce -129", []byte{0xff, 0x7f}, ok, ok},
		{"nonce of 20 octets", append([]byte{1}, digest(19)...), ok, ok},
		{"nonce of 40 octets", append([]byte{1}, digest(39)...), ok, ok},
		{"nonce of 64 octets", append([]byte{1}, digest(63)...), ok, ok},
		{"nonce of 64 octets, negative", append([]byte{0x80}, digest(63)...), ok, ok},
		{"nonce of 65 octets", append([]byte{1}, digest(64)...), bad, bad},
		{"nonce of 8 KiB", append([]byte{1}, digest(8191)...), bad, bad},
		{"nonce of 1 MB", append([]byte{1}, digest(999_999)...), bad, bad},
		{"nonce not minimal", []byte{0, 5}, format, format},
		{"nonce not minimal, negative", []byte{0xff, 0xfb}, format, format},
		{"nonce empty", nil, format, format},
	} {
		with(n.name, n.parse, n.answer, func(r *RequestFields) { r.Nonce = der.Make(der.TagInteger, n.content) })
	}
	with("two nonces", format, format, func(r *RequestFields) { r.Nonce = append(r.Nonce, r.Nonce...) })
	with("nonce is an OCTET STRING", format, format, func(r *RequestFields) { r.Nonce = der.Make(der.TagOctetString, Nonce()) })
	with("nonce after certReq", format, format, func(r *RequestFields) { r.Nonce, r.CertReq = r.CertReq, r.Nonce })

	with("certReq FALSE written out", ok, ok, func(r *RequestFields) { r.CertReq = []byte{der.TagBoolean, 1, 0} })
	with("certReq 01", format, format, func(r *RequestFields) { r.CertReq = []byte{der.TagBoolean, 1, 1} })
	with("certReq of two octets", format, format, func(r *RequestFields) { r.CertReq = []byte{der.TagBoolean, 2, 0xff, 0xff} })
	with("certReq empty", format, format, func(r *RequestFields) { r.CertReq = []byte{der.TagBoolean, 0} })
	with("certReq twice", format, format, func(r *RequestFields) { r.CertReq = append(Critical(), Critical()...) })

	extension := Extension("1.2.3.4.5.6", nil, null())
	critical := Extension("1.2.3.4.5.6", Critical(), null())
	qualified := Extension("1.3.6.1.5.5.7.1.3", nil, der.Make(der.TagSequence, der.Make(der.TagSequence, OID("0.4.0.19422.1.1"))))
	with("extension", ok, tsp.UnacceptedExtension, func(r *RequestFields) { r.Extensions = der.Make(der.Context(0), extension) })
	with("critical extension", ok, tsp.UnacceptedExtension, func(r *RequestFields) { r.Extensions = der.Make(der.Context(0), critical) })
	with("qcStatements extension", ok, tsp.UnacceptedExtension, func(r *RequestFields) { r.Extensions = der.Make(der.Context(0), qualified) })
	with("extensions empty", format, format, func(r *RequestFields) { r.Extensions = der.Make(der.Context(0)) })
	with("extensions EXPLICIT", format, format, func(r *RequestFields) {
		r.Extensions = der.Make(der.Context(0), der.Make(der.TagSequence, extension))
	})
	with("extensions with tag 1", format, format, func(r *RequestFields) { r.Extensions = der.Make(der.Context(1), extension) })
	with("extension twice", format, format, func(r *RequestFields) {
		r.Extensions = der.Make(der.Context(0), extension, critical)
	})
	with("extension with critical FALSE written out", format, format, func(r *RequestFields) {
		r.Extensions = der.Make(der.Context(0), Extension("1.2.3.4.5.6", []byte{der.TagBoolean, 1, 0}, null()))
	})
	with("extension without a value", format, format, func(r *RequestFields) {
		r.Extensions = der.Make(der.Context(0), der.Make(der.TagSequence, OID("1.2.3.4.5.6")))
	})
	with("extension with a third field", format, format, func(r *RequestFields) {
		r.Extensions = der.Make(der.Context(0), der.Make(der.TagSequence, OID("1.2.3.4.5.6"), der.Make(der.TagOctetString), null()))
	})
	with("33 extensions", format, format, func(r *RequestFields) {
		var list [][]byte
		for i := range 33 {
			list = append(list, Extension("1.2.3."+strconv.Itoa(i), nil, null()))
		}
		r.Extensions = der.Make(der.Context(0), list...)
	})

	with("unknown element [5] at the end", format, format, func(r *RequestFields) { r.Trailing = []byte{0x85, 1, 7} })
	with("bytes behind the request", format, format, func(r *RequestFields) { r.After = []byte{0} })
	with("two requests", format, format, func(r *RequestFields) { r.After = good })
	add("empty", format, format, nil)
	add("one byte", format, format, good[:1])
	add("truncated", format, format, good[:len(good)-1])
	add("random bytes", format, format, []byte("not a request at all"))
	add("900 KiB of zeros", format, format, make([]byte, 900<<10))
	add("a SET", format, format, append([]byte{der.TagSet}, good[1:]...))
	add("length in long form", format, format, append([]byte{good[0], 0x81}, good[1:]...))
	add("indefinite length", format, format, slices.Concat([]byte{good[0], 0x80}, good[2:], []byte{0, 0}))
	add("a response", format, format, tsp.Reject(tsp.BadAlg, "no").Marshal())
	return out
}
