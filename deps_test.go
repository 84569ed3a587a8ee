package fencepost_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/fencepost-tsa/fencepost"

// library is the import law of the library ring, from the ground up: each
// package may import those on its right, the standard library and
// golang.org/x, and nothing else. It is a statement of policy: do not change
// it to fix a build. Change it with the design, and say why in the commit.
var library = map[string]string{
	".":                 "",
	"internal/oid":      "",
	"internal/der":      "internal/oid",
	"internal/cms":      "internal/der internal/oid",
	"internal/pkup":     "",
	"internal/pubkey":   "",
	"tsp":               "internal/cms internal/der internal/oid",
	"clock":             "",
	"verify":            "tsp internal/cms internal/der internal/oid internal/pkup internal/pubkey",
	"tsphttp":           "tsp verify",
	"signer":            "internal/oid",
	"signer/signertest": "signer",
	"pki":               "internal/oid internal/pkup internal/pubkey",
	"pki/pkitest":       "pki",
	"authority":         "tsp verify clock internal/cms internal/der internal/oid internal/pkup internal/pubkey",
	"tsp/tsptest":       "tsp authority tsphttp signer pki pki/pkitest internal/cms internal/der internal/oid",
}

// groundFloor packages compute. They do no I/O and write no log.
var groundFloor = []string{"internal/oid", "internal/der", "internal/cms", "internal/pkup", "internal/pubkey", "tsp", "verify"}

// forbiddenBelow names what the ground floor must not import.
var forbiddenBelow = []string{"net", "net/http", "os", "os/exec", "log", "log/slog"}

// islands are parts of the programs that must not know one another, each with
// the packages below it.
var islands = map[string]string{
	"cmd/internal/fulcio": "cmd/internal/rekor cmd/internal/ledger cmd/internal/oci cmd/internal/notary",
	"cmd/internal/rekor":  "cmd/internal/fulcio cmd/internal/ledger cmd/internal/oci cmd/internal/notary",
	"cmd/internal/ledger": "cmd/internal/fulcio cmd/internal/rekor cmd/internal/oci cmd/internal/notary",
	"cmd/internal/oci":    "cmd/internal/fulcio cmd/internal/rekor cmd/internal/ledger cmd/internal/notary",
	"cmd/internal/notary": "cmd/internal/fulcio cmd/internal/rekor cmd/internal/ledger",
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	eachGoFile(t, func(name string) {
		// Files are read in this process, not by running "go list", so that the
		// test cache notices when one changes.
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		pkg, isTest := path.Dir(name), strings.HasSuffix(name, "_test.go")
		program := strings.HasPrefix(pkg, "cmd/")
		allowed, ok := library[pkg]
		if !ok && !program {
			t.Errorf("%s: package %s is not in the table", name, pkg)
			return
		}
		seen[pkg] = true
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			local, ours := strings.CutPrefix(imp, module+"/")
			first, _, _ := strings.Cut(imp, "/")
			foreign := !ours && strings.Contains(first, ".") && !strings.HasPrefix(imp, "golang.org/x/")
			switch {
			case program && ours && apart(pkg, local),
				!program && ours && strings.HasPrefix(local, "cmd/"),
				// A user's "go mod tidy" resolves our tests as well.
				!program && foreign,
				!program && !isTest && ours && !slices.Contains(strings.Fields(allowed), local),
				!isTest && slices.Contains(groundFloor, pkg) && slices.Contains(forbiddenBelow, imp):
				t.Errorf("%s imports %s", name, imp)
			}
		}
	})
	for pkg := range library {
		if !seen[pkg] {
			t.Errorf("package %s is in the table but does not exist", pkg)
		}
	}
}

// apart reports whether a package is on an island that must not know the one of
// the other.
func apart(pkg, other string) bool {
	for island, others := range islands {
		if !within(pkg, island) {
			continue
		}
		for _, o := range strings.Fields(others) {
			if within(other, o) {
				return true
			}
		}
	}
	return false
}

func within(pkg, island string) bool { return pkg == island || strings.HasPrefix(pkg, island+"/") }

func TestApart(t *testing.T) {
	for _, row := range []struct {
		pkg, imports string
		want         bool
	}{
		{"cmd/internal/oci", "cmd/internal/notary", true},
		{"cmd/internal/oci", "cmd/internal/notary/envelope", true},
		{"cmd/internal/oci/ocitest", "cmd/internal/notary/envelope", true},
		{"cmd/internal/notary/envelope", "cmd/internal/rekor", true},
		{"cmd/internal/notary/envelope", "cmd/internal/oci", false},
		{"cmd/internal/notarycmd", "cmd/internal/rekor", false},
		{"cmd/internal/artifactcmd", "cmd/internal/notary", false},
	} {
		if got := apart(row.pkg, row.imports); got != row.want {
			t.Errorf("apart(%q, %q) = %v, want %v", row.pkg, row.imports, got, row.want)
		}
	}
}

// eachGoFile calls f with the slash-separated name of each Go file of this
// module.
func eachGoFile(t *testing.T, f func(name string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != ".":
			if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
				return fs.SkipDir
			}
			if _, err := os.Stat(path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir // a module of its own
			}
		case !d.IsDir() && path.Ext(name) == ".go":
			f(name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
