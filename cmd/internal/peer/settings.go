package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/config"
)

// A Setting is the value of a flag that was not given on the command line.
type Setting struct {
	Flag   string
	Values []string // one, or those of a list
	From   string   // where it was found, for errors
}

// Apply sets those of the flags that have not been set yet. A setting for a
// flag that is not among them is left to other commands.
func Apply(flags *pflag.FlagSet, settings []Setting) error {
	for _, s := range settings {
		f := flags.Lookup(s.Flag)
		if f == nil || f.Changed {
			continue
		}
		if _, list := f.Value.(pflag.SliceValue); len(s.Values) != 1 && !list {
			return fmt.Errorf("%s: %s is one value, not a list of %d", s.From, s.Flag, len(s.Values))
		}
		for _, v := range s.Values {
			if err := flags.Set(s.Flag, v); err != nil {
				return cli.Usagef("%s: %w", s.From, err)
			}
		}
	}
	return nil
}

// Environment returns the settings that the environment has. For each flag
// variables gives the names of the variables that may hold it, the preferred
// one first; one that is empty counts as absent.
func Environment(env *cli.Env, flags *pflag.FlagSet, variables func(flag string) []string) []Setting {
	var found []Setting
	flags.VisitAll(func(f *pflag.Flag) {
		for _, name := range variables(f.Name) {
			if value := env.Getenv(name); value != "" {
				found = append(found, Setting{f.Name, []string{value}, "environment variable " + name})
				return
			}
		}
	})
	return found
}

// Find returns the first of the files that there is, "" if there is none.
func Find(files []string) string {
	for _, name := range files {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

// notSettings are flags that a configuration file cannot have.
var notSettings = []string{"config", "help", "json"}

// ReadFile reads a configuration file: one YAML mapping, or JSON, which is
// YAML, of flags to values. known says which flags there are. The names of
// flags may be in capitals, as the namesakes have it.
func ReadFile(path string, known func(flag string) bool) ([]Setting, error) {
	switch ext := filepath.Ext(path); ext {
	case ".toml", ".hcl", ".tfvars", ".ini", ".properties", ".props", ".prop", ".env", ".dotenv":
		return nil, cli.Hint(fmt.Errorf("%s: configuration files are YAML or JSON here", path), "write its lines as \"name: value\"")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, config.MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > config.MaxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", path, config.MaxFile)
	}
	settings, err := parseFile(path, data, known)
	if err != nil {
		return nil, &cli.Error{Err: err, Hint: "the keys are the names of the flags, as --help shows them"}
	}
	return settings, nil
}

func parseFile(path string, data []byte, known func(string) bool) ([]Setting, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case err == io.EOF:
		return nil, nil // an empty file sets nothing
	case err != nil:
		return nil, fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, fmt.Errorf("%s: there is more than one document in the file", path)
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: not a list of \"name: value\"", path, top.Line)
	}
	var settings []Setting
	var wrong []error
	seen := map[string]int{}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		name := strings.ToLower(key.Value)
		at := fmt.Sprintf("%s:%d", path, key.Line)
		switch values, ok := valuesOf(value); {
		case !known(name) || slices.Contains(notSettings, name):
			wrong = append(wrong, fmt.Errorf("%s: unknown key %q", at, key.Value))
		case seen[name] != 0:
			wrong = append(wrong, fmt.Errorf("%s: %q is there already, at line %d", at, key.Value, seen[name]))
		case !ok:
			wrong = append(wrong, fmt.Errorf("%s: the value of %q is neither a value nor a list of values", at, key.Value))
		default:
			settings = append(settings, Setting{name, values, at + ": " + key.Value})
		}
		seen[name] = key.Line
	}
	return settings, errors.Join(wrong...)
}

// valuesOf returns the text of a scalar, or those of a list of scalars.
func valuesOf(n *yaml.Node) ([]string, bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		return []string{n.Value}, n.Tag != "!!null"
	case yaml.SequenceNode:
		var values []string
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
				return nil, false
			}
			values = append(values, item.Value)
		}
		return values, len(values) > 0
	}
	return nil, false
}
