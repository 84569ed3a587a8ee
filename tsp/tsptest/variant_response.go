package tsptest

import (
	"slices"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// responseVariants differ in the response around the token.
func responseVariants() []Variant {
	text := func(s ...string) []byte {
		var list [][]byte
		for _, t := range s {
			list = append(list, der.Make(der.TagUTF8String, []byte(t)))
		}
		return der.Make(der.TagSequence, list...)
	}
	bits := func(content ...byte) []byte { return der.Make(der.TagBitString, content) }
	status := func(n int64) func(*ResponseFields) {
		return func(r *ResponseFields) { r.Status = der.AppendInt(nil, n) }
	}
	refused := func(failInfo []byte) func(*ResponseFields) {
		return func(r *ResponseFields) { *r = ResponseFields{Status: der.AppendInt(nil, 2), FailInfo: failInfo} }
	}
	out := []Variant{
		onResponse("status-granted-with-mods", Good, status(1)),
		onResponse("status-granted-with-text", Good, func(r *ResponseFields) { r.Text = text("here you are") }),
		onResponse("status-granted-without-token", Malformed, func(r *ResponseFields) { r.Token = nil }),
		onResponse("status-granted-with-mods-without-token", Malformed, func(r *ResponseFields) { status(1)(r); r.Token = nil }),
		onResponse("status-granted-with-fail-info", Malformed, func(r *ResponseFields) { r.FailInfo = bits(7, 0x80) }),
		onResponse("status-rejection-with-token", Malformed, status(2)),
		onResponse("status-waiting-with-token", Malformed, status(3)),
		onResponse("status-6", Malformed, status(6)),
		onResponse("status-negative", Malformed, status(-1)),
		onResponse("status-giant", Malformed, func(r *ResponseFields) { r.Status = der.Make(der.TagInteger, []byte("123456789")) }),
		onResponse("status-not-minimal", Malformed, func(r *ResponseFields) { r.Status = []byte{2, 2, 0, 0} }),
		onResponse("status-missing", Malformed, func(r *ResponseFields) { r.Status = nil }),
		onResponse("status-text-not-utf8", Malformed, func(r *ResponseFields) { r.Text = text("\xff\xfe") }),
		onResponse("status-text-of-integers", Malformed, func(r *ResponseFields) { r.Text = der.Make(der.TagSequence, der.AppendInt(nil, 1)) }),
		onResponse("status-17-texts", Malformed, func(r *ResponseFields) { r.Text = text(slices.Repeat([]string{"x"}, 17)...) }),
		onResponse("response-trailing-inside", Malformed, func(r *ResponseFields) { r.Trailing = null() }),
		onResponse("response-trailing-behind", Malformed, func(r *ResponseFields) { r.After = []byte{0} }),
		onResponse("response-two-tokens", Malformed, func(r *ResponseFields) { r.Trailing = r.Token }),
		onResponse("refused-without-reason", Refusal, refused(nil)),
		onResponse("refused-with-text-alone", Refusal, func(r *ResponseFields) { refused(nil)(r); r.Text = text("no", "never") }),
		onResponse("refused-waiting", Refusal, func(r *ResponseFields) { *r = ResponseFields{Status: der.AppendInt(nil, 3)} }),
		onResponse("refused-revocation-warning", Refusal, func(r *ResponseFields) { *r = ResponseFields{Status: der.AppendInt(nil, 4)} }),
		onResponse("refused-fail-info-untrimmed", Refusal, refused(bits(0, 0x80, 0, 0, 0))),
		onResponse("refused-fail-info-no-bits", Refusal, refused(bits(0))),
		onResponse("refused-fail-info-bit-1", Malformed, refused(bits(6, 0x40))),
		onResponse("refused-fail-info-bit-26", Malformed, refused(bits(5, 0, 0, 0, 0x20))),
		onResponse("refused-fail-info-bit-200", Malformed, refused(bits(append(make([]byte, 26), 0x80)...))),
		onResponse("refused-fail-info-two-bits", Malformed, refused(bits(5, 0xa0))),
		onResponse("refused-fail-info-padding-9", Malformed, refused(bits(9, 0x80))),
		onResponse("refused-fail-info-empty", Malformed, refused(bits())),
	}
	for _, info := range tsp.FailureInfos() {
		var content []byte
		switch b := int(info); {
		case b < 8:
			content = []byte{byte(7 - b), 0x80 >> b}
		case b < 16:
			content = []byte{byte(15 - b), 0, 0x80 >> (b - 8)}
		case b < 24:
			content = []byte{byte(23 - b), 0, 0, 0x80 >> (b - 16)}
		default:
			content = []byte{byte(31 - b), 0, 0, 0, 0x80 >> (b - 24)}
		}
		out = append(out, onResponse("refused-"+kebab(info.String()), Refusal, refused(bits(content...))))
	}
	return out
}

// kebab turns badAlg into bad-alg.
func kebab(name string) string {
	var out []byte
	for _, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' {
			out = append(out, '-')
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}
