package artifactcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/directory"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
)

// configDir defines the flag of the configuration directory, which all commands
// have.
func configDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "config-dir", "", "the configuration `directory`; also in $"+directory.Variable+" and $"+directory.NotationVariable)
}

func findDir(env *cli.Env, dir string) (directory.Dir, error) { return directory.Find(dir, env.Getenv) }

// imageSign are the flags of "image sign".
type imageSign struct {
	dir      string
	registry registry
	signing  signing
}

func newImageSign(env *cli.Env) *cobra.Command {
	var o imageSign
	cmd := &cobra.Command{
		Use:   "sign REF",
		Short: "Sign an artifact in a registry, and have the signature stamped",
		Long: `Sign an artifact in a registry, have the signature stamped by a timestamp
authority, and store it beside the artifact. Notation and everything else that
follows the Notary Project's specification verifies it.

With --timestamp-url the signature outlives its certificate. Several authorities
are asked in turn until one answers. Nothing is stored if anything fails: the
authority does not answer, its root certificate is another one, it is revoked.

Exit status: 0 signed, 1 the authority refused or its timestamp does not verify,
2 anything else.`,
		Example: `  fencepost image sign --key file:key.pem --certificate-chain chain.pem \
    --timestamp-url https://tsa.example.com/api/v1/timestamp --timestamp-root-cert root.pem \
    registry.example.com/app@sha256:…`,
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	o.signing.flags(env, cmd)
	o.registry.flags(cmd)
	o.registry.pushFlags(cmd)
	configDir(cmd, &o.dir)
	return cmd
}

func (o *imageSign) run(ctx context.Context, env *cli.Env, ref string) error {
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	s, closeKey, err := o.signing.open(ctx, env, dir)
	if err != nil {
		return err
	}
	defer closeKey()
	a, err := o.registry.open(ctx, env, dir, ref)
	if err != nil {
		return err
	}
	a.warnOfTag(env, "sign")
	sig, err := s.Sign(ctx, notary.TargetOf(a.subject))
	if err != nil {
		return unsigned(err)
	}
	return push(ctx, env, a, sig, "signed")
}

// push stores a signature and tells of it.
func push(ctx context.Context, env *cli.Env, a *artifact, sig *notary.Signature, verb string) error {
	answer := describeSigned(env, sig, a.String())
	stored, err := notary.Push(ctx, a.repository, a.subject, sig)
	if err != nil {
		return fmt.Errorf("the signature was made and could not be stored: %w", err)
	}
	answer.Signature = stored.Digest.String()
	return answer.tell(env, verb)
}

// repositoryOf is what stands before the digest of an artifact.
func repositoryOf(artifact string) string {
	return artifact[:strings.LastIndexByte(artifact, '@')]
}

// imageVerify are the flags of "image verify".
type imageVerify struct {
	dir       string
	scope     string
	max       int
	registry  registry
	verifying verifying
}

func newImageVerify(env *cli.Env) *cobra.Command {
	var o imageVerify
	cmd := &cobra.Command{
		Use:   "verify REF",
		Short: "Verify the signatures of an artifact by the trust policy",
		Long: `Verify the signatures of an artifact by the trust policy and the trust stores of
the configuration directory. One signature that verifies is enough; what was
checked of it is shown, and of all signatures if none verifies.

With --oci-layout, --scope says which statement of the trust policy applies.

Exit status: 0 verified, or the trust policy skips verification; 1 not; 2 it
could not be told, because something was not reached or read.`,
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	o.verifying.flags(cmd)
	f := cmd.Flags()
	f.BoolVarP(&o.verifying.verbose, "verbose", "v", false, "show the checks of signatures that were passed over, too")
	f.StringVar(&o.scope, "scope", "", "with --oci-layout, the `HOST/REPOSITORY` by which the trust policy knows the artifact")
	maxFlag(cmd, &o.max)
	o.registry.flags(cmd)
	configDir(cmd, &o.dir)
	return cmd
}

func maxFlag(cmd *cobra.Command, max *int) {
	cmd.Flags().IntVar(max, "max-signatures", notary.DefaultMaxSignatures, "look at so many signatures at most")
}

func (o *imageVerify) run(ctx context.Context, env *cli.Env, ref string) error {
	switch {
	case o.max < 1:
		return cli.Usagef("--max-signatures is at least 1, not %d", o.max)
	case o.registry.layout && o.scope == "":
		return cli.Usagef("--oci-layout needs --scope, because the trust policy goes by repositories")
	case !o.registry.layout && o.scope != "":
		return cli.Usagef("--scope goes with --oci-layout: a registry's artifact has the scope of its repository")
	}
	want, err := o.verifying.check()
	if err != nil {
		return err
	}
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	policy, err := imagePolicy(env, dir)
	if err != nil {
		return err
	}
	scope := o.scope
	if scope == "" {
		r, err := oci.ParseReference(ref)
		if err != nil {
			return &cli.Error{Usage: true, Err: err}
		}
		scope = r.Name()
	}
	st, err := policy.ForImage(scope)
	if err != nil {
		return err
	}
	if st.Skips() { // nothing is fetched
		return skip(env, st, ref)
	}
	v, err := o.verifying.open(env, dir)
	if err != nil {
		return err
	}
	a, err := o.registry.open(ctx, env, dir, ref)
	if err != nil {
		return err
	}
	a.warnOfTag(env, "verify")
	progress := env.Progress("verifying signatures", 0)
	report, err := v.Image(ctx, notary.Image{
		Repository: a.repository, Subject: a.subject, Statement: st, Metadata: want, Max: o.max,
		Observe: func(notary.Verified) { progress.Add(1) },
	})
	progress.End()
	if err != nil {
		return err
	}
	answer := verifiedJSON{Artifact: a.String(), Verified: report.Verified, Policy: st.Name, Level: st.Level, At: o.verifying.now,
		Signatures: []outcomeJSON{}, undecided: report.Undecided}
	for _, s := range report.Signatures {
		answer.Signatures = append(answer.Signatures, describeOutcome(s.Descriptor.Digest.String(), s.Format, s.Outcome))
	}
	return o.verifying.tell(env, &answer, report.Err)
}

// imagePolicy reads the trust policy for images.
func imagePolicy(env *cli.Env, dir directory.Dir) (*trustpolicy.Document, error) {
	return policyIn(env, dir.ImagePolicy, trustpolicy.ParseImages)
}

// policyIn reads a trust policy, and warns of what it says to nobody.
func policyIn(env *cli.Env, read func() (string, []byte, error), parse func([]byte) (*trustpolicy.Document, error)) (*trustpolicy.Document, error) {
	path, data, err := read()
	if err != nil {
		return nil, err
	}
	doc, err := parse(data)
	if err != nil {
		return nil, prefixed(path, err)
	}
	for _, w := range doc.Warnings {
		env.Warn("%s: %v", path, w)
	}
	return doc, nil
}

// imageRestamp are the flags of "image restamp".
type imageRestamp struct {
	dir       string
	signature string
	max       int
	registry  registry
	stamping  stamping
}

func newImageRestamp(env *cli.Env) *cobra.Command {
	var o imageRestamp
	cmd := &cobra.Command{
		Use:   "restamp --timestamp-url URL --timestamp-root-cert FILE REF",
		Short: "Give a signature of an artifact a fresh timestamp",
		Long: `Give a signature that is stored beside an artifact its first timestamp, or one of
another authority. The signature with the new timestamp is stored as another
one; the old one stays.

That is possible while every certificate of the signer is valid, and refused
afterwards, because no verifier would accept it. Who signed is not verified.

Exit status: 0 done, 1 refused, 2 anything else.`,
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	cmd.Flags().StringVar(&o.signature, "signature", "", "the `digest` of the signature's manifest, where there are several")
	maxFlag(cmd, &o.max)
	o.stamping.flags(cmd)
	o.registry.flags(cmd)
	o.registry.pushFlags(cmd)
	configDir(cmd, &o.dir)
	cli.Mirror(env, cmd, "timestamp-url", "timestamp-root-cert")
	return cmd
}

func (o *imageRestamp) run(ctx context.Context, env *cli.Env, ref string) error {
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	stamper, err := o.stamping.required(env)
	if err != nil {
		return err
	}
	a, err := o.registry.open(ctx, env, dir, ref)
	if err != nil {
		return err
	}
	stored, err := o.choose(ctx, a)
	if err != nil {
		return err
	}
	if err := notary.CheckSubject(&stored.Envelope.Unverified, a.subject); err != nil { // before anybody is asked
		return classify(err)
	}
	sig, err := notary.Restamp(ctx, stored.Envelope, stamper, time.Now)
	if err != nil {
		return classify(err)
	}
	return push(ctx, env, a, sig, "restamped the signature of")
}

// choose returns the signature that is meant.
func (o *imageRestamp) choose(ctx context.Context, a *artifact) (*notary.Stored, error) {
	var chosen *notary.Stored
	var digests []string
	err := signaturesOf(ctx, a, o.max, func(s notary.Stored) notary.Stored { return s }, func(s notary.Stored) error {
		digests = append(digests, s.Descriptor.Digest.String())
		switch {
		case o.signature == digests[len(digests)-1]:
			chosen = &s
			return notary.ErrEnough
		case o.signature == "" && len(digests) == 1:
			chosen = &s
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(digests) == 0:
		return nil, cli.Refused(reasonNone, fmt.Errorf("%s: %w", a, notary.ErrNoSignature))
	case o.signature == "" && len(digests) > 1:
		return nil, cli.Hint(fmt.Errorf("%s has %d signatures", a, len(digests)), "name one with --signature: %s", some(digests))
	case chosen == nil:
		return nil, cli.Hint(fmt.Errorf("%s has no signature %s", a, o.signature), "there are %s", some(digests))
	case chosen.Err != nil:
		return nil, classify(chosen.Err)
	}
	return chosen, nil
}

// maxNamed is how many signatures a hint names.
const maxNamed = 10

// some lists digests for a hint.
func some(digests []string) string {
	text := strings.Join(digests[:min(len(digests), maxNamed)], ", ")
	if more := len(digests) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// reasonNone is the reason of an answer about an artifact without signatures.
const reasonNone = "no-signature"

// signaturesOf visits the signatures of an artifact. Not one of them is verified.
// What handle makes of one is all that is kept of it: there may be many, and
// large ones.
func signaturesOf[T any](ctx context.Context, a *artifact, max int, handle func(notary.Stored) T, visit func(T) error) error {
	if max < 1 {
		return cli.Usagef("--max-signatures is at least 1, not %d", max)
	}
	err := notary.Signatures(ctx, notary.Query{Repository: a.repository, Subject: a.subject, Max: max}, func(ctx context.Context, s notary.Stored) (T, error) {
		return handle(s), ctx.Err()
	}, func(_ notary.Stored, made T) error { return visit(made) })
	if errors.Is(err, notary.ErrTooMany) {
		err = cli.Hint(err, "look at more with --max-signatures")
	}
	return err
}
