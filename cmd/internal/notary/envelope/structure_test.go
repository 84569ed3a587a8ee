package envelope_test

import (
	"bytes"
	"encoding/base64"
	"runtime"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/notarytest"
)

// text alters the JSON of a whole JWS.
func text(old, new string) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		f.bend = func(data []byte) []byte { return swapText(t, data, old, new) }
	}
}

func whole(data string) func(testing.TB, *forge) {
	return func(_ testing.TB, f *forge) { f.bend = func([]byte) []byte { return []byte(data) } }
}

func protected(doc string) func(testing.TB, *forge) {
	return func(_ testing.TB, f *forge) { f.bendProtected = func([]byte) []byte { return []byte(doc) } }
}

func TestAlteredJWS(t *testing.T) {
	const malformed = envelope.ReasonMalformed
	rows := []row{
		{name: "empty", change: whole(""), want: malformed, detail: "not JSON"},
		{name: "array", change: whole("[]"), want: malformed, detail: "not a JSON object"},
		{name: "number", change: whole("1"), want: malformed},
		{name: "space", change: whole("  "), want: malformed},
		{name: "empty object", change: whole("{}"), want: malformed, detail: `the member "protected" is missing`},
		{name: "cut", change: func(_ testing.TB, f *forge) { f.bend = func(d []byte) []byte { return d[:len(d)-1] } }, want: malformed},
		{name: "bytes after the end", change: func(_ testing.TB, f *forge) { f.bend = func(d []byte) []byte { return append(d, "{}"...) } }, want: malformed},
		{name: "space after the end", change: func(_ testing.TB, f *forge) { f.bend = func(d []byte) []byte { return append(d, "\r\n\t "...) } }},
		{name: "space inside", change: text(`{"payload":`, " {\n \"payload\" \t:\r\n "), want: ""},
		{name: "compact serialisation", change: whole("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), want: malformed},
		{name: "general serialisation", change: text(`"signature":`, `"signatures":[],"sig":`), want: malformed, detail: `the member "signature" is missing`},
		{name: "no payload", change: text(`"payload"`, `"x"`), want: malformed},
		{name: "no header", change: text(`"header"`, `"x"`), want: malformed, detail: `the member "header" is missing`},
		{name: "unknown member", change: text(`{"payload"`, `{"x":{"y":[1,2,"]}"]},"payload"`)},
		{name: "payload twice", change: text(`{"payload"`, `{"payload":"e30","payload"`), want: malformed, detail: `"payload" is there twice`, lax: true},
		{name: "payload twice, once escaped", change: text(`{"payload"`, `{"payl\u006fad":"e30","payload"`), want: malformed, detail: `"payload" is there twice`, lax: true},
		{name: "escaped name", change: text(`{"payload"`, `{"payl\u006fad"`)},
		{name: "PAYLOAD", change: text(`{"payload"`, `{"PAYLOAD":"e30","payload"`), want: malformed, detail: `"PAYLOAD" differs from "payload" by case alone`, lax: true},
		{name: "PAYLOAD alone", change: text(`{"payload"`, `{"PAYLOAD"`), want: malformed, lax: true},
		{name: "ſignature", change: text(`,"signature"`, `,"ſignature":"AAAA","signature"`), want: malformed, lax: true},
		{name: "header twice", change: text(`"header":`, `"header":{"x5c":[]},"header":`), want: malformed, lax: true},
		{name: "x5c twice", change: text(`"x5c":`, `"x5c":[],"x5c":`), want: malformed, detail: "header: ", lax: true},
		{name: "X5C", change: text(`"x5c":`, `"X5C":[],"x5c":`), want: malformed, lax: true},
		{name: "no x5c", change: text(`"x5c":`, `"x":`), want: envelope.ReasonChain},
		{name: "x5c is null", change: func(_ testing.TB, f *forge) { f.header = `"x5c":null,"x":[],`; f.bend = firstChainOnly }, want: malformed},
		{name: "header is an array", change: text(`"header":{`, `"header":[],"x":{`), want: malformed, detail: "header: not a JSON object"},
		{name: "payload is a number", change: text(`{"payload":`, `{"payload":1,"x":`), want: malformed, detail: "payload: not a string"},
		{name: "payload is null", change: text(`{"payload":`, `{"payload":null,"x":`), want: malformed},
		{name: "padded base64", change: text(`","header"`, `=","header"`), want: malformed, detail: "protected: not base64"},
		{name: "base64 with a line end", change: text(`{"payload":"`, `{"payload":"\n`), want: malformed, detail: "line end"},
		{name: "base64 in the other alphabet", change: text(`{"payload":"`, `{"payload":"+/`), want: malformed},
		{name: "base64 with bits left over", change: func(t testing.TB, f *forge) { f.bend = leftover }, want: malformed, detail: "signature: not base64", lax: true},
		{name: "escaped slash in base64", change: func(_ testing.TB, f *forge) {
			f.bend = func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("/"), []byte(`\/`)) }
		}},
		{name: "not UTF-8", change: text(`{"payload"`, "{\"\xff\":1,\"payload\""), want: malformed, detail: "not UTF-8", lax: true},
		{name: "NUL", change: text(`{"payload"`, "{\"\x00\":1,\"payload\""), want: malformed},
		{name: "nested too deeply", change: text(`{"payload"`, `{"x":`+strings.Repeat("[", 20)+strings.Repeat("]", 20)+`,"payload"`), want: malformed, detail: "more than 16 levels", lax: true},
		{name: "nested without an end", change: whole(strings.Repeat("[", 1<<20)), want: malformed},
		{name: "nested objects without an end", change: whole(strings.Repeat(`{"a":`, 1<<18)), want: malformed},
		{name: "too many members", change: text(`{"payload"`, "{"+manyMembers(300)+`"payload"`), want: malformed, detail: "more than 256 members", lax: true},

		{name: "protected header is empty", change: protected(""), want: malformed, detail: "protected header: not JSON"},
		{name: "protected header is an array", change: protected("[]"), want: malformed, detail: "protected header: not a JSON object"},
		{name: "protected header is null", change: protected("null"), want: malformed},
		{name: "protected header is not JSON", change: protected("{"), want: malformed},
		{name: "protected header with bytes after it", change: protected(protectedJWS + "x"), want: malformed},
		{name: "protected header with space in it", change: protected(strings.ReplaceAll(protectedJWS, `":"`, "\" :\n\t\""))},
		{name: "protected header with space around it", change: protected("\n" + protectedJWS + " ")},
		{name: "alg twice", change: protected(strings.Replace(protectedJWS, `{"alg"`, `{"alg":"none","alg"`, 1)), want: malformed, detail: `protected header: the member "alg" is there twice`, lax: true},
		{name: "ALG", change: protected(strings.Replace(protectedJWS, `{"alg"`, `{"ALG":"none","alg"`, 1)), want: malformed, detail: `"ALG" differs from "alg" by case alone`, lax: true},
		{name: "alg is a number", change: protected(strings.Replace(protectedJWS, `"ES256"`, `256`, 1)), want: malformed, detail: "protected header: alg: not a string"},
		{name: "no alg", change: protected(strings.Replace(protectedJWS, `"alg":"ES256",`, ``, 1)), want: envelope.ReasonAlgorithm, detail: `alg is ""`},
		{name: "unencoded payload", change: protected(strings.Replace(protectedJWS, `{"alg"`, `{"b64":false,"alg"`, 1)), want: ""}, // RFC 7797 has it in crit
		{name: "huge protected header", change: protected(strings.Replace(protectedJWS, `{"alg"`, `{"x":"`+strings.Repeat("x", 70000)+`","alg"`, 1)), want: malformed, detail: "at most 65536", lax: true},
		{name: "number beyond all bounds", change: protected(strings.Replace(protectedJWS, `{"alg"`, `{"x":1e999,"alg"`, 1)), want: malformed},
	}
	for _, r := range rows {
		r.only = envelope.JWS
		t.Run(r.name, func(t *testing.T) { r.check(t, envelope.JWS) })
	}
}

