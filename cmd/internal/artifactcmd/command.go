// Package artifactcmd is "fencepost image" and "fencepost blob": it signs
// artifacts in registries and layouts, and files, has the signatures stamped,
// and verifies and shows them.
package artifactcmd

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// NewImage returns the command group for what is in registries and layouts.
func NewImage(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Sign and verify images and other artifacts in registries",
		Long: `Sign images and other artifacts in OCI registries and layouts, with timestamps,
and verify such signatures, as the Notary Project specifies.

REF is HOST[:PORT]/REPOSITORY with :TAG or @DIGEST, with --oci-layout a directory
with :TAG or @DIGEST.`,
	}
	cmd.AddCommand(newImageSign(env), newImageVerify(env), newImageInspect(env), newImageList(env), newImageRestamp(env))
	return cmd
}

// NewBlob returns the command group for files.
func NewBlob(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blob",
		Short: "Sign and verify files",
		Long: `Sign files, with timestamps, and verify such signatures, as the Notary Project
specifies. The signature of FILE is a file of its own, FILE.jws.sig or
FILE.cose.sig.`,
	}
	cmd.AddCommand(newBlobSign(env), newBlobVerify(env), newBlobInspect(env), newBlobRestamp(env))
	return cmd
}

// refuseEmpty refuses flags and arguments without a text.
func refuseEmpty(cmd *cobra.Command, args []string) error {
	if slices.Contains(args, "") {
		return cli.Usagef("an argument is empty")
	}
	return cli.RefuseEmpty(cmd)
}

// exactly is cobra.ExactArgs for one argument, with a message that names it.
func exactly(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return cli.Usagef("%s is missing", name)
		case len(args) > 1:
			return cli.Usagef("one %s, not %d", name, len(args))
		}
		return refuseEmpty(cmd, args)
	}
}
