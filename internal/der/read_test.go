package der

import (
	"bytes"
	"encoding/asn1"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/fencepost-tsa/fencepost/internal/oid"
)

func TestInteger(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   string
		want string
		ok   bool
	}{
		{"zero", "\x02\x01\x00", "\x00", true},
		{"127", "\x02\x01\x7f", "\x7f", true},
		{"128", "\x02\x02\x00\x80", "\x00\x80", true},
		{"-1", "\x02\x01\xff", "\xff", true},
		{"-128", "\x02\x01\x80", "\x80", true},
		{"-129", "\x02\x02\xff\x7f", "\xff\x7f", true},
		{"empty", "\x02\x00", "", false},
		{"leading zero", "\x02\x02\x00\x7f", "", false},
		{"two leading zeros", "\x02\x03\x00\x00\x80", "", false},
		{"leading FF", "\x02\x02\xff\x80", "", false},
		{"other tag", "\x0a\x01\x00", "", false},
		{"long-form length", "\x02\x81\x01\x00", "", false},
		{"indefinite length", "\x02\x80\x00\x00", "", false},
		{"constructed", "\x22\x03\x02\x01\x00", "", false},
		{"cut off", "\x02\x02\x01", "", false},
		{"nothing", "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := cryptobyte.String(tt.in)
			var got []byte
			if ok := Integer(&s, &got); ok != tt.ok || string(got) != tt.want {
				t.Errorf("Integer(%x) = %x, %v; want %x, %v", tt.in, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestSmallInteger(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 127, 128, -128, -129, 255, 256, 1 << 31, -1 << 31, 1<<63 - 1, -1 << 63} {
		in, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		s := cryptobyte.String(in)
		var got int64
		if !SmallInteger(&s, &got) || got != v || !s.Empty() {
			t.Errorf("SmallInteger(%x) = %d, want %d", in, got, v)
		}
		if out := AppendInt(nil, v); !bytes.Equal(out, in) {
			t.Errorf("AppendInt(%d) = %x, want %x", v, out, in)
		}
	}
	s := cryptobyte.String("\x02\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00")
	if got := int64(0); SmallInteger(&s, &got) {
		t.Errorf("SmallInteger of nine octets = %d, want refused", got)
	}
}

func TestOID(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []byte
		ok   bool
	}{
		{"id-signedData", Make(TagOID, []byte(oid.SignedData)), true},
		{"one octet", []byte("\x06\x01\x2a"), true},
		{"arc beyond 64 bits", []byte("\x06\x0c\x2a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), true},
		{"longest", Make(TagOID, bytes.Repeat([]byte{5}, oid.MaxLen)), true},
		{"too long", Make(TagOID, bytes.Repeat([]byte{5}, oid.MaxLen+1)), false},
		{"empty", []byte("\x06\x00"), false},
		{"padded arc", []byte("\x06\x03\x2a\x80\x01"), false},
		{"padded first arc", []byte("\x06\x02\x80\x01"), false},
		{"arc cut off", []byte("\x06\x02\x2a\x81"), false},
		{"80 inside an arc", []byte("\x06\x04\x2a\x81\x80\x01"), true},
		{"relative", []byte("\x0d\x01\x05"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := cryptobyte.String(tt.in)
			var got []byte
			if ok := OID(&s, &got); ok != tt.ok {
				t.Fatalf("OID(%.40x) = %v, want %v", tt.in, ok, tt.ok)
			}
			// What is read here must be what crypto/x509 reads, for exported
			// identifiers are made of it.
			if _, ok := oid.Public(got); ok != tt.ok {
				t.Errorf("oid.Public(%.40x) = %v, want %v", got, ok, tt.ok)
			}
		})
	}
}

func TestBooleanElementTag(t *testing.T) {
	for in, want := range map[string]bool{"\x01\x01\xff": true, "\x01\x01\x00": false} {
		s := cryptobyte.String(in)
		var got bool
		if !Boolean(&s, &got) || got != want {
			t.Errorf("Boolean(%x) = %v, want %v", in, got, want)
		}
	}
	for _, in := range []string{"\x01\x01\x01", "\x01\x00", "\x01\x02\xff\xff", ""} {
		s := cryptobyte.String(in)
		if got := false; Boolean(&s, &got) {
			t.Errorf("Boolean(%x) is accepted", in)
		}
	}
	s := cryptobyte.String("\x05\x00\x02\x01\x07")
	var el []byte
	if Tag(s) != TagNull || !Element(&s, &el) || string(el) != "\x05\x00" || Tag(s) != TagInteger {
		t.Errorf("Element gives %x, and leaves %x", el, s)
	}
	if Tag(nil) != 0 {
		t.Errorf("Tag(nil) = %v, want 0", Tag(nil))
	}
}

func TestLengths(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65535, 65536, 1<<24 - 1, 1 << 24} {
		content := []byte(strings.Repeat("x", n))
		got := Make(TagOctetString, content)
		want, err := asn1.Marshal(content)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("Make of %d octets begins %x, want %x", n, got[:6], want[:6])
		}
		if Len(n) != len(want) || HeaderLen(n) != len(want)-n {
			t.Errorf("Len(%d) = %d, HeaderLen = %d; want %d, %d", n, Len(n), HeaderLen(n), len(want), len(want)-n)
		}
	}
	got := Append([]byte{9}, Context(1), []byte{1}, nil, []byte{2, 3})
	if want := "\x09\xa1\x03\x01\x02\x03"; string(got) != want {
		t.Errorf("Append = %x, want %x", got, want)
	}
}
