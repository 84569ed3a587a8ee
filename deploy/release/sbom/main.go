// Command sbom says what is in the binaries of a release: every module that the Go linker put there, with
// its version, its sum and its licence.
//
//	sbom -version v1.2.3 -modules FOLDER -goroot FOLDER [-bom FILE] [-notices FILE] FOLDER
//
// The binaries are all files under the last FOLDER, and are called by their paths there. What they hold is
// read from what the linker recorded in them (debug/buildinfo), not from a go.mod: that lists more than is
// linked. Every binary has to say that it is of this version and of a tree without changes, or nothing is
// written.
//
// -bom gets a bill of materials, CycloneDX 1.6 in JSON. -notices gets the licences of everything that is
// linked, word by word, as those licences ask of whoever passes a binary on. The same binaries give the same
// bytes: the time is that of the commit.
//
// Licences are told from the files in the root of each module by the phrases that make them what they are.
// One that is not known is an error, to be looked at and added, and not a guess. What a module holds in its
// subfolders under other terms, this does not see.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "sbom: error: %v\n", err)
		os.Exit(2)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	version := flags.String("version", "", "`version` that the binaries have to say they are of, such as v1.2.3")
	modules := flags.String("modules", "", "module cache: `folder` that go env GOMODCACHE prints")
	goroot := flags.String("goroot", "", "`folder` that go env GOROOT prints")
	bom := flags.String("bom", "", "write the bill of materials to this `file`")
	notices := flags.String("notices", "", "write the licences to this `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 || *version == "" || *modules == "" || *goroot == "" || *bom == "" && *notices == "" {
		return errors.New("usage: sbom -version VERSION -modules FOLDER -goroot FOLDER [-bom FILE] [-notices FILE] FOLDER")
	}
	binaries, err := readBinaries(flags.Arg(0))
	if err != nil {
		return err
	}
	source := cache{modules: *modules, goroot: *goroot}
	release, err := newRelease(*version, binaries, source)
	if err != nil {
		return err
	}
	if *bom != "" {
		data, err := release.cycloneDX()
		if err != nil {
			return err
		}
		if err := os.WriteFile(*bom, data, 0o644); err != nil {
			return err
		}
	}
	if *notices != "" {
		if err := os.WriteFile(*notices, release.notices(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A cache is where the sources of modules are.
type cache struct {
	modules string // GOMODCACHE
	goroot  string
}

// dir returns the folder of a module, or of Go for the standard library.
func (c cache) dir(m module) string {
	if m.path == standard {
		return c.goroot
	}
	return filepath.Join(c.modules, filepath.FromSlash(escape(m.path)+"@"+escape(m.version)))
}
