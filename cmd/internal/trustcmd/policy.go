package trustcmd

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/countersign"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/strictjson"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

// maxPolicy is the longest policy read, in bytes; package trustpolicy has a
// limit of its own below it, and says more about it.
const maxPolicy = 16 << 20

// policyOptions are what the policy commands have in common.
type policyOptions struct {
	place
	blob  bool
	force bool // of those that write
}

func (o *policyOptions) flags(cmd *cobra.Command) {
	o.place.flags(cmd)
	cmd.Flags().BoolVar(&o.blob, "blob", false, "the policy for files, not that for images")
}

// kind is the word for the document, as the commands that obey it have it.
func (o *policyOptions) kind() string {
	if o.blob {
		return "blob"
	}
	return "image"
}

// noun is what the document is for.
func (o *policyOptions) noun() string {
	if o.blob {
		return "files"
	}
	return "images"
}

func (o *policyOptions) parse(data []byte) (*trustpolicy.Document, error) {
	if o.blob {
		return trustpolicy.ParseFiles(data)
	}
	return trustpolicy.ParseImages(data)
}

// load returns the policy in force: its path, and what is in it.
func (o *policyOptions) load(d directory.Dir) (path string, data []byte, err error) {
	if o.blob {
		return d.FilePolicy()
	}
	return d.ImagePolicy()
}

// enforce writes a document where it is in force, and says so in the answer.
// Another that is there is replaced only with force.
func (o *policyOptions) enforce(d directory.Dir, data []byte, answer *importJSON) error {
	existing := cli.Keep
	if _, there, err := o.load(d); o.force || err == nil && bytes.Equal(there, data) {
		existing = cli.Replace
	}
	enforce := d.ImportImagePolicy
	if o.blob {
		enforce = d.ImportFilePolicy
	}
	in, err := enforce(data, existing)
	if err != nil {
		return err
	}
	answer.Imported, answer.Replaced, answer.Path, answer.Removed = true, in.Replaced, in.Path, in.Removed
	return nil
}

// A verdict is what is to be said about a document.
type verdict struct {
	// Valid says that there is no fault.
	Valid bool `json:"valid"`
	// Faults are all of them, in the order of the document.
	Faults []strictjson.Fault `json:"faults,omitempty"`
	// Warnings are what is allowed and may not be meant.
	Warnings []strictjson.Fault `json:"warnings,omitempty"`

	document *trustpolicy.Document // nil if not valid
}

// strictness says what to make of members that nobody knows.
type strictness int

const (
	lenient strictness = iota // they are warnings, as long as others write the document
	strict                    // they are faults
)

// judge parses a document and compares it with the trust stores that there are.
func (o *policyOptions) judge(data []byte, d directory.Dir, s strictness) (verdict, error) {
	var v verdict
	doc, err := o.parse(data)
	var faults *strictjson.Faults
	if errors.As(err, &faults) {
		v.Faults = faults.List
		return v, nil
	} else if err != nil {
		return v, err
	}
	for _, w := range doc.Warnings {
		if s == strict && w.Rule == strictjson.RuleUnknown {
			v.Faults = append(v.Faults, w)
			continue
		}
		v.Warnings = append(v.Warnings, w)
	}
	if len(v.Faults) > 0 {
		return v, nil
	}
	v.Valid, v.document = true, doc
	v.Warnings = append(v.Warnings, o.missingStores(doc, d)...)
	return v, nil
}

// ruleStore is the rule of a warning about a trust store.
const ruleStore strictjson.Rule = "trust-store"

// missingStores warns of trust stores that are named and are not there, or
// cannot be used: whatever they are for does not verify.
func (o *policyOptions) missingStores(doc *trustpolicy.Document, d directory.Dir) []strictjson.Fault {
	store := truststore.Open(d.Path, func() ([]*x509.Certificate, error) { return countersign.SystemRoots(o.env.Getenv) })
	var out []strictjson.Fault
	for _, s := range doc.Statements {
		for _, ref := range s.Stores {
			_, err := store.Certificates(truststore.Type(ref.Type), ref.Name)
			if err == nil || len(out) == strictjson.MaxFaults {
				continue
			}
			w := strictjson.Fault{
				Rule: ruleStore, Place: fmt.Sprintf("statement %q", s.Name),
				Detail: fmt.Sprintf("the trust store %s cannot be used: %v", ref, err), Cure: cli.HintOf(err),
			}
			if errors.Is(err, fs.ErrNotExist) {
				w.Detail = fmt.Sprintf("there is no trust store %s yet", ref)
				w.Cure = fmt.Sprintf("fencepost trust add --type %s --store %s FILE", ref.Type, ref.Name)
			}
			out = append(out, w)
		}
	}
	return out
}

// line is a fault with its cure, as far as there is one.
func line(f strictjson.Fault) string {
	if f.Cure == "" {
		return f.String()
	}
	return f.String() + " (" + f.Cure + ")"
}

// warn says the warnings to the person; JSON has them in the answer.
func (v *verdict) warn(env *cli.Env, name string) {
	if env.JSON {
		return
	}
	for _, w := range v.Warnings {
		env.Warn("%s: %s", name, line(w))
	}
}

// refusal is the error for a document with faults, a line for each.
func (v *verdict) refusal(name string) error {
	if len(v.Faults) == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("%s is not a valid trust policy: %s", name, cli.Plural(len(v.Faults), "fault"))}
	for _, f := range v.Faults {
		lines = append(lines, "  "+line(f))
	}
	err := cli.Refused(reasonPolicy, errors.New(strings.Join(lines, "\n")))
	if !slices.ContainsFunc(v.Faults, func(f strictjson.Fault) bool { return f.Rule != strictjson.RuleUnknown }) {
		err = cli.Hint(err, "members that nobody reads are taken with --force, and have no effect")
	}
	return err
}

// named is how a document that is read is called.
func named(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}
