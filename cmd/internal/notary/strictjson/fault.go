package strictjson

import (
	"fmt"
	"strings"
)

// A Rule is what a fault breaks: one word of a closed set, for JSON and for
// programs. Users of this package add their own.
type Rule string

// The rules of this package.
const (
	RuleSize      Rule = "size"           // the document is too long, or has too much of something
	RuleEncoding  Rule = "encoding"       // not UTF-8
	RuleSyntax    Rule = "syntax"         // not one JSON document
	RuleDepth     Rule = "depth"          // nested too deeply
	RuleDuplicate Rule = "duplicate-key"  // a member comes twice in its object
	RuleCase      Rule = "capitals"       // a member that is known in other capitals
	RuleUnknown   Rule = "unknown-key"    // a member that nobody knows; a warning
	RuleType      Rule = "type"           // a string where a list is wanted, and the like
	RuleMissing   Rule = "missing"        // something that is needed is absent or empty
	ruleMore      Rule = "further-faults" // stands for those beyond MaxFaults
)

// MaxFaults is how many faults of a document are named. Nobody reads more of
// them, and a hostile document has a million.
const MaxFaults = 100

// A Fault is one thing that is wrong with a document, or worth a warning.
type Fault struct {
	Rule Rule `json:"rule"`
	// Line is where it is, from 1; 0 for the document as a whole.
	Line int `json:"line,omitempty"`
	// Place names the member, such as `statement 2 "prod", trustStores[0]`;
	// empty for the document as a whole.
	Place string `json:"place,omitempty"`
	// Detail says what is wrong, in words for the person who wrote it.
	Detail string `json:"detail"`
	// Cure says what to do about it, on one line without a full stop.
	Cure string `json:"cure,omitempty"`
}

// String returns the fault on one line, without its cure.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Place != "" {
		b.WriteString(f.Place + ": ")
	}
	b.WriteString(f.Detail)
	return b.String()
}

// Faults is the error for a document with something wrong in it.
type Faults struct {
	// What is wrong, such as "trust policy for images".
	What string
	// List has every fault, in the order of the document, [MaxFaults] at most;
	// never empty.
	List []Fault
}

// Error returns the first fault on one line and the number of the others.
func (f *Faults) Error() string {
	switch n := len(f.List) - 1; {
	case n < 0:
		return f.What + " is not valid"
	case n == 0:
		return fmt.Sprintf("%s: %s", f.What, f.List[0])
	case n == 1:
		return fmt.Sprintf("%s: %s (and 1 more fault)", f.What, f.List[0])
	default:
		return fmt.Sprintf("%s: %s (and %d more faults)", f.What, f.List[0], n)
	}
}

// Advice is the cure of the first fault, "" if none is known.
func (f *Faults) Advice() string {
	if len(f.List) == 0 {
		return ""
	}
	return f.List[0].Cure
}
