package access

import (
	"net/netip"
	"strings"
)

// A hop is one element of a proxy's header: for whom a proxy asked.
type hop struct {
	kind hopKind
	addr netip.Addr // of hopAddress; plain, and of one host
}

type hopKind int

const (
	hopAddress   hopKind = iota
	hopEmpty             // between two commas
	hopHidden            // the proxy does not want to say
	hopMalformed         // not to be understood
)

const (
	// maxForwardedFor is the longest element of X-Forwarded-For, in bytes: an
	// IPv6 address with a zone and a port has some 70.
	maxForwardedFor = 128
	// maxForwarded is the longest element of Forwarded, in bytes: it may hold
	// the host, whose name has up to 253, in quotes and with a port.
	maxForwarded = 1024
)

// Both headers are read from the right, and no element is judged by what stands
// left of it. Otherwise a client could send a quotation mark that makes the
// element which the proxy appends a part of a string of the client's own.

// nextForwardedFor takes the last element off a value of X-Forwarded-For.
func nextForwardedFor(value string) (rest string, h hop) {
	element := value
	low := max(0, len(value)-maxForwardedFor-1)
	if i := strings.LastIndexByte(value[low:], ','); i >= 0 {
		rest, element = value[:low+i], value[low+i+1:]
	} else if low > 0 {
		return "", hop{kind: hopMalformed}
	}
	return rest, node(strings.Trim(element, " \t"))
}

// nextForwarded takes the last element off a value of Forwarded.
func nextForwarded(value string) (rest string, h hop) {
	element := value
	quoted, low := false, max(0, len(value)-maxForwarded-1)
	i := len(value) - 1
scan:
	for ; i >= low; i-- {
		switch value[i] {
		case '"':
			// Within a string, one behind a backslash belongs to it.
			if !quoted || backslashes(value[low:i])%2 == 0 {
				quoted = !quoted
			}
		case ',':
			if !quoted {
				break scan
			}
		}
	}
	switch {
	case i >= low:
		rest, element = value[:i], value[i+1:]
	case low > 0:
		return "", hop{kind: hopMalformed}
	}
	return rest, forwardedElement(element)
}

// backslashes returns how many end a text.
func backslashes(text string) int {
	return len(text) - len(strings.TrimRight(text, `\`))
}

// forwardedElement reads an element (RFC 7239, 4):
//
//	forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
//	forwarded-pair    = token "=" value
//	value             = token / quoted-string
//
// Spaces around the semicolons are none of it, but harmless.
func forwardedElement(text string) hop {
	h, seen := hop{kind: hopMalformed}, false
	rest := strings.Trim(text, " \t")
	if rest == "" {
		return hop{kind: hopEmpty}
	}
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest != "" && rest[0] != ';' {
			name, value, after, ok := forwardedPair(rest)
			if !ok {
				return hop{kind: hopMalformed}
			}
			if strings.EqualFold(name, "for") {
				if seen { // each parameter once
					return hop{kind: hopMalformed}
				}
				if h, seen = node(value), true; h.kind == hopEmpty {
					h.kind = hopMalformed
				}
			}
			rest = strings.TrimLeft(after, " \t")
		}
		if rest == "" {
			return h
		}
		if rest[0] != ';' {
			return hop{kind: hopMalformed}
		}
		rest = rest[1:]
	}
}

// forwardedPair reads one parameter.
func forwardedPair(text string) (name, value, rest string, ok bool) {
	n := 0
	for n < len(text) && isToken(text[n]) {
		n++
	}
	if n == 0 || n == len(text) || text[n] != '=' {
		return "", "", "", false
	}
	name, text = text[:n], text[n+1:]
	if text == "" || text[0] != '"' {
		n = 0
		// Addresses that need quotes often have none.
		for n < len(text) && (isToken(text[n]) || text[n] == ':' || text[n] == '[' || text[n] == ']') {
			n++
		}
		return name, text[:n], text[n:], n > 0
	}
	// A backslash is dropped, and what follows it stays (RFC 9110, 5.6.4).
	var unescaped strings.Builder
	begin := 1
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' && begin == 1:
			return name, text[1:i], text[i+1:], true
		case c == '"':
			unescaped.WriteString(text[begin:i])
			return name, unescaped.String(), text[i+1:], true
		case c == '\\':
			unescaped.WriteString(text[begin:i])
			i++
			begin = i
		case c < ' ' && c != '\t' || c == 0x7f:
			return "", "", "", false
		}
	}
	return "", "", "", false
}

// isToken says that a byte may be part of a token (RFC 9110, 5.6.2).
func isToken(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// node reads for whom a proxy asked: an address with or without a port, in
// brackets or not, "unknown", or a name that the proxy made up (RFC 7239, 6).
// X-Forwarded-For has no definition, and the same in it.
func node(text string) hop {
	if text == "" {
		return hop{kind: hopEmpty}
	}
	host, port, hasPort := text, "", false
	if text[0] == '[' {
		var ok bool
		host, port, ok = strings.Cut(text[1:], "]")
		if !ok || strings.IndexByte(host, ':') < 0 {
			return hop{kind: hopMalformed}
		}
		if port != "" {
			if port[0] != ':' {
				return hop{kind: hopMalformed}
			}
			port, hasPort = port[1:], true
		}
	} else if i := strings.IndexByte(text, ':'); i >= 0 && i == strings.LastIndexByte(text, ':') {
		host, port, hasPort = text[:i], text[i+1:], true
	}
	if hasPort && !isPort(port) {
		return hop{kind: hopMalformed}
	}
	if strings.EqualFold(host, "unknown") || madeUp(host) {
		return hop{kind: hopHidden}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return hop{kind: hopMalformed}
	}
	addr = plain(addr)
	if addr.IsUnspecified() || addr.IsMulticast() { // nobody's address
		return hop{kind: hopMalformed}
	}
	return hop{addr: addr}
}

// isPort says that a text is the number of a port, or a made-up name of one.
func isPort(text string) bool {
	if text == "" || len(text) > 5 {
		return madeUp(text)
	}
	for i := range len(text) {
		if c := text[i]; c < '0' || c > '9' {
			return madeUp(text)
		}
	}
	return true
}

// madeUp says that a text is a name that a proxy made up (RFC 7239, 6.3):
//
//	obfnode = "_" 1*( ALPHA / DIGIT / "." / "_" / "-")
func madeUp(text string) bool {
	if len(text) < 2 || text[0] != '_' {
		return false
	}
	for i := range len(text) {
		if c := text[i]; !isToken(c) || strings.IndexByte("!#$%&'*+^`|~", c) >= 0 {
			return false
		}
	}
	return true
}
