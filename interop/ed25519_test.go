package interop

import (
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// TestEd25519 holds who understands tokens signed with Ed25519, which RFC 8419, 3.1 has go with SHA-512.
// OpenSSL 3.0 does not, which is what the documentation warns of; when it learns to, this fails.
func TestEd25519(t *testing.T) {
	a, w := startKey(t, "ed25519"), scratch(t)
	w.write(t, "data", []byte("the data"))
	w.write(t, "other", []byte("other data"))
	w.ask(t, a, "data", "data", "-sha256", "-cert")
	w.verifies(t, a, "data.tsr", "data")
	w.rejects(t, a, reasonImprint, "data.tsr", "other")

	w.accept(t, []string{"verified "}, stamp("verify", a.root, "data", "data.tsq", "data.tsr")...)
	w.refuse(t, []string{"the token is for other data"}, stamp("verify", a.root, "other", "data.tsq", "data.tsr")...)
	byRoot := []string{theirs(t, peers.TimestampCLI), "verify", "--timestamp", "data.tsr",
		"--root-certificates", a.root, "--intermediate-certificates", a.intermediates, "--artifact"}
	w.accept(t, []string{"Successfully verified timestamp"}, append(byRoot, "data")...)
	w.refuse(t, []string{"hashed messages don't match"}, append(byRoot, "other")...)

	w.refuse(t, []string{"Verification: FAILED"}, opensslVerify(a, "data.tsr", "-data", "data")...)
}
