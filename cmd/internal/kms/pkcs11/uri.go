package pkcs11

import (
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fencepost-tsa/fencepost/cmd/internal/kms/fault"
)

// A URI names a private key in a token (RFC 7512, 2.3). In each field "" stands
// for any value; an attribute without a value is refused.
type URI struct {
	// The token (CK_TOKEN_INFO).
	Token, Manufacturer, Serial, Model string

	// The slot (CK_SLOT_INFO). SlotID is a decimal number.
	SlotDescription, SlotManufacturer, SlotID string

	// The module (CK_INFO). LibraryVersion is MAJOR.MINOR.
	LibraryDescription, LibraryManufacturer, LibraryVersion string

	// The key: its label, its CKA_ID (bytes), and its class, which is "private"
	// or "".
	Object, ID, Type string

	// ModulePath is the absolute path of the module, always set.
	ModulePath string

	// PINFile is the absolute path of the file with the PIN, and PINEnv the
	// environment variable; at most one is set.
	PINFile, PINEnv string
}

const (
	// maxURI bounds a URI, in bytes: a path has at most 4096, and each byte may
	// be percent encoded.
	maxURI = 16 << 10

	// maxText bounds what PKCS #11 itself does not: the label and id of a key.
	maxText = 1024

	// maxPath is PATH_MAX of Linux.
	maxPath = 4096
)

// The characters that stand for themselves besides letters, digits and "-._~"
// (RFC 7512, 2.3: pk11-path-res-avail and pk11-query-res-avail).
const (
	plainInPath  = ":[]@!$'()*+,=&"
	plainInQuery = ":[]@!$'()*+,=/?|"
)

// An attribute of RFC 7512, 2.3.
type attribute struct {
	name  string
	field func(*URI) *string
	max   int // bytes that the value has room for where the token keeps it
	check func(string) (string, *fault.Error)
}

// pathAttributes are those before the question mark, in the order in which
// String writes them.
var pathAttributes = []attribute{
	{"token", func(u *URI) *string { return &u.Token }, 32, text},
	{"manufacturer", func(u *URI) *string { return &u.Manufacturer }, 32, text},
	{"serial", func(u *URI) *string { return &u.Serial }, 16, text},
	{"model", func(u *URI) *string { return &u.Model }, 16, text},
	{"library-manufacturer", func(u *URI) *string { return &u.LibraryManufacturer }, 32, text},
	{"library-description", func(u *URI) *string { return &u.LibraryDescription }, 32, text},
	{"library-version", func(u *URI) *string { return &u.LibraryVersion }, maxText, version},
	{"slot-manufacturer", func(u *URI) *string { return &u.SlotManufacturer }, 32, text},
	{"slot-description", func(u *URI) *string { return &u.SlotDescription }, 64, text},
	{"slot-id", func(u *URI) *string { return &u.SlotID }, maxText, number},
	{"object", func(u *URI) *string { return &u.Object }, maxText, text},
	{"id", func(u *URI) *string { return &u.ID }, maxText, nil},
	{"type", func(u *URI) *string { return &u.Type }, maxText, private},
}

// ParseURI reads what follows "pkcs11:" in a key URI. It refuses unknown and
// vendor attributes, attributes given twice or without a value, and a PIN in
// the URI. The error is a *fault.Error; it quotes no value that could be a PIN.
func ParseURI(rest string) (URI, error) {
	u, err := parseURI(rest)
	if err != nil {
		return URI{}, err
	}
	return u, nil
}

func parseURI(rest string) (URI, *fault.Error) {
	if len(rest) > maxURI {
		return URI{}, malformed("%d bytes; want at most %d", len(rest), maxURI)
	}
	var u URI
	path, query, hasQuery := strings.Cut(rest, "?")
	if path != "" {
		for part := range strings.SplitSeq(path, ";") {
			if err := u.pathAttribute(part); err != nil {
				return URI{}, err
			}
		}
	}
	if hasQuery {
		for part := range strings.SplitSeq(query, "&") {
			if err := u.queryAttribute(part); err != nil {
				return URI{}, err
			}
		}
	}
	if u.ModulePath == "" {
		return URI{}, malformed("no module-path").
			WithHint("add ?module-path= and the absolute path of the token's PKCS #11 library, such as /usr/lib/softhsm/libsofthsm2.so")
	}
	return u, nil
}

