package certcmd

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/pki"
)

// ReasonChain is the reason, in JSON, of a file that holds no chain at all.
// Every other reason is a pki.Rule.
const ReasonChain = "malformed"

type checkOptions struct {
	role       string
	key        string
	at         string
	enforceEKU bool
	explain    bool
}

// checkJSON is the answer of "cert check --json".
type checkJSON struct {
	File string `json:"file"`
	Role string `json:"role"`
	// Time is when the chain was asked to be valid.
	Time time.Time `json:"time"`
	// Fit says that no finding is an error.
	Fit bool `json:"fit"`
	// KeyChecked says that the leaf was compared with a key.
	KeyChecked   bool                  `json:"keyChecked"`
	Certificates []inspect.Certificate `json:"certificates"`
	Findings     []pki.Finding         `json:"findings"`
	// Rules are all rules for the role with what came of each, with --explain.
	Rules []ruleJSON `json:"rules,omitempty"`
}

// ruleJSON is a rule and what came of it: "holds", the severity of the gravest
// finding, or "not applied" where there was nothing to apply it to.
type ruleJSON struct {
	pki.RuleInfo
	Outcome string `json:"outcome"`
}

// The outcomes that are not a severity.
const (
	outcomeHolds      = "holds"
	outcomeNotApplied = "not applied"
)

func newCheck(env *cli.Env) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check CHAIN.pem",
		Short: "Say what is wrong with a certificate chain",
		Long: `Say what is wrong with a certificate chain, rule by rule: what breaks a standard
(error), what a verifier in wide use refuses though the standards allow it
(warning), and what is worth knowing (note). Each finding names its certificate,
the rule and the clause, and errors and warnings say what to do. --explain shows
the rules that hold as well. "-" is standard input.

Whether the root is to be trusted is not decided here, and nobody is asked about
revocation.

Exit status: 0 no error was found, 1 the chain is not fit, 2 it could not be
looked at.`,
		Example: `  fencepost cert check chain.pem --key file:key.pem
  fencepost cert check chain.pem --role ca --key gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k --explain
  fencepost cert check chain.pem --at 2030-01-01T00:00:00Z --json`,
		Args: func(_ *cobra.Command, files []string) error {
			if len(files) != 1 {
				return cli.Usagef("one file with a chain is checked, %d given", len(files))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, env, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.role, "role", string(pki.RoleTSA), roleHelp)
	f.StringVar(&o.key, "key", "", "the `URI` of the key that the first certificate must be for, such as file:key.pem")
	f.StringVar(&o.at, "at", "", "the `time` at which the chain must be valid, as 2030-01-31 or RFC 3339 (default now)")
	f.BoolVar(&o.explain, "explain", false, "show every rule for the role, and whether it holds")
	f.BoolVar(&o.enforceEKU, "enforce-intermediate-eku", false, "demand that intermediates are limited to the role, as Sigstore's timestamp server does")
	return cmd
}

func (o *checkOptions) run(cmd *cobra.Command, env *cli.Env, file string) error {
	opts := pki.CheckOptions{EnforceIntermediateEKU: o.enforceEKU, Time: time.Now()}
	var err error
	if opts.Role, err = parseRole(o.role); err != nil {
		return err
	}
	if o.at != "" {
		if opts.Time, err = parseTime("at", o.at); err != nil {
			return err
		}
	}
	data, err := env.ReadFile(file, pki.MaxFileSize)
	if err != nil {
		return err
	}
	chain, err := pki.ParseChain(data)
	if err != nil {
		return cli.Refused(ReasonChain, fmt.Errorf("%s: %w", file, err))
	}
	if asIs, err := pki.ParseCertificates(data); err == nil && !slices.EqualFunc(asIs, chain, (*x509.Certificate).Equal) {
		env.Warn("%s: the certificates are not in order, the leaf first; they were put in order here, and other programs do not do that", file)
	}
	if o.key != "" {
		key, err := openKey(cmd.Context(), env, o.key, chain[0])
		if err != nil {
			return err
		}
		defer key.Close() // it signs nothing
		opts.PublicKey = key.Public()
	}
	report := pki.Check(chain, opts)
	answer := checkJSON{
		File: file, Role: o.role, Time: opts.Time.UTC().Truncate(time.Second),
		Fit: report.Err() == nil, KeyChecked: opts.PublicKey != nil,
		Certificates: inspect.DescribeChain(chain), Findings: report.Findings,
	}
	if o.explain {
		answer.Rules = outcomes(report, opts.Role)
	}
	if env.JSON {
		err = env.WriteJSON(answer)
	} else {
		err = answer.write(env)
	}
	if err == nil && !answer.Fit {
		err = cli.Silently(cli.No)
	}
	return err
}

