package trustpolicy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
)

// A parser reads one document.
type parser struct {
	*strictjson.Reader
	doc   *Document
	names map[string]int // of statements, by their number
}

func (p *parser) version(root strictjson.Object) {
	v := root.Value("version")
	switch {
	case v == nil, v.IsText() && root.String("version") == "":
		root.Fault("version", Fault{Rule: strictjson.RuleMissing, Detail: "there is no version", Cure: `write "version": "1.0"`})
	case !v.IsText():
		root.String("version") // says what is wrong
	case root.String("version") != Version:
		root.Fault("version", Fault{Rule: RuleVersion, Detail: fmt.Sprintf("the version %q is not known", root.String("version")), Cure: `write "version": "1.0"`})
	}
}

// member names of a statement; those of the other kind of document are known
// so that the warning can say where they belong.
const (
	fieldScopes = "registryScopes"
	fieldGlobal = "globalPolicy"
)

func (p *parser) statement(i int, v *strictjson.Value) *Statement {
	o := p.Any(v)
	s := &Statement{}
	if o.Exists() {
		if name := o.Value("name"); name.IsText() {
			s.Name = p.Text(name)
		}
		o.Label(label(i, s.Name))
		p.Object(v, "name", "signatureVerification", "trustStores", "trustedIdentities", fieldScopes, fieldGlobal)
		o.String("name")
	} else if !v.IsNull() {
		return nil // said already
	}
	switch {
	case strings.TrimSpace(s.Name) == "" && (o.Value("name") == nil || o.Value("name").IsText()):
		detail := "there is no name"
		if s.Name != "" {
			detail = "the name is only spaces"
		}
		p.at(o, v, "name", Fault{Rule: strictjson.RuleMissing, Detail: detail, Cure: "give the statement a name that no other has"})
	case s.Name != "" && p.names[s.Name] > 0:
		o.Fault("name", Fault{Rule: RuleName, Detail: fmt.Sprintf("statement %d has the same name", p.names[s.Name]), Cure: "give each statement a name of its own"})
	default:
		p.names[s.Name] = i + 1
	}
	if !o.Exists() {
		return nil
	}
	p.verification(o, s)
	if s.Skips() {
		for _, name := range []string{"trustStores", "trustedIdentities"} {
			if len(o.List(name)) > 0 {
				o.Fault(name, Fault{Rule: RuleSkip, Detail: "the level is skip, which verifies nothing and needs none", Cure: "remove it, or choose another level"})
			}
		}
	} else {
		p.stores(o, s)
		p.identities(o, s)
	}
	if p.doc.files {
		p.global(o, s)
	} else {
		p.scopes(o, s)
	}
	return s
}

// label names a statement for people.
func label(i int, name string) string {
	if name == "" {
		return fmt.Sprintf("statement %d", i+1)
	}
	if len(name) > 64 {
		name = name[:64] + "..."
	}
	return fmt.Sprintf("statement %d %q", i+1, name)
}

// at adds a fault at a member of o, or at v if there is no such object.
func (p *parser) at(o strictjson.Object, v *strictjson.Value, name string, f Fault) {
	if o.Exists() {
		o.Fault(name, f)
	} else {
		p.Fault(v, f)
	}
}

func (p *parser) verification(o strictjson.Object, s *Statement) {
	const name = "signatureVerification"
	v := o.Value(name)
	if v == nil {
		o.Fault(name, Fault{Rule: strictjson.RuleMissing, Detail: "there is no signatureVerification", Cure: `write "signatureVerification": {"level": "strict"}`})
		return
	}
	sv := p.Object(v, "level", "override", "verifyTimestamp")
	if !sv.Exists() {
		return
	}
	level := Level(sv.String("level"))
	s.Actions = level.Actions()
	switch lv := sv.Value("level"); {
	case lv != nil && !lv.IsText(): // said already
	case level == "":
		sv.Fault("level", Fault{Rule: strictjson.RuleMissing, Detail: "there is no level", Cure: "write " + nearest("", Levels())})
	case s.Actions == nil:
		sv.Fault("level", Fault{Rule: RuleLevel, Detail: fmt.Sprintf("there is no level %q", short(string(level))), Cure: "write " + nearest(level, Levels())})
	default:
		s.Level = level
	}
	p.override(sv, s)

	s.VerifyTimestamp = Always
	tv := sv.Value("verifyTimestamp")
	switch when := Timestamps(sv.String("verifyTimestamp")); when {
	case "":
		return
	case Always, AfterCertExpiry:
		s.VerifyTimestamp = when
	default:
		p.Fault(tv, Fault{Rule: RuleTimestamps, Detail: fmt.Sprintf("there is no %q", short(string(when))), Cure: "write " + nearest(when, []Timestamps{Always, AfterCertExpiry})})
		return
	}
	stores := o.Value("trustStores")
	switch {
	case s.Skips():
		p.WarnAt(tv, Fault{Rule: RuleNoEffect, Detail: "it has no effect: the level is skip", Cure: "remove it"})
	case stores.IsList() && !slices.ContainsFunc(p.texts(stores), func(ref string) bool { return strings.HasPrefix(ref, storeTSA+":") }):
		p.WarnAt(tv, Fault{Rule: RuleNoEffect, Detail: "it has no effect: no timestamp is looked at, because trustStores names no store of the type tsa",
			Cure: "add tsa:NAME to trustStores"})
	}
}

// texts returns those elements of a list that are strings.
func (p *parser) texts(list *strictjson.Value) []string {
	var out []string
	for _, e := range list.Elements() {
		if e.IsText() {
			out = append(out, p.Text(e))
		}
	}
	return out
}

