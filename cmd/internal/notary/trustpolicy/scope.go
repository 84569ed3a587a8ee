package trustpolicy

import (
	"fmt"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// scopes reads what only a statement for images has.
func (p *parser) scopes(o strictjson.Object, s *Statement) {
	if o.Value(fieldGlobal) != nil {
		o.Warn(fieldGlobal, Fault{Rule: strictjson.RuleUnknown, Detail: "only trust policies for files have it; it is ignored", Cure: "remove it"})
	}
	v := o.Value(fieldScopes)
	if v == nil || v.IsList() && len(v.Elements()) == 0 {
		o.Fault(fieldScopes, Fault{Rule: strictjson.RuleMissing, Detail: "there is no scope", Cure: `write "registryScopes": ["host/repository"], or ["*"] for whatever no other statement has`})
		return
	}
	elements := o.List(fieldScopes)
	for _, e := range elements {
		if !e.IsText() && !e.IsNull() {
			p.Text(e) // says what is wrong
			continue
		}
		scope := p.Text(e)
		if scope == "*" {
			p.anyScope(e, len(elements), s)
			continue
		}
		if detail, cure := checkScope(scope); detail != "" {
			p.Fault(e, Fault{Rule: RuleScope, Detail: fmt.Sprintf("%q is no scope: %s", short(scope), detail), Cure: cure})
			continue
		}
		key := folded(scope)
		if other := p.doc.scopes[key]; other == s {
			p.Fault(e, Fault{Rule: RuleScope, Detail: fmt.Sprintf("%q is in the list already", short(scope)), Cure: "remove it"})
			continue
		} else if other != nil {
			p.Fault(e, Fault{Rule: RuleScope, Detail: fmt.Sprintf("the statement %q has the scope %q already", short(other.Name), short(scope)), Cure: "keep it in one statement"})
			continue
		}
		p.doc.scopes[key] = s
		s.Scopes = append(s.Scopes, scope)
	}
}

// folded is host/repository with the host in small letters. A registry has one
// name, however it is written; references are refused where it has capitals,
// and the statement that was meant for it must not give way to that of "*".
func folded(scope string) string {
	host, repository, _ := strings.Cut(scope, "/")
	return strings.ToLower(host) + "/" + repository
}

func (p *parser) anyScope(e *strictjson.Value, n int, s *Statement) {
	switch {
	case n > 1:
		p.Fault(e, Fault{Rule: RuleScope, Detail: `"*" stands alone, and there are other scopes beside it`, Cure: "remove the others, or give them a statement of their own"})
	case p.doc.any != nil:
		p.Fault(e, Fault{Rule: RuleScope, Detail: fmt.Sprintf("the statement %q has the scope \"*\" already", short(p.doc.any.Name)), Cure: "keep it in one statement"})
	default:
		if s.Skips() {
			// The specification forbids it; Notation does not.
			p.WarnAt(e, Fault{Rule: RuleSkipsAll, Detail: "no image is verified that no other statement has: the level is skip", Cure: "name the repositories that need no verification"})
		}
		p.doc.any = s
		s.Scopes = []string{"*"}
	}
}

// checkScope says what is wrong with a scope, and what to do; "" if nothing is.
// The forms are those of references to images, with neither tag nor digest, and
// without IPv6 addresses, which Notation does not take.
func checkScope(scope string) (detail, cure string) {
	const whole = "write host/repository, such as registry.example.com/app or localhost:5000/app"
	switch {
	case scope == "":
		return "it is empty", whole
	case strings.Contains(scope, "*"):
		return `"*" stands alone and not for a part of a scope`, "name each repository, or write \"*\" alone"
	case strings.Contains(scope, "://"):
		return "it has a scheme", "leave out " + scope[:strings.Index(scope, "://")+3]
	case strings.TrimSpace(scope) != scope:
		return "there are spaces around it", "remove them"
	case strings.Contains(scope, "@"):
		return "it has a digest", "leave out the digest"
	}
	host, repository, found := strings.Cut(scope, "/")
	if !found || host == "" || repository == "" {
		return "it is not host/repository", whole
	}
	if !isHost(host) {
		return fmt.Sprintf("%q is no host", short(host)), whole
	}
	if isRepository(repository) {
		return "", ""
	}
	last := repository[strings.LastIndex(repository, "/")+1:]
	name, tag, tagged := strings.Cut(last, ":")
	switch {
	case tagged && isRepository(name):
		return "it has a tag", fmt.Sprintf("leave out :%s", short(tag))
	case repository != strings.ToLower(repository):
		return "there are capitals in the repository", "write it in small letters"
	case strings.HasSuffix(repository, "/"):
		return "it ends in a slash", "remove it"
	}
	return fmt.Sprintf("%q is no repository", short(repository)), whole
}

// isHost says whether s is a host name with an optional port.
func isHost(s string) bool {
	name, port, found := strings.Cut(s, ":")
	if found && (port == "" || strings.ContainsFunc(port, func(c rune) bool { return c < '0' || c > '9' })) {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(c rune) bool { return c == '_' || c == '.' || notOfName(c) }) {
			return false
		}
	}
	return true
}

// isRepository says whether s is the name of a repository: components of small
// letters and digits with ".", "_", "__" or any number of "-" between them.
func isRepository(s string) bool {
	for component := range strings.SplitSeq(s, "/") {
		if !isComponent(component) {
			return false
		}
	}
	return true
}

func isComponent(s string) bool {
	between := "" // the separators since the last letter or digit
	for i, c := range s {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			between = ""
			continue
		}
		if i == 0 || c != '.' && c != '_' && c != '-' {
			return false
		}
		between += string(c)
		if between != "." && between != "_" && between != "__" && strings.Trim(between, "-") != "" {
			return false
		}
	}
	return s != "" && between == ""
}
