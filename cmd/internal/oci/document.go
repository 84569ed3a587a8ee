package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

// Limits on a JSON document.
const (
	// maxDepth is how deep a document may nest. Manifests nest to five:
	// manifests, descriptor, platform, list of features.
	maxDepth = 16
	// maxMembers bounds the members of one object: annotations number tens.
	maxMembers = 4096
	// maxShown is how much of a foreign text an error repeats, in bytes.
	maxShown = 200
)

// A document is a JSON object, its members in the order of the text. Package
// encoding/json would take the last of two members of one name, and "Layers"
// for "layers"; two readers of one manifest must not see different things.
type document struct {
	path    string // where it is in the text, for errors: "", "config", "layers[2]"
	members []member
}

type member struct {
	name  string
	value json.RawMessage
}

// parseDocument reads a JSON object with nothing behind it.
func parseDocument(data []byte) (document, error) {
	if !utf8.Valid(data) {
		return document{}, errors.New("not UTF-8")
	}
	if !json.Valid(data) {
		return document{}, explainJSON(data)
	}
	w := walker{data: data}
	if err := w.walk(0); err != nil {
		return document{}, err
	}
	return split("", data)
}

// explainJSON says why data is not a JSON document.
func explainJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	var value json.RawMessage
	err := dec.Decode(&value)
	switch {
	case err == nil:
		return errors.New("data behind the JSON document")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON document ends too early")
	}
	return fmt.Errorf("not JSON: %w", err)
}

// A walker goes through text that is known to be JSON. It is several times as
// fast as a decoder, and index.json of a thousand signatures is large.
type walker struct {
	data []byte
	i    int
}

// next skips white space and returns the byte behind it, which stays.
func (w *walker) next() byte {
	for ; w.i < len(w.data); w.i++ {
		switch c := w.data[w.i]; c {
		case ' ', '\t', '\n', '\r', ',', ':':
		default:
			return c
		}
	}
	return 0
}

// text skips a string and returns it with its quotes.
func (w *walker) text() []byte {
	begin := w.i
	for w.i++; w.i < len(w.data); w.i++ {
		switch w.data[w.i] {
		case '\\':
			w.i++
		case '"':
			w.i++
			return w.data[begin:w.i]
		}
	}
	return w.data[begin:]
}

// word skips a number or a word.
func (w *walker) word() {
	for w.i < len(w.data) && !strings.ContainsRune(" \t\n\r,:]}", rune(w.data[w.i])) {
		w.i++
	}
}

// walk skips a value and refuses what is too deep, too much or double.
func (w *walker) walk(depth int) error {
	open := w.next()
	switch open {
	case '"':
		w.text()
		return nil
	case '{', '[':
	default:
		w.word()
		return nil
	}
	if depth == maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	var few [8]string // most objects have no more
	names := few[:0]
	var seen map[string]bool
	for w.i++; ; {
		if c := w.next(); c == '}' || c == ']' || c == 0 {
			w.i++
			return nil
		}
		if open == '{' {
			name := unquote(w.text())
			if seen == nil && len(names) < cap(few[:]) {
				if slices.Contains(names, name) {
					return fmt.Errorf("member %s is there twice", shown(name))
				}
				names = append(names, name)
			} else {
				if seen == nil {
					seen = make(map[string]bool)
					for _, n := range names {
						seen[n] = true
					}
				}
				if seen[name] {
					return fmt.Errorf("member %s is there twice", shown(name))
				}
				if len(seen) == maxMembers {
					return fmt.Errorf("an object has more than %d members", maxMembers)
				}
				seen[name] = true
			}
		}
		if err := w.walk(depth + 1); err != nil {
			return err
		}
	}
}

// skip skips a value that has been walked through before.
func (w *walker) skip() json.RawMessage {
	c := w.next()
	begin, depth := w.i, 0
	for {
		switch c {
		case '"':
			w.text()
		case '{', '[':
			depth++
			w.i++
		case '}', ']':
			depth--
			w.i++
		case 0:
			return w.data[begin:]
		default:
			w.word()
		}
		if depth == 0 {
			return w.data[begin:w.i:w.i]
		}
		c = w.next()
	}
}

// unquote returns what a string stands for.
func unquote(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1])
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return "" // it is known to be JSON
	}
	return s
}

