package der

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// berVectors are elements in BER and what they are in DER, "" for refused.
var berVectors = []struct {
	name, in, want string
}{
	{"DER", "\x30\x03\x02\x01\x05", "\x30\x03\x02\x01\x05"},
	{"primitive", "\x02\x01\x05", "\x02\x01\x05"},
	{"empty SEQUENCE", "\x30\x00", "\x30\x00"},
	{"indefinite", "\x30\x80\x02\x01\x05\x00\x00", "\x30\x03\x02\x01\x05"},
	{"indefinite and empty", "\x30\x80\x00\x00", "\x30\x00"},
	{"indefinite in indefinite", "\x30\x80\x31\x80\x05\x00\x00\x00\x02\x01\x07\x00\x00", "\x30\x07\x31\x02\x05\x00\x02\x01\x07"},
	{"indefinite in definite", "\x30\x06\x31\x80\x05\x00\x00\x00", "\x30\x04\x31\x02\x05\x00"},
	{"definite in indefinite", "\x30\x80\x31\x02\x05\x00\x00\x00", "\x30\x04\x31\x02\x05\x00"},
	{"indefinite context tag", "\xa0\x80\x05\x00\x00\x00", "\xa0\x02\x05\x00"},
	{"long-form length", "\x30\x81\x02\x05\x00", "\x30\x02\x05\x00"},
	{"length with leading zeros", "\x30\x84\x00\x00\x00\x02\x05\x00", "\x30\x02\x05\x00"},
	{"length of 126 octets", "\x04\xfe" + strings.Repeat("\x00", 125) + "\x01x", "\x04\x01x"},
	{"length of a primitive in long form", "\x30\x04\x02\x81\x01\x05", "\x30\x03\x02\x01\x05"},
	{"constructed OCTET STRING", "\x24\x05\x04\x01a\x04\x00", "\x04\x01a"},
	{"indefinite OCTET STRING", "\x24\x80\x04\x01a\x04\x02bc\x00\x00", "\x04\x03abc"},
	{"nested OCTET STRING", "\x24\x80\x24\x80\x04\x01a\x00\x00\x24\x03\x04\x01b\x04\x01c\x00\x00", "\x04\x03abc"},
	{"constructed OCTET STRING without parts", "\x24\x80\x00\x00", "\x04\x00"},
	{"content octets like an end of contents", "\x04\x02\x00\x00", "\x04\x02\x00\x00"},
	{"inside a primitive nothing is changed", "\x04\x04\x30\x80\x00\x00", "\x04\x04\x30\x80\x00\x00"},
	{"inside a primitive context tag nothing is changed", "\x80\x04\x30\x80\x00\x00", "\x80\x04\x30\x80\x00\x00"},
	{"sets are not sorted", "\x31\x80\x02\x01\x05\x01\x01\xff\x00\x00", "\x31\x06\x02\x01\x05\x01\x01\xff"},
	{"values are not changed", "\x30\x80\x01\x01\x01\x02\x02\x00\x05\x00\x00", "\x30\x07\x01\x01\x01\x02\x02\x00\x05"},

	{"nothing", "", ""},
	{"tag alone", "\x30", ""},
	{"length cut off", "\x30\x82\x01", ""},
	{"content cut off", "\x30\x03\x02\x01", ""},
	{"bytes behind", "\x30\x00\x00", ""},
	{"end of contents behind", "\x30\x80\x00\x00\x00\x00", ""},
	{"no end of contents", "\x30\x80\x02\x01\x05", ""},
	{"half an end of contents", "\x30\x80\x00", ""},
	{"end of contents in a definite length", "\x30\x02\x00\x00", ""},
	{"end of contents beyond a definite length", "\x30\x04\x31\x80\x05\x00\x00\x00", ""},
	{"end of contents split by a definite length", "\x30\x05\x31\x80\x05\x00\x00\x00", ""},
	{"end of contents with a length", "\x30\x80\x00\x01\x05\x00\x00", ""},
	{"end of contents alone", "\x00\x00", ""},
	{"element beyond its parent", "\x30\x03\x04\x02a", ""},
	{"element beyond its parent, within the input", "\x30\x05\x31\x01\x04\x01a\x05\x00", ""},
	{"indefinite primitive", "\x04\x80\x00\x00", ""},
	{"indefinite INTEGER", "\x02\x80\x05\x00\x00\x00", ""},
	{"reserved length FF", "\x04\xff" + strings.Repeat("\x00", 126) + "\x01x", ""},
	{"length of 2^32", "\x30\x85\x01\x00\x00\x00\x00", ""},
	{"length of 2^64", "\x30\x89\x01\x00\x00\x00\x00\x00\x00\x00\x00", ""},
	{"length of 2^31-1", "\x30\x84\x7f\xff\xff\xff", ""},
	{"high tag number", "\x3f\x81\x01\x00", ""},
	{"high tag number, short", "\x1f\x1e\x00", ""},
	{"high context tag number", "\x30\x04\xbf\x81\x01\x00", ""},
	{"constructed UTF8String", "\x2c\x03\x0c\x01a", ""},
	{"constructed BIT STRING", "\x23\x04\x03\x02\x00\x01", ""},
	{"constructed INTEGER", "\x22\x03\x02\x01\x05", ""},
	{"constructed end of contents", "\x20\x00", ""},
	{"INTEGER in a constructed OCTET STRING", "\x24\x03\x02\x01\x05", ""},
	{"SEQUENCE in a constructed OCTET STRING", "\x24\x80\x30\x00\x00\x00", ""},
}

