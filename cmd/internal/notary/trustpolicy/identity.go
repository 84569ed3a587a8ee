package trustpolicy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// IdentityPrefix is that of the identities which are names of subjects.
const IdentityPrefix = "x509.subject:"

// Identities say who may sign. The zero value is nobody.
type Identities struct {
	// Any is "*": everybody with a certificate under the trust stores.
	Any bool
	// Subjects are names; the subject of the signing certificate has to have
	// all attributes of one of them.
	Subjects []Subject
	// Others are identities of other kinds, which only plugins of Notation
	// understand. They match nobody here.
	Others []string
}

// A Subject is one trusted name.
type Subject struct {
	Text string // as it is written in the document
	Name Name
}

func (p *parser) identities(o strictjson.Object, s *Statement) {
	const name = "trustedIdentities"
	v := o.Value(name)
	if v == nil || v.IsList() && len(v.Elements()) == 0 {
		if s.Level == "" {
			return // nobody knows whether it needs one
		}
		o.Fault(name, Fault{Rule: strictjson.RuleMissing, Detail: "there is no trusted identity", Cure: `write "trustedIdentities": ["x509.subject: C=US, ST=WA, O=Example"], or ["*"] for everybody with a certificate under the trust stores`})
		return
	}
	elements := o.List(name)
	if len(elements) > MaxIdentities {
		p.Fault(v, Fault{Rule: strictjson.RuleSize, Detail: fmt.Sprintf("there are %d identities, more than %d", len(elements), MaxIdentities), Cure: "spread them over several statements, or trust a certificate authority that issues only to them"})
		return
	}
	var at []*strictjson.Value // of s.Identities.Subjects
	for _, e := range elements {
		if !e.IsText() && !e.IsNull() {
			p.Text(e) // says what is wrong
			continue
		}
		text := p.Text(e)
		if text == "*" && len(elements) > 1 {
			p.Fault(e, Fault{Rule: RuleIdentity, Detail: `"*" stands alone, and there are other identities beside it`, Cure: "remove it, or the others"})
			continue
		} else if text == "*" {
			s.Identities.Any = true
			continue
		}
		if subject, ok := p.identity(e, text, s); ok {
			at = append(at, e)
			s.Identities.Subjects = append(s.Identities.Subjects, subject)
		}
	}
	for j, b := range s.Identities.Subjects {
		for _, a := range s.Identities.Subjects[:j] {
			// The narrower of the two adds nothing.
			wide, narrow := a, b
			if b.Name.within(a.Name) {
				wide, narrow = b, a
			}
			if wide.Name.within(narrow.Name) {
				p.Fault(at[j], Fault{Rule: RuleOverlap, Detail: fmt.Sprintf("whoever is %q is %q as well", short(narrow.Text), short(wide.Text)), Cure: fmt.Sprintf("remove %q", short(narrow.Text))})
				break
			}
		}
	}
}

// identity reads one identity that is not "*".
func (p *parser) identity(e *strictjson.Value, text string, s *Statement) (Subject, bool) {
	prefix, value, found := strings.Cut(text, ":")
	cure := "write x509.subject: C=US, ST=WA, O=Example"
	switch {
	case text == "":
		p.Fault(e, Fault{Rule: RuleIdentity, Detail: "the identity is empty", Cure: cure})
		return Subject{}, false
	case !found:
		p.Fault(e, Fault{Rule: RuleIdentity, Detail: fmt.Sprintf("%q has no kind before a colon", short(text)), Cure: cure})
		return Subject{}, false
	case prefix+":" != IdentityPrefix:
		f := Fault{Rule: RuleNoMatch, Detail: fmt.Sprintf("an identity of the kind %q is for plugins of Notation; here it matches nobody", short(prefix)), Cure: "identify signers by x509.subject"}
		if strings.EqualFold(strings.TrimSpace(prefix)+":", IdentityPrefix) {
			f.Cure = "write x509.subject: in small letters, without spaces"
		}
		p.WarnAt(e, f)
		s.Identities.Others = append(s.Identities.Others, text)
		return Subject{}, false
	}
	name, problems := parseName(value)
	ok := true
	for _, problem := range problems {
		if problem.warning {
			p.WarnAt(e, problem.fault())
			continue
		}
		ok = false
		p.Fault(e, problem.fault())
	}
	return Subject{text, name}, ok
}

// Match returns nil if the subject of the signing certificate is one of the
// identities, else an error that says what differs from the nearest.
func (i Identities) Match(leaf *x509.Certificate) error {
	if i.Any {
		return nil
	}
	if len(i.Subjects) == 0 {
		return errors.New("the trust policy names no subject that may sign")
	}
	if leaf == nil {
		return errors.New("there is no signing certificate")
	}
	name, err := NameOf(leaf)
	if err != nil {
		return fmt.Errorf("the signing certificate of %s cannot be compared with the trusted identities: %w", leaf.Subject, err)
	}
	var nearest Subject
	var differs []string
	for _, s := range i.Subjects {
		d := s.Name.differences(name)
		if len(d) == 0 {
			return nil
		}
		if nearest.Text == "" || len(d) < len(differs) {
			nearest, differs = s, d
		}
	}
	var parts []string
	for _, typ := range differs {
		want, _ := nearest.Name.value(typ)
		if got, ok := name.value(typ); ok {
			parts = append(parts, fmt.Sprintf("%s is %q, not %q", typ, got, want))
		} else {
			parts = append(parts, fmt.Sprintf("it has no %s, want %q", typ, want))
		}
	}
	what := "the trusted identity"
	if len(i.Subjects) > 1 {
		what = fmt.Sprintf("any of the %d trusted identities, the nearest being", len(i.Subjects))
	}
	return fmt.Errorf("the subject of the signing certificate, %s, is not %s %q: %s", leaf.Subject, what, nearest.Text, strings.Join(parts, "; "))
}