// split takes an object apart that has been walked through.
func split(path string, data []byte) (document, error) {
	doc := document{path: path}
	w := walker{data: data}
	if w.next() != '{' {
		return doc, fmt.Errorf("%snot a JSON object", prefix(path))
	}
	for w.i++; w.next() == '"'; {
		name := unquote(w.text())
		doc.members = append(doc.members, member{name, w.skip()})
	}
	return doc, nil
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// at is the path of a member.
func (d document) at(name string) string {
	if d.path == "" {
		return name
	}
	return d.path + "." + name
}

// find returns a member, nil if it is absent or null. A member whose name
// differs only in case is an error: most programs in Go would read it.
func (d document) find(name string) (json.RawMessage, error) {
	var value json.RawMessage
	for _, m := range d.members {
		if m.name == name {
			value = m.value
		} else if len(m.name) >= len(name) && strings.EqualFold(m.name, name) {
			return nil, fmt.Errorf("%s is written %s", d.at(name), shown(m.name))
		}
	}
	if string(value) == "null" {
		return nil, nil
	}
	return value, nil
}

// has tells whether there is such a member other than null.
func (d document) has(name string) bool {
	value, err := d.find(name)
	return err != nil || value != nil
}

// text returns a string, "" if it is absent.
func (d document) text(name string) (string, error) {
	value, err := d.find(name)
	if err != nil || value == nil {
		return "", err
	}
	if value[0] != '"' {
		return "", fmt.Errorf("%s: not a string", d.at(name))
	}
	return unquote(value), nil
}

// number returns an integer that is not negative.
func (d document) number(name string) (int64, error) {
	value, err := d.find(name)
	if err != nil {
		return 0, err
	}
	if value == nil {
		return 0, fmt.Errorf("%s is missing", d.at(name))
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: %s is not a number of bytes or a version", d.at(name), shown(string(value)))
	}
	return n, nil
}

// texts returns an object of strings, nil if it is absent.
func (d document) texts(name string) (map[string]string, error) {
	value, err := d.find(name)
	if err != nil || value == nil {
		return nil, err
	}
	object, err := split(d.at(name), value)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(object.members))
	for _, m := range object.members {
		if m.value[0] != '"' {
			return nil, fmt.Errorf("%s: not a string", object.at(m.name))
		}
		texts[m.name] = unquote(m.value)
	}
	return texts, nil
}

// items returns the elements of an array; nil if it is absent.
func (d document) items(name string) ([]json.RawMessage, error) {
	value, err := d.find(name)
	if err != nil || value == nil {
		return nil, err
	}
	if value[0] != '[' {
		return nil, fmt.Errorf("%s: not an array", d.at(name))
	}
	items := []json.RawMessage{}
	w := walker{data: value, i: 1}
	for c := w.next(); c != ']' && c != 0; c = w.next() {
		items = append(items, w.skip())
	}
	return items, nil
}

// descriptor returns a descriptor, nil if it is absent.
func (d document) descriptor(name string) (*Descriptor, error) {
	value, err := d.find(name)
	if err != nil || value == nil {
		return nil, err
	}
	desc, err := parseDescriptor(d.at(name), value)
	if err != nil {
		return nil, err
	}
	return &desc, nil
}

// descriptors returns an array of descriptors, nil if it is absent.
func (d document) descriptors(name string) ([]Descriptor, error) {
	items, err := d.items(name)
	if items == nil || err != nil {
		return nil, err
	}
	out := make([]Descriptor, len(items))
	for i, item := range items {
		if out[i], err = parseDescriptor(fmt.Sprintf("%s[%d]", d.at(name), i), item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// parseDescriptor reads a descriptor (image-spec, descriptor.md). What could
// stand in for the content, "urls" and "data", is not read: content comes from
// where the descriptor does, by its digest.
func parseDescriptor(path string, data json.RawMessage) (desc Descriptor, err error) {
	doc, err := split(path, data)
	if err != nil {
		return Descriptor{}, err
	}
	if desc.MediaType, err = doc.text("mediaType"); err != nil {
		return Descriptor{}, err
	}
	text, err := doc.text("digest")
	if err != nil {
		return Descriptor{}, err
	}
	desc.Digest = digest.Digest(text)
	if err := desc.Digest.Validate(); err != nil {
		return Descriptor{}, fmt.Errorf("%s: %s: %w", doc.at("digest"), shown(text), err)
	}
	if desc.Size, err = doc.number("size"); err != nil {
		return Descriptor{}, err
	}
	if desc.ArtifactType, err = doc.text("artifactType"); err != nil {
		return Descriptor{}, err
	}
	if desc.Annotations, err = doc.texts("annotations"); err != nil {
		return Descriptor{}, err
	}
	if desc.MediaType == "" {
		return Descriptor{}, fmt.Errorf("%s is missing", doc.at("mediaType"))
	}
	return desc, nil
}

// with returns the text of the document with values appended to an array.
// Everything else stays as it is, to the byte within each member.
func (d document) with(array string, values ...json.RawMessage) ([]byte, error) {
	items, err := d.items(array)
	if err != nil {
		return nil, err
	}
	var list bytes.Buffer
	list.WriteByte('[')
	for i, item := range append(items, values...) {
		if i > 0 {
			list.WriteByte(',')
		}
		list.Write(item)
	}
	list.WriteByte(']')

	var out bytes.Buffer
	out.WriteByte('{')
	found := false
	for _, m := range d.members {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		out.Write(name)
		out.WriteByte(':')
		if m.name == array {
			found = true
			out.Write(list.Bytes())
		} else {
			out.Write(m.value)
		}
	}
	if !found {
		return nil, fmt.Errorf("%s is missing", d.at(array))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// shown is a foreign text for an error.
func shown(s string) string {
	if len(s) > maxShown {
		return strconv.Quote(s[:maxShown]) + "..."
	}
	return strconv.Quote(s)
}