// split takes NAME=VALUE apart and decodes the value.
func split(part, plain string) (name, value string, err *fault.Error) {
	name, raw, _ := strings.Cut(part, "=")
	switch {
	case part == "":
		return "", "", malformed("an empty attribute; a semicolon separates two in the path, an ampersand two after the question mark")
	case name == "pin-value":
		return "", "", malformed("pin-value: a PIN does not belong in a URI").
			WithHint("write the PIN to a file and name it: pin-source=/run/secrets/pin")
	}
	value, why := unescape(raw, plain)
	if why != "" {
		return "", "", malformed("%.40q: %s", name, why)
	}
	return name, value, nil
}

func (u *URI) pathAttribute(part string) *fault.Error {
	name, value, err := split(part, plainInPath)
	if err != nil {
		return err
	}
	for _, a := range pathAttributes {
		if a.name != name {
			continue
		}
		field := a.field(u)
		if *field != "" {
			return malformed("%s twice", name)
		}
		if len(value) > a.max {
			return malformed("%s of %d bytes; it has at most %d", name, len(value), a.max)
		}
		if a.check != nil {
			if value, err = a.check(value); err != nil {
				err.Err = malformed("%s: %w", name, err.Err).Err
				return err
			}
		}
		*field = value
		return nil
	}
	switch name {
	case "pin-source", "module-path", "module-name":
		return malformed("%s belongs after the question mark", name)
	}
	return unknown(name)
}

func (u *URI) queryAttribute(part string) *fault.Error {
	name, value, err := split(part, plainInQuery)
	if err != nil {
		return err
	}
	switch name {
	case "module-path":
		switch {
		case u.ModulePath != "":
			return malformed("%s twice", name)
		case len(value) > maxPath:
			return malformed("%s of %d bytes; want at most %d", name, len(value), maxPath)
		case !absolute(value):
			return malformed("module-path %.80q is not absolute", value).
				WithHint("give the whole path of the library; nothing is searched for")
		case strings.Contains(value, "\x00"):
			return malformed("%s: a NUL byte", name)
		}
		u.ModulePath = value
		return nil
	case "module-name":
		return fault.New(fault.Unsupported, "", "pkcs11 URI: module-name: libraries are not searched for").
			WithHint("name the library itself: module-path=/usr/lib/.../%.40s.so", value)
	case "pin-source":
		if u.PINFile != "" || u.PINEnv != "" {
			return malformed("%s twice", name)
		}
		return u.pinSource(value)
	}
	for _, a := range pathAttributes {
		if a.name == name {
			return malformed("%s belongs before the question mark", name)
		}
	}
	return unknown(name)
}

func unknown(name string) *fault.Error {
	if strings.HasPrefix(name, "x-") {
		return fault.New(fault.Unsupported, "", "pkcs11 URI: the vendor attribute %.40q", name).
			WithHint("leave it out; token, serial, object and id select a key")
	}
	return malformed("unknown attribute %.40q", name).
		WithHint("RFC 7512, 2.3, lists the attributes; they are written in lower case")
}

// pinSource reads a pin-source (RFC 7512, 2.4). Its errors do not quote it: it
// may be the PIN itself, put into the wrong place.
func (u *URI) pinSource(value string) *fault.Error {
	const hint = "pin-source is an absolute path, file: and an absolute path, or env: and the name of a variable"
	if len(value) > maxPath {
		return malformed("pin-source of %d bytes; want at most %d", len(value), maxPath)
	}
	if strings.HasPrefix(value, "|") {
		return fault.New(fault.Unsupported, "", "pkcs11 URI: pin-source: a command; none is run").WithHint(hint)
	}
	if name, ok := strings.CutPrefix(value, "env:"); ok {
		if !variable(name) {
			return malformed("pin-source: env: without the name of a variable").WithHint(hint)
		}
		u.PINEnv = name
		return nil
	}
	path := value
	if uri, ok := strings.CutPrefix(value, "file:"); ok {
		// A URI within a URI (RFC 8089): its path may be percent encoded once
		// more.
		if after, ok := strings.CutPrefix(uri, "//"); ok {
			host, _, _ := strings.Cut(after, "/")
			if host != "" && !strings.EqualFold(host, "localhost") {
				return malformed("pin-source: a file on another host").WithHint(hint)
			}
			uri = after[len(host):]
		}
		var why string
		if path, why = unescape(uri, anyChar); why != "" {
			return malformed("pin-source: %s", why).WithHint(hint)
		}
	}
	if !absolute(path) || strings.Contains(path, "\x00") {
		return malformed("pin-source is neither an absolute path nor a variable").WithHint(hint)
	}
	u.PINFile = path
	return nil
}

