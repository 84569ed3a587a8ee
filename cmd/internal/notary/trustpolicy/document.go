package trustpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// Version is the one version of the document that there is.
const Version = "1.0"

// Limits on what is read.
const (
	// MaxSize is the longest document, in octets. One statement has a few
	// hundred.
	MaxSize = 1 << 20

	// MaxIdentities is the greatest number of trusted identities in a
	// statement: each is compared with each other.
	MaxIdentities = 500
)

// A Fault is one thing that is wrong with a document, or worth a warning.
type Fault = strictjson.Fault

// Faults is the error of a document: every fault, with its place and cure.
type Faults = strictjson.Faults

// The rules that a fault may break, besides those of package strictjson.
const (
	RuleVersion    strictjson.Rule = "version"          // not 1.0
	RuleName       strictjson.Rule = "name"             // two statements have it
	RuleLevel      strictjson.Rule = "level"            // no such level
	RuleOverride   strictjson.Rule = "override"         // not to be overridden, or not so
	RuleTimestamps strictjson.Rule = "verify-timestamp" // no such value
	RuleSkip       strictjson.Rule = "skip"             // the level skip with what only verification needs
	RuleGlobal     strictjson.Rule = "global"           // two global statements, or one that skips
	RuleScope      strictjson.Rule = "scope"            // not host/repository, or in use
	RuleStore      strictjson.Rule = "trust-store"      // not type:name
	RuleIdentity   strictjson.Rule = "trusted-identity"
	RuleOverlap    strictjson.Rule = "overlap" // of identities

	// These are of warnings.
	RuleNoEffect strictjson.Rule = "no-effect"     // does nothing
	RuleNoMatch  strictjson.Rule = "never-matches" // nothing can match it
	RuleSkipsAll strictjson.Rule = "skips-all"     // the scope "*" with the level skip
)

// A Document is a trust policy that is valid.
type Document struct {
	// Statements are never empty.
	Statements []*Statement
	// Warnings are what is allowed and rarely meant.
	Warnings []Fault

	files  bool
	scopes map[string]*Statement // for images, without "*"
	any    *Statement            // the scope "*", or the global statement
}

// A Statement says how some artifacts are verified.
type Statement struct {
	// Name is unique in the document.
	Name string
	// Scopes are repositories, host/repository, or only "*". Of images.
	Scopes []string
	// Global is the statement for files where none is named.
	Global bool
	// Level is the one that the document names.
	Level Level
	// Actions are those of the level, with the overrides applied.
	Actions map[Check]Action
	// VerifyTimestamp is Always where the document says nothing.
	VerifyTimestamp Timestamps
	// Stores are the trust stores, each once; none if the level is skip.
	Stores []StoreRef
	// Identities are who may sign.
	Identities Identities
}

// A StoreRef names a trust store: "type:name".
type StoreRef struct{ Type, Name string }

// String returns "type:name".
func (r StoreRef) String() string { return r.Type + ":" + r.Name }

// The types of trust stores.
const (
	storeCA               = "ca"
	storeSigningAuthority = "signingAuthority"
	storeTSA              = "tsa"
)

// Skips says that the statement verifies nothing.
func (s *Statement) Skips() bool { return s.Level == LevelSkip }

// StoreNames returns the names of the stores of one type, in order.
func (s *Statement) StoreNames(storeType string) []string {
	var out []string
	for _, r := range s.Stores {
		if r.Type == storeType {
			out = append(out, r.Name)
		}
	}
	return out
}

// ErrNoStatement is returned, wrapped, when no statement applies.
var ErrNoStatement = errors.New("no statement of the trust policy applies")

// choiceError is an ErrNoStatement that says why and what to do.
type choiceError struct{ text, advice string }

func (e *choiceError) Error() string  { return e.text }
func (e *choiceError) Advice() string { return e.advice }
func (e *choiceError) Unwrap() error  { return ErrNoStatement }

// ForImage returns the statement for a repository, host/repository without tag
// and digest: the one that has it among its scopes, else the one with the scope
// "*". What is no such name has no statement, not even that. The error wraps
// [ErrNoStatement].
func (d *Document) ForImage(name string) (*Statement, error) {
	if d.files {
		return nil, &choiceError{"a trust policy for files has no statement for images", ""}
	}
	// Hosts are those of references, of which there are more than scopes can name.
	if host, repository, _ := strings.Cut(name, "/"); host == "" || !isRepository(repository) {
		return nil, &choiceError{fmt.Sprintf("no statement of the trust policy is for %q, which is not host/repository", short(name)), "leave out the tag and the digest"}
	}
	if s := d.scopes[folded(name)]; s != nil {
		return s, nil
	}
	if d.any != nil {
		return d.any, nil
	}
	return nil, &choiceError{fmt.Sprintf("no statement of the trust policy has the scope %q, and none has the scope \"*\"", name),
		fmt.Sprintf("add %q to the registryScopes of a statement", name)}
}

// ForFile returns the statement with a name, or the global one if name is
// empty. The error wraps [ErrNoStatement].
func (d *Document) ForFile(name string) (*Statement, error) {
	switch {
	case !d.files:
		return nil, &choiceError{"a trust policy for images has no statement for files", ""}
	case name == "" && d.any != nil:
		return d.any, nil
	case name == "":
		return nil, &choiceError{"no statement of the trust policy is global, and none was named",
			"name one of " + d.names() + ", or give one globalPolicy true"}
	}
	for _, s := range d.Statements {
		if s.Name == name {
			return s, nil
		}
	}
	return nil, &choiceError{fmt.Sprintf("no statement of the trust policy is named %q", name), "there are " + d.names()}
}

// maxNames is how many statements a hint lists.
const maxNames = 10

func (d *Document) names() string {
	var names []string
	for _, s := range d.Statements[:min(len(d.Statements), maxNames)] {
		names = append(names, fmt.Sprintf("%q", s.Name))
	}
	if len(d.Statements) > maxNames {
		names = append(names, "others")
	}
	return strings.Join(names, ", ")
}

// ParseImages reads a trust policy for images. The error is a *[Faults].
func ParseImages(data []byte) (*Document, error) {
	return parse(data, &Document{scopes: map[string]*Statement{}}, "trust policy for images")
}

// ParseFiles reads a trust policy for files, which Notation calls blobs. The
// error is a *[Faults].
func ParseFiles(data []byte) (*Document, error) {
	return parse(data, &Document{files: true}, "trust policy for files")
}

func parse(data []byte, d *Document, what string) (*Document, error) {
	p := parser{Reader: strictjson.Parse(data, strictjson.Limits{Size: MaxSize}), doc: d, names: map[string]int{}}
	root := p.Root("version", "trustPolicies")
	if root.Exists() {
		p.version(root)
		list := root.List("trustPolicies")
		if len(list) == 0 && (root.Value("trustPolicies") == nil || root.Value("trustPolicies").IsList()) {
			root.Fault("trustPolicies", Fault{Rule: strictjson.RuleMissing, Detail: "there is no statement", Cure: "write one statement at least; fencepost policy init makes one"})
		}
		for i, v := range list {
			if s := p.statement(i, v); s != nil {
				d.Statements = append(d.Statements, s)
			}
		}
	} else if p.Err(what) == nil {
		root.Fault("", Fault{Rule: strictjson.RuleType, Detail: "it is null, want an object", Cure: "write an object, {...}"})
	}
	if err := p.Err(what); err != nil {
		return nil, err
	}
	d.Warnings = slices.Clone(p.Warnings)
	slices.SortStableFunc(d.Warnings, func(a, b Fault) int { return a.Line - b.Line })
	return d, nil
}
