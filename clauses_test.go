package fencepost_test

import (
	"bufio"
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// variantsDir is where forged responses live that documents call by name.
const variantsDir = "tsp/tsptest/testdata/variants"

var (
	// codeSpan is a word in backquotes.
	codeSpan = regexp.MustCompile("`([^`]+)`")
	// goFile is the name of a file of ours, with its folder.
	goFile = regexp.MustCompile(`^([\w.-]+/)*[\w.-]+\.go$`)
	// testName is a test, an example or a fuzz target of a package, perhaps with
	// a row of its table.
	testName = regexp.MustCompile(`^([a-z0-9]+(?:/[a-z0-9]+)*)\.((?:Test|Example|Fuzz|Benchmark)\w*)(?:/(.+))?$`)
	// variantName is a forged response.
	variantName = regexp.MustCompile(`^[a-z0-9-]+\.tsr$`)
	// citation is a standard that a comment cites.
	citation = regexp.MustCompile(`\bRFC (\d{3,5})\b`)
)

// TestClauses holds that doc/rfc3161.md names, for each clause, a file and a
// test, and that both exist.
func TestClauses(t *testing.T) {
	b := newBook(t)
	rows := tables(t, "doc/rfc3161.md")
	if len(rows) == 0 {
		t.Fatal("no table in doc/rfc3161.md")
	}
	seen := map[string]bool{}
	for _, row := range rows {
		if len(row.cells) != 4 {
			t.Errorf("%s: %d cells, not 4", row, len(row.cells))
			continue
		}
		if key := row.cells[0] + "|" + row.cells[1]; seen[key] {
			t.Errorf("%s: the same clause and demand twice", row)
		} else {
			seen[key] = true
		}
		files, tests := codeSpan.FindAllStringSubmatch(row.cells[2], -1), codeSpan.FindAllStringSubmatch(row.cells[3], -1)
		if len(files) == 0 || len(tests) == 0 {
			t.Errorf("%s: %d files, %d tests; at least one of each is needed", row, len(files), len(tests))
		}
		for _, f := range files {
			if !goFile.MatchString(f[1]) {
				t.Errorf("%s: %s is not a Go file", row, f[1])
			}
		}
		for _, name := range tests {
			if !testName.MatchString(name[1]) && !variantName.MatchString(name[1]) {
				t.Errorf("%s: %s is not a test", row, name[1])
			}
		}
		b.checkNames(t, row.String(), row.text)
	}
	b.checkText(t, "doc/rfc3161.md")
}

// TestDocumentsNameWhatExists holds the other documents to the same: whatever
// they call a file, a test or a forged response has to exist.
func TestDocumentsNameWhatExists(t *testing.T) {
	b := newBook(t)
	for _, name := range documents(t) {
		b.checkText(t, name)
	}
}

// TestDivergences holds that each row of doc/divergences.md names a test or a
// forged response, in its last cell.
func TestDivergences(t *testing.T) {
	rows := tables(t, "doc/divergences.md")
	if len(rows) == 0 {
		t.Fatal("no table in doc/divergences.md")
	}
	for _, row := range rows {
		last := codeSpan.FindAllStringSubmatch(row.cells[len(row.cells)-1], -1)
		if len(last) == 0 {
			t.Errorf("%s: no test", row)
		}
		for _, name := range last {
			if !testName.MatchString(name[1]) && !variantName.MatchString(name[1]) {
				t.Errorf("%s: %s is not a test", row, name[1])
			}
		}
	}
}

// TestCitations holds that every RFC about timestamps, messages and
// certificates that the parsers and the verifier cite is in the clause map.
func TestCitations(t *testing.T) {
	mapped := map[string]bool{}
	for _, m := range citation.FindAllStringSubmatch(readFile(t, "doc/rfc3161.md"), -1) {
		mapped[m[1]] = true
	}
	// Cited where a detail of an encoding comes from, and not implemented as
	// such: RFC 2634 and RFC 3370 are what RFC 5035 and RFC 5754 replace, RFC
	// 3739 is what EN 319 422 stands on, the others are about names, keys and PEM.
	for _, aside := range []string{"2634", "3370", "3739", "5480", "6960", "7468", "8410"} {
		mapped[aside] = true
	}
	eachGoFile(t, func(name string) {
		switch path.Dir(name) {
		case "tsp", "verify", "authority", "internal/cms", "internal/pkup":
		default:
			return
		}
		for _, m := range citation.FindAllStringSubmatch(readFile(t, name), -1) {
			if !mapped[m[1]] {
				t.Errorf("%s cites RFC %s: give it a row in doc/rfc3161.md, or name it here if only a detail comes from it", name, m[1])
			}
		}
	})
}

// documents returns the Markdown files that are about the code, from the root.
func documents(t *testing.T) []string {
	t.Helper()
	names := []string{"README.md"}
	for _, pattern := range []string{"doc/*.md", "doc/keys/*.md", "doc/operating/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("documents: %v, %v", found, err)
		}
		names = append(names, found...)
	}
	return names
}