// String returns what follows "pkcs11:", in a form that ParseURI reads back to
// the same value. It holds no secret, since a URI does not.
func (u URI) String() string {
	var b strings.Builder
	for _, a := range pathAttributes {
		value := *a.field(&u)
		if value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		plain := plainInPath
		if a.name == "id" {
			plain = "" // RFC 7512, 2.3: better percent encoded as a whole
		}
		b.WriteString(a.name + "=" + escape(value, plain, a.name == "id"))
	}
	b.WriteString("?module-path=" + escape(u.ModulePath, plainInQuery, false))
	switch {
	case u.PINFile != "":
		b.WriteString("&pin-source=" + escape(u.PINFile, plainInQuery, false))
	case u.PINEnv != "":
		b.WriteString("&pin-source=env:" + u.PINEnv)
	}
	return b.String()
}

// anyChar lets every character stand for itself.
const anyChar = "any"

// unescape undoes percent encoding, and says why it could not. A character
// that is not in plain, nor unreserved, has to be encoded.
func unescape(s, plain string) (out, why string) {
	if s == "" {
		return "", "no value"
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%':
			if i+2 >= len(s) {
				return "", "malformed percent encoding"
			}
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", "malformed percent encoding"
			}
			b = append(b, byte(n))
			i += 2
		case plain == anyChar || unreserved(c) || strings.IndexByte(plain, c) >= 0:
			b = append(b, c)
		default:
			return "", "the character " + strconv.QuoteToASCII(s[i:i+1]) + " has to be percent encoded"
		}
	}
	return string(b), ""
}

func escape(s, plain string, all bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; !all && (unreserved(c) || strings.IndexByte(plain, c) >= 0) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// unreserved is the set of RFC 3986, 2.3.
func unreserved(c byte) bool {
	return letter(c) || digit(c) || strings.IndexByte("-._~", c) >= 0
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// text is the rule for what PKCS #11 says is text: UTF-8 (RFC 7512, 2.3), and
// nothing that would garble a terminal.
func text(s string) (string, *fault.Error) {
	if !utf8.ValidString(s) {
		return "", malformedValue("not UTF-8")
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return "", malformedValue("a control character")
	}
	return s, nil
}

// number is the rule for a CK_SLOT_ID, which has the size of an unsigned long.
func number(s string) (string, *fault.Error) {
	n, err := strconv.ParseUint(s, 10, strconv.IntSize)
	if err != nil || !digit(s[0]) {
		return "", malformedValue("not a number")
	}
	return strconv.FormatUint(n, 10), nil
}

// version is the rule for a CK_VERSION: two bytes, the second 0 if not given.
func version(s string) (string, *fault.Error) {
	major, minor, ok := strings.Cut(s, ".")
	if !ok {
		minor = "0"
	}
	x, err1 := strconv.ParseUint(major, 10, 8)
	y, err2 := strconv.ParseUint(minor, 10, 8)
	if err1 != nil || err2 != nil || !digit(major[0]) || !digit(minor[0]) {
		return "", malformedValue("not a version such as 2.40")
	}
	return strconv.FormatUint(x, 10) + "." + strconv.FormatUint(y, 10), nil
}

// private is the rule for type: only a private key signs.
func private(s string) (string, *fault.Error) {
	switch s {
	case "private":
		return s, nil
	case "public", "cert", "secret-key", "data":
		return "", fault.New(fault.Unfit, "", "%s: only a private key signs", s).
			WithHint("write type=private, or leave it out")
	}
	return "", malformedValue("want private").WithHint("write type=private, or leave it out")
}

func malformedValue(why string) *fault.Error { return fault.New(fault.Malformed, "", "%s", why) }

// variable says whether s is a portable name of an environment variable.
func variable(s string) bool {
	for i := range len(s) {
		if c := s[i]; !letter(c) && c != '_' && (i == 0 || !digit(c)) {
			return false
		}
	}
	return s != ""
}

func absolute(path string) bool {
	return strings.HasPrefix(path, "/") || runtime.GOOS == "windows" && filepath.IsAbs(path)
}
