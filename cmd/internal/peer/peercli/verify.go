package peercli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/inspect"
	"github.com/fencepost-tsa/fencepost/cmd/internal/peer"
	"github.com/fencepost-tsa/fencepost/cmd/internal/timestampcmd"
	"github.com/fencepost-tsa/fencepost/tsp"
	"github.com/fencepost-tsa/fencepost/verify"
)

type verifyOptions struct {
	*global
	artifact, timestamp               *peer.Value
	chain, roots, intermediates, leaf *peer.Value
	oid                               *peer.Value
	nonce, commonName                 string
}

func newVerify(g *global) *cobra.Command {
	o := &verifyOptions{
		global: g, artifact: peer.File(), timestamp: peer.File(), oid: peer.OID(),
		chain: peer.File(), roots: peer.File(), intermediates: peer.File(), leaf: peer.File(),
	}
	cmd := &cobra.Command{
		Use:   "verify --timestamp FILE --artifact FILE (--certificate-chain FILE | --root-certificates FILE)",
		Short: "Verify a timestamp",
		Long: `Verify that a file existed at the time that its timestamp says, and that an
authority says so whose certificate leads to a root that you name. The chain must
have been valid at that time; that it has expired since does not matter.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return o.run() },
	}
	f := cmd.Flags()
	f.Var(o.artifact, "artifact", "the file that was stamped (\"-\": standard input); required")
	f.Var(o.timestamp, "timestamp", "the response or token; required")
	f.Var(o.chain, "certificate-chain", "trust the last certificate of the chain in this PEM file, and use the others")
	f.Var(o.roots, "root-certificates", "trust the certificates in this PEM file")
	f.Var(o.intermediates, "intermediate-certificates", "use the certificates in this PEM file to reach those of --root-certificates")
	f.Var(o.leaf, "certificate", "accept only the authority certificate in this PEM file, which a token without certificates needs")
	f.StringVar(&o.nonce, "nonce", "", "the nonce that the timestamp must have, a decimal number")
	f.Var(o.oid, "oid", "the policy that the timestamp must have")
	f.StringVar(&o.commonName, "common-name", "", "the common name that the authority's certificate must have")
	required(cmd, "artifact", "timestamp")
	return cmd
}

// verifyJSON is the answer of "verify --format json".
type verifyJSON struct {
	TimestampPath   string
	ParsedTimestamp *parsed
}

func (o *verifyOptions) run() error {
	policy, err := o.policy()
	if err != nil {
		return err
	}
	m, err := o.read(o.timestamp.String())
	if err != nil {
		return err
	}
	token, err := o.check(policy, m)
	if err != nil {
		var ve *verify.Error
		reason := ""
		if errors.As(err, &ve) {
			reason = string(ve.Reason)
		}
		if ve != nil && ve.Reason == verify.ReasonImprint {
			// The namesake's words, which scripts look for.
			err = fmt.Errorf("hashed messages don't match: %w", err)
		}
		return cli.Refused(reason, fmt.Errorf("failed to verify timestamp: %w", err))
	}
	if o.json() {
		p, err := parse(token)
		if err != nil {
			return err
		}
		return writeJSON(o.env.Stdout, verifyJSON{o.timestamp.String(), p})
	}
	return o.env.Answer("Successfully verified timestamp %s", o.timestamp)
}

func (o *verifyOptions) policy() (verify.Policy, error) {
	if (o.chain.String() == "") == (o.roots.String() == "") || o.intermediates.String() != "" && o.roots.String() == "" {
		return verify.Policy{}, cli.Usagef("what to trust is named either by --certificate-chain alone or by --root-certificates, perhaps with --intermediate-certificates")
	}
	trust := timestampcmd.Trust{Chain: o.chain.String(), Certificate: o.leaf.String(), CommonName: o.commonName}
	for file, list := range map[*peer.Value]*[]string{o.roots: &trust.Roots, o.intermediates: &trust.Intermediates, o.oid: &trust.Policies} {
		if file.String() != "" {
			*list = []string{file.String()}
		}
	}
	p, err := trust.Policy(o.env)
	if err != nil {
		return p, err
	}
	if o.nonce != "" {
		if p.Nonce, err = tsp.ParseInteger(o.nonce); err != nil {
			return p, cli.Usagef("--nonce: %w", err)
		}
	}
	return p, nil
}

// check returns the token of m if it verifies.
func (o *verifyOptions) check(policy verify.Policy, m *tsp.Message) (*tsp.Token, error) {
	token, err := m.TimeStampToken()
	if err != nil {
		return nil, err
	}
	imprint, err := timestampcmd.Imprint(o.env, o.artifact.String(), token.UnverifiedInfo.Imprint.Hash)
	if err != nil {
		return nil, err
	}
	_, err = policy.Token(token, imprint)
	return token, err
}

// read reads a response or a token in any form.
func (g *global) read(file string) (*tsp.Message, error) {
	data, err := g.env.ReadFile(file, 2*tsp.MaxMessage)
	if err != nil {
		return nil, err
	}
	m, err := tsp.ParseAny(data)
	if err != nil {
		return nil, cli.Refused(string(verify.ReasonMalformed), fmt.Errorf("%s: %w", file, err))
	}
	if m.Request != nil {
		return nil, fmt.Errorf("%s is a request, not a timestamp", file)
	}
	return m, nil
}

// inspectJSON is the answer of "inspect --format json".
type inspectJSON struct{ TimestampResponse *parsed }

func newInspect(g *global) *cobra.Command {
	file := peer.File()
	cmd := &cobra.Command{
		Use:   "inspect --timestamp FILE",
		Short: "Show what is in a timestamp",
		Long:  `Show what is in a timestamp. Nothing is verified: what is shown is what the file says.`,
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return g.inspect(file.String()) },
	}
	cmd.Flags().Var(file, "timestamp", "the response or token; required")
	required(cmd, "timestamp")
	return cmd
}

func (g *global) inspect(file string) error {
	m, err := g.read(file)
	if err != nil {
		return err
	}
	token, refused := m.TimeStampToken()
	if !g.json() {
		if err := inspect.Describe(file, m).Tree().Write(g.env.Stdout); err != nil || refused == nil {
			return err
		}
	}
	if refused != nil {
		return cli.Refused(string(verify.ReasonRefused), fmt.Errorf("%s: %w", file, refused))
	}
	p, err := parse(token)
	if err != nil {
		return err
	}
	return writeJSON(g.env.Stdout, inspectJSON{p})
}
