package artifactcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/envelope"
	"github.com/fencepost-tsa/fencepost/cmd/internal/notary/show"
	"github.com/fencepost-tsa/fencepost/cmd/internal/oci"
)

// Media types by which signatures of others than the Notary Project are known.
const (
	// bundlePrefix begins the type of Sigstore bundles of every version.
	bundlePrefix = "application/vnd.dev.sigstore.bundle"
	// cosignReferrer is what Cosign attached while referrers were new.
	cosignReferrer = "application/vnd.dev.cosign.artifact.sig.v1+json"
	// bundleV03 is the version that is written today.
	bundleV03 = bundlePrefix + ".v0.3+json"
)

// imageList are the flags of "image list".
type imageList struct {
	dir      string
	max      int
	registry registry
}

func newImageList(env *cli.Env) *cobra.Command {
	var o imageList
	cmd := &cobra.Command{
		Use:     "list REF",
		Aliases: []string{"ls"},
		Short:   "List the signatures of an artifact, of every format",
		Long: `List the signatures that are stored beside an artifact: those of the Notary
Project, Sigstore bundles, and what Cosign keeps under tags. None is verified.

Exit status: 0 listed, even if there is none; 2 they could not be.`,
		Args: exactly("REF"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args[0]) },
	}
	maxFlag(cmd, &o.max)
	o.registry.flags(cmd)
	configDir(cmd, &o.dir)
	return cmd
}

func (o *imageList) run(ctx context.Context, env *cli.Env, ref string) error {
	if o.max < 1 {
		return cli.Usagef("--max-signatures is at least 1, not %d", o.max)
	}
	dir, err := findDir(env, o.dir)
	if err != nil {
		return err
	}
	a, err := o.registry.open(ctx, env, dir, ref)
	if err != nil {
		return err
	}
	list := show.NewList(a.String(), a.subject.MediaType)
	l := lister{artifact: a, list: list, left: o.max}
	if err := l.referrers(ctx); err != nil {
		return err
	}
	for _, suffix := range []string{"sig", "att"} {
		if err := l.tagged(ctx, suffix); err != nil {
			return err
		}
	}
	if env.JSON {
		return env.WriteJSON(list)
	}
	return list.Write(env.Stdout)
}

// known reports whether a type is one of signatures.
func known(artifactType string) bool {
	return artifactType == envelope.ArtifactType || artifactType == cosignReferrer || strings.HasPrefix(artifactType, bundlePrefix)
}

// A lister finds the signatures of an artifact.
type lister struct {
	artifact *artifact
	list     *show.List
	left     int // so many more are listed
}

func (l *lister) referrers(ctx context.Context) error {
	return l.artifact.repository.Referrers(ctx, l.artifact.subject, []string{envelope.ArtifactType, bundleV03, cosignReferrer}, func(r oci.Referrer) error {
		one := show.Listed{Digest: r.Digest.String()}
		if r.Err != nil { // it may be one
			one.Error = r.Err.Error()
		} else if !known(r.ArtifactType) {
			return nil
		}
		return l.add(r.ArtifactType, one)
	})
}

// tagged lists what Cosign keeps under a tag that is made of the digest: a
// manifest with a layer for each signature.
func (l *lister) tagged(ctx context.Context, suffix string) error {
	subject := l.artifact.subject.Digest
	tag := fmt.Sprintf("%s-%s.%s", subject.Algorithm(), subject.Encoded(), suffix)
	d, err := l.artifact.repository.Resolve(ctx, tag)
	var e *oci.Error
	if errors.As(err, &e) && e.Kind == oci.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := l.artifact.repository.Manifest(ctx, d)
	if err != nil {
		return err
	}
	for _, layer := range m.Layers {
		if err := l.add(layer.MediaType, show.Listed{Digest: layer.Digest.String(), Tag: tag}); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) add(artifactType string, one show.Listed) error {
	if l.left == 0 {
		return cli.Hint(fmt.Errorf("%s has more signatures than are listed", l.artifact), "list more with --max-signatures")
	}
	l.left--
	l.list.Add(artifactType, one)
	return nil
}
