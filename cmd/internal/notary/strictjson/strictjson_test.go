package strictjson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// TestRead: all faults of a document are found in one go, in its order.
func TestRead(t *testing.T) {
	r := strictjson.Parse([]byte(`{
	"name": 7,
	"LIST": [],
	"list": ["a", null, true],
	"map": {"a": "b", "c": []},
	"deep": {
		"on": "yes",
		"on": true,
		"other": null
	},
	"odd name": {}
}`), strictjson.Limits{})
	o := r.Root("name", "list", "map", "deep", "absent")
	if got := o.String("name") + o.String("absent"); got != "" {
		t.Errorf("strings %q", got)
	}
	if got := o.Strings("list"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("list %q", got)
	}
	if got := o.Map("map"); len(got) != 2 || got["a"] != "b" {
		t.Errorf("map %q", got)
	}
	deep := r.Object(o.Value("deep"), "on", "other")
	deep.Label("the deep")
	if deep.Bool("on") || deep.Bool("other") || deep.Bool("absent") {
		t.Error("something is on")
	}
	deep.Fault("absent", strictjson.Fault{Rule: strictjson.RuleMissing, Detail: "it is missing"})
	if r.Object(o.Value("absent")).Exists() || o.Value("absent") != nil || o.List("absent") != nil {
		t.Error("something absent exists")
	}
	err := r.Err("document")
	var faults *strictjson.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, f := range faults.List {
		got = append(got, fmt.Sprintf("%s: %s -> %s", f.Rule, f, f.Cure))
	}
	want := []string{
		`type: line 2: name: it is a number, want a string -> write it in quotes: "7"`,
		`capitals: line 3: LIST: some programs read it as list and some ignore it -> write list`,
		`type: line 4: list[2]: it is true or false, want a string -> write a string, "..."`,
		`type: line 5: map.c: it is a list, want a string -> write a string, "..."`,
		`missing: line 6: the deep, absent: it is missing -> `,
		`type: line 7: the deep, on: it is a string, want true or false -> write true or false without quotes`,
		`duplicate-key: line 8: deep.on: it comes twice, first on line 7 -> remove one of the two`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got, want := err.Error(), "document: line 2: name: it is a number, want a string (and 6 more faults)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := faults.Advice(), `write it in quotes: "7"`; got != want {
		t.Errorf("advice %s, want %s", got, want)
	}
	if len(r.Warnings) != 1 || r.Warnings[0].String() != `line 11: "odd name": nothing has this name; it is ignored` {
		t.Errorf("warnings %v", r.Warnings)
	}
}

func TestValid(t *testing.T) {
	r := strictjson.Parse([]byte(" {\"a\": \"\\u00e4\\n\", \"b\": true, \"c\": [], \"d\": {}} \n"), strictjson.Limits{})
	o := r.Root("a", "b", "c", "d")
	if o.String("a") != "ä\n" || !o.Bool("b") || len(o.Strings("c")) != 0 || o.Map("d") == nil || !slices.Equal(o.Names(), []string{"a", "b", "c", "d"}) {
		t.Error("a member is lost")
	}
	if err := r.Err("document"); err != nil || len(r.Warnings) > 0 {
		t.Errorf("got %v, %v", err, r.Warnings)
	}
}

// TestLimits: what is at a limit is read, what is above it is not.
func TestLimits(t *testing.T) {
	nested := func(n int) string { return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1) }
	for _, test := range []struct {
		name, doc string
		limits    strictjson.Limits
		want      strictjson.Rule
	}{
		{"size", `{"a": 1}`, strictjson.Limits{Size: 8}, ""},
		{"above the size", `{"a": 1} `, strictjson.Limits{Size: 8}, strictjson.RuleSize},
		{"usual size", strings.Repeat(" ", 1<<20-2) + "{}", strictjson.Limits{}, ""},
		{"above the usual size", strings.Repeat(" ", 1<<20-1) + "{}", strictjson.Limits{}, strictjson.RuleSize},
		{"depth", nested(3), strictjson.Limits{Depth: 3}, ""},
		{"above the depth", nested(4), strictjson.Limits{Depth: 3}, strictjson.RuleDepth},
		{"usual depth", nested(16), strictjson.Limits{}, ""},
		{"above the usual depth", nested(17), strictjson.Limits{}, strictjson.RuleDepth},
		{"beyond encoding/json", nested(20000), strictjson.Limits{}, strictjson.RuleDepth},
	} {
		r := strictjson.Parse([]byte(test.doc), test.limits)
		r.Root("a")
		err := r.Err("document")
		var faults *strictjson.Faults
		switch {
		case test.want == "" && err == nil:
		case !errors.As(err, &faults), len(faults.List) != 1, faults.List[0].Rule != test.want:
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	var twice strings.Builder
	for i := range 500 {
		fmt.Fprintf(&twice, `"a%d": 1, "a%d": 1, `, i, i)
	}
	r := strictjson.Parse([]byte("{"+twice.String()+`"a": 1}`), strictjson.Limits{})
	var faults *strictjson.Faults
	if err := r.Err("document"); !errors.As(err, &faults) || len(faults.List) != strictjson.MaxFaults || faults.List[strictjson.MaxFaults-1].Detail != "there are 401 further faults" {
		t.Errorf("many faults: %v", err)
	}
	if r.Root(); len(r.Warnings) != strictjson.MaxFaults {
		t.Errorf("%d warnings", len(r.Warnings))
	}
}

// FuzzParse holds that what is read is read as encoding/json does, and that
// nothing it refuses is read.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a": "b"}`, `{"a": "b", "a": "c"}`, `{"a": [1, 2, {"b": null}]} `, `{"a": "\ud800"}`, "{\"a\": \"\xff\"}", `[]`, `null`, `{"a": 1`, `{} {}`, `{"A": 1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := strictjson.Parse(data, strictjson.Limits{})
		o := r.Root("a", "l")
		a, l := o.String("a"), o.Strings("l")
		if r.Err("document") != nil {
			return
		}
		var want struct {
			A string   `json:"a"`
			L []string `json:"l"`
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q: encoding/json says %v", data, err)
		}
		want.L = slices.DeleteFunc(want.L, func(s string) bool { return s == "" })
		l = slices.DeleteFunc(l, func(s string) bool { return s == "" })
		if a != want.A || !slices.Equal(l, want.L) {
			t.Fatalf("%q: %q, %q, want %q", data, a, l, want)
		}
	})
}
