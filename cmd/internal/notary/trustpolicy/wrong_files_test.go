package trustpolicy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

// wrongFiles has those that only a policy for files has.
var wrongFiles = []wrong{
	{"global and skip", images(st(name, `"globalPolicy": true`, `"signatureVerification": {"level": "skip"}`)), []string{
		`global: line 2: statement 1 "prod", globalPolicy: the global statement cannot have the level skip, which would verify no file -> choose another level, or remove globalPolicy`,
	}},
	{"two global statements", images(st(name, `"globalPolicy": true`, strict, stores, identities), st(`"name": "dev"`, `"globalPolicy": true`, strict, stores, identities)), []string{
		`global: line 3: statement 2 "dev", globalPolicy: the statement "prod" is global already -> keep one of the two`,
	}},
	{"globalPolicy is a string", images(st(name, `"globalPolicy": "true"`, strict, stores, identities)), []string{
		`type: line 2: statement 1 "prod", globalPolicy: it is a string, want true or false -> write true or false without quotes`,
	}},
	{"no name", images(st(strict, stores, identities)), []string{
		"missing: line 2: statement 1, name: there is no name -> give the statement a name that no other has",
	}},
	{"no stores", images(st(name, strict, identities)), []string{
		`missing: line 2: statement 1 "prod", trustStores: there is no trust store -> write "trustStores": ["ca:NAME"], and "tsa:NAME" beside it for timestamps`,
	}},
	{"no statements", `{"version": "1.0", "trustPolicies": []}`, []string{
		"missing: line 1: trustPolicies: there is no statement -> write one statement at least; fencepost policy init makes one",
	}},
	{"name twice", images(st(name, strict, stores, identities), st(name, strict, stores, identities)), []string{
		`name: line 3: statement 2 "prod", name: statement 1 has the same name -> give each statement a name of its own`,
	}},
}

func TestWrong(t *testing.T) {
	check := func(t *testing.T, rows []wrong, parse func([]byte) (*trustpolicy.Document, error), what string) {
		seen := map[string]bool{}
		for _, test := range rows {
			t.Run(test.name, func(t *testing.T) {
				if seen[test.doc] {
					t.Error("the row is there twice")
				}
				seen[test.doc] = true
				doc, err := parse([]byte(test.doc))
				var faults *trustpolicy.Faults
				if !errors.As(err, &faults) || doc != nil {
					t.Fatalf("%s\ngot %v, %v, want faults", test.doc, doc, err)
				}
				if faults.What != what {
					t.Errorf("what is wrong is %q, want %q", faults.What, what)
				}
				var got []string
				for _, f := range faults.List {
					got = append(got, fmt.Sprintf("%s: %s -> %s", f.Rule, f, f.Cure))
				}
				if strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("%s\ngot\n%s\nwant\n%s", test.doc, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
				}
			})
		}
	}
	t.Run("images", func(t *testing.T) { check(t, wrongImages, trustpolicy.ParseImages, "trust policy for images") })
	t.Run("files", func(t *testing.T) { check(t, wrongFiles, trustpolicy.ParseFiles, "trust policy for files") })
}

// TestCures holds that a fault comes with something to do about it, and that
// its text is one line.
func TestCures(t *testing.T) {
	for _, rows := range [][]wrong{wrongImages, wrongFiles} {
		for _, test := range rows {
			for _, parse := range []func([]byte) (*trustpolicy.Document, error){trustpolicy.ParseImages, trustpolicy.ParseFiles} {
				_, err := parse([]byte(test.doc))
				var faults *trustpolicy.Faults
				if !errors.As(err, &faults) {
					continue
				}
				for _, f := range faults.List {
					switch {
					case f.Cure == "":
						t.Errorf("%s: no cure for %s", test.name, f)
					case strings.ContainsAny(f.Detail+f.Cure, "\n\r") || strings.HasSuffix(f.Detail, ".") || strings.HasSuffix(f.Cure, "."):
						t.Errorf("%s: %s -> %s", test.name, f, f.Cure)
					}
				}
			}
		}
	}
}