// outcomes says what came of each rule.
func outcomes(report pki.Report, role pki.Role) []ruleJSON {
	var out []ruleJSON
	for _, info := range pki.Rules(role) {
		r := ruleJSON{info, outcomeNotApplied}
		if report.Applied(info.Rule) {
			r.Outcome = outcomeHolds
		}
		worst := pki.Severity(0)
		for _, f := range report.Findings {
			if f.Rule == info.Rule && f.Severity > worst {
				worst = f.Severity
				r.Outcome = f.Severity.String()
			}
		}
		out = append(out, r)
	}
	return out
}

// place names the place of certificate i of a chain.
func place(role pki.Role, i int, c inspect.Certificate) string {
	switch {
	case i < 0:
		return "chain"
	case c.Subject == c.Issuer:
		return "root"
	case i == 0 && role.Kind() == pki.KindIntermediate:
		return "issuing CA"
	case i == 0:
		return "leaf"
	}
	return "intermediate"
}

// parseTime takes a day, which begins at midnight UTC, or a moment.
func parseTime(flag, text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, cli.Usagef("--%s %q is neither a day such as 2030-01-31 nor a time such as 2030-01-31T12:00:00Z", flag, text)
	}
	return t, nil
}

// write draws the chain with its findings, and the verdict.
func (a *checkJSON) write(env *cli.Env) error {
	root := &inspect.Node{Text: fmt.Sprintf("%s: chain for %s of %s", a.File, a.Role, cli.Plural(len(a.Certificates), "certificate"))}
	for i, c := range a.Certificates {
		n := root.Add(fmt.Sprintf("%d %s: %s", i+1, place(pki.Role(a.Role), i, c), c.Subject))
		n.Add(c.Key + ", " + c.Validity())
		a.grow(n, i)
	}
	a.grow(root, -1)
	if len(a.Rules) > 0 {
		rules := root.Add(fmt.Sprintf("rules for %s", a.Role))
		for _, r := range a.Rules {
			rules.Add(fmt.Sprintf("%-11s %s: %s [%s]", r.Outcome, r.Rule, r.Summary, r.Clause))
		}
	}
	if err := root.Write(env.Stdout); err != nil {
		return err
	}
	return env.Answer("%s", a.verdict())
}

// grow hangs the findings on certificate i below n, -1 being those on the chain.
func (a *checkJSON) grow(n *inspect.Node, i int) {
	for _, f := range a.Findings {
		if f.Certificate == i {
			finding := n.Add(fmt.Sprintf("%v: %s [%s; %s]", f.Severity, f.Detail, f.Rule, f.Clause))
			if f.Cure != "" {
				finding.Add("cure: " + f.Cure)
			}
		}
	}
}

func (a *checkJSON) verdict() string {
	count := map[pki.Severity]int{}
	for _, f := range a.Findings {
		count[f.Severity]++
	}
	var found []string
	for _, s := range []pki.Severity{pki.Error, pki.Warning, pki.Note} {
		if n := count[s]; n > 0 {
			found = append(found, cli.Plural(n, s.String()))
		}
	}
	text := "fit"
	if !a.Fit {
		text = "NOT FIT"
	}
	text += " for " + a.Role + " at " + a.Time.Format(time.RFC3339)
	if a.KeyChecked && !a.hasRule(pki.RuleLeafKey) {
		text += ", with the key given"
	}
	if len(found) > 0 {
		text += ": " + strings.Join(found, ", ")
	}
	return text
}

func (a *checkJSON) hasRule(rule pki.Rule) bool {
	for _, f := range a.Findings {
		if f.Rule == rule {
			return true
		}
	}
	return false
}
