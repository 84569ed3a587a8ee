package peer

import (
	"crypto/x509"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// A Value is the text of a flag, of a kind that the help names and that is
// looked at when the flag is set.
type Value struct {
	text, kind string
	check      func(text string) error
}

// String returns the text, Type the kind.
func (v *Value) String() string { return v.text }

// Type names the kind of value, for the help.
func (v *Value) Type() string { return v.kind }

// Set sets the text if it is of the kind.
func (v *Value) Set(text string) error {
	if v.check != nil {
		if err := v.check(text); err != nil {
			return err
		}
	}
	v.text = text
	return nil
}

// File is the name of a file, looked at when it is opened.
func File() *Value { return &Value{kind: "file"} }

// OID is an object identifier; empty is none.
func OID() *Value {
	return &Value{kind: "oid", check: func(text string) error {
		if _, err := x509.ParseOID(text); err != nil {
			return fmt.Errorf("%q is not an object identifier such as 1.2.3.4", text)
		}
		return nil
	}}
}

// OneOf is one of some words, the first of which is the default.
func OneOf(kind string, words ...string) *Value {
	return &Value{kind: kind, text: words[0], check: func(text string) error {
		for _, w := range words {
			if w == text {
				return nil
			}
		}
		return fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
	}}
}

// A Size is a number of bytes as the namesakes write it: 4096, 512kB, 1MB. A
// kilobyte is 1000 bytes, a KiB 1024.
type Size int64

// sizeUnits are all units, the longer of two that end alike first.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
	{"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1},
}

// Set reads a size.
func (s *Size) Set(text string) error {
	number, unit := strings.ToLower(text), int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is not a size such as 4096, 512kB or 1MB", text)
	}
	*s = Size(n * unit)
	return nil
}

// String writes the size in the greatest unit that needs no point.
func (s *Size) String() string {
	for _, u := range []struct {
		name  string
		bytes Size
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if *s >= u.bytes && *s%u.bytes == 0 {
			return strconv.FormatInt(int64(*s/u.bytes), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(*s), 10) + "B"
}

// Type names the kind of value, for the help.
func (*Size) Type() string { return "byte-size" }

var (
	_ pflag.Value = (*Value)(nil)
	_ pflag.Value = (*Size)(nil)
)
