package trustpolicy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxAttributes is the greatest number of attributes in a name. Nine types can
// be compared, each once.
const MaxAttributes = 32

// A Name is a distinguished name as trust policies compare it: attributes, each
// type once, in the order in which they are written. The zero Name is none.
type Name struct{ attributes []attribute }

type attribute struct{ typ, value string }

// attributeTypes are those of certificates that can be compared: crypto/x509
// writes only these by their names, and Notation reads what it writes.
var attributeTypes = []struct{ oid, name string }{
	{"2.5.4.6", "C"}, {"2.5.4.8", "ST"}, {"2.5.4.7", "L"}, {"2.5.4.9", "STREET"}, {"2.5.4.17", "POSTALCODE"},
	{"2.5.4.10", "O"}, {"2.5.4.11", "OU"}, {"2.5.4.5", "SERIALNUMBER"}, {"2.5.4.3", "CN"},
}

// A problem is what is wrong with a name.
type problem struct {
	detail, cure string
	warning      bool
}

// ParseName reads a distinguished name in the form of RFC 4514 that can be a
// trusted identity: with C, ST (or S) and O, each attribute once and none of
// them empty. Spaces around separators are ignored, and ";" separates as ","
// does (RFC 2253, 4). Values in hexadecimal ("#0403...") are refused, and so
// are sets of several attributes ("C=US+ST=WA"). The error names the first
// thing that is wrong.
func ParseName(s string) (Name, error) {
	name, problems := parseName(s)
	for _, p := range problems {
		if !p.warning {
			return Name{}, fmt.Errorf("distinguished name: %s", p.detail)
		}
	}
	return name, nil
}

// escapable are the characters that a backslash may stand before, besides two
// hexadecimal digits (RFC 4514, 3).
const escapable = " \"#+,;<=>\\"

const escapeCure = `write a backslash before each of " + , ; < > \ in a value`

// parseName reads as much of s as it can.
func parseName(s string) (Name, []problem) {
	var n Name
	var problems []problem
	add := func(cure, format string, args ...any) {
		problems = append(problems, problem{detail: fmt.Sprintf(format, args...), cure: cure})
	}
	const form = "write it like C=US, ST=WA, O=Example"
	if strings.Trim(s, " ") == "" {
		add(form, "the name is empty")
		return n, problems
	}
	for rest, more := s, true; more; {
		var part ava
		var err error
		if part, rest, err = readAttribute(rest); err != nil {
			var p *problem
			if errors.As(err, &p) {
				problems = append(problems, *p)
			}
			return n, problems
		}
		more = part.separator != 0
		if part.separator == '+' {
			add("write a comma instead", "the name has a set of several attributes, joined by \"+\", which is not compared")
		}
		if part.typ == "S" {
			part.typ = "ST"
		}
		switch {
		case part.value == "":
			add("give it a value, or leave it out", "%s is empty", part.typ)
		case n.has(part.typ):
			add("keep one of them", "%s comes twice", part.typ)
		case len(n.attributes) == MaxAttributes:
			add("leave some out", "the name has more than %d attributes", MaxAttributes)
			return n, problems
		}
		if !n.has(part.typ) {
			n.attributes = append(n.attributes, attribute{part.typ, part.value})
		}
	}
	// Notation's reader once needed it, to keep clear of BER.
	if strings.Contains(s, "=#") && len(problems) == 0 {
		add("choose another attribute", "the name has \"=#\" in it, which Notation refuses")
	}
	for _, a := range n.attributes {
		if known(a.typ) {
			continue
		}
		p := problem{warning: true, detail: fmt.Sprintf("no certificate can match: %s is not compared", a.typ), cure: "use only " + knownTypes()}
		if up := strings.ToUpper(a.typ); known(up) {
			p.detail = fmt.Sprintf("no certificate can match: attributes are compared by their names as they are written, and %s is not %s", a.typ, up)
			p.cure = "write " + up
		}
		problems = append(problems, p)
	}
	var missing []string
	for _, typ := range []string{"C", "ST", "O"} {
		if !n.has(typ) {
			missing = append(missing, typ)
		}
	}
	if len(missing) > 0 {
		cure := "add it from the subject of the signing certificate"
		if n.has(strings.ToLower(missing[0])) {
			cure = "write the names of attributes in capitals"
		}
		add(cure, "the name has no %s; C, ST and O are mandatory", strings.Join(missing, " and no "))
	}
	return n, problems
}

