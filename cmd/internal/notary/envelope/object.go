package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// A member is one of a JSON object, with its place in the document.
type member struct {
	name  string
	value []byte // as encoded
	at    span   // of the value
}

// checkJSON checks that doc is one JSON text in UTF-8 that is not nested too
// deeply. The other functions here are only right about such a one.
//
// encoding/json alone takes the last of two members of one name, and a member
// whose name differs by case for the one that is meant, so that two programs
// can read different things from one signature.
func checkJSON(doc []byte) error {
	switch {
	case !utf8.Valid(doc):
		return fail(ReasonMalformed, "not UTF-8")
	case !json.Valid(doc):
		var v json.RawMessage
		return failed(ReasonMalformed, json.Unmarshal(doc, &v), "not JSON")
	}
	depth := 0
	for i := 0; i < len(doc); i++ {
		switch doc[i] {
		case '"':
			i = stringEnd(doc, i) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return fail(ReasonMalformed, "JSON with more than %d levels", maxDepth)
			}
		case '}', ']':
			depth--
		}
	}
	return nil
}

func space(doc []byte, i int) int {
	for i < len(doc) && (doc[i] == ' ' || doc[i] == '\t' || doc[i] == '\n' || doc[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns where the string ends that begins at i.
func stringEnd(doc []byte, i int) int {
	i++
	if n := bytes.IndexByte(doc[i:], '"'); n >= 0 && bytes.IndexByte(doc[i:i+n], '\\') < 0 {
		return i + n + 1 // base64 is long
	}
	for ; i < len(doc); i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(doc)
}

// valueEnd returns where the value ends that begins at i.
func valueEnd(doc []byte, i int) int {
	switch doc[i] {
	case '"':
		return stringEnd(doc, i)
	case '{', '[':
		depth := 0
		for ; i < len(doc); i++ {
			switch doc[i] {
			case '"':
				i = stringEnd(doc, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return len(doc)
	}
	if n := bytes.IndexAny(doc[i:], ",]} \t\r\n"); n >= 0 {
		return i + n
	}
	return len(doc)
}

// elements splits an object or array: f is called with the place of each
// element and, in an object, that of its name.
func elements(doc []byte, f func(name, value span) error) error {
	i := space(doc, 0)
	object := doc[i] == '{'
	for {
		if i = space(doc, i+1); doc[i] == '}' || doc[i] == ']' {
			return nil
		}
		var name, value span
		if object {
			name = span{i, stringEnd(doc, i)}
			i = space(doc, name.to) // the colon
			i = space(doc, i+1)
		}
		value = span{i, valueEnd(doc, i)}
		if err := f(name, value); err != nil {
			return err
		}
		if i = space(doc, value.to); doc[i] != ',' {
			return nil
		}
	}
}

// members returns those of an object. It refuses a name twice, and one that
// encoding/json would take for one of the known although it differs by case.
func members(doc []byte, known ...string) ([]member, error) {
	if i := space(doc, 0); doc[i] != '{' {
		return nil, fail(ReasonMalformed, "not a JSON object")
	}
	var out []member
	seen := make(map[string]bool)
	err := elements(doc, func(name, value span) error {
		m := member{value: doc[value.from:value.to], at: value}
		var err error
		if m.name, err = unquote(doc[name.from:name.to]); err != nil {
			return err
		}
		switch {
		case seen[m.name]:
			return fail(ReasonMalformed, "the member %.100q is there twice", m.name)
		case len(out) == maxMembers:
			return fail(ReasonMalformed, "more than %d members", maxMembers)
		}
		for _, k := range known {
			if m.name != k && strings.EqualFold(m.name, k) {
				return fail(ReasonMalformed, "the member %.100q differs from %q by case alone", m.name, k)
			}
		}
		seen[m.name] = true
		out = append(out, m)
		return nil
	})
	return out, err
}

// uniqueNames refuses an object with two members of one name, at any depth.
func uniqueNames(doc []byte) error {
	i := space(doc, 0)
	if doc[i] != '{' && doc[i] != '[' {
		return nil
	}
	seen := make(map[string]bool)
	return elements(doc, func(name, value span) error {
		if name.to > 0 {
			n, err := unquote(doc[name.from:name.to])
			if err != nil {
				return err
			}
			if seen[n] {
				return fail(ReasonMalformed, "the member %.100q is there twice", n)
			}
			seen[n] = true
		}
		return uniqueNames(doc[value.from:value.to])
	})
}

// unquote returns what a JSON string stands for.
func unquote(s []byte) (string, error) {
	if len(s) < 2 || s[0] != '"' {
		return "", fail(ReasonMalformed, "not a string")
	}
	if inner := s[1 : len(s)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	var out string
	if err := json.Unmarshal(s, &out); err != nil {
		return "", failed(ReasonMalformed, err, "not a string")
	}
	return out, nil
}

// stringArray returns the strings of an array that has nothing else, at most
// limit.
func stringArray(doc []byte, limit int) ([]string, error) {
	if doc[0] != '[' {
		return nil, fail(ReasonMalformed, "not an array of strings")
	}
	var out []string
	err := elements(doc, func(_, value span) error {
		if len(out) == limit {
			return fail(ReasonMalformed, "more than %d strings", limit)
		}
		s, err := unquote(doc[value.from:value.to])
		out = append(out, s)
		return err
	})
	return out, err
}

// base64Bytes decodes base64 of which there is but one way to write the result:
// no line ends, which encoding/base64 skips, and nothing in the bits left over.
func base64Bytes(s string, encoding *base64.Encoding) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, fail(ReasonMalformed, "base64 with a line end")
	}
	out, err := encoding.Strict().DecodeString(s)
	if err != nil {
		return nil, failed(ReasonMalformed, err, "not base64")
	}
	return out, nil
}
