package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// standard is what the vulnerability database of Go calls the standard library as a module.
const standard = "std"

// A module is something that was linked.
type module struct {
	path, version string
	sum           string // as in go.sum; "" for the standard library
}

// A binary is one of the release.
type binary struct {
	name      string // linux_amd64/fencepost
	sha256    string
	main      debug.Module
	settings  map[string]string // as the go command recorded them
	modules   []module          // linked, with the standard library
	libraries []string          // of the system, loaded when it starts
}

// readBinaries reads all files below a folder, which have to be Go binaries.
func readBinaries(dir string) ([]binary, error) {
	var all []binary
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := readBinary(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		b.name = filepath.ToSlash(name)
		all = append(all, b)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("%s: no binary", dir)
	}
	return all, err
}

func readBinary(path string) (binary, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return binary{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return binary{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return binary{}, err
	}
	b := binary{sha256: hex.EncodeToString(h.Sum(nil)), main: info.Main, settings: map[string]string{}}
	for _, s := range info.Settings {
		b.settings[s.Key] = s.Value
	}
	version, ok := strings.CutPrefix(info.GoVersion, "go")
	if !ok {
		return binary{}, fmt.Errorf("%s: made by %q, not by a release of Go", path, info.GoVersion)
	}
	// An experiment is told behind the version: "go1.26.8 X:jsonv2".
	version, _, _ = strings.Cut(version, " ")
	b.modules = append(b.modules, module{path: standard, version: version})
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Sum == "" {
			return binary{}, fmt.Errorf("%s: %s has no sum: it came from a folder, not from a module", path, m.Path)
		}
		b.modules = append(b.modules, module{path: m.Path, version: m.Version, sum: m.Sum})
	}
	if b.libraries, err = libraries(f); err != nil {
		return binary{}, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

// of checks that the binary is of this version, of a commit, and of nothing else.
func (b binary) of(version string) error {
	switch {
	case b.settings["vcs.revision"] == "":
		return fmt.Errorf("%s: does not know its commit", b.name)
	case b.settings["vcs.modified"] != "false":
		return fmt.Errorf("%s: the tree was not that of commit %s", b.name, b.settings["vcs.revision"])
	case b.main.Version != version:
		return fmt.Errorf("%s: says that it is %s, not %s: is the commit tagged so?", b.name, b.main.Version, version)
	case b.settings["-trimpath"] != "true":
		return fmt.Errorf("%s: built without -trimpath", b.name)
	}
	return nil
}

// libraries lists the libraries of the system that an ELF, Mach-O or PE file asks for by itself.
func libraries(r io.ReaderAt) ([]string, error) {
	var names []string
	if f, err := elf.NewFile(r); err == nil {
		if names, err = f.ImportedLibraries(); err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			return nil, err
		}
	} else if f, err := macho.NewFile(r); err == nil {
		if names, err = f.ImportedLibraries(); err != nil {
			return nil, err
		}
	} else if f, err := pe.NewFile(r); err == nil {
		symbols, err := f.ImportedSymbols()
		if err != nil {
			return nil, err
		}
		for _, symbol := range symbols {
			_, library, _ := strings.Cut(symbol, ":")
			names = append(names, strings.ToLower(library))
		}
	} else {
		return nil, errors.New("neither ELF nor Mach-O nor PE")
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// escape writes a module's path or version as the module cache does: file systems may not tell capitals from
// small letters (Go modules reference, "case-encoding").
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('!')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
