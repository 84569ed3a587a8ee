package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/manual"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercerts"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peercli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer/peerserver"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

const manDir = "../../doc/man"

func readPage(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(manDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tree returns the commands as they are run, --json included.
func tree(t *testing.T) *cobra.Command {
	t.Helper()
	env := &cli.Env{Program: "fencepost"}
	root := newRoot(env)
	if code := cli.Run(t.Context(), env, root, []string{"version"}); code != cli.ExitOK {
		t.Fatalf("version ended with status %d", code)
	}
	return root
}

// TestManual holds the manual pages against the commands, option by option.
func TestManual(t *testing.T) {
	root := tree(t)
	for _, test := range []struct {
		page string
		path []string
	}{
		{"fencepost-serve.1", []string{"serve"}},
		{"fencepost-timestamp.1", []string{"timestamp"}},
		{"fencepost-key.1", []string{"key"}},
		{"fencepost-cert.1", []string{"cert"}},
		{"fencepost-audit.1", []string{"audit"}},
		{"fencepost-image.1", []string{"image"}},
		{"fencepost-blob.1", []string{"blob"}},
		{"fencepost-trust.1", []string{"trust"}},
		{"fencepost-policy.1", []string{"policy"}},
	} {
		cmd, _, err := root.Find(test.path)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range manual.Problems([]byte(readPage(t, test.page)), root, cmd) {
			t.Errorf("%s: %s", test.page, problem)
		}
	}
	// The page of the program names each command, and the page of each group.
	page := readPage(t, "fencepost.1")
	for _, problem := range manual.Problems([]byte(page), root, &cobra.Command{Use: "none"}) {
		t.Errorf("fencepost.1: %s", problem)
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			continue
		}
		if !strings.Contains(page, ".B "+cmd.Name()+"\n") {
			t.Errorf("fencepost.1 does not explain %s", cmd.Name())
		}
		if _, err := os.Stat(filepath.Join(manDir, "fencepost-"+cmd.Name()+".1")); err == nil &&
			!strings.Contains(page, `\fBfencepost\-`+cmd.Name()+`\fR(1)`) {
			t.Errorf("fencepost.1 does not refer to fencepost-%s(1)", cmd.Name())
		}
	}
}

// TestManualReasons holds that fencepost-timestamp(1) has every word that
// --json may give as a reason.
func TestManualReasons(t *testing.T) {
	page := strings.ReplaceAll(readPage(t, "fencepost-timestamp.1"), `\-`, "-")
	_, section, ok := strings.Cut(page, "is one of\n")
	if !ok {
		t.Fatal("no list of reasons")
	}
	section, _, _ = strings.Cut(section, "\n.SH ")
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`[A-Za-z-]+`).FindAllString(section, -1) {
		words[w] = true
	}
	for _, r := range verify.Reasons() {
		if !words[string(r)] {
			t.Errorf("reason %s is not in the page", r)
		}
	}
	for _, info := range append(tsp.FailureInfos(), tsp.NoFailureInfo) {
		if !words[info.String()] {
			t.Errorf("failure information %s is not in the page", info)
		}
	}
}

// TestManualSignatureReasons does the same for fencepost-image(1), whose words are
// those of several packages.
func TestManualSignatureReasons(t *testing.T) {
	page := strings.ReplaceAll(readPage(t, "fencepost-image.1"), `\-`, "-")
	_, section, ok := strings.Cut(page, "\n.SH REASONS\n")
	if !ok {
		t.Fatal("no section REASONS")
	}
	section, _, _ = strings.Cut(section, "\n.SH ")
	words := map[string]bool{}
	for _, w := range regexp.MustCompile(`[a-z-]+`).FindAllString(section, -1) {
		words[w] = true
	}
	for _, r := range envelope.Reasons() {
		if !words[string(r)] {
			t.Errorf("reason %s of an envelope is not in the page", r)
		}
	}
	// Those that package verify has are in the other page.
	other := verify.Reasons()
	for _, r := range countersign.Reasons() {
		if !words[string(r)] && !slices.Contains(other, verify.Reason(r)) {
			t.Errorf("reason %s of a timestamp is not in the page", r)
		}
	}
	source, err := os.ReadFile("../internal/notary/check.go")
	if err != nil {
		t.Fatal(err)
	}
	own := regexp.MustCompile(`(?m)^\tReason\w+ Reason = "([a-z-]+)"`).FindAllSubmatch(source, -1)
	for _, m := range own {
		if !words[string(m[1])] {
			t.Errorf("reason %s of a check is not in the page", m[1])
		}
	}
	if len(own) < 12 {
		t.Errorf("%d reasons of checks", len(own))
	}
}

