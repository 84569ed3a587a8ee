package der

import (
	"errors"
	"fmt"
	"time"
)

// maxFraction is the number of fraction digits that a [time.Time] can hold.
const maxFraction = 9

// ParseGeneralizedTime parses the content of a GeneralizedTime of the form
// YYYYMMDDhhmmss[.f…]Z that RFC 3161, 2.4.2 prescribes: seconds present, UTC,
// a point as the decimal mark, a fraction without trailing zeros and of at
// most nine digits.
func ParseGeneralizedTime(content []byte) (time.Time, error) {
	const whole = len("YYYYMMDDhhmmss")
	if len(content) < whole+1 {
		return time.Time{}, errors.New("too short for YYYYMMDDhhmmssZ")
	}
	if content[len(content)-1] != 'Z' {
		return time.Time{}, errors.New("does not end in Z: not in UTC")
	}
	var n [whole]int
	for i, c := range content[:whole] {
		if c < '0' || c > '9' {
			return time.Time{}, fmt.Errorf("character %d is not a digit", i+1)
		}
		n[i] = int(c - '0')
	}
	two := func(i int) int { return n[i]*10 + n[i+1] }
	year, month, day := two(0)*100+two(2), two(4), two(6)
	hour, minute, second := two(8), two(10), two(12)

	nanos := 0
	if fraction := content[whole : len(content)-1]; len(fraction) > 0 {
		digits := fraction[1:]
		switch {
		case fraction[0] != '.':
			return time.Time{}, errors.New("fraction does not begin with a point")
		case len(digits) == 0:
			return time.Time{}, errors.New("fraction has no digits")
		case len(digits) > maxFraction:
			return time.Time{}, fmt.Errorf("fraction has %d digits, at most %d can be read", len(digits), maxFraction)
		case digits[len(digits)-1] == '0':
			return time.Time{}, errors.New("fraction has a trailing zero")
		}
		scale := 1_000_000_000
		for _, c := range digits {
			if c < '0' || c > '9' {
				return time.Time{}, errors.New("fraction is not made of digits")
			}
			scale /= 10
			nanos += int(c-'0') * scale
		}
	}
	switch {
	case second == 60:
		return time.Time{}, errors.New("second 60: a leap second has no place in the time scale used")
	case year == 0 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59:
		return time.Time{}, errors.New("no such date or time")
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if t.Day() != day {
		return time.Time{}, errors.New("no such day in that month")
	}
	return t, nil
}

// AppendGeneralizedTime appends t in the form that [ParseGeneralizedTime]
// reads. It reports false when the year is not in 1 to 9999.
func AppendGeneralizedTime(b []byte, t time.Time) ([]byte, bool) {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 1 || year > 9999 {
		return b, false
	}
	hour, minute, second := t.Clock()
	two := func(n int) { b = append(b, byte('0'+n/10), byte('0'+n%10)) }
	two(year / 100)
	two(year % 100)
	two(int(month))
	two(day)
	two(hour)
	two(minute)
	two(second)
	if nanos := t.Nanosecond(); nanos != 0 {
		b = append(b, '.')
		for scale := 100_000_000; nanos != 0; scale /= 10 {
			b = append(b, byte('0'+nanos/scale))
			nanos %= scale
		}
	}
	return append(b, 'Z'), true
}

// AppendAccuracy appends d, which is not negative, as an Accuracy, rounded up
// to microseconds. A field that is zero is left out: millis and micros are 1
// to 999 (RFC 3161, 2.4.2).
//
//	Accuracy ::= SEQUENCE {
//	  seconds  INTEGER OPTIONAL,
//	  millis   [0] INTEGER (1..999) OPTIONAL,
//	  micros   [1] INTEGER (1..999) OPTIONAL }
func AppendAccuracy(b []byte, d time.Duration) []byte {
	d = roundUp(d)
	var seconds []byte
	if s := int64(d / time.Second); s > 0 {
		seconds = AppendInt(nil, s)
	}
	return Append(b, TagSequence, seconds, AccuracyFractions(d))
}

// AccuracyFractions returns the fields millis and micros of an Accuracy.
func AccuracyFractions(d time.Duration) []byte {
	d = roundUp(d)
	var b []byte
	for n, unit := range []time.Duration{time.Millisecond, time.Microsecond} {
		if v := int64(d/unit) % 1000; v > 0 {
			at := len(b)
			b = AppendInt(b, v)
			b[at] = 0x80 | byte(n) // IMPLICIT
		}
	}
	return b
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Microsecond - 1) / time.Microsecond * time.Microsecond
}
