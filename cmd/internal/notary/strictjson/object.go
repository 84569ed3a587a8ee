package strictjson

import (
	"fmt"
	"slices"
	"strings"
)

// An Object is a JSON object that is being read.
type Object struct {
	r *Reader
	v *Value // nil: absent, or no object
}

// Root is the document, which has to be an object with the known members.
func (r *Reader) Root(known ...string) Object {
	if r.root == nil {
		return Object{r: r}
	}
	return r.Object(r.root, known...)
}

// Object reads v as an object. Members that are not known become warnings, and
// faults when they are known in other capitals: encoding/json, and so Notation,
// takes them for the known ones. A nil v is an absent object.
func (r *Reader) Object(v *Value, known ...string) Object {
	o := r.Any(v)
	if !o.Exists() {
		return o
	}
	for _, m := range v.members {
		if slices.Contains(known, m.name) {
			continue
		}
		f := Fault{Rule: RuleUnknown, Line: m.line, Place: m.value.place(), Detail: "nothing has this name; it is ignored", Cure: "remove it"}
		if near := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, m.name) }); near >= 0 {
			f.Rule, f.Detail = RuleCase, fmt.Sprintf("some programs read it as %s and some ignore it", known[near])
			f.Cure = fmt.Sprintf("write %s", known[near])
			r.add(f)
			continue
		}
		if len(known) > 0 {
			f.Cure = "known are " + strings.Join(known, ", ")
		}
		r.Warn(f)
	}
	return Object{r, v}
}

// Any reads v as an object whose members have whatever names.
func (r *Reader) Any(v *Value) Object {
	if !r.is(v, object) {
		return Object{r: r}
	}
	return Object{r, v}
}

// is says whether v is of the kind; if it is anything but null, that is a fault.
func (r *Reader) is(v *Value, want kind) bool {
	if v == nil || v.kind == null {
		return false
	}
	if v.kind != want {
		f := Fault{Rule: RuleType, Line: v.line, Place: v.place(), Detail: fmt.Sprintf("it is %s, want %s", v.kind, want),
			Cure: map[kind]string{boolean: "write true or false", text: `write a string, "..."`, list: "write a list, [...]", object: "write an object, {...}"}[want]}
		switch {
		case want == text && v.kind == number:
			f.Cure = fmt.Sprintf("write it in quotes: %q", v.text)
		case want == list && v.kind == text:
			f.Cure = fmt.Sprintf("write [%q]", short(v.text))
		case want == boolean && v.kind == text:
			f.Cure = "write true or false without quotes"
		}
		r.add(f)
		return false
	}
	return true
}

// short cuts a text for a message.
func short(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// Exists says whether there is such an object.
func (o Object) Exists() bool { return o.v != nil }

// Label has the faults of everything in the object say where they are in words
// instead of by a path: `statement 2 "prod"`.
func (o Object) Label(label string) {
	if o.v != nil {
		o.v.label = label
	}
}

// Names returns the names of the members, in the order of the document.
func (o Object) Names() []string {
	if o.v == nil {
		return nil
	}
	names := make([]string, 0, len(o.v.members))
	for _, m := range o.v.members {
		names = append(names, m.name)
	}
	return names
}

// Value returns a member, nil if it is absent or null.
func (o Object) Value(name string) *Value {
	if o.v == nil {
		return nil
	}
	if i := o.v.find(name); i >= 0 && o.v.members[i].value.kind != null {
		return o.v.members[i].value
	}
	return nil
}

// String returns a member that has to be a string, "" if it is absent.
func (o Object) String(name string) string { return o.r.Text(o.Value(name)) }

// Bool returns a member that has to be true or false, false if it is absent.
func (o Object) Bool(name string) bool {
	v := o.Value(name)
	return o.r.is(v, boolean) && v.truth
}

// List returns the elements of a member that has to be a list.
func (o Object) List(name string) []*Value {
	v := o.Value(name)
	if !o.r.is(v, list) {
		return nil
	}
	return v.list
}

// Strings returns the elements of a member that has to be a list of strings.
func (o Object) Strings(name string) []string {
	var out []string
	for _, v := range o.List(name) {
		if s := o.r.Text(v); s != "" || v.kind == text {
			out = append(out, s)
		}
	}
	return out
}

// Map returns a member that has to be an object of strings. The order of the
// document is lost.
func (o Object) Map(name string) map[string]string {
	v := o.Value(name)
	if !o.r.is(v, object) {
		return nil
	}
	out := map[string]string{}
	for _, m := range v.members {
		out[m.name] = o.r.Text(m.value)
	}
	return out
}

// Text returns v, which has to be a string; "" if it is absent or null.
func (r *Reader) Text(v *Value) string {
	if !r.is(v, text) {
		return ""
	}
	return v.text
}

// IsText says whether v is a string, without a word if it is not.
func (v *Value) IsText() bool { return v != nil && v.kind == text }

// IsNull says whether v is null.
func (v *Value) IsNull() bool { return v != nil && v.kind == null }

// IsList says whether v is a list, without a word if it is not.
func (v *Value) IsList() bool { return v != nil && v.kind == list }

// Elements are those of a list, nil of anything else.
func (v *Value) Elements() []*Value {
	if v == nil {
		return nil
	}
	return v.list
}

// Fault adds a fault at a member of o, which may be absent: its place is then
// that of the object.
func (o Object) Fault(name string, f Fault) { o.r.add(o.at(name, f)) }

// Warn adds a warning at a member of o.
func (o Object) Warn(name string, f Fault) { o.r.Warn(o.at(name, f)) }

func (o Object) at(name string, f Fault) Fault {
	if v := o.Value(name); v != nil {
		f.Line, f.Place = v.line, v.place()
		return f
	}
	if o.v == nil {
		f.Place = name
		return f
	}
	f.Line, f.Place = o.v.line, o.v.place()
	if name != "" {
		f.Place = o.v.below(name)
	}
	return f
}

// Fault adds a fault at v.
func (r *Reader) Fault(v *Value, f Fault) {
	f.Line, f.Place = v.line, v.place()
	r.add(f)
}

// WarnAt adds a warning at v.
func (r *Reader) WarnAt(v *Value, f Fault) {
	f.Line, f.Place = v.line, v.place()
	r.Warn(f)
}

// Warn adds a warning.
func (r *Reader) Warn(f Fault) {
	if len(r.Warnings) < MaxFaults {
		r.Warnings = append(r.Warnings, f)
	}
}

// add keeps a fault, once however often it is found.
func (r *Reader) add(f Fault) {
	if slices.Contains(r.faults, f) {
		return
	}
	if len(r.faults) == MaxFaults {
		r.more++
		return
	}
	r.faults = append(r.faults, f)
}

// Err returns nil, or a *Faults with everything that was found wrong with what,
// in the order of the lines.
func (r *Reader) Err(what string) error {
	if len(r.faults) == 0 {
		return nil
	}
	all := slices.Clone(r.faults)
	slices.SortStableFunc(all, func(a, b Fault) int { return a.Line - b.Line })
	if r.more > 0 {
		all[MaxFaults-1] = Fault{Rule: ruleMore, Detail: fmt.Sprintf("there are %d further faults", r.more+1), Cure: "mend those above first"}
	}
	return &Faults{What: what, List: all}
}
