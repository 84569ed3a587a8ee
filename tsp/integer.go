package tsp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/fencepost-tsa/fencepost/internal/der"
)

// An Integer is the content octets of a DER INTEGER: minimal big-endian two's
// complement of any sign and length. Nonces and serial numbers are kept in
// this form because they must be compared and echoed exactly as they came
// (RFC 3161, 2.4.1 and 2.4.2). Nil means that there is none.
type Integer []byte

// MaxInteger is the longest nonce or serial number that is parsed, in octets.
// Serial numbers have at most 20 (RFC 3161, 2.4.2), nonces some 8 to 20.
const MaxInteger = 64

// NewInteger returns v as an Integer.
func NewInteger(v *big.Int) Integer {
	if v.Sign() >= 0 {
		b := v.Bytes()
		if len(b) == 0 || b[0]&0x80 != 0 {
			return append(Integer{0}, b...)
		}
		return b
	}
	// Two's complement of -|v|: invert |v|-1.
	b := new(big.Int).Not(v).Bytes()
	for i := range b {
		b[i] = ^b[i]
	}
	if len(b) == 0 || b[0]&0x80 == 0 {
		return append(Integer{0xff}, b...)
	}
	return b
}

// ParseInteger parses a decimal number, or a hexadecimal one that begins with
// 0x, with an optional sign. It refuses more than [MaxInteger] octets.
func ParseInteger(text string) (Integer, error) {
	// 155 decimal digits hold 64 octets. Converting takes time that grows with
	// the square of the length, so longer text is refused unread.
	const maxDigits = 160
	digits, base := strings.TrimLeft(strings.TrimPrefix(text, "-"), "0"), 10
	negative := strings.HasPrefix(text, "-")
	if hex, ok := strings.CutPrefix(strings.ToLower(strings.TrimPrefix(text, "-")), "0x"); ok {
		digits, base = strings.TrimLeft(hex, "0"), 16
		if hex == "" {
			return nil, errors.New("tsp: no digits after 0x")
		}
	}
	if text == "" || text == "-" {
		return nil, errors.New("tsp: not a number: no digits")
	}
	if len(digits) > maxDigits {
		return nil, fmt.Errorf("tsp: number has %d digits, longer than %d octets", len(digits), MaxInteger)
	}
	if digits == "" {
		digits = "0"
	}
	v, ok := new(big.Int).SetString(digits, base)
	if !ok || v.Sign() < 0 || strings.ContainsAny(digits, "+-_") {
		return nil, fmt.Errorf("tsp: not a number: %.40q", text)
	}
	if negative {
		v.Neg(v)
	}
	i := NewInteger(v)
	if len(i) > MaxInteger {
		return nil, fmt.Errorf("tsp: number is longer than %d octets", MaxInteger)
	}
	return i, nil
}

// NewNonce returns a random positive number of 16 octets, minimally encoded,
// for [Request.Nonce].
func NewNonce() Integer {
	n := make(Integer, 16)
	rand.Read(n) // never fails, by its documentation
	// The first octet in 0x40 to 0x7f: positive, and never a leading zero,
	// which some clients and servers drop.
	n[0] = n[0]&0x3f | 0x40
	return n
}

// Big returns the number. The Integer must not be nil.
func (i Integer) Big() *big.Int {
	v := new(big.Int).SetBytes(i)
	if i.Negative() {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(i))))
	}
	return v
}

// Negative reports whether the number is below zero.
func (i Integer) Negative() bool { return len(i) > 0 && i[0]&0x80 != 0 }

// Equal reports whether both are the same number, or both are nil.
func (i Integer) Equal(o Integer) bool {
	return (i == nil) == (o == nil) && bytes.Equal(i, o)
}

// String returns the number in decimal, "" for nil.
func (i Integer) String() string {
	if i == nil {
		return ""
	}
	return i.Big().String()
}

// Hex returns the number in hexadecimal with a leading 0x, "" for nil.
func (i Integer) Hex() string {
	if i == nil {
		return ""
	}
	v := i.Big()
	if v.Sign() < 0 {
		return "-0x" + v.Neg(v).Text(16)
	}
	return "0x" + v.Text(16)
}

// MarshalText returns the number in decimal.
func (i Integer) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// check reports why i cannot be put into a message.
func (i Integer) check() error {
	if !der.MinimalInteger(i) {
		return errors.New("not a minimal DER INTEGER")
	}
	if len(i) > MaxInteger {
		return fmt.Errorf("%d octets, at most %d are allowed", len(i), MaxInteger)
	}
	return nil
}
