// Package strictjson reads the small JSON documents that people write by hand,
// trust policies and configuration, so that each mistake in them can be named
// with its place and its cure, all of them at once.
//
// [Parse] turns a document into a tree and a [Reader] over it. The typed
// methods of [Object] take the tree apart; what is not as it should be becomes
// a [Fault], and the reading goes on:
//
//	r := strictjson.Parse(data, limits)
//	doc := r.Root("version", "trustPolicies")
//	version := doc.String("version")
//	...
//	if err := r.Err("trust policy"); err != nil { ... } // *Faults
//
// It is stricter than encoding/json, whose leniency changes what a document
// means: a member that comes twice, a name in other capitals, bytes that are no
// UTF-8 and anything after the document are faults. A member that nobody knows
// is a warning, in [Reader.Warnings], because other programs ignore it.
//
// A null is read as an absent member, as encoding/json does.
package strictjson
