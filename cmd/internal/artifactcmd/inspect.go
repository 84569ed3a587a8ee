package artifactcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/show"
)

// imageInspect are the flags of "image inspect".
type imageInspect struct {
	dir      string
	max      int
	registry registry
}

func newImageInspect(env *cli.Env) *cobra.Command {
	var o imageInspect
	cmd := &cobra.Command{
		Use:   "inspect REF",
		Short: "Show what the signatures of an artifact say",
		Long: `Show what the signatures of an artifact say, with their certificates and
timestamps. Nothing of it is verified. With --json the answer has the form of
"notation inspect --output json".

Exit status: 0 shown; 1 there is no signature, or none that can be read; 2 they
could not be fetched.`,
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	maxFlag(cmd, &o.max)
	o.registry.flags(cmd)
	configDir(cmd, &o.dir)
	return cmd
}

func (o *imageInspect) run(ctx context.Context, env *cli.Env, ref string) error {
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	a, err := o.registry.open(ctx, env, dir, ref)
	if err != nil {
		return err
	}
	a.warnOfTag(env, "inspect")
	image := show.Image{Reference: a.String(), MediaType: a.subject.MediaType, Signatures: []*show.Signature{}}
	type described struct {
		signature *show.Signature
		err       error
	}
	var failed error
	read, undecided := 0, false
	err = signaturesOf(ctx, a, o.max, func(s notary.Stored) described {
		name := s.Descriptor.Digest.String()
		if s.Err != nil {
			return described{show.Unreadable(name, plain(s.Err)), s.Err}
		}
		return described{show.Describe(name, s.Envelope), nil}
	}, func(d described) error {
		image.Signatures = append(image.Signatures, d.signature)
		if d.err == nil {
			read++
			return nil
		}
		_, verdict := notary.ReasonOf(d.err)
		failed, undecided = d.err, undecided || !verdict
		return nil
	})
	if err != nil {
		return err
	}
	all := len(image.Signatures)
	if env.JSON {
		err = env.WriteJSON(image)
	} else {
		err = image.Write(env.Stdout)
	}
	switch {
	case err != nil:
		return err
	case all == 0 && env.JSON:
		return cli.Silently(cli.No)
	case all == 0:
		return cli.Refused(reasonNone, fmt.Errorf("%s: %w", a, notary.ErrNoSignature))
	case read == all:
		return nil
	}
	code := cli.No
	if undecided {
		code = cli.Unknown
	}
	if env.JSON {
		return cli.Silently(code)
	}
	return &cli.Error{Code: code, Err: fmt.Errorf("%d of %s could not be read, the last because %w", all-read, cli.Plural(all, "signature"), plain(failed))}
}

func newBlobInspect(env *cli.Env) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE.sig",
		Short: "Show what the signature of a file says",
		Long: `Show what the signature of a file says, with its certificates and its timestamp.
Nothing of it is verified. With --json the answer has the form of
"notation blob inspect --output json".

Exit status: 0 shown, 1 it is no signature, 2 it could not be read.`,
		Args: exactly("FILE.sig"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := readSignature(env, args[0])
			var malformed *envelope.Error
			if errors.As(err, &malformed) {
				return cli.Refused(string(malformed.Reason), plain(err))
			}
			if err != nil {
				return err
			}
			s := show.Describe("", e)
			if env.JSON {
				return env.WriteJSON(s)
			}
			return s.Tree(args[0]).Write(env.Stdout)
		},
	}
}
