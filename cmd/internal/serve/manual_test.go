package serve

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
	"time"

	"github.com/fencepost-tsa/fencepost/authority"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
	"github.com/fencepost-tsa/fencepost/tsphttp"
)

// TestManual holds that the operating guide has every message and every field
// of the log, and no other.
func TestManual(t *testing.T) {
	guide, err := os.ReadFile("../../../doc/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(strings.ReplaceAll(string(guide), "\r\n", "\n"), "\n## The log\n")
	if !ok {
		t.Fatal("the guide has no section about the log")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	quoted := map[string]bool{}
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.ReplaceAll(section, "\n", " "), -1) {
		quoted[m[1]] = true
	}
	inTable := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			inTable[m[1]] = true
		}
	}
	fields, messages := logged(t)
	if len(fields) < 15 || len(messages) < 6 {
		t.Fatalf("fields %v, messages %v", fields, messages)
	}
	for name := range fields {
		// What "listening" says is where it listens.
		if !quoted[name] && name != "public" && name != "admin" {
			t.Errorf("the guide does not have the field %s", name)
		}
	}
	for text := range messages {
		if !quoted[text] {
			t.Errorf("the guide does not have the message %q", text)
		}
	}
	for name := range inTable {
		if !fields[name] {
			t.Errorf("the guide has the field %s, the log does not", name)
		}
	}
}

// logged returns the names of all attributes and the messages of all records.
func logged(t *testing.T) (fields, messages map[string]bool) {
	t.Helper()
	fields, messages = map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../tsa/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files, more...) {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			fun, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			text := func(i int) (string, bool) {
				if i >= len(call.Args) {
					return "", false
				}
				lit, ok := call.Args[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return "", false
				}
				s, err := strconv.Unquote(lit.Value)
				return s, err == nil
			}
			pkg, _ := fun.X.(*ast.Ident)
			switch {
			case fun.Sel.Name == "LogAttrs", fun.Sel.Name == "NewRecord":
				if s, ok := text(2); ok {
					messages[s] = true
				}
			case pkg != nil && pkg.Name == "slog":
				if s, ok := text(0); ok {
					fields[s] = true
				}
			}
			return true
		})
	}
	return fields, messages
}

// TestManualDefaults holds that the limits in the reference are those of
// the program.
func TestManualDefaults(t *testing.T) {
	guide, err := os.ReadFile("../../../doc/operating/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	duration := func(d time.Duration) func(string) bool {
		return func(text string) bool { got, err := time.ParseDuration(text); return err == nil && got == d }
	}
	number := func(n int64) func(string) bool {
		return func(text string) bool { got, err := config.ParseSize(text); return err == nil && int64(got) == n }
	}
	for key, is := range map[string]func(string) bool{
		"limits.max-request":         number(tsphttp.DefaultMaxRequest),
		"limits.max-header":          number(DefaultMaxHeader),
		"limits.concurrency":         number(tsphttp.DefaultMaxConcurrent),
		"limits.queue":               number(tsphttp.DefaultMaxQueue),
		"limits.connections":         number(DefaultConnections),
		"limits.read-header-timeout": duration(DefaultReadHeader),
		"limits.read-timeout":        duration(DefaultRead),
		"limits.write-timeout":       duration(DefaultWrite),
		"limits.idle-timeout":        duration(DefaultIdle),
		"limits.sign-timeout":        duration(defaultSignTimeout),
		"limits.shutdown-timeout":    duration(defaultShutdownTimeout),
		"tsa.accuracy":               duration(authority.DefaultAccuracy),
	} {
		m := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(key) + "` \\| ([^ |]+) \\|").FindSubmatch(guide)
		if m == nil || !is(string(m[1])) {
			t.Errorf("the default of %s is not %q", key, m)
		}
	}
}
