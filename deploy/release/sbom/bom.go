package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A release is its binaries and what is in them.
type release struct {
	version  string
	revision string
	time     string // of the commit, RFC 3339
	path     string // of the main module
	binaries []binary
	modules  []module // sorted
	terms    map[module]terms
}

// newRelease checks that the binaries are of one release, and finds the licence of everything in them.
func newRelease(version string, binaries []binary, source cache) (*release, error) {
	first := binaries[0]
	r := &release{
		version: version, revision: first.settings["vcs.revision"], time: first.settings["vcs.time"],
		path: first.main.Path, binaries: binaries, terms: map[module]terms{},
	}
	var unknown []error
	for _, b := range binaries {
		if err := b.of(version); err != nil {
			return nil, err
		}
		if b.settings["vcs.revision"] != r.revision {
			return nil, fmt.Errorf("%s: of commit %s, and %s of %s", b.name, b.settings["vcs.revision"], first.name, r.revision)
		}
		for _, m := range b.modules {
			if _, ok := r.terms[m]; ok {
				continue
			}
			t, err := readTerms(source.dir(m))
			if err != nil {
				unknown = append(unknown, fmt.Errorf("licence of %s: %w", m.path, err))
			}
			r.terms[m] = t
		}
	}
	r.modules = slices.SortedFunc(maps.Keys(r.terms), func(a, b module) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.version, b.version))
	})
	return r, errors.Join(unknown...)
}

// What follows is the part of CycloneDX 1.6 that is used, in the order of its schema.
type (
	document struct {
		Format       string        `json:"bomFormat"`
		SpecVersion  string        `json:"specVersion"`
		SerialNumber string        `json:"serialNumber"`
		Version      int           `json:"version"`
		Metadata     metadata      `json:"metadata"`
		Components   []component   `json:"components"`
		Dependencies []dependency  `json:"dependencies"`
		Compositions []composition `json:"compositions"`
	}
	metadata struct {
		Timestamp string `json:"timestamp"`
		Tools     struct {
			Components []component `json:"components"`
		} `json:"tools"`
		Component component `json:"component"`
	}
	component struct {
		Type       string      `json:"type"`
		Ref        string      `json:"bom-ref,omitempty"`
		Name       string      `json:"name"`
		Version    string      `json:"version,omitempty"`
		Hashes     []hash      `json:"hashes,omitempty"`
		Licenses   []licence   `json:"licenses,omitempty"`
		PURL       string      `json:"purl,omitempty"`
		External   []reference `json:"externalReferences,omitempty"`
		Properties []property  `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	licence struct {
		License    *identified `json:"license,omitempty"`
		Expression string      `json:"expression,omitempty"`
	}
	identified struct {
		ID string `json:"id"`
	}
	reference struct {
		Type    string `json:"type"`
		URL     string `json:"url"`
		Comment string `json:"comment,omitempty"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn,omitempty"`
	}
	composition struct {
		Aggregate    string   `json:"aggregate"`
		Dependencies []string `json:"dependencies"`
	}
)

// cycloneDX returns the bill of materials.
func (r *release) cycloneDX() ([]byte, error) {
	root := component{
		Type: "application", Ref: purl(r.path, r.version), Name: "fencepost", Version: r.version,
		Licenses: expression([]string{"Apache-2.0"}), PURL: purl(r.path, r.version),
		External: []reference{{Type: "vcs", URL: "https://" + r.path, Comment: "commit " + r.revision}},
	}
	doc := document{Format: "CycloneDX", SpecVersion: "1.6", Version: 1}
	doc.Metadata.Timestamp = r.time
	doc.Metadata.Component = root
	doc.Metadata.Tools.Components = []component{{Type: "application", Name: r.path + "/deploy/release/sbom", Version: r.version}}

	// The system's libraries are not ours to list: a binary that loads some is more than is told here.
	whole := map[string][]string{}
	top := dependency{Ref: root.Ref}
	for _, b := range r.binaries {
		c := component{
			Type: "application", Ref: b.name, Name: b.name, Version: r.version,
			Hashes: []hash{{Algorithm: "SHA-256", Content: b.sha256}},
		}
		for _, key := range slices.Sorted(maps.Keys(b.settings)) {
			c.Properties = append(c.Properties, property{"fencepost:build:" + key, b.settings[key]})
		}
		for _, library := range b.libraries {
			c.Properties = append(c.Properties, property{"fencepost:system-library", library})
		}
		doc.Components = append(doc.Components, c)
		needs := dependency{Ref: b.name}
		for _, m := range b.modules {
			needs.DependsOn = append(needs.DependsOn, purl(m.path, m.version))
		}
		slices.Sort(needs.DependsOn)
		doc.Dependencies = append(doc.Dependencies, needs)
		top.DependsOn = append(top.DependsOn, b.name)
		aggregate := "complete"
		if len(b.libraries) > 0 {
			aggregate = "incomplete"
		}
		whole[aggregate] = append(whole[aggregate], b.name)
	}
	doc.Dependencies = append([]dependency{top}, doc.Dependencies...)
	for _, m := range r.modules {
		c := component{
			Type: "library", Ref: purl(m.path, m.version), Name: m.path, Version: m.version,
			Licenses: expression(r.terms[m].ids), PURL: purl(m.path, m.version),
		}
		if m.sum != "" {
			c.Properties = []property{{"fencepost:go.sum", m.sum}}
		}
		doc.Components = append(doc.Components, c)
	}
	for _, aggregate := range slices.Sorted(maps.Keys(whole)) {
		doc.Compositions = append(doc.Compositions, composition{aggregate, whole[aggregate]})
	}
	return number(doc)
}

// number writes the document with a serial number that comes from all the rest of it: other content has
// another, the same has the same.
func number(doc document) ([]byte, error) {
	data, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(data)
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // RFC 9562, 5.8: version 8, of one's own making
	doc.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(doc)
	return out.Bytes(), err
}

// expression says that all of the licences hold: which of two one may choose is not told by their texts.
func expression(ids []string) []licence {
	if len(ids) == 1 {
		return []licence{{License: &identified{ids[0]}}}
	}
	return []licence{{Expression: strings.Join(ids, " AND ")}}
}

// purl returns the package URL of a module, whose type golang has no capitals.
func purl(path, version string) string {
	return "pkg:golang/" + strings.ToLower(path) + "@" + strings.ReplaceAll(url.PathEscape(version), "+", "%2B")
}
