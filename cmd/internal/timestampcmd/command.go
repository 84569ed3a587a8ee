// Package timestampcmd is "fencepost timestamp": it asks any RFC 3161 authority
// for timestamps, verifies timestamps and shows what is in them.
package timestampcmd

import (
	"crypto"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "timestamp",
		Short: "Create, verify and inspect timestamps of any authority",
		Long: `Create, verify and inspect timestamps of any RFC 3161 authority.

A timestamp proves that data existed at a time. It is kept beside the data: the
response of the authority as FILE.tsr, or the bare token as FILE.tst.`,
	}
	cmd.AddCommand(newCreate(env), newVerify(env), newInspect(env))
	return cmd
}

// hashes are the algorithms that an imprint can be made with, by the names
// that the flags take.
var hashes = []struct {
	name string
	hash crypto.Hash
}{
	{"sha256", crypto.SHA256},
	{"sha384", crypto.SHA384},
	{"sha512", crypto.SHA512},
	{"sha3-256", crypto.SHA3_256},
	{"sha3-384", crypto.SHA3_384},
	{"sha3-512", crypto.SHA3_512},
}

// hashNames lists them for help texts.
func hashNames() string {
	var names []string
	for _, h := range hashes {
		names = append(names, h.name)
	}
	return strings.Join(names, ", ")
}

// parseHash takes "sha256", "SHA-256" and the like.
func parseHash(name string) (crypto.Hash, error) {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "") }
	i := slices.IndexFunc(hashes, func(h struct {
		name string
		hash crypto.Hash
	}) bool {
		return plain(h.name) == plain(name)
	})
	if i < 0 {
		return 0, cli.Usagef("hash algorithm %q is not one of %s", name, hashNames())
	}
	return hashes[i].hash, nil
}

// hashOfLength returns the SHA-2 hash whose digests have n octets.
func hashOfLength(n int) (crypto.Hash, error) {
	for _, h := range hashes[:3] {
		if h.hash.Size() == n {
			return h.hash, nil
		}
	}
	return 0, cli.Usagef("a digest of %d octets is of no hash algorithm known here", n)
}

// answers collects the exit status of many files: could not tell beats no,
// which beats yes.
type answers struct{ code cli.Code }

func (a *answers) add(c cli.Code) { a.code = max(a.code, c) }
