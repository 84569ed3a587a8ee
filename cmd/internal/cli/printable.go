package cli

import (
	"strconv"
	"strings"
	"unicode"
)

// Printable replaces in a line what a terminal would obey instead of showing
// it, or what would show the line in another order: control characters, line
// separators, and the marks that turn the direction of writing. A hostile
// authority puts them into its texts and into the names of its certificates.
func Printable(line string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, line)
}

// Plural writes "1 file", "2 files".
func Plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
