package config_test

import (
	"encoding"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/signer"
)

const (
	operating = "../../../doc/operating.md"
	// reference has every key of the file.
	reference = "../../../doc/operating/configuration.md"
)

// keys returns the keys of the file, such as tsa.clock.source.
func keys(t reflect.Type, prefix string) []string {
	var all []string
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inner := f.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		scalar := inner.Kind() != reflect.Struct ||
			reflect.PointerTo(inner).Implements(reflect.TypeFor[yaml.Unmarshaler]()) ||
			reflect.PointerTo(inner).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
		if scalar {
			all = append(all, prefix+name)
		} else {
			all = append(all, keys(inner, prefix+name+".")...)
		}
	}
	return all
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(data), "\r\n", "\n")
}

// TestManual holds that the reference and the manual page have every key of the
// file, and no other.
func TestManual(t *testing.T) {
	known := map[string]bool{}
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		known[key] = true
	}
	if len(known) < 30 || !known["tsa.clock.bound"] || !known["listen"] {
		t.Fatalf("the keys of the file are %v", known)
	}
	_, page, ok := strings.Cut(readDoc(t, "../../../doc/man/fencepost-serve.1"), "\n.SH \"CONFIGURATION FILE\"\n")
	if !ok {
		t.Fatal("the manual page has no section about the file")
	}
	page, _, _ = strings.Cut(page, "\n.SH ")
	for _, doc := range []struct {
		name, text string
		key        *regexp.Regexp
	}{
		{"configuration.md", readDoc(t, reference), regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+)` \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$")},
		{"fencepost-serve.1", strings.ReplaceAll(page, `\-`, "-"), regexp.MustCompile(`(?m)(?:^\.BR? |", " | ", ")([a-z][a-z0-9.-]*)`)},
	} {
		found := map[string]bool{}
		for _, m := range doc.key.FindAllStringSubmatch(doc.text, -1) {
			found[m[1]] = true
			if !known[m[1]] && m[1] != "kernel" && m[1] != "system" && m[1] != "ntp" { // values, not keys
				t.Errorf("%s has the key %s, the file does not", doc.name, m[1])
			}
		}
		for key := range known {
			if !found[key] {
				t.Errorf("%s does not have the key %s", doc.name, key)
			}
		}
	}
}

// keyPages are the pages of the operating guide about the kinds of keys, which
// are not those for tests.
func keyPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../../doc/keys/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages about keys: %v, %v", pages, err)
	}
	return pages
}

// guide are the operating guide and the pages beside it.
func guide(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../../doc/operating/*.md")
	if err != nil || len(pages) < 4 {
		t.Fatalf("pages of the operating guide: %v, %v", pages, err)
	}
	return append(pages, operating)
}

// notOurs begins a fragment that is of another program's file.
const notOurs = "# Not fencepost.yaml"

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	jsonBlock = regexp.MustCompile("(?s)```json\n(.*?)```")
)

// TestManualFragments holds that the fragments of the operating guide and of
// its pages about keys are read.
func TestManualFragments(t *testing.T) {
	for _, doc := range append(keyPages(t), guide(t)...) {
		name, text := filepath.Base(doc), readDoc(t, doc)
		n := 0
		for _, m := range yamlBlock.FindAllStringSubmatch(text, -1) {
			text := m[1]
			if strings.HasPrefix(text, notOurs) || strings.HasPrefix(text, "groups:") { // of Prometheus
				continue
			}
			n++
			if !strings.HasPrefix(text, "tsa:") && !strings.Contains(text, "\ntsa:") {
				text += "tsa: {key: 'memory:p256', policy: 1.2.3}\n"
			}
			if strings.Contains(text, `listen: ["https://`) && !strings.Contains(text, "tls:") {
				t.Errorf("%s: https without tls:\n%s", name, text)
			}
			if _, err := config.Parse(name, []byte(text)); err != nil {
				t.Errorf("%v, in\n%s", err, text)
			}
		}
		if n == 0 || doc == reference && n < 6 {
			t.Errorf("%s: %d fragments", name, n)
		}
		for _, m := range jsonBlock.FindAllStringSubmatch(text, -1) {
			if !json.Valid([]byte(m[1])) {
				t.Errorf("%s: not JSON:\n%s", name, m[1])
			}
		}
	}
}

