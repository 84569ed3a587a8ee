package audit

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxText is the longest text in a record, in bytes: a URI or an error message
// is shorter, and what a client chose must not fill the disk. Append cuts a
// longer one and ends it with "…".
const MaxText = 1024

const ellipsis = "…"

// A coder writes the members of a record after one another, or reads them back
// in the same order. A record names its members once, for both directions, so
// that what is read and written again is the same bytes.
type coder struct {
	reading bool
	buf     []byte   // written so far, or left to read
	names   []string // asked for while reading
	err     error    // the first one
}

func (c *coder) fail(name, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %w", name, fmt.Errorf(format, args...))
	}
}

// member begins a member, and says whether there is one to read.
func (c *coder) member(name string) bool {
	if !c.reading {
		c.buf = append(c.buf, `,"`...)
		c.buf = append(c.buf, name...)
		c.buf = append(c.buf, `":`...)
		return true
	}
	c.names = append(c.names, name)
	if !c.next(name) {
		return false
	}
	c.buf = c.buf[len(name)+len(`,"":`):]
	return true
}

// next says whether the next member has that name.
func (c *coder) next(name string) bool {
	b, n := c.buf, len(name)
	return len(b) > n+4 && b[0] == ',' && b[1] == '"' && string(b[2:2+n]) == name && b[2+n] == '"' && b[3+n] == ':'
}

var errMissing = errors.New("missing, or not in its place")

// required is member for one that must be there.
func (c *coder) required(name string) bool {
	if c.err != nil {
		return false
	}
	if !c.member(name) {
		c.fail(name, "%w", errMissing)
		return false
	}
	return true
}

// text is a string that is there even if it is empty.
func (c *coder) text(name string, v *string) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = appendText(c.buf, *v)
		return
	}
	c.readText(name, v)
}

// option is a string that is left out when it is empty.
func (c *coder) option(name string, v *string) {
	if c.err != nil {
		return
	}
	if !c.reading {
		if *v != "" {
			c.text(name, v)
		}
		return
	}
	*v = ""
	if c.member(name) {
		c.readText(name, v)
		if *v == "" && c.err == nil {
			c.fail(name, "empty, and not left out")
		}
	}
}

func (c *coder) readText(name string, v *string) {
	s, rest, err := readText(c.buf)
	if err != nil {
		c.fail(name, "%w", err)
		return
	}
	if len(s) > MaxText {
		c.fail(name, "a text of %d bytes, at most %d are written", len(s), MaxText)
		return
	}
	*v, c.buf = s, rest
}

// octets are written in hexadecimal.
func (c *coder) octets(name string, v *[]byte) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = append(c.buf, '"')
		c.buf = hex.AppendEncode(c.buf, *v)
		c.buf = append(c.buf, '"')
		return
	}
	digits := c.plain(name)
	b := make([]byte, hex.DecodedLen(len(digits)))
	c.unhex(name, b, digits)
	*v = b
}

// digest is a SHA-256 in hexadecimal.
func (c *coder) digest(name string, v *[32]byte) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = append(c.buf, '"')
		c.buf = hex.AppendEncode(c.buf, v[:])
		c.buf = append(c.buf, '"')
		return
	}
	c.unhex(name, v[:], c.plain(name))
}

func (c *coder) unhex(name string, dst, digits []byte) {
	if c.err != nil {
		return
	}
	if len(digits) != hex.EncodedLen(len(dst)) {
		c.fail(name, "%d hexadecimal digits, want %d", len(digits), hex.EncodedLen(len(dst)))
		return
	}
	for _, d := range digits {
		if 'A' <= d && d <= 'F' {
			c.fail(name, "hexadecimal digits in upper case")
			return
		}
	}
	if _, err := hex.Decode(dst, digits); err != nil {
		c.fail(name, "%w", err)
	}
}

// hash is one of the chain, in base64url without padding.
func (c *coder) hash(name string, v *Hash) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = append(c.buf, '"')
		c.buf = appendHash(c.buf, v)
		c.buf = append(c.buf, '"')
		return
	}
	h, err := parseHash(c.plain(name))
	if err != nil && c.err == nil {
		c.fail(name, "%w", err)
	}
	*v = h
}

// base64 is for something long, with padding, as the commands of the same name
// read it.
func (c *coder) base64(name string, v *[]byte) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = append(c.buf, '"')
		c.buf = base64.StdEncoding.AppendEncode(c.buf, *v)
		c.buf = append(c.buf, '"')
		return
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(nil, c.plain(name))
	if err != nil && c.err == nil {
		c.fail(name, "%w", err)
	}
	*v = b
}

