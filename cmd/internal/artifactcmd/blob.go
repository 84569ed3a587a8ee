package artifactcmd

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/trustpolicy"
)

// defaultMediaType is that of a file of which nobody says more.
const defaultMediaType = "application/octet-stream"

// signatureSuffix ends the name of a file with a signature.
const signatureSuffix = ".sig"

// target describes a file as signatures do: by the digest with the hash of the
// signer's key.
func target(env *cli.Env, file, mediaType string, h crypto.Hash) (envelope.Target, error) {
	names := map[crypto.Hash]digest.Algorithm{crypto.SHA256: digest.SHA256, crypto.SHA384: digest.SHA384, crypto.SHA512: digest.SHA512}
	f, err := env.Open(file)
	if err != nil {
		return envelope.Target{}, err
	}
	defer f.Close()
	progress := env.Progress("hashing", 0)
	defer progress.End()
	sum := h.New()
	size, err := io.Copy(sum, progress.Reader(f))
	if err != nil {
		return envelope.Target{}, prefixed(file, err)
	}
	return envelope.Target{MediaType: mediaType, Digest: digest.NewDigest(names[h], sum).String(), Size: size}, nil
}

// blobSign are the flags of "blob sign".
type blobSign struct {
	dir       string
	mediaType string
	out       string
	force     bool
	signing   signing
}

func newBlobSign(env *cli.Env) *cobra.Command {
	var o blobSign
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a file, and have the signature stamped",
		Long: `Sign a file, have the signature stamped by a timestamp authority, and write it to
FILE.jws.sig or FILE.cose.sig. Neither the key's service nor the authority sees
the file.

Exit status: 0 signed, 1 the authority refused or its timestamp does not verify,
2 anything else.`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&o.mediaType, "media-type", defaultMediaType, "the media `type` of the file, which is signed too")
	f.StringVar(&o.out, "signature-directory", "", "write the signature into this `directory` instead of that of the file")
	f.BoolVarP(&o.force, "force", "f", false, "replace a signature that is there")
	o.signing.flags(env, cmd)
	configDir(cmd, &o.dir)
	return cmd
}

func (o *blobSign) run(ctx context.Context, env *cli.Env, file string) error {
	if file == "-" {
		return cli.Usagef("a signature is of a file: it has its name, and its length is signed")
	}
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	format, err := o.signing.formatOf(dir)
	if err != nil {
		return err
	}
	out := cli.File{Path: file + "." + string(format) + signatureSuffix, Inputs: []string{file}}
	if o.out != "" {
		if _, err := os.Stat(o.out); err != nil { // before anybody is asked
			return cli.Hint(fmt.Errorf("--signature-directory: %w", err), "make the directory first")
		}
		out.Path = filepath.Join(o.out, filepath.Base(out.Path))
	}
	if !o.force {
		out.Existing = cli.Keep
	}
	if err := env.Vacant(out); err != nil { // before anybody is asked
		return cli.Hint(err, "use --force to replace it")
	}
	s, closeKey, err := o.signing.open(ctx, env, dir)
	if err != nil {
		return err
	}
	defer closeKey()
	h, err := envelope.HashFor(s.Chain[0].PublicKey)
	if err != nil {
		return err
	}
	t, err := target(env, file, o.mediaType, h)
	if err != nil {
		return err
	}
	sig, err := s.Sign(ctx, t)
	if err != nil {
		return unsigned(err)
	}
	out.Data = sig.Envelope
	return write(env, out, describeSigned(env, sig, file), "signed")
}

// write stores the signature of a file, and tells of it.
func write(env *cli.Env, out cli.File, answer *signedJSON, verb string) error {
	if err := env.Write(out); err != nil {
		return err
	}
	answer.Signature = out.Path
	return answer.tell(env, verb)
}

// readSignature reads the envelope in a file, whose format its name tells.
func readSignature(env *cli.Env, file string) (*envelope.Envelope, error) {
	format, err := formatOfFile(file)
	if err != nil {
		return nil, err
	}
	data, err := env.ReadFile(file, envelope.MaxSize)
	if err != nil {
		return nil, err
	}
	e, err := envelope.Parse(format, data)
	if err != nil {
		return nil, prefixed(file, err)
	}
	return e, nil
}

func formatOfFile(file string) (envelope.Format, error) {
	for _, f := range envelope.Formats() {
		if strings.HasSuffix(file, "."+string(f)+signatureSuffix) {
			return f, nil
		}
	}
	return "", cli.Hint(fmt.Errorf("%s: the name does not tell the format of the signature", file), "a signature's name ends in .jws.sig or .cose.sig")
}

// blobVerify are the flags of "blob verify".
type blobVerify struct {
	dir       string
	signature string
	policy    string
	mediaType string
	verifying verifying
}

