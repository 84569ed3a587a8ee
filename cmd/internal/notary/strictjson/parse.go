package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits bound what is read.
type Limits struct {
	// Size is the longest document, in octets. Zero means 1 MiB.
	Size int
	// Depth is how deeply lists and objects may be nested. Zero means 16, which
	// is more than any of our documents has.
	Depth int
}

// The defaults of Limits.
const (
	defaultSize  = 1 << 20
	defaultDepth = 16
)

// A kind is that of a JSON value.
type kind int

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// A Value is one JSON value and its place.
type Value struct {
	kind    kind
	text    string // of a string or a number
	truth   bool
	list    []*Value
	members []member
	byName  map[string]int // of members, once there are more than a few

	line int // from 1; of a list or an object where it begins

	// The place is made of these when it is asked for: a hostile document has
	// half a million values, and each of them may have a long one.
	parent *Value
	name   string // in an object
	index  int    // in a list
	label  string // instead of them all, in words
}

type member struct {
	name  string
	line  int
	value *Value
}

// place names the value within its document: "version", or
// `statement 2 "prod", trustStores[0]`.
func (v *Value) place() string {
	switch {
	case v.label != "" || v.parent == nil:
		return v.label
	case v.parent.kind == list:
		return fmt.Sprintf("%s[%d]", v.parent.place(), v.index)
	}
	return v.parent.below(v.name)
}

// below names a member of an object.
func (v *Value) below(name string) string {
	// A name is a stranger's; one that is long or odd is shown as a string.
	if len(name) > 64 {
		name = name[:64] + "..."
	}
	if strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == '"' || c == '.' || c > '~' }) || name == "" {
		name = fmt.Sprintf("%q", name)
	}
	switch place := v.place(); {
	case place == "":
		return name
	case v.label != "":
		return place + ", " + name
	default:
		return place + "." + name
	}
}

// fewMembers is up to how many members are looked for one by one.
const fewMembers = 8

// find returns the index of a member, -1 if there is none.
func (v *Value) find(name string) int {
	if v.byName == nil {
		return slices.IndexFunc(v.members, func(m member) bool { return m.name == name })
	}
	if i, ok := v.byName[name]; ok {
		return i
	}
	return -1
}

// add appends a member whose name is new.
func (v *Value) add(m member) {
	v.members = append(v.members, m)
	switch {
	case v.byName != nil:
		v.byName[m.name] = len(v.members) - 1
	case len(v.members) > fewMembers:
		v.byName = map[string]int{}
		for i, m := range v.members {
			v.byName[m.name] = i
		}
	}
}

// A Reader takes a document apart and keeps what it found wrong.
type Reader struct {
	// Warnings are what other programs ignore, or what is allowed and rarely
	// meant.
	Warnings []Fault

	root   *Value // nil if there is no document to be read
	faults []Fault
	more   int   // faults beyond MaxFaults
	lines  []int // offsets of line ends
	depth  int   // the limit
	dec    *json.Decoder
}

// Parse reads one JSON document. Whatever is wrong with it is kept for
// [Reader.Err]; a document that cannot be read at all is an empty object, so
// that the caller needs to ask once only, at the end.
func Parse(data []byte, limits Limits) *Reader {
	if limits.Size == 0 {
		limits.Size = defaultSize
	}
	if limits.Depth == 0 {
		limits.Depth = defaultDepth
	}
	r := &Reader{depth: limits.Depth}
	switch {
	case len(data) > limits.Size:
		r.document(RuleSize, fmt.Sprintf("the document has %d octets, more than %d", len(data), limits.Size), "is this the right file?")
		return r
	case len(bytes.TrimSpace(data)) == 0:
		r.document(RuleSyntax, "the document is empty", "is this the right file?")
		return r
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		r.document(RuleEncoding, "the document begins with a byte order mark, which JSON does not have (RFC 8259, 8.1)", "save it as UTF-8 without a byte order mark")
		return r
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		r.document(RuleEncoding, "the document is UTF-16; JSON is UTF-8 (RFC 8259, 8.1)", "save it as UTF-8")
		return r
	}
	for i, c := range data {
		if c == '\n' {
			r.lines = append(r.lines, i)
		}
	}
	if !utf8.Valid(data) {
		at := 0
		for c, n := utf8.DecodeRune(data); c != utf8.RuneError || n != 1; c, n = utf8.DecodeRune(data[at:]) {
			at += n
		}
		r.add(Fault{Rule: RuleEncoding, Line: r.line(at), Detail: fmt.Sprintf("the octet 0x%02x is not UTF-8", data[at]), Cure: "save the document as UTF-8"})
		return r
	}
	// The decoder below would find what is wrong with the syntax as well, but
	// only as far as it reads.
	var raw json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		r.syntax(err, data)
		return r
	}
	r.dec = json.NewDecoder(bytes.NewReader(data))
	r.dec.UseNumber()
	root, err := r.value(&Value{}, 0)
	switch {
	case err == nil:
		r.root = root
	case !errors.Is(err, errDepth):
		r.syntax(err, data)
	}
	return r
}