// plain reads a string without escapes, up to its end.
func (c *coder) plain(name string) []byte {
	b := c.buf
	if len(b) == 0 || b[0] != '"' {
		c.fail(name, "not a string")
		return nil
	}
	for i, x := range b[1:] {
		switch {
		case x == '"':
			c.buf = b[i+2:]
			return b[1 : i+1]
		case x <= ' ' || x >= 0x7f || x == '\\':
			c.fail(name, "character %#x", x)
			return nil
		}
	}
	c.fail(name, "a string without an end")
	return nil
}

// count is a number that is not negative.
func (c *coder) count(name string, v *uint64) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = strconv.AppendUint(c.buf, *v, 10)
		return
	}
	n, rest, err := readUint(c.buf)
	if err != nil {
		c.fail(name, "%w", err)
		return
	}
	*v, c.buf = n, rest
}

// span is a length of time in nanoseconds, which may be negative.
func (c *coder) span(name string, v *time.Duration) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = strconv.AppendInt(c.buf, int64(*v), 10)
		return
	}
	end := 0
	for end < len(c.buf) && (c.buf[end] == '-' || '0' <= c.buf[end] && c.buf[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(string(c.buf[:end]), 10, 64)
	if err != nil {
		c.fail(name, "not a number of nanoseconds")
		return
	}
	if strconv.FormatInt(n, 10) != string(c.buf[:end]) {
		c.fail(name, "a number with more digits than it needs")
		return
	}
	*v, c.buf = time.Duration(n), c.buf[end:]
}

// time is a point in time, always of the same length.
func (c *coder) time(name string, v *time.Time) {
	if !c.required(name) {
		return
	}
	if !c.reading {
		c.buf = append(c.buf, '"')
		var ok bool
		if c.buf, ok = appendTime(c.buf, *v); !ok {
			c.fail(name, "the year is not in 0 to 9999")
		}
		c.buf = append(c.buf, '"')
		return
	}
	text := c.plain(name)
	if c.err != nil {
		return
	}
	t, err := parseTime(text)
	if err != nil {
		c.fail(name, "%w", err)
	}
	*v = t
}

// optionalTime is left out when it is zero.
func (c *coder) optionalTime(name string, v *time.Time) {
	if c.err != nil {
		return
	}
	if !c.reading {
		if !v.IsZero() {
			c.time(name, v)
		}
		return
	}
	*v = time.Time{}
	c.names = append(c.names, name)
	if c.next(name) {
		c.time(name, v)
		if v.IsZero() && c.err == nil {
			c.fail(name, "zero, and not left out")
		}
	}
}

// rest reads over the members that a later version has added. None may have
// the name of another.
func (c *coder) rest() {
	for c.err == nil && len(c.buf) > 0 {
		if c.buf[0] != ',' {
			c.fail("record", "%q where a member should begin", c.buf[0])
			return
		}
		name, rest, err := readText(c.buf[1:])
		if err != nil {
			c.fail("name of a member", "%w", err)
			return
		}
		if slices.Contains(c.names, name) || slices.Contains(frame, name) {
			c.fail(name, "twice, or not in its place")
			return
		}
		c.names = append(c.names, name)
		if len(rest) < 2 || rest[0] != ':' {
			c.fail(name, "no value")
			return
		}
		if c.buf, err = skipValue(rest[1:]); err != nil {
			c.fail(name, "%w", err)
		}
	}
}

// skipValue reads over a string, a number or a word. There are no others, in
// later versions neither.
func skipValue(b []byte) ([]byte, error) {
	if b[0] == '"' {
		_, rest, err := readText(b)
		return rest, err
	}
	for _, word := range []string{"true", "false"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return b[len(word):], nil
		}
	}
	if b[0] == '-' && len(b) > 1 && b[1] != '0' {
		b = b[1:]
	}
	_, rest, err := readUint(b)
	return rest, err
}

// readUint reads a number without sign, fraction or needless zeros.
func readUint(b []byte) (n uint64, rest []byte, err error) {
	end := 0
	for end < len(b) && '0' <= b[end] && b[end] <= '9' {
		end++
	}
	if end == 0 || end > 1 && b[0] == '0' {
		return 0, nil, errors.New("not a whole number")
	}
	for _, d := range b[:end] {
		m := n*10 + uint64(d-'0')
		if n > (1<<64-1)/10 || m < n {
			return 0, nil, errors.New("a number that is too large")
		}
		n = m
	}
	return n, b[end:], nil
}