// firstChainOnly takes the chain out that came after another one.
func firstChainOnly(d []byte) []byte {
	at := bytes.LastIndex(d, []byte(`"x5c":`))
	end := at + bytes.IndexByte(d[at:], ']') + 1
	return append(append(bytes.Clone(d[:at]), `"y":[]`...), d[end:]...)
}

// leftover sets a bit that the base64 of 64 bytes does not use.
func leftover(d []byte) []byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	at := len(d) - len(`"}`) - 1
	d[at] = alphabet[strings.IndexByte(alphabet, d[at])|1]
	return d
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"m` + strings.Repeat("x", i) + `":0,`)
	}
	return b.String()
}

// part puts something else in the place of one of the four parts of a COSE
// message.
func part(i int, value any) func(testing.TB, *forge) {
	return func(t testing.TB, f *forge) {
		f.bend = func(d []byte) []byte {
			var parts []cbor.RawMessage
			if err := cbor.Unmarshal(d[1:], &parts); err != nil {
				t.Fatal(err)
			}
			parts[i] = encode(t, value)
			return append([]byte{0xd2}, encode(t, parts)...)
		}
	}
}

func bend(f func([]byte) []byte) func(testing.TB, *forge) {
	return func(_ testing.TB, fo *forge) { fo.bend = f }
}

func pair(label, value any) func(testing.TB, *forge) {
	return func(_ testing.TB, f *forge) { f.unprotected = append(f.unprotected, coded{label, value}) }
}

func signedPair(label, value any) func(testing.TB, *forge) {
	return func(_ testing.TB, f *forge) { f.pairs = append(f.pairs, coded{label, value}) }
}

func TestAlteredCOSE(t *testing.T) {
	const malformed = envelope.ReasonMalformed
	raw := func(s string) cbor.RawMessage { return cbor.RawMessage(s) }
	nested := raw(strings.Repeat("\x81", 20) + "\x00")
	rows := []row{
		{name: "empty", change: whole(""), want: malformed, detail: "tag 18"},
		{name: "untagged", change: bend(func(d []byte) []byte { return d[1:] }), want: malformed, detail: "tag 18"},
		{name: "another tag", change: bend(func(d []byte) []byte { return append([]byte{0xd8, 98}, d[1:]...) }), want: malformed, detail: "tag 18"},
		{name: "long form of the tag", change: bend(func(d []byte) []byte { return append([]byte{0xd8, 18}, d[1:]...) }), want: malformed},
		{name: "JSON", change: whole(`{"payload":""}`), want: malformed},
		{name: "tag alone", change: whole("\xd2"), want: malformed, detail: "ends too early"},
		{name: "array of three", change: whole("\xd2\x83\x40\xa0\x40"), want: malformed, detail: "array of four"},
		{name: "map", change: whole("\xd2\xa0"), want: malformed, detail: "array of four"},
		{name: "array of indefinite length", change: bend(func(d []byte) []byte { return append(append([]byte{0xd2, 0x9f}, d[2:]...), 0xff) }), want: malformed, detail: "indefinite length"},
		{name: "cut", change: bend(func(d []byte) []byte { return d[:len(d)-1] }), want: malformed, detail: "ends too early"},
		{name: "bytes after the end", change: bend(func(d []byte) []byte { return append(d, 0) }), want: malformed, detail: "1 bytes after its end"},
		{name: "array of 2^64-1", change: whole("\xd2\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), want: malformed, detail: "ends too early"},
		{name: "map of 2^63 pairs", change: whole("\xd2\x84\x40\xbb\x80\x00\x00\x00\x00\x00\x00\x00\x40\x40"), want: malformed},
		{name: "string of 2^62 bytes", change: whole("\xd2\x84\x5b\x40\x00\x00\x00\x00\x00\x00\x00\xa0\x40\x40"), want: malformed, detail: "ends too early"},
		{name: "reserved head", change: whole("\xd2\x84\x5c\xa0\x40\x40"), want: malformed, detail: "reserved"},
		{name: "break alone", change: whole("\xd2\xff"), want: malformed},
		{name: "nested too deeply", change: whole("\xd2" + strings.Repeat("\x81", 1<<20)), want: malformed, detail: "levels"},
		{name: "nested maps", change: whole("\xd2" + strings.Repeat("\xa1\x00", 1<<20)), want: malformed, detail: "levels"},

		{name: "protected header is a map", change: part(0, map[int]int{}), want: malformed, detail: "protected header: not a byte string"},
		{name: "protected header is null", change: part(0, nil), want: malformed},
		{name: "protected header is an array of numbers", change: part(0, []int{1}), want: malformed},
		{name: "protected header is in pieces", change: part(0, raw("\x5f\x41\xa0\xff")), want: malformed, detail: "indefinite"},
		{name: "protected header is empty", change: protected(""), want: envelope.ReasonScheme},
		{name: "protected header is an empty map", change: protected("\xa0"), want: envelope.ReasonScheme},
		{name: "protected header is an array", change: protected("\x80"), want: malformed, detail: "protected header: not a map"},
		{name: "protected header of indefinite length", change: protected("\xbf\xff"), want: malformed, detail: "protected header: CBOR of indefinite length"},
		{name: "protected header with bytes after it", change: func(_ testing.TB, f *forge) {
			f.bendProtected = func(p []byte) []byte { return append(p, 0) }
		}, want: malformed, detail: "protected header: 1 bytes after its end"},
		{name: "alg twice", change: signedPair(coseAlgorithm, -7), want: malformed, detail: `the label "1" is there twice`},
		{name: "alg twice, once in the long form", change: signedPair(raw("\x18\x01"), -7), want: malformed, detail: `the label "1" is there twice`},
		{name: "scheme twice", change: signedPair(scheme, "notary.x509"), want: malformed, detail: "twice"},
		{name: "alg is text", change: func(_ testing.TB, f *forge) { f.set(coseAlgorithm, "ES256") }, want: malformed, detail: "alg: not a number"},
		{name: "no alg", change: func(_ testing.TB, f *forge) { f.drop(coseAlgorithm) }, want: envelope.ReasonAlgorithm},
		{name: "label is a byte string", change: signedPair([]byte("x"), 1), want: malformed, detail: "label"},
		{name: "label is beyond 64 bits", change: signedPair(uint64(1)<<63, 1), want: malformed, detail: "label"},
		{name: "label is not UTF-8", change: signedPair(raw("\x61\xff"), 1), want: malformed, detail: "UTF-8"},
		{name: "label by number", change: signedPair(-70000, "x")},
		{name: "the number 1 and the text 1", change: signedPair("1", "x")},
		{name: "key identifier is a number", change: signedPair(4, 1), want: malformed, detail: "kid"},
		{name: "counter signature is signed", change: signedPair(7, []byte{}), want: malformed, detail: "counter"},
		{name: "IV and partial IV", change: func(t testing.TB, f *forge) { signedPair(5, []byte{1})(t, f); pair(6, []byte{1})(t, f) }, want: malformed, detail: "IV"},
		{name: "type with a space", change: signedPair(16, " a/b"), want: malformed},
		{name: "attribute with a tag", change: signedPair("x", cbor.Tag{Number: 1000, Content: "x"})},
		{name: "attribute with a float", change: signedPair("x", 1.5)},
		{name: "attribute with a big number", change: signedPair("x", uint64(1)<<63), want: malformed},
		{name: "attribute of indefinite length", change: signedPair("x", raw("\x9f\xff")), want: malformed, detail: "indefinite"},
		{name: "attribute nested too deeply", change: signedPair("x", nested), want: malformed, detail: "levels", lax: true},
		{name: "simple value in two bytes", change: func(_ testing.TB, f *forge) {
			f.bendProtected = func(p []byte) []byte { p[0]++; return append(p, "\x61x\xf8\x10"...) }
		}, want: malformed},
		{name: "null", change: signedPair("x", nil)},
		{name: "undefined", change: signedPair("x", raw("\xf7"))},
		{name: "huge protected header", change: signedPair("x", strings.Repeat("x", 70000)), want: malformed, detail: "at most 65536", lax: true},

		{name: "unprotected header is null", change: part(1, nil), want: malformed, detail: "unprotected header: not a map"},
		{name: "unprotected header is an array", change: part(1, []int{}), want: malformed},
		{name: "unprotected header is empty", change: part(1, map[int]int{}), want: envelope.ReasonChain},
		{name: "unprotected header of indefinite length", change: part(1, raw("\xbf\xff")), want: malformed, detail: "indefinite"},
		{name: "chain twice", change: pair(coseChain, []any{}), want: malformed, detail: `the label "33" is there twice`},
		{name: "chain in an array of indefinite length", change: func(_ testing.TB, f *forge) { f.x5c = raw("\x9f\x41\x00\xff") }, want: malformed, detail: "indefinite"},
		{name: "certificate in pieces", change: func(_ testing.TB, f *forge) { f.x5c = []any{raw("\x5f\x41\x00\xff")} }, want: malformed, detail: "indefinite"},
		{name: "certificate is text", change: func(_ testing.TB, f *forge) { f.x5c = []any{"x"} }, want: malformed, detail: "x5chain: not a byte string"},
		{name: "huge array in the place of the chain", change: func(_ testing.TB, f *forge) { f.x5c = make([]int, 200000) }, want: malformed, detail: "an array of 200000; at most 10"},
		{name: "crit is not signed", change: pair(coseCritical, []any{scheme}), want: malformed, detail: "crit"},
		{name: "tag", change: pair("x", cbor.Tag{Number: 1, Content: 1}), want: malformed, detail: "CBOR with the tag 1"},
		{name: "map with a label twice", change: pair("x", raw("\xa2\x61a\x01\x61a\x02")), want: malformed},
		{name: "huge array", change: pair("x", make([]int, 200000)), want: malformed},
		{name: "large array", change: pair("x", make([]int, 100000)), want: malformed, detail: "unknown parameters", lax: true},
		{name: "counter signature", change: pair(11, []any{[]byte{}, map[int]int{}, []byte{1}})},
		{name: "counter signature is text", change: pair(11, "x"), want: malformed},

		{name: "payload is null", change: part(2, nil), want: malformed, detail: "payload: not a byte string"},
		{name: "payload is undefined", change: part(2, raw("\xf7")), want: malformed},
		{name: "payload is text", change: part(2, "{}"), want: malformed, detail: "payload: not a byte string"},
		{name: "payload is an array", change: part(2, []int{1}), want: malformed},
		{name: "signature is text", change: part(3, "x"), want: malformed, detail: "signature: not a byte string"},
		{name: "signature is null", change: part(3, nil), want: malformed},
	}
	for _, r := range rows {
		r.only = envelope.COSE
		t.Run(r.name, func(t *testing.T) { r.check(t, envelope.COSE) })
	}
}

// TestValues: what the extended attributes of COSE become.
func TestValues(t *testing.T) {
	f := newForge(t, notarytest.Options{})
	want := []struct {
		value any
		text  string
	}{
		{1, "int64 1"}, {-2, "int64 -2"}, {"t", "string t"}, {[]byte{1, 2}, "[]uint8 [1 2]"}, {true, "bool true"}, {false, "bool false"}, {nil, "<nil> <nil>"},
		{[]any{1, "x"}, `string [1, "x"]`}, {map[string]int{"a": 1}, `string {"a": 1}`}, {1.5, "string 1.5"}, {cbor.Tag{Number: 1000, Content: 1}, "string 1000(1)"},
	}
	for i, w := range want {
		f.pairs = append(f.pairs, coded{1000 + i, w.value})
	}
	content := verify(t, envelope.COSE, f.make(t, envelope.COSE))
	if len(content.Extended) != len(want) {
		t.Fatalf("%d attributes, want %d", len(content.Extended), len(want))
	}
	for i, a := range content.Extended {
		if got := typed(a.Value); got != want[i].text || a.Key != "10"+string(rune('0'+i/10))+string(rune('0'+i%10)) {
			t.Errorf("attribute %s is %s, want %s", a.Key, got, want[i].text)
		}
	}
}

// TestBounded: hostile input costs memory in proportion to its size.
func TestBounded(t *testing.T) {
	huge := 8 << 20
	for name, in := range map[string]struct {
		format envelope.Format
		data   []byte
	}{
		"arrays of CBOR":     {envelope.COSE, append(append([]byte("\xd2\x84\x40\xa1\x01\x9a"), byte(huge>>24), byte(huge>>16), byte(huge>>8), byte(huge)), bytes.Repeat([]byte{0x80}, huge)...)},
		"claims of CBOR":     {envelope.COSE, []byte("\xd2\x84\x40\xa1\x01\x9a\xff\xff\xff\xff\x01")},
		"numbers of JSON":    {envelope.JWS, []byte(`{"x":[` + strings.Repeat("1,", huge/2) + `1]}`)},
		"members of JSON":    {envelope.JWS, []byte(`{"protected":"` + base64.RawURLEncoding.EncodeToString([]byte("{"+strings.Repeat(`"a":1,`, huge/8)+`"b":1}`)) + `","payload":"","signature":"","header":{}}`)},
		"objects of a chain": {envelope.JWS, []byte(`{"protected":"e30","payload":"","signature":"","header":{"x5c":[` + strings.Repeat(`"",`, huge/4) + `""]}}`)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := envelope.Parse(in.format, in.data)
		runtime.ReadMemStats(&after)
		wantReason(t, name, err, envelope.ReasonMalformed)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(4*len(in.data)+1<<20) {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(in.data))
		}
	}
	if _, err := envelope.Parse(envelope.JWS, make([]byte, envelope.MaxSize+1)); err == nil {
		t.Error("an envelope beyond the limit is read")
	}
}