func TestToDER(t *testing.T) {
	for _, tt := range berVectors {
		t.Run(tt.name, func(t *testing.T) {
			checkToDER(t, []byte(tt.in))
			got, err := ToDER([]byte(tt.in))
			if tt.want == "" {
				if err == nil || got != nil {
					t.Errorf("ToDER(%x) = %x, %v; want nil and an error", tt.in, got, err)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Errorf("ToDER(%x) = %x, %v; want %x", tt.in, got, err, tt.want)
			}
		})
	}
}

// checkToDER holds the promises of ToDER for one input.
func checkToDER(t *testing.T, in []byte) {
	t.Helper()
	before := bytes.Clone(in)
	out, err := ToDER(in)
	if !bytes.Equal(in, before) {
		t.Fatalf("ToDER(%x) changed its input to %x", before, in)
	}
	if err != nil {
		if out != nil {
			t.Fatalf("ToDER(%x) = %x with error %v, want nil", in, out, err)
		}
		return
	}
	again, err := ToDER(out)
	if err != nil || !bytes.Equal(again, out) {
		t.Fatalf("ToDER(%x) = %x, then %x, %v; want it unchanged", in, out, again, err)
	}
	if &again[0] != &out[0] || len(out) != cap(out) && &out[0] == &in[0] {
		t.Fatalf("ToDER of DER is a copy, or its result can grow into the input")
	}
	if n := strictDepth(out); n > maxDepth {
		t.Fatalf("ToDER(%x) = %x, nested %d deep", in, out, n)
	}
	// The strict reader takes it, all the way down.
	s := cryptobyte.String(out)
	if !strict(&s) || !s.Empty() {
		t.Fatalf("ToDER(%x) = %x, which is not DER", in, out)
	}
}

// strict reads one element and everything in it with cryptobyte, which knows
// nothing of indefinite or non-minimal lengths.
func strict(s *cryptobyte.String) bool {
	var content cryptobyte.String
	var tag asn1.Tag
	if !s.ReadAnyASN1(&content, &tag) {
		return false
	}
	if tag&0x20 == 0 {
		return true
	}
	for !content.Empty() {
		if !strict(&content) {
			return false
		}
	}
	return true
}

func strictDepth(in []byte) int {
	s := cryptobyte.String(in)
	var content cryptobyte.String
	var tag asn1.Tag
	deepest := 0
	for s.ReadAnyASN1(&content, &tag) {
		if tag&0x20 != 0 {
			deepest = max(deepest, 1+strictDepth(content))
		}
	}
	return deepest
}

func TestToDERDepth(t *testing.T) {
	for _, tt := range []struct {
		name string
		nest func(n int) []byte
	}{
		{"indefinite", func(n int) []byte {
			return []byte(strings.Repeat("\x30\x80", n) + strings.Repeat("\x00\x00", n))
		}},
		{"definite", func(n int) []byte {
			out := Make(TagNull)
			for range n {
				out = Make(TagSequence, out)
			}
			return out
		}},
		{"OCTET STRING", func(n int) []byte {
			return []byte(strings.Repeat("\x24\x80", n) + "\x04\x01a" + strings.Repeat("\x00\x00", n))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ToDER(tt.nest(maxDepth)); err != nil {
				t.Errorf("%d levels: %v", maxDepth, err)
			}
			if _, err := ToDER(tt.nest(maxDepth + 1)); err == nil || !strings.Contains(err.Error(), "nesting") {
				t.Errorf("%d levels: error is %v, want one about nesting", maxDepth+1, err)
			}
		})
	}
}

// TestToDERBounds gives it ten megabytes of what once ended other programs.
func TestToDERBounds(t *testing.T) {
	const size = 10 << 20
	repeat := func(s string) []byte { return []byte(strings.Repeat(s, size/len(s))) }
	wrap := func(content []byte) []byte {
		out := append([]byte("\x30\x80"), content...)
		return append(out, 0, 0)
	}
	deep := func(content []byte) []byte {
		for range maxDepth - 2 {
			content = wrap(content)
		}
		return content
	}
	for _, tt := range []struct {
		name string
		in   []byte
	}{
		{"open SEQUENCEs", repeat("\x30\x80")},
		{"open OCTET STRINGs", repeat("\x24\x80")},
		{"zeros", repeat("\x00")},
		{"ends of contents", wrap(repeat("\x00\x00"))},
		{"NULLs", wrap(repeat("\x05\x00"))},
		{"NULLs, as deep as can be", deep(repeat("\x05\x00"))},
		{"empty SEQUENCEs", deep(repeat("\x30\x80\x00\x00"))},
		{"one octet at a time", append(append([]byte("\x24\x80"), repeat("\x04\x01x")...), 0, 0)},
		{"empty parts", append(append([]byte("\x24\x80"), repeat("\x24\x80\x00\x00")...), 0, 0)},
		{"one great OCTET STRING", deep(Make(TagOctetString, repeat("x")))},
		{"lengths as long as can be", wrap(repeat("\x04\xfe" + strings.Repeat("\x00", 126)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := ToDER(tt.in)
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > uint64(2*len(tt.in)) {
				t.Errorf("%d bytes allocated for %d", got, len(tt.in))
			}
			// Ten megabytes take some tens of milliseconds; work that grows
			// with the square would take minutes.
			if took > 30*time.Second {
				t.Errorf("took %v", took)
			}
			t.Logf("%v, %d bytes allocated, error: %v", took, after.TotalAlloc-before.TotalAlloc, err)
		})
	}
}

func FuzzToDER(f *testing.F) {
	for _, v := range berVectors {
		f.Add([]byte(v.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) { checkToDER(t, in) })
}
