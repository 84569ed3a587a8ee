package oci

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := walk(dec, 0); err != nil {
		return document{}, err
	}
	if !json.Valid(data) {
		return document{}, errors.New("data behind the JSON document")
	}
	return split("", data)
}

// walk reads one value and refuses what is too deep, too much or double.
func walk(dec *json.Decoder, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return jsonError(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth++; depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	var seen map[string]bool
	if delim == '{' {
		seen = make(map[string]bool)
	}
	for dec.More() {
		if seen != nil {
			token, err := dec.Token()
			if err != nil {
				return jsonError(err)
			}
			name, _ := token.(string) // the decoder allows nothing else
			if seen[name] {
				return fmt.Errorf("member %s is there twice", shown(name))
			}
			if len(seen) == maxMembers {
				return fmt.Errorf("an object has more than %d members", maxMembers)
			}
			seen[name] = true
		}
		if err := walk(dec, depth); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return jsonError(err)
	}
	return nil
}

func jsonError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON document ends too early")
	}
	return fmt.Errorf("not JSON: %w", err)
}

// split takes an object apart that walk has seen.
func split(path string, data []byte) (document, error) {
	doc := document{path: path}
	dec := json.NewDecoder(bytes.NewReader(data))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return doc, fmt.Errorf("%snot a JSON object", prefix(path))
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return doc, jsonError(err)
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return doc, jsonError(err)
		}
		doc.members = append(doc.members, member{name, value})
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
		} else if strings.EqualFold(m.name, name) {
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
	var s string
	if value[0] != '"' || json.Unmarshal(value, &s) != nil {
		return "", fmt.Errorf("%s: not a string", d.at(name))
	}
	return s, nil
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
		var s string
		if m.value[0] != '"' || json.Unmarshal(m.value, &s) != nil {
			return nil, fmt.Errorf("%s: not a string", object.at(m.name))
		}
		texts[m.name] = s
	}
	return texts, nil
}

// items returns the elements of an array; nil if it is absent.
func (d document) items(name string) ([]json.RawMessage, error) {
	value, err := d.find(name)
	if err != nil || value == nil {
		return nil, err
	}
	items := []json.RawMessage{}
	if value[0] != '[' || json.Unmarshal(value, &items) != nil {
		return nil, fmt.Errorf("%s: not an array", d.at(name))
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

// with returns the text of the document with a value appended to an array.
// Everything else stays as it is, to the byte within each member.
func (d document) with(array string, value json.RawMessage) ([]byte, error) {
	items, err := d.items(array)
	if err != nil {
		return nil, err
	}
	var list bytes.Buffer
	list.WriteByte('[')
	for _, item := range items {
		list.Write(item)
		list.WriteByte(',')
	}
	list.Write(value)
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
