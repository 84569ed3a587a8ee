package fencepost_test

import (
	"go/parser"
	"go/token"
	"path"
	"strings"
	"testing"
)

// TestPackageDocs holds that each package has its doc comment once.
func TestPackageDocs(t *testing.T) {
	docs := map[string][]string{}
	eachGoFile(t, func(name string) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		pkg := path.Dir(name)
		if f.Doc == nil {
			if _, ok := docs[pkg]; !ok {
				docs[pkg] = nil
			}
			return
		}
		docs[pkg] = append(docs[pkg], name)
		want := "Package " + f.Name.Name + " "
		if f.Name.Name == "main" {
			want = "Command " + path.Base(pkg) + " "
		}
		if got := f.Doc.Text(); !strings.HasPrefix(got, want) {
			t.Errorf("%s: package doc begins %.40q, want %q", name, got, want)
		}
	})
	for pkg, files := range docs {
		if len(files) != 1 {
			t.Errorf("package %s has %d package docs, want 1: %v", pkg, len(files), files)
		}
	}
}
