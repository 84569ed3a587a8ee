package trustcmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/truststore"
)

type showPolicyOptions struct {
	policyOptions
	of      string
	ofGiven bool
}

// showPolicyJSON is the answer of "policy show --json".
type showPolicyJSON struct {
	Path string `json:"path"`
	Kind string `json:"kind"` // "image" or "blob"
	verdict
	// Document is what the file has, or, if that is no JSON, Text.
	Document json.RawMessage `json:"document,omitempty"`
	Text     string          `json:"text,omitempty"`
	// For is what --for named, Statement what is for it.
	For       *string        `json:"for,omitempty"`
	Statement *effectiveJSON `json:"statement,omitempty"`
}

// effectiveJSON is a statement with all that its level means.
type effectiveJSON struct {
	Name              string                                   `json:"name"`
	Level             trustpolicy.Level                        `json:"level"`
	Actions           map[trustpolicy.Check]trustpolicy.Action `json:"actions"`
	VerifyTimestamp   trustpolicy.Timestamps                   `json:"verifyTimestamp"`
	TrustStores       []string                                 `json:"trustStores"`
	TrustedIdentities []string                                 `json:"trustedIdentities"`
}

func newPolicyShow(env *cli.Env) *cobra.Command {
	o := showPolicyOptions{policyOptions: policyOptions{place: place{env: env}}}
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the trust policy that is in force",
		Long: `Show the trust policy that is in force, as it is in its file, and where that is.
With --for, show the statement of it that decides on an artifact, and what its
level means check by check.

Exit status: 0 it is valid (and has a statement, with --for), 1 it is not, 2
there is none.`,
		Example: `  fencepost policy show
  fencepost policy show --for registry.example/app
  fencepost policy show --blob --for release-files`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.ofGiven = cmd.Flags().Changed("for")
			return o.run()
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.of, "for", "", "show the statement for this `artifact`, such as registry.example/app; with --blob, for the name that is given with --policy-name, empty for none")
	return cmd
}

func (o *showPolicyOptions) run() error {
	if o.ofGiven && !o.blob && !strings.Contains(o.of, "/") {
		return cli.Usagef("--for %q does not name an artifact of a registry, such as registry.example/app", o.of)
	}
	env := o.env
	d, err := o.dir()
	if err != nil {
		return err
	}
	path, data, err := o.load(d)
	if err != nil {
		return err
	}
	v, err := o.judge(data, d, lenient)
	if err != nil {
		return err
	}
	answer := showPolicyJSON{Path: path, Kind: o.kind(), verdict: v}
	if json.Valid(data) && utf8.Valid(data) {
		answer.Document = data
	} else {
		answer.Text = string(data)
	}
	var matched *trustpolicy.Statement
	if o.ofGiven && v.Valid {
		answer.For = &o.of
		if matched, err = o.match(v.document); err != nil {
			return cli.Refused(reasonNone, fmt.Errorf("%s: %w", path, err))
		}
		answer.Statement = effective(matched)
	}
	switch {
	case env.JSON:
		if err := env.WriteJSON(answer); err != nil || v.Valid {
			return err
		}
		return cli.Silently(cli.No)
	case matched != nil:
		v.warn(env, path)
		return answer.Statement.tree(o.label() + ": statement " + matched.Name + " of " + path).Write(env.Stdout)
	}
	if err := o.writeDocument(data); err != nil {
		return err
	}
	if !v.Valid {
		return cli.Hint(v.refusal(path), "%s", o.cure())
	}
	env.Errorf("in force for %s: %s", o.noun(), path)
	v.warn(env, path)
	return nil
}

// cure is what puts a policy into force.
func (o *policyOptions) cure() string {
	flag := ""
	if o.blob {
		flag = " --blob"
	}
	return fmt.Sprintf("write one with fencepost policy init%s, or fencepost policy import%s FILE", flag, flag)
}

// match finds the statement for what --for names.
func (o *showPolicyOptions) match(doc *trustpolicy.Document) (*trustpolicy.Statement, error) {
	if o.blob {
		return doc.ForFile(o.of)
	}
	return doc.ForImage(repository(o.of))
}

func (o *showPolicyOptions) label() string {
	switch {
	case !o.blob:
		return repository(o.of)
	case o.of == "":
		return "files that no policy is named for"
	}
	return "files with --policy-name " + o.of
}

// repository takes the tag and the digest off a reference.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref
}

// writeDocument writes the document byte by byte, or, to a terminal, so that it
// cannot do anything to it.
func (o *showPolicyOptions) writeDocument(data []byte) error {
	env := o.env
	if !env.StdoutTerminal {
		_, err := env.Stdout.Write(data)
		return err
	}
	var indented bytes.Buffer
	if json.Indent(&indented, data, "", "  ") == nil {
		data = indented.Bytes()
	}
	for line := range bytes.Lines(data) {
		text := strings.ReplaceAll(strings.TrimRight(string(line), "\r\n"), "\t", "    ")
		if err := env.Answer("%s", text); err != nil {
			return err
		}
	}
	return nil
}

func effective(s *trustpolicy.Statement) *effectiveJSON {
	e := &effectiveJSON{
		Name: s.Name, Level: s.Level, Actions: s.Actions, VerifyTimestamp: s.VerifyTimestamp,
		TrustStores: []string{}, TrustedIdentities: []string{},
	}
	for _, ref := range s.Stores {
		e.TrustStores = append(e.TrustStores, ref.String())
	}
	if s.Identities.Any {
		e.TrustedIdentities = append(e.TrustedIdentities, "*")
	}
	for _, subject := range s.Identities.Subjects {
		e.TrustedIdentities = append(e.TrustedIdentities, subject.Text)
	}
	e.TrustedIdentities = append(e.TrustedIdentities, s.Identities.Others...)
	return e
}

// tree draws what a statement means.
func (e *effectiveJSON) tree(title string) *inspect.Node {
	root := &inspect.Node{Text: title}
	level := root.Add("level: " + string(e.Level))
	for _, c := range trustpolicy.Checks() {
		if action, ok := e.Actions[c]; ok {
			level.Add(string(c) + ": " + string(action))
		}
	}
	if e.Level == trustpolicy.LevelSkip {
		return root
	}
	stamped := false
	stores := root.Add("trust stores")
	for _, s := range e.TrustStores {
		stores.Add(s)
		stamped = stamped || strings.HasPrefix(s, string(truststore.TSA)+":")
	}
	identities := root.Add("trusted identities")
	for _, i := range e.TrustedIdentities {
		identities.Add(i)
	}
	when := "always"
	switch {
	case !stamped:
		when = "never, since there is no trust store of the type tsa: a certificate that has expired verifies nothing"
	case e.VerifyTimestamp == trustpolicy.AfterCertExpiry:
		when = "once a certificate of the signer has expired"
	}
	root.Add("timestamp is looked at: " + when)
	return root
}