// TestKeyPages holds that each kind of key has a page, which the operating guide
// links, whose fragment has such a key, and that there is no other page.
func TestKeyPages(t *testing.T) {
	want := map[string][]signer.Scheme{
		"delegated.md": nil, // of any kind
		"vault.md":     {signer.SchemeHashiVault, signer.SchemeOpenBao},
	}
	for _, s := range signer.Schemes() {
		if s != signer.SchemeMemory && s != signer.SchemeHashiVault && s != signer.SchemeOpenBao {
			want[string(s)+".md"] = []signer.Scheme{s}
		}
	}
	index := readDoc(t, operating)
	for _, page := range keyPages(t) {
		name, text := filepath.Base(page), readDoc(t, page)
		schemes, ok := want[name]
		if !ok {
			t.Errorf("doc/keys/%s is of no kind of key", name)
		}
		delete(want, name)
		if !strings.Contains(index, "(keys/"+name+")") {
			t.Errorf("the operating guide does not link doc/keys/%s", name)
		}
		for _, s := range schemes {
			if !strings.Contains(text, "`"+string(s)+":") {
				t.Errorf("doc/keys/%s does not show a URI of the scheme %s", name, s)
			}
		}
		if m := yamlBlock.FindStringSubmatch(text); len(schemes) > 0 && (m == nil || !strings.Contains(m[1], "key: "+string(schemes[0])+":")) {
			t.Errorf("the first fragment of doc/keys/%s has no key of the scheme %s", name, schemes[0])
		}
	}
	for name := range want {
		t.Errorf("there is no doc/keys/%s", name)
	}
}

// TestKeyPageURIs holds that the key URIs in the pages about keys, where they
// are whole, are read.
func TestKeyPageURIs(t *testing.T) {
	uri := regexp.MustCompile("[`'\"= ]((?:file|tink|exec|pkcs11|awskms|gcpkms|azurekms|hashivault|openbao):[^`'\"\\s]*)")
	n := 0
	for _, page := range keyPages(t) {
		for _, m := range uri.FindAllStringSubmatch(readDoc(t, page), -1) {
			if strings.ContainsRune(m[1], '…') || strings.HasSuffix(m[1], ":") || strings.HasPrefix(m[1], "tink:FILE") || strings.HasSuffix(m[1], ".json") {
				continue // a form, or the beginning of one
			}
			n++
			if _, err := signer.ParseURI(m[1]); err != nil {
				t.Errorf("%s: %s: %v", filepath.Base(page), m[1], err)
			}
		}
	}
	if n < 40 {
		t.Errorf("%d URIs", n)
	}
}

// TestDocumentsKeys holds that every key that a document names exists.
func TestDocumentsKeys(t *testing.T) {
	known := map[string]bool{}
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		for i, c := range key {
			if c == '.' {
				known[key[:i]] = true // a section
			}
		}
		known[key] = true
	}
	docs, err := filepath.Glob("../../../doc/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("documents: %v, %v", docs, err)
	}
	docs = append(append(docs, keyPages(t)...), guide(t)...)
	named := regexp.MustCompile("`((?:tsa|tls|log|limits|http)\\.[a-z0-9.-]+)[:`]")
	n := 0
	for _, doc := range append(docs, "../../../README.md") {
		for _, m := range named.FindAllStringSubmatch(readDoc(t, doc), -1) {
			n++
			if !known[m[1]] {
				t.Errorf("%s names the key %s, which does not exist", filepath.Base(doc), m[1])
			}
		}
	}
	if n < 50 {
		t.Errorf("%d keys are named", n)
	}
}
