package timestampcmd

import (
	"crypto"
	"encoding/hex"
	"os"
	"strings"

	"github.com/fencepost-tsa/fencepost/cmd/internal/cli"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// Imprint hashes a file, or standard input for "-". Whatever its size, it
// holds little of it in memory.
func Imprint(env *cli.Env, path string, h crypto.Hash) (tsp.Imprint, error) {
	r, err := env.Open(path)
	if err != nil {
		return tsp.Imprint{}, err
	}
	defer r.Close()
	var size int64
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
		size = st.Size()
	}
	progress := env.Progress("hashing "+path, size)
	defer progress.End()
	return tsp.ReadImprint(h, progress.Reader(r))
}

// parseDigest takes a digest in hexadecimal, perhaps with the name of its hash
// before it: "sha256:9f86d0…".
func parseDigest(text, hash string, hashGiven bool) (tsp.Imprint, error) {
	if name, digits, ok := strings.Cut(text, ":"); ok {
		if hashGiven && !strings.EqualFold(name, hash) {
			return tsp.Imprint{}, cli.Usagef("--digest names %s, --hash names %s", name, hash)
		}
		text, hash, hashGiven = digits, name, true
	}
	digest, err := hex.DecodeString(text)
	if err != nil {
		return tsp.Imprint{}, cli.Usagef("--digest is not hexadecimal: %v", err)
	}
	var h crypto.Hash
	if hashGiven {
		h, err = parseHash(hash)
	} else {
		h, err = hashOfLength(len(digest))
	}
	if err != nil {
		return tsp.Imprint{}, err
	}
	m, err := tsp.NewImprint(h, digest)
	if err != nil {
		return tsp.Imprint{}, cli.Usagef("--digest: %v", err)
	}
	return m, nil
}
