package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

// notarySection is a section of doc/notary.md.
func notarySection(t *testing.T, heading string) string {
	t.Helper()
	data, err := os.ReadFile("../../doc/notary.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n##")
	return section
}

// rows are those of the tables in a section, headings included.
func rows(section string) (all [][]string) {
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") {
			cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "| "), " |"), " | ")
			all = append(all, cells)
		}
	}
	return all
}

// TestNotaryLevels holds the table of levels against what they do.
func TestNotaryLevels(t *testing.T) {
	var heading []string
	var found []trustpolicy.Level
	for _, row := range rows(notarySection(t, "### Levels")) {
		switch level := trustpolicy.Level(strings.Trim(row[0], "`")); {
		case row[0] == "Level":
			heading = row
		case slices.Contains(trustpolicy.Levels(), level):
			found = append(found, level)
			actions := level.Actions()
			for i, check := range heading[1 : len(heading)-1] {
				want, ok := actions[trustpolicy.Check(check)]
				if !ok {
					t.Fatalf("there is no check %q", check)
				}
				got := row[i+1]
				if got == "–" {
					got = string(trustpolicy.Skip)
				}
				if got != string(want) {
					t.Errorf("level %s, %s: the page has %q, want %q", level, check, got, want)
				}
			}
			if len(heading) != len(trustpolicy.Checks())+2 {
				t.Errorf("the table has %q", heading)
			}
		}
	}
	if !slices.Equal(found, trustpolicy.Levels()) {
		t.Errorf("the page has the levels %v, want %v", found, trustpolicy.Levels())
	}
}

// TestNotaryChecks holds the table of checks against those that are made, and their order.
func TestNotaryChecks(t *testing.T) {
	source, err := os.ReadFile("../internal/notary/check.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\t\w+ Name = "(\w+)"`).FindAllSubmatch(source, -1) {
		want = append(want, string(m[1]))
	}
	for _, row := range rows(notarySection(t, "### What is checked"))[1:] {
		got = append(got, strings.Trim(row[0], "`"))
	}
	if len(want) < 9 || !slices.Equal(got, want) {
		t.Errorf("the page has the checks %v, want %v", got, want)
	}
}
