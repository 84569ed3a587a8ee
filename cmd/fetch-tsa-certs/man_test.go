package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/manual"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercerts"
)

// TestManual holds the manual page against the command, option by option.
func TestManual(t *testing.T) {
	page, err := os.ReadFile("../../doc/man/fetch-tsa-certs.1")
	if err != nil {
		t.Fatal(err)
	}
	root := peercerts.New(&cli.Env{Program: "fetch-tsa-certs"}, peercerts.Config{})
	for _, problem := range manual.Problems(page, root, root) {
		t.Error(problem)
	}
}

// TestOneFile: "go run cmd/fetch-tsa-certs/fetch_tsa_certs.go", as the
// documentation of the namesake has it, compiles that file and no other.
func TestOneFile(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	if !slices.Equal(files, []string{"fetch_tsa_certs.go"}) {
		t.Errorf("the files of the command are %q", files)
	}
}