func (p *problem) Error() string { return p.detail }

// An ava is an attribute as it is written, with what follows it.
type ava struct {
	attribute
	separator byte // 0 at the end
}

// readAttribute reads one attribute from the front of s. The error is a
// *problem.
func readAttribute(s string) (ava, string, error) {
	var a ava
	at := strings.IndexAny(s, "=,;+\\\"")
	if at < 0 || s[at] != '=' {
		end := len(s)
		if at >= 0 {
			end = at
		}
		if strings.Trim(s[:end], " ") == "" && at < 0 {
			return a, "", &problem{detail: "the name ends with a separator", cure: "remove it"}
		}
		if strings.Trim(s[:end], " ") == "" {
			return a, "", &problem{detail: "there is no attribute before a separator", cure: "remove the separator, or write a backslash before it"}
		}
		return a, "", &problem{detail: fmt.Sprintf("%q is not of the form TYPE=value", short(strings.Trim(s[:end], " "))), cure: escapeCure}
	}
	a.typ = strings.Trim(s[:at], " ")
	if !isAttributeType(a.typ) {
		return a, "", &problem{detail: fmt.Sprintf("%q is no type of an attribute", short(a.typ)), cure: "use " + knownTypes()}
	}
	s = strings.TrimLeft(s[at+1:], " ")
	if strings.HasPrefix(s, "#") {
		return a, "", &problem{detail: fmt.Sprintf("the value of %s is in hexadecimal, which Notation refuses", a.typ), cure: `write the text itself; write \# for a "#" at its beginning`}
	}
	var value []byte
	end := 0 // the length of value up to the last character that is no bare space
	done := func(at int) error {
		// Notation's reader takes away the space, sees a backslash at the end, and
		// puts the space back that it seems to escape.
		if end < len(value) && strings.HasSuffix(strings.TrimRight(s[:at], " "), `\\`) && value[end-1] == '\\' {
			return &problem{detail: fmt.Sprintf("the value of %s ends with a backslash and a bare space, which Notation takes for a part of it", a.typ), cure: "remove the space"}
		}
		a.value = string(value[:end])
		return a.check()
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ',', ';', '+':
			a.separator = c
			return a, s[i+1:], done(i)
		case '"', 0: // "<" and ">" can only be themselves, and Notation takes them
			return a, "", &problem{detail: fmt.Sprintf("the value of %s has %q in it, which needs a backslash (RFC 4514, 2.4)", a.typ, c), cure: escapeCure}
		case '\\':
			c, n := unescape(s[i+1:])
			if n == 0 {
				return a, "", &problem{detail: fmt.Sprintf("the value of %s has a backslash before what it does not escape", a.typ), cure: escapeCure}
			}
			value = append(value, c)
			end = len(value)
			i += n
		default:
			value = append(value, c)
			if c != ' ' {
				end = len(value)
			}
		}
	}
	return a, "", done(len(s))
}

func (a *ava) check() error {
	if strings.ContainsRune(a.value, utf8.RuneError) && utf8.ValidString(a.value) {
		// Half a surrogate pair of UTF-16 is read as one, whichever it is.
		return &problem{detail: fmt.Sprintf("the value of %s has U+FFFD in it, which stands for what cannot be read", a.typ), cure: "write the text itself"}
	}
	if !utf8.ValidString(a.value) {
		return &problem{detail: fmt.Sprintf("the value of %s is not UTF-8", a.typ), cure: "escape each octet of the UTF-8 form, or none"}
	}
	return nil
}

// unescape returns what the characters after a backslash stand for, and how
// many they are; 0 if they stand for nothing.
func unescape(s string) (byte, int) {
	if s == "" {
		return 0, 0
	}
	if strings.IndexByte(escapable, s[0]) >= 0 {
		return s[0], 1
	}
	if len(s) < 2 {
		return 0, 0
	}
	high, low := strings.IndexByte(hexDigits, s[0]|0x20), strings.IndexByte(hexDigits, s[1]|0x20)
	if high < 0 || low < 0 || s[0] < '0' || s[1] < '0' {
		return 0, 0
	}
	return byte(high<<4 | low), 2
}

