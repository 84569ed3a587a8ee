package tsp_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fencepost-tsa/fencepost/tsp"
)

// TestNewInteger compares with encoding/asn1 around every border of an octet.
func TestNewInteger(t *testing.T) {
	var values []*big.Int
	for bits := range 140 {
		for d := int64(-2); d <= 2; d++ {
			v := new(big.Int).Lsh(big.NewInt(1), uint(bits))
			v.Add(v, big.NewInt(d))
			values = append(values, v, new(big.Int).Neg(v))
		}
	}
	for _, v := range values {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got := tsp.NewInteger(v)
		if !bytes.Equal(got, der[2:]) {
			t.Errorf("NewInteger(%v) = %x, want %x", v, got, der[2:])
		}
		if got.Big().Cmp(v) != 0 || got.String() != v.String() || got.Negative() != (v.Sign() < 0) {
			t.Errorf("NewInteger(%v) reads as %v, %s, negative %v", v, got.Big(), got, got.Negative())
		}
		for _, text := range []string{got.String(), got.Hex(), strings.ToUpper(got.Hex())} {
			if again, err := tsp.ParseInteger(text); err != nil || !again.Equal(got) {
				t.Errorf("ParseInteger(%q) = %x, %v; want %x", text, again, err, got)
			}
		}
	}
}

func TestParseInteger(t *testing.T) {
	for _, tt := range []struct {
		text string
		want string // decimal, "" for refused
	}{
		{"0", "0"}, {"-0", "0"}, {"000", "0"}, {"0x0", "0"}, {"-0x00", "0"},
		{"007", "7"}, {"0x1F", "31"}, {"0X1f", "31"}, {"-0x80", "-128"},
		{strings.Repeat("0", 1000) + "5", "5"},
		{"0x7f" + strings.Repeat("ff", 63), new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 511), big.NewInt(1)).String()},
		{"-0x80" + strings.Repeat("00", 63), new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 511)).String()},
		{"0x80" + strings.Repeat("00", 63), ""},         // 65 octets
		{"-0x80" + strings.Repeat("00", 62) + "01", ""}, // one below the least
		{"", ""}, {"-", ""}, {"+5", ""}, {"--5", ""}, {"0x", ""}, {"-0x", ""}, {"0x-5", ""}, {"0x+5", ""}, {"0x0-5", ""},
		{"5 ", ""}, {" 5", ""}, {"5\n", ""}, {"1_000", ""}, {"1e3", ""}, {"1.0", ""}, {"0b1", ""}, {"0o7", ""}, {"ff", ""}, {"0xfg", ""}, {"٣", ""},
		{strings.Repeat("9", 161), ""}, {"0x" + strings.Repeat("f", 161), ""},
	} {
		got, err := tsp.ParseInteger(tt.text)
		if tt.want == "" {
			if err == nil || got != nil || !strings.HasPrefix(err.Error(), "tsp: ") {
				t.Errorf("ParseInteger(%.50q) = %v, %v; want refused", tt.text, got, err)
			}
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("ParseInteger(%.50q) = %v, %v; want %s", tt.text, got, err, tt.want)
		}
	}
}

// TestParseIntegerIsNotQuadratic reads a number that takes seconds to convert.
func TestParseIntegerIsNotQuadratic(t *testing.T) {
	for _, text := range []string{strings.Repeat("9", 5_000_000), "0x" + strings.Repeat("f", 5_000_000), strings.Repeat("0", 5_000_000) + "z"} {
		start := time.Now()
		_, err := tsp.ParseInteger(text)
		if err == nil || len(err.Error()) > 200 {
			t.Errorf("ParseInteger of five million digits: an error of %d octets, want a short one", len(err.Error()))
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("ParseInteger of five million digits took %v", took)
		}
	}
}

func TestIntegerNil(t *testing.T) {
	var none tsp.Integer
	zero := tsp.Integer{0}
	if none.String() != "" || none.Hex() != "" || none.Negative() {
		t.Errorf("nil reads as %q, %q", none.String(), none.Hex())
	}
	if none.Equal(zero) || zero.Equal(none) || !none.Equal(nil) || !zero.Equal(tsp.Integer{0}) {
		t.Error("nil is not told from zero")
	}
	got, err := json.Marshal(map[string]tsp.Integer{"n": tsp.Integer("\xff\x7f"), "none": nil})
	if err != nil || string(got) != `{"n":"-129","none":""}` {
		t.Errorf("as JSON: %s, %v", got, err)
	}
}

func TestNewNonce(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		n := tsp.NewNonce()
		if len(n) != 16 || n.Negative() || n[0] == 0 || seen[string(n)] {
			t.Fatalf("NewNonce() = %x, want 16 octets, positive, no leading zero, new", n)
		}
		seen[string(n)] = true
	}
}