// A book knows what documents may name: the tests of each package with the
// strings in them, and the verdicts on forged responses.
type book struct {
	tests    map[string]map[string]*ast.FuncDecl // package, function
	verdicts map[string]bool
}

func newBook(t *testing.T) *book {
	t.Helper()
	b := &book{tests: map[string]map[string]*ast.FuncDecl{}, verdicts: map[string]bool{}}
	read := func(name string) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		pkg := path.Dir(name)
		if b.tests[pkg] == nil {
			b.tests[pkg] = map[string]*ast.FuncDecl{}
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				b.tests[pkg][fn.Name.Name] = fn
			}
		}
	}
	eachGoFile(t, read)
	// A module of its own, which eachGoFile leaves out.
	for _, pattern := range []string{"interop/*_test.go", "interop/*/*_test.go"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", pattern, names, err)
		}
		for _, name := range names {
			read(filepath.ToSlash(name))
		}
	}
	lines := bufio.NewScanner(strings.NewReader(readFile(t, path.Join(variantsDir, "verdicts.txt"))))
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) == 2 {
			b.verdicts[words[1]] = true
		}
	}
	if len(b.verdicts) == 0 {
		t.Fatal("verdicts.txt has no verdict")
	}
	return b
}

// checkText checks every name of a document that looks like one of ours.
func (b *book) checkText(t *testing.T, name string) {
	t.Helper()
	for i, line := range strings.Split(withoutCodeBlocks(readFile(t, name)), "\n") {
		b.checkNames(t, name+":"+strconv.Itoa(i+1), line)
	}
}

func (b *book) checkNames(t *testing.T, where, text string) {
	t.Helper()
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		name := m[1]
		switch parts := testName.FindStringSubmatch(name); {
		case parts != nil:
			b.checkTest(t, where, parts)
		case goFile.MatchString(name):
			if _, err := os.Stat(filepath.FromSlash(name)); err != nil {
				t.Errorf("%s: %v", where, err)
			}
		case variantName.MatchString(name) && (strings.HasPrefix(where, "doc/rfc3161.md") || strings.HasPrefix(where, "doc/divergences.md")):
			if _, err := os.Stat(filepath.Join(filepath.FromSlash(variantsDir), name)); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if !b.verdicts[strings.TrimSuffix(name, ".tsr")] {
				t.Errorf("%s: %s has no verdict in verdicts.txt", where, name)
			}
		}
	}
}

func (b *book) checkTest(t *testing.T, where string, parts []string) {
	t.Helper()
	pkg, name, row := parts[1], parts[2], parts[3]
	fn, ok := b.tests[pkg][name]
	if !ok {
		known := slices.Sorted(maps.Keys(b.tests[pkg]))
		t.Errorf("%s: package %s has no %s; it has %s", where, pkg, name, strings.Join(known, ", "))
		return
	}
	if row == "" {
		return
	}
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && text == row {
				found = true
			}
		}
		return !found
	})
	if !found {
		t.Errorf("%s: %s.%s has no row %q", where, pkg, name, row)
	}
}

// A tableRow is one row of a table in a document.
type tableRow struct {
	file  string
	line  int
	cells []string
	text  string
}

func (r tableRow) String() string { return r.file + ":" + strconv.Itoa(r.line) }