const hexDigits = "0123456789abcdef"

// isAttributeType says whether s is a descr or a numericoid (RFC 4512, 1.4).
func isAttributeType(s string) bool {
	if s == "" {
		return false
	}
	letter := func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	if digit(s[0]) {
		for part := range strings.SplitSeq(s, ".") {
			if part == "" || strings.ContainsFunc(part, func(c rune) bool { return c < '0' || c > '9' }) {
				return false
			}
		}
		return true
	}
	for i := range len(s) {
		if !letter(s[i]) && (i == 0 || !digit(s[i]) && s[i] != '-') {
			return false
		}
	}
	return true
}

func known(typ string) bool {
	return slices.ContainsFunc(attributeTypes, func(t struct{ oid, name string }) bool { return t.name == typ })
}

func knownTypes() string {
	var names []string
	for _, t := range attributeTypes {
		names = append(names, t.name)
	}
	return strings.Join(names, ", ")
}

// NameOf returns the subject of a certificate as trust policies compare it. A
// subject that Notation refuses to compare is an error: one without C, ST or O,
// with an attribute of a type that it does not know, or with a type twice. (Of
// several CN and SERIALNUMBER it compares the last; we compare none.)
func NameOf(cert *x509.Certificate) (Name, error) {
	var n Name
	for _, a := range cert.Subject.Names {
		oid := a.Type.String()
		i := slices.IndexFunc(attributeTypes, func(t struct{ oid, name string }) bool { return t.oid == oid })
		value, isText := a.Value.(string)
		switch {
		case i < 0:
			return Name{}, fmt.Errorf("the subject has an attribute of the type %s, and Notation compares no subject with any but %s", oid, knownTypes())
		case !isText:
			return Name{}, fmt.Errorf("the %s of the subject is no text", attributeTypes[i].name)
		case n.has(attributeTypes[i].name):
			return Name{}, fmt.Errorf("the subject has %s twice, and it is not certain which one counts", attributeTypes[i].name)
		case strings.Contains(value, "=#"):
			return Name{}, fmt.Errorf("the %s of the subject has \"=#\" in it, and Notation compares no such subject", attributeTypes[i].name)
		}
		n.attributes = append(n.attributes, attribute{attributeTypes[i].name, value})
	}
	for _, typ := range []string{"C", "ST", "O"} {
		if value, _ := n.value(typ); value == "" {
			return Name{}, fmt.Errorf("the subject has no %s, which is mandatory to compare it", typ)
		}
	}
	return n, nil
}

func (n Name) has(typ string) bool {
	_, ok := n.value(typ)
	return ok
}

func (n Name) value(typ string) (string, bool) {
	for _, a := range n.attributes {
		if a.typ == typ {
			return a.value, true
		}
	}
	return "", false
}

// differences are the types of n whose values other does not have.
func (n Name) differences(other Name) []string {
	var out []string
	for _, a := range n.attributes {
		if value, ok := other.value(a.typ); !ok || value != a.value {
			out = append(out, a.typ)
		}
	}
	return out
}

// within says whether other has all attributes of n, with the same values.
func (n Name) within(other Name) bool {
	return !slices.ContainsFunc(n.attributes, func(a attribute) bool {
		value, ok := other.value(a.typ)
		return !ok || value != a.value
	})
}

// String returns the name in the form of RFC 4514, in the order in which it was
// written, with a space after each comma. ParseName reads it back.
func (n Name) String() string {
	var b strings.Builder
	for i, a := range n.attributes {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.typ + "=")
		for j := range len(a.value) {
			switch c := a.value[j]; {
			case strings.IndexByte("\"+,;<>\\", c) >= 0,
				c == ' ' && (j == 0 || j == len(a.value)-1),
				c == '#' && (j == 0 || a.value[j-1] == '='): // "=#" is refused

				b.WriteString(`\` + string(rune(c)))
			case c < ' ' || c == 0x7f:
				fmt.Fprintf(&b, `\%02x`, c)
			default:
				b.WriteByte(c)
			}
		}
	}
	return b.String()
}

// fault turns a problem into a fault of a document.
func (p problem) fault() Fault {
	rule := RuleIdentity
	if p.warning {
		rule = RuleNoMatch
	}
	return Fault{Rule: rule, Detail: p.detail, Cure: p.cure}
}