func (p *parser) override(sv strictjson.Object, s *Statement) {
	v := sv.Value("override")
	if v == nil {
		return
	}
	o := p.Any(v)
	names := o.Names()
	if len(names) > 0 && s.Skips() {
		p.Fault(v, Fault{Rule: RuleSkip, Detail: "the level skip has nothing to override", Cure: "remove it, or choose another level"})
		return
	}
	for _, name := range names {
		ov := o.Value(name)
		check := Check(name)
		switch {
		case !slices.Contains(Checks(), check):
			// Notation refuses these, where it ignores other unknown members.
			o.Fault(name, Fault{Rule: RuleOverride, Detail: "there is no such check", Cure: "write " + nearest(check, Checks()[1:])})
			continue
		case check == Integrity:
			o.Fault(name, Fault{Rule: RuleOverride, Detail: "integrity cannot be overridden: it is always enforced", Cure: "remove it"})
			continue
		case ov != nil && !ov.IsText():
			p.Text(ov) // says what is wrong
			continue
		}
		switch action := Action(p.Text(ov)); {
		case action == Skip && check != Revocation:
			o.Fault(name, Fault{Rule: RuleOverride, Detail: "only revocation can be skipped", Cure: "write enforce or log"})
		case action != Enforce && action != Log && action != Skip:
			actions := []Action{Enforce, Log}
			if check == Revocation {
				actions = append(actions, Skip)
			}
			o.Fault(name, Fault{Rule: RuleOverride, Detail: fmt.Sprintf("there is no action %q", short(string(action))), Cure: "write " + nearest(action, actions)})
		case s.Actions != nil:
			s.Actions[check] = action
		}
	}
}

func (p *parser) stores(o strictjson.Object, s *Statement) {
	const name = "trustStores"
	v := o.Value(name)
	if v == nil || v.IsList() && len(v.Elements()) == 0 {
		if s.Level == "" {
			return // nobody knows whether it needs one
		}
		o.Fault(name, Fault{Rule: strictjson.RuleMissing, Detail: "there is no trust store", Cure: `write "trustStores": ["ca:NAME"], and "tsa:NAME" beside it for timestamps`})
		return
	}
	signers, broken := false, false
	seen := map[StoreRef]bool{}
	for _, e := range o.List(name) {
		ref, fault := parseStore(p.Text(e))
		if !e.IsText() && !e.IsNull() {
			broken = true
			continue
		}
		if fault != nil {
			p.Fault(e, *fault)
			broken = true
			continue
		}
		signers = signers || ref.Type != storeTSA
		if seen[ref] {
			p.WarnAt(e, Fault{Rule: RuleNoEffect, Detail: fmt.Sprintf("%s is in the list already", ref), Cure: "remove it"})
			continue
		}
		seen[ref] = true
		s.Stores = append(s.Stores, ref)
	}
	if !signers && !broken && len(s.Stores) > 0 {
		p.WarnAt(v, Fault{Rule: RuleNoMatch, Detail: "no signer is trusted: there are only stores of timestamp authorities", Cure: "add ca:NAME, the store with the signers' root"})
	}
}

func parseStore(text string) (StoreRef, *Fault) {
	kind, name, found := strings.Cut(text, ":")
	switch {
	case !found:
		return StoreRef{}, &Fault{Rule: RuleStore, Detail: fmt.Sprintf("%q is not of the form type:name", short(text)), Cure: "write ca:NAME, signingAuthority:NAME or tsa:NAME"}
	case kind != storeCA && kind != storeSigningAuthority && kind != storeTSA:
		return StoreRef{}, &Fault{Rule: RuleStore, Detail: fmt.Sprintf("there is no type of trust store %q", short(kind)), Cure: "write ca:NAME, signingAuthority:NAME or tsa:NAME"}
	case name == "." || name == ".." || strings.ContainsFunc(name, notOfName) || name == "":
		return StoreRef{}, &Fault{Rule: RuleStore, Detail: fmt.Sprintf("%q is no name of a trust store", short(name)), Cure: "use letters, digits, and the characters _ . -"}
	}
	return StoreRef{kind, name}, nil
}

func notOfName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '.' && c != '-'
}

// global reads what only a statement for files has.
func (p *parser) global(o strictjson.Object, s *Statement) {
	if o.Value(fieldScopes) != nil {
		o.Warn(fieldScopes, Fault{Rule: strictjson.RuleUnknown, Detail: "only trust policies for images have it; it is ignored", Cure: "remove it"})
	}
	s.Global = o.Bool(fieldGlobal)
	switch {
	case !s.Global:
	case s.Skips():
		o.Fault(fieldGlobal, Fault{Rule: RuleGlobal, Detail: "the global statement cannot have the level skip, which would verify no file", Cure: "choose another level, or remove globalPolicy"})
	case p.doc.any != nil:
		o.Fault(fieldGlobal, Fault{Rule: RuleGlobal, Detail: fmt.Sprintf("the statement %q is global already", short(p.doc.any.Name)), Cure: "keep one of the two"})
	default:
		p.doc.any = s
	}
}

// nearest returns the word of a set that is meant, as far as capitals go, else
// all of them.
func nearest[T ~string](word T, set []T) string {
	var all []string
	for _, w := range set {
		if strings.EqualFold(string(w), string(word)) {
			return string(w)
		}
		all = append(all, string(w))
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// short cuts a text for a message.
func short(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}