// document adds a fault of the document as a whole.
func (r *Reader) document(rule Rule, detail, cure string) {
	r.add(Fault{Rule: rule, Detail: detail, Cure: cure})
}

func (r *Reader) syntax(err error, data []byte) {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		r.document(RuleSyntax, err.Error(), "is this the right file?")
		return
	}
	at := min(max(int(syntax.Offset)-1, 0), len(data))
	line := r.line(at)
	detail := syntax.Error()
	if strings.HasPrefix(detail, "unexpected end") {
		line, detail = r.line(len(data)), "the document ends before it is complete"
	}
	if strings.Contains(detail, "max depth") {
		r.add(tooDeep(line, r.depth))
		return
	}
	cure := "JSON has no comments, no single quotes and no comma after the last element"
	if strings.Contains(detail, "after top-level value") {
		detail = "there is something after the end of the document: " + detail
		cure = "keep one document in the file"
	}
	r.add(Fault{Rule: RuleSyntax, Line: line, Detail: detail, Cure: cure})
}

// line is the line of an offset, from 1.
func (r *Reader) line(at int) int {
	n, _ := slices.BinarySearch(r.lines, at)
	return n + 1
}

// errDepth ends the reading of a document that is nested too deeply. The fault
// has been added.
var errDepth = errors.New("nested too deeply")

func tooDeep(line, limit int) Fault {
	return Fault{Rule: RuleDepth, Line: line, Detail: fmt.Sprintf("lists and objects are nested more than %d deep", limit), Cure: "is this the right file?"}
}

// value reads the next value into v, which knows its place.
func (r *Reader) value(v *Value, depth int) (*Value, error) {
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	v.line = r.line(int(r.dec.InputOffset()) - 1)
	switch t := token.(type) {
	case nil:
		v.kind = null
	case bool:
		v.kind, v.truth = boolean, t
	case json.Number:
		v.kind, v.text = number, t.String()
	case string:
		v.kind, v.text = text, t
	case json.Delim:
		if depth == r.depth {
			r.add(tooDeep(v.line, r.depth))
			return nil, errDepth
		}
		if t == '{' {
			v.kind = object
			err = r.object(v, depth)
		} else {
			v.kind = list
			err = r.list(v, depth)
		}
	}
	return v, err
}

func (r *Reader) object(v *Value, depth int) error {
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return fmt.Errorf("%v where the name of a member is expected", token)
		}
		line := r.line(int(r.dec.InputOffset()) - 1)
		value, err := r.value(&Value{parent: v, name: name}, depth+1)
		if err != nil {
			return err
		}
		// Readers differ in which of the two they take (RFC 8259, 4).
		if first := v.find(name); first >= 0 {
			r.add(Fault{Rule: RuleDuplicate, Line: line, Place: value.place(),
				Detail: fmt.Sprintf("it comes twice, first on line %d", v.members[first].line), Cure: "remove one of the two"})
			continue
		}
		v.add(member{name, line, value})
	}
	_, err := r.dec.Token()
	return err
}

func (r *Reader) list(v *Value, depth int) error {
	for i := 0; r.dec.More(); i++ {
		element, err := r.value(&Value{parent: v, index: i}, depth+1)
		if err != nil {
			return err
		}
		v.list = append(v.list, element)
	}
	_, err := r.dec.Token()
	return err
}
