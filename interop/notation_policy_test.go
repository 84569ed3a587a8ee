package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// policyDifferences are the trust policy documents of which we say something else than the Notary Project, and why.
// In force is a document that "policy import" did not see, but somebody else wrote into the directory.
var policyDifferences = map[string]string{
	"blob-disputed-global-skip":               "Notation means to refuse it, compares wrongly, and crashes when it verifies",
	"blob-disputed-name-space":                "no --policy-name names a statement whose name is blank",
	"image-disputed-name-space":               "the same",
	"image-disputed-capital-member":           "Notation obeys \"Override\", which its documentation does not have",
	"image-disputed-member-twice":             "Notation obeys the last, and a reader may have seen the first",
	"image-disputed-identity-empty-value":     "Notation takes \"L=\" for an attribute that the subject must not have",
	"image-disputed-identity-backslash-space": "Notation takes the space for a part of the value, and RFC 4514 does not",
	"image-disputed-identity-replacement":     "U+FFFD is what is read of anything that cannot be",
	"image-disputed-store-dot":                "the store would be the directory of all stores",
	"image-disputed-store-dots":               "the store would be outside the directory of stores",
}

// policyColumns are those of testdata/policies.txt.
var policyColumns = []string{"notation-go 1.3.2", "notation-go main", "in force", "imported"}

// TestNotationPolicies compares what everybody says of the same trust policy documents with what is committed. Where
// we differ, the table above says why; an import may refuse more than what is in force.
func TestNotationPolicies(t *testing.T) {
	files, err := filepath.Glob("testdata/policies/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("found %d documents only", len(files))
	}
	w := scratch(t)
	unused := maps.Clone(policyDifferences)
	var got strings.Builder
	fmt.Fprintf(&got, "%-46s", "# file")
	for _, column := range policyColumns {
		fmt.Fprintf(&got, " %-17s", column)
	}
	got.WriteString("\n")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		verdicts := judgePolicy(t, w, file)
		fmt.Fprintf(&got, "%-46s", name)
		for _, v := range verdicts {
			fmt.Fprintf(&got, " %-17s", v)
		}
		got.WriteString("\n")
		_, named := policyDifferences[name]
		if differs := verdicts[1] != verdicts[2]; differs != named {
			t.Errorf("%s: notation-go says %s, and we %s; is a difference explained? %v", name, verdicts[1], verdicts[2], named)
		}
		delete(unused, name)
		switch {
		case strings.Contains(name, "-good-") && (verdicts[2] != "ok" || verdicts[3] != "ok"),
			strings.Contains(name, "-bad-") && (verdicts[2] == "ok" || verdicts[3] == "ok"):
			t.Errorf("%s: we say %s and %s", name, verdicts[2], verdicts[3])
		}
		if verdicts[2] == "refused" && verdicts[3] == "ok" {
			t.Errorf("%s is imported, and then not obeyed", name)
		}
	}
	for name := range unused {
		t.Errorf("an explanation of %s, which is not there", name)
	}
	compareGolden(t, "testdata/policies.txt", got.String())
}

// judgePolicy has everybody judge a document.
func judgePolicy(t *testing.T, w *tool, file string) []string {
	t.Helper()
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	blob := strings.HasPrefix(filepath.Base(file), "blob-")
	var verdicts []string
	for _, n := range notaries() {
		o, ok := n.(oracle)
		if !ok {
			continue
		}
		if blob && !o.main() {
			verdicts = append(verdicts, "-")
			continue
		}
		r := w.run(t, o.policyArgs(file, blob, "")...)
		var answer struct{ Valid bool }
		unmarshal(t, r, &answer)
		verdicts = append(verdicts, map[bool]string{true: "ok", false: "refused"}[answer.Valid])
	}
	for _, lenient := range []bool{true, false} {
		verdicts = append(verdicts, exitVerdict(t, w.run(t, importArgs(file, blob, lenient)...)))
	}
	return verdicts
}

func (o oracle) policyArgs(file string, blob bool, of string) []string {
	argv := []string{o.path, "policy"}
	if blob {
		argv = append(argv, "-blob")
	}
	if of != "" {
		argv = append(argv, "-for", of)
	}
	return append(argv, file)
}

// compareGolden compares a table with the committed one.
func compareGolden(t *testing.T, golden, got string) {
	t.Helper()
	var trimmed strings.Builder
	for line := range strings.Lines(got) {
		trimmed.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	got = trimmed.String()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for _, line := range gotLines {
		if !slices.Contains(wantLines, line) {
			t.Errorf("got  %s", line)
		}
	}
	for _, line := range wantLines {
		if !slices.Contains(gotLines, line) {
			t.Errorf("want %s", line)
		}
	}
}

// TestNotationPolicyChoice: of each good document everybody chooses the same statement for an image, with the same
// actions.
func TestNotationPolicyChoice(t *testing.T) {
	files, err := filepath.Glob("testdata/policies/image-good-*.json")
	if err != nil {
		t.Fatal(err)
	}
	// None has capitals in its host: our references have none there, and scopes are found without.
	repositories := []string{"registry.example/app", "registry.example/base", "localhost:5000/a/b", "registry.example/app/sub",
		"other.example/app", "registry.example:443/app"}
	w, chosen := scratch(t), 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, "trustpolicy.json", data)
		for _, repository := range repositories {
			var answers []choice
			for _, n := range notaries() {
				answers = append(answers, choose(t, w, n, repository))
			}
			for i, answer := range answers {
				if answer.String() != answers[0].String() {
					t.Errorf("%s: for %s, %v chooses %v, and %v %v", file, repository, notaries()[i], answer, notaries()[0], answers[0])
				}
			}
			if answers[0].name != "" {
				chosen++
			}
		}
	}
	if chosen < len(files) {
		t.Errorf("a statement was chosen %d times only", chosen)
	}
}

// A choice is a statement with what its level means; "" is the name of none.
type choice struct {
	name    string
	actions map[string]string
}

func (c choice) String() string {
	text, err := json.Marshal(c.actions) // in the order of the keys
	if err != nil {
		return err.Error()
	}
	return c.name + " " + string(text)
}

func choose(t *testing.T, w *tool, n notary, repository string) choice {
	t.Helper()
	if o, ok := n.(oracle); ok {
		r := w.run(t, o.policyArgs("trustpolicy.json", false, repository+"@"+digestOf(nil))...)
		var answer struct {
			Statement, Error string
			Actions          map[string]string
		}
		unmarshal(t, r, &answer)
		if r.code != 0 && !strings.Contains(answer.Error, "has no applicable") {
			t.Fatal(r)
		}
		return choice{answer.Statement, answer.Actions}
	}
	r := w.run(t, ours("fencepost"), "policy", "show", "--json", "--config-dir", w.dir, "--for", repository)
	var answer struct {
		Statement struct {
			Name    string
			Actions map[string]string
		}
	}
	if r.code == 1 {
		expect(t, r, []string{"no statement"})
		return choice{}
	}
	unmarshal(t, r, &answer)
	return choice{answer.Statement.Name, answer.Statement.Actions}
}
