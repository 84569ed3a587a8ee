package cli

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable replaces in a line what a terminal would obey instead of showing
// it, or what would show the line in another order: control characters, line
// separators, and the marks that turn the direction of writing. A hostile
// authority puts them into its texts and into the names of its certificates.
func Printable(line string) string {
	return strings.Map(func(r rune) rune {
		if hostile(r) {
			return unicode.ReplacementChar
		}
		return r
	}, line)
}

func hostile(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
}

// escapeHostile escapes in a JSON document what [Printable] replaces, as far as
// encoding/json does not. It can only be within strings.
func escapeHostile(doc []byte) []byte {
	escape := func(r rune) bool { return r >= 0x7f && hostile(r) }
	if !bytes.ContainsFunc(doc, escape) {
		return doc
	}
	var out []byte
	for len(doc) > 0 {
		r, n := utf8.DecodeRune(doc)
		if escape(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, doc[:n]...)
		}
		doc = doc[n:]
	}
	return out
}

// Plural writes "1 file", "2 files".
func Plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
