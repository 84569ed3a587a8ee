package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// notationFlags are the commands of Notation 1.3.2 and of its main branch, each with its flags but for those of every
// command, which are under "".
var notationFlags = map[string]string{
	"":                          "--debug -d --verbose -v --insecure-registry --username -u --password -p",
	"sign":                      "--key -k --id --plugin --plugin-config --signature-format --expiry -e --user-metadata -m --timestamp-url --timestamp-root-cert --force-referrers-tag --allow-referrers-api --oci-layout",
	"verify":                    "--max-signatures --user-metadata -m --plugin-config --oci-layout --scope",
	"inspect":                   "--output -o --max-signatures",
	"list":                      "--max-signatures --oci-layout",
	"certificate add":           "--type -t --store -s",
	"certificate list":          "--type -t --store -s",
	"certificate show":          "--type -t --store -s",
	"certificate delete":        "--type -t --store -s --all -a --yes -y",
	"certificate generate-test": "--bits -b --default",
	"certificate cleanup-test":  "--yes -y",
	"policy import":             "--force",
	"policy show":               "",
	"key add":                   "--plugin --id --plugin-config --default",
	"key delete":                "",
	"key list":                  "",
	"key update":                "--default",
	"plugin install":            "--file --url --sha256sum --force",
	"plugin list":               "",
	"plugin uninstall":          "--yes -y",
	"login":                     "--username -u --password -p --password-stdin --insecure-registry",
	"logout":                    "",
	"version":                   "",
	"completion":                "",
	"blob sign":                 "--key -k --id --plugin --plugin-config --signature-format --expiry -e --user-metadata -m --timestamp-url --timestamp-root-cert --media-type --signature-directory --force",
	"blob verify":               "--signature -s --policy-name --media-type --user-metadata -m --plugin-config",
	"blob inspect":              "--output -o",
	"blob policy init":          "--name --trust-store --trusted-identity --global --force",
	"blob policy import":        "--force",
	"blob policy show":          "",
}

var (
	span     = regexp.MustCompile("`([^`]+)`")
	flagWord = regexp.MustCompile(`^--?[a-z][a-z0-9-]*$`)
	place    = regexp.MustCompile("(?m)^(?:Main only\\. )?Here: (none|`fencepost ([a-z -]+)`)")
)

// notationSections are the sections of doc/notation.md, by their headings.
func notationSections(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("../../doc/notation.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, s := range strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n## ")[1:] {
		heading, text, _ := strings.Cut(s, "\n")
		found[heading] = text
	}
	return found
}

// flagsIn are the flags that are named in a cell of a table.
func flagsIn(cell string) (flags []string) {
	for _, m := range span.FindAllStringSubmatch(cell, -1) {
		if flagWord.MatchString(m[1]) {
			flags = append(flags, m[1])
		}
	}
	return flags
}

// hasFlag reports whether a command takes what is typed as flag.
func hasFlag(cmd *cobra.Command, flag string) bool {
	name, long := strings.CutPrefix(flag, "--")
	if !long {
		return cmd.Flags().ShorthandLookup(flag[1:]) != nil
	}
	return cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
}

// TestNotationTable holds that doc/notation.md says what becomes of each command and flag of Notation, names none that
// it does not have, and that what it names of ours is there.
func TestNotationTable(t *testing.T) {
	root := tree(t)
	sections := notationSections(t)
	find := func(where, path string) *cobra.Command {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			t.Errorf("%s: there is no command fencepost %s", where, path)
			return nil
		}
		return cmd
	}
	for command, flags := range notationFlags {
		heading := "notation " + command
		if command == "" {
			heading = "Flags of every command"
		}
		section, ok := sections[heading]
		if !ok {
			t.Errorf("there is no section %q", heading)
			continue
		}
		at := place.FindStringSubmatch(section)
		if at == nil {
			t.Errorf("%s: it does not say what is here instead", heading)
			continue
		}
		var ours *cobra.Command
		if at[2] != "" {
			ours = find(heading, at[2])
		}
		var named []string
		for line := range strings.Lines(section) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if len(cells) != 3 {
				continue
			}
			named = append(named, flagsIn(cells[0])...)
			there := flagsIn(cells[1])
			if strings.TrimSpace(cells[1]) == "the same" {
				there = flagsIn(cells[0])
			}
			for _, flag := range there {
				// -v of "verify" is told of where those of all commands are.
				if ours == nil || !hasFlag(ours, flag) && !strings.Contains(cells[1], "`"+flag+"` of `verify`") {
					t.Errorf("%s: %s has no %s", heading, at[1], flag)
				}
			}
		}
		want := strings.Fields(flags)
		slices.Sort(named)
		slices.Sort(want)
		if !slices.Equal(slices.Compact(named), want) {
			t.Errorf("%s: the page has the flags %v, want %v", heading, named, want)
		}
	}
	// Every command that is named anywhere.
	n := 0
	for heading, section := range sections {
		if name, ok := strings.CutPrefix(heading, "notation "); ok {
			if _, known := notationFlags[name]; !known {
				t.Errorf("Notation has no %q", name)
			}
		}
		for _, m := range regexp.MustCompile("`fencepost ([a-z -]+?)(?: --[a-z-]+)*`").FindAllStringSubmatch(section, -1) {
			n++
			find(heading, m[1])
		}
	}
	if n < 30 {
		t.Errorf("%d commands are named", n)
	}
	for command := range notationFlags {
		if first, _, _ := strings.Cut(command, " "); first != "" && !strings.Contains(sections["Commands"], "`notation "+first+"`") {
			t.Errorf("the table of commands does not have notation %s", first)
		}
	}
}

// TestNotationHabits holds that each command and flag of Notation that is not here is answered with what is.
func TestNotationHabits(t *testing.T) {
	n := 0
	typed := func(args ...string) {
		n++
		var stdout, stderr strings.Builder
		env := &cli.Env{Program: "fencepost", Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}
		code := cli.Run(t.Context(), env, newRoot(env), args)
		_, hint, _ := strings.Cut(stderr.String(), "fencepost: hint: ")
		if code != cli.ExitUnknown || stdout.Len() > 0 || hint == "" || strings.Contains(hint, "--help") || strings.Contains(hint, "did you mean") {
			t.Errorf("fencepost %s: exit status %d, stdout %q, stderr %q", strings.Join(args, " "), code, &stdout, &stderr)
		}
	}
	root := tree(t)
	for command, flags := range notationFlags {
		words := strings.Fields(command)
		switch command {
		case "":
			words = []string{"image", "sign"}
		case "sign", "verify", "inspect", "list":
			typed(command, "x")
			typed(command, "-d", "x")
			words = []string{"image", command}
		case "certificate delete":
			typed("trust", "delete", "-a")
		}
		if words[0] == "certificate" {
			words[0] = "cert"
			typed(append([]string{"certificate"}, words[1:]...)...)
		}
		cmd, rest, err := root.Find(words)
		if err != nil || len(rest) > 0 || cmd == root {
			typed(append(words, "x")...)
			typed(append(words, "--type", "x")...)
			continue
		}
		for _, flag := range strings.Fields(flags) {
			if !hasFlag(cmd, flag) {
				typed(append(words, flag, "x")...)
			}
		}
	}
	if n < 60 {
		t.Errorf("%d command lines were typed", n)
	}
}