func newBlobVerify(env *cli.Env) *cobra.Command {
	var o blobVerify
	cmd := &cobra.Command{
		Use:   "verify --signature FILE.sig FILE",
		Short: "Verify the signature of a file by the trust policy",
		Long: `Verify the signature of a file by the trust policy for files and the trust stores
of the configuration directory. Without --policy-name the statement with
globalPolicy applies.

Exit status: 0 verified, or the trust policy skips verification; 1 not; 2 it
could not be told, because something was not reached or read.`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.signature, "signature", "s", "", "the signature, in this `file`")
	f.StringVar(&o.policy, "policy-name", "", "verify by the trust policy statement of this `name`")
	f.StringVar(&o.mediaType, "media-type", "", "accept only a signature that says that the file has this media `type`")
	o.verifying.flags(cmd)
	configDir(cmd, &o.dir)
	return cmd
}

func (o *blobVerify) run(ctx context.Context, env *cli.Env, file string) error {
	if o.signature == "" {
		return cli.Usagef("--signature is missing: the file with the signature of %s", file)
	}
	metadata, err := o.verifying.check()
	if err != nil {
		return err
	}
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	doc, err := policyIn(env, dir.FilePolicy, trustpolicy.ParseFiles)
	if err != nil {
		return err
	}
	st, err := doc.ForFile(o.policy)
	if err != nil {
		return err
	}
	if st.Skips() {
		return skip(env, st, file)
	}
	v, err := o.verifying.open(env, dir)
	if err != nil {
		return err
	}
	outcome, format, err := o.verify(ctx, env, v, st, notary.Want{
		Metadata: metadata,
		Target:   func(h crypto.Hash) (envelope.Target, error) { return target(env, file, o.mediaType, h) },
	})
	if err != nil {
		return err
	}
	answer := verifiedJSON{Artifact: file, Verified: outcome.Verified, Policy: st.Name, Level: st.Level, At: o.verifying.now,
		Signatures: []outcomeJSON{describeOutcome(o.signature, format, outcome)}, undecided: outcome.Undecided}
	return o.verifying.tell(env, &answer, outcome.Err)
}

// verify verifies the signature in the file, and returns its format, "" if it has
// none.
func (o *blobVerify) verify(ctx context.Context, env *cli.Env, v *notary.Verifier, st *trustpolicy.Statement, want notary.Want) (*notary.Outcome, envelope.Format, error) {
	e, err := readSignature(env, o.signature)
	var malformed *envelope.Error
	if errors.As(err, &malformed) {
		return notary.Broken(st, err), "", nil
	} else if err != nil {
		return nil, "", err
	}
	outcome, err := v.Verify(ctx, e, st, want)
	return outcome, e.Format, err
}

// blobRestamp are the flags of "blob restamp".
type blobRestamp struct {
	out      string
	force    bool
	stamping stamping
}

func newBlobRestamp(env *cli.Env) *cobra.Command {
	var o blobRestamp
	cmd := &cobra.Command{
		Use:   "restamp --timestamp-url URL --timestamp-root-cert FILE -o NEW.sig FILE.sig",
		Short: "Give the signature of a file a fresh timestamp",
		Long: `Give a signature in a file its first timestamp, or one of another authority, and
write it to another file.

That is possible while every certificate of the signer is valid, and refused
afterwards, because no verifier would accept it. Who signed is not verified.

Exit status: 0 done, 1 refused, 2 anything else.`,
		Args: exactly("FILE.sig"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.out, "out", "o", "", "write the signature to this `file`, whose name ends as that of the old one")
	f.BoolVarP(&o.force, "force", "f", false, "replace a file that is there")
	o.stamping.flags(cmd)
	cli.Mirror(env, cmd, "timestamp-url", "timestamp-root-cert")
	return cmd
}

func (o *blobRestamp) run(ctx context.Context, env *cli.Env, file string) error {
	if o.out == "" {
		return cli.Usagef("--out is missing: the old signature stays, and the new one needs a name")
	}
	e, err := readSignature(env, file)
	if err != nil {
		return classify(err)
	}
	if format, err := formatOfFile(o.out); err != nil {
		return err
	} else if format != e.Format {
		return cli.Usagef("%s does not end in .%s%s, as the format of the signature wants it", o.out, e.Format, signatureSuffix)
	}
	out := cli.File{Path: o.out, Inputs: []string{file}}
	if !o.force {
		out.Existing = cli.Keep
	}
	if err := env.Vacant(out); err != nil {
		return cli.Hint(err, "use --force to replace it")
	}
	stamper, err := o.stamping.required(env)
	if err != nil {
		return err
	}
	sig, err := notary.Restamp(ctx, e, stamper, time.Now)
	if err != nil {
		return classify(err)
	}
	out.Data = sig.Envelope
	return write(env, out, describeSigned(env, sig, file), "restamped")
}
