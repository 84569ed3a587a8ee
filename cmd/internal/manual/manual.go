// Package manual holds the manual pages in doc/man against the commands that
// they describe. The pages are prose, written by hand; what can be wrong in
// them without anybody noticing is an option that came, went, or changed its
// default. [Problems] finds that, from the same tree of commands that is run.
//
// A page has the options of all commands at the beginning of its section
// OPTIONS, and those of each command in a subsection with its name. The tag of
// an option is the line after .TP or .TQ.
package manual

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// sections are those that every page has, in this order, others in between.
var sections = []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"}

// macros are those that the pages use. A line that begins with a point and is
// none of them, such as the name of a hidden file, vanishes from the page.
var macros = []string{"TH", "SH", "SS", "TP", "TQ", "PP", "IP", "RS", "RE", "EX", "EE", "br", "B", "I", "BR", "BI", "IR"}

// common is the subsection for options of all commands where the section
// begins with something else.
const common = "All commands"

var (
	fontEscape = regexp.MustCompile(`\\f(?:\[[A-Z]*\]|.)`)
	option     = regexp.MustCompile(`--[a-z][a-z0-9_-]*`)
	variable   = regexp.MustCompile(`\(\$([A-Z_]+)\)`)
)

// text takes the markup out of a line: "\-\-tsa" becomes "--tsa".
func text(line string) string {
	line = fontEscape.ReplaceAllString(line, "")
	line = strings.NewReplacer(`\-`, "-", `\e`, `\`, `"`, "").Replace(line)
	if strings.HasPrefix(line, ".") {
		_, line, _ = strings.Cut(line, " ")
	}
	return line
}

// An entry is one option, or several with one description.
type entry struct {
	options     []string // "--tsa"
	description string
}

// page is what of a manual page matters here.
type page struct {
	sections []string
	entries  map[string][]entry // of OPTIONS, by subsection, "" before the first
	all      string             // the text
	unknown  []string           // macros that there are not
}

func parse(source []byte) *page {
	p := &page{entries: map[string][]entry{}}
	var section, sub string
	var open []entry // the tags of the entry being read
	tag := false
	for line := range strings.Lines(string(source)) {
		line = strings.TrimRight(line, "\n")
		t := text(line)
		p.all += t + "\n"
		if macro, _, _ := strings.Cut(line, " "); strings.HasPrefix(macro, ".") && !slices.Contains(macros, macro[1:]) {
			p.unknown = append(p.unknown, macro)
		}
		switch {
		case strings.HasPrefix(line, ".SH "):
			section, sub, open = t, "", nil
			p.sections = append(p.sections, section)
		case strings.HasPrefix(line, ".SS "):
			sub, open = t, nil
		case line == ".TP":
			open, tag = nil, true
		case line == ".TQ":
			tag = true
		case tag:
			tag = false
			names := option.FindAllString(t, -1)
			if section == "OPTIONS" && len(names) > 0 {
				p.entries[sub] = append(p.entries[sub], entry{options: names})
				open = append(open, entry{})
			}
		case len(open) > 0:
			// The description belongs to all tags above it.
			list := p.entries[sub]
			for i := len(list) - len(open); i < len(list); i++ {
				list[i].description += t + "\n"
			}
		}
	}
	return p
}

// Problems compares the source of a manual page with the command that it is
// about, and the commands below. root is the whole program, whose options may
// be mentioned. It returns what is wrong, in words; nothing for a good page.
func Problems(source []byte, root, cmd *cobra.Command) []string {
	p := parse(source)
	var found []string
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	at := 0
	for _, s := range p.sections {
		if at < len(sections) && s == sections[at] {
			at++
		}
	}
	if at < len(sections) {
		add("no section %s after %s", sections[at], strings.Join(p.sections, ", "))
	}
	for _, macro := range p.unknown {
		add("%s at the beginning of a line is no macro", macro)
	}
	known := map[string]bool{"--help": true}
	each(root, func(c *cobra.Command) {
		visit(c, func(f *pflag.Flag) { known["--"+f.Name] = true })
	})
	for _, name := range option.FindAllString(p.all, -1) {
		if !known[name] {
			add("%s is no option of %s", name, root.Name())
		}
	}
	described := map[string]bool{"": true, common: true}
	each(cmd, func(c *cobra.Command) {
		described[c.Name()] = true
		has := map[string]*pflag.Flag{"--help": nil}
		visit(c, func(f *pflag.Flag) { has["--"+f.Name] = f })
		if c.HasParent() && !strings.Contains(p.all, c.Name()) {
			add("command %s is not mentioned", c.CommandPath())
		}
		if !c.Runnable() || c.HasSubCommands() {
			return
		}
		for name, flag := range has {
			e := p.find(name, c.Name())
			switch {
			case e == nil:
				add("option %s of %s is not described", name, c.CommandPath())
			case flag != nil:
				found = append(found, p.checkFlag(flag, e)...)
			}
		}
		for _, e := range p.entries[c.Name()] {
			for _, name := range e.options {
				if _, ok := has[name]; !ok {
					add("%s has no option %s", c.CommandPath(), name)
				}
			}
		}
	})
	for sub := range p.entries {
		if !described[sub] {
			add("%q in OPTIONS is not a command", sub)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// find returns the description of an option of a command, nil for none.
func (p *page) find(name, command string) *entry {
	for _, sub := range []string{command, "", common} {
		for i := range p.entries[sub] {
			if slices.Contains(p.entries[sub][i].options, name) {
				return &p.entries[sub][i]
			}
		}
	}
	return nil
}

// checkFlag holds the description of an option against its default and the
// variable that stands for it.
func (p *page) checkFlag(f *pflag.Flag, e *entry) []string {
	var found []string
	value := strings.Trim(f.DefValue, "[]")
	if f.Value.Type() == "duration" || f.Value.Type() == "timeout" {
		value = shortDuration(value)
	}
	// false, nothing and zero are what one expects.
	if value != "" && value != "false" && value != "0" && value != "0s" && !strings.Contains(e.description, "default is "+value) &&
		!strings.Contains(e.description, "default\nis "+value) && !strings.Contains(e.description, "default is\n"+value) {
		found = append(found, fmt.Sprintf("the description of --%s does not say that the default is %s", f.Name, value))
	}
	if m := variable.FindStringSubmatch(f.Usage); m != nil && !strings.Contains(p.all, m[1]) {
		found = append(found, fmt.Sprintf("the variable %s for --%s is not mentioned", m[1], f.Name))
	}
	return found
}

// shortDuration writes 5m0s as 5m.
func shortDuration(text string) string {
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// each calls f with a command and all below it, but for those of cobra.
func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		if sub.Name() != "help" && sub.Name() != "completion" {
			each(sub, f)
		}
	}
}

// visit calls f with each flag that a command takes and shows.
func visit(c *cobra.Command, f func(*pflag.Flag)) {
	seen := map[string]bool{}
	visible := func(flag *pflag.Flag) {
		if !flag.Hidden && flag.Name != "help" && !seen[flag.Name] {
			seen[flag.Name] = true
			f(flag)
		}
	}
	c.LocalFlags().VisitAll(visible)
	c.InheritedFlags().VisitAll(visible)
}
