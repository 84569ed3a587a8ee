package peer_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
)

// flagSet has a flag of each type that the drop-ins use.
func flagSet() *pflag.FlagSet {
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.String("text", "", "")
	f.Int("number", 0, "")
	f.Bool("yes", false, "")
	f.Duration("long", 0, "")
	f.StringSlice("many", []string{"default"}, "")
	f.Var(new(peer.Size), "size", "")
	f.Var(peer.OID(), "oid", "")
	f.Var(peer.OneOf("word", "a", "b"), "word", "")
	return f
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReadFile(t *testing.T) {
	for _, test := range []struct{ name, text string }{
		{"c.yaml", "text: a b\nNumber: 3000\nyes: true\nlong: 5s\nmany: [x, 'y']\nsize: 64KiB\noid: 1.2\nword: b\n"},
		{"c.json", `{"text":"a b","number":3000,"yes":true,"long":"5s","many":["x","y"],"size":"65536","oid":"1.2","word":"b"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := flagSet()
			settings, err := peer.ReadFile(file(t, test.name, test.text), func(name string) bool { return f.Lookup(name) != nil })
			if err != nil {
				t.Fatal(err)
			}
			if err := peer.Apply(f, settings); err != nil {
				t.Fatal(err)
			}
			text, _ := f.GetString("text")
			number, _ := f.GetInt("number")
			yes, _ := f.GetBool("yes")
			long, _ := f.GetDuration("long")
			many, _ := f.GetStringSlice("many")
			if text != "a b" || number != 3000 || !yes || long != 5*time.Second || !slices.Equal(many, []string{"x", "y"}) {
				t.Errorf("got %q, %d, %v, %v, %q", text, number, yes, long, many)
			}
			if size := f.Lookup("size").Value.(*peer.Size); *size != 64<<10 {
				t.Errorf("size = %d", *size)
			}
			if got := f.Lookup("oid").Value.String() + f.Lookup("word").Value.String(); got != "1.2b" {
				t.Errorf("oid and word = %q", got)
			}
		})
	}
}

func TestReadFileRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"unknown key", "text: a\ntxet: b\n", `:2: unknown key "txet"`},
		{"two unknown keys", "x: 1\ny: 2\n", `:2: unknown key "y"`},
		{"key of a flag that is no setting", "config: other.yaml\n", `unknown key "config"`},
		{"same key twice", "text: a\ntext: b\n", `"text" is there already, at line 1`},
		{"same key in capitals", "text: a\nTEXT: b\n", `"TEXT" is there already, at line 1`},
		{"no value", "text:\n", "neither a value nor a list"},
		{"mapping as value", "text: {a: b}\n", "neither a value nor a list"},
		{"list of lists", "many: [[a]]\n", "neither a value nor a list"},
		{"empty list", "many: []\n", "neither a value nor a list"},
		{"alias", "text: &a x\nmany: *a\n", "neither a value nor a list"},
		{"list for one value", "number: [1, 2]\n", "not a list of 2"},
		{"not a number", "number: x\n", ":1: number: invalid argument"},
		{"not a size", "size: many\n", `"many" is not a size`},
		{"not an identifier", "oid: 5.99999\n", `"5.99999" is not an object identifier`},
		{"not one of the words", "word: c\n", `"c" is not one of a, b`},
		{"second document", "text: a\n---\ntext: b\n", "more than one document"},
		{"garbage after it", "text: a\n...\n}\n", "more than one document"},
		{"a list", "- text\n", "not a list of"},
		{"a word", "text\n", "not a list of"},
		{"broken", "text: [\n", "line"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := flagSet()
			f.String("config", "", "")
			settings, err := peer.ReadFile(file(t, "c.yaml", test.text), func(name string) bool { return f.Lookup(name) != nil })
			if err == nil {
				err = peer.Apply(f, settings)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q gave %v, want %q", test.text, err, test.want)
			}
		})
	}
	if _, err := peer.ReadFile(file(t, "c.toml", "text = 1\n"), func(string) bool { return true }); err == nil || !strings.Contains(err.Error(), "YAML or JSON") {
		t.Errorf("TOML gave %v", err)
	}
	if _, err := peer.ReadFile(filepath.Join(t.TempDir(), "none"), nil); !os.IsNotExist(err) {
		t.Errorf("no file gave %v", err)
	}
}

// What is set first stays: command line, environment, file.
func TestPrecedence(t *testing.T) {
	f := flagSet()
	if err := f.Parse([]string{"--text=line"}); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"TEXT": "env", "LONG": "7s", "MANY": "a,b", "YES": ""}
	env := &cli.Env{Getenv: func(name string) string { return vars[name] }}
	settings := peer.Environment(env, f, func(flag string) []string { return []string{"X_" + flag, strings.ToUpper(flag)} })
	if err := peer.Apply(f, settings); err != nil {
		t.Fatal(err)
	}
	err := peer.Apply(f, []peer.Setting{
		{Flag: "text", Values: []string{"file"}}, {Flag: "long", Values: []string{"9s"}}, {Flag: "many", Values: []string{"c"}},
		{Flag: "yes", Values: []string{"true"}}, {Flag: "other", Values: []string{"of another command"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ flag, want string }{
		{"text", "line"}, {"long", "7s"}, {"many", "[a,b]"}, {"yes", "true"}, {"number", "0"},
	} {
		if got := f.Lookup(test.flag).Value.String(); got != test.want {
			t.Errorf("%s = %s, want %s", test.flag, got, test.want)
		}
	}
	vars = map[string]string{"NUMBER": "x"}
	err = peer.Apply(f, peer.Environment(env, f, func(flag string) []string { return []string{strings.ToUpper(flag)} }))
	if err == nil || !strings.Contains(err.Error(), "environment variable NUMBER") {
		t.Errorf("a bad variable gave %v", err)
	}
}

func TestSize(t *testing.T) {
	for _, test := range []struct {
		text string
		want peer.Size // 0: refused
		out  string
	}{
		{"1MB", 1e6, "1MB"}, {"1mb", 1e6, "1MB"}, {"1m", 1e6, "1MB"}, {"512kB", 512e3, "512kB"}, {"64KiB", 64 << 10, "65536B"},
		{"1 GB", 1e9, "1GB"}, {"4096", 4096, "4096B"}, {"4096b", 4096, "4096B"}, {"3GiB", 3 << 30, "3221225472B"},
		{"0", 0, ""}, {"-1", 0, ""}, {"", 0, ""}, {"MB", 0, ""}, {"1.5MB", 0, ""}, {"9223372036854775807GB", 0, ""},
	} {
		var s peer.Size
		err := s.Set(test.text)
		if (err == nil) != (test.want != 0) || s != test.want {
			t.Errorf("Set(%q) = %d, %v; want %d", test.text, s, err, test.want)
		}
		if err == nil && s.String() != test.out {
			t.Errorf("%q is written %s, want %s", test.text, s.String(), test.out)
		}
	}
}

// FuzzReadFile: whatever a file holds, what is taken from it is a known flag
// with text.
func FuzzReadFile(f *testing.F) {
	for _, seed := range []string{"text: a\nmany: [b, c]\n", "{}", "text: !!binary x\n", "&a text: *a\n", "? [a]\n: b\n", "---\n---\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		known := flagSet()
		settings, err := peer.ReadFile(file(t, "c.yaml", text), func(name string) bool { return known.Lookup(name) != nil })
		if err != nil && settings != nil {
			t.Errorf("%q gave settings and the error %v", text, err)
		}
		for _, s := range settings {
			if known.Lookup(s.Flag) == nil || len(s.Values) == 0 {
				t.Errorf("%q gave %+v", text, s)
			}
		}
	})
}

func TestExit(t *testing.T) {
	for status, want := range map[int]int{cli.ExitOK: 0, cli.ExitNo: 1, cli.ExitUnknown: 1} {
		if got := peer.Exit(status); got != want {
			t.Errorf("Exit(%d) = %d, want %d", status, got, want)
		}
	}
}