// timeLen is the length of every time in the file.
const timeLen = len("2006-01-02T15:04:05.000000000Z")

// appendTime writes RFC 3339 in UTC with nine digits of fraction, which sort as
// text. It says whether the year can be written.
func appendTime(b []byte, t time.Time) ([]byte, bool) {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return b, false
	}
	return t.AppendFormat(b, "2006-01-02T15:04:05.000000000Z"), true
}

// parseTime reads exactly what appendTime writes; time.Parse takes more.
func parseTime(b []byte) (time.Time, error) {
	const layout = "dddd-dd-ddTdd:dd:dd.dddddddddZ"
	var v [7]int
	field := 0
	if len(b) != timeLen {
		return time.Time{}, fmt.Errorf("a time of %d characters, want %d", len(b), timeLen)
	}
	for i, x := range b {
		switch {
		case layout[i] == 'd' && '0' <= x && x <= '9':
			v[field] = v[field]*10 + int(x-'0')
		case layout[i] != 'd' && x == layout[i]:
			field++
		default:
			return time.Time{}, fmt.Errorf("not a time: %.40q", b)
		}
	}
	t := time.Date(v[0], time.Month(v[1]), v[2], v[3], v[4], v[5], v[6], time.UTC)
	var again [timeLen]byte
	if s, ok := appendTime(again[:0], t); !ok || string(s) != string(b) {
		return time.Time{}, fmt.Errorf("no such time: %.40q", b)
	}
	return t, nil
}

// hidden runes do not show, or change how others show: a line of the file is
// safe on a terminal.
func hidden(r rune) bool {
	return r < ' ' || 0x7f <= r && r <= 0x9f || r == 0xad || r == 0x61c || 0x200b <= r && r <= 0x200f ||
		0x2028 <= r && r <= 0x202e || 0x2060 <= r && r <= 0x206f || r == 0xfeff
}

// appendText writes a JSON string of at most MaxText bytes before escaping: cut
// if need be, with U+FFFD for what is not UTF-8.
func appendText(b []byte, s string) []byte {
	cut := false
	if len(s) > 4*MaxText { // all that can matter
		s, cut = s[:4*MaxText], true
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, string(utf8.RuneError))
	}
	if len(s) > MaxText || cut {
		n := min(len(s), MaxText-len(ellipsis))
		for n < len(s) && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + ellipsis
	}
	return appendQuoted(b, s)
}

// appendQuoted writes a JSON string: UTF-8 with the quotation mark, the
// backslash and what is hidden escaped.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		x := s[i]
		if ' ' <= x && x < 0x7f && x != '"' && x != '\\' {
			b = append(b, x)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case hidden(r):
			b = append(b, `\u`...)
			for shift := 12; shift >= 0; shift -= 4 {
				b = append(b, "0123456789abcdef"[r>>shift&0xf])
			}
		default:
			b = utf8.AppendRune(b, r)
		}
		i += n
	}
	return append(b, '"')
}

// readText reads exactly what appendQuoted writes.
func readText(b []byte) (s string, rest []byte, err error) {
	if len(b) == 0 || b[0] != '"' {
		return "", nil, errors.New("not a string")
	}
	simple := true
	for i := 1; i < len(b); i++ {
		switch x := b[i]; {
		case x == '"' && simple:
			return string(b[1:i]), b[i+1:], nil
		case x == '"':
			s, err := unescape(b[1:i])
			if err == nil && string(appendQuoted(nil, s)) != string(b[:i+1]) {
				err = errors.New("a string that is not written as it should be")
			}
			return s, b[i+1:], err
		case x == '\\':
			simple = false
			i++
		case x < ' ' || x == 0x7f:
			return "", nil, fmt.Errorf("control character %#x", x)
		case x > 0x7f:
			simple = false
		}
	}
	return "", nil, errors.New("a string without an end")
}

func unescape(b []byte) (string, error) {
	s := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] != '\\':
			s = append(s, b[i])
		case i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\'):
			i++
			s = append(s, b[i])
		case i+5 < len(b) && b[i+1] == 'u':
			r, err := strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
			if err != nil {
				return "", errors.New("an escape that is none")
			}
			s = utf8.AppendRune(s, rune(r))
			i += 5
		default:
			return "", errors.New("an escape that is none")
		}
	}
	return string(s), nil
}