// TestManualReferences holds that the pages of ours that a page refers to exist.
func TestManualReferences(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(manDir, "*.1"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages: %v, %v", pages, err)
	}
	reference := regexp.MustCompile(`((?:fencepost|timestamp)[a-z-]*)(?: |\\fR)\(1\)`)
	for _, name := range pages {
		name = filepath.Base(name)
		page := strings.ReplaceAll(readPage(t, name), `\-`, "-")
		found := reference.FindAllStringSubmatch(page, -1)
		if len(found) == 0 {
			t.Errorf("%s refers to no other page", name)
		}
		for _, m := range found {
			if _, err := os.Stat(filepath.Join(manDir, m[1]+".1")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestDocumentsOptions holds that every option that a document names, or gives
// to one of the commands, is one of theirs.
func TestDocumentsOptions(t *testing.T) {
	known := map[string]bool{"help": true, "version": true}
	var add func(c *cobra.Command)
	add = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
		c.PersistentFlags().VisitAll(func(f *pflag.Flag) { known[f.Name] = true })
		for _, sub := range c.Commands() {
			add(sub)
		}
	}
	for _, root := range []*cobra.Command{tree(t), peerserver.New(&cli.Env{}), peercli.New(&cli.Env{}), peercerts.New(&cli.Env{}, peercerts.Config{})} {
		add(root)
	}
	docs, err := filepath.Glob("../../doc/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("documents: %v, %v", docs, err)
	}
	pages, err := filepath.Glob("../../doc/operating/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("pages of the operating guide: %v, %v", pages, err)
	}
	docs = append(docs, pages...)
	option := regexp.MustCompile(`(?:^|[\s(` + "`" + `])--([a-z][a-z0-9_-]*)`)
	n := 0
	for _, doc := range append(docs, "../../README.md") {
		data, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		// A command may go on in the next line.
		text := strings.ReplaceAll(strings.ReplaceAll(string(data), "\r\n", "\n"), "\\\n", " ")
		inside := false
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "```") {
				inside = !inside
			}
			if cells := strings.SplitN(line, " | ", 2); filepath.Base(doc) == "notation.md" && len(cells) == 2 {
				line = cells[1] // the first has the flags of others
			}
			var options [][]string
			if !inside {
				for _, span := range regexp.MustCompile("`[^`]+`").FindAllString(line, -1) {
					if !strings.HasPrefix(span, "`notation ") && !strings.HasPrefix(span, "`openssl") && !strings.HasPrefix(span, "`curl") && !strings.HasPrefix(span, "`sha256sum") {
						options = append(options, option.FindAllStringSubmatch(span, -1)...)
					}
				}
			} else if regexp.MustCompile(`(?:^|[ /|=])(?:fencepost|timestamp-cli|timestamp-server) [a-z-]`).MatchString(line) {
				options = option.FindAllStringSubmatch(line, -1)
			}
			for _, m := range options {
				n++
				if !known[m[1]] {
					t.Errorf("%s: no command has the option --%s: %s", filepath.Base(doc), m[1], strings.TrimSpace(line))
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("%d options are named", n)
	}
}
