package certcmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A span is a length of time as certificates have it: in years, months or
// days of the calendar, or in hours. The zero span is none.
type span struct{ years, months, days, hours int }

// maxSpan is the longest span of each unit: GeneralizedTime ends with the year
// 9999, and nobody means a century.
const maxSpan = 100

// parseSpan reads "10y", "15mo", "90d" or "8h".
func parseSpan(text string) (span, error) {
	for _, unit := range []struct {
		suffix string
		max    int
		make   func(n int) span
	}{
		{"y", maxSpan, func(n int) span { return span{years: n} }},
		{"mo", maxSpan * 12, func(n int) span { return span{months: n} }},
		{"d", maxSpan * 366, func(n int) span { return span{days: n} }},
		{"h", maxSpan * 366 * 24, func(n int) span { return span{hours: n} }},
	} {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || n == 0 {
			break
		}
		if n > uint64(unit.max) {
			return span{}, fmt.Errorf("%q is more than a century", text)
		}
		return unit.make(int(n)), nil
	}
	return span{}, fmt.Errorf("%q is not a time such as 10y, 15mo, 90d or 8h", text)
}

// end is the last second of a span that begins at t (RFC 5280, 4.1.2.5), and
// the zero time for no span.
func (s span) end(t time.Time) time.Time {
	if s == (span{}) {
		return time.Time{}
	}
	return t.AddDate(s.years, s.months, s.days).Add(time.Duration(s.hours)*time.Hour - time.Second)
}

// String writes the span as it is read.
func (s *span) String() string {
	switch {
	case s.years != 0:
		return strconv.Itoa(s.years) + "y"
	case s.months != 0:
		return strconv.Itoa(s.months) + "mo"
	case s.days != 0:
		return strconv.Itoa(s.days) + "d"
	case s.hours != 0:
		return strconv.Itoa(s.hours) + "h"
	}
	return ""
}

// Set reads the value of a flag.
func (s *span) Set(text string) error {
	parsed, err := parseSpan(text)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// Type names the value in help texts.
func (*span) Type() string { return "time" }
