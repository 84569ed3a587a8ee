package metrics_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestManual holds that the operating guide has every metric of ours, and no
// other.
func TestManual(t *testing.T) {
	ours := regexp.MustCompile(`^(?:fencepost|timestamp_authority)_[a-z0-9_]+$`)
	known := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && ours.MatchString(text) {
					known[text] = true
				}
			}
			return true
		})
	}
	if len(known) < 15 {
		t.Fatalf("the metrics are %v", known)
	}
	guide, err := os.ReadFile("../../../doc/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:fencepost|timestamp_authority)_[a-z0-9_]+`).FindAllString(string(guide), -1) {
		found[m] = true
		if !known[m] {
			t.Errorf("the guide has the metric %s, the program does not", m)
		}
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|").FindAllStringSubmatch(string(guide), -1) {
		rows[m[1]] = true
	}
	for name := range known {
		if !rows[name] {
			t.Errorf("the guide does not explain the metric %s", name)
		}
	}
}
