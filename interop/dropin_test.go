package interop

import (
	"testing"

	"github.com/fencepost-tsa/fencepost/interop/internal/peers"
)

// TestDropInClient: our timestamp-cli with sigstore's server, and each program's verdict on the other's.
func TestDropInClient(t *testing.T) {
	ourCLI, theirCLI := ours("timestamp-cli"), theirs(t, peers.TimestampCLI)
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			a, w := startPeerKey(t, keyType, "sha256"), scratch(t)
			w.write(t, "data", []byte("the data"))
			w.write(t, "other", []byte("other data"))
			for _, hash := range []string{"sha256", "sha384", "sha512"} {
				w.accept(t, []string{"Artifact timestamped at "}, ourCLI, "--timestamp_server", a.base,
					"timestamp", "--hash", hash, "--artifact", "data", "--out", "data.tsr")
				w.write(t, "broken.tsr", flip(w.read(t, "data.tsr"), 10))
				for _, cli := range []struct{ path, imprint, signature, untrusted string }{
					{ourCLI, reasonImprint, reasonSignature, reasonUntrusted},
					{theirCLI, "hashed messages don't match", "verification", "unknown authority"},
				} {
					verify := func(tsr, artifact, root string) []string {
						return []string{cli.path, "verify", "--timestamp", tsr, "--artifact", artifact,
							"--root-certificates", root, "--intermediate-certificates", a.intermediates}
					}
					const failure = "failed to verify timestamp"
					w.accept(t, []string{"Successfully verified timestamp data.tsr"}, verify("data.tsr", "data", a.root)...)
					w.refuse(t, []string{failure, cli.imprint}, verify("data.tsr", "other", a.root)...)
					w.refuse(t, []string{failure, cli.signature}, verify("broken.tsr", "data", a.root)...)
					w.refuse(t, []string{failure, cli.untrusted}, verify("data.tsr", "data", foreignRoot(t, w))...)
				}
			}
		})
	}
}

// TestDropInServer: our timestamp-server, started as the peer's is, with sigstore's client and OpenSSL.
func TestDropInServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		flags []string
	}{
		{"leaf only", nil},
		{"whole chain", []string{"--include-chain-in-response"}},
		{"status 201", []string{"--use-http-201"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			judgeDropIn(t, startDropIn(t, append(test.flags, "--timestamp-signer", "memory")...))
		})
	}
	for _, keyType := range keyTypes {
		t.Run(keyType, func(t *testing.T) {
			w := scratch(t)
			w.certCreate(t, keyType, "tsa")
			judgeDropIn(t, startDropIn(t, "--timestamp-signer", "file", "--timestamp-signer-hash", "sha384",
				"--file-signer-key-path", w.path("tsa/key.pem"), "--certificate-chain-path", w.path("tsa/chain.pem")))
		})
	}
}

func judgeDropIn(t *testing.T, a *tsa) {
	t.Helper()
	w := scratch(t)
	w.write(t, "data", []byte("the data"))
	w.write(t, "other", []byte("other data"))
	w.ask(t, a, "openssl", "data", "-sha256", "-cert")
	w.accept(t, []string{"Verification: OK"}, opensslVerify(a, "openssl.tsr", "-queryfile", "openssl.tsq")...)
	w.refuse(t, []string{"message imprint mismatch"}, opensslVerify(a, "openssl.tsr", "-data", "other")...)

	cli := theirs(t, peers.TimestampCLI)
	w.accept(t, nil, cli, "--timestamp_server", a.base, "timestamp", "--hash", "sha512", "--artifact", "data", "--out", "data.tsr")
	verify := []string{cli, "verify", "--timestamp", "data.tsr", "--certificate-chain", a.chain, "--artifact"}
	w.accept(t, []string{"Successfully verified timestamp data.tsr"}, append(verify, "data")...)
	w.refuse(t, []string{"hashed messages don't match"}, append(verify, "other")...)
	w.verifies(t, a, "data.tsr", "data")
	w.rejects(t, a, reasonImprint, "data.tsr", "other")
}
