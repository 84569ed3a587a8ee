package trustcmd

import (
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

type initOptions struct {
	policyOptions
	statement statementJSON
	out       string
}

// documentJSON is a trust policy, in the order in which people write it.
type documentJSON struct {
	Version  string          `json:"version"`
	Policies []statementJSON `json:"trustPolicies"`
}

type statementJSON struct {
	Name         string           `json:"name"`
	Scopes       []string         `json:"registryScopes,omitempty"`
	Global       bool             `json:"globalPolicy,omitempty"`
	Verification verificationJSON `json:"signatureVerification"`
	Stores       []string         `json:"trustStores,omitempty"`
	Identities   []string         `json:"trustedIdentities,omitempty"`
}

type verificationJSON struct {
	Level           string `json:"level"`
	VerifyTimestamp string `json:"verifyTimestamp,omitempty"`
}

func newInit(env *cli.Env) *cobra.Command {
	o := initOptions{policyOptions: policyOptions{place: place{env: env}}}
	cmd := &cobra.Command{
		Use:   "init --name NAME --trust-store TYPE:NAME... --trusted-identity IDENTITY...",
		Short: "Write a first trust policy",
		Long: `Write a first trust policy of one statement, and put it into force; with --out,
write it to a file, to be edited and imported.

A timestamp counts only if the statement has a trust store of the type tsa.

Exit status: 0 it is written, 2 it is not.`,
		Example: `  fencepost policy init --name prod --trust-store ca:acme --trust-store tsa:acme \
      --trusted-identity "x509.subject: C=US, ST=WA, O=acme-rockets.io" --scope registry.example/app
  fencepost policy init --blob --global --name files --trust-store ca:acme --trusted-identity "*"`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.statement.Name, "name", "n", "", "the `name` of the statement; required")
	f.StringArrayVar(&o.statement.Stores, "trust-store", nil, "trust the certificates of this `store`, such as ca:acme or tsa:acme; repeat it for others")
	f.StringArrayVar(&o.statement.Identities, "trusted-identity", nil, "trust this `identity`, such as \"x509.subject: C=US, ST=WA, O=acme\"; \"*\" is whoever the stores vouch for; repeat it for others")
	f.StringArrayVar(&o.statement.Scopes, "scope", nil, "for artifacts of this `repository`, such as registry.example/app; repeat it for others (default \"*\", all)")
	f.StringVar(&o.statement.Verification.Level, "level", string(trustpolicy.LevelStrict), "the `level` of verification: strict, permissive, audit or skip")
	f.StringVar(&o.statement.Verification.VerifyTimestamp, "verify-timestamp", "", "`when` a timestamp is looked at: always, or afterCertExpiry (default always)")
	f.BoolVar(&o.statement.Global, "global", false, "with --blob, for every file that no policy is named for")
	f.StringVarP(&o.out, "out", "o", "", "write to this `file` (\"-\": standard output), and put nothing into force")
	f.BoolVar(&o.force, "force", false, "replace the policy, or the file, that is there")
	return cmd
}

func (o *initOptions) run() error {
	env, s := o.env, &o.statement
	skips := s.Verification.Level == string(trustpolicy.LevelSkip)
	switch {
	case s.Name == "":
		return cli.Usagef("the statement needs a --name")
	case o.blob && len(s.Scopes) > 0:
		return cli.Hint(cli.Usagef("--scope does not go with --blob: files are in no repository"), "use --global, or name the statement with blob verify --policy-name")
	case !o.blob && s.Global:
		return cli.Hint(cli.Usagef("--global goes with --blob"), "the statement for all images is the one with --scope \"*\"")
	case o.out == "-" && env.JSON:
		return cli.Usagef("--json and --out - would both write to standard output")
	case !skips && len(s.Stores) == 0:
		return cli.Hint(cli.Usagef("nothing to trust: a signature is verified against a trust store"), "name one with --trust-store ca:NAME")
	case !skips && len(s.Identities) == 0:
		return cli.Hint(cli.Usagef("nobody to trust: it is not said who signs"), "name them with --trusted-identity \"x509.subject: C=..., ST=..., O=...\", or \"*\" for whoever the trust stores vouch for")
	}
	if !o.blob && len(s.Scopes) == 0 {
		s.Scopes = []string{"*"}
	}
	data, err := cli.MarshalJSON(documentJSON{Version: trustpolicy.Version, Policies: []statementJSON{*s}})
	if err != nil {
		return err
	}
	d, err := o.dir()
	if err != nil {
		return err
	}
	v, err := o.judge(data, d, strict)
	if err != nil {
		return err
	}
	if err := v.refusal("what the flags make"); err != nil {
		return &cli.Error{Usage: true, Reason: reasonPolicy, Err: err}
	}
	answer := importJSON{Kind: o.kind(), verdict: v}
	if o.out == "" {
		if err := o.enforce(d, data, &answer); err != nil {
			return err
		}
		return o.answer(answer)
	}
	file := cli.File{Path: o.out, Data: data}
	if !o.force {
		file.Existing = cli.Keep
	}
	if err := env.Write(file); err != nil {
		return cli.Hint(err, "use --force to replace it")
	}
	if o.out == "-" {
		v.warn(env, "the policy")
		return nil
	}
	answer.File = o.out
	return o.answer(answer)
}
