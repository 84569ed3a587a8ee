package interop

import (
	"math/big"
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// TestPeerClient: sigstore's timestamp-cli asks our server and judges what it gets.
func TestPeerClient(t *testing.T) {
	cli := theirs(t, peers.TimestampCLI)
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			a := startKey(t, keyType)
			for _, hash := range []string{"sha256", "sha384", "sha512"} {
				t.Run(hash, func(t *testing.T) {
					w := scratch(t)
					w.write(t, "data", []byte("the data"))
					w.write(t, "other", []byte("other data"))
					w.accept(t, []string{"Artifact timestamped at "}, cli, "--timestamp_server", a.base,
						"timestamp", "--hash", hash, "--artifact", "data", "--out", "data.tsr")
					byRoot := func(tsr, artifact string, flags ...string) []string {
						argv := []string{cli, "verify", "--timestamp", tsr, "--artifact", artifact,
							"--root-certificates", a.root, "--intermediate-certificates", a.intermediates}
						return append(argv, flags...)
					}
					w.accept(t, []string{"Successfully verified timestamp"}, byRoot("data.tsr", "data")...)
					w.accept(t, []string{"Successfully verified timestamp"}, cli, "verify", "--timestamp", "data.tsr",
						"--artifact", "data", "--certificate-chain", a.chain)
					w.accept(t, []string{`"ParsedTimestamp"`}, byRoot("data.tsr", "data", "--format", "json")...)
					w.accept(t, []string{"Successfully verified timestamp"},
						byRoot("data.tsr", "data", "--common-name", a.certificates[0].Subject.CommonName, "--oid", ourPolicy)...)
					w.accept(t, []string{`"HashAlgorithm"`}, cli, "inspect", "--timestamp", "data.tsr", "--format", "json")

					w.refuse(t, []string{"hashed messages don't match"}, byRoot("data.tsr", "other")...)
					w.refuse(t, []string{"nonce"}, byRoot("data.tsr", "data", "--nonce", big.NewInt(4711).String())...)
					w.refuse(t, []string{"does not match"}, byRoot("data.tsr", "data", "--common-name", "somebody else")...)
					w.write(t, "broken.tsr", flip(w.read(t, "data.tsr"), 10))
					w.refuse(t, []string{"verif"}, byRoot("broken.tsr", "data")...)
					w.refuse(t, []string{"verif"}, cli, "verify", "--timestamp", "data.tsr", "--artifact", "data",
						"--root-certificates", foreignRoot(t, w), "--intermediate-certificates", a.intermediates)
				})
			}
		})
	}
}

// TestPeerClientForms: no certificate in the token, no nonce, and a refusal by the server.
func TestPeerClientForms(t *testing.T) {
	cli := theirs(t, peers.TimestampCLI)
	a, w := startDev(t), scratch(t)
	w.write(t, "data", []byte("the data"))
	ask := func(flags ...string) []string {
		argv := []string{cli, "--timestamp_server", a.base, "timestamp", "--hash", "sha256", "--artifact", "data", "--out", "data.tsr"}
		return append(argv, flags...)
	}
	verify := []string{cli, "verify", "--timestamp", "data.tsr", "--artifact", "data",
		"--root-certificates", a.root, "--intermediate-certificates", a.intermediates}

	w.accept(t, nil, ask("--nonce=false")...)
	w.accept(t, []string{"Successfully verified timestamp"}, verify...)
	w.accept(t, nil, ask("--certificate=false")...)
	w.refuse(t, []string{"leaf certificate must be present"}, verify...)
	w.accept(t, []string{"Successfully verified timestamp"}, append(verify, "--certificate", leafOf(t, w, a))...)
	w.refuse(t, []string{"the requested TSA policy is not supported by the TSA"}, ask("--tsa-policy", "1.2.3.4")...)
}

// leafOf writes the signing certificate of an authority to a file of its own.
func leafOf(t *testing.T, w *tool, a *tsa) string {
	t.Helper()
	w.accept(t, nil, "openssl", "x509", "-in", a.chain, "-out", "leaf.pem")
	return w.path("leaf.pem")
}
