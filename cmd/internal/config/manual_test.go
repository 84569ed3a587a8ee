package config_test

import (
	"encoding"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
)

const operating = "../../../doc/operating.md"

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

// TestManual holds that the operating guide and the manual page have every key
// of the file, and no other.
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
		{"operating.md", readDoc(t, operating), regexp.MustCompile("(?m)^\\| `([a-z0-9.-]+)` \\| [^|]+ \\| [^|]+ \\| [^|]+ \\|$")},
		{"fencepost-serve.1", strings.ReplaceAll(page, `\-`, "-"), regexp.MustCompile(`(?m)(?:^\.BR? |", " | ", ")([a-z][a-z0-9.-]*)`)},
	} {
		found := map[string]bool{}
		for _, m := range doc.key.FindAllStringSubmatch(doc.text, -1) {
			found[m[1]] = true
			if !known[m[1]] && m[1] != "kernel" && m[1] != "system" { // values, not keys
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

// TestManualFragments holds that the fragments of the operating guide are read.
func TestManualFragments(t *testing.T) {
	fragments := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readDoc(t, operating), -1)
	n := 0
	for _, m := range fragments {
		text := m[1]
		if strings.HasPrefix(text, "groups:") {
			continue // of Prometheus
		}
		n++
		if !strings.HasPrefix(text, "tsa:") {
			text += "tsa: {key: 'memory:p256', policy: 1.2.3}\n"
		}
		if strings.Contains(text, "https://") && !strings.Contains(text, "tls:") {
			t.Errorf("https without tls:\n%s", text)
		}
		if _, err := config.Parse("operating.md", []byte(text)); err != nil {
			t.Errorf("%v, in\n%s", err, text)
		}
	}
	if n < 6 {
		t.Errorf("%d fragments", n)
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
