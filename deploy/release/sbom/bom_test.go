package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// good is a binary as a release has it.
func good() binary {
	return binary{
		name: "linux_amd64/fencepost", sha256: strings.Repeat("0", 64),
		main: debug.Module{Path: "example.com/fencepost", Version: "v1.2.3"},
		settings: map[string]string{
			"vcs.revision": "0123456789", "vcs.time": "2026-01-02T03:04:05Z", "vcs.modified": "false", "-trimpath": "true",
		},
		modules: []module{{path: standard, version: "1.26.8"}, {"example.com/X", "v1.0.0+incompatible", "h1:sum"}},
	}
}

// sources makes the module cache of good.
func sources(t *testing.T) cache {
	t.Helper()
	c := cache{modules: t.TempDir(), goroot: t.TempDir()}
	for dir, text := range map[string]string{
		c.goroot: bsd3,
		filepath.Join(c.modules, "example.com", "!x@v1.0.0+incompatible"): mit,
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func TestReleaseOfOneCommit(t *testing.T) {
	set := func(key, value string) func(*binary) {
		return func(b *binary) {
			b.settings = maps.Clone(b.settings)
			b.settings[key] = value
		}
	}
	for _, row := range []struct {
		name   string
		change func(*binary)
		fault  string
	}{
		{"as it should be", func(*binary) {}, ""},
		{"a commit without a tag", func(b *binary) { b.main.Version = "v0.0.0-20260102030405-0123456789ab" }, "is the commit tagged so?"},
		{"a tree with changes", set("vcs.modified", "true"), "the tree was not that of commit"},
		{"no word of changes", set("vcs.modified", ""), "the tree was not that of commit"},
		{"no commit", set("vcs.revision", ""), "does not know its commit"},
		{"paths of a machine", set("-trimpath", ""), "without -trimpath"},
		{"another commit than the first", set("vcs.revision", "9876543210"), "of commit 9876543210"},
		{"a module without a licence", func(b *binary) {
			b.modules = append(b.modules[:1:1], module{"example.com/y", "v1.0.0", "h1:sum"})
		}, "licence of example.com/y"},
	} {
		t.Run(row.name, func(t *testing.T) {
			first, second := good(), good()
			second.name = "windows_amd64/fencepost.exe"
			row.change(&second)
			_, err := newRelease("v1.2.3", []binary{first, second}, sources(t))
			if row.fault == "" && err != nil || row.fault != "" && (err == nil || !strings.Contains(err.Error(), row.fault)) {
				t.Errorf("error %v, want %q", err, row.fault)
			}
		})
	}
}

func TestBill(t *testing.T) {
	bill := func(b binary) []byte {
		r, err := newRelease("v1.2.3", []binary{b}, sources(t))
		if err != nil {
			t.Fatal(err)
		}
		data, err := r.cycloneDX()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	one, dynamic := good(), good()
	dynamic.libraries = []string{"libc.so.6"}
	data := bill(one)
	if !bytes.Equal(data, bill(one)) {
		t.Error("the same binary has two bills")
	}
	if bytes.Equal(data, bill(dynamic)) {
		t.Error("a binary that loads a library has the bill of one that does not")
	}
	for _, want := range []string{
		`"pkg:golang/example.com/x@v1.0.0%2Bincompatible"`, `"name": "example.com/X"`, `"value": "h1:sum"`,
		`"id": "MIT"`, `"pkg:golang/std@1.26.8"`, `"timestamp": "2026-01-02T03:04:05Z"`, `"aggregate": "complete"`,
	} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("%s is not in\n%s", want, data)
		}
	}
	if want := []byte(`"aggregate": "incomplete"`); !bytes.Contains(bill(dynamic), want) {
		t.Errorf("a binary that loads a library is not said to be incomplete")
	}
}

func TestNotices(t *testing.T) {
	r, err := newRelease("v1.2.3", []binary{good(), good()}, sources(t))
	if err != nil {
		t.Fatal(err)
	}
	text := string(r.notices())
	for _, want := range []string{"example.com/X v1.0.0+incompatible", "Go, 1.26.8", strings.TrimSpace(mit), strings.TrimSpace(bsd3)} {
		if n := strings.Count(text, want); n != 1 {
			t.Errorf("%q is in the notices %d times, want once", want, n)
		}
	}
}

func TestNotABinary(t *testing.T) {
	dir := t.TempDir()
	if _, err := readBinaries(dir); err == nil {
		t.Error("a folder without a binary: no error")
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), []byte("no binary"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readBinaries(dir); err == nil {
		t.Error("a text: no error")
	}
}