// tables returns the rows of all tables of a document, without their headings.
func tables(t *testing.T, name string) []tableRow {
	t.Helper()
	var rows []tableRow
	lines := strings.Split(withoutCodeBlocks(readFile(t, name)), "\n")
	for i, line := range lines {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") ||
			i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		rows = append(rows, tableRow{file: name, line: i + 1, cells: cells, text: line})
	}
	return rows
}

// withoutCodeBlocks blanks what stands between fences, and keeps the lines.
func withoutCodeBlocks(text string) string {
	lines := strings.Split(text, "\n")
	inside := false
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
			lines[i] = ""
		} else if inside {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
}

// TestMigrating holds that each row of doc/migrating.md names a test or an
// example, and that no flag of the commands that ours stand in for is missing.
func TestMigrating(t *testing.T) {
	const name = "doc/migrating.md"
	text := readFile(t, name)
	for _, row := range tables(t, name) {
		if len(row.cells) != 3 {
			t.Errorf("%s: %d cells, not 3", row, len(row.cells))
			continue
		}
		names := codeSpan.FindAllStringSubmatch(row.cells[2], -1)
		if len(names) == 0 {
			t.Errorf("%s: no test and no example", row)
		}
		for _, n := range names {
			if !testName.MatchString(n[1]) {
				t.Errorf("%s: %s is not a test", row, n[1])
			}
		}
	}
	for _, program := range []struct{ heading, flags string }{
		{"## timestamp-cli\n", "cmd/internal/peer/peercli/testdata/timestamp-cli.flags"},
		{"## timestamp-server\n", "cmd/internal/peer/peerserver/testdata/timestamp-server.flags"},
		{"## fetch-tsa-certs\n", "cmd/internal/peer/peercerts/testdata/fetch-tsa-certs.flags"},
	} {
		_, section, ok := strings.Cut(text, program.heading)
		if !ok {
			t.Fatalf("%s has no heading %q", name, program.heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		mentioned := map[string]bool{}
		for _, flag := range regexp.MustCompile(`--[a-z][a-z0-9_-]*`).FindAllString(section, -1) {
			mentioned[flag] = true
		}
		count := 0
		for line := range strings.Lines(readFile(t, program.flags)) {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] == "#" {
				continue
			}
			count++
			if !mentioned["--"+words[1]] {
				t.Errorf("%s does not say what becomes of --%s", name, words[1])
			}
		}
		if count == 0 {
			t.Errorf("%s has no flag", program.flags)
		}
	}
}

// othersWords are in symptoms that operators see and no program of ours says:
// those of the operating system, of Go, and of services as their own documents
// have them.
var othersWords = []string{
	"address already in use",
	"no such file or directory", "permission denied", "connection refused", "no such host",
	"CKR_GENERAL_ERROR", "CKR_MECHANISM_INVALID", "CKR_PIN_INCORRECT", "CKR_SESSION_COUNT",
	"invalid_grant", "could not find default credentials",
	"exceeded maximum number of attempts",
}

// TestSymptoms holds that what the operating guide, its pages about keys and the
// page about signatures quote as a symptom is what the programs really say. An ellipsis stands for
// what differs each time.
func TestSymptoms(t *testing.T) {
	var source strings.Builder
	eachGoFile(t, func(file string) {
		if !strings.HasSuffix(file, "_test.go") {
			source.WriteString(readFile(t, file))
		}
	})
	// Quotes are escaped in the source.
	said := strings.ReplaceAll(source.String(), `\"`, `"`)
	pages, err := filepath.Glob("doc/keys/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages about keys: %v, %v", pages, err)
	}
	for _, name := range append(pages, "doc/operating.md", "doc/notary.md") {
		heading, atLeast := "## When it fails", 10
		switch name {
		case "doc/operating.md":
			heading, atLeast = "## At three in the morning", 20
		case "doc/notary.md":
			atLeast = 60
		}
		_, section, ok := strings.Cut(readFile(t, name), "\n"+heading+"\n")
		if !ok {
			t.Errorf("%s has no section %q", name, heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		if n := symptoms(t, name, section, said); n < atLeast {
			t.Errorf("%s quotes %d symptoms", name, n)
		}
	}
}

// symptoms checks the first column of the table in a section, and returns how
// many symptoms are quoted there.
func symptoms(t *testing.T, name, section, said string) (quoted int) {
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if len(cells) != 3 {
			continue
		}
		for _, m := range codeSpan.FindAllStringSubmatch(cells[0], -1) {
			for part := range strings.SplitSeq(m[1], "…") {
				part = strings.TrimRight(strings.TrimSpace(part), ":")
				part = strings.TrimPrefix(part, ": ")
				if len(part) < 4 {
					continue
				}
				quoted++
				others := slices.ContainsFunc(othersWords, func(words string) bool { return strings.HasSuffix(part, words) })
				if !others && !strings.Contains(said, part) {
					t.Errorf("%s: nothing says %q", name, part)
				}
			}
		}
	}
	return quoted
}

// TestReadmeCode holds that the Go code of the README is that of the example,
// which runs.
func TestReadmeCode(t *testing.T) {
	_, block, ok := strings.Cut(readFile(t, "README.md"), "\n```go\n")
	if !ok {
		t.Fatal("no Go code in README.md")
	}
	block, _, _ = strings.Cut(block, "\n```")
	example := readFile(t, "example_test.go")
	lines := strings.Split(block, "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		// What it prints differs: the time is never the same.
		if i < len(lines)-1 && !strings.Contains(example, "\t"+line+"\n") {
			t.Errorf("example_test.go does not have %q of README.md", line)
		}
	}
	if len(lines) < 4 {
		t.Errorf("README.md has %d lines of Go", len(lines))
	}
}

// TestRunbooks holds that each alert says what to do about it: its link leads to
// a heading of the operating guide, and the guide's list has it.
func TestRunbooks(t *testing.T) {
	const guide = "doc/operating.md"
	text := readFile(t, guide)
	headings := anchors(text)
	_, list, ok := strings.Cut(text, "\n## Alerts\n")
	if !ok {
		t.Fatalf("%s has no list of alerts", guide)
	}
	list, _, _ = strings.Cut(list, "\n## ")
	listed := map[string]bool{}
	for _, name := range regexp.MustCompile(`\bFencepost[A-Z]\w+`).FindAllString(list, -1) {
		listed[name] = true
	}
	rules := regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (\w+).*?runbook_url: \S+/(\S+)#(\S+)\n`).
		FindAllStringSubmatch(readFile(t, "deploy/monitoring/rules/fencepost.rules.yml"), -1)
	for _, rule := range rules {
		name, severity, page, anchor := rule[1], rule[2], rule[3], rule[4]
		if page != "operating.md" || !headings[anchor] {
			t.Errorf("%s: %s has no heading %s", name, guide, anchor)
		}
		if !listed[name] {
			t.Errorf("%s does not list %s", guide, name)
		}
		delete(listed, name)
		row := regexp.MustCompile(`(?m)^\| [^|]*\b` + name + `\b[^|]* \| ([^|]*) \|`).FindStringSubmatch(list)
		if row == nil || !strings.Contains(row[1], severity) {
			t.Errorf("%s: the severity of %s is %s, and the row %q", guide, name, severity, row)
		}
	}
	for name := range listed {
		t.Errorf("%s lists %s, which there is not", guide, name)
	}
	if len(rules) < 20 {
		t.Errorf("%d alerts", len(rules))
	}
}

// anchors are the headings of a document, as links name them.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(withoutCodeBlocks(text), -1) {
		anchor := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	return found
}

// TestAnchors holds that links between our documents lead to headings.
func TestAnchors(t *testing.T) {
	headings := map[string]map[string]bool{}
	load := func(name string) map[string]bool {
		if headings[name] == nil {
			headings[name] = anchors(readFile(t, name))
		}
		return headings[name]
	}
	n := 0
	for _, name := range documents(t) {
		for _, m := range regexp.MustCompile(`\]\(([^):]*)#([^)]+)\)`).FindAllStringSubmatch(withoutCodeBlocks(readFile(t, name)), -1) {
			file := filepath.ToSlash(name)
			if m[1] != "" {
				file = path.Join(path.Dir(file), m[1])
			}
			n++
			if _, err := os.Stat(filepath.FromSlash(file)); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if !load(file)[m[2]] {
				t.Errorf("%s: %s has no heading %s", name, file, m[2])
			}
		}
	}
	if n < 50 {
		t.Errorf("%d links", n)
	}
}
